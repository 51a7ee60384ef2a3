//! Looking at nodes, and calling procedures of the server.

use super::super::errors::Refusal;
use super::super::service::Service;
use crate::node::NodeInfo;
use gyre_proto::api;
use gyre_proto::codes::ApiErrorCode;

impl Service {
    pub(in crate::api) fn describe_nodes(&self) -> Result<api::InfoResult, Refusal> {
        Ok(api::InfoResult { nodes: self.node.info().into_iter().map(node_result).collect() })
    }

    /// No procedures exist; the method is there for extensions.
    pub(in crate::api) fn call_procedure(
        &self,
        request: &api::RpcRequest,
    ) -> Result<api::RpcResult, Refusal> {
        if request.method.is_empty() {
            return Err(Refusal::bad_request("method is empty"));
        }
        Err(Refusal::code(ApiErrorCode::NotFound))
    }
}

fn node_result(node: NodeInfo) -> api::NodeResult {
    let metrics = (!node.metrics.is_empty())
        .then_some(api::Metrics { interval: node.metrics_interval, items: node.metrics });
    api::NodeResult {
        uid: node.uid,
        name: node.name,
        version: node.version,
        num_clients: node.clients,
        num_users: node.users,
        num_channels: node.channels,
        uptime: node.uptime,
        metrics,
        process: None,
        num_subs: node.subscriptions,
    }
}
