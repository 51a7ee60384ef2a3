//! A server process of its own for a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const START_DEADLINE: Duration = Duration::from_secs(20);
/// Pause between two looks at a starting process.
const START_POLL: Duration = Duration::from_millis(10);

/// Key of the HTTP API.
pub const API_KEY: &str = "hostile-api-key";

/// A process that is killed when dropped.
pub struct Process {
    pub child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

impl Process {
    /// Starts the server with `config` over a few defaults and waits until it serves.
    pub fn start(config: &Value) -> Self {
        // The port is free now; another process may take it, so a failed start is tried again.
        (0..3).find_map(|_| Self::try_start(config)).expect("a server that starts")
    }

    fn try_start(config: &Value) -> Option<Self> {
        Self::try_start_at(free_address(), config)
    }

    /// As [`Process::start`], with everything that `address` answers; none when the start fails.
    pub fn try_start_at(address: SocketAddr, config: &Value) -> Option<Self> {
        let mut whole = json!({
            "http_server": {"address": "127.0.0.1", "port": address.port()},
            "http_api": {"key": API_KEY},
            "health": {"enabled": true},
            "log": {"level": "warn"},
        });
        for (key, value) in config.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.json");
        std::fs::write(&path, whole.to_string()).expect("a configuration file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_gyre"))
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server binary");
        let log = Arc::<Mutex<Vec<String>>>::default();
        collect(child.stdout.take(), &log);
        collect(child.stderr.take(), &log);
        let mut process = Self { child, address, log, _directory: directory };
        let deadline = Instant::now() + START_DEADLINE;
        while Instant::now() < deadline {
            if process.get("/health").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Some(process);
            }
            if process.child.try_wait().ok().flatten().is_some() {
                eprintln!("server ended at start:\n{}", process.log());
                return None;
            }
            std::thread::sleep(START_POLL);
        }
        eprintln!("server not ready after {START_DEADLINE:?}:\n{}", process.log());
        None
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().map(|lines| lines.join("\n")).unwrap_or_default()
    }
}

/// An address nobody listens at.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: Option<impl Read + Send + 'static>, log: &Arc<Mutex<Vec<String>>>) {
    let (Some(stream), log) = (stream, log.clone()) else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Ok(mut lines) = log.lock() {
                lines.push(line);
            }
        }
    });
}
