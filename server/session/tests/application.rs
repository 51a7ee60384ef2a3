//! What the application is asked, and what its answers come to.

use super::rig::{Rig, settings};
use crate::broker::StreamPosition;
use crate::session::*;
use gyre_proto::client;
use gyre_proto::proxy as wire;
use std::collections::BTreeMap;
use std::time::Duration;

fn asking() -> Settings {
    Settings {
        connect_proxy: true,
        refresh_proxy: true,
        allow_anonymous_without_token: false,
        ping_interval: Duration::ZERO,
        ..settings()
    }
}

fn connecting(settings: Settings, transport: Transport) -> Rig {
    let mut rig = Rig::with(settings, transport);
    let subs = [("wanted".to_owned(), client::SubscribeRequest::default())].into_iter().collect();
    let request = client::ConnectRequest { name: "js".into(), data: "1".into(), subs, ..Default::default() };
    if transport.unidirectional {
        rig.input(|session, cx| session.on_unidirectional_connect(request, cx));
    } else {
        rig.command(client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() });
    }
    rig
}

fn connected_as(result: wire::ConnectResult) -> Rig {
    let mut rig = connecting(asking(), Transport::default());
    rig.verdict(Verdict::Connect(wire::ConnectResponse { result: Some(result), ..Default::default() }));
    rig
}

fn error(code: u32) -> Option<wire::Error> {
    Some(wire::Error { code, message: "because".into(), temporary: true })
}

fn disconnect(code: u32) -> Option<wire::Disconnect> {
    Some(wire::Disconnect { code, reason: "go".into() })
}

#[test]
fn the_application_says_who_connects() {
    let rig = connecting(asking(), Transport::default());
    let Inquiry::Connect(asked) = rig.inquiry() else { panic!() };
    assert_eq!(
        (&*asked.name, &asked.data[..], &asked.channels[..]),
        ("js", &b"1"[..], &["wanted".to_owned()][..])
    );
    let expire_at = rig.unix() + 60;
    let mut rig = connected_as(wire::ConnectResult {
        user: "ann".into(),
        expire_at,
        info: "2".into(),
        data: "3".into(),
        ..Default::default()
    });
    let result = rig.reply().connect.unwrap();
    // The server refreshes, so the client is not told when.
    assert_eq!((&result.data[..], result.expires, result.subs.len()), (&b"3"[..], false, 0));
    assert_eq!((&**rig.session.user(), &rig.session.identity().conn_info[..]), ("ann", &b"2"[..]));
}

#[test]
fn a_token_is_verified_without_asking() {
    let mut rig = Rig::with(asking(), Transport::default());
    let request = client::ConnectRequest { token: "t".into(), ..Default::default() };
    rig.command(client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() });
    assert!(matches!(rig.effects.back(), Some(Effect::Ask(_, Question::VerifyConnect(_)))));
}

#[test]
fn channels_and_subscriptions_of_the_application_are_joined() {
    let options = wire::SubscribeOptions { data: "1".into(), cache_recover: true, ..Default::default() };
    let mut rig = connecting(asking(), Transport::default());
    rig.rules.grant = Grant { recovery: true, cache_mode: true, ..Default::default() };
    let result = wire::ConnectResult {
        channels: vec!["plain".into(), "both".into()],
        subs: BTreeMap::from([("both".to_owned(), options)]),
        ..Default::default()
    };
    rig.verdict(Verdict::Connect(wire::ConnectResponse { result: Some(result), ..Default::default() }));
    let Some(Effect::Join(_, plans)) = rig.effects.back() else { panic!() };
    let wanted: Vec<_> = plans.iter().map(|plan| (&*plan.channel, plan.recovery.clone())).collect();
    let nothing = StreamPosition::default();
    assert_eq!(wanted, [("both", Recovery::Cache(nothing)), ("plain", Recovery::Position)]);
    rig.join_at(1, "e");
    assert_eq!(&rig.reply().connect.unwrap().subs["both"].data[..], b"1");
}

