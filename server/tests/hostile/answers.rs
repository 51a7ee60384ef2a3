//! Applications whose answers are large and never end.

use crate::memory::{peak_bytes, resident_bytes};
use crate::peer::{Peer, TEXT, frame};
use crate::process::Process;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Calls that run at once.
const CALLS: usize = 160;
/// Bytes of an answer; less than the largest message of gRPC.
const ANSWER: usize = 4_000_000;
/// What all answers may take up, their bound and buffers of connections.
const BOUND: u64 = 256 << 20;

/// Answers every request with everything but the end; `small` is what it says on other paths.
fn serve_http(large_head: &'static str, large_begin: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let body = large_begin.clone();
            std::thread::spawn(move || answer_http(stream, large_head, &body));
        }
    });
    address
}

fn answer_http(stream: TcpStream, head: &str, body: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        for at in 0.. {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if at == 0 {
                path = line;
            } else if line == "\r\n" {
                break;
            } else if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        stream.read_exact(&mut vec![0; length])?;
        if path.starts_with("POST /small") {
            let small = "{\"result\":{\"data\":\"small\"}}";
            write!(stream.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{small}", small.len())?;
            continue;
        }
        stream.get_mut().write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes())?;
        // The rest never comes; the server gives up.
        stream.read_exact(&mut [0])?;
    }
}

/// The same over gRPC.
fn serve_grpc() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let service = service_fn(|_| async { Ok::<_, Infallible>(message_without_end()) });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(u32::try_from(2 * CALLS).unwrap())
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(connection);
            }
        });
    });
    address
}

fn message_without_end() -> hyper::Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>> {
    let length = u32::try_from(ANSWER).unwrap();
    let begin = [&[0], &length.to_be_bytes()[..], &vec![b' '; ANSWER - 1]].concat();
    let data = stream::iter([Ok(Frame::data(Bytes::from(begin)))]);
    let body = StreamBody::new(futures_util::StreamExt::chain(data, stream::pending()));
    hyper::Response::builder().header("content-type", "application/grpc").body(body.boxed_unsync()).unwrap()
}

/// Lets many calls of `large` run at once, and one of `small` meanwhile.
fn check(endpoint: &str, small: SocketAddr) {
    let server = Process::start(&json!({
        "client": {"insecure": true},
        "log": {"level": "error"},
        "rpc": {
            "namespaces": [
                {"name": "large", "proxy_enabled": true, "proxy_name": "large"},
                {"name": "small", "proxy_enabled": true, "proxy_name": "small"},
            ],
        },
        "proxies": [
            {"name": "large", "endpoint": endpoint, "timeout": "6s"},
            {"name": "small", "endpoint": format!("http://{small}/small"), "timeout": "6s"},
        ],
    }));
    let call =
        |method: &str| frame(TEXT, true, format!(r#"{{"id":2,"rpc":{{"method":"{method}"}}}}"#).as_bytes());
    let mut peers: Vec<Peer> = (0..CALLS).map(|_| Peer::connected(server.address()).unwrap()).collect();
    let mut other = Peer::connected(server.address()).unwrap();
    let before = resident_bytes(&server);
    for peer in &mut peers {
        peer.write(&call("large:x")).unwrap();
    }
    // The first that is refused waited for half of its timeout: by now all that has room is taken.
    let refused = "answers of applications that are being read take up";
    let begun = std::time::Instant::now();
    while !server.log().contains(refused) {
        assert!(begun.elapsed() < crate::peer::PATIENCE, "none was refused: {}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    other.write(&call("small:x")).unwrap();
    other.expect(r#"{"id":2,"rpc":{"data":"small"}}"#).unwrap();
    for peer in &mut peers {
        peer.expect(r#"{"id":2,"error":{"code":100,"#).unwrap();
        peer.check_alive().unwrap();
    }
    let grown = peak_bytes(&server).saturating_sub(before);
    assert!(grown < BOUND, "grown by {grown} bytes");
}

#[test]
fn large_answers_over_http_share_their_memory() {
    let body = "x".repeat(ANSWER - 1);
    let length: &str = Box::leak(format!("Content-Length: {ANSWER}").into_boxed_str());
    let application = serve_http(length, body);
    check(&format!("http://{application}/large"), application);
}

#[test]
fn large_answers_that_tell_no_length_share_their_memory() {
    let chunk = format!("{ANSWER:x}\r\n{}", "x".repeat(ANSWER - 1));
    let application = serve_http("Transfer-Encoding: chunked", chunk);
    check(&format!("http://{application}/large"), application);
}

#[test]
fn large_answers_over_grpc_share_their_memory() {
    let small = serve_http("Content-Length: 0", String::new());
    check(&format!("grpc://{}", serve_grpc()), small);
}
