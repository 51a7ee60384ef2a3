//! Sessions whose commands arrive at the other node.

use serde_json::json;

use super::Place;
use super::stream::{Kind, Stream};

pub async fn over_http_stream(place: &Place) {
    check(place, Kind::HttpStream).await;
}

pub async fn over_sse(place: &Place) {
    check(place, Kind::Sse).await;
}

async fn check(place: &Place, kind: Kind) {
    let (user, channel) = (format!("u{}", place.tag), place.channel("plain"));
    let mut stream = Stream::open(kind, &place.here, &user).await;
    let subscribe = json!({"id": 2, "subscribe": {"channel": channel}});
    let publish = json!({"id": 3, "publish": {"channel": channel, "data": {"by": "me"}}});
    assert_eq!(stream.post(&place.there, &[subscribe, publish]).await, 204);
    let reply = stream.next(|message| message["id"] == 2).await;
    assert!(reply["subscribe"].is_object(), "{reply}");
    let reply = stream.next(|message| message["id"] == 3).await;
    assert!(reply["publish"].is_object(), "{reply}");
    let push = stream.next(|message| message["push"]["pub"].is_object()).await;
    assert_eq!(push["push"]["pub"]["data"], json!({"by": "me"}));
    place.there.api("publish", json!({"channel": channel, "data": {"by": "backend"}})).await;
    let push = stream.next(|message| message["push"]["pub"].is_object()).await;
    assert_eq!(push["push"]["pub"]["data"], json!({"by": "backend"}));
    // The way back works at the node of the session, too, and not for nodes that are none.
    let unsubscribe = json!({"id": 4, "unsubscribe": {"channel": channel}});
    assert_eq!(stream.post(&place.here, std::slice::from_ref(&unsubscribe)).await, 204);
    stream.next(|message| message["id"] == 4).await;
    assert_eq!(stream.post_to(&place.there, "nobody", &[unsubscribe]).await, 404);
    place.there.api("disconnect", json!({"user": user, "session": stream.session})).await;
    let push = stream.next(|message| message["push"]["disconnect"].is_object()).await;
    assert_eq!(push["push"]["disconnect"], json!({"code": 3503, "reason": "force disconnect"}));
}
