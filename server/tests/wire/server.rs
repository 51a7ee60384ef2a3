//! Server processes: configuration file, start, log, signals, end.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::{Value, json};

use crate::application::Application;
use crate::jwks::Jwks;
use crate::keys::{self, KEYS};
use crate::net::CERTIFICATES;
use crate::scenario::{Scenario, merged};
use crate::template::{self, Variables};

/// Key of the HTTP API in the base configuration.
pub const API_KEY: &str = "wire-api-key";

/// Below the ephemeral range of Linux, so that no client socket takes a port between its choice and its use.
const PORTS: RangeInclusive<u16> = 15_000..=32_000;
const START_DEADLINE: Duration = Duration::from_secs(20);
/// Pause between two looks at a starting process.
const START_POLL: Duration = Duration::from_millis(10);

static PROBLEM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)"level":\s*"(warn|error|fatal)|\b(WARN|ERROR|panicked)\b"#).expect("a valid expression")
});

/// A server scenarios talk to.
pub struct Server {
    /// `host:port` of the main listener.
    pub address: String,
    /// Ports and key material steps may refer to.
    pub variables: Variables,
    process: Option<Process>,
}

impl Server {
    /// A server that runs without this test's doing.
    pub fn attach(address: &str, constants: &Variables) -> Self {
        Self { address: address.to_owned(), variables: constants.clone(), process: None }
    }

    pub fn of(process: Process) -> Self {
        Self {
            address: process.address("port"),
            variables: process.variables.clone(),
            process: Some(process),
        }
    }

    /// Sends a signal by name (`TERM`, `HUP`).
    pub fn signal(&self, name: &str) -> Result<(), String> {
        self.process()?.signal(name)
    }

    /// Lays a fragment over the configuration file and asks the server to read it again.
    pub fn reload(&self, fragment: &Value) -> Result<(), String> {
        let process = self.process()?;
        write_config(&process.config_path, &merged(&process.config, fragment))?;
        process.signal("HUP")
    }

    /// Lines of level WARN or worse logged since the last call which no scenario of the group allows.
    pub fn new_problems(&self) -> Vec<String> {
        self.process.as_ref().map(Process::new_problems).unwrap_or_default()
    }

    fn process(&self) -> Result<&Process, String> {
        self.process.as_ref().ok_or_else(|| "the server was not started by this run".to_owned())
    }
}

/// A process started by this run, killed when dropped.
pub struct Process {
    variables: Variables,
    config: Value,
    config_path: PathBuf,
    internal: bool,
    /// Addresses of gRPC listeners of their own.
    grpc: Vec<String>,
    child: Mutex<Child>,
    log: Arc<Mutex<Log>>,
    allowed: Vec<Regex>,
    _directory: tempfile::TempDir,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    checked: usize,
}

