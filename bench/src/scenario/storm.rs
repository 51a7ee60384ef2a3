//! Many clients arriving at once: fresh ones, and returning ones that recover what they missed.

use super::{Bench, Better, Report, SHAPE};
use crate::arm::{PLAIN, STREAM};
use crate::load::swarm::{ClientPlan, Feed, Swarm};
use crate::meter::{Usage, Window};
use anyhow::Result;

/// Files this process needs besides its connections.
const SPARE_FILES: usize = 200;

/// Connects `clients` with a token and subscribes each to a channel of its own, `parallel` at a time.
pub fn connect(bench: &mut Bench, clients: usize, parallel: usize) -> Result<Report> {
    let clients = limit(bench, clients);
    let mut swarm = bench.swarm()?;
    let mut plans = Vec::with_capacity(clients);
    for user in 0..clients {
        let channel = swarm.ledger_mut().add_channel(bench.channel(PLAIN, user));
        plans.push(bench.plan(user, Some(channel))?);
    }
    let window = Window::open(&mut bench.meters)?;
    swarm.ramp(plans, parallel)?;
    let usage = window.close(&mut bench.meters)?;
    report(swarm, usage, clients)
}

/// Publishes into a channel, then lets `clients` connect that last saw it empty, `parallel` at a time.
pub fn recover(bench: &mut Bench, clients: usize, publications: u64, parallel: usize) -> Result<Report> {
    let clients = limit(bench, clients);
    let channel_name = bench.channel(STREAM, 0);
    let mut swarm = bench.swarm()?;
    let channel = swarm.ledger_mut().add_channel(channel_name.clone());
    swarm.ramp([bench.plan(0, Some(channel))?], 1)?;
    for _ in 0..publications {
        swarm.publish(0, channel, bench.clock.now_ns(), SHAPE);
    }
    swarm.drain()?;
    let position = swarm.position(0).clone();
    let mut plans = Vec::with_capacity(clients);
    for user in 0..clients {
        let feed = Feed::Subscription { recover: Some(position.clone()), delta: false };
        plans.push(ClientPlan { feed, ..bench.plan(user, Some(channel))? });
    }
    let window = Window::open(&mut bench.meters)?;
    swarm.ramp(plans, parallel)?;
    let usage = window.close(&mut bench.meters)?;
    report(swarm, usage, clients)
}

fn limit(bench: &Bench, clients: usize) -> usize {
    bench.size(clients, clients.min(100)).min(bench.file_limit.saturating_sub(SPARE_FILES))
}

fn report(mut swarm: Swarm, usage: Usage, clients: usize) -> Result<Report> {
    swarm.finish()?;
    let mut report = Report::default();
    report.usage("server CPU per connection", usage, clients as u64);
    report.add("connections", "/s", Better::Higher, clients as f64 / usage.wall.as_secs_f64());
    report.latency(swarm.ready_time());
    report.verdict(&swarm);
    Ok(report)
}
