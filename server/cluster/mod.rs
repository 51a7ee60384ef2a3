//! What nodes tell each other: who is there, what all of them shall do, what one of them wants to know.
//!
//! Owns membership, surveys and the control messages on the wire. Knows no connection, no channel option and
//! no engine: a [`Controller`] carries bytes, a [`Handler`] (the node) does what messages say.
//!
//! Source: `proto/control/control.proto`; cadence and answer codes are those of Centrifugo v6.9.1, so that nodes
//! of both kinds live in one cluster.

#[cfg(test)]
mod contract_tests;
mod members;
mod nats;
mod outgoing;
mod redis;
mod survey;
#[cfg(test)]
mod tests;

pub use members::Member;
pub use nats::NatsController;
pub use outgoing::QueueFull;
pub use redis::RedisController;
pub use survey::{Answers, Reply, ReplyCode, SurveyError};

use crate::broker::MaybeReady;
use crate::observability::{BrokerMessage, Metrics};
use crate::seams::{Clock, random_id};
use bytes::Bytes;
use gyre_proto::control;
use members::Members;
use outgoing::Outgoing;
use parking_lot::Mutex;
use prost::Message;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use survey::Surveys;

/// How often a node says that it is there.
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(3);
/// How long a node may be silent before the others forget it.
pub const SILENCE: Duration = Duration::from_secs(7);
/// How long a survey waits for nodes that do not answer.
pub const SURVEY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// All nodes; the sender hears it too and ignores it.
    All,
    /// The node with this identifier.
    Node(Arc<str>),
}

/// Why a message did not leave.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// What carries messages is not reachable: a retry may help.
    #[error("controller is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Carries control messages between nodes, at most once and in the order they were given.
///
/// Whoever makes one gives it a [`Listener`] for what is sent to all and to its own node.
pub trait Controller: Send + Sync + 'static {
    /// Sends one message.
    ///
    /// # Errors
    /// [`ControllerError::Unavailable`].
    fn publish(&self, to: To, message: Bytes) -> MaybeReady<Result<(), ControllerError>>;
}

/// Takes what a controller receives.
///
/// Blocking: returns at once.
pub trait Listener: Send + Sync + 'static {
    /// One message arrived, for all nodes or for this one.
    fn heard(&self, message: &[u8]);
}

/// What other nodes may ask of this one, fulfilled by the node.
///
/// Blocking: every method returns at once; effects happen later.
pub trait Handler: Send + Sync + 'static {
    /// What the others are told about this node. Its `uid` is filled in by the cluster.
    fn describe(&self) -> control::Node;
    /// Subscribes matching connections of this node.
    fn subscribe(&self, request: control::Subscribe);
    /// Unsubscribes matching connections of this node.
    fn unsubscribe(&self, request: control::Unsubscribe);
    /// Ends matching connections of this node.
    fn disconnect(&self, request: control::Disconnect);
    /// Refreshes matching connections of this node.
    fn refresh(&self, request: control::Refresh);
    /// Answers a survey. An operation that is not known is answered with [`ReplyCode::UNKNOWN`]: silence would
    /// hold up the node that asks.
    fn answer(&self, operation: &str, data: Bytes) -> MaybeReady<Reply>;
}

/// This node among the others.
pub struct Cluster {
    uid: Arc<str>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Set once, because the node needs the cluster and the cluster needs the node.
    handler: OnceLock<Weak<dyn Handler>>,
    /// None for a node that is alone, which then tells nobody anything.
    outgoing: Option<Outgoing>,
    members: Mutex<Members>,
    surveys: Surveys,
}

