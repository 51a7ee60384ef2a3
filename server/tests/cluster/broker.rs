//! What the nodes of a scenario share: real servers that are killed, stopped and started again.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::redis::Server;

/// What a scenario asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// One Redis that forgets everything when it ends.
    Redis,
    /// One Redis with an append-only file, synced every second.
    DurableRedis,
}

/// The running servers.
pub enum Broker {
    Redis(Server),
}

impl Broker {
    pub fn start(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Redis => Self::Redis(Server::start(&[])),
            BrokerKind::DurableRedis => {
                Self::Redis(Server::start(&["--appendonly", "yes", "--appendfsync", "everysec"]))
            }
        }
    }

    /// `host:port` to put a link before.
    pub fn address(&self) -> String {
        match self {
            Self::Redis(server) => server.address(),
        }
    }

    /// Configuration of a node that reaches it at `address`.
    pub fn config(&self, address: &str) -> Value {
        match self {
            Self::Redis(_) => json!({"engine": {"type": "redis", "redis": {"address": address}}}),
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        match self {
            Self::Redis(server) => server.kill(),
        }
    }

    /// Starts it again at the same place.
    pub fn restart(&self) {
        match self {
            Self::Redis(server) => server.restart(),
        }
    }

    /// Stops it where it stands: connections stay, nothing is answered.
    pub fn pause(&self) {
        match self {
            Self::Redis(server) => server.pause(),
        }
    }

    /// Lets it go on.
    pub fn resume(&self) {
        match self {
            Self::Redis(server) => server.resume(),
        }
    }
}
