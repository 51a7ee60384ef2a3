//! The one implementation of the server API. gRPC, HTTP, batches and queues all end here.

use super::errors::Refusal;
use crate::node::Node;
use crate::observability::{ApiCommandFailed, ApiProtocol, Timing};
use futures_util::{StreamExt, stream};
use gyre_proto::api;
use gyre_proto::codes::ApiErrorCode;
use gyre_proto::service::{ApiMethod, ApiService, call_command};
use std::future::Future;
use std::sync::{Arc, OnceLock};

/// Commands of a parallel batch that are under way at the same time.
const CONCURRENT_COMMANDS: usize = 1024;

/// The server API of a node, as one protocol reaches it.
pub struct Service {
    pub(super) node: Arc<Node>,
    protocol: ApiProtocol,
    /// By method; found once each.
    timings: [OnceLock<Arc<Timing>>; ApiMethod::ALL.len()],
}

impl Service {
    /// Makes the API of `node`; `protocol` is what metrics call the way in.
    pub fn new(node: Arc<Node>, protocol: ApiProtocol) -> Self {
        Self { node, protocol, timings: [const { OnceLock::new() }; ApiMethod::ALL.len()] }
    }

    /// The node behind it.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The way in.
    pub fn protocol(&self) -> ApiProtocol {
        self.protocol
    }

    /// Whether payloads of requests are slices of receive buffers.
    pub(super) fn borrows_buffers(&self) -> bool {
        self.protocol == ApiProtocol::Grpc
    }

    /// Makes and counts the error of one channel of a broadcast. It is logged at debug level only,
    /// because a broadcast has many channels.
    pub(super) fn refuse_in_broadcast(&self, refusal: Refusal) -> api::Error {
        let code = refusal.code;
        tracing::debug!(error = &refusal as &dyn std::error::Error, "broadcast skipped a channel");
        self.node.metrics().api_error(self.protocol, "broadcast_publish", (code as i32).to_string());
        code.into()
    }

