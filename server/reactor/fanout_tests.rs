//! Deliveries that go out together reach each subscriber as if they had gone out one by one.

use super::connection::{Handshake, Key, Wire};
use super::delivery::{Delivery, Kind};
use super::link::Link;
use super::rig::{self, Generous};
use super::run;
use super::shard::Shard;
use super::socket::Socket;
use crate::broker::{ClientInfo, Epoch, Publication, StreamPosition, Tags};
use crate::channel::filter::Filter;
use crate::observability::{Gauges, Metrics, Transport};
use crate::protocol::Encoding;
use crate::session::{Delta, JoinFlags};
use crate::transport::framing::Framing;
use bytes::Bytes;
use gyre_proto::client::FilterNode;
use proptest::prelude::*;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Offset of the publication before the first.
const START: u64 = 10;

/// A subscriber to be.
#[derive(Clone, Debug)]
struct Plan {
    wire: Wire,
    name: Transport,
    flags: JoinFlags,
    filtered: bool,
    /// Offset its client has; another than [`START`] is behind or ahead.
    offset: u64,
    epoch: &'static str,
    delta: Delta,
    /// Deliveries are held back for it.
    holding: bool,
}

/// What comes next to the channel.
#[derive(Clone, Debug)]
struct Coming {
    join: bool,
    /// Offsets that are left out before it.
    gap: u64,
    /// Has a tag that filters want.
    wanted: bool,
    json: bool,
    length: usize,
}

fn plans() -> impl Strategy<Value = Plan> {
    let wire = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(json, unidirectional, compression, websocket)| Wire {
            encoding: if json { Encoding::Json } else { Encoding::Protobuf },
            unidirectional,
            compression: compression && websocket,
            framing: if websocket { Framing::WebSocket } else { Framing::Lines },
        },
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(positioned, delta, join_leave)| JoinFlags { positioned, delta, join_leave });
    let offset = prop_oneof![4 => Just(START), 1 => START - 2..START + 4];
    let epoch = prop_oneof![4 => Just("life"), 1 => Just(""), 1 => Just("other")];
    let place = (offset, epoch, any::<bool>(), prop::bool::weighted(0.1));
    (wire, flags, prop::bool::weighted(0.2), place).prop_map(|(wire, flags, filtered, place)| {
        let (offset, epoch, ready, holding) = place;
        let delta = if ready { Delta::Ready } else { Delta::NeedsFull };
        let name =
            if wire.framing == Framing::WebSocket { Transport::WebSocket } else { Transport::HttpStream };
        Plan { wire, name, flags, filtered, offset, epoch, delta, holding }
    })
}

fn comings() -> impl Strategy<Value = Coming> {
    let gap = prop_oneof![12 => Just(0), 1 => 1..3u64];
    let odd = |weight| prop::bool::weighted(weight);
    (odd(0.1), gap, any::<bool>(), odd(0.05), 0..40usize)
        .prop_map(|(join, gap, wanted, binary, length)| Coming { join, gap, wanted, json: !binary, length })
}

fn deliveries(comings: &[Coming], history: bool) -> Vec<Arc<Delivery>> {
    let (channel, epoch) = (Arc::<str>::from("news"), Epoch::from("life"));
    let (mut offset, mut previous) = (START, None);
    let mut make = |coming: &Coming| {
        if coming.join {
            let info = ClientInfo { client: "c".to_owned(), ..Default::default() };
            return Kind::Join(Arc::new(info));
        }
        offset += 1 + coming.gap;
        let position = match history {
            true => StreamPosition { offset, epoch: epoch.clone() },
            false => StreamPosition::default(),
        };
        let text = format!("{{\"n\":{offset},\"pad\":\"{}\"}}", "pad".repeat(coming.length));
        let tags = coming.wanted.then(|| Arc::new(Tags::from([("k".to_owned(), "v".to_owned())])));
        let data = if coming.json { Bytes::from(text) } else { Bytes::from_static(b"no json") };
        let publication = Arc::new(Publication { offset: position.offset, data, tags, ..Default::default() });
        let kind = Kind::Publication {
            publication: publication.clone(),
            position,
            previous: previous.take().filter(|_| history),
        };
        previous = Some(publication);
        kind
    };
    comings.iter().map(|coming| Arc::new(Delivery { channel: channel.clone(), kind: make(coming) })).collect()
}

/// A shard with these subscribers, each on a connection of its own.
struct Bench {
    shard: Shard,
    metrics: Arc<Metrics>,
    keys: Vec<Key>,
}

/// All that deliveries change.
#[derive(Debug, PartialEq)]
struct Result {
    streams: Vec<Vec<u8>>,
    places: Vec<(u64, Epoch, bool)>,
    behind: Vec<Key>,
    failing: Vec<Key>,
    counted: Vec<String>,
}

impl Bench {
    fn new(runtime: &Runtime, listener: &TcpListener, plans: &[Plan]) -> Self {
        Self::with_max_lag(runtime, listener, plans, Duration::ZERO)
    }

