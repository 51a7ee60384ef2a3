//! Deltas made here and elsewhere, applied here; damaged deltas refused.

use super::*;
use base64::prelude::{BASE64_STANDARD, Engine};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

#[track_caller]
fn check(previous: &[u8], next: &[u8], expected: &str) {
    let delta = create(previous, next);
    assert_eq!(String::from_utf8_lossy(&delta), expected);
    assert_eq!(apply(previous, &delta, LIMIT).as_deref(), Ok(next));
}

#[test]
fn what_both_ends_share_is_copied() {
    check(
        br#"{"price":100,"symbol":"GYRE","exchange":"somewhere"}"#,
        br#"{"price":1010,"symbol":"GYRE","exchange":"somewhere"}"#,
        "q\nB@0,1:1e@B,EkLRk;",
    );
}

#[test]
fn equal_payloads_are_one_copy() {
    check(b"0123456789abcdef", b"0123456789abcdef", "G\nG@0,12xn;");
}

#[test]
fn payloads_without_much_in_common_are_inserted() {
    check(b"", b"", "0\n0;");
    check(b"", b"abc", "3\n3:abc1XObC0;");
    check(b"abcdefgh", b"", "0\n0;");
    check(b"abc", b"abd", "3\n3:abd1XObG0;");
}

#[test]
fn moved_parts_are_found() {
    let (first, second) = ("first part, long enough; ", "and a second one as well; ");
    let previous = format!("{first}{second}");
    let next = format!("{second}{first}");
    let delta = create(previous.as_bytes(), next.as_bytes());
    assert!(delta.len() < 30, "{}", String::from_utf8_lossy(&delta));
    assert_eq!(apply(previous.as_bytes(), &delta, LIMIT).as_deref(), Ok(next.as_bytes()));
}

#[test]
fn a_change_in_place_among_repetitions_costs_little() {
    let list = |changed: &[usize]| {
        let items: Vec<String> = (0..100)
            .map(|number| {
                let state = if changed.contains(&number) { "closed" } else { "opened" };
                format!(r#"{{"kind":"order","state":"{state}","note":"always the same"}}"#)
            })
            .collect();
        format!("[{}]", items.join(","))
    };
    let (previous, next) = (list(&[]), list(&[10, 50, 90]));
    let delta = create(previous.as_bytes(), next.as_bytes());
    assert!(delta.len() < 80, "{}", String::from_utf8_lossy(&delta));
    assert_eq!(apply(previous.as_bytes(), &delta, LIMIT).as_deref(), Ok(next.as_bytes()));
}

/// Vectors (previous, next, delta in base64) were made with the `fossil-delta` implementation that the reference server uses.
#[test]
fn deltas_made_elsewhere_apply() {
    let vectors: Vec<[String; 3]> =
        serde_json::from_str(include_str!("vectors.json")).expect("vectors are JSON");
    assert!(vectors.len() >= 8);
    for [previous, next, delta] in vectors {
        let delta = BASE64_STANDARD.decode(delta).expect("the delta is base64");
        let made = apply(previous.as_bytes(), &delta, LIMIT).expect("the vector applies");
        assert_eq!(String::from_utf8_lossy(&made), next);
    }
}

#[test]
fn damaged_deltas_are_refused() {
    let previous = b"0123456789abcdef";
    let cases: &[(&[u8], DeltaError)] = &[
        (b"", DeltaError::EndsEarly),
        (b"3", DeltaError::EndsEarly),
        (b"3\n", DeltaError::EndsEarly),
        (b"3\n3", DeltaError::EndsEarly),
        (b"3\n3:ab", DeltaError::EndsEarly),
        (b"3\n3:abc", DeltaError::EndsEarly),
        (b"3\n3@0", DeltaError::EndsEarly),
        (b"3;", DeltaError::UnexpectedByte { byte: b';', position: 1 }),
        (b"3\n3?abc", DeltaError::UnexpectedByte { byte: b'?', position: 3 }),
        (b"3\n3@0;", DeltaError::UnexpectedByte { byte: b';', position: 5 }),
        (b"~~~~~~\n", DeltaError::NumberTooLarge { position: 5 }),
        (b"G1\n", DeltaError::TooLarge { size: 1025, limit: 1024 }),
        (b"3\n3@F,", DeltaError::CopyOutside { count: 3, offset: 15, size: 16 }),
        (b"3\n3@3~~~~~,", DeltaError::CopyOutside { count: 3, offset: u32::MAX as usize, size: 16 }),
        (b"3\n4@0,", DeltaError::SizeDiffers { actual: 4, announced: 3 }),
        (b"3\n4:abcd", DeltaError::SizeDiffers { actual: 4, announced: 3 }),
        (b"3\n2:ab2:ab", DeltaError::SizeDiffers { actual: 4, announced: 3 }),
        (b"3\n2:ab0;", DeltaError::SizeDiffers { actual: 2, announced: 3 }),
        (b"3\n3:abc1;", DeltaError::ChecksumDiffers { actual: 0x6162_6300, expected: 1 }),
    ];
    for (delta, expected) in cases {
        let text = String::from_utf8_lossy(delta);
        assert_eq!(apply(previous, delta, 1024).as_ref(), Err(expected), "{text:?}");
    }
}

/// Two payloads of which the second is cut and pasted from the first, with new bytes between.
fn related<T: Clone + std::fmt::Debug + 'static>(
    unit: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
    let piece = (any::<prop::sample::Index>(), 0..100usize, prop::collection::vec(unit.clone(), 0..12));
    (prop::collection::vec(unit, 1..600), prop::collection::vec(piece, 0..12)).prop_map(
        |(previous, pieces)| {
            let mut next = Vec::new();
            for (start, length, new) in pieces {
                let start = start.index(previous.len());
                next.extend_from_slice(&previous[start..previous.len().min(start + length)]);
                next.extend(new);
            }
            (previous, next)
        },
    )
}

