//! The server API, gRPC first: one implementation, reached over gRPC, gRPC-Web, HTTP with JSON,
//! batches and queues; and the ports it is served on.
//!
//! Knows nothing of sockets, sessions and engines: commands become verbs of [`crate::node`].
//! Entry points: [`Service`] does commands, [`http_service`] serves a port.

mod access;
mod errors;
mod explorer;
mod front;
mod grpc;
mod http;
mod methods;
mod placement;
mod reply;
mod service;

pub use access::Access;
pub use explorer::Explorer;
pub use front::{ConnectionEndpoints, Port, PortService, Reply, http_service, route_path};
pub use grpc::{GrpcError, GrpcFront, GrpcHealth, GrpcSettings};
pub use http::{HttpApi, HttpApiSettings};
pub use placement::{EndpointGroups, Placement, PlacementSettings, TlsChoice, place};
pub use service::Service;

#[cfg(test)]
mod tests;
