//! Reliability tests: clusters of real processes whose brokers, nodes and links break while clients log what they see,
//! and a checker that reads the logs.
//!
//! `cargo test -p gyre --test cluster [filter]` runs the short form, with `GYRE_NIGHTLY=1` the long one. Each scenario
//! has controls, the same run with a protection taken away: the checker must find what the protection prevents.
//!
//! `GYRE_MIXED_SERVER=<path>` names a binary of another server of the protocol, started as `<path> -c config.json`. What
//! needs it is shown as ignored without it.

mod bars;
mod bars_tests;
mod board;
mod broker;
mod checker;
mod checker_tests;
mod link;
mod log;
mod measures;
mod mixed;
mod names;
mod node;
mod pipeline;
mod publisher;
mod queue;
mod run;
mod sampler;
mod scenario;
mod slots;
mod subscriber;
mod verdict;
mod ways;

/// Real servers, as tests of rooms use them.
#[path = "../../testing/redis.rs"]
mod redis;

#[path = "../../testing/nats.rs"]
#[expect(dead_code, reason = "a room needs what another does not")]
mod nats;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use gyre::stores;
use libtest_mimic::{Arguments, Failed, Trial};

use bars::Missed;
use run::Outcome;
use scenario::{Control, Scenario};

/// Lines of nodes that are shown.
const MOST_PROBLEMS: usize = 5;

/// Scenarios mostly wait, but for the cores all nodes share.
const DEFAULT_THREADS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Measured times of the long form are those of one cluster alone.
    let threads = if scenario::nightly() { 1 } else { DEFAULT_THREADS };
    arguments.test_threads.get_or_insert(threads);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/scenarios");
    let scenarios = match scenario::load_all(&directory) {
        Ok(scenarios) => scenarios,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = checker_tests::trials();
    trials.extend(bars_tests::trials());
    trials.extend(mixed::trials());
    for scenario in scenarios {
        let ignored = scenario.begins_with_other && node::other_binary().is_none();
        for control in scenario.controls.clone() {
            let (scenario, later) = (scenario.clone(), control.is_for_later());
            let name = format!("{}::control::{}", scenario.name, control.name);
            trials.push(
                Trial::test(name, move || must_be_noticed(&scenario, &control))
                    .with_ignored_flag(ignored || later),
            );
        }
        trials.push(
            Trial::test(scenario.name.clone(), move || must_hold(&scenario)).with_ignored_flag(ignored),
        );
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Nothing may be lost, doubled, reordered or made up, and all bars must be reached.
fn must_hold(scenario: &Scenario) -> Result<(), Failed> {
    let outcome = perform(&scenario.name, scenario)?;
    let Outcome { verdict, problems, .. } = &outcome;
    if !verdict.clean(scenario.bars.forks) {
        return Err(format!("{} {}: {verdict}", scenario.row, scenario.name).into());
    }
    if verdict.acked == 0 || verdict.delivered == 0 {
        return Err(format!("nothing went through: {verdict}").into());
    }
    let missed = missed(&outcome, scenario);
    if !missed.is_empty() {
        let missed: Vec<String> = missed.iter().map(Missed::to_string).collect();
        return Err(format!("{}: {verdict}, {}", missed.join("; "), outcome.measures).into());
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("nodes logged what the scenario does not allow:\n{}", problems.join("\n")).into())
}

/// Times are judged in the long form only, which has the machine to itself.
fn missed(outcome: &Outcome, scenario: &Scenario) -> Vec<Missed> {
    let missed = scenario.bars.missed(&outcome.verdict, &outcome.measures, outcome.size);
    missed.into_iter().filter(|missed| scenario::nightly() || !missed.bar.is_measured()).collect()
}

/// Runs after which a control that found nothing has failed: harm without a protection is a matter of chance.
const CONTROL_RUNS: usize = 6;

/// Without a protection, what it protects from must happen and be found, in one of some runs.
fn must_be_noticed(scenario: &Scenario, control: &Control) -> Result<(), Failed> {
    let weak = scenario.controlled(control)?;
    let name = format!("{}::control::{}", scenario.name, control.name);
    let mut said = Vec::new();
    for _ in 0..CONTROL_RUNS {
        let outcome = perform(&name, &weak)?;
        let Outcome { verdict, measures, .. } = &outcome;
        let found = missed(&outcome, &weak);
        let there = |bar| found.iter().any(|missed| missed.bar == bar);
        let kinds: Vec<_> = control.finds.iter().filter(|kind| verdict.count(**kind) == 0).collect();
        let bars: Vec<_> = control.misses.iter().filter(|bar| !there(**bar)).collect();
        if kinds.is_empty() && bars.is_empty() {
            return Ok(());
        }
        said.push(format!("{kinds:?} not found, {bars:?} not missed: {verdict}, {measures}"));
    }
    Err(said.join("\n").into())
}

fn perform(name: &str, scenario: &Scenario) -> Result<Outcome, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Those who measure do not stand in line behind thousands of clients.
    let beside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let started = Instant::now();
    let outcome = runtime.block_on(run::run(scenario, beside.handle().clone()))?;
    let Outcome { verdict, measures, problems, .. } = &outcome;
    eprintln!("{name}: {verdict}, {measures} in {:.1} s", started.elapsed().as_secs_f64());
    for problem in problems.iter().take(MOST_PROBLEMS) {
        eprintln!("{name}: a node logged {problem}");
    }
    Ok(outcome)
}
