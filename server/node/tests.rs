use super::*;
use crate::broker::{
    BrokerError, ClientInfo, HistoryFilter, HistoryPage, MaybeReady, MemoryBroker, Publication,
    PublishOptions, PublishOutcome, Receiver, StreamPosition,
};
use crate::observability::MetricsSettings;
use crate::presence::MemoryPresence;
use crate::seams::VirtualClock;
use bytes::Bytes;
use parking_lot::Mutex;
use std::time::Duration;

const START: u64 = 1_700_000_000_000;

struct Rules;

impl Namespaces for Rules {
    fn options(&self, channel: &str) -> Option<Arc<ChannelOptions>> {
        let mut options = ChannelOptions::default();
        match channel.split_once(':').map_or("", |(namespace, _)| namespace) {
            "" => {}
            "kept" => {
                options.history_size = 2;
                options.history_ttl = Duration::from_secs(60);
                options.presence = true;
                options.force_recovery = true;
            }
            "map" => options.kind = ChannelKind::Map,
            "json" => options.data_format = DataFormat::Json,
            "delta" => options.delta_publish = true,
            _ => return None,
        }
        Some(Arc::new(options))
    }
}

#[derive(Default)]
struct Fake {
    subscribed: Mutex<Vec<Arc<SubscribeUser>>>,
    unsubscribed: Mutex<Vec<Arc<UnsubscribeUser>>>,
    delivered: Mutex<Vec<(String, Bytes, bool)>>,
    /// There is room to publish when it says so.
    room: Mutex<Option<tokio::sync::oneshot::Receiver<bool>>>,
}

impl Connections for Fake {
    fn room_to_publish(&self) -> MaybeReady<Result<(), BrokerError>> {
        match self.room.lock().take() {
            None => MaybeReady::ready(Ok(())),
            Some(room) => MaybeReady::later(async move {
                if room.await == Ok(true) { Ok(()) } else { Err(BrokerError::Unavailable("full".into())) }
            }),
        }
    }
    fn subscribe(&self, request: Arc<SubscribeUser>) {
        self.subscribed.lock().push(request);
    }
    fn unsubscribe(&self, request: Arc<UnsubscribeUser>) {
        self.unsubscribed.lock().push(request);
    }
    fn disconnect(&self, _: Arc<DisconnectUser>) {}
    fn refresh(&self, _: Arc<RefreshUser>) {}
    fn channels(&self) -> Vec<(Arc<str>, u32)> {
        vec![("kept:a".into(), 2), ("kept:b".into(), 0), ("news".into(), 1)]
    }
    fn counts(&self) -> Counts {
        Counts { clients: 3, users: 2, channels: 2, subscriptions: 3 }
    }
}

impl Receiver for Fake {
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        _: StreamPosition,
        delta: bool,
        _: Option<Arc<Publication>>,
    ) {
        self.delivered.lock().push((channel.to_string(), publication.data.clone(), delta));
    }
    fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
}

/// Answers later, as an engine behind a network does.
struct Slow(MemoryBroker);

impl Broker for Slow {
    fn publish(
        &self,
        channel: &Arc<str>,
        data: Bytes,
        options: PublishOptions,
    ) -> MaybeReady<Result<PublishOutcome, BrokerError>> {
        let answer = self.0.publish(channel, data, options);
        MaybeReady::later(async move {
            tokio::task::yield_now().await;
            answer.await
        })
    }
    fn publish_join(&self, c: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), BrokerError>> {
        self.0.publish_join(c, info)
    }
    fn publish_leave(&self, c: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), BrokerError>> {
        self.0.publish_leave(c, info)
    }
    fn subscribe(&self, c: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        self.0.subscribe(c)
    }
    fn unsubscribe(&self, c: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        self.0.unsubscribe(c)
    }
    fn history(
        &self,
        c: &Arc<str>,
        filter: HistoryFilter,
        meta_ttl: Duration,
    ) -> MaybeReady<Result<HistoryPage, BrokerError>> {
        self.0.history(c, filter, meta_ttl)
    }
    fn remove_history(&self, c: &Arc<str>) -> MaybeReady<Result<(), BrokerError>> {
        self.0.remove_history(c)
    }
}

