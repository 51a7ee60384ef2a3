//! Carrying out what sessions want.

use super::backend::settle;
use super::connection::{Key, Phase};
use super::inbox::{Answered, Message};
use super::registry::Next;
use super::shard::{LINGER, Shard};
use super::telemetry;
use crate::broker::{Broker, HistoryFilter, MaybeReady, StreamPosition};
use crate::observability::{Action, BrokerMessage, Frame};
use crate::session::{Activation, Answer, Close, Departure, Effect, JoinPlan, Question, Send, Ticket};
use crate::transport::framing::Framing;
use crate::transport::websocket::frame;
use futures_util::FutureExt;
use gyre_proto::client;
use gyre_proto::codes::DisconnectCode;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// Tries to compare positions after a gap; the usual check goes on afterwards.
const GAP_TRIES: u32 = 8;

/// Pause after the first of them; it doubles.
const GAP_PAUSE: Duration = Duration::from_millis(50);

/// How long a publication may be on its way after the stream already shows it.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// Reads the top of a stream to compare positions with. A broker that answers at once has delivered everything up to
/// it, and the answer takes its turn behind that in the inbox. With any other, publications come another way than
/// the answer and may be behind it, so they get time to arrive: who is behind this top then, has missed something.
/// `turn` is given back once the broker has answered.
async fn top_to_compare(
    broker: &dyn Broker,
    channel: &Arc<str>,
    meta_ttl: Duration,
    turn: Option<SemaphorePermit<'_>>,
) -> Option<StreamPosition> {
    let filter = HistoryFilter { limit: Some(0), ..Default::default() };
    let answer = broker.history(channel, filter, meta_ttl);
    let delivers_first = matches!(answer, MaybeReady::Ready(_));
    let top = answer.await.ok()?.position;
    drop(turn);
    if !delivers_first {
        tokio::time::sleep(ON_ITS_WAY).await;
    }
    Some(top)
}

/// Below are codes of errors, with which sessions may end where the transport tells them apart.
const FIRST_DISCONNECT_CODE: u32 = 3000;

