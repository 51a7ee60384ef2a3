//! The JSON form of the contracts.
//!
//! This is not the canonical Protobuf mapping: keys are field names as written in the contract,
//! 64-bit integers are numbers, zero values are left out unless annotated `always`, and payload
//! bytes are JSON text spliced in and captured as they are. Encoding appends to one buffer and
//! never parses a payload again; decoding validates each byte once and reads no deeper than it
//! must. Both directions are generated per message; this module is the runtime below.

mod error;
mod read;
mod scan;
mod write;

pub use error::{InvalidRaw, JsonError, JsonErrorKind};
pub use read::{JsonDecode, ReadFields, Reader, Sequence};
pub use scan::is_valid;
pub use write::{JsonEncode, RawStyle, Writer, write_string};

mod generated {
    #![allow(clippy::all)]
    use super::{JsonEncode, JsonError, RawStyle, ReadFields, Reader, Writer};
    include!(concat!(env!("OUT_DIR"), "/json.rs"));
}

#[cfg(test)]
mod tests;
