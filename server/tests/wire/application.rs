//! The application of a run: what it answers is said by scenarios, what it was asked is kept for them.
//!
//! All scenarios share it, so both are told apart by `when`, a pattern that requests match. Where requests go is
//! a path over HTTP, and the name of the method over gRPC.

mod grpc;
mod http;
mod listener;

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tonic::Status;

use crate::net::CERTIFICATES;
use crate::pattern;
use crate::server::lock;
use crate::template::Variables;
use listener::Listener;

/// Answers requests for the life of the process.
pub struct Application {
    /// Of HTTP and gRPC, plain and encrypted.
    addresses: [String; 4],
    book: Arc<Book>,
}

/// What scenarios said and what they have not asked for yet.
#[derive(Default)]
struct Book {
    pages: Mutex<Pages>,
    asked: Notify,
}

#[derive(Default)]
struct Pages {
    scripts: Vec<Script>,
    questions: Vec<Question>,
    streams: Vec<Stream>,
}

struct Script {
    path: String,
    when: Option<Value>,
    answer: Map<String, Value>,
}

/// A request as it came.
#[derive(Clone)]
pub struct Question {
    path: String,
    /// `{method, headers, body, certificate}`; a header that came more than once holds a list.
    pub shown: Value,
}

/// A stream of publications for one subscriber.
pub struct Stream {
    question: Question,
    /// None once the application ended it.
    to_client: Option<UnboundedSender<Result<Vec<u8>, Status>>>,
    /// What the client publishes; none while a step waits for it.
    published: Option<UnboundedReceiver<Value>>,
}

impl Application {
    /// Listens on free ports of the loopback interface.
    pub fn start() -> Self {
        let book = Arc::<Book>::default();
        let tls = || Some(CERTIFICATES.application.clone());
        let (http, http_address) = Listener::open(None);
        let (https, https_address) = Listener::open(tls());
        let (grpc, grpc_address) = Listener::open(None);
        let (grpcs, grpcs_address) = Listener::open(tls());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        let shared = book.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                let over_http = |listener| http::serve(listener, shared.clone());
                let over_grpc = |listener| grpc::serve(listener, shared.clone());
                tokio::join!(over_http(http), over_http(https), over_grpc(grpc), over_grpc(grpcs))
            })
        });
        Self { addresses: [http_address, https_address, grpc_address, grpcs_address], book }
    }

    /// Addresses for configurations.
    pub fn variables(&self) -> Variables {
        let [http, https, grpc, grpcs] = &self.addresses;
        let variables = [
            ("app_url", format!("http://{http}")),
            ("app_address", http.clone()),
            ("app_tls_url", format!("https://{https}")),
            ("app_grpc", format!("grpc://{grpc}")),
            ("app_grpc_address", grpc.clone()),
            ("app_tls_grpc", format!("grpc://{grpcs}")),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.into())).into()
    }

    /// Answers requests for `path` that match `when` like this from now on.
    pub fn script(&self, path: &str, when: Option<Value>, answer: Map<String, Value>) {
        let script = Script { path: path.to_owned(), when, answer };
        self.book.pages().scripts.push(script);
    }

    /// Takes the oldest request for `path` that matches `when`, waiting for one.
    pub async fn question(&self, path: &str, when: Option<&Value>) -> Question {
        loop {
            let asked = self.book.asked.notified();
            tokio::pin!(asked);
            asked.as_mut().enable();
            if let Some(question) = self.book.take(path, when) {
                return question;
            }
            asked.await;
        }
    }

    /// Whether a request for `path` that matches `when` has come and was not taken.
    pub fn was_asked(&self, path: &str, when: Option<&Value>) -> bool {
        self.book.pages().questions.iter().any(|question| question.is(path, when))
    }
}

impl Application {
    /// Publishes on the youngest stream for this question, then ends it if told so.
    pub fn stream(&self, path: &str, when: Option<&Value>, step: &Map<String, Value>) -> Result<(), String> {
        self.with_stream(path, when, |stream| {
            let publications = step.get("publish").and_then(Value::as_array).into_iter().flatten();
            publications.for_each(|publication| stream.publish(publication));
            if let Some(fails) = step.get("fails") {
                stream.fail(fails);
            }
            if step.contains_key("ends") {
                stream.to_client = None;
            }
        })
    }

    /// What the client published next on the youngest stream for this question.
    pub async fn published(&self, path: &str, when: Option<&Value>) -> Result<Value, String> {
        let mut published = self
            .with_stream(path, when, |stream| stream.published.take())?
            .ok_or("another step waits already")?;
        let message = published.recv().await;
        self.with_stream(path, when, |stream| stream.published = Some(published))?;
        message.ok_or_else(|| "the server ended its side of the stream".to_owned())
    }

    /// Waits until the server has given the youngest stream for this question up.
    pub async fn stream_dropped(&self, path: &str, when: Option<&Value>) -> Result<(), String> {
        let to_client = self.with_stream(path, when, |stream| stream.to_client.clone())?;
        to_client.ok_or("the application ended it itself")?.closed().await;
        Ok(())
    }

    fn with_stream<T>(
        &self,
        path: &str,
        when: Option<&Value>,
        with: impl FnOnce(&mut Stream) -> T,
    ) -> Result<T, String> {
        let mut pages = self.book.pages();
        let stream = pages.streams.iter_mut().rev().find(|stream| stream.question.is(path, when));
        stream.map(with).ok_or_else(|| format!("no stream {path} {when:?}"))
    }
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        lock(&self.pages)
    }

    fn take(&self, path: &str, when: Option<&Value>) -> Option<Question> {
        let questions = &mut self.pages().questions;
        let at = questions.iter().position(|question| question.is(path, when))?;
        Some(questions.remove(at))
    }

    fn keep(&self, stream: Stream) {
        self.pages().streams.push(stream);
    }

    /// Keeps a request and finds what is answered; the youngest script counts.
    fn answer(&self, question: Question) -> Option<Map<String, Value>> {
        let mut pages = self.pages();
        let scripts = pages.scripts.iter().rev();
        let found = scripts.clone().position(|script| question.is(&script.path, script.when.as_ref()));
        let answer = found.map(|from_end| {
            let at = pages.scripts.len() - 1 - from_end;
            match pages.scripts[at].answer.contains_key("once") {
                true => pages.scripts.remove(at).answer,
                false => pages.scripts[at].answer.clone(),
            }
        });
        pages.questions.push(question);
        drop(pages);
        self.asked.notify_waiters();
        answer
    }
}

impl Question {
    fn is(&self, path: &str, when: Option<&Value>) -> bool {
        let body = Some(&self.shown["body"]);
        self.path == path
            && when.is_none_or(|when| pattern::check(&open(when), body, "", &mut Variables::new()).is_ok())
    }
}

/// The pattern, with further keys allowed.
fn open(pattern: &Value) -> Value {
    match pattern {
        Value::Object(members) => {
            let mut members = members.clone();
            members.insert("$more".to_owned(), true.into());
            Value::Object(members)
        }
        other => other.clone(),
    }
}
