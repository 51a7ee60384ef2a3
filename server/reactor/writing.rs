//! Flushing what waits, and what happens when its time comes.

use super::connection::{Key, Phase};
use super::outbox::Flushed;
use super::shard::Shard;
use crate::transport::websocket::frame::{self, Opcode};
use gyre_proto::codes::DisconnectCode;
use std::rc::Rc;
use std::time::Instant;

impl Shard {
    pub(super) fn mark_dirty(&mut self, key: Key) {
        if let Some(connection) = self.connection(key)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut write_buffer = std::mem::take(&mut self.write_buffer);
        for key in dirty.drain(..) {
            self.flush(key, &mut write_buffer);
        }
        self.write_buffer = write_buffer;
        // Flushing may have closed connections, whose last words go out in the next turn.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
        self.tell_failing();
    }

    pub(super) fn flush(&mut self, key: Key, write_buffer: &mut Vec<u8>) {
        let now = self.now.instant;
        let Some(name) = self.connection(key).map(|connection| connection.name) else { return };
        let timeout = self.environment.limits.of(name).write_timeout;
        let Some(connection) = self.connection(key) else { return };
        connection.dirty = false;
        let flushed = connection.outbox.flush(&mut connection.link, write_buffer);
        let after = connection.outbox.bytes();
        let flushed = match flushed {
            Ok(Flushed::All) => match connection.link.flush_records() {
                Ok(true) => Ok(Flushed::All),
                Ok(false) => Ok(Flushed::Blocked { progress: false }),
                Err(error) => Err(error),
            },
            other => other,
        };
        match flushed {
            Ok(Flushed::All) => {
                connection.blocked = false;
                if connection.phase == Phase::Open {
                    connection.deadline = None;
                }
                let done = connection.phase == Phase::Finishing;
                // The peer learns at once that nothing follows, and what it still sends is read, so that the
                // system does not reset the connection before the close frame has arrived.
                let ended = connection.deaf && connection.link.end_writing().is_err();
                let waited = std::mem::take(&mut connection.counted);
                self.waiting_bytes -= waited;
                if done || ended {
                    self.remove(key);
                }
            }
            Ok(Flushed::Blocked { progress }) => {
                connection.blocked = true;
                if connection.phase == Phase::Open
                    && !timeout.is_zero()
                    && (progress || connection.deadline.is_none())
                {
                    connection.deadline = Some(now + timeout);
                }
                let waited = std::mem::replace(&mut connection.counted, after);
                self.waiting_bytes = self.waiting_bytes + after - waited;
                self.reschedule(key);
            }
            Err(_) => self.peer_gone(key),
        }
    }

    /// Makes sure the timer heap wakes the connection in time.
    pub(super) fn reschedule(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        if let Some(next) = connection.next_deadline()
            && connection.scheduled.is_none_or(|scheduled| next < scheduled)
        {
            connection.scheduled = Some(next);
            self.timers.push(next, key);
        }
    }

    pub(super) fn fire_timers(&mut self) {
        let now = self.now.instant;
        while let Some(key) = self.timers.pop(now) {
            let Some(connection) = self.connection(key) else { continue };
            // An entry for an earlier plan may come up after a newer one was made.
            if connection.scheduled.is_some_and(|scheduled| scheduled <= now) {
                connection.scheduled = None;
            }
            self.isolated(Some(key), |shard| shard.on_deadline(key, now));
            self.reschedule(key);
        }
    }

    pub(super) fn on_deadline(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connection(key) else { return };
        if connection.deadline.is_some_and(|deadline| deadline <= now) {
            connection.deadline = None;
            match connection.phase {
                Phase::Open => {
                    return self.input(key, |session, cx| session.close(DisconnectCode::WriteError, cx));
                }
                Phase::Lingering | Phase::Finishing => {
                    self.input(key, |session, cx| session.close(DisconnectCode::ConnectionClosed, cx));
                    return self.remove(key);
                }
            }
        }
        if connection.session.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.input(key, |session, cx| session.on_timer(cx));
        }
        let Some(connection) = self.connection(key) else { return };
        if let Some(ping) = &mut connection.native_ping {
            if ping.deadline <= now {
                return self.peer_gone(key);
            }
            if ping.next <= now {
                ping.next = now + ping.interval;
                if ping.strict {
                    ping.deadline = now + ping.timeout;
                }
                let mut frame = Vec::with_capacity(2);
                frame::write_header(&mut frame, Opcode::Ping, false, 0);
                self.send(key, Rc::from(frame));
            }
        }
    }
}
