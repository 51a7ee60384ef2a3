//! The promises of [`PresenceStore`], written once and kept by every engine.
//!
//! An engine describes how to start it in a [`Bench`] and calls [`presence_contract!`] in a test module,
//! which makes one test of each promise.

use super::*;
use bytes::Bytes;
use std::future::Future;

/// How to judge one engine.
pub(crate) trait Bench: Send + Sync + Sized + 'static {
    /// Starts an engine whose entries live long enough for one test.
    fn start() -> impl Future<Output = Self> + Send;
    /// The engine.
    fn store(&self) -> Arc<dyn PresenceStore>;
}

/// Makes a test of each promise for the engine of a [`Bench`].
macro_rules! presence_contract {
    ($bench:ty) => {
        $crate::presence::contract_tests::presence_contract! { @each $bench;
            an_unknown_channel_is_empty,
            clients_are_returned_as_they_were_added,
            adding_again_replaces,
            a_client_may_change_its_user,
            users_are_counted_once,
            anonymous_clients_are_one_user,
            removing_forgets_the_client_only,
            removing_what_is_not_there_succeeds,
            channels_do_not_mix,
            clients_that_come_and_go_at_once_leave_nothing,
        }
    };
    (@each $bench:ty; $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::presence::contract_tests::$promise::<$bench>().await;
            }
        )*
    };
}
pub(crate) use presence_contract;

/// One engine and one channel nobody else uses.
struct Stage<B> {
    _bench: B,
    store: Arc<dyn PresenceStore>,
    channel: Arc<str>,
}

impl<B: Bench> Stage<B> {
    async fn open() -> Self {
        let bench = B::start().await;
        Self { store: bench.store(), _bench: bench, channel: new_channel() }
    }

    async fn add(&self, client: &str, user: &str) {
        self.store.add(&self.channel, info(client, user)).await.expect("adding succeeds");
    }

    async fn remove(&self, client: &str, user: &str) {
        self.store.remove(&self.channel, client, user).await.expect("removing succeeds");
    }

    /// Everyone present, as client and user.
    async fn present(&self) -> Vec<(String, String)> {
        let everyone = self.store.get(&self.channel).await.expect("reading succeeds");
        everyone.into_iter().map(|(client, info)| (client, info.user.clone())).collect()
    }

    async fn stats(&self) -> (u32, u32) {
        let stats = self.store.stats(&self.channel).await.expect("counting succeeds");
        (stats.clients, stats.users)
    }
}

fn new_channel() -> Arc<str> {
    format!("contract-{}", crate::seams::random_id()).into()
}

fn info(client: &str, user: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo { client: client.to_owned(), user: user.to_owned(), ..ClientInfo::default() })
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(client, user)| ((*client).to_owned(), (*user).to_owned())).collect()
}

pub(crate) async fn an_unknown_channel_is_empty<B: Bench>() {
    let stage = Stage::<B>::open().await;
    assert!(stage.present().await.is_empty());
    assert_eq!(stage.stats().await, (0, 0));
}

