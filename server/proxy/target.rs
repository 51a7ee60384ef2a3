//! One event of one proxy: how its application is asked, and what is made of the answer.

use super::allowance::{Allowance, Room};
use super::events::{Ask, Event, Form, Refusal, Reply};
use super::forward::{Forwarding, Hints};
use super::gate::{Gate, Turn};
use super::grpc::{self, GrpcBackend, Opened};
use super::http::{HttpBackend, HttpCallError};
use super::settings::{ProtocolSettings, ProxySettings, ProxySetupError};
use super::{Caller, DEFAULT_NAME, ProxyError, SubscribeStream};
use crate::observability::{Metrics, ProxyCalls};
use crate::seams::Clock;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use gyre_proto::proxy as wire;
use http::HeaderMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Status, Streaming};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Where the questions of one event go that name this proxy.
pub(super) struct Target {
    /// What errors and logs call it.
    name: Arc<str>,
    backend: Backend,
    forwarding: Forwarding,
    hints: Hints,
    form: Form,
    timeout: Duration,
    gate: Gate,
    allowance: Allowance,
    calls: Arc<ProxyCalls>,
    clock: Arc<dyn Clock>,
}

enum Backend {
    Http(Box<HttpBackend>, Vec<(u16, Refusal)>),
    Grpc(Box<GrpcBackend>),
}

/// A call that brought no answer.
struct Failure {
    source: AnyError,
    /// The application showed signs of life nevertheless.
    alive: bool,
}

