//! Connections that are ended a few at a time.

use super::rig::{self, Generous, Trusting, answer, dial, runtime, send};
use crate::session::Close;
use gyre_proto::codes::DisconnectCode;
use std::net::TcpListener;
use std::sync::Arc;

#[test]
fn as_many_as_are_named_are_ended_and_nobody_new_comes() {
    let runtime = runtime();
    let (reactor, _) = rig::reactor(&runtime, rig::environment(Box::new(Generous)), Arc::new(Trusting));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| dial(&reactor, &listener)).collect();
    for client in &mut clients {
        send(client, r#"{"id":1,"connect":{"token":"t"}}"#);
        assert!(answer(client).unwrap().contains("connect"));
    }
    reactor.shed(&Close::from(DisconnectCode::Shutdown), 2);
    let mut late = dial(&reactor, &listener);
    assert!(answer(&mut late).unwrap().ends_with("shutdown"));
    let mut ended = 0;
    for client in &mut clients {
        send(client, r#"{"id":2,"ping":{}}"#);
        ended += usize::from(answer(client).unwrap().ends_with("shutdown"));
    }
    assert_eq!(ended, 2);
    reactor.stop();
}
