//! A NATS server of one test.

use crate::stores::nats::{NatsConnection, NatsSettings};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// A process that ends with this value.
pub(crate) struct NatsServer {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl NatsServer {
    /// Starts `nats-server` and waits until it takes connections.
    ///
    /// # Panics
    /// When it is not installed (`apt-get install nats-server`) or does not start.
    pub(crate) async fn start() -> Self {
        Self::spawn(None, &[]).await
    }

    /// As [`NatsServer::start`], with more arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        Self::spawn(None, arguments).await
    }

    /// As [`NatsServer::start`], on a port that was used before.
    pub(crate) async fn start_on(port: Option<u16>) -> Self {
        Self::spawn(port, &[]).await
    }

    async fn spawn(port: Option<u16>, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let child = Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port"])
            .arg(port.map_or("-1".to_owned(), |port| port.to_string()))
            .arg("--ports_file_dir")
            .arg(directory.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts; it is Debian's package nats-server");
        let mut server = Self { child, port: 0, _directory: directory };
        let deadline = Instant::now() + START_DEADLINE;
        server.port = loop {
            if let Some(port) = port_in(server._directory.path()) {
                break port;
            }
            assert!(Instant::now() < deadline, "nats-server tells no port");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn connect(&self) -> Arc<NatsConnection> {
        let settings = NatsSettings {
            url: format!("nats://127.0.0.1:{}", self.port),
            dial_timeout: Duration::from_secs(1),
            tls: None,
        };
        NatsConnection::connect(settings).await.expect("the server takes connections")
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port from the file the server writes once it listens.
fn port_in(directory: &Path) -> Option<u16> {
    let file = std::fs::read_dir(directory).ok()?.find_map(|entry| Some(entry.ok()?.path()))?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}
