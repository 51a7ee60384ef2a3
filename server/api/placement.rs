//! Which listener serves which endpoints. Endpoints that clients use are external; the server API,
//! metrics and the like are internal, and leave the external port when an internal one is configured.

/// What the configuration says about listeners, as far as placement depends on it.
#[derive(Clone, Debug, Default)]
pub struct PlacementSettings {
    /// `http_server.address`; empty means all.
    pub address: String,
    /// `http_server.port`.
    pub port: u16,
    /// `http_server.internal_address`; empty means as `address`.
    pub internal_address: String,
    /// `http_server.internal_port`; `None` means as `port`.
    pub internal_port: Option<u16>,
    /// `http_server.tls.enabled`.
    pub tls: bool,
    /// `http_server.tls_external`: the TLS of `tls` is for the external listener only.
    pub tls_external: bool,
    /// `http_server.internal_tls.enabled`.
    pub internal_tls: bool,
    /// Not `http_api.disabled`.
    pub api: bool,
    /// `http_api.external`.
    pub api_external: bool,
    /// `admin.enabled`.
    pub admin: bool,
    /// `admin.external`.
    pub admin_external: bool,
    /// `prometheus.enabled`.
    pub prometheus: bool,
    /// `swagger.enabled`.
    pub swagger: bool,
    /// `debug.enabled`.
    pub debug: bool,
    /// `health.enabled`.
    pub health: bool,
}

/// A listener to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Host; empty means all addresses.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Which TLS it uses.
    pub tls: TlsChoice,
    /// What it serves.
    pub groups: EndpointGroups,
}

/// Which TLS a listener uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsChoice {
    /// None.
    Plain,
    /// That of `http_server.tls`.
    Main,
    /// That of `http_server.internal_tls`.
    Internal,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointGroups {
    /// Client transports.
    pub connections: bool,
    /// Server API.
    pub api: bool,
    /// Operator UI.
    pub admin: bool,
    /// Metrics.
    pub prometheus: bool,
    /// Page to try the API.
    pub swagger: bool,
    /// Profiling.
    pub debug: bool,
    /// Health.
    pub health: bool,
}

/// Plans the listeners: the external one first, then the internal one if it is another and serves anything.
pub fn place(settings: &PlacementSettings) -> Vec<Placement> {
    let internal_host =
        if settings.internal_address.is_empty() { &settings.address } else { &settings.internal_address };
    let internal_port = settings.internal_port.unwrap_or(settings.port);
    let shared = *internal_host == settings.address && internal_port == settings.port;

    let external = EndpointGroups {
        connections: true,
        api: settings.api && (settings.api_external || shared),
        admin: settings.admin && (settings.admin_external || shared),
        prometheus: settings.prometheus && shared,
        swagger: settings.swagger && shared,
        debug: settings.debug && shared,
        health: settings.health && shared,
    };
    let mut listeners = vec![Placement {
        host: settings.address.clone(),
        port: settings.port,
        tls: if settings.tls { TlsChoice::Main } else { TlsChoice::Plain },
        groups: external,
    }];
    let internal = EndpointGroups {
        connections: false,
        api: settings.api && !settings.api_external,
        admin: settings.admin && !settings.admin_external,
        prometheus: settings.prometheus,
        swagger: settings.swagger,
        debug: settings.debug,
        health: settings.health,
    };
    if !shared && internal != EndpointGroups::default() {
        let tls = if settings.internal_tls {
            TlsChoice::Internal
        } else if settings.tls && !settings.tls_external {
            TlsChoice::Main
        } else {
            TlsChoice::Plain
        };
        listeners.push(Placement { host: internal_host.clone(), port: internal_port, tls, groups: internal });
    }
    listeners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PlacementSettings {
        PlacementSettings { port: 8000, api: true, health: true, prometheus: true, ..Default::default() }
    }

    #[test]
    fn one_port_serves_everything() {
        let listeners = place(&PlacementSettings { tls: true, internal_tls: true, ..settings() });
        let groups = EndpointGroups {
            connections: true,
            api: true,
            health: true,
            prometheus: true,
            ..Default::default()
        };
        assert_eq!(listeners, [Placement { host: String::new(), port: 8000, tls: TlsChoice::Main, groups }]);
    }

    #[test]
    fn an_internal_port_takes_what_is_internal() {
        let listeners =
            place(&PlacementSettings { internal_port: Some(9000), address: "10.0.0.1".into(), ..settings() });
        let external = EndpointGroups { connections: true, ..Default::default() };
        let internal = EndpointGroups { api: true, health: true, prometheus: true, ..Default::default() };
        assert_eq!(listeners[0].groups, external);
        assert_eq!(
            (&*listeners[1].host, listeners[1].port, listeners[1].groups),
            ("10.0.0.1", 9000, internal)
        );
    }

    #[test]
    fn external_flags_keep_groups_outside() {
        let listeners = place(&PlacementSettings {
            internal_port: Some(9000),
            api_external: true,
            admin: true,
            admin_external: true,
            ..settings()
        });
        assert!(listeners[0].groups.api && listeners[0].groups.admin && !listeners[0].groups.health);
        assert!(!listeners[1].groups.api && !listeners[1].groups.admin && listeners[1].groups.health);
    }

    #[test]
    fn an_internal_port_with_nothing_to_serve_is_not_opened() {
        let listeners = place(&PlacementSettings {
            internal_port: Some(9000),
            api_external: true,
            health: false,
            prometheus: false,
            ..settings()
        });
        assert_eq!(listeners.len(), 1);
    }

    #[test]
    fn tls_follows_the_listener() {
        let choices = |tls_external, internal_tls| {
            let settings = PlacementSettings {
                internal_port: Some(9000),
                tls: true,
                tls_external,
                internal_tls,
                ..settings()
            };
            place(&settings).into_iter().map(|listener| listener.tls).collect::<Vec<_>>()
        };
        assert_eq!(choices(false, false), [TlsChoice::Main, TlsChoice::Main]);
        assert_eq!(choices(true, false), [TlsChoice::Main, TlsChoice::Plain]);
        assert_eq!(choices(true, true), [TlsChoice::Main, TlsChoice::Internal]);
    }
}
