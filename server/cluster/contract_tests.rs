//! The promises of [`Controller`], written once and kept by everything that carries control messages.

use super::*;
use crate::testing::NatsServer;
use crate::testing::redis::{Cluster as RedisCluster, SentinelSet, Server};
use crate::testing::shards::{Shared, by_nodes, by_sentinels, connect, single};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(20);

/// How to judge one controller: something two nodes are connected to.
trait Bench: Sized + Send + Sync {
    async fn start() -> Self;
    /// Connects the node `uid`, which hears from then on.
    async fn node(&self, uid: &str, listener: Arc<dyn Listener>) -> Arc<dyn Controller>;
}

/// Remembers what a node heard.
struct Ear(UnboundedSender<Bytes>);

impl Listener for Ear {
    fn heard(&self, message: &[u8]) {
        let _ = self.0.send(Bytes::copy_from_slice(message));
    }
}

struct Node {
    uid: String,
    controller: Arc<dyn Controller>,
    heard: UnboundedReceiver<Bytes>,
}

impl Node {
    async fn join<B: Bench>(bench: &B) -> Self {
        let uid = random_id().to_string();
        let (ear, heard) = unbounded_channel();
        Self { controller: bench.node(&uid, Arc::new(Ear(ear))).await, uid, heard }
    }

    async fn send(&self, to: To, message: impl Into<Bytes>) {
        self.controller.publish(to, message.into()).await.expect("sending succeeds");
    }

    async fn hears(&mut self) -> Bytes {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("hears in time").expect("listens")
    }
}

async fn messages_to_all_reach_every_node<B: Bench>() {
    let bench = B::start().await;
    let (mut one, mut other) = (Node::join(&bench).await, Node::join(&bench).await);
    one.send(To::All, "from one").await;
    assert_eq!((&one.hears().await[..], &other.hears().await[..]), (&b"from one"[..], &b"from one"[..]));
    other.send(To::All, "from other").await;
    assert_eq!((&one.hears().await[..], &other.hears().await[..]), (&b"from other"[..], &b"from other"[..]));
}

async fn messages_to_one_node_reach_no_other<B: Bench>() {
    let bench = B::start().await;
    let (mut one, mut other) = (Node::join(&bench).await, Node::join(&bench).await);
    one.send(To::Node(other.uid.as_str().into()), "for other").await;
    assert_eq!(other.hears().await, "for other");
    other.send(To::Node(one.uid.as_str().into()), "for one").await;
    assert_eq!(one.hears().await, "for one", "nothing was heard before it");
    one.send(To::Node("nobody".into()), "for nobody").await;
    one.send(To::All, "end").await;
    assert_eq!(other.hears().await, "end");
}

async fn messages_arrive_unchanged<B: Bench>() {
    let bench = B::start().await;
    let (one, mut other) = (Node::join(&bench).await, Node::join(&bench).await);
    let bytes = Bytes::from_iter((0..=255u8).cycle().take(300_000));
    for message in [bytes.clone(), Bytes::from_static(b"\r\n"), bytes.slice(..1)] {
        one.send(To::All, message.clone()).await;
        assert!(other.hears().await == message, "{} bytes arrived changed", message.len());
    }
}

async fn what_one_node_sends_arrives_in_order<B: Bench>() {
    let bench = B::start().await;
    let (one, mut other) = (Node::join(&bench).await, Node::join(&bench).await);
    for number in 0..500u32 {
        let to = if number % 3 == 0 { To::Node(other.uid.as_str().into()) } else { To::All };
        one.send(to, number.to_be_bytes().to_vec()).await;
    }
    // What is sent to one and what is sent to all are two ways; each of them keeps its order.
    let (mut own, mut all) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let number = u32::from_be_bytes(other.hears().await[..].try_into().expect("four bytes"));
        if number % 3 == 0 { own.push(number) } else { all.push(number) }
    }
    assert!(own.is_sorted() && all.is_sorted());
    assert_eq!(own.len() + all.len(), 500);
}

macro_rules! controller_contract {
    ($bench:ty) => {
        controller_contract! { @each $bench;
            messages_to_all_reach_every_node,
            messages_to_one_node_reach_no_other,
            messages_arrive_unchanged,
            what_one_node_sends_arrives_in_order,
        }
    };
    (@each $bench:ty; $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise::<$bench>().await;
            }
        )*
    };
}

/// Redis of one kind, with names nobody else uses.
macro_rules! redis {
    ($name:ident, $servers:ty, |$held:ident| $shards:expr) => {
        mod $name {
            use super::*;

            struct Carried {
                servers: Arc<$servers>,
                prefix: String,
            }

            impl Bench for Carried {
                async fn start() -> Self {
                    Self { servers: <$servers>::shared().await, prefix: random_id().to_string() }
                }
                async fn node(&self, uid: &str, listener: Arc<dyn Listener>) -> Arc<dyn Controller> {
                    let $held = &self.servers;
                    let shards = connect($shards).await;
                    let started = RedisController::start(&self.prefix, shards, uid, listener).await;
                    Arc::new(started.expect("redis confirms"))
                }
            }

            controller_contract!(Carried);
        }
    };
}

redis!(single_redis, Server, |server| vec![single(server)]);
redis!(two_redis, [Server; 2], |servers| servers.iter().map(single).collect());
redis!(sentinel, SentinelSet, |set| vec![by_sentinels(set)]);
redis!(redis_cluster, RedisCluster, |cluster| vec![by_nodes(cluster)]);

mod nats_server {
    use super::*;

    impl Bench for NatsServer {
        async fn start() -> Self {
            Self::start().await
        }
        async fn node(&self, uid: &str, listener: Arc<dyn Listener>) -> Arc<dyn Controller> {
            let started = NatsController::start("contract".to_owned(), self.connect().await, uid, listener);
            Arc::new(started.await.expect("nats confirms"))
        }
    }

    controller_contract!(NatsServer);
}

mod in_process {
    use super::*;
    use crate::cluster::tests::Bus;

    impl Bench for Arc<Bus> {
        async fn start() -> Self {
            Self::default()
        }
        async fn node(&self, uid: &str, listener: Arc<dyn Listener>) -> Arc<dyn Controller> {
            self.join(uid, listener);
            self.clone()
        }
    }

    controller_contract!(Arc<Bus>);
}
