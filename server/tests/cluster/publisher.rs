//! A backend: publishes over the HTTP API and tries again, with the same idempotency key, until it is told that the
//! message is kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::board::{Board, Position};
use crate::log::{Event, Log};

/// Key of the server API.
pub const API_KEY: &str = "cluster-api-key";

/// Longest wait for an answer before another node is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause before a new attempt.
const BACKOFF: Duration = Duration::from_millis(20);

/// The server API of all nodes.
#[derive(Clone)]
pub struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    pub fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// The status a node answers to a GET request with.
    pub async fn status(&self, address: &str, path: &str) -> Option<u16> {
        let uri = format!("http://{address}{path}").parse().ok()?;
        Some(timeout(PATIENCE, self.client.get(uri)).await.ok()?.ok()?.status().as_u16())
    }

    /// Calls a method of one node; the whole answer, also when it is an error.
    pub async fn call(&self, address: &str, method: &str, request: &Value) -> Result<Value, String> {
        let request = hyper::Request::post(format!("http://{address}/api/{method}"))
            .header("X-API-Key", API_KEY)
            .body(Full::from(request.to_string()))
            .map_err(|error| error.to_string())?;
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
            serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
        };
        timeout(PATIENCE, answer).await.map_err(|_| format!("{method} was not answered in {PATIENCE:?}"))?
    }
}

/// A task that publishes one message after the other.
pub struct Publisher {
    pub name: String,
    /// `host:port` of nodes, in the order they are tried.
    pub addresses: Vec<String>,
    pub channels: Vec<String>,
    /// Messages a second.
    pub rate: u32,
    /// Whether messages carry a key by which a second attempt is recognised.
    pub idempotent: bool,
    pub api: Api,
    pub log: Arc<Log>,
    pub board: Arc<Board>,
}

impl Publisher {
    /// Publishes until `stop`, and then until the last message is acknowledged.
    pub async fn run(self, mut stop: watch::Receiver<bool>, mut hush: watch::Receiver<bool>) {
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut addresses = self.addresses.iter().cycle();
        let mut address = addresses.next();
        for (number, channel) in self.channels.iter().cycle().enumerate() {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = ticks.tick() => {}
            }
            // Whoever hushed publishers lets them speak before they are stopped.
            let _ = hush.wait_for(|hush| !*hush).await;
            self.message(number, channel, &mut addresses, &mut address).await;
        }
    }

    /// Publishes one message in each channel.
    pub async fn once(self) {
        let mut addresses = self.addresses.iter().cycle();
        let mut address = addresses.next();
        for (number, channel) in self.channels.iter().enumerate() {
            self.message(number, channel, &mut addresses, &mut address).await;
        }
    }

    /// Publishes a message, at one node after the other until it is kept.
    async fn message<'a>(
        &self,
        number: usize,
        channel: &str,
        addresses: &mut impl Iterator<Item = &'a String>,
        address: &mut Option<&'a String>,
    ) {
        let id = format!("{}-{number}", self.name);
        self.log.write(Event::Try { id: id.clone(), ch: channel.to_owned() });
        while let Some(node) = *address {
            if let Some(position) = self.publish(node, channel, &id).await {
                let (ch, Position { epoch, offset }) = (channel.to_owned(), position.clone());
                self.log.write(Event::Ack { id, ch, epoch, offset });
                return self.board.acked(channel, position);
            }
            tokio::time::sleep(BACKOFF).await;
            *address = addresses.next();
        }
    }

    async fn publish(&self, address: &str, channel: &str, id: &str) -> Option<Position> {
        let mut request = json!({"channel": channel, "data": {"id": id}});
        if self.idempotent {
            request["idempotency_key"] = id.into();
        }
        let answer = self.api.call(address, "publish", &request).await.ok()?;
        let result = &answer["result"];
        Some(Position { epoch: result["epoch"].as_str()?.to_owned(), offset: result["offset"].as_u64()? })
    }
}
