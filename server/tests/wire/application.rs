//! The application of a run: what it answers is said by scenarios, what it was asked is kept for them.
//!
//! All scenarios share it, so both are told apart by `when`, a pattern that requests match. Where requests go is
//! a path over HTTP, and the name of the method over gRPC.

mod http;

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::pattern;
use crate::server::lock;
use crate::template::Variables;

/// Answers requests for the life of the process.
pub struct Application {
    http_port: u16,
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
}

struct Script {
    path: String,
    when: Option<Value>,
    answer: Map<String, Value>,
}

/// A request as it came.
pub struct Question {
    path: String,
    /// `{method, headers, body}`; a header that came more than once holds a list.
    pub shown: Value,
}

impl Application {
    /// Listens on free ports of the loopback interface.
    pub fn start() -> Self {
        let book = Arc::<Book>::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
        let http_port = listener.local_addr().expect("a bound socket has an address").port();
        listener.set_nonblocking(true).expect("sockets can be non-blocking");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        let shared = book.clone();
        std::thread::spawn(move || runtime.block_on(http::serve(listener, shared)));
        Self { http_port, book }
    }

    /// Addresses for configurations.
    pub fn variables(&self) -> Variables {
        let address = format!("127.0.0.1:{}", self.http_port);
        let url = format!("http://{address}");
        [("app_url".to_owned(), url.into()), ("app_address".to_owned(), address.into())].into()
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

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        lock(&self.pages)
    }

    fn take(&self, path: &str, when: Option<&Value>) -> Option<Question> {
        let questions = &mut self.pages().questions;
        let at = questions.iter().position(|question| question.is(path, when))?;
        Some(questions.remove(at))
    }

    /// Keeps a request and finds what is answered; the youngest script counts.
    fn answer(&self, question: Question) -> Option<Map<String, Value>> {
        let mut pages = self.pages();
        let scripts = pages.scripts.iter().rev();
        let found = scripts.clone().find(|script| question.is(&script.path, script.when.as_ref()));
        let answer = found.map(|script| script.answer.clone());
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
