//! Scenario files: what runs, what is broken when, and what must hold, as data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::bars::{Bar, Bars};
use crate::broker::BrokerKind;
use crate::verdict::Kind;

/// The long form, for nightly runs.
pub fn nightly() -> bool {
    std::env::var("GYRE_NIGHTLY").is_ok_and(|value| value == "1")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    /// What the file covers, for the reader.
    #[serde(rename = "about")]
    _about: String,
    /// Applies to all scenarios, beside their own.
    #[serde(default)]
    allow_log: Vec<String>,
    scenarios: Vec<Scenario>,
}

/// One run: a cluster, load, and what happens to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// Id in the reliability plan.
    pub row: String,
    pub broker: BrokerKind,
    /// All nodes begin as the other server; without one the scenario is ignored.
    #[serde(default)]
    pub begins_with_other: bool,
    #[serde(default)]
    pub load: Load,
    /// Laid over `load` in the long form.
    #[serde(default)]
    nightly: Value,
    /// Configuration of nodes, over the harness's own.
    #[serde(default)]
    pub config: Value,
    /// Laid over `config` in the long form.
    #[serde(default)]
    nightly_config: Value,
    /// Options of the namespace `flow`, over the harness's own.
    #[serde(default)]
    pub namespace: Map<String, Value>,
    /// Regular expressions for WARN and ERROR lines that nodes may log.
    #[serde(default)]
    pub allow_log: Vec<String>,
    pub timeline: Vec<Step>,
    #[serde(default)]
    pub bars: Bars,
    /// The same run with a protection taken away, which the checker must notice.
    pub controls: Vec<Control>,
}

/// How much goes through the cluster.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    pub nodes: usize,
    pub channels: usize,
    pub subscribers: usize,
    /// Channels each client subscribes to; zero is all of them.
    pub channels_each: usize,
    pub publishers: usize,
    /// Messages a second of each publisher.
    pub rate: u32,
    /// Messages backends send with one call.
    pub batch: usize,
    /// Whether clients and backends ask only nodes that say they are ready, as behind a load balancer.
    pub balanced: bool,
    pub publishing: Publishing,
    /// Whether publishers send idempotency keys.
    pub idempotent: bool,
}

/// Who publishes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Publishing {
    /// Backends over the HTTP API, each with its own messages, the next when the last is acknowledged.
    Backends,
    /// The same, but all send the same messages.
    Racing,
    /// Clients that do not wait for replies.
    Pipelined,
    /// The same, but each spreads its messages over all nodes.
    PipelinedOverAll,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            nodes: 2,
            channels: 10,
            subscribers: 4,
            channels_each: 0,
            publishers: 4,
            rate: 50,
            batch: 1,
            balanced: false,
            publishing: Publishing::Backends,
            idempotent: true,
        }
    }
}

/// A negative control.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub name: String,
    /// Laid over the options of the namespace.
    #[serde(default)]
    pub namespace: Map<String, Value>,
    /// Laid over `load`.
    #[serde(default)]
    pub load: Value,
    /// Laid over `config`.
    #[serde(default)]
    pub config: Value,
    /// What the checker must find.
    #[serde(default)]
    pub finds: Vec<Kind>,
    /// Bars that must be missed.
    #[serde(default)]
    pub misses: Vec<Bar>,
}

impl Control {
    /// Whether the form that runs can show nothing of what must be found.
    pub fn is_for_later(&self) -> bool {
        !nightly() && self.finds.is_empty() && self.misses.iter().all(|bar| bar.is_measured())
    }
}

