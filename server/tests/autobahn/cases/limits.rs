//! Chapters 9 (limits and performance) and 10 (automatic fragmentation).

use crate::case::{BINARY, Case, End, Frame, Seen, Step, TEXT, fragments};

const MIB: usize = 1 << 20;
/// Messages of one round trip after another.
const ROUND_TRIPS: usize = 1000;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes = [64 << 10, 256 << 10, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
    for (chapter, opcode) in [(1, TEXT), (2, BINARY)] {
        for (number, size) in (1..).zip(sizes) {
            let payload = payload(opcode, size);
            let steps = vec![Frame::new(opcode, &payload[..]).into()];
            cases.push(echoed(format!("9.{chapter}.{number}"), opcode, steps, payload));
        }
    }
    let fragment_sizes = [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, MIB, 4 * MIB];
    for (chapter, opcode) in [(3, TEXT), (4, BINARY)] {
        for (number, size) in (1..).zip(fragment_sizes) {
            let payload = payload(opcode, 4 * MIB);
            let steps = fragments(opcode, &payload, size);
            cases.push(echoed(format!("9.{chapter}.{number}"), opcode, steps, payload));
        }
    }
    for (chapter, opcode) in [(5, TEXT), (6, BINARY)] {
        for (number, chop) in (1..).zip([64, 128, 256, 512, 1024, 2048]) {
            let payload = payload(opcode, MIB);
            let steps = vec![Frame::new(opcode, &payload[..]).chopped(chop).into()];
            cases.push(echoed(format!("9.{chapter}.{number}"), opcode, steps, payload));
        }
    }
    for (chapter, opcode) in [(7, TEXT), (8, BINARY)] {
        for (number, size) in (1..).zip([0, 16, 64, 256, 1024, 4096]) {
            let payload = payload(opcode, size);
            let once = |at: usize| [Frame::new(opcode, &payload[..]).into(), Step::Await(at)];
            let steps = (1..=ROUND_TRIPS).flat_map(once).collect();
            let seen = vec![seen(opcode, payload.clone()); ROUND_TRIPS];
            cases.push(Case::new(format!("9.{chapter}.{number}"), steps, seen, End::Clean));
        }
    }
    let text = payload(TEXT, 65536);
    cases.push(echoed("10.1.1".into(), TEXT, fragments(TEXT, &text, 1300), text));
    cases
}

fn payload(opcode: u8, size: usize) -> Vec<u8> {
    vec![if opcode == TEXT { b'*' } else { 0xFE }; size]
}

fn seen(opcode: u8, payload: Vec<u8>) -> Seen {
    if opcode == TEXT { Seen::Text(payload) } else { Seen::Binary(payload) }
}

fn echoed(id: String, opcode: u8, steps: Vec<Step>, payload: Vec<u8>) -> Case {
    Case::new(id, steps, vec![seen(opcode, payload)], End::Clean)
}
