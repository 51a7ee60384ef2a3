//! From an address to a connection that is greeted: who we are, which database, what the server is.

use super::error::RedisError;
use super::resp::{Command, Decoder, Value};
use super::settings::{Address, Dial};
use bytes::BytesMut;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Bytes a connection reads at once.
pub(super) const READ_SIZE: usize = 64 * 1024;

/// A way to a server, whatever it runs over.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// What the server said about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// It is part of a Redis Cluster.
    pub(super) cluster: bool,
    /// It takes writes.
    pub(super) primary: bool,
}

/// A greeted connection.
pub(super) struct Socket {
    pub(super) stream: Box<dyn Transport>,
    pub(super) buffer: BytesMut,
    pub(super) decoder: Decoder,
    pub(super) greeting: Greeting,
    pub(super) address: Address,
}

/// What kind of server is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Keys are read and written.
    Data,
    /// Keys are only read, at a replica.
    Replica,
    /// Sentinels have neither databases nor roles.
    Sentinel,
}

impl Socket {
    /// Connects and greets, within the dial's connect timeout.
    ///
    /// # Errors
    /// `Unreachable`: nothing was asked of the server yet.
    pub(super) async fn open(address: &Address, dial: &Dial, purpose: Purpose) -> Result<Self, RedisError> {
        let failed = |reason: String| RedisError::unreachable(address.as_str(), reason);
        let opened = timeout(dial.connect_timeout, async {
            let stream = connect(address, dial).await.map_err(|error| failed(error.to_string()))?;
            let greeting = Greeting { cluster: false, primary: true };
            let mut socket = Self {
                stream,
                buffer: BytesMut::new(),
                decoder: Decoder::default(),
                greeting,
                address: address.clone(),
            };
            socket.greet(dial, purpose).await.map_err(|error| match error {
                RedisError::Refused(reason) => failed(reason.to_string()),
                other => other,
            })?;
            Ok(socket)
        });
        opened.await.unwrap_or_else(|_| Err(failed("timed out".to_owned())))
    }

    async fn greet(&mut self, dial: &Dial, purpose: Purpose) -> Result<(), RedisError> {
        let credentials = &dial.credentials;
        let user = if credentials.user.is_empty() { "default" } else { &credentials.user };
        let version: &[u8] = if dial.force_resp2 { b"2" } else { b"3" };
        let mut hello: Vec<&[u8]> = vec![b"HELLO", version];
        if !credentials.password.is_empty() {
            hello.extend([&b"AUTH"[..], user.as_bytes(), credentials.password.as_bytes()]);
        }
        if !credentials.client_name.is_empty() {
            hello.extend([&b"SETNAME"[..], credentials.client_name.as_bytes()]);
        }
        match self.call(&hello).await {
            Ok(reply) => self.greeting = greeting(reply),
            Err(RedisError::Refused(reason)) if knows_no_hello(&reason) => {
                self.greet_old(dial, purpose).await?
            }
            Err(error) => return Err(error),
        }
        if purpose == Purpose::Sentinel {
            return Ok(());
        }
        if dial.db > 0 && !self.greeting.cluster {
            self.call(&[b"SELECT", itoa::Buffer::new().format(dial.db).as_bytes()]).await?;
        }
        if purpose == Purpose::Replica && self.greeting.cluster {
            self.call(&[b"READONLY"]).await?;
        }
        Ok(())
    }

    /// Greets a server that does not know HELLO.
    async fn greet_old(&mut self, dial: &Dial, purpose: Purpose) -> Result<(), RedisError> {
        let credentials = &dial.credentials;
        if !credentials.password.is_empty() {
            let mut auth = vec![&b"AUTH"[..]];
            if !credentials.user.is_empty() {
                auth.push(credentials.user.as_bytes());
            }
            auth.push(credentials.password.as_bytes());
            self.call(&auth).await?;
        }
        if !credentials.client_name.is_empty() {
            self.call(&[b"CLIENT", b"SETNAME", credentials.client_name.as_bytes()]).await?;
        }
        if purpose != Purpose::Sentinel {
            let info = self.call(&[b"INFO"]).await?;
            let info = info.as_str().unwrap_or_default();
            self.greeting = Greeting {
                cluster: info.contains("cluster_enabled:1"),
                primary: !info.contains("role:slave"),
            };
        }
        Ok(())
    }

    /// Asks and waits for the answer; only before the connection is handed on.
    pub(super) async fn call(&mut self, parts: &[&[u8]]) -> Result<Value, RedisError> {
        let lost = |reason: String| RedisError::unreachable(self.address.as_str(), reason);
        let command = Command::new(parts.iter().copied());
        self.stream.write_all(command.bytes()).await.map_err(|error| lost(error.to_string()))?;
        self.stream.flush().await.map_err(|error| lost(error.to_string()))?;
        loop {
            let next = self.decoder.next(&mut self.buffer);
            match next.map_err(|error| lost(error.to_string()))? {
                Some(Value::Error(text)) => {
                    return Err(RedisError::Refused(String::from_utf8_lossy(&text).as_ref().into()));
                }
                Some(Value::Push(_)) => continue,
                Some(value) => return Ok(value),
                None => {}
            }
            self.buffer.reserve(4096);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(lost("closed by the server".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(lost(error.to_string())),
            }
        }
    }
}

fn knows_no_hello(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("unknown command") || reason.starts_with("noproto")
}

/// Reads the map that HELLO answers with.
fn greeting(reply: Value) -> Greeting {
    let mut greeting = Greeting { cluster: false, primary: true };
    let fields = reply.into_list().unwrap_or_default();
    for pair in fields.chunks_exact(2) {
        match (pair[0].as_str(), pair[1].as_str()) {
            (Some("mode"), Some(mode)) => greeting.cluster = mode == "cluster",
            (Some("role"), Some(role)) => greeting.primary = !matches!(role, "slave" | "replica"),
            _ => {}
        }
    }
    greeting
}

async fn connect(address: &Address, dial: &Dial) -> std::io::Result<Box<dyn Transport>> {
    let text = match address {
        Address::Unix(path) => return Ok(Box::new(UnixStream::connect(&**path).await?)),
        Address::Tcp(text) => text,
    };
    let stream = TcpStream::connect(&**text).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &dial.tls else { return Ok(Box::new(stream)) };
    let host = text.rsplit_once(':').map_or(&**text, |(host, _)| host);
    let host = tls.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
    let connector = tokio_rustls::TlsConnector::from(tls.config.clone());
    Ok(Box::new(connector.connect(name, stream).await?))
}
