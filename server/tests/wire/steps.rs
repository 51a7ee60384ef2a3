//! Executes the steps of a scenario.
//!
//! A step is a mapping; its first key is the verb, optionally with a connection name after `@` (default `a`), the other
//! keys are options. Every step takes `only: ours | reference`, `within` (seconds, default 10) and `took: [min, max]`
//! (milliseconds the step must need). Values may hold variables and computed values (`template.rs`), expectations are
//! patterns (`pattern.rs`).
//!
//! | verb | does |
//! |---|---|
//! | `open: {transport, path, query, protocol, headers, tls}` | opens a connection, over WebSocket unless told otherwise; options `status`, `response_headers`, `text` expect the answer to the request. WebSockets take `subprotocol`, `compression`, `http2` too, streamed responses `method`, `body`, `hex` |
//! | `connect: {user, token, request}` plus `open`'s keys and `via: message, query, body` | opens and sends the connect command, or the connect request of a unidirectional transport; `reply`, `error` or `disconnect`; sets `${a.client}` and `${a.user}` |
//! | `call: command` | sends a command with the next id and expects its reply: `reply` pattern, `error: [code, message]` (with `temporary: true`) or `disconnect: [code, reason]` |
//! | `send: command or list` | sends commands in one frame |
//! | `text: …`, `binary: hex`, `frame: {opcode, text, hex, fin, reserved, compress}`, `raw: hex` | sends a frame, or bytes below the framing; the emulation endpoint gets the payload |
//! | `expect: pattern or list` | the next messages are these (`any_order: true`, `compressed: bool`) |
//! | `expect_text: …` | the next message is this text; `<*>` stands for anything |
//! | `expect_frame: {opcode, text, hex, reserved}` | the next data frame, whole |
//! | `expect_body: …` | the unread part of a streamed response becomes this text |
//! | `expect_control: {opcode, text}` | a ping or pong frame comes next |
//! | `offsets: {channel, from, to}` | publications of the channel, in the next subscribe reply and in pushes, have exactly these offsets in order |
//! | `quiet: true` | nothing arrives before the reply to a command sent now |
//! | `closed: [code, reason]`, `dropped: true` | the server closes with this code, or without one (`skip: true` passes over messages before it) |
//! | `ends: [code, …]` | the connection ends with one of these close codes or without a code |
//! | `ended: {status, message, metadata}`, `ended: {code, reason}` | the gRPC call, whose end was read, ended with this; the session of WebTransport ends with this |
//! | `close: code`, `cut: true` | the client closes with a frame, or drops the connection; in a gRPC call, it ends its side or cancels |
//! | `api: method` | calls the HTTP API: `with`, then `result`, or `error: [code, message]`, or `answer` (the whole body); `status`, `headers`; `detach: true` sends it in the background and ignores the answer |
//! | `grpc: Method` | calls the gRPC API: `with`, `metadata`, `port`, then as `api`, or `status: [code, message]` with `detail` |
//! | `http: {method, path, query, headers, body, json, port, tls, http2, http3}` | any request: `status`, `response_headers`, `json` (pattern), `text`, `contains` (list of texts), `metrics` (list of samples, labels in any order, value optional) |
//! | `tcp: bytes as text` | raw bytes on a TCP connection, one HTTP response read: as `http` |
//! | `set: {name: value}`, `repeat: n` with `steps` (`${n}` counts from 1), `each: list` with `steps` (`${item}`, or what `as` says), `signal: TERM` | |
//! | `reload: config` | merges this over the configuration, rewrites the file and sends SIGHUP |
//! | `backend: {path, when, …}` | makes the application answer matching requests with `answer` (JSON) or `body`, `status`, `headers`; `after` so many milliseconds, `drip` one byte each so many; `hang: true` never; `raw` bytes and the end; `once: true` only the first. Over gRPC the path is the method, and the answer may be a status, `fails: [code, message]`; of a stream it is the decision, or `first` the first message, followed by `publications` |
//! | `stream: {path, when, publish, ends, fails}` | the application goes on with such a stream: publications, then perhaps an end; or the option `published: pattern` expects what the client published, `dropped: true` that the server gave it up |
//! | `asked: {path, when}` | the application gets or got such a request: `request` (pattern of its body), `headers`, `method`, `certificate: bool` |
//! | `not_asked: {path, when}` | it got none, or none that `asked` has not seen |
//! | `jwks: {path, keys, status}`, `jwks_hits: {path, count}` | publishes a key set; expects a request count |
//!
//! What a connection is does not change what verbs mean: commands of `http_stream` and `sse` go to the emulation
//! endpoint, and `closed` is a close frame, a disconnect push with the end of the body, or both. In calls of gRPC
//! each command is a message, `headers` are metadata, and an answer without a stream is an end that `dropped` reads.
//!
//! `tls: true` encrypts, `tls: client` shows a certificate of a client, too; with `broken: true` a request by `http` or
//! `grpc` must get no answer.
//!
//! `eventually: true` repeats `call`, `api` and `http` until they match, for effects that need time.

