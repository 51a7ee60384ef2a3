//! Asking the application for connections of this shard, and the streams it feeds subscriptions with.
//!
//! Everything the application has a part in runs on the shared runtime, from the first byte on, and comes back
//! through the inbox: a backend that is slow or dead costs the connections that need it their answers, and the
//! shard nothing.

use super::connection::Key;
use super::inbox::{Answered, Inbox, Message};
use super::shard::Shard;
use crate::broker::MaybeReady;
use crate::observability::Frame;
use crate::protocol::Encoding;
use crate::proxy::{Caller, Events, ProxyError, SubscribeStream};
use crate::session::{Answer, Inquiry, Send, Ticket, Unanswered, Verdict};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use gyre_proto::{client, proxy as wire};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

/// Publications of one feed that wait in the inbox of its shard. Beyond it the application's stream is not read on.
const FEED_ROOM: usize = 16;

/// How long a publication of a client waits for an application that does not read its stream.
const FEED_PATIENCE: Duration = Duration::from_secs(1);

/// A task that ends when this is dropped.
pub(super) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A question whose answer is on its way.
pub(super) struct Asked {
    ticket: Ticket,
    /// The command that waits for it, and since when.
    command: Option<(Frame, Instant)>,
    /// The call of the application, given up when nobody wants its answer any more.
    call: Option<Task>,
}

/// Streams of the application for subscriptions of one connection.
pub(super) type Feeds = Vec<Feed>;

/// One of them. Dropping it cancels the stream.
pub(super) struct Feed {
    channel: Arc<str>,
    ticket: Ticket,
    /// Lets publications flow; none when they do.
    start: Option<oneshot::Sender<()>>,
    to_application: Option<mpsc::Sender<Bytes>>,
    _task: Option<Task>,
}

/// What a feed has to say.
pub(super) enum FeedNews {
    /// The application answered; its publications wait for `start`.
    Opened {
        channel: Arc<str>,
        response: Box<wire::SubscribeResponse>,
        to_application: Option<mpsc::Sender<Bytes>>,
        start: oneshot::Sender<()>,
    },
    /// A publication, and its place among [`FEED_ROOM`].
    Publication(wire::Publication, OwnedSemaphorePermit),
    /// Nothing follows; whether the application meant it.
    Ended(bool),
}

impl Shard {
    /// Remembers that an answer is on its way, and which command waits for it.
    pub(super) fn expect(&mut self, key: Key, ticket: Ticket, call: Option<AbortHandle>) {
        let command = self.running.take();
        let Some(connection) = self.connection(key) else { return };
        // Most connections never wait for more than one answer.
        connection.asked.reserve_exact(1);
        connection.asked.push(Asked { ticket, command, call: call.map(Task) });
    }

    /// An answer has come: what it was for goes on.
    pub(super) fn expected(&mut self, key: Key, ticket: Ticket) -> Option<Task> {
        let asked = &mut self.connection(key)?.asked;
        let at = asked.iter().position(|asked| asked.ticket == ticket)?;
        let Asked { command, call, .. } = asked.swap_remove(at);
        if asked.is_empty() {
            *asked = Vec::new();
        }
        self.running = command;
        call
    }

    /// Asks the application.
    pub(super) fn inquire(&mut self, key: Key, ticket: Ticket, caller: Arc<Caller>, mut inquiry: Inquiry) {
        let Some(connection) = self.connection(key) else { return };
        let encoding = match connection.wire.encoding {
            Encoding::Json => "json",
            Encoding::Protobuf => "protobuf",
        };
        inquiry.come_by(connection.name.as_str(), encoding);
        let (application, inbox) = (self.environment.application.clone(), self.inbox.clone());
        let work = async move {
            if let Inquiry::Feed { proxy, bidirectional, request } = inquiry {
                let channel = Arc::from(request.channel.as_str());
                let opened = application.subscribe_stream(&proxy, caller, request, bidirectional).await;
                return feed(&inbox, key, ticket, channel, opened).await;
            }
            let answer = Answer::Application(ask(&*application, caller, inquiry).await.map(Box::new));
            inbox.push(Message::Answer(Box::new(Answered { key, ticket, answer })));
        };
        let call = self.spawn_call(key, work);
        self.expect(key, ticket, Some(call));
    }