pub(crate) async fn clients_are_returned_as_they_were_added<B: Bench>() {
    let stage = Stage::<B>::open().await;
    let info = Arc::new(ClientInfo {
        user: "42".to_owned(),
        client: "c".to_owned(),
        conn_info: Bytes::from_static(br#"{"a":1}"#),
        chan_info: Bytes::from_static(br#"{"b":2}"#),
    });
    stage.store.add(&stage.channel, info.clone()).await.expect("adding succeeds");
    let everyone = stage.store.get(&stage.channel).await.expect("reading succeeds");
    assert_eq!(everyone, BTreeMap::from([("c".to_owned(), info)]));
}

pub(crate) async fn adding_again_replaces<B: Bench>() {
    let stage = Stage::<B>::open().await;
    stage.add("c", "42").await;
    let newer = ClientInfo { chan_info: Bytes::from_static(b"{}"), ..(*info("c", "42")).clone() };
    stage.store.add(&stage.channel, Arc::new(newer.clone())).await.expect("adding succeeds");
    let everyone = stage.store.get(&stage.channel).await.expect("reading succeeds");
    assert_eq!(everyone, BTreeMap::from([("c".to_owned(), Arc::new(newer))]));
    assert_eq!(stage.stats().await, (1, 1));
    stage.remove("c", "42").await;
    assert_eq!(stage.stats().await, (0, 0));
}

pub(crate) async fn a_client_may_change_its_user<B: Bench>() {
    let stage = Stage::<B>::open().await;
    stage.add("c", "42").await;
    stage.remove("c", "42").await;
    stage.add("c", "43").await;
    assert_eq!(stage.present().await, pairs(&[("c", "43")]));
    assert_eq!(stage.stats().await, (1, 1));
}

pub(crate) async fn users_are_counted_once<B: Bench>() {
    let stage = Stage::<B>::open().await;
    for (client, user, expected) in
        [("a", "42", (1, 1)), ("b", "42", (2, 1)), ("c", "43", (3, 2)), ("d", "42", (4, 2))]
    {
        stage.add(client, user).await;
        assert_eq!(stage.stats().await, expected, "after {client}");
    }
    for (client, user, expected) in
        [("a", "42", (3, 2)), ("c", "43", (2, 1)), ("b", "42", (1, 1)), ("d", "42", (0, 0))]
    {
        stage.remove(client, user).await;
        assert_eq!(stage.stats().await, expected, "after removing {client}");
    }
}

pub(crate) async fn anonymous_clients_are_one_user<B: Bench>() {
    let stage = Stage::<B>::open().await;
    stage.add("a", "").await;
    stage.add("b", "").await;
    stage.add("c", "42").await;
    assert_eq!(stage.stats().await, (3, 2));
}

pub(crate) async fn removing_forgets_the_client_only<B: Bench>() {
    let stage = Stage::<B>::open().await;
    stage.add("a", "42").await;
    stage.add("b", "42").await;
    stage.remove("a", "42").await;
    assert_eq!(stage.present().await, pairs(&[("b", "42")]));
}

pub(crate) async fn removing_what_is_not_there_succeeds<B: Bench>() {
    let stage = Stage::<B>::open().await;
    stage.remove("a", "42").await;
    stage.add("b", "42").await;
    stage.remove("a", "42").await;
    assert_eq!(stage.stats().await, (1, 1));
}

pub(crate) async fn channels_do_not_mix<B: Bench>() {
    let stage = Stage::<B>::open().await;
    let other = new_channel();
    stage.add("a", "42").await;
    stage.store.add(&other, info("a", "42")).await.expect("adding succeeds");
    stage.remove("a", "42").await;
    let stats = stage.store.stats(&other).await.expect("counting succeeds");
    assert_eq!((stats.clients, stats.users), (1, 1));
    assert!(stage.present().await.is_empty());
}

pub(crate) async fn clients_that_come_and_go_at_once_leave_nothing<B: Bench>() {
    let stage = Stage::<B>::open().await;
    stage.add("stays", "42").await;
    let visitors: Vec<_> = (0..4)
        .map(|visitor| {
            let (store, channel) = (stage.store.clone(), stage.channel.clone());
            tokio::spawn(async move {
                let client = format!("visitor {visitor}");
                for user in 0..50 {
                    let user = (user % 3).to_string();
                    store.add(&channel, info(&client, &user)).await.expect("adding succeeds");
                    store.remove(&channel, &client, &user).await.expect("removing succeeds");
                }
            })
        })
        .collect();
    for visitor in visitors {
        visitor.await.expect("the visitor ends");
    }
    assert_eq!(stage.present().await, pairs(&[("stays", "42")]));
    assert_eq!(stage.stats().await, (1, 1));
}
