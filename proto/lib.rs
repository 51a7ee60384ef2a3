//! Wire contracts of gyre.
//!
//! Everything here comes from the `.proto` files of this directory: messages and gRPC services,
//! the JSON codec, HTTP transcoding, code tables, descriptors and the OpenAPI document. The
//! hand-written part is the small runtime under the generated code; it does no I/O.

mod wire {
    #![allow(missing_docs, clippy::all, rustdoc::all)]
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}

pub mod framing;
pub mod json;
pub mod legacy;
mod payload;
pub mod service;

mod code_tables {
    include!(concat!(env!("OUT_DIR"), "/codes.rs"));
}

pub use payload::InvalidBase64;
pub use wire::centrifugal::centrifuge::protocol as client;
pub use wire::centrifugal::centrifugo::{api, proxy, unistream};
pub use wire::controlpb as control;
pub use wire::gyre::codes;
pub use wire::gyre::realtime::v1 as realtime;

/// All contracts as an encoded `google.protobuf.FileDescriptorSet`, imports, options and comments
/// included. Serves gRPC reflection and SDK generation.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The OpenAPI 3.0 document of the HTTP/JSON server API, as JSON. Its paths have the default
/// prefix `/api`.
pub const OPENAPI_JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

#[cfg(test)]
mod tests;
