//! What a connection costs while nothing happens: memory after at least one ping round, CPU per second.

use super::{Bench, Better, RAMP, Report};
use crate::arm::PLAIN;
use crate::meter::Window;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// Longer than the default ping interval of 25 s, so that every connection was pinged once.
const SETTLE: Duration = Duration::from_secs(28);
/// Files this process needs besides its connections.
const SPARE_FILES: usize = 200;

/// Opens connections with a token and one subscription each, waits, and reads the server's memory.
///
/// # Errors
/// When the server's process cannot be measured from here.
pub fn idle(bench: &mut Bench) -> Result<Report> {
    let wanted = bench.size(bench.idle_connections, 100);
    let count = wanted.min(bench.file_limit.saturating_sub(SPARE_FILES));
    let Some(server) = &bench.meters.server else {
        bail!("the idle scenario reads the server's memory and needs its process id (--pid)");
    };
    let before = server.memory()?;
    let mut swarm = bench.swarm()?;
    let mut plans = Vec::with_capacity(count);
    for user in 0..count {
        let channel = swarm.ledger_mut().add_channel(bench.channel(PLAIN, user));
        plans.push(bench.plan(user, Some(channel))?);
    }
    swarm.ramp(plans, RAMP)?;
    let settle = bench.size(SETTLE, Duration::from_millis(200));
    let began = Instant::now();
    // The server may still be tidying up after the ramp; that is no idle cost.
    let quiet = settle / 10;
    wait(&mut swarm, began, quiet)?;
    let window = Window::open(&mut bench.meters)?;
    wait(&mut swarm, began, settle)?;
    let usage = window.close(&mut bench.meters)?;
    let after = bench.meters.server.as_ref().context("the server's process is gone")?.memory()?;
    swarm.finish()?;

    let mut report = Report::default();
    let per_connection = |after: u64, before: u64| (after as f64 - before as f64) / 1024.0 / count as f64;
    report.add("RSS per connection", "KiB", Better::Lower, per_connection(after.rss, before.rss));
    report.add("PSS per connection", "KiB", Better::Lower, per_connection(after.pss, before.pss));
    report.add("RSS before", "MiB", Better::Neither, before.rss as f64 / f64::from(1 << 20));
    report.add("RSS after", "MiB", Better::Neither, after.rss as f64 / f64::from(1 << 20));
    if let Some(cpu) = usage.server_cpu {
        let micros = cpu.as_secs_f64() * 1e6 / usage.wall.as_secs_f64() / count as f64;
        report.add("idle CPU per connection", "µs/s", Better::Lower, micros);
    }
    report.add("connections", "", Better::Neither, count as f64);
    report.verdict(&swarm);
    Ok(report)
}

fn wait(swarm: &mut crate::load::swarm::Swarm, began: Instant, until: Duration) -> Result<()> {
    while let Some(left) = until.checked_sub(began.elapsed()) {
        swarm.turn(left.min(Duration::from_millis(500)))?;
    }
    Ok(())
}
