//! What a session wants done, what it asks, and the answers it understands.

use super::{Inquiry, Unanswered, Verdict};
use crate::broker::{
    BrokerError, ClientInfo, HistoryFilter, HistoryPage, Publication, PublishOptions, StreamPosition,
};
use crate::channel::filter::Filter;
use crate::presence::{PresenceError, PresenceStats};
use crate::proxy::Caller;
use bytes::Bytes;
use gyre_proto::client;
use gyre_proto::codes::DisconnectCode;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Names a question, so that its answer finds the command it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub u32);

/// Why and how a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Code from the disconnect table, or an application's own between 4000 and 4999.
    pub code: u32,
    /// Text that goes with it.
    pub reason: Cow<'static, str>,
}

impl From<DisconnectCode> for Close {
    fn from(code: DisconnectCode) -> Self {
        Self { code: code as i32 as u32, reason: Cow::Borrowed(code.reason()) }
    }
}

/// A message for the peer.
#[derive(Debug)]
pub enum Send {
    /// The answer to a command.
    Reply(Box<client::Reply>),
    /// Something the peer did not ask for.
    Push(Box<client::Push>),
    /// A ping; its form depends on encoding and direction.
    Ping,
}

/// One thing the driver carries out.
#[derive(Debug)]
pub enum Effect {
    /// Queue a message.
    Send(Send),
    /// Find the answer to a question and hand it to [`super::Session::on_answer`]. Answers to commands that are
    /// under way when the session ends are not wanted any more.
    Ask(Ticket, Question),
    /// Hold publications of these channels for this connection, then join them and answer [`Answer::Joined`].
    Join(Ticket, Vec<JoinPlan>),
    /// Let publications of a joined channel flow, those of its feed too.
    Activate(Activation),
    /// Drop the stream of the application that was to feed a channel which is not joined after all.
    DropFeed(Arc<str>),
    /// Push what a subscription is, with the position it has come to.
    PushSubscription(Arc<str>, Box<client::Subscribe>),
    /// Tell others that this client joined.
    AnnounceJoin(Arc<str>, Arc<ClientInfo>),
    /// Stop publications of a channel and its feed, remove presence, tell others.
    Leave(Departure),
    /// Renew the presence entry of this client.
    RenewPresence(Arc<str>, Arc<ClientInfo>),
    /// Compare the position of a subscription with the stream's; when behind, call
    /// [`super::Session::on_insufficient_state`].
    CheckPosition(Arc<str>, Duration),
    /// Register the connection under its user.
    Register,
    /// Remove the connection from its user.
    Forget,
    /// The peer answered a ping, so long after it was sent.
    PongReceived(Duration),
    /// The connect command was answered with an error: accept nothing more and let the peer close.
    Refuse,
    /// End the connection.
    Close(Close),
}

/// Something only others know.
#[derive(Debug)]
pub enum Question {
    /// Is this connection token good, and what does it say?
    VerifyConnect(String),
    /// Is this subscription token good, and what does it say?
    VerifySubscribe(String),
    /// What does the application say?
    Application(Arc<Caller>, Box<Inquiry>),
    /// Hand this to the application, into the stream that feeds the channel.
    Feed(Arc<str>, Bytes),
    /// Publish.
    Publish(Arc<str>, Bytes, Box<PublishOptions>),
    /// Who is in this channel?
    Presence(Arc<str>),
    /// How many are in this channel?
    PresenceStats(Arc<str>),
    /// Read a stream.
    History(Arc<str>, HistoryFilter, Duration),
}

/// Joining one channel.
#[derive(Clone, Debug)]
pub struct JoinPlan {
    /// Channel.
    pub channel: Arc<str>,
    /// How publications are delivered.
    pub flags: JoinFlags,
    /// Only publications that match are delivered.
    pub filter: Option<Arc<Filter>>,
    /// Add this client to presence.
    pub presence: Option<Arc<ClientInfo>>,
    /// How long offset and epoch of the stream outlive their last touch.
    pub history_meta_ttl: Duration,
    /// Proxy to ask when [`Recovery::Cache`] finds nothing, before looking once more.
    pub cache_empty_proxy: Option<Arc<str>>,
    /// What to bring back from the stream.
    pub recovery: Recovery,
    /// Before joining, if the channel has presence: end other connections of the user.
    pub single_connection: Option<Close>,
    /// What leaving will have to undo.
    pub departure: Departure,
}

