//! Orders the runs: every scenario with every engine, every round, every arm, alternating which arm goes first (ABBA).

use crate::arm::{Arm, Ports};
use crate::cli::Options;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::load::backend::Backend;
use crate::load::ward::Ward;
use crate::load::{raise_file_limit, yardstick};
use crate::meter::{Meter, Meters};
use crate::scenario::{Bench, Better, CPU_PER_DELIVERY, Metric, Report, Scenario};
use crate::target::{Endpoint, Target, resolve};
use crate::wire::Protocol;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const YARDSTICK: Duration = Duration::from_secs(1);

/// One run of one arm.
#[derive(Debug, serde::Serialize)]
pub struct Run {
    pub arm: String,
    pub round: u32,
    /// Kernel yardstick around this round, in microseconds per send.
    pub kernel_send_us: Option<f64>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a run ended.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every delivery was right: the figures count.
    Valid(Report),
    /// Something was lost, doubled, reordered or refused: the figures do not count.
    Void(Report),
    /// The scenario did not run to its end.
    Failed(String),
}

/// All runs of one scenario.
#[derive(Debug, serde::Serialize)]
pub struct ScenarioResults {
    pub name: String,
    pub about: &'static str,
    pub runs: Vec<Run>,
}

/// The whole comparison.
pub struct Results {
    pub arms: Vec<String>,
    pub smoke: bool,
    pub scenarios: Vec<ScenarioResults>,
}

impl Results {
    pub fn is_clean(&self) -> bool {
        self.scenarios
            .iter()
            .flat_map(|scenario| &scenario.runs)
            .all(|run| matches!(run.outcome, Outcome::Valid(_)))
    }
}

/// Where an arm's server comes from.
enum Source<'a> {
    Start(&'a Arm),
    Running(Box<Target>),
}

impl Source<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Start(arm) => &arm.name,
            Self::Running(_) => "server",
        }
    }
}

/// Runs what the options ask for, telling progress on standard error.
pub fn run(options: &Options) -> Result<Results> {
    let chosen = options.chosen()?;
    let sources = sources(options)?;
    let overrides = overrides(options)?;
    let file_limit = raise_file_limit()?;
    let rounds = if options.smoke { 1 } else { options.rounds };
    let mut results = Results {
        arms: sources.iter().map(|source| source.name().to_owned()).collect(),
        smoke: options.smoke,
        scenarios: Vec::new(),
    };
    let mut serial = 0;
    for scenario in chosen {
        let protocols = if scenario.depends_on_protocol() {
            options.protocols.as_slice()
        } else {
            &options.protocols[..1]
        };
        let engines = options.engines.iter().copied().filter(|engine| scenario.suits(*engine));
        for (engine, &protocol) in engines.flat_map(|engine| protocols.iter().map(move |one| (engine, one))) {
            let name = label(scenario, engine, protocol);
            let mut runs = Vec::new();
            let mut kernel = None;
            for round in 0..rounds {
                let mut order: Vec<&Source<'_>> = sources.iter().collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                kernel = match kernel {
                    Some(after_last_round) => Some(after_last_round),
                    None => yardstick_for(scenario, options)?,
                };
                let first = runs.len();
                for source in order {
                    serial += 1;
                    eprintln!("{name}: round {} of {rounds}, {}", round + 1, source.name());
                    let bench = BenchSettings { options, engine, protocol, file_limit, serial };
                    let outcome = bench.run(scenario, source, &overrides);
                    runs.push(Run { arm: source.name().to_owned(), round, kernel_send_us: None, outcome });
                }
                let after = yardstick_for(scenario, options)?;
                if let Some((before, after)) = kernel.zip(after) {
                    for run in &mut runs[first..] {
                        run.relate_to_kernel((before + after) / 2.0);
                    }
                }
                kernel = after;
            }
            results.scenarios.push(ScenarioResults { name, about: scenario.about, runs });
        }
    }
    Ok(results)
}

/// Names a scenario with what it was run with: the encoding where it matters, the engine when it is not memory.
fn label(scenario: &Scenario, engine: Engine, protocol: Protocol) -> String {
    let protocol = scenario.depends_on_protocol().then(|| protocol.name());
    let engine = (engine != Engine::Memory).then(|| engine.name());
    let circumstances: Vec<&str> = protocol.into_iter().chain(engine).collect();
    match circumstances.as_slice() {
        [] => scenario.name.to_owned(),
        all => format!("{} ({})", scenario.name, all.join(", ")),
    }
}

