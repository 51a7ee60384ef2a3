//! One cluster of two nodes, of which one may be another server of the protocol: what one does, the other must show.
//!
//! Every check runs on each kind of broker and in both directions. `GYRE_MIXED_SERVER=<path>` names a binary that is
//! started as `<path> -c config.json` beside a node of this repository; without it those trials are shown as ignored,
//! and only clusters of two nodes of this repository run.

mod channels;
mod delivery;
mod emulation;
mod history;
mod pair;
mod peer;
mod presence;
mod stream;
mod users;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Failed, Trial};

use crate::broker::BrokerKind;
use crate::node::{OTHER, other_binary, own_binary};
use pair::{Pair, Side};

/// Where a check happens: a node that acts and one that must notice.
pub struct Place {
    pub here: Side,
    pub there: Side,
    pub kind: BrokerKind,
    /// Part of all names of this check, so that checks do not see each other.
    pub tag: String,
}

impl Place {
    /// A channel of this check.
    pub fn channel(&self, namespace: &str) -> String {
        format!("{namespace}:{}", self.tag)
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Check = fn(&Place) -> Running<'_>;

macro_rules! checks {
    ($($room:ident::$name:ident),* $(,)?) => {
        [$((stringify!($name), (|place| Box::pin($room::$name(place))) as Check)),*]
    };
}

const KINDS: [(&str, BrokerKind); 6] = [
    ("redis", BrokerKind::Redis),
    ("redis_shards", BrokerKind::RedisShards),
    ("redis_lists", BrokerKind::RedisLists),
    ("redis_cluster", BrokerKind::RedisCluster),
    ("nats", BrokerKind::Nats),
    ("redisnats", BrokerKind::RedisNats),
];

/// All checks over all brokers.
pub fn trials() -> Vec<Trial> {
    let checks = checks![
        delivery::publications_of_backends,
        delivery::publications_of_clients,
        delivery::broadcasts,
        delivery::deltas,
        history::history_is_one,
        history::recovery_at_the_other_node,
        history::idempotency_keys_and_versions,
        history::removal,
        presence::presence_of_both,
        presence::joins_and_leaves,
        users::subscribe_and_unsubscribe,
        users::subscribe_one_connection,
        users::disconnect,
        users::refresh,
        channels::channels_of_both,
        channels::nodes_of_both,
        emulation::over_http_stream,
        emulation::over_sse,
    ];
    let (own, other) = (own_binary(), other_binary());
    let mut trials = Vec::new();
    for (broker, kind) in KINDS {
        let shared = Shared::new(kind, [own.clone(), own.clone()]);
        let mixed = other.clone().map(|other| Shared::new(kind, [own.clone(), other]));
        for (name, check) in checks {
            if kind == BrokerKind::Nats && (name == "deltas" || name == "removal") {
                // There is no history to make deltas from, or to remove.
                continue;
            }
            if kind == BrokerKind::RedisNats && name == "deltas" {
                // Messages over NATS do not hold the publication before.
                continue;
            }
            trials.push(trial(format!("pair::{broker}::{name}"), Some(shared.clone()), check));
            trials.push(trial(format!("mixed::{broker}::{name}"), mixed.clone(), check));
        }
    }
    trials
}

fn trial(name: String, shared: Option<Arc<Shared>>, check: Check) -> Trial {
    let ignored = shared.is_none();
    let run = move || match &shared {
        Some(shared) => shared.run(check),
        None => Err(Failed::from(format!("not run: {OTHER} names no server"))),
    };
    Trial::test(name, run).with_ignored_flag(ignored)
}

/// A pair that checks share; it starts with the first.
struct Shared {
    kind: BrokerKind,
    binaries: [PathBuf; 2],
    pair: Mutex<Option<Result<Arc<Pair>, String>>>,
}

impl Shared {
    fn new(kind: BrokerKind, binaries: [PathBuf; 2]) -> Arc<Self> {
        Arc::new(Self { kind, binaries, pair: Mutex::new(None) })
    }

    fn run(&self, check: Check) -> Result<(), Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let pair = {
            let mut pair = self.pair.lock().unwrap_or_else(PoisonError::into_inner);
            pair.get_or_insert_with(|| runtime.block_on(Pair::start(self.kind, &self.binaries)).map(Arc::new))
                .clone()?
        };
        for [from, to] in [[0, 1], [1, 0]] {
            let (here, there) = (pair.side(from), pair.side(to));
            let place =
                Place { here, there, kind: self.kind, tag: uuid::Uuid::new_v4().simple().to_string() };
            runtime.block_on(check(&place));
        }
        let problems = pair.problems();
        if problems.is_empty() { Ok(()) } else { Err(format!("logged:\n{}", problems.join("\n")).into()) }
    }
}
