//! One connected client, as a pure state machine.
//!
//! A [`Session`] takes commands, answers and the passing of time, and returns [`Effect`]s which its driver
//! carries out: send this, ask the backend that, wake me then. It knows no socket, no encoding, no clock, no
//! lock and no broker, so that tests drive it with virtual time.
//!
//! Order: effects are carried out in the order they stand. Commands of one connection run one after the
//! other, or as many at once as `client.concurrency` says: while [`Session::is_busy`], the driver holds further
//! commands back, except pongs that are waited for.

mod application;
mod connect;
mod effect;
mod history;
mod inquiry;
mod lifetime;
mod policy;
mod presence;
mod publish;
mod refresh;
mod server_side;
mod settings;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod unsubscribe;

pub use effect::{
    Activation, Answer, AuthError, Close, ConnectClaims, Delta, Departure, Effect, JoinError, JoinFlags,
    JoinPlan, Joined, Question, Recovery, Send, SubscribeClaims, Ticket, TokenSubscription,
};
pub use inquiry::{Inquiry, Unanswered, Verdict};
pub use policy::{Grant, Overrides, Policy, PublishDecision, SubscribeAsk, SubscribeDecision};
pub use settings::{PersonalChannel, Settings};
pub use subscriptions::{Subscription, Subscriptions};

use crate::proxy::Caller;
use crate::seams::Now;
use bytes::Bytes;
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode};
use lifetime::Timers;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// How a connection's transport behaves, as far as its session must know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transport {
    /// Only pushes flow; there are no commands after the connect request and no pongs.
    pub unidirectional: bool,
    /// Commands arrive by separate requests that any node may receive.
    pub emulation: bool,
    /// The transport pings by itself (WebSocket frames); the session sends no pings.
    pub native_ping: bool,
    /// An error of a unidirectional connect ends the session with its own code, because the transport can say it in
    /// another way than by a disconnect.
    pub keeps_errors: bool,
    /// Payloads of subscriptions with deltas are written as text, because messages are JSON.
    pub text_payloads: bool,
}

/// What the request that opened the connection says about its user.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// User from the trusted header `client.user_id_http_header`; empty when there is none.
    pub header_user: String,
    /// What the application may be told of the request; none when no proxy passes anything on.
    pub caller: Option<Arc<Caller>>,
}

/// What a session sees while it handles one input.
pub struct Context<'a> {
    /// The current moment.
    pub now: Now,
    /// Limits and switches in force.
    pub settings: &'a Settings,
    /// Namespaces and permissions in force.
    pub policy: &'a dyn Policy,
    /// A random number in `[0, 1)`, new for each input.
    pub chance: f64,
    /// How many connections a user has on this node.
    pub connections_of: &'a dyn Fn(&str) -> usize,
    /// Where effects go.
    pub effects: &'a mut VecDeque<Effect>,
}

impl Context<'_> {
    fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    fn reply(&mut self, id: u32, fill: impl FnOnce(&mut client::Reply)) {
        let mut reply = client::Reply { id, ..Default::default() };
        fill(&mut reply);
        self.emit(Effect::Send(Send::Reply(Box::new(reply))));
    }

    fn fail(&mut self, id: u32, code: ClientErrorCode) {
        self.fail_with(id, code.into());
    }

    fn fail_with(&mut self, id: u32, error: client::Error) {
        self.reply(id, |reply| reply.error = Some(Box::new(error)));
    }

    fn push(&mut self, channel: &str, fill: impl FnOnce(&mut client::Push)) {
        let mut push = client::Push { channel: channel.to_owned(), ..Default::default() };
        fill(&mut push);
        self.emit(Effect::Send(Send::Push(Box::new(push))));
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the connect command.
    New,
    /// The connect command is being decided.
    Connecting,
    /// Authenticated and registered; server-side subscriptions are being joined.
    Admitted,
    /// Authenticated.
    Ready,
    /// The connect command was answered with an error; nothing more is accepted.
    Refused,
    /// Closed; everything is ignored.
    Closed,
}

/// One connected client.
pub struct Session {
    id: Uuid,
    phase: Phase,
    transport: Transport,
    /// Commands that wait for answers.
    waiting: Vec<Waiting>,
    /// What happens beside commands and waits for answers.
    beside: Vec<(Ticket, Beside)>,
    /// An unsubscribe command that waits until the subscription it means is decided.
    unsubscribing: Option<Box<(u32, String)>>,
    /// Commands that may wait at the same time.
    concurrency: u16,
    next_ticket: u32,
    user: Arc<str>,
    info: Bytes,
    subscriptions: Subscriptions,
    timers: Timers,
    /// Seconds since 1970 at which the connection expires; zero means never.
    expire_at: i64,
    client_side_refresh: bool,
    cold: Option<Box<Cold>>,
}

/// What few connections have or need only once.
#[derive(Default)]
struct Cold {
    origin: Origin,
    /// Session identifier of unidirectional and emulated connections.
    session: Option<Uuid>,
    /// Meta information from the token, for proxies; never sent to clients.
    meta: Bytes,
}