    /// Runs something on the shared runtime; if it panics, its connection is dropped.
    fn spawn_call(
        &self,
        key: Key,
        work: impl Future<Output = ()> + std::marker::Send + 'static,
    ) -> AbortHandle {
        let inbox = self.inbox.clone();
        let call = async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                inbox.push(Message::Unanswered(key));
            }
        };
        self.runtime.spawn(call).abort_handle()
    }

    pub(super) fn on_feed_news(&mut self, key: Key, ticket: Ticket, news: FeedNews) {
        match news {
            FeedNews::Opened { channel, response, to_application, start } => {
                let task = self.expected(key, ticket);
                let Some(connection) = self.connection(key) else { return };
                let feed = Feed { channel, ticket, start: Some(start), to_application, _task: task };
                connection.feeds.get_or_insert_default().push(feed);
                let answer = Answer::Application(Ok(Box::new(Verdict::Subscribe(*response))));
                self.input(key, |session, cx| session.on_answer(ticket, answer, cx));
                self.command_done();
                self.resume(key);
            }
            FeedNews::Publication(publication, _place) => {
                let Some(channel) = self.fed_channel(key, ticket) else { return };
                let wire::Publication { data, tags } = publication;
                let publication = client::Publication { data, tags, ..Default::default() };
                let channel = channel.to_string();
                let push = client::Push { channel, r#pub: Some(Box::new(publication)), ..Default::default() };
                self.send_message(key, Send::Push(Box::new(push)));
            }
            FeedNews::Ended(complete) => {
                let Some(channel) = self.fed_channel(key, ticket) else { return };
                self.drop_feed(key, &channel);
                self.input(key, |session, cx| session.on_feed_end(&channel, complete, cx));
            }
        }
    }

    /// The channel a feed is for; none when it was dropped, whatever it still had to say.
    fn fed_channel(&mut self, key: Key, ticket: Ticket) -> Option<Arc<str>> {
        let feeds = self.connection(key)?.feeds.as_ref()?;
        feeds.iter().find(|feed| feed.ticket == ticket).map(|feed| feed.channel.clone())
    }

    /// Lets publications of a feed flow, if the channel has one.
    pub(super) fn start_feed(&mut self, key: Key, channel: &str) {
        let Some(feeds) = self.connection(key).and_then(|connection| connection.feeds.as_mut()) else {
            return;
        };
        if let Some(start) =
            feeds.iter_mut().find(|feed| *feed.channel == *channel).and_then(|feed| feed.start.take())
        {
            // When its task is gone, so is the feed.
            let _ = start.send(());
        }
    }

    pub(super) fn drop_feed(&mut self, key: Key, channel: &str) {
        let Some(connection) = self.connection(key) else { return };
        let Some(feeds) = &mut connection.feeds else { return };
        feeds.retain(|feed| *feed.channel != *channel);
        if feeds.is_empty() {
            connection.feeds = None;
        }
    }

    /// Hands what a client publishes to the application.
    pub(super) fn feed(&mut self, key: Key, channel: &str, data: Bytes) -> MaybeReady<Answer> {
        let feeds = self.connection(key).and_then(|connection| connection.feeds.as_ref());
        let feed = feeds.and_then(|feeds| feeds.iter().find(|feed| *feed.channel == *channel));
        let Some(to_application) = feed.and_then(|feed| feed.to_application.clone()) else {
            return MaybeReady::ready(Answer::Fed(Err(Unanswered)));
        };
        match to_application.try_send(data) {
            Ok(()) => MaybeReady::ready(Answer::Fed(Ok(()))),
            Err(mpsc::error::TrySendError::Closed(_)) => MaybeReady::ready(Answer::Fed(Err(Unanswered))),
            Err(mpsc::error::TrySendError::Full(data)) => MaybeReady::later(async move {
                let sent = to_application.send_timeout(data, FEED_PATIENCE).await;
                Answer::Fed(sent.map_err(|_| Unanswered))
            }),
        }
    }
}

/// Hands the application what it is asked and waits for its verdict.
async fn ask(application: &dyn Events, caller: Arc<Caller>, inquiry: Inquiry) -> Result<Verdict, Unanswered> {
    let verdict = match inquiry {
        Inquiry::Connect(request) => application.connect(caller, request).await.map(Verdict::Connect),
        Inquiry::Refresh(request) => application.refresh(caller, request).await.map(Verdict::Refresh),
        Inquiry::Rpc(proxy, request) => application.rpc(&proxy, caller, request).await.map(Verdict::Rpc),
        Inquiry::Subscribe(proxy, request) => {
            application.subscribe(&proxy, caller, request).await.map(Verdict::Subscribe)
        }
        Inquiry::Publish(proxy, request) => {
            application.publish(&proxy, caller, request).await.map(Verdict::Publish)
        }
        Inquiry::SubRefresh(proxy, request) => {
            application.sub_refresh(&proxy, caller, request).await.map(Verdict::SubRefresh)
        }
        // Opened by whoever reads it.
        Inquiry::Feed { .. } => return Err(Unanswered),
    };
    verdict.map_err(|error| unanswered(&error))
}

/// Tells the log why there is no answer. The client is told to come again, or its time is prolonged.
pub(super) fn unanswered(error: &ProxyError) -> Unanswered {
    match error {
        ProxyError::Shed { .. } => tracing::debug!(%error, "application was not asked"),
        _ => tracing::error!(error = error as &dyn std::error::Error, "application gave no answer"),
    }
    Unanswered
}

/// Reads a stream of the application for one subscriber, once its subscription is there.
async fn feed(
    inbox: &Inbox,
    key: Key,
    ticket: Ticket,
    channel: Arc<str>,
    opened: Result<SubscribeStream, ProxyError>,
) {
    let stream = match opened {
        Ok(stream) => stream,
        Err(error) => {
            let answer = Answer::Application(Err(unanswered(&error)));
            return inbox.push(Message::Answer(Box::new(Answered { key, ticket, answer })));
        }
    };
    let SubscribeStream { response, mut publications, to_application } = stream;
    let (start, started) = oneshot::channel();
    let tell = |news| inbox.push(Message::Feed(key, ticket, Box::new(news)));
    let response = Box::new(response);
    tell(FeedNews::Opened { channel, response, to_application, start });
    if started.await.is_ok() {
        let complete = read_feed(&mut publications, tell).await;
        tell(FeedNews::Ended(complete));
    }
}

/// Reads until the end; whether it is one the application meant.
async fn read_feed(
    publications: &mut BoxStream<'static, Result<wire::Publication, ProxyError>>,
    tell: impl Fn(FeedNews),
) -> bool {
    let room = Arc::new(Semaphore::new(FEED_ROOM));
    while let Some(next) = publications.next().await {
        match next {
            Ok(publication) => {
                // It is never closed.
                let Ok(place) = room.clone().acquire_owned().await else { return false };
                tell(FeedNews::Publication(publication, place));
            }
            Err(error) => {
                unanswered(&error);
                return false;
            }
        }
    }
    true
}
