//! Names of channels as subjects.

use super::NatsBrokerSettings;

/// How channels and subjects belong together.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    start: String,
    /// Texts to replace in raw mode, longest first, so that the result does not depend on the order of a map.
    replacements: Vec<(String, String)>,
    pub(super) raw: bool,
    pub(super) wildcards: bool,
}

impl Subjects {
    pub(super) fn new(settings: &NatsBrokerSettings) -> Self {
        let wildcards = settings.allow_wildcards;
        let Some(raw) = &settings.raw_mode else {
            let start = format!("{}.client.", settings.prefix);
            return Self { start, replacements: Vec::new(), raw: false, wildcards };
        };
        let mut replacements: Vec<_> =
            raw.channel_replacements.iter().map(|(from, to)| (from.clone(), to.clone())).collect();
        replacements.retain(|(from, _)| !from.is_empty());
        replacements.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Self { start: raw.prefix.clone(), replacements, raw: true, wildcards }
    }

    /// The subject of a channel.
    pub(super) fn subject(&self, channel: &str) -> String {
        let mut subject = self.start.clone();
        let mut rest = channel;
        'next: while let Some(first) = rest.chars().next() {
            for (from, to) in &self.replacements {
                if let Some(after) = rest.strip_prefix(from.as_str()) {
                    subject.push_str(to);
                    rest = after;
                    continue 'next;
                }
            }
            subject.push(first);
            rest = &rest[first.len_utf8()..];
        }
        subject
    }

    /// What a subject is called without what all subjects begin with.
    pub(super) fn bare<'s>(&self, subject: &'s str) -> &'s str {
        subject.strip_prefix(&self.start).unwrap_or(subject)
    }

    /// Whether a channel can be published to.
    pub(super) fn takes_publications(channel: &str) -> bool {
        !channel.contains(['*', '>']) && is_subject(channel)
    }

    /// Whether a channel can be subscribed to.
    pub(super) fn takes_subscriptions(&self, channel: &str) -> bool {
        is_subject(channel) && (self.wildcards || !channel.contains(['*', '>']))
    }
}

/// White space ends a subject on the wire, so it would change the command it stands in.
fn is_subject(channel: &str) -> bool {
    !channel.is_empty() && !channel.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::super::NatsRawMode;
    use super::*;

    fn raw(replacements: &[(&str, &str)]) -> Subjects {
        let replacements = replacements.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Subjects::new(&NatsBrokerSettings {
            prefix: "unused".into(),
            allow_wildcards: true,
            raw_mode: Some(NatsRawMode { prefix: "app.".into(), channel_replacements: replacements }),
        })
    }

    #[test]
    fn channels_stand_behind_the_prefix() {
        let settings =
            NatsBrokerSettings { prefix: "centrifugo".into(), allow_wildcards: false, raw_mode: None };
        let subjects = Subjects::new(&settings);
        assert_eq!(subjects.subject("news:a"), "centrifugo.client.news:a");
        assert!(!subjects.takes_subscriptions("news.*") && !Subjects::takes_publications("a.>"));
        for bad in ["", "a b", "a\r\nPUB x 0\r\n"] {
            assert!(!subjects.takes_subscriptions(bad) && !Subjects::takes_publications(bad), "{bad:?}");
        }
    }

    #[test]
    fn raw_mode_replaces_everywhere_and_prefers_longer_texts() {
        let subjects = raw(&[(":", "."), ("::", "-")]);
        assert_eq!(subjects.subject("a:b::c:d"), "app.a.b-c.d");
        assert_eq!(subjects.bare("app.a.b"), "a.b");
        assert!(subjects.takes_subscriptions("a:*"));
    }
}
