//! A key endpoint that counts what it is asked and answers as it is told.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Endpoint {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Head and body of the answer, or silence.
    answer: Option<Vec<u8>>,
    paths: Vec<String>,
}

impl Endpoint {
    /// Listens; answers nothing until told to.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Mutex<Shared>>::default();
        let endpoint = Self { address, shared: shared.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        endpoint
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn publish(&self, keys: &[&str]) {
        self.answer("200 OK", &[], format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
    }

    pub fn answer(&self, status: &str, headers: &[&str], body: &[u8]) {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        self.shared.lock().answer = Some([head.as_bytes(), body].concat());
    }

    /// Accepts connections and requests and says nothing.
    pub fn stall(&self) {
        self.shared.lock().answer = None;
    }

    /// Paths that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().paths.clone()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut buffer = Vec::new();
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let request = String::from_utf8(std::mem::take(&mut buffer)).unwrap();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let answer = {
            let mut shared = shared.lock();
            shared.paths.push(path);
            shared.answer.clone()
        };
        if let Some(answer) = answer
            && stream.write_all(&answer).await.is_err()
        {
            return;
        }
    }
}
