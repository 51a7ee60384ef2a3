//! Frames of the client protocol: several messages in one piece of bytes.
//!
//! In JSON messages are lines; in Protobuf each is preceded by its length as a varint. Reading
//! never allocates for a declared length: it is compared with the bytes that are there.

use std::marker::PhantomData;

use bytes::{Buf, BufMut as _, Bytes};
use prost::Message;

use crate::client;
use crate::json::{InvalidRaw, JsonDecode, JsonEncode, JsonError};

/// How the messages of one connection are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Lines of JSON.
    Json,
    /// Protobuf messages with their lengths.
    Protobuf,
}

/// Why a frame cannot be read. The sender is at fault; the server answers with disconnect 3501.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame holds no message at all.
    #[error("frame is empty")]
    Empty,
    /// A line of a JSON frame is empty.
    #[error("frame holds a blank line")]
    BlankLine,
    /// A line is not the JSON form of a message; the offset counts from the start of the line.
    #[error("message is not valid json: {0}")]
    Json(#[from] JsonError),
    /// A length is not a varint of at most 64 bits, or the frame ends inside it.
    #[error("message length is malformed")]
    MalformedLength,
    /// A length promises more bytes than the frame holds.
    #[error("message of {declared} bytes exceeds the {available} bytes left in the frame")]
    LengthExceedsFrame {
        /// The length read.
        declared: u64,
        /// Bytes of the frame after the length.
        available: usize,
    },
    /// The bytes of a message are not Protobuf of its type.
    #[error("message is not valid protobuf: {0}")]
    Protobuf(#[from] prost::DecodeError),
}

/// A frame as it was received.
///
/// From `&[u8]` payloads are copied, which suits frames in a buffer that is used again. From
/// [`Bytes`] they are slices that keep the whole frame alive, which suits messages that are soon
/// dropped.
pub trait Frame: Buf + Default + sealed::Split {}

impl Frame for Bytes {}
impl Frame for &[u8] {}

mod sealed {
    use bytes::Bytes;

    use crate::json::{JsonDecode, JsonError};

    /// What both kinds of frames do, each in its way.
    pub trait Split: Sized {
        /// Takes the first `length` bytes, which are there.
        fn take_front(&mut self, length: usize) -> Self;
        /// Reads the message at the start of a line.
        fn read_json<M: JsonDecode>(&self) -> Result<M, JsonError>;
    }

    impl Split for Bytes {
        fn take_front(&mut self, length: usize) -> Self {
            self.split_to(length)
        }

        fn read_json<M: JsonDecode>(&self) -> Result<M, JsonError> {
            M::decode_json_prefix_shared(self).map(|(message, _)| message)
        }
    }

    impl Split for &[u8] {
        fn take_front(&mut self, length: usize) -> Self {
            let (front, rest) = self.split_at(length);
            *self = rest;
            front
        }

        fn read_json<M: JsonDecode>(&self) -> Result<M, JsonError> {
            M::decode_json_prefix(self).map(|(message, _)| message)
        }
    }
}

/// The commands of a frame from a client, in order.
///
/// A malformed frame yields the commands before the fault, then one error, then nothing; an
/// empty one yields [`FrameError::Empty`]. Behind the JSON object of a line the rest of the line
/// is ignored.
pub fn commands<F: Frame>(protocol: Protocol, frame: F) -> Messages<F, client::Command> {
    Messages::new(protocol, frame)
}

/// The replies of a frame from a server, in order; rules as for [`commands`].
pub fn replies<F: Frame>(protocol: Protocol, frame: F) -> Messages<F, client::Reply> {
    Messages::new(protocol, frame)
}

/// The messages of one frame, see [`commands`].
#[derive(Debug)]
pub struct Messages<F, M> {
    protocol: Protocol,
    rest: F,
    state: State,
    message: PhantomData<fn() -> M>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Nothing was read yet, so an empty rest is an error.
    Start,
    Middle,
    Failed,
}

impl<F: Frame, M> Messages<F, M> {
    /// The messages of `frame`, which may be of any type that has both encodings.
    pub fn new(protocol: Protocol, frame: F) -> Self {
        Self { protocol, rest: frame, state: State::Start, message: PhantomData }
    }
}

impl<F: Frame, M: Message + JsonDecode> Iterator for Messages<F, M> {
    type Item = Result<M, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = match (&self.state, self.rest.has_remaining()) {
            (State::Failed, _) | (State::Middle, false) => return None,
            (State::Start, false) => Err(FrameError::Empty),
            (_, true) => match self.protocol {
                Protocol::Json => next_line(&mut self.rest).and_then(|line| Ok(line.read_json()?)),
                Protocol::Protobuf => next_delimited(&mut self.rest).and_then(|body| Ok(M::decode(body)?)),
            },
        };
        self.state = if result.is_ok() { State::Middle } else { State::Failed };
        Some(result)
    }
}

