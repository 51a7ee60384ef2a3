//! The ways clients connect.

use super::listeners::Tls;
use crate::config::setting::section;
use crate::config::values::Duration;

section! {
    /// Sizes and compression of WebSocket connections.
    pub struct WebSocketFrames {
        /// Compresses messages for clients that offer it.
        compression: bool,
        /// Bytes below which a message is not compressed.
        compression_min_size: usize,
        /// Level of compression, 1 fastest to 9 smallest.
        compression_level: i64 = "1",
        /// Bytes of the read buffer; zero leaves the choice to the server.
        read_buffer_size: usize,
        /// Shares write buffers between connections.
        use_write_buffer_pool: bool,
        /// Bytes of the write buffer; zero leaves the choice to the server.
        write_buffer_size: usize,
        /// Time allowed to write a message.
        write_timeout: Duration = "1s",
        /// Largest message accepted from a client, in bytes; a negative number sets no limit.
        message_size_limit: i64 = "65536",
        /// Largest message accepted after decompression, in bytes; zero means ten times `message_size_limit`.
        decompressed_message_size_limit: i64,
    }
}

section! {
    /// WebSocket, which is on unless disabled.
    pub struct WebSocket {
        /// Switches the transport off.
        disabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/websocket",
        /// Sizes and compression.
        frames: WebSocketFrames => flat,
    }
}

section! {
    /// Server-sent events with the emulation endpoint for the way back.
    pub struct Sse {
        /// Switches the transport on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/sse",
        /// Largest connect request, in bytes.
        max_request_body_size: usize = "65536",
    }
}

section! {
    /// HTTP streaming with the emulation endpoint for the way back.
    pub struct HttpStream {
        /// Switches the transport on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/http_stream",
        /// Largest connect request, in bytes.
        max_request_body_size: usize = "65536",
    }
}

section! {
    /// The way back of `sse` and `http_stream`; on when one of them is.
    pub struct Emulation {
        /// Path of the endpoint.
        handler_prefix: String = "/emulation",
        /// Largest request, in bytes.
        max_request_body_size: usize = "65536",
    }
}

section! {
    /// WebTransport over HTTP/3.
    pub struct WebTransport {
        /// Switches the transport on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/webtransport",
        /// Largest message accepted from a client, in bytes.
        message_size_limit: usize = "65536",
    }
}

section! {
    /// Unidirectional WebSocket.
    pub struct UniWebSocket {
        /// Switches the transport on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/uni_websocket",
        /// Sizes and compression.
        frames: WebSocketFrames => flat,
        /// Closes without waiting for the close frame of the client.
        disable_closing_handshake: bool,
        /// Sends no disconnect push before the close frame, which carries code and reason too.
        disable_disconnect_push: bool,
        /// Writes several pushes into one frame.
        join_push_messages: bool,
    }
}

section! {
    /// Unidirectional server-sent events.
    pub struct UniSse {
        /// Switches the transport on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/uni_sse",
        /// Largest connect request, in bytes.
        max_request_body_size: usize = "65536",
        /// Responses that stand for connect errors.
        connect_code_to_http_response: ConnectCodeToResponse,
    }
}

section! {
    /// Unidirectional HTTP streaming.
    pub struct UniHttpStream {
        /// Switches the transport on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/uni_http_stream",
        /// Largest connect request, in bytes.
        max_request_body_size: usize = "65536",
        /// Responses that stand for connect errors.
        connect_code_to_http_response: ConnectCodeToResponse,
    }
}

section! {
    /// Responses that stand for connect errors.
    pub struct ConnectCodeToResponse {
        /// Switches the table on.
        enabled: bool,
        /// The table.
        transforms: Vec<ResponseTransform>,
    }
}

section! {
    /// The response that stands for a connect error.
    pub struct ResponseTransform (item) {
        /// Code of the error.
        code: u32,
        /// What the client gets instead.
        to: TargetResponse,
    }
}

section! {
    /// A response a client gets.
    pub struct TargetResponse {
        /// Status code.
        status_code: u32,
        /// Body.
        body: String,
    }
}

section! {
    /// Unidirectional gRPC, on a port of its own.
    pub struct UniGrpc {
        /// Switches the transport on.
        enabled: bool,
        /// Address to listen on; empty means all interfaces.
        address: String,
        /// Port to listen on.
        port: u16 = "11000",
        /// Largest request, in bytes; zero means 4 MiB.
        max_receive_message_size: usize,
        /// TLS of the listener.
        tls: Tls,
    }
}

section! {
    /// The client protocol over gRPC, service `gyre.realtime.v1.Realtime`, on the main port. Not known to Centrifugo.
    pub struct GrpcStream {
        /// Switches the transport on.
        enabled: bool,
        /// Largest message accepted from a client, in bytes, compressed or not.
        max_receive_message_size: usize = "65536",
        /// Time allowed to write a message; zero sets no limit.
        write_timeout: Duration = "1s",
    }
}

section! {
    /// An endpoint that prepares a connection.
    pub struct Init {
        /// Switches the endpoint on.
        enabled: bool,
        /// Path of the endpoint.
        handler_prefix: String = "/connection/init",
    }
}
