//! A connection whose messages come in the body of a response, and whose commands are posted to some node.

use std::collections::VecDeque;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::pair::{PATIENCE, Side};
use super::peer::token;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    HttpStream,
    Sse,
}

pub struct Stream {
    body: Incoming,
    buffer: String,
    messages: VecDeque<Value>,
    client: Client<HttpConnector, Full<Bytes>>,
    pub session: String,
    node: String,
}

impl Stream {
    pub async fn open(kind: Kind, side: &Side, user: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let connect = json!({"id": 1, "connect": {"token": token(user, &json!({}))}}).to_string();
        let request = match kind {
            Kind::HttpStream => {
                hyper::Request::post(format!("http://{}/connection/http_stream", side.address))
                    .body(Full::from(connect))
            }
            Kind::Sse => {
                let query: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("cf_connect", &connect)
                    .finish();
                hyper::Request::get(format!("http://{}/connection/sse?{query}", side.address))
                    .body(Full::default())
            }
        };
        let response = client.request(request.expect("a request")).await.expect("a response");
        assert_eq!(response.status(), 200);
        let mut stream = Self {
            body: response.into_body(),
            buffer: String::new(),
            messages: VecDeque::new(),
            client,
            session: String::new(),
            node: String::new(),
        };
        let reply = stream.next(|message| message["id"] == 1).await;
        let text = |name: &str| reply["connect"][name].as_str().unwrap_or_default().to_owned();
        (stream.session, stream.node) = (text("session"), text("node"));
        assert!(!stream.session.is_empty() && !stream.node.is_empty(), "{reply}");
        stream
    }

    /// Posts commands to a node; the status of the answer.
    pub async fn post(&self, side: &Side, commands: &[Value]) -> u16 {
        self.post_to(side, &self.node, commands).await
    }

    /// As [`Stream::post`], for the session of another node.
    pub async fn post_to(&self, side: &Side, node: &str, commands: &[Value]) -> u16 {
        let data: Vec<String> = commands.iter().map(Value::to_string).collect();
        let body = json!({"session": self.session, "node": node, "data": data.join("\n")});
        let request = hyper::Request::post(format!("http://{}/emulation", side.address));
        let request = request.body(Full::from(body.to_string())).expect("a request");
        let answer = timeout(PATIENCE, self.client.request(request)).await.expect("an answer in time");
        answer.expect("an answer").status().as_u16()
    }

    /// The next message that is as wanted.
    pub async fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.messages.iter().position(&wanted) {
                return self.messages.remove(at).expect("it is there");
            }
            let frame = timeout(PATIENCE, self.body.frame()).await;
            let frame = frame.unwrap_or_else(|_| panic!("only {:?} and {:?}", self.messages, self.buffer));
            let data = frame.expect("the response goes on").expect("the response goes on").into_data();
            self.buffer.push_str(&String::from_utf8_lossy(&data.unwrap_or_default()));
            while let Some(end) = self.buffer.find('\n') {
                let line: String = self.buffer.drain(..=end).collect();
                let line = line.trim().trim_start_matches("data: ");
                self.messages.extend(serde_json::from_str::<Value>(line));
            }
        }
    }
}