/// A command whose answer is under way.
struct Waiting {
    ticket: Ticket,
    id: u32,
    step: Step,
}

/// What the answer under way is for.
enum Step {
    Connect(connect::Step),
    Subscribe(subscribe::Step),
    AskToPublish(Box<application::Draft>),
    Publish,
    Feed,
    Rpc,
    Presence,
    PresenceStats,
    History,
    Refresh,
    SubRefresh(Arc<str>),
}

/// What waits for an answer though no command does.
enum Beside {
    /// A subscription on the server's behalf.
    Join(server_side::PendingJoin),
    /// The application decides whether the connection stays.
    Refresh,
    /// The application decides whether the subscription stays.
    SubRefresh(Arc<str>),
}

impl Session {
    /// Makes the session of a connection that was just accepted.
    pub fn new(
        id: Uuid,
        session: Option<Uuid>,
        transport: Transport,
        origin: Origin,
        now: Now,
        settings: &Settings,
    ) -> Self {
        let known = !origin.header_user.is_empty() || origin.caller.is_some();
        let cold =
            (session.is_some() || known).then(|| Box::new(Cold { session, origin, ..Default::default() }));
        Self {
            id,
            phase: Phase::New,
            transport,
            waiting: Vec::new(),
            beside: Vec::new(),
            unsubscribing: None,
            concurrency: u16::try_from(settings.concurrency).unwrap_or(u16::MAX).max(1),
            next_ticket: 0,
            user: Arc::from(""),
            info: Bytes::new(),
            subscriptions: Subscriptions::default(),
            timers: Timers::stale(now.instant + settings.stale_close_delay),
            expire_at: 0,
            client_side_refresh: false,
            cold,
        }
    }

    /// Identifier of the client, as peers see it.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Identifier of the session, for unidirectional and emulated connections.
    pub fn session_id(&self) -> Option<Uuid> {
        self.cold.as_ref().and_then(|cold| cold.session)
    }

    /// Identifier of the session when commands name it to find their way here.
    pub fn emulated_session(&self) -> Option<Uuid> {
        self.session_id().filter(|_| self.transport.emulation)
    }

    /// User the connection authenticated as; empty before that and for anonymous users.
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// Whether the connect command succeeded and the connection is not closed.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether nothing has been asked for yet.
    pub fn is_new(&self) -> bool {
        self.phase == Phase::New
    }

    /// Whether so many commands wait for answers that the driver must hold further ones back.
    pub fn is_busy(&self) -> bool {
        let most = match self.phase {
            Phase::New | Phase::Connecting | Phase::Admitted => 1,
            Phase::Ready | Phase::Refused | Phase::Closed => usize::from(self.concurrency),
        };
        self.unsubscribing.is_some() || self.waiting.len() >= most
    }

