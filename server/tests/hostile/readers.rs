//! Subscribers that stop reading.

use crate::memory::resident_bytes;
use crate::peer::{CLOSE, Peer, TEXT};
use crate::process::{API_KEY, Process};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Payload of one publication, in bytes.
const PAYLOAD: usize = 32 << 10;
/// Publications: more than the buffers of the system and the queue of a connection hold together.
const PUBLICATIONS: usize = 400;

/// One kept-alive connection to the HTTP API.
struct Publisher {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Publisher {
    fn new(address: SocketAddr) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(address).unwrap()), address }
    }

    fn publish(&mut self, channel: &str, number: usize) {
        let data = json!({"number": number, "text": "x".repeat(PAYLOAD)});
        let body = json!({"channel": channel, "data": data}).to_string();
        let head = format!(
            "POST /api/publish HTTP/1.1\r\nHost: {}\r\nX-API-Key: {API_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        let mut length = 0;
        let mut line = String::new();
        while {
            line.clear();
            self.stream.read_line(&mut line).unwrap()
        } > 2
        {
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(br#"{"result""#), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn stalled_readers_are_closed_and_cost_others_nothing() {
    let server = Process::start(&json!({"client": {"insecure": true}}));
    let mut reader = Peer::subscribed(server.address(), "news").unwrap();
    let mut stalled: Vec<Peer> =
        (0..20).map(|_| Peer::subscribed(server.address(), "news").unwrap()).collect();
    let mut publisher = Publisher::new(server.address());
    let before = resident_bytes(&server);
    let mut most = 0;
    for number in 0..PUBLICATIONS {
        publisher.publish("news", number);
        // Each publication arrives before the next is made: the stalled ones delay nothing and lose nothing
        // of others.
        reader.expect(&format!("\"number\":{number},")).unwrap();
        most = most.max(resident_bytes(&server));
    }
    reader.check_alive().unwrap();
    // A queue holds a megabyte and refers to publications all queues share.
    let grown = most.saturating_sub(before);
    assert!(grown < 32 << 20, "grown by {grown} bytes");
    for peer in &mut stalled {
        let mut expected = 0;
        let code = loop {
            match peer.read().unwrap() {
                (TEXT, message) => {
                    let message = String::from_utf8_lossy(&message);
                    assert!(message.contains(&format!("\"number\":{expected},")), "a gap at {expected}");
                    expected += 1;
                }
                (CLOSE, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
                (opcode, _) => panic!("a frame with opcode {opcode}"),
            }
        };
        assert!(matches!(code, 3008 | 3009), "closed with {code}");
        assert!(expected < PUBLICATIONS);
    }
}

#[test]
fn a_reader_that_never_reads_again_is_dropped() {
    let server = Process::start(&json!({"client": {"insecure": true}}));
    let mut stalled = Peer::subscribed(server.address(), "news").unwrap();
    let mut publisher = Publisher::new(server.address());
    for number in 0..PUBLICATIONS {
        publisher.publish("news", number);
    }
    // It neither reads nor closes; what it writes shows when the server has let go of the socket.
    let begun = std::time::Instant::now();
    let ping = crate::peer::frame(crate::peer::PING, true, b"");
    while stalled.try_write(&ping).is_ok() {
        assert!(begun.elapsed() < crate::peer::PATIENCE, "still open");
        Peer::connected(server.address()).unwrap().check_alive().unwrap();
    }
}
