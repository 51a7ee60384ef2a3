//! Publications that enter at one node and leave at the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Place;
use super::peer::Peer;
use crate::broker::BrokerKind;

pub async fn publications_of_backends(place: &Place) {
    for namespace in ["plain", "kept"] {
        let channel = place.channel(namespace);
        let (mut near, mut far) =
            (Peer::connect(&place.here, "near").await, Peer::connect(&place.there, "far").await);
        near.subscribe(&channel).await;
        far.subscribe(&channel).await;
        for number in 1..=3 {
            let binary = STANDARD.encode(format!("{{\"n\":{number}}}"));
            let request = match number {
                1 => json!({"channel": channel, "data": {"n": 1}, "tags": {"k": "v"}}),
                _ => json!({"channel": channel, "b64data": binary}),
            };
            place.here.api("publish", request).await;
        }
        let (mut seen_near, mut seen_far) = (Vec::new(), Vec::new());
        for _ in 1..=3 {
            seen_near.push(near.push(&channel, "pub").await);
            seen_far.push(far.push(&channel, "pub").await);
        }
        if place.kind == BrokerKind::RedisCluster && namespace == "plain" && !place.here.own {
            // The other server gives publications that are not kept to any node of a Redis Cluster, so that the
            // second may overtake the first.
            for seen in [&mut seen_near, &mut seen_far] {
                seen.sort_by_key(|publication| publication["data"]["n"].as_u64());
            }
        }
        assert_eq!(seen_near, seen_far, "both see the same");
        for (number, publication) in (1..).zip(seen_near) {
            assert_eq!(publication["data"], json!({"n": number}));
            let kept = namespace == "kept" && place.kind != BrokerKind::Nats;
            assert_eq!(publication["offset"], if kept { json!(number) } else { Value::Null });
            assert_eq!(publication["tags"], if number == 1 { json!({"k": "v"}) } else { Value::Null });
        }
        near.nothing_more().await;
        far.nothing_more().await;
    }
}

pub async fn publications_of_clients(place: &Place) {
    for namespace in ["plain", "kept"] {
        let channel = place.channel(namespace);
        let (mut near, mut far) =
            (Peer::connect(&place.here, "near").await, Peer::connect(&place.there, "far").await);
        far.subscribe(&channel).await;
        let reply = near.call(json!({"publish": {"channel": channel, "data": {"from": "near"}}})).await;
        assert_eq!(reply["publish"], json!({}));
        let publication = far.push(&channel, "pub").await;
        assert_eq!(publication["data"], json!({"from": "near"}));
        let info = json!({"user": "near", "client": near.client, "conn_info": {"name": "near"}});
        assert_eq!(publication["info"], info);
        far.nothing_more().await;
    }
}

pub async fn broadcasts(place: &Place) {
    let channels = [place.channel("plain"), place.channel("kept"), format!("{}2", place.channel("kept"))];
    let mut far = Peer::connect(&place.there, "far").await;
    for channel in &channels {
        far.subscribe(channel).await;
    }
    let result = place.here.api("broadcast", json!({"channels": channels, "data": {"to": "all"}})).await;
    assert_eq!(result["responses"].as_array().map(Vec::len), Some(3), "{result}");
    for channel in &channels {
        assert_eq!(far.push(channel, "pub").await["data"], json!({"to": "all"}));
    }
    far.nothing_more().await;
}

pub async fn deltas(place: &Place) {
    let channel = place.channel("delta");
    let (mut far, mut full) =
        (Peer::connect(&place.there, "far").await, Peer::connect(&place.there, "full").await);
    let reply = far.subscribe_with(json!({"channel": channel, "delta": "fossil"})).await;
    assert_eq!(reply["delta"], true, "{reply}");
    full.subscribe(&channel).await;
    let long =
        |end: &str| json!({"text": "a long text that stays the same from one to the next ".repeat(4) + end});
    for end in ["one", "two"] {
        place.here.api("publish", json!({"channel": channel, "data": long(end)})).await;
    }
    let (first, second) = (far.push(&channel, "pub").await, far.push(&channel, "pub").await);
    assert_ne!(first["delta"], true, "the first is whole: {first}");
    assert_eq!(second["delta"], true, "the second says what changed: {second}");
    let shown = |publication: &Value| publication["data"].to_string().len();
    assert!(shown(&second) < shown(&first) / 2, "{second}");
    for end in ["one", "two"] {
        assert_eq!(full.push(&channel, "pub").await["data"], long(end));
    }
}
