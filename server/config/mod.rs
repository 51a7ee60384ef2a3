<<<<<<< HEAD
//! Configuration: keys, defaults and documentation, declared once; where values come from; which values go
//! together. Knows nothing of the rooms that read it.
//!
//! A value comes from a flag, else the environment, else the file, else its default. Entry type: [`Config`], made
//! by [`Config::load`].

mod environment;
mod error;
mod load;
mod read;
pub mod sections;
pub mod setting;
mod values;

pub use error::{ConfigError, Warning};
pub use load::{Format, Loaded};
pub use sections::Config;
pub use values::{Duration, Pem, PemError, StringMap};
=======
//! interim
use serde::{Deserialize, Deserializer};
use std::time::Duration as Std;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duration(pub Std);
impl Duration { pub fn get(self) -> Std { self.0 } }
impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let v = serde_json::Value::deserialize(d)?;
        Ok(Self(match v {
            serde_json::Value::Number(n) => Std::from_nanos(n.as_i64().unwrap_or(0).max(0) as u64),
            serde_json::Value::String(s) => {
                let mut total = 0f64; let mut num = String::new(); let mut unit = String::new();
                let flush = |num: &mut String, unit: &mut String, total: &mut f64| { let n: f64 = num.parse().unwrap_or(0.0); *total += n * match unit.as_str() { "ms" => 1e-3, "us" => 1e-6, "ns" => 1e-9, "m" => 60.0, "h" => 3600.0, _ => 1.0 }; num.clear(); unit.clear(); };
                for c in s.chars() { if c.is_ascii_digit() || c == '.' || c == '-' { if !unit.is_empty() { flush(&mut num, &mut unit, &mut total); } num.push(c); } else { unit.push(c); } }
                flush(&mut num, &mut unit, &mut total);
                Std::from_secs_f64(total.max(0.0))
            }
            _ => Std::ZERO,
        }))
    }
}
macro_rules! section { ($name:ident { $($field:ident : $ty:ty = $default:expr),* $(,)? }) => {
    #[derive(Clone, Debug, Deserialize)]
    #[serde(default)]
    pub struct $name { $(pub $field: $ty),* }
    impl Default for $name { fn default() -> Self { Self { $($field: $default),* } } }
} }
fn d() -> Duration { Duration::default() }
fn s(n: u64) -> Duration { Duration(Std::from_secs(n)) }
section!(Config { http_server: HttpServer = Default::default(), client: Client = Default::default(), channel: Channel = Default::default(), http_api: HttpApi = Default::default(), grpc_api: GrpcApi = Default::default(), websocket: Websocket = Default::default(), health: Endpoint = Endpoint { handler_prefix: "/health".into(), enabled: false }, prometheus: Prometheus = Default::default(), swagger: Endpoint = Endpoint { handler_prefix: "/swagger".into(), enabled: false }, rpc: Rpc = Default::default(), node: Node = Default::default(), shutdown: Shutdown = Default::default(), log: Log = Default::default(), pid_file: String = String::new() });
section!(Log { level: String = "info".into(), file: String = String::new() });
section!(Node { name: String = String::new(), info_metrics_aggregate_interval: Duration = s(60) });
section!(Shutdown { timeout: Duration = s(30) });
section!(Rpc { ping: RpcPing = Default::default() });
section!(RpcPing { enabled: bool = false, method: String = "ping".into() });
section!(Endpoint { enabled: bool = false, handler_prefix: String = String::new() });
section!(Tls { enabled: bool = false, cert_pem: String = String::new(), key_pem: String = String::new(), client_ca_pem: String = String::new() });
section!(HttpServer { address: String = String::new(), port: serde_json::Value = 8000.into(), internal_address: String = String::new(), internal_port: serde_json::Value = "".into(), tls: Tls = Default::default(), tls_external: bool = false, internal_tls: Tls = Default::default(), h2c_external: bool = false });
section!(HttpApi { disabled: bool = false, handler_prefix: String = "/api".into(), key: String = String::new(), error_mode: String = String::new(), external: bool = false, insecure: bool = false });
section!(GrpcApi { enabled: bool = false, error_mode: String = String::new(), address: String = String::new(), port: u16 = 10000, key: String = String::new(), tls: Tls = Default::default(), reflection: bool = false, max_receive_message_size: usize = 0 });
section!(Websocket { disabled: bool = false, handler_prefix: String = "/connection/websocket".into(), compression: bool = false, compression_min_size: usize = 0, compression_level: u32 = 1, write_timeout: Duration = s(1), message_size_limit: i64 = 65536, decompressed_message_size_limit: i64 = 0 });
section!(Token { hmac_secret_key: String = String::new(), hmac_previous_secret_key: String = String::new(), hmac_previous_secret_key_valid_until: i64 = 0, rsa_public_key: String = String::new(), ecdsa_public_key: String = String::new(), jwks_public_endpoint: String = String::new(), audience: String = String::new(), audience_regex: String = String::new(), issuer: String = String::new(), issuer_regex: String = String::new(), user_id_claim: String = String::new(), insecure_skip_jwks_endpoint_safety_check: bool = false, enabled: bool = false });
section!(Personal { enabled: bool = false, personal_channel_namespace: String = String::new(), single_connection: bool = false });
section!(Client { allowed_origins: Vec<String> = vec![], token: Token = Default::default(), subscription_token: Token = Default::default(), allow_anonymous_connect_without_token: bool = false, disallow_anonymous_connection_tokens: bool = false, ping_interval: Duration = s(25), pong_timeout: Duration = s(8), expired_close_delay: Duration = s(25), expired_sub_close_delay: Duration = s(25), stale_close_delay: Duration = s(10), channel_limit: usize = 128, queue_max_size: usize = 1048576, presence_update_interval: Duration = s(27), concurrency: usize = 0, channel_position_check_delay: Duration = s(40), channel_position_max_time_lag: Duration = d(), connection_limit: usize = 0, user_connection_limit: usize = 0, connection_rate_limit: usize = 0, connect_include_server_time: bool = false, history_max_publication_limit: i64 = 300, recovery_max_publication_limit: u64 = 300, insecure_skip_token_signature_verify: bool = false, user_id_http_header: String = String::new(), insecure: bool = false, subscribe_to_user_personal_channel: Personal = Default::default() });
section!(Channel { without_namespace: ChannelOptions = Default::default(), namespaces: Vec<ChannelOptions> = vec![], history_meta_ttl: Duration = s(720*3600), publication_data_format: String = String::new(), max_length: usize = 255, private_prefix: String = "$".into(), namespace_boundary: String = ":".into(), user_boundary: String = "#".into(), user_separator: String = ",".into() });
section!(ChannelOptions { name: String = String::new(), presence: bool = false, join_leave: bool = false, force_push_join_leave: bool = false, history_size: u64 = 0, history_ttl: Duration = d(), history_meta_ttl: Duration = d(), force_positioning: bool = false, allow_positioning: bool = false, force_recovery: bool = false, allow_recovery: bool = false, force_recovery_mode: String = String::new(), auto_cache_recover: bool = false, allowed_delta_types: Vec<String> = vec![], allow_tags_filter: bool = false, delta_publish: bool = false, allow_subscribe_for_client: bool = false, allow_subscribe_for_anonymous: bool = false, allow_publish_for_client: bool = false, allow_publish_for_subscriber: bool = false, allow_publish_for_anonymous: bool = false, allow_presence_for_client: bool = false, allow_presence_for_subscriber: bool = false, allow_presence_for_anonymous: bool = false, allow_history_for_client: bool = false, allow_history_for_subscriber: bool = false, allow_history_for_anonymous: bool = false, allow_user_limited_channels: bool = false, channel_regex: String = String::new(), publication_data_format: String = String::new(), subscription_type: String = String::new() });

section!(Prometheus { enabled: bool = false, handler_prefix: String = "/metrics".into(), instrument_http_handlers: bool = false, recovered_publications_histogram: bool = false, native_histograms: bool = false });
impl HttpServer {
    pub fn port_number(&self) -> u16 { match &self.port { serde_json::Value::Number(n) => n.as_u64().unwrap_or(8000) as u16, serde_json::Value::String(s) => s.parse().unwrap_or(8000), _ => 8000 } }
    pub fn internal_port_number(&self) -> Option<u16> { match &self.internal_port { serde_json::Value::Number(n) => n.as_u64().map(|n| n as u16), serde_json::Value::String(s) => s.parse().ok(), _ => None } }
}
>>>>>>> main

#[cfg(test)]
mod tests;
