//! What a run must reach beside losing nothing, and what it did not reach.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::log::Micros;
use crate::measures::{Measures, percentile};
use crate::scenario::{duration, optional_duration};
use crate::verdict::Verdict;

const MIB: u64 = 1 << 20;

/// Share by which a rate may differ from the one that was asked for.
const TOLERANCE: f64 = 0.1;

/// Share by which clients may come back faster than nodes send them away.
const STORM_TOLERANCE: f64 = 0.2;

/// What a run must reach beside losing nothing. Times, rates and memory are judged in the long form only.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// Whether clients may be told that they miss something.
    #[serde(default)]
    pub honest_gaps: HonestGaps,
    /// Whether the broker may forget what it acknowledged and give its place to another message. Everybody must be
    /// told then, like of any other loss.
    #[serde(default)]
    pub forks: bool,
    /// Longest time from the acknowledgement, or the end of the fault it fell into, to a delivery.
    #[serde(default, deserialize_with = "optional_duration")]
    pub delay: Option<Duration>,
    /// What `/ready` says while a node is deaf, and after it.
    pub ready: Option<ReadyBar>,
    /// Longest time until a publisher is told that its message is not kept.
    #[serde(default, deserialize_with = "optional_duration")]
    pub publish_error: Option<Duration>,
    /// Most attempts to publish that fail, but for those at nodes that were killed.
    pub failed_publishes: Option<u64>,
    /// Longest time in which 99 of 100 messages are acknowledged.
    #[serde(default, deserialize_with = "optional_duration")]
    pub publish_p99: Option<Duration>,
    /// Most connections that cannot be made to nodes that are there.
    pub refused_connects: Option<u64>,
    /// Most connections that end.
    pub disconnects: Option<u64>,
    /// Longest time without a ping on a connection.
    #[serde(default, deserialize_with = "optional_duration")]
    pub ping_gap: Option<Duration>,
    /// Longest time in which 99 of 100 subscriptions are back after a connection ended.
    #[serde(default, deserialize_with = "optional_duration")]
    pub resubscribed: Option<Duration>,
    /// Longest time in which clients of a dead node count as present.
    #[serde(default, deserialize_with = "optional_duration")]
    pub ghosts: Option<Duration>,
    /// Connections a node that leaves ends each second.
    pub drain_rate: Option<f64>,
    /// Most reads of history by the broker after clients lost their connections, for each channel and node.
    pub history_reads: Option<u64>,
    pub rss: Option<MemoryBar>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HonestGaps {
    /// Nothing was really lost, so nobody may be told so.
    #[default]
    None,
    /// What was lost is gone; each subscription must be told.
    Everyone,
    /// It depends on the moment.
    Allowed,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyBar {
    /// Longest time until a node says that nothing reaches it.
    #[serde(deserialize_with = "duration")]
    pub off: Duration,
    /// Longest time until it says that it is ready, once it can be reached again.
    #[serde(deserialize_with = "duration")]
    pub on: Duration,
}

/// How much memory a node may take.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryBar {
    /// More than at the beginning of a fault, while it lasts.
    GrowthMib(u64),
    /// As a share of what it had at the beginning of a fault, until the next begins.
    Ratio(f64),
}

/// A bar by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    HonestGaps,
    Delay,
    Ready,
    PublishError,
    FailedPublishes,
    PublishP99,
    RefusedConnects,
    Disconnects,
    PingGap,
    Resubscribed,
    Ghosts,
    DrainRate,
    StormPeak,
    HistoryReads,
    Rss,
}

impl Bar {
    /// Whether a machine that does other things beside misses it by chance: how long something takes, how much memory,
    /// and whether a balancer of the harness sees in time that a node leaves.
    pub fn is_measured(self) -> bool {
        !matches!(self, Self::HonestGaps | Self::Disconnects | Self::HistoryReads)
    }
}

/// How large the run was.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub nodes: usize,
    pub channels: usize,
    /// How many subscriptions there were.
    pub subscriptions: usize,
}

/// A bar that was not reached, and by how much.
pub struct Missed {
    pub bar: Bar,
    text: String,
}

impl fmt::Display for Missed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.bar, self.text)
    }
}

impl Bars {
    /// All bars that a run did not reach.
    pub fn missed(&self, verdict: &Verdict, measures: &Measures, size: Size) -> Vec<Missed> {
        let mut missed = Missing::default();
        let told = verdict.honest_gaps;
        match self.honest_gaps {
            HonestGaps::None if told > 0 => {
                missed.add(Bar::HonestGaps, "clients were told of losses that are none")
            }
            HonestGaps::Everyone if told < size.subscriptions as u64 => {
                missed.add(
                    Bar::HonestGaps,
                    format!("{told} of {} subscriptions were told", size.subscriptions),
                );
            }
            _ => {}
        }
        let p99 = |times: &[Micros]| percentile(times, 0.99);
        missed.time(Bar::Delay, self.delay, verdict.worst_delay);
        missed.time(Bar::PublishError, self.publish_error, measures.publish_error);
        missed.time(Bar::PublishP99, self.publish_p99, p99(&measures.publishing));
        missed.time(Bar::PingGap, self.ping_gap, measures.ping_gap);
        missed.time(Bar::Resubscribed, self.resubscribed, p99(&measures.resubscribing));
        missed.time(Bar::Ghosts, self.ghosts, measures.ghosts);
        missed.count(Bar::FailedPublishes, self.failed_publishes, measures.failed_publishes);
        missed.count(Bar::RefusedConnects, self.refused_connects, measures.refused_connects);
        missed.count(Bar::Disconnects, self.disconnects, verdict.disconnects);
        let reads = self.history_reads.map(|each| each * (size.channels * size.nodes) as u64);
        missed.count(Bar::HistoryReads, reads, measures.history_reads);
        self.ready_missed(measures, &mut missed);
        self.drain_missed(measures, &mut missed);
        match self.rss {
            Some(MemoryBar::GrowthMib(most)) if measures.growth() > most * MIB => {
                missed.add(Bar::Rss, format!("a node grew by {} MiB", measures.growth() / MIB));
            }
            Some(MemoryBar::Ratio(most)) if measures.growth_ratio() > most => {
                missed.add(Bar::Rss, format!("a node grew to {:.2} of what it had", measures.growth_ratio()));
            }
            _ => {}
        }
        missed.0
    }

