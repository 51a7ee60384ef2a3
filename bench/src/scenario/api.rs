//! Publishing through the server API. A subscriber checks the first publications of each run; the measured load goes
//! to channels nobody listens to, so that it shows the price of the API alone.

use super::{Bench, Better, PAYLOAD, Report};
use crate::arm::PLAIN;
use crate::load::grpc::GrpcLoad;
use crate::load::http::{HttpLoad, Outcome, Until};
use crate::load::swarm::Swarm;
use crate::meter::{Usage, Window};
use crate::wire::payload::{self, Stamp};
use anyhow::Result;
use memchr::memmem;
use std::io::Write;
use std::time::Duration;

/// Requests whose effect a subscriber checks before the measurement.
const WITNESSED: u64 = 50;
/// Connections that carry batches and broadcasts.
const BULK_CONNECTIONS: usize = 8;

/// Single publishes over keep-alive connections.
pub fn http_publish(bench: &mut Bench, connections: usize, namespace: &'static str) -> Result<Report> {
    let mut witness = Witness::open(bench, namespace, 0)?;
    let accept = |body: &[u8]| is_free_of_errors(body) && memmem::find(body, b"\"result\"").is_some();
    let watched = witness.channel.clone();
    HttpLoad::connect(&bench.target, "publish", 1, bench.clock)?
        .run(Until::Requests(WITNESSED), |out| write_publish(&watched, witness.stamp(), out), accept)
        .map(|outcome| witness.count(&outcome))?;
    let mut report = witness.close()?;

    let channel = bench.channel(namespace, 1);
    let mut stamps = unwatched_stamps();
    let mut load = HttpLoad::connect(&bench.target, "publish", connections, bench.clock)?;
    let (outcome, usage) =
        measure(bench, |until| load.run(until, |out| write_publish(&channel, stamps(), out), accept))?;
    finish(&mut report, &outcome, usage, 1);
    Ok(report)
}

/// Batches of publishes, each batch one request.
pub fn http_batch(bench: &mut Bench, commands: usize) -> Result<Report> {
    let commands = bench.size(commands, 10);
    let mut witness = Witness::open(bench, PLAIN, 0)?;
    let accept =
        |body: &[u8]| is_free_of_errors(body) && memmem::find_iter(body, b"\"publish\"").count() == commands;
    let batch = |channel: &str, next: &mut dyn FnMut() -> Stamp, out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"commands\":[");
        for index in 0..commands {
            out.extend_from_slice(if index == 0 { b"{\"publish\":" } else { b",{\"publish\":" });
            write_publish(channel, next(), out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    };
    let watched = witness.channel.clone();
    HttpLoad::connect(&bench.target, "batch", 1, bench.clock)?
        .run(Until::Requests(WITNESSED), |out| batch(&watched, &mut || witness.stamp(), out), accept)
        .map(|outcome| witness.count(&outcome))?;
    let mut report = witness.close()?;

    let channel = bench.channel(PLAIN, 1);
    let mut stamps = unwatched_stamps();
    let mut load = HttpLoad::connect(&bench.target, "batch", BULK_CONNECTIONS, bench.clock)?;
    let (outcome, usage) =
        measure(bench, |until| load.run(until, |out| batch(&channel, &mut stamps, out), accept))?;
    finish(&mut report, &outcome, usage, commands as u64);
    Ok(report)
}

/// One publication to many channels per request.
pub fn http_broadcast(bench: &mut Bench, channels: usize) -> Result<Report> {
    let channels = bench.size(channels, 20);
    let mut witness = Witness::open(bench, PLAIN, channels - 1)?;
    // One result for the request and one for each channel.
    let accept = |body: &[u8]| {
        is_free_of_errors(body) && memmem::find_iter(body, b"\"result\"").count() == channels + 1
    };
    let mut list = b"{\"channels\":[".to_vec();
    for index in 0..channels {
        // Writing to a vector cannot fail.
        let _ = write!(list, "{}\"{}\"", if index == 0 { "" } else { "," }, bench.channel(PLAIN, index));
    }
    list.extend_from_slice(b"],\"data\":");
    let broadcast = |stamp: Stamp, out: &mut Vec<u8>| {
        out.extend_from_slice(&list);
        payload::write(stamp, PAYLOAD, out);
        out.push(b'}');
    };
    HttpLoad::connect(&bench.target, "broadcast", 1, bench.clock)?
        .run(Until::Requests(WITNESSED), |out| broadcast(witness.stamp(), out), accept)
        .map(|outcome| witness.count(&outcome))?;
    let mut report = witness.close()?;

    let mut stamps = unwatched_stamps();
    let mut load = HttpLoad::connect(&bench.target, "broadcast", BULK_CONNECTIONS, bench.clock)?;
    let (outcome, usage) = measure(bench, |until| load.run(until, |out| broadcast(stamps(), out), accept))?;
    finish(&mut report, &outcome, usage, channels as u64);
    Ok(report)
}

