//! Servers that go away, come back, stall, and change their roles and slots, below a broker that keeps its promise:
//! what it takes afterwards arrives, and whoever may have missed something is told.

use super::*;
use crate::broker::{Publication, StreamPosition};
use crate::testing::redis::wait_for;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout};

/// Time a set of servers has to find itself again.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

enum Heard {
    Publication(StreamPosition),
    Gap,
}

struct Recorder(UnboundedSender<Heard>);

impl Receiver for Recorder {
    fn publication(
        &self,
        _: &Arc<str>,
        _: Arc<Publication>,
        position: StreamPosition,
        _: bool,
        _: Option<Arc<Publication>>,
    ) {
        // A test that is over does not listen any more.
        let _ = self.0.send(Heard::Publication(position));
    }
    fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn gap(&self, _: &Arc<str>) {
        let _ = self.0.send(Heard::Gap);
    }
}

/// A broker with one subscribed channel.
pub(super) struct Watched {
    pub(super) broker: Arc<RedisBroker>,
    pub(super) channel: Arc<str>,
    heard: UnboundedReceiver<Heard>,
    gaps: usize,
}

impl Watched {
    pub(super) async fn open(shards: Vec<ShardSettings>, settings: &RedisBrokerSettings) -> Self {
        let (sender, heard) = unbounded_channel();
        let broker = start(Arc::new(Recorder(sender)), shards, settings).await;
        let channel: Arc<str> = format!("healing-{}", crate::seams::random_id()).into();
        broker.subscribe(&channel).await.expect("subscribing succeeds");
        let mut watched = Self { broker, channel, heard, gaps: 0 };
        watched.delivers().await;
        assert_eq!(watched.gaps, 0, "nothing was missed yet");
        watched.until("the canary arrives", |broker| broker.trouble().is_none()).await;
        watched
    }

    async fn publish(&self) -> Result<StreamPosition, BrokerError> {
        let hour = Duration::from_secs(3600);
        let options = PublishOptions {
            history_size: 1000,
            history_ttl: hour,
            history_meta_ttl: hour,
            ..PublishOptions::default()
        };
        Ok(self.broker.publish(&self.channel, Bytes::from("x"), options).await?.position)
    }

    /// Publishes until something that was taken arrives; returns its position.
    pub(super) async fn delivers(&mut self) -> StreamPosition {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nothing arrives any more");
            let Ok(taken) = self.publish().await else { continue };
            let soon = Duration::from_millis(200);
            while let Ok(heard) = timeout(soon, self.heard.recv()).await {
                match heard.expect("the broker is there") {
                    Heard::Gap => self.gaps += 1,
                    Heard::Publication(position) if position == taken => return taken,
                    Heard::Publication(_) => {}
                }
            }
        }
    }

    /// How often it was told to compare positions.
    pub(super) fn gaps(&mut self) -> usize {
        while let Ok(heard) = self.heard.try_recv() {
            self.gaps += usize::from(matches!(heard, Heard::Gap));
        }
        self.gaps
    }

    async fn until(&self, what: &str, done: impl Fn(&RedisBroker) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.broker) {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is published arrives again, whoever may have missed something was told, and the broker says so.
    async fn healed(&mut self) -> StreamPosition {
        let deadline = Instant::now() + PATIENCE;
        let mut position = self.delivers().await;
        while self.gaps == 0 {
            assert!(Instant::now() < deadline, "subscribers are told that they may have missed something");
            // A server that was a primary hears for a while what it is told as replica.
            position = self.delivers().await;
        }
        self.until("the trouble is over", |broker| broker.trouble().is_none()).await;
        position
    }
}

/// Runs what blocks beside the tests that share this runtime.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work ends")
}

