//! The bars themselves: for each a short log that reaches it and one that does not.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::bars::{Bar, Bars, HonestGaps, MemoryBar, ReadyBar, Size};
use crate::checker::judge;
use crate::log::{Event, Line, Micros};

use std::time::Duration;

const SECOND: Micros = 1_000_000;

/// Events and their times in milliseconds.
type Story = Vec<(Micros, Event)>;

pub fn trials() -> Vec<Trial> {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let count = Some(0);
    let mut trials = Vec::new();
    let mut trial = |name: &str, bar: Bar, bars: Bars, reaches: Story, misses: Story| {
        trials.push(Trial::test(format!("bars::{name}"), move || both(bar, &bars, &reaches, &misses)));
    };
    let bars = || Bars { honest_gaps: HonestGaps::Allowed, ..Bars::default() };
    trial(
        "told_of_nothing",
        Bar::HonestGaps,
        Bars::default(),
        vec![(0, subscribed(1, false)), (1, subscribed(1, false))],
        vec![(0, subscribed(1, false)), (1, subscribed(1, true))],
    );
    trial(
        "not_all_are_told",
        Bar::HonestGaps,
        Bars { honest_gaps: HonestGaps::Everyone, ..Bars::default() },
        vec![(0, subscribed(1, true))],
        vec![(0, subscribed(1, false))],
    );
    let delivered = |late| vec![(0, subscribed(1, false)), (1, sent("a")), (2, acked("a")), (late, got("a"))];
    trial("late_delivery", Bar::Delay, Bars { delay: seconds(1), ..bars() }, delivered(900), delivered(1100));
    let failed = |after| {
        vec![(0, fault()), (after, Event::Failed { node: a(), after: after * 1000, why: "-".into() })]
    };
    trial(
        "slow_publish_error",
        Bar::PublishError,
        Bars { publish_error: seconds(1), ..bars() },
        failed(1000),
        failed(1001),
    );
    let at_a_dead_node = [vec![(0, Event::Gone { node: a() })], failed(2)].concat();
    trial(
        "failed_publish",
        Bar::FailedPublishes,
        Bars { failed_publishes: count, ..bars() },
        at_a_dead_node,
        failed(2),
    );
    let published = |last| vec![(0, fault()), (0, sent("a")), (last, acked("a"))];
    trial(
        "slow_publish",
        Bar::PublishP99,
        Bars { publish_p99: seconds(1), ..bars() },
        published(1000),
        published(1001),
    );
    let refused = || vec![(1, Event::Unconnected { who: 1, node: a() })];
    let at_a_dead_node = [vec![(0, Event::Gone { node: a() })], refused()].concat();
    trial(
        "refused_connect",
        Bar::RefusedConnects,
        Bars { refused_connects: count, ..bars() },
        at_a_dead_node,
        refused(),
    );
    trial(
        "disconnect",
        Bar::Disconnects,
        Bars { disconnects: count, ..bars() },
        vec![connected(0, 1)],
        vec![closed(1, 1)],
    );
    let pings = |later: Micros| {
        vec![connected(0, 1), (10, Event::Ping { who: 1 }), (10 + later, Event::Ping { who: 1 })]
    };
    trial("no_ping", Bar::PingGap, Bars { ping_gap: seconds(1), ..bars() }, pings(1000), pings(1001));
    let returned = |later: Micros| vec![connected(0, 1), closed(1, 1), (1 + later, subscribed(1, false))];
    trial(
        "late_subscription",
        Bar::Resubscribed,
        Bars { resubscribed: seconds(1), ..bars() },
        returned(1000),
        returned(1001),
    );
    let haunted = |later| vec![(0, Event::Gone { node: a() }), (later, Event::Present)];
    trial("ghosts", Bar::Ghosts, Bars { ghosts: seconds(1), ..bars() }, haunted(1000), haunted(1001));
    let drain = |every| drained(every, 3000);
    trial(
        "drained_too_slowly",
        Bar::DrainRate,
        Bars { drain_rate: Some(100.0), ..bars() },
        drain(10),
        drain(12),
    );
    trial("storm", Bar::StormPeak, Bars { drain_rate: Some(100.0), ..bars() }, drain(10), drain(8));
    let reads = |count| vec![(0, Event::Reads { count })];
    trial(
        "history_reads",
        Bar::HistoryReads,
        Bars { history_reads: Some(2), ..bars() },
        reads(24),
        reads(25),
    );
    let grown = |rss| vec![(0, memory(100)), (1, fault()), (2, memory(rss))];
    let growth = |bar| Bars { rss: Some(bar), ..bars() };
    trial("memory_growth", Bar::Rss, growth(MemoryBar::GrowthMib(32)), grown(132), grown(133));
    trial("memory_ratio", Bar::Rss, growth(MemoryBar::Ratio(1.5)), grown(150), grown(151));
    let ready = ReadyBar { off: Duration::from_secs(3), on: Duration::from_secs(3) };
    let ready = || Bars { ready: Some(ready), ..bars() };
    trial("deaf_and_says_so_late", Bar::Ready, ready(), readiness(3000, 13_000), readiness(3001, 13_000));
    trial("hears_and_says_so_late", Bar::Ready, ready(), readiness(3000, 13_000), readiness(3000, 13_001));
    trial("false_alarm", Bar::Ready, ready(), vec![answer(0, true)], vec![answer(0, true), answer(1, false)]);
    // Who hears again soon need not say that it heard nothing.
    trial("deaf_and_says_nothing", Bar::Ready, ready(), deaf(0, 3000), deaf(0, 3001));
    trials
}

