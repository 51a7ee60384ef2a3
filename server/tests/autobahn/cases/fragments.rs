//! Chapter 5: fragmentation.

use crate::case::{Case, End, Frame, PING, PONG, Seen, Step, TEXT, failed};

/// How frames are cut up: together, each in a write of its own, or each byte in a write of its own. The first
/// two differ in time only, for which the socket has no delay.
const CHOPS: [usize; 3] = [0, usize::MAX, 1];

pub fn cases() -> Vec<Case> {
    let fails = |id: String, frames: Vec<Frame>| Case::new(id, steps(frames), Vec::new(), failed());
    let first = || Frame::new(TEXT, "fragment1").open();
    let mut cases = vec![
        fails("5.1".into(), vec![Frame::new(PING, "fragment1").open(), Frame::new(0, "fragment2")]),
        fails("5.2".into(), vec![Frame::new(PONG, "fragment1").open(), Frame::new(0, "fragment2")]),
    ];
    for (number, chop) in (3..).zip(CHOPS) {
        let frames = vec![first(), Frame::new(0, "fragment2")];
        let seen = vec![Seen::Text(b"fragment1fragment2".to_vec())];
        cases.push(Case::new(format!("5.{number}"), steps(chopped(frames, chop)), seen, End::Clean));
    }
    for (number, chop) in (6..).zip(CHOPS) {
        let frames = vec![first(), Frame::new(PING, "ping payload"), Frame::new(0, "fragment2")];
        let seen = vec![Seen::Pong(b"ping payload".to_vec()), Seen::Text(b"fragment1fragment2".to_vec())];
        cases.push(Case::new(format!("5.{number}"), steps(chopped(frames, chop)), seen, End::Clean));
    }
    for (start, fin) in [(9, true), (12, false)] {
        for (number, chop) in (start..).zip(CHOPS) {
            let nothing_to_continue = Frame { fin, ..Frame::new(0, "non-continuation payload") };
            let frames = vec![nothing_to_continue, Frame::new(TEXT, "Hello, world!")];
            cases.push(fails(format!("5.{number}"), chopped(frames, chop)));
        }
    }
    let fifteen = vec![
        first(),
        Frame::new(0, "fragment2"),
        Frame::new(0, "fragment3").open(),
        Frame::new(TEXT, "fragment4"),
    ];
    cases.push(Case::new("5.15", steps(fifteen), vec![Seen::Text(b"fragment1fragment2".to_vec())], failed()));
    for (number, fin) in [(16, false), (17, true)] {
        let once = || {
            let stray = Frame { fin, ..Frame::new(0, "fragment1") };
            [stray, Frame::new(TEXT, "fragment2").open(), Frame::new(0, "fragment3")]
        };
        cases.push(fails(format!("5.{number}"), once().into_iter().chain(once()).collect()));
    }
    cases.push(fails("5.18".into(), vec![first(), Frame::new(TEXT, "fragment2")]));
    cases.push(pings_between("5.19", 0));
    cases.push(pings_between("5.20", usize::MAX));
    cases
}

/// The first ping must be answered while the message is not complete.
fn pings_between(id: &str, chop: usize) -> Case {
    let part =
        |number: usize, opcode: u8| Frame::new(opcode, format!("fragment{number}")).open().chopped(chop);
    let steps = vec![
        part(1, TEXT).into(),
        part(2, 0).into(),
        Frame::new(PING, "pongme 1!").chopped(chop).into(),
        Step::Await(1),
        part(3, 0).into(),
        part(4, 0).into(),
        Frame::new(PING, "pongme 2!").chopped(chop).into(),
        Frame { fin: true, ..part(5, 0) }.into(),
    ];
    let seen = vec![
        Seen::Pong(b"pongme 1!".to_vec()),
        Seen::Pong(b"pongme 2!".to_vec()),
        Seen::Text(b"fragment1fragment2fragment3fragment4fragment5".to_vec()),
    ];
    Case::new(id, steps, seen, End::Clean)
}

fn chopped(frames: Vec<Frame>, chop: usize) -> Vec<Frame> {
    frames.into_iter().map(|frame| frame.chopped(chop)).collect()
}

fn steps(frames: Vec<Frame>) -> Vec<Step> {
    frames.into_iter().map(Step::from).collect()
}
