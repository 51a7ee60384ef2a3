//! Publishing.

use super::super::errors::Refusal;
use super::super::service::Service;
use crate::broker::{StreamPosition, Tags};
use crate::node::{NodeError, PublishRequest};
use bytes::Bytes;
use gyre_proto::api;
use std::sync::Arc;

impl Service {
    pub(in crate::api) async fn publish_one(
        &self,
        request: api::PublishRequest,
    ) -> Result<api::PublishResult, Refusal> {
        let publish = PublishRequest {
            data: self.payload(request.data_bytes()?),
            skip_history: request.skip_history,
            tags: shared_tags(request.tags),
            idempotency_key: request.idempotency_key,
            delta: request.delta,
            version: request.version,
            version_epoch: request.version_epoch,
        };
        Ok(result(self.node.publish(request.channel, publish).await?))
    }

    pub(in crate::api) async fn publish_many(
        &self,
        request: api::BroadcastRequest,
    ) -> Result<api::BroadcastResult, Refusal> {
        if request.channels.is_empty() {
            return Err(Refusal::bad_request("channels are empty"));
        }
        let publish = PublishRequest {
            data: self.payload(request.data_bytes()?),
            skip_history: request.skip_history,
            tags: shared_tags(request.tags),
            idempotency_key: request.idempotency_key,
            delta: request.delta,
            version: request.version,
            version_epoch: request.version_epoch,
        };
        let results = self.node.broadcast(request.channels, publish).await;
        Ok(api::BroadcastResult {
            responses: results.into_iter().map(|result| self.response(result)).collect(),
        })
    }

    fn response(&self, answer: Result<StreamPosition, NodeError>) -> api::PublishResponse {
        match answer {
            Ok(position) => api::PublishResponse { error: None, result: Some(result(position)) },
            Err(error) => {
                let error = self.refuse_in_broadcast(error.into());
                api::PublishResponse { error: Some(error), result: None }
            }
        }
    }

    /// Payloads may be kept for long, and a slice of a receive buffer would keep all of the buffer.
    /// The JSON decoder has copied already.
    fn payload(&self, data: Bytes) -> Bytes {
        if self.borrows_buffers() { Bytes::copy_from_slice(&data) } else { data }
    }
}

fn result(position: StreamPosition) -> api::PublishResult {
    api::PublishResult { offset: position.offset, epoch: position.epoch.as_str().to_owned() }
}

fn shared_tags(tags: Tags) -> Option<Arc<Tags>> {
    (!tags.is_empty()).then(|| Arc::new(tags))
}
