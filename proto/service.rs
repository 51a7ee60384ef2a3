//! The server API: one trait, reached over gRPC, HTTP/JSON, batches and legacy requests.
//!
//! The trait, the table of methods and the projections are generated from the service in
//! `api/api.proto`; here is what they share.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::api;
use crate::codes::ApiErrorCode;
use crate::json::{InvalidRaw, JsonDecode as _, JsonEncode, JsonError};

mod generated {
    #![allow(clippy::all)]
    use super::*;
    include!(concat!(env!("OUT_DIR"), "/service.rs"));
}

pub use generated::{ApiMethod, ApiService, call_command, call_json};

/// Which upstream product has a method. Here all are in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The free one.
    OpenSource,
    /// The paid one.
    Pro,
}

/// A response of the server API.
pub trait ApiResponse: JsonEncode {
    /// The error of the call, `None` if it succeeded. A batch always succeeds.
    fn error(&self) -> Option<&api::Error>;
}

/// How a call ended that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct CallOutcome {
    /// The error in the response, for metrics and transport error mode.
    pub error: Option<api::Error>,
}

/// Why a JSON call has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request cannot be read; nothing was done. The caller is at fault.
    #[error("malformed request: {0}")]
    Request(#[from] JsonError),
    /// The method ran, but its response has no JSON form. A retry may do the work twice.
    #[error("response has no json form: {0}")]
    Response(#[from] InvalidRaw),
}

fn finish_json(response: &impl ApiResponse, out: &mut Vec<u8>) -> Result<CallOutcome, CallError> {
    response.try_encode_json(out)?;
    Ok(CallOutcome { error: response.error().cloned() })
}

/// The HTTP status of an error in transport error mode; 500 for a code that is not in the table.
///
/// The body of such an answer is the JSON form of the error itself.
pub fn http_status(error: &api::Error) -> u16 {
    known(error).unwrap_or(ApiErrorCode::Internal).http_status()
}

/// The gRPC status of an error in transport error mode, the error attached as a detail;
/// INTERNAL for a code that is not in the table.
pub fn grpc_status(error: &api::Error) -> Status {
    let code = known(error).unwrap_or(ApiErrorCode::Internal).grpc_code();
    let detail = prost_types::Any {
        type_url: "type.googleapis.com/centrifugal.centrifugo.api.Error".to_owned(),
        value: error.encode_to_vec(),
    };
    let details = RpcStatus { code, message: error.message.clone(), details: vec![detail] };
    Status::with_details(Code::from_i32(code), error.message.clone(), Bytes::from(details.encode_to_vec()))
}

fn known(error: &api::Error) -> Option<ApiErrorCode> {
    let code = i32::try_from(error.code).ok()?;
    ApiErrorCode::try_from(code).ok().filter(|code| *code != ApiErrorCode::Unspecified)
}

/// `google.rpc.Status`, the form of details in gRPC trailers.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// Where a gRPC caller sees errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorMode {
    /// Inside of a response with status OK.
    Response,
    /// As the status of the call.
    Transport,
}

/// Serves an [`ApiService`] as the gRPC service `centrifugal.centrifugo.api.CentrifugoApi`.
pub struct GrpcApi<S> {
    service: Arc<S>,
    error_mode: ErrorMode,
}

impl<S> Clone for GrpcApi<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), error_mode: self.error_mode }
    }
}

impl<S: ApiService> GrpcApi<S> {
    /// Wraps a service. With `transport_errors` an error becomes the status of the call;
    /// otherwise only for callers that ask for it with the metadata
    /// `x-centrifugo-error-mode: transport`.
    pub fn new(service: Arc<S>, transport_errors: bool) -> Self {
        let error_mode = if transport_errors { ErrorMode::Transport } else { ErrorMode::Response };
        Self { service, error_mode }
    }

    /// Refuses methods that do not exist and finds out where the caller wants errors.
    fn admit(&self, method: ApiMethod, metadata: &MetadataMap) -> Result<ErrorMode, Status> {
        if !self.service.supports(method) {
            let name = method.grpc_name();
            return Err(Status::unimplemented(format!("method {name} not implemented")));
        }
        Ok(match metadata.get("x-centrifugo-error-mode") {
            Some(mode) if mode == "transport" => ErrorMode::Transport,
            _ => self.error_mode,
        })
    }
}

fn finish_grpc<R: ApiResponse>(mode: ErrorMode, response: R) -> Result<tonic::Response<R>, Status> {
    match response.error() {
        Some(error) if mode == ErrorMode::Transport => Err(grpc_status(error)),
        _ => Ok(tonic::Response::new(response)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
