//! What other threads tell a shard.

use super::connection::Key;
use super::delivery::Encoder;
use super::inbox::Message;
use super::link::Link;
use super::run;
use super::shard::Shard;
use super::socket::Socket;
use crate::broker::StreamPosition;
use crate::node::Target;
use crate::session::{self, Close, Session};

/// Messages handled before timers and peers get their turn, however busy publishers are.
const MESSAGES_PER_TURN: usize = 4096;

/// Frames that deliveries queue before connections are flushed. Publishers that are faster than a shard would
/// otherwise keep it from ever writing, and peers that read well would be closed as slow.
const FRAMES_PER_TURN: u64 = 32 * 1024;

impl Shard {
    /// Does what was told, until nothing is left or enough is queued to be flushed first.
    pub(super) fn drain_inbox(&mut self) {
        let enough = self.queued_frames + FRAMES_PER_TURN;
        // Even when enough is left to do: the inbox learns how much that is.
        self.take_messages();
        for _ in 0..MESSAGES_PER_TURN {
            if self.queued_frames >= enough {
                break;
            }
            if let Some(Message::Deliver(_)) = self.peek_message() {
                self.isolated(None, |shard| shard.deliver_run(0));
                self.tell_behind();
                continue;
            }
            let Some(message) = self.backlog.pop_front() else { break };
            let key = match &message {
                Message::Answer(answered) => Some(answered.key),
                Message::Unanswered(key) | Message::Stirred(key) | Message::Feed(key, ..) => Some(*key),
                _ => None,
            };
            self.isolated(key, |shard| shard.on_message(message));
            self.tell_behind();
        }
        self.tell_failing();
    }

    fn peek_message(&mut self) -> Option<&Message> {
        if self.backlog.is_empty() {
            self.take_messages();
        }
        self.backlog.front()
    }

    /// Delivers what stands at `at` of the backlog, together with what continues it.
    fn deliver_run(&mut self, at: usize) {
        let mut run = std::mem::take(&mut self.run);
        run.clear();
        while let Some(Message::Deliver(next)) = self.backlog.get(at)
            && (run.is_empty() || run::goes_on(&run, next))
        {
            let late = self.is_late(next);
            if late && !run.is_empty() {
                break;
            }
            let Some(Message::Deliver(next)) = self.backlog.remove(at) else { break };
            self.unhandled -= next.load();
            run.push(next);
            if late {
                break;
            }
        }
        self.deliver(&run);
        run.clear();
        self.run = run;
    }

    pub(super) fn take_messages(&mut self) {
        let mut spare = std::mem::take(&mut self.spare);
        self.unhandled = self.inbox.take(&mut spare, self.unhandled);
        self.backlog.extend(spare.drain(..));
        self.spare = spare;
    }

    /// Delivers what is at the front of the inbox, so that what a connection caused reaches subscribers of
    /// this shard before the reply, as the order of the publications wants it.
    pub(super) fn deliver_leading(&mut self) {
        self.take_messages();
        let mut at = 0;
        loop {
            match self.backlog.get(at) {
                Some(Message::Deliver(_)) => {
                    self.deliver_run(at);
                }
                // A new connection has no part in what was published before it, nor has a command of another.
                Some(
                    Message::Accept(..)
                    | Message::AcceptTls(..)
                    | Message::AcceptBody(..)
                    | Message::Stirred(_),
                ) => at += 1,
                _ => return,
            }
        }
    }

