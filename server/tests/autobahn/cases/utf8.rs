//! Chapter 6: text must be UTF-8. The sequences are those of Markus Kuhn's decoder test.

use crate::case::{Case, End, Frame, INVALID_PAYLOAD, PING, Seen, Step, TEXT, fragments};

/// The Greek word "kosme", valid.
const KOSME: &[u8] = "κόσμε".as_bytes();

pub fn cases() -> Vec<Case> {
    let hello = "Hello-µ@ßöäüàá-UTF-8!!";
    let bad = [KOSME, b"\xed\xa0\x80", b"edited"].concat();
    let mut cases = vec![
        good("6.1.1", vec![Frame::new(TEXT, "").into()], b""),
        good("6.1.2", fragments_of(&[b"", b"", b""]), b""),
        good("6.1.3", fragments_of(&[b"", b"middle frame payload", b""]), b"middle frame payload"),
        good("6.2.1", vec![Frame::new(TEXT, hello).into()], hello.as_bytes()),
        good("6.2.2", fragments_of(&["Hello-µ@ßöä".as_bytes(), "üàá-UTF-8!!".as_bytes()]), hello.as_bytes()),
        good("6.2.3", fragments(TEXT, hello.as_bytes(), 1), hello.as_bytes()),
        good("6.2.4", fragments(TEXT, KOSME, 1), KOSME),
        bad_text("6.3.1", vec![Frame::new(TEXT, &bad[..]).into()], 0),
        bad_text("6.3.2", fragments(TEXT, &bad, 1), 0),
    ];
    cases.extend(fail_fast());
    for (chapter, sequences) in (5..).zip(sequences()) {
        for (number, (valid, payload)) in (1..).zip(sequences) {
            let id = format!("6.{chapter}.{number}");
            let steps = vec![Frame::new(TEXT, &payload[..]).into()];
            cases.push(if valid { good(&id, steps, &payload) } else { bad_text(&id, steps, 0) });
        }
    }
    cases
}

/// Text that goes wrong in its middle part. The suite prefers a server that notices before the last part; the
/// pong shows that the first part alone is no offence.
fn fail_fast() -> Vec<Case> {
    let text = [KOSME, b"\xf4\x90\x80\x80", b"edited"].concat();
    let whole = |cuts: [usize; 2]| [&text[..cuts[0]], &text[cuts[0]..cuts[1]], &text[cuts[1]..]];
    let in_frames = |id: &str, cuts: [usize; 2]| {
        let [first, second, third] = whole(cuts);
        let steps = vec![
            Frame::new(TEXT, first).open().into(),
            Frame::new(PING, "").into(),
            Step::Await(1),
            Frame::new(0, second).open().into(),
            Frame::new(0, third).into(),
        ];
        bad_text(id, steps, 1)
    };
    let in_chops =
        |id: &str, chop: usize| bad_text(id, vec![Frame::new(TEXT, &text[..]).chopped(chop).into()], 0);
    vec![
        in_frames("6.4.1", [KOSME.len(), KOSME.len() + 4]),
        in_frames("6.4.2", [12, 13]),
        in_chops("6.4.3", 6 + KOSME.len()),
        in_chops("6.4.4", 6 + 12),
    ]
}

fn good(id: &str, steps: Vec<Step>, text: &[u8]) -> Case {
    Case::new(id, steps, vec![Seen::Text(text.to_vec())], End::Clean)
}

fn bad_text(id: &str, steps: Vec<Step>, pongs: usize) -> Case {
    Case::new(id, steps, vec![Seen::Pong(Vec::new()); pongs], End::Failed(vec![INVALID_PAYLOAD]))
}

fn fragments_of(parts: &[&[u8]]) -> Vec<Step> {
    let last = parts.len() - 1;
    let frame = |(at, part): (usize, &&[u8])| {
        Frame { fin: at == last, ..Frame::new(if at == 0 { TEXT } else { 0 }, *part) }.into()
    };
    parts.iter().enumerate().map(frame).collect()
}

/// Chapters 6.5 to 6.23: each sequence and whether it is valid.
fn sequences() -> Vec<Vec<(bool, Vec<u8>)>> {
    let good = |list: &[&[u8]]| list.iter().map(|bytes| (true, bytes.to_vec())).collect::<Vec<_>>();
    let bad = |list: &[&[u8]]| list.iter().map(|bytes| (false, bytes.to_vec())).collect::<Vec<_>>();
    let incomplete: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let lonely = [(0xc0, 0xdf), (0xe0, 0xef), (0xf0, 0xf7), (0xf8, 0xfb), (0xfc, 0xfd)];
    let lonely =
        lonely.map(|(from, to)| (false, (from..to).flat_map(|byte: u8| [byte, b' ']).collect::<Vec<u8>>()));
    let mut continuations = bad(&[
        b"\x80",
        b"\xbf",
        b"\x80\xbf",
        b"\x80\xbf\x80",
        b"\x80\xbf\x80\xbf",
        b"\x80\xbf\x80\xbf\x80",
        b"\x80\xbf\x80\xbf\x80\xbf",
    ]);
    continuations.push((false, (0x80..0xbf).collect()));
    let mut boundaries = good(&[b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"]);
    boundaries.push((false, b"\xf4\x90\x80\x80".to_vec()));
    vec![
        good(&[
            "hello$world".as_bytes(),
            "hello¢world".as_bytes(),
            "hello€world".as_bytes(),
            "hello𤭢world".as_bytes(),
            KOSME,
        ]),
        (1..=KOSME.len())
            .map(|end| (std::str::from_utf8(KOSME).unwrap().is_char_boundary(end), KOSME[..end].to_vec()))
            .collect(),
        good(&[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
        bad(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        good(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
        bad(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        boundaries,
        continuations,
        lonely.to_vec(),
        bad(&incomplete),
        vec![(false, incomplete.concat())],
        bad(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        bad(&[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ]),
        bad(&[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ]),
        bad(&[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ]),
        bad(&[
            b"\xed\xa0\x80",
            b"\xed\xad\xbf",
            b"\xed\xae\x80",
            b"\xed\xaf\xbf",
            b"\xed\xb0\x80",
            b"\xed\xbe\x80",
            b"\xed\xbf\xbf",
        ]),
        bad(&[
            b"\xed\xa0\x80\xed\xb0\x80",
            b"\xed\xa0\x80\xed\xbf\xbf",
            b"\xed\xad\xbf\xed\xb0\x80",
            b"\xed\xad\xbf\xed\xbf\xbf",
            b"\xed\xae\x80\xed\xb0\x80",
            b"\xed\xae\x80\xed\xbf\xbf",
            b"\xed\xaf\xbf\xed\xb0\x80",
            b"\xed\xaf\xbf\xed\xbf\xbf",
        ]),
        // No characters, but valid: U+FFFE and U+FFFF of each plane.
        (0..=16_u32).flat_map(|plane| [0xFFFE, 0xFFFF].map(|low| plane << 16 | low)).map(encoded).collect(),
        (0xFFF9..=0xFFFF).map(encoded).collect(),
    ]
}

fn encoded(code_point: u32) -> (bool, Vec<u8>) {
    (true, char::from_u32(code_point).expect("a code point").to_string().into_bytes())
}
