//! What a process costs: CPU time from its threads' scheduler statistics, memory from its page tables.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// CPU time and memory of one process on this machine.
pub struct Meter {
    pid: u32,
    /// Last known nanoseconds per thread, so that a thread that ended keeps counting.
    threads: HashMap<u32, u64>,
}

/// Memory of a process in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident set: every page it maps.
    pub rss: u64,
    /// Proportional set: shared pages counted by share.
    pub pss: u64,
}

impl Meter {
    pub fn new(pid: u32) -> Self {
        Self { pid, threads: HashMap::new() }
    }

    pub fn of_this_process() -> Self {
        Self::new(std::process::id())
    }

    /// Returns the CPU time of all threads so far; never decreases.
    pub fn cpu(&mut self) -> Result<Duration> {
        let directory = format!("/proc/{}/task", self.pid);
        for entry in fs::read_dir(&directory).with_context(|| format!("read {directory}"))? {
            let entry = entry?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread may end between listing and reading.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            if let Some(nanoseconds) = text.split(' ').next().and_then(|value| value.parse::<u64>().ok()) {
                self.threads.insert(thread, nanoseconds);
            }
        }
        Ok(Duration::from_nanos(self.threads.values().sum()))
    }

    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let field = |name: &str| -> Result<u64> {
            let kilobytes: u64 = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next())
                .and_then(|value| value.parse().ok())
                .with_context(|| format!("{path} has no {name}"))?;
            Ok(kilobytes * 1024)
        };
        Ok(Memory { rss: field("Rss:")?, pss: field("Pss:")? })
    }
}

/// CPU time of one thread of this process.
#[derive(Clone, Debug)]
pub struct ThreadMeter {
    path: PathBuf,
}

impl ThreadMeter {
    pub fn of_this_thread() -> Result<Self> {
        let thread = fs::read_link("/proc/thread-self").context("read /proc/thread-self")?;
        Ok(Self { path: PathBuf::from("/proc").join(thread).join("schedstat") })
    }

    pub fn cpu(&self) -> Result<Duration> {
        let text = fs::read_to_string(&self.path).with_context(|| format!("read {}", self.path.display()))?;
        let nanoseconds = text.split(' ').next().and_then(|value| value.parse().ok());
        Ok(Duration::from_nanos(nanoseconds.context("malformed schedstat")?))
    }
}

/// What of a run can be measured on this machine.
#[derive(Default)]
pub struct Meters {
    /// The server; `None` when it runs elsewhere.
    pub server: Option<Meter>,
    /// Redis or NATS behind the server, if it was started for the run.
    pub engine: Option<Meter>,
    /// The application behind the server's proxies, a thread of this process.
    pub backend: Option<ThreadMeter>,
}

/// CPU time at one moment.
#[derive(Clone, Copy)]
struct Reading {
    server: Option<Duration>,
    engine: Option<Duration>,
    backend: Option<Duration>,
    /// This process without the backend.
    generator: Duration,
    machine: Option<Duration>,
}

impl Meters {
    fn read(&mut self) -> Result<Reading> {
        let backend = self.backend.as_ref().map(ThreadMeter::cpu).transpose()?;
        Ok(Reading {
            server: self.server.as_mut().map(Meter::cpu).transpose()?,
            engine: self.engine.as_mut().map(Meter::cpu).transpose()?,
            backend,
            generator: Meter::of_this_process().cpu()?.saturating_sub(backend.unwrap_or_default()),
            machine: machine_cpu(),
        })
    }
}

/// CPU time of the calling thread.
pub fn thread_cpu() -> Result<Duration> {
    ThreadMeter::of_this_thread()?.cpu()
}

/// CPU time all processes of this machine have had, in the kernel's ticks of 10 ms; `None` where it cannot be read.
fn machine_cpu() -> Option<Duration> {
    const TICK_MS: u64 = 10;
    // The last two fields, guest times, are contained in the first two; idle and waiting are no work.
    const IDLE: usize = 3;
    const WAITING: usize = 4;
    const GUEST: usize = 8;
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: u64 = fields
        .take(GUEST)
        .enumerate()
        .filter(|(index, _)| *index != IDLE && *index != WAITING)
        .map(|(_, field)| field.parse::<u64>().ok())
        .sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * TICK_MS))
}

/// A measured stretch of a run.
pub struct Window {
    began: Instant,
    before: Reading,
}

/// What a [`Window`] cost.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub wall: Duration,
    /// `None` when the server runs elsewhere.
    pub server_cpu: Option<Duration>,
    /// `None` without an engine of its own.
    pub engine_cpu: Option<Duration>,
    /// `None` without an application behind the server.
    pub backend_cpu: Option<Duration>,
    pub generator_cpu: Duration,
    /// Everything else that ran on this machine, including stolen and interrupt time.
    pub other_cpu: Option<Duration>,
}

impl Usage {
    /// Cores busy with none of the above; well above zero the host was too noisy to trust latencies.
    pub fn other_share(&self) -> Option<f64> {
        Some(self.cores(self.other_cpu?))
    }

    /// Cores the generator kept busy; above 0.9 it may have been the bottleneck.
    pub fn generator_share(&self) -> f64 {
        self.cores(self.generator_cpu)
    }

    /// Cores that `cpu` kept busy.
    pub fn cores(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

impl Window {
    pub fn open(meters: &mut Meters) -> Result<Self> {
        Ok(Self { before: meters.read()?, began: Instant::now() })
    }

    pub fn close(self, meters: &mut Meters) -> Result<Usage> {
        let wall = self.began.elapsed();
        let (before, after) = (self.before, meters.read()?);
        let spent = |after: Option<Duration>, before: Option<Duration>| {
            after.zip(before).map(|(after, before)| after.saturating_sub(before))
        };
        let server_cpu = spent(after.server, before.server);
        let engine_cpu = spent(after.engine, before.engine);
        let backend_cpu = spent(after.backend, before.backend);
        let generator_cpu = after.generator.saturating_sub(before.generator);
        let known: Duration =
            [server_cpu, engine_cpu, backend_cpu, Some(generator_cpu)].into_iter().flatten().sum();
        let other_cpu = spent(after.machine, before.machine).map(|machine| machine.saturating_sub(known));
        Ok(Usage { wall, server_cpu, engine_cpu, backend_cpu, generator_cpu, other_cpu })
    }
}
