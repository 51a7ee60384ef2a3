//! What is kept, for how long, and how it is read.

use super::*;

pub(crate) async fn history_returns_what_was_published<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let tags = Arc::new(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
    let options = PublishOptions { info: Some(client("c")), tags: Some(tags), ..kept(10) };
    let position = stage.publish("a", options).await.position;
    let page = stage.read(all()).await.expect("reading succeeds");
    assert_eq!(page.position, position);
    assert_eq!(page.publications.len(), 1);
    assert_eq!(*page.publications[0], *stage.heard_publication().await);
}

pub(crate) async fn history_keeps_the_newest<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let position = stage.publish_all(&["a", "b", "c", "d", "e"], &kept(3)).await;
    let page = stage.read(all()).await.expect("reading succeeds");
    assert_eq!(texts(&page), ["c", "d", "e"]);
    assert_eq!(page.publications.iter().map(|each| each.offset).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(page.position, position);
}

pub(crate) async fn a_smaller_size_trims_at_the_next_publication<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    stage.publish_all(&["a", "b", "c", "d"], &kept(4)).await;
    stage.publish("e", kept(2)).await;
    assert_eq!(stage.texts(all()).await, ["d", "e"]);
    stage.publish("f", kept(4)).await;
    assert_eq!(stage.texts(all()).await, ["d", "e", "f"]);
}

pub(crate) async fn history_expires_after_the_newest_publication<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    stage.publish("a", kept_for(3, 3600)).await;
    stage.pass(2).await;
    let position = stage.publish("b", kept_for(3, 3600)).await.position;
    stage.pass(2).await;
    assert_eq!(stage.texts(all()).await, ["a", "b"], "the newest keeps the older alive");
    stage.pass(2).await;
    assert!(stage.texts(all()).await.is_empty());
    assert_eq!(stage.position().await, position, "the position outlives the publications");
    let next = stage.publish("c", kept_for(3, 3600)).await.position;
    assert_eq!((next.offset, &next.epoch), (3, &position.epoch));
    assert_eq!(stage.texts(all()).await, ["c"]);
}

pub(crate) async fn limits_count_publications<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let position = stage.publish_all(&["a", "b", "c"], &kept(10)).await;
    for (limit, expected) in [(0, &[][..]), (2, &["a", "b"]), (3, &["a", "b", "c"]), (9, &["a", "b", "c"])] {
        let page = stage.read(HistoryFilter { limit: Some(limit), ..all() }).await.expect("reading succeeds");
        assert_eq!(texts(&page), expected, "limit {limit}");
        assert_eq!(page.position, position, "limit {limit}");
    }
    let filter = HistoryFilter { limit: Some(1), ..since(1, &position.epoch) };
    assert_eq!(stage.texts(filter).await, ["b"]);
    let filter = HistoryFilter { limit: Some(0), ..since(1, &position.epoch) };
    assert!(stage.texts(filter).await.is_empty());
}

pub(crate) async fn forward_reads_start_after_the_position<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let StreamPosition { epoch, .. } = stage.publish_all(&["a", "b", "c"], &kept(10)).await;
    for epoch in [epoch, Epoch::none()] {
        assert_eq!(stage.texts(since(0, &epoch)).await, ["a", "b", "c"]);
        assert_eq!(stage.texts(since(1, &epoch)).await, ["b", "c"]);
        assert!(stage.texts(since(3, &epoch)).await.is_empty());
        assert!(stage.texts(since(9, &epoch)).await.is_empty(), "a position ahead of the top");
    }
}

pub(crate) async fn forward_reads_start_at_the_oldest_kept_when_trimmed<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let StreamPosition { epoch, .. } = stage.publish_all(&["a", "b", "c", "d"], &kept(2)).await;
    assert_eq!(stage.texts(since(1, &epoch)).await, ["c", "d"]);
    stage.broker.remove_history(&stage.channel).await.expect("removing succeeds");
    stage.publish("e", kept(2)).await;
    assert_eq!(stage.texts(since(1, &epoch)).await, ["e"]);
}

pub(crate) async fn reverse_reads_go_from_newest_to_oldest<B: Bench>() {
    if !B::ABILITIES.reverse {
        return;
    }
    let stage = Stage::<B>::open().await;
    let StreamPosition { epoch, .. } = stage.publish_all(&["a", "b", "c"], &kept(10)).await;
    assert_eq!(stage.texts(reversed(all())).await, ["c", "b", "a"]);
    assert_eq!(stage.texts(reversed(HistoryFilter { limit: Some(2), ..all() })).await, ["c", "b"]);
    assert!(stage.texts(reversed(HistoryFilter { limit: Some(0), ..all() })).await.is_empty());
    assert_eq!(stage.texts(reversed(since(3, &epoch))).await, ["b", "a"]);
    assert_eq!(stage.texts(reversed(since(4, &epoch))).await, ["c", "b", "a"]);
    assert!(stage.texts(reversed(since(1, &epoch))).await.is_empty());
    let filter = HistoryFilter { limit: Some(1), ..since(3, &epoch) };
    assert_eq!(stage.texts(reversed(filter)).await, ["b"]);
}

