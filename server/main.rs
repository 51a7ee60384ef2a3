use std::sync::{Arc, OnceLock};
use gyre::*;
use std::time::Duration;
struct T;
impl reactor::TokenAuthority for T {
    fn verify_connect(&self, _t: String, _n: seams::UnixMillis) -> broker::MaybeReady<Result<Box<session::ConnectClaims>, session::AuthError>> {
        broker::MaybeReady::ready(Ok(Box::new(session::ConnectClaims { user: "u".into(), ..Default::default() })))
    }
    fn verify_subscribe(&self, _t: String, _n: seams::UnixMillis) -> broker::MaybeReady<Result<Box<session::SubscribeClaims>, session::AuthError>> {
        broker::MaybeReady::ready(Err(session::AuthError::Invalid))
    }
}
struct P;
use gyre_proto::codes::ClientErrorCode as C;
impl session::Policy for P {
    fn subscribe(&self, ask: &session::SubscribeAsk<'_>) -> Result<session::SubscribeDecision, C> { Ok(session::SubscribeDecision::Granted(Box::new(self.server_grant(ask.channel, &Default::default())?))) }
    fn token_grant(&self, channel: &str, _claims: &session::SubscribeClaims) -> Result<session::Grant, C> { self.server_grant(channel, &Default::default()) }
    fn server_grant(&self, channel: &str, _o: &session::Overrides) -> Result<session::Grant, C> { let r = channel.contains(':'); Ok(session::Grant { recovery: r, positioning: r, ..Default::default() }) }
    fn connect_grant(&self, _c: &str, _user: &str) -> Result<Option<session::Grant>, C> { Ok(None) }
    fn personal_channel(&self, namespace: &str, user: &str) -> String { format!("{namespace}#{user}") }
    fn publish(&self, channel: &str, _user: &str, _s: bool, _d: &[u8]) -> Result<broker::PublishOptions, C> { let r = channel.contains(':'); Ok(broker::PublishOptions { history_size: if r {1000} else {0}, history_ttl: Duration::from_secs(300), ..Default::default() }) }
    fn presence(&self, _c: &str, _u: &str, _s: bool) -> Result<(), C> { Ok(()) }
    fn history(&self, _c: &str, _u: &str, _s: bool) -> Result<Duration, C> { Ok(Duration::ZERO) }
}
#[tokio::main]
async fn main() {
    let clock = Arc::new(seams::SystemClock);
    let memory = Arc::new(broker::MemoryBroker::detached(clock.clone()));
    let backend = reactor::Backend { broker: memory.clone(), presence: Arc::new(presence::MemoryPresence::new()), tokens: Arc::new(T), connections: Arc::new(OnceLock::new()) };
    let s = Duration::from_secs;
    let settings = session::Settings { version: "0".into(), node: "n".into(), ping_interval: s(25), pong_timeout: s(8), stale_close_delay: s(10), expired_close_delay: s(25), expired_sub_close_delay: s(25), presence_update_interval: s(27), position_check_delay: s(40), channel_limit: 128, channel_max_length: 255, user_connection_limit: 0, include_server_time: false, history_limit: 300, recovery_limit: 300, insecure: false, allow_anonymous_without_token: true, disallow_anonymous_tokens: false, personal_channel: None, rpc_ping: None, unidirectional_closes: Default::default() };
    let limits = reactor::Limits { queue_max_size: 1<<20, outbound_budget: 1<<30, write_timeout: s(1), message_size: 65536, inflated_size: 655360, compression_min_size: 0, compression_level: 1, position_max_lag: Duration::ZERO };
    let env = reactor::Environment { settings, policy: Box::new(P), limits };
    let r = reactor::Reactor::new(2, env, backend, clock, tokio::runtime::Handle::current()).unwrap();
    memory.attach(r.clone());
    let l = tokio::net::TcpListener::bind(("127.0.0.1", 8000)).await.unwrap();
    loop {
        let (sock, _) = l.accept().await.unwrap();
        sock.set_nodelay(true).unwrap();
        let r = r.clone();
        let m = memory.clone();
        tokio::spawn(async move {
            let svc = hyper::service::service_fn(move |req: http::Request<hyper::body::Incoming>| {
                let r = r.clone();
                let m = m.clone();
                async move {
                    if req.uri().path() == "/health" { return Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<bytes::Bytes>::default())); }
                    if req.uri().path() == "/api/publish" {
                        use http_body_util::BodyExt;
                        let b = req.into_body().collect().await.unwrap().to_bytes();
                        let v: serde_json::Value = serde_json::from_slice(&b).unwrap();
                        use gyre::broker::Broker;
                        let _ = m.publish(&v["channel"].as_str().unwrap().into(), serde_json::to_vec(&v["data"]).unwrap().into(), Default::default()).await;
                        return Ok(http::Response::new(http_body_util::Full::from("{\"result\":{}}")));
                    }
                    Ok::<_, std::convert::Infallible>(transport::websocket::accept::accept(req, transport::websocket::accept::Options { compression: true }, true, String::new(), r))
                }
            });
            let _ = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new()).serve_connection_with_upgrades(hyper_util::rt::TokioIo::new(sock), svc).await;
        });
    }
}
