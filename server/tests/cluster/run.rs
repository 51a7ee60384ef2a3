//! Runs a scenario: brings up the cluster and its load, does what the timeline says, and gives the log to the checker.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::bars::Size;
use crate::board::{Board, Position};
use crate::broker::{Broker, Failing, Watched};
use crate::checker;
use crate::link::{Link, State};
use crate::log::{Event, Log};
use crate::measures::Measures;
use crate::node::{Node, OTHER, other_binary, own_binary};
use crate::pipeline::Pipeline;
use crate::publisher::{API_KEY, Api, Publisher};
use crate::sampler::Sampler;
use crate::scenario::{Load, Publishing, Scenario, Step, merged};
use crate::slots::Slotted;
use crate::subscriber::Subscriber;
use crate::verdict::Verdict;
use crate::ways::Ways;

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// What a run showed.
pub struct Outcome {
    pub verdict: Verdict,
    pub measures: Measures,
    /// WARN and ERROR lines nodes must not have logged.
    pub problems: Vec<String>,
    pub size: Size,
}

/// Runs a scenario to its end; publishers and whoever looks at nodes run in the runtime `beside`.
///
/// # Errors
/// When the cluster does not start, or a step cannot be done.
pub async fn run(scenario: &Scenario, beside: Handle) -> Result<Outcome, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let log = Arc::new(Log::create(directory.path()).map_err(|error| error.to_string())?);
    let stage = Stage::set(scenario, log.clone(), beside).await?;
    stage.load(scenario).await?;
    let allowed = scenario.allow_log.iter().map(|pattern| Regex::new(pattern)).collect::<Result<Vec<_>, _>>();
    let allowed = allowed.map_err(|error| error.to_string())?;
    let problems = stage.nodes.iter().flat_map(|member| member.node.problems(&allowed)).collect();
    let (nodes, channels) = (stage.nodes.len(), stage.channels.len());
    let size = Size { nodes, channels, subscriptions: stage.board.subscriptions() };
    drop(stage);
    let path = log.finish().map_err(|error| error.to_string())?;
    let (verdict, measures) =
        checker::judge(BufReader::new(File::open(path).map_err(|error| error.to_string())?))?;
    Ok(Outcome { verdict, measures, problems, size })
}

/// The cluster and what stands around it.
struct Stage {
    broker: Broker,
    nodes: Vec<Member>,
    api: Api,
    log: Arc<Log>,
    board: Arc<Board>,
    ways: Arc<Ways>,
    channels: Vec<Arc<str>>,
    /// Whether publishers are to say nothing.
    hush: watch::Sender<bool>,
    /// Where subscriptions were whose streams a primary took with it.
    forgotten: Mutex<HashMap<(u32, Arc<str>), Position>>,
    /// Channels of each client.
    subscribed: Vec<Vec<Arc<str>>>,
    hearing: Mutex<Hearing>,
    /// Reads of history by the broker until clients lost their connections, when they are counted.
    reads: Mutex<Option<u64>>,
    counts_reads: bool,
    beside: Handle,
    _samplers: JoinSet<()>,
}

/// A node and its way to the broker.
struct Member {
    name: Arc<str>,
    node: Arc<Node>,
    link: Link,
}

/// Which nodes messages can reach.
#[derive(Default)]
struct Hearing {
    broker_is_down: bool,
    cut: HashSet<Arc<str>>,
    /// Those of which the log says that nothing reaches them.
    deaf: HashSet<Arc<str>>,
}

impl Stage {
    async fn set(scenario: &Scenario, log: Arc<Log>, beside: Handle) -> Result<Self, String> {
        let broker = Broker::start(scenario.broker).await;
        let mut nodes = Vec::new();
        for name in ('a'..).take(scenario.load.nodes) {
            let link = Link::open(broker.address()).await.map_err(|error| error.to_string())?;
            let linked = link.address().to_string();
            let address = if broker.takes_links() { linked } else { broker.address() };
            let config = config(scenario, &broker.config(&address));
            let binary = if scenario.begins_with_other { other()? } else { own_binary() };
            let node = Arc::new(Node::new(binary, config).map_err(|e| e.to_string())?);
            nodes.push(Member { name: name.to_string().into(), node, link });
        }
        for member in &nodes {
            block_in_place(|| member.node.start())?;
        }
        let load = &scenario.load;
        let channels: Vec<Arc<str>> =
            (0..load.channels).map(|index| format!("flow:{index}").into()).collect();
        let each = if load.channels_each == 0 { channels.len() } else { load.channels_each };
        let subscribed = |client| channels.iter().cycle().skip(client * each).take(each).cloned().collect();
        let subscribed = (0..load.subscribers).map(|client| subscribed(client % channels.len())).collect();
        let addresses = nodes.iter().map(|member| (member.name.to_string(), member.node.address()));
        let ways = Arc::new(Ways::new(addresses, load.balanced));
        let sampler = Sampler { api: Api::new(), log: log.clone(), ways: ways.clone() };
        let mut samplers = JoinSet::new();
        for (at, member) in nodes.iter().enumerate() {
            sampler.watch(&mut samplers, &beside, at, member.node.clone());
        }
        let stage = Self {
            broker,
            nodes,
            api: sampler.api,
            log,
            board: Arc::default(),
            ways,
            channels,
            hush: watch::Sender::new(false),
            forgotten: Mutex::default(),
            subscribed,
            hearing: Mutex::default(),
            reads: Mutex::default(),
            counts_reads: scenario.bars.history_reads.is_some(),
            beside,
            _samplers: samplers,
        };
        for member in &stage.nodes {
            stage.ready(&member.node, 200).await?;
        }
        Ok(stage)
    }

