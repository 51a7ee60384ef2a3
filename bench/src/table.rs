//! Prints the comparison: medians per arm and the median of the ratios of pairs, as Markdown and as JSON.

use crate::matrix::{Outcome, Results, Run, ScenarioResults};
use crate::scenario::{Better, GENERATOR_SHARE, Metric, OTHER_SHARE, Report, SERVER_CPU};
use serde_json::{Value, json};
use std::fmt::Write;

/// Above this share of a core the generator may have been the bottleneck: rates are then no property of the server.
const CLIENT_BOUND: f64 = 0.9;
/// Above this share of a core other processes distort latencies and rates; CPU time suffers less.
const NOISY_HOST: f64 = 0.3;

/// Median, smallest and largest of a few values.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

impl Run {
    fn report(&self) -> Option<&Report> {
        match &self.outcome {
            Outcome::Valid(report) => Some(report),
            Outcome::Void(_) | Outcome::Failed(_) => None,
        }
    }

    fn value(&self, metric: &str) -> Option<f64> {
        self.report()?.metrics.iter().find(|candidate| candidate.name == metric).map(|metric| metric.value)
    }
}

impl ScenarioResults {
    fn metrics(&self) -> Vec<&Metric> {
        let longest = self.runs.iter().filter_map(Run::report).max_by_key(|report| report.metrics.len());
        longest.map(|report| report.metrics.iter().collect()).unwrap_or_default()
    }

    fn spread(&self, arm: &str, metric: &str) -> Option<Spread> {
        Spread::of(self.runs.iter().filter(|run| run.arm == arm).filter_map(|run| run.value(metric)))
    }

    /// How many times better `arm` is than `reference`, from the two runs of each round.
    fn ratio(&self, reference: &str, arm: &str, metric: &Metric) -> Option<Spread> {
        let of = |arm: &str, round: u32| {
            self.runs
                .iter()
                .find(|run| run.arm == arm && run.round == round)
                .and_then(|run| run.value(metric.name))
        };
        let rounds = self.runs.iter().map(|run| run.round).max()?;
        Spread::of((0..=rounds).filter_map(|round| {
            let (reference, arm) = (of(reference, round)?, of(arm, round)?);
            let ratio = match metric.better {
                Better::Lower => reference / arm,
                Better::Higher => arm / reference,
                Better::Neither => return None,
            };
            (ratio.is_finite() && ratio > 0.0).then_some(ratio)
        }))
    }

    fn is_noisy(&self, arm: &str) -> bool {
        self.spread(arm, OTHER_SHARE).is_some_and(|share| share.median > NOISY_HOST)
    }

    fn is_client_bound(&self, arm: &str) -> bool {
        self.spread(arm, GENERATOR_SHARE).is_some_and(|share| share.median > CLIENT_BOUND)
    }
}

/// Renders one table for all scenarios, with notes on runs that do not count.
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    let mut notes = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = write!(out, "| scenario | figure |");
    for arm in &results.arms {
        let _ = write!(out, " {arm} |");
    }
    let (reference, others) = match results.arms.split_first() {
        Some((reference, others)) => (reference.as_str(), others),
        None => return out,
    };
    for arm in others {
        let _ = write!(out, " {arm} better by (min–max) |");
    }
    let columns = 2 + results.arms.len() + others.len();
    let _ = writeln!(out, "\n|{}", "---|".repeat(columns));
    for scenario in &results.scenarios {
        for metric in scenario.metrics() {
            let unit = if metric.unit.is_empty() { String::new() } else { format!(", {}", metric.unit) };
            let _ = write!(out, "| {} | {}{unit} |", scenario.name, metric.name);
            for arm in &results.arms {
                match scenario.spread(arm, metric.name) {
                    Some(spread) => {
                        let _ = write!(out, " {} |", figure(spread.median));
                    }
                    None => out.push_str(" – |"),
                }
            }
            for arm in others {
                match scenario.ratio(reference, arm, metric) {
                    Some(Spread { median, min, max }) => {
                        let _ = write!(out, " {median:.2}× ({min:.2}–{max:.2}) |");
                    }
                    None => out.push_str(" |"),
                }
            }
            out.push('\n');
        }
        for arm in results.arms.iter().filter(|arm| scenario.is_client_bound(arm)) {
            let _ = writeln!(
                notes,
                "- {}: {arm} was client-bound; its rates and latencies are the generator's",
                scenario.name
            );
        }
        for arm in results.arms.iter().filter(|arm| !results.smoke && scenario.is_noisy(arm)) {
            let _ = writeln!(
                notes,
                "- {}: other processes disturbed {arm}; compare CPU times, not latencies and rates",
                scenario.name
            );
        }
        for run in &scenario.runs {
            let label = format!("{}: round {} of {}", scenario.name, run.round + 1, run.arm);
            match &run.outcome {
                Outcome::Valid(_) => {}
                Outcome::Void(report) => {
                    let _ = writeln!(
                        notes,
                        "- {label} is void: {} ({})",
                        report.faults,
                        report.problems.join("; ")
                    );
                }
                Outcome::Failed(error) => {
                    let _ = writeln!(notes, "- {label} failed: {error}");
                }
            }
        }
    }
    for arm in others {
        if let Some((mean, count)) = mean_cpu_ratio(results, reference, arm)
            && !results.smoke
        {
            let _ = writeln!(
                out,
                "\nServer CPU, geometric mean over {count} scenarios: {arm} {mean:.2}× better than {reference}."
            );
        }
    }
    if results.smoke {
        notes.push_str("- smoke sizes: deliveries were checked, figures mean nothing\n");
    }
    if !notes.is_empty() {
        let _ = write!(out, "\n{notes}");
    }
    out
}

