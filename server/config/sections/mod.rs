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

pub use root::Config;
