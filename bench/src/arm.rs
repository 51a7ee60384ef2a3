//! A server under test: one binary, started afresh for each scenario with a configuration both arms understand.

use crate::target::{Endpoint, Target};
use crate::wire::Protocol;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const API_KEY: &str = "bench-api-key";
const TOKEN_SECRET: &str = "bench-token-secret-of-enough-length";
const START_LIMIT: Duration = Duration::from_secs(20);
const HEALTH_INTERVAL: Duration = Duration::from_millis(20);

/// Channels without history.
pub const PLAIN: &str = "plain";
/// Channels with history, recovery and positioning.
pub const STREAM: &str = "stream";

/// A named server binary.
#[derive(Clone, Debug)]
pub struct Arm {
    pub name: String,
    pub binary: PathBuf,
}

impl std::str::FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, binary)) if !name.is_empty() && !binary.is_empty() => {
                Ok(Self { name: name.to_owned(), binary: binary.into() })
            }
            _ => Err(format!("{text:?} is not NAME=BINARY")),
        }
    }
}

/// A started server; dropping it ends the process.
pub struct Running {
    child: Child,
    target: Target,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Arm {
    /// Starts the server on free loopback ports and waits until it is healthy.
    ///
    /// `overrides` is merged over the built-in configuration, key by key.
    pub fn start(&self, protocol: Protocol, overrides: &Value) -> Result<Running> {
        let [port, grpc_port] = free_ports()?;
        let directory = tempfile::tempdir().context("create a directory for the configuration")?;
        let mut config = configuration(port, grpc_port);
        merge(&mut config, overrides);
        let path = directory.path().join("config.json");
        fs::write(&path, serde_json::to_vec_pretty(&config)?)
            .with_context(|| format!("write {}", path.display()))?;
        let log = directory.path().join("server.log");
        let output = File::create(&log)?;
        let child = Command::new(&self.binary)
            .arg("-c")
            .arg(&path)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        let target = Target {
            websocket: Endpoint::loopback(port, "/connection/websocket"),
            http: Endpoint::loopback(port, "/api"),
            grpc: SocketAddr::from(([127, 0, 0, 1], grpc_port)),
            api_key: API_KEY.to_owned(),
            token_secret: TOKEN_SECRET.to_owned(),
            protocol,
            pid: Some(child.id()),
        };
        let mut running = Running { child, target, log, _directory: directory };
        running.wait_until_healthy().with_context(|| format!("server {:?}", self.name))?;
        Ok(running)
    }
}

impl Running {
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Reports whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns the end of what the server wrote, for diagnosis.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned()
    }

    fn wait_until_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at start with {status}: {}", self.log_tail());
            }
            if is_healthy(self.target.http.address) && TcpStream::connect(self.target.grpc).is_ok() {
                return Ok(());
            }
            std::thread::sleep(HEALTH_INTERVAL);
        }
        bail!("not healthy after {} s: {}", START_LIMIT.as_secs(), self.log_tail())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The run is over and nothing is kept on disk, so there is no reason to wait for a graceful end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(
            format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

fn free_ports() -> Result<[u16; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()])
}

fn configuration(port: u16, grpc_port: u16) -> Value {
    let namespace = |name: &str, more: Value| {
        let mut options = json!({
            "name": name,
            "allow_subscribe_for_client": true,
            "allow_publish_for_client": true,
        });
        merge(&mut options, &more);
        options
    };
    json!({
        "http_server": { "address": "127.0.0.1", "port": port },
        "log": { "level": "error" },
        "health": { "enabled": true },
        "client": {
            "token": { "hmac_secret_key": TOKEN_SECRET },
            "allowed_origins": ["*"],
        },
        "http_api": { "key": API_KEY },
        "grpc_api": { "enabled": true, "address": "127.0.0.1", "port": grpc_port, "key": API_KEY },
        "channel": {
            "namespaces": [
                namespace(PLAIN, json!({})),
                namespace(STREAM, json!({
                    "history_size": 100,
                    "history_ttl": "600s",
                    "force_recovery": true,
                    "force_positioning": true,
                })),
            ],
        },
    })
}

/// Lays `over` on `base`: objects are merged by key, everything else is replaced.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_replace_leaves_and_keep_the_rest() {
        let mut config = json!({ "a": { "b": 1, "c": [1] }, "d": true });
        merge(&mut config, &json!({ "a": { "c": [2], "e": { "f": "g" } } }));
        assert_eq!(config, json!({ "a": { "b": 1, "c": [2], "e": { "f": "g" } }, "d": true }));
    }

    #[test]
    fn an_arm_is_a_name_and_a_binary() {
        assert_eq!("ref=/bin/x".parse::<Arm>().expect("valid").name, "ref");
        assert!("/bin/x".parse::<Arm>().is_err());
        assert!("=x".parse::<Arm>().is_err());
    }
}
