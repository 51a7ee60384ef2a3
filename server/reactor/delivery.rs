//! One thing for all subscribers of a channel, and its encoded forms.

use super::connection::Wire;
use super::pressure::Load;
use super::{Compression, Limits};
use crate::broker::{ClientInfo, Publication, StreamPosition};
use crate::protocol::{self, Form, encode_push};
use crate::transport::framing::HEADROOM;
use crate::transport::websocket::deflate::Deflater;
use bytes::Bytes;
use gyre_proto::client;
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::Arc;

/// A message as it goes to the peer, shared by all connections of one shard that get the same bytes.
pub(super) type Frame = Rc<[u8]>;

/// A frame, and how long the message in it is before framing and compression.
pub(super) struct Encoded {
    pub(super) frame: Frame,
    pub(super) size: u64,
}

/// One thing for all subscribers of a channel.
pub(super) struct Delivery {
    pub(super) channel: Arc<str>,
    pub(super) kind: Kind,
}

/// What is delivered.
pub(super) enum Kind {
    Publication {
        publication: Arc<Publication>,
        position: StreamPosition,
        /// The publication before, when a delta may be sent.
        previous: Option<Arc<Publication>>,
    },
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
}

impl Delivery {
    /// What it adds to the deliveries that wait somewhere.
    pub(super) fn load(&self) -> Load {
        let bytes = match &self.kind {
            Kind::Publication { publication, .. } => publication.data.len(),
            Kind::Join(info) | Kind::Leave(info) => info.conn_info.len() + info.chan_info.len(),
        };
        Load { deliveries: 1, bytes }
    }
}

impl Delivery {
    /// Whether it is the publication right after `previous`, so that whoever wants one wants the other.
    pub(super) fn continues(&self, previous: &Self) -> bool {
        let (Kind::Publication { position, .. }, Kind::Publication { position: before, .. }) =
            (&self.kind, &previous.kind)
        else {
            return false;
        };
        let next = if before.offset == 0 { 0 } else { before.offset + 1 };
        position.offset == next && position.epoch == before.epoch && self.channel == previous.channel
    }
}

/// Which form a subscriber gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) wire: Wire,
    pub(super) form: Form,
}

/// The forms of one delivery that were needed so far. Made anew for each delivery, filled on demand.
#[derive(Default)]
pub(super) struct Forms {
    /// None for a form that cannot be made: the payload is no JSON.
    frames: SmallVec<[(Variant, Option<Encoded>); 2]>,
    patch: Option<Option<Bytes>>,
}

impl Forms {
    /// Returns the frame for `variant`, encoding it the first time; `None` when the payload is no JSON.
    pub(super) fn get(
        &mut self,
        delivery: &Delivery,
        variant: Variant,
        tools: &mut Encoder,
    ) -> Option<&Encoded> {
        let at = match self.frames.iter().position(|(known, _)| *known == variant) {
            Some(at) => at,
            None => {
                let push = self.push(delivery, variant);
                let frame = tools.frame_push(push, variant.wire);
                self.frames.push((variant, frame));
                self.frames.len() - 1
            }
        };
        self.frames[at].1.as_ref()
    }

    /// Whether a patch exists and is worth sending.
    pub(super) fn has_patch(&mut self, delivery: &Delivery) -> bool {
        self.patch(delivery).is_some()
    }

    fn patch(&mut self, delivery: &Delivery) -> Option<Bytes> {
        self.patch
            .get_or_insert_with(|| match &delivery.kind {
                Kind::Publication { publication, previous: Some(previous), .. } => {
                    protocol::patch(&previous.data, &publication.data).map(Bytes::from)
                }
                _ => None,
            })
            .clone()
    }

    fn push(&mut self, delivery: &Delivery, variant: Variant) -> client::Push {
        let mut push = client::Push { channel: delivery.channel.to_string(), ..Default::default() };
        match &delivery.kind {
            Kind::Publication { publication, position, .. } => {
                let mut message = protocol::client_publication(publication, &position.epoch);
                let json = variant.wire.encoding == protocol::Encoding::Json;
                // Subscribers with deltas know epoch and version from elsewhere; upstream leaves them out too.
                if variant.form == Form::Patch || (variant.form == Form::Full && json) {
                    message.epoch = String::new();
                    message.version = 0;
                }
                if variant.form == Form::Patch
                    && let Some(patch) = self.patch(delivery)
                {
                    message.data = patch;
                    message.delta = true;
                }
                if variant.form != Form::Plain && json {
                    message.data = protocol::text_payload(&message.data);
                }
                push.r#pub = Some(Box::new(message));
            }
            Kind::Join(info) => {
                push.join = Some(Box::new(client::Join { info: Some(info.as_ref().into()) }));
            }
            Kind::Leave(info) => {
                push.leave = Some(Box::new(client::Leave { info: Some(info.as_ref().into()) }));
            }
        }
        push
    }
}

/// What encoding needs and a shard has once.
pub(super) struct Encoder {
    scratch: Vec<u8>,
    compressed: Vec<u8>,
    compressor: Compressor,
    uni_compressor: Compressor,
}

/// Compression as one kind of connections has it.
struct Compressor {
    settings: Compression,
    /// Large, so made when first needed.
    deflater: Option<Deflater>,
}

impl Compressor {
    fn new(settings: Compression) -> Self {
        Self { settings, deflater: None }
    }

    /// Appends `message` compressed, if it is long enough for that.
    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        if message.len() <= self.settings.min_size {
            return false;
        }
        let deflater = self.deflater.get_or_insert_with(|| Deflater::new(self.settings.level));
        deflater.deflate(message, out);
        true
    }
}

impl Encoder {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            scratch: Vec::new(),
            compressed: Vec::new(),
            compressor: Compressor::new(limits.compression),
            uni_compressor: Compressor::new(limits.uni_compression),
        }
    }

    pub(super) fn frame_push(&mut self, push: client::Push, wire: Wire) -> Option<Encoded> {
        self.start();
        encode_push(push, wire.encoding, wire.unidirectional, &mut self.scratch).ok()?;
        Some(self.finish(wire))
    }

    pub(super) fn frame_reply(&mut self, reply: &client::Reply, wire: Wire) -> Option<Encoded> {
        self.start();
        protocol::encode_reply(reply, wire.encoding, &mut self.scratch).ok()?;
        Some(self.finish(wire))
    }

    pub(super) fn frame_ping(&mut self, wire: Wire) -> Encoded {
        self.start();
        protocol::encode_ping(wire.encoding, &mut self.scratch);
        self.finish(wire)
    }

    /// Leaves room for the longest header, so that header and payload end up side by side.
    fn start(&mut self) {
        self.scratch.clear();
        self.scratch.resize(HEADROOM, 0);
    }

    fn finish(&mut self, wire: Wire) -> Encoded {
        let payload = &self.scratch[HEADROOM..];
        let size = payload.len() as u64;
        let mut compress = wire.compression;
        if compress {
            let compressor =
                if wire.unidirectional { &mut self.uni_compressor } else { &mut self.compressor };
            self.compressed.clear();
            self.compressed.resize(HEADROOM, 0);
            compress = compressor.compress(payload, &mut self.compressed);
        }
        let buffer = if compress { &mut self.compressed } else { &mut self.scratch };
        let start = wire.framing.enclose(wire.encoding, compress, buffer);
        Encoded { frame: Rc::from(&buffer[start..]), size }
    }
}
