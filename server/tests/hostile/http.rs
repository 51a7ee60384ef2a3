//! HTTP heads that come slowly, are too large, or never end.

use crate::memory::resident_bytes;
use crate::peer::{PATIENCE, Peer};
use crate::process::Process;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The server gives a head ten seconds; this leaves room for a busy machine.
const HEAD_DEADLINE: Duration = Duration::from_secs(19);

fn server() -> Process {
    Process::start(&json!({"client": {"insecure": true}}))
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the server ends the connection.
fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a head and returns the status of the answer; zero when the connection just ended.
fn status(address: SocketAddr, head: &[u8]) -> u16 {
    let mut stream = dial(address);
    // The server may refuse before it has read everything.
    let _ = stream.write_all(head);
    answer(stream).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[test]
fn heads_that_drip_are_given_up() {
    let server = server();
    let begun = Instant::now();
    let mut dripping: Vec<TcpStream> = (0..50).map(|_| dial(server.address())).collect();
    for stream in &mut dripping {
        stream.write_all(b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nX-A: ").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    }
    // Each drop keeps the connection from being idle; only a limit on the whole head ends it.
    let mut chunk = [0; 256];
    while !dripping.is_empty() {
        assert!(begun.elapsed() < HEAD_DEADLINE, "{} connections are still open", dripping.len());
        Peer::connected(server.address()).unwrap().check_alive().unwrap();
        dripping.retain_mut(|stream| {
            let _ = stream.write_all(b"a");
            stream.set_nonblocking(true).unwrap();
            let read = stream.read(&mut chunk);
            stream.set_nonblocking(false).unwrap();
            matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        });
    }
}

#[test]
fn silent_and_half_open_sockets_keep_nobody_out() {
    let server = server();
    let before = resident_bytes(&server);
    let mut idle = Vec::new();
    for at in 0..400 {
        let mut stream = dial(server.address());
        if at % 2 == 0 {
            stream.write_all(b"GET / HT").unwrap();
        }
        idle.push(stream);
    }
    Peer::connected(server.address()).unwrap().check_alive().unwrap();
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 400 * (64 << 10), "grown by {grown} bytes");
}

#[test]
fn sockets_whose_peer_has_ended_are_let_go() {
    let server = server();
    let mut peer = Peer::connected(server.address()).unwrap();
    peer.end().unwrap();
    assert_eq!(peer.read().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn header_floods_are_refused() {
    let server = server();
    let many: String = (0..10_000).map(|at| format!("X-Header-{at}: {at}\r\n")).collect();
    let one_long = format!("X-Long: {}\r\n", "a".repeat(2 << 20));
    let names = format!("{}: x\r\n", "n".repeat(1 << 20));
    let cookies = format!("Cookie: {}\r\n", "a=b; ".repeat(500_000));
    for headers in [many, one_long, names, cookies] {
        let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        let status = status(server.address(), head.as_bytes());
        assert!(matches!(status, 0 | 400 | 431), "status {status}");
    }
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "p".repeat(2 << 20));
    let status = status(server.address(), path.as_bytes());
    assert!(matches!(status, 0 | 400 | 414 | 431), "status {status}");
    Peer::connected(server.address()).unwrap().check_alive().unwrap();
}

#[test]
fn heads_that_are_no_http_are_refused() {
    let server = server();
    let heads: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nName : x\r\n\r\n",
        b"POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    ];
    for head in heads {
        let mut stream = dial(server.address());
        stream.write_all(head).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = answer(stream);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{}: {answer}",
            String::from_utf8_lossy(head)
        );
    }
    Peer::connected(server.address()).unwrap().check_alive().unwrap();
}
