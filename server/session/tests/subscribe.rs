//! Subscribing, recovering, publishing, leaving.

use super::rig::{Rig, info};
use crate::broker::{BrokerError, Publication, StreamPosition};
use crate::node::{SubscribeUser, UnsubscribeUser};
use crate::session::*;
use bytes::Bytes;
use gyre_proto::client;
use std::sync::Arc;

fn recovering(channel: &str, offset: u64, epoch: &str) -> client::Command {
    let request = client::SubscribeRequest {
        channel: channel.into(),
        recover: true,
        offset,
        epoch: epoch.into(),
        ..Default::default()
    };
    client::Command { id: 2, subscribe: Some(Box::new(request)), ..Default::default() }
}

fn publication(offset: u64) -> Arc<Publication> {
    Arc::new(Publication { offset, data: Bytes::from(format!("{offset}")), ..Default::default() })
}

#[test]
fn a_plain_subscription_answers_empty() {
    let mut rig = Rig::connected();
    rig.subscribe(2, "a");
    rig.join_at(0, "");
    assert_eq!(rig.reply().subscribe, Some(Box::default()));
    assert!(rig.session.subscriptions().is_subscribed("a"));
}

#[test]
fn refusals_have_their_codes() {
    let mut rig = Rig::connected();
    for (channel, code) in [("no", 103), ("?x", 102), ("$x", 103), ("a-name-longer-than-twenty", 107)] {
        rig.subscribe(2, channel);
        assert_eq!(rig.error_code(), code, "{channel}");
    }
    rig.subscribe(2, "a");
    rig.join_at(0, "");
    rig.take();
    rig.subscribe(3, "a");
    assert_eq!(rig.error_code(), 105);
    for channel in ["b", "c", "d"] {
        rig.subscribe(4, channel);
        rig.join_at(0, "");
        rig.take();
    }
    rig.subscribe(5, "e");
    assert_eq!(rig.error_code(), 106);
    rig.subscribe(6, "");
    assert_eq!(rig.close_code(), Some(3501));
}

