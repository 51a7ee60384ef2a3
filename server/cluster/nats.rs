//! Control messages over NATS, on `<prefix>.control` and `<prefix>.node.<uid>`.

use super::{Controller, ControllerError, Listener, To};
use crate::broker::MaybeReady;
use crate::stores::nats::{NatsConnection, NatsError};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// A controller over one NATS connection.
pub struct NatsController {
    prefix: String,
    connection: Arc<NatsConnection>,
}

impl NatsController {
    /// Begins to listen for the node `uid`, for as long as the connection lives.
    ///
    /// # Errors
    /// [`NatsError::Subscribe`]; [`NatsError::Unconfirmed`].
    pub async fn start(
        prefix: String,
        connection: Arc<NatsConnection>,
        uid: &str,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, NatsError> {
        let all = connection.subscribe(&format!("{prefix}.control")).await?;
        let own = connection.subscribe(&format!("{prefix}.node.{uid}")).await?;
        tokio::spawn(async move {
            let mut messages = stream::select(all, own);
            while let Some(message) = messages.next().await {
                listener.heard(&message.payload);
            }
        });
        connection.confirmed().await?;
        Ok(Self { prefix, connection })
    }
}

impl Controller for NatsController {
    fn publish(&self, to: To, message: Bytes) -> MaybeReady<Result<(), ControllerError>> {
        let subject = match to {
            To::All => format!("{}.control", self.prefix),
            To::Node(uid) => format!("{}.node.{uid}", self.prefix),
        };
        let connection = self.connection.clone();
        MaybeReady::later(async move {
            let sent = connection.publish(subject, message).await;
            sent.map_err(|error| ControllerError::Unavailable(Box::new(error)))
        })
    }
}
