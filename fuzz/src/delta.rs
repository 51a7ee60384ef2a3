//! Fossil deltas.

use gyre::protocol::delta as fossil;

/// Applies arbitrary deltas, and makes deltas that must lead to what they were made for.
pub fn delta(data: &[u8]) {
    const LIMIT: usize = 64 * 1024;
    let (previous, rest) = super::halves(data);
    if let Ok(made) = fossil::apply(previous, rest, LIMIT) {
        assert!(made.len() <= LIMIT);
    }
    let patch = fossil::create(previous, rest);
    assert_eq!(fossil::apply(previous, &patch, LIMIT.max(rest.len())).as_deref(), Ok(rest));
    // Halves of one text have more in common than two texts.
    let (first, second) = rest.split_at(rest.len() / 2);
    let patch = fossil::create(first, second);
    assert_eq!(fossil::apply(first, &patch, LIMIT.max(rest.len())).as_deref(), Ok(second));
}