impl Process {
    /// Starts `binary -c config.json` with the scenario's configuration.
    pub fn spawn(binary: &Path, scenario: &Scenario, constants: &Variables) -> Result<Self, String> {
        let mut variables = constants.clone();
        for name in ["port", "internal_port", "grpc_port", "uni_grpc_port"] {
            variables.insert(name.to_owned(), free_port()?.into());
        }
        let config = template::expand(&merged(&base_config(), &scenario.config), &variables)?;
        let directory = tempfile::tempdir().map_err(|e| format!("create a directory: {e}"))?;
        let config_path = directory.path().join("config.json");
        write_config(&config_path, &config)?;
        let mut command = Command::new(binary);
        // Servers read such variables as configuration; those of the tests are not meant for them.
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("GYRE_") || name.starts_with("CENTRIFUGO_"))
        {
            command.env_remove(name);
        }
        let mut child = command
            .arg("-c")
            .arg(&config_path)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("start {}: {e}", binary.display()))?;
        let log = Arc::<Mutex<Log>>::default();
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, log.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, log.clone());
        }
        let allowed: Result<Vec<Regex>, _> =
            scenario.allow_log.iter().map(|pattern| Regex::new(pattern)).collect();
        let grpc = ["grpc_api", "uni_grpc"]
            .iter()
            .map(|section| &config[section])
            .filter(|section| section["enabled"] == true && section["port"].is_u64())
            .map(|section| format!("127.0.0.1:{}", section["port"]))
            .collect();
        Ok(Self {
            variables,
            internal: scenario.config.to_string().contains("${internal_port}"),
            grpc,
            config,
            config_path,
            child: Mutex::new(child),
            log,
            allowed: allowed.map_err(|e| e.to_string())?,
            _directory: directory,
        })
    }

    /// Waits until every HTTP listener answers and those of gRPC take connections.
    pub fn wait_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let ready = probe(&self.address("port"))
                && (!self.internal || probe(&self.address("internal_port")))
                && self.grpc.iter().all(|address| TcpStream::connect(address).is_ok());
            if let Some(status) = self.status() {
                return Err(format!("server ended with {status} at start:\n{}", self.log_text()));
            }
            if ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("server not ready after {START_DEADLINE:?}:\n{}", self.log_text()));
            }
            std::thread::sleep(START_POLL);
        }
    }

    /// Waits until the process ends with an error instead of serving.
    pub fn wait_refusal(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            match self.status() {
                Some(status) if status.success() => return Err("server ended without an error".to_owned()),
                Some(_) => return Ok(()),
                None if probe(&self.address("port")) => {
                    return Err(format!("server started:\n{}", self.log_text()));
                }
                None if Instant::now() > deadline => {
                    return Err(format!("no decision after {START_DEADLINE:?}"));
                }
                None => std::thread::sleep(START_POLL),
            }
        }
    }

    fn address(&self, port: &str) -> String {
        format!("127.0.0.1:{}", self.variables[port])
    }

    fn status(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().ok().flatten()
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let id = lock(&self.child).id().to_string();
        let status =
            Command::new("kill").args(["-s", name, &id]).status().map_err(|e| format!("run kill: {e}"))?;
        if status.success() { Ok(()) } else { Err(format!("kill -s {name} {id}: {status}")) }
    }

    fn new_problems(&self) -> Vec<String> {
        let mut log = lock(&self.log);
        let start = log.checked;
        log.checked = log.lines.len();
        log.lines[start..]
            .iter()
            .filter(|line| {
                PROBLEM.is_match(line) && !self.allowed.iter().any(|allowed| allowed.is_match(line))
            })
            .cloned()
            .collect()
    }

    fn log_text(&self) -> String {
        lock(&self.log).lines.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Locks even if a scenario panicked with the lock held: the next one may still judge the server.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The configuration every scenario starts from.
fn base_config() -> Value {
    json!({
        "http_server": {"address": "127.0.0.1", "port": "${port}"},
        "health": {"enabled": true},
        "http_api": {"key": API_KEY},
        "client": {"token": {"hmac_secret_key": keys::HMAC_SECRET}},
        "log": {"level": "warn"},
    })
}

fn write_config(path: &Path, config: &Value) -> Result<(), String> {
    std::fs::write(path, config.to_string()).map_err(|e| format!("write {}: {e}", path.display()))
}

/// Variables that are the same for all servers of a run.
pub fn constants(jwks: &Jwks, application: &Application) -> Variables {
    let mut variables = application.variables();
    for name in ["rsa", "rsa_other", "p256", "p384", "p521", "ed25519"] {
        variables.insert(format!("{name}_pem"), KEYS.public_pem(name).unwrap_or_default().into());
    }
    variables.insert("tls_certificate".to_owned(), CERTIFICATES.server_certificate.as_str().into());
    variables.insert("tls_key".to_owned(), CERTIFICATES.server_key.as_str().into());
    variables.insert("tls_authority".to_owned(), CERTIFICATES.authority.as_str().into());
    variables.insert("tls_other_key".to_owned(), CERTIFICATES.other_key.as_str().into());
    variables.insert("client_certificate".to_owned(), CERTIFICATES.client_certificate.as_str().into());
    variables.insert("client_key".to_owned(), CERTIFICATES.client_key.as_str().into());
    variables.insert("jwks_url".to_owned(), jwks.url().into());
    variables.insert("api_key".to_owned(), API_KEY.into());
    variables
}

/// A port nobody listens on.
fn free_port() -> Result<u16, String> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(u16::from_be_bytes(keys::random())));
    let candidate = || PORTS.start() + NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end() - PORTS.start());
    std::iter::repeat_with(candidate)
        .take(1000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| format!("no free port in {PORTS:?}"))
}

fn collect(stream: impl Read + Send + 'static, log: Arc<Mutex<Log>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lock(&log).lines.push(line);
        }
    });
}

/// Whether a listener answers at all; which paths it has and whether it expects TLS depends on the configuration.
fn probe(address: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        stream.read(&mut [0; 9]).map(|_| true)
    };
    ask().unwrap_or(false)
}