fn node(slow: bool) -> (Arc<Node>, Arc<Fake>) {
    let clock = Arc::new(VirtualClock::new(START));
    let fake = Arc::new(Fake::default());
    let memory = MemoryBroker::new(fake.clone(), clock.clone());
    let broker: Arc<dyn Broker> = if slow { Arc::new(Slow(memory)) } else { Arc::new(memory) };
    let metrics = Arc::new(Metrics::new(MetricsSettings::default(), clock.now().instant));
    let node = Node::new(NodeParts {
        name: "test".to_owned(),
        version: "0".to_owned(),
        broker,
        presence: Arc::new(MemoryPresence::new()),
        namespaces: Arc::new(Rules),
        cluster: Cluster::alone(clock.clone(), metrics.clone()),
        metrics,
        clock,
    });
    node.set_connections(fake.clone());
    (Arc::new(node), fake)
}

fn payload(text: &'static str) -> PublishRequest {
    PublishRequest { data: Bytes::from_static(text.as_bytes()), ..PublishRequest::default() }
}

/// Takes an answer that must be there already.
fn now<T>(answer: MaybeReady<T>) -> T {
    match answer {
        MaybeReady::Ready(Some(value)) => value,
        _ => panic!("the embedded engine answers at once"),
    }
}

#[test]
fn publish_uses_the_options_of_the_namespace() {
    let (node, fake) = node(false);
    let position = now(node.publish("kept:a", payload("1"))).expect("published");
    assert_eq!(position.offset, 1);
    assert!(!position.epoch.is_none());
    let skipped = PublishRequest { skip_history: true, ..payload("2") };
    assert_eq!(now(node.publish("kept:a", skipped)).expect("published"), StreamPosition::default());
    assert_eq!(now(node.publish("a", payload("3"))).expect("published"), StreamPosition::default());
    now(node.publish("delta:a", payload("4"))).expect("published");
    let delivered = fake.delivered.lock().clone();
    let seen: Vec<_> =
        delivered.iter().map(|(channel, data, delta)| (&**channel, &data[..], *delta)).collect();
    assert_eq!(
        seen,
        [("kept:a", &b"1"[..], false), ("kept:a", b"2", false), ("a", b"3", false), ("delta:a", b"4", true)]
    );
}

#[test]
fn publish_refuses_what_the_namespace_does_not_take() {
    let (node, fake) = node(false);
    for (channel, data, expected) in [
        ("", "1", "bad request: channel is empty"),
        ("none:a", "1", "channel \"none:a\" belongs to no configured namespace"),
        ("map:a", "1", "bad request: channel is not a stream"),
        ("json:a", "{", "bad request: data has not the format of the channel"),
        ("a", "", "bad request: data has not the format of the channel"),
    ] {
        let error = now(node.publish(channel, payload(data))).expect_err(channel);
        assert_eq!(error.to_string(), expected);
    }
    assert!(fake.delivered.lock().is_empty());
}

#[test]
fn broadcast_fails_channel_by_channel() {
    let (node, fake) = node(false);
    let results = now(node.broadcast(["kept:a", "", "none:a", "map:a"], payload("1")));
    assert!(matches!(&results[0], Ok(position) if position.offset == 1));
    assert!(matches!(&results[1], Err(NodeError::BadRequest(_))));
    assert!(matches!(&results[2], Err(NodeError::UnknownChannel(_))));
    assert!(results[3].is_ok(), "the kind of a channel is not checked");
    assert_eq!(fake.delivered.lock().len(), 2);
}

#[tokio::test]
async fn broadcast_keeps_order_when_the_engine_answers_later() {
    let (node, _) = node(true);
    let channels: Vec<String> =
        (0..3000).map(|n| if n % 7 == 3 { String::new() } else { format!("kept:{n}") }).collect();
    let results = node.broadcast(channels.clone(), payload("1")).await;
    assert_eq!(results.len(), channels.len());
    for (channel, result) in channels.iter().zip(results) {
        assert_eq!(channel.is_empty(), result.is_err(), "{channel}");
    }
}