pub(crate) async fn reverse_reads_are_empty_when_their_start_was_trimmed<B: Bench>() {
    if !B::ABILITIES.reverse {
        return;
    }
    let stage = Stage::<B>::open().await;
    let StreamPosition { epoch, .. } = stage.publish_all(&["a", "b", "c", "d"], &kept(2)).await;
    assert!(stage.texts(reversed(since(2, &epoch))).await.is_empty());
    assert!(stage.texts(reversed(since(3, &epoch))).await.is_empty());
    assert_eq!(stage.texts(reversed(since(4, &epoch))).await, ["c"]);
}

pub(crate) async fn reverse_reads_cannot_start_at_zero<B: Bench>() {
    if !B::ABILITIES.reverse {
        return;
    }
    let stage = Stage::<B>::open().await;
    let StreamPosition { epoch, .. } = stage.publish("a", kept(10)).await.position;
    let answer = stage.read(reversed(since(0, &epoch))).await;
    assert!(matches!(answer, Err(BrokerError::ReverseFromZero)), "{answer:?}");
}

pub(crate) async fn another_epoch_is_unrecoverable<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    stage.publish_all(&["a", "b"], &kept(10)).await;
    let stranger = Epoch::from("elsewhere");
    let mut filters = vec![
        since(0, &stranger),
        since(1, &stranger),
        since(2, &stranger),
        since(9, &stranger),
        HistoryFilter { limit: Some(0), ..since(1, &stranger) },
    ];
    if B::ABILITIES.reverse {
        filters.push(reversed(since(1, &stranger)));
    }
    for filter in filters {
        let answer = stage.read(filter.clone()).await;
        let wanted = matches!(&answer, Err(BrokerError::Unrecoverable { wanted }) if wanted == "elsewhere");
        assert!(wanted, "{filter:?}: {answer:?}");
    }
}

pub(crate) async fn reading_creates_the_epoch<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let page = stage.read(all()).await.expect("reading succeeds");
    assert!(page.publications.is_empty());
    assert_eq!(page.position.offset, 0);
    assert!(!page.position.epoch.is_none());
    assert_eq!(stage.position().await, page.position);
    let first = stage.publish("a", kept(10)).await.position;
    assert_eq!(first, StreamPosition { offset: 1, epoch: page.position.epoch });
}

pub(crate) async fn meta_expiry_starts_a_new_stream<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let before = stage.publish_all(&["a", "b"], &kept_for(2, 3)).await;
    stage.pass(4).await;
    let after = stage.publish("c", kept_for(2, 3)).await.position;
    assert_eq!(after.offset, 1);
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(stage.texts(all()).await, ["c"]);
    let answer = stage.read(since(1, &before.epoch)).await;
    assert!(matches!(answer, Err(BrokerError::Unrecoverable { .. })), "{answer:?}");
}

pub(crate) async fn reading_and_publishing_renew_the_meta_ttl<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let position = stage.publish("a", kept_for(1, 3)).await.position;
    stage.pass(2).await;
    let filter = HistoryFilter { limit: Some(0), ..all() };
    let three = Duration::from_secs(3);
    let read = stage.broker.history(&stage.channel, filter, three).await.expect("reading succeeds");
    assert_eq!(read.position, position);
    stage.pass(2).await;
    let next = stage.publish("b", kept_for(1, 3)).await.position;
    assert_eq!((next.offset, &next.epoch), (2, &position.epoch));
    stage.pass(2).await;
    assert_eq!(stage.position().await, next);
}

pub(crate) async fn a_zero_meta_ttl_keeps_the_stream<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let position = stage.publish("a", kept_for(1, 0)).await.position;
    stage.pass(3).await;
    assert_eq!(stage.position().await, position);
}

pub(crate) async fn publications_without_history_leave_the_stream_alone<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    let position = stage.publish("a", kept(10)).await.position;
    let without_size = PublishOptions { history_size: 0, ..kept(10) };
    let without_ttl = PublishOptions { history_ttl: Duration::ZERO, ..kept(10) };
    for options in [without_size, without_ttl] {
        assert_eq!(stage.publish("b", options).await, PublishOutcome::default());
    }
    assert_eq!(stage.position().await, position);
    assert_eq!(stage.texts(all()).await, ["a"]);
}

pub(crate) async fn removal_keeps_the_position<B: Bench>() {
    if !B::ABILITIES.history {
        return;
    }
    let stage = Stage::<B>::open().await;
    stage.broker.remove_history(&stage.channel).await.expect("removing nothing succeeds");
    let position = stage.publish_all(&["a", "b"], &kept(10)).await;
    stage.broker.remove_history(&stage.channel).await.expect("removing succeeds");
    assert!(stage.texts(all()).await.is_empty());
    assert_eq!(stage.position().await, position);
    let next = stage.publish("c", kept(10)).await.position;
    assert_eq!((next.offset, &next.epoch), (3, &position.epoch));
    assert_eq!(stage.texts(all()).await, ["c"]);
}
