//! Publications over WebSocket to many subscribers on any transport: on a schedule (open loop) and as fast as they are
//! taken.

use super::{Bench, Better, CPU_PER_DELIVERY, RAMP, Report, SHAPE};
use crate::arm::{DELTA, PLAIN};
use crate::clock::Pacer;
use crate::ledger::{ChannelIndex, new_histogram};
use crate::load::swarm::{ClientPlan, Feed, Swarm, Traffic};
use crate::load::transport::Transport;
use crate::meter::{Usage, Window};
use crate::wire::payload::{Filling, Shape};
use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Channels, subscribers and the rate of publications over all channels together.
#[derive(Clone, Copy)]
pub struct OpenLoop {
    namespace: &'static str,
    channels: u32,
    subscribers: u32,
    rate: f64,
    /// Whether each channel's first subscriber publishes, instead of one client that subscribes to nothing.
    subscribers_publish: bool,
    /// How subscribers connect; who publishes uses an ordinary WebSocket.
    transport: Transport,
    payload: Shape,
}

impl OpenLoop {
    pub const fn one_channel(namespace: &'static str, subscribers: u32, rate: f64) -> Self {
        Self {
            namespace,
            channels: 1,
            subscribers,
            rate,
            subscribers_publish: false,
            transport: Transport::PLAIN,
            payload: SHAPE,
        }
    }

    /// The same to subscribers on another transport.
    pub const fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// The same with payloads of text, `size` bytes each.
    pub const fn with_text(self, size: usize) -> Self {
        Self { payload: Shape { size, filling: Filling::Text }, ..self }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether its channels have history.
    pub fn needs_history(&self) -> bool {
        self.namespace != PLAIN
    }

    fn takes_deltas(&self) -> bool {
        self.namespace == DELTA
    }

    pub const fn small_channels(channels: u32, subscribers: u32, rate: f64) -> Self {
        Self { channels, subscribers_publish: true, ..Self::one_channel(PLAIN, subscribers, rate) }
    }
}

/// Where publications go: a connection and the channel it publishes to.
#[derive(Clone, Copy)]
pub(super) struct Outlet {
    connection: usize,
    channel: ChannelIndex,
}

/// Publishes on a fixed schedule, however slow the server is.
pub fn open_loop(bench: &mut Bench, shape: OpenLoop) -> Result<Report> {
    let shape = OpenLoop {
        channels: bench.size(shape.channels, shape.channels.min(10)),
        subscribers: bench.size(shape.subscribers, shape.subscribers.min(50)),
        ..shape
    };
    let (mut swarm, outlets) = assemble(bench, shape)?;
    pace(bench, &mut swarm, &outlets, shape, bench.warm_up())?;
    let measurement = Measurement::open(bench, &mut swarm)?;
    let lag = pace(bench, &mut swarm, &outlets, shape, bench.measured())?;
    let mut report = measurement.close(bench, &swarm)?;
    let lag_p99 = lag.value_at_quantile(0.99) as f64 / 1e3;
    report.add("generator send lag p99", "µs", Better::Neither, lag_p99);
    swarm.finish()?;
    report.verdict(&swarm);
    // Without them the scenario would measure something else under its name.
    let traffic = swarm.traffic();
    if shape.transport == (Transport::WebSocket { deflate: true }) && traffic.compressed == 0 {
        bail!("the server compressed nothing");
    }
    if shape.takes_deltas() && traffic.deltas == 0 {
        bail!("the server sent no deltas");
    }
    Ok(report)
}

/// Keeps `outstanding` publications under way to all subscribers of one channel.
pub fn saturated(bench: &mut Bench, subscribers: u32, outstanding: u64) -> Result<Report> {
    let shape = OpenLoop::one_channel(PLAIN, bench.size(subscribers, 50), 0.0);
    let (mut swarm, outlets) = assemble(bench, shape)?;
    flood(bench, &mut swarm, outlets[0], outstanding, bench.warm_up() / 2)?;
    let measurement = Measurement::open(bench, &mut swarm)?;
    flood(bench, &mut swarm, outlets[0], outstanding, bench.measured())?;
    let mut report = measurement.close(bench, &swarm)?;
    swarm.finish()?;
    report.verdict(&swarm);
    Ok(report)
}

pub(super) fn assemble(bench: &Bench, shape: OpenLoop) -> Result<(Swarm, Vec<Outlet>)> {
    let mut swarm = bench.swarm()?;
    let mut plans = Vec::new();
    let mut outlets = Vec::new();
    for index in 0..shape.channels {
        let channel = swarm.ledger_mut().add_channel(bench.channel(shape.namespace, index as usize));
        outlets.push(Outlet { connection: plans.len(), channel });
        for _ in 0..shape.subscribers {
            plans.push(subscriber(bench, &swarm, shape, plans.len(), channel)?);
        }
    }
    if !shape.subscribers_publish {
        for outlet in &mut outlets {
            outlet.connection = plans.len();
        }
        plans.push(bench.plan(plans.len(), None)?);
    }
    swarm.ramp(plans, RAMP)?;
    Ok((swarm, outlets))
}

fn subscriber(
    bench: &Bench,
    swarm: &Swarm,
    shape: OpenLoop,
    user: usize,
    channel: ChannelIndex,
) -> Result<ClientPlan> {
    let mut plan = ClientPlan { transport: shape.transport, ..bench.plan(user, Some(channel))? };
    if shape.takes_deltas() {
        plan.feed = Feed::Subscription { recover: None, delta: true };
    }
    if !shape.transport.takes_commands() {
        let granted = [swarm.ledger().channel_name(channel)];
        plan.token = bench.target.token(&format!("user-{user}"), &granted)?;
        plan.feed = Feed::Grant;
    }
    Ok(plan)
}

/// Publishes for so long. Returns how late the generator itself was; its lag is part of the latencies it reports.
pub(super) fn pace(
    bench: &Bench,
    swarm: &mut Swarm,
    outlets: &[Outlet],
    shape: OpenLoop,
    duration: Duration,
) -> Result<Histogram<u64>> {
    let mut lag = new_histogram();
    let total = (shape.rate * duration.as_secs_f64()).ceil() as u64;
    let mut pacer = Pacer::new(bench.clock.now_ns(), shape.rate, total);
    let mut outlet = outlets.iter().cycle();
    let mut armed_for = None;
    while let Some(next_ns) = pacer.next_ns() {
        let mut now_ns = bench.clock.now_ns();
        while let Some(intended_ns) = pacer.due(now_ns) {
            if let Some(&Outlet { connection, channel }) = outlet.next() {
                swarm.publish(connection, channel, intended_ns, shape.payload);
            }
            lag.saturating_record(now_ns - intended_ns);
            now_ns = bench.clock.now_ns();
        }
        if next_ns > now_ns && armed_for != Some(next_ns) {
            swarm.wake_in(Duration::from_nanos(next_ns - now_ns))?;
            armed_for = Some(next_ns);
        }
        let wait = if next_ns > now_ns { Duration::from_millis(100) } else { Duration::ZERO };
        swarm.turn(wait)?;
    }
    swarm.drain()?;
    Ok(lag)
}

fn flood(
    bench: &Bench,
    swarm: &mut Swarm,
    outlet: Outlet,
    outstanding: u64,
    duration: Duration,
) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < duration {
        while swarm.ledger().outstanding() < outstanding {
            swarm.publish(outlet.connection, outlet.channel, bench.clock.now_ns(), SHAPE);
        }
        swarm.turn(Duration::from_millis(100))?;
    }
    swarm.drain()
}

