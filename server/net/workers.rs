//! One single-threaded runtime per core for connections.
//!
//! A request is read, served and answered by one thread. On a runtime that moves tasks between threads, each
//! request of a multiplexed connection is a task that another core steals, and most of the time goes into waking it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

/// New connections a thread takes up before it looks again at those it has: when thousands come at once, a request on
/// one that stands waits for few of them and not for all.
const TAKEN_UP_AT_ONCE: usize = 16;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Threads that serve connections, taking turns. Dropping them waits for the threads; connections that are
/// left are dropped.
pub struct Workers {
    workers: Vec<Worker>,
    next: AtomicUsize,
}

struct Worker {
    /// Not bounded: who accepts never waits, and the number of connections is limited elsewhere.
    newcomers: mpsc::UnboundedSender<Work>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the operating system refuses one.
    pub fn start(count: usize) -> io::Result<Self> {
        let workers = (0..count.max(1)).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self { workers, next: AtomicUsize::new(0) })
    }

    /// Runs `work` on the thread whose turn it is.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        // It fails only when the thread is gone, and with it all connections.
        let _ = self.workers[at].newcomers.send(Box::pin(work));
    }
}

impl Worker {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (newcomers, arriving) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("http-{index}")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // An error means the sender is gone, which says the same.
                    _ = stopped => {}
                    () = take_up(arriving) => {}
                }
            });
        })?;
        Ok(Self { newcomers, stop: Some(stop), thread: Some(thread) })
    }
}

/// Starts what arrives, a little in each turn of the thread.
async fn take_up(mut arriving: mpsc::UnboundedReceiver<Work>) {
    let mut some = Vec::with_capacity(TAKEN_UP_AT_ONCE);
    while arriving.recv_many(&mut some, TAKEN_UP_AT_ONCE).await > 0 {
        some.drain(..).for_each(|work| drop(tokio::spawn(work)));
        yield_now().await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread that serves connections panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_stands_waits_for_few_newcomers() {
        let (sender, arriving) = mpsc::unbounded_channel();
        let begun = Arc::new(AtomicUsize::new(0));
        let (wake, woken) = oneshot::channel::<()>();
        // The first newcomer wakes what stands.
        let mut wake = Some(wake);
        for _ in 0..1000 {
            let (begun, wake) = (begun.clone(), wake.take());
            let work: Work = Box::pin(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                drop(wake);
            });
            sender.send(work).expect("is there");
        }
        let count = begun.clone();
        let standing = tokio::spawn(async move {
            assert!(woken.await.is_err(), "is woken");
            count.load(Ordering::SeqCst)
        });
        let taking_up = tokio::spawn(take_up(arriving));
        let before = standing.await.expect("ends");
        assert!(before <= 2 * TAKEN_UP_AT_ONCE, "{before} came first");
        drop(sender);
        taking_up.await.expect("ends when nobody can come any more");
        while begun.load(Ordering::SeqCst) < 1000 {
            yield_now().await;
        }
    }
}
