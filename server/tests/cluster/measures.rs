//! What a log shows beside broken promises: how long things took, how many failed, how much memory was in use.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::log::{Event, Line, Micros};

/// The server ends a connection because it ends itself.
const SHUTDOWN: u16 = 3001;

const SECOND: Micros = 1_000_000;

/// Measured in one run.
#[derive(Default)]
pub struct Measures {
    /// Failed attempts to publish.
    pub failed_publishes: u64,
    /// The longest time until one was told so.
    pub publish_error: Micros,
    /// What publishers were told, for whoever reads a verdict.
    pub failures: Vec<String>,
    /// How often connections ended with which code.
    pub codes: BTreeMap<Option<u16>, u64>,
    /// Connections that could not be made to a node that serves.
    pub refused_connects: u64,
    /// From sending a message to its acknowledgement, since the first fault; sorted.
    pub publishing: Vec<Micros>,
    /// From the end of a connection to each of the client's next subscriptions; sorted.
    pub resubscribing: Vec<Micros>,
    /// Longest silence between two pings on one connection.
    pub ping_gap: Micros,
    /// Between two connections that were made, all of them; sorted times.
    connects: Vec<Micros>,
    /// When connections ended, for each time a node left in good order.
    drains: Vec<Vec<Micros>>,
    /// From the death of a node to presence without its clients.
    pub ghosts: Micros,
    /// Most reads of history by the broker after clients lost their connections at once.
    pub history_reads: u64,
    pub readiness: HashMap<Arc<str>, Readiness>,
    memory: HashMap<Arc<str>, Memory>,
    first_fault: Option<Micros>,
    /// Faults that are not healed.
    broken: usize,
    tried: HashMap<String, Micros>,
    clients: HashMap<u32, Client>,
    away: HashMap<Arc<str>, Micros>,
    left: Option<Micros>,
    last: Micros,
}

#[derive(Default)]
struct Client {
    closed: Option<Micros>,
    pinged: Option<Micros>,
}

/// Bytes in use.
#[derive(Default)]
struct Memory {
    last: u64,
    /// When the last fault began; none before the first.
    before: Option<u64>,
    /// Most that was added while something was broken.
    growth: u64,
    /// Most in use until the beginning of the next fault, as a share of what was in use before.
    ratio: f64,
}

/// What `/ready` of one node said, and what it should have said.
#[derive(Default)]
pub struct Readiness {
    /// When it changed, and whether it is ready since.
    answers: Vec<(Micros, bool)>,
    /// Times in which nothing could reach the node.
    deaf: Vec<(Micros, Micros)>,
    /// Times in which the node was not there.
    away: Vec<(Micros, Micros)>,
    end: Micros,
}

impl Measures {
    pub fn take(&mut self, Line { t, event }: &Line) {
        self.last = *t;
        let t = *t;
        match event {
            Event::Try { id, .. } => {
                self.tried.entry(id.clone()).or_insert(t);
            }
            Event::Ack { id, .. } => {
                let tried = self.tried.remove(id);
                let faulty = |tried: &Micros| self.first_fault.is_some_and(|first| *tried >= first);
                self.publishing.extend(tried.filter(faulty).map(|tried| t - tried));
            }
            Event::Failed { node, after, why } => {
                // Nobody answers for a node that was killed.
                if self.away.contains_key(node) {
                    return;
                }
                self.failed_publishes += 1;
                self.publish_error = self.publish_error.max(*after);
                if self.failures.len() < 3 {
                    self.failures.push(format!("{node} after {} ms: {why}", after / 1000));
                }
            }
            Event::Connected { who, .. } => {
                self.connects.push(t);
                self.clients.entry(*who).or_default().pinged = Some(t);
            }
            Event::Unconnected { node, .. } => {
                self.refused_connects += u64::from(!self.away.contains_key(node));
            }
            Event::Closed { who, code } => {
                let client = self.clients.entry(*who).or_default();
                (client.closed, client.pinged) = (Some(t), None);
                *self.codes.entry(*code).or_default() += 1;
                if let (Some(SHUTDOWN), Some(drain)) = (code, self.drains.last_mut()) {
                    drain.push(t);
                }
            }
            Event::Subscribed { who, .. } => {
                let closed = self.clients.get(who).and_then(|client| client.closed);
                self.resubscribing.extend(closed.map(|closed| t - closed));
            }
            Event::Ping { who } => {
                let before = self.clients.entry(*who).or_default().pinged.replace(t);
                self.ping_gap = self.ping_gap.max(before.map_or(0, |before| t - before));
            }
            Event::Readiness { node, ready } => self.of(node).answers.push((t, *ready)),
            Event::Memory { node, rss } => {
                let memory = self.memory.entry(node.clone()).or_default();
                memory.last = *rss;
                if let Some(before) = memory.before {
                    if self.broken > 0 {
                        memory.growth = memory.growth.max(rss.saturating_sub(before));
                    }
                    memory.ratio = memory.ratio.max(*rss as f64 / before.max(1) as f64);
                }
            }
            Event::Deaf { node } => self.of(node).deaf.push((t, Micros::MAX)),
            Event::Hearing { node } => {
                if let Some(last) = self.of(node).deaf.last_mut() {
                    last.1 = t;
                }
            }
            Event::Leaving { .. } => self.drains.push(Vec::new()),
            Event::Gone { node } => {
                self.left = Some(t);
                self.away.insert(node.clone(), t);
                self.of(node).away.push((t, Micros::MAX));
            }
            Event::Serving { node } => {
                self.away.remove(node);
                if let Some(last) = self.of(node).away.last_mut() {
                    last.1 = t;
                }
            }
            Event::Present => {
                self.ghosts = self.ghosts.max(self.left.take().map_or(0, |left| t - left));
            }
            Event::Reads { count } => self.history_reads = self.history_reads.max(*count),
            Event::Fault { .. } => {
                self.first_fault.get_or_insert(t);
                self.broken += 1;
                for memory in self.memory.values_mut() {
                    memory.before = Some(memory.last);
                }
            }
            Event::Healed { .. } => self.broken = self.broken.saturating_sub(1),
            Event::Got { .. } | Event::Left { .. } => {}
        }
    }