proptest! {
    #[test]
    fn bytes_survive((previous, next) in related(any::<u8>())) {
        prop_assert_eq!(apply(&previous, &create(&previous, &next), LIMIT), Ok(next));
    }

    #[test]
    fn repetitive_bytes_survive((previous, next) in related(0..3u8)) {
        prop_assert_eq!(apply(&previous, &create(&previous, &next), LIMIT), Ok(next));
    }

    #[test]
    fn deltas_between_texts_are_text(
        (previous, next) in related(prop::sample::select(vec!['a', 'b', 'ä', 'ö', '€', '∞', '🦀', '🦞']))
    ) {
        let (previous, next) = (String::from_iter(previous), String::from_iter(next));
        let delta = create(previous.as_bytes(), next.as_bytes());
        prop_assert!(std::str::from_utf8(&delta).is_ok());
        prop_assert_eq!(apply(previous.as_bytes(), &delta, LIMIT), Ok(next.into_bytes()));
    }

    #[test]
    fn garbage_is_answered_with_an_error_or_a_bounded_result(
        previous in prop::collection::vec(any::<u8>(), 0..64),
        delta in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = apply(&previous, &delta, 1024).map(|made| assert!(made.len() <= 1024));
    }

    #[test]
    fn plausible_garbage_is_answered_with_an_error_or_a_bounded_result(
        previous in prop::collection::vec(any::<u8>(), 0..64),
        delta in "[0-9A-Ga-c~]{0,3}\n([0-9A-Z~]{0,6}[@:;,][0-9A-Z~]{0,6}[,:;]?){0,6}",
    ) {
        let _ = apply(&previous, delta.as_bytes(), 1024).map(|made| assert!(made.len() <= 1024));
    }

    #[test]
    fn a_delta_for_another_payload_is_refused(
        (previous, next) in related(any::<u8>()),
        at in any::<prop::sample::Index>(),
    ) {
        let delta = create(&previous, &next);
        let mut other = previous.clone();
        let at = at.index(other.len());
        other[at] ^= 1;
        // A byte that no command copies makes no difference; a wrong result never passes.
        let made = apply(&other, &delta, LIMIT);
        prop_assert!(made.is_err() || made == Ok(next));
    }
}
