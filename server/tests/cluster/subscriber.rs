//! A client as an SDK would be: it reconnects to whichever node takes it, subscribes again from where it was, and logs
//! what it would have told the application.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::board::{Board, Position};
use crate::log::{Event, Log};
use crate::ways::Ways;

/// Longest wait for a connection or a reply to the connect command.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause before a new attempt, as SDKs make one.
const BACKOFF: Duration = Duration::from_millis(100);
/// Longest silence beyond the ping interval.
const PING_GRACE: Duration = Duration::from_secs(5);
/// Close codes from here to 3999 forbid to come back.
const TERMINAL: std::ops::RangeInclusive<u16> = 3500..=3999;

/// There are thousands of clients in one process.
const READ_BUFFER: usize = 4096;

type Socket = WebSocketStream<TcpStream>;

/// A client with subscriptions.
pub struct Subscriber {
    pub who: u32,
    /// Nodes, tried in turn.
    pub ways: Arc<Ways>,
    /// The first of them.
    pub first: usize,
    pub channels: Vec<Arc<str>>,
    pub log: Arc<Log>,
    pub board: Arc<Board>,
}

/// What the client knows of one channel.
#[derive(Default)]
struct Known {
    position: Position,
    /// The server said that missed publications can be recovered.
    recoverable: bool,
    /// Asked for what was missed with the last subscribe command.
    recovering: bool,
}

/// Why a connection ended.
enum End {
    Broken,
    Closed(u16),
}

impl Subscriber {
    /// Stays connected until it is dropped.
    pub async fn run(self) {
        let mut channels: HashMap<Arc<str>, Known> =
            self.channels.iter().map(|channel| (channel.clone(), Known::default())).collect();
        let mut at = self.first;
        loop {
            at = self.ways.for_client(at).await;
            let (who, node) = (self.who, self.ways.name(at));
            match self.connect(self.ways.address(at)).await {
                Some((mut socket, silence)) => {
                    self.log.write(Event::Connected { who, node });
                    let end = tokio::select! {
                        end = self.session(&mut socket, silence, &mut channels) => end,
                        () = self.ways.broken(at) => {
                            reset(socket);
                            End::Broken
                        }
                    };
                    let code = match end {
                        End::Broken => None,
                        End::Closed(code) => Some(code),
                    };
                    self.log.write(Event::Closed { who, code });
                    if code.is_some_and(|code| TERMINAL.contains(&code)) {
                        return;
                    }
                }
                None => self.log.write(Event::Unconnected { who, node }),
            }
            at += 1;
            tokio::time::sleep(BACKOFF).await;
        }
    }

