//! The server API over real sockets, with connections that only take notes.

mod batch;
mod client;
mod grpc;
mod http;
mod legacy;
mod ports;
mod server;
