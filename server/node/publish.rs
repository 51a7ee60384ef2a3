//! Publishing to one channel and to many.

use super::{ChannelKind, ChannelOptions, Node, NodeError, PublishRequest};
use crate::broker::{BrokerError, MaybeReady, PublishOptions, PublishOutcome, StreamPosition};
use crate::observability::{BrokerMessage, Suppressed};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use std::sync::Arc;

/// Publishes of one broadcast that may wait for the engine at the same time.
const CONCURRENT_PUBLISHES: usize = 1024;

impl Node {
    /// Publishes to a channel.
    ///
    /// # Errors
    /// `BadRequest` when the channel is empty or not a stream, or the payload has not its format;
    /// `UnknownChannel`; `Broker`. Only the last may pass on a retry.
    ///
    /// Source: `proto/api/api.proto` `PublishRequest`.
    pub fn publish(
        self: &Arc<Self>,
        channel: impl AsRef<str> + Into<Arc<str>>,
        request: PublishRequest,
    ) -> MaybeReady<Result<StreamPosition, NodeError>> {
        let options = match self.named_options(channel.as_ref()) {
            Ok(options) if options.kind != ChannelKind::Stream => {
                return MaybeReady::ready(Err(NodeError::BadRequest("channel is not a stream")));
            }
            Ok(options) => options,
            Err(error) => return MaybeReady::ready(Err(error)),
        };
        self.publish_checked(channel.into(), &options, request)
    }

    /// Publishes the same to many channels. Answers stand in the order of `channels`.
    ///
    /// Order: at most 1024 publishes wait for the engine at a time; channels are independent.
    /// A channel that is empty or unknown, or does not take the payload, fails alone.
    ///
    /// Source: `proto/api/api.proto` `BroadcastRequest`.
    pub fn broadcast(
        self: &Arc<Self>,
        channels: impl IntoIterator<Item = impl AsRef<str> + Into<Arc<str>> + Send, IntoIter: Send + 'static>,
        request: PublishRequest,
    ) -> MaybeReady<Vec<Result<StreamPosition, NodeError>>> {
        let mut channels = channels.into_iter();
        let mut results = Vec::with_capacity(channels.size_hint().0);
        while let Some(channel) = channels.next() {
            match self.publish_any(channel, &request) {
                MaybeReady::Ready(Some(result)) => results.push(result),
                waiting => {
                    let node = Arc::clone(self);
                    return MaybeReady::later(async move {
                        let mut answers = FuturesOrdered::new();
                        answers.push_back(waiting);
                        for channel in channels {
                            if answers.len() >= CONCURRENT_PUBLISHES
                                && let Some(result) = answers.next().await
                            {
                                results.push(result);
                            }
                            answers.push_back(node.publish_any(channel, &request));
                        }
                        while let Some(result) = answers.next().await {
                            results.push(result);
                        }
                        results
                    });
                }
            }
        }
        MaybeReady::ready(results)
    }

    /// Hands a publication to the engine as it is, and counts it. Waits first while subscribers of this node are
    /// far behind; see [`Connections::room_to_publish`](super::Connections::room_to_publish).
    ///
    /// For callers that judged channel and payload themselves, such as sessions.
    pub fn deliver(
        self: &Arc<Self>,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        match self.connections.get().map(|connections| connections.room_to_publish()) {
            Some(MaybeReady::Later(room)) => {
                let (node, channel) = (Arc::clone(self), channel.clone());
                MaybeReady::later(async move {
                    room.await?;
                    node.hand_over(&channel, data, options).await
                })
            }
            _ => self.hand_over(channel, data, options),
        }
    }

    fn hand_over(
        self: &Arc<Self>,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        self.parts.metrics.sent(BrokerMessage::Publication, 1);
        match self.parts.broker.publish(channel, data, options) {
            MaybeReady::Ready(answer) => {
                if let Some(Ok(outcome)) = &answer {
                    self.count_suppressed(outcome);
                }
                MaybeReady::Ready(answer)
            }
            MaybeReady::Later(answer) => {
                let node = Arc::clone(self);
                MaybeReady::later(async move {
                    let outcome = answer.await?;
                    node.count_suppressed(&outcome);
                    Ok(outcome)
                })
            }
        }
    }

    /// As [`Node::publish`] without the check of the channel's kind, which broadcast does not do upstream.
    fn publish_any(
        self: &Arc<Self>,
        channel: impl AsRef<str> + Into<Arc<str>>,
        request: &PublishRequest,
    ) -> MaybeReady<Result<StreamPosition, NodeError>> {
        match self.named_options(channel.as_ref()) {
            Ok(options) => self.publish_checked(channel.into(), &options, request.clone()),
            Err(error) => MaybeReady::ready(Err(error)),
        }
    }

    fn publish_checked(
        self: &Arc<Self>,
        channel: Arc<str>,
        options: &ChannelOptions,
        request: PublishRequest,
    ) -> MaybeReady<Result<StreamPosition, NodeError>> {
        if !options.data_format.accepts(&request.data) {
            return MaybeReady::ready(Err(NodeError::BadRequest("data has not the format of the channel")));
        }
        let keep = !request.skip_history;
        let publish = PublishOptions {
            history_size: if keep { options.history_size } else { 0 },
            history_ttl: if keep { options.history_ttl } else { Default::default() },
            history_meta_ttl: options.history_meta_ttl,
            tags: request.tags,
            idempotency_key: request.idempotency_key,
            delta: request.delta || options.delta_publish,
            version: request.version,
            version_epoch: request.version_epoch,
            ..PublishOptions::default()
        };
        match self.deliver(&channel, request.data, publish) {
            MaybeReady::Ready(answer) => MaybeReady::Ready(answer.map(position_of)),
            MaybeReady::Later(answer) => MaybeReady::later(async move { position_of(answer.await) }),
        }
    }

    fn count_suppressed(&self, outcome: &PublishOutcome) {
        if outcome.from_cache {
            self.parts.metrics.suppressed(Suppressed::Idempotency);
        } else if outcome.skipped {
            self.parts.metrics.suppressed(Suppressed::Version);
        }
    }
}

fn position_of(answer: Result<PublishOutcome, BrokerError>) -> Result<StreamPosition, NodeError> {
    Ok(answer?.position)
}
