//! What many publishers at once cost.

use super::*;
use crate::broker::contract_tests::Ignore;
use futures_util::{StreamExt, stream};

/// Publications that are made, and how many wait for their answers at any time.
const PUBLICATIONS: u64 = 2000;
const AT_ONCE: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_that_race_give_no_reason_to_read_the_history() {
    let server = Server::start(&[]);
    let broker = start(Arc::new(Ignore), vec![single(&server)], &settings()).await;
    let channel: Arc<str> = "racing".into();
    broker.subscribe(&channel).await.unwrap();
    let tops = stream::iter(0..PUBLICATIONS)
        .map(|_| {
            let (broker, channel) = (broker.clone(), channel.clone());
            let options = PublishOptions {
                history_size: 10,
                history_ttl: Duration::from_secs(60),
                ..PublishOptions::default()
            };
            tokio::spawn(async move {
                broker.publish(&channel, "{}".into(), options).await.unwrap().position.offset
            })
        })
        .buffer_unordered(AT_ONCE)
        .fold(0, |top, offset| async move { top.max(offset.unwrap()) });
    assert_eq!(tops.await, PUBLICATIONS);
    let commands = server.ask(&["INFO", "commandstats"]);
    assert!(commands.contains("cmdstat_xadd:") && !commands.contains("cmdstat_xrange:"), "{commands}");
}
