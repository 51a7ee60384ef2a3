//! Two nodes with the same configuration on one broker.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::broker::{Broker, BrokerKind};
use crate::node::{Node, own_binary};
use crate::publisher::{API_KEY, Api};
use crate::scenario::merged;

/// What a node says at its start with a broker of which upstream says so.
static UNRELEASED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("broker redisnats is unreleased").expect("a valid expression"));

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// Secret of tokens.
pub const SECRET: &str = "secret-of-tokens-in-cluster-tests";

pub struct Pair {
    nodes: [Node; 2],
    /// Whether the node is of this repository.
    own: [bool; 2],
    _broker: Broker,
}

/// One node of the two.
pub struct Side {
    pub address: String,
    /// Whether the node is of this repository.
    pub own: bool,
    api: Api,
}

impl Pair {
    pub async fn start(kind: BrokerKind, binaries: &[PathBuf; 2]) -> Result<Self, String> {
        let broker = Broker::start(kind).await;
        let config = config(kind, &broker.config(&broker.address()));
        let node = |binary: &PathBuf| Node::new(binary.clone(), config.clone()).map_err(|e| e.to_string());
        let nodes = [node(&binaries[0])?, node(&binaries[1])?];
        for node in &nodes {
            node.start()?;
        }
        let own = [0, 1].map(|index| binaries[index] == own_binary());
        let pair = Self { nodes, own, _broker: broker };
        for index in 0..2 {
            let known = |answer: &Value| answer["result"]["nodes"].as_array().map(Vec::len) == Some(2);
            pair.side(index).eventually("info", &json!({}), known).await;
        }
        Ok(pair)
    }

    pub fn side(&self, index: usize) -> Side {
        Side { address: self.nodes[index].address(), own: self.own[index], api: Api::new() }
    }

    /// What nodes of this repository should not have logged.
    pub fn problems(&self) -> Vec<String> {
        let own = self.nodes.iter().zip(self.own).filter(|(_, own)| *own);
        own.flat_map(|(node, _)| node.problems(std::slice::from_ref(&UNRELEASED))).collect()
    }
}

impl Side {
    /// Calls a method of the server API; the whole answer.
    pub async fn answer(&self, method: &str, request: &Value) -> Value {
        self.api
            .call(&self.address, method, request)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Calls a method that must succeed.
    pub async fn api(&self, method: &str, request: Value) -> Value {
        let mut answer = self.answer(method, &request).await;
        assert!(answer["result"].is_object(), "{method} {request}: {answer}");
        answer["result"].take()
    }

    /// Calls a method until its answer is as wanted: for effects that take their way over the broker.
    pub async fn eventually(&self, method: &str, request: &Value, wanted: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let wait = async {
            loop {
                last = self.answer(method, request).await;
                if wanted(&last) {
                    break;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let reached = timeout(PATIENCE, wait).await.is_ok();
        assert!(reached, "{method} {request} at {} stays {last}", self.address);
    }
}

/// What both kinds of servers understand.
fn config(kind: BrokerKind, engine: &Value) -> Value {
    let namespace = |name: &str, more: Value| {
        let all = json!({
            "name": name,
            "allow_subscribe_for_client": true,
            "allow_publish_for_client": true,
            "allow_presence_for_client": true,
            "allow_history_for_client": true,
            "presence": true,
        });
        merged(&all, &more)
    };
    let history = json!({"history_size": 100, "history_ttl": "300s"});
    // Over NATS nobody could subscribe to a channel that is to be recovered.
    let recovery = json!({"force_recovery": true});
    let kept = if kind == BrokerKind::Nats { json!({}) } else { merged(&history, &recovery) };
    let delta = json!({"allowed_delta_types": ["fossil"], "delta_publish": true});
    let namespaces = [
        namespace("plain", json!({})),
        namespace("kept", kept.clone()),
        namespace("wished", history),
        namespace("delta", merged(&kept, &delta)),
        namespace("seen", json!({"join_leave": true, "force_push_join_leave": true})),
    ];
    let base = json!({
        "http_api": {"key": API_KEY},
        "health": {"enabled": true},
        "log": {"level": "warn"},
        "client": {"token": {"hmac_secret_key": SECRET}},
        "http_stream": {"enabled": true},
        "sse": {"enabled": true},
        "channel": {"namespaces": namespaces},
    });
    merged(&base, engine)
}
