//! Wire tests: scenarios as data, run with raw frames against a server process.
//!
//! `cargo test -p gyre --test wire [filter]` runs them against the server of this repository. `GYRE_WIRE_SERVER=<path>`
//! runs them against another binary that is started as `<path> -c config.json`; `GYRE_WIRE_URL=<host:port>` against a
//! server that already runs with the configuration of the selected scenarios. The language of the scenario files is
//! described in `steps.rs`, `pattern.rs` and `template.rs`.

mod application;
mod coding;
mod connection;
mod fossil;
mod grpc;
mod http;
mod http2;
mod http3;
mod jwks;
mod keys;
mod kind;
mod net;
mod pattern;
mod protobuf;
mod scenario;
mod server;
mod steps;
mod streamed;
mod target;
mod template;
mod websocket;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use scenario::Scenario;
use target::Target;

/// Scenarios mostly wait for a server, so more of them run at once than there are cores.
const DEFAULT_THREADS: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(DEFAULT_THREADS);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/scenarios");
    let scenarios = match scenario::load_all(&directory) {
        Ok(scenarios) => scenarios,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let target = Arc::new(Target::from_environment());
    scenarios
        .iter()
        .filter(|scenario| selected(&arguments, &scenario.name))
        .for_each(|scenario| target.expect(scenario));
    let differing: Vec<String> = scenarios
        .iter()
        .filter(|scenario| scenario.differs.is_some())
        .map(|scenario| scenario.base_name().to_owned())
        .collect();
    let mut trials: Vec<Trial> = scenarios
        .into_iter()
        .map(|scenario| {
            let target = target.clone();
            let missing = if target.reference { scenario.ours } else { scenario.pending.is_some() };
            Trial::test(scenario.name.clone(), move || {
                let outcome = run(&target, &scenario);
                target.release(&scenario);
                outcome
            })
            .with_ignored_flag(missing)
        })
        .collect();
    trials.push(Trial::test("differences_are_documented", move || documented(&differing)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    target.stop_all();
    conclusion.exit_code()
}

/// Every deviation has its row, and every row its scenario.
fn documented(differing: &[String]) -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences.md");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
    let mut listed: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut expected: Vec<&str> = differing.iter().map(String::as_str).collect();
    listed.sort_unstable();
    expected.sort_unstable();
    expected.dedup();
    if listed == expected { Ok(()) } else { Err(format!("listed {listed:?}, scenarios {expected:?}").into()) }
}

/// Whether the command line lets a scenario run.
fn selected(arguments: &Arguments, name: &str) -> bool {
    let matches =
        |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

/// Runs one scenario and judges the server's log.
fn run(target: &Target, scenario: &Scenario) -> Result<(), Failed> {
    if scenario.refused {
        return target.expect_refusal(scenario).map_err(Failed::from);
    }
    let server = target.server_for(scenario)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(steps::run(target, &server, scenario));
    let problems = if target.reference { Vec::new() } else { server.new_problems() };
    let expected_to_fail = target.reference && scenario.differs.is_some() && !scenario.has_branches();
    match (outcome, expected_to_fail) {
        (Err(_), true) => Ok(()),
        (Ok(()), true) => Err("listed as a difference, but the reference answers the same".into()),
        (Err(error), false) => Err(format!("rows {}: {error}", scenario.rows.join(", ")).into()),
        (Ok(()), false) if !problems.is_empty() => {
            Err(format!("the server logged what the scenario does not allow:\n{}", problems.join("\n"))
                .into())
        }
        (Ok(()), false) => Ok(()),
    }
}
