//! Frames that lie about their size, that grow when unpacked, and floods of small ones.

use crate::memory::resident_bytes;
use crate::peer::{BINARY, CONTINUATION, PATIENCE, PING, Peer, TEXT, frame, header};
use crate::process::Process;
use flate2::{Compress, Compression, FlushCompress};
use serde_json::json;
use std::io;
use std::time::Instant;

/// Memory one connection may cost, whatever it sends.
const MEMORY_PER_CONNECTION: u64 = 64 << 10;
/// What the allocator and the shared buffers may take besides.
const SLACK: u64 = 8 << 20;

fn server() -> Process {
    Process::start(&json!({"client": {"insecure": true}, "websocket": {"compression": true}}))
}

/// Runs an attack on many connections that stay open, and looks at the memory of the process.
fn costs_little(count: usize, attack: impl Fn(&mut Peer) -> io::Result<()>) {
    let server = server();
    let mut witness = Peer::connected(server.address()).unwrap();
    // What is allocated once for all connections is not the attack's cost.
    attack(&mut Peer::connected(server.address()).unwrap()).unwrap();
    let before = resident_bytes(&server);
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = Peer::connected(server.address()).unwrap();
        attack(&mut peer).unwrap();
        peers.push(peer);
    }
    witness.check_alive().unwrap();
    let grown = resident_bytes(&server).saturating_sub(before);
    let allowed = SLACK + MEMORY_PER_CONNECTION * count as u64;
    assert!(grown < allowed, "{count} connections cost {grown} bytes, {allowed} are allowed");
}

#[test]
fn declared_lengths_are_refused_before_anything_is_allocated() {
    let server = server();
    let mut witness = Peer::connected(server.address()).unwrap();
    let before = resident_bytes(&server);
    for length in [65537, 1 << 31, (1 << 32) - 1, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX] {
        for opcode in [TEXT, BINARY] {
            let mut peer = Peer::connected(server.address()).unwrap();
            peer.write(&header(opcode, true, length)).unwrap();
            assert_eq!(peer.close_code().unwrap(), 1009, "{length} bytes");
        }
    }
    witness.check_alive().unwrap();
    assert!(resident_bytes(&server).saturating_sub(before) < SLACK);
}

#[test]
fn frames_that_never_end_cost_what_was_sent() {
    costs_little(200, |peer| peer.write(&header(TEXT, true, 65536)));
}

#[test]
fn fragments_add_up_to_the_limit() {
    let server = server();
    let mut peer = Peer::connected(server.address()).unwrap();
    peer.write(&frame(TEXT, false, b"x")).unwrap();
    let fragments = frame(CONTINUATION, false, b"x").repeat(1000);
    for _ in 0..70 {
        // The server stops reading once it has refused the message.
        if peer.write(&fragments).is_err() {
            break;
        }
    }
    assert_eq!(peer.close_code().unwrap(), 1009);
    Peer::connected(server.address()).unwrap().check_alive().unwrap();
}

#[test]
fn empty_fragments_cost_no_memory() {
    costs_little(20, |peer| {
        peer.write(&frame(TEXT, false, b""))?;
        let fragments = frame(CONTINUATION, false, b"").repeat(1000);
        for _ in 0..20 {
            peer.write(&fragments)?;
        }
        Ok(())
    });
}

#[test]
fn bombs_are_defused_at_the_limit() {
    let bomb = deflated(&vec![0; 60 << 20]);
    assert!(bomb.len() < 65536, "the bomb has {} bytes", bomb.len());
    let server = server();
    let mut witness = Peer::connected(server.address()).unwrap();
    let mut before = 0;
    for round in 0..120 {
        // The first ones make the allocator take what it then uses again and again.
        if round == 40 {
            before = resident_bytes(&server);
        }
        let mut peer =
            Peer::open(server.address(), "Sec-WebSocket-Extensions: permessage-deflate\r\n").unwrap();
        let mut bytes = frame(TEXT, true, &bomb);
        bytes[0] |= 0x40;
        peer.write(&bytes).unwrap();
        assert_eq!(peer.close_code().unwrap(), 1009);
    }
    witness.check_alive().unwrap();
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < SLACK, "grown by {grown} bytes");
}

#[test]
fn pings_without_end_close_a_peer_that_does_not_read() {
    let server = server();
    let mut witness = Peer::connected(server.address()).unwrap();
    let before = resident_bytes(&server);
    let mut peer = Peer::connected(server.address()).unwrap();
    let ping = frame(PING, true, &[b'x'; 125]);
    let begun = Instant::now();
    let mut most = 0;
    for round in 0_u64.. {
        // The server lets go of a peer that takes nothing for longer than a write may last.
        if peer.write(&ping).is_err() {
            break;
        }
        if round % 10_000 == 0 {
            assert!(begun.elapsed() < PATIENCE, "still open");
            witness.check_alive().unwrap();
            most = most.max(resident_bytes(&server));
        }
    }
    witness.check_alive().unwrap();
    assert!(most.saturating_sub(before) < 2 * SLACK, "grown from {before} to {most} bytes");
}

#[test]
fn tiny_pings_cost_little_more_than_their_bytes() {
    let server = server();
    let before = resident_bytes(&server);
    let mut peer = Peer::connected(server.address()).unwrap();
    let pings = frame(PING, true, b"").repeat(10_000);
    let mut most = 0;
    for _ in 0..1000 {
        if peer.write(&pings).is_err() {
            break;
        }
        most = most.max(resident_bytes(&server));
    }
    Peer::connected(server.address()).unwrap().check_alive().unwrap();
    assert!(most.saturating_sub(before) < 2 * SLACK, "grown from {before} to {most} bytes");
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(1 << 20);
    state.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - 4);
    out
}
