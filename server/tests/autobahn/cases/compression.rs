//! Chapters 12 and 13: permessage-deflate with different payloads and different parameters.
//!
//! The suite sends windows of files; these are made here, with the same kinds of content.

use crate::case::{BINARY, Case, Deflate, End, Seen, Step, TEXT};

/// Size of messages and of their frames; zero sends them whole.
const SIZES: [(usize, usize); 18] = [
    (16, 0),
    (64, 0),
    (256, 0),
    (1024, 0),
    (4096, 0),
    (8192, 0),
    (16384, 0),
    (32768, 0),
    (65536, 0),
    (131072, 0),
    (8192, 256),
    (16384, 256),
    (32768, 256),
    (65536, 256),
    (131072, 256),
    (131072, 1024),
    (131072, 4096),
    (131072, 32768),
];

/// Messages of one case; the suite, which measures speed, sends a thousand.
const MESSAGES: usize = 8;

const PLAIN: &str = "permessage-deflate; client_no_context_takeover; client_max_window_bits";

const ACCEPTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Offers of chapter 13 and their answers. A smaller window than the one publications are compressed with
/// cannot be promised, so such offers are declined and the next one counts.
const OFFERS: [(&str, Option<&str>); 7] = [
    (PLAIN, Some(ACCEPTED)),
    (
        "permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover",
        Some(ACCEPTED),
    ),
    (
        "permessage-deflate; client_no_context_takeover; client_max_window_bits; server_max_window_bits=9",
        None,
    ),
    (
        "permessage-deflate; client_no_context_takeover; client_max_window_bits; server_max_window_bits=15",
        Some(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
        ),
    ),
    ("permessage-deflate; server_no_context_takeover; server_max_window_bits=9", None),
    (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
        Some(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
        ),
    ),
    (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate",
        Some(ACCEPTED),
    ),
];

pub fn cases() -> Vec<Case> {
    let contents: [(u8, Vec<u8>); 5] =
        [(TEXT, json()), (BINARY, picture()), (BINARY, prose()), (TEXT, html()), (BINARY, noise())];
    let mut cases = Vec::new();
    for (chapter, (opcode, content)) in (1..).zip(&contents) {
        for (number, size) in (1..).zip(SIZES) {
            cases.push(case(format!("12.{chapter}.{number}"), *opcode, content, size, OFFERS[0]));
        }
    }
    for (chapter, offer) in (1..).zip(OFFERS) {
        for (number, size) in (1..).zip(SIZES) {
            cases.push(case(format!("13.{chapter}.{number}"), contents[0].0, &contents[0].1, size, offer));
        }
    }
    cases
}

fn case(
    id: String,
    opcode: u8,
    content: &[u8],
    (size, fragment): (usize, usize),
    (offer, answer): (&'static str, Option<&'static str>),
) -> Case {
    let window = |at: usize| -> Vec<u8> {
        content.iter().cycle().skip(at * size % content.len()).take(size).copied().collect()
    };
    let messages: Vec<Vec<u8>> = (0..MESSAGES).map(window).collect();
    let once = |(at, payload): (usize, &Vec<u8>)| {
        [Step::Message { opcode, payload: payload.clone() }, Step::Await(at + 1)]
    };
    let steps = messages.iter().enumerate().flat_map(once).collect();
    let seen = |payload| if opcode == TEXT { Seen::Text(payload) } else { Seen::Binary(payload) };
    let mut case = Case::new(id, steps, messages.into_iter().map(seen).collect(), End::Clean);
    case.deflate = Some(Deflate { offer, answer, fragment });
    case
}

fn json() -> Vec<u8> {
    let record = |at: u32| {
        format!("{{\"id\":{at},\"name\":\"user-{}\",\"score\":{}}},\n", at * 7919 % 1000, at * 31 % 977)
    };
    (0..4000).map(record).collect::<String>().into_bytes()
}

fn picture() -> Vec<u8> {
    (0..512_u32 * 512).map(|at| ((at % 512 / 4) ^ (at / 512 / 8)) as u8).collect()
}

fn prose() -> Vec<u8> {
    let words =
        ["Habe", "nun", "ach", "Philosophie", "Juristerei", "und", "Medizin", "durchaus", "studiert\n"];
    (0..30_000_usize)
        .flat_map(|at| [words[(at * at + at / 3) % words.len()], " "])
        .collect::<String>()
        .into_bytes()
}

fn html() -> Vec<u8> {
    let row =
        |at: u32| format!("<tr class=\"row-{}\"><td>{at}</td><td>{}</td></tr>\n", at % 2, at * at % 1013);
    (0..4000).map(row).collect::<String>().into_bytes()
}

fn noise() -> Vec<u8> {
    let step = |state: &mut u64| {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        Some((*state >> 33) as u8)
    };
    std::iter::repeat_n((), 200_000).scan(1_u64, |state, ()| step(state)).collect()
}
