//! Addresses of clients behind proxies.

use http::HeaderMap;
use std::borrow::Cow;
use std::net::SocketAddr;

/// Names the client for logs: `X-Real-IP`, else `X-Forwarded-For`, else the peer.
///
/// The headers are the peer's claim; nothing may be decided by them.
pub fn client_address(headers: &HeaderMap, peer: SocketAddr) -> Cow<'_, str> {
    for name in ["x-real-ip", "x-forwarded-for"] {
        if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok())
            && !value.is_empty()
        {
            return Cow::Borrowed(value);
        }
    }
    Cow::Owned(peer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_ip_comes_before_forwarded_for_before_the_peer() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut headers = HeaderMap::new();
        assert_eq!(client_address(&headers, peer), "127.0.0.1:80");
        headers.insert("x-forwarded-for", "1.1.1.1, 2.2.2.2".parse().expect("value"));
        assert_eq!(client_address(&headers, peer), "1.1.1.1, 2.2.2.2");
        headers.insert("x-real-ip", "3.3.3.3".parse().expect("value"));
        assert_eq!(client_address(&headers, peer), "3.3.3.3");
    }
}
