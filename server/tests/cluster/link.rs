//! A TCP connection that can be cut, frozen or slowed: stands between a node and its broker, or a client and its node.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to bytes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Whole,
    /// Connections are reset, and so are new ones.
    Cut,
    /// Connections stay, bytes do not arrive: neither side is told anything.
    Frozen,
    /// Every piece arrives this much later.
    Slow(Duration),
}

/// A listener that hands connections on to another address.
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Link {
    pub async fn open(target: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State::Whole);
        tokio::spawn(accept(listener, target, watched));
        Ok(Self { address, state })
    }

    /// Where to connect instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn accept(listener: TcpListener, target: String, mut state: watch::Receiver<State>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            gone = gone(&mut state) => return gone,
        };
        let Ok((near, _)) = accepted else { continue };
        if *state.borrow() == State::Cut {
            reset(near);
            continue;
        }
        tokio::spawn(carry(near, target.clone(), state.clone()));
    }
}

/// Waits until the link was dropped.
async fn gone(state: &mut watch::Receiver<State>) {
    while state.changed().await.is_ok() {}
}

async fn carry(mut near: TcpStream, target: String, mut state: watch::Receiver<State>) {
    let Ok(mut far) = TcpStream::connect(&target).await else { return reset(near) };
    // Whoever does not set this waits for its peer's acknowledgement before it sends on.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let whole = {
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let up = copy(near_in, far_out, state.clone());
        let down = copy(far_in, near_out, state.clone());
        tokio::select! {
            _ = async { tokio::join!(up, down) } => true,
            _ = state.wait_for(|state| *state == State::Cut) => false,
        }
    };
    if !whole {
        reset(near);
        reset(far);
    }
}

/// Carries bytes one way until their source ends.
async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Ok(now) = state.wait_for(|state| *state != State::Frozen).await.map(|state| *state) else {
            break;
        };
        match now {
            State::Slow(delay) => tokio::time::sleep(delay).await,
            // What was held back goes with the connection.
            State::Cut => break,
            State::Whole | State::Frozen => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
}

fn reset(stream: TcpStream) {
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}