#[test]
fn channels_of_unknown_namespaces_refuse_the_connection() {
    let mut rig = connected_as(wire::ConnectResult { channels: vec!["?x".into()], ..Default::default() });
    assert_eq!(rig.error_code(), 102);
}

#[test]
fn refusals_of_connections_have_the_codes_of_the_application() {
    let mut rig = connecting(asking(), Transport::default());
    rig.verdict(Verdict::Connect(wire::ConnectResponse { error: error(1000), ..Default::default() }));
    let refused = *rig.reply().error.unwrap();
    assert_eq!((refused.code, &*refused.message, refused.temporary), (1000, "because", true));

    let mut rig = connecting(asking(), Transport::default());
    let response =
        wire::ConnectResponse { disconnect: disconnect(4500), error: error(1), ..Default::default() };
    rig.verdict(Verdict::Connect(response));
    assert_eq!(rig.close_code(), Some(4500));

    let mut rig = connecting(asking(), Transport::default());
    rig.answer(Answer::Application(Err(Unanswered)));
    let refused = *rig.reply().error.unwrap();
    assert_eq!((refused.code, refused.temporary), (100, true));
}

#[test]
fn refusals_of_unidirectional_connections_become_disconnects() {
    let transport = Transport { unidirectional: true, ..Default::default() };
    let close = |code, settings| {
        let mut rig = connecting(settings, transport);
        rig.verdict(Verdict::Connect(wire::ConnectResponse { error: error(code), ..Default::default() }));
        rig.close_code()
    };
    for (code, expected) in [(109, 3005), (110, 3005), (111, 3013), (103, 3507), (1000, 3004)] {
        assert_eq!(close(code, asking()), Some(expected), "{code}");
    }
    let own = Close { code: 4100, reason: "own".into() };
    let table = BTreeMap::from([(1000, own)]);
    assert_eq!(close(1000, Settings { unidirectional_closes: table, ..asking() }), Some(4100));
}

#[test]
fn an_application_without_a_word_leaves_it_to_the_configuration() {
    let silent = |settings| {
        let mut rig = connecting(settings, Transport::default());
        rig.rules.connect = true;
        rig.verdict(Verdict::Connect(wire::ConnectResponse::default()));
        rig
    };
    assert_eq!(silent(asking()).close_code(), Some(3501));
    let mut rig = silent(Settings { allow_anonymous_without_token: true, ..asking() });
    // Only now the wishes of the client count.
    rig.join_at(0, "");
    assert!(rig.reply().connect.unwrap().subs.contains_key("wanted"));
}

#[test]
fn calls_are_answered_by_the_application() {
    let mut rig = Rig::connected();
    let call = |method: &str| {
        let request = client::RpcRequest { method: method.into(), data: "1".into() };
        client::Command { id: 2, rpc: Some(Box::new(request)), ..Default::default() }
    };
    let ask = |rig: &mut Rig, response: wire::RpcResponse| {
        rig.command(call("sum"));
        rig.verdict(Verdict::Rpc(response));
    };
    let data = wire::RpcResult { data: "2".into(), ..Default::default() };
    ask(&mut rig, wire::RpcResponse { result: Some(data), ..Default::default() });
    assert_eq!(&rig.reply().rpc.unwrap().data[..], b"2");
    ask(&mut rig, wire::RpcResponse::default());
    assert_eq!(rig.reply().rpc, Some(Box::default()));
    ask(&mut rig, wire::RpcResponse { error: error(1001), ..Default::default() });
    assert_eq!(rig.error_code(), 1001);
    rig.command(call("none"));
    assert_eq!(rig.error_code(), 104);
    rig.command(call("sum"));
    rig.answer(Answer::Application(Err(Unanswered)));
    assert_eq!(rig.error_code(), 100);
    ask(&mut rig, wire::RpcResponse { disconnect: disconnect(4000), ..Default::default() });
    assert_eq!(rig.close_code(), Some(4000));
}

