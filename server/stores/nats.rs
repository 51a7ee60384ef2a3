//! One connection to NATS, shared by the broker and the controller.

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long the server may take to confirm what was sent before.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// How often this connection sends a message to itself only to know that messages arrive.
const CANARY_EVERY: Duration = Duration::from_secs(1);

/// Without any message from itself for this long, messages do not arrive.
const BLIND_AFTER: Duration = Duration::from_millis(2500);

/// Without any for this long, though there is a connection, another is made: this one leads nowhere.
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// How to reach NATS.
pub struct NatsSettings {
    /// `nats://user:password@host:port`, several separated by commas.
    pub url: String,
    /// Time allowed to establish a connection.
    pub dial_timeout: Duration,
    /// Trust and identity; none connects without TLS unless the server asks for it.
    pub tls: Option<rustls::ClientConfig>,
}

/// Why NATS did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// An address cannot be read. It is not repeated, because it may hold a password.
    #[error("nats url cannot be read")]
    Url(#[source] std::io::Error),
    /// User, password or token of an address is no UTF-8.
    #[error("credentials in nats url are no text")]
    Credentials,
    /// The first connection failed.
    #[error("connect to nats")]
    Connect(#[source] async_nats::ConnectError),
    /// There is no connection at the moment.
    #[error("nats is not connected")]
    Disconnected,
    /// A subscription was refused.
    #[error("subscribe to {subject:?}")]
    Subscribe {
        /// Subject.
        subject: String,
        /// Why.
        source: async_nats::SubscribeError,
    },
    /// A message could not be sent.
    #[error("publish to {subject:?}")]
    Publish {
        /// Subject.
        subject: String,
        /// Why.
        source: async_nats::PublishError,
    },
    /// The server did not confirm in time.
    #[error("nats did not confirm within {CONFIRM_TIMEOUT:?}")]
    Unconfirmed,
}

fn decoded(text: &str) -> Result<String, NatsError> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| NatsError::Credentials)
}

/// A connection that heals by itself. Subscriptions come back with it; what was published meanwhile is lost,
/// as NATS delivers at most once.
pub struct NatsConnection {
    client: async_nats::Client,
    /// Where this connection sends messages to itself: once one has come back, the server has seen everything
    /// that was sent before it.
    echo: String,
    sent: AtomicU64,
    returned: watch::Receiver<u64>,
    /// When one came back last. Held for one access.
    heard: Arc<Mutex<Instant>>,
    losses: Losses,
}

/// Counts what may have made messages miss.
#[derive(Clone, Default)]
struct Losses {
    /// Connections that ended.
    ended: Arc<AtomicU64>,
    /// Times after which messages arrive again, and those before may have been missed.
    healed: watch::Sender<u64>,
}

impl Losses {
    fn take(&self, event: &async_nats::Event) {
        match event {
            async_nats::Event::Disconnected => {
                self.ended.fetch_add(1, Ordering::Relaxed);
            }
            async_nats::Event::Connected if self.ended.load(Ordering::Relaxed) > 0 => self.heal(),
            async_nats::Event::SlowConsumer(_) => self.heal(),
            _ => {}
        }
    }

    fn heal(&self) {
        self.healed.send_modify(|healed| *healed += 1);
    }
}

impl NatsConnection {
    /// Connects, and fails when the server cannot be reached: later losses are healed, a wrong address is not.
    ///
    /// # Errors
    /// [`NatsError::Url`], [`NatsError::Connect`], [`NatsError::Subscribe`].
    pub async fn connect(settings: NatsSettings) -> Result<Arc<Self>, NatsError> {
        let addresses = settings
            .url
            .split(',')
            .map(|address| address.trim().parse())
            .collect::<Result<Vec<async_nats::ServerAddr>, _>>()
            .map_err(NatsError::Url)?;
        let losses = Losses::default();
        let watching = losses.clone();
        let mut options = async_nats::ConnectOptions::new()
            .name("gyre")
            .connection_timeout(settings.dial_timeout)
            .event_callback(move |event| {
                watching.take(&event);
                async move { report(&event) }
            });
        // The library reads no credentials from addresses. As with other clients, a user alone is a token.
        let named = addresses.iter().find_map(|address| Some((address.username()?, address.password())));
        options = match named {
            Some((user, Some(password))) => options.user_and_password(decoded(user)?, decoded(password)?),
            Some((token, None)) => options.token(decoded(token)?),
            None => options,
        };
        if let Some(tls) = settings.tls {
            options = options.require_tls(true).tls_client_config(tls);
        }
        let client = options.connect(addresses).await.map_err(NatsError::Connect)?;
        let echo = client.new_inbox();
        let mut echoes = subscribe(&client, &echo).await?;
        let (returned_in, returned) = watch::channel(0);
        let heard = Arc::new(Mutex::new(Instant::now()));
        let hearing = heard.clone();
        tokio::spawn(async move {
            while let Some(message) = echoes.next().await {
                if let Ok(number) = message.payload.as_ref().try_into().map(u64::from_be_bytes) {
                    *hearing.lock() = Instant::now();
                    // Numbers may be sent in another order than they were given.
                    returned_in.send_if_modified(|known| {
                        let newer = number > *known;
                        *known = number.max(*known);
                        newer
                    });
                }
            }
        });
        let connection = Arc::new(Self { client, echo, sent: AtomicU64::new(0), returned, heard, losses });
        tokio::spawn(send_canaries(Arc::downgrade(&connection)));
        Ok(connection)
    }