#[test]
fn suppressed_publishes_are_counted() {
    let (node, _) = node(false);
    for version in [2, 2] {
        let request = PublishRequest { version, ..payload("1") };
        now(node.publish("kept:a", request)).expect("published");
    }
    for _ in 0..2 {
        let request = PublishRequest { idempotency_key: "k".to_owned(), ..payload("1") };
        now(node.publish("kept:b", request)).expect("published");
    }
    let text = node.metrics().render(node.gauges(), node.clock().now().instant);
    for line in [
        "centrifugo_broker_publish_suppressed_count{reason=\"version\",channel_namespace=\"\"} 1",
        "centrifugo_broker_publish_suppressed_count{reason=\"idempotency\",channel_namespace=\"\"} 1",
        "centrifugo_node_messages_sent_count{type=\"publication\",channel_namespace=\"\"} 4",
        "centrifugo_node_num_clients 3",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn subscribe_fills_in_the_namespace() {
    let (node, fake) = node(false);
    let request = |channel: &str, expire_at| SubscribeUser {
        channel: channel.to_owned(),
        expire_at,
        presence: Some(false),
        ..SubscribeUser::default()
    };
    node.subscribe_user(request("kept:a", 0)).expect("subscribed");
    let subscribed = fake.subscribed.lock();
    assert_eq!((subscribed[0].presence, subscribed[0].recovery), (Some(false), Some(true)));
    assert_eq!((subscribed[0].join_leave, subscribed[0].positioning), (Some(false), Some(false)));
    drop(subscribed);

    let past = (START / 1000) as i64;
    assert!(matches!(node.subscribe_user(request("kept:a", past)), Err(NodeError::AlreadyExpired(_))));
    assert!(node.subscribe_user(request("kept:a", past + 1)).is_ok());
    assert!(matches!(node.subscribe_user(request("", 0)), Err(NodeError::BadRequest(_))));
    assert!(matches!(node.subscribe_user(request("none:a", 0)), Err(NodeError::UnknownChannel(_))));
}

#[test]
fn unsubscribe_passes_an_empty_channel_on() {
    let (node, fake) = node(false);
    node.unsubscribe_user(UnsubscribeUser::default()).expect("accepted");
    assert_eq!(fake.unsubscribed.lock().len(), 1);
    let unknown = UnsubscribeUser { channel: "none:a".to_owned(), ..UnsubscribeUser::default() };
    assert!(matches!(node.unsubscribe_user(unknown), Err(NodeError::UnknownChannel(_))));
}

#[test]
fn features_a_namespace_lacks_are_not_available() {
    let (node, _) = node(false);
    assert!(matches!(now(node.presence("a")), Err(NodeError::NotAvailable("presence"))));
    assert!(matches!(now(node.presence_stats("a")), Err(NodeError::NotAvailable("presence"))));
    assert!(matches!(
        now(node.history("a", HistoryFilter::default())),
        Err(NodeError::NotAvailable("history"))
    ));
    assert!(matches!(now(node.remove_history("a")), Err(NodeError::NotAvailable("history"))));
    assert!(now(node.presence("kept:a")).expect("presence").is_empty());
    let page = now(node.history("kept:a", HistoryFilter::default())).expect("history");
    assert!(page.publications.is_empty() && !page.position.epoch.is_none());
    now(node.remove_history("kept:a")).expect("removed");
}

#[test]
fn channels_are_those_with_subscribers_that_match() {
    let (node, _) = node(false);
    let names =
        |pattern: &str| now(node.channels(pattern)).map(|page| page.channels.into_keys().collect::<Vec<_>>());
    assert_eq!(names("").expect("all"), ["kept:a", "news"]);
    assert_eq!(names("kept:*").expect("some"), ["kept:a"]);
    assert!(matches!(names("["), Err(NodeError::BadPattern(_))));
}

#[test]
fn info_describes_this_node() {
    let (node, _) = node(false);
    let nodes = node.info();
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].uid, node.uid());
    assert_eq!((nodes[0].clients, nodes[0].users, nodes[0].channels, nodes[0].subscriptions), (3, 2, 2, 3));
    assert!(nodes[0].metrics.is_empty());
    node.aggregate_metrics(Duration::from_secs(60));
    let nodes = node.info();
    assert_eq!(nodes[0].metrics_interval, 60.0);
    assert_eq!(nodes[0].metrics["centrifugo.node.num_clients"], 3.0);
}