    fn with_max_lag(runtime: &Runtime, listener: &TcpListener, plans: &[Plan], max_lag: Duration) -> Self {
        let mut environment = rig::environment(Box::new(Generous));
        environment.limits.queue_max_size = 0;
        environment.limits.position_max_lag = max_lag;
        let (mut shard, metrics) = rig::shard(runtime, environment);
        let filter = FilterNode { key: "k".into(), cmp: "eq".into(), val: "v".into(), ..Default::default() };
        let filter = Arc::new(Filter::compile(&filter).unwrap());
        let name = Arc::<str>::from("news");
        let mut keys = Vec::new();
        for plan in plans {
            let stream = mio::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            shard.accept(Link::Socket(Socket::Plain(stream)), Handshake::new(plan.name, plan.wire));
            let key =
                shard.connections.iter().map(|(_, connection)| connection.key).max_by_key(|key| key.slot);
            let filter = plan.filtered.then(|| filter.clone());
            let place = shard.channels.add(&name, key.unwrap(), plan.wire, plan.flags, filter);
            if !plan.holding {
                let position = StreamPosition { offset: plan.offset, epoch: plan.epoch.into() };
                shard.channels.activate(place, position, plan.delta);
            }
            keys.extend(key);
        }
        Self { shard, metrics, keys }
    }

    fn result(mut self) -> Result {
        let connections = &self.shard.connections;
        let streams =
            self.keys.iter().map(|key| connections[key.slot as usize].outbox.frames().concat()).collect();
        let index = self.shard.channels.find("news").unwrap();
        let places = self.shard.channels.get(index).subscribers.iter();
        let places = places.map(|at| (at.offset, at.epoch.clone(), at.delta_ready)).collect();
        let unique = |mut keys: Vec<Key>| {
            keys.sort_unstable();
            keys.dedup();
            keys
        };
        let text = self.metrics.render(Gauges::default(), Instant::now());
        let counted = text.lines().filter(|line| {
            line.contains("transport_messages_sent")
                || line.contains("broadcast_duration_seconds_count")
                || line.contains("filtered")
        });
        Result {
            streams,
            places,
            behind: unique(std::mem::take(&mut self.shard.behind).into_iter().map(|(key, _)| key).collect()),
            failing: unique(
                std::mem::take(&mut self.shard.failing).into_iter().map(|(key, _)| key).collect(),
            ),
            counted: counted.map(str::to_owned).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn together_or_one_by_one_is_the_same(
        plans in prop::collection::vec(plans(), 1..12),
        comings in prop::collection::vec(comings(), 1..24),
        history in any::<bool>(),
        cuts in any::<u32>(),
    ) {
        let runtime = rig::runtime();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let deliveries = deliveries(&comings, history);
        let mut singly = Bench::new(&runtime, &listener, &plans);
        for delivery in &deliveries {
            singly.shard.deliver(std::slice::from_ref(delivery));
        }
        let mut together = Bench::new(&runtime, &listener, &plans);
        let mut run = Vec::new();
        for (at, delivery) in deliveries.iter().enumerate() {
            if !run::goes_on(&run, delivery) || cuts & (1 << at) != 0 {
                together.shard.deliver(&run);
                run.clear();
            }
            run.push(delivery.clone());
        }
        together.shard.deliver(&run);
        let (singly, together) = (singly.result(), together.result());
        prop_assert_eq!(singly, together);
    }
}

/// A subscriber with everything as usual.
fn usual(positioned: bool) -> Plan {
    Plan {
        wire: Wire::default(),
        name: Transport::WebSocket,
        flags: JoinFlags { positioned, ..Default::default() },
        filtered: false,
        offset: START,
        epoch: "life",
        delta: Delta::NeedsFull,
        holding: false,
    }
}

/// Rows LIM-9 and REC-14. The publications of these tests are of 1970.
#[test]
fn a_publication_that_comes_too_late_breaks_positions_and_reaches_others() {
    let runtime = rig::runtime();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plans = [usual(true), usual(false)];
    let coming = [Coming { join: false, gap: 0, wanted: true, json: true, length: 1 }];
    let mut bench = Bench::with_max_lag(&runtime, &listener, &plans, Duration::from_secs(3600));
    bench.shard.deliver(&deliveries(&coming, true));
    let positioned = bench.keys[0];
    let result = bench.result();
    assert_eq!(result.behind, [positioned]);
    assert!(result.streams[0].is_empty() && !result.streams[1].is_empty());

    let mut bench = Bench::with_max_lag(&runtime, &listener, &plans, Duration::ZERO);
    bench.shard.deliver(&deliveries(&coming, true));
    assert!(bench.result().behind.is_empty(), "zero sets no limit");
}

#[test]
fn a_run_is_one_reference_for_each_subscriber() {
    let runtime = rig::runtime();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bench = Bench::new(&runtime, &listener, &[usual(true), usual(true)]);
    let coming = Coming { join: false, gap: 0, wanted: true, json: true, length: 1 };
    bench.shard.deliver(&deliveries(&vec![coming; 5], true));
    let frames = |at: usize| bench.shard.connections[bench.keys[at].slot as usize].outbox.frames();
    assert!(frames(0).len() == 1 && std::rc::Rc::ptr_eq(&frames(0)[0], &frames(1)[0]));
    assert_eq!(bench.shard.queued_frames, 10);
}
