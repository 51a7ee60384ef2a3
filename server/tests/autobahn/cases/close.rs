//! Chapter 7: closing.

use crate::case::{
    CLOSE, Case, End, Frame, INVALID_PAYLOAD, NORMAL, PING, PROTOCOL_ERROR, Seen, Step, TEXT, close,
};

/// Codes a peer may send.
const ALLOWED: [u16; 13] = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
/// Codes that are reserved, never sent, or without meaning.
const FORBIDDEN: [u16; 9] = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];

pub fn cases() -> Vec<Case> {
    let hello = "Hello World!";
    let normal = || End::Answered(vec![Some(NORMAL)]);
    let answered = |id: &str, frames: Vec<Frame>, end: End| {
        Case::new(id, frames.into_iter().map(Step::from).collect(), Vec::new(), end)
    };
    let refused = || End::Answered(vec![Some(PROTOCOL_ERROR)]);
    let long = vec![b'*'; 256 << 10];
    let mut cases = vec![
        Case::new("7.1.1", vec![Frame::new(TEXT, hello).into()], vec![Seen::Text(hello.into())], End::Clean),
        answered("7.1.2", vec![close(NORMAL, ""), Frame::new(CLOSE, "")], normal()),
        answered("7.1.3", vec![close(NORMAL, ""), Frame::new(PING, "")], normal()),
        answered("7.1.4", vec![close(NORMAL, ""), Frame::new(TEXT, hello)], normal()),
        answered(
            "7.1.5",
            vec![Frame::new(TEXT, "fragment1").open(), close(NORMAL, ""), Frame::new(0, "fragment2")],
            normal(),
        ),
        // Informational in the suite; here the messages before the close frame are echoed. The suite's ping after it
        // is left out: what arrives behind a close may reset the connection before the echo was read.
        Case::new(
            "7.1.6",
            vec![
                Frame::new(TEXT, &long[..]).into(),
                Frame::new(TEXT, hello).into(),
                close(NORMAL, "").into(),
            ],
            vec![Seen::Text(long), Seen::Text(hello.into())],
            normal(),
        ),
        answered("7.3.1", vec![Frame::new(CLOSE, "")], End::Answered(vec![None])),
        answered("7.3.2", vec![Frame::new(CLOSE, "a")], refused()),
        answered("7.3.3", vec![close(NORMAL, "")], normal()),
        answered("7.3.4", vec![close(NORMAL, hello)], normal()),
        answered("7.3.5", vec![close(NORMAL, "*".repeat(123))], normal()),
        answered("7.3.6", vec![close(NORMAL, "*".repeat(124))], refused()),
        answered(
            "7.5.1",
            vec![close(NORMAL, ["κόσμε".as_bytes(), b"\xed\xa0\x80edited"].concat())],
            End::Answered(vec![Some(PROTOCOL_ERROR), Some(INVALID_PAYLOAD)]),
        ),
    ];
    for (number, code) in (1..).zip(ALLOWED) {
        let end = End::Answered(vec![Some(NORMAL), Some(code)]);
        cases.push(answered(&format!("7.7.{number}"), vec![close(code, "")], end));
    }
    for (number, code) in (1..).zip(FORBIDDEN) {
        cases.push(answered(&format!("7.9.{number}"), vec![close(code, "")], refused()));
    }
    // The suite leaves these two open; RFC 6455 gives no meaning to codes from 5000 on.
    for (number, code) in [(1, 5000), (2, 65535)] {
        cases.push(answered(&format!("7.13.{number}"), vec![close(code, "")], refused()));
    }
    cases
}
