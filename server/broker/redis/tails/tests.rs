use super::*;
use std::sync::atomic::AtomicU32;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

type Page = Result<HistoryPage, RedisError>;

/// A stream on a server that answers when it is let to.
#[derive(Clone)]
struct Rig {
    tails: Arc<Tails>,
    channel: Arc<str>,
    /// Offset of the newest publication on the server.
    top: Arc<AtomicUsize>,
    reads: Arc<AtomicU32>,
    aside: Arc<AtomicU32>,
    permits: Arc<Semaphore>,
}

impl Rig {
    fn new(top: usize) -> Self {
        Self {
            tails: Arc::default(),
            channel: "channel".into(),
            top: Arc::new(top.into()),
            reads: Arc::default(),
            aside: Arc::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    /// One whose reads wait for permits.
    fn held(top: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), ..Self::new(top) }
    }

    fn ask(&self, since: u64) -> JoinHandle<Page> {
        let rig = self.clone();
        tokio::spawn(async move {
            let read = |count: Arc<AtomicU32>, since| {
                let rig = rig.clone();
                async move {
                    let top = rig.top.load(Ordering::SeqCst) as u64;
                    count.fetch_add(1, Ordering::SeqCst);
                    rig.permits.acquire().await.map_err(|_| RedisError::Unexpected("no answer"))?.forget();
                    Ok(page(since, top))
                }
            };
            let (reads, aside) = (rig.reads.clone(), read(rig.aside.clone(), since));
            let own = |since, _| read(reads, since);
            rig.tails.after(&rig.channel, since, None, own, aside).await
        })
    }

    async fn offsets(&self, since: u64) -> Vec<u64> {
        let page = self.ask(since).await.expect("ends").expect("is read");
        assert_eq!(page.position.offset, page.publications.last().map_or(since, |last| last.offset));
        page.publications.iter().map(|publication| publication.offset).collect()
    }

    /// Lets all tasks go as far as they come.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// A publication is kept on the server and arrives here.
    fn publish(&self, offset: u64) {
        self.top.store(offset as usize, Ordering::SeqCst);
        self.tails.arrived(&self.channel, &publication(offset), &"life".into());
    }

    fn counts(&self) -> (u32, u32) {
        (self.reads.load(Ordering::SeqCst), self.aside.load(Ordering::SeqCst))
    }
}

fn publication(offset: u64) -> Arc<Publication> {
    Arc::new(Publication { offset, data: "data".into(), ..Default::default() })
}

fn page(since: u64, top: u64) -> HistoryPage {
    let position = StreamPosition { offset: top, epoch: "life".into() };
    HistoryPage { publications: (since + 1..=top).map(publication).collect(), position }
}

