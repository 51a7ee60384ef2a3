//! A closed-loop gRPC client: unary publishes over one or more HTTP/2 connections.

use crate::clock::Clock;
use crate::ledger::new_histogram;
use crate::load::http::{Outcome, Until};
use crate::target::Target;
use anyhow::{Context, Result, anyhow};
use gyre_proto::api::PublishRequest;
use gyre_proto::api::centrifugo_api_client::CentrifugoApiClient;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// Connections to the gRPC API of one server.
pub struct GrpcLoad {
    runtime: tokio::runtime::Runtime,
    channels: Vec<Channel>,
    authorization: MetadataValue<Ascii>,
    clock: Clock,
}

/// State the streams of one run share; they all live on one thread.
struct Shared<F> {
    body: F,
    outcome: Outcome,
    sent: u64,
}

impl GrpcLoad {
    /// Opens `connections` HTTP/2 connections.
    pub fn connect(target: &Target, connections: usize, clock: Clock) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(format!("http://{}", target.grpc))?.tcp_nodelay(true);
        let channels = runtime.block_on(async {
            let mut channels = Vec::with_capacity(connections);
            for _ in 0..connections {
                channels
                    .push(endpoint.connect().await.with_context(|| format!("connect to {}", target.grpc))?);
            }
            anyhow::Ok(channels)
        })?;
        let authorization =
            format!("apikey {}", target.api_key).parse().context("API key is no header value")?;
        Ok(Self { runtime, channels, authorization, clock })
    }

    /// Keeps `streams` publishes outstanding on every connection; `body` yields channel and data of each.
    ///
    /// # Errors
    /// When the transport fails. Refusals by the server are counted in the outcome.
    pub fn run(
        &self,
        until: Until,
        streams: usize,
        body: impl FnMut() -> (String, Vec<u8>) + 'static,
    ) -> Result<Outcome> {
        let shared = Rc::new(RefCell::new(Shared {
            body,
            outcome: Outcome { requests: 0, failed: 0, latency: new_histogram(), first_failure: None },
            sent: 0,
        }));
        let local = tokio::task::LocalSet::new();
        let began = Instant::now();
        let tasks: Vec<_> = self
            .channels
            .iter()
            .flat_map(|channel| std::iter::repeat_n(channel, streams))
            .map(|channel| {
                let stream = publish_in_turn(
                    channel.clone(),
                    self.authorization.clone(),
                    self.clock,
                    until,
                    began,
                    shared.clone(),
                );
                local.spawn_local(stream)
            })
            .collect();
        local.block_on(&self.runtime, async {
            for task in tasks {
                task.await.context("a gRPC stream panicked")??;
            }
            anyhow::Ok(())
        })?;
        drop(local);
        let shared = Rc::into_inner(shared).ok_or_else(|| anyhow!("a gRPC stream outlived its run"))?;
        Ok(shared.into_inner().outcome)
    }
}

async fn publish_in_turn<F: FnMut() -> (String, Vec<u8>)>(
    channel: Channel,
    authorization: MetadataValue<Ascii>,
    clock: Clock,
    until: Until,
    began: Instant,
    shared: Rc<RefCell<Shared<F>>>,
) -> Result<()> {
    let mut client = CentrifugoApiClient::new(channel);
    loop {
        let (channel, data) = {
            let mut shared = shared.borrow_mut();
            let more = match until {
                Until::Elapsed(duration) => began.elapsed() < duration,
                Until::Requests(count) => shared.sent < count,
            };
            if !more {
                return Ok(());
            }
            shared.sent += 1;
            (shared.body)()
        };
        let mut request =
            tonic::Request::new(PublishRequest { channel, data: data.into(), ..Default::default() });
        request.metadata_mut().insert("authorization", authorization.clone());
        let sent_ns = clock.now_ns();
        let answer = client.publish(request).await;
        let mut shared = shared.borrow_mut();
        let outcome = &mut shared.outcome;
        outcome.requests += 1;
        outcome.latency.saturating_record(clock.now_ns() - sent_ns);
        let failure = match answer {
            Ok(answer) => answer.into_inner().error.map(|error| format!("{} {}", error.code, error.message)),
            Err(status) => Some(status.to_string()),
        };
        if let Some(failure) = failure {
            outcome.failed += 1;
            outcome.first_failure.get_or_insert(failure);
        }
    }
}
