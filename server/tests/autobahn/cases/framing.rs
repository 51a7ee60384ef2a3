//! Chapters 1 (framing) and 2 (pings and pongs).

use crate::case::{BINARY, Case, End, Frame, NORMAL, PING, PONG, Seen, TEXT, close, failed};

/// Payload sizes of chapter 1 and the size of chops.
const SIZES: [(usize, usize); 8] =
    [(0, 0), (125, 0), (126, 0), (127, 0), (128, 0), (65535, 0), (65536, 0), (65536, 997)];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, (size, chop)) in (1..).zip(SIZES) {
        let payload = vec![b'*'; size];
        let steps = vec![Frame::new(TEXT, &payload[..]).chopped(chop).into()];
        cases.push(Case::new(format!("1.1.{number}"), steps, vec![Seen::Text(payload)], End::Clean));
    }
    for (number, (size, chop)) in (1..).zip(SIZES) {
        let payload = vec![0xFE; size];
        let steps = vec![Frame::new(BINARY, &payload[..]).chopped(chop).into()];
        cases.push(Case::new(format!("1.2.{number}"), steps, vec![Seen::Binary(payload)], End::Clean));
    }
    cases.extend(pings());
    cases
}

fn pings() -> Vec<Case> {
    let ping = |id: &str, payload: &[u8], chop: usize| {
        let steps = vec![Frame::new(PING, payload).chopped(chop).into()];
        Case::new(id, steps, vec![Seen::Pong(payload.to_vec())], End::Clean)
    };
    let ten = |id: &str, chop: usize| {
        let payloads: Vec<Vec<u8>> = (0..10).map(|at| format!("payload-{at}").into_bytes()).collect();
        let steps =
            payloads.iter().map(|payload| Frame::new(PING, &payload[..]).chopped(chop).into()).collect();
        Case::new(id, steps, payloads.into_iter().map(Seen::Pong).collect(), End::Clean)
    };
    let unsolicited = |id: &str, payload: &str| {
        let steps = vec![Frame::new(PONG, payload).into(), close(NORMAL, "").into()];
        Case::new(id, steps, Vec::new(), End::Answered(vec![Some(NORMAL)]))
    };
    vec![
        ping("2.1", b"", 0),
        ping("2.2", b"Hello, world!", 0),
        ping("2.3", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", 0),
        ping("2.4", &[0xFE; 125], 0),
        Case::new("2.5", vec![Frame::new(PING, [0xFE; 126]).into()], Vec::new(), failed()),
        ping("2.6", &[0xFE; 125], 1),
        unsolicited("2.7", ""),
        unsolicited("2.8", "unsolicited pong payload"),
        Case::new(
            "2.9",
            vec![
                Frame::new(PONG, "unsolicited pong payload").into(),
                Frame::new(PING, "ping payload").into(),
            ],
            vec![Seen::Pong(b"ping payload".to_vec())],
            End::Clean,
        ),
        ten("2.10", 0),
        ten("2.11", 1),
    ]
}