    fn of(&mut self, node: &Arc<str>) -> &mut Readiness {
        self.readiness.entry(node.clone()).or_default()
    }

    pub fn finish(mut self) -> Self {
        self.publishing.sort_unstable();
        self.resubscribing.sort_unstable();
        for readiness in self.readiness.values_mut() {
            readiness.end = self.last;
        }
        self
    }

    /// Most bytes any node took during a fault beyond what it had at its beginning.
    pub fn growth(&self) -> u64 {
        self.memory.values().map(|memory| memory.growth).max().unwrap_or(0)
    }

    /// Most bytes any node had until the beginning of the next fault, as a share of what it had at that of the last.
    pub fn growth_ratio(&self) -> f64 {
        self.memory.values().map(|memory| memory.ratio).fold(0.0, f64::max)
    }

    /// Most connections made within one second since the first fault.
    pub fn storm_peak(&self) -> usize {
        let first = self.connects.partition_point(|at| self.first_fault.is_none_or(|fault| *at < fault));
        let mut from = first;
        let within = |(to, at): (usize, &Micros)| {
            while at - self.connects[from] > SECOND {
                from += 1;
            }
            to + 1 - from
        };
        self.connects.iter().enumerate().skip(first).map(within).max().unwrap_or(0)
    }

    /// Connections ended each second while nodes left in good order, the first and last tenth left out.
    pub fn drain_rates(&self) -> Vec<f64> {
        let rate = |drain: &Vec<Micros>| {
            let (from, to) = (drain.len() / 10, drain.len() - drain.len() / 10 - 1);
            (to - from) as f64 * SECOND as f64 / (drain[to] - drain[from]).max(1) as f64
        };
        self.drains.iter().filter(|drain| !drain.is_empty()).map(rate).collect()
    }
}

/// The share of `sorted` that `part` names, such as 0.99.
pub fn percentile(sorted: &[Micros], part: f64) -> Micros {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

impl Readiness {
    /// Longest time from the moment at which nothing reached the node to the answer that it is not ready. Whoever
    /// hears again before `patience` is over, or was not there meanwhile, need not say so.
    pub fn worst_notice(&self, patience: Micros) -> Micros {
        let notice = |(from, to): &(Micros, Micros)| {
            let to = (*to).min(self.end);
            if self.away.iter().any(|(left, back)| *left < to && *from < *back) {
                return 0;
            }
            match self.first(*from, to, false) {
                Some(at) => at.saturating_sub(*from),
                None if to - from > patience => to - from,
                None => 0,
            }
        };
        self.deaf.iter().map(notice).max().unwrap_or(0)
    }

    /// Longest time from the moment at which messages could reach the node again to the last answer that it is not
    /// ready.
    pub fn worst_return(&self) -> Micros {
        let covering = |at: Micros| self.away.iter().find(move |(left, back)| *left <= at && at < *back);
        let ends = self.deaf.iter().filter(|(_, to)| *to < self.end);
        // A node that was not there begins to hear when it is back.
        let ends = ends.map(|(_, to)| covering(*to).map_or(*to, |(_, back)| *back));
        let back = |from: Micros| {
            let next = self.deaf.iter().chain(&self.away).map(|(next, _)| *next);
            let to = next.filter(|next| *next > from).min().unwrap_or(self.end);
            let answers = self.answers.iter().filter(|(at, _)| *at < to);
            match answers.clone().next_back() {
                Some((_, false)) => to - from,
                Some((at, true)) => at.saturating_sub(from),
                None => 0,
            }
        };
        ends.map(back).max().unwrap_or(0)
    }

    /// Times the node said that it is not ready though messages could reach it, the time of the return left out.
    pub fn false_alarms(&self, patience: Micros) -> usize {
        let excused = |at: Micros| {
            let within = |(from, to): &(Micros, Micros)| *from <= at && at <= to.saturating_add(patience);
            self.deaf.iter().chain(&self.away).any(within)
        };
        // The first answer of a node that starts is that it is not ready.
        self.answers.iter().skip(1).filter(|(at, ready)| !ready && !excused(*at)).count()
    }

    /// When `/ready` first said this in a time, or was saying it as the time began.
    fn first(&self, from: Micros, to: Micros, ready: bool) -> Option<Micros> {
        let before = self.answers.iter().rfind(|(at, _)| *at < from);
        if before.is_some_and(|(_, said)| *said == ready) {
            return Some(from);
        }
        let mut later = self.answers.iter().filter(|(at, said)| (from..to).contains(at) && *said == ready);
        later.next().map(|(at, _)| *at)
    }
}