/// Takes the first line, without its line feed. `rest` is not empty.
fn next_line<F: Frame>(rest: &mut F) -> Result<F, FrameError> {
    let line = match memchr::memchr(b'\n', rest.chunk()) {
        Some(end) => {
            let line = rest.take_front(end);
            rest.advance(1);
            line
        }
        None => std::mem::take(rest),
    };
    if !line.has_remaining() {
        return Err(FrameError::BlankLine);
    }
    Ok(line)
}

/// Takes a length and as many bytes.
fn next_delimited<F: Frame>(rest: &mut F) -> Result<F, FrameError> {
    let declared = prost::encoding::decode_varint(rest).map_err(|_| FrameError::MalformedLength)?;
    match usize::try_from(declared) {
        Ok(length) if length <= rest.remaining() => Ok(rest.take_front(length)),
        _ => Err(FrameError::LengthExceedsFrame { declared, available: rest.remaining() }),
    }
}

/// Appends a message to a frame: in JSON with a line feed before it unless the frame is empty,
/// in Protobuf with its length.
///
/// Payloads are spliced unseen; see [`try_append`] for those of uncertain origin.
pub fn append<M: Message + JsonEncode>(protocol: Protocol, frame: &mut Vec<u8>, message: &M) {
    match protocol {
        Protocol::Json => {
            separate(frame);
            message.encode_json(frame);
        }
        Protocol::Protobuf => append_protobuf(frame, message),
    }
}

/// Like [`append`], but a JSON message whose payload is not JSON is refused.
///
/// # Errors
/// [`InvalidRaw`] names the field; the frame is as it was. The server answers with disconnect
/// 3506 to the connection that was to receive the message.
pub fn try_append<M: Message + JsonEncode>(
    protocol: Protocol,
    frame: &mut Vec<u8>,
    message: &M,
) -> Result<(), InvalidRaw> {
    match protocol {
        Protocol::Json => {
            let start = frame.len();
            separate(frame);
            message.try_encode_json(frame).inspect_err(|_| frame.truncate(start))
        }
        Protocol::Protobuf => {
            append_protobuf(frame, message);
            Ok(())
        }
    }
}

/// Appends a message that is encoded already (without length or line feed) to a frame.
pub fn append_encoded(protocol: Protocol, frame: &mut Vec<u8>, message: &[u8]) {
    match protocol {
        Protocol::Json => separate(frame),
        Protocol::Protobuf => prost::encoding::encode_varint(message.len() as u64, frame),
    }
    frame.put_slice(message);
}

/// The ping of a server and the pong of a client as a whole frame: the empty message.
pub fn empty_message(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Json => b"{}",
        Protocol::Protobuf => b"\0",
    }
}

fn separate(frame: &mut Vec<u8>) {
    if !frame.is_empty() {
        frame.push(b'\n');
    }
}

fn append_protobuf<M: Message>(frame: &mut Vec<u8>, message: &M) {
    let length = message.encoded_len();
    prost::encoding::encode_varint(length as u64, frame);
    frame.reserve(length);
    message.encode_raw(frame);
}

#[cfg(test)]
mod tests;
