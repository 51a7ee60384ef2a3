//! Tags filters.

use gyre::channel::filter::Filter;
use gyre_proto::client::FilterNode;
use gyre_proto::json::JsonDecode as _;
use std::collections::BTreeMap;

/// Compiles the filter before the first byte 0 and asks it about the tags behind, one `key=value` a line.
/// Its negation must answer the opposite.
pub fn tags_filter(data: &[u8]) {
    let (tree, tags) = super::halves(data);
    let Ok(tree) = FilterNode::decode_json(tree) else { return };
    let Ok(filter) = Filter::compile(&tree) else { return };
    let tags: BTreeMap<String, String> = String::from_utf8_lossy(tags)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let answer = filter.matches(Some(&tags));
    assert_eq!(filter.matches(None), filter.matches(Some(&BTreeMap::new())));
    assert_eq!(Filter::compile(&tree).as_ref(), Ok(&filter));
    let negation = FilterNode { op: "not".to_owned(), nodes: vec![tree], ..Default::default() };
    // The negation is one level deeper and may be too deep.
    if let Ok(negation) = Filter::compile(&negation) {
        assert_eq!(negation.matches(Some(&tags)), !answer);
    }
}
