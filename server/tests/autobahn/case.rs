//! A case as data: what is sent, what must come back, how the connection ends.

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// One case of the suite.
pub struct Case {
    /// Its published number.
    pub id: String,
    pub steps: Vec<Step>,
    /// What must come back, in order. Some cases allow more than one outcome.
    pub outcomes: Vec<Vec<Seen>>,
    pub end: End,
    pub deflate: Option<Deflate>,
}

/// permessage-deflate in one case.
pub struct Deflate {
    /// The extension header as offered.
    pub offer: &'static str,
    /// Parameters the answer must have; none when the offer must be declined.
    pub answer: Option<&'static str>,
    /// Largest payload of a frame; zero sends messages whole.
    pub fragment: usize,
}

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Frame),
    /// A message, compressed when that was agreed, as the fragments the case asks for.
    Message {
        opcode: u8,
        payload: Vec<u8>,
    },
    /// Reads until so many things have been seen.
    Await(usize),
}

/// One frame and how its bytes are cut up for the socket.
#[derive(Clone, Debug)]
pub struct Frame {
    pub fin: bool,
    pub reserved: u8,
    pub opcode: u8,
    pub payload: Vec<u8>,
    /// Bytes of each write; zero writes all at once.
    pub chop: usize,
}

/// One thing the server sent, its close frame aside.
#[derive(Clone, PartialEq, Eq)]
pub enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
}

/// How the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closes with 1000 once all is seen; the server answers with the same code and then ends
    /// the connection.
    Clean,
    /// The steps hold a close frame; the server answers with one of these codes, `None` being an empty
    /// frame.
    Answered(Vec<Option<u16>>),
    /// The server closes by itself with one of these codes.
    Failed(Vec<u16>),
}

impl Case {
    pub fn new(id: impl Into<String>, steps: Vec<Step>, seen: Vec<Seen>, end: End) -> Self {
        Self { id: id.into(), steps, outcomes: vec![seen], end, deflate: None }
    }

    /// Whether the case is about a server of any protocol.
    pub fn needs_no_echo(&self) -> bool {
        let only_pongs = |seen: &Vec<Seen>| seen.iter().all(|seen| matches!(seen, Seen::Pong(_)));
        self.deflate.is_none() && self.outcomes.iter().all(only_pongs)
    }
}

impl Frame {
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, reserved: 0, opcode, payload: payload.into(), chop: 0 }
    }

    /// Not the last of its message.
    pub fn open(self) -> Self {
        Self { fin: false, ..self }
    }

    pub fn reserved(self, reserved: u8) -> Self {
        Self { reserved, ..self }
    }

    pub fn chopped(self, chop: usize) -> Self {
        Self { chop, ..self }
    }
}

impl From<Frame> for Step {
    fn from(frame: Frame) -> Self {
        Self::Send(frame)
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, payload) = match self {
            Self::Text(payload) => ("text", payload),
            Self::Binary(payload) => ("binary", payload),
            Self::Pong(payload) => ("pong", payload),
        };
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
        write!(formatter, "{name} of {} bytes {shown:?}", payload.len())
    }
}

/// A close frame.
pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    Frame::new(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// Frames of one message with payloads of at most `size` bytes.
pub fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Step> {
    let count = payload.len().div_ceil(size).max(1);
    let frame = |at: usize| Frame {
        fin: at + 1 == count,
        reserved: 0,
        opcode: if at == 0 { opcode } else { 0 },
        payload: payload[at * size..((at + 1) * size).min(payload.len())].to_vec(),
        chop: 0,
    };
    (0..count).map(|at| frame(at).into()).collect()
}

/// The code of a normal end.
pub const NORMAL: u16 = 1000;
/// The code after a broken rule.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The code after text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;

/// The server gives up for a broken rule.
pub fn failed() -> End {
    End::Failed(vec![PROTOCOL_ERROR])
}
