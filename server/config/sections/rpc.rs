//! Calls of clients that the application answers.

use super::proxy::Proxy;
use crate::config::setting::section;

section! {
    /// Calls of clients.
    pub struct Rpc {
        /// The proxy that bears the name `default` in options of calls.
        proxy: Proxy,
        /// Options of methods whose name has no namespace.
        without_namespace: RpcOptions,
        /// Options of methods by namespace.
        namespaces: Vec<RpcNamespace>,
        /// A method the server answers by itself.
        ping: RpcPing,
        /// What ends the namespace in the name of a method.
        namespace_boundary: String = ":",
    }
}

section! {
    /// Options of methods.
    pub struct RpcOptions {
        /// Asks the application.
        proxy_enabled: bool,
        /// Proxy to ask; `default` is `rpc.proxy`.
        proxy_name: String = "default",
    }
}

section! {
    /// A namespace: methods whose name starts with `name` and the boundary.
    pub struct RpcNamespace (named item) {
        /// Name, at least two of `-a-zA-Z0-9_.`.
        name: String,
        /// Options of its methods.
        options: RpcOptions => flat,
    }
}

section! {
    /// A method the server answers by itself, to measure the way to it.
    pub struct RpcPing {
        /// Switches the method on.
        enabled: bool,
        /// Name of the method.
        method: String = "ping",
    }
}
