//! What is served over plain HTTP: answers to the authority, and the way to HTTPS for everybody else.

use super::Certificates;
use crate::net::{Body, RequestBody};
use http::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use hyper::service::Service;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

/// Where an authority looks.
///
/// Source: RFC 8555 §8.3.
const PATH: &str = "/.well-known/acme-challenge/";

/// Answers requests over plain HTTP.
#[derive(Clone)]
pub struct ChallengePage(Arc<Certificates>);

impl ChallengePage {
    pub(super) fn new(certificates: Arc<Certificates>) -> Self {
        Self(certificates)
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        if let Some(token) = request.uri().path().strip_prefix(PATH) {
            return match self.0.tokens.read().get(token) {
                Some(answer) => text(StatusCode::OK, answer.clone()),
                None => text(StatusCode::NOT_FOUND, "not found\n".into()),
            };
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::BAD_REQUEST, "Use HTTPS\n".into());
        }
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let place = host.and_then(|host| {
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            HeaderValue::try_from(format!("https://{host}{target}")).ok()
        });
        let Some(place) = place else { return text(StatusCode::BAD_REQUEST, "Use HTTPS\n".into()) };
        let mut response = text(StatusCode::FOUND, String::new());
        response.headers_mut().insert(LOCATION, place);
        response
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

impl Service<Request<RequestBody>> for ChallengePage {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<RequestBody>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, target: &str, host: &str) -> Request<()> {
        Request::builder().method(method).uri(target).header(HOST, host).body(()).expect("a request")
    }

    #[test]
    fn authorities_get_answers_and_all_others_are_sent_to_https() {
        let certificates = Arc::<Certificates>::default();
        certificates.tokens.write().insert("token".into(), "token.thumbprint".into());
        let page = ChallengePage::new(certificates);
        let status = |method, target: &str| page.answer(&request(method, target, "a.example")).status();
        assert_eq!(status(Method::GET, "/.well-known/acme-challenge/token"), 200);
        assert_eq!(status(Method::GET, "/.well-known/acme-challenge/other"), 404);
        assert_eq!(status(Method::POST, "/api/publish"), 400);
        let moved = page.answer(&request(Method::GET, "/a?b=c", "a.example:80"));
        assert_eq!(moved.status(), 302);
        assert_eq!(moved.headers()[LOCATION], "https://a.example/a?b=c");
        let broken = page.answer(&Request::get("/").body(()).expect("a request"));
        assert_eq!(broken.status(), 400);
    }
}
