//! An application that can fall sick: it hangs, fails, drips or is late when told so, and remembers when it was asked.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::Interval;
use tonic::body::Body;

/// Says nothing against anybody, and returns nothing.
const ANSWER: &[u8] = br#"{"result":{"data":{}}}"#;
/// Pause before each byte of an answer that drips; all of them take longer than any patience.
const DRIP: Duration = Duration::from_millis(250);
/// How late a late answer is.
const LATE: Duration = Duration::from_secs(10);

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// They are answered.
    Well,
    /// They are never answered.
    Hangs,
    /// They are answered with status 500.
    Fails,
    /// Answers come byte by byte.
    Drips,
    /// Answers come after ten seconds.
    Late,
}

/// Paths below which an application is as sick as it is told to be.
#[derive(Debug)]
pub struct Ward {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<(String, Instant)>>,
}

impl Ward {
    /// Where the paths begin that this is about.
    pub const PATH: &str = "/sick/";

    pub fn new() -> Self {
        Self { mood: Mutex::new(Mood::Well), asked: Mutex::default() }
    }

    /// Changes what becomes of requests that come from now on, and forgets those that came.
    pub fn set(&self, mood: Mood) {
        *lock(&self.mood) = mood;
        lock(&self.asked).clear();
    }

    /// When requests for `path` came since the mood changed.
    pub fn asked(&self, path: &str) -> Vec<Instant> {
        let asked = lock(&self.asked);
        asked.iter().filter(|(asked, _)| asked == path).map(|(_, when)| *when).collect()
    }

    /// Answers a request for `path`, the part behind [`Ward::PATH`].
    pub async fn answer(&self, path: &str) -> Response<Body> {
        lock(&self.asked).push((path.to_owned(), Instant::now()));
        let mood = *lock(&self.mood);
        let mut body = Body::new(Full::new(Bytes::from_static(ANSWER)));
        match mood {
            Mood::Well | Mood::Fails => {}
            Mood::Hangs => std::future::pending().await,
            Mood::Drips => body = Body::new(Drip::new()),
            Mood::Late => tokio::time::sleep(LATE).await,
        }
        let mut response = Response::new(body);
        if mood == Mood::Fails {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The answer, a byte at a time.
struct Drip {
    left: Bytes,
    pace: Interval,
}

impl Drip {
    fn new() -> Self {
        Self { left: Bytes::from_static(ANSWER), pace: tokio::time::interval(DRIP) }
    }
}

impl hyper::body::Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll_tick(cx));
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(1)))))
    }
}
