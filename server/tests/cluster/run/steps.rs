//! Does what the timeline of a scenario says, and writes into the log what the checker must know of it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::{Member, PATIENCE, POLL, Stage, other};
use crate::broker::{Failing, Watched};
use crate::link::State;
use crate::log::Event;
use crate::node::{Node, own_binary};
use crate::scenario::Step;
use crate::slots::Slotted;

/// Which nodes messages can reach.
#[derive(Default)]
pub(super) struct Hearing {
    broker_is_down: bool,
    cut: HashSet<Arc<str>>,
    /// Those of which the log says that nothing reaches them.
    deaf: HashSet<Arc<str>>,
}

impl Stage {
    pub(super) async fn steps(&self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            Box::pin(self.step(step)).await.map_err(|error| format!("{step:?}: {error}"))?;
        }
        Ok(())
    }

    async fn step(&self, step: &Step) -> Result<(), String> {
        self.foretell(step);
        self.carry_out(step).await?;
        self.tell(step);
        Ok(())
    }

    /// Logs what a step is about to do.
    fn foretell(&self, step: &Step) {
        match step {
            Step::Kill(name) | Step::Pause(name) if name != "broker" => {
                self.log.write(Event::Gone { node: name.as_str().into() });
            }
            Step::Terminate(name) => self.log.write(Event::Leaving { node: name.as_str().into() }),
            Step::CutClients(_) if self.counts_reads => {
                let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
                reads.get_or_insert_with(|| block_in_place(|| self.broker.history_reads()));
            }
            _ => {}
        }
    }

    /// Logs what a step did.
    fn tell(&self, step: &Step) {
        match step {
            Step::Terminate(name) => self.log.write(Event::Gone { node: name.as_str().into() }),
            Step::Ready(name) => self.log.write(Event::Serving { node: name.as_str().into() }),
            Step::Resume(name) if name != "broker" => {
                self.log.write(Event::Serving { node: name.as_str().into() });
            }
            Step::Present => self.log.write(Event::Present),
            Step::Delivered => {
                let before = self.reads.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(before) = before {
                    let count = block_in_place(|| self.broker.history_reads()) - before;
                    self.log.write(Event::Reads { count });
                }
            }
            _ => {}
        }
        let mut hearing = self.hearing.lock().unwrap_or_else(PoisonError::into_inner);
        hearing.take(step);
        for member in &self.nodes {
            let node = member.name.clone();
            let deaf = hearing.broker_is_down || hearing.cut.contains(&node);
            if deaf && hearing.deaf.insert(node.clone()) {
                self.log.write(Event::Deaf { node });
            } else if !deaf && hearing.deaf.remove(&node) {
                self.log.write(Event::Hearing { node });
            }
        }
    }

    async fn carry_out(&self, step: &Step) -> Result<(), String> {
        match step {
            Step::Wait(time) => tokio::time::sleep(*time).await,
            Step::Kill(target) if target == "broker" => block_in_place(|| self.broker.kill()),
            Step::Start(target) if target == "broker" => block_in_place(|| self.broker.restart()),
            Step::Pause(target) if target == "broker" => block_in_place(|| self.broker.pause()),
            Step::Resume(target) if target == "broker" => block_in_place(|| self.broker.resume()),
            Step::KillPrimary => block_in_place(|| self.broker.failing().map(Failing::kill_primary))?,
            Step::KillSentinel => block_in_place(|| self.broker.watched().map(Watched::kill_sentinel))?,
            Step::Failover => block_in_place(|| self.broker.failing().map(|of| of.order_failover(false)))?,
            Step::FailoverForced => {
                block_in_place(|| self.broker.failing().map(|of| of.order_failover(true)))?
            }
            Step::Elected => block_in_place(|| self.broker.failing().map(Failing::elected))?,
            Step::StartFormer => block_in_place(|| self.broker.failing().map(Failing::start_former))?,
            Step::HoldReplicaBack => {
                block_in_place(|| self.broker.slotted().map(Slotted::hold_replica_back))?
            }
            Step::KillForgotten => self.kill_forgotten()?,
            Step::Deafen => block_in_place(|| self.broker.slotted().map(Slotted::deafen))?,
            Step::BeginToMove => block_in_place(|| self.broker.slotted().map(Slotted::begin_to_move))?,
            Step::FinishMoving => block_in_place(|| self.broker.slotted().map(Slotted::finish_moving))?,
            Step::Save => {
                self.remember(&self.channels);
                block_in_place(|| self.broker.save());
            }
            Step::KillNats => self.broker.nats()?.kill().await,
            Step::StartNats => self.broker.nats()?.restart().await,
            Step::Hush => {
                self.hush.send_replace(true);
            }
            Step::Speak => {
                self.hush.send_replace(false);
            }
            Step::Told(limit) => self.told(*limit).await?,
            Step::DetachReplica => block_in_place(|| self.broker.watched().map(Watched::detach_replica))?,
            Step::Kill(name) => block_in_place(|| self.member(name).map(|member| member.node.kill()))?,
            Step::Start(name) => block_in_place(|| self.member(name)?.node.start())?,
            Step::BecomeOwn(name) => self.become_program(name, own_binary())?,
            Step::BecomeOther(name) => self.become_program(name, other()?)?,
            Step::Terminate(name) => block_in_place(|| self.member(name)?.node.terminate())?,
            Step::Pause(name) => self.member(name)?.node.signal("STOP")?,
            Step::Resume(name) => self.member(name)?.node.signal("CONT")?,
            Step::Cut(name) => self.member(name)?.link.set(State::Cut),
            Step::Freeze(name) => self.member(name)?.link.set(State::Frozen),
            Step::Slow { node, by } => self.member(node)?.link.set(State::Slow(*by)),
            Step::Heal(name) => self.member(name)?.link.set(State::Whole),
            Step::CutClients(name) => self.ways.cut(name),
            Step::HealClients(name) => self.ways.heal(name),
            Step::Fault(what) => self.log.write(Event::Fault { what: what.clone() }),
            Step::Healed(what) => self.log.write(Event::Healed { what: what.clone() }),
            Step::Published(count) => {
                let target = self.board.count() + count;
                self.until("publications", || self.board.count() >= target).await?;
            }
            Step::Delivered => self.until("deliveries", || !self.board.is_behind()).await?,
            Step::Recovered => self.until("deliveries", || !self.board.is_placed_behind()).await?,
            Step::Ready(name) => self.ready(&self.member(name)?.node, 200).await?,
            Step::Blind(name) => self.ready(&self.member(name)?.node, 503).await?,
            Step::Present => self.present().await?,
            Step::Repeat { times, nightly, steps } => {
                let times = if crate::scenario::nightly() { *nightly } else { *times };
                for _ in 0..times {
                    self.steps(steps).await?;
                }
            }
        }
        Ok(())
    }

    fn kill_forgotten(&self) -> Result<(), String> {
        let slotted = self.broker.slotted()?;
        let concerned = block_in_place(|| slotted.kill_forgotten(&self.channels));
        self.remember(&concerned);
        Ok(())
    }

    /// Remembers in which streams subscriptions of some channels are.
    fn remember(&self, channels: &[Arc<str>]) {
        let positions = self.board.positions(channels);
        *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner) = positions;
    }

    /// Waits until no subscription is in a stream it was remembered in.
    async fn told(&self, limit: Duration) -> Result<(), String> {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if forgotten.is_empty() {
            return Err("no stream is lost".to_owned());
        }
        // Whoever has no position cannot be told anything.
        forgotten.retain(|_, position| !position.epoch.is_empty());
        let untold = || {
            let now = self.board.positions(&self.channels);
            let mut same = forgotten.clone();
            same.retain(|key, before| now.get(key).is_none_or(|now| now.epoch == before.epoch));
            same
        };
        let begun = Instant::now();
        let told = self.until("news of the loss", || untold().is_empty()).await;
        told.map_err(|error| format!("{error} to {:?}", untold()))?;
        let took = begun.elapsed();
        if crate::scenario::nightly() && took > limit { Err(format!("told after {took:?}")) } else { Ok(()) }
    }

    fn become_program(&self, name: &str, binary: PathBuf) -> Result<(), String> {
        let node = &self.member(name)?.node;
        node.become_program(binary);
        block_in_place(|| node.start())
    }

    /// Waits until presence of all channels counts all clients, and no ghosts, wherever it is asked for.
    async fn present(&self) -> Result<(), String> {
        let wait = async {
            for member in self.nodes.iter().filter(|member| member.node.is_running()) {
                let address = member.node.address();
                for channel in &self.channels {
                    let expected = self.subscribed.iter().filter(|own| own.contains(channel)).count();
                    let request = json!({"channel": **channel});
                    let count = || self.api.call(&address, "presence_stats", &request);
                    while count().await.ok().and_then(|answer| answer["result"]["num_clients"].as_u64())
                        != Some(expected as u64)
                    {
                        tokio::time::sleep(POLL).await;
                    }
                }
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| "presence does not count those who are there".to_owned())
    }

    fn member(&self, name: &str) -> Result<&Member, String> {
        self.nodes.iter().find(|member| *member.name == *name).ok_or_else(|| format!("no node {name}"))
    }

    /// Waits until `/ready` answers with a status.
    pub(super) async fn ready(&self, node: &Node, status: u16) -> Result<(), String> {
        let address = node.address();
        let wait = async {
            while self.api.status(&address, node.ready_path()).await != Some(status) {
                tokio::time::sleep(POLL).await;
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| format!("/ready does not answer {status}"))
    }

    pub(super) async fn until(&self, what: &str, reached: impl Fn() -> bool) -> Result<(), String> {
        let wait = async {
            while !reached() {
                tokio::time::sleep(POLL).await;
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| format!("{what} did not come in {PATIENCE:?}"))
    }
}

impl Hearing {
    /// Takes what a step did to the ways of messages.
    fn take(&mut self, step: &Step) {
        match step {
            Step::Kill(target) | Step::Pause(target) if target == "broker" => self.broker_is_down = true,
            Step::KillPrimary | Step::DetachReplica => self.broker_is_down = true,
            Step::Start(target) | Step::Resume(target) if target == "broker" => self.broker_is_down = false,
            Step::Elected => self.broker_is_down = false,
            Step::Cut(name) | Step::Freeze(name) => {
                self.cut.insert(name.as_str().into());
            }
            Step::Heal(name) => {
                self.cut.remove(name.as_str());
            }
            _ => {}
        }
    }
}
