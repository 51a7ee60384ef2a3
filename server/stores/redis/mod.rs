//! Redis: a single server, a set of them, Sentinels or a Cluster; connections that many share and that heal.
//!
//! Two kinds of connection are kept. One carries commands of all threads in the order they were given, as many per
//! write as there are. The other only listens, subscribes again to everything after each loss, and says for which
//! channels messages may have been missed. Entry types: [`Shard`] to ask, [`Subscriber`] to listen, [`Monitored`]
//! to listen and know that messages really arrive.

mod canary;
mod cluster;
mod error;
mod link;
mod pipeline;
mod place;
mod resp;
mod route;
mod script;
mod sentinel;
mod settings;
mod shard;
mod slot_map;
mod socket;
mod subscriber;
mod turns;
mod wanted;

pub use canary::Monitored;
pub use error::RedisError;
pub use place::{shard_of, slot_of};
pub use resp::{Command, Value};
pub use script::Script;
pub use settings::{Address, Credentials, Defaults, Dial, ShardSettings, Tls, Topology, address_list};
pub use shard::Shard;
pub use subscriber::{Listener, Subscriber, Subscription};
pub use turns::{Slots, Watcher};
