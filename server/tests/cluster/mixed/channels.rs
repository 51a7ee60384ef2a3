//! Questions one node asks all.

use serde_json::{Value, json};

use super::Place;
use super::peer::Peer;

pub async fn channels_of_both(place: &Place) {
    let (common, single) = (place.channel("plain"), place.channel("kept"));
    let (mut near, mut far) =
        (Peer::connect(&place.here, "near").await, Peer::connect(&place.there, "far").await);
    near.subscribe(&common).await;
    far.subscribe(&common).await;
    far.subscribe(&single).await;
    let mut both = json!({});
    both[&common] = json!({"num_clients": 2});
    both[&single] = json!({"num_clients": 1});
    let mut one = json!({});
    one[&single] = json!({"num_clients": 1});
    for side in [&place.here, &place.there] {
        let request = json!({"pattern": format!("*{}", place.tag)});
        side.eventually("channels", &request, |answer| answer["result"]["channels"] == both).await;
        let request = json!({"pattern": format!("k*{}", place.tag)});
        side.eventually("channels", &request, |answer| answer["result"]["channels"] == one).await;
        let all = side.api("channels", json!({})).await;
        assert!(all["channels"].get(&common).is_some(), "{all}");
    }
}

pub async fn nodes_of_both(place: &Place) {
    let mut named = Vec::new();
    for side in [&place.here, &place.there] {
        let two = |answer: &Value| answer["result"]["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2);
        side.eventually("info", &json!({}), two).await;
        let info = side.api("info", json!({})).await;
        let mut uids: Vec<String> = Vec::new();
        for node in info["nodes"].as_array().into_iter().flatten() {
            for name in ["uid", "name", "version"] {
                assert!(node[name].as_str().is_some_and(|text| !text.is_empty()), "{node}");
            }
            uids.push(node["uid"].to_string());
        }
        uids.sort();
        named.push(uids);
    }
    assert_eq!(named[0], named[1], "both know the same nodes");
    // Numbers of a node reach the other with its next sign of life.
    let mut far = Peer::connect(&place.there, "far").await;
    far.subscribe(&place.channel("plain")).await;
    let total = |info: &Value| -> u64 {
        let nodes = info["nodes"].as_array().into_iter().flatten();
        nodes.filter_map(|node| node["num_clients"].as_u64()).sum()
    };
    for side in [&place.here, &place.there] {
        side.eventually("info", &json!({}), |answer| total(&answer["result"]) > 0).await;
    }
}