fn sources(options: &Options) -> Result<Vec<Source<'_>>> {
    if let Some(url) = &options.url {
        let websocket = Endpoint::parse(url, "ws", "/connection/websocket")?;
        let http = match &options.http {
            Some(http) => Endpoint::parse(http, "http", "/api")?,
            None => Endpoint { path: "/api".to_owned(), ..websocket.clone() },
        };
        let grpc = match &options.grpc {
            Some(grpc) => resolve(grpc)?,
            None => websocket.address,
        };
        let uni_grpc = match &options.uni_grpc {
            Some(uni_grpc) => resolve(uni_grpc)?,
            None => websocket.address,
        };
        return Ok(vec![Source::Running(Box::new(Target {
            websocket,
            http,
            grpc,
            uni_grpc,
            api_key: options.api_key.clone(),
            token_secret: options.token_secret.clone(),
            protocol: Protocol::Json,
            pid: options.pid,
        }))]);
    }
    if options.arms.is_empty() {
        bail!("nothing to measure: give --arm NAME=BINARY once or more, or --url");
    }
    for (index, arm) in options.arms.iter().enumerate() {
        if options.arms[..index].iter().any(|other| other.name == arm.name) {
            bail!("two arms are called {:?}", arm.name);
        }
    }
    Ok(options.arms.iter().map(Source::Start).collect())
}

fn overrides(options: &Options) -> Result<Value> {
    let Some(path) = &options.config else {
        return Ok(json!({}));
    };
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("parse {} as JSON", path.display()))
}

fn yardstick_for(scenario: &Scenario, options: &Options) -> Result<Option<f64>> {
    if options.smoke || !scenario.counts_deliveries() {
        return Ok(None);
    }
    yardstick::measure(YARDSTICK).map(Some)
}

struct BenchSettings<'a> {
    options: &'a Options,
    engine: Engine,
    protocol: Protocol,
    file_limit: usize,
    serial: u32,
}

impl BenchSettings<'_> {
    fn run(&self, scenario: &Scenario, source: &Source<'_>, overrides: &Value) -> Outcome {
        let outcome = match source {
            Source::Running(target) => {
                let target = Target { protocol: self.protocol, ..target.as_ref().clone() };
                let meters = Meters { server: target.pid.map(Meter::new), ..Meters::default() };
                self.measure(scenario, target, meters, None)
            }
            Source::Start(arm) => self.start_and_measure(scenario, arm, overrides),
        };
        let outcome = match outcome {
            Ok(report) if report.faults.is_clean() => Outcome::Valid(report),
            Ok(report) => Outcome::Void(report),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        match &outcome {
            Outcome::Valid(_) => {}
            Outcome::Void(report) => {
                eprintln!("  void: {} {}", report.faults, report.problems.join("; "))
            }
            Outcome::Failed(error) => eprintln!("  failed: {error}"),
        }
        outcome
    }

    /// Starts what the scenario needs, from the application and the engine to the server, and ends it in turn.
    fn start_and_measure(&self, scenario: &Scenario, arm: &Arm, overrides: &Value) -> Result<Report> {
        let backend = scenario.backend()?;
        let engine = self.engine.start()?;
        let ports = Ports::free()?;
        let needed = scenario.settings(ports, backend.as_ref());
        let stores = engine.as_ref().map_or_else(|| json!({}), |engine| engine.settings());
        let mut running = arm.start(self.protocol, ports, &[&needed, &stores, overrides])?;
        let meters = Meters {
            server: running.target().pid.map(Meter::new),
            engine: engine.as_ref().map(|engine| Meter::new(engine.pid())),
            backend: backend.as_ref().map(|backend| backend.meter()),
        };
        let ward = backend.as_ref().map(Backend::ward);
        let outcome = self.measure(scenario, running.target().clone(), meters, ward);
        if !running.is_alive() {
            bail!("the server ended during the run: {}", running.log_tail());
        }
        outcome.with_context(|| format!("server log: {:?}", running.log_tail()))
    }

    fn measure(
        &self,
        scenario: &Scenario,
        target: Target,
        meters: Meters,
        ward: Option<Arc<Ward>>,
    ) -> Result<Report> {
        scenario.run(&mut Bench {
            meters,
            ward,
            target,
            clock: Clock::start(),
            smoke: self.options.smoke,
            idle_connections: self.options.connections as usize,
            file_limit: self.file_limit,
            run: format!("{}-{}", std::process::id(), self.serial),
        })
    }
}

impl Run {
    /// Notes the price of a bare send and adds the CPU time per delivery as a multiple of it.
    fn relate_to_kernel(&mut self, kernel_send_us: f64) {
        self.kernel_send_us = Some(kernel_send_us);
        if let Outcome::Valid(report) | Outcome::Void(report) = &mut self.outcome
            && let Some(index) = report.metrics.iter().position(|metric| metric.name == CPU_PER_DELIVERY)
        {
            let value = report.metrics[index].value / kernel_send_us;
            report.metrics.insert(
                index + 1,
                Metric { name: "the same in bare sends", unit: "K", better: Better::Neither, value },
            );
        }
    }
}