#[test]
fn expired_connections_stay_while_the_application_says_so() {
    let expire_at = connecting(asking(), Transport::default()).unix() + 10;
    let expiring = || {
        let mut rig = connected_as(wire::ConnectResult {
            user: "ann".into(),
            expire_at,
            meta: "{}".into(),
            ..Default::default()
        });
        rig.take();
        rig.advance(Duration::from_secs(10));
        let Inquiry::Refresh(asked) = rig.inquiry() else { panic!() };
        assert_eq!((&*asked.user, &asked.meta[..]), ("ann", &b"{}"[..]));
        assert!(!rig.session.is_busy());
        rig
    };
    let says = |result| Verdict::Refresh(wire::RefreshResponse { result, ..Default::default() });
    let stays = |expire_at| Some(wire::RefreshResult { expire_at, info: "5".into(), ..Default::default() });

    let mut rig = expiring();
    rig.verdict(says(stays(expire_at + 20)));
    assert_eq!(&rig.session.identity().conn_info[..], b"5");
    assert!(rig.take().is_empty());
    rig.advance(Duration::from_secs(20));
    assert!(matches!(rig.inquiry(), Inquiry::Refresh(_)));

    for ends in
        [None, stays(0), stays(expire_at), Some(wire::RefreshResult { expired: true, ..Default::default() })]
    {
        let mut rig = expiring();
        rig.verdict(says(ends));
        assert_eq!(rig.close_code(), Some(3005));
    }
    let mut rig = expiring();
    rig.verdict(Verdict::Refresh(wire::RefreshResponse { error: error(1000), ..Default::default() }));
    assert_eq!(rig.close_code(), Some(3005));
}

#[test]
fn without_an_answer_an_expired_connection_stays_another_minute() {
    let mut rig = connecting(asking(), Transport::default());
    let expire_at = rig.unix() + 10;
    let result = wire::ConnectResult { expire_at, ..Default::default() };
    rig.verdict(Verdict::Connect(wire::ConnectResponse { result: Some(result), ..Default::default() }));
    for wait in [10, 60, 60] {
        rig.take();
        rig.advance(Duration::from_secs(wait - 1));
        assert!(!rig.effects.iter().any(|effect| matches!(effect, Effect::Ask(..))));
        rig.advance(Duration::from_secs(1));
        rig.answer(Answer::Application(Err(Unanswered)));
    }
    assert!(rig.session.is_ready());
}

fn subscribing(channel: &str, response: wire::SubscribeResponse) -> Rig {
    let mut rig = Rig::connected();
    rig.rules.grant = Grant { recovery: true, tags_filter: true, delta: true, ..Default::default() };
    rig.subscribe(2, channel);
    rig.verdict(Verdict::Subscribe(response));
    rig
}

#[test]
fn the_application_decides_about_subscriptions() {
    let expire_at = Rig::new().unix() + 60;
    let result =
        wire::SubscribeResult { data: "1".into(), info: "2".into(), expire_at, ..Default::default() };
    let mut rig = subscribing("ask", wire::SubscribeResponse { result: Some(result), ..Default::default() });
    rig.join_at(3, "e");
    let subscribed = rig.reply().subscribe.unwrap();
    // There is a proxy to ask when it expires.
    assert_eq!((&subscribed.data[..], subscribed.expires, subscribed.offset), (&b"1"[..], false, 3));
    assert_eq!(rig.session.subscriptions().get("ask").unwrap().info(), "2");

    let mut rig = subscribing("ask", wire::SubscribeResponse::default());
    rig.join_at(0, "");
    assert!(rig.reply().subscribe.is_some());
    let mut rig = subscribing("ask", wire::SubscribeResponse { error: error(1000), ..Default::default() });
    assert_eq!(rig.error_code(), 1000);
    let mut rig =
        subscribing("ask", wire::SubscribeResponse { disconnect: disconnect(4000), ..Default::default() });
    assert_eq!(rig.close_code(), Some(4000));
}

