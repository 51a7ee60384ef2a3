//! What a session asks the application, and what the answers come to.

use super::{Close, Overrides};
use gyre_proto::client;
use gyre_proto::proxy as wire;
use std::sync::Arc;

/// Something only the application knows. Texts name the proxy that is asked.
///
/// The driver adds how the client came ([`Inquiry::come_by`]), which the session does not know.
#[derive(Clone, Debug)]
pub enum Inquiry {
    /// Who connects?
    Connect(wire::ConnectRequest),
    /// May a connection whose time has come stay?
    Refresh(wire::RefreshRequest),
    /// What does this method return?
    Rpc(Arc<str>, wire::RpcRequest),
    /// May this client subscribe?
    Subscribe(Arc<str>, wire::SubscribeRequest),
    /// May this client subscribe, and what are its publications? They flow once the subscription is activated.
    Feed {
        /// Proxy.
        proxy: Arc<str>,
        /// The client publishes into the same stream.
        bidirectional: bool,
        /// Subscription.
        request: wire::SubscribeRequest,
    },
    /// May this client publish?
    Publish(Arc<str>, wire::PublishRequest),
    /// May a subscription whose time has come stay?
    SubRefresh(Arc<str>, wire::SubRefreshRequest),
}

impl Inquiry {
    /// Says over which transport the client came and in which encoding it speaks.
    pub fn come_by(&mut self, transport: &str, encoding: &str) {
        let (by, speaks) = match self {
            Self::Connect(request) => (&mut request.transport, &mut request.protocol),
            Self::Refresh(request) => (&mut request.transport, &mut request.protocol),
            Self::Rpc(_, request) => (&mut request.transport, &mut request.protocol),
            Self::Subscribe(_, request) | Self::Feed { request, .. } => {
                (&mut request.transport, &mut request.protocol)
            }
            Self::Publish(_, request) => (&mut request.transport, &mut request.protocol),
            Self::SubRefresh(_, request) => (&mut request.transport, &mut request.protocol),
        };
        transport.clone_into(by);
        encoding.clone_into(speaks);
    }
}

/// What the application said to an [`Inquiry`].
#[derive(Clone, Debug)]
pub enum Verdict {
    /// To [`Inquiry::Connect`].
    Connect(wire::ConnectResponse),
    /// To [`Inquiry::Refresh`].
    Refresh(wire::RefreshResponse),
    /// To [`Inquiry::Rpc`].
    Rpc(wire::RpcResponse),
    /// To [`Inquiry::Subscribe`] and [`Inquiry::Feed`].
    Subscribe(wire::SubscribeResponse),
    /// To [`Inquiry::Publish`].
    Publish(wire::PublishResponse),
    /// To [`Inquiry::SubRefresh`].
    SubRefresh(wire::SubRefreshResponse),
}

/// The application gave no answer; why is logged where it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// What an answer comes to: a disconnect counts before an error, an error before a result.
#[derive(Debug)]
pub(super) enum Ruling<T> {
    /// Allowed.
    Granted(T),
    /// The command gets this error.
    Refused(client::Error),
    /// The connection ends.
    Ended(Close),
}

/// Reads the three fields every answer has. None is granted too, without a word.
pub(super) fn rule<T>(
    disconnect: Option<wire::Disconnect>,
    error: Option<wire::Error>,
    result: Option<T>,
) -> Ruling<Option<T>> {
    match (disconnect, error) {
        (Some(wire::Disconnect { code, reason }), _) => Ruling::Ended(Close { code, reason: reason.into() }),
        (None, Some(wire::Error { code, message, temporary })) => {
            Ruling::Refused(client::Error { code, message, temporary })
        }
        (None, None) => Ruling::Granted(result),
    }
}

impl From<wire::SubscribeOptionOverride> for Overrides {
    fn from(changed: wire::SubscribeOptionOverride) -> Self {
        let value = |option: Option<wire::BoolValue>| option.map(|option| option.value);
        Self {
            presence: value(changed.presence),
            join_leave: value(changed.join_leave),
            push_join_leave: value(changed.force_push_join_leave),
            recovery: value(changed.force_recovery),
            positioning: value(changed.force_positioning),
        }
    }
}
