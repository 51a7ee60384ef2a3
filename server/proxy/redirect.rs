//! Following redirects the way Go's HTTP client does, as applications may stand behind one.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};
use url::Url;

/// A request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Where an answer leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is no redirect.
    Stay,
    /// To an address that cannot be used.
    Nowhere,
    /// To this request.
    Go(Box<Hop>),
}

/// Credentials a request loses when it leaves the domain it was meant for.
static CREDENTIALS: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("cookie2"),
    header::PROXY_AUTHORIZATION,
    header::WWW_AUTHENTICATE,
];

/// The request that follows an answer with this status: 307 and 308 repeat it elsewhere, the other redirects
/// fetch what is there instead.
pub(super) fn next(mut hop: Hop, status: StatusCode, answer: &HeaderMap) -> Next {
    let repeats = match status.as_u16() {
        301..=303 => false,
        307 | 308 => true,
        _ => return Next::Stay,
    };
    let Some(location) = answer.get(header::LOCATION) else { return Next::Stay };
    let target = location.to_str().ok().and_then(|location| hop.url.join(location).ok());
    let Some(url) = target.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return Next::Nowhere;
    };
    if !repeats {
        (hop.method, hop.body) = (Method::GET, Bytes::new());
        hop.headers.remove(header::CONTENT_TYPE);
    }
    if !stays_within(&hop.url, &url) {
        CREDENTIALS.iter().for_each(|name| drop(hop.headers.remove(name)));
    }
    hop.url = url;
    Next::Go(Box::new(hop))
}

/// Whether `to` is the host of `from` or one below it.
fn stays_within(from: &Url, to: &Url) -> bool {
    match (from.host_str(), to.host_str()) {
        (Some(from), Some(to)) => to == from || to.strip_suffix(from).is_some_and(|rest| rest.ends_with('.')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop() -> Hop {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(header::COOKIE, "secret".parse().unwrap());
        headers.insert("x-tenant", "a".parse().unwrap());
        let url = Url::parse("http://app.test/ask").unwrap();
        Hop { method: Method::POST, url, headers, body: Bytes::from_static(b"{}") }
    }

    fn answer(status: u16, location: &str) -> Next {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, location.parse().unwrap());
        next(hop(), StatusCode::from_u16(status).unwrap(), &headers)
    }

    fn go(status: u16, location: &str) -> Hop {
        match answer(status, location) {
            Next::Go(hop) => *hop,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn temporary_and_permanent_redirects_repeat_the_question() {
        for status in [307, 308] {
            let next = go(status, "/elsewhere?a=b");
            assert_eq!(next, Hop { url: Url::parse("http://app.test/elsewhere?a=b").unwrap(), ..hop() });
        }
    }

    #[test]
    fn other_redirects_fetch_what_is_there() {
        for status in [301, 302, 303] {
            let next = go(status, "https://app.test/");
            assert_eq!((next.method, next.body), (Method::GET, Bytes::new()));
            assert!(!next.headers.contains_key(header::CONTENT_TYPE));
            assert!(next.headers.contains_key(header::COOKIE));
        }
    }

    #[test]
    fn credentials_stay_within_the_domain() {
        assert!(go(307, "http://a.app.test/").headers.contains_key(header::COOKIE));
        for elsewhere in ["http://evil.test/", "http://evilapp.test/", "//test/"] {
            let next = go(307, elsewhere);
            assert!(!next.headers.contains_key(header::COOKIE), "{elsewhere}");
            assert!(next.headers.contains_key("x-tenant"));
        }
    }

    #[test]
    fn what_is_no_redirect_stays() {
        assert_eq!(answer(300, "/"), Next::Stay);
        assert_eq!(answer(304, "/"), Next::Stay);
        assert_eq!(next(hop(), StatusCode::FOUND, &HeaderMap::new()), Next::Stay);
        assert_eq!(answer(302, "file:///etc/passwd"), Next::Nowhere);
    }
}
