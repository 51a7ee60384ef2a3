//! Lua scripts: named by their hash, sent in full only to a server that does not know them yet.

use super::resp::Command;
use sha1::{Digest, Sha1};

/// A script as it is kept in the program.
pub struct Script {
    body: &'static str,
    hash: String,
}

impl Script {
    /// Names a script.
    pub fn new(body: &'static str) -> Self {
        let digest = Sha1::digest(body.as_bytes());
        Self { body, hash: digest.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// A call by name.
    pub(super) fn by_hash(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Command {
        Self::call(b"EVALSHA", self.hash.as_bytes(), keys, arguments)
    }

    /// A call with the whole script, which the server remembers.
    pub(super) fn in_full(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> Command {
        Self::call(b"EVAL", self.body.as_bytes(), keys, arguments)
    }

    fn call(verb: &[u8], script: &[u8], keys: &[&[u8]], arguments: &[&[u8]]) -> Command {
        let mut count = itoa::Buffer::new();
        let head = [verb, script, count.format(keys.len()).as_bytes()];
        Command::new(head.into_iter().chain(keys.iter().copied()).chain(arguments.iter().copied()))
    }
}
