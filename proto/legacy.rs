//! Requests to the server API in their oldest form: concatenated commands in the body of one
//! `POST /api`, answered by as many lines.

use bytes::Bytes;

use crate::codes::ApiErrorCode;
use crate::json::{InvalidRaw, JsonEncode as _, JsonError, ReadFields, Reader, Sequence};
use crate::service::{ApiMethod, ApiService, CallError, CallOutcome, call_json};

/// A command of a legacy request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LegacyCommand {
    /// Number that the reply repeats; zero if there is none.
    pub id: u32,
    /// The method asked for.
    pub method: LegacyMethod,
    /// The request of the method as JSON; empty if it was absent.
    pub params: Bytes,
}

/// The method of a legacy command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyMethod {
    /// One of the table.
    Known(ApiMethod),
    /// A number without a method; the reply is error 104.
    Unknown(i64),
}

impl Default for LegacyMethod {
    /// Publishing has the number zero, so a command that names no method publishes.
    fn default() -> Self {
        Self::from_number(0)
    }
}

impl LegacyMethod {
    /// The method with this number.
    pub fn from_number(number: i64) -> Self {
        NUMBERS
            .iter()
            .find(|(_, known)| *known == number)
            .map_or(Self::Unknown(number), |(method, _)| Self::Known(*method))
    }

    /// The method with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        NUMBERS
            .iter()
            .find(|(method, _)| method.name().eq_ignore_ascii_case(name))
            .map(|(method, _)| Self::Known(*method))
    }
}

/// The numbers of methods. The table is closed: later methods are not reachable this way.
const NUMBERS: [(ApiMethod, i64); 39] = [
    (ApiMethod::Publish, 0),
    (ApiMethod::Broadcast, 1),
    (ApiMethod::Unsubscribe, 2),
    (ApiMethod::Disconnect, 3),
    (ApiMethod::Presence, 4),
    (ApiMethod::PresenceStats, 5),
    (ApiMethod::History, 6),
    (ApiMethod::HistoryRemove, 7),
    (ApiMethod::Channels, 8),
    (ApiMethod::Info, 9),
    (ApiMethod::Rpc, 10),
    (ApiMethod::Subscribe, 11),
    (ApiMethod::Refresh, 12),
    (ApiMethod::Connections, 14),
    (ApiMethod::UpdateUserStatus, 15),
    (ApiMethod::GetUserStatus, 16),
    (ApiMethod::DeleteUserStatus, 17),
    (ApiMethod::BlockUser, 18),
    (ApiMethod::UnblockUser, 19),
    (ApiMethod::RevokeToken, 20),
    (ApiMethod::InvalidateUserTokens, 21),
    (ApiMethod::DeviceRegister, 22),
    (ApiMethod::DeviceUpdate, 23),
    (ApiMethod::DeviceRemove, 24),
    (ApiMethod::DeviceList, 25),
    (ApiMethod::DeviceTopicList, 26),
    (ApiMethod::DeviceTopicUpdate, 27),
    (ApiMethod::UserTopicList, 28),
    (ApiMethod::UserTopicUpdate, 29),
    (ApiMethod::SendPushNotification, 30),
    (ApiMethod::UpdatePushStatus, 31),
    (ApiMethod::CancelPush, 32),
    (ApiMethod::MapPublish, 33),
    (ApiMethod::MapRemove, 34),
    (ApiMethod::MapReadState, 35),
    (ApiMethod::MapReadStream, 36),
    (ApiMethod::MapStats, 37),
    (ApiMethod::MapClear, 38),
    (ApiMethod::SharedPollPublish, 39),
];

impl ReadFields for LegacyCommand {
    fn field_names(&self) -> &'static [&'static str] {
        &["id", "method", "params"]
    }

    fn read_field(&mut self, index: usize, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match index {
            0 => self.id = reader.u32()?,
            1 if reader.at_string() => {
                let name = reader.string()?;
                self.method = LegacyMethod::from_name(&name)
                    .ok_or_else(|| reader.wrong_value("the name of a method"))?;
            }
            1 => self.method = LegacyMethod::from_number(reader.i64()?),
            _ => self.params = reader.raw()?,
        }
        Ok(())
    }
}

/// The commands of a legacy body, in order; at most one error, after which nothing follows.
///
/// An empty body has no command; the server answers it, like a malformed one, with status 400.
///
/// # Errors
/// [`JsonError`] if the body is not UTF-8.
pub fn commands(body: &[u8]) -> Result<Sequence<'_, LegacyCommand>, JsonError> {
    Sequence::new(body)
}

/// Runs one legacy command and appends its reply to `out`, after a line feed unless it is the
/// first: `{"id":1,"result":{…}}` or `{"id":1,"error":{…}}`, without `id` if that is zero.
///
/// # Errors
/// [`InvalidRaw`] if the result holds a payload that is not JSON: the method ran, the caller
/// answers 500.
pub async fn call<S: ApiService>(
    service: &S,
    command: &LegacyCommand,
    out: &mut Vec<u8>,
) -> Result<CallOutcome, InvalidRaw> {
    let method = match command.method {
        LegacyMethod::Known(method) if service.supports(method) => method,
        _ => return Ok(fail(command, ApiErrorCode::NotFound, out)),
    };
    // The one method that needs no parameters ignores them.
    let params: &[u8] = match method {
        ApiMethod::Info => b"{}",
        _ => &command.params,
    };
    let mut response = Vec::new();
    match call_json(service, method, params, &mut response).await {
        Ok(outcome) => {
            append_reply(command, &response, out);
            Ok(outcome)
        }
        Err(CallError::Request(_)) => Ok(fail(command, ApiErrorCode::BadRequest, out)),
        Err(CallError::Response(error)) => Err(error),
    }
}

fn fail(command: &LegacyCommand, code: ApiErrorCode, out: &mut Vec<u8>) -> CallOutcome {
    let error = crate::api::Error::from(code);
    let mut response = b"{\"error\":".to_vec();
    error.encode_json(&mut response);
    response.push(b'}');
    append_reply(command, &response, out);
    CallOutcome { error: Some(error) }
}

/// Appends a response, which is an object, with the command's id as its first field.
fn append_reply(command: &LegacyCommand, response: &[u8], out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b'\n');
    }
    if command.id == 0 {
        out.extend_from_slice(response);
        return;
    }
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(itoa::Buffer::new().format(command.id).as_bytes());
    if response != b"{}" {
        out.push(b',');
    }
    out.extend_from_slice(&response[1..]);
}

#[cfg(test)]
mod tests;
