//! The fixed values metric labels take. Names are the ones dashboards of this protocol query.

/// Declares an enumeration whose values are label texts and array indices.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in declaration order, which is also index order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many values there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The label as it is exposed.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

label! {
    /// How a client is connected.
    Transport {
        /// WebSocket, both directions.
        WebSocket = "websocket",
        /// HTTP streaming with emulation.
        HttpStream = "http_stream",
        /// Server-sent events with emulation.
        Sse = "sse",
        /// WebTransport.
        WebTransport = "webtransport",
        /// Unidirectional WebSocket.
        UniWebSocket = "uni_websocket",
        /// Unidirectional server-sent events.
        UniSse = "uni_sse",
        /// Unidirectional HTTP streaming.
        UniHttpStream = "uni_http_stream",
        /// Unidirectional gRPC.
        UniGrpc = "uni_grpc",
        /// The client protocol over gRPC, ours.
        GrpcStream = "grpc_stream",
    }
}

label! {
    /// What a protocol message is.
    Frame {
        /// Ping from the server.
        ServerPing = "server_ping",
        /// Answer to it.
        ClientPong = "client_pong",
        /// Connect push.
        PushConnect = "push_connect",
        /// Subscribe push.
        PushSubscribe = "push_subscribe",
        /// Publication push.
        PushPublication = "push_publication",
        /// Join push.
        PushJoin = "push_join",
        /// Leave push.
        PushLeave = "push_leave",
        /// Unsubscribe push.
        PushUnsubscribe = "push_unsubscribe",
        /// Message push.
        PushMessage = "push_message",
        /// Refresh push.
        PushRefresh = "push_refresh",
        /// Disconnect push.
        PushDisconnect = "push_disconnect",
        /// Connect command or its reply.
        Connect = "connect",
        /// Subscribe command or its reply.
        Subscribe = "subscribe",
        /// Publish command or its reply.
        Publish = "publish",
        /// Unsubscribe command or its reply.
        Unsubscribe = "unsubscribe",
        /// RPC command or its reply.
        Rpc = "rpc",
        /// Presence command or its reply.
        Presence = "presence",
        /// Presence stats command or its reply.
        PresenceStats = "presence_stats",
        /// History command or its reply.
        History = "history",
        /// Refresh command or its reply.
        Refresh = "refresh",
        /// Subscription refresh command or its reply.
        SubRefresh = "sub_refresh",
        /// Send command.
        Send = "send",
        /// Anything else.
        Unknown = "unknown",
    }
}

impl Frame {
    /// Whether this is a command, whose duration is measured.
    pub const fn is_command(self) -> bool {
        self as usize >= Self::Connect as usize
    }
}

label! {
    /// What a node does.
    Action {
        /// A connection authenticated.
        AddClient = "add_client",
        /// An authenticated connection ended.
        RemoveClient = "remove_client",
        /// A subscription began.
        AddSubscription = "add_subscription",
        /// A subscription ended.
        RemoveSubscription = "remove_subscription",
        /// The broker was asked to deliver a channel.
        BrokerSubscribe = "broker_subscribe",
        /// The broker was asked to stop delivering a channel.
        BrokerUnsubscribe = "broker_unsubscribe",
        /// All nodes were asked a question.
        Survey = "survey",
        /// All nodes were told something.
        Notify = "notify",
        /// Presence was added or renewed.
        AddPresence = "add_presence",
        /// Presence was removed.
        RemovePresence = "remove_presence",
        /// Presence was read.
        Presence = "presence",
        /// Presence was counted.
        PresenceStats = "presence_stats",
        /// History was read.
        History = "history",
        /// A stream was read for recovery.
        HistoryRecover = "history_recover",
        /// The newest publication was read for recovery in cache mode.
        HistoryRecoverCache = "history_recover_cache",
        /// The position of a stream was read.
        HistoryStreamTop = "history_stream_top",
        /// History was removed.
        HistoryRemove = "history_remove",
    }
}

label! {
    /// What travels between node and broker.
    BrokerMessage {
        /// Publication.
        Publication = "publication",
        /// Join.
        Join = "join",
        /// Leave.
        Leave = "leave",
        /// Node to node.
        Control = "control",
    }
}

label! {
    /// Where a server API command came from.
    ApiProtocol {
        /// HTTP with JSON.
        Http = "http",
        /// gRPC and gRPC-Web.
        Grpc = "grpc",
        /// Queues.
        Consuming = "consuming",
    }
}

label! {
    /// Why a publish changed nothing.
    Suppressed {
        /// Its idempotency key was known.
        Idempotency = "idempotency",
        /// Its version was not above the stored one.
        Version = "version",
    }
}
