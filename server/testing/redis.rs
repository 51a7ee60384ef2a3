//! Real Redis servers for tests, each on a free port with a directory of its own.
//!
//! `redis-server` and `redis-cli` must be on the path (`apt-get install redis-server`); a test that does not find them
//! fails. `GYRE_REDIS_SERVER` names another server of the protocol, such as `valkey-server`.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[path = "redis_cluster.rs"]
pub(crate) mod cluster;

pub(crate) use cluster::Cluster;

/// Time a server has to come up, and a set of servers to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, ended when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    child: Mutex<Child>,
    arguments: Vec<String>,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server with more arguments, such as `--requirepass secret`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_on(free_port(), arguments)
    }

    fn start_on(port: u16, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let fixed = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--protected-mode", "no"];
        // A replica is one at once, and not after the five seconds in which others could come too.
        let fixed = [&fixed[..], &["--repl-diskless-sync-delay", "0"]].concat();
        let arguments: Vec<String> =
            fixed.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        let child = Mutex::new(spawn(port, &arguments, directory.path()));
        let server = Self { port, child, arguments, directory };
        server.wait_for_port();
        server
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts the process again, on the same port, without what it knew.
    pub(crate) fn restart(&self) {
        self.kill();
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) =
            spawn(self.port, &self.arguments, self.directory.path());
        self.wait_for_port();
    }

    /// Stops the process where it stands: connections stay, and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.child.lock().unwrap_or_else(PoisonError::into_inner).id().to_string();
        let sent = Command::new("kill").args([signal, &process]).status().expect("kill is there");
        assert!(sent.success(), "signal {signal} to redis");
    }

    /// Asks with the command line client.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments)
    }

    /// Whether it is a replica that has all its primary has.
    pub(crate) fn follows(&self) -> bool {
        self.ask(&["INFO", "replication"]).contains("master_link_status:up")
    }

    fn wait_for_port(&self) {
        wait_for("a redis server", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, arguments: &[String], directory: &Path) -> Child {
    let program = std::env::var_os("GYRE_REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let mut command = Command::new(program);
    command.args(["--port", &port.to_string(), "--dir"]).arg(directory).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed")
}

/// Asks whoever listens at `port` with the command line client.
pub(crate) fn cli(port: u16, arguments: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(arguments).stdin(Stdio::null());
    let output = command.output().expect("redis-cli is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Three Sentinels that watch a primary and a replica.
pub(crate) struct SentinelSet {
    pub(crate) data: [Server; 2],
    pub(crate) sentinels: Vec<Sentinel>,
}

/// One Sentinel, ended when dropped.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    child: Mutex<Child>,
    _directory: tempfile::TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
    }
}

impl SentinelSet {
    /// Name of the primary.
    pub(crate) const NAME: &str = "main";

    /// Starts all of it and waits until the Sentinels know each other and the replica.
    pub(crate) fn start() -> Self {
        let primary = Server::start(&[]);
        let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
        let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(primary.port)).collect();
        let set = Self { data: [primary, replica], sentinels };
        wait_for("the replica", || set.data[1].follows());
        wait_for("sentinels to agree", || {
            set.sentinels.iter().all(|sentinel| {
                let state = cli(sentinel.port, &["SENTINEL", "MASTER", Self::NAME]);
                let fields: Vec<&str> = state.lines().collect();
                let field = |name| fields.iter().position(|field| *field == name).map(|at| fields[at + 1]);
                field("num-other-sentinels") == Some("2") && field("num-slaves") == Some("1")
            })
        });
        set
    }

    /// Addresses of the Sentinels, separated by commas.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        addresses.join(",")
    }

    /// Orders the Sentinels to make a replica the primary; answers whether they do.
    pub(crate) fn order_failover(&self) -> bool {
        cli(self.sentinels[0].port, &["SENTINEL", "FAILOVER", Self::NAME]).contains("OK")
    }

    /// The port of the primary, as most of the Sentinels that live say.
    pub(crate) fn primary(&self) -> u16 {
        let named = |sentinel: &Sentinel| Self::named_by(sentinel.port);
        let ports: Vec<u16> = self.sentinels.iter().filter_map(named).collect();
        let votes = |port: &u16| ports.iter().filter(|other| *other == port).count();
        *ports.iter().max_by_key(|port| votes(port)).expect("sentinels name a primary")
    }

    fn named_by(sentinel: u16) -> Option<u16> {
        cli(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME]).lines().nth(1)?.parse().ok()
    }
}

impl Sentinel {
    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    fn start(primary: u16) -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().expect("a directory"));
        let name = SentinelSet::NAME;
        let config = format!(
            "port {port}\nbind 127.0.0.1\nprotected-mode no\nsentinel monitor {name} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 3000\n"
        );
        let path = directory.path().join("sentinel.conf");
        std::fs::write(&path, config).expect("a configuration");
        let mut command = Command::new("redis-server");
        command.arg(&path).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server is installed");
        let sentinel = Self { port, child: Mutex::new(child), _directory: directory };
        wait_for("a sentinel", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        sentinel
    }
}

/// A port below the ephemeral range of Linux, so that no client socket takes it before its use.
pub(crate) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(16_000 + (std::process::id() % 12_000) as u16));
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port < 31_900 && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
        if port >= 31_900 {
            NEXT.store(16_000, Ordering::Relaxed);
        }
    }
}

/// Waits for other processes, which tell nobody when they are ready.
pub(crate) fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "{what} did not come up in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}