/// Geometric mean of the CPU ratios of all scenarios that have one, and how many these are.
fn mean_cpu_ratio(results: &Results, reference: &str, arm: &str) -> Option<(f64, usize)> {
    let logarithms: Vec<f64> = results
        .scenarios
        .iter()
        .filter_map(|scenario| {
            let metrics = scenario.metrics();
            let cpu = metrics.iter().find(|metric| metric.name.starts_with(SERVER_CPU))?;
            Some(scenario.ratio(reference, arm, cpu)?.median.ln())
        })
        .collect();
    let count = logarithms.len();
    (count > 0).then(|| ((logarithms.iter().sum::<f64>() / count as f64).exp(), count))
}

/// Every figure of every run, with the summary the table shows and a description of the machine.
pub fn json(results: &Results) -> Value {
    let scenarios: Vec<Value> = results
        .scenarios
        .iter()
        .map(|scenario| {
            let summary: Vec<Value> = scenario
                .metrics()
                .into_iter()
                .map(|metric| {
                    let arms: serde_json::Map<String, Value> = results
                        .arms
                        .iter()
                        .map(|arm| {
                            let entry = json!({
                                "spread": scenario.spread(arm, metric.name),
                                "better_by": scenario.ratio(&results.arms[0], arm, metric),
                            });
                            (arm.clone(), entry)
                        })
                        .collect();
                    json!({ "name": metric.name, "unit": metric.unit, "better": metric.better, "arms": arms })
                })
                .collect();
            json!({ "name": scenario.name, "about": scenario.about, "summary": summary, "runs": scenario.runs })
        })
        .collect();
    json!({
        "arms": results.arms,
        "smoke": results.smoke,
        "clean": results.is_clean(),
        "machine": machine(),
        "scenarios": scenarios,
    })
}

fn machine() -> Value {
    let line = |path: &str, prefix: &str| -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(prefix))?;
        Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
    };
    json!({
        "cpu": line("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map(usize::from).ok(),
        "memory": line("/proc/meminfo", "MemTotal:"),
        "kernel": line("/proc/sys/kernel/osrelease", ""),
    })
}

/// Three significant digits, without exponents.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Faults;

    fn run(arm: &str, round: u32, cpu: f64, rate: f64) -> Run {
        let metric = |name, better, value| Metric { name, unit: "", better, value };
        let metrics = vec![metric("cpu", Better::Lower, cpu), metric("rate", Better::Higher, rate)];
        let report = Report { metrics, ..Report::default() };
        Run { arm: arm.into(), round, kernel_send_us: None, outcome: Outcome::Valid(report) }
    }

    fn results(runs: Vec<Run>) -> Results {
        Results {
            arms: vec!["ref".into(), "ours".into()],
            smoke: false,
            scenarios: vec![ScenarioResults { name: "s".into(), about: "", runs }],
        }
    }

    #[test]
    fn ratios_are_medians_over_the_pairs_of_each_round() {
        let results = results(vec![
            run("ref", 0, 10.0, 100.0),
            run("ours", 0, 5.0, 150.0),
            run("ours", 1, 4.0, 400.0),
            run("ref", 1, 16.0, 100.0),
            run("ref", 2, 30.0, 100.0),
            run("ours", 2, 10.0, 200.0),
        ]);
        let text = markdown(&results);
        assert!(text.contains("| s | cpu | 16.0 | 5.00 | 3.00× (2.00–4.00) |"), "{text}");
        assert!(text.contains("| s | rate | 100 | 200 | 2.00× (1.50–4.00) |"), "{text}");
        assert!(results.is_clean());
    }

    #[test]
    fn a_void_run_is_named_and_left_out() {
        let mut lossy = run("ours", 0, 1.0, 1.0);
        lossy.outcome =
            Outcome::Void(Report { faults: Faults { lost: 3, ..Faults::default() }, ..Report::default() });
        let results = results(vec![run("ref", 0, 10.0, 1.0), lossy]);
        let text = markdown(&results);
        assert!(text.contains("| s | cpu | 10.0 | – | |"), "{text}");
        assert!(text.contains("round 1 of ours is void: 3 lost"), "{text}");
        assert!(!results.is_clean());
    }
}
