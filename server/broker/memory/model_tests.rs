//! Random operations compared with a model that is too simple to be wrong: it keeps every publication
//! ever made and decides at each question what should still be there.

use super::*;
use crate::broker::{Epoch, Publication, StreamPosition};
use crate::seams::VirtualClock;
use proptest::prelude::*;
use std::collections::HashMap;

/// One step of a run. Times are in milliseconds.
#[derive(Clone, Debug)]
enum Step {
    Publish {
        channel: u8,
        size: u64,
        ttl: u64,
        meta_ttl: u64,
        key: u8,
        key_ttl: u64,
        delta: bool,
        version: u64,
        epoch: u8,
    },
    Read {
        channel: u8,
        since: Option<(u64, bool)>,
        limit: Option<u64>,
        reverse: bool,
        meta_ttl: u64,
    },
    Remove {
        channel: u8,
    },
    Pass {
        time: u64,
    },
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ttl = || prop::sample::select(vec![0, 10, 50, 200]);
    let publish = (0..3u8, 0..4u64, ttl(), ttl(), 0..4u8, ttl(), any::<bool>(), 0..5u64, 0..3u8).prop_map(
        |(channel, size, ttl, meta_ttl, key, key_ttl, delta, version, epoch)| Step::Publish {
            channel,
            size,
            ttl,
            meta_ttl,
            key,
            key_ttl,
            delta,
            version,
            epoch,
        },
    );
    let since = prop::option::of((0..8u64, any::<bool>()));
    let read = (0..3u8, since, prop::option::of(0..4u64), any::<bool>(), ttl()).prop_map(
        |(channel, since, limit, reverse, meta_ttl)| Step::Read { channel, since, limit, reverse, meta_ttl },
    );
    let step = prop_oneof![
        6 => publish,
        4 => read,
        1 => (0..3u8).prop_map(|channel| Step::Remove { channel }),
        3 => prop::sample::select(vec![1, 9, 10, 40, 100]).prop_map(|time| Step::Pass { time }),
        1 => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Default)]
struct Model {
    now: u64,
    streams: HashMap<u8, ModelStream>,
    /// Answers by channel and key, and when they are forgotten.
    results: HashMap<(u8, u8), ((u64, u64), u64)>,
    lives: u64,
}

/// A stream as it was last touched.
struct ModelStream {
    /// Numbers the lives of streams, as epochs name them.
    life: u64,
    top: u64,
    kept: Vec<u64>,
    kept_until: u64,
    until: Option<u64>,
    version: (u64, u8),
}

impl Model {
    /// The stream as it is now, made when there is none.
    fn stream(&mut self, channel: u8) -> &mut ModelStream {
        let now = self.now;
        if self.streams.get(&channel).is_some_and(|stream| stream.until.is_some_and(|until| until <= now)) {
            self.streams.remove(&channel);
        }
        let stream = self.streams.entry(channel).or_insert_with(|| {
            self.lives += 1;
            ModelStream {
                life: self.lives,
                top: 0,
                kept: Vec::new(),
                kept_until: 0,
                until: None,
                version: (0, 0),
            }
        });
        if stream.kept_until <= now {
            stream.kept.clear();
        }
        stream
    }

    fn until(&self, ttl: u64) -> Option<u64> {
        (ttl > 0).then_some(self.now + ttl)
    }
}

/// What was delivered: channel, offset, delta asked for, offset of the previous publication.
type Delivered = (Arc<str>, u64, bool, Option<u64>);

/// Unbounded: a run is short.
#[derive(Default)]
struct Recorder(Mutex<Vec<Delivered>>);

impl Receiver for Recorder {
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        position: StreamPosition,
        delta: bool,
        previous: Option<Arc<Publication>>,
    ) {
        assert_eq!(publication.offset, position.offset);
        let previous = previous.map(|previous| previous.offset);
        self.0.lock().push((channel.clone(), position.offset, delta, previous));
    }
    fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
}

/// The engine and the model side by side.
struct Run {
    broker: MemoryBroker,
    clock: Arc<VirtualClock>,
    heard: Arc<Recorder>,
    model: Model,
    /// Which life of the model each epoch stands for; life zero is no stream.
    epochs: HashMap<String, u64>,
}

impl Run {
    fn new() -> Self {
        let (clock, heard) = (Arc::new(VirtualClock::new(0)), Arc::new(Recorder::default()));
        Self {
            broker: MemoryBroker::new(heard.clone(), clock.clone()),
            clock,
            heard,
            model: Model::default(),
            epochs: HashMap::from([(String::new(), 0)]),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish { .. } => self.publish(step),
            Step::Read { .. } => self.read(step),
            Step::Remove { channel } => {
                answer(self.broker.remove_history(&name(channel))).expect("removing succeeds");
                if let Some(stream) = self.model.streams.get_mut(&channel) {
                    stream.kept.clear();
                }
            }
            Step::Pass { time } => {
                self.model.now += time;
                self.clock.advance(Duration::from_millis(time));
            }
            Step::Sweep => self.broker.sweep(self.clock.now()),
        }
    }

