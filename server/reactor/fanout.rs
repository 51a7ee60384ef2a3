//! One delivery to many subscribers.

use super::connection::{Connection, Key, Phase};
use super::delivery::{Delivery, Encoded, Encoder, Forms, Frame, Kind, Variant};
use super::shard::Shard;
use super::subscribers::Subscriber;
use super::telemetry;
use crate::observability::{self, ShardMetrics, Transport};
use crate::protocol::{Encoding, Form};
use gyre_proto::codes::DisconnectCode;
use slab::Slab;
use std::sync::Arc;
use std::time::Instant;

impl Shard {
    pub(super) fn deliver(&mut self, delivery: &Arc<Delivery>) {
        let Some(index) = self.channels.find(&delivery.channel) else { return };
        let channel = self.channels.get_mut(index);
        let is_publication = matches!(delivery.kind, Kind::Publication { .. });
        if is_publication {
            channel.last_delivery = Some(self.now.instant);
        }
        channel.hold(delivery);
        let late = self.environment.limits.position_max_lag;
        let too_late = match &delivery.kind {
            Kind::Publication { publication, .. } if !late.is_zero() => {
                self.now.unix.0 as i64 - publication.time > late.as_millis() as i64
            }
            _ => false,
        };
        let started = Instant::now();
        let mut forms = Forms::default();
        let mut out = Out {
            connections: &mut self.connections,
            dirty: &mut self.dirty,
            failing: &mut self.failing,
            sent: Sent::default(),
            limit: self.environment.limits.queue_max_size,
            over_budget: self.waiting_bytes > self.environment.limits.outbound_budget,
        };
        for subscriber in &mut channel.subscribers {
            if subscriber.holding {
                continue;
            }
            if too_late && subscriber.flags.positioned {
                self.behind.push((subscriber.key, channel.name.clone()));
                continue;
            }
            match deliver_to(subscriber, delivery, &mut forms, &mut self.encoder, &mut out) {
                Reached::Yes => {}
                Reached::Behind => self.behind.push((subscriber.key, channel.name.clone())),
            }
        }
        self.queued_frames += out.sent.messages();
        let (frame, message) = telemetry::delivery(&delivery.kind);
        out.sent.count(frame, &self.metrics);
        self.metrics.broadcast(message, started.elapsed());
    }

    /// Gives one subscriber what was held back for it.
    pub(super) fn deliver_held(&mut self, key: Key, channel: &str, held: &[Arc<Delivery>]) {
        for delivery in held {
            let Some(index) = self.channels.find(channel) else { return };
            let Some(place) = self.connection(key).and_then(|connection| connection.place(index)) else {
                return;
            };
            let channel = self.channels.get_mut(index);
            let subscriber = &mut channel.subscribers[place.at as usize];
            let mut out = Out {
                connections: &mut self.connections,
                dirty: &mut self.dirty,
                failing: &mut self.failing,
                sent: Sent::default(),
                limit: self.environment.limits.queue_max_size,
                over_budget: false,
            };
            let reached =
                deliver_to(subscriber, delivery, &mut Forms::default(), &mut self.encoder, &mut out);
            let (frame, _) = telemetry::delivery(&delivery.kind);
            out.sent.count(frame, &self.metrics);
            if reached == Reached::Behind {
                self.behind.push((key, channel.name.clone()));
                return;
            }
        }
    }

    pub(super) fn tell_behind(&mut self) {
        for (key, channel) in std::mem::take(&mut self.behind) {
            self.input(key, |session, cx| session.on_insufficient_state(&channel, cx));
        }
    }

    pub(super) fn tell_failing(&mut self) {
        for (key, code) in std::mem::take(&mut self.failing) {
            self.input(key, |session, cx| session.close(code, cx));
        }
    }

    pub(super) fn send(&mut self, key: Key, frame: Frame) {
        let mut out = Out {
            connections: &mut self.connections,
            dirty: &mut self.dirty,
            failing: &mut self.failing,
            sent: Sent::default(),
            limit: self.environment.limits.queue_max_size,
            over_budget: false,
        };
        out.push(key, frame, 0);
    }

