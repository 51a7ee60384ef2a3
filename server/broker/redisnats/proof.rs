//! What NATS took and does not surely carry to others.
//!
//! A publication is in the history before it is sent over NATS. When the connection ends in between, or with it in
//! its buffers, nobody hears of it before the next one comes. Channels are remembered here until the server proved
//! that it has all that was sent, and otherwise all nodes are asked to compare positions.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// Channels remembered; others wait for their next publication.
const MOST: usize = 100_000;

/// Channels with publications that were not proved.
#[derive(Default)]
pub(super) struct Unproved {
    /// By channel, how many connections had ended when the oldest of them was sent. Held for one access.
    sent: Mutex<HashMap<Arc<str>, u64>>,
}

impl Unproved {
    /// A publication is about to be sent after so many connections ended.
    pub(super) fn sending(&self, channel: &Arc<str>, losses: u64) {
        let mut sent = self.sent.lock();
        if sent.len() < MOST {
            let before = sent.entry(channel.clone()).or_insert(losses);
            *before = losses.min(*before);
        }
    }

    /// Takes channels whose publications can be proved after so many losses, and those whose cannot any more.
    pub(super) fn take(&self, losses: u64) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (mut provable, mut doubtful) = (Vec::new(), Vec::new());
        for (channel, sent) in std::mem::take(&mut *self.sent.lock()) {
            if sent == losses { &mut provable } else { &mut doubtful }.push(channel);
        }
        (provable, doubtful)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_publication_of_a_channel_decides() {
        let (unproved, channel) = (Unproved::default(), Arc::<str>::from("a"));
        unproved.sending(&channel, 0);
        unproved.sending(&channel, 1);
        unproved.sending(&"b".into(), 1);
        assert_eq!(unproved.take(1), (vec!["b".into()], vec![channel]));
        assert_eq!(unproved.take(1), (Vec::new(), Vec::new()), "what was taken is not remembered");
    }
}
