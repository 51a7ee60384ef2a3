//! What of a client's request is passed on to an application, and what counts more.

use super::Caller;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Names that belong to the connection between two peers or to the message itself, never to what is passed on
/// (RFC 9110, 7.6.1), and `accept-encoding`, as answers are not decompressed.
static KEPT_BACK: [HeaderName; 12] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    header::CONTENT_LENGTH,
    header::HOST,
    header::EXPECT,
    header::ACCEPT_ENCODING,
];

/// Time between two lines in the log about the same.
const HINT_PAUSE: Duration = Duration::from_secs(60);

/// Which entries go along with a call.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// Sent with every call.
    fixed: HeaderMap,
    /// Headers of the HTTP request the client came with.
    headers: Vec<HeaderName>,
    /// Metadata of the gRPC call the client came with.
    metadata: Vec<HeaderName>,
    /// Headers the client may claim in its connect command.
    emulated: Vec<HeaderName>,
}

/// Why an entry cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableEntry {
    #[error("{0:?} is no name of a header")]
    Name(String),
    #[error("the value of {0:?} cannot be sent in a header")]
    Value(String),
}

impl Forwarding {
    pub fn new<'a>(fixed: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, UnusableEntry> {
        let mut entries = HeaderMap::new();
        for (name, value) in fixed {
            let known = self::name(name).ok_or_else(|| UnusableEntry::Name(name.to_owned()))?;
            let value = HeaderValue::from_str(value).map_err(|_| UnusableEntry::Value(name.to_owned()))?;
            if is_passed_on(&known) {
                entries.insert(known, value);
            }
        }
        Ok(Self { fixed: entries, ..Self::default() })
    }

    /// Adds names of headers and metadata; what is no name matches nothing.
    pub fn with_names(mut self, headers: &[String], metadata: &[String], emulated: &[String]) -> Self {
        let names = |list: &[String]| {
            list.iter().filter_map(|text| name(text)).filter(is_passed_on).collect::<Vec<_>>()
        };
        (self.headers, self.metadata, self.emulated) = (names(headers), names(metadata), names(emulated));
        self
    }

    /// The entries for one caller: what the client claims replaces what is fixed, and what its transport brought
    /// replaces both.
    pub fn entries(&self, caller: &Caller) -> HeaderMap {
        let mut entries = self.fixed.clone();
        for (claimed, value) in &caller.emulated {
            let listed = self.emulated.iter().find(|own| own.as_str().eq_ignore_ascii_case(claimed));
            if let (Some(name), Ok(value)) = (listed, HeaderValue::from_str(value)) {
                entries.insert(name.clone(), value);
            }
        }
        replace(&mut entries, &self.headers, &caller.headers);
        if let Some(metadata) = &caller.metadata {
            replace(&mut entries, &self.metadata, metadata);
        }
        entries
    }

    /// A header this caller claims in vain, because it is listed among those of requests alone. There it counted
    /// before claims had a list of their own.
    pub fn vain_claim(&self, caller: &Caller) -> Option<&HeaderName> {
        let listed = |names: &'_ [HeaderName], claimed: &str| {
            names.iter().position(|name| name.as_str().eq_ignore_ascii_case(claimed))
        };
        caller.emulated.keys().find_map(|claimed| match listed(&self.emulated, claimed) {
            Some(_) => None,
            None => listed(&self.headers, claimed).map(|at| &self.headers[at]),
        })
    }
}

/// When something is worth another line in the log, whoever causes it and however often.
#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<Option<Instant>>);

impl Hints {
    /// Whether the last line was long ago.
    pub fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock();
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= HINT_PAUSE);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// Puts all values of these names in place of those that were there.
fn replace(entries: &mut HeaderMap, names: &[HeaderName], from: &HeaderMap) {
    for name in names {
        if name == header::COOKIE {
            cookies(from).into_iter().for_each(|cookies| drop(entries.insert(name.clone(), cookies)));
            continue;
        }
        let mut values = from.get_all(name).iter();
        if let Some(first) = values.next() {
            entries.insert(name.clone(), first.clone());
            for value in values {
                entries.append(name.clone(), value.clone());
            }
        }
    }
}

/// All cookies in one header: over HTTP/2 and HTTP/3 they may come in several, which means something else
/// elsewhere (RFC 9113, 8.2.3).
fn cookies(from: &HeaderMap) -> Option<HeaderValue> {
    let values: Vec<&[u8]> = from.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    (!values.is_empty()).then(|| HeaderValue::from_bytes(&values.join(&b"; "[..])).ok())?
}

