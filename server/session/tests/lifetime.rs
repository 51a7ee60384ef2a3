//! What happens when time passes.

use super::rig::{Rig, settings};
use crate::node::RefreshUser;
use crate::session::*;
use gyre_proto::client;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn pong() -> client::Command {
    client::Command::default()
}

fn pings(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Send(Send::Ping))).count()
}

#[test]
fn connections_that_never_authenticate_are_stale() {
    let mut rig = Rig::new();
    rig.advance(9 * SECOND);
    assert_eq!(rig.close_code(), None);
    rig.advance(SECOND);
    assert_eq!(rig.close_code(), Some(3502));
}

#[test]
fn a_missing_pong_closes_and_an_extra_one_is_a_bad_request() {
    let mut rig = Rig::connected();
    // The first ping comes after three quarters of the interval, because chance is one half.
    rig.advance(Duration::from_millis(18_750));
    assert_eq!(pings(&rig.take()), 1);
    rig.advance(8 * SECOND);
    assert_eq!(rig.close_code(), Some(3012));

    let mut rig = Rig::connected();
    rig.advance(19 * SECOND);
    rig.command(pong());
    assert_eq!(rig.close_code(), None);
    rig.command(pong());
    assert_eq!(rig.close_code(), Some(3501));
}

#[test]
fn pings_keep_their_interval_while_pongs_come() {
    let mut rig = Rig::connected();
    let mut seen = 0;
    for _ in 0..200 {
        rig.advance(SECOND);
        let new = pings(&rig.take());
        for _ in 0..new {
            rig.command(pong());
        }
        seen += new;
    }
    assert_eq!(seen, 8);
    assert!(rig.session.is_ready());
}

#[test]
fn other_traffic_does_not_replace_a_pong() {
    let mut rig = Rig::connected();
    rig.advance(19 * SECOND);
    rig.take();
    rig.command(client::Command { id: 5, rpc: Some(Box::default()), ..Default::default() });
    rig.advance(8 * SECOND);
    assert_eq!(rig.close_code(), Some(3012));
}

#[test]
fn expired_connections_get_a_grace_period_to_refresh() {
    let mut rig = Rig::with(Settings { ping_interval: Duration::ZERO, ..settings() }, Transport::default());
    let request = client::ConnectRequest { token: "t".into(), ..Default::default() };
    rig.command(client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() });
    let claims = |expire_at| Box::new(ConnectClaims { user: "ann".into(), expire_at, ..Default::default() });
    rig.answer(Answer::Connect(Ok(claims(rig.unix() + 60))));
    rig.take();
    rig.advance(80 * SECOND);
    assert_eq!(rig.close_code(), None);
    let refresh = client::RefreshRequest { token: "t2".into() };
    rig.command(client::Command { id: 2, refresh: Some(Box::new(refresh.clone())), ..Default::default() });
    rig.answer(Answer::Connect(Ok(claims(rig.unix() + 30))));
    let result = rig.reply().refresh.unwrap();
    assert_eq!((result.expires, result.ttl), (true, 30));
    rig.advance(54 * SECOND);
    assert_eq!(rig.close_code(), None);
    rig.advance(2 * SECOND);
    assert_eq!(rig.close_code(), Some(3005));
}

#[test]
fn a_token_without_expiration_ends_the_expiration() {
    let mut rig = Rig::with(Settings { ping_interval: Duration::ZERO, ..settings() }, Transport::default());
    let request = client::ConnectRequest { token: "t".into(), ..Default::default() };
    rig.command(client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() });
    rig.answer(Answer::Connect(Ok(Box::new(ConnectClaims {
        expire_at: rig.unix() + 60,
        ..Default::default()
    }))));
    rig.take();
    let refresh = client::RefreshRequest { token: "t2".into() };
    rig.command(client::Command { id: 2, refresh: Some(Box::new(refresh)), ..Default::default() });
    rig.answer(Answer::Connect(Ok(Box::default())));
    assert!(!rig.reply().refresh.unwrap().expires);
    rig.advance(1000 * SECOND);
    assert_eq!(rig.close_code(), None);
}

#[test]
fn another_user_may_not_refresh_a_connection() {
    let mut rig = Rig::connected();
    let refresh = client::RefreshRequest { token: "t".into() };
    rig.command(client::Command { id: 2, refresh: Some(Box::new(refresh)), ..Default::default() });
    rig.answer(Answer::Connect(Ok(Box::new(ConnectClaims { user: "eve".into(), ..Default::default() }))));
    assert_eq!(rig.close_code(), Some(3500));
}

#[test]
fn expired_subscriptions_are_ended_by_a_tick() {
    let mut rig = Rig::with(Settings { ping_interval: Duration::ZERO, ..settings() }, Transport::default());
    rig.connect();
    rig.rules.grant = Grant { expire_at: rig.unix() + 10, client_side_refresh: true, ..Default::default() };
    rig.subscribe(2, "a");
    rig.join_at(0, "");
    let result = rig.reply().subscribe.unwrap();
    assert_eq!((result.expires, result.ttl), (true, 10));
    rig.advance(70 * SECOND);
    let ended = rig.take().into_iter().find_map(|effect| match effect {
        Effect::Send(Send::Push(push)) => push.unsubscribe.map(|unsubscribe| unsubscribe.code),
        _ => None,
    });
    assert_eq!(ended, Some(2501));
}

#[test]
fn ticks_renew_presence_and_check_positions() {
    let mut rig = Rig::with(Settings { ping_interval: Duration::ZERO, ..settings() }, Transport::default());
    rig.connect();
    rig.rules.grant = Grant { presence: true, recovery: true, ..Default::default() };
    rig.subscribe(2, "a");
    rig.join_at(0, "e");
    rig.take();
    rig.advance(100 * SECOND);
    let effects = rig.take();
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::RenewPresence(..))).count(), 3);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::CheckPosition(..))).count(), 1);
}

#[test]
fn the_server_can_refresh_and_end_a_connection() {
    let mut rig = Rig::connected();
    let at = rig.unix() + 60;
    rig.input(|session, cx| {
        session.on_server_refresh(&RefreshUser { expire_at: at, ..Default::default() }, cx)
    });
    let effects = rig.take();
    let Effect::Send(Send::Push(push)) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(push.refresh.as_ref().map(|refresh| (refresh.expires, refresh.ttl)), Some((true, 60)));
    rig.input(|session, cx| {
        session.on_server_refresh(&RefreshUser { expired: true, ..Default::default() }, cx)
    });
    assert_eq!(rig.close_code(), Some(3005));
}