impl Shard {
    pub(super) fn carry_out(&mut self, key: Key) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Send(message) => self.send_message(key, message),
                Effect::Ask(ticket, Question::Application(caller, inquiry)) => {
                    self.inquire(key, ticket, caller, *inquiry);
                }
                Effect::Ask(ticket, Question::Feed(channel, data)) => {
                    let answer = self.feed(key, &channel, data);
                    self.settle(key, ticket, answer);
                }
                Effect::Ask(ticket, question) => {
                    let answer = self.ask(question);
                    self.settle(key, ticket, answer);
                }
                Effect::DropFeed(channel) => self.drop_feed(key, &channel),
                Effect::Join(ticket, plans) => self.join(key, ticket, plans),
                Effect::Activate(activation) => self.activate(key, activation),
                Effect::PushSubscription(channel, subscribe) => {
                    self.push_subscription(key, &channel, *subscribe)
                }
                Effect::AnnounceJoin(channel, info) => {
                    let broker = self.shared.backend.broker.clone();
                    self.shared.metrics.sent(BrokerMessage::Join, 1);
                    self.in_background(async move {
                        if let Err(error) = broker.publish_join(&channel, info).await {
                            tracing::warn!(%error, %channel, "join was not published");
                        }
                    });
                }
                Effect::Leave(departure) => self.leave(key, departure),
                Effect::RenewPresence(channel, info) => {
                    let presence = self.shared.backend.presence.clone();
                    self.metrics.action(Action::AddPresence);
                    self.in_background(async move {
                        if let Err(error) = presence.add(&channel, info).await {
                            tracing::warn!(%error, %channel, "presence was not renewed");
                        }
                    });
                }
                Effect::CheckPosition(channel, delay) => self.check_position(channel, delay),
                Effect::Register => self.register(key),
                Effect::Forget => self.forget(key),
                Effect::PongReceived(took) => {
                    if let Some(name) = self.connection(key).map(|connection| connection.name) {
                        self.metrics.ping(name, took);
                    }
                }
                Effect::Refuse => self.linger(key),
                Effect::Close(close) => self.close(key, close),
            }
        }
    }

    pub(super) fn send_message(&mut self, key: Key, message: Send) {
        let running = self.running.map_or(Frame::Unknown, |(kind, _)| kind);
        let Some(connection) = self.connection(key) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        let wire = connection.wire;
        let (kind, encoded) = match message {
            Send::Reply(reply) => {
                if let Some(error) = &reply.error {
                    self.shared.metrics.reply_error(running, error.code);
                }
                (running, self.encoder.frame_reply(&reply, wire))
            }
            Send::Push(push) => {
                connection.unannounced = false;
                if let Some(unsubscribe) = &push.unsubscribe {
                    self.shared.metrics.server_unsubscribe(unsubscribe.code);
                }
                (telemetry::push(&push), self.encoder.frame_push(*push, wire))
            }
            Send::Ping => (Frame::ServerPing, Some(self.encoder.frame_ping(wire))),
        };
        match encoded {
            Some(encoded) => self.send_encoded(key, encoded, kind),
            None => self.input(key, |session, cx| session.close(DisconnectCode::InappropriateProtocol, cx)),
        }
    }

    /// Asks the backend. A publication waits first while shards are behind.
    fn ask(&self, question: Question) -> MaybeReady<Answer> {
        let (shared, now) = (&self.shared, self.now.unix);
        if !matches!(question, Question::Publish(..)) || !shared.pressure.is_high() {
            return shared.backend.ask(question, now);
        }
        let shared = shared.clone();
        MaybeReady::later(async move {
            match shared.pressure.patient_relief().await {
                Ok(()) => shared.backend.ask(question, now).await,
                Err(error) => Answer::Published(Err(error)),
            }
        })
    }

    /// Hands an answer to the session, now or when it comes.
    fn settle(&mut self, key: Key, ticket: Ticket, answer: MaybeReady<Answer>) {
        match settle(answer) {
            Ok(answer) => {
                self.deliver_leading();
                self.count_recoveries(&answer);
                self.input(key, |session, cx| session.on_answer(ticket, answer, cx));
            }
            Err(pending) => {
                self.expect(key, ticket, None);
                let inbox = self.inbox.clone();
                self.runtime.spawn(async move {
                    inbox.push(match AssertUnwindSafe(pending).catch_unwind().await {
                        Ok(answer) => Message::Answer(Box::new(Answered { key, ticket, answer })),
                        Err(_) => Message::Unanswered(key),
                    });
                });
            }
        }
    }

    pub(super) fn on_answer(&mut self, answered: Answered) {
        let Answered { key, ticket, answer } = answered;
        if self.connection(key).is_some() {
            self.count_recoveries(&answer);
            drop(self.expected(key, ticket));
            self.input(key, |session, cx| session.on_answer(ticket, answer, cx));
            self.command_done();
            return self.resume(key);
        }
        if let Answer::Joined(joined) = answer {
            for (departure, _) in joined.into_iter().filter(|(_, result)| result.is_ok()) {
                let registry = self.shared.registry.clone();
                self.in_background(self.shared.backend.clone().leave(departure, Next::Nothing, registry));
            }
        }
    }

    fn count_recoveries(&self, answer: &Answer) {
        let Answer::Joined(joined) = answer else { return };
        for joined in
            joined.iter().filter_map(|(_, result)| result.as_ref().ok()).filter(|joined| joined.attempted)
        {
            self.metrics.recovery(joined.recovered, joined.publications.len());
        }
    }

    /// Runs something whose outcome no connection waits for.
    pub(super) fn in_background(&self, work: impl Future<Output = ()> + std::marker::Send + 'static) {
        if let Err(pending) = settle(MaybeReady::later(work)) {
            self.runtime.spawn(pending);
        }
    }

    fn join(&mut self, key: Key, ticket: Ticket, plans: Vec<JoinPlan>) {
        let mut joins = Vec::with_capacity(plans.len());
        for plan in plans {
            let Some(wire) = self.connection(key).map(|connection| connection.wire) else { return };
            let place = self.channels.add(&plan.channel, key, wire, plan.flags, plan.filter.clone());
            self.channels.get_mut(place.channel).history_meta_ttl = plan.history_meta_ttl;
            if let Some(connection) = self.connection(key) {
                connection.places.push(place);
            }
            let entered = self.shared.registry.enter(&plan.channel, self.index);
            joins.push((plan, entered));
        }
        let announced = joins.iter().any(|(plan, _)| plan.departure.announce);
        let application = self.environment.application.clone();
        let answer = match self.shared.pressure.relief() {
            // A join that others are told of is a delivery like a publication.
            MaybeReady::Later(relief) if announced => {
                let (backend, registry) = (self.shared.backend.clone(), self.shared.registry.clone());
                MaybeReady::later(async move {
                    relief.await;
                    backend.join(joins, registry, application).await
                })
            }
            _ => self.shared.backend.join(joins, self.shared.registry.clone(), application),
        };
        self.settle(key, ticket, answer);
    }

    fn activate(&mut self, key: Key, activation: Activation) {
        let Some(index) = self.channels.find(&activation.channel) else { return };
        let Some(place) = self.connection(key).and_then(|connection| connection.place(index)) else { return };
        let top = self.channels.get(index).top_while_holding.clone();
        let held = self.channels.activate(place, activation.position, activation.delta);
        self.metrics.subscription_accepted();
        self.metrics.action(Action::AddSubscription);
        self.deliver_held(key, &activation.channel, &held);
        self.start_feed(key, &activation.channel);
        if let Some(top) = top {
            self.compare(&activation.channel, &top, Some(key));
        }
    }

    fn push_subscription(&mut self, key: Key, channel: &str, mut subscribe: client::Subscribe) {
        let Some(index) = self.channels.find(channel) else { return };
        let Some(place) = self.connection(key).and_then(|connection| connection.place(index)) else { return };
        if subscribe.positioned {
            let subscriber = &self.channels.get(index).subscribers[place.at as usize];
            subscribe.offset = subscriber.offset;
            subscribe.epoch = subscriber.epoch.as_str().to_owned();
        }
        let subscribe = Some(Box::new(subscribe));
        let push = client::Push { channel: channel.to_owned(), subscribe, ..Default::default() };
        self.send_message(key, Send::Push(Box::new(push)));
    }

    fn leave(&mut self, key: Key, departure: Departure) {
        let next = self.drop_place(key, &departure.channel);
        let registry = self.shared.registry.clone();
        self.in_background(self.shared.backend.clone().leave(departure, next, registry));
    }

    /// Takes a connection off a channel; answers what the broker has to be asked then.
    fn drop_place(&mut self, key: Key, channel: &str) -> Next {
        self.drop_feed(key, channel);
        let Some(index) = self.channels.find(channel) else { return Next::Nothing };
        let Some(place) = self.connection(key).and_then(|connection| connection.take_place(index)) else {
            return Next::Nothing;
        };
        if !self.channels.get(index).subscribers[place.at as usize].holding {
            self.metrics.subscription_ended();
            self.metrics.action(Action::RemoveSubscription);
        }
        if let Some(moved) = self.channels.remove(place)
            && let Some(connection) = self.connection(moved)
            && let Some(other) = connection.places.iter_mut().find(|other| other.channel == index)
        {
            other.at = place.at;
        }
        self.shared.registry.leave(channel, self.index)
    }

    /// Compares a channel's positions with the top of its stream, once for all subscribers of this shard.
    fn check_position(&mut self, channel: Arc<str>, delay: Duration) {
        let Some(index) = self.channels.find(&channel) else { return };
        let now = self.now.instant;
        let entry = self.channels.get_mut(index);
        let recent = |at: Option<std::time::Instant>| at.is_some_and(|at| now.duration_since(at) < delay);
        if recent(entry.checked) || recent(entry.last_delivery) {
            return;
        }
        entry.checked = Some(now);
        let meta_ttl = entry.history_meta_ttl;
        self.metrics.action(Action::HistoryStreamTop);
        let (broker, inbox) = (self.shared.backend.broker.clone(), self.inbox.clone());
        self.in_background(async move {
            // When the broker does not answer, the next tick asks again.
            if let Some(top) = top_to_compare(&*broker, &channel, meta_ttl, None).await {
                inbox.push(Message::Top(channel, top));
            }
        });
    }

    /// Compares positions at once, because the broker may have missed something. Unlike the usual check there is
    /// none that repeats this soon, so it tries again until the broker answers.
    pub(super) fn on_gap(&mut self, channel: Arc<str>) {
        let Some(index) = self.channels.find(&channel) else { return };
        let entry = self.channels.get_mut(index);
        let placed = entry.subscribers.iter().filter(|one| one.flags.positioned && !one.holding);
        let highest = placed.max_by_key(|one| one.offset);
        let had = highest.map(|one| StreamPosition { offset: one.offset, epoch: one.epoch.clone() });
        if had.is_none() && !entry.subscribers.iter().any(|subscriber| subscriber.flags.positioned) {
            return;
        }
        let had = had.unwrap_or_default();
        entry.checked = Some(self.now.instant);
        let meta_ttl = entry.history_meta_ttl;
        self.metrics.action(Action::HistoryStreamTop);
        let (shared, inbox) = (self.shared.clone(), self.inbox.clone());
        self.in_background(async move {
            for attempt in 0..GAP_TRIES {
                // All channels of a node may have a gap at the same time.
                let Ok(turn) = shared.gap_checks.acquire().await else { return };
                let broker = &*shared.backend.broker;
                if let Some(top) = top_to_compare(broker, &channel, meta_ttl, Some(turn)).await {
                    inbox.push(Message::TopAfterGap(channel, top, had));
                    return;
                }
                tokio::time::sleep(GAP_PAUSE * 2_u32.pow(attempt)).await;
            }
        });
    }

    fn register(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        let (user, name) = (connection.session.user().clone(), connection.name);
        self.shared.users.enter(&user);
        self.metrics.connection_accepted(name);
        self.metrics.action(Action::AddClient);
        self.users.entry(user).or_default().push(key);
    }

    fn forget(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        let (user, name) = (connection.session.user().clone(), connection.name);
        self.shared.users.leave(&user);
        self.metrics.connection_ended(name);
        self.metrics.action(Action::RemoveClient);
        if let Some(keys) = self.users.get_mut(&user) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.users.remove(&user);
            }
        }
    }

    /// Lets the peer close: the session accepts nothing more, but no code is due. On transports without a close
    /// frame the connection stays until it is stale, as upstream does it.
    fn linger(&mut self, key: Key) {
        let deadline = self.now.instant + LINGER;
        if let Some(connection) = self.connection(key).filter(|connection| connection.close_frame) {
            connection.phase = Phase::Lingering;
            connection.awaits_close = true;
            connection.deadline = Some(deadline);
        }
    }

    fn close(&mut self, key: Key, close: Close) {
        let deadline = self.now.instant + LINGER;
        let Some(connection) = self.connection(key) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        connection.give_up();
        let code = close.code;
        if code == DisconnectCode::ConnectionClosed as i32 as u32 {
            return self.remove(key);
        }
        let slow = code == DisconnectCode::Slow as i32 as u32;
        if slow {
            connection.outbox.discard();
        }
        connection.phase = if connection.close_frame { Phase::Lingering } else { Phase::Finishing };
        connection.deadline = Some(deadline);
        connection.too_slow = false;
        connection.link.set_close(&close);
        let (wire, name) = (connection.wire, connection.name);
        let (disconnect_push, close_frame) = (connection.disconnect_push, connection.close_frame);
        let unannounced = connection.unannounced;
        // The trailers of gRPC say that it is not.
        let has_status = wire.framing == Framing::Grpc;
        if slow && !close_frame && !has_status {
            // What was discarded cannot be told apart from what was sent, so the end must not look complete.
            connection.link.abort();
        }
        if code >= FIRST_DISCONNECT_CODE {
            self.shared.metrics.server_disconnect(code);
        }
        if disconnect_push && !unannounced && (!slow || has_status) {
            let disconnect = client::Disconnect { code, reason: close.reason.to_string(), reconnect: false };
            let push = client::Push { disconnect: Some(Box::new(disconnect)), ..Default::default() };
            if let Some(encoded) = self.encoder.frame_push(push, wire) {
                self.send_encoded(key, encoded, Frame::PushDisconnect);
            }
        }
        if close_frame {
            self.shared.metrics.outgoing_close(name, code);
            if let Ok(code) = u16::try_from(code)
                && let Some(frame) = frame::close_frame(code, &close.reason)
            {
                self.send(key, Rc::from(frame));
            }
        }
        self.mark_dirty(key);
    }

    /// Drops a connection whose session cannot be trusted any more.
    pub(super) fn evict(&mut self, key: Key) {
        let channels: Vec<Arc<str>> = self.connection(key).map_or_else(Vec::new, |connection| {
            connection
                .session
                .subscriptions()
                .iter()
                .map(|subscription| subscription.channel.clone())
                .collect()
        });
        for channel in channels {
            let (presence, info) =
                (true, self.connection(key).map(|connection| connection.session.identity()));
            self.leave(key, Departure { channel, info, presence, announce: true });
        }
        self.forget(key);
        self.remove(key);
    }
}
