//! The verbs of a node, shared by sessions, the server API and whatever else causes things to happen.
//!
//! Knows no transport and no encoding. Options of a channel come from its namespace.

mod connections;
mod types;

pub use connections::{Connections, Counts};
pub use types::{
    ChannelsPage, DisconnectUser, NodeError, NodeInfo, PublishRequest, RefreshUser, SubscribeUser, Target,
    UnsubscribeUser,
};
