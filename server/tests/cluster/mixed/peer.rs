//! A client of a check: one connection, commands, and what the server pushes.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::pair::{PATIENCE, SECRET, Side};

/// A connection of a user.
pub struct Peer {
    pub client: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u32,
    waiting: VecDeque<Value>,
    closed: Option<(u16, String)>,
}

/// A token of a user, with more claims.
pub fn token(user: &str, more: &Value) -> String {
    let mut claims = json!({"sub": user});
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
        .expect("a token can be signed")
}

impl Peer {
    pub async fn connect(side: &Side, user: &str) -> Self {
        Self::connect_with(side, user, &json!({"info": {"name": user}})).await
    }

    pub async fn connect_with(side: &Side, user: &str, claims: &Value) -> Self {
        let url = format!("ws://{}/connection/websocket", side.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("a connection");
        let waiting = VecDeque::new();
        let mut peer = Self { client: String::new(), socket, next_id: 1, waiting, closed: None };
        let reply = peer.call(json!({"connect": {"token": token(user, claims)}})).await;
        peer.client = reply["connect"]["client"].as_str().unwrap_or_default().to_owned();
        assert!(!peer.client.is_empty(), "connected: {reply}");
        peer
    }

    /// Sends a command and waits for its reply.
    pub async fn call(&mut self, mut command: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = id.into();
        self.socket.send(Message::text(command.to_string())).await.expect("the connection takes commands");
        self.take(&format!("a reply to {command}"), |message| message["id"] == id).await
    }

    /// Subscribes; the result.
    pub async fn subscribe(&mut self, channel: &str) -> Value {
        self.subscribe_with(json!({"channel": channel})).await
    }

    pub async fn subscribe_with(&mut self, request: Value) -> Value {
        let mut reply = self.call(json!({"subscribe": request})).await;
        assert!(reply["subscribe"].is_object(), "subscribed: {reply}");
        reply["subscribe"].take()
    }

    /// The next push of a kind in a channel, its body.
    pub async fn push(&mut self, channel: &str, kind: &str) -> Value {
        let wanted = |message: &Value| {
            let push = &message["push"];
            push[kind].is_object() && push["channel"].as_str().unwrap_or_default() == channel
        };
        self.take(&format!("{kind} in {channel:?}"), wanted).await["push"][kind].take()
    }

    /// Publications and whatever else came before now: a command and its reply have passed everything sent earlier.
    pub async fn nothing_more(&mut self) {
        let reply = self.call(json!({"unsubscribe": {"channel": "plain:none"}})).await;
        assert!(reply["unsubscribe"].is_object(), "{reply}");
        assert!(self.waiting.is_empty(), "not expected: {:?}", self.waiting);
    }

    /// Waits for the end of the connection; its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        while self.closed.is_none() {
            self.read("the end").await;
        }
        self.closed.take().expect("it is closed")
    }

    async fn take(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.waiting.iter().position(&wanted) {
                return self.waiting.remove(at).expect("it is there");
            }
            assert!(self.closed.is_none(), "{:?} instead of {what}", self.closed);
            self.read(what).await;
        }
    }

    /// Reads one frame.
    async fn read(&mut self, what: &str) {
        let frame = timeout(PATIENCE, self.socket.next()).await;
        let frame = frame.unwrap_or_else(|_| panic!("no {what}, but {:?}", self.waiting));
        match frame {
            Some(Ok(Message::Text(text))) => {
                for line in text.lines() {
                    let message: Value = serde_json::from_str(line).expect("messages are JSON");
                    if message.as_object().is_some_and(serde_json::Map::is_empty) {
                        self.socket.send(Message::text("{}")).await.expect("a pong can be sent");
                    } else {
                        self.waiting.push_back(message);
                    }
                }
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                self.closed = Some((frame.code.into(), frame.reason.to_string()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.closed = Some((0, "broken".to_owned())),
        }
    }
}