    /// Whether any command waits for an answer.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a command is under way whose work counts though its peer may be gone: a call of the application or a
    /// publication it decides about.
    pub fn is_at_work(&self) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting.step, Step::Rpc | Step::AskToPublish(_)))
    }

    /// Whether a ping is out. Its pong may be handled while the session is busy, so that a peer counts as alive
    /// however long its commands take.
    pub fn awaits_pong(&self) -> bool {
        self.phase == Phase::Ready && self.timers.awaits_pong()
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Its subscriptions.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// When [`Session::on_timer`] must be called next. Ask again after each input.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Handles one command. Must not be called while [`Session::is_busy`], except with a pong that is waited for.
    pub fn on_command(&mut self, command: client::Command, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Closed => return,
            Phase::Ready | Phase::New => {}
            Phase::Connecting | Phase::Admitted | Phase::Refused => {
                return self.close(DisconnectCode::BadRequest, cx);
            }
        }
        let id = command.id;
        if self.phase == Phase::New && command.connect.is_none() {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        if id == 0 && command.send.is_none() {
            let took = if self.phase == Phase::New { None } else { self.timers.take_pong(cx) };
            return match took {
                Some(took) => cx.emit(Effect::PongReceived(took)),
                None => self.close(DisconnectCode::BadRequest, cx),
            };
        }
        // The first request that is present counts; upstream ignores the others too.
        if let Some(request) = command.connect {
            self.on_connect(id, *request, cx);
        } else if let Some(request) = command.subscribe {
            self.on_subscribe(id, *request, cx);
        } else if let Some(request) = command.unsubscribe {
            self.on_unsubscribe(id, &request.channel, cx);
        } else if let Some(request) = command.publish {
            self.on_publish(id, *request, cx);
        } else if let Some(request) = command.presence {
            self.on_presence(id, &request.channel, cx);
        } else if let Some(request) = command.presence_stats {
            self.on_presence_stats(id, &request.channel, cx);
        } else if let Some(request) = command.history {
            self.on_history(id, *request, cx);
        } else if let Some(request) = command.rpc {
            self.on_rpc(id, *request, cx);
        } else if command.send.is_some() {
            self.close(DisconnectCode::NotAvailable, cx);
        } else if let Some(request) = command.refresh {
            self.on_refresh(id, request.token, cx);
        } else if let Some(request) = command.sub_refresh {
            self.on_sub_refresh(id, *request, cx);
        } else {
            self.close(DisconnectCode::BadRequest, cx);
        }
    }

    /// The peer sent something that is no command, or an empty frame.
    pub fn on_malformed(&mut self, cx: &mut Context<'_>) {
        self.close(DisconnectCode::BadRequest, cx);
    }

    /// The answer to a question arrived.
    pub fn on_answer(&mut self, ticket: Ticket, answer: Answer, cx: &mut Context<'_>) {
        if let Some(at) = self.beside.iter().position(|(pending, _)| *pending == ticket) {
            let (_, beside) = self.beside.swap_remove(at);
            return match beside {
                Beside::Join(pending) => self.on_server_join(pending, answer, cx),
                Beside::Refresh => self.on_refresh_verdict(answer, cx),
                Beside::SubRefresh(channel) => self.on_sub_refresh_verdict(&channel, answer, cx),
            };
        }
        let Some(at) = self.waiting.iter().position(|waiting| waiting.ticket == ticket) else {
            return abandon(answer, cx);
        };
        let waiting = self.waiting.swap_remove(at);
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        self.on_command_answer(waiting.id, waiting.step, answer, cx);
        self.unsubscribe_when_decided(cx);
    }

    fn on_command_answer(&mut self, id: u32, step: Step, answer: Answer, cx: &mut Context<'_>) {
        if self.phase == Phase::Closed {
            return abandon(answer, cx);
        }
        match (step, answer) {
            (Step::Connect(step), answer) => self.on_connect_answer(id, step, answer, cx),
            (Step::Subscribe(step), answer) => self.on_subscribe_answer(id, step, answer, cx),
            (Step::AskToPublish(draft), Answer::Application(verdict)) => {
                self.on_publish_verdict(id, *draft, verdict, cx)
            }
            (Step::Publish, Answer::Published(result)) => self.on_published(id, result, cx),
            (Step::Feed, Answer::Fed(result)) => self.on_fed(id, result, cx),
            (Step::Rpc, Answer::Application(verdict)) => self.on_rpc_verdict(id, verdict, cx),
            (Step::Presence, Answer::Presence(result)) => self.on_presence_answer(id, result, cx),
            (Step::PresenceStats, Answer::PresenceStats(result)) => {
                self.on_presence_stats_answer(id, result, cx)
            }
            (Step::History, Answer::History(result)) => self.on_history_answer(id, result, cx),
            (Step::Refresh, Answer::Connect(result)) => self.on_refresh_answer(id, result, cx),
            (Step::SubRefresh(channel), Answer::Subscribe(result)) => {
                self.on_sub_refresh_answer(id, &channel, result, cx)
            }
            // A driver that answers another question than was asked has a bug; the connection starts over.
            _ => self.close(DisconnectCode::ServerError, cx),
        }
    }

    /// Ends the session with a code the peer sees. Departures follow as effects; closing twice does nothing.
    pub fn close(&mut self, code: DisconnectCode, cx: &mut Context<'_>) {
        self.close_with(Close::from(code), cx);
    }

    /// Ends the session with any code and reason.
    pub fn close_with(&mut self, close: Close, cx: &mut Context<'_>) {
        if self.phase == Phase::Closed {
            return;
        }
        let registered = matches!(self.phase, Phase::Ready | Phase::Admitted);
        self.phase = Phase::Closed;
        self.timers.clear();
        self.waiting = Vec::new();
        self.beside = Vec::new();
        self.unsubscribing = None;
        for subscription in self.subscriptions.drain() {
            let departure = self.departure(&subscription);
            cx.emit(Effect::Leave(departure));
        }
        if registered {
            cx.emit(Effect::Forget);
        }
        cx.emit(Effect::Close(close));
    }

    fn ask(&mut self, id: u32, step: Step, question: Question, cx: &mut Context<'_>) {
        let ticket = self.wait(id, step);
        cx.emit(Effect::Ask(ticket, question));
    }

    /// Has a command wait for the answer to a ticket.
    fn wait(&mut self, id: u32, step: Step) -> Ticket {
        let ticket = self.ticket();
        // Most connections never have more than one command under way.
        self.waiting.reserve_exact(1);
        self.waiting.push(Waiting { ticket, id, step });
        ticket
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        Ticket(self.next_ticket)
    }

    /// Who this client is, without channel information.
    pub fn identity(&self) -> Arc<crate::broker::ClientInfo> {
        self.client_info(&Bytes::new())
    }

    /// Who this client is, for presence, join, leave and publications.
    fn client_info(&self, channel_info: &Bytes) -> Arc<crate::broker::ClientInfo> {
        Arc::new(crate::broker::ClientInfo {
            user: self.user.to_string(),
            client: self.id.to_string(),
            conn_info: self.info.clone(),
            chan_info: channel_info.clone(),
        })
    }
}

/// Undoes what an answer brought when nobody wants it any more.
fn abandon(answer: Answer, cx: &mut Context<'_>) {
    if let Answer::Joined(joined) = answer {
        for (departure, result) in joined {
            if result.is_ok() {
                cx.emit(Effect::Leave(departure));
            }
        }
    }
}
