//! The way back of connections that only receive: requests that bring commands for a session.
//!
//! Any node takes them; the session is the only right one needs, and is told to its client alone.
//!
//! Source: rows EMU-1 to EMU-7 of the protocol.

use crate::cluster::SurveyError;
use crate::net::{Body, RequestBody, read_body};
use crate::node::{EmulationError, Node};
use crate::protocol::Encoding;
use crate::transport::streamed::{self, REQUEST_TIMEOUT};
use bytes::Bytes;
use gyre_proto::client::EmulationRequest;
use gyre_proto::json::JsonDecode;
use http::{Method, Request, Response, StatusCode};
use prost::Message;

/// Has commands handled and answers when they were; `limit` is how many bytes a request may have.
pub async fn accept(request: Request<RequestBody>, limit: usize, node: &Node) -> Response<Body> {
    match *request.method() {
        Method::OPTIONS => return streamed::preflight(),
        Method::POST => {}
        _ => return streamed::empty(StatusCode::METHOD_NOT_ALLOWED),
    }
    let encoding = streamed::encoding(request.headers());
    let body = match read_body(request.into_body(), limit, REQUEST_TIMEOUT).await {
        Ok(body) => body,
        Err(error) => return streamed::unreadable(&error),
    };
    let Some(request) = decode(body, encoding) else {
        return streamed::empty(StatusCode::BAD_REQUEST);
    };
    streamed::empty(status(node.emulate(request).await))
}

fn decode(body: Bytes, encoding: Encoding) -> Option<EmulationRequest> {
    match encoding {
        Encoding::Json => {
            let request = EmulationRequest::decode_json(&body).ok()?;
            // Nodes tell each other commands in JSON as the string they came in.
            let data = serde_json::to_vec(std::str::from_utf8(&request.data).ok()?).ok()?;
            Some(EmulationRequest { data: data.into(), ..request })
        }
        Encoding::Protobuf => EmulationRequest::decode(body).ok(),
    }
}

fn status(handled: Result<(), EmulationError>) -> StatusCode {
    match handled {
        // A client learns from the end of its stream that its session is over; others learn nothing.
        Ok(()) | Err(EmulationError::NoSession) => StatusCode::NO_CONTENT,
        Err(EmulationError::Malformed) => StatusCode::BAD_REQUEST,
        Err(EmulationError::Survey(SurveyError::UnknownNode(_))) => StatusCode::NOT_FOUND,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "commands for the emulation endpoint failed"
            );
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_json_stay_a_string() {
        let json = |body: &'static str| decode(Bytes::from_static(body.as_bytes()), Encoding::Json);
        let request = json(r#"{"session":"s","node":"n","data":"{\"id\":1}\n{}"}"#).unwrap();
        assert_eq!((request.session.as_str(), request.node.as_str()), ("s", "n"));
        assert_eq!(request.data, r#""{\"id\":1}\n{}""#);
        for malformed in ["", "{", "[]", "{} {}", r#"{"data":{"id":1}}"#, r#"{"session":1}"#] {
            assert_eq!(json(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn commands_in_protobuf_stay_as_they_are() {
        let request = EmulationRequest { data: Bytes::from_static(b"\0"), ..Default::default() };
        assert_eq!(decode(request.encode_to_vec().into(), Encoding::Protobuf), Some(request));
        assert_eq!(decode(Bytes::from_static(b"\x07"), Encoding::Protobuf), None);
    }
}
