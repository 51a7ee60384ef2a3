//! Memory that answers under way may take up, all applications together.
//!
//! Each gate lets a thousand calls run; with answers of megabytes they would eat the machine. So an answer that is
//! not small takes room before it is read and gives it back once it is decoded. Who finds none waits, with a
//! little of the connection's data in buffers, and is refused when that takes too long. Small answers never wait:
//! an application with large ones does not slow others down that give short ones.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of an answer that need no room.
pub(super) const SMALL: usize = 16 << 10;

/// Bytes of all other answers together.
pub(super) const COMMON: usize = 128 << 20;

/// There is no room, and none became free in time. This tells nothing about the application.
#[derive(Debug, thiserror::Error)]
#[error("answers of applications that are being read take up {COMMON} bytes already")]
pub(super) struct Crowded;

/// What all calls share.
#[derive(Clone)]
pub(super) struct Allowance {
    /// One permit a byte.
    common: Arc<Semaphore>,
    /// Who holds it takes what it needs beyond the common room, so that answers that grow while they are read
    /// never all wait for each other.
    last: Arc<Semaphore>,
}

/// What one answer has taken. Dropping it gives it back.
pub(super) struct Room {
    allowance: Allowance,
    patience: Duration,
    held: Option<OwnedSemaphorePermit>,
    last: Option<OwnedSemaphorePermit>,
}

impl Allowance {
    pub fn new() -> Self {
        Self { common: Arc::new(Semaphore::new(COMMON)), last: Arc::new(Semaphore::new(1)) }
    }

    /// Room for an answer that waits at most this long, each time it needs more.
    pub fn room(&self, patience: Duration) -> Room {
        Room { allowance: self.clone(), patience, held: None, last: None }
    }

    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.common.available_permits()
    }
}

impl Room {
    /// Makes room for this many bytes in all, and for as many again as there are already, so that an answer
    /// that tells no length waits seldom.
    ///
    /// # Errors
    /// See [`Crowded`].
    pub async fn fit(&mut self, bytes: usize) -> Result<(), Crowded> {
        let held = self.held();
        if bytes <= held.max(SMALL) || self.last.is_some() {
            return Ok(());
        }
        let more = u32::try_from(bytes.max(held * 2) - held).map_err(|_| Crowded)?;
        if let Ok(more) = self.allowance.common.clone().try_acquire_many_owned(more) {
            self.add(more);
            return Ok(());
        }
        let Allowance { common, last } = self.allowance.clone();
        let wait = async {
            // Neither semaphore is ever closed.
            tokio::select! {
                biased;
                more = common.acquire_many_owned(more) => (more.ok(), None),
                last = last.acquire_owned() => (None, last.ok()),
            }
        };
        let (more, last) = tokio::time::timeout(self.patience, wait).await.map_err(|_| Crowded)?;
        more.into_iter().for_each(|more| self.add(more));
        self.last = last;
        Ok(())
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        (self.held, self.last) = (None, None);
    }

    fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.held {
            None => self.held = Some(more),
            Some(held) => held.merge(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        future.now_or_never()
    }

    /// Takes all of the common room.
    fn fill(allowance: &Allowance) -> Room {
        let mut room = allowance.room(PATIENCE);
        now(room.fit(COMMON)).unwrap().unwrap();
        room
    }

    #[tokio::test(start_paused = true)]
    async fn small_answers_never_wait_and_large_ones_wait_for_those_before() {
        let allowance = Allowance::new();
        let first = fill(&allowance);
        let mut holder = allowance.room(PATIENCE);
        now(holder.fit(SMALL + 1)).unwrap().unwrap();

        let mut small = allowance.room(PATIENCE);
        assert!(matches!(now(small.fit(SMALL)), Some(Ok(()))));
        let mut large = allowance.room(PATIENCE);
        assert!(now(large.fit(SMALL + 1)).is_none(), "the last place is taken, too");
        drop(first);
        now(large.fit(SMALL + 1)).unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_is_refused_and_leaves_nothing_behind() {
        let allowance = Allowance::new();
        let (first, mut holder) = (fill(&allowance), allowance.room(PATIENCE));
        holder.fit(SMALL + 1).await.unwrap();
        let began = tokio::time::Instant::now();
        let mut refused = allowance.room(PATIENCE);
        assert!(matches!(refused.fit(SMALL + 1).await, Err(Crowded)));
        assert_eq!(began.elapsed(), PATIENCE);
        drop((first, holder));
        drop(fill(&allowance));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_grow_do_not_wait_for_each_other_for_ever() {
        let allowance = Allowance::new();
        let half = |room: &mut Room| now(room.fit(COMMON / 2)).unwrap().unwrap();
        let (mut one, mut two) = (allowance.room(PATIENCE), allowance.room(PATIENCE));
        half(&mut one);
        half(&mut two);
        now(one.fit(COMMON)).unwrap().unwrap();
        let mut waiting = Box::pin(two.fit(COMMON));
        assert!(now(&mut waiting).is_none(), "one at a time has the last place");
        drop(one);
        now(waiting).unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_a_length_takes_twice_what_it_has() {
        let allowance = Allowance::new();
        let mut room = allowance.room(PATIENCE);
        room.fit(SMALL + 1).await.unwrap();
        room.fit(SMALL + 2).await.unwrap();
        assert_eq!(room.held(), 2 * (SMALL + 1));
        drop(room);
        assert_eq!(allowance.free(), COMMON);
    }
}
