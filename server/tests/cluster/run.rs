//! Runs a scenario: brings up the cluster and its load, does what the timeline says, and gives the log to the checker.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::board::Board;
use crate::broker::Broker;
use crate::checker;
use crate::link::{Link, State};
use crate::log::{Event, Log};
use crate::node::Node;
use crate::publisher::{API_KEY, Api, Publisher};
use crate::scenario::{Scenario, Step, merged};
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
}

/// A node and its way to the broker.
struct Member {
    name: String,
    node: Node,
    link: Link,
}

impl Stage {
    async fn set(scenario: &Scenario, log: Arc<Log>) -> Result<Self, String> {
        let broker = block_in_place(|| Broker::start(scenario.broker));
        let mut nodes = Vec::new();
        for name in ('a'..).take(scenario.load.nodes) {
            let link = Link::open(broker.address()).await.map_err(|error| error.to_string())?;
            let config = config(scenario, &broker.config(&link.address().to_string()));
            let node =
                Node::new(PathBuf::from(env!("CARGO_BIN_EXE_gyre")), config).map_err(|e| e.to_string())?;
            nodes.push(Member { name: name.to_string(), node, link });
        }
        for member in &nodes {
            block_in_place(|| member.node.start())?;
        }
        let stage = Self { broker, nodes, api: Api::new(), log, board: Arc::default() };
        for member in &stage.nodes {
            stage.ready(&member.node, 200).await?;
        }
        Ok(stage)
    }

    /// Brings up subscribers, then publishers, does the timeline, and waits until everything arrived.
    async fn load(&self, scenario: &Scenario) -> Result<(), String> {
        let load = &scenario.load;
        let channels: Vec<String> = (0..load.channels).map(|index| format!("flow:{index}")).collect();
        let addresses: Vec<String> = self.nodes.iter().map(|member| member.node.address()).collect();
        // Each begins at another node.
        let rotated = |index: usize| {
            let mut addresses = addresses.clone();
            let count = addresses.len();
            addresses.rotate_left(index % count);
            addresses
        };
        let mut subscribers = JoinSet::new();
        for index in 0..load.subscribers {
            let subscriber = Subscriber {
                who: u32::try_from(index).map_err(|error| error.to_string())?,
                addresses: rotated(index),
                channels: channels.clone(),
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
            let publisher = Publisher {
                name: format!("p{index}"),
                addresses: rotated(index),
                channels: channels.clone(),
                rate: load.rate,
                idempotent: load.idempotent,
                api: self.api.clone(),
                log: self.log.clone(),
                board: self.board.clone(),
            };
            publishers.spawn(publisher.run(stopped.clone()));
        }
        self.steps(&scenario.timeline).await?;
        stop.send_replace(true);
        let ended = timeout(PATIENCE, async { while publishers.join_next().await.is_some() {} }).await;
        ended.map_err(|_| "publishers were not told that their last message is kept".to_owned())?;
        // What never arrives is a matter for the checker.
        let _ = self.until("deliveries", || self.board.behind().is_empty()).await;
        while let Some(ended) = subscribers.try_join_next() {
            ended.map_err(|error| format!("a subscriber: {error}"))?;
        }
        Ok(())
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
            Step::Kill(name) => block_in_place(|| self.member(name).map(|member| member.node.kill()))?,
            Step::Start(name) => block_in_place(|| self.member(name)?.node.start())?,
            Step::Terminate(name) => block_in_place(|| self.member(name)?.node.terminate())?,
            Step::Pause(name) => self.member(name)?.node.signal("STOP")?,
            Step::Resume(name) => self.member(name)?.node.signal("CONT")?,
            Step::Cut(name) => self.member(name)?.link.set(State::Cut),
            Step::Freeze(name) => self.member(name)?.link.set(State::Frozen),
            Step::Slow { node, by } => self.member(node)?.link.set(State::Slow(*by)),
            Step::Heal(name) => self.member(name)?.link.set(State::Whole),
            Step::Fault(what) => self.log.write(Event::Fault { what: what.clone() }),
            Step::Healed(what) => self.log.write(Event::Healed { what: what.clone() }),
            Step::Published(count) => {
                let target = self.board.count() + count;
                self.until("publications", || self.board.count() >= target).await?;
            }
            Step::Delivered => self.until("deliveries", || self.board.behind().is_empty()).await?,
            Step::Ready(name) => self.ready(&self.member(name)?.node, 200).await?,
            Step::Blind(name) => self.ready(&self.member(name)?.node, 503).await?,
            Step::Repeat { times, nightly, steps } => {
                let times = if crate::scenario::nightly() { *nightly } else { *times };
                for _ in 0..times {
                    self.steps(steps).await?;
                }
            }
        }
        Ok(())
    }

    fn member(&self, name: &str) -> Result<&Member, String> {
        self.nodes.iter().find(|member| member.name == name).ok_or_else(|| format!("no node {name}"))
    }

    /// Waits until `/ready` answers with a status.
    async fn ready(&self, node: &Node, status: u16) -> Result<(), String> {
        let address = node.address();
        let wait = async {
            while self.api.status(&address, "/ready").await != Some(status) {
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

/// Configuration of a node.
fn config(scenario: &Scenario, engine: &Value) -> Value {
    let mut namespace = json!({
        "name": "flow",
        "allow_subscribe_for_client": true,
        "allow_subscribe_for_anonymous": true,
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
