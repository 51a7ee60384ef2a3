//! Client connections and tokens.

use super::proxy::check_proxy;
use super::{Checked, in_section, is_regex};
use crate::config::{Config, Token};

pub(super) fn check(config: &Config) -> Checked {
    let client = &config.client;
    token("token", &client.token)?;
    token("subscription token", &client.subscription_token.token)?;
    for (section, proxy) in
        [("client.proxy.connect", &client.proxy.connect), ("client.proxy.refresh", &client.proxy.refresh)]
    {
        if proxy.enabled {
            check_proxy(&proxy.proxy).map_err(in_section(section))?;
        }
    }
    let table = &client.connect_code_to_unidirectional_disconnect.transforms;
    for (index, transform) in table.iter().enumerate() {
        let reason = match () {
            () if transform.code == 0 => format!("no code specified in transforms[{index}]"),
            () if transform.to.code == 0 => format!("no disconnect code specified in transforms[{index}].to"),
            () if !transform.to.reason.is_ascii() => {
                format!("disconnect reason must be ASCII in transforms[{index}].to")
            }
            () => continue,
        };
        return Err(format!("in client.connect_code_to_unidirectional_disconnect: {reason}"));
    }
    if client.ping_interval <= client.pong_timeout && !client.ping_interval.is_zero() {
        return Err("ping_interval must be greater than pong_timeout".into());
    }
    Ok(())
}

fn token(what: &str, token: &Token) -> Checked {
    let claim = &token.user_id_claim;
    if !claim.is_empty() && !claim.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
        return Err(format!(
            "invalid {what} custom user ID claim: {claim}, must match ^[a-zA-Z_]+$ regular expression"
        ));
    }
    is_regex(&format!("{what} audience_regex"), &token.audience_regex)?;
    is_regex(&format!("{what} issuer_regex"), &token.issuer_regex)?;
    if !token.audience.is_empty() && !token.audience_regex.is_empty() {
        return Err(format!("{what}: audience and audience_regex exclude each other"));
    }
    if !token.issuer.is_empty() && !token.issuer_regex.is_empty() {
        return Err(format!("{what}: issuer and issuer_regex exclude each other"));
    }
    Ok(())
}
