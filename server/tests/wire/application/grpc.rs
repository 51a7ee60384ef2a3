//! The application over gRPC. Messages stay bytes; `protobuf.rs` interprets them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Code, Request, Response, Status, Streaming};

use super::http::add;
use super::listener::{Listener, Peer};
use super::{Book, Question, Stream};
use crate::grpc::BytesCodec;
use crate::protobuf;

const SERVICE: &str = "/centrifugal.centrifugo.proxy.CentrifugoProxy/";

/// Messages of one answer.
type Messages = BoxStream<'static, Result<Vec<u8>, Status>>;

pub(super) async fn serve(listener: Listener, book: Arc<Book>) {
    let serve = move |peer: Peer| {
        let book = book.clone();
        async move {
            let service = service_fn(move |request| call(book.clone(), peer.certificate, request));
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(peer.stream), service);
            // It ends when the server under test goes.
            let _ = connection.await;
        }
    };
    listener.serve(serve).await;
}

/// Serves one call. Calls of one message are streams of one.
async fn call(
    book: Arc<Book>,
    certificate: bool,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<tonic::body::Body>, Infallible> {
    let method = request.uri().path().strip_prefix(SERVICE).unwrap_or_default().to_owned();
    let mut grpc = Grpc::new(BytesCodec).accept_compressed(CompressionEncoding::Gzip);
    let service = tower::service_fn(move |request: Request<Streaming<Vec<u8>>>| {
        let (book, method) = (book.clone(), method.clone());
        async move { answer(book, &method, certificate, request).await.map(Response::new) }
    });
    Ok(grpc.streaming(service, request).await)
}

async fn answer(
    book: Arc<Book>,
    method: &str,
    certificate: bool,
    request: Request<Streaming<Vec<u8>>>,
) -> Result<Messages, Status> {
    let mut headers = Map::new();
    for (name, value) in request.metadata().clone().into_headers().iter() {
        add(&mut headers, name.to_string(), &String::from_utf8_lossy(value.as_bytes()));
    }
    let mut incoming = request.into_inner();
    let first = incoming.message().await?.unwrap_or_default();
    let (question, answer) = match method {
        "SubscribeUnidirectional" => ("SubscribeRequest", "StreamSubscribeResponse"),
        "SubscribeBidirectional" => ("StreamSubscribeRequest", "StreamSubscribeResponse"),
        _ => (&*format!("{method}Request"), &*format!("{method}Response")),
    };
    let decoded = decode(question, &first)?;
    let body = match decoded.get("subscribe_request") {
        Some(asked) => asked.clone(),
        None => decoded,
    };
    let shown = json!({"method": "grpc", "headers": headers, "body": body, "certificate": certificate});
    let question = Question { path: method.to_owned(), shown };
    let stream = answer.starts_with("Stream").then(|| question.clone());
    let script = book.answer(question).ok_or_else(|| Status::unimplemented("the scenario says nothing"))?;
    if script.contains_key("hang") {
        std::future::pending::<()>().await;
    }
    if let Some(after) = script.get("after").and_then(Value::as_u64) {
        tokio::time::sleep(Duration::from_millis(after)).await;
    }
    if let Some(fails) = script.get("fails") {
        return Err(status(fails));
    }
    let first = match (script.get("raw"), script.get("answer"), script.get("first")) {
        (Some(raw), ..) => protobuf::bytes_of(raw).map_err(Status::internal)?,
        (_, Some(decision), _) if stream.is_some() => {
            encode(answer, &json!({"subscribe_response": decision}))?
        }
        (_, Some(whole), _) | (_, None, Some(whole)) => encode(answer, whole)?,
        (None, None, None) => return Ok(stream::empty().boxed()),
    };
    let Some(question) = stream else { return Ok(stream::iter([Ok(first)]).boxed()) };
    Ok(open(&book, question, first, &script, incoming))
}

/// Begins a stream that scenarios go on with.
fn open(
    book: &Arc<Book>,
    question: Question,
    first: Vec<u8>,
    script: &Map<String, Value>,
    mut incoming: Streaming<Vec<u8>>,
) -> Messages {
    let (to_client, outgoing) = unbounded_channel();
    let (from_client, published) = unbounded_channel();
    let stream = Stream { question, to_client: Some(to_client), published: Some(published) };
    let publications = script.get("publications").and_then(Value::as_array).into_iter().flatten();
    publications.for_each(|publication| stream.publish(publication));
    book.keep(stream);
    tokio::spawn(async move {
        while let Ok(Some(message)) = incoming.message().await {
            let Ok(shown) = decode("StreamSubscribeRequest", &message) else { return };
            if from_client.send(shown).is_err() {
                return;
            }
        }
    });
    let following = stream::unfold(outgoing, |mut outgoing| async {
        outgoing.recv().await.map(|message| (message, outgoing))
    });
    stream::iter([Ok(first)]).chain(following).boxed()
}

impl Stream {
    /// Sends a publication to the subscriber.
    pub(super) fn publish(&self, publication: &Value) {
        let message = encode("StreamSubscribeResponse", &json!({"publication": publication}));
        self.send(message);
    }

    /// Ends it with a status.
    pub(super) fn fail(&mut self, fails: &Value) {
        self.send(Err(status(fails)));
        self.to_client = None;
    }

    fn send(&self, message: Result<Vec<u8>, Status>) {
        let to_client: Option<&UnboundedSender<_>> = self.to_client.as_ref();
        // A subscriber that has gone is what some scenarios are about.
        let _ = to_client.map(|to_client| to_client.send(message));
    }
}

fn status(fails: &Value) -> Status {
    let code = fails[0].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or_default();
    Status::new(Code::from_i32(code), fails[1].as_str().unwrap_or_default())
}

fn decode(message: &str, bytes: &[u8]) -> Result<Value, Status> {
    protobuf::decode(&format!("proxy.{message}"), bytes).map_err(Status::internal)
}

fn encode(message: &str, value: &Value) -> Result<Vec<u8>, Status> {
    protobuf::encode(&format!("proxy.{message}"), value).map_err(Status::internal)
}
