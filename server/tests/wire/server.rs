//! Server processes under test, shared by the scenarios with the same configuration.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::{Value, json};

use crate::jwks::Jwks;
use crate::keys::{self, KEYS};
use crate::scenario::{Scenario, merged};
use crate::template::{self, Variables};

/// Below the ephemeral range of Linux, so that no client socket takes a port between its choice and its use.
const PORTS: RangeInclusive<u16> = 15_000..=32_000;

/// Key of the HTTP API in the base configuration.
pub const API_KEY: &str = "wire-api-key";

static PROBLEM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)"level":\s*"(warn|error|fatal)|\b(WARN|ERROR|panicked)\b"#).expect("a valid expression")
});

/// What is being tested: a binary started per configuration, or a server that already runs.
pub struct Target {
    binary: PathBuf,
    running: Option<String>,
    /// Whether this is the server the protocol comes from.
    pub reference: bool,
    servers: Mutex<HashMap<String, Arc<OnceLock<Result<Arc<Server>, String>>>>>,
    pub jwks: Jwks,
}

impl Target {
    /// Reads `GYRE_WIRE_SERVER` (another binary) and `GYRE_WIRE_URL` (a running server, `host:port`).
    pub fn from_environment() -> Self {
        let binary =
            std::env::var_os("GYRE_WIRE_SERVER").unwrap_or_else(|| env!("CARGO_BIN_EXE_gyre").into());
        let running = std::env::var("GYRE_WIRE_URL")
            .ok()
            .map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned());
        let version = Command::new(&binary).arg("version").output();
        let reference = version.is_ok_and(|output| output.stdout.starts_with(b"Centrifugo"));
        Self { binary: binary.into(), running, reference, servers: Mutex::default(), jwks: Jwks::start() }
    }

    /// The server for a scenario: the one its configuration group shares, or one of its own.
    pub fn server_for(&self, scenario: &Scenario) -> Result<Arc<Server>, String> {
        let mut key = json!([scenario.config, scenario.allow_log]).to_string();
        if scenario.isolated {
            key.push_str(&scenario.name);
        }
        let slot = self.servers.lock().expect("no holder panics").entry(key).or_default().clone();
        slot.get_or_init(|| match &self.running {
            Some(address) => Ok(Arc::new(Server::attach(address, &self.jwks))),
            None => Server::start(self, scenario).map(Arc::new),
        })
        .clone()
    }

    /// Kills every process that was started.
    pub fn stop_all(&self) {
        self.servers.lock().expect("no holder panics").clear();
    }
}

/// One server process, killed when dropped.
pub struct Server {
    /// `host:port` of the main listener.
    pub address: String,
    /// Ports and key material steps may refer to.
    pub variables: Variables,
    /// Addresses that must answer before the server counts as started.
    listeners: Vec<String>,
    child: Option<Mutex<Child>>,
    log: Arc<Mutex<Log>>,
    allowed: Vec<Regex>,
    _directory: Option<tempfile::TempDir>,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    checked: usize,
}

impl Server {
    fn attach(address: &str, jwks: &Jwks) -> Self {
        Self {
            address: address.to_owned(),
            listeners: Vec::new(),
            variables: constants(jwks),
            child: None,
            log: Arc::default(),
            allowed: Vec::new(),
            _directory: None,
        }
    }

    fn start(target: &Target, scenario: &Scenario) -> Result<Self, String> {
        let mut variables = constants(&target.jwks);
        for name in ["port", "internal_port", "grpc_port", "spare_port"] {
            variables.insert(name.to_owned(), free_port()?.into());
        }
        let config = template::expand(&merged(&base_config(), &scenario.config), &variables)?;
        let directory = tempfile::tempdir().map_err(|e| format!("create a directory: {e}"))?;
        let path = directory.path().join("config.json");
        std::fs::write(&path, config.to_string()).map_err(|e| format!("write {}: {e}", path.display()))?;
        let mut child = Command::new(&target.binary)
            .arg("-c")
            .arg(&path)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("start {}: {e}", target.binary.display()))?;
        let log = Arc::<Mutex<Log>>::default();
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, log.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, log.clone());
        }
        let allowed: Result<Vec<Regex>, _> =
            scenario.allow_log.iter().map(|pattern| Regex::new(pattern)).collect();
        let used = scenario.config.to_string();
        let names = ["internal_port"].into_iter().filter(|name| used.contains(&format!("${{{name}}}")));
        let listeners = names.chain(["port"]).map(|name| format!("127.0.0.1:{}", variables[name])).collect();
        let mut server = Self {
            address: format!("127.0.0.1:{}", variables["port"]),
            listeners,
            variables,
            child: Some(Mutex::new(child)),
            log,
            allowed: allowed.map_err(|e| e.to_string())?,
            _directory: Some(directory),
        };
        server.wait_ready()?;
        Ok(server)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ready = self.listeners.iter().all(|address| probe(address));
            if let Some(child) = &self.child
                && let Ok(Some(status)) = child.lock().expect("no holder panics").try_wait()
            {
                return Err(format!("server ended with {status} at start:\n{}", self.log_text()));
            }
            if ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("server not ready after 20 s:\n{}", self.log_text()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal by name (`TERM`, `HUP`).
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let child = self.child.as_ref().ok_or("the server was not started by this run")?;
        let id = child.lock().expect("no holder panics").id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().map_err(|e| e.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("kill -s {name} {id}: {status}")) }
    }

    /// Lines of level WARN or worse logged since the last call which no scenario of the group allows.
    pub fn new_problems(&self) -> Vec<String> {
        let mut log = self.log.lock().expect("no holder panics");
        let start = std::mem::replace(&mut log.checked, 0);
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
        self.log.lock().expect("no holder panics").lines.join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            let mut child = child.lock().expect("no holder panics");
            let _ = child.kill();
            let _ = child.wait();
        }
    }
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

fn constants(jwks: &Jwks) -> Variables {
    let mut variables = Variables::new();
    for name in ["rsa", "rsa_other", "p256", "p384", "p521", "ed25519"] {
        variables.insert(format!("{name}_pem"), KEYS.public_pem(name).unwrap_or_default().into());
    }
    variables.insert("jwks_url".to_owned(), jwks.url().into());
    variables.insert("api_key".to_owned(), API_KEY.into());
    variables
}

/// A port nobody listens on, outside of the range the system hands to outgoing connections.
fn free_port() -> Result<u16, String> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(u16::from_be_bytes(keys::random())));
    let candidates = || PORTS.start() + NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end() - PORTS.start());
    std::iter::repeat_with(candidates)
        .take(1000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| format!("no free port in {PORTS:?}"))
}

fn collect(stream: impl Read + Send + 'static, log: Arc<Mutex<Log>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            log.lock().expect("no holder panics").lines.push(line);
        }
    });
}

/// Whether a listener answers HTTP; which paths it has depends on the configuration.
fn probe(address: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 9];
        stream.read_exact(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 "))
    };
    ask().unwrap_or(false)
}
