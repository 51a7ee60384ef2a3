//! The cases, by the chapters of the suite.

mod close;
mod compression;
mod fragments;
mod framing;
mod limits;
mod rules;
mod utf8;

use crate::case::Case;

/// All cases in the order of their numbers.
pub fn all() -> Vec<Case> {
    [
        framing::cases(),
        rules::cases(),
        fragments::cases(),
        utf8::cases(),
        close::cases(),
        limits::cases(),
        compression::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
