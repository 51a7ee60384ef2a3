//! A server process that is killed, ended, stopped and started again on the same port.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use crate::redis::{free_port, wait_for};

static PROBLEM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)"level":\s*"(warn|error|fatal)|\b(WARN|ERROR|panicked)\b"#).expect("a valid expression")
});

/// Names the binary of another server.
pub const OTHER: &str = "GYRE_MIXED_SERVER";

/// Pause between two looks at a process that ends.
const POLL: Duration = Duration::from_millis(5);

/// The server of this repository.
pub fn own_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_gyre"))
}

/// Another server of the protocol to test with, when one was named.
pub fn other_binary() -> Option<PathBuf> {
    std::env::var_os(OTHER).map(PathBuf::from)
}

/// One node of the cluster under test.
pub struct Node {
    pub port: u16,
    binary: Mutex<PathBuf>,
    config: PathBuf,
    child: Mutex<Option<Child>>,
    log: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

impl Node {
    /// Prepares a node; its port is set in the configuration.
    pub fn new(binary: PathBuf, mut config: Value) -> std::io::Result<Self> {
        let port = free_port();
        config["http_server"] = serde_json::json!({"address": "127.0.0.1", "port": port});
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("config.json");
        std::fs::write(&path, config.to_string())?;
        Ok(Self {
            port,
            binary: Mutex::new(binary),
            config: path,
            child: Mutex::new(None),
            log: Arc::default(),
            _directory: directory,
        })
    }

    /// `host:port` of clients and of the API.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the process and waits until it takes connections.
    pub fn start(&self) -> Result<(), String> {
        self.launch()?;
        wait_for("a node", || self.ended() || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        if self.ended() { Err(format!("node ended at start:\n{}", self.log_text())) } else { Ok(()) }
    }

    fn launch(&self) -> Result<(), String> {
        let binary = lock(&self.binary).clone();
        let mut command = Command::new(&binary);
        // Servers read such variables as configuration; those of the tests are not meant for them.
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("GYRE_") || name.starts_with("CENTRIFUGO_"))
        {
            command.env_remove(name);
        }
        command
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("start {}: {error}", binary.display()))?;
        collect(child.stdout.take(), &self.log);
        collect(child.stderr.take(), &self.log);
        *lock(&self.child) = Some(child);
        Ok(())
    }

    fn ended(&self) -> bool {
        lock(&self.child).as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Makes the node another program from its next start on; its configuration stays.
    pub fn become_program(&self, binary: PathBuf) {
        *lock(&self.binary) = binary;
    }

    /// Path that answers 200 when the node serves; other servers know no `/ready`.
    pub fn ready_path(&self) -> &'static str {
        if *lock(&self.binary) == own_binary() { "/ready" } else { "/health" }
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&self) {
        if let Some(mut child) = lock(&self.child).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whether there is a process.
    pub fn is_running(&self) -> bool {
        !self.ended()
    }

    /// Bytes of memory in use, when there is a process.
    pub fn memory(&self) -> Option<u64> {
        let process = lock(&self.child).as_ref()?.id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    }

    /// Asks the process to end and waits until it did.
    pub fn terminate(&self) -> Result<(), String> {
        self.signal("TERM")?;
        wait_for("the end of a node", || {
            std::thread::sleep(POLL);
            self.ended()
        });
        let status = lock(&self.child).take().and_then(|mut child| child.wait().ok());
        match status {
            Some(status) if status.success() => Ok(()),
            status => Err(format!("node ended with {status:?}:\n{}", self.log_text())),
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let id = lock(&self.child).as_ref().map(|child| child.id().to_string());
        let id = id.ok_or("the node does not run")?;
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        if sent.is_ok_and(|status| status.success()) {
            Ok(())
        } else {
            Err(format!("signal {name} to a node"))
        }
    }

    /// Lines of level WARN or worse that none of `allowed` matches.
    pub fn problems(&self, allowed: &[Regex]) -> Vec<String> {
        let log = lock(&self.log);
        let unexpected = |line: &&String| PROBLEM.is_match(line) && !allowed.iter().any(|a| a.is_match(line));
        log.iter().filter(unexpected).cloned().collect()
    }

    fn log_text(&self) -> String {
        lock(&self.log).join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collect(stream: Option<impl Read + Send + 'static>, log: &Arc<Mutex<Vec<String>>>) {
    let (Some(stream), log) = (stream, log.clone()) else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lock(&log).push(line);
        }
    });
}
