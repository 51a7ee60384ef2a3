//! Engines as the configuration names them, on servers that ask who is there.

use super::*;
use crate::broker::{ClientInfo, HistoryFilter, Publication, PublishOptions, StreamPosition};
use crate::seams::SystemClock;
use crate::testing::redis::{Cluster, SentinelSet, Server, free_port};
use crate::testing::shards::Shared;
use crate::testing::{Certificates, NatsServer};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(20);

fn load(config: &Value) -> Config {
    let file = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("is written");
    let loaded = Config::load(Some(file.path()), std::iter::empty(), &[]).expect("loads");
    assert_eq!(loaded.warnings, []);
    loaded.config.validate().expect("is valid");
    loaded.config
}

async fn start(config: &Value) -> Result<Engines, EngineError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Engines::start(&load(config), &clock).await
}

/// Hands on what is published.
struct Ear(UnboundedSender<Bytes>);

impl Receiver for Ear {
    fn publication(
        &self,
        _: &Arc<str>,
        publication: Arc<Publication>,
        _: StreamPosition,
        _: bool,
        _: Option<Arc<Publication>>,
    ) {
        let _ = self.0.send(publication.data.clone());
    }
    fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
}

/// Publishes once and hears it; reads it from the history when there is one; keeps presence.
async fn works(config: &Value, history: bool) {
    let engines = start(config).await.unwrap_or_else(|error| panic!("{config}: {error:?}"));
    let (ear, mut heard) = unbounded_channel();
    engines.broker.attach(Arc::new(Ear(ear)));
    let broker = engines.broker.shared();
    let channel: Arc<str> = random_id().to_string().into();
    broker.subscribe(&channel).await.expect("subscribes");
    let options = PublishOptions {
        history_size: if history { 10 } else { 0 },
        history_ttl: Duration::from_secs(60),
        ..PublishOptions::default()
    };
    broker.publish(&channel, "hello".into(), options).await.expect("publishes");
    let message = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("is heard").expect("is open");
    assert_eq!(message, "hello", "{config}");
    if history {
        // What is read at a replica may lag.
        let read = async {
            loop {
                let page = broker.history(&channel, HistoryFilter::default(), Duration::ZERO).await;
                if page.expect("is read").publications.len() == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("is kept");
    }
    let info = Arc::new(ClientInfo { client: "c".into(), user: "u".into(), ..ClientInfo::default() });
    engines.presence.add(&channel, info).await.expect("presence is kept");
}

/// Does not start; answers everything that is said about it.
async fn refused(config: &Value) -> String {
    let Err(error) = start(config).await else { panic!("starts: {config}") };
    let mut said = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

fn redis(section: Value) -> Value {
    json!({"engine": {"type": "redis", "redis": section}})
}

fn nats(section: Value) -> Value {
    json!({"broker": {"enabled": true, "type": "nats", "nats": section}})
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("servers start")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_users_takes_those_it_knows() {
    // Rights without those of an administrator suffice.
    let rights = ["on", ">s3cret", "~*", "&*", "+@all", "-@admin", "-@dangerous"];
    let users = [&["--user", "app"], &rights[..], &["--user", "default", "off"]].concat();
    let server = aside(move || Server::start(&users)).await;
    let address = server.address();
    works(&redis(json!({"address": [address], "user": "app", "password": "s3cret"})), true).await;
    works(&redis(json!({"address": [format!("redis://app:s3cret@{address}")]})), true).await;
    for wrong in [
        json!({"address": [address], "user": "app", "password": "wr0ng"}),
        json!({"address": [format!("redis://app:wr0ng@{address}/0")]}),
        json!({"address": [address]}),
    ] {
        let said = refused(&redis(wrong)).await;
        assert!(said.contains(&address) && !said.contains("wr0ng"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_a_password_alone() {
    let server = aside(|| Server::start(&["--requirepass", "s3cret"])).await;
    works(&redis(json!({"address": [server.address()], "password": "s3cret", "client_name": "gyre"})), true)
        .await;
    works(&redis(json!({"address": [server.address()], "password": "s3cret", "force_resp2": true})), true)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_behind_a_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("redis.sock").display().to_string();
    let path = socket.clone();
    let _server = aside(move || Server::start(&["--unixsocket", &path])).await;
    works(&redis(json!({"address": [format!("unix://{socket}")]})), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_tls_shows_and_asks_for_certificates() {
    let certificates = Certificates::generate();
    let port = free_port();
    let files = certificates.files();
    let arguments: Vec<String> = [
        ["--tls-port", &port.to_string()],
        ["--tls-cert-file", &files.path("server.pem")],
        ["--tls-key-file", &files.path("server.key")],
        ["--tls-ca-cert-file", &files.path("authority.pem")],
        ["--tls-auth-clients", "yes"],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect();
    let _server =
        aside(move || Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let address = format!("127.0.0.1:{port}");
    let tls = json!({
        "enabled": true, "server_ca_pem": files.path("authority.pem"),
        "cert_pem": files.path("client.pem"), "key_pem": certificates.client_key,
    });
    works(&redis(json!({"address": [address], "tls": tls})), true).await;

    let stranger = json!({"enabled": true, "server_ca_pem": files.path("authority.pem")});
    let said = refused(&redis(json!({"address": [address], "tls": stranger, "connect_timeout": "5s"}))).await;
    assert!(said.contains(&address), "{said}");
    let credulous =
        json!({"enabled": true, "cert_pem": files.path("client.pem"), "key_pem": files.path("client.key")});
    let said = refused(&redis(json!({"address": [address], "tls": credulous}))).await;
    assert!(said.contains("certificate"), "{said}");
    let missing = json!({"enabled": true, "server_ca_pem": "/nowhere.pem"});
    let said = refused(&redis(json!({"address": [address], "tls": missing}))).await;
    // The value is not repeated: it could be a key in the wrong place.
    assert!(said.contains("engine.redis.tls.server_ca_pem") && !said.contains("/nowhere.pem"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_read_at_replicas() {
    let set = SentinelSet::shared().await;
    let by_sentinels = json!({
        "sentinel_address": [set.addresses()], "sentinel_master_name": SentinelSet::NAME,
        "replica_client": {"enabled": true},
    });
    works(&redis(by_sentinels), true).await;
    let cluster = Cluster::shared().await;
    let by_nodes = json!({"cluster_address": [cluster.addresses()], "replica_client": {"enabled": true}});
    works(&redis(by_nodes), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_with_users_takes_those_it_knows() {
    let server = NatsServer::start_with(&["--user", "app", "--pass", "s3cret"]).await;
    let port = server.port();
    works(&nats(json!({"url": format!("nats://app:s3cret@127.0.0.1:{port}")})), false).await;
    for wrong in ["app:wr0ng@", ""] {
        let said = refused(&nats(json!({"url": format!("nats://{wrong}127.0.0.1:{port}")}))).await;
        assert!(said.contains("nats") && !said.contains("wr0ng"), "{said}");
    }
    let server = NatsServer::start_with(&["--auth", "t0ken"]).await;
    works(&nats(json!({"url": format!("nats://t0ken@127.0.0.1:{}", server.port())})), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_with_tls_shows_and_asks_for_certificates() {
    let certificates = Certificates::generate();
    let files = certificates.files();
    let server = NatsServer::start_with(&[
        "--tlsverify",
        "--tlscert",
        &files.path("server.pem"),
        "--tlskey",
        &files.path("server.key"),
        "--tlscacert",
        &files.path("authority.pem"),
    ])
    .await;
    let url = format!("nats://127.0.0.1:{}", server.port());
    let known = json!({
        "enabled": true, "server_ca_pem": files.path("authority.pem"),
        "cert_pem": files.path("client.pem"), "key_pem": files.path("client.key"),
    });
    works(&nats(json!({"url": url, "tls": known})), false).await;
    let stranger = json!({"enabled": true, "server_ca_pem": files.path("authority.pem")});
    assert!(refused(&nats(json!({"url": url, "tls": stranger}))).await.contains("nats"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_in_redis_and_delivery_over_nats() {
    let (redis, nats) = (Server::shared().await, NatsServer::start().await);
    let config = json!({
        "enable_unreleased_features": true,
        "broker": {
            "enabled": true, "type": "redisnats",
            "redis": {"address": [redis.address()]},
            "nats": {"url": format!("nats://127.0.0.1:{}", nats.port())},
        },
        "presence_manager": {"enabled": true, "type": "redis", "redis": {"address": [redis.address()]}},
    });
    works(&config, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_messages_may_have_a_way_of_their_own() {
    let (redis, nats) = (Server::shared().await, NatsServer::start().await);
    let url = format!("nats://127.0.0.1:{}", nats.port());
    for (kind, section) in [("redis", json!({"address": [redis.address()]})), ("nats", json!({"url": url}))] {
        let config = json!({"controller": {"enabled": true, "type": kind, kind: section}});
        let engines = start(&config).await.expect("starts");
        assert_eq!(engines.broker_name, "memory");
        match (kind, engines.control) {
            ("redis", ControlPath::Redis(shards, prefix)) => {
                assert_eq!((shards.len(), prefix.as_str()), (1, "centrifugo"));
            }
            ("nats", ControlPath::Nats(_, prefix)) => assert_eq!(prefix, "centrifugo"),
            _ => panic!("{kind} is not used"),
        }
    }
}
