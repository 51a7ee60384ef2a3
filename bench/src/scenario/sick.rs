//! What others notice while the application behind connects, subscriptions and calls is sick.
//!
//! Two kinds of healthy load run all the time: publications to subscribers, and calls that a healthy application
//! answers. Visitors keep asking the sick one at the same pace all the time, so that stretches differ by its health
//! alone.

use super::fanout::{OpenLoop, Outlet, assemble, pace};
use super::{Bench, Better, Report};
use crate::arm::PLAIN;
use crate::ledger::new_histogram;
use crate::load::swarm::Swarm;
use crate::load::visitors::{Errand, Group, Outcome, Visit, Visitors};
use crate::load::ward::{Mood, Ward};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Enough publications for a steady 99th percentile, few enough to leave the machine idle most of the time.
const SUBSCRIBERS: u32 = 100;
const RATE: f64 = 200.0;
/// Ends every recovery; a server tries once a second at least.
const RECOVERY_LIMIT: Duration = Duration::from_secs(10);
/// Requests that come no oftener than this are trials.
const TRIAL: Duration = Duration::from_millis(900);
/// Much less than servers wait for an application.
const AT_ONCE: Duration = Duration::from_millis(300);
/// Long enough for failures of a second each, and for what follows them.
const STRETCH: Duration = Duration::from_secs(3);
/// How often every mood comes.
const ROUNDS: usize = 3;

/// Paths of the sick application, in the order of the groups that ask it.
const PATHS: [&str; 3] = ["rpc", "subscribe", "connect"];
const HEALTHY_CALLS: usize = 3;

/// What the visitors do: three groups need the sick application, the last one a healthy one.
fn groups(bench: &Bench) -> [Group; 4] {
    let group = |errand, visitors, smoke| Group {
        errand,
        visitors: bench.size(visitors, smoke),
        pace: Duration::from_millis(100),
    };
    [
        group(Errand::Call("sick:bench"), 20, 8),
        group(Errand::Subscribe, 20, 8),
        group(Errand::Connect, 10, 8),
        group(Errand::Call("bench"), 20, 4),
    ]
}

/// Keys that make a server ask the application at `address`, which is sick below [`Ward::PATH`].
pub fn settings(address: SocketAddr) -> Value {
    let sick = |path: &str| format!("http://{address}{}{path}", Ward::PATH);
    let [rpc, subscribe, connect] = PATHS.map(sick);
    json!({
        "client": { "proxy": { "connect": { "enabled": true, "endpoint": connect } } },
        "channel": {
            "proxy": { "subscribe": { "endpoint": subscribe } },
            "without_namespace": { "subscribe_proxy_enabled": true },
        },
        "rpc": {
            "proxy": { "endpoint": format!("http://{address}") },
            "without_namespace": { "proxy_enabled": true },
            "namespaces": [{ "name": "sick", "proxy_enabled": true, "proxy_name": "sick" }],
        },
        "proxies": [{ "name": "sick", "endpoint": rpc }],
    })
}

/// The names of what is found out in one mood of the application.
struct Names {
    mood: Mood,
    delivery: &'static str,
    call: &'static str,
}

const WELL: Names =
    Names { mood: Mood::Well, delivery: "delivery p99, well", call: "healthy call p99, well" };

const SICK: [Names; 4] = [
    Names { mood: Mood::Hangs, delivery: "delivery p99, hangs", call: "healthy call p99, hangs" },
    Names { mood: Mood::Fails, delivery: "delivery p99, status 500", call: "healthy call p99, status 500" },
    Names { mood: Mood::Late, delivery: "delivery p99, 10 s late", call: "healthy call p99, 10 s late" },
    Names { mood: Mood::Drips, delivery: "delivery p99, drips", call: "healthy call p99, drips" },
];

