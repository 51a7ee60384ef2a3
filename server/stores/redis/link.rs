//! A connection that heals: whoever asks gets the one that stands, or waits a little for the next.

use super::error::RedisError;
use super::pipeline::Pipeline;
use super::resp::{Command, Value};
use super::route::{Backoff, Route};
use super::settings::Dial;
use super::socket::{Purpose, Socket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// Requests that may wait for a connection to come up.
const MOST_WAITING: usize = 1 << 16;

/// A connection that lived this long was a good one.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// Called before the first request over a connection that replaces another.
pub(super) type Returned = Box<dyn Fn() + Send + Sync>;

/// The connection to one server, made anew whenever it ends.
pub(super) struct Link {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    name: Arc<str>,
    state: watch::Sender<State>,
    waiting: AtomicUsize,
    patience: Duration,
}

struct State {
    pipeline: Option<Pipeline>,
    /// Why there is none.
    reason: Arc<str>,
    /// Counts connections.
    life: u64,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Link {
    /// Starts to connect; `name` is for logs and errors.
    pub(super) fn start(name: &str, route: Route, dial: Dial, purpose: Purpose) -> Self {
        Self::start_watched(name, route, dial, purpose, Box::new(|| {}))
    }

    /// As [`start`](Self::start), and says when a connection replaces another.
    pub(super) fn start_watched(
        name: &str,
        route: Route,
        dial: Dial,
        purpose: Purpose,
        returned: Returned,
    ) -> Self {
        let state = State { pipeline: None, reason: "not connected yet".into(), life: 0 };
        let shared = Arc::new(Shared {
            name: name.into(),
            state: watch::Sender::new(state),
            waiting: AtomicUsize::new(0),
            patience: dial.connect_timeout,
        });
        let keeper = tokio::spawn(keep(shared.clone(), route, dial, purpose, returned)).abort_handle();
        Self { shared, keeper }
    }

    /// Sends commands that no other may come between, and waits for the answer to the last. Errors of Redis are
    /// values here. When a connection stands, the commands are queued at the first poll.
    ///
    /// # Errors
    /// `Unreachable` when no connection came up within the connect timeout; `Lost`; `Overloaded`.
    pub(super) async fn request(&self, commands: &[&Command]) -> Result<Value, RedisError> {
        let shared = &self.shared;
        let mut deadline = None;
        loop {
            let (pipeline, life) = {
                let state = shared.state.borrow();
                (state.pipeline.clone(), state.life)
            };
            if let Some(pipeline) = &pipeline {
                match pipeline.send(commands) {
                    Ok(reply) => return reply.await.unwrap_or_else(|_| Err(pipeline.end())),
                    Err(error @ RedisError::Overloaded { .. }) => return Err(error),
                    // It ended a moment ago; the next one is on its way.
                    Err(_) => {}
                }
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + shared.patience);
            shared.wait(life, pipeline.is_some(), deadline).await?;
        }
    }

    /// Ends the connection that stands: what it leads to is not what was meant.
    pub(super) fn renew(&self, reason: &str) {
        if let Some(pipeline) = self.shared.state.borrow().pipeline.clone() {
            pipeline.close(reason);
        }
    }

    /// Whether a connection stands.
    pub(super) fn is_up(&self) -> bool {
        self.shared.state.borrow().pipeline.is_some()
    }
}

impl Shared {
    /// Waits for a connection; for another than that of `life` when `ended`.
    async fn wait(&self, life: u64, ended: bool, deadline: Instant) -> Result<(), RedisError> {
        let _place =
            Place::take(&self.waiting).ok_or_else(|| RedisError::Overloaded { place: self.name.clone() })?;
        let mut state = self.state.subscribe();
        let up = state.wait_for(|state| state.pipeline.is_some() && !(ended && state.life == life));
        match timeout_at(deadline, up).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(RedisError::unreachable(&self.name, "given up")),
            Err(_) => Err(RedisError::unreachable(&self.name, &self.state.borrow().reason)),
        }
    }

    fn up(&self, pipeline: Pipeline) {
        self.state.send_modify(|state| {
            state.pipeline = Some(pipeline);
            state.life += 1;
        });
    }

    fn down(&self, reason: &str) {
        self.state.send_modify(|state| {
            state.pipeline = None;
            state.reason = reason.into();
        });
    }
}

/// A place among those who wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn keep(shared: Arc<Shared>, mut route: Route, dial: Dial, purpose: Purpose, returned: Returned) {
    let mut backoff = Backoff::default();
    let (mut troubled, mut first) = (false, true);
    for attempt in 0.. {
        let Some(address) = route.now(attempt) else {
            shared.down("nobody knows where it is");
            route.changed().await;
            continue;
        };
        let opened = Socket::open(&address, &dial, purpose).await;
        let error = match opened.and_then(|socket| checked(socket, &route, purpose)) {
            Ok(socket) => {
                let began = Instant::now();
                let (pipeline, driver) = Pipeline::new(socket, dial.io_timeout);
                if !std::mem::take(&mut first) {
                    returned();
                }
                shared.up(pipeline);
                if troubled {
                    tracing::info!(redis = &*shared.name, address = address.as_str(), "redis is back");
                    troubled = false;
                }
                let error = tokio::select! {
                    error = driver => error,
                    () = route.left(&address) => RedisError::lost(address.as_str(), "it is elsewhere now"),
                };
                if began.elapsed() > GOOD_LIFE {
                    backoff.reset();
                }
                error
            }
            Err(error) => error,
        };
        shared.down(&error.to_string());
        if !troubled {
            tracing::warn!(redis = &*shared.name, %error, "redis connection is down");
            troubled = true;
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Refuses a server that does not take writes though Sentinels call it the primary.
fn checked(socket: Socket, route: &Route, purpose: Purpose) -> Result<Socket, RedisError> {
    let wrong = purpose == Purpose::Data && matches!(route, Route::Named(_)) && !socket.greeting.primary;
    if wrong {
        return Err(RedisError::unreachable(socket.address.as_str(), "it is no primary yet"));
    }
    Ok(socket)
}