impl Cluster {
    /// Makes the cluster of a node that is alone.
    pub fn alone(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self::new(random_id().to_string().into(), clock, metrics, None))
    }

    /// Makes a cluster whose messages leave through a controller; see [`Cluster::run`].
    pub fn joined(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self::new(random_id().to_string().into(), clock, metrics, Some(Outgoing::default())))
    }

    fn new(uid: Arc<str>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>, outgoing: Option<Outgoing>) -> Self {
        let members = Mutex::new(Members::new(uid.clone()));
        Self { uid, clock, metrics, handler: OnceLock::new(), outgoing, members, surveys: Surveys::default() }
    }

    /// Gives the cluster its node. Only the first call counts.
    pub fn set_handler(&self, handler: Weak<dyn Handler>) {
        let _ = self.handler.set(handler);
    }

    /// Identifier of this node, new at each start.
    pub fn uid(&self) -> &Arc<str> {
        &self.uid
    }

    /// The other nodes, by identifier.
    pub fn others(&self) -> Vec<Member> {
        self.members.lock().others()
    }

    /// How many nodes there are, this one included.
    pub fn size(&self) -> usize {
        self.members.lock().others_len() + 1
    }

    /// Whether a node with this identifier is there, this one included.
    pub fn knows(&self, uid: &str) -> bool {
        *self.uid == *uid || self.members.lock().knows(uid)
    }

    /// Tells all other nodes to do something. What this node does itself is not this method's business.
    ///
    /// Order: messages leave in the order of the calls. They are not acknowledged.
    ///
    /// # Errors
    /// [`QueueFull`] when the controller does not keep up; nothing is told then.
    pub fn tell(&self, fill: impl FnOnce(&mut control::Command)) -> Result<(), QueueFull> {
        self.send(To::All, fill)
    }

    fn send(&self, to: To, fill: impl FnOnce(&mut control::Command)) -> Result<(), QueueFull> {
        let Some(outgoing) = &self.outgoing else {
            // There is nobody to tell, but it would have been told.
            self.metrics.sent(BrokerMessage::Control, 1);
            return Ok(());
        };
        let mut command = control::Command { uid: self.uid.to_string(), ..Default::default() };
        fill(&mut command);
        outgoing.push(to, command.encode_to_vec().into())?;
        self.metrics.sent(BrokerMessage::Control, 1);
        Ok(())
    }

    /// Asks this node and all others, or one of them, and collects the answers.
    ///
    /// A node that leaves or falls silent meanwhile is no longer waited for, and has no answer then.
    ///
    /// # Errors
    /// See [`SurveyError`]; with `to`, an unknown node is [`SurveyError::UnknownNode`] at once.
    pub fn survey(
        &self,
        operation: &str,
        data: Bytes,
        to: Option<&str>,
    ) -> MaybeReady<Result<Answers, SurveyError>> {
        let own = to.is_none_or(|to| *to == *self.uid).then(|| self.answer(operation, data.clone()));
        let asked: Vec<String> = match to {
            Some(to) if *to == *self.uid => Vec::new(),
            Some(to) if self.knows(to) => vec![to.to_owned()],
            Some(to) => return MaybeReady::ready(Err(SurveyError::UnknownNode(to.to_owned()))),
            None => self.others().into_iter().map(|member| member.info.uid).collect(),
        };
        let uid = self.uid.to_string();
        let own = match own {
            Some(own) if asked.is_empty() => return own.map(|reply| Ok(Answers::from([(uid, reply)]))),
            own => own,
        };
        let waiting = self.surveys.ask(asked);
        let request = control::SurveyRequest { id: waiting.id(), op: operation.to_owned(), data };
        let target = to.map_or(To::All, |to| To::Node(to.into()));
        let sent = self.send(target, |command| command.survey_request = Some(request.into()));
        MaybeReady::later(async move {
            sent?;
            let mut answers = waiting.answers(SURVEY_TIMEOUT).await?;
            if let Some(own) = own {
                answers.insert(uid, own.await);
            }
            Ok(answers)
        })
    }

    fn answer(&self, operation: &str, data: Bytes) -> MaybeReady<Reply> {
        match self.handler.get().and_then(Weak::upgrade) {
            Some(handler) => handler.answer(operation, data),
            None => MaybeReady::ready(Reply::code(ReplyCode::INTERNAL)),
        }
    }

    /// Keeps this node in the cluster: sends what there is to send, says every [`ANNOUNCE_INTERVAL`] that this
    /// node is there, forgets nodes that are silent. Runs until it is dropped; call [`Cluster::leave`] then.
    ///
    /// A message the controller cannot send is logged and lost, as all of them are sent at most once.
    pub async fn run(&self, controller: Arc<dyn Controller>) {
        let Some(outgoing) = &self.outgoing else { return };
        let announce = async {
            let mut interval = tokio::time::interval(ANNOUNCE_INTERVAL);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                self.announce(To::All);
                self.forget_silent();
            }
        };
        tokio::join!(outgoing.run(controller), announce);
    }

    /// Tells the others that this node is gone, so that they need not notice by themselves.
    pub async fn leave(&self, controller: &dyn Controller) {
        let command = control::Command {
            uid: self.uid.to_string(),
            shutdown: Some(Box::default()),
            ..Default::default()
        };
        if let Err(error) = controller.publish(To::All, command.encode_to_vec().into()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "other nodes were not told of the end");
        }
    }

    fn announce(&self, to: To) {
        let Some(handler) = self.handler.get().and_then(Weak::upgrade) else { return };
        let node = control::Node { uid: self.uid.to_string(), ..handler.describe() };
        // A full queue was already told by whoever filled it, and the next announcement comes soon.
        let _ = self.send(to, |command| command.node = Some(node.into()));
    }

    fn forget_silent(&self) {
        for uid in self.members.lock().expire(self.clock.now().instant) {
            tracing::info!(node = uid, "node is silent and is taken as gone");
            self.surveys.gone(&uid);
        }
    }

    fn on_node(&self, node: control::Node) {
        let uid = node.uid.clone();
        let name = node.name.clone();
        if self.members.lock().heard(node, self.clock.now().instant) {
            tracing::info!(node = uid, name, "node joined");
            self.announce(To::Node(uid.into()));
        }
    }

    fn on_shutdown(&self, uid: &str) {
        if self.members.lock().remove(uid) {
            tracing::info!(node = uid, "node left");
        }
        self.surveys.gone(uid);
    }

    fn on_survey(self: &Arc<Self>, asker: String, request: control::SurveyRequest) {
        let control::SurveyRequest { id, op, data } = request;
        match self.answer(&op, data) {
            MaybeReady::Ready(reply) => self.respond(asker, id, reply),
            MaybeReady::Later(reply) => {
                let cluster = self.clone();
                tokio::spawn(async move { cluster.respond(asker, id, Some(reply.await)) });
            }
        }
    }

    fn respond(&self, asker: String, id: u64, reply: Option<Reply>) {
        let reply = reply.unwrap_or_else(|| Reply::code(ReplyCode::INTERNAL));
        let response = control::SurveyResponse { id, code: reply.code.0, data: reply.data };
        let sent =
            self.send(To::Node(asker.into()), |command| command.survey_response = Some(response.into()));
        if let Err(error) = sent {
            tracing::warn!(error = &error as &dyn std::error::Error, "survey was not answered");
        }
    }
}

