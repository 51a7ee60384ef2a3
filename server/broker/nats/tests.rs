use super::*;
use crate::broker::contract_tests::{Abilities, Bench, broker_contract};
use crate::seams::SystemClock;
use crate::testing::NatsServer;
use parking_lot::Mutex as SyncMutex;

struct OverNats {
    broker: Arc<NatsBroker>,
    _server: NatsServer,
}

fn settings() -> NatsBrokerSettings {
    NatsBrokerSettings { prefix: "centrifugo".into(), allow_wildcards: false, raw_mode: None }
}

impl Bench for OverNats {
    const ABILITIES: Abilities =
        Abilities { history: false, reverse: false, versions: false, idempotency: false, previous: false };

    async fn start(receiver: Arc<dyn Receiver>) -> Self {
        let server = NatsServer::start().await;
        let connection = server.connect().await;
        let broker = NatsBroker::detached(&settings(), connection, Arc::new(SystemClock));
        broker.attach(receiver);
        Self { broker, _server: server }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker.clone())
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

broker_contract!(OverNats);

/// Remembers channel and payload of what arrives.
#[derive(Default)]
struct Heard(SyncMutex<Vec<(String, Arc<Publication>)>>, tokio::sync::Notify);

impl Receiver for Heard {
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        _: StreamPosition,
        _: bool,
        _: Option<Arc<Publication>>,
    ) {
        self.0.lock().push((channel.to_string(), publication));
        self.1.notify_one();
    }
    fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
}

impl Heard {
    async fn next(&self) -> (String, Arc<Publication>) {
        loop {
            if let Some(first) = self.0.lock().pop() {
                return first;
            }
            self.1.notified().await;
        }
    }
}

async fn broker(server: &NatsServer, settings: &NatsBrokerSettings) -> (Arc<NatsBroker>, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let broker = NatsBroker::detached(settings, server.connect().await, Arc::new(SystemClock));
    broker.attach(heard.clone());
    (broker, heard)
}

#[tokio::test]
async fn what_one_node_publishes_arrives_at_another_once_subscribing_is_answered() {
    let server = NatsServer::start().await;
    let ((one, _), (other, heard)) = (broker(&server, &settings()).await, broker(&server, &settings()).await);
    for number in 0..50 {
        let channel: Arc<str> = format!("news-{number}").into();
        other.subscribe(&channel).await.unwrap();
        one.publish(&channel, Bytes::from_static(b"{}"), PublishOptions::default()).await.unwrap();
        let (delivered, publication) = heard.next().await;
        assert_eq!((delivered.as_str(), &publication.data[..]), (&*channel, &b"{}"[..]));
        assert_eq!(publication.channel, None);
    }
}

#[tokio::test]
async fn wildcards_are_refused_unless_they_are_allowed() {
    let server = NatsServer::start().await;
    let (closed, _) = broker(&server, &settings()).await;
    let pattern: Arc<str> = "news.*".into();
    assert!(matches!(closed.subscribe(&pattern).await, Err(BrokerError::BadChannel(_))));
    let publish = |broker: Arc<NatsBroker>, channel: &str| {
        broker.publish(&channel.into(), Bytes::from_static(b"1"), PublishOptions::default())
    };
    assert!(matches!(publish(closed.clone(), "news.*").await, Err(BrokerError::BadChannel(_))));
    let (open, heard) = broker(&server, &NatsBrokerSettings { allow_wildcards: true, ..settings() }).await;
    open.subscribe(&pattern).await.unwrap();
    publish(open.clone(), "news.a").await.unwrap();
    let (delivered, publication) = heard.next().await;
    assert_eq!((delivered.as_str(), publication.channel.as_deref()), ("news.*", Some("news.a")));
}

#[tokio::test]
async fn raw_mode_carries_payloads_as_they_are() {
    let server = NatsServer::start().await;
    let raw_mode = NatsRawMode {
        prefix: "app.".into(),
        channel_replacements: BTreeMap::from([(":".to_owned(), ".".to_owned())]),
    };
    let raw = NatsBrokerSettings { raw_mode: Some(raw_mode), ..settings() };
    let (broker, heard) = broker(&server, &raw).await;
    broker.subscribe(&"news:a".into()).await.unwrap();
    let elsewhere = server.connect().await;
    elsewhere.publish("app.news.a".into(), Bytes::from_static(b"plain")).await.unwrap();
    let (delivered, publication) = heard.next().await;
    assert_eq!((delivered.as_str(), &publication.data[..]), ("news:a", &b"plain"[..]));
}

#[tokio::test]
async fn publishing_fails_without_a_connection_and_subscriptions_return_with_it() {
    let server = NatsServer::start().await;
    let (broker, heard) = broker(&server, &settings()).await;
    let channel: Arc<str> = "news".into();
    broker.subscribe(&channel).await.unwrap();
    let port = server.port();
    drop(server);
    let publish = || broker.publish(&channel, Bytes::from_static(b"1"), PublishOptions::default());
    while publish().await.is_ok() {
        tokio::task::yield_now().await;
    }
    heard.0.lock().clear();
    assert!(broker.trouble().is_some(), "the loss is told");
    let _server = NatsServer::start_on(Some(port)).await;
    let received = async {
        loop {
            // Until the connection is back, each is refused; the subscription comes back with it.
            let _ = publish().await;
            tokio::select! {
                next = heard.next() => break next,
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    let (delivered, _) =
        tokio::time::timeout(Duration::from_secs(20), received).await.expect("delivered again");
    assert_eq!(delivered, "news");
    let over = async {
        while broker.trouble().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), over).await.expect("the trouble is over");
}

#[tokio::test]
async fn history_is_not_available() {
    let server = NatsServer::start().await;
    let (broker, _) = broker(&server, &settings()).await;
    let read = broker.history(&"news".into(), HistoryFilter::default(), Duration::ZERO).await;
    assert!(matches!(read, Err(BrokerError::NotAvailable("history"))));
}

#[tokio::test]
async fn nodes_hear_each_other() {
    use crate::cluster::{Controller, Listener, NatsController, To};

    struct Log(SyncMutex<Vec<String>>, tokio::sync::Notify);
    impl Listener for Log {
        fn heard(&self, message: &[u8]) {
            self.0.lock().push(String::from_utf8_lossy(message).into_owned());
            self.1.notify_one();
        }
    }

    let server = NatsServer::start().await;
    let mut nodes = Vec::new();
    for uid in ["a", "b"] {
        let log = Arc::new(Log(SyncMutex::default(), tokio::sync::Notify::new()));
        let connection = server.connect().await;
        let controller = NatsController::start("p".into(), connection, uid, log.clone()).await.unwrap();
        nodes.push((controller, log));
    }
    nodes[0].0.publish(To::All, Bytes::from_static(b"all")).await.unwrap();
    nodes[0].0.publish(To::Node("b".into()), Bytes::from_static(b"b")).await.unwrap();
    let log = &nodes[1].1;
    while log.0.lock().len() < 2 {
        log.1.notified().await;
    }
    let mut heard = log.0.lock().clone();
    heard.sort();
    assert_eq!(heard, ["all", "b"]);
}
