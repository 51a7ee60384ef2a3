//! Commands of connections that only receive, which come by separate requests to any node.

use super::Node;
use crate::broker::MaybeReady;
use crate::cluster::{Reply, ReplyCode, SURVEY_TIMEOUT, SurveyError};
use bytes::Bytes;
use gyre_proto::client::EmulationRequest;
use prost::Message;

/// The survey that carries commands to the node that holds their connection: asked with an `EmulationRequest`.
pub(super) const EMULATION: &str = "centrifuge_emulation";

/// What such a survey is answered with besides [`ReplyCode::OK`].
const MALFORMED: ReplyCode = ReplyCode(1);
const NO_SESSION: ReplyCode = ReplyCode(2);

/// Why commands were not handled. None of these holds the session, which is a secret.
#[derive(Debug, thiserror::Error)]
pub enum EmulationError {
    /// No connection with emulation has this session.
    #[error("no connection takes commands for this session")]
    NoSession,
    /// The commands are not encoded as their connection speaks.
    #[error("commands are not encoded as their connection speaks")]
    Malformed,
    /// They were handed over and not handled in time.
    #[error("commands were not handled in time")]
    TimedOut,
    /// The node that holds the connection was not reached: [`SurveyError::UnknownNode`] when there is none.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The node that holds the connection answered that it cannot.
    #[error("node answered commands with code {0}")]
    Refused(u32),
}

impl Node {
    /// Has commands handled by the node that holds their connection, and waits until they were. In `data`, commands
    /// in JSON are one JSON string.
    ///
    /// Blocking: at most [`SURVEY_TIMEOUT`]; dropping the answer does not undo anything.
    ///
    /// # Errors
    /// See [`EmulationError`].
    ///
    /// Source: `proto/client/client.proto` `EmulationRequest`.
    pub fn emulate(&self, request: EmulationRequest) -> MaybeReady<Result<(), EmulationError>> {
        if request.node != self.uid() {
            return self.emulate_there(&request);
        }
        self.emulate_here(request)
    }

    fn emulate_here(&self, request: EmulationRequest) -> MaybeReady<Result<(), EmulationError>> {
        let Some(connections) = self.connections.get() else {
            return MaybeReady::ready(Err(EmulationError::NoSession));
        };
        match connections.emulate(&request.session, request.data) {
            MaybeReady::Ready(result) => MaybeReady::Ready(result),
            handled => MaybeReady::later(async move {
                let handled = tokio::time::timeout(SURVEY_TIMEOUT, handled).await;
                handled.unwrap_or(Err(EmulationError::TimedOut))
            }),
        }
    }

    fn emulate_there(&self, request: &EmulationRequest) -> MaybeReady<Result<(), EmulationError>> {
        let node = request.node.clone();
        let answers = self.parts.cluster.survey(EMULATION, request.encode_to_vec().into(), Some(&node));
        answers.map(move |answers| match answers?.into_values().next().map(|reply| reply.code) {
            Some(ReplyCode::OK) => Ok(()),
            Some(MALFORMED) => Err(EmulationError::Malformed),
            Some(NO_SESSION) => Err(EmulationError::NoSession),
            Some(code) => Err(EmulationError::Refused(code.0)),
            // It left while it was asked.
            None => Err(SurveyError::UnknownNode(node).into()),
        })
    }

    /// Handles commands another node received.
    pub(super) fn answer_emulation(&self, data: Bytes) -> MaybeReady<Reply> {
        let Ok(request) = EmulationRequest::decode(data) else {
            return MaybeReady::ready(Reply::code(MALFORMED));
        };
        self.emulate_here(request).map(|handled| {
            Reply::code(match handled {
                Ok(()) => ReplyCode::OK,
                Err(EmulationError::NoSession) => NO_SESSION,
                Err(_) => MALFORMED,
            })
        })
    }
}