/// How one subscription is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinFlags {
    /// Publications must follow each other without a gap.
    pub positioned: bool,
    /// Deltas instead of full payloads where possible.
    pub delta: bool,
    /// Joins and leaves are delivered.
    pub join_leave: bool,
}

/// What to bring back from a stream when joining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing: the channel is not positioned.
    None,
    /// The position only.
    Position,
    /// Everything after this position, at most this many publications.
    Stream(StreamPosition, u64),
    /// The newest publication, unless the client has it.
    Cache(StreamPosition),
}

/// What joining one channel brought.
#[derive(Debug, Default)]
pub struct Joined {
    /// Top of the stream; zero when not positioned.
    pub position: StreamPosition,
    /// Recovered publications, oldest first, filtered.
    pub publications: Vec<Arc<Publication>>,
    /// Recovery was asked for.
    pub attempted: bool,
    /// Nothing is missing between the client's position and the top.
    pub recovered: bool,
}

/// Why joining failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Presence failed.
    #[error(transparent)]
    Presence(#[from] PresenceError),
    /// The application, which was to fill the cache, gave no answer.
    #[error("application was not told that the cache is empty")]
    Unanswered,
}

/// Where delivery starts.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Channel.
    pub channel: Arc<str>,
    /// Newest publication the client has or will get with the reply.
    pub position: StreamPosition,
    /// Whether the client already has a full payload to apply a delta to.
    pub delta: Delta,
}

/// What the next publication looks like to a subscriber with deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Sent in full: the client has nothing to apply a delta to.
    NeedsFull,
    /// May be a delta.
    Ready,
}

/// Leaving one channel.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Channel.
    pub channel: Arc<str>,
    /// Who leaves, when presence has to be removed or a leave told.
    pub info: Option<Arc<ClientInfo>>,
    /// Remove from presence.
    pub presence: bool,
    /// Tell others.
    pub announce: bool,
}

/// What a good connection token, or the application, says about a connection.
#[derive(Clone, Debug, Default)]
pub struct ConnectClaims {
    /// User; empty for anonymous.
    pub user: String,
    /// Seconds since 1970; zero means never.
    pub expire_at: i64,
    /// Connection information.
    pub info: Bytes,
    /// Kept on the server.
    pub meta: Bytes,
    /// Data for the connect result.
    pub data: Bytes,
    /// Server-side subscriptions.
    pub subscriptions: BTreeMap<String, TokenSubscription>,
}

/// One server-side subscription from a token or the application.
#[derive(Clone, Debug, Default)]
pub struct TokenSubscription {
    /// Channel information.
    pub info: Bytes,
    /// Data for the subscribe result.
    pub data: Bytes,
    /// Options that differ from the namespace.
    pub overrides: super::Overrides,
    /// The newest publication comes without asking, in cache mode.
    pub cache_recover: bool,
}

/// What a good subscription token says.
#[derive(Clone, Debug, Default)]
pub struct SubscribeClaims {
    /// User.
    pub user: String,
    /// Channel.
    pub channel: String,
    /// Connection the token is bound to; empty means any.
    pub client: String,
    /// Seconds since 1970; zero means never.
    pub expire_at: i64,
    /// Channel information.
    pub info: Bytes,
    /// Data for the subscribe result.
    pub data: Bytes,
    /// Options that differ from the namespace.
    pub overrides: super::Overrides,
}

/// Why a token was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// It expired or is not valid yet.
    Expired,
    /// It is not one of ours.
    Invalid,
    /// It could not be checked.
    Internal,
}

/// The answer to a question.
#[derive(Debug)]
pub enum Answer {
    /// To [`Question::VerifyConnect`].
    Connect(Result<Box<ConnectClaims>, AuthError>),
    /// To [`Question::VerifySubscribe`].
    Subscribe(Result<Box<SubscribeClaims>, AuthError>),
    /// To [`Effect::Join`], in the order of the plans.
    Joined(Vec<(Departure, Result<Joined, JoinError>)>),
    /// To [`Question::Application`].
    Application(Result<Box<Verdict>, Unanswered>),
    /// To [`Question::Feed`].
    Fed(Result<(), Unanswered>),
    /// To [`Question::Publish`].
    Published(Result<(), BrokerError>),
    /// To [`Question::Presence`].
    Presence(Result<BTreeMap<String, Arc<ClientInfo>>, PresenceError>),
    /// To [`Question::PresenceStats`].
    PresenceStats(Result<PresenceStats, PresenceError>),
    /// To [`Question::History`].
    History(Result<HistoryPage, BrokerError>),
}
