//! What subscribers are told.

use super::*;

pub(crate) async fn publications_arrive_unchanged<B: Bench>() {
    let stage = Stage::<B>::open().await;
    let tags = Arc::new(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
    let options =
        PublishOptions { info: Some(client("c")), tags: Some(tags.clone()), ..PublishOptions::default() };
    let data = Bytes::from_iter(0..=255u8);
    stage.broker.publish(&stage.channel, data.clone(), options).await.expect("publishing succeeds");

    let publication = stage.heard_publication().await;
    assert_eq!(publication.data, data);
    assert_eq!(publication.info, Some(client("c")));
    assert_eq!(publication.tags, Some(tags));
    assert!(publication.time > 0, "a publication carries its time");
}

pub(crate) async fn without_history_positions_are_zero<B: Bench>() {
    let stage = Stage::<B>::open().await;
    for data in ["a", "b"] {
        assert_eq!(stage.publish(data, PublishOptions::default()).await, PublishOutcome::default());
        match stage.heard().await {
            Heard::Publication { channel, publication, position, delta, previous } => {
                assert_eq!((channel, text(&publication)), (stage.channel.clone(), data.to_owned()));
                assert_eq!((publication.offset, position), (0, StreamPosition::default()));
                assert_eq!((delta, previous), (false, None));
            }
            other => panic!("expected a publication, got {other:?}"),
        }
    }
}

pub(crate) async fn offsets_ascend_by_one_from_one<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let mut epochs = Vec::new();
    for offset in 1..=5 {
        let outcome = stage.publish("x", kept(3)).await;
        assert_eq!(outcome.position.offset, offset);
        assert!(!outcome.from_cache && !outcome.skipped);
        match stage.heard().await {
            Heard::Publication { publication, position, .. } => {
                assert_eq!((publication.offset, &position), (offset, &outcome.position));
            }
            other => panic!("expected a publication, got {other:?}"),
        }
        epochs.push(outcome.position.epoch);
    }
    let epoch = epochs[0].as_str();
    assert!(epoch.len() == 8 && epoch.bytes().all(|byte| byte.is_ascii_alphabetic()), "epoch {epoch:?}");
    assert!(epochs.iter().all(|other| *other == epochs[0]), "one epoch for one stream");
}

pub(crate) async fn concurrent_publications_arrive_in_order_of_offsets<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    const PUBLISHERS: u64 = 4;
    const EACH: u64 = 50;
    let stage = Stage::<B>::open().await;
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (broker, channel) = (stage.broker.clone(), stage.channel.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    broker.publish(&channel, Bytes::from("x"), kept(10)).await.expect("publishing succeeds");
                }
            })
        })
        .collect();
    for offset in 1..=PUBLISHERS * EACH {
        assert_eq!(stage.heard_publication().await.offset, offset);
    }
    for publisher in publishers {
        publisher.await.expect("the publisher ends");
    }
}

pub(crate) async fn channels_have_streams_of_their_own<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let other = new_channel();
    let ours = stage.publish_all(&["a", "b"], &kept(10)).await;
    let theirs = stage.publish_in(&other, "c", kept(10)).await.position;
    assert_eq!((ours.offset, theirs.offset), (2, 1));
    assert_ne!(ours.epoch, theirs.epoch);
    stage.broker.remove_history(&other).await.expect("removing succeeds");
    assert_eq!(stage.texts(all()).await, ["a", "b"]);
}

pub(crate) async fn joins_and_leaves_arrive_in_order<B: Bench>() {
    let stage = Stage::<B>::open().await;
    for name in ["a", "b"] {
        stage.broker.publish_join(&stage.channel, client(name)).await.expect("announcing succeeds");
        stage.broker.publish_leave(&stage.channel, client(name)).await.expect("announcing succeeds");
    }
    for name in ["a", "b"] {
        assert_eq!(stage.heard().await, Heard::Join(stage.channel.clone(), client(name)));
        assert_eq!(stage.heard().await, Heard::Leave(stage.channel.clone(), client(name)));
    }
    if B::ABILITIES.history {
        assert_eq!(stage.position().await.offset, 0, "neither is saved");
    }
}

pub(crate) async fn subscribing_again_resumes_delivery<B: Bench>() {
    let stage = Stage::<B>::open().await;
    stage.broker.unsubscribe(&stage.channel).await.expect("unsubscribing succeeds");
    stage.broker.subscribe(&stage.channel).await.expect("subscribing succeeds");
    stage.publish("a", PublishOptions::default()).await;
    assert_eq!(stage.heard_text().await, "a");
}

pub(crate) async fn delta_hands_over_the_previous_publication<B: Bench>() {
    if !B::ABILITIES.previous {
        return;
    }
    let stage = Stage::<B>::open().await;
    let delta = PublishOptions { delta: true, ..kept(10) };
    stage.publish_all(&["a", "b"], &delta).await;
    stage.publish("c", kept(10)).await;
    stage.publish("d", delta.clone()).await;
    stage.broker.remove_history(&stage.channel).await.expect("removing succeeds");
    stage.publish("e", delta.clone()).await;
    let expected = [
        ("a", true, None),
        ("b", true, Some("a")),
        ("c", false, None),
        ("d", true, Some("c")),
        ("e", true, None),
    ];
    for (data, asked, before) in expected {
        match stage.heard().await {
            Heard::Publication { publication, delta, previous, .. } => {
                let previous = previous.map(|previous| text(&previous));
                assert_eq!((text(&publication).as_str(), delta, previous.as_deref()), (data, asked, before));
            }
            other => panic!("expected a publication, got {other:?}"),
        }
    }
}
