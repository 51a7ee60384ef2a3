//! The promises of [`Broker`], written once and kept by every engine.
//!
//! An engine describes how to start it in a [`Bench`] and calls [`broker_contract!`] in a test module,
//! which makes one test of each promise; a promise that is left out of its list is reported as unused.
//! Times are whole seconds with a second of room on both sides,
//! so that engines with a real clock can keep them too; a bench with a virtual clock waits for nothing.

mod delivery;
mod history;
mod suppression;

pub(crate) use delivery::*;
pub(crate) use history::*;
pub(crate) use suppression::*;

use super::*;
use std::collections::BTreeMap;
use std::future::Future;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A receiver nothing is expected of.
pub(crate) struct Ignore;

impl Receiver for Ignore {
    fn publication(
        &self,
        _: &Arc<str>,
        _: Arc<Publication>,
        _: StreamPosition,
        _: bool,
        _: Option<Arc<Publication>>,
    ) {
    }
    fn join(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
    fn leave(&self, _: &Arc<str>, _: Arc<ClientInfo>) {}
}

/// How to judge one engine.
pub(crate) trait Bench: Send + Sync + Sized + 'static {
    /// What the engine offers at all.
    const ABILITIES: Abilities = Abilities::ALL;
    /// Starts an engine that delivers to `receiver`.
    fn start(receiver: Arc<dyn Receiver>) -> impl Future<Output = Self> + Send;
    /// The engine.
    fn broker(&self) -> Arc<dyn Broker>;
    /// Lets time pass.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// Promises an engine may leave out as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Abilities {
    /// Saves publications; everything but delivery needs it.
    pub history: bool,
    /// Reads newest first.
    pub reverse: bool,
    /// Skips what its version says is old.
    pub versions: bool,
    /// Recognises idempotency keys.
    pub idempotency: bool,
    /// Hands over the publication before the one of a delta.
    pub previous: bool,
}

impl Abilities {
    pub(crate) const ALL: Self =
        Self { history: true, reverse: true, versions: true, idempotency: true, previous: true };
}

/// Makes a test of each promise for the engine of a [`Bench`].
macro_rules! broker_contract {
    ($bench:ty) => {
        $crate::broker::contract_tests::broker_contract! { @each $bench;
            publications_arrive_unchanged,
            without_history_positions_are_zero,
            offsets_ascend_by_one_from_one,
            concurrent_publications_arrive_in_order_of_offsets,
            channels_have_streams_of_their_own,
            joins_and_leaves_arrive_in_order,
            subscribing_again_resumes_delivery,
            history_returns_what_was_published,
            history_keeps_the_newest,
            a_smaller_size_trims_at_the_next_publication,
            history_expires_after_the_newest_publication,
            limits_count_publications,
            forward_reads_start_after_the_position,
            forward_reads_start_at_the_oldest_kept_when_trimmed,
            reverse_reads_go_from_newest_to_oldest,
            reverse_reads_are_empty_when_their_start_was_trimmed,
            reverse_reads_cannot_start_at_zero,
            another_epoch_is_unrecoverable,
            reading_creates_the_epoch,
            meta_expiry_starts_a_new_stream,
            reading_and_publishing_renew_the_meta_ttl,
            a_zero_meta_ttl_keeps_the_stream,
            publications_without_history_leave_the_stream_alone,
            removal_keeps_the_position,
            a_known_key_changes_nothing,
            keys_belong_to_a_channel,
            keys_work_without_history,
            keys_expire,
            versions_not_above_are_skipped,
            versions_compare_within_their_epoch,
            versions_survive_removal,
            a_skipped_publication_does_not_use_its_key,
            keys_are_judged_before_versions,
            delta_hands_over_the_previous_publication,
        }
    };
    (@each $bench:ty; $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::broker::contract_tests::$promise::<$bench>().await;
            }
        )*
    };
}
pub(crate) use broker_contract;

/// What a receiver was told.
#[derive(Debug, PartialEq)]
enum Heard {
    Publication {
        channel: Arc<str>,
        publication: Arc<Publication>,
        position: StreamPosition,
        delta: bool,
        previous: Option<Arc<Publication>>,
    },
    Join(Arc<str>, Arc<ClientInfo>),
    Leave(Arc<str>, Arc<ClientInfo>),
}

/// Unbounded, because a test reads all it is sent.
struct Recorder(UnboundedSender<Heard>);

impl Recorder {
    fn hear(&self, heard: Heard) {
        // A test that is over does not listen any more.
        let _ = self.0.send(heard);
    }
}

impl Receiver for Recorder {
    fn publication(
        &self,
        channel: &Arc<str>,
        publication: Arc<Publication>,
        position: StreamPosition,
        delta: bool,
        previous: Option<Arc<Publication>>,
    ) {
        self.hear(Heard::Publication { channel: channel.clone(), publication, position, delta, previous });
    }

