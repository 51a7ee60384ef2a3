//! Publications over NATS: delivery at most once to every node, and no history.
//!
//! Subjects and messages are those of Centrifugo v6.9.1, so that nodes of both kinds share one server.

mod subject;
#[cfg(test)]
mod tests;
mod wire;

use super::{
    Broker, BrokerError, ClientInfo, HistoryFilter, HistoryPage, MaybeReady, Publication, PublishOptions,
    PublishOutcome, Receiver, StreamPosition,
};
use crate::seams::{Clock, UnixMillis};
use crate::stores::nats::{NatsConnection, NatsError};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use subject::Subjects;
use tokio::sync::{Mutex, mpsc, oneshot};
use wire::Heard;

/// Subscriptions that may wait to be read from; whoever makes one more waits.
const NEW_SUBSCRIPTIONS: usize = 1024;

/// How channels become subjects.
#[derive(Clone, Debug)]
pub struct NatsBrokerSettings {
    /// Start of all subjects; nodes of one cluster share it.
    pub prefix: String,
    /// Channels of subscriptions may hold the wildcards of NATS.
    pub allow_wildcards: bool,
    /// Channels as bare subjects, for messages from other programs.
    pub raw_mode: Option<NatsRawMode>,
}

/// Payloads travel as they are, without who published and without joins and leaves.
#[derive(Clone, Debug)]
pub struct NatsRawMode {
    /// Start of all subjects.
    pub prefix: String,
    /// Texts to replace in a channel to make a subject. Where several match, the longest counts.
    pub channel_replacements: BTreeMap<String, String>,
}

/// A broker over one NATS connection.
pub struct NatsBroker {
    connection: Arc<NatsConnection>,
    subjects: Subjects,
    clock: Arc<dyn Clock>,
    receiver: Arc<OnceLock<Arc<dyn Receiver>>>,
    /// By channel, what ends its subscription when dropped. The lock is held while a subscription is made or
    /// ended, which waits for a place in a queue only, so that both happen in the order they were asked for.
    subscribed: Mutex<HashMap<Arc<str>, oneshot::Sender<()>>>,
    /// To the task that reads them all.
    new: mpsc::Sender<Messages>,
    /// Where nodes tell each other that messages of a channel may not have arrived.
    comparing: String,
}

/// What arrives for one channel.
type Messages = BoxStream<'static, (Arc<str>, async_nats::Message)>;

impl NatsBroker {
    /// Makes a broker that delivers nothing until [`attach`](Self::attach) is called.
    ///
    /// # Panics
    /// When called outside of a tokio runtime.
    pub fn detached(
        settings: &NatsBrokerSettings,
        connection: Arc<NatsConnection>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let subjects = Subjects::new(settings);
        let (new, fresh) = mpsc::channel(NEW_SUBSCRIPTIONS);
        let receiver = Arc::new(OnceLock::new());
        tokio::spawn(read_all(fresh, subjects.clone(), receiver.clone()));
        let comparing = format!("{}.compare", settings.prefix);
        let subscribed = Mutex::default();
        Arc::new(Self { connection, subjects, clock, receiver, subscribed, new, comparing })
    }

    /// Names the receiver; answers whether it was accepted, which only the first is.
    pub fn attach(&self, receiver: Arc<dyn Receiver>) -> bool {
        self.receiver.set(receiver).is_ok()
    }

    /// The connection.
    pub(super) fn connection(&self) -> &NatsConnection {
        &self.connection
    }

    /// Tells subscribers of those channels among the subscribed ones to compare their positions.
    pub(super) async fn compare(&self, concerned: impl Fn(&str) -> bool) {
        let Some(receiver) = self.receiver.get() else { return };
        let subscribed = self.subscribed.lock().await;
        let channels: Vec<Arc<str>> =
            subscribed.keys().filter(|channel| concerned(channel)).cloned().collect();
        drop(subscribed);
        for channel in channels {
            receiver.gap(&channel);
        }
    }

    /// Tells subscribers of a channel on all nodes to compare their positions.
    pub(super) async fn ask_to_compare(&self, channel: &str) -> Result<(), NatsError> {
        let channel = Bytes::copy_from_slice(channel.as_bytes());
        self.connection.publish(self.comparing.clone(), channel).await
    }

    /// Hears other nodes ask to compare, for as long as the broker is used.
    ///
    /// # Errors
    /// [`NatsError::Subscribe`].
    pub(super) async fn hear_to_compare(&self) -> Result<async_nats::Subscriber, NatsError> {
        self.connection.subscribe(&self.comparing).await
    }

    /// Whether `channel` can be published to: wildcards are for subscriptions.
    pub(super) fn takes_publications(&self, channel: &str) -> bool {
        Subjects::takes_publications(channel)
    }

