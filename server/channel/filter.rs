//! Tags filters: which publications of a channel a subscriber wants.
//!
//! A filter arrives as a tree in the subscribe request, is checked and compiled once, and is then asked
//! about each publication. Asking allocates nothing. Compiled filters compare and hash by what they mean,
//! so subscribers with equal filters can share one answer per publication.

mod decimal;
#[cfg(test)]
mod tests;

use crate::broker::Tags;
use decimal::Decimal;
use gyre_proto::client::FilterNode;
use std::cmp::Ordering;

/// Nodes on the longest path of a tree. Bounds the stack that checking and asking need; far beyond what
/// applications write, and below what Protobuf decoders accept.
pub const MAX_DEPTH: usize = 64;

/// Why a filter is refused. A retry cannot help: clients get code 107.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The operation is none of `and`, `or`, `not` and empty (for a comparison).
    #[error("unknown filter operation {0:?}")]
    UnknownOperation(String),
    /// The comparison is missing or not known.
    #[error("unknown filter comparison {0:?}")]
    UnknownComparison(String),
    /// The comparison needs a tag to look at.
    #[error("filter comparison {0} needs a key")]
    NeedsKey(&'static str),
    /// The comparison needs `val` and no `vals`.
    #[error("filter comparison {0} needs val and no vals")]
    NeedsValue(&'static str),
    /// The comparison needs `vals` and no `val`.
    #[error("filter comparison {0} needs vals and no val")]
    NeedsValues(&'static str),
    /// The comparison takes neither `val` nor `vals`.
    #[error("filter comparison {0} takes neither val nor vals")]
    TakesNoValue(&'static str),
    /// `and` and `or` need at least one node.
    #[error("filter operation {0} needs a node")]
    NeedsNode(&'static str),
    /// `not` needs exactly one node.
    #[error("filter operation not needs one node and has {0}")]
    NeedsOneNode(usize),
    /// The tree has more than [`MAX_DEPTH`] levels.
    #[error("filter has more than {MAX_DEPTH} levels")]
    TooDeep,
}

/// A checked filter.
///
/// Source: `proto/client.proto` `FilterNode`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(Node);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Tag { key: Box<str>, test: Test },
}

/// What is asked of one tag. The negative forms hold without the tag, the others do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Test {
    Equals(Box<str>),
    Differs(Box<str>),
    /// Sorted. A missing tag counts as the empty value.
    OneOf(Box<[Box<str>]>),
    /// Sorted. A missing tag counts as the empty value.
    NoneOf(Box<[Box<str>]>),
    Exists,
    IsMissing,
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    /// Both sides are numbers and relate so.
    Number(Relation, Decimal<Box<str>>),
    /// The filter compares with what is no number: nothing matches.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Filter {
    /// Checks a tree as it came from a client.
    ///
    /// A number comparison with a value that is no decimal number is not refused; it matches nothing.
    ///
    /// # Errors
    /// Any of [`FilterError`], for the first node in reading order that is wrong.
    pub fn compile(tree: &FilterNode) -> Result<Self, FilterError> {
        Node::compile(tree, MAX_DEPTH).map(Self)
    }

    /// Answers whether a publication with these tags is wanted.
    pub fn matches(&self, tags: Option<&Tags>) -> bool {
        self.0.matches(tags)
    }
}

impl Node {
    fn compile(tree: &FilterNode, levels: usize) -> Result<Self, FilterError> {
        let levels = levels.checked_sub(1).ok_or(FilterError::TooDeep)?;
        let nodes = || tree.nodes.iter().map(|node| Self::compile(node, levels)).collect::<Result<_, _>>();
        match tree.op.as_str() {
            "" => Ok(Self::Tag { test: Test::compile(tree)?, key: tree.key.as_str().into() }),
            "and" if tree.nodes.is_empty() => Err(FilterError::NeedsNode("and")),
            "and" => nodes().map(Self::All),
            "or" if tree.nodes.is_empty() => Err(FilterError::NeedsNode("or")),
            "or" => nodes().map(Self::Any),
            "not" => match tree.nodes.as_slice() {
                [node] => Ok(Self::Not(Box::new(Self::compile(node, levels)?))),
                nodes => Err(FilterError::NeedsOneNode(nodes.len())),
            },
            other => Err(FilterError::UnknownOperation(other.to_owned())),
        }
    }

    fn matches(&self, tags: Option<&Tags>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(tags)),
            Self::Not(node) => !node.matches(tags),
            Self::Tag { key, test } => test.holds(tags.and_then(|tags| tags.get(&**key)).map(String::as_str)),
        }
    }
}

