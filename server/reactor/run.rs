//! Publications of one channel that follow each other and are delivered together.
//!
//! Most subscribers get all of them as they are. Their frames are put side by side once, and each of these
//! subscribers gets one reference: its connection is touched once, and what it gets is written from where it is.

use super::connection::Wire;
use super::delivery::{Delivery, Encoder, Forms, Frame, Kind, Variant};
use super::subscribers::Subscriber;
use crate::broker::{Epoch, StreamPosition};
use crate::protocol::Form;
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::Arc;

/// Most publications of one run.
const LENGTH: usize = 128;

/// Bytes of payload after which a run takes no more, so that what waits for a slow peer is cut into pieces.
const SIZE: usize = 16 * 1024;

/// Whether a run of these deliveries may go on with `next`.
pub(super) fn goes_on(run: &[Arc<Delivery>], next: &Delivery) -> bool {
    let size: usize = run.iter().map(|delivery| delivery.load().bytes).sum();
    run.len() < LENGTH && size < SIZE && run.last().is_some_and(|last| next.continues(last))
}

/// One or more deliveries that follow each other, with the forms that were needed so far.
pub(super) struct Run<'a> {
    deliveries: &'a [Arc<Delivery>],
    forms: SmallVec<[Forms; 1]>,
    /// None for a wire that one of them cannot be encoded for.
    bundles: SmallVec<[(Wire, Option<Bundle>); 2]>,
    /// Offsets and epoch when these are publications.
    span: Option<Span<'a>>,
}

/// All frames of a run for one wire, side by side.
pub(super) struct Bundle {
    pub(super) frame: Frame,
    pub(super) messages: u64,
    /// Bytes of the messages before framing and compression.
    pub(super) size: u64,
}

struct Span<'a> {
    first: u64,
    last: u64,
    epoch: &'a Epoch,
}

impl<'a> Run<'a> {
    /// Takes deliveries of which each continues the one before.
    pub(super) fn new(deliveries: &'a [Arc<Delivery>]) -> Self {
        let position = |delivery: Option<&'a Arc<Delivery>>| match &delivery?.kind {
            Kind::Publication { position, .. } => Some(position),
            Kind::Join(_) | Kind::Leave(_) => None,
        };
        let (first, last) = (position(deliveries.first()), position(deliveries.last()));
        let span = first.zip(last).map(|(first, last): (&StreamPosition, &StreamPosition)| Span {
            first: first.offset,
            last: last.offset,
            epoch: &first.epoch,
        });
        let forms = deliveries.iter().map(|_| Forms::default()).collect();
        Self { deliveries, forms, bundles: SmallVec::new(), span }
    }

    /// The frames of all deliveries, if this subscriber gets all of them as they are; its position moves on.
    pub(super) fn whole(&mut self, subscriber: &mut Subscriber, encoder: &mut Encoder) -> Option<&Bundle> {
        let span = self.span.as_ref()?;
        if subscriber.filter.is_some() || subscriber.flags.delta {
            return None;
        }
        let counts = subscriber.flags.positioned && span.first > 0;
        if counts && (subscriber.offset + 1 != span.first || subscriber.epoch != *span.epoch) {
            return None;
        }
        let last = span.last;
        let at = match self.bundles.iter().position(|(wire, _)| *wire == subscriber.wire) {
            Some(at) => at,
            None => {
                let bundle = self.bundle(subscriber.wire, encoder);
                self.bundles.push((subscriber.wire, bundle));
                self.bundles.len() - 1
            }
        };
        let bundle = self.bundles[at].1.as_ref()?;
        if counts {
            subscriber.offset = last;
        }
        Some(bundle)
    }

    /// Each delivery with its forms, oldest first.
    pub(super) fn each(&mut self) -> impl Iterator<Item = (&'a Arc<Delivery>, &mut Forms)> {
        self.deliveries.iter().zip(&mut self.forms)
    }

    fn bundle(&mut self, wire: Wire, encoder: &mut Encoder) -> Option<Bundle> {
        let variant = Variant { wire, form: Form::Plain };
        let mut size = 0;
        let mut together = Vec::new();
        let single = self.deliveries.len() == 1;
        for (delivery, forms) in self.deliveries.iter().zip(&mut self.forms) {
            let encoded = forms.get(delivery, variant, encoder)?;
            size += encoded.size;
            if single {
                return Some(Bundle { frame: encoded.frame.clone(), messages: 1, size });
            }
            together.extend_from_slice(&encoded.frame);
        }
        Some(Bundle { frame: Rc::from(together), messages: self.deliveries.len() as u64, size })
    }
}