    fn join(&self, channel: &Arc<str>, info: Arc<ClientInfo>) {
        self.hear(Heard::Join(channel.clone(), info));
    }

    fn leave(&self, channel: &Arc<str>, info: Arc<ClientInfo>) {
        self.hear(Heard::Leave(channel.clone(), info));
    }
}

/// One engine, one channel nobody else uses, and what is heard from it.
struct Stage<B> {
    bench: B,
    broker: Arc<dyn Broker>,
    channel: Arc<str>,
    heard: Mutex<UnboundedReceiver<Heard>>,
}

impl<B: Bench> Stage<B> {
    async fn open() -> Self {
        let (sender, receiver) = unbounded_channel();
        let bench = B::start(Arc::new(Recorder(sender))).await;
        let stage =
            Self { broker: bench.broker(), bench, channel: new_channel(), heard: Mutex::new(receiver) };
        stage.broker.subscribe(&stage.channel).await.expect("subscribing succeeds");
        stage
    }

    async fn publish(&self, data: &'static str, options: PublishOptions) -> PublishOutcome {
        self.publish_in(&self.channel, data, options).await
    }

    async fn publish_in(
        &self,
        channel: &Arc<str>,
        data: &'static str,
        options: PublishOptions,
    ) -> PublishOutcome {
        self.broker.publish(channel, Bytes::from(data), options).await.expect("publishing succeeds")
    }

    /// Publishes each with `options`, and returns the position after the last.
    async fn publish_all(&self, data: &[&'static str], options: &PublishOptions) -> StreamPosition {
        let mut position = StreamPosition::default();
        for data in data {
            position = self.publish(data, options.clone()).await.position;
        }
        position
    }

    async fn read(&self, filter: HistoryFilter) -> Result<HistoryPage, BrokerError> {
        self.broker.history(&self.channel, filter, HOUR).await
    }

    /// Reads what `filter` names, as text.
    async fn texts(&self, filter: HistoryFilter) -> Vec<String> {
        texts(&self.read(filter).await.expect("reading succeeds"))
    }

    async fn position(&self) -> StreamPosition {
        self.read(HistoryFilter { limit: Some(0), ..all() }).await.expect("reading succeeds").position
    }

    async fn pass(&self, seconds: u64) {
        self.bench.pass(Duration::from_secs(seconds)).await;
    }

    async fn heard(&self) -> Heard {
        let mut heard = self.heard.lock().await;
        let patience = Duration::from_secs(10);
        tokio::time::timeout(patience, heard.recv()).await.expect("heard in time").expect("engine is there")
    }

    async fn heard_publication(&self) -> Arc<Publication> {
        match self.heard().await {
            Heard::Publication { publication, .. } => publication,
            other => panic!("expected a publication, got {other:?}"),
        }
    }

    async fn heard_text(&self) -> String {
        let publication = self.heard_publication().await;
        text(&publication)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn new_channel() -> Arc<str> {
    format!("contract-{}", crate::seams::random_id()).into()
}

fn text(publication: &Publication) -> String {
    String::from_utf8_lossy(&publication.data).into_owned()
}

fn texts(page: &HistoryPage) -> Vec<String> {
    page.publications.iter().map(|publication| text(publication)).collect()
}

fn kept(size: u64) -> PublishOptions {
    PublishOptions {
        history_size: size,
        history_ttl: HOUR,
        history_meta_ttl: HOUR,
        ..PublishOptions::default()
    }
}

fn kept_for(history_seconds: u64, meta_seconds: u64) -> PublishOptions {
    PublishOptions {
        history_ttl: Duration::from_secs(history_seconds),
        history_meta_ttl: Duration::from_secs(meta_seconds),
        ..kept(10)
    }
}

fn keyed(key: &str, options: PublishOptions) -> PublishOptions {
    PublishOptions { idempotency_key: key.to_owned(), ..options }
}

fn versioned(version: u64, epoch: &str) -> PublishOptions {
    PublishOptions { version, version_epoch: epoch.to_owned(), ..kept(10) }
}

fn all() -> HistoryFilter {
    HistoryFilter::default()
}

fn since(offset: u64, epoch: &Epoch) -> HistoryFilter {
    HistoryFilter { since: Some(StreamPosition { offset, epoch: epoch.clone() }), ..all() }
}

fn reversed(filter: HistoryFilter) -> HistoryFilter {
    HistoryFilter { reverse: true, ..filter }
}

fn client(name: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: "42".to_owned(),
        client: name.to_owned(),
        conn_info: Bytes::from_static(br#"{"a":1}"#),
        chan_info: Bytes::from_static(br#"{"b":2}"#),
    })
}