    pub(super) fn on_message(&mut self, message: Message) {
        match message {
            Message::Deliver(delivery) => self.deliver(&[delivery]),
            Message::Accept(socket, handshake) => {
                let socket = Socket::Plain(mio::net::TcpStream::from_std(socket));
                self.accept(Link::Socket(socket), *handshake);
            }
            Message::AcceptTls(socket, tls, handshake) => {
                let socket = Socket::tls(mio::net::TcpStream::from_std(socket), tls);
                self.accept(Link::Socket(socket), *handshake);
            }
            Message::AcceptBody(pipe, handshake) => self.accept(Link::Body(pipe), *handshake),
            Message::Stirred(key) => self.on_stirred(key),
            Message::Answer(answered) => self.on_answer(*answered),
            Message::Feed(key, ticket, news) => self.on_feed_news(key, ticket, *news),
            Message::Unanswered(key) => self.panicked(Some(key)),
            Message::Top(channel, position) => self.on_top(&channel, &position),
            Message::TopAfterGap(channel, top, had) => {
                self.on_top(&channel, &top);
                if had.epoch == top.epoch && had.offset > top.offset {
                    self.went_back(&channel, &top);
                }
            }
            Message::Gap(channel) => self.on_gap(channel),
            Message::Subscribe(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_subscribe(&request, cx));
            }
            Message::Unsubscribe(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_unsubscribe(&request, cx));
            }
            Message::Disconnect(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_disconnect(&request, cx));
            }
            Message::Refresh(request) => {
                self.for_target(&request.target, |session, cx| session.on_server_refresh(&request, cx));
            }
            Message::Reload => {
                self.environment = self.shared.environment.load_full();
                let limits = &self.environment.limits;
                self.encoder = Encoder::new(limits);
            }
            Message::Drain(close) => self.shed(close, usize::MAX),
            Message::Shed(close, count) => self.shed(close, count),
            Message::Stop => self.stopping = true,
        }
    }

    fn shed(&mut self, close: Close, count: usize) {
        // One whose peer still owes the end was closed before.
        let standing = self.connections.iter().filter(|(_, connection)| !connection.awaits_close);
        let keys: Vec<Key> = standing.map(|(_, connection)| connection.key).take(count).collect();
        for key in keys {
            let close = close.clone();
            self.input(key, |session, cx| session.close_with(close, cx));
        }
        self.draining = Some(close);
    }

    pub(super) fn for_target(
        &mut self,
        target: &Target,
        mut act: impl FnMut(&mut Session, &mut session::Context<'_>),
    ) {
        let Some(keys) = self.users.get(target.user.as_str()).cloned() else { return };
        for key in keys {
            if self.connection(key).is_some_and(|connection| connection.session.is_target(target)) {
                self.input(key, &mut act);
            }
        }
    }

    /// Compares everyone's position with the top of the stream; those who still hold deliveries back, later.
    pub(super) fn on_top(&mut self, channel: &str, top: &StreamPosition) {
        let Some(index) = self.channels.find(channel) else { return };
        let entry = self.channels.get_mut(index);
        if entry.holding > 0 {
            entry.top_while_holding = Some(top.clone());
        }
        self.compare(channel, top, None);
    }

    /// The stream ends at `top` though there was more: whoever is beyond is at places that others will get.
    fn went_back(&mut self, channel: &str, top: &StreamPosition) {
        let Some(index) = self.channels.find(channel) else { return };
        let channel = self.channels.get(index);
        for subscriber in &channel.subscribers {
            let beyond = subscriber.epoch == top.epoch && subscriber.offset > top.offset;
            if subscriber.flags.positioned && !subscriber.holding && beyond {
                self.behind.push((subscriber.key, channel.name.clone()));
            }
        }
    }

    /// Compares positions with `top`, of one subscriber or of all.
    pub(super) fn compare(&mut self, channel: &str, top: &StreamPosition, only: Option<Key>) {
        let Some(index) = self.channels.find(channel) else { return };
        let channel = self.channels.get(index);
        for subscriber in &channel.subscribers {
            let behind = subscriber.epoch != top.epoch || subscriber.offset < top.offset;
            let meant = only.is_none_or(|key| key == subscriber.key);
            if meant && subscriber.flags.positioned && !subscriber.holding && behind {
                self.behind.push((subscriber.key, channel.name.clone()));
            }
        }
    }
}