    fn ready_missed(&self, measures: &Measures, missed: &mut Missing) {
        let Some(ReadyBar { off, on }) = self.ready else { return };
        for (node, readiness) in &measures.readiness {
            let (notice, back) = (readiness.worst_notice(micros(off)), readiness.worst_return());
            if notice > micros(off) {
                missed.add(Bar::Ready, format!("{node} is deaf and says so after {} ms", notice / 1000));
            }
            if back > micros(on) {
                missed.add(Bar::Ready, format!("{node} hears again and says so after {} ms", back / 1000));
            }
            let alarms = readiness.false_alarms(micros(on));
            if alarms > 0 {
                missed.add(Bar::Ready, format!("{node} said {alarms} times that it is deaf, and it was not"));
            }
        }
    }

    fn drain_missed(&self, measures: &Measures, missed: &mut Missing) {
        let Some(rate) = self.drain_rate else { return };
        let rates = measures.drain_rates();
        if rates.is_empty() {
            missed.add(Bar::DrainRate, "no connection was ended by a node that leaves");
        }
        for measured in rates.into_iter().filter(|measured| (measured / rate - 1.0).abs() > TOLERANCE) {
            missed.add(Bar::DrainRate, format!("{measured:.0} connections a second instead of {rate}"));
        }
        let peak = measures.storm_peak();
        if peak as f64 > rate * (1.0 + STORM_TOLERANCE) {
            missed.add(Bar::StormPeak, format!("{peak} connections came within a second"));
        }
    }
}

#[derive(Default)]
struct Missing(Vec<Missed>);

impl Missing {
    fn add(&mut self, bar: Bar, text: impl Into<String>) {
        self.0.push(Missed { bar, text: text.into() });
    }

    fn time(&mut self, bar: Bar, most: Option<Duration>, measured: Micros) {
        if let Some(most) = most.filter(|most| measured > micros(*most)) {
            self.add(bar, format!("{} ms instead of {most:?}", measured / 1000));
        }
    }

    fn count(&mut self, bar: Bar, most: Option<u64>, measured: u64) {
        if let Some(most) = most.filter(|most| measured > *most) {
            self.add(bar, format!("{measured} instead of {most}"));
        }
    }
}

fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}

/// What was measured, for whoever reads along.
impl fmt::Display for Measures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |times: &[Micros], part| percentile(times, part) / 1000;
        write!(
            formatter,
            "publishing p50 {} ms p99 {} ms max {} ms",
            ms(&self.publishing, 0.5),
            ms(&self.publishing, 0.99),
            ms(&self.publishing, 1.0)
        )?;
        if self.failed_publishes > 0 {
            let (count, longest) = (self.failed_publishes, self.publish_error / 1000);
            let such = self.failures.join("; ");
            write!(
                formatter,
                ", {count} failed publishes, the longest after {longest} ms (such as: {such})"
            )?;
        }
        if !self.resubscribing.is_empty() {
            let (p99, max) = (ms(&self.resubscribing, 0.99), ms(&self.resubscribing, 1.0));
            write!(formatter, ", resubscribed p99 {p99} ms max {max} ms")?;
            write!(
                formatter,
                ", {} refused connects, storm peak {}/s",
                self.refused_connects,
                self.storm_peak()
            )?;
        }
        for (code, count) in &self.codes {
            let code = code.map_or("no code".to_owned(), |code| code.to_string());
            write!(formatter, ", {count} closed with {code}")?;
        }
        if self.ping_gap > 0 {
            write!(formatter, ", ping gap {} ms", self.ping_gap / 1000)?;
        }
        if self.ghosts > 0 {
            write!(formatter, ", ghosts {} ms", self.ghosts / 1000)?;
        }
        if self.history_reads > 0 {
            write!(formatter, ", {} history reads", self.history_reads)?;
        }
        let rates: Vec<String> = self.drain_rates().iter().map(|rate| format!("{rate:.0}")).collect();
        if !rates.is_empty() {
            write!(formatter, ", drained {}/s", rates.join(", "))?;
        }
        let notice = self.readiness.values().map(|node| node.worst_notice(Micros::MAX)).max().unwrap_or(0);
        let back = self.readiness.values().map(|node| node.worst_return()).max().unwrap_or(0);
        if notice > 0 || back > 0 {
            write!(formatter, ", deaf noticed after {} ms, hearing after {} ms", notice / 1000, back / 1000)?;
        }
        let (mib, ratio) = (self.growth() / MIB, self.growth_ratio());
        if ratio > 0.0 {
            write!(formatter, ", memory +{mib} MiB during faults, {ratio:.2} of before until the next")?;
        }
        Ok(())
    }
}
