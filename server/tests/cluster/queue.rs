//! The NATS server of a scenario.

use tokio::sync::Mutex;

use crate::nats::NatsServer;

/// A server that is killed and started again at the same place.
pub struct NatsPart {
    port: u16,
    /// None while it is dead.
    server: Mutex<Option<NatsServer>>,
}

impl NatsPart {
    pub async fn start() -> Self {
        let server = NatsServer::start().await;
        Self { port: server.port(), server: Mutex::new(Some(server)) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once.
    pub async fn kill(&self) {
        self.server.lock().await.take();
    }

    /// Starts it again.
    pub async fn restart(&self) {
        let server = NatsServer::start_on(Some(self.port)).await;
        *self.server.lock().await = Some(server);
    }
}
