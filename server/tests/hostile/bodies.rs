//! Bodies of requests that come slowly, never end, or pretend to be small.

use crate::memory::resident_bytes;
use crate::peer::Peer;
use crate::process::{API_KEY, Process};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The server gives a body 30 seconds; this leaves room for a busy machine.
const BODY_DEADLINE: Duration = Duration::from_secs(50);

/// Everything that reads a body.
const ENDPOINTS: [&str; 6] = [
    "/api/publish",
    "/emulation",
    "/connection/http_stream",
    "/connection/sse",
    "/connection/uni_sse",
    "/connection/uni_http_stream",
];

fn server() -> Process {
    let on = json!({"enabled": true});
    Process::start(&json!({
        "client": {"insecure": true},
        "http_stream": on, "sse": on, "uni_sse": on, "uni_http_stream": on,
    }))
}

fn post(address: SocketAddr, path: &str, fields: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\n{fields}\r\n").unwrap();
    stream
}

#[test]
fn bodies_that_drip_are_given_up() {
    let server = server();
    let begun = Instant::now();
    let mut dripping: Vec<TcpStream> = ENDPOINTS
        .iter()
        .flat_map(|path| {
            ["Content-Length: 10000\r\n", "Transfer-Encoding: chunked\r\n"].map(|fields| (path, fields))
        })
        .map(|(path, fields)| post(server.address(), path, fields))
        .collect();
    let mut chunk = [0; 1024];
    while !dripping.is_empty() {
        assert!(begun.elapsed() < BODY_DEADLINE, "{} requests are still under way", dripping.len());
        Peer::connected(server.address()).unwrap().check_alive().unwrap();
        dripping.retain_mut(|stream| {
            // Good for both: a chunk of one byte, and six bytes.
            let _ = stream.write_all(b"1\r\na\r\n");
            stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            matches!(stream.read(&mut chunk), Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
    }
}

#[test]
fn bodies_without_end_are_refused_at_the_limit() {
    let server = server();
    let before = resident_bytes(&server);
    let megabyte = format!("100000\r\n{}\r\n", "a".repeat(1 << 20));
    // Those who hold the key of the API may send 64 MiB.
    for path in &ENDPOINTS[1..] {
        for (fields, piece) in [
            ("Content-Length: 1000000000000\r\n", &megabyte[8..]),
            ("Transfer-Encoding: chunked\r\n", &megabyte[..]),
        ] {
            let mut stream = post(server.address(), path, fields);
            // It stops reading long before.
            let sent = (0..512).take_while(|_| stream.write_all(piece.as_bytes()).is_ok()).count();
            assert!(sent < 512, "{path} took {sent} MiB");
        }
    }
    Peer::connected(server.address()).unwrap().check_alive().unwrap();
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 128 << 20, "grown by {grown} bytes");
}

#[test]
fn compressed_bodies_are_not_unpacked() {
    let server = server();
    let before = resident_bytes(&server);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        packed.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = packed.finish().unwrap();
    for path in ENDPOINTS {
        let fields =
            format!("Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n", bomb.len());
        let mut stream = post(server.address(), path, &fields);
        let _ = stream.write_all(&bomb);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        // Not the JSON it would be, unpacked; some answer 200 and say so in the body.
        let refused =
            ["400", "401", "413", "415", "500"].iter().any(|status| answer[9..].starts_with(status));
        assert!(refused || answer.contains("\"code\":"), "{path}: {answer}");
    }
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 48 << 20, "grown by {grown} bytes");
}
