//! Calls that the server passes on to an application, and whose answers come back to who called.

use super::{Bench, Better, RAMP, Report, SHAPE};
use crate::load::swarm::{ClientPlan, Feed, Swarm};
use crate::meter::Window;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

const METHOD: &str = "bench";

/// How the server asks the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Http,
    Grpc,
}

/// Keeps one call outstanding on each of `connections`.
///
/// One per connection, because servers may carry out the commands of a connection one after the other.
///
/// # Errors
/// When the server was not started here: it could not know where the application is.
pub fn rpc(bench: &mut Bench, connections: usize) -> Result<Report> {
    if bench.meters.backend.is_none() {
        bail!(
            "a server that was not started here does not know the application behind its proxies (use --arm)"
        );
    }
    let connections = bench.size(connections, 8);
    let mut swarm = bench.swarm()?;
    let mut plans = Vec::with_capacity(connections);
    for user in 0..connections {
        let answers = swarm.ledger_mut().add_channel(format!("answers to {user}"));
        plans.push(ClientPlan { feed: Feed::Answers, ..bench.plan(user, Some(answers))? });
    }
    swarm.ramp(plans, RAMP)?;
    call(&mut swarm, connections, bench.warm_up() / 2)?;
    swarm.ledger_mut().record_latency_since(bench.clock.now_ns());
    let before = swarm.ledger().delivered();
    let window = Window::open(&mut bench.meters)?;
    call(&mut swarm, connections, bench.measured())?;
    let usage = window.close(&mut bench.meters)?;
    let answered = swarm.ledger().delivered() - before;
    swarm.finish()?;
    if answered == 0 {
        bail!("no call was answered: {}", swarm.problems().join("; "));
    }
    let mut report = Report::default();
    report.usage("server CPU per call", usage, answered);
    report.add("calls", "/s", Better::Higher, answered as f64 / usage.wall.as_secs_f64());
    report.latency(swarm.ledger().latency());
    report.verdict(&swarm);
    Ok(report)
}

fn call(swarm: &mut Swarm, connections: usize, duration: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < duration {
        for connection in 0..connections {
            // The ledger has one channel for each connection, in the same order.
            if swarm.ledger().is_settled(connection as u32) {
                swarm.call(connection, METHOD, SHAPE);
            }
        }
        swarm.turn(Duration::from_millis(100))?;
    }
    swarm.drain()
}
