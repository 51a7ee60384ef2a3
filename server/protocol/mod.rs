//! From wire types to the bytes of one message, without any I/O.
//!
//! Owns how a publication looks in each form a subscriber can ask for. Knows no connection.

mod command;
pub mod delta;
mod encode;
mod publication;

pub use command::{Malformed, connect_request, next_command, single_command};
pub use encode::{Encoding, NotJson, encode_ping, encode_push, encode_reply};
pub use publication::{Form, client_publication, delta_publications, patch, text_payload};
