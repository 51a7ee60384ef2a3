//! All sections of the configuration, by subject.

pub mod channel;
pub mod client;
pub mod consumers;
pub mod engines;
pub mod listeners;
pub mod operations;
pub mod postgres;
pub mod proxy;
pub mod redis;
mod root;
pub mod rpc;
pub mod transports;

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
