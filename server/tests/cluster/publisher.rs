//! A backend: publishes over the HTTP API and tries again, with the same idempotency key, until it is told that the
//! message is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

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
use crate::ways::Ways;

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
    /// Nodes, tried in turn.
    pub ways: Arc<Ways>,
    /// The first of them.
    pub first: usize,
    pub channels: Vec<Arc<str>>,
    /// Messages a second.
    pub rate: u32,
    /// Messages sent with one call, each in a channel of its own.
    pub batch: usize,
    /// Whether messages carry a key by which a second attempt is recognised.
    pub idempotent: bool,
    pub api: Api,
    pub log: Arc<Log>,
    pub board: Arc<Board>,
}

/// A message that is not acknowledged yet.
struct Message {
    id: String,
    channel: Arc<str>,
}

impl Publisher {
    /// Publishes until `stop`, and then until the last message is acknowledged.
    pub async fn run(self, mut stop: watch::Receiver<bool>, mut hush: watch::Receiver<bool>) {
        let batch = self.batch.clamp(1, self.channels.len());
        let every = Duration::from_secs(1) * u32::try_from(batch).unwrap_or(u32::MAX) / self.rate;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut numbered = self.channels.iter().cycle().enumerate();
        let mut at = self.first;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = ticks.tick() => {}
            }
            // Whoever hushed publishers lets them speak before they are stopped.
            let _ = hush.wait_for(|hush| !*hush).await;
            let messages = numbered.by_ref().take(batch).map(|(number, channel)| self.next(number, channel));
            self.keep(messages.collect(), &mut at).await;
        }
    }

    /// Publishes one message in each channel.
    pub async fn once(self) {
        let mut at = self.first;
        for (number, channel) in self.channels.iter().enumerate() {
            self.keep(vec![self.next(number, channel)], &mut at).await;
        }
    }

    fn next(&self, number: usize, channel: &Arc<str>) -> Message {
        let id = format!("{}-{number}", self.name);
        self.log.write(Event::Try { id: id.clone(), ch: channel.clone() });
        Message { id, channel: channel.clone() }
    }

    /// Publishes messages, at one node after the other until all are kept.
    async fn keep(&self, mut messages: Vec<Message>, at: &mut usize) {
        loop {
            *at = self.ways.for_backend(*at);
            let began = Instant::now();
            let answers = self.publish(self.ways.address(*at), &messages).await;
            let answers = answers.unwrap_or_else(|why| messages.iter().map(|_| Err(why.clone())).collect());
            let mut left = Vec::new();
            for (message, answer) in messages.into_iter().zip(answers) {
                match answer {
                    Ok(position) => self.acknowledged(message, position),
                    Err(why) => left.push((message, why)),
                }
            }
            if left.is_empty() {
                return;
            }
            let after = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let failed = |(message, why): (Message, String)| {
                self.log.write(Event::Failed { node: self.ways.name(*at), after, why });
                message
            };
            messages = left.into_iter().map(failed).collect();
            tokio::time::sleep(BACKOFF).await;
            *at += 1;
        }
    }

    fn acknowledged(&self, Message { id, channel }: Message, position: Position) {
        let Position { epoch, offset } = position.clone();
        self.log.write(Event::Ack { id, ch: channel.clone(), epoch: epoch.to_string(), offset });
        self.board.acked(&channel, position);
    }

    /// Asks a node to publish; where each message is kept, or why it is not.
    async fn publish(
        &self,
        address: &str,
        messages: &[Message],
    ) -> Result<Vec<Result<Position, String>>, String> {
        let request = |Message { id, channel }: &Message| {
            let mut request = json!({"channel": &**channel, "data": {"id": id}});
            if self.idempotent {
                request["idempotency_key"] = id.as_str().into();
            }
            request
        };
        if let [message] = messages {
            let answer = self.api.call(address, "publish", &request(message)).await?;
            return Ok(vec![position(&answer["result"]).ok_or_else(|| answer.to_string())]);
        }
        let commands: Vec<Value> =
            messages.iter().map(|message| json!({"publish": request(message)})).collect();
        let answer =
            self.api.call(address, "batch", &json!({"commands": commands, "parallel": true})).await?;
        let replies = answer["replies"].as_array().filter(|replies| replies.len() == messages.len());
        let replies = replies.ok_or_else(|| answer.to_string())?;
        Ok(replies.iter().map(|reply| position(&reply["publish"]).ok_or_else(|| reply.to_string())).collect())
    }
}

fn position(result: &Value) -> Option<Position> {
    Some(Position { epoch: result["epoch"].as_str()?.into(), offset: result["offset"].as_u64()? })
}
