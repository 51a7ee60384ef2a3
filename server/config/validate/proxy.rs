//! Proxies: that each can be asked, and that names lead to one.

use super::{Checked, DEFAULT_PROXY, NAME, is_name};
use crate::config::{NamedProxy, Proxy, StatusTransform};

/// The longest message or reason: what a close frame has room for (RFC 6455, 5.5).
const LONGEST_REASON: usize = 123;

/// Checks all named proxies; answers with the names options may use.
pub(super) fn names(proxies: &[NamedProxy]) -> Result<Vec<&str>, String> {
    let mut names = Vec::with_capacity(proxies.len() + 1);
    for proxy in proxies {
        let name = proxy.name.as_str();
        if names.contains(&name) {
            return Err(format!("duplicate proxy name in proxies: {name}"));
        }
        if !is_name(name) {
            return Err(format!(
                "in proxy {name}: invalid proxy name: {name}, must match {NAME} regular expression"
            ));
        }
        check_proxy(&proxy.proxy).map_err(|reason| format!("in proxy {name}: {reason}"))?;
        names.push(name);
    }
    if names.contains(&DEFAULT_PROXY) {
        return Err(format!("proxy name {DEFAULT_PROXY} is reserved"));
    }
    names.push(DEFAULT_PROXY);
    Ok(names)
}

pub(super) fn check_proxy(proxy: &Proxy) -> Checked {
    if proxy.timeout.is_zero() {
        return Err("timeout not set".into());
    }
    if proxy.endpoint.is_empty() {
        return Err("endpoint not set".into());
    }
    transforms(&proxy.http.status_to_code_transforms)
        .map_err(|reason| format!("in status_to_code_transforms: {reason}"))
}

fn transforms(table: &[StatusTransform]) -> Checked {
    for (index, transform) in table.iter().enumerate() {
        let item = format!("status_to_code_transforms[{index}]");
        let (error, disconnect) = (&transform.to_error, &transform.to_disconnect);
        if transform.status_code == 0 {
            return Err(format!("status_code should be set in {item}"));
        }
        match (error.code > 0, disconnect.code > 0) {
            (false, false) => return Err(format!("no error or disconnect code set in {item}")),
            (true, true) => {
                return Err(format!("only error or disconnect code can be set in {item}, but not both"));
            }
            _ => {}
        }
        for (what, text) in [("disconnect reason", &disconnect.reason), ("error message", &error.message)] {
            if !text.is_ascii() {
                return Err(format!("{item} {what} must be ASCII"));
            }
            if text.len() > LONGEST_REASON {
                return Err(format!("{item} {what} can be up to {LONGEST_REASON} characters long"));
            }
        }
    }
    Ok(())
}
