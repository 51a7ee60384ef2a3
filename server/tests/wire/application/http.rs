//! The application over HTTP/1.1, written down to the bytes so that it can misbehave, and over HTTP/2.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::listener::{Listener, Peer};
use super::{Book, Question};

pub(super) async fn serve(listener: Listener, book: Arc<Book>) {
    let serve = move |peer: Peer| {
        let book = book.clone();
        async move {
            match peer.http2 {
                true => connection_of_http2(peer, book).await,
                false => drop(connection(peer, &book).await),
            }
        }
    };
    listener.serve(serve).await;
}

/// Answers requests until one cannot be read or the answer ends the connection.
async fn connection(peer: Peer, book: &Book) -> Option<()> {
    let (reading, mut writing) = tokio::io::split(peer.stream);
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = String::new();
        reading.read_line(&mut line).await.ok().filter(|bytes| *bytes > 0)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Map::new();
        loop {
            let mut line = String::new();
            reading.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            add(&mut headers, name.to_ascii_lowercase(), value);
        }
        let length = headers.get("content-length").and_then(|length| length.as_str()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reading.read_exact(&mut body).await.ok()?;
        let question = question(&method, &path, headers, &body, peer.certificate);
        let answer = book.answer(question);
        respond(&mut writing, &answer.unwrap_or_else(unscripted)).await?;
    }
}

async fn connection_of_http2(peer: Peer, book: Arc<Book>) {
    let certificate = peer.certificate;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let book = book.clone();
        async move {
            let mut headers = Map::new();
            for (name, value) in request.headers() {
                add(&mut headers, name.to_string(), &String::from_utf8_lossy(value.as_bytes()));
            }
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let answer = book.answer(question(&method, &path, headers, &body, certificate));
            let mut response = hyper::Response::new(Full::new(Bytes::new()));
            match answer {
                Some(answer) if answer.contains_key("hang") => std::future::pending().await,
                Some(answer) => *response.body_mut() = Full::from(body_of(&answer)),
                None => *response.status_mut() = hyper::StatusCode::NOT_FOUND,
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(peer.stream), service);
    // It ends when the server under test goes.
    let _ = connection.await;
}

fn question(
    method: &str,
    path: &str,
    headers: Map<String, Value>,
    body: &[u8],
    certificate: bool,
) -> Question {
    let text = String::from_utf8_lossy(body).into_owned();
    let body: Value = serde_json::from_slice(body).unwrap_or(text.into());
    let path = path.split('?').next().unwrap_or_default().to_owned();
    let shown = json!({"method": method, "headers": headers, "body": body, "certificate": certificate});
    Question { path, shown }
}

fn body_of(answer: &Map<String, Value>) -> String {
    match (answer.get("body").and_then(Value::as_str), answer.get("answer")) {
        (Some(body), _) => body.to_owned(),
        (None, Some(answer)) => answer.to_string(),
        (None, None) => String::new(),
    }
}

/// Adds a header; one that comes again makes a list.
pub(super) fn add(headers: &mut Map<String, Value>, name: String, value: &str) {
    match headers.get_mut(&name) {
        None => drop(headers.insert(name, value.into())),
        Some(Value::Array(values)) => values.push(value.into()),
        Some(first) => *first = json!([first.clone(), value]),
    }
}

fn unscripted() -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("status".to_owned(), 404.into());
    answer
}

/// Writes an answer; none when the connection is of no use afterwards.
async fn respond(to: &mut (impl AsyncWrite + Unpin), answer: &Map<String, Value>) -> Option<()> {
    if answer.contains_key("hang") {
        std::future::pending::<()>().await;
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if let Some(raw) = text("raw") {
        to.write_all(raw.as_bytes()).await.ok()?;
        return None;
    }
    if let Some(after) = answer.get("after").and_then(Value::as_u64) {
        tokio::time::sleep(Duration::from_millis(after)).await;
    }
    let body = body_of(answer);
    let status = answer.get("status").and_then(Value::as_u64).unwrap_or(200);
    let mut head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in answer.get("headers").and_then(Value::as_object).into_iter().flatten() {
        head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap_or_default()));
    }
    head.push_str("\r\n");
    to.write_all(head.as_bytes()).await.ok()?;
    match answer.get("drip").and_then(Value::as_u64) {
        None => to.write_all(body.as_bytes()).await.ok(),
        Some(pause) => {
            for byte in body.bytes() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                to.write_all(&[byte]).await.ok()?;
            }
            Some(())
        }
    }
}
