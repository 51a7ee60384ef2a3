//! What the server API of one node does to connections of the other.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Place;
use super::peer::Peer;
use crate::broker::BrokerKind;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

pub async fn subscribe_and_unsubscribe(place: &Place) {
    let (user, channel) = (format!("u{}", place.tag), place.channel("kept"));
    let mut far = Peer::connect(&place.there, &user).await;
    let mut twin = Peer::connect(&place.there, &user).await;
    let mut near = Peer::connect(&place.here, &user).await;
    let request = json!({"user": user, "channel": channel, "info": {"i": 1}, "data": {"d": 2}});
    place.here.api("subscribe", request).await;
    for peer in [&mut far, &mut twin, &mut near] {
        let push = peer.push(&channel, "subscribe").await;
        assert_eq!(push["data"], json!({"d": 2}), "{push}");
        let positioned = place.kind != BrokerKind::Nats;
        assert_eq!(push["positioned"] == true, positioned, "{push}");
    }
    place.here.api("publish", json!({"channel": channel, "data": {"n": 1}})).await;
    assert_eq!(far.push(&channel, "pub").await["data"], json!({"n": 1}));
    let expected =
        json!({"user": user, "client": far.client, "conn_info": {"name": user}, "chan_info": {"i": 1}});
    let request = json!({"channel": channel});
    place
        .here
        .eventually("presence", &request, |answer| answer["result"]["presence"][&far.client] == expected)
        .await;
    place.here.api("unsubscribe", json!({"user": user, "channel": channel})).await;
    for peer in [&mut far, &mut near] {
        let push = peer.push(&channel, "unsubscribe").await;
        assert_eq!(push, json!({"code": 2000, "reason": "server unsubscribe"}));
    }
    place.here.api("publish", json!({"channel": channel, "data": {"n": 2}})).await;
    far.nothing_more().await;
}

pub async fn subscribe_one_connection(place: &Place) {
    let (user, channel) = (format!("u{}", place.tag), place.channel("plain"));
    let mut one = Peer::connect(&place.there, &user).await;
    let mut two = Peer::connect(&place.there, &user).await;
    place.here.api("subscribe", json!({"user": user, "channel": channel, "client": one.client})).await;
    one.push(&channel, "subscribe").await;
    one.nothing_more().await;
    two.nothing_more().await;
    place.here.api("subscribe", json!({"user": user, "channel": channel, "client": two.client})).await;
    two.push(&channel, "subscribe").await;
    place.here.api("unsubscribe", json!({"user": user, "channel": channel, "client": one.client})).await;
    one.push(&channel, "unsubscribe").await;
    place.here.api("publish", json!({"channel": channel, "data": 1})).await;
    two.push(&channel, "pub").await;
    one.nothing_more().await;
    two.nothing_more().await;
}

pub async fn disconnect(place: &Place) {
    let user = format!("u{}", place.tag);
    let mut first = Peer::connect(&place.there, &user).await;
    let mut second = Peer::connect(&place.there, &user).await;
    let mut third = Peer::connect(&place.there, &user).await;
    place.here.api("disconnect", json!({"user": user, "client": first.client})).await;
    assert_eq!(first.closed().await, (3503, "force disconnect".to_owned()));
    let custom = json!({"code": 4321, "reason": "custom"});
    place.here.api("disconnect", json!({"user": user, "client": second.client, "disconnect": custom})).await;
    assert_eq!(second.closed().await, (4321, "custom".to_owned()));
    let mut spared = Peer::connect(&place.there, &user).await;
    place.here.api("disconnect", json!({"user": user, "whitelist": [spared.client]})).await;
    assert_eq!(third.closed().await, (3503, "force disconnect".to_owned()));
    spared.nothing_more().await;
}

pub async fn refresh(place: &Place) {
    let user = format!("u{}", place.tag);
    let claims = json!({"exp": now() + 300});
    let mut far = Peer::connect_with(&place.there, &user, &claims).await;
    place.here.api("refresh", json!({"user": user, "expire_at": now() + 600})).await;
    let push = far.push("", "refresh").await;
    let ttl = push["ttl"].as_u64().unwrap_or_default();
    assert!(push["expires"] == true && (590..=600).contains(&ttl), "{push}");
    place.here.api("refresh", json!({"user": user, "expired": true})).await;
    assert_eq!(far.closed().await, (3005, "connection expired".to_owned()));
}