mod application;
mod open;
mod peer;
mod step;
mod web;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::connection::Connection;
use crate::keys::{self, KEYS};
use crate::kind::Kind;
use crate::pattern;
use crate::scenario::Scenario;
use crate::server::Server;
use crate::target::Target;
use crate::template::{self, Variables};
use step::Step;

const DEADLINE_SECONDS: f64 = 10.0;
/// Pause between two tries of an `eventually` step.
const RETRY: Duration = Duration::from_millis(20);
const TRANSCRIPT_LINES: usize = 12;

/// Runs all steps; the error tells the failing step and what was exchanged before it.
pub async fn run(target: &Target, server: &Server, scenario: &Scenario) -> Result<(), String> {
    let mut variables = server.variables.clone();
    variables.insert("id".to_owned(), random_id().into());
    variables.insert("address".to_owned(), server.address.as_str().into());
    variables.insert("transport".to_owned(), scenario.transport()?.name().into());
    let mut run = Run {
        target,
        server,
        variables,
        kind: scenario.transport()?,
        connections: HashMap::new(),
        transcript: Vec::new(),
    };
    run.all(&scenario.steps).await.map_err(|error| {
        let skipped = run.transcript.len().saturating_sub(TRANSCRIPT_LINES);
        format!("{error}\nexchanged before:\n  {}", run.transcript[skipped..].join("\n  "))
    })
}

struct Run<'a> {
    target: &'a Target,
    server: &'a Server,
    variables: Variables,
    /// Transport of connections whose step names none.
    kind: Kind,
    connections: HashMap<String, Connection>,
    transcript: Vec<String>,
}

