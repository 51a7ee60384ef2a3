//! Payloads that come as JSON or, in a second field, as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Says that the base64 form of a payload is not base64. The caller answers "bad request".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("field {field} is not standard base64")]
pub struct InvalidBase64 {
    /// Name of the field.
    pub field: &'static str,
}

/// The bytes meant by a payload field and its base64 twin, which wins unless it is empty.
/// Line breaks inside the base64 are ignored.
pub(crate) fn effective(field: &'static str, raw: &Bytes, twin: &str) -> Result<Bytes, InvalidBase64> {
    if twin.is_empty() {
        return Ok(raw.clone());
    }
    let decoded = if twin.contains(['\r', '\n']) {
        STANDARD.decode(twin.replace(['\r', '\n'], ""))
    } else {
        STANDARD.decode(twin)
    };
    decoded.map(Bytes::from).map_err(|_| InvalidBase64 { field })
}
