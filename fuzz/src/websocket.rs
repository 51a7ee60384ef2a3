//! Frames, messages and permessage-deflate.

use gyre::transport::websocket::assembler::{self, Event, Flow, Limits, Partial};
use gyre::transport::websocket::deflate::{Deflater, Inflater};
use gyre::transport::websocket::frame::{Opcode, Violation};

const LIMITS: Limits = Limits { message_size: 4096, inflated_size: 16 * 1024, compression: false };

/// An [`Event`] that outlives its buffer.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Message(Opcode, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(opcode, message) => Self::Message(opcode, message.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong => Self::Pong,
            Event::Close(code) => Self::Close(code),
        }
    }
}

/// What a connection saw, and how it ended if the peer broke a rule.
type Outcome = (Vec<Seen>, Result<(), Violation>);

/// Reads a byte stream three ways, which must agree: whole, in pieces, and with a handler that stops at
/// each message as a busy session does.
///
/// The first byte switches compression, the second sets the size of pieces.
pub fn websocket(data: &[u8]) {
    let [switches, piece, stream @ ..] = data else { return };
    let limits = Limits { compression: switches & 1 == 1, ..LIMITS };
    let whole = read([stream], &limits, false);
    let (seen, _) = &whole;
    for message in seen {
        match message {
            Seen::Message(_, message) => assert!(message.len() <= limits.inflated_size),
            Seen::Ping(payload) => assert!(payload.len() <= 125),
            Seen::Pong | Seen::Close(_) => {}
        }
    }
    let size = usize::from(*piece).max(1);
    assert_eq!(whole, read(stream.chunks(size), &limits, false), "in pieces of {size}");
    assert_eq!(whole, read([stream], &limits, true), "stopping");
    assert_eq!(whole, read(stream.chunks(size), &limits, true), "stopping, in pieces of {size}");
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits, stops: bool) -> Outcome {
    let mut inflater = Inflater::new();
    let mut partial: Option<Box<Partial>> = None;
    let mut seen = Vec::new();
    for piece in pieces {
        let mut bytes = piece.to_vec();
        loop {
            let (before, mut stopped) = (seen.len(), false);
            let fed = assembler::feed(&mut partial, &mut bytes, limits, &mut inflater, &mut |event| {
                let event = Seen::from(event);
                stopped = matches!(event, Seen::Close(_)) || (stops && matches!(event, Seen::Message(..)));
                seen.push(event);
                if stopped { Flow::Stop } else { Flow::Continue }
            });
            if fed.is_err() || matches!(seen.last(), Some(Seen::Close(_))) {
                return (seen, fed);
            }
            assert!(!stopped || seen.len() > before);
            if !stopped {
                break;
            }
            bytes.clear();
        }
    }
    (seen, Ok(()))
}

/// Inflates with a decompressor that has seen other inputs and with a new one, which must agree; what came
/// out is deflated and inflated again.
pub fn inflate(data: &[u8]) {
    const LIMIT: usize = 64 * 1024;
    let [level, data @ ..] = data else { return };
    let mut used = Inflater::new();
    // Leaves the decompressor in the middle of a block.
    let _ = used.inflate(&data[..data.len() / 2], LIMIT);
    let result = used.inflate(data, LIMIT);
    assert_eq!(result, Inflater::new().inflate(data, LIMIT));
    if let Ok(message) = result {
        assert!(message.len() <= LIMIT);
        let mut deflated = Vec::new();
        Deflater::new(u32::from(level % 10)).deflate(&message, &mut deflated);
        assert_eq!(used.inflate(&deflated, LIMIT), Ok(message));
    }
}
