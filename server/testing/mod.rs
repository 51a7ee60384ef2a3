//! What tests of several rooms need: real servers of others, on free ports and with directories of their own.

mod certificates;
mod nats;
pub(crate) mod redis;
pub(crate) mod shards;

pub(crate) use certificates::Certificates;
pub(crate) use nats::NatsServer;
