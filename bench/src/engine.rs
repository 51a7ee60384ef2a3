//! What stands behind a server and carries its publications: nothing, Redis or NATS, started afresh for each run.

use crate::arm::free_port;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(10);
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// Kind of engine that started servers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// The server's own memory.
    Memory,
    /// A Redis of its own for each run, without persistence.
    Redis,
    /// A NATS server of its own for each run; publications only, without history.
    Nats,
}

impl Engine {
    /// Name used in tables and scenario labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }

    /// Whether channels have history.
    pub fn keeps_history(self) -> bool {
        !matches!(self, Self::Nats)
    }

    /// Starts what the engine needs on a free loopback port, and waits until it answers.
    ///
    /// # Errors
    /// When `redis-server` or `nats-server` is not installed or does not start.
    pub fn start(self) -> Result<Option<Running>> {
        let program = match self {
            Self::Memory => return Ok(None),
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
        };
        let port = free_port()?;
        let directory = tempfile::tempdir().context("create a directory for the engine")?;
        let log = directory.path().join("engine.log");
        let output = File::create(&log)?;
        let text = port.to_string();
        let arguments: &[&str] = match self {
            Self::Nats => &["--addr", "127.0.0.1", "--port", &text],
            _ => &["--bind", "127.0.0.1", "--port", &text, "--save", "", "--appendonly", "no"],
        };
        let child = Command::new(program)
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {program}, which the engine {} needs", self.name()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut running = Running { engine: self, child, address, log, _directory: directory };
        running.wait_until_ready().with_context(|| program.to_owned())?;
        Ok(Some(running))
    }
}

/// A started engine; dropping it ends the process.
pub struct Running {
    engine: Engine,
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Keys that make a server use this engine.
    pub fn settings(&self) -> Value {
        let address = self.address;
        match self.engine {
            Engine::Memory => json!({}),
            Engine::Redis => {
                json!({ "engine": { "type": "redis", "redis": { "address": format!("redis://{address}") } } })
            }
            Engine::Nats => json!({
                "broker": { "enabled": true, "type": "nats", "nats": { "url": format!("nats://{address}") } },
            }),
        }
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at start with {status}: {}", self.log_tail());
            }
            if self.answers().unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(READY_INTERVAL);
        }
        bail!("no answer after {} s: {}", START_LIMIT.as_secs(), self.log_tail())
    }

    fn answers(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_millis(500))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let greeting: &[u8] = match self.engine {
            // NATS speaks first.
            Engine::Nats => b"INFO ",
            _ => {
                stream.write_all(b"PING\r\n")?;
                b"+PONG"
            }
        };
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer == greeting)
    }

    fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_answers_at_the_address_servers_get_and_ends_with_its_owner() {
        for (engine, key) in [(Engine::Redis, "/engine/redis/address"), (Engine::Nats, "/broker/nats/url")] {
            let running = engine.start().expect("starts").expect("is a process");
            let settings = running.settings();
            let url = settings.pointer(key).and_then(Value::as_str).expect("an address");
            let address = url.split("//").last().expect("host and port").to_owned();
            TcpStream::connect(&address).expect("listens");
            drop(running);
            assert!(TcpStream::connect(&address).is_err(), "{} is still there", engine.name());
        }
        assert!(Engine::Memory.start().expect("nothing to start").is_none());
    }
}
