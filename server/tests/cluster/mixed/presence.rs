//! Who is in a channel, whichever node is asked.

use serde_json::{Value, json};

use super::Place;
use super::peer::Peer;

pub async fn presence_of_both(place: &Place) {
    let channel = place.channel("plain");
    let claims = json!({"info": {"name": "near"}});
    let mut near = Peer::connect_with(&place.here, "near", &claims).await;
    let mut far = Peer::connect(&place.there, "far").await;
    let mut twin = Peer::connect(&place.there, "far").await;
    for peer in [&mut near, &mut far, &mut twin] {
        peer.subscribe(&channel).await;
    }
    let mut expected = json!({});
    for (peer, user) in [(&near, "near"), (&far, "far"), (&twin, "far")] {
        expected[&peer.client] = json!({"user": user, "client": peer.client, "conn_info": {"name": user}});
    }
    let request = json!({"channel": channel});
    for side in [&place.here, &place.there] {
        side.eventually("presence", &request, |answer| answer["result"]["presence"] == expected).await;
        let counts = json!({"num_clients": 3, "num_users": 2});
        side.eventually("presence_stats", &request, |answer| answer["result"] == counts).await;
    }
    let reply = far.call(json!({"presence": {"channel": channel}})).await;
    assert_eq!(reply["presence"]["presence"], expected);
    let reply = near.call(json!({"presence_stats": {"channel": channel}})).await;
    assert_eq!(reply["presence_stats"], json!({"num_clients": 3, "num_users": 2}));
    drop(twin);
    let reply = near.call(json!({"unsubscribe": {"channel": channel}})).await;
    assert!(reply["unsubscribe"].is_object(), "{reply}");
    let only_far = |answer: &Value| {
        let present = answer["result"]["presence"].as_object();
        present.is_some_and(|present| present.len() == 1 && present.contains_key(&far.client))
    };
    for side in [&place.here, &place.there] {
        side.eventually("presence", &request, only_far).await;
    }
}

pub async fn joins_and_leaves(place: &Place) {
    let channel = place.channel("seen");
    let mut far = Peer::connect(&place.there, "far").await;
    far.subscribe(&channel).await;
    // Its own arrival is seen, too.
    let own = far.push(&channel, "join").await;
    assert_eq!(own["info"]["client"], far.client);
    let mut near = Peer::connect(&place.here, "near").await;
    near.subscribe(&channel).await;
    let info = json!({"user": "near", "client": near.client, "conn_info": {"name": "near"}});
    assert_eq!(far.push(&channel, "join").await["info"], info);
    near.call(json!({"unsubscribe": {"channel": channel}})).await;
    assert_eq!(far.push(&channel, "leave").await["info"], info);
    near.subscribe(&channel).await;
    assert_eq!(far.push(&channel, "join").await["info"], info);
    drop(near);
    assert_eq!(far.push(&channel, "leave").await["info"], info, "a connection that ends leaves");
    far.nothing_more().await;
}