    /// Queues one message of the protocol.
    pub(super) fn send_encoded(&mut self, key: Key, encoded: Encoded, kind: observability::Frame) {
        if let Some(name) = self.connection(key).map(|connection| connection.name) {
            self.metrics.sent(name, kind, 1, encoded.size);
        }
        self.send(key, encoded.frame);
    }
}

/// What one delivery came to.
#[derive(Default)]
struct Sent {
    /// Messages and their bytes for each transport.
    traffic: [(u64, u64); Transport::COUNT],
    filtered: u64,
}

impl Sent {
    fn messages(&self) -> u64 {
        self.traffic.iter().map(|(messages, _)| messages).sum()
    }

    fn count(&self, frame: observability::Frame, metrics: &ShardMetrics) {
        for (transport, (messages, bytes)) in Transport::ALL.iter().zip(self.traffic) {
            if messages > 0 {
                metrics.sent(*transport, frame, messages, bytes);
            }
        }
        if self.filtered > 0 {
            metrics.filtered(self.filtered);
        }
    }
}

/// Where frames go, apart from the rest of the shard so that subscribers can be walked at the same time.
struct Out<'a> {
    connections: &'a mut Slab<Connection>,
    dirty: &'a mut Vec<Key>,
    failing: &'a mut Vec<(Key, DisconnectCode)>,
    sent: Sent,
    limit: usize,
    over_budget: bool,
}

impl Out<'_> {
    fn push(&mut self, key: Key, frame: Frame, size: u64) {
        let Some(connection) = self.connections.get_mut(key.slot as usize) else { return };
        if connection.key != key || connection.too_slow {
            return;
        }
        let (messages, bytes) = &mut self.sent.traffic[connection.name as usize];
        *messages += 1;
        *bytes += size;
        let waiting = connection.outbox.push(frame);
        let too_much = (self.limit > 0 && waiting > self.limit) || (self.over_budget && connection.blocked);
        if too_much && connection.phase == Phase::Open {
            connection.too_slow = true;
            self.failing.push((key, DisconnectCode::Slow));
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }
}

/// What became of a delivery to one subscriber.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It has the publication, or does not want it.
    Yes,
    /// A publication before this one is missing.
    Behind,
}

fn deliver_to(
    subscriber: &mut Subscriber,
    delivery: &Delivery,
    forms: &mut Forms,
    encoder: &mut Encoder,
    out: &mut Out<'_>,
) -> Reached {
    let mut form = Form::Plain;
    match &delivery.kind {
        Kind::Publication { publication, position, previous } => {
            if subscriber.flags.positioned && position.offset > 0 {
                if subscriber.epoch.is_none() {
                    subscriber.epoch = position.epoch.clone();
                }
                if subscriber.epoch != position.epoch || position.offset > subscriber.offset + 1 {
                    return Reached::Behind;
                }
                if position.offset <= subscriber.offset {
                    return Reached::Yes;
                }
                subscriber.offset = position.offset;
            }
            if let Some(filter) = &subscriber.filter
                && !filter.matches(publication.tags.as_deref())
            {
                out.sent.filtered += 1;
                return Reached::Yes;
            }
            if subscriber.flags.delta {
                // A patch needs the publication before it, which only positions can prove.
                let provable = subscriber.flags.positioned && position.offset > 0;
                let patch =
                    provable && subscriber.delta_ready && previous.is_some() && forms.has_patch(delivery);
                form = if patch { Form::Patch } else { Form::Full };
                subscriber.delta_ready = provable;
            }
        }
        Kind::Join(_) | Kind::Leave(_) => {
            if !subscriber.flags.join_leave {
                return Reached::Yes;
            }
        }
    }
    match forms.get(delivery, Variant { wire: subscriber.wire, form }, encoder) {
        Some(encoded) => out.push(subscriber.key, encoded.frame.clone(), encoded.size),
        None => {
            debug_assert_eq!(subscriber.wire.encoding, Encoding::Json);
            out.failing.push((subscriber.key, DisconnectCode::InappropriateProtocol));
        }
    }
    Reached::Yes
}
