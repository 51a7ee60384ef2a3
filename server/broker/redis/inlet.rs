//! From messages of Redis to what the receiver understands.

use super::tails::Tails;
use super::wire::{Arrival, read_arrival};
use super::witness::{Sighting, Witness};
use crate::broker::Receiver;
use crate::stores::redis::{Listener, Slots};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// Least time between two log lines about messages that cannot be read.
const COMPLAIN_EVERY: Duration = Duration::from_secs(30);

/// Whether a channel is among some.
pub(super) type Concerned = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Told for which channels another server may answer than before.
pub(super) type Elsewhere = Box<dyn Fn(Concerned) + Send + Sync>;

/// Hands on what arrives.
#[derive(Default)]
pub(super) struct Inlet {
    /// Set once, when the receiver exists; nothing is subscribed before.
    pub(super) receiver: OnceLock<Arc<dyn Receiver>>,
    /// Whoever delivers when Redis does not. Set once, before anything is subscribed.
    pub(super) elsewhere: OnceLock<Elsewhere>,
    complained: Mutex<Option<Instant>>,
}

/// What one Redis says.
pub(super) struct Mouth {
    pub(super) inlet: Arc<Inlet>,
    pub(super) witness: Arc<Witness>,
    pub(super) tails: Arc<Tails>,
}

impl Inlet {
    /// Another program may publish in our channels; one line in a while is enough to tell.
    fn complain(&self, channel: &str, error: &dyn std::error::Error) {
        let mut complained = self.complained.lock();
        if complained.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            tracing::warn!(%error, channel, "message from redis cannot be read");
        }
    }
}

impl Listener for Mouth {
    fn message(&self, name: &Arc<str>, payload: Bytes) {
        let Some(receiver) = self.inlet.receiver.get() else { return };
        match read_arrival(payload) {
            Ok(Arrival::Publication { publication, position, delta, previous }) => {
                self.witness.saw(name, &publication, &position, Sighting::Heard);
                let publication = Arc::new(publication);
                self.tails.arrived(name, &publication, &position.epoch);
                receiver.publication(name, publication, position, delta, previous.map(Arc::new));
            }
            Ok(Arrival::Join(info)) => receiver.join(name, Arc::new(info)),
            Ok(Arrival::Leave(info)) => receiver.leave(name, Arc::new(info)),
            Err(error) => self.inlet.complain(name, &error),
        }
    }

    fn back(&self) {
        self.witness.doubt(&Slots::all());
        self.tails.forget_all();
    }

    fn gap(&self, name: &Arc<str>) {
        self.witness.keep(name);
        self.tails.forget(name);
        if let Some(receiver) = self.inlet.receiver.get() {
            receiver.gap(name);
        }
    }
}