    /// Publishes what has its place in a stream kept elsewhere. In raw mode messages have no room for a place.
    pub(super) fn publish_at(
        self: &Arc<Self>,
        channel: &str,
        data: Bytes,
        options: PublishOptions,
        position: &StreamPosition,
        time: UnixMillis,
    ) -> MaybeReady<Result<(), BrokerError>> {
        let time = time.0.cast_signed();
        let message = match self.subjects.raw {
            true => data,
            false => wire::publication(channel, data, options, position, time),
        };
        self.send(channel, message)
    }

    fn send(self: &Arc<Self>, channel: &str, message: Bytes) -> MaybeReady<Result<(), BrokerError>> {
        let (connection, subject) = (self.connection.clone(), self.subjects.subject(channel));
        MaybeReady::later(async move { Ok(connection.publish(subject, message).await?) })
    }
}

/// Reads all subscriptions in one task: messages of one channel are delivered in order and never
/// concurrently.
async fn read_all(
    mut fresh: mpsc::Receiver<Messages>,
    subjects: Subjects,
    receiver: Arc<OnceLock<Arc<dyn Receiver>>>,
) {
    let mut all = SelectAll::new();
    loop {
        tokio::select! {
            messages = fresh.recv() => match messages {
                Some(messages) => all.push(messages),
                None => return,
            },
            Some((channel, message)) = all.next() => {
                let Some(receiver) = receiver.get() else { continue };
                receiver.room().await;
                deliver(&channel, message, &subjects, &**receiver);
            }
        }
    }
}

fn deliver(channel: &Arc<str>, message: async_nats::Message, subjects: &Subjects, receiver: &dyn Receiver) {
    if subjects.raw {
        let bare = subjects.bare(&message.subject);
        let publication = Publication {
            data: message.payload,
            channel: (bare != &**channel).then(|| Arc::from(bare)),
            ..Default::default()
        };
        return receiver.publication(channel, Arc::new(publication), StreamPosition::default(), false, None);
    }
    match wire::read(message.payload) {
        Ok((named, Heard::Publication { mut publication, position, delta })) => {
            if *named != **channel {
                Arc::make_mut(&mut publication).channel = Some(named.into());
            }
            receiver.publication(channel, publication, position, delta, None);
        }
        Ok((_, Heard::Join(info))) => receiver.join(channel, info),
        Ok((_, Heard::Leave(info))) => receiver.leave(channel, info),
        Ok((_, Heard::Other)) => tracing::debug!(%channel, "message from nats says nothing"),
        Err(error) => tracing::warn!(%error, %channel, "message from nats cannot be read"),
    }
}

impl Broker for Arc<NatsBroker> {
    fn publish(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        if !Subjects::takes_publications(channel) {
            return MaybeReady::ready(Err(BrokerError::BadChannel(channel.to_string())));
        }
        self.publish_at(channel, data, options, &StreamPosition::default(), self.clock.now().unix)
            .map(|sent| sent.map(|()| PublishOutcome::default()))
    }

    fn publish_join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), BrokerError>> {
        if self.subjects.raw || !Subjects::takes_publications(channel) {
            return MaybeReady::ready(Ok(()));
        }
        self.send(channel, wire::join(channel, &info))
    }

    fn publish_leave(
        &self,
        channel: &Arc<str>,
        info: Arc<ClientInfo>,
    ) -> MaybeReady<Result<(), BrokerError>> {
        if self.subjects.raw || !Subjects::takes_publications(channel) {
            return MaybeReady::ready(Ok(()));
        }
        self.send(channel, wire::leave(channel, &info))
    }

    fn subscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        if !self.subjects.takes_subscriptions(channel) {
            return MaybeReady::ready(Err(BrokerError::BadChannel(channel.to_string())));
        }
        let (broker, channel) = (self.clone(), channel.clone());
        MaybeReady::later(async move {
            let mut subscribed = broker.subscribed.lock().await;
            if let Entry::Vacant(vacant) = subscribed.entry(channel) {
                let named = vacant.key().clone();
                let messages = broker.connection.subscribe(&broker.subjects.subject(&named)).await?;
                let (end, ended) = oneshot::channel();
                let messages = messages.map(move |message| (named.clone(), message)).take_until(ended);
                // The reader ends only with its receiver, and then nobody waits for messages.
                let _ = broker.new.send(messages.boxed()).await;
                vacant.insert(end);
            }
            drop(subscribed);
            Ok(broker.connection.confirmed().await?)
        })
    }

    fn unsubscribe(&self, channel: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        let (broker, channel) = (self.clone(), channel.clone());
        MaybeReady::later(async move {
            broker.subscribed.lock().await.remove(&channel);
            Ok(())
        })
    }

    fn history(
        &self,
        _: &Arc<str>,
        _: HistoryFilter,
        _: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>> {
        MaybeReady::ready(Err(BrokerError::NotAvailable("history")))
    }

    fn remove_history(&self, _: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        MaybeReady::ready(Err(BrokerError::NotAvailable("history")))
    }

    fn trouble(&self) -> Option<String> {
        (!self.connection.delivers()).then(|| "messages do not arrive from nats".to_owned())
    }
}

impl From<NatsError> for BrokerError {
    fn from(error: NatsError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
