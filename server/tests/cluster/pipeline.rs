//! A client that publishes without waiting for replies, over one connection or spread over several.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::board::{Board, Position};
use crate::log::{Event, Log};

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages under way on one connection.
const WINDOW: usize = 64;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A task that publishes one message after the other and reads replies later.
pub struct Pipeline {
    pub name: String,
    /// `host:port` of nodes; messages go to them in turn.
    pub addresses: Vec<String>,
    pub channels: Vec<Arc<str>>,
    /// Messages a second.
    pub rate: u32,
    pub log: Arc<Log>,
    pub board: Arc<Board>,
}

/// A connection and the messages whose replies are still to come.
struct Way {
    socket: Socket,
    under_way: VecDeque<(String, Arc<str>)>,
}

impl Pipeline {
    /// Publishes until `stop`, and then until all messages are acknowledged.
    ///
    /// # Panics
    /// When a connection breaks or a message is refused: no scenario with such clients breaks theirs.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut ways = Vec::new();
        for address in &self.addresses {
            ways.push(Way::open(address).await.unwrap_or_else(|error| panic!("{address}: {error}")));
        }
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        'messages: for (number, channel) in self.channels.iter().cycle().enumerate() {
            let next = number % ways.len();
            loop {
                let has_room = ways[next].under_way.len() < WINDOW;
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => break 'messages,
                    _ = ticks.tick(), if has_room => break,
                    // Read as it comes: among replies there are pings, which wait for no window.
                    () = self.hear(&mut ways) => {}
                }
            }
            let way = &mut ways[next];
            let id = format!("{}-{number}", self.name);
            self.log.write(Event::Try { id: id.clone(), ch: channel.clone() });
            let command = json!({"id": number + 2, "publish": {"channel": **channel, "data": {"id": id}}});
            way.socket.send(Message::text(command.to_string())).await.expect("publish commands can be sent");
            way.under_way.push_back((id, channel.clone()));
        }
        for way in &mut ways {
            while !way.under_way.is_empty() {
                self.acknowledged(way).await;
            }
        }
    }

    /// Reads what arrives next on any connection.
    async fn hear(&self, ways: &mut [Way]) {
        select_all(ways.iter_mut().map(|way| Box::pin(self.acknowledged(way)))).await;
    }

    /// Reads what arrives next; replies come in the order of the commands.
    async fn acknowledged(&self, way: &mut Way) {
        let message = timeout(PATIENCE, way.socket.next()).await.expect("a reply in time");
        let message = message.expect("the connection stays").expect("the connection stays");
        let Message::Text(text) = message else { return };
        for line in text.lines() {
            if line == "{}" {
                way.socket.send(Message::text("{}")).await.expect("pings can be answered");
                continue;
            }
            let reply: Value = serde_json::from_str(line).expect("replies are JSON");
            assert!(reply["publish"].is_object(), "{} may not publish: {line}", self.name);
            let (id, ch) = way.under_way.pop_front().expect("a reply has its command");
            // Clients are not told where their message is kept.
            self.log.write(Event::Ack { id, ch: ch.clone(), epoch: String::new(), offset: 0 });
            self.board.acked(&ch, Position::default());
        }
    }
}

impl Way {
    async fn open(address: &str) -> Result<Self, String> {
        let url = format!("ws://{address}/connection/websocket");
        let (mut socket, _) =
            tokio_tungstenite::connect_async(url).await.map_err(|error| error.to_string())?;
        let connect = json!({"id": 1, "connect": {}}).to_string();
        socket.send(Message::text(connect)).await.map_err(|error| error.to_string())?;
        let reply = timeout(PATIENCE, socket.next()).await.map_err(|error| error.to_string())?;
        let reply = reply.ok_or("closed")?.map_err(|error| error.to_string())?;
        let said = reply.to_text().map_err(|error| error.to_string())?;
        if said.contains("\"connect\"") {
            Ok(Self { socket, under_way: VecDeque::new() })
        } else {
            Err(said.to_owned())
        }
    }
}
