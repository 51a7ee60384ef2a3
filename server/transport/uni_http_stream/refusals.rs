//! HTTP responses that stand for refused connects.

use crate::net::Body;
use crate::session::Close;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use std::collections::BTreeMap;

/// A status that no response to a request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("status code {0} does not end a response")]
pub struct UnusableStatus(pub u32);

/// Responses by the code of the error or disconnect they stand for.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    responses: BTreeMap<u32, (StatusCode, String)>,
}

impl Refusals {
    /// Has `code` answered with a status and a body; an empty body means the reason that goes with the code. The
    /// first response of a code counts.
    ///
    /// # Errors
    /// [`UnusableStatus`] when the status is none that can be sent.
    pub fn add(&mut self, code: u32, status: u32, body: &str) -> Result<(), UnusableStatus> {
        let usable = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let usable = usable.filter(|status| !status.is_informational()).ok_or(UnusableStatus(status))?;
        self.responses.entry(code).or_insert_with(|| (usable, body.to_owned()));
        Ok(())
    }

    /// The response for why a connection ended before it began; 500 when it has none.
    pub(super) fn response(&self, close: Option<&Close>) -> Response<Body> {
        let found = close.and_then(|close| Some((self.responses.get(&close.code)?, close)));
        let (status, body) = match found {
            Some(((status, body), close)) if body.is_empty() => (*status, close.reason.to_string()),
            Some(((status, body), _)) => (*status, body.clone()),
            None => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_response_of_a_code_counts() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.add(109, 401, ""), Ok(()));
        assert_eq!(refusals.add(109, 402, ""), Ok(()));
        let close = Close { code: 109, reason: "token expired".into() };
        assert_eq!(refusals.response(Some(&close)).status(), StatusCode::UNAUTHORIZED);
        let other = Close { code: 110, reason: "expired".into() };
        assert_eq!(refusals.response(Some(&other)).status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(refusals.response(None).status(), StatusCode::INTERNAL_SERVER_ERROR);
        for unusable in [0, 99, 101, 1000, 65_736] {
            assert_eq!(refusals.add(1, unusable, ""), Err(UnusableStatus(unusable)));
        }
    }
}
