//! One unidirectional gRPC stream on a connection of its own, driven by the event loop that owns the socket.
//!
//! HTTP/2 is the `h2` crate's. Nothing here waits or is woken: whoever polls does so after each event of the socket,
//! and every poll goes on until the socket has nothing more to give or take.

use crate::target::Target;
use crate::wire::command;
use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Connection, ResponseFuture, SendRequest};
use mio::net::TcpStream;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const METHOD: &str = "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume";

type Opened = (SendRequest<Bytes>, Connection<Socket, Bytes>);
type Handshake = Pin<Box<dyn Future<Output = Result<Opened, h2::Error>>>>;

/// A stream of pushes.
pub struct GrpcStream {
    state: State,
    uri: http::Uri,
    token: String,
}

enum State {
    Handshake(Handshake),
    /// The request is under way.
    Asked(Connection<Socket, Bytes>, ResponseFuture),
    Streaming(Connection<Socket, Bytes>, RecvStream),
    Over,
}

impl GrpcStream {
    /// Prepares a stream over a connected socket; the first poll sends its first bytes.
    pub fn new(target: &Target, stream: Rc<TcpStream>, token: &str) -> Result<Self> {
        let uri =
            format!("http://{}{METHOD}", target.uni_grpc).parse().context("address of a gRPC stream")?;
        let handshake = Box::pin(h2::client::handshake(Socket(stream)));
        Ok(Self { state: State::Handshake(handshake), uri, token: token.to_owned() })
    }

    /// Moves everything on that can move, and appends what arrived to `data`, piece by piece.
    ///
    /// # Errors
    /// When the connection or the stream ended, or the server did not accept it.
    pub fn poll(&mut self, data: &mut Vec<Bytes>) -> Result<()> {
        let mut context = Context::from_waker(Waker::noop());
        while self.step(&mut context, data)? {}
        Ok(())
    }

    /// Returns whether another step may get further.
    fn step(&mut self, context: &mut Context<'_>, data: &mut Vec<Bytes>) -> Result<bool> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Handshake(mut handshake) => {
                let Poll::Ready(opened) = handshake.as_mut().poll(context) else {
                    self.state = State::Handshake(handshake);
                    return Ok(false);
                };
                let (mut sender, connection) = opened.context("HTTP/2 handshake")?;
                let response = self.ask(&mut sender)?;
                self.state = State::Asked(connection, response);
                Ok(true)
            }
            State::Asked(mut connection, mut response) => {
                drive(&mut connection, context)?;
                match Pin::new(&mut response).poll(context) {
                    Poll::Pending => {
                        self.state = State::Asked(connection, response);
                        Ok(false)
                    }
                    Poll::Ready(answer) => {
                        let answer = answer.context("gRPC stream")?;
                        let refused = status(answer.headers());
                        if answer.status() != 200 || refused.is_some() {
                            bail!(
                                "gRPC stream refused: HTTP {}{}",
                                answer.status(),
                                refused.unwrap_or_default()
                            );
                        }
                        self.state = State::Streaming(connection, answer.into_body());
                        Ok(true)
                    }
                }
            }
            State::Streaming(mut connection, mut body) => {
                drive(&mut connection, context)?;
                let moved = receive(&mut body, context, data)?;
                self.state = State::Streaming(connection, body);
                Ok(moved)
            }
            State::Over => bail!("gRPC stream is over"),
        }
    }

    fn ask(&self, sender: &mut SendRequest<Bytes>) -> Result<ResponseFuture> {
        let request = http::Request::post(self.uri.clone())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .context("request of a gRPC stream")?;
        let (response, mut body) = sender.send_request(request, false).context("open a gRPC stream")?;
        body.send_data(command::grpc_connect(&self.token), true).context("send a connect request")?;
        Ok(response)
    }
}

fn drive(connection: &mut Connection<Socket, Bytes>, context: &mut Context<'_>) -> Result<()> {
    match Pin::new(connection).poll(context) {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) => bail!("closed by the server"),
        Poll::Ready(Err(error)) => Err(error).context("HTTP/2 connection"),
    }
}

/// Returns whether something arrived, so that the connection has to tell the server of the room it made.
fn receive(body: &mut RecvStream, context: &mut Context<'_>, data: &mut Vec<Bytes>) -> Result<bool> {
    let before = data.len();
    loop {
        match body.poll_data(context) {
            Poll::Pending => return Ok(data.len() > before),
            Poll::Ready(Some(piece)) => {
                let piece = piece.context("gRPC stream")?;
                body.flow_control().release_capacity(piece.len()).context("gRPC flow control")?;
                data.push(piece);
            }
            Poll::Ready(None) => {
                let status = match body.poll_trailers(context) {
                    Poll::Ready(Ok(Some(trailers))) => status(&trailers),
                    _ => None,
                };
                bail!("gRPC stream ended by the server{}", status.unwrap_or_default());
            }
        }
    }
}

/// What the server said at the end of a stream, for a message; `None` when it did not say or all is well.
fn status(fields: &http::HeaderMap) -> Option<String> {
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status").filter(|code| *code != "0")?;
    Some(format!(" with gRPC status {code} {:?}", text("grpc-message").unwrap_or_default()))
}

/// A socket of the event loop. It never wakes anybody: see the module.
struct Socket(Rc<TcpStream>);

impl Socket {
    fn attempt<T>(mut operation: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
        loop {
            match operation() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Self::attempt(|| (&*self.0).read(buffer.initialize_unfilled())).map_ok(|count| buffer.advance(count))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::attempt(|| (&*self.0).write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