    /// A connection whose connect command was answered, and the longest silence it may have.
    async fn connect(&self, address: &str) -> Option<(Socket, Duration)> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        let url = format!("ws://{address}/connection/websocket");
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
        let handshake = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
        let (mut socket, _) = timeout(PATIENCE, handshake).await.ok()?.ok()?;
        send(&mut socket, &json!({"id": 1, "connect": {}})).await.ok()?;
        let reply = timeout(PATIENCE, socket.next()).await.ok()??.ok()?;
        let reply: Value = serde_json::from_str(reply.to_text().ok()?).ok()?;
        let ping = reply["connect"]["ping"].as_u64()?;
        Some((socket, Duration::from_secs(ping) + PING_GRACE))
    }

    async fn session(
        &self,
        socket: &mut Socket,
        silence: Duration,
        channels: &mut HashMap<Arc<str>, Known>,
    ) -> End {
        // Ids of subscribe commands stand for channels.
        for (index, channel) in self.channels.iter().enumerate() {
            if let Some(known) = channels.get_mut(channel)
                && self.subscribe(socket, index, channel, known).await.is_err()
            {
                return End::Broken;
            }
        }
        loop {
            let message = match timeout(silence, socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(_)) | None) | Err(_) => return End::Broken,
            };
            match message {
                Message::Text(text) => {
                    for line in text.lines() {
                        if self.reply(socket, line, channels).await.is_err() {
                            return End::Broken;
                        }
                    }
                }
                Message::Close(frame) => {
                    return frame.map_or(End::Broken, |frame| End::Closed(frame.code.into()));
                }
                _ => {}
            }
        }
    }

    /// Sends a subscribe command that asks for what was missed, when the client knows where it was.
    async fn subscribe(
        &self,
        socket: &mut Socket,
        index: usize,
        channel: &str,
        known: &mut Known,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let mut request = json!({"channel": channel});
        known.recovering = known.recoverable;
        if known.recovering {
            request["recover"] = true.into();
            request["epoch"] = (*known.position.epoch).into();
            request["offset"] = known.position.offset.into();
        }
        send(socket, &json!({"id": index + 2, "subscribe": request})).await
    }

    async fn reply(
        &self,
        socket: &mut Socket,
        line: &str,
        channels: &mut HashMap<Arc<str>, Known>,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let reply: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in reply {line}"));
        if reply.as_object().is_some_and(serde_json::Map::is_empty) {
            self.log.write(Event::Ping { who: self.who });
            return socket.send(Message::text("{}")).await;
        }
        let push = &reply["push"];
        if let Some(channel) = push["channel"].as_str() {
            let Some(channel) = self.channels.iter().find(|own| ***own == *channel) else { return Ok(()) };
            let Some(known) = channels.get_mut(channel) else { return Ok(()) };
            if push["pub"].is_object() {
                self.publication(channel, known, &push["pub"]);
            } else if let Some(code) = push["unsubscribe"]["code"].as_u64() {
                let code = u32::try_from(code).unwrap_or(u32::MAX);
                self.log.write(Event::Left { who: self.who, ch: channel.clone(), code });
                let index = self.channels.iter().position(|known| known == channel);
                if let (2500.., Some(index)) = (code, index) {
                    self.subscribe(socket, index, channel, known).await?;
                }
            }
            return Ok(());
        }
        let index = reply["id"].as_u64().and_then(|id| usize::try_from(id).ok()?.checked_sub(2));
        let Some((index, channel)) = index.and_then(|index| Some((index, self.channels.get(index)?))) else {
            return Ok(());
        };
        let Some(known) = channels.get_mut(channel) else { return Ok(()) };
        if reply["subscribe"].is_object() {
            self.subscribed(channel, known, &reply["subscribe"]);
        } else if reply["error"]["temporary"] == true {
            tokio::time::sleep(BACKOFF).await;
            self.subscribe(socket, index, channel, known).await?;
        } else {
            panic!("client {} cannot subscribe to {channel}: {line}", self.who);
        }
        Ok(())
    }

    fn subscribed(&self, channel: &Arc<str>, known: &mut Known, reply: &Value) {
        let epoch = reply["epoch"].as_str().unwrap_or_default().to_owned();
        let offset = reply["offset"].as_u64().unwrap_or_default();
        known.recoverable = reply["recoverable"] == true;
        self.log.write(Event::Subscribed {
            who: self.who,
            ch: channel.clone(),
            epoch: epoch.clone(),
            offset,
            recovering: known.recovering,
            recovered: reply["recovered"] == true,
        });
        known.position = Position { epoch: epoch.into(), offset };
        for publication in reply["publications"].as_array().into_iter().flatten() {
            self.publication(channel, known, publication);
        }
        self.board.reached(self.who, channel, known.position.clone());
    }

    fn publication(&self, channel: &Arc<str>, known: &mut Known, publication: &Value) {
        let id = publication["data"]["id"].as_str().unwrap_or_default().to_owned();
        let offset = publication["offset"].as_u64().unwrap_or_default();
        self.log.write(Event::Got { who: self.who, ch: channel.clone(), id, offset });
        known.position.offset = offset;
        self.board.reached(self.who, channel, known.position.clone());
    }
}

async fn send(socket: &mut Socket, command: &Value) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    socket.send(Message::text(command.to_string())).await
}

/// Ends a connection without a word.
fn reset(socket: Socket) {
    let _ = socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO));
}
