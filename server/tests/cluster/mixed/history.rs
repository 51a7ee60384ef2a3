//! One history behind two nodes.

use serde_json::{Value, json};

use super::Place;
use super::peer::Peer;
use crate::broker::BrokerKind;

/// What a broker without history answers.
const NOT_AVAILABLE: u64 = 108;
const INTERNAL: u64 = 100;

async fn publish(place: &Place, channel: &str, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let data = json!({"n": number});
        place.here.api("publish", json!({"channel": channel, "data": data, "tags": {"t": "x"}})).await;
    }
}

pub async fn history_is_one(place: &Place) {
    let channel = place.channel("kept");
    publish(place, &channel, 1..=5).await;
    if place.kind == BrokerKind::Nats {
        for side in [&place.here, &place.there] {
            let answer = side.answer("history", &json!({"channel": channel, "limit": -1})).await;
            assert_eq!(answer["error"]["code"], NOT_AVAILABLE, "{answer}");
            // Configured, but the broker keeps none; the other server takes that for an internal error.
            let channel = place.channel("wished");
            let answer = side.answer("history", &json!({"channel": channel, "limit": -1})).await;
            let expected = if side.own { NOT_AVAILABLE } else { INTERNAL };
            assert_eq!(answer["error"]["code"], expected, "{answer}");
        }
        return;
    }
    let all = place.here.api("history", json!({"channel": channel, "limit": -1})).await;
    assert_eq!(all["publications"].as_array().map(Vec::len), Some(5), "{all}");
    let since = json!({"offset": 2, "epoch": all["epoch"]});
    let requests = [
        json!({"channel": channel, "limit": -1}),
        json!({"channel": channel, "limit": 2}),
        json!({"channel": channel, "limit": 2, "reverse": true}),
        json!({"channel": channel, "limit": 2, "since": since}),
        json!({"channel": channel, "limit": -1, "since": since, "reverse": true}),
        json!({"channel": channel}),
    ];
    // Of lists, the other server ignores the direction.
    let backwards = place.kind != BrokerKind::RedisLists || (place.here.own && place.there.own);
    for request in requests.into_iter().filter(|request| backwards || request["reverse"] != true) {
        let (here, there) = (
            place.here.api("history", request.clone()).await,
            place.there.api("history", request.clone()).await,
        );
        assert_eq!(here, there, "{request}");
    }
    let mut far = Peer::connect(&place.there, "far").await;
    let reply = far.call(json!({"history": {"channel": channel, "limit": 3, "since": since}})).await;
    assert_eq!(offsets(&reply["history"]), [3, 4, 5], "{reply}");
}

fn offsets(result: &Value) -> Vec<u64> {
    result["publications"].as_array().into_iter().flatten().filter_map(|p| p["offset"].as_u64()).collect()
}

pub async fn recovery_at_the_other_node(place: &Place) {
    let channel = place.channel("kept");
    if place.kind == BrokerKind::Nats {
        let mut far = Peer::connect(&place.there, "far").await;
        let reply = far.subscribe(&channel).await;
        assert_ne!(reply["recoverable"], true, "{reply}");
        return;
    }
    let mut near = Peer::connect(&place.here, "user").await;
    let reply = near.subscribe(&channel).await;
    assert_eq!((&reply["recoverable"], &reply["positioned"]), (&json!(true), &json!(true)), "{reply}");
    publish(place, &channel, 1..=2).await;
    near.push(&channel, "pub").await;
    near.push(&channel, "pub").await;
    drop(near);
    publish(place, &channel, 3..=6).await;
    let mut far = Peer::connect(&place.there, "user").await;
    let request = json!({"channel": channel, "recover": true, "epoch": reply["epoch"], "offset": 2});
    let recovered = far.subscribe_with(request).await;
    assert_eq!(
        (&recovered["recovered"], offsets(&recovered)),
        (&json!(true), vec![3, 4, 5, 6]),
        "{recovered}"
    );
    publish(place, &channel, 7..=7).await;
    assert_eq!(far.push(&channel, "pub").await["offset"], 7);
    let mut late = Peer::connect(&place.there, "late").await;
    let request = json!({"channel": channel, "recover": true, "epoch": "another", "offset": 2});
    let refused = late.subscribe_with(request).await;
    assert_ne!(refused["recovered"], true, "another stream cannot be recovered: {refused}");
    assert_eq!((&refused["offset"], &refused["epoch"]), (&json!(7), &reply["epoch"]), "{refused}");
}

pub async fn idempotency_keys_and_versions(place: &Place) {
    if place.kind == BrokerKind::Nats {
        return;
    }
    let channel = place.channel("kept");
    let with_key = |key: &str| json!({"channel": channel, "data": {"key": key}, "idempotency_key": key});
    let first = place.here.api("publish", with_key("one")).await;
    let again = place.there.api("publish", with_key("one")).await;
    assert_eq!(first, again);
    assert_eq!(place.there.api("publish", with_key("two")).await["offset"], 2);
    if place.kind == BrokerKind::RedisLists {
        // Lists know no versions.
        return;
    }
    let version = |number: u64| json!({"channel": channel, "data": {"version": number}, "version": number});
    assert_eq!(place.here.api("publish", version(5)).await["offset"], 3);
    assert_eq!(place.there.api("publish", version(4)).await["offset"], 3, "an old version changes nothing");
    assert_eq!(place.there.api("publish", version(6)).await["offset"], 4);
    let all = place.here.api("history", json!({"channel": channel, "limit": -1})).await;
    assert_eq!(offsets(&all), [1, 2, 3, 4], "{all}");
}

pub async fn removal(place: &Place) {
    let channel = place.channel("kept");
    publish(place, &channel, 1..=3).await;
    place.here.api("history_remove", json!({"channel": channel})).await;
    let gone = place.there.api("history", json!({"channel": channel, "limit": -1})).await;
    assert_eq!((offsets(&gone), &gone["offset"]), (vec![], &json!(3)), "{gone}");
    publish(place, &channel, 4..=4).await;
    let one = place.there.api("history", json!({"channel": channel, "limit": -1})).await;
    assert_eq!(offsets(&one), [4], "{one}");
}