    /// Brings up subscribers, then publishers, does the timeline, and waits until everything arrived.
    async fn load(&self, scenario: &Scenario) -> Result<(), String> {
        let load = &scenario.load;
        let mut subscribers = JoinSet::new();
        for (index, channels) in self.subscribed.iter().enumerate() {
            let subscriber = Subscriber {
                who: u32::try_from(index).map_err(|error| error.to_string())?,
                ways: self.ways.clone(),
                first: index,
                channels: channels.clone(),
                log: self.log.clone(),
                board: self.board.clone(),
            };
            subscribers.spawn(subscriber.run());
        }
        let expected: usize = self.subscribed.iter().map(Vec::len).sum();
        self.until("subscriptions", || self.board.subscriptions() == expected).await?;
        let (stop, stopped) = watch::channel(false);
        let mut publishers = JoinSet::new();
        for index in 0..load.publishers {
            self.publish(&mut publishers, load, index, stopped.clone());
        }
        self.steps(&scenario.timeline).await?;
        stop.send_replace(true);
        ended(&mut publishers).await?;
        self.last_message().await?;
        // What never arrives is a matter for the checker.
        let _ = self.until("deliveries", || !self.board.is_behind()).await;
        while let Some(ended) = subscribers.try_join_next() {
            ended.map_err(|error| format!("a subscriber: {error}"))?;
        }
        Ok(())
    }

    fn publish(&self, tasks: &mut JoinSet<()>, load: &Load, index: usize, stopped: watch::Receiver<bool>) {
        match load.publishing {
            Publishing::Backends | Publishing::Racing => {
                let racing = load.publishing == Publishing::Racing;
                let name = if racing { "all".to_owned() } else { format!("p{index}") };
                let publisher = self.publisher(name, index, load);
                tasks.spawn_on(publisher.run(stopped, self.hush.subscribe()), &self.beside);
            }
            Publishing::Pipelined | Publishing::PipelinedOverAll => {
                let mut addresses = self.ways.addresses_from(index);
                if load.publishing == Publishing::Pipelined {
                    addresses.truncate(1);
                }
                let pipeline = Pipeline {
                    name: format!("p{index}"),
                    addresses,
                    channels: self.channels.clone(),
                    rate: load.rate,
                    log: self.log.clone(),
                    board: self.board.clone(),
                };
                tasks.spawn_on(pipeline.run(stopped), &self.beside);
            }
        }
    }

    fn publisher(&self, name: String, first: usize, load: &Load) -> Publisher {
        Publisher {
            name,
            ways: self.ways.clone(),
            first,
            channels: self.channels.clone(),
            rate: load.rate,
            batch: load.batch,
            idempotent: load.idempotent,
            api: self.api.clone(),
            log: self.log.clone(),
            board: self.board.clone(),
        }
    }

    /// One more message in each channel: whoever has it has all others, or will never get them.
    async fn last_message(&self) -> Result<(), String> {
        let load = Load { rate: 1000, ..Load::default() };
        let publisher = self.publisher("last".to_owned(), 0, &load);
        let all = timeout(PATIENCE, publisher.once()).await;
        all.map_err(|_| "the last message of a channel is not acknowledged".to_owned())
    }

    async fn steps(&self, steps: &[Step]) -> Result<(), String> {
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
        let told = || {
            let now = self.board.positions(&self.channels);
            forgotten.iter().all(|(key, before)| now.get(key).is_some_and(|now| now.epoch != before.epoch))
        };
        let begun = Instant::now();
        self.until("news of the loss", told).await?;
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
    async fn ready(&self, node: &Node, status: u16) -> Result<(), String> {
        let address = node.address();
        let wait = async {
            while self.api.status(&address, node.ready_path()).await != Some(status) {
                tokio::time::sleep(POLL).await;
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| format!("/ready does not answer {status}"))
    }

    async fn until(&self, what: &str, reached: impl Fn() -> bool) -> Result<(), String> {
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

/// The other server.
fn other() -> Result<PathBuf, String> {
    other_binary().ok_or_else(|| format!("{OTHER} names no server"))
}

/// Waits until all tasks came to their end.
async fn ended(tasks: &mut JoinSet<()>) -> Result<(), String> {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| format!("a publisher: {error}"))?;
        }
        Ok(())
    };
    let all = timeout(PATIENCE, all).await;
    all.unwrap_or_else(|_| Err("publishers were not told that their last message is kept".to_owned()))
}

/// Configuration of a node.
fn config(scenario: &Scenario, engine: &Value) -> Value {
    let mut namespace = json!({
        "name": "flow",
        "allow_subscribe_for_client": true,
        "allow_subscribe_for_anonymous": true,
        "allow_publish_for_client": true,
        "allow_publish_for_anonymous": true,
        "force_recovery": true,
        "history_size": 2000,
        "history_ttl": "300s",
    });
    for (key, value) in &scenario.namespace {
        namespace[key] = value.clone();
    }
    let base = json!({
        "http_api": {"key": API_KEY},
        "health": {"enabled": true},
        "log": {"level": "warn"},
        "client": {
            "allow_anonymous_connect_without_token": true,
            "recovery_max_publication_limit": 2000,
            "ping_interval": "5s",
            "pong_timeout": "3s",
        },
        "channel": {"namespaces": [namespace]},
    });
    merged(&merged(&base, engine), &scenario.config)
}
