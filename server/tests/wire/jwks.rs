//! A small HTTP server handing out JSON Web Key Sets that scenarios publish under names of their own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

#[derive(Default)]
struct Sets {
    documents: HashMap<String, (u16, Value)>,
    hits: HashMap<String, u64>,
}

pub struct Jwks {
    port: u16,
    sets: Arc<Mutex<Sets>>,
}

impl Jwks {
    /// Listens on a free port of the loopback interface for the life of the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let sets = Arc::<Mutex<Sets>>::default();
        let shared = sets.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(&stream);
                let mut lines = reader.by_ref().lines().map_while(Result::ok);
                let path = lines
                    .next()
                    .and_then(|line| line.split(' ').nth(1).map(str::to_owned))
                    .unwrap_or_default();
                lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
                let (status, document) = {
                    let mut sets = shared.lock().expect("no holder panics");
                    *sets.hits.entry(path.clone()).or_default() += 1;
                    sets.documents.get(&path).cloned().unwrap_or((404, Value::Null))
                };
                let body = document.to_string();
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n\r\n{body}"
                );
            }
        });
        Self { port, sets }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers `path` with this document from now on.
    pub fn publish(&self, path: &str, status: u16, document: Value) {
        self.sets.lock().expect("no holder panics").documents.insert(path.to_owned(), (status, document));
    }

    /// How many requests for `path` have been answered.
    pub fn hits(&self, path: &str) -> u64 {
        self.sets.lock().expect("no holder panics").hits.get(path).copied().unwrap_or_default()
    }
}
