//! Chapters 3 (reserved bits) and 4 (opcodes).

use crate::case::{BINARY, CLOSE, Case, Frame, PING, Seen, Step, TEXT, failed};

const HELLO: &str = "Hello, world!";

pub fn cases() -> Vec<Case> {
    let fails = |id: &str, frame: Frame| Case::new(id, vec![frame.into()], Vec::new(), failed());
    vec![
        fails("3.1", Frame::new(TEXT, HELLO).reserved(1)),
        after_echo("3.2", Frame::new(TEXT, HELLO).reserved(2), 0),
        after_echo("3.3", Frame::new(TEXT, HELLO).reserved(3), usize::MAX),
        after_echo("3.4", Frame::new(TEXT, HELLO).reserved(4), 1),
        fails("3.5", Frame::new(BINARY, *b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff").reserved(5)),
        fails("3.6", Frame::new(BINARY, HELLO).reserved(6)),
        fails("3.7", Frame::new(CLOSE, "").reserved(7)),
        fails("4.1.1", Frame::new(3, "")),
        fails("4.1.2", Frame::new(4, "reserved opcode payload")),
        after_echo("4.1.3", Frame::new(5, ""), 0),
        after_echo("4.1.4", Frame::new(6, HELLO), 0),
        after_echo("4.1.5", Frame::new(7, HELLO), 1),
        fails("4.2.1", Frame::new(11, "")),
        fails("4.2.2", Frame::new(12, "reserved opcode payload")),
        after_echo("4.2.3", Frame::new(13, ""), 0),
        after_echo("4.2.4", Frame::new(14, HELLO), 0),
        after_echo("4.2.5", Frame::new(15, HELLO), 1),
    ]
}

/// A good message, a bad frame and a ping that must not be answered. The suite accepts a server that gives
/// up before it has echoed; ours echoes first.
fn after_echo(id: &str, bad: Frame, chop: usize) -> Case {
    let frames = [Frame::new(TEXT, HELLO), bad, Frame::new(PING, "")];
    let steps: Vec<Step> = frames.into_iter().map(|frame| frame.chopped(chop).into()).collect();
    Case::new(id, steps, vec![Seen::Text(HELLO.into())], failed())
}
