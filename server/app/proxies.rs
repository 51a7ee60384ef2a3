//! From sections of the configuration to applications that can be asked.

use super::calls::proxy_name;
use crate::config::sections::listeners::Tls as TlsSection;
use crate::config::{ChannelOptions, Config, Pem, PemError, Proxy, StatusTransform};
use crate::net::{ClientIdentity, ClientTlsError, tls_client_config};
use crate::observability::{Metrics, MetricsSettings};
use crate::proxy::{
    DEFAULT_NAME, Event, GrpcSettings, HttpSettings, ProtocolSettings, Proxies, ProxySettings,
    ProxySetupError, Refusal, TlsSettings,
};
use crate::seams::{Clock, SystemClock};
use gyre_proto::proxy as wire;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why applications cannot be asked. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A proxy cannot be used as configured.
    #[error(transparent)]
    Setup(#[from] ProxySetupError),
    /// A certificate or key cannot be read.
    #[error("read {key}")]
    Pem {
        /// Path of the key in the configuration.
        key: String,
        /// Why not.
        source: PemError,
    },
    /// TLS cannot be set up.
    #[error("set up {section}")]
    Tls {
        /// Section of the configuration.
        section: String,
        /// Why not.
        source: ClientTlsError,
    },
    /// A namespace names a proxy that is not configured.
    #[error("{key} {name:?} names no proxy")]
    Unknown {
        /// Key of the name.
        key: String,
        /// The name.
        name: Arc<str>,
    },
}

/// Prepares asking the applications of `config`.
///
/// Order and blocking: reads certificates and keys from files; meant for start and reload.
///
/// # Errors
/// See [`ProxyError`].
///
/// # Panics
/// When called outside of a tokio runtime.
pub fn proxies(config: &Config, metrics: &Metrics, clock: &Arc<dyn Clock>) -> Result<Proxies, ProxyError> {
    let mut tls = UsualTls::default();
    let mut wanted = Vec::new();
    for (event, name, section, proxy) in used(config)? {
        wanted.push((event, name, settings(section, proxy, &mut tls)?));
    }
    Ok(Proxies::new(wanted, metrics, clock)?)
}

/// Whether [`proxies`] would do.
///
/// # Errors
/// See [`ProxyError`].
///
/// # Panics
/// When called outside of a tokio runtime.
pub fn check_proxies(config: &Config) -> Result<(), ProxyError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::new(MetricsSettings::default(), clock.now().instant);
    proxies(config, &metrics, &clock).map(drop)
}

/// An event, the name of the proxy that is asked, its section and what that holds.
type Used<'c> = (Event, Arc<str>, String, &'c Proxy);

/// Everything the configuration switches on.
fn used(config: &Config) -> Result<Vec<Used<'_>>, ProxyError> {
    let client = &config.client.proxy;
    let whole = [(Event::Connect, &client.connect), (Event::Refresh, &client.refresh)];
    let mut used: BTreeMap<(Event, Arc<str>), (String, &Proxy)> = BTreeMap::new();
    for (event, switched) in whole.into_iter().filter(|(_, switched)| switched.enabled) {
        let section = format!("client.proxy.{}", event.as_str());
        used.insert((event, DEFAULT_NAME.into()), (section, &switched.proxy));
    }
    for (event, key, name) in channel_options(config).flat_map(switched_on).chain(calls(config)) {
        let name = proxy_name(name);
        let found = match (&*name == DEFAULT_NAME, default_proxy(config, event)) {
            (true, Some(own)) => own,
            _ => {
                let named = config.proxies.iter().find(|proxy| *proxy.name == *name);
                let named = named.ok_or_else(|| ProxyError::Unknown { key, name: name.clone() })?;
                (format!("proxies[{name}]"), &named.proxy)
            }
        };
        used.insert((event, name), found);
    }
    Ok(used.into_iter().map(|((event, name), (section, proxy))| (event, name, section, proxy)).collect())
}

/// Options of all namespaces with the sections they stand in.
fn channel_options(config: &Config) -> impl Iterator<Item = (String, &ChannelOptions)> {
    let channel = &config.channel;
    let named =
        channel.namespaces.iter().map(|own| (format!("channel.namespaces[{}]", own.name), &own.options));
    named.chain([("channel.without_namespace".to_owned(), &channel.without_namespace)])
}