#[test]
fn recovered_publications_come_with_the_offset_asked_for() {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { recovery: true, ..Default::default() };
    rig.command(recovering("a", 3, "ep"));
    rig.join_with(|plan| {
        assert_eq!(plan.recovery, Recovery::Stream(StreamPosition { offset: 3, epoch: "ep".into() }, 300));
        let position = StreamPosition { offset: 5, epoch: "ep".into() };
        Ok(Joined {
            position,
            publications: vec![publication(4), publication(5)],
            recovered: true,
            attempted: true,
        })
    });
    let effects = rig.take();
    let [Effect::Send(Send::Reply(reply)), Effect::Activate(activation)] = &effects[..] else {
        panic!("{effects:?}")
    };
    let result = reply.subscribe.as_ref().unwrap();
    assert_eq!((result.offset, result.recovered, result.was_recovering), (3, true, true));
    assert_eq!(result.publications.iter().map(|publication| publication.offset).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(activation.position.offset, 5);
}

#[test]
fn what_cannot_be_recovered_starts_at_the_top() {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { recovery: true, ..Default::default() };
    rig.command(recovering("a", 3, "old"));
    rig.join_at(9, "new");
    let result = rig.reply().subscribe.unwrap();
    assert_eq!(
        (result.offset, result.recovered, result.was_recovering, &*result.epoch),
        (9, false, true, "new")
    );
}

#[test]
fn clients_may_refuse_unrecovered_subscriptions() {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { recovery: true, ..Default::default() };
    let mut command = recovering("a", 3, "old");
    command.subscribe.as_mut().unwrap().flag = 2;
    rig.command(command);
    rig.join_at(9, "new");
    let effects = rig.take();
    assert!(matches!(&effects[0], Effect::Leave(departure) if &*departure.channel == "a"));
    assert!(
        matches!(&effects[1], Effect::Send(Send::Reply(reply)) if reply.error.as_ref().unwrap().code == 112)
    );
    assert!(rig.session.subscriptions().is_empty());
}

#[test]
fn tokens_must_be_for_this_channel_and_user() {
    let token = |channel: &str, user: &str| {
        let mut rig = Rig::connected();
        let request =
            client::SubscribeRequest { channel: "$a".into(), token: "t".into(), ..Default::default() };
        rig.command(client::Command { id: 2, subscribe: Some(Box::new(request)), ..Default::default() });
        let claims = SubscribeClaims { channel: channel.into(), user: user.into(), ..Default::default() };
        rig.answer(Answer::Subscribe(Ok(Box::new(claims))));
        rig
    };
    assert_eq!(token("$b", "").close_code(), Some(3500));
    assert_eq!(token("$a", "bob").close_code(), Some(3500));
    let mut rig = token("$a", "");
    rig.join_at(0, "");
    assert!(rig.reply().subscribe.is_some());
}

#[test]
fn a_broker_failure_makes_the_client_reconnect() {
    let mut rig = Rig::connected();
    rig.subscribe(2, "a");
    rig.join_with(|_| Err(JoinError::Broker(BrokerError::Unavailable("down".into()))));
    assert_eq!(rig.close_code(), Some(3004));
}

#[test]
fn leaving_removes_presence_and_tells_others_once() {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { presence: true, join_leave: true, ..Default::default() };
    rig.subscribe(2, "a");
    rig.join_at(0, "");
    assert!(
        rig.take()
            .iter()
            .any(|effect| matches!(effect, Effect::AnnounceJoin(channel, _) if &**channel == "a"))
    );
    let request = client::UnsubscribeRequest { channel: "a".into() };
    rig.command(client::Command {
        id: 3,
        unsubscribe: Some(Box::new(request.clone())),
        ..Default::default()
    });
    let effects = rig.take();
    let Effect::Leave(departure) = &effects[0] else { panic!("{effects:?}") };
    assert!(departure.presence && departure.announce);
    assert_eq!(departure.info, Some(info("")));
    assert!(matches!(&effects[1], Effect::Send(Send::Reply(reply)) if reply.unsubscribe.is_some()));
    rig.command(client::Command { id: 4, unsubscribe: Some(Box::new(request)), ..Default::default() });
    assert!(rig.reply().unsubscribe.is_some());
}

#[test]
fn closing_while_joining_undoes_the_join_without_telling_anyone() {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { presence: true, join_leave: true, ..Default::default() };
    rig.subscribe(2, "a");
    let Some(Effect::Join(ticket, plans)) = rig.effects.pop_back() else { panic!() };
    rig.input(|session, cx| session.close(gyre_proto::codes::DisconnectCode::ConnectionClosed, cx));
    rig.take();
    let joined = vec![(plans[0].departure.clone(), Ok(Joined::default()))];
    rig.input(|session, cx| session.on_answer(ticket, Answer::Joined(joined), cx));
    let effects = rig.take();
    assert!(matches!(&effects[..], [Effect::Leave(departure)] if departure.presence && !departure.announce));
}

#[test]
fn gaps_end_client_side_subscriptions_and_server_side_connections() {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { recovery: true, ..Default::default() };
    rig.subscribe(2, "a");
    rig.join_at(1, "ep");
    rig.take();
    rig.input(|session, cx| session.on_insufficient_state("a", cx));
    let effects = rig.take();
    assert!(matches!(&effects[0], Effect::Leave(_)));
    let Effect::Send(Send::Push(push)) = &effects[1] else { panic!("{effects:?}") };
    assert_eq!(push.unsubscribe.as_ref().unwrap().code, 2500);

    rig.input(|session, cx| {
        session.on_server_subscribe(&SubscribeUser { channel: "s".into(), ..Default::default() }, cx);
    });
    rig.join_at(1, "ep");
    rig.take();
    rig.input(|session, cx| session.on_insufficient_state("s", cx));
    assert_eq!(rig.close_code(), Some(3010));
}

#[test]
fn what_the_server_recovers_follows_the_subscribe_push() {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { recovery: true, ..Default::default() };
    let since = Some(StreamPosition { offset: 1, epoch: "ep".into() });
    rig.input(|session, cx| {
        let request =
            SubscribeUser { channel: "s".into(), recover_since: since.clone(), ..Default::default() };
        session.on_server_subscribe(&request, cx);
    });
    rig.join_with(|_| {
        let position = StreamPosition { offset: 2, epoch: "ep".into() };
        Ok(Joined { position, publications: vec![publication(2)], recovered: true, attempted: true })
    });
    let effects = rig.take();
    let pushes: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(Send::Push(push)) => Some(push),
            _ => None,
        })
        .collect();
    assert_eq!(pushes[0].subscribe.as_ref().unwrap().offset, 1);
    assert_eq!(pushes[1].r#pub.as_ref().unwrap().offset, 2);
    assert!(matches!(effects.last(), Some(Effect::Activate(activation)) if activation.position.offset == 2));
}

#[test]
fn unsubscribed_while_joining_leaves_when_the_answer_comes() {
    let mut rig = Rig::connected();
    rig.input(|session, cx| {
        session.on_server_subscribe(&SubscribeUser { channel: "s".into(), ..Default::default() }, cx);
    });
    let join = rig.effects.pop_back();
    rig.input(|session, cx| {
        let request = UnsubscribeUser { channel: "s".into(), ..Default::default() };
        session.on_server_unsubscribe(&request, cx);
    });
    rig.take();
    rig.effects.extend(join);
    rig.join_at(0, "");
    assert!(matches!(&rig.take()[..], [Effect::Leave(_)]));
}
