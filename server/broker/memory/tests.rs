//! The contract, and what only this engine promises: exact moments, bounded memory, cheap clocks.

use super::*;
use crate::broker::contract_tests::{Bench, Ignore, broker_contract};
use crate::broker::{Epoch, StreamPosition};
use crate::seams::VirtualClock;

/// An engine on a virtual clock; `SWEEPS` says whether the application sweeps.
struct MemoryBench<const SWEEPS: bool> {
    broker: Arc<MemoryBroker>,
    clock: Arc<VirtualClock>,
}

impl<const SWEEPS: bool> Bench for MemoryBench<SWEEPS> {
    async fn start(receiver: Arc<dyn Receiver>) -> Self {
        let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
        Self { broker: Arc::new(MemoryBroker::new(receiver, clock.clone())), clock }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        if SWEEPS {
            self.broker.sweep(self.clock.now());
        }
    }
}

mod swept {
    super::broker_contract!(super::MemoryBench<true>);
}

mod never_swept {
    super::broker_contract!(super::MemoryBench<false>);
}

const UNIX: u64 = 1_700_000_000_000;

fn engine() -> (MemoryBroker, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(UNIX));
    (MemoryBroker::new(Arc::new(Ignore), clock.clone()), clock)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn kept(ttl: u64, meta_ttl: u64) -> PublishOptions {
    PublishOptions {
        history_size: 10,
        history_ttl: millis(ttl),
        history_meta_ttl: millis(meta_ttl),
        ..PublishOptions::default()
    }
}

/// Takes an answer that must be there.
fn now<T>(answer: MaybeReady<Result<T, BrokerError>>) -> T {
    match answer {
        MaybeReady::Ready(Some(answer)) => answer.expect("the engine succeeds"),
        _ => panic!("the embedded engine answers at once"),
    }
}

fn publish(broker: &MemoryBroker, channel: &str, options: PublishOptions) -> PublishOutcome {
    now(broker.publish(&channel.into(), Bytes::from_static(b"x"), options))
}

fn history(broker: &MemoryBroker, channel: &str) -> HistoryPage {
    now(broker.history(&channel.into(), HistoryFilter::default(), millis(10_000)))
}

#[test]
fn publications_end_at_the_exact_moment() {
    let (broker, clock) = engine();
    publish(&broker, "c", kept(1000, 0));
    clock.advance(millis(999));
    assert_eq!(history(&broker, "c").publications.len(), 1);
    clock.advance(millis(1));
    assert_eq!(history(&broker, "c").publications.len(), 0);
}

#[test]
fn streams_end_at_the_exact_moment() {
    let (broker, clock) = engine();
    let first = publish(&broker, "c", kept(60_000, 1000)).position;
    clock.advance(millis(999));
    let second = publish(&broker, "c", kept(60_000, 1000)).position;
    assert_eq!(second, StreamPosition { offset: 2, epoch: first.epoch.clone() });
    clock.advance(millis(1000));
    let third = publish(&broker, "c", kept(60_000, 1000)).position;
    assert_eq!(third.offset, 1);
    assert_ne!(third.epoch, first.epoch);
    assert_eq!(history(&broker, "c").publications.len(), 1, "publications do not outlive their stream");
}

#[test]
fn keys_are_remembered_for_300_seconds_by_default() {
    let (broker, clock) = engine();
    let keyed = || PublishOptions { idempotency_key: "k".to_owned(), ..PublishOptions::default() };
    publish(&broker, "c", keyed());
    clock.advance(millis(299_999));
    assert!(publish(&broker, "c", keyed()).from_cache);
    clock.advance(millis(1));
    assert!(!publish(&broker, "c", keyed()).from_cache);
}

#[test]
fn publications_carry_the_clocks_time() {
    let (broker, clock) = engine();
    clock.advance(millis(17));
    publish(&broker, "c", kept(1000, 0));
    assert_eq!(history(&broker, "c").publications[0].time, UNIX as i64 + 17);
}

#[test]
fn a_publication_without_version_forgets_the_stored_one() {
    let (broker, _) = engine();
    let versioned = |version| PublishOptions { version, ..kept(1000, 0) };
    publish(&broker, "c", versioned(5));
    publish(&broker, "c", kept(1000, 0));
    assert!(!publish(&broker, "c", versioned(2)).skipped);
}

#[test]
fn reverse_reads_from_beyond_the_top_are_empty() {
    let (broker, _) = engine();
    publish(&broker, "c", kept(1000, 0));
    for offset in [3, u64::MAX] {
        let since = Some(StreamPosition { offset, epoch: Epoch::none() });
        let filter = HistoryFilter { since, reverse: true, limit: None };
        assert!(now(broker.history(&"c".into(), filter, Duration::ZERO)).publications.is_empty());
    }
}

#[test]
fn a_sweep_frees_streams_and_results_and_nothing_else() {
    let (broker, clock) = engine();
    for number in 0..5000 {
        let key = format!("key {number}");
        publish(
            &broker,
            &format!("channel {number}"),
            PublishOptions { idempotency_key: key, idempotency_ttl: millis(3000), ..kept(1000, 2000) },
        );
    }
    publish(&broker, "forever", kept(1000, 0));
    assert_eq!((broker.stream_count(), broker.result_count()), (5001, 5000));
    clock.advance(millis(1999));
    broker.sweep(clock.now());
    assert_eq!((broker.stream_count(), broker.result_count()), (5001, 5000));
    clock.advance(millis(1));
    broker.sweep(clock.now());
    assert_eq!((broker.stream_count(), broker.result_count()), (1, 5000));
    clock.advance(millis(1000));
    broker.sweep(clock.now());
    assert_eq!((broker.stream_count(), broker.result_count()), (1, 0));
}

#[test]
fn publishing_without_history_keeps_nothing() {
    let (broker, _) = engine();
    for number in 0..100 {
        publish(&broker, &format!("channel {number}"), PublishOptions::default());
    }
    assert_eq!((broker.stream_count(), broker.result_count()), (0, 0));
}

#[test]
fn alternating_lifetimes_do_not_pile_up_deadlines() {
    let (broker, clock) = engine();
    for _ in 0..10_000 {
        publish(&broker, "c", kept(1_000_000, 0));
        publish(&broker, "c", kept(500, 0));
        clock.advance(millis(1000));
        broker.sweep(clock.now());
    }
    let queued: usize = broker.stripes.iter().map(|stripe| stripe.0.lock().deadline_count()).sum();
    assert!(queued < 200, "{queued} deadlines for one stream");
}

#[test]
fn a_detached_engine_delivers_once_it_has_a_receiver() {
    let clock = Arc::new(VirtualClock::new(UNIX));
    let broker = MemoryBroker::detached(clock);
    publish(&broker, "c", kept(1000, 0));
    assert!(broker.attach(Arc::new(Ignore)));
    assert!(!broker.attach(Arc::new(Ignore)), "the first receiver stays");
    assert_eq!(publish(&broker, "c", kept(1000, 0)).position.offset, 2);
}