/// Events of channels for which these options name a proxy, with the key that does.
fn switched_on((section, options): (String, &ChannelOptions)) -> impl Iterator<Item = (Event, String, &str)> {
    let rows = [
        (Event::Subscribe, options.subscribe_proxy_enabled, &options.subscribe_proxy_name),
        (Event::Publish, options.publish_proxy_enabled, &options.publish_proxy_name),
        (Event::SubRefresh, options.sub_refresh_proxy_enabled, &options.sub_refresh_proxy_name),
        (
            Event::SubscribeStream,
            options.subscribe_stream_proxy_enabled,
            &options.subscribe_stream_proxy_name,
        ),
        (Event::CacheEmpty, options.cache_empty_proxy_enabled, &options.cache_empty_proxy_name),
    ];
    rows.into_iter().filter(|(_, enabled, _)| *enabled).map(move |(event, _, name)| {
        (event, format!("{section}.{}_proxy_name", event.as_str()), name.as_str())
    })
}

fn calls(config: &Config) -> impl Iterator<Item = (Event, String, &str)> {
    let rpc = &config.rpc;
    let named = rpc.namespaces.iter().map(|own| (format!("rpc.namespaces[{}]", own.name), &own.options));
    let all = named.chain([("rpc.without_namespace".to_owned(), &rpc.without_namespace)]);
    all.filter(|(_, options)| options.proxy_enabled)
        .map(|(section, options)| (Event::Rpc, format!("{section}.proxy_name"), options.proxy_name.as_str()))
}

/// The proxy that bears the name `default` for an event of channels or calls.
fn default_proxy(config: &Config, event: Event) -> Option<(String, &Proxy)> {
    let channel = &config.channel.proxy;
    let proxy = match event {
        Event::Rpc => return Some(("rpc.proxy".to_owned(), &config.rpc.proxy)),
        Event::Subscribe => &channel.subscribe,
        Event::Publish => &channel.publish,
        Event::SubRefresh => &channel.sub_refresh,
        Event::SubscribeStream => &channel.subscribe_stream,
        Event::CacheEmpty => &channel.cache_empty,
        Event::Connect | Event::Refresh => return None,
    };
    Some((format!("channel.proxy.{}", event.as_str()), proxy))
}

