//! From what went wrong in a node to what the caller of the server API reads.

use crate::broker::BrokerError;
use crate::node::NodeError;
use gyre_proto::InvalidBase64;
use gyre_proto::codes::ApiErrorCode;

/// Why a command was not done: the code of the answer, and the reason for the log.
#[derive(Debug, thiserror::Error)]
#[error("code {}", *.code as i32)]
pub struct Refusal {
    /// Code of the answer.
    pub code: ApiErrorCode,
    /// What lies behind it, when there is more to say than the code does.
    #[source]
    pub reason: Option<Reason>,
}

/// What lies behind a refusal.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// A verb of the node failed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A payload is not base64.
    #[error(transparent)]
    Base64(#[from] InvalidBase64),
    /// A field is missing or has a value it may not have.
    #[error("{0}")]
    Field(&'static str),
}

impl Refusal {
    /// Refuses a request whose fields make no sense.
    pub fn bad_request(reason: &'static str) -> Self {
        Self { code: ApiErrorCode::BadRequest, reason: Some(Reason::Field(reason)) }
    }

    /// Whether an engine failed, so that somebody should look; otherwise the request cannot be served as it is.
    pub fn is_fault(&self) -> bool {
        match &self.reason {
            Some(Reason::Node(NodeError::Broker(BrokerError::Unavailable(_)) | NodeError::Presence(_))) => {
                true
            }
            Some(_) => false,
            None => self.code == ApiErrorCode::Internal,
        }
    }

    /// Refuses with nothing more to say.
    pub fn code(code: ApiErrorCode) -> Self {
        Self { code, reason: None }
    }
}

impl From<InvalidBase64> for Refusal {
    fn from(error: InvalidBase64) -> Self {
        Self { code: ApiErrorCode::BadRequest, reason: Some(error.into()) }
    }
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        let code = match &error {
            NodeError::UnknownChannel(_) => ApiErrorCode::UnknownChannel,
            NodeError::BadRequest(_) => ApiErrorCode::BadRequest,
            NodeError::NotAvailable(_) => ApiErrorCode::NotAvailable,
            NodeError::Broker(BrokerError::Unrecoverable { .. }) => ApiErrorCode::UnrecoverablePosition,
            NodeError::Broker(BrokerError::ReverseFromZero | BrokerError::Unavailable(_))
            | NodeError::Presence(_)
            | NodeError::BadPattern(_)
            | NodeError::Survey(_)
            | NodeError::NoAnswer { .. }
            | NodeError::NotTold(_)
            | NodeError::AlreadyExpired(_) => ApiErrorCode::Internal,
        };
        Self { code, reason: Some(error.into()) }
    }
}