#[test]
fn the_application_decides_about_publications_and_changes_them() {
    let publish = |response: wire::PublishResponse| {
        let mut rig = Rig::connected();
        let request =
            client::PublishRequest { channel: "ask".into(), data: "1".into(), ..Default::default() };
        rig.command(client::Command { id: 2, publish: Some(Box::new(request)), ..Default::default() });
        assert!(rig.session.is_at_work());
        rig.verdict(Verdict::Publish(response));
        rig
    };
    let published = |rig: &mut Rig| match rig.effects.pop_back() {
        Some(Effect::Ask(_, Question::Publish(_, data, options))) => (data, options),
        other => panic!("{other:?}"),
    };
    let (data, options) = published(&mut publish(wire::PublishResponse::default()));
    assert_eq!((&data[..], options.history_size, options.info.is_some()), (&b"1"[..], 10, true));
    let result = wire::PublishResult {
        data: "2".into(),
        skip_history: true,
        tags: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        idempotency_key: "k".into(),
        delta: true,
        version: 7,
        version_epoch: "v".into(),
        ..Default::default()
    };
    let (data, options) =
        published(&mut publish(wire::PublishResponse { result: Some(result), ..Default::default() }));
    assert_eq!((&data[..], options.keeps_history(), options.delta), (&b"2"[..], false, true));
    assert_eq!((&*options.idempotency_key, options.version, &*options.version_epoch), ("k", 7, "v"));
    assert_eq!(options.tags.unwrap()["a"], "b");
    let mut rig = publish(wire::PublishResponse { error: error(1000), ..Default::default() });
    assert_eq!(rig.error_code(), 1000);
}

#[test]
fn expired_subscriptions_stay_while_the_application_says_so() {
    let settings = Settings { ping_interval: Duration::ZERO, ..settings() };
    let start = Rig::new().unix();
    let expiring = || {
        let mut rig = Rig::with(settings.clone(), Transport::default());
        rig.connect();
        rig.subscribe(2, "ask");
        let result = Some(wire::SubscribeResult { expire_at: start + 1, ..Default::default() });
        rig.verdict(Verdict::Subscribe(wire::SubscribeResponse { result, ..Default::default() }));
        rig.join_at(0, "");
        rig.take();
        // Two ticks later it has expired for longer than `expired_sub_close_delay`.
        rig.advance(Duration::from_secs(60));
        assert!(matches!(rig.inquiry(), Inquiry::SubRefresh(proxy, _) if &**proxy == "sub_refresh"));
        rig
    };
    let says = |result| Verdict::SubRefresh(wire::SubRefreshResponse { result, ..Default::default() });
    let asked = |rig: &Rig| rig.effects.iter().filter(|effect| matches!(effect, Effect::Ask(..))).count();

    // It is asked once, however long the answer takes.
    let mut rig = expiring();
    rig.advance(Duration::from_secs(60));
    assert_eq!(asked(&rig), 1);
    rig.verdict(says(Some(wire::SubRefreshResult::default())));
    rig.advance(Duration::from_secs(1000));
    assert!(rig.session.subscriptions().is_subscribed("ask") && asked(&rig) == 0);

    let mut rig = expiring();
    rig.answer(Answer::Application(Err(Unanswered)));
    rig.advance(Duration::from_secs(60));
    assert_eq!(asked(&rig), 0);
    rig.advance(Duration::from_secs(60));
    assert_eq!(asked(&rig), 1);

    for ends in [None, Some(wire::SubRefreshResult { expired: true, ..Default::default() })] {
        let mut rig = expiring();
        rig.verdict(says(ends));
        let unsubscribed = rig.take().into_iter().find_map(|effect| match effect {
            Effect::Send(Send::Push(push)) => push.unsubscribe,
            _ => None,
        });
        assert_eq!(unsubscribed.unwrap().code, 2501);
    }
}

