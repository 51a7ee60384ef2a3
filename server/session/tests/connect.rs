//! Who gets in, and what comes with it.

use super::rig::{Rig, settings};
use crate::session::*;
use gyre_proto::client;
use std::collections::BTreeMap;

fn connect(token: &str) -> client::Command {
    let request = client::ConnectRequest { token: token.into(), ..Default::default() };
    client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() }
}

#[test]
fn anything_before_connect_is_a_bad_request() {
    for command in [
        client::Command::default(),
        client::Command { id: 1, ..Default::default() },
        client::Command { id: 1, rpc: Some(Box::default()), ..Default::default() },
        client::Command { id: 0, connect: Some(Box::default()), ..Default::default() },
    ] {
        let mut rig = Rig::new();
        rig.command(command);
        assert_eq!(rig.close_code(), Some(3501));
    }
}

#[test]
fn a_second_connect_is_a_bad_request() {
    let mut rig = Rig::connected();
    rig.command(connect(""));
    assert_eq!(rig.close_code(), Some(3501));
}

#[test]
fn without_a_token_only_anonymous_servers_let_in() {
    let mut rig =
        Rig::with(Settings { allow_anonymous_without_token: false, ..settings() }, Transport::default());
    rig.command(connect(""));
    assert_eq!(rig.close_code(), Some(3501));

    let mut rig = Rig::new();
    rig.command(connect(""));
    let result = rig.reply().connect.expect("connected");
    assert_eq!((result.ping, result.pong, result.expires), (25, true, false));
    assert_eq!(result.client, rig.session.id().to_string());
}

#[test]
fn token_failures_have_their_codes() {
    let failing = |error| {
        let mut rig = Rig::new();
        rig.command(connect("token"));
        assert!(rig.session.is_busy());
        rig.answer(Answer::Connect(Err(error)));
        rig
    };
    assert_eq!(failing(AuthError::Invalid).close_code(), Some(3500));
    let mut expired = failing(AuthError::Expired);
    assert_eq!(expired.error_code(), 109);
    // Nothing more is accepted after an error.
    expired.command(connect("token"));
    assert_eq!(expired.close_code(), Some(3501));
}

#[test]
fn a_token_sets_user_and_expiration() {
    let mut rig = Rig::new();
    rig.command(connect("token"));
    let claims = ConnectClaims { user: "ann".into(), expire_at: rig.unix() + 60, ..Default::default() };
    rig.answer(Answer::Connect(Ok(Box::new(claims))));
    let result = rig.reply().connect.expect("connected");
    assert_eq!((result.expires, result.ttl), (true, 60));
    assert_eq!(&**rig.session.user(), "ann");
}

#[test]
fn server_side_subscriptions_are_in_the_connect_result_before_any_push() {
    let mut rig = Rig::new();
    rig.rules.grant = Grant { recovery: true, join_leave: true, ..Default::default() };
    rig.command(connect("token"));
    let subscriptions =
        BTreeMap::from([("a".to_owned(), Default::default()), ("b".to_owned(), Default::default())]);
    let claims = ConnectClaims { user: "ann".into(), subscriptions, ..Default::default() };
    rig.answer(Answer::Connect(Ok(Box::new(claims))));
    rig.join_at(7, "ep");
    let effects = rig.take();
    let reply = effects.iter().position(|effect| matches!(effect, Effect::Send(Send::Reply(_)))).unwrap();
    let activated = effects.iter().position(|effect| matches!(effect, Effect::Activate(_))).unwrap();
    let announced = effects.iter().position(|effect| matches!(effect, Effect::AnnounceJoin(..))).unwrap();
    assert!(reply < activated && activated < announced);
    let Effect::Send(Send::Reply(reply)) = &effects[reply] else { unreachable!() };
    let subs = &reply.connect.as_ref().unwrap().subs;
    assert_eq!(subs["a"].offset, 7);
    assert!(subs["b"].recoverable && subs["b"].positioned);
}