fn both(bar: Bar, bars: &Bars, reaches: &Story, misses: &Story) -> Result<(), Failed> {
    let missed = missed(bars, reaches)?;
    if !missed.is_empty() {
        return Err(format!("{missed:?} of a log that reaches all").into());
    }
    let missed = self::missed(bars, misses)?;
    if missed.contains(&bar) { Ok(()) } else { Err(format!("{missed:?} instead of {bar:?}").into()) }
}

fn missed(bars: &Bars, story: &Story) -> Result<Vec<Bar>, Failed> {
    let lines = story.iter().map(|(at, event)| Line { t: at * SECOND / 1000, event: event.clone() });
    let lines: Vec<String> = lines.map(|line| serde_json::to_string(&line)).collect::<Result<_, _>>()?;
    let (verdict, measures) = judge(lines.join("\n").as_bytes())?;
    let size = Size { nodes: 3, channels: 4, subscriptions: 1 };
    Ok(bars.missed(&verdict, &measures, size).iter().map(|missed| missed.bar).collect())
}

fn a() -> Arc<str> {
    "a".into()
}

fn fault() -> Event {
    Event::Fault { what: String::new() }
}

fn sent(id: &str) -> Event {
    Event::Try { id: id.to_owned(), ch: "flow:0".into() }
}

fn acked(id: &str) -> Event {
    Event::Ack { id: id.to_owned(), ch: "flow:0".into(), epoch: "old".to_owned(), offset: 1 }
}

fn got(id: &str) -> Event {
    Event::Got { who: 1, ch: "flow:0".into(), id: id.to_owned(), offset: 1 }
}

fn subscribed(who: u32, told: bool) -> Event {
    let (ch, epoch) = ("flow:0".into(), "old".to_owned());
    Event::Subscribed { who, ch, epoch, offset: 0, recovering: told, recovered: false }
}

fn connected(at: Micros, who: u32) -> (Micros, Event) {
    (at, Event::Connected { who, node: a() })
}

fn closed(at: Micros, who: u32) -> (Micros, Event) {
    (at, Event::Closed { who, code: Some(3001) })
}

fn memory(mib: u64) -> Event {
    Event::Memory { node: a(), rss: mib << 20 }
}

fn answer(at: Micros, ready: bool) -> (Micros, Event) {
    (at, Event::Readiness { node: a(), ready })
}

/// A node that leaves ends a connection so often, each comes back at once.
fn drained(every: Micros, last: Micros) -> Story {
    let mut story = vec![(0, fault()), (0, Event::Leaving { node: a() })];
    for (who, at) in (0..).zip((0..last).step_by(usize::try_from(every).unwrap_or(1))) {
        story.extend([closed(at, who), connected(at, who)]);
    }
    story
}

/// Nothing reaches a node for ten seconds, and `/ready` says so from one time to another.
fn readiness(off: Micros, on: Micros) -> Story {
    let mut story = vec![answer(0, true)];
    story.extend(deaf(0, 10_000));
    story.extend([answer(off, false), answer(on, true), (20_000, fault())]);
    story.sort_by_key(|(at, _)| *at);
    story
}

fn deaf(from: Micros, to: Micros) -> Story {
    vec![(from, Event::Deaf { node: a() }), (to, Event::Hearing { node: a() })]
}
