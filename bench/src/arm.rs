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
/// Channels whose subscribers may have deltas, which all publications are made into.
pub const DELTA: &str = "delta";

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
    /// The layers of `settings` are merged over the built-in configuration one after the other, key by key.
    pub fn start(&self, protocol: Protocol, ports: Ports, settings: &[&Value]) -> Result<Running> {
        let directory = tempfile::tempdir().context("create a directory for the configuration")?;
        let mut config = configuration(ports);
        for layer in settings {
            merge(&mut config, layer);
        }
        let path = directory.path().join("config.json");
        fs::write(&path, serde_json::to_vec_pretty(&config)?)
            .with_context(|| format!("write {}", path.display()))?;
        let log = directory.path().join("server.log");
        let output = File::create(&log)?;
        let child = Command::new(self.program()?)
            .arg("-c")
            .arg(&path)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        let target = Target {
            websocket: Endpoint::loopback(ports.http, "/connection/websocket"),
            http: Endpoint::loopback(ports.http, "/api"),
            grpc: SocketAddr::from(([127, 0, 0, 1], ports.grpc)),
            uni_grpc: SocketAddr::from(([127, 0, 0, 1], ports.uni_grpc)),
            api_key: API_KEY.to_owned(),
            token_secret: TOKEN_SECRET.to_owned(),
            protocol,
            pid: Some(child.id()),
        };
        let mut running = Running { child, target, log, _directory: directory };
        let streams = config.pointer("/uni_grpc/enabled") == Some(&Value::Bool(true));
        running.wait_until_healthy(streams).with_context(|| format!("server {:?}", self.name))?;
        Ok(running)
    }

    /// Names the binary so that it is found from any directory; a name without a slash is looked for in `PATH`.
    fn program(&self) -> Result<PathBuf> {
        if self.binary.components().count() < 2 {
            return Ok(self.binary.clone());
        }
        fs::canonicalize(&self.binary).with_context(|| format!("find {}", self.binary.display()))
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

    /// Waits for the port of unidirectional gRPC, too, if `streams`.
    fn wait_until_healthy(&mut self, streams: bool) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at start with {status}: {}", self.log_tail());
            }
            let listens = |address: SocketAddr| TcpStream::connect(address).is_ok();
            if is_healthy(self.target.http.address)
                && listens(self.target.grpc)
                && (!streams || listens(self.target.uni_grpc))
            {
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

/// Loopback ports of a server to be started.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub http: u16,
    pub grpc: u16,
    /// Only listened on when a scenario switches unidirectional gRPC on.
    pub uni_grpc: u16,
}

impl Ports {
    /// Finds ports nobody listens on.
    pub fn free() -> Result<Self> {
        // All held at the same time, so that they differ.
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (http, grpc, uni_grpc) = (bind()?, bind()?, bind()?);
        let port = |listener: &TcpListener| anyhow::Ok(listener.local_addr()?.port());
        Ok(Self { http: port(&http)?, grpc: port(&grpc)?, uni_grpc: port(&uni_grpc)? })
    }
}

/// Finds a port nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn configuration(ports: Ports) -> Value {
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
        "http_server": { "address": "127.0.0.1", "port": ports.http },
        "log": { "level": "error" },
        "health": { "enabled": true },
        "client": {
            "token": { "hmac_secret_key": TOKEN_SECRET },
            "allowed_origins": ["*"],
        },
        "http_api": { "key": API_KEY },
        "grpc_api": { "enabled": true, "address": "127.0.0.1", "port": ports.grpc, "key": API_KEY },
        "channel": {
            "namespaces": [
                namespace(PLAIN, json!({})),
                namespace(STREAM, json!({
                    "history_size": 100,
                    "history_ttl": "600s",
                    "force_recovery": true,
                    "force_positioning": true,
                })),
                namespace(DELTA, json!({
                    "history_size": 10,
                    "history_ttl": "600s",
                    "force_positioning": true,
                    "allowed_delta_types": ["fossil"],
                    "delta_publish": true,
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

    #[test]
    fn a_binary_is_found_from_any_directory() {
        let program = |binary: &str| Arm { name: "a".into(), binary: binary.into() }.program();
        assert!(program("src/arm.rs").expect("there").is_absolute());
        assert_eq!(program("centrifugo").expect("left to PATH"), PathBuf::from("centrifugo"));
        let error = program("nowhere/gyre").expect_err("not there");
        assert!(format!("{error:#}").contains("nowhere/gyre"), "{error:#}");
    }
}
