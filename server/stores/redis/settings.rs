//! What has to be known to reach one Redis: a server, what Sentinels name, or a Cluster.

use super::error::RedisError;
use std::sync::Arc;
use std::time::Duration;

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Host and port.
    Tcp(Arc<str>),
    /// Path of a socket.
    Unix(Arc<str>),
}

impl Address {
    /// Takes `host:port`, an IPv6 host in brackets.
    pub fn tcp(text: impl AsRef<str>) -> Self {
        Self::Tcp(text.as_ref().into())
    }

    /// Joins host and port.
    pub fn of(host: &str, port: u16) -> Self {
        if host.contains(':') {
            Self::tcp(format!("[{host}]:{port}"))
        } else {
            Self::tcp(format!("{host}:{port}"))
        }
    }

    /// As it is shown in logs.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tcp(text) | Self::Unix(text) => text,
        }
    }
}

/// Who a connection belongs to.
#[derive(Clone, Default)]
pub struct Credentials {
    /// User; empty means the default user.
    pub user: String,
    /// Password; empty sends none.
    pub password: String,
    /// Name under which connections show up; empty sets none.
    pub client_name: String,
}

impl std::fmt::Debug for Credentials {
    /// Leaves out the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// TLS of connections.
#[derive(Clone, Debug)]
pub struct Tls {
    /// What certificates are trusted and shown.
    pub config: Arc<rustls::ClientConfig>,
    /// Name to expect instead of the host connected to.
    pub server_name: Option<String>,
}

/// How one kind of connection is made.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Who it belongs to.
    pub credentials: Credentials,
    /// TLS, if any.
    pub tls: Option<Tls>,
    /// Database; zero in a Cluster.
    pub db: u32,
    /// Speak version 2 even to a server that knows version 3.
    pub force_resp2: bool,
    /// Time to establish a connection, and for which a request waits for one.
    pub connect_timeout: Duration,
    /// Time from a request to its answer, after which the connection counts as broken.
    pub io_timeout: Duration,
}

/// Where the servers are found.
#[derive(Clone, Debug)]
pub enum Topology {
    /// One server; a Cluster if the first that answers is part of one.
    Single(Vec<Address>),
    /// The primary which Sentinels name.
    Sentinel {
        /// Sentinels.
        addresses: Vec<Address>,
        /// Name of the primary.
        primary: String,
        /// How Sentinels are connected to.
        dial: Dial,
    },
    /// A Cluster, by some of its nodes.
    Cluster(Vec<Address>),
}

/// One Redis of which there can be several: channels are spread over them.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// Where it is.
    pub topology: Topology,
    /// How it is connected to.
    pub dial: Dial,
    /// Subscribe at replicas, and read there what may lag.
    pub replicas: bool,
}

/// What addresses have in common, before their own parameters are laid over it.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Connections to servers.
    pub dial: Dial,
    /// Connections to Sentinels.
    pub sentinel_dial: Dial,
    /// Name of the primary.
    pub sentinel_primary: String,
    /// Subscribe at replicas.
    pub replicas: bool,
}