#[test]
fn one_failing_subscription_fails_the_connect_and_leaves_the_others() {
    let mut rig = Rig::new();
    rig.command(connect("token"));
    let subscriptions =
        BTreeMap::from([("a".to_owned(), Default::default()), ("b".to_owned(), Default::default())]);
    rig.answer(Answer::Connect(Ok(Box::new(ConnectClaims { subscriptions, ..Default::default() }))));
    let broken = || JoinError::Broker(crate::broker::BrokerError::Unavailable("down".into()));
    rig.join_with(|plan| if &*plan.channel == "a" { Ok(Joined::default()) } else { Err(broken()) });
    let effects = rig.take();
    let left: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Leave(departure) => Some((&*departure.channel, departure.announce)),
            _ => None,
        })
        .collect();
    assert_eq!(left, [("b", false), ("a", false)]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Close(close) if close.code == 3004)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Forget)));
}

#[test]
fn limits_close_with_their_codes() {
    let mut rig = Rig::new();
    rig.command(connect("token"));
    let subscriptions = (0..5).map(|n| (format!("c{n}"), Default::default())).collect();
    rig.answer(Answer::Connect(Ok(Box::new(ConnectClaims { subscriptions, ..Default::default() }))));
    assert_eq!(rig.close_code(), Some(3505));

    let mut rig = Rig::with(Settings { user_connection_limit: 2, ..settings() }, Transport::default());
    rig.connections_of_user = 2;
    rig.command(connect("token"));
    rig.answer(Answer::Connect(Ok(Box::new(ConnectClaims { user: "ann".into(), ..Default::default() }))));
    assert_eq!(rig.close_code(), Some(3504));
}

#[test]
fn channels_asked_for_in_connect_come_only_when_allowed() {
    let mut rig = Rig::new();
    let request = client::ConnectRequest {
        subs: [("a".to_owned(), client::SubscribeRequest::default())].into(),
        ..Default::default()
    };
    rig.command(client::Command { id: 1, connect: Some(Box::new(request.clone())), ..Default::default() });
    assert!(rig.reply().connect.unwrap().subs.is_empty());

    let mut rig = Rig::new();
    rig.rules.connect = true;
    rig.command(client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() });
    rig.join_at(0, "");
    assert!(rig.reply().connect.unwrap().subs.contains_key("a"));
}

#[test]
fn unidirectional_connections_get_a_push_and_errors_become_closes() {
    let transport = Transport { unidirectional: true, ..Default::default() };
    let mut rig = Rig::with(settings(), transport);
    rig.input(|session, cx| session.on_unidirectional_connect(client::ConnectRequest::default(), cx));
    let effects = rig.take();
    let push = effects.iter().find_map(|effect| match effect {
        Effect::Send(Send::Push(push)) => push.connect.as_ref(),
        _ => None,
    });
    assert!(push.is_some_and(|connect| !connect.pong && !connect.session.is_empty()));

    let mut rig = Rig::with(settings(), transport);
    let request = client::ConnectRequest { token: "token".into(), ..Default::default() };
    rig.input(|session, cx| session.on_unidirectional_connect(request, cx));
    rig.answer(Answer::Connect(Err(AuthError::Expired)));
    assert_eq!(rig.close_code(), Some(3005));
}

#[test]
fn errors_of_unidirectional_connects_can_be_kept() {
    let transport = Transport { unidirectional: true, keeps_errors: true, ..Default::default() };
    let mut rig = Rig::with(settings(), transport);
    assert!(rig.session.is_new());
    let request = client::ConnectRequest { token: "token".into(), ..Default::default() };
    rig.input(|session, cx| session.on_unidirectional_connect(request, cx));
    assert!(!rig.session.is_new());
    rig.answer(Answer::Connect(Err(AuthError::Expired)));
    let closes = rig.take().into_iter().filter_map(|effect| match effect {
        Effect::Close(close) => Some(close),
        _ => None,
    });
    assert_eq!(closes.collect::<Vec<_>>(), [Close { code: 109, reason: "token expired".into() }]);
}
