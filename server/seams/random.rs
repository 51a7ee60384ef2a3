//! Chance: identifiers and stream epochs.

use rand::Rng;

/// Makes a random UUID, version 4.
pub fn random_id() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}

/// Makes a stream epoch: eight random ASCII letters, as every engine of this protocol writes them.
pub fn random_epoch() -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut random = rand::rng();
    (0..8).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}
