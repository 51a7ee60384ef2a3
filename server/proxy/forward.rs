//! What of a client's request is passed on to an application, and what counts more.

use super::Caller;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

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
}

/// Puts all values of these names in place of those that were there.
fn replace(entries: &mut HeaderMap, names: &[HeaderName], from: &HeaderMap) {
    for name in names {
        let mut values = from.get_all(name).iter();
        if let Some(first) = values.next() {
            entries.insert(name.clone(), first.clone());
            for value in values {
                entries.append(name.clone(), value.clone());
            }
        }
    }
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
    fn fixed_entries_that_cannot_be_sent_are_refused() {
        assert!(matches!(Forwarding::new([("a b", "c")]), Err(UnusableEntry::Name(_))));
        assert!(matches!(Forwarding::new([("a", "b\n")]), Err(UnusableEntry::Value(_))));
    }
}