/// One step of a timeline. Targets are `broker` or a node's name: `a`, `b`, … Where there are two values in a list,
/// the second is for the long form.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// The time line goes on after this time.
    Wait(#[serde(deserialize_with = "sized_duration")] Duration),
    /// Ends a process at once.
    Kill(String),
    /// Ends the Redis that is the primary at once.
    KillPrimary,
    /// Ends one Sentinel at once.
    KillSentinel,
    /// Orders a replica to become a primary; its primary lives on.
    Failover,
    /// The same, and a primary of a Cluster is not asked.
    FailoverForced,
    /// Waits until the primary that went has a successor.
    Elected,
    /// Starts the former primary again, as a replica.
    StartFormer,
    /// Takes the replica away from the primary; it lives on as a server of its own that nobody names.
    DetachReplica,
    /// Takes a replica of a Cluster off the stream of its primary, which nobody listens to.
    HoldReplicaBack,
    /// Kills that primary at once; its replica does not know all it acknowledged.
    KillForgotten,
    /// Ends all connections that listen at a Cluster.
    Deafen,
    /// Begins to move the slot of one channel, another each time, to another primary of a Cluster.
    BeginToMove,
    /// Ends that.
    FinishMoving,
    /// What the Redis knows now is what it knows when it is started again.
    Save,
    /// Ends NATS at once.
    KillNats,
    /// Starts NATS again.
    StartNats,
    /// Publishers finish what they are at and say nothing more.
    Hush,
    /// They go on.
    Speak,
    /// Waits, in the long form no longer than this, until every client is told that the streams it was in are over:
    /// those of the primary that was killed, or all.
    Told(#[serde(deserialize_with = "duration")] Duration),
    /// Starts a process again.
    Start(String),
    /// Starts a node that ended as the server of this repository, on the same configuration.
    BecomeOwn(String),
    /// Starts a node that ended as the other server, on the same configuration.
    BecomeOther(String),
    /// Ends a process in good order.
    Terminate(String),
    /// Stops a process where it stands.
    Pause(String),
    /// Lets it go on.
    Resume(String),
    /// Resets connections between a node and its broker, now and until it heals.
    Cut(String),
    /// Lets no bytes through between a node and its broker.
    Freeze(String),
    /// Holds every piece between a node and its broker up.
    Slow {
        node: String,
        #[serde(deserialize_with = "duration")]
        by: Duration,
    },
    /// Makes the way between a node and its broker whole again.
    Heal(String),
    /// Resets all connections of clients to a node, and new ones until they are let through.
    CutClients(String),
    /// Lets clients through to a node again.
    HealClients(String),
    /// A fault begins.
    Fault(String),
    /// What was broken is whole again: from here on the bars count.
    Healed(String),
    /// Waits until so many more messages are acknowledged.
    Published(#[serde(deserialize_with = "sized")] u64),
    /// Waits until every subscriber has everything.
    Delivered,
    /// Waits until every subscriber that has a position has everything.
    Recovered,
    /// Waits until `/ready` of a node answers 200.
    Ready(String),
    /// Waits until `/ready` of a node answers 503.
    Blind(String),
    /// Waits until every node counts the clients that are there as present, and no others.
    Present,
    /// Does steps several times.
    Repeat { times: u32, nightly: u32, steps: Vec<Step> },
}

impl Scenario {
    /// The scenario in the form that was asked for.
    fn sized(mut self) -> Result<Self, String> {
        if nightly() {
            self.load = laid_over(&self.load, &self.nightly)?;
            self.config = merged(&self.config, &self.nightly_config);
        }
        Ok(self)
    }

    /// The scenario without a protection.
    pub fn controlled(&self, control: &Control) -> Result<Self, String> {
        let mut weak = self.clone();
        weak.load = laid_over(&self.load, &control.load)?;
        weak.namespace.extend(control.namespace.clone());
        weak.config = merged(&self.config, &control.config);
        Ok(weak)
    }
}

fn laid_over(load: &Load, over: &Value) -> Result<Load, String> {
    let load = serde_json::to_value(load).map_err(|error| error.to_string())?;
    serde_json::from_value(merged(&load, over)).map_err(|error| error.to_string())
}

/// Lays `over` on `base`: objects are merged key by key, everything else is replaced.
pub fn merged(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (base, Value::Null) => base.clone(),
        (Value::Object(base), Value::Object(over)) => {
            let mut result = base.clone();
            for (key, value) in over {
                let value = result.get(key).map_or_else(|| value.clone(), |known| merged(known, value));
                result.insert(key.clone(), value);
            }
            Value::Object(result)
        }
        (_, over) => over.clone(),
    }
}

/// Reads every scenario file of a directory, in name order.
pub fn load_all(directory: &Path) -> Result<Vec<Scenario>, String> {
    let entries = std::fs::read_dir(directory).map_err(|e| format!("read {}: {e}", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut scenarios = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
        // Through a value: it tells what is wrong with a step better than an untyped map would.
        let options = serde_saphyr::options! { strict_booleans: true };
        let value: Value = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|e| format!("parse {}: {e}", path.display()))?;
        let file: ScenarioFile =
            serde_json::from_value(value).map_err(|e| format!("parse {}: {e}", path.display()))?;
        for mut scenario in file.scenarios {
            scenario.allow_log.extend(file.allow_log.iter().cloned());
            scenarios.push(scenario.sized()?);
        }
    }
    Ok(scenarios)
}

/// A value, or one for each form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sized<T> {
    Both(T),
    Each(T, T),
}

impl<T> Sized<T> {
    fn value(self) -> T {
        match self {
            Self::Each(_, long) if nightly() => long,
            Self::Both(value) | Self::Each(value, _) => value,
        }
    }
}

fn sized<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Sized::<u64>::deserialize(deserializer)?.value())
}

fn sized_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parsed(&Sized::<String>::deserialize(deserializer)?.value())
}

pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parsed(&String::deserialize(deserializer)?)
}

fn parsed<E: serde::de::Error>(text: &str) -> Result<Duration, E> {
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs_f64),
    };
    parsed.ok_or_else(|| E::custom(format!("{text} is no time such as 300ms or 2s")))
}

pub fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}