    /// Does one command, measures it, and tells what went wrong.
    async fn run<R>(
        &self,
        method: ApiMethod,
        work: impl Future<Output = Result<R, Refusal>>,
    ) -> Result<R, api::Error> {
        let started = self.node.clock().now().instant;
        let result = work.await;
        let ended = self.node.clock().now().instant;
        self.timings[method as usize]
            .get_or_init(|| self.node.metrics().api_duration(self.protocol, method.name()))
            .observe(ended.saturating_duration_since(started), ended);
        result.map_err(|refusal| {
            let reason = refusal.reason.as_ref().map(|reason| reason as &(dyn std::error::Error + 'static));
            let (code, fault) = (refusal.code as u32, refusal.is_fault());
            ApiCommandFailed { protocol: self.protocol, method: method.name(), code, fault, reason }
                .emit(self.node.metrics());
            refusal.code.into()
        })
    }

    async fn command(&self, command: api::Command) -> api::Reply {
        let (method, reply) = call_command(self, command).await;
        if method.is_none() {
            let code = ApiErrorCode::NotFound as u32;
            ApiCommandFailed { protocol: self.protocol, method: "unknown", code, fault: false, reason: None }
                .emit(self.node.metrics());
        }
        reply
    }
}

/// Puts the result of a command, or its error, into the response of the method.
macro_rules! respond {
    ($response:ident, $result:expr) => {
        match $result {
            Ok(result) => api::$response { error: None, result: Some(result) },
            Err(error) => api::$response { error: Some(error), result: None },
        }
    };
}

impl ApiService for Service {
    async fn batch(&self, request: api::BatchRequest) -> api::BatchResponse {
        let mut replies = Vec::with_capacity(request.commands.len());
        if request.parallel {
            let commands = stream::iter(request.commands).map(|command| self.command(command));
            replies = commands.buffered(CONCURRENT_COMMANDS).collect().await;
        } else {
            for command in request.commands {
                replies.push(self.command(command).await);
            }
        }
        api::BatchResponse { replies }
    }

    async fn publish(&self, request: api::PublishRequest) -> api::PublishResponse {
        respond!(PublishResponse, self.run(ApiMethod::Publish, self.publish_one(request)).await)
    }

    async fn broadcast(&self, request: api::BroadcastRequest) -> api::BroadcastResponse {
        respond!(BroadcastResponse, self.run(ApiMethod::Broadcast, self.publish_many(request)).await)
    }

    async fn subscribe(&self, request: api::SubscribeRequest) -> api::SubscribeResponse {
        let work = async { self.subscribe_user(request) };
        respond!(SubscribeResponse, self.run(ApiMethod::Subscribe, work).await)
    }

    async fn unsubscribe(&self, request: api::UnsubscribeRequest) -> api::UnsubscribeResponse {
        let work = async { self.unsubscribe_user(request) };
        respond!(UnsubscribeResponse, self.run(ApiMethod::Unsubscribe, work).await)
    }

    async fn disconnect(&self, request: api::DisconnectRequest) -> api::DisconnectResponse {
        let work = async { self.disconnect_user(request) };
        respond!(DisconnectResponse, self.run(ApiMethod::Disconnect, work).await)
    }

    async fn presence(&self, request: api::PresenceRequest) -> api::PresenceResponse {
        respond!(PresenceResponse, self.run(ApiMethod::Presence, self.read_presence(request)).await)
    }

    async fn presence_stats(&self, request: api::PresenceStatsRequest) -> api::PresenceStatsResponse {
        respond!(
            PresenceStatsResponse,
            self.run(ApiMethod::PresenceStats, self.count_presence(request)).await
        )
    }

    async fn history(&self, request: api::HistoryRequest) -> api::HistoryResponse {
        respond!(HistoryResponse, self.run(ApiMethod::History, self.read_history(request)).await)
    }

    async fn history_remove(&self, request: api::HistoryRemoveRequest) -> api::HistoryRemoveResponse {
        respond!(HistoryRemoveResponse, self.run(ApiMethod::HistoryRemove, self.drop_history(request)).await)
    }

    async fn info(&self, _: api::InfoRequest) -> api::InfoResponse {
        let work = async { self.describe_nodes() };
        respond!(InfoResponse, self.run(ApiMethod::Info, work).await)
    }

    async fn rpc(&self, request: api::RpcRequest) -> api::RpcResponse {
        let work = async { self.call_procedure(&request) };
        respond!(RpcResponse, self.run(ApiMethod::Rpc, work).await)
    }

    async fn refresh(&self, request: api::RefreshRequest) -> api::RefreshResponse {
        let work = async { self.refresh_user(request) };
        respond!(RefreshResponse, self.run(ApiMethod::Refresh, work).await)
    }

    async fn channels(&self, request: api::ChannelsRequest) -> api::ChannelsResponse {
        let work = self.list_channels(request);
        respond!(ChannelsResponse, self.run(ApiMethod::Channels, work).await)
    }

    async fn map_publish(&self, request: api::MapPublishRequest) -> api::MapPublishResponse {
        let work = async { Err(self.refuse_map(&request.channel, !request.key.is_empty())) };
        respond!(MapPublishResponse, self.run(ApiMethod::MapPublish, work).await)
    }

    async fn map_remove(&self, request: api::MapRemoveRequest) -> api::MapRemoveResponse {
        let work = async { Err(self.refuse_map(&request.channel, !request.key.is_empty())) };
        respond!(MapRemoveResponse, self.run(ApiMethod::MapRemove, work).await)
    }

    async fn map_read_state(&self, request: api::MapReadStateRequest) -> api::MapReadStateResponse {
        let work = async { Err(self.refuse_map(&request.channel, true)) };
        respond!(MapReadStateResponse, self.run(ApiMethod::MapReadState, work).await)
    }

    async fn map_read_stream(&self, request: api::MapReadStreamRequest) -> api::MapReadStreamResponse {
        let work = async { Err(self.refuse_map(&request.channel, true)) };
        respond!(MapReadStreamResponse, self.run(ApiMethod::MapReadStream, work).await)
    }

    async fn map_stats(&self, request: api::MapStatsRequest) -> api::MapStatsResponse {
        let work = async { Err(self.refuse_map(&request.channel, true)) };
        respond!(MapStatsResponse, self.run(ApiMethod::MapStats, work).await)
    }

    async fn map_clear(&self, request: api::MapClearRequest) -> api::MapClearResponse {
        let work = async { Err(self.refuse_map(&request.channel, true)) };
        respond!(MapClearResponse, self.run(ApiMethod::MapClear, work).await)
    }

    async fn shared_poll_publish(
        &self,
        request: api::SharedPollPublishRequest,
    ) -> api::SharedPollPublishResponse {
        let fields_set = !request.key.is_empty() && request.version != 0;
        let work = async { Err(self.refuse_shared_poll(&request.channel, fields_set)) };
        respond!(SharedPollPublishResponse, self.run(ApiMethod::SharedPollPublish, work).await)
    }
}