fn settings(section: String, proxy: &Proxy, usual: &mut UsualTls) -> Result<ProxySettings, ProxyError> {
    let pairs = |map: &crate::config::StringMap| {
        map.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let is_http = ["http://", "https://"].iter().any(|scheme| proxy.endpoint.starts_with(scheme));
    let protocol = if is_http {
        let own = tls(&format!("{section}.http.tls"), &proxy.http.tls)?;
        ProtocolSettings::Http(HttpSettings {
            tls: own.map_or_else(|| usual.get(&section), Ok)?,
            static_headers: pairs(&proxy.http.static_headers),
            refusals: proxy.http.status_to_code_transforms.iter().filter_map(refusal).collect(),
        })
    } else {
        let grpc = &proxy.grpc;
        let credentials = (grpc.credentials_key.clone(), grpc.credentials_value.as_str().to_owned());
        ProtocolSettings::Grpc(GrpcSettings {
            tls: tls(&format!("{section}.grpc.tls"), &grpc.tls)?,
            credentials: Some(credentials).filter(|(key, _)| !key.is_empty()),
            compression: grpc.compression,
            static_metadata: pairs(&grpc.static_metadata),
        })
    };
    Ok(ProxySettings {
        section,
        endpoint: proxy.endpoint.clone(),
        timeout: proxy.timeout.to_std(),
        http_headers: proxy.http_headers.clone(),
        grpc_metadata: proxy.grpc_metadata.clone(),
        emulated_headers: proxy.emulated_headers.clone(),
        binary_encoding: proxy.binary_encoding,
        include_connection_meta: proxy.include_connection_meta,
        protocol,
    })
}

/// What a status code stands for; validation has seen to it that it is one thing.
fn refusal(transform: &StatusTransform) -> Option<(u16, Refusal)> {
    let (error, disconnect) = (&transform.to_error, &transform.to_disconnect);
    let refusal = if error.code > 0 {
        Refusal::Error(wire::Error {
            code: error.code,
            message: error.message.clone(),
            temporary: error.temporary,
        })
    } else {
        Refusal::Disconnect(wire::Disconnect { code: disconnect.code, reason: disconnect.reason.clone() })
    };
    Some((u16::try_from(transform.status_code).ok()?, refusal))
}

/// Reads a TLS section towards an application; none when it is off.
fn tls(path: &str, section: &TlsSection) -> Result<Option<TlsSettings>, ProxyError> {
    if !section.enabled {
        return Ok(None);
    }
    let read = |name: &str, pem: &Pem| match pem.is_empty() {
        true => Ok(None),
        false => {
            pem.load().map(Some).map_err(|source| ProxyError::Pem { key: format!("{path}.{name}"), source })
        }
    };
    let identity = ClientIdentity {
        authorities: read("server_ca_pem", &section.server_ca_pem)?,
        certificate: read("cert_pem", &section.cert_pem)?.zip(read("key_pem", &section.key_pem)?),
        trust_anyone: section.insecure_skip_verify,
    };
    let config = tls_client_config(&identity)
        .map_err(|source| ProxyError::Tls { section: path.to_owned(), source })?;
    let server_name = match section.server_name.as_str() {
        "" => None,
        name => Some(ServerName::try_from(name.to_owned()).map_err(|error| ProxySetupError {
            key: format!("{path}.server_name"),
            value: name.to_owned(),
            reason: error.to_string(),
        })?),
    };
    Ok(Some(TlsSettings { config, server_name }))
}

/// TLS of proxies that say nothing about it, made when the first needs it.
#[derive(Default)]
struct UsualTls(Option<Arc<ClientConfig>>);

impl UsualTls {
    fn get(&mut self, section: &str) -> Result<TlsSettings, ProxyError> {
        let config = match &self.0 {
            Some(config) => config.clone(),
            None => tls_client_config(&ClientIdentity::default())
                .map_err(|source| ProxyError::Tls { section: section.to_owned(), source })?,
        };
        self.0 = Some(config.clone());
        Ok(TlsSettings { config, server_name: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::rpc::RpcNamespace;
    use crate::config::{NamedProxy, Pem};

    /// What is asked, or the error with its causes as an operator reads it.
    fn prepared(config: &Config) -> Result<(), String> {
        check_proxies(config).map_err(|error| {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
        })
    }

    fn rpc(change: impl FnOnce(&mut Proxy)) -> Config {
        let mut config = Config::default();
        config.rpc.without_namespace.proxy_enabled = true;
        config.rpc.proxy.endpoint = "http://localhost:3000/rpc".into();
        change(&mut config.rpc.proxy);
        config
    }

    #[tokio::test]
    async fn errors_name_key_and_value_but_no_password() {
        let endpoint = prepared(&rpc(|proxy| proxy.endpoint = "ftp://me:secret@host/x".into())).unwrap_err();
        assert!(endpoint.starts_with("rpc.proxy.endpoint \"ftp://…@host/x\" cannot be used"), "{endpoint}");

        let pem = prepared(&rpc(|proxy| {
            proxy.http.tls.enabled = true;
            proxy.http.tls.server_ca_pem = Pem::new("nonsense");
        }));
        assert!(pem.unwrap_err().starts_with("read rpc.proxy.http.tls.server_ca_pem: value is neither PEM"));

        let name = prepared(&rpc(|proxy| {
            proxy.endpoint = "localhost:3000".into();
            proxy.grpc.tls.enabled = true;
            proxy.grpc.tls.server_name = "not a name".into();
        }));
        let name = name.unwrap_err();
        assert!(name.starts_with("rpc.proxy.grpc.tls.server_name \"not a name\""), "{name}");

        let credentials = prepared(&rpc(|proxy| {
            proxy.endpoint = "localhost:3000".into();
            proxy.grpc.credentials_key = "key".into();
            proxy.grpc.credentials_value = "secret\n".into();
        }));
        let credentials = credentials.unwrap_err();
        assert!(credentials.starts_with("rpc.proxy.grpc.credentials_value \"…\""), "{credentials}");
    }

    #[tokio::test]
    async fn what_is_switched_on_is_found_by_its_name() {
        let mut config = rpc(|_| {});
        let options =
            crate::config::sections::rpc::RpcOptions { proxy_enabled: true, proxy_name: "mine".into() };
        config.rpc.namespaces = vec![RpcNamespace { name: "ns".into(), options }];
        let unknown = prepared(&config).unwrap_err();
        assert_eq!(unknown, "rpc.namespaces[ns].proxy_name \"mine\" names no proxy");

        config.proxies = vec![NamedProxy { name: "mine".into(), proxy: config.rpc.proxy.clone() }];
        config.client.proxy.connect.enabled = true;
        let found: Vec<_> = used(&config).unwrap();
        let shown: Vec<_> =
            found.iter().map(|(event, name, section, _)| (*event, &**name, section.as_str())).collect();
        let expected = [
            (Event::Connect, "default", "client.proxy.connect"),
            (Event::Rpc, "default", "rpc.proxy"),
            (Event::Rpc, "mine", "proxies[mine]"),
        ];
        assert_eq!(shown, expected);
    }
}