impl Test {
    fn compile(leaf: &FilterNode) -> Result<Self, FilterError> {
        let relation = |name, relation| {
            let value = one_value(leaf, name)?;
            Ok(Decimal::parse(value)
                .map_or(Self::Never, |number| Self::Number(relation, number.into_owned())))
        };
        match leaf.cmp.as_str() {
            "eq" => one_value(leaf, "eq").map(|value| Self::Equals(value.into())),
            "neq" => one_value(leaf, "neq").map(|value| Self::Differs(value.into())),
            "in" => many_values(leaf, "in").map(Self::OneOf),
            "nin" => many_values(leaf, "nin").map(Self::NoneOf),
            "ex" => no_value(leaf, "ex").map(|()| Self::Exists),
            "nex" => no_value(leaf, "nex").map(|()| Self::IsMissing),
            "sw" => one_value(leaf, "sw").map(|value| Self::StartsWith(value.into())),
            "ew" => one_value(leaf, "ew").map(|value| Self::EndsWith(value.into())),
            "ct" => one_value(leaf, "ct").map(|value| Self::Contains(value.into())),
            "lt" => relation("lt", Relation::Less),
            "lte" => relation("lte", Relation::LessOrEqual),
            "gt" => relation("gt", Relation::Greater),
            "gte" => relation("gte", Relation::GreaterOrEqual),
            other => Err(FilterError::UnknownComparison(other.to_owned())),
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let is_one_of = |values: &[Box<str>]| {
            let value = value.unwrap_or_default();
            values.binary_search_by(|each| (**each).cmp(value)).is_ok()
        };
        match self {
            Self::Equals(wanted) => value == Some(wanted),
            Self::Differs(unwanted) => value != Some(unwanted),
            Self::OneOf(values) => is_one_of(values),
            Self::NoneOf(values) => !is_one_of(values),
            Self::Exists => value.is_some(),
            Self::IsMissing => value.is_none(),
            Self::StartsWith(start) => value.is_some_and(|value| value.starts_with(&**start)),
            Self::EndsWith(end) => value.is_some_and(|value| value.ends_with(&**end)),
            Self::Contains(part) => value.is_some_and(|value| value.contains(&**part)),
            Self::Number(relation, limit) => value
                .and_then(Decimal::parse)
                .is_some_and(|number| relation.holds(number.compare(&limit.as_borrowed()))),
            Self::Never => false,
        }
    }
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

fn one_value<'a>(leaf: &'a FilterNode, name: &'static str) -> Result<&'a str, FilterError> {
    if leaf.val.is_empty() || !leaf.vals.is_empty() {
        return Err(FilterError::NeedsValue(name));
    }
    has_key(leaf, name).map(|()| leaf.val.as_str())
}

fn many_values(leaf: &FilterNode, name: &'static str) -> Result<Box<[Box<str>]>, FilterError> {
    if leaf.vals.is_empty() || !leaf.val.is_empty() {
        return Err(FilterError::NeedsValues(name));
    }
    has_key(leaf, name)?;
    let mut values: Vec<Box<str>> = leaf.vals.iter().map(|value| value.as_str().into()).collect();
    values.sort_unstable();
    values.dedup();
    Ok(values.into())
}

/// Looking whether a tag is there works for the empty key, too.
fn no_value(leaf: &FilterNode, name: &'static str) -> Result<(), FilterError> {
    if leaf.val.is_empty() && leaf.vals.is_empty() { Ok(()) } else { Err(FilterError::TakesNoValue(name)) }
}

fn has_key(leaf: &FilterNode, name: &'static str) -> Result<(), FilterError> {
    if leaf.key.is_empty() { Err(FilterError::NeedsKey(name)) } else { Ok(()) }
}