/// What one stretch showed.
struct Stretch {
    mood: Mood,
    /// 99th percentiles in microseconds.
    delivery: f64,
    call: f64,
    visits: Vec<Vec<Visit>>,
    began: Instant,
}

/// The load on one server and what may be wrong with its application.
struct Course<'b> {
    bench: &'b Bench,
    swarm: Swarm,
    outlets: Vec<Outlet>,
    shape: OpenLoop,
    visitors: Visitors,
    ward: Arc<Ward>,
}

impl Course<'_> {
    /// Lets the application be like this for a while.
    fn run(&mut self, mood: Mood) -> Result<Stretch> {
        self.visitors.take();
        self.ward.set(mood);
        let began = Instant::now();
        self.swarm.ledger_mut().record_latency_since(self.bench.clock.now_ns());
        pace(self.bench, &mut self.swarm, &self.outlets, self.shape, STRETCH)?;
        let visits = self.visitors.take();
        let delivery = self.swarm.ledger().latency().value_at_quantile(0.99) as f64 / 1e3;
        Ok(Stretch { mood, delivery, call: p99(&visits[HEALTHY_CALLS])?, visits, began })
    }

    /// How long the server went on asking the application as if nothing was wrong.
    fn left_alone(&self, stretch: &Stretch) -> Duration {
        let each = PATHS.iter().zip(&stretch.visits).map(|(path, visits)| {
            let refused = refused_at_once(stretch.began, visits).unwrap_or(STRETCH);
            refused.max(asked_until(stretch.began, &self.ward.asked(path)))
        });
        each.max().unwrap_or_default()
    }
}

/// Goes through the moods a few times, each after a stretch in which the application is well; after each sick one it
/// waits until all errands succeed again.
///
/// # Errors
/// When the server was not started here, or does not recover within ten seconds.
pub fn sick_backend(bench: &mut Bench) -> Result<Report> {
    let ward = bench.ward.clone();
    let ward =
        ward.context("only the application of a server that is started here can be sick (use --arm)")?;
    let shape = OpenLoop::one_channel(PLAIN, bench.size(SUBSCRIBERS, 20), RATE);
    let (mut swarm, outlets) = assemble(bench, shape)?;
    let visitors = Visitors::start(&bench.target, &groups(bench))?;
    pace(bench, &mut swarm, &outlets, shape, bench.warm_up())?;
    let mut course = Course { bench, swarm, outlets, shape, visitors, ward };
    let mut stretches = Vec::new();
    let (mut left_alone, mut recovered) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..bench.size(ROUNDS, 1) {
        for Names { mood, .. } in SICK {
            stretches.push(course.run(Mood::Well)?);
            let sick = course.run(mood)?;
            left_alone = left_alone.max(course.left_alone(&sick));
            stretches.push(sick);
            course.ward.set(Mood::Well);
            recovered = recovered.max(recovery(&course.visitors)?);
        }
    }
    let mut swarm = course.swarm;
    swarm.finish()?;
    let mut report = figures(&stretches);
    report.add("left alone after", "ms", Better::Lower, left_alone.as_secs_f64() * 1e3);
    report.add("asked again after", "ms", Better::Lower, recovered.as_secs_f64() * 1e3);
    report.verdict(&swarm);
    let visits = || stretches.iter().flat_map(|stretch| &stretch.visits);
    report.faults.disconnects += count(visits().flatten(), Outcome::Lost);
    let healthy = stretches.iter().flat_map(|stretch| &stretch.visits[HEALTHY_CALLS]);
    report.faults.failed_requests += count(healthy, Outcome::Refused);
    Ok(report)
}