/// Ends all connections that listen, as a failover does.
async fn deafen(server: &Arc<Server>) {
    let server = server.clone();
    aside(move || server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_went_back_is_another_one_from_then_on() {
    let server = Arc::new(aside(|| Server::start(&[])).await);
    let mut watched = Watched::open(vec![single(&server)], &settings()).await;
    watched.delivers().await;
    let before = watched.delivers().await;
    let meta = format!("contract.stream.meta.{}", watched.channel);
    let stream = format!("contract.stream.{}", watched.channel);
    let redis = server.clone();
    aside(move || {
        redis.ask(&["DEL", &stream]);
        redis.ask(&["HINCRBY", &meta, "s", "-1"]);
    })
    .await;
    let again = watched.publish().await.expect("it is taken");
    assert_eq!(again, before, "redis gives the place to another publication and says nothing");
    let deadline = Instant::now() + PATIENCE;
    // Subscribers are told to compare their positions when there is another epoch to find.
    while watched.delivers().await.epoch == before.epoch || watched.gaps == 0 {
        assert!(Instant::now() < deadline, "the broker says nothing either");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_the_same_after_a_loss_stays_it() {
    let server = Arc::new(aside(|| Server::start(&[])).await);
    let mut watched = Watched::open(vec![single(&server)], &settings()).await;
    let before = watched.delivers().await;
    deafen(&server).await;
    let after = watched.healed().await;
    // The comparisons that follow a loss are over when the last pause is.
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        assert_eq!(watched.delivers().await.epoch, before.epoch);
    }
    assert_eq!(after.epoch, before.epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_and_restarted_is_found_again() {
    let server = Arc::new(aside(|| Server::start(&[])).await);
    let mut watched = Watched::open(vec![single(&server)], &settings()).await;
    let before = watched.delivers().await;
    server.kill();
    watched.until("the trouble is told", |broker| broker.trouble().is_some()).await;
    let refused = watched.publish().await.expect_err("nobody is there to take it");
    assert!(refused.is_passing(), "{refused:?}");
    let restarted = server.clone();
    aside(move || restarted.restart()).await;
    let after = watched.healed().await;
    assert_ne!(before.epoch, after.epoch, "what was lost with the server is another life of the stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stalls_is_given_up_and_found_again() {
    let server = Arc::new(aside(|| Server::start(&[])).await);
    let mut shard = single(&server);
    (shard.dial.connect_timeout, shard.dial.io_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let mut watched = Watched::open(vec![shard], &settings()).await;
    server.pause();
    let refused = timeout(PATIENCE, watched.publish()).await.expect("is answered").expect_err("is refused");
    assert!(refused.is_passing(), "{refused:?}");
    let read = watched.broker.history(&watched.channel, HistoryFilter::default(), Duration::ZERO);
    assert!(timeout(PATIENCE, read).await.expect("is answered").is_err());
    watched.until("the trouble is told", |broker| broker.trouble().is_some()).await;
    server.resume();
    watched.healed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_sentinels_choose_is_followed() {
    let set = Arc::new(aside(SentinelSet::start).await);
    let mut watched = Watched::open(vec![by_sentinels(&set)], &settings()).await;
    let first = watched.delivers().await;

    // By order: the old primary stays and refuses writes.
    let (asked, before) = (set.clone(), set.primary());
    aside(move || {
        wait_for("the replica to be ready", || asked.order_failover());
        wait_for("another primary", || asked.primary() != before);
    })
    .await;
    let second = watched.healed().await;
    // The replica knew the stream. What the old primary took before it heard of its fate is lost, though, and when there
    // was something, the stream is another one from then on.
    assert!(second.epoch != first.epoch || second.offset > first.offset, "{first:?}, then {second:?}");

    // By death.
    watched.gaps = 0;
    let (asked, before) = (set.clone(), set.primary());
    aside(move || {
        asked.data.iter().find(|server| server.port == before).expect("is one of ours").kill();
        wait_for("another primary", || asked.primary() != before);
    })
    .await;
    watched.healed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_moves_slots_and_loses_nodes_is_followed() {
    let cluster = Arc::new(aside(Cluster::start).await);
    for partitions in [0, 4] {
        let settings = RedisBrokerSettings { partitions, ..settings() };
        let mut watched = Watched::open(vec![by_nodes(&cluster)], &settings).await;
        let first = watched.delivers().await;
        let key = match partitions {
            0 => format!("{{{}}}", watched.channel),
            _ => format!("{{{}}}", crate::stores::redis::shard_of(&watched.channel, partitions)),
        };

        // A slot on its way: keys are at either end, then at the new one only.
        let (moving, at) = (cluster.clone(), key.clone());
        let half_way = aside(move || moving.begin_to_move(&at)).await;
        let second = match partitions {
            0 => watched.delivers().await,
            // Who listens to a slot at its old node hears nothing from the new one before it has the slot.
            _ => watched.publish().await.expect("the new node takes it"),
        };
        assert_eq!((&second.epoch, second.offset > first.offset), (&first.epoch, true));
        let (moving, at) = (cluster.clone(), key.clone());
        aside(move || moving.finish_moving(&at, &half_way)).await;
        let third = watched.delivers().await;
        assert_eq!((&third.epoch, third.offset > second.offset), (&first.epoch, true));

        // The node that has the slot dies, and its replica takes over.
        watched.gaps = 0;
        let losing = cluster.clone();
        let lost = aside(move || {
            let port = losing.owner(&key).expect("somebody has the slot").port;
            losing.nodes.iter().find(|node| node.port == port).expect("is one of ours").kill();
            let replaced = || losing.owner(&key).is_some_and(|owner| owner.port != port);
            wait_for("the cluster without a node", || losing.is_whole() && replaced());
            port
        })
        .await;
        watched.delivers().await;
        watched.until("the trouble is over", |broker| broker.trouble().is_none()).await;
        if partitions > 0 {
            assert!(watched.gaps > 0, "the node whose slot it is carried the messages");
        }
        let mending = cluster.clone();
        aside(move || {
            let node = mending.nodes.iter().find(|node| node.port == lost).expect("is one of ours");
            node.restart();
            wait_for("the cluster", || mending.is_whole() && node.ask(&["ROLE"]).contains("connected"));
        })
        .await;
    }
}
