//! What was read of a stream stays for a moment, and what arrives is added: when all clients of a node come back at
//! once, a stream is read once and not once for each of them.
//!
//! Only for those to whom this node delivers already: what a page lacks because it is still on its way comes after it.

use crate::broker::{Epoch, HistoryPage, Publication, StreamPosition};
use crate::stores::redis::RedisError;
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a tail is used. History that another node removes or lets expire is still sent to clients for that long.
const LIFE: Duration = Duration::from_secs(5);

/// Publications read from before the position that was asked for: of clients that lose their connections at the same
/// moment some know a little more than others.
const MARGIN: u64 = 64;

/// Most publications of a tail.
const MOST: usize = 1024;

/// Most bytes of payloads of a tail.
const MOST_BYTES: usize = 1 << 20;

/// Most bytes of payloads of all tails.
const MOST_BYTES_OF_ALL: usize = 64 << 20;

/// Readings of others one waits for.
const MOST_WAITS: u32 = 3;

/// Most channels with a tail; the rest is read each time.
const MOST_CHANNELS: usize = 16_384;

/// The newest publications of channels, as far as somebody asked for them lately.
#[derive(Default)]
pub(super) struct Tails {
    /// Held for one access, and every few seconds for looking through all.
    state: Mutex<State>,
    /// How many entries there are: arrivals find out without the lock that there are none.
    count: AtomicUsize,
}

#[derive(Default)]
struct State {
    entries: HashMap<Arc<str>, Entry, RandomState>,
    /// Of the payloads of all tails.
    bytes: usize,
    /// Counts readings.
    readings: u64,
    /// When those that are too old were removed last.
    swept: Option<Instant>,
}

enum Entry {
    /// Somebody reads; arrivals are kept meanwhile.
    Reading {
        id: u64,
        arrived: Vec<(Arc<Publication>, Epoch)>,
        others: Vec<Waiter>,
    },
    Here(Tail),
}

type Waiter = oneshot::Sender<Result<(), RedisError>>;

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Reading { .. } => 0,
            Self::Here(tail) => tail.bytes,
        }
    }
}

impl State {
    fn insert(&mut self, channel: &Arc<str>, entry: Entry) {
        self.bytes += entry.bytes();
        self.bytes -= self.entries.insert(channel.clone(), entry).map_or(0, |before| before.bytes());
    }

    fn remove(&mut self, channel: &str) -> Option<Entry> {
        let entry = self.entries.remove(channel)?;
        self.bytes -= entry.bytes();
        Some(entry)
    }

    /// Removes what is too old, now and then.
    fn sweep(&mut self) {
        if self.swept.is_some_and(|swept| swept.elapsed() < LIFE) {
            return;
        }
        self.swept = Some(Instant::now());
        self.entries.retain(|_, entry| match entry {
            Entry::Reading { .. } => true,
            Entry::Here(tail) => tail.is_fresh(),
        });
        self.bytes = self.entries.values().map(Entry::bytes).sum();
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MOST_CHANNELS || self.bytes >= MOST_BYTES_OF_ALL
    }
}

/// A part of a stream up to its top, without a gap.
struct Tail {
    epoch: Epoch,
    /// Offset of the last publication that is not part of it.
    from: u64,
    top: u64,
    publications: VecDeque<Arc<Publication>>,
    bytes: usize,
    since: Instant,
}

impl Tail {
    fn new(page: &HistoryPage) -> Option<Self> {
        let StreamPosition { offset: end, epoch } = page.position.clone();
        // Older ones may be gone.
        let from = page.publications.first().map_or(end, |first| first.offset.saturating_sub(1));
        let since = Instant::now();
        let mut tail = Self { epoch, from, top: from, publications: VecDeque::new(), bytes: 0, since };
        let whole = page.publications.iter().all(|publication| tail.add(publication));
        // Otherwise some were left out because they are too many.
        (whole && tail.top == end).then_some(tail)
    }

    /// Adds the next publication; answers whether it is the next and there is place for it.
    fn add(&mut self, publication: &Arc<Publication>) -> bool {
        self.bytes += publication.data.len();
        let fits =
            publication.offset == self.top + 1 && self.publications.len() < MOST && self.bytes <= MOST_BYTES;
        if fits {
            self.top = publication.offset;
            self.publications.push_back(publication.clone());
        }
        fits
    }

    /// Takes an arrival; answers whether the tail is still without a gap.
    fn arrived(&mut self, publication: &Arc<Publication>, epoch: &Epoch) -> bool {
        *epoch == self.epoch && (publication.offset <= self.top || self.add(publication))
    }

    fn is_fresh(&self) -> bool {
        self.since.elapsed() < LIFE
    }

    /// What follows `since`, when all of it is here.
    fn after(&self, since: u64, limit: Option<u64>) -> Option<HistoryPage> {
        let known = usize::try_from(since.checked_sub(self.from)?).ok()?;
        if since > self.top {
            return None;
        }
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let publications = self.publications.iter().skip(known).take(limit).cloned().collect();
        let position = StreamPosition { offset: self.top, epoch: self.epoch.clone() };
        Some(HistoryPage { publications, position })
    }
}

/// What is to be done for somebody who asks.
enum Answer {
    Here(HistoryPage),
    /// Wait for whoever reads.
    Wait(oneshot::Receiver<Result<(), RedisError>>),
    /// Read; what was read becomes the tail.
    Read(u64),
    /// Read for oneself.
    Aside,
}

/// Ends the reading when it is given up: those who wait ask anew.
struct Reading<'a> {
    tails: &'a Tails,
    channel: &'a Arc<str>,
    id: u64,
    ended: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.tails.end(self.channel, self.id, None, Ok(()));
        }
    }
}