/// Medians over the stretches of a mood, which a moment of noise on the host does not move.
fn figures(stretches: &[Stretch]) -> Report {
    let mut report = Report::default();
    let mut add = |names: &Names| {
        let of_mood = || stretches.iter().filter(|stretch| stretch.mood == names.mood);
        let delivery = median(of_mood().map(|stretch| stretch.delivery).collect());
        let call = median(of_mood().map(|stretch| stretch.call).collect());
        report.add(names.delivery, "µs", Better::Lower, delivery);
        report.add(names.call, "µs", Better::Lower, call);
        (delivery, call)
    };
    let well = add(&WELL);
    let worse = SICK.each_ref().map(add).map(|sick| (sick.0 / well.0, sick.1 / well.1));
    let worst = |ratio: fn(&(f64, f64)) -> f64| worse.iter().map(ratio).fold(0.0, f64::max);
    report.add("delivery p99, worst against well", "×", Better::Lower, worst(|ratio| ratio.0));
    report.add("healthy call p99, worst against well", "×", Better::Lower, worst(|ratio| ratio.1));
    let mut pongs = new_histogram();
    let sick = stretches.iter().filter(|stretch| stretch.mood != Mood::Well);
    let waiting = sick.flat_map(|stretch| stretch.visits[..HEALTHY_CALLS].iter().flatten());
    waiting.filter_map(|visit| visit.pong).for_each(|pong| pongs.saturating_record(nanoseconds(pong)));
    let pong = pongs.value_at_quantile(0.99) as f64 / 1e3;
    report.add("pong p99 of connections that ask", "µs", Better::Lower, pong);
    report
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count => (figures[(count - 1) / 2] + figures[count / 2]) / 2.0,
    }
}

fn count<'a>(visits: impl IntoIterator<Item = &'a Visit>, outcome: Outcome) -> u64 {
    visits.into_iter().filter(|visit| visit.outcome == outcome).count() as u64
}

fn p99(visits: &[Visit]) -> Result<f64> {
    if visits.is_empty() {
        bail!("no healthy call was made");
    }
    let mut took = new_histogram();
    visits.iter().for_each(|visit| took.saturating_record(nanoseconds(visit.took)));
    Ok(took.value_at_quantile(0.99) as f64 / 1e3)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long the application was asked oftener than to try it.
fn asked_until(began: Instant, asked: &[Instant]) -> Duration {
    let last = asked.windows(2).rposition(|pair| pair[1] - pair[0] < TRIAL).map_or(0, |at| at + 1);
    asked.get(last).map_or(Duration::ZERO, |last| last.saturating_duration_since(began))
}

/// When a visit was refused without waiting for the application; none if all waited.
fn refused_at_once(began: Instant, visits: &[Visit]) -> Option<Duration> {
    let at_once = |visit: &&Visit| visit.outcome == Outcome::Refused && visit.took < AT_ONCE;
    visits.iter().find(at_once).map(|visit| visit.ended.saturating_duration_since(began))
}

/// Waits until every errand has been granted; how long that took.
fn recovery(visitors: &Visitors) -> Result<Duration> {
    let began = Instant::now();
    let mut recovered = [None; HEALTHY_CALLS];
    while began.elapsed() < RECOVERY_LIMIT {
        for (recovered, visits) in recovered.iter_mut().zip(visitors.take()) {
            let granted =
                visits.iter().find(|visit| visit.outcome == Outcome::Granted && visit.ended > began);
            *recovered = recovered.or(granted.map(|visit| visit.ended - began));
        }
        if let Some(last) =
            recovered.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
        {
            return Ok(last);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("an errand is not granted {} s after the application recovered", RECOVERY_LIMIT.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn an_application_is_left_alone_after_the_last_request_that_is_no_trial() {
        let began = Instant::now();
        let at = |ms: &[u64]| {
            let asked: Vec<Instant> = ms.iter().map(|ms| began + Duration::from_millis(*ms)).collect();
            asked_until(began, &asked).as_millis()
        };
        assert_eq!(at(&[]), 0);
        assert_eq!(at(&[10]), 10);
        assert_eq!(at(&[10, 20, 30, 1040, 2050]), 30);
        assert_eq!(at(&[10, 1040, 1100]), 1100);
    }
}
