//! Requests of one HTTP/2 connection, run inside the task of the connection.
//!
//! A task per request costs an allocation, a wake-up on another thread and a write of its own per
//! response. Run in place, all requests that arrived together are answered with one write. A request
//! that computes for long holds up those beside it on the same connection, and nobody else.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the requests that a connection starts, until [`drive`] runs them.
#[derive(Clone, Default)]
pub(super) struct Streams {
    /// Pushed to and emptied by the same task, so never contended; emptied before the task sleeps.
    started: Arc<Mutex<Vec<Task>>>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        self.started.lock().push(Box::pin(future));
    }
}

/// Runs a connection and the requests it starts. Requests end with their connection.
pub(super) async fn drive<C: Future>(connection: C, streams: Streams) -> C::Output {
    let mut connection = pin!(connection);
    let mut running = FuturesUnordered::new();
    std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            let started = std::mem::take(&mut *streams.started.lock());
            let mut progress = !started.is_empty();
            running.extend(started);
            while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {
                progress = true;
            }
            // Responses that are ready now wait in the connection, which writes them when polled.
            if !progress {
                return Poll::Pending;
            }
        }
    })
    .await
}
