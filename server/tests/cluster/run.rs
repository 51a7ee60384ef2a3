//! Runs a scenario: brings up the cluster and its load, does what the timeline says, and gives the log to the checker.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::board::{Board, Position};
use crate::broker::{Broker, Failing, Watched};
use crate::checker;
use crate::link::{Link, State};
use crate::log::{Event, Log};
use crate::node::{Node, OTHER, other_binary, own_binary};
use crate::pipeline::Pipeline;
use crate::publisher::{API_KEY, Api, Publisher};
use crate::scenario::{Load, Publishing, Scenario, Step, merged};
use crate::slots::Slotted;
use crate::subscriber::Subscriber;
use crate::verdict::Verdict;

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// What a run showed.
pub struct Outcome {
    pub verdict: Verdict,
    /// WARN and ERROR lines nodes must not have logged.
    pub problems: Vec<String>,
    /// How many subscriptions there were.
    pub subscriptions: usize,
}

/// Runs a scenario to its end.
///
/// # Errors
/// When the cluster does not start, or a step cannot be done.
pub async fn run(scenario: &Scenario) -> Result<Outcome, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let log = Arc::new(Log::create(directory.path()).map_err(|error| error.to_string())?);
    let stage = Stage::set(scenario, log.clone()).await?;
    stage.load(scenario).await?;
    let allowed = scenario.allow_log.iter().map(|pattern| Regex::new(pattern)).collect::<Result<Vec<_>, _>>();
    let allowed = allowed.map_err(|error| error.to_string())?;
    let problems = stage.nodes.iter().flat_map(|member| member.node.problems(&allowed)).collect();
    let subscriptions = stage.board.subscriptions();
    drop(stage);
    let path = log.finish().map_err(|error| error.to_string())?;
    let verdict = checker::judge(BufReader::new(File::open(path).map_err(|error| error.to_string())?))?;
    Ok(Outcome { verdict, problems, subscriptions })
}

/// The cluster and what stands around it.
struct Stage {
    broker: Broker,
    nodes: Vec<Member>,
    api: Api,
    log: Arc<Log>,
    board: Arc<Board>,
    channels: Vec<String>,
    subscribers: usize,
    /// Whether publishers are to say nothing.
    hush: watch::Sender<bool>,
    /// Where subscriptions were whose streams a primary took with it.
    forgotten: Mutex<HashMap<(u32, String), Position>>,
}

/// A node, its way to the broker, and the way of clients to it.
struct Member {
    name: String,
    node: Node,
    link: Link,
    front: Link,
}

impl Stage {
    async fn set(scenario: &Scenario, log: Arc<Log>) -> Result<Self, String> {
        let broker = Broker::start(scenario.broker).await;
        let mut nodes = Vec::new();
        for name in ('a'..).take(scenario.load.nodes) {
            let link = Link::open(broker.address()).await.map_err(|error| error.to_string())?;
            let linked = link.address().to_string();
            let address = if broker.takes_links() { linked } else { broker.address() };
            let config = config(scenario, &broker.config(&address));
            let node =
                Node::new(PathBuf::from(env!("CARGO_BIN_EXE_gyre")), config).map_err(|e| e.to_string())?;
            let front = Link::open(node.address()).await.map_err(|error| error.to_string())?;
            nodes.push(Member { name: name.to_string(), node, link, front });
        }
        for member in &nodes {
            block_in_place(|| member.node.start())?;
        }
        let channels = (0..scenario.load.channels).map(|index| format!("flow:{index}")).collect();
        let subscribers = scenario.load.subscribers;
        let (hush, forgotten) = (watch::Sender::new(false), Mutex::default());
        let (api, board) = (Api::new(), Arc::default());
        let stage = Self { broker, nodes, api, log, board, channels, subscribers, hush, forgotten };
        for member in &stage.nodes {
            stage.ready(&member.node, 200).await?;
        }
        Ok(stage)
    }