fn name(text: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).ok()
}

fn is_passed_on(name: &HeaderName) -> bool {
    !KEPT_BACK.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in entries {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        map
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_the_transport_brought_goes_before_claims_and_claims_before_what_is_fixed() {
        let forwarding = Forwarding::new([("X-A", "fixed"), ("X-B", "fixed"), ("X-C", "fixed")])
            .unwrap()
            .with_names(&names(&["X-C", "x-d"]), &names(&["x-b"]), &names(&["X-B", "X-C"]));
        let emulated = [("x-b", "claimed"), ("X-C", "claimed"), ("X-A", "claimed"), ("x-d", "claimed")];
        let caller = Caller {
            headers: map(&[("x-c", "1"), ("x-c", "2"), ("x-a", "sent"), ("x-b", "sent")]),
            metadata: None,
            emulated: emulated.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let expected = map(&[("x-a", "fixed"), ("x-b", "claimed"), ("x-c", "1"), ("x-c", "2")]);
        assert_eq!(forwarding.entries(&caller), expected);
    }

    #[test]
    fn cookies_come_in_one_header() {
        let forwarding = Forwarding::default().with_names(&names(&["Cookie"]), &[], &[]);
        let caller = |cookies: &[(&str, &str)]| Caller { headers: map(cookies), ..Caller::default() };
        let split = caller(&[("cookie", "a=b; c=d"), ("cookie", "e=f")]);
        assert_eq!(forwarding.entries(&split), map(&[("cookie", "a=b; c=d; e=f")]));
        assert!(forwarding.entries(&caller(&[])).is_empty());
    }

    #[test]
    fn metadata_is_matched_by_its_own_list() {
        let forwarding = Forwarding::default().with_names(&names(&["cookie"]), &names(&["x-tenant"]), &[]);
        let caller =
            Caller { metadata: Some(map(&[("cookie", "a"), ("x-tenant", "b")])), ..Caller::default() };
        assert_eq!(forwarding.entries(&caller), map(&[("x-tenant", "b")]));
    }

    #[test]
    fn what_belongs_to_a_connection_is_never_passed_on() {
        let listed =
            names(&["Connection", "Transfer-Encoding", "Host", "Content-Length", "Upgrade", "Cookie"]);
        let forwarding = Forwarding::new([("Connection", "close"), ("X-A", "b")])
            .unwrap()
            .with_names(&listed, &listed, &listed);
        let sent = map(&[("connection", "upgrade"), ("transfer-encoding", "chunked"), ("cookie", "c")]);
        let claimed = [("host".to_owned(), "elsewhere".to_owned())];
        let caller = Caller { headers: sent, metadata: None, emulated: claimed.into() };
        assert_eq!(forwarding.entries(&caller), map(&[("x-a", "b"), ("cookie", "c")]));
    }

    #[test]
    fn a_claim_cannot_smuggle_lines() {
        let forwarding = Forwarding::default().with_names(&[], &[], &names(&["x-a"]));
        let claimed = [("x-a".to_owned(), "1\r\nX-Admin: 1".to_owned())];
        let caller = Caller { emulated: claimed.into(), ..Caller::default() };
        assert!(forwarding.entries(&caller).is_empty());
    }

    #[test]
    fn claims_that_only_the_list_of_headers_has_are_noticed() {
        let forwarding = Forwarding::default().with_names(
            &names(&["Cookie", "x-both"]),
            &[],
            &names(&["X-Both", "x-claimed"]),
        );
        let claim = |name: &str| {
            let caller = Caller { emulated: [(name.to_owned(), "1".to_owned())].into(), ..Caller::default() };
            forwarding.vain_claim(&caller).map(HeaderName::as_str)
        };
        assert_eq!(claim("COOKIE"), Some("cookie"));
        for fine in ["X-BOTH", "x-claimed", "unlisted"] {
            assert_eq!(claim(fine), None);
        }
    }

    #[test]
    fn hints_come_once_a_minute() {
        let (hints, start) = (Hints::default(), Instant::now());
        let due = [0, 1, 59, 60, 61, 120].map(|second| hints.is_due(start + Duration::from_secs(second)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }

    #[test]
    fn fixed_entries_that_cannot_be_sent_are_refused() {
        assert!(matches!(Forwarding::new([("a b", "c")]), Err(UnusableEntry::Name(_))));
        assert!(matches!(Forwarding::new([("a", "b\n")]), Err(UnusableEntry::Value(_))));
    }
}