/// Unary publishes, `streams` outstanding on each of `connections`.
pub fn grpc_publish(bench: &mut Bench, connections: usize, streams: usize) -> Result<Report> {
    let mut witness = Witness::open(bench, PLAIN, 0)?;
    let load = GrpcLoad::connect(&bench.target, connections, bench.clock)?;
    // The stamps of the watched publishes are known in advance: they go out one after the other.
    let watched: Vec<_> = (0..WITNESSED).map(|_| (witness.channel.clone(), data(witness.stamp()))).collect();
    let mut next = watched.into_iter();
    let single = GrpcLoad::connect(&bench.target, 1, bench.clock)?;
    let outcome = single.run(Until::Requests(WITNESSED), 1, move || next.next().unwrap_or_default())?;
    witness.count(&outcome);
    let mut report = witness.close()?;

    let channel = bench.channel(PLAIN, 1);
    let (outcome, usage) = measure(bench, |until| {
        let (channel, mut stamps) = (channel.clone(), unwatched_stamps());
        load.run(until, streams, move || (channel.clone(), data(stamps())))
    })?;
    finish(&mut report, &outcome, usage, 1);
    Ok(report)
}

/// A subscriber that checks what the API delivers.
struct Witness {
    swarm: Swarm,
    channel: String,
}

impl Witness {
    fn open(bench: &Bench, namespace: &str, index: usize) -> Result<Self> {
        let channel = bench.channel(namespace, index);
        let mut swarm = bench.swarm()?;
        let watched = swarm.ledger_mut().add_channel(channel.clone());
        swarm.ramp([bench.plan(0, Some(watched))?], 1)?;
        Ok(Self { swarm, channel })
    }

    fn stamp(&mut self) -> Stamp {
        self.swarm.ledger_mut().publish(0, 0)
    }

    fn count(&mut self, outcome: &Outcome) {
        self.swarm.ledger_mut().faults_mut().failed_requests += outcome.failed;
    }

    fn close(mut self) -> Result<Report> {
        self.swarm.finish()?;
        let mut report = Report::default();
        report.verdict(&self.swarm);
        Ok(report)
    }
}

fn unwatched_stamps() -> impl FnMut() -> Stamp {
    let mut sequence = 0;
    move || {
        sequence += 1;
        Stamp { channel: 0, sequence, intended_ns: 0 }
    }
}

fn measure(bench: &mut Bench, mut load: impl FnMut(Until) -> Result<Outcome>) -> Result<(Outcome, Usage)> {
    load(Until::Elapsed(bench.warm_up() / 2))?;
    let window = Window::open(&mut bench.meters)?;
    let outcome = load(Until::Elapsed(bench.size(Duration::from_secs(3), Duration::from_millis(200))))?;
    Ok((outcome, window.close(&mut bench.meters)?))
}

fn finish(report: &mut Report, outcome: &Outcome, usage: Usage, per_request: u64) {
    let publications = outcome.requests * per_request;
    report.usage("server CPU per publication", usage, publications);
    report.add("publications", "/s", Better::Higher, publications as f64 / usage.wall.as_secs_f64());
    if per_request > 1 {
        report.add("requests", "/s", Better::Neither, outcome.requests as f64 / usage.wall.as_secs_f64());
    }
    report.latency(&outcome.latency);
    report.faults.failed_requests += outcome.failed;
    report.problems.extend(outcome.first_failure.clone());
}

fn write_publish(channel: &str, stamp: Stamp, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{{\"channel\":\"{channel}\",\"data\":");
    payload::write(stamp, PAYLOAD, out);
    out.push(b'}');
}

fn data(stamp: Stamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(PAYLOAD);
    payload::write(stamp, PAYLOAD, &mut out);
    out
}

fn is_free_of_errors(body: &[u8]) -> bool {
    memmem::find(body, b"\"error\"").is_none()
}