#[tokio::test]
async fn publications_wait_for_room_before_the_engine_sees_them() {
    for (room, outcome) in [(true, 1), (false, 0)] {
        let (node, fake) = node(false);
        let (tell, told) = tokio::sync::oneshot::channel();
        *fake.room.lock() = Some(told);
        let answer = node.publish("news", payload("1"));
        assert!(matches!(answer, MaybeReady::Later(_)));
        assert!(fake.delivered.lock().is_empty());
        tell.send(room).unwrap();
        assert_eq!(answer.await.is_ok(), room);
        assert_eq!(fake.delivered.lock().len(), outcome);
    }
}

#[test]
fn what_other_nodes_are_told_says_the_same_when_it_comes_back() {
    let target = Target { user: "42".into(), client: "c".into(), session: "s".into() };
    let subscribe = SubscribeUser {
        target: target.clone(),
        channel: "news".into(),
        expire_at: 5,
        info: Bytes::from_static(b"i"),
        data: Bytes::from_static(b"d"),
        recover_since: Some(StreamPosition { offset: 7, epoch: "e".into() }),
        presence: Some(true),
        join_leave: Some(false),
        push_join_leave: Some(true),
        recovery: Some(false),
        positioning: Some(true),
    };
    let back = SubscribeUser::from(gyre_proto::control::Subscribe::from(&subscribe));
    assert_eq!(format!("{back:?}"), format!("{subscribe:?}"));
    let disconnect = DisconnectUser {
        target: target.clone(),
        whitelist: vec!["w".into()],
        code: 4001,
        reason: "enough".into(),
    };
    let back = DisconnectUser::from(gyre_proto::control::Disconnect::from(&disconnect));
    assert_eq!(format!("{back:?}"), format!("{disconnect:?}"));
    let refresh =
        RefreshUser { target: target.clone(), expired: true, expire_at: 9, info: Bytes::from_static(b"i") };
    let back = RefreshUser::from(gyre_proto::control::Refresh::from(&refresh));
    assert_eq!(format!("{back:?}"), format!("{refresh:?}"));
    let unsubscribe = UnsubscribeUser { target, channel: "news".into() };
    let back = UnsubscribeUser::from(gyre_proto::control::Unsubscribe::from(&unsubscribe));
    assert_eq!(format!("{back:?}"), format!("{unsubscribe:?}"));
}

#[test]
fn channels_of_this_node_are_told_to_others() {
    use crate::cluster::{Handler, Reply, ReplyCode};
    use prost::Message;
    let (node, _) = node(false);
    let asked = |pattern: &str| {
        let request = gyre_proto::api::ChannelsRequest { pattern: pattern.to_owned() };
        now(node.answer("channels", request.encode_to_vec().into()))
    };
    let reply = asked("kept:*");
    assert_eq!(reply.code, ReplyCode::OK);
    let result = gyre_proto::api::ChannelsResult::decode(reply.data).expect("channels");
    assert_eq!(
        result.channels.into_iter().map(|(name, info)| (name, info.num_clients)).collect::<Vec<_>>(),
        [("kept:a".to_owned(), 2)]
    );
    assert_eq!(asked("["), Reply::code(ReplyCode::INVALID));
    assert_eq!(now(node.answer("channels", Bytes::from_static(b"\xff"))), Reply::code(ReplyCode::INVALID));
    assert_eq!(now(node.answer("other", Bytes::new())), Reply::code(ReplyCode::UNKNOWN));
}

#[test]
fn commands_from_other_nodes_are_answered_by_code() {
    use crate::cluster::{Handler, Reply, ReplyCode};
    use gyre_proto::client::EmulationRequest;
    use prost::Message;

    let (node, _) = node(false);
    let answer = |data: Vec<u8>| now(node.answer("centrifuge_emulation", data.into()));
    assert_eq!(answer(vec![7]), Reply::code(ReplyCode(1)));
    let request = EmulationRequest { session: "unknown".to_owned(), ..Default::default() };
    assert_eq!(answer(request.encode_to_vec()), Reply::code(ReplyCode(2)));
    let elsewhere = EmulationRequest { node: "elsewhere".to_owned(), ..request.clone() };
    let refused = now(node.emulate(elsewhere));
    assert!(matches!(refused, Err(EmulationError::Survey(_))), "{refused:?}");
    let here = EmulationRequest { node: node.uid().to_owned(), ..request };
    assert!(matches!(now(node.emulate(here)), Err(EmulationError::NoSession)));
}