impl Target {
    pub fn new(
        event: Event,
        name: Arc<str>,
        settings: &ProxySettings,
        allowance: &Allowance,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProxySetupError> {
        if settings.timeout.is_zero() {
            return Err(settings.unusable("timeout", "0s or less", "no answer comes at once"));
        }
        let (protocol, backend, fixed, key) = match &settings.protocol {
            ProtocolSettings::Http(_) if event == Event::SubscribeStream => {
                let reason = "only endpoints of gRPC can stream publications";
                return Err(settings.unusable("endpoint", &settings.endpoint, reason));
            }
            ProtocolSettings::Http(http) => {
                let backend = Box::new(HttpBackend::new(settings, &http.tls)?);
                let backend = Backend::Http(backend, http.refusals.clone());
                ("http", backend, &http.static_headers, "http.static_headers")
            }
            ProtocolSettings::Grpc(grpc) => {
                let backend = Backend::Grpc(Box::new(GrpcBackend::new(settings, grpc, allowance)?));
                ("grpc", backend, &grpc.static_metadata, "grpc.static_metadata")
            }
        };
        let fixed = fixed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let forwarding = Forwarding::new(fixed).map_err(|error| settings.unusable(key, "…", error))?;
        Ok(Self {
            backend,
            forwarding: forwarding.with_names(
                &settings.http_headers,
                &settings.grpc_metadata,
                &settings.emulated_headers,
            ),
            hints: Hints::default(),
            form: Form { binary: settings.binary_encoding, meta: settings.include_connection_meta },
            timeout: settings.timeout,
            gate: Gate::new(clock.clone()),
            allowance: allowance.clone(),
            calls: metrics.proxy_calls(protocol, event.as_str(), &name),
            name: match &*name {
                DEFAULT_NAME => settings.section.as_str().into(),
                _ => format!("{} for {}", settings.section, event.as_str()).into(),
            },
            clock,
        })
    }

    /// Asks and waits for the answer.
    pub async fn ask<A: Ask>(&self, caller: &Caller, mut question: A) -> Result<A::Answer, ProxyError> {
        let _underway = self.calls.begin();
        question.prepare(self.form);
        let entries = self.entries(caller);
        match &self.backend {
            Backend::Http(http, refusals) => {
                let mut body = Vec::new();
                if let Err(error) = question.try_encode_json(&mut body) {
                    self.calls.errors.increment();
                    return Err(self.failed(error.into()));
                }
                let room = self.allowance.room(self.timeout / 2);
                // Pinned before it is handed on: a call is some kilobytes, and moving it costs as much as its work.
                let call = pin!(post(http, refusals, entries, body.into(), A::REPEATABLE, room));
                self.through_gate(call).await
            }
            Backend::Grpc(grpc) => {
                let call = pin!(async { settled(grpc.call(entries, question, self.timeout).await?) });
                self.through_gate(call).await
            }
        }
    }

    /// Opens a stream of publications and waits for the decision at its start.
    pub async fn open(
        &self,
        caller: &Caller,
        mut question: wire::SubscribeRequest,
        bidirectional: bool,
    ) -> Result<SubscribeStream, ProxyError> {
        let _underway = self.calls.begin();
        question.prepare(self.form);
        let Backend::Grpc(grpc) = &self.backend else {
            return Err(ProxyError::Unknown { name: self.name.clone() });
        };
        let entries = self.entries(caller);
        let opened = self.through_gate(async {
            let Opened { first, rest, to_application } = grpc.open(entries, question, bidirectional).await?;
            let decision =
                first.subscribe_response.ok_or_else(|| Failure::of("stream begins without a decision"))?;
            Ok((settled(decision)?, rest, to_application))
        });
        let (response, rest, to_application) = opened.await?;
        let publications = publications(self.name.clone(), rest).boxed();
        Ok(SubscribeStream { response, publications, to_application })
    }

    /// What goes along with a call.
    fn entries(&self, caller: &Caller) -> HeaderMap {
        if let Some(header) = self.forwarding.vain_claim(caller)
            && self.hints.is_due(self.clock.now().instant)
        {
            let proxy = &*self.name;
            tracing::info!(
                proxy,
                %header,
                "a client claims a header that is passed on from requests only; emulated_headers lists claims to pass on"
            );
        }
        self.forwarding.entries(caller)
    }

    /// Lets a call through when the application bears it, for as long as is configured.
    async fn through_gate<T>(&self, call: impl Future<Output = Result<T, Failure>>) -> Result<T, ProxyError> {
        let began = self.clock.now().instant;
        let mut pass = None;
        let outcome = tokio::time::timeout(self.timeout, async {
            pass = self.gate.enter().await;
            match pass {
                Some(_) => Some(call.await),
                None => None,
            }
        })
        .await;
        let Some(pass) = pass else {
            self.calls.errors.increment();
            return Err(ProxyError::Shed { name: self.name.clone() });
        };
        let (result, alive) = match outcome {
            Ok(Some(Ok(answer))) => (Ok(answer), true),
            Ok(Some(Err(Failure { source, alive }))) => (Err(self.failed(source)), alive),
            Ok(None) | Err(_) => (Err(ProxyError::Timeout { name: self.name.clone() }), false),
        };
        self.tell(&pass.judge(alive));
        let now = self.clock.now().instant;
        self.calls.durations.observe(now.saturating_duration_since(began), now);
        if result.is_err() {
            self.calls.errors.increment();
        }
        result
    }

    fn tell(&self, turn: &Turn) {
        let proxy = &*self.name;
        match turn {
            Turn::None => {}
            Turn::Opened => tracing::warn!(proxy, "application fails; it gets one call a second to recover"),
            Turn::Closed => tracing::info!(proxy, "application answers again"),
        }
    }

    fn failed(&self, source: AnyError) -> ProxyError {
        ProxyError::Failed { name: self.name.clone(), source }
    }
}

/// Asks over HTTP. A status code that stands for a refusal is an answer.
async fn post<R: Reply>(
    http: &HttpBackend,
    refusals: &[(u16, Refusal)],
    entries: HeaderMap,
    body: Bytes,
    repeatable: bool,
    mut room: Room,
) -> Result<R, Failure> {
    let error = match http.post(entries, body, repeatable, &mut room).await {
        Ok(answer) => return settled(R::decode_json(&answer).map_err(Failure::of)?),
        Err(error) => error,
    };
    if let HttpCallError::Status(status) = &error {
        let refusal = refusals.iter().find(|(code, _)| *code == status.as_u16());
        if let Some(answer) = refusal.and_then(|(_, refusal)| R::refusal(refusal.clone())) {
            return Ok(answer);
        }
    }
    let alive = error.answered();
    Err(Failure { source: error.into(), alive })
}

fn settled<R: Reply>(mut answer: R) -> Result<R, Failure> {
    answer.settle().map_err(|error| Failure { source: error.into(), alive: true })?;
    Ok(answer)
}

/// What follows the decision; messages without a publication say nothing.
fn publications(
    name: Arc<str>,
    rest: Streaming<wire::StreamSubscribeResponse>,
) -> impl Stream<Item = Result<wire::Publication, ProxyError>> + Send + 'static {
    let messages = stream::unfold(Some(rest), |rest| async {
        let mut rest = rest?;
        match rest.message().await {
            Ok(None) => None,
            Ok(Some(message)) => Some((Ok(message), Some(rest))),
            Err(status) => Some((Err(status), None)),
        }
    });
    messages.filter_map(move |message| {
        let publication = match message {
            Ok(message) => message.publication.map(Ok),
            Err(status) => Some(Err(ProxyError::Failed { name: name.clone(), source: status.into() })),
        };
        std::future::ready(publication)
    })
}

impl Failure {
    fn of(source: impl Into<AnyError>) -> Self {
        Self { source: source.into(), alive: false }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let alive = grpc::answered(&status);
        Self { source: status.into(), alive }
    }
}
