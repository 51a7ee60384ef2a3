//! A panic that one connection causes ends that connection and no other.

use super::TokenAuthority;
use super::rig::{self, answer, dial, runtime, send};
use crate::broker::MaybeReady;
use crate::seams::UnixMillis;
use crate::session::{
    AuthError, ConnectClaims, Grant, Overrides, Policy, PublishDecision, SubscribeAsk, SubscribeClaims,
    SubscribeDecision,
};
use gyre_proto::codes::ClientErrorCode;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Knows every token but those that make it panic.
struct Brittle;

impl TokenAuthority for Brittle {
    fn verify_connect(
        &self,
        token: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<ConnectClaims>, AuthError>> {
        assert_ne!(token, "at once", "provoked");
        if token == "later" {
            return MaybeReady::later(async { panic!("provoked") });
        }
        if token == "on the runtime" {
            return MaybeReady::later(async {
                tokio::task::yield_now().await;
                panic!("provoked")
            });
        }
        MaybeReady::ready(Ok(Box::new(ConnectClaims { user: token, ..Default::default() })))
    }

    fn verify_subscribe(
        &self,
        _: String,
        _: UnixMillis,
    ) -> MaybeReady<Result<Box<SubscribeClaims>, AuthError>> {
        MaybeReady::ready(Err(AuthError::Invalid))
    }
}

/// Panics whatever it is asked.
struct Panicking;

impl Policy for Panicking {
    fn subscribe(&self, _: &SubscribeAsk<'_>) -> Result<SubscribeDecision, ClientErrorCode> {
        panic!("provoked")
    }
    fn token_grant(&self, _: &SubscribeAsk<'_>, _: &SubscribeClaims) -> Result<Grant, ClientErrorCode> {
        panic!("provoked")
    }
    fn server_grant(&self, _: &str, _: &Overrides) -> Result<Grant, ClientErrorCode> {
        panic!("provoked")
    }
    fn connect_grant(&self, _: &str, _: &str) -> Result<Option<Grant>, ClientErrorCode> {
        panic!("provoked")
    }
    fn personal_channel(&self, _: &str, _: &str) -> String {
        panic!("provoked")
    }
    fn publish(&self, _: &str, _: &str, _: bool, _: &[u8]) -> Result<PublishDecision, ClientErrorCode> {
        panic!("provoked")
    }
    fn sub_refresh_proxy(&self, _: &str) -> Option<Arc<str>> {
        panic!("provoked")
    }
    fn rpc(&self, _: &str) -> Result<Arc<str>, ClientErrorCode> {
        panic!("provoked")
    }
    fn presence(&self, _: &str, _: &str, _: bool) -> Result<(), ClientErrorCode> {
        panic!("provoked")
    }
    fn history(&self, _: &str, _: &str, _: bool) -> Result<Duration, ClientErrorCode> {
        panic!("provoked")
    }
}

#[test]
fn a_panic_ends_the_connection_that_caused_it_and_no_other() {
    let runtime = runtime();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (reactor, _) = rig::reactor(&runtime, rig::environment(Box::new(Panicking)), Arc::new(Brittle));
    let mut witness = dial(&reactor, &listener);
    send(&mut witness, r#"{"id":1,"connect":{"token":"witness"}}"#);
    assert!(answer(&mut witness).unwrap().contains("\"connect\""));
    let mut id = 1;
    let connect_panics = |token: &str| format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#);
    let attacks = [
        vec![connect_panics("at once")],
        vec![connect_panics("later")],
        vec![connect_panics("on the runtime")],
        vec![connect_panics("good"), r#"{"id":2,"subscribe":{"channel":"x"}}"#.to_owned()],
        vec![connect_panics("good"), r#"{"id":2,"publish":{"channel":"x","data":1}}"#.to_owned()],
        vec![connect_panics("good"), r#"{"id":2,"history":{"channel":"x"}}"#.to_owned()],
    ];
    for (count, attack) in (1..).zip(attacks) {
        let mut attacker = dial(&reactor, &listener);
        for command in &attack {
            send(&mut attacker, command);
        }
        while answer(&mut attacker).is_some() {}
        assert_eq!(reactor.traffic().panics.load(Ordering::Relaxed), count, "{attack:?}");
        id += 1;
        send(&mut witness, &format!(r#"{{"id":{id},"unsubscribe":{{"channel":"none"}}}}"#));
        assert_eq!(answer(&mut witness).unwrap(), format!(r#"{{"id":{id},"unsubscribe":{{}}}}"#));
    }
    assert_eq!(reactor.open_connections(), 1);
    reactor.stop();
}
