//! `gyre dev`: a server to try, on this machine only, with nothing to configure.
//!
//! Keys are made anew at each start and printed, so nothing of it should be used beyond trying.

use super::{Assembly, RunError, run};
use crate::auth::{NewToken, issue};
use crate::config::{Config, ConfigError};
use crate::seams::{Clock, SystemClock, random_id};
use serde_json::json;
use std::sync::Arc;

/// The channel of the page.
const CHANNEL: &str = "demo";

const PAGE: &str = include_str!("page.html");

/// Seconds a token of the page lives.
const TOKEN_TTL: i64 = 24 * 3600;

/// Why the dev server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The built-in configuration is wrong, which is a bug.
    #[error("read the dev configuration")]
    Config(#[from] ConfigError),
    /// The server does not start.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Keys of one start.
struct Keys {
    token_secret: String,
    api_key: String,
}

impl Keys {
    fn new() -> Self {
        let key = || random_id().simple().to_string();
        Self { token_secret: key() + &key(), api_key: key() }
    }
}

/// Serves the dev page, the client endpoints and the API on `127.0.0.1:port` until the process is told to stop.
///
/// # Errors
/// When the port cannot be opened.
pub async fn serve(port: u16) -> Result<(), DevError> {
    let keys = Keys::new();
    let config = configuration(port, &keys)?;
    let again = config.clone();
    let base = format!("127.0.0.1:{port}");
    let page = page(&base, &keys);
    let reread = move || Ok(again.clone());
    let greeting = greeting(&base, &keys);
    run(config, Some(page), reread, |_: &Assembly| println!("{greeting}")).await?;
    Ok(())
}

fn configuration(port: u16, keys: &Keys) -> Result<Config, ConfigError> {
    let tree = json!({
        "http_server": { "address": "127.0.0.1", "port": port },
        "log": { "level": "warn" },
        "health": { "enabled": true },
        "prometheus": { "enabled": true },
        "swagger": { "enabled": true },
        "http_api": { "key": keys.api_key },
        "client": {
            "token": { "hmac_secret_key": keys.token_secret },
            "allowed_origins": [format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}")],
        },
        "channel": { "without_namespace": {
            "presence": true,
            "join_leave": true,
            "history_size": 100,
            "history_ttl": "1h",
            "force_recovery": true,
            "allowed_delta_types": ["fossil"],
            "allow_subscribe_for_client": true,
            "allow_publish_for_subscriber": true,
            "allow_presence_for_subscriber": true,
            "allow_history_for_subscriber": true,
        }},
    });
    Ok(Config::from_value(tree)?.config)
}

/// The page, with a new guest for each time it is opened.
fn page(base: &str, keys: &Keys) -> Arc<dyn Fn() -> String + Send + Sync> {
    let (base, secret, curl) = (base.to_owned(), keys.token_secret.clone(), curl(base, keys));
    Arc::new(move || {
        let user = format!("guest-{}", &random_id().simple().to_string()[..4]);
        let facts = json!({
            "websocket": format!("ws://{base}/connection/websocket"),
            "token": token(&user, &secret),
            "channel": CHANNEL,
            "curl": curl,
        });
        // Inside a script element, only this could end it early.
        PAGE.replace("/*DEV*/", &facts.to_string().replace("</", "<\\/"))
    })
}

fn token(user: &str, secret: &str) -> String {
    issue(&NewToken { user, ttl: TOKEN_TTL, ..Default::default() }, secret, SystemClock.now().unix)
}

fn curl(base: &str, keys: &Keys) -> String {
    format!(
        "curl -H 'X-API-Key: {}' http://{base}/api/publish \\\n  -d '{{\"channel\":\"{CHANNEL}\",\"data\":{{\"text\":\"hello from curl\"}}}}'",
        keys.api_key
    )
}

fn greeting(base: &str, keys: &Keys) -> String {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(r#"{"text":"hello from gRPC"}"#);
    format!(
        "gyre {version} is ready to try (keys are new at each start; this machine only)

  page        http://{base}/            open it in two tabs
  websocket   ws://{base}/connection/websocket
  API         http://{base}/api         explorer at http://{base}/swagger/
  metrics     http://{base}/metrics

  token of user \"me\"
    {token}

  publish over HTTP
    {curl}

  publish over gRPC, on the same port
    grpcurl -plaintext -H 'authorization: apikey {key}' \\
      -d '{{\"channel\":\"{CHANNEL}\",\"data\":\"{data}\"}}' \\
      {base} centrifugal.centrifugo.api.CentrifugoApi/Publish

  Ctrl-C ends it.",
        version = crate::VERSION,
        token = token("me", &keys.token_secret),
        curl = curl(base, keys).replace('\n', "\n    "),
        key = keys.api_key,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dev_configuration_is_read_without_warnings() {
        let config = configuration(8000, &Keys::new()).unwrap();
        assert_eq!(config.http_server.address, "127.0.0.1");
        assert!(config.channel.without_namespace.presence);
    }

    #[test]
    fn the_page_holds_its_facts_once() {
        let html = page("127.0.0.1:1", &Keys::new())();
        assert!(html.contains("ws://127.0.0.1:1/connection/websocket") && !html.contains("/*DEV*/"));
    }
}