    fn publish(&mut self, step: Step) {
        let Step::Publish { channel, size, ttl, meta_ttl, key, key_ttl, delta, version, epoch } = step else {
            return;
        };
        let options = PublishOptions {
            history_size: size,
            history_ttl: Duration::from_millis(ttl),
            history_meta_ttl: Duration::from_millis(meta_ttl),
            idempotency_key: if key == 0 { String::new() } else { key.to_string() },
            idempotency_ttl: Duration::from_millis(key_ttl),
            delta,
            version,
            version_epoch: if epoch == 0 { String::new() } else { epoch.to_string() },
            ..PublishOptions::default()
        };
        let keeps = size > 0 && ttl > 0;
        let outcome = answer(self.broker.publish(&name(channel), Bytes::from_static(b"x"), options))
            .expect("publishing succeeds");
        let delivered = self.heard.0.lock().pop();

        let model = &mut self.model;
        let now = model.now;
        if let Some((position, until)) = model.results.get(&(channel, key))
            && key > 0
            && *until > now
        {
            assert!(outcome.from_cache && delivered.is_none());
            let position = *position;
            return self.same_position(&outcome.position, position);
        }
        assert!(!outcome.from_cache);
        let mut position = (0, 0);
        let mut previous = None;
        if keeps {
            let until = model.until(meta_ttl);
            let stream = model.stream(channel);
            let late =
                version > 0 && version <= stream.version.0 && (epoch == 0 || epoch == stream.version.1);
            if late {
                assert!(outcome.skipped && delivered.is_none());
                let position = (stream.top, stream.life);
                return self.same_position(&outcome.position, position);
            }
            previous = stream.kept.last().copied().filter(|_| delta);
            stream.top += 1;
            stream.kept.push(stream.top);
            let excess = stream.kept.len().saturating_sub(size as usize);
            stream.kept.drain(..excess);
            stream.kept_until = now + ttl;
            stream.until = until;
            stream.version = (version, epoch);
            position = (stream.top, stream.life);
        }
        if key > 0 {
            let ttl = if key_ttl == 0 { 300_000 } else { key_ttl };
            model.results.insert((channel, key), (position, now + ttl));
        }
        assert!(!outcome.skipped);
        assert_eq!(delivered, Some((name(channel), position.0, delta, previous)));
        self.same_position(&outcome.position, position);
    }

    fn read(&mut self, step: Step) {
        let Step::Read { channel, since, limit, reverse, meta_ttl } = step else {
            return;
        };
        let filter = HistoryFilter {
            since: since.map(|(offset, stranger)| StreamPosition {
                offset,
                epoch: if stranger { Epoch::from("stranger") } else { Epoch::none() },
            }),
            limit,
            reverse,
        };
        let result = answer(self.broker.history(&name(channel), filter, Duration::from_millis(meta_ttl)));
        if reverse && since.is_some_and(|(offset, _)| offset == 0) {
            assert!(matches!(result, Err(BrokerError::ReverseFromZero)));
            return;
        }
        let until = self.model.until(meta_ttl);
        let stream = self.model.stream(channel);
        stream.until = until;
        let position = (stream.top, stream.life);
        let mut expected: Vec<u64> = stream.kept.clone();
        match since {
            Some((_, true)) => {
                assert!(matches!(result, Err(BrokerError::Unrecoverable { .. })));
                return;
            }
            Some((offset, _)) if reverse => {
                let start_is_kept = expected.contains(&(offset - 1));
                expected.retain(|each| start_is_kept && *each < offset);
            }
            Some((offset, _)) => expected.retain(|each| *each > offset),
            None => {}
        }
        if reverse {
            expected.reverse();
        }
        expected.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        let page = result.expect("reading succeeds");
        let offsets: Vec<u64> = page.publications.iter().map(|publication| publication.offset).collect();
        assert_eq!(offsets, expected);
        self.same_position(&page.position, position);
    }

    /// Compares positions: each life of the model has one epoch, and each epoch one life.
    fn same_position(&mut self, position: &StreamPosition, (offset, life): (u64, u64)) {
        assert_eq!(position.offset, offset);
        let known = self.epochs.len();
        let of_epoch = *self.epochs.entry(position.epoch.as_str().to_owned()).or_insert(life);
        assert_eq!(of_epoch, life, "epoch of another life");
        if self.epochs.len() > known {
            let namesakes = self.epochs.values().filter(|other| **other == life).count();
            assert_eq!(namesakes, 1, "one life, two epochs");
        }
    }
}

fn name(channel: u8) -> Arc<str> {
    format!("channel {channel}").into()
}

fn answer<T>(answer: MaybeReady<T>) -> T {
    match answer {
        MaybeReady::Ready(Some(answer)) => answer,
        _ => panic!("the embedded engine answers at once"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_engine_agrees_with_the_model(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
    }
}