fn fed() -> Rig {
    let mut rig = subscribing("feed", wire::SubscribeResponse::default());
    let Some(Effect::Join(_, plans)) = rig.effects.back() else { panic!() };
    assert_eq!((&plans[0].flags, &plans[0].recovery), (&JoinFlags::default(), &Recovery::None));
    rig.join_at(0, "");
    rig
}

#[test]
fn a_feed_flows_after_the_reply() {
    let effects = fed().take();
    let [Effect::Send(Send::Reply(_)), Effect::Activate(activation)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(&*activation.channel, "feed");
}

#[test]
fn a_feed_that_is_not_wanted_is_dropped() {
    let mut rig = subscribing("feed", wire::SubscribeResponse { error: error(1000), ..Default::default() });
    assert!(
        rig.take().iter().any(|effect| matches!(effect, Effect::DropFeed(channel) if &**channel == "feed"))
    );
    let mut rig = Rig::connected();
    let tf = client::FilterNode { key: "a".into(), cmp: "eq".into(), val: "b".into(), ..Default::default() };
    let request = client::SubscribeRequest { channel: "feed".into(), tf: Some(tf), ..Default::default() };
    rig.command(client::Command { id: 2, subscribe: Some(Box::new(request)), ..Default::default() });
    rig.verdict(Verdict::Subscribe(wire::SubscribeResponse::default()));
    let effects = rig.take();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::DropFeed(_))));
    let refused = |effect: &Effect| matches!(effect, Effect::Send(Send::Reply(reply)) if reply.error.as_ref().unwrap().code == 107);
    assert!(effects.iter().any(refused));
}

#[test]
fn the_end_of_a_feed_ends_its_subscription() {
    for (complete, code) in [(true, 2000), (false, 2500)] {
        let mut rig = fed();
        rig.take();
        rig.input(|session, cx| session.on_feed_end("feed", complete, cx));
        let effects = rig.take();
        let [Effect::Leave(_), Effect::Send(Send::Push(push))] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(push.unsubscribe.as_ref().unwrap().code, code);
    }
}

#[test]
fn publications_go_into_the_feed() {
    let publish = || {
        let request =
            client::PublishRequest { channel: "feed".into(), data: "1".into(), ..Default::default() };
        client::Command { id: 3, publish: Some(Box::new(request)), ..Default::default() }
    };
    let mut rig = fed();
    rig.take();
    rig.command(publish());
    assert!(matches!(rig.effects.back(), Some(Effect::Ask(_, Question::Feed(..)))));
    rig.answer(Answer::Fed(Ok(())));
    assert!(rig.reply().publish.is_some());
    rig.command(publish());
    rig.answer(Answer::Fed(Err(Unanswered)));
    assert_eq!(rig.error_code(), 100);
    let mut rig = Rig::connected();
    rig.command(publish());
    assert_eq!(rig.error_code(), 108);
}

#[test]
fn emulated_headers_are_kept_as_far_as_a_proxy_passes_them_on() {
    let settings = Settings { emulated_headers: vec!["authorization".into()], ..asking() };
    let mut rig = Rig::with(settings, Transport::default());
    let headers = [("Authorization", "a"), ("X-Admin", "yes")];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let request = client::ConnectRequest { headers, ..Default::default() };
    rig.command(client::Command { id: 1, connect: Some(Box::new(request)), ..Default::default() });
    let Some(Effect::Ask(_, Question::Application(caller, _))) = rig.effects.back() else { panic!() };
    let emulated: Vec<_> = caller.emulated.keys().map(String::as_str).collect();
    assert_eq!((emulated, caller.headers.is_empty()), (vec!["Authorization"], true));
}