impl Run<'_> {
    async fn all(&mut self, steps: &[Map<String, Value>]) -> Result<(), String> {
        for (index, step) in steps.iter().enumerate() {
            let shown = Value::Object(step.clone());
            self.one(step).await.map_err(|error| format!("step {} {shown:.300}: {error}", index + 1))?;
        }
        Ok(())
    }

    async fn one(&mut self, raw: &Map<String, Value>) -> Result<(), String> {
        if let Some(only) = raw.get("only").and_then(Value::as_str)
            && (only == "reference") != self.target.reference
        {
            return Ok(());
        }
        if let Some(times) = raw.get("repeat") {
            let times = times.as_u64().ok_or("repeat takes a number")?;
            let items = (1..=times).map(Value::from).collect();
            return Box::pin(self.repeat("n", items, raw.get("steps"))).await;
        }
        if let Some(items) = raw.get("each") {
            let items = template::expand(items, &self.variables)?;
            let items = items.as_array().cloned().ok_or("each takes a list")?;
            let name = raw.get("as").and_then(Value::as_str).unwrap_or("item");
            return Box::pin(self.repeat(name, items, raw.get("steps"))).await;
        }
        let started = Instant::now();
        loop {
            let mut step = Step::new(raw, &self.variables)?;
            step.take("only");
            let took = step.take("took");
            let eventually = step.take("eventually").is_some();
            let within = step.take("within").and_then(|value| value.as_f64()).unwrap_or(DEADLINE_SECONDS);
            let deadline = Duration::from_secs_f64(within);
            let outcome = match tokio::time::timeout(deadline, self.perform(&mut step)).await {
                Ok(outcome) => outcome.and_then(|()| step.finish()),
                Err(_) => Err(format!("nothing decisive within {within} s")),
            };
            if outcome.is_err() && eventually && started.elapsed() < deadline {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            outcome?;
            return within_bounds(took, started.elapsed());
        }
    }

    async fn repeat(&mut self, name: &str, items: Vec<Value>, steps: Option<&Value>) -> Result<(), String> {
        let steps: Vec<Map<String, Value>> = steps
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|s| s.as_object().cloned())
            .collect();
        for item in items {
            let shown = item.to_string();
            self.variables.insert(name.to_owned(), item);
            self.all(&steps).await.map_err(|error| format!("with {name} = {shown:.100}: {error}"))?;
        }
        Ok(())
    }

    async fn perform(&mut self, step: &mut Step) -> Result<(), String> {
        match step.verb.as_str() {
            "open" => self.open(step).await,
            "connect" => self.connect(step).await,
            "call" => self.call(step).await,
            "send" => self.send(step).await,
            "text" | "binary" | "frame" | "raw" => self.write(step).await,
            "expect" => self.expect(step).await,
            "expect_text" => self.expect_text(step).await,
            "expect_body" => self.expect_body(step).await,
            "expect_frame" => self.expect_frame(step).await,
            "expect_control" => self.expect_control(step).await,
            "offsets" => self.offsets(step).await,
            "quiet" => self.quiet(step).await,
            "closed" => self.closed(step).await,
            "dropped" => self.dropped(step).await,
            "ends" => self.ends(step).await,
            "close" => self.close(step).await,
            "ended" => self.ended(step).await,
            "cut" => self.cut(step),
            "api" => self.api(step).await,
            "grpc" => self.grpc(step).await,
            "http" => self.http(step).await,
            "tcp" => self.tcp(step).await,
            "set" => {
                self.variables.extend(step.object()?);
                Ok(())
            }
            "signal" => self.server.signal(step.text()?),
            "reload" => {
                let config = step.object()?;
                self.server.reload(&Value::Object(config))
            }
            "backend" => self.backend(step),
            "asked" => self.asked(step).await,
            "stream" => self.stream(step).await,
            "not_asked" => self.not_asked(step),
            "jwks" => self.publish_keys(step),
            "jwks_hits" => {
                let path = step.argument["path"].as_str().unwrap_or_default();
                let hits = self.target.jwks.hits(path);
                self.check(&step.argument["count"], &hits.into())
            }
            verb => Err(format!("unknown verb {verb:?}")),
        }
    }

    fn publish_keys(&mut self, step: &mut Step) -> Result<(), String> {
        let mut set = Vec::new();
        for entry in step.argument["keys"].as_array().into_iter().flatten() {
            let mut members = entry.as_object().cloned().unwrap_or_default();
            if let Some(name) = members.shift_remove("key") {
                let public =
                    KEYS.public_jwk(name.as_str().unwrap_or_default()).ok_or(format!("no key {name}"))?;
                members.extend(public);
            }
            set.push(Value::Object(members));
        }
        let status = step.argument["status"].as_u64().unwrap_or(200) as u16;
        let path = step.argument["path"].as_str().ok_or("jwks needs a path")?;
        self.target.jwks.publish(path, status, json!({"keys": set}));
        Ok(())
    }

    /// Matches a value, keeping what the pattern captures as variables.
    fn check(&mut self, expected: &Value, actual: &Value) -> Result<(), String> {
        pattern::check(expected, Some(actual), "$", &mut self.variables)
    }

    fn note(&mut self, line: String) {
        self.transcript.push(line.chars().take(600).collect());
    }
}

fn within_bounds(took: Option<Value>, elapsed: Duration) -> Result<(), String> {
    let Some(took) = took else { return Ok(()) };
    let bound = |index: usize| took[index].as_f64().map(|ms| ms / 1000.0).ok_or("took takes two numbers");
    let elapsed = elapsed.as_secs_f64();
    if elapsed < bound(0)? || elapsed > bound(1)? {
        return Err(format!("took {elapsed:.3} s, expected {took} ms"));
    }
    Ok(())
}

fn random_id() -> String {
    keys::random::<5>().iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// Expands a step's value; kept here so that the parts share one import.
fn expand(value: &Value, variables: &Variables) -> Result<Value, String> {
    template::expand(value, variables)
}