    /// Whether a message published now would arrive here, as far as the last seconds tell.
    pub fn delivers(&self) -> bool {
        self.is_connected() && self.heard.lock().elapsed() < BLIND_AFTER
    }

    /// Whether there is a connection at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Sends one message. It has left this process's hands, not arrived, when this returns.
    ///
    /// # Errors
    /// [`NatsError::Disconnected`]: nothing is kept for later, so that nobody takes a lost message for a sent
    /// one; [`NatsError::Publish`].
    pub async fn publish(&self, subject: String, payload: Bytes) -> Result<(), NatsError> {
        if !self.is_connected() {
            return Err(NatsError::Disconnected);
        }
        let sent = self.client.publish(subject.clone(), payload).await;
        sent.map_err(|source| NatsError::Publish { subject, source })
    }

    /// Subscribes to a subject. The subscription ends when what is returned is dropped.
    ///
    /// # Errors
    /// [`NatsError::Subscribe`].
    pub async fn subscribe(&self, subject: &str) -> Result<async_nats::Subscriber, NatsError> {
        subscribe(&self.client, subject).await
    }

    /// Counts connections that ended; what was sent over them may not have arrived.
    pub fn losses(&self) -> u64 {
        self.losses.ended.load(Ordering::Relaxed)
    }

    /// Changes when messages arrive again of which some may have been missed: after a loss of the connection, and
    /// after some were dropped because nobody took them in time.
    pub fn healed(&self) -> watch::Receiver<u64> {
        self.losses.healed.subscribe()
    }

    /// Waits until the server has taken all that was sent before.
    ///
    /// # Errors
    /// [`NatsError::Unconfirmed`], [`NatsError::Publish`], [`NatsError::Disconnected`]: it may not have.
    pub async fn proved(&self) -> Result<(), NatsError> {
        let losses = self.losses();
        let number = self.send_echo().await?;
        let mut returned = self.returned.clone();
        let came_back = returned.wait_for(|returned| *returned >= number);
        match tokio::time::timeout(CONFIRM_TIMEOUT, came_back).await {
            Ok(Ok(_)) if self.losses() == losses => Ok(()),
            _ => Err(NatsError::Unconfirmed),
        }
    }

    /// Sends the next message to this connection itself; returns its number.
    async fn send_echo(&self) -> Result<u64, NatsError> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        self.publish(self.echo.clone(), payload).await.map(|()| number)
    }

    /// Waits until the server has processed what was sent before. Without a connection there is nothing to wait
    /// for: subscriptions are made anew when it is back.
    ///
    /// # Errors
    /// [`NatsError::Unconfirmed`], [`NatsError::Publish`].
    pub async fn confirmed(&self) -> Result<(), NatsError> {
        if !self.is_connected() {
            return Ok(());
        }
        let number = match self.send_echo().await {
            Err(NatsError::Disconnected) => return Ok(()),
            sent => sent?,
        };
        let mut returned = self.returned.clone();
        let came_back = returned.wait_for(|returned| *returned >= number);
        match tokio::time::timeout(CONFIRM_TIMEOUT, came_back).await {
            Ok(_) => Ok(()),
            Err(_) if !self.is_connected() => Ok(()),
            Err(_) => Err(NatsError::Unconfirmed),
        }
    }
}

/// Runs for as long as the connection is used.
async fn send_canaries(connection: Weak<NatsConnection>) {
    let mut interval = tokio::time::interval(CANARY_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut connected = Instant::now();
    loop {
        interval.tick().await;
        let Some(connection) = connection.upgrade() else { return };
        if !connection.is_connected() {
            connected = Instant::now();
        }
        // One that is not sent does not come back, which is all there is to say.
        let _ = connection.send_echo().await;
        let heard = (*connection.heard.lock()).max(connected);
        if heard.elapsed() > RENEW_AFTER {
            connected = Instant::now();
            // It fails when the client is gone, and the connection with it.
            let _ = connection.client.force_reconnect().await;
        }
    }
}

async fn subscribe(client: &async_nats::Client, subject: &str) -> Result<async_nats::Subscriber, NatsError> {
    let subscribed = client.subscribe(subject.to_owned()).await;
    subscribed.map_err(|source| NatsError::Subscribe { subject: subject.to_owned(), source })
}

fn report(event: &async_nats::Event) {
    match event {
        async_nats::Event::Connected => tracing::info!("connected to nats"),
        async_nats::Event::Disconnected => tracing::warn!("connection to nats is lost"),
        async_nats::Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages from nats are dropped, because they come too fast");
        }
        other => tracing::info!(event = %other, "nats"),
    }
}
