//! Requests whose end two programs could see in two places, directly and behind nginx.
//!
//! Each of them carries a second request where a careless reader finds one. The server may refuse the first or read
//! it in the one way RFC 9112 allows; a connection that others share must never get out of step.

use crate::process::{API_KEY, Process};
use crate::proxy::Nginx;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// What must not be answered: a page that is not there, so that its answer stands out.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

fn server() -> Process {
    Process::start(&json!({"client": {"insecure": true}}))
}

/// Heads and bodies of `POST` requests with no single end.
fn ambiguous() -> Vec<(&'static str, String)> {
    let length = SMUGGLED.len();
    let chunked = |name: &'static str, fields: &str| (name, format!("{fields}\r\n0\r\n\r\n{SMUGGLED}"));
    let with = |name: &'static str, fields: &str| (name, format!("{fields}\r\n{SMUGGLED}"));
    vec![
        chunked(
            "length and chunks",
            &format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", length + 5),
        ),
        chunked(
            "chunks and length",
            &format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", length + 5),
        ),
        chunked("chunks with a tab", "Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n"),
        chunked("chunks in capitals", "Transfer-Encoding: CHUNKED\r\nContent-Length: 4\r\n"),
        chunked("unknown coding", "Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n"),
        chunked("coding after chunks", "Transfer-Encoding: chunked, identity\r\nContent-Length: 4\r\n"),
        chunked(
            "chunks twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        ),
        chunked(
            "chunks and nonsense",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\nContent-Length: 4\r\n",
        ),
        chunked("space before the colon", "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n"),
        chunked("control before the value", "Transfer-Encoding: \x0bchunked\r\nContent-Length: 4\r\n"),
        chunked("folded line", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n"),
        chunked("folded field", "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        chunked("bare line feed", "X: y\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        chunked("bare carriage return", "X: y\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
        chunked("zero byte in a name", "Transfer\0-Encoding: chunked\r\nContent-Length: 4\r\n"),
        with("two lengths", &format!("Content-Length: 0\r\nContent-Length: {length}\r\n")),
        with("two lengths, longer first", &format!("Content-Length: {length}\r\nContent-Length: 0\r\n")),
        with("list of lengths", &format!("Content-Length: {length}, 0\r\n")),
        with("signed length", &format!("Content-Length: +{length}\r\n")),
        with("negative length", "Content-Length: -1\r\n"),
        with("hexadecimal length", &format!("Content-Length: 0x{length:x}\r\n")),
        with("fraction of a length", "Content-Length: 0.0\r\n"),
        with("length with a space", "Content-Length: 1 0\r\n"),
        with("space before the colon of a length", &format!("Content-Length : {length}\r\n")),
        with("length beyond all numbers", "Content-Length: 18446744073709551616\r\n"),
        ("size of a chunk with a sign", format!("Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{SMUGGLED}")),
        ("size of a chunk with a prefix", format!("Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{SMUGGLED}")),
        (
            "size of a chunk that wraps",
            format!("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{SMUGGLED}"),
        ),
        ("chunk with a bare line feed", format!("Transfer-Encoding: chunked\r\n\r\n0\n\n{SMUGGLED}")),
        (
            "chunk longer than its size",
            format!("Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n{SMUGGLED}"),
        ),
        ("line feed in an extension", format!("Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n{SMUGGLED}")),
    ]
}

/// Everything that is answered to these bytes and the end of what is sent.
fn answers(address: SocketAddr, request: &str) -> String {
    let stream = send(address, request);
    let _ = stream.shutdown(Shutdown::Write);
    read(stream)
}

fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("is set");
    // It may be refused before all of it was read.
    let _ = stream.write_all(request.as_bytes());
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn attack(rest: &str) -> String {
    format!("POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n{rest}")
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
}

#[test]
fn what_has_no_single_end_ends_the_connection() {
    let server = server();
    for (name, rest) in ambiguous() {
        let begun = Instant::now();
        let answers = read(send(server.address(), &attack(&rest)));
        // Nothing that follows may be taken for a request: whoever stands in front could see it elsewhere.
        let statuses = statuses(&answers);
        assert!(statuses.len() <= 1 && !statuses.contains(&"404"), "{name}: {answers}");
        assert!(begun.elapsed() < PATIENCE, "{name}: the connection stays open after {answers}");
    }
}

#[test]
fn an_upgrade_with_a_body_hides_no_request() {
    let server = server();
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let sized = format!("Content-Length: {}\r\n", SMUGGLED.len());
    for fields in [format!("{upgrade}{sized}"), format!("{upgrade}Transfer-Encoding: chunked\r\n")] {
        let request = format!("GET /connection/websocket HTTP/1.1\r\nHost: x\r\n{fields}\r\n{SMUGGLED}");
        let answers = answers(server.address(), &request);
        assert!(!statuses(&answers).contains(&"404"), "{answers}");
    }
}

#[test]
fn connections_of_a_proxy_stay_in_step() {
    let rounds = if std::env::var_os("GYRE_NIGHTLY").is_some() { 350 } else { 3 };
    let server = server();
    let Some(nginx) = Nginx::before(server.address()) else { return };
    let mut pairs = 0;
    for _ in 0..rounds {
        for (name, rest) in ambiguous() {
            let _ = answers(nginx.address(), &attack(&rest));
            // The next one uses the connection of the one before.
            let victim =
                answers(nginx.address(), "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            assert_eq!(statuses(&victim), ["200"], "after {name}: {victim}");
            pairs += 1;
        }
    }
    eprintln!("{pairs} pairs through nginx");
}
