//! WebSocket connections that only receive, after one connect request.

pub mod accept;