impl ShardSettings {
    /// Reads `host:port` or a URL with one of the schemes `redis`, `rediss`, `tcp`, `unix`, `redis+sentinel`,
    /// `rediss+sentinel` and `redis+cluster`. `plain_tls` makes TLS for a URL that asks for it and no section that
    /// describes it.
    ///
    /// # Errors
    /// `Settings`; credentials in the address are not repeated.
    pub fn from_address(
        text: &str,
        defaults: &Defaults,
        plain_tls: impl Fn() -> Result<Tls, RedisError>,
    ) -> Result<Self, RedisError> {
        const SCHEMES: [&str; 7] =
            ["redis", "rediss", "tcp", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster"];
        let known = text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme));
        if !known {
            let address = host_and_port(text)
                .ok_or_else(|| settings("redis address is neither a redis URL nor host:port"))?;
            return Ok(Self {
                topology: Topology::Single(vec![address]),
                dial: defaults.dial.clone(),
                replicas: defaults.replicas,
            });
        }
        let url =
            url::Url::parse(text).map_err(|error| settings(format!("redis address is no URL: {error}")))?;
        let Defaults { mut dial, mut sentinel_dial, mut sentinel_primary, mut replicas } = defaults.clone();
        let scheme = url.scheme();
        let mut addresses = Vec::new();
        if scheme == "unix" {
            addresses.push(Address::Unix(decoded(url.path())?.into()));
        } else {
            let host = url.host_str().filter(|host| !host.is_empty());
            let host = host.ok_or_else(|| settings("redis address names no host"))?;
            addresses.push(Address::tcp(format!("{host}:{}", url.port().unwrap_or(6379))));
            let path = url.path().trim_start_matches('/');
            if !path.is_empty() {
                dial.db = path
                    .parse()
                    .map_err(|_| settings(format!("database {path:?} in redis address is no number")))?;
            }
        }
        if !url.username().is_empty() {
            dial.credentials.user = decoded(url.username())?;
        }
        if let Some(password) = url.password() {
            dial.credentials.password = decoded(password)?;
        }
        let (mut tls, mut sentinel_tls) = (scheme.starts_with("rediss"), scheme == "rediss+sentinel");
        for (name, value) in url.query_pairs() {
            match &*name {
                "addr" => {
                    addresses.push(host_and_port(&value).ok_or_else(|| {
                        settings(format!("addr {value:?} in redis address is not host:port"))
                    })?)
                }
                "connect_timeout" => dial.connect_timeout = duration(&name, &value)?,
                "io_timeout" => dial.io_timeout = duration(&name, &value)?,
                "tls_enabled" => tls |= switch(&name, &value)?,
                "force_resp2" => dial.force_resp2 = switch(&name, &value)?,
                "sentinel_master_name" => sentinel_primary = value.into_owned(),
                "sentinel_user" => sentinel_dial.credentials.user = value.into_owned(),
                "sentinel_password" => sentinel_dial.credentials.password = value.into_owned(),
                "sentinel_tls_enabled" => sentinel_tls |= switch(&name, &value)?,
                "replica_client_enabled" => replicas = switch(&name, &value)?,
                // As with other programs, an unknown parameter is no error.
                _ => {}
            }
        }
        if tls && dial.tls.is_none() {
            dial.tls = Some(plain_tls()?);
        }
        if sentinel_tls && sentinel_dial.tls.is_none() {
            sentinel_dial.tls = Some(plain_tls()?);
        }
        let names_primary =
            url.query_pairs().any(|(name, value)| name == "sentinel_master_name" && !value.is_empty());
        let topology = if scheme.ends_with("+sentinel") || (scheme != "redis+cluster" && names_primary) {
            if sentinel_primary.is_empty() {
                return Err(settings("sentinel needs a master name (sentinel_master_name)"));
            }
            Topology::Sentinel { addresses, primary: sentinel_primary, dial: sentinel_dial }
        } else if scheme == "redis+cluster" {
            Topology::Cluster(addresses)
        } else {
            Topology::Single(addresses)
        };
        Ok(Self { topology, dial, replicas })
    }
}

/// Reads comma-separated `host:port`.
///
/// # Errors
/// `Settings`, naming `what` they are.
pub fn address_list(text: &str, what: &str) -> Result<Vec<Address>, RedisError> {
    text.split(',')
        .map(|part| host_and_port(part).ok_or_else(|| settings(format!("malformed {what} address {part:?}"))))
        .collect()
}

fn host_and_port(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').map_or(!host.contains(':'), |host| host.ends_with(']'));
    (bare && !host.is_empty() && port.parse::<u16>().is_ok()).then(|| Address::tcp(text))
}

fn decoded(text: &str) -> Result<String, RedisError> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| settings("redis address holds no UTF-8"))
}

fn switch(name: &str, value: &str) -> Result<bool, RedisError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(settings(format!("{name} {value:?} in redis address is neither true nor false"))),
    }
}

fn duration(name: &str, value: &str) -> Result<Duration, RedisError> {
    crate::config::Duration::parse(value)
        .map(crate::config::Duration::to_std)
        .map_err(|_| settings(format!("{name} {value:?} in redis address is no duration")))
}

pub(super) fn settings(text: impl AsRef<str>) -> RedisError {
    RedisError::Settings(text.as_ref().into())
}
