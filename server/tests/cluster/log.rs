//! What clients, publishers and the scenario itself saw, one line each, written while it happens and judged afterwards.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Microseconds since the start of a run.
pub type Micros = u64;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub enum Event {
    /// A publisher is about to send a message for the first time.
    Try { id: String, ch: Arc<str> },
    /// A publisher was told that its message is kept.
    Ack { id: String, ch: Arc<str>, epoch: String, offset: u64 },
    /// A publisher was told that its message is not kept, or was told nothing, after this many microseconds.
    Failed { node: Arc<str>, after: Micros, why: String },
    /// A subscription is there. `recovering` says whether the client had a position and asked for what followed it.
    Subscribed { who: u32, ch: Arc<str>, epoch: String, offset: u64, recovering: bool, recovered: bool },
    /// A publication was handed to the application.
    Got { who: u32, ch: Arc<str>, id: String, offset: u64 },
    /// The server ended a subscription.
    Left { who: u32, ch: Arc<str>, code: u32 },
    /// A connection stands.
    Connected { who: u32, node: Arc<str> },
    /// A connection could not be made.
    Unconnected { who: u32, node: Arc<str> },
    /// A connection ended; no code when it broke.
    Closed { who: u32, code: Option<u16> },
    /// The server showed that it is alive.
    Ping { who: u32 },
    /// `/ready` of a node answers something else than before.
    Readiness { node: Arc<str>, ready: bool },
    /// Memory of a node that is in use, in bytes.
    Memory { node: Arc<str>, rss: u64 },
    /// From here on nothing that others publish can reach this node.
    Deaf { node: Arc<str> },
    /// It can again.
    Hearing { node: Arc<str> },
    /// A node is told to end in good order.
    Leaving { node: Arc<str> },
    /// The process of a node is gone.
    Gone { node: Arc<str> },
    /// A node that was gone serves again.
    Serving { node: Arc<str> },
    /// Presence counts those who are there and nobody else.
    Present,
    /// The broker was asked so often for publications it keeps since clients lost their connections.
    Reads { count: u64 },
    /// The scenario begins to do harm.
    Fault { what: String },
    /// What the scenario broke is whole again.
    Healed { what: String },
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub t: Micros,
    #[serde(flatten)]
    pub event: Event,
}

/// A log file that all tasks of a run write to; the order of lines is that of the events.
pub struct Log {
    path: PathBuf,
    started: Instant,
    writer: Mutex<BufWriter<File>>,
}

impl Log {
    pub fn create(directory: &Path) -> std::io::Result<Self> {
        let path = directory.join("events.jsonl");
        let writer = Mutex::new(BufWriter::with_capacity(1 << 20, File::create(&path)?));
        Ok(Self { path, started: Instant::now(), writer })
    }

    pub fn write(&self, event: Event) {
        let event = serde_json::to_string(&event).expect("events have a JSON form");
        // The time is taken with the lock held, so that lines are in the order of their times.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let t = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        writeln!(writer, "{{\"t\":{t},{}", &event[1..]).expect("the log can be written");
    }

    /// Ends writing and gives the file to whoever judges it.
    pub fn finish(&self) -> std::io::Result<&Path> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).flush()?;
        Ok(&self.path)
    }
}
