//! From a configuration section to connected Redis.

use crate::config::sections::listeners::Tls as TlsSection;
use crate::config::{Pem, PemError, Redis as RedisSection};
use crate::net::{ClientIdentity, ClientTlsError, tls_client_config};
use crate::stores::redis::{
    Credentials, Defaults, Dial, RedisError, Shard, ShardSettings, Tls, Topology, address_list,
};

/// Why Redis cannot be used. All of them end the start.
#[derive(Debug, thiserror::Error)]
pub enum RedisSetupError {
    /// A setting has no meaning, or nobody answers.
    #[error("connect to redis")]
    Redis(#[from] RedisError),
    /// A certificate or key cannot be read.
    #[error("read {key}")]
    Pem {
        /// Path of the key in the configuration.
        key: String,
        /// Why not.
        source: PemError,
    },
    /// TLS cannot be set up.
    #[error("set up tls of {section}")]
    Tls {
        /// Section of the configuration.
        section: String,
        /// Why not.
        source: ClientTlsError,
    },
}

/// Connects to all Redis of the section at `path`, in configured order.
///
/// # Errors
/// See [`RedisSetupError`].
pub async fn connect(path: &str, section: &RedisSection) -> Result<Vec<Shard>, RedisSetupError> {
    let mut shards = Vec::new();
    for settings in shard_settings(path, section)? {
        shards.push(Shard::connect(settings).await?);
    }
    let modes: Vec<&str> = shards.iter().map(Shard::mode).collect();
    tracing::info!(section = path, shards = shards.len(), modes = modes.join(","), "redis is connected");
    Ok(shards)
}

/// Reads the section: Cluster goes before Sentinel, Sentinel before addresses.
fn shard_settings(path: &str, section: &RedisSection) -> Result<Vec<ShardSettings>, RedisSetupError> {
    let defaults = defaults(path, section)?;
    let replicas = defaults.replicas;
    if !section.cluster_address.is_empty() {
        return section
            .cluster_address
            .iter()
            .map(|seeds| {
                let topology = Topology::Cluster(address_list(seeds, "redis cluster")?);
                Ok(ShardSettings { topology, dial: defaults.dial.clone(), replicas })
            })
            .collect();
    }
    if !section.sentinel_address.is_empty() {
        if section.sentinel_master_name.is_empty() {
            let text = format!("{path}.sentinel_master_name must be set to use sentinel");
            return Err(RedisError::Settings(text.into()).into());
        }
        return section
            .sentinel_address
            .iter()
            .map(|addresses| {
                let topology = Topology::Sentinel {
                    addresses: address_list(addresses, "redis sentinel")?,
                    primary: section.sentinel_master_name.clone(),
                    dial: defaults.sentinel_dial.clone(),
                };
                Ok(ShardSettings { topology, dial: defaults.dial.clone(), replicas })
            })
            .collect();
    }
    let plain_tls = || {
        let config = tls_client_config(&ClientIdentity::default())
            .map_err(|error| RedisError::Settings(error.to_string().into()))?;
        Ok(Tls { config, server_name: None })
    };
    section
        .address
        .iter()
        .map(|address| Ok(ShardSettings::from_address(address, &defaults, plain_tls)?))
        .collect()
}

fn defaults(path: &str, section: &RedisSection) -> Result<Defaults, RedisSetupError> {
    let dial = Dial {
        credentials: Credentials {
            user: section.user.clone(),
            password: section.password.to_string(),
            client_name: section.client_name.clone(),
        },
        tls: tls(&format!("{path}.tls"), &section.tls)?,
        db: u32::try_from(section.db).unwrap_or(u32::MAX),
        force_resp2: section.force_resp2,
        connect_timeout: section.connect_timeout.to_std(),
        io_timeout: section.io_timeout.to_std(),
    };
    let sentinel_dial = Dial {
        credentials: Credentials {
            user: section.sentinel_user.clone(),
            password: section.sentinel_password.to_string(),
            client_name: section.sentinel_client_name.clone(),
        },
        tls: tls(&format!("{path}.sentinel_tls"), &section.sentinel_tls)?,
        db: 0,
        ..dial.clone()
    };
    Ok(Defaults {
        dial,
        sentinel_dial,
        sentinel_primary: section.sentinel_master_name.clone(),
        replicas: section.replica_client.enabled,
    })
}

/// Reads a TLS section towards a store; none when it is off.
///
/// # Errors
/// When a PEM text cannot be read or used.
pub fn tls(path: &str, section: &TlsSection) -> Result<Option<Tls>, RedisSetupError> {
    if !section.enabled {
        return Ok(None);
    }
    let read = |name: &str, pem: &Pem| match pem.is_empty() {
        true => Ok(None),
        false => pem
            .load()
            .map(Some)
            .map_err(|source| RedisSetupError::Pem { key: format!("{path}.{name}"), source }),
    };
    let identity = ClientIdentity {
        authorities: read("server_ca_pem", &section.server_ca_pem)?,
        certificate: read("cert_pem", &section.cert_pem)?.zip(read("key_pem", &section.key_pem)?),
        trust_anyone: section.insecure_skip_verify,
    };
    let config = tls_client_config(&identity)
        .map_err(|source| RedisSetupError::Tls { section: path.to_owned(), source })?;
    let server_name = (!section.server_name.is_empty()).then(|| section.server_name.clone());
    Ok(Some(Tls { config, server_name }))
}
