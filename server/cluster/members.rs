//! Which nodes are there, as far as they were heard.

use super::SILENCE;
use gyre_proto::control;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Another node.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it said of itself last. Metrics are the newest it told, because it tells them rarely.
    pub info: control::Node,
    /// When it was heard.
    pub heard: Instant,
}

/// The other nodes of a cluster. Pure: time is an argument.
pub(super) struct Members {
    own: Arc<str>,
    others: BTreeMap<String, Member>,
}

impl Members {
    pub(super) fn new(own: Arc<str>) -> Self {
        Self { own, others: BTreeMap::new() }
    }

    /// Takes what a node says of itself; true when it was not known. What this node said itself is ignored.
    pub(super) fn heard(&mut self, mut info: control::Node, now: Instant) -> bool {
        if info.uid.is_empty() || *info.uid == *self.own {
            return false;
        }
        let known = self.others.remove(&info.uid);
        let is_new = known.is_none();
        if info.metrics.is_none() {
            info.metrics = known.and_then(|known| known.info.metrics);
        }
        self.others.insert(info.uid.clone(), Member { info, heard: now });
        is_new
    }

    /// Forgets a node; false when it was not known.
    pub(super) fn remove(&mut self, uid: &str) -> bool {
        self.others.remove(uid).is_some()
    }

    /// Forgets nodes that were silent for longer than [`SILENCE`] and returns their identifiers.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        let is_silent = |member: &Member| now.saturating_duration_since(member.heard) > SILENCE;
        let (silent, others) =
            std::mem::take(&mut self.others).into_iter().partition(|(_, member)| is_silent(member));
        self.others = others;
        BTreeMap::into_keys(silent).collect()
    }

    pub(super) fn knows(&self, uid: &str) -> bool {
        self.others.contains_key(uid)
    }

    pub(super) fn others(&self) -> Vec<Member> {
        self.others.values().cloned().collect()
    }

    pub(super) fn others_len(&self) -> usize {
        self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn node(uid: &str, metrics: Option<f64>) -> control::Node {
        let metrics = metrics.map(|interval| control::Metrics { interval, ..Default::default() });
        control::Node { uid: uid.to_owned(), metrics, ..Default::default() }
    }

    #[test]
    fn a_node_is_new_once_and_again_after_silence() {
        let start = Instant::now();
        let mut members = Members::new("own".into());
        assert!(members.heard(node("a", None), start));
        assert!(!members.heard(node("a", None), start));
        assert!(members.expire(start + SILENCE).is_empty());
        assert_eq!(members.expire(start + SILENCE + Duration::from_millis(1)), ["a"]);
        assert!(members.heard(node("a", None), start));
    }

    #[test]
    fn the_own_node_is_no_other() {
        let mut members = Members::new("own".into());
        assert!(!members.heard(node("own", None), Instant::now()));
        assert_eq!(members.others_len(), 0);
    }

    #[test]
    fn metrics_stay_until_newer_ones_come() {
        let now = Instant::now();
        let mut members = Members::new("own".into());
        members.heard(node("a", Some(60.0)), now);
        members.heard(node("a", None), now);
        let interval = |members: &Members| members.others()[0].info.metrics.as_ref().unwrap().interval;
        assert_eq!(interval(&members), 60.0);
        members.heard(node("a", Some(10.0)), now);
        assert_eq!(interval(&members), 10.0);
    }
}
