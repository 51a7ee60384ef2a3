//! Runs a scenario: brings up the cluster and its load, lets the timeline happen, and gives the log to the checker.

mod steps;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::bars::Size;
use crate::board::{Board, Position};
use crate::broker::Broker;
use crate::checker;
use crate::link::Link;
use crate::log::Log;
use crate::measures::Measures;
use crate::node::{Node, OTHER, other_binary, own_binary};
use crate::pipeline::Pipeline;
use crate::publisher::{API_KEY, Api, Publisher};
use crate::sampler::Sampler;
use crate::scenario::{Load, Publishing, Scenario, merged};
use crate::subscriber::Subscriber;
use crate::verdict::Verdict;
use crate::ways::Ways;
use steps::Hearing;

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
