//! The checker itself: short logs with one fault each, and those that have none.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::checker::judge;
use crate::log::{Event, Line};
use crate::measures::Measures;
use crate::verdict::{Kind, Verdict};

const CHANNEL: &str = "flow:0";

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut trial = |name: &str, events: Vec<Event>, expected: &[Kind]| {
        let expected = expected.to_vec();
        trials.push(Trial::test(format!("checker::{name}"), move || compare(&events, &expected)));
    };
    trial("all_delivered", story(&[sent(1), got(1), sent(2), got(2)]), &[]);
    trial("lost", story(&[sent(1), got(1), sent(2)]), &[Kind::Lost]);
    trial("silent_gap", story(&[sent(1), got(1), sent(2), sent(3), got(3)]), &[Kind::Lost, Kind::SilentGap]);
    trial("recovered", story(&[sent(1), got(1), sent(2), again(1, true), got(2)]), &[]);
    trial("recovered_but_not_all", story(&[sent(1), got(1), sent(2), again(2, true)]), &[Kind::Lost]);
    trial("told", story(&[sent(1), got(1), sent(2), again(2, false), sent(3), got(3)]), &[]);
    trial("told_of_less", story(&[sent(1), sent(2), again(1, false)]), &[Kind::Lost]);
    trial(
        "new_stream",
        story(&[sent(1), got(1), sent(2), moved(0), sent_in("new", 1, 7), got_id(1, 7)]),
        &[],
    );
    trial("duplicate", story(&[sent(1), got(1), got(1)]), &[Kind::Duplicate]);
    trial("kept_twice", story(&[sent(1), sent_in("old", 2, 1), got(1)]), &[Kind::Duplicate]);
    trial("got_twice", story(&[sent(1), got(1), got_id(2, 1)]), &[Kind::Duplicate]);
    trial("reorder", story(&[sent(1), sent(2), got(2), got(1)]), &[Kind::SilentGap, Kind::Reorder]);
    trial(
        "out_of_turn",
        story(&[sent_in("old", 1, 2), sent_in("old", 2, 1), got_id(1, 2), got_id(2, 1)]),
        &[Kind::Reorder],
    );
    trial("phantom", story(&[sent(1), got(1), got(2)]), &[Kind::Phantom]);
    // The second message at offset 2 was never seen, but the stream was declared over.
    trial(
        "forked_and_told",
        story(&[sent(1), got(1), sent(2), got(2), sent_in("old", 2, 3), moved(2)]),
        &[Kind::Fork],
    );
    trial(
        "forked_in_silence",
        story(&[sent(1), got(1), sent(2), got(2), sent_in("old", 2, 3)]),
        &[Kind::Fork, Kind::Lost],
    );
    trial("fork", story(&[sent(1), sent(2), got_id(1, 2)]), &[Kind::Fork, Kind::Lost]);
    trials
}

fn compare(events: &[Event], expected: &[Kind]) -> Result<(), Failed> {
    let lines = events.iter().zip(1..).map(|(event, t)| Line { t, event: event.clone() });
    let log: Vec<String> = lines.map(|line| serde_json::to_string(&line)).collect::<Result<_, _>>()?;
    let (verdict, _): (Verdict, Measures) = judge(log.join("\n").as_bytes())?;
    let kinds = [Kind::Lost, Kind::SilentGap, Kind::Duplicate, Kind::Reorder, Kind::Phantom, Kind::Fork];
    let found: Vec<Kind> = kinds.into_iter().filter(|kind| verdict.count(*kind) > 0).collect();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found:?} instead of {expected:?}: {verdict}").into())
    }
}

/// A log of one client that subscribed before anything was sent.
fn story(parts: &[Vec<Event>]) -> Vec<Event> {
    let first = subscribed("old", 0, None);
    [first].iter().chain(parts).flatten().cloned().collect()
}

fn subscribed(epoch: &str, offset: u64, recovered: Option<bool>) -> Vec<Event> {
    vec![Event::Subscribed {
        who: 1,
        ch: CHANNEL.into(),
        epoch: epoch.to_owned(),
        offset,
        recovering: recovered.is_some(),
        recovered: recovered == Some(true),
    }]
}

/// Subscribed again, in the same stream.
fn again(offset: u64, recovered: bool) -> Vec<Event> {
    subscribed("old", offset, Some(recovered))
}

/// Subscribed again and told that the stream is another.
fn moved(offset: u64) -> Vec<Event> {
    subscribed("new", offset, Some(false))
}

fn sent(number: u64) -> Vec<Event> {
    sent_in("old", number, number)
}

/// Message `number` was acknowledged at `offset`.
fn sent_in(epoch: &str, offset: u64, number: u64) -> Vec<Event> {
    let (id, ch) = (format!("p0-{number}"), Arc::from(CHANNEL));
    vec![
        Event::Try { id: id.clone(), ch: Arc::clone(&ch) },
        Event::Ack { id, ch, epoch: epoch.to_owned(), offset },
    ]
}

fn got(number: u64) -> Vec<Event> {
    got_id(number, number)
}

fn got_id(offset: u64, number: u64) -> Vec<Event> {
    vec![Event::Got { who: 1, ch: CHANNEL.into(), id: format!("p0-{number}"), offset }]
}