impl Listener for Arc<Cluster> {
    fn heard(&self, message: &[u8]) {
        self.metrics.received(BrokerMessage::Control, 1);
        let command = match control::Command::decode(message) {
            Ok(command) => command,
            Err(error) => return tracing::warn!(%error, "control message cannot be read"),
        };
        if *command.uid == *self.uid {
            return;
        }
        if let Some(node) = command.node {
            return self.on_node(*node);
        }
        if command.shutdown.is_some() {
            return self.on_shutdown(&command.uid);
        }
        if let Some(request) = command.survey_request {
            return self.on_survey(command.uid, *request);
        }
        if let Some(response) = command.survey_response {
            let reply = Reply { code: ReplyCode(response.code), data: response.data };
            return self.surveys.answered(response.id, command.uid, reply);
        }
        let Some(handler) = self.handler.get().and_then(Weak::upgrade) else { return };
        if let Some(request) = command.subscribe {
            handler.subscribe(*request);
        } else if let Some(request) = command.unsubscribe {
            handler.unsubscribe(*request);
        } else if let Some(request) = command.disconnect {
            handler.disconnect(*request);
        } else if let Some(request) = command.refresh {
            handler.refresh(*request);
        }
        // Whatever else a newer node says is none of our business; notifications have no use here.
    }
}
