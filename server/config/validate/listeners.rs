//! Ports, TLS and words of the sections that listen or log.

use super::{Checked, in_section, one_of};
use crate::config::{Config, HttpServer, Tls};

pub(super) fn check(server: &HttpServer, config: &Config) -> Checked {
    let internal = server.internal_port.as_str();
    if !internal.is_empty() && internal.parse::<u16>().is_err() {
        return Err(format!(
            "http_server.internal_port: expected a number between 0 and 65535, found {internal:?}"
        ));
    }
    if server.h2c_external && server.internal_port.parse().unwrap_or(server.port) == server.port {
        return Err("external_h2c requires custom separate internal_port to be configured".into());
    }
    if server.tls.enabled && server.h2c_external {
        return Err("external_h2c cannot be used together with enabled TLS for external HTTP server".into());
    }
    for (key, address) in [
        ("http_server.address", &server.address),
        ("http_server.internal_address", &server.internal_address),
        ("grpc_api.address", &config.grpc_api.address),
        ("uni_grpc.address", &config.uni_grpc.address),
    ] {
        listen_address(address).map_err(in_section(key))?;
    }
    if config.webtransport.enabled && !server.http3.enabled {
        return Err("webtransport requires http_server.http3 to be enabled".into());
    }
    if server.http3.enabled && !server.tls.enabled && !server.tls_autocert.enabled {
        return Err("http_server.http3 requires TLS to be enabled".into());
    }
    autocert(server).map_err(in_section("http_server.tls_autocert"))?;
    one_of("http_api.error_mode", &config.http_api.error_mode, &["", "transport"])?;
    one_of("grpc_api.error_mode", &config.grpc_api.error_mode, &["", "transport"])?;
    tls(&server.tls).map_err(in_section("http_server.tls"))?;
    tls(&server.internal_tls).map_err(in_section("http_server.internal_tls"))?;
    if config.grpc_api.enabled {
        tls(&config.grpc_api.tls).map_err(in_section("grpc_api.tls"))?;
    }
    if config.uni_grpc.enabled {
        tls(&config.uni_grpc.tls).map_err(in_section("uni_grpc.tls"))?;
    }
    Ok(())
}

/// Checks what certificates that are obtained by themselves need.
fn autocert(server: &HttpServer) -> Checked {
    let autocert = &server.tls_autocert;
    if !autocert.enabled {
        return Ok(());
    }
    if server.http3.enabled {
        return Err("cannot be used together with http_server.http3".into());
    }
    if server.tls.enabled && !server.tls.client_ca_pem.is_empty() {
        return Err("cannot be used together with http_server.tls.client_ca_pem".into());
    }
    if autocert.host_whitelist.is_empty() {
        return Err("host_whitelist is required".into());
    }
    if let Some(host) = autocert.host_whitelist.iter().find(|host| !is_host_name(host)) {
        return Err(format!("host_whitelist: expected names of hosts, found {host:?}"));
    }
    if autocert.http {
        split_address(&autocert.http_addr).ok_or_else(|| {
            format!("http_addr: expected an address and a port, found {:?}", autocert.http_addr)
        })?;
    }
    Ok(())
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// Host, perhaps empty, and port.
pub(crate) fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

/// Refuses what can be neither an address nor the name of a host, so that a port written here is noticed.
fn listen_address(address: &str) -> Checked {
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let is_host = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_host || bare.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(());
    }
    Err(format!("expected an address or a host name without a port, found {address:?}"))
}

/// Checks that a listener has what it presents, and that all of it can be read.
fn tls(tls: &Tls) -> Checked {
    if !tls.enabled {
        return Ok(());
    }
    for (key, pem, required) in [
        ("cert_pem", &tls.cert_pem, true),
        ("key_pem", &tls.key_pem, true),
        ("client_ca_pem", &tls.client_ca_pem, false),
    ] {
        if pem.is_empty() {
            if required {
                return Err(format!("{key} is required when TLS is enabled"));
            }
            continue;
        }
        pem.load().map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{key}: {error}: {source}"),
            None => format!("{key}: {error}"),
        })?;
    }
    Ok(())
}
