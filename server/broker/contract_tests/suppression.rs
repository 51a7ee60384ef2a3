//! What is not published again: known idempotency keys and old versions.

use super::*;

pub(crate) async fn a_known_key_changes_nothing<B: Bench>() {
    if !(B::ABILITIES.history && B::ABILITIES.idempotency) {
        return;
    }
    let stage = Stage::<B>::open().await;
    let first = stage.publish("a", keyed("k", kept(10))).await;
    stage.publish("b", kept(10)).await;
    let again = stage.publish("c", keyed("k", kept(10))).await;
    assert_eq!(again, PublishOutcome { position: first.position, from_cache: true, skipped: false });
    stage.publish("d", keyed("other", kept(10))).await;
    assert_eq!(stage.texts(all()).await, ["a", "b", "d"]);
    for expected in ["a", "b", "d"] {
        assert_eq!(stage.heard_text().await, expected);
    }
}

pub(crate) async fn keys_belong_to_a_channel<B: Bench>() {
    if !B::ABILITIES.idempotency {
        return;
    }
    let stage = Stage::<B>::open().await;
    let other = new_channel();
    let options = keyed("k", PublishOptions::default());
    assert!(!stage.publish("a", options.clone()).await.from_cache);
    assert!(!stage.publish_in(&other, "b", options.clone()).await.from_cache);
    assert!(stage.publish_in(&other, "c", options).await.from_cache);
}

pub(crate) async fn keys_work_without_history<B: Bench>() {
    if !B::ABILITIES.idempotency {
        return;
    }
    let stage = Stage::<B>::open().await;
    let options = keyed("k", PublishOptions::default());
    assert_eq!(stage.publish("a", options.clone()).await, PublishOutcome::default());
    let again = stage.publish("b", options).await;
    assert_eq!(again, PublishOutcome { from_cache: true, ..PublishOutcome::default() });
    stage.publish("c", PublishOptions::default()).await;
    for expected in ["a", "c"] {
        assert_eq!(stage.heard_text().await, expected);
    }
}

pub(crate) async fn keys_expire<B: Bench>() {
    if !B::ABILITIES.idempotency {
        return;
    }
    let stage = Stage::<B>::open().await;
    for options in [PublishOptions::default(), kept(10)] {
        let options = PublishOptions { idempotency_ttl: Duration::from_secs(2), ..options };
        let options = keyed(if options.keeps_history() { "saved" } else { "passing" }, options);
        assert!(!stage.publish("a", options.clone()).await.from_cache);
        stage.pass(1).await;
        assert!(stage.publish("a", options.clone()).await.from_cache);
        stage.pass(2).await;
        assert!(!stage.publish("a", options).await.from_cache);
    }
}

pub(crate) async fn versions_not_above_are_skipped<B: Bench>() {
    if !B::ABILITIES.versions {
        return;
    }
    let stage = Stage::<B>::open().await;
    let position = stage.publish("a", versioned(5, "")).await.position;
    for version in [5, 4] {
        let outcome = stage.publish("late", versioned(version, "")).await;
        assert_eq!(
            outcome,
            PublishOutcome { position: position.clone(), from_cache: false, skipped: true },
            "version {version}"
        );
    }
    stage.publish("b", versioned(6, "")).await;
    stage.publish("unversioned", kept(10)).await;
    assert_eq!(stage.texts(all()).await, ["a", "b", "unversioned"]);
    for (expected, version) in [("a", 5), ("b", 6), ("unversioned", 0)] {
        let publication = stage.heard_publication().await;
        assert_eq!((text(&publication).as_str(), publication.version), (expected, version));
    }
}

pub(crate) async fn versions_compare_within_their_epoch<B: Bench>() {
    if !B::ABILITIES.versions {
        return;
    }
    let stage = Stage::<B>::open().await;
    assert!(!stage.publish("a", versioned(5, "one")).await.skipped);
    assert!(stage.publish("late", versioned(5, "one")).await.skipped);
    assert!(!stage.publish("b", versioned(3, "two")).await.skipped, "another epoch starts over");
    assert!(stage.publish("late", versioned(2, "")).await.skipped, "no epoch compares with any");
    assert!(!stage.publish("c", versioned(4, "")).await.skipped);
    assert_eq!(stage.texts(all()).await, ["a", "b", "c"]);
}

pub(crate) async fn versions_survive_removal<B: Bench>() {
    if !B::ABILITIES.versions {
        return;
    }
    let stage = Stage::<B>::open().await;
    stage.publish("a", versioned(5, "")).await;
    stage.broker.remove_history(&stage.channel).await.expect("removing succeeds");
    assert!(stage.publish("late", versioned(5, "")).await.skipped);
    assert!(!stage.publish("b", versioned(6, "")).await.skipped);
}

pub(crate) async fn a_skipped_publication_does_not_use_its_key<B: Bench>() {
    if !(B::ABILITIES.versions && B::ABILITIES.idempotency) {
        return;
    }
    let stage = Stage::<B>::open().await;
    stage.publish("a", versioned(5, "")).await;
    assert!(stage.publish("late", keyed("k", versioned(4, ""))).await.skipped);
    let outcome = stage.publish("b", keyed("k", versioned(6, ""))).await;
    assert!(!outcome.skipped && !outcome.from_cache);
    assert_eq!(stage.texts(all()).await, ["a", "b"]);
}

pub(crate) async fn keys_are_judged_before_versions<B: Bench>() {
    if !(B::ABILITIES.versions && B::ABILITIES.idempotency) {
        return;
    }
    let stage = Stage::<B>::open().await;
    let first = stage.publish("a", keyed("k", versioned(5, ""))).await;
    let again = stage.publish("a", keyed("k", versioned(5, ""))).await;
    assert_eq!(again, PublishOutcome { position: first.position, from_cache: true, skipped: false });
}
