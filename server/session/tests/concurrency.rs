//! Several commands of one connection under way at the same time.

use super::rig::{Rig, settings};
use crate::session::*;
use gyre_proto::client;
use gyre_proto::proxy as wire;
use std::time::Duration;

fn with_concurrency(concurrency: usize) -> Rig {
    let mut rig = Rig::with(Settings { concurrency, ..settings() }, Transport::default());
    rig.connect();
    rig
}

fn call(id: u32) -> client::Command {
    client::Command { id, rpc: Some(Box::default()), ..Default::default() }
}

fn tickets(rig: &mut Rig) -> Vec<Ticket> {
    let asked = |effect| match effect {
        Effect::Ask(ticket, _) => Some(ticket),
        _ => None,
    };
    rig.take().into_iter().filter_map(asked).collect()
}

fn allow(rig: &mut Rig, ticket: Ticket, verdict: Verdict) {
    rig.input(|session, cx| session.on_answer(ticket, Answer::Application(Ok(Box::new(verdict))), cx));
}

#[test]
fn as_many_commands_as_configured_wait_at_once_and_answers_come_in_any_order() {
    let mut rig = with_concurrency(2);
    rig.command(call(2));
    assert!(!rig.session.is_busy());
    rig.command(call(3));
    assert!(rig.session.is_busy());
    let asked = tickets(&mut rig);
    allow(&mut rig, asked[1], Verdict::Rpc(wire::RpcResponse::default()));
    assert_eq!(rig.reply().id, 3);
    assert!(!rig.session.is_busy());
    allow(&mut rig, asked[0], Verdict::Rpc(wire::RpcResponse::default()));
    assert_eq!(rig.reply().id, 2);
}

#[test]
fn connecting_is_never_concurrent() {
    let settings = Settings { concurrency: 8, connect_proxy: true, ..settings() };
    let mut rig = Rig::with(settings, Transport::default());
    rig.command(client::Command { id: 1, connect: Some(Box::default()), ..Default::default() });
    assert!(rig.session.is_busy());
}

#[test]
fn a_channel_that_is_being_decided_counts_as_subscribed() {
    let mut rig = with_concurrency(8);
    rig.subscribe(2, "ask");
    let asked = tickets(&mut rig);
    rig.subscribe(3, "ask");
    assert_eq!(rig.error_code(), 105);
    for (id, channel) in [(4, "ask2"), (5, "ask3"), (6, "ask4")] {
        rig.subscribe(id, channel);
    }
    rig.take();
    rig.subscribe(7, "more");
    assert_eq!(rig.error_code(), 106);
    allow(&mut rig, asked[0], Verdict::Subscribe(wire::SubscribeResponse::default()));
    rig.join_at(0, "");
    assert_eq!(rig.reply().id, 2);
}

#[test]
fn an_unsubscribe_waits_for_the_subscription_it_means() {
    let mut rig = with_concurrency(8);
    rig.subscribe(2, "ask");
    let asked = tickets(&mut rig);
    let request = client::UnsubscribeRequest { channel: "ask".into() };
    rig.command(client::Command { id: 3, unsubscribe: Some(Box::new(request)), ..Default::default() });
    assert!(rig.take().is_empty() && rig.session.is_busy());
    allow(&mut rig, asked[0], Verdict::Subscribe(wire::SubscribeResponse::default()));
    rig.join_at(0, "");
    let replies = rig.take().into_iter().filter_map(|effect| match effect {
        Effect::Send(Send::Reply(reply)) => Some((reply.id, reply.unsubscribe.is_some())),
        _ => None,
    });
    assert_eq!(replies.collect::<Vec<_>>(), [(2, false), (3, true)]);
    assert!(rig.session.subscriptions().is_empty() && !rig.session.is_busy());
}

#[test]
fn answers_after_the_end_are_nothing() {
    let mut rig = with_concurrency(2);
    rig.command(call(2));
    let asked = tickets(&mut rig);
    rig.input(|session, cx| session.close(gyre_proto::codes::DisconnectCode::Shutdown, cx));
    rig.take();
    allow(&mut rig, asked[0], Verdict::Rpc(wire::RpcResponse::default()));
    assert!(rig.take().is_empty());
}

#[test]
fn a_pong_is_taken_while_a_command_waits() {
    let mut rig = with_concurrency(1);
    rig.command(call(2));
    rig.advance(Duration::from_secs(25));
    assert!(rig.session.is_busy() && rig.session.awaits_pong());
    rig.command(client::Command::default());
    assert!(!rig.session.awaits_pong());
    rig.advance(Duration::from_secs(20));
    assert!(!rig.session.is_closed());
}