    /// Brings up subscribers, then publishers, does the timeline, and waits until everything arrived.
    async fn load(&self, scenario: &Scenario) -> Result<(), String> {
        let load = &scenario.load;
        let mut subscribers = JoinSet::new();
        for index in 0..load.subscribers {
            let subscriber = Subscriber {
                who: u32::try_from(index).map_err(|error| error.to_string())?,
                addresses: self.fronts_from(index),
                channels: self.channels.clone(),
                log: self.log.clone(),
                board: self.board.clone(),
            };
            subscribers.spawn(subscriber.run());
        }
        let expected = load.subscribers * load.channels;
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
        let _ = self.until("deliveries", || self.board.behind().is_empty()).await;
        while let Some(ended) = subscribers.try_join_next() {
            ended.map_err(|error| format!("a subscriber: {error}"))?;
        }
        Ok(())
    }

    /// Addresses of all nodes; each publisher begins at another.
    fn addresses_from(&self, index: usize) -> Vec<String> {
        self.rotated(index, |member| member.node.address())
    }

    /// The same for clients that subscribe, whose ways can be cut.
    fn fronts_from(&self, index: usize) -> Vec<String> {
        self.rotated(index, |member| member.front.address().to_string())
    }

    fn rotated(&self, index: usize, address: impl Fn(&Member) -> String) -> Vec<String> {
        let mut addresses: Vec<String> = self.nodes.iter().map(address).collect();
        let count = addresses.len();
        addresses.rotate_left(index % count);
        addresses
    }

    fn publish(&self, tasks: &mut JoinSet<()>, load: &Load, index: usize, stopped: watch::Receiver<bool>) {
        let mut addresses = self.addresses_from(index);
        match load.publishing {
            Publishing::Backends | Publishing::Racing => {
                let racing = load.publishing == Publishing::Racing;
                let name = if racing { "all".to_owned() } else { format!("p{index}") };
                tasks.spawn(self.publisher(name, addresses, load).run(stopped, self.hush.subscribe()));
            }
            Publishing::Pipelined | Publishing::PipelinedOverAll => {
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
                tasks.spawn(pipeline.run(stopped));
            }
        }
    }

    fn publisher(&self, name: String, addresses: Vec<String>, load: &Load) -> Publisher {
        Publisher {
            name,
            addresses,
            channels: self.channels.clone(),
            rate: load.rate,
            idempotent: load.idempotent,
            api: self.api.clone(),
            log: self.log.clone(),
            board: self.board.clone(),
        }
    }

    /// One more message in each channel: whoever has it has all others, or will never get them.
    async fn last_message(&self) -> Result<(), String> {
        let load = Load { rate: 1000, ..Load::default() };
        let publisher = self.publisher("last".to_owned(), self.addresses_from(0), &load);
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
            Step::CutClients(name) => self.member(name)?.front.set(State::Cut),
            Step::HealClients(name) => self.member(name)?.front.set(State::Whole),
            Step::Fault(what) => self.log.write(Event::Fault { what: what.clone() }),
            Step::Healed(what) => self.log.write(Event::Healed { what: what.clone() }),
            Step::Published(count) => {
                let target = self.board.count() + count;
                self.until("publications", || self.board.count() >= target).await?;
            }
            Step::Delivered => self.until("deliveries", || self.board.behind().is_empty()).await?,
            Step::Recovered => {
                let placed = |(who, channel): &(u32, String)| self.board.is_placed(*who, channel);
                self.until("deliveries", || !self.board.behind().iter().any(placed)).await?;
            }
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
    fn remember(&self, channels: &[String]) {
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
            for (member, channel) in self.nodes.iter().flat_map(|m| self.channels.iter().map(move |c| (m, c)))
            {
                let request = json!({"channel": channel});
                let address = member.node.address();
                let count = || self.api.call(&address, "presence_stats", &request);
                while count().await.ok().and_then(|answer| answer["result"]["num_clients"].as_u64())
                    != Some(self.subscribers as u64)
                {
                    tokio::time::sleep(POLL).await;
                }
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| "presence does not count those who are there".to_owned())
    }

    fn member(&self, name: &str) -> Result<&Member, String> {
        self.nodes.iter().find(|member| member.name == name).ok_or_else(|| format!("no node {name}"))
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