#[tokio::test(start_paused = true)]
async fn all_who_come_back_at_once_cause_one_read() {
    let rig = Rig::held(5);
    let asked: Vec<_> = (0..100).map(|_| rig.ask(3)).collect();
    rig.settle().await;
    assert_eq!(rig.counts(), (1, 0));
    rig.permits.add_permits(1);
    for asked in asked {
        assert_eq!(asked.await.expect("ends").expect("is read"), page(3, 5));
    }
    assert_eq!(rig.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_arrives_during_a_read_and_after_it_is_added() {
    let rig = Rig::held(5);
    let first = rig.ask(3);
    rig.settle().await;
    // One that the page has too, and one that it has not.
    rig.publish(5);
    rig.publish(6);
    rig.permits.add_permits(1);
    assert_eq!(first.await.expect("ends").expect("is read"), page(3, 5));
    rig.publish(7);
    assert_eq!(rig.offsets(3).await, [4, 5, 6, 7]);
    assert_eq!(rig.offsets(6).await, [7]);
    assert!(rig.offsets(7).await.is_empty());
    assert_eq!(rig.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_gap_or_another_life_ends_a_tail() {
    let rig = Rig::new(5);
    assert_eq!(rig.offsets(3).await, [4, 5]);
    rig.publish(7);
    assert_eq!(rig.offsets(3).await, [4, 5, 6, 7]);
    rig.tails.arrived(&rig.channel, &publication(8), &"another".into());
    rig.top.store(8, Ordering::SeqCst);
    assert_eq!(rig.offsets(3).await, [4, 5, 6, 7, 8]);
    assert_eq!(rig.counts(), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_gap_during_a_read_leaves_no_tail() {
    let rig = Rig::held(5);
    let (first, second) = (rig.ask(3), rig.ask(3));
    rig.settle().await;
    rig.publish(7);
    rig.permits.add_permits(2);
    assert_eq!(first.await.expect("ends").expect("is read"), page(3, 5));
    assert_eq!(second.await.expect("ends").expect("is read"), page(3, 7), "read anew");
    assert_eq!(rig.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_is_outside_of_a_tail_reads_anew() {
    let rig = Rig::new(105);
    assert_eq!(rig.offsets(103).await, [104, 105]);
    assert_eq!(rig.offsets(103 - MARGIN).await.len(), 2 + MARGIN as usize, "knows a little less");
    assert_eq!(rig.counts(), (1, 0));
    assert_eq!(rig.offsets(10).await.len(), 95);
    assert_eq!(rig.offsets(103).await, [104, 105], "the longer one serves both");
    assert_eq!(rig.counts(), (2, 0));
    // Known to the client before it arrives here.
    rig.top.store(107, Ordering::SeqCst);
    assert_eq!(rig.offsets(106).await, [107]);
    assert_eq!(rig.counts(), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tail_lives_for_seconds_and_is_swept() {
    let rig = Rig::new(5);
    assert_eq!(rig.offsets(3).await, [4, 5]);
    tokio::time::advance(LIFE).await;
    assert_eq!(rig.offsets(3).await, [4, 5]);
    assert_eq!(rig.counts(), (2, 0));
    tokio::time::advance(LIFE).await;
    rig.tails.arrived(&"other".into(), &publication(1), &"life".into());
    assert_eq!(rig.tails.count.load(Ordering::SeqCst), 0);
    assert_eq!(rig.tails.state.lock().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_forgotten_during_a_read_has_no_tail() {
    let rig = Rig::held(5);
    let (first, second) = (rig.ask(3), rig.ask(3));
    rig.settle().await;
    rig.tails.forget(&rig.channel);
    // Another one reads before the first has its answer.
    let third = rig.ask(4);
    rig.settle().await;
    rig.permits.add_permits(3);
    assert_eq!(first.await.expect("ends").expect("is read"), page(3, 5));
    assert_eq!(second.await.expect("ends").expect("is read"), page(3, 5));
    assert_eq!(third.await.expect("ends").expect("is read"), page(4, 5));
    assert_eq!(rig.tails.state.lock().bytes, 20, "of the third");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_fails_for_all_who_wait() {
    let rig = Rig::held(5);
    let asked: Vec<_> = (0..10).map(|_| rig.ask(3)).collect();
    rig.settle().await;
    rig.permits.close();
    for asked in asked {
        assert!(asked.await.expect("ends").is_err());
    }
    assert_eq!(rig.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_given_up_leaves_nobody_waiting() {
    let rig = Rig::held(5);
    let first = rig.ask(3);
    rig.settle().await;
    let second = rig.ask(3);
    rig.settle().await;
    first.abort();
    rig.permits.add_permits(1);
    assert_eq!(second.await.expect("ends").expect("is read"), page(3, 5));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_read_by_each() {
    let rig = Rig::held(MOST + 1);
    let (first, second) = (rig.ask(0), rig.ask(0));
    rig.settle().await;
    rig.permits.add_permits(2);
    assert_eq!(first.await.expect("ends").expect("is read").publications.len(), MOST + 1);
    assert_eq!(second.await.expect("ends").expect("is read").publications.len(), MOST + 1);
    assert_eq!(rig.counts(), (1, 1));
    assert_eq!(rig.tails.count.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_kept() {
    let rig = Rig::new(5);
    assert_eq!(rig.offsets(2).await, [3, 4, 5]);
    let never = async || Page::Err(RedisError::Unexpected("it is here already"));
    let read = |_, _| never();
    let limited = rig.tails.after(&rig.channel, 2, Some(2), read, never()).await.expect("is here");
    let expected = HistoryPage { publications: vec![publication(3), publication(4)], ..page(2, 5) };
    assert_eq!(limited, expected);
}

#[tokio::test(start_paused = true)]
async fn a_limit_counts_from_the_position_and_not_from_the_margin() {
    let tails = Tails::default();
    let read = |since: u64, limit: Option<u64>| async move {
        assert_eq!((since, limit), (100 - MARGIN, Some(2 + MARGIN)));
        Ok(HistoryPage { publications: (since + 1..=102).map(publication).collect(), ..page(since, 105) })
    };
    let aside = async { Page::Err(RedisError::Unexpected("not asked")) };
    let limited = tails.after(&"channel".into(), 100, Some(2), read, aside).await.expect("is read");
    let expected = HistoryPage { publications: vec![publication(101), publication(102)], ..page(100, 105) };
    assert_eq!(limited, expected);
    assert_eq!(tails.count.load(Ordering::SeqCst), 0, "a part without the top is no tail");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_any_more_is_no_gap() {
    let tails = Tails::default();
    let read = |_, _| async { Ok(HistoryPage { publications: vec![publication(5)], ..page(5, 5) }) };
    let aside = || async { Page::Err(RedisError::Unexpected("not asked")) };
    let channel = "channel".into();
    let all = tails.after(&channel, 4, None, read, aside()).await.expect("is read");
    assert_eq!(all.publications, [publication(5)]);
    let never = |_, _| aside();
    assert!(tails.after(&channel, 4, None, never, aside()).await.is_ok());
    assert!(tails.after(&channel, 3, None, never, aside()).await.is_err(), "the fourth is asked for");
}
