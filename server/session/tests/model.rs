//! Random lives of a session beside a model that knows only what a peer can see.

use super::rig::{Rig, settings};
use crate::session::*;
use gyre_proto::client;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Subscribe(u8),
    Unsubscribe(u8),
    Publish(u8),
    Call(bool),
    FeedEnds(u8),
    Pong,
    Wait(u16),
    Gap(u8),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6).prop_map(Step::Subscribe),
        3 => (0u8..6).prop_map(Step::Unsubscribe),
        3 => (0u8..6).prop_map(Step::Publish),
        2 => any::<bool>().prop_map(Step::Call),
        1 => (4u8..6).prop_map(Step::FeedEnds),
        1 => Just(Step::Pong),
        2 => (0u16..20_000).prop_map(Step::Wait),
        1 => (0u8..6).prop_map(Step::Gap),
        1 => Just(Step::Close),
    ]
}

/// What must be true of a session, told without looking into it.
#[derive(Default)]
struct Model {
    subscribed: BTreeSet<String>,
    joined: BTreeSet<String>,
    closed: bool,
}

impl Model {
    /// Follows effects: every join is undone exactly once, and nothing comes after the end.
    fn follow(&mut self, effects: Vec<Effect>) -> Option<u32> {
        let mut code = None;
        for effect in effects {
            assert!(!self.closed, "effect after the end: {effect:?}");
            match effect {
                Effect::Activate(activation) => {
                    assert!(self.joined.insert(activation.channel.to_string()));
                }
                Effect::Leave(departure) => {
                    assert!(self.joined.remove(&*departure.channel), "left {} twice", departure.channel);
                }
                Effect::Close(close) => {
                    code = Some(close.code);
                    self.closed = true;
                    assert!(self.joined.is_empty(), "closed without leaving {:?}", self.joined);
                }
                _ => {}
            }
        }
        code
    }
}

proptest! {
    #[test]
    fn a_session_keeps_its_books(steps in proptest::collection::vec(step(), 1..60)) {
        let mut rig = Rig::with(settings(), Transport::default());
        rig.connect();
        rig.rules.grant = Grant { presence: true, join_leave: true, recovery: true, ..Default::default() };
        let mut model = Model::default();
        let mut awaiting_pong = false;
        for step in steps {
            // Each kind of channel has two: plain ones, those the application decides about, those it feeds.
            let channel = |n: u8| format!("{}{n}", ["c", "ask", "feed"][usize::from(n / 2)]);
            match &step {
                Step::Subscribe(n) => {
                    let expected = if model.subscribed.contains(&channel(*n)) {
                        Some(105)
                    } else if model.subscribed.len() >= 4 {
                        Some(106)
                    } else {
                        None
                    };
                    rig.subscribe(2, &channel(*n));
                    if expected.is_none() {
                        if *n > 1 {
                            rig.verdict(Verdict::Subscribe(Default::default()));
                        }
                        rig.join_at(0, "e");
                        model.subscribed.insert(channel(*n));
                    }
                    let effects = rig.take();
                    let error = effects.iter().find_map(|effect| match effect {
                        Effect::Send(Send::Reply(reply)) => reply.error.as_ref().map(|error| error.code),
                        _ => None,
                    });
                    prop_assert_eq!(error, expected);
                    model.follow(effects);
                }
                Step::Unsubscribe(n) => {
                    let request = client::UnsubscribeRequest { channel: channel(*n) };
                    rig.command(client::Command { id: 3, unsubscribe: Some(Box::new(request)), ..Default::default() });
                    model.subscribed.remove(&channel(*n));
                    model.follow(rig.take());
                }
                Step::Publish(n) => {
                    let request = client::PublishRequest { channel: channel(*n), data: "1".into(), ..Default::default() };
                    rig.command(client::Command { id: 4, publish: Some(Box::new(request)), ..Default::default() });
                    let asked = matches!(*n, 2 | 3);
                    if asked {
                        rig.verdict(Verdict::Publish(Default::default()));
                    }
                    let fed = *n > 3;
                    if asked || model.subscribed.contains(&channel(*n)) {
                        prop_assert!(rig.session.is_busy());
                        rig.answer(if fed { Answer::Fed(Ok(())) } else { Answer::Published(Ok(())) });
                        prop_assert!(rig.reply().publish.is_some());
                    } else {
                        prop_assert_eq!(rig.error_code(), if fed { 108 } else { 103 });
                    }
                }
                Step::Call(answered) => {
                    rig.command(client::Command { id: 5, rpc: Some(Box::default()), ..Default::default() });
                    let result = if *answered { Ok(Box::new(Verdict::Rpc(Default::default()))) } else { Err(Unanswered) };
                    rig.answer(Answer::Application(result));
                    prop_assert_eq!(rig.reply().error.is_none(), *answered);
                }
                Step::FeedEnds(n) => {
                    rig.input(|session, cx| session.on_feed_end(&channel(*n), true, cx));
                    model.subscribed.remove(&channel(*n));
                    model.follow(rig.take());
                }
                Step::Pong => {
                    rig.command(client::Command::default());
                    let code = model.follow(rig.take());
                    prop_assert_eq!(code, (!awaiting_pong).then_some(3501));
                    awaiting_pong = false;
                }
                Step::Wait(millis) => {
                    rig.advance(Duration::from_millis(u64::from(*millis)));
                    let effects = rig.take();
                    awaiting_pong |= effects.iter().any(|effect| matches!(effect, Effect::Send(Send::Ping)));
                    let code = model.follow(effects);
                    prop_assert!(code.is_none_or(|code| code == 3012));
                }
                Step::Gap(n) => {
                    rig.input(|session, cx| session.on_insufficient_state(&channel(*n), cx));
                    model.subscribed.remove(&channel(*n));
                    model.follow(rig.take());
                }
                Step::Close => {
                    rig.input(|session, cx| session.close(gyre_proto::codes::DisconnectCode::ConnectionClosed, cx));
                    model.follow(rig.take());
                }
            }
            if model.closed {
                rig.subscribe(9, "late");
                rig.advance(Duration::from_secs(100));
                prop_assert!(rig.take().is_empty());
                break;
            }
            let held: BTreeSet<_> = rig.session.subscriptions().iter().map(|s| s.channel.to_string()).collect();
            prop_assert_eq!(&held, &model.subscribed);
            prop_assert_eq!(&held, &model.joined);
        }
    }
}
