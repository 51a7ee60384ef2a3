//! Asking over HTTP: a request whose body is the question in JSON.

use super::ProxySettings;
use super::allowance::{Crowded, Room};
use super::lanes::{Lane, Lanes, was_cut};
use super::redirect::{self, Hop};
use super::settings::{ProxySetupError, TlsSettings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use std::io::{self, Read};
use url::Url;

/// Largest answer that is read.
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Bytes of a compressed answer that are unpacked at a time.
const UNPACKED: u64 = 64 << 10;

/// Redirects followed for one call, as in Go's client.
const REDIRECTS: usize = 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpCallError {
    #[error("status {0} instead of 200")]
    Status(StatusCode),
    #[error("request failed")]
    Request(#[source] hyper_util::client::legacy::Error),
    #[error("answer was cut off")]
    Body(#[source] hyper::Error),
    #[error("answer cannot be unpacked")]
    Packed(#[source] io::Error),
    #[error("answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("answer was not read")]
    Crowded(#[from] Crowded),
    #[error("more than {REDIRECTS} redirects")]
    TooManyRedirects,
    #[error("redirect to an address that cannot be used")]
    Redirect,
}

/// One endpoint, and the connections to it.
pub(super) struct HttpBackend {
    lanes: Lanes,
    endpoint: Url,
    /// Credentials of the endpoint's address.
    authorization: Option<HeaderValue>,
}

impl HttpBackend {
    pub fn new(settings: &ProxySettings, tls: &TlsSettings) -> Result<Self, ProxySetupError> {
        let unusable = |reason: &str| settings.unusable("endpoint", &settings.endpoint, reason);
        let mut endpoint = Url::parse(&settings.endpoint).map_err(|error| unusable(&error.to_string()))?;
        let authorization = credentials(&endpoint);
        // Only addresses without a host refuse this, and those of HTTP have one.
        let _ = endpoint.set_username("").and_then(|()| endpoint.set_password(None));
        uri(&endpoint).ok_or_else(|| unusable("it is no address of HTTP"))?;
        Ok(Self { lanes: Lanes::new(tls), endpoint, authorization })
    }

    /// Sends a body, returns the body of the answer. A request that is `repeatable` is sent again when its
    /// connection ended without an answer, as those that waited for a while often do. The answer takes room for as
    /// long as the caller holds it.
    pub async fn post(
        &self,
        entries: HeaderMap,
        body: Bytes,
        repeatable: bool,
        room: &mut Room,
    ) -> Result<Bytes, HttpCallError> {
        let mut hop = Hop { method: Method::POST, url: self.endpoint.clone(), headers: entries, body };
        hop.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        hop.headers.entry(USER_AGENT).or_insert_with(user_agent);
        if let Some(authorization) = &self.authorization {
            hop.headers.entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        let lane = self.lanes.enter();
        for _ in 0..=REDIRECTS {
            let response = match send(&lane, &hop).await {
                Err(HttpCallError::Request(error)) if repeatable && was_cut(&error) => {
                    send(&lane, &hop).await?
                }
                first => first?,
            };
            let status = response.status();
            if status == StatusCode::OK {
                let packed =
                    response.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
                let answer = read(response.into_body(), room).await?;
                return if packed { unpacked(&answer, room).await } else { Ok(answer) };
            }
            match redirect::next(hop, status, response.headers()) {
                redirect::Next::Stay => return Err(HttpCallError::Status(status)),
                redirect::Next::Nowhere => return Err(HttpCallError::Redirect),
                redirect::Next::Go(next) => hop = *next,
            }
        }
        Err(HttpCallError::TooManyRedirects)
    }
}

async fn send(lane: &Lane<'_>, hop: &Hop) -> Result<http::Response<Incoming>, HttpCallError> {
    let mut request = Request::new(Full::new(hop.body.clone()));
    *request.method_mut() = hop.method.clone();
    *request.uri_mut() = uri(&hop.url).ok_or(HttpCallError::Redirect)?;
    *request.headers_mut() = hop.headers.clone();
    lane.send(request).await.map_err(HttpCallError::Request)
}

impl HttpCallError {
    /// Whether the application showed signs of life: it said that it does not want this request, or it is us who
    /// do not read what it says.
    pub fn answered(&self) -> bool {
        match self {
            Self::Status(status) => !status.is_server_error(),
            Self::Crowded(_) => true,
            _ => false,
        }
    }
}

pub(super) fn user_agent() -> HeaderValue {
    HeaderValue::from_static(concat!("gyre/", env!("CARGO_PKG_VERSION")))
}

async fn read(mut body: Incoming, room: &mut Room) -> Result<Bytes, HttpCallError> {
    let told = body.size_hint().exact().map(|told| usize::try_from(told).unwrap_or(usize::MAX));
    make_room(told.unwrap_or_default(), room).await?;
    let mut answer = BytesMut::with_capacity(told.unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(HttpCallError::Body)?;
        let Some(data) = frame.data_ref() else { continue };
        make_room(answer.len() + data.len(), room).await?;
        answer.extend_from_slice(data);
    }
    Ok(answer.freeze())
}

/// Answers are not asked for in compressed form; some servers compress all the same.
async fn unpacked(answer: &[u8], room: &mut Room) -> Result<Bytes, HttpCallError> {
    let (mut packed, mut unpacked) = (GzDecoder::new(answer), Vec::new());
    loop {
        let read = packed.by_ref().take(UNPACKED).read_to_end(&mut unpacked);
        if read.map_err(HttpCallError::Packed)? == 0 {
            return Ok(unpacked.into());
        }
        if unpacked.len() > MAX_ANSWER_BYTES {
            return Err(HttpCallError::TooLarge);
        }
        room.fit(answer.len() + unpacked.len()).await?;
    }
}

/// Makes room for an answer of this many bytes.
async fn make_room(bytes: usize, room: &mut Room) -> Result<(), HttpCallError> {
    if bytes > MAX_ANSWER_BYTES {
        return Err(HttpCallError::TooLarge);
    }
    Ok(room.fit(bytes).await?)
}

fn uri(url: &Url) -> Option<Uri> {
    let uri: Uri = url.as_str().split('#').next()?.parse().ok()?;
    (matches!(url.scheme(), "http" | "https") && uri.host().is_some()).then_some(uri)
}

/// Basic credentials, when the address holds some.
fn credentials(endpoint: &Url) -> Option<HeaderValue> {
    let (user, password) = (endpoint.username(), endpoint.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let decoded = |text| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [decoded(user), decoded(password.unwrap_or_default())].join(&b':');
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::super::allowance::Allowance;
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    fn packed(answer: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(answer).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn compressed_answers_are_bounded_by_what_is_in_them() {
        let mut room = Allowance::new().room(Duration::ZERO);
        assert_eq!(unpacked(&packed(b"{}"), &mut room).await.unwrap(), "{}");
        let largest = packed(&vec![b' '; MAX_ANSWER_BYTES]);
        assert_eq!(unpacked(&largest, &mut room).await.unwrap().len(), MAX_ANSWER_BYTES);
        let bomb = packed(&vec![b' '; MAX_ANSWER_BYTES + 1]);
        assert!(bomb.len() < MAX_ANSWER_BYTES / 100);
        assert!(matches!(unpacked(&bomb, &mut room).await, Err(HttpCallError::TooLarge)));
        assert!(matches!(unpacked(b"{}", &mut room).await, Err(HttpCallError::Packed(_))));
    }

    #[test]
    fn credentials_of_addresses_are_decoded() {
        let credentials = |address: &str| credentials(&Url::parse(address).unwrap());
        assert_eq!(credentials("http://us%65r:p%40ss@host/").unwrap(), "Basic dXNlcjpwQHNz");
        assert_eq!(credentials("http://user@host/").unwrap(), "Basic dXNlcjo=");
        assert!(credentials("http://host/").is_none());
    }
}
