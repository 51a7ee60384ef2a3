//! Who may use the server API.

use crate::auth::{ApiKey, ApiKeyPlaces};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What a caller must show.
#[derive(Clone, Debug)]
pub enum Access {
    /// Nothing: everyone who reaches the port may do everything.
    Open,
    /// A key. The empty key lets nobody in.
    Key(ApiKey),
}

impl Access {
    /// Judges an HTTP request by its headers and query.
    pub fn allows_http(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        match self {
            Self::Open => true,
            Self::Key(key) => key.opens_http(ApiKeyPlaces {
                x_api_key: headers.get("x-api-key").map(|value| value.as_bytes()),
                authorization: headers.get(AUTHORIZATION).map(|value| value.as_bytes()),
                query,
            }),
        }
    }

    /// Judges a gRPC call by its metadata.
    pub fn allows_grpc(&self, metadata: &HeaderMap) -> bool {
        match self {
            Self::Open => true,
            Self::Key(key) => key.opens_grpc(metadata.get(AUTHORIZATION).map(|value| value.as_bytes())),
        }
    }
}
