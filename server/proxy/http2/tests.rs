//! Calls over a connection of HTTP/2, against servers of HTTP/2 that do what each test says.

use super::*;
use futures_util::future::join;
use futures_util::task::AtomicWaker;
use h2::server::{Connection as Served, SendResponse};
use http::{HeaderMap, HeaderValue};
use http_body_util::{Full, StreamBody};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// A listening socket and a connection to it that nobody has opened yet.
async fn pair() -> (TcpListener, Http2) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    (listener, Http2::new(origin, None, (Allowance::new(), OPENING)))
}

async fn accept(listener: &TcpListener) -> Served<TcpStream, Bytes> {
    h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap()
}

/// The next request of a connection.
async fn next(served: &mut Served<TcpStream, Bytes>) -> (Request<RecvStream>, SendResponse<Bytes>) {
    served.accept().await.expect("a request comes").unwrap()
}

fn request(http2: &Http2, body: Body) -> Request<Body> {
    Request::post(http2.0.origin.clone()).body(body).unwrap()
}

async fn call(http2: &Http2) -> Result<Response<Counted<Answer>>, AnyError> {
    http2.clone().call(request(http2, Body::new(Full::from("question")))).await
}

fn succeed(respond: &mut SendResponse<Bytes>) {
    respond.send_response(Response::new(()), true).unwrap();
}

/// Answers one request, and serves the connection until its end.
async fn answer_one(mut served: Served<TcpStream, Bytes>) {
    succeed(&mut next(&mut served).await.1);
    let _ended = served.accept().await;
}

#[tokio::test]
async fn calls_share_a_connection_and_open_another_when_it_is_gone() {
    let (listener, http2) = pair().await;
    let application = async {
        let mut first = accept(&listener).await;
        for _ in 0..2 {
            succeed(&mut next(&mut first).await.1);
        }
        // The third gets no answer: its connection ends.
        drop(next(&mut first).await);
        drop(first);
        answer_one(accept(&listener).await).await;
    };
    let calls = async {
        let (one, two) = join(call(&http2), call(&http2)).await;
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}", one = one.err(), two = two.err());
        assert!(call(&http2).await.is_err());
        call(&http2).await.expect("a new connection");
        drop(http2);
    };
    join(application, calls).await;
}

#[tokio::test]
async fn opening_outlives_who_asked_for_it() {
    let (listener, http2) = pair().await;
    let mut asked = Box::pin(call(&http2));
    assert!(asked.as_mut().now_or_never().is_none());
    let (socket, _) = listener.accept().await.unwrap();
    drop(asked);
    let application = async {
        answer_one(h2::server::handshake(socket).await.unwrap()).await;
    };
    let calls = async {
        call(&http2).await.expect("the connection that was being opened");
        drop(http2);
    };
    join(application, calls).await;
}

#[tokio::test]
async fn who_cannot_be_reached_fails_every_call_at_once_and_is_tried_again() {
    let (listener, http2) = pair().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (one, two) = join(call(&http2), call(&http2)).await;
    for error in [one.err().unwrap(), two.err().unwrap()] {
        assert!(error.is::<Unreachable>(), "{error}");
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let application = async {
        answer_one(accept(&listener).await).await;
    };
    let calls = async {
        call(&http2).await.expect("it is back");
        drop(http2);
    };
    join(application, calls).await;
}

#[tokio::test]
async fn bodies_larger_than_the_window_come_whole_in_both_directions() {
    const SIZE: usize = 128 * ANSWER_WINDOW as usize;
    let (listener, http2) = pair().await;
    let application = async {
        let mut served = accept(&listener).await;
        let (request, mut respond) = next(&mut served).await;
        let echo = async {
            let mut body = request.into_body();
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                answer.reserve_capacity(data.len());
                while answer.capacity() < data.len() {
                    poll_fn(|cx| answer.poll_capacity(cx)).await.unwrap().unwrap();
                }
                answer.send_data(data, false).unwrap();
            }
            let trailers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("whole"))]);
            answer.send_trailers(trailers).unwrap();
        };
        // Reads and writes go on while the connection waits for a request that never comes.
        join(echo, served.accept()).await;
    };
    let calls = async {
        let chunks = (0..SIZE >> 20).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![7; 1 << 20]))));
        // The second half is not there yet when the call begins.
        let body = futures_util::stream::iter(chunks);
        let body = futures_util::StreamExt::then(body, |chunk| async {
            tokio::task::yield_now().await;
            chunk
        });
        let answer = http2.clone().call(request(&http2, Body::new(StreamBody::new(body)))).await.unwrap();
        drop(http2);
        let whole = answer.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()[USER_AGENT], "whole");
        let bytes = whole.to_bytes();
        assert_eq!((bytes.len(), bytes.iter().all(|byte| *byte == 7)), (SIZE, true));
    };
    join(application, calls).await;
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled() {
    let (listener, http2) = pair().await;
    let application = async {
        let mut served = accept(&listener).await;
        let (_request, mut respond) = next(&mut served).await;
        let mut answer = respond.send_response(Response::new(()), false).unwrap();
        let reset = async { poll_fn(|cx| answer.poll_reset(cx)).await.unwrap() };
        let (reset, _) = join(reset, served.accept()).await;
        assert_eq!(reset, Reason::CANCEL);
    };
    let calls = async {
        // A request that never ends.
        let body = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let answer = http2.clone().call(request(&http2, Body::new(body))).await.unwrap();
        drop((answer, http2));
    };
    join(application, calls).await;
}

#[tokio::test]
async fn what_becomes_ready_together_is_written_together() {
    let (polls, waker) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicWaker::new()));
    let connection = {
        let (polls, waker) = (polls.clone(), waker.clone());
        poll_fn(move |cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            waker.register(cx.waker());
            Poll::<()>::Pending
        })
    };
    tokio::spawn(Gathering { connection, waited: false });
    while polls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let waker = waker.clone();
            tokio::spawn(async move { waker.wake() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    while polls.load(Ordering::Relaxed) == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(polls.load(Ordering::Relaxed), 2);
}
