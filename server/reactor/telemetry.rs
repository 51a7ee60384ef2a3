//! What metrics call the messages of the client protocol.

use super::delivery::Kind;
use crate::observability::{BrokerMessage, Frame};
use gyre_proto::client;

/// Names a command.
pub(super) fn command(command: &client::Command) -> Frame {
    match command {
        client::Command { connect: Some(_), .. } => Frame::Connect,
        client::Command { subscribe: Some(_), .. } => Frame::Subscribe,
        client::Command { unsubscribe: Some(_), .. } => Frame::Unsubscribe,
        client::Command { publish: Some(_), .. } => Frame::Publish,
        client::Command { presence: Some(_), .. } => Frame::Presence,
        client::Command { presence_stats: Some(_), .. } => Frame::PresenceStats,
        client::Command { history: Some(_), .. } => Frame::History,
        client::Command { rpc: Some(_), .. } => Frame::Rpc,
        client::Command { send: Some(_), .. } => Frame::Send,
        client::Command { refresh: Some(_), .. } => Frame::Refresh,
        client::Command { sub_refresh: Some(_), .. } => Frame::SubRefresh,
        client::Command { id: 0, .. } => Frame::ClientPong,
        _ => Frame::Unknown,
    }
}

/// Names a push.
pub(super) fn push(push: &client::Push) -> Frame {
    match push {
        client::Push { r#pub: Some(_), .. } => Frame::PushPublication,
        client::Push { join: Some(_), .. } => Frame::PushJoin,
        client::Push { leave: Some(_), .. } => Frame::PushLeave,
        client::Push { unsubscribe: Some(_), .. } => Frame::PushUnsubscribe,
        client::Push { subscribe: Some(_), .. } => Frame::PushSubscribe,
        client::Push { connect: Some(_), .. } => Frame::PushConnect,
        client::Push { disconnect: Some(_), .. } => Frame::PushDisconnect,
        client::Push { refresh: Some(_), .. } => Frame::PushRefresh,
        client::Push { message: Some(_), .. } => Frame::PushMessage,
        _ => Frame::Unknown,
    }
}

/// Names a delivery, as a push and as what came from the broker.
pub(super) fn delivery(kind: &Kind) -> (Frame, BrokerMessage) {
    match kind {
        Kind::Publication { .. } => (Frame::PushPublication, BrokerMessage::Publication),
        Kind::Join(_) => (Frame::PushJoin, BrokerMessage::Join),
        Kind::Leave(_) => (Frame::PushLeave, BrokerMessage::Leave),
    }
}
