//! What is under test, and which scenarios share a server process.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::json;

use crate::application::Application;
use crate::jwks::Jwks;
use crate::scenario::Scenario;
use crate::server::{self, Process, Server};
use crate::template::Variables;

/// A binary started once per configuration, or a server that already runs.
pub struct Target {
    binary: PathBuf,
    running: Option<String>,
    /// Whether this is the server the protocol comes from.
    pub reference: bool,
    groups: Mutex<HashMap<String, Group>>,
    pub jwks: Jwks,
    pub application: Application,
    /// Variables all scenarios may use.
    constants: Variables,
}

/// Scenarios with equal configuration and equal log allowances.
#[derive(Default)]
struct Group {
    /// Scenarios that still have to run; the process ends with the last of them.
    remaining: usize,
    server: Arc<OnceLock<Result<Arc<Server>, String>>>,
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
        let (jwks, application) = (Jwks::start(), Application::start());
        let constants = server::constants(&jwks, &application);
        let groups = Mutex::default();
        Self { binary: binary.into(), running, reference, groups, jwks, application, constants }
    }

    /// Announces a scenario that will run.
    pub fn expect(&self, scenario: &Scenario) {
        self.lock().entry(key(scenario)).or_default().remaining += 1;
    }

    /// The server of a scenario's group, started by the first that asks.
    pub fn server_for(&self, scenario: &Scenario) -> Result<Arc<Server>, String> {
        let slot = self.lock().entry(key(scenario)).or_default().server.clone();
        slot.get_or_init(|| match &self.running {
            Some(address) => Ok(Arc::new(Server::attach(address, &self.constants))),
            None => {
                let process = Process::spawn(&self.binary, scenario, &self.constants)?;
                process.wait_ready()?;
                Ok(Arc::new(Server::of(process)))
            }
        })
        .clone()
    }

    /// Counts a scenario as done and forgets the server of a finished group.
    pub fn release(&self, scenario: &Scenario) {
        let mut groups = self.lock();
        if let Some(group) = groups.get_mut(&key(scenario)) {
            group.remaining = group.remaining.saturating_sub(1);
            if group.remaining == 0 {
                groups.remove(&key(scenario));
            }
        }
    }

    /// Starts the server with a configuration it has to refuse.
    pub fn expect_refusal(&self, scenario: &Scenario) -> Result<(), String> {
        Process::spawn(&self.binary, scenario, &self.constants)?.wait_refusal()
    }

    /// Ends every process that is still there.
    pub fn stop_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        server::lock(&self.groups)
    }
}

fn key(scenario: &Scenario) -> String {
    let own = if scenario.isolated { scenario.name.as_str() } else { "" };
    json!([scenario.config, scenario.allow_log, own]).to_string()
}
