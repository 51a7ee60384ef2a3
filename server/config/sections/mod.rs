//! All sections of the configuration, by subject.

mod channel;
mod client;
mod consumers;
mod engines;
mod listeners;
mod operations;
mod postgres;
mod proxy;
mod redis;
mod root;
mod rpc;
mod transports;

pub use channel::*;
pub use client::*;
pub use consumers::*;
pub use engines::*;
pub use listeners::*;
pub use operations::*;
pub use postgres::*;
pub use proxy::*;
pub use redis::*;
pub use root::Config;
pub use rpc::*;
pub use transports::*;
