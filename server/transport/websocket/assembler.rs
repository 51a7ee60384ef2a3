//! From bytes as they arrive to whole messages.
//!
//! A connection that is between messages holds no [`Partial`]: bytes are parsed where the shared read
//! buffer has them, and only an unfinished rest is kept.

use super::deflate::Inflater;
use super::frame::{self, Frame, Opcode, Violation};

/// What a peer may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message as sent.
    pub message_size: usize,
    /// Bytes of one message after decompression.
    pub inflated_size: usize,
    /// permessage-deflate was negotiated.
    pub compression: bool,
}

/// What has arrived of a message that is not complete.
#[derive(Debug, Default)]
pub struct Partial {
    /// Bytes of a frame that is not complete.
    bytes: Vec<u8>,
    /// Payload of earlier frames of a fragmented message.
    message: Vec<u8>,
    /// How the fragmented message began; none between messages.
    started: Option<(Opcode, bool)>,
}

/// One thing a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text or binary message, decompressed.
    Message(&'a mut [u8]),
    /// A ping that wants its payload back.
    Ping(&'a [u8]),
    /// An answer to a native ping.
    Pong,
    /// The peer closes; the code to echo.
    Close(Option<u16>),
}

/// What the handler of an event wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on with the next frame.
    Continue,
    /// Stop here; unread bytes are kept for [`resume`] or dropped with the connection.
    Stop,
}

/// Parses `input`, joined to what `partial` kept, and calls `handle` for each event in order.
///
/// After it returns, `partial` holds a box only if bytes or fragments are left over.
///
/// # Errors
/// [`Violation`]: the connection must end with its close code.
pub fn feed(
    partial: &mut Option<Box<Partial>>,
    input: &mut [u8],
    limits: &Limits,
    inflater: &mut Inflater,
    handle: &mut dyn FnMut(Event<'_>) -> Flow,
) -> Result<(), Violation> {
    let mut kept = match partial.as_mut() {
        Some(state) if !state.bytes.is_empty() => {
            state.bytes.extend_from_slice(input);
            Some(std::mem::take(&mut state.bytes))
        }
        _ => None,
    };
    let bytes: &mut [u8] = match kept.as_mut() {
        Some(joined) => joined,
        None => input,
    };
    let mut at = 0;
    while at < bytes.len() {
        let Some(found) = frame::parse(&mut bytes[at..], limits.message_size, limits.compression)? else {
            break;
        };
        let payload = at + found.payload.start..at + found.payload.end;
        at += found.consumed;
        let flow = on_frame(partial, found, &mut bytes[payload], limits, inflater, handle)?;
        if flow == Flow::Stop {
            break;
        }
    }
    if at < bytes.len() {
        let rest = match kept {
            Some(mut joined) => {
                joined.drain(..at);
                joined
            }
            None => input[at..].to_vec(),
        };
        partial.get_or_insert_default().bytes = rest;
    } else if partial.as_ref().is_some_and(|state| state.started.is_none()) {
        *partial = None;
    }
    Ok(())
}

/// Goes on with bytes that were kept when a handler said [`Flow::Stop`].
///
/// # Errors
/// As [`feed`].
pub fn resume(
    partial: &mut Option<Box<Partial>>,
    limits: &Limits,
    inflater: &mut Inflater,
    handle: &mut dyn FnMut(Event<'_>) -> Flow,
) -> Result<(), Violation> {
    feed(partial, &mut [], limits, inflater, handle)
}

fn on_frame(
    partial: &mut Option<Box<Partial>>,
    found: Frame,
    payload: &mut [u8],
    limits: &Limits,
    inflater: &mut Inflater,
    handle: &mut dyn FnMut(Event<'_>) -> Flow,
) -> Result<Flow, Violation> {
    match found.opcode {
        Opcode::Ping => return Ok(handle(Event::Ping(payload))),
        Opcode::Pong => return Ok(handle(Event::Pong)),
        Opcode::Close => return Ok(handle(Event::Close(frame::parse_close(payload)?))),
        Opcode::Text | Opcode::Binary | Opcode::Continuation => {}
    }
    let started = partial.as_ref().and_then(|state| state.started);
    match (started, found.opcode) {
        (None, Opcode::Continuation) => Err(Violation::Protocol("continuation without a message")),
        (Some(_), Opcode::Text | Opcode::Binary) => {
            Err(Violation::Protocol("message inside a fragmented message"))
        }
        (None, opcode) if found.fin => deliver(opcode, found.compressed, payload, limits, inflater, handle),
        (None, opcode) => {
            let state = partial.get_or_insert_default();
            state.started = Some((opcode, found.compressed));
            state.message.extend_from_slice(payload);
            Ok(Flow::Continue)
        }
        (Some((opcode, compressed)), _) => {
            let state = partial.get_or_insert_default();
            if state.message.len() + payload.len() > limits.message_size {
                return Err(Violation::TooBig { limit: limits.message_size });
            }
            state.message.extend_from_slice(payload);
            if !found.fin {
                return Ok(Flow::Continue);
            }
            state.started = None;
            let mut message = std::mem::take(&mut state.message);
            deliver(opcode, compressed, &mut message, limits, inflater, handle)
        }
    }
}

fn deliver(
    opcode: Opcode,
    compressed: bool,
    payload: &mut [u8],
    limits: &Limits,
    inflater: &mut Inflater,
    handle: &mut dyn FnMut(Event<'_>) -> Flow,
) -> Result<Flow, Violation> {
    if compressed {
        let mut message = inflater.inflate(payload, limits.inflated_size)?;
        check_text(opcode, &message)?;
        return Ok(handle(Event::Message(&mut message)));
    }
    check_text(opcode, payload)?;
    Ok(handle(Event::Message(payload)))
}

fn check_text(opcode: Opcode, message: &[u8]) -> Result<(), Violation> {
    if opcode == Opcode::Text && std::str::from_utf8(message).is_err() {
        return Err(Violation::NotUtf8);
    }
    Ok(())
}
