//! How the end of a connection is told in the words of gRPC.

use crate::session::Close;
use gyre_proto::codes::DisconnectCode;
use http::{HeaderMap, HeaderValue};
use tonic::{Code, Status};

/// Trailer with the disconnect code.
pub const DISCONNECT_CODE: &str = "gyre-disconnect-code";
/// Trailer with the reason, percent-encoded as `grpc-message` is.
pub const DISCONNECT_REASON: &str = "gyre-disconnect-reason";

/// Disconnect code for a message that is longer than allowed, which WebSocket has for it.
pub const MESSAGE_TOO_BIG: u32 = 1009;

/// Trailers that tell why a connection ended: as a status, and as code and reason. A connection that its peer
/// ended is OK.
pub fn told_by_status(close: Option<&Close>) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    match close {
        Some(close) => {
            write(&Status::new(code(close.code), &*close.reason), &mut trailers);
            name_code(close, &mut trailers);
        }
        None => write(&Status::ok(""), &mut trailers),
    }
    Some(trailers)
}

/// Trailers of a stream whose last message told why it ends: the status is OK whatever it was. Of a peer that
/// reads too slowly messages were dropped, perhaps that one too, so the status tells it.
pub fn told_by_message(close: Option<&Close>) -> Option<HeaderMap> {
    if close.is_some_and(|close| close.code == DisconnectCode::Slow.code()) {
        return told_by_status(close);
    }
    let mut trailers = HeaderMap::new();
    write(&Status::ok(""), &mut trailers);
    if let Some(close) = close {
        name_code(close, &mut trailers);
    }
    Some(trailers)
}

/// The status that stands for a disconnect code: UNAVAILABLE where clients are to connect again.
pub fn code(disconnect: u32) -> Code {
    let known = i32::try_from(disconnect).ok().and_then(|number| DisconnectCode::try_from(number).ok());
    match known {
        Some(DisconnectCode::ConnectionClosed) => Code::Ok,
        Some(known) => Code::from_i32(known.grpc_code()),
        None if disconnect == MESSAGE_TOO_BIG => Code::ResourceExhausted,
        // Codes of the application follow the ranges that clients decide by.
        None if matches!(disconnect, 3000..3500 | 4000..4500 | 5000..) => Code::Unavailable,
        None => Code::Aborted,
    }
}

fn write(status: &Status, trailers: &mut HeaderMap) {
    // It fails for messages that are no header value once they are percent-encoded, which there are none of.
    if status.add_header(trailers).is_err() {
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from(status.code() as i32));
    }
}

fn name_code(close: &Close, trailers: &mut HeaderMap) {
    trailers.insert(DISCONNECT_CODE, HeaderValue::from(close.code));
    // tonic knows how to encode a reason as the message of a status.
    let mut encoded = HeaderMap::new();
    write(&Status::unknown(&*close.reason), &mut encoded);
    if let Some(reason) = encoded.remove(Status::GRPC_MESSAGE) {
        trailers.insert(DISCONNECT_REASON, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(trailers: &HeaderMap, name: &str) -> Option<String> {
        trailers.get(name).map(|value| value.to_str().expect("ascii").to_owned())
    }

    #[test]
    fn codes_become_statuses() {
        for (disconnect, expected) in [
            (1009, Code::ResourceExhausted),
            (3000, Code::Ok),
            (3001, Code::Unavailable),
            (3012, Code::Unavailable),
            (3500, Code::Unauthenticated),
            (3501, Code::InvalidArgument),
            (3502, Code::DeadlineExceeded),
            (3503, Code::Aborted),
            (3504, Code::ResourceExhausted),
            (3507, Code::PermissionDenied),
            (4000, Code::Unavailable),
            (4499, Code::Unavailable),
            (4500, Code::Aborted),
            (4999, Code::Aborted),
        ] {
            assert_eq!(code(disconnect), expected, "{disconnect}");
        }
    }

    #[test]
    fn trailers_name_code_and_reason() {
        let close = Close { code: 4001, reason: "späte 100% \n".into() };
        let trailers = told_by_status(Some(&close)).expect("trailers");
        assert_eq!(text(&trailers, "grpc-status").as_deref(), Some("14"));
        assert_eq!(text(&trailers, DISCONNECT_CODE).as_deref(), Some("4001"));
        let reason = text(&trailers, DISCONNECT_REASON).expect("a reason");
        assert_eq!(Some(reason.clone()), text(&trailers, "grpc-message"));
        assert_eq!(reason, "sp%C3%A4te%20100%25%20%0A");
    }

    #[test]
    fn a_peer_that_leaves_ends_its_stream_well() {
        let trailers = told_by_status(None).expect("trailers");
        assert_eq!(text(&trailers, "grpc-status").as_deref(), Some("0"));
        assert_eq!(trailers.len(), 1);
    }

    #[test]
    fn streams_that_said_why_end_well() {
        let close = Close::from(DisconnectCode::InvalidToken);
        let trailers = told_by_message(Some(&close)).expect("trailers");
        assert_eq!(text(&trailers, "grpc-status").as_deref(), Some("0"));
        assert_eq!(text(&trailers, DISCONNECT_CODE).as_deref(), Some("3500"));
    }
}