impl Tails {
    /// What follows `since` in a channel that is delivered to this node. `read` reads what follows an offset from the
    /// server, at most so many, and others who ask meanwhile wait; `aside` reads for one who cannot be helped that way.
    ///
    /// # Errors
    /// Those of `read` and `aside`.
    pub(super) async fn after<F>(
        &self,
        channel: &Arc<str>,
        since: u64,
        limit: Option<u64>,
        read: impl FnOnce(u64, Option<u64>) -> F,
        aside: impl Future<Output = Result<HistoryPage, RedisError>>,
    ) -> Result<HistoryPage, RedisError>
    where
        F: Future<Output = Result<HistoryPage, RedisError>>,
    {
        let mut waits = 0;
        loop {
            match self.ask(channel, since, limit, waits) {
                Answer::Here(page) => return Ok(page),
                Answer::Wait(reading) => {
                    waits += 1;
                    if let Ok(ended) = reading.await {
                        ended?;
                    }
                }
                Answer::Read(id) => {
                    let mut reading = Reading { tails: self, channel, id, ended: false };
                    let from = since.saturating_sub(MARGIN);
                    let result = read(from, limit.map(|limit| limit.saturating_add(since - from))).await;
                    reading.ended = true;
                    let tail = result.as_ref().ok().and_then(Tail::new);
                    self.end(channel, id, tail, result.as_ref().map(drop).map_err(Clone::clone));
                    return result.map(|page| without_margin(page, since, limit));
                }
                Answer::Aside => return aside.await,
            }
        }
    }

    fn ask(&self, channel: &Arc<str>, since: u64, limit: Option<u64>, waits: u32) -> Answer {
        let mut state = self.state.lock();
        state.sweep();
        match state.entries.get_mut(channel) {
            Some(Entry::Reading { others, .. }) if waits < MOST_WAITS => {
                let (sender, receiver) = oneshot::channel();
                others.push(sender);
                return Answer::Wait(receiver);
            }
            Some(Entry::Reading { .. }) => return Answer::Aside,
            Some(Entry::Here(tail)) if tail.is_fresh() => {
                if let Some(page) = tail.after(since, limit) {
                    return Answer::Here(page);
                }
            }
            // What was read is no tail: not all of it is kept, or it is too much.
            None if waits > 0 => return Answer::Aside,
            _ => {}
        }
        if state.is_full() {
            return Answer::Aside;
        }
        state.readings += 1;
        let id = state.readings;
        state.insert(channel, Entry::Reading { id, arrived: Vec::new(), others: Vec::new() });
        self.count.store(state.entries.len(), Ordering::SeqCst);
        Answer::Read(id)
    }

    /// Ends a reading: what arrived meanwhile is added to what was read.
    fn end(&self, channel: &Arc<str>, id: u64, tail: Option<Tail>, result: Result<(), RedisError>) {
        let mut state = self.state.lock();
        // It was forgotten if the channel was not delivered meanwhile.
        let own = |entry: &Entry| matches!(entry, Entry::Reading { id: own, .. } if *own == id);
        if !state.entries.get(channel).is_some_and(own) {
            return;
        }
        let Some(Entry::Reading { arrived, others, .. }) = state.remove(channel) else { return };
        let whole = |mut tail: Tail| {
            let fits = arrived.iter().all(|(publication, epoch)| tail.arrived(publication, epoch));
            fits.then_some(tail)
        };
        if let Some(tail) = tail.and_then(whole) {
            state.insert(channel, Entry::Here(tail));
        }
        self.count.store(state.entries.len(), Ordering::SeqCst);
        drop(state);
        for other in others {
            let _ = other.send(result.clone());
        }
    }

    /// Adds what arrived. Called before the receiver hears of it: whoever asks later finds it here, and to whoever
    /// asked before it is delivered.
    pub(super) fn arrived(&self, channel: &Arc<str>, publication: &Arc<Publication>, epoch: &Epoch) {
        if self.count.load(Ordering::SeqCst) == 0 || publication.offset == 0 {
            return;
        }
        let mut guard = self.state.lock();
        guard.sweep();
        let state = &mut *guard;
        let keeps = match state.entries.get_mut(channel) {
            None => true,
            Some(Entry::Reading { arrived, .. }) => {
                arrived.push((publication.clone(), epoch.clone()));
                arrived.len() <= MOST
            }
            Some(Entry::Here(tail)) => {
                let before = tail.bytes;
                let keeps = tail.arrived(publication, epoch);
                state.bytes += tail.bytes - before;
                keeps
            }
        };
        if !keeps {
            state.remove(channel);
        }
        self.count.store(state.entries.len(), Ordering::SeqCst);
    }

    /// Forgets a channel: it is delivered no more, or not without a gap, or something was removed. Those who wait for
    /// a reading of it ask anew.
    pub(super) fn forget(&self, channel: &str) {
        if self.count.load(Ordering::SeqCst) > 0 {
            let mut state = self.state.lock();
            state.remove(channel);
            self.count.store(state.entries.len(), Ordering::SeqCst);
        }
    }

    /// Forgets all channels: the server may be another than the one that was read.
    pub(super) fn forget_all(&self) {
        let mut state = self.state.lock();
        state.entries.clear();
        state.bytes = 0;
        self.count.store(0, Ordering::SeqCst);
    }
}

/// What was asked for of a page that begins earlier.
fn without_margin(mut page: HistoryPage, since: u64, limit: Option<u64>) -> HistoryPage {
    page.publications.retain(|publication| publication.offset > since);
    page.publications.truncate(limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
    page
}

#[cfg(test)]
mod tests;