/// The measured part of a fan-out, from a drained swarm to a drained swarm.
struct Measurement {
    window: Window,
    delivered: u64,
    traffic: Traffic,
}

impl Measurement {
    fn open(bench: &mut Bench, swarm: &mut Swarm) -> Result<Self> {
        swarm.ledger_mut().record_latency_since(bench.clock.now_ns());
        Ok(Self {
            delivered: swarm.ledger().delivered(),
            traffic: swarm.traffic(),
            window: Window::open(&mut bench.meters)?,
        })
    }

    fn close(self, bench: &mut Bench, swarm: &Swarm) -> Result<Report> {
        let usage: Usage = self.window.close(&mut bench.meters)?;
        let delivered = swarm.ledger().delivered() - self.delivered;
        let traffic = swarm.traffic();
        let frames = (traffic.frames - self.traffic.frames).max(1) as f64;
        let reads = (traffic.reads - self.traffic.reads).max(1) as f64;
        let mut report = Report::default();
        report.usage(CPU_PER_DELIVERY, usage, delivered);
        report.add("deliveries", "/s", Better::Higher, delivered as f64 / usage.wall.as_secs_f64());
        report.latency(swarm.ledger().latency());
        report.add("publications per frame", "", Better::Neither, delivered as f64 / frames);
        report.add("frames per read", "", Better::Neither, frames / reads);
        let bytes = (traffic.bytes - self.traffic.bytes) as f64;
        report.add("bytes per delivery", "", Better::Neither, bytes / delivered.max(1) as f64);
        Ok(report)
    }
}
