//! Every comparison with and without the tag, every refusal, and numbers beyond machine size.

use super::*;
use proptest::prelude::*;
use std::hash::{BuildHasher, RandomState};

fn leaf(key: &str, cmp: &str, val: &str) -> FilterNode {
    FilterNode { key: key.into(), cmp: cmp.into(), val: val.into(), ..FilterNode::default() }
}

fn leaf_of(key: &str, cmp: &str, vals: &[&str]) -> FilterNode {
    FilterNode { vals: vals.iter().map(|val| (*val).to_owned()).collect(), ..leaf(key, cmp, "") }
}

fn node(op: &str, nodes: Vec<FilterNode>) -> FilterNode {
    FilterNode { op: op.into(), nodes, ..FilterNode::default() }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Asks `tree` about a publication whose tag `k` is `value`.
#[track_caller]
fn matches(tree: &FilterNode, value: Option<&str>) -> bool {
    let filter = Filter::compile(tree).expect("the filter is valid");
    match value {
        Some(value) => filter.matches(Some(&tags(&[("k", value), ("other", "x")]))),
        None => {
            let without = filter.matches(None);
            assert_eq!(without, filter.matches(Some(&tags(&[("other", "x")]))), "no tags and no such tag");
            without
        }
    }
}

#[test]
fn comparisons_of_one_value() {
    let cases: &[(&str, &str, Option<&str>, bool)] = &[
        ("eq", "a", Some("a"), true),
        ("eq", "a", Some("A"), false),
        ("eq", "a", Some("ab"), false),
        ("eq", "a", None, false),
        ("neq", "a", Some("a"), false),
        ("neq", "a", Some("b"), true),
        ("neq", "a", None, true),
        ("sw", "ab", Some("abc"), true),
        ("sw", "ab", Some("ab"), true),
        ("sw", "ab", Some("xab"), false),
        ("sw", "ab", None, false),
        ("ew", "ab", Some("xab"), true),
        ("ew", "ab", Some("abx"), false),
        ("ew", "ab", None, false),
        ("ct", "ab", Some("xabx"), true),
        ("ct", "ab", Some("axb"), false),
        ("ct", "ab", None, false),
        ("lt", "10", Some("9"), true),
        ("lt", "10", Some("10"), false),
        ("lt", "10", Some("11"), false),
        ("lt", "10", None, false),
        ("lte", "10", Some("10"), true),
        ("lte", "10", Some("10.0"), true),
        ("lte", "10", Some("10.01"), false),
        ("lte", "10", None, false),
        ("gt", "10", Some("11"), true),
        ("gt", "10", Some("10"), false),
        ("gt", "10", Some("9"), false),
        ("gt", "10", None, false),
        ("gte", "10", Some("010"), true),
        ("gte", "10", Some("9.99"), false),
        ("gte", "10", None, false),
        ("gt", "10", Some("many"), false),
        ("lt", "10", Some(""), false),
        ("gt", "few", Some("11"), false),
        ("lt", "few", Some("11"), false),
    ];
    for (cmp, val, value, expected) in cases {
        assert_eq!(matches(&leaf("k", cmp, val), *value), *expected, "{value:?} {cmp} {val}");
    }
}

#[test]
fn comparisons_of_many_values_see_a_missing_tag_as_empty() {
    let cases: &[(&str, &[&str], Option<&str>, bool)] = &[
        ("in", &["b", "a"], Some("a"), true),
        ("in", &["b", "a"], Some("c"), false),
        ("in", &["b", "a"], None, false),
        ("in", &["a", ""], None, true),
        ("nin", &["b", "a"], Some("a"), false),
        ("nin", &["b", "a"], Some("c"), true),
        ("nin", &["b", "a"], None, true),
        ("nin", &["a", ""], None, false),
    ];
    for (cmp, vals, value, expected) in cases {
        assert_eq!(matches(&leaf_of("k", cmp, vals), *value), *expected, "{value:?} {cmp} {vals:?}");
    }
}

#[test]
fn comparisons_without_value() {
    for (cmp, value, expected) in
        [("ex", Some(""), true), ("ex", None, false), ("nex", Some(""), false), ("nex", None, true)]
    {
        assert_eq!(matches(&leaf("k", cmp, ""), value), expected, "{value:?} {cmp}");
    }
}

#[test]
fn operations_combine() {
    let (a, b) = (|| leaf("k", "sw", "a"), || leaf("k", "ew", "b"));
    for (value, both, either) in
        [("ab", true, true), ("ac", false, true), ("cb", false, true), ("cc", false, false)]
    {
        assert_eq!(matches(&node("and", vec![a(), b()]), Some(value)), both, "{value} and");
        assert_eq!(matches(&node("or", vec![a(), b()]), Some(value)), either, "{value} or");
        assert_eq!(
            matches(&node("not", vec![node("or", vec![a(), b()])]), Some(value)),
            !either,
            "{value} nor"
        );
    }
    assert!(matches(&node("and", vec![a()]), Some("a")));
    assert!(matches(&node("not", vec![leaf("k", "gt", "few")]), Some("11")), "not what never matches");
}

#[test]
fn refusals() {
    let cases = [
        (leaf("k", "", "a"), FilterError::UnknownComparison(String::new())),
        (leaf("k", "like", "a"), FilterError::UnknownComparison("like".to_owned())),
        (leaf("k", "EQ", "a"), FilterError::UnknownComparison("EQ".to_owned())),
        (leaf("", "eq", "a"), FilterError::NeedsKey("eq")),
        (leaf_of("", "in", &["a"]), FilterError::NeedsKey("in")),
        (leaf("k", "in", "a"), FilterError::NeedsValues("in")),
        (leaf("k", "nin", ""), FilterError::NeedsValues("nin")),
        (FilterNode { val: "a".into(), ..leaf_of("k", "in", &["a"]) }, FilterError::NeedsValues("in")),
        (leaf("k", "ex", "a"), FilterError::TakesNoValue("ex")),
        (leaf_of("k", "nex", &["a"]), FilterError::TakesNoValue("nex")),
        (node("xor", vec![leaf("k", "ex", "")]), FilterError::UnknownOperation("xor".to_owned())),
        (node("and", vec![]), FilterError::NeedsNode("and")),
        (node("or", vec![]), FilterError::NeedsNode("or")),
        (node("not", vec![]), FilterError::NeedsOneNode(0)),
        (node("not", vec![leaf("k", "ex", ""), leaf("k", "ex", "")]), FilterError::NeedsOneNode(2)),
        (
            node("and", vec![leaf("k", "ex", ""), node("not", vec![leaf("", "gt", "1")])]),
            FilterError::NeedsKey("gt"),
        ),
    ];
    for (tree, expected) in cases {
        assert_eq!(Filter::compile(&tree), Err(expected), "{tree:?}");
    }
    for cmp in ["eq", "neq", "sw", "ew", "ct", "lt", "lte", "gt", "gte"] {
        let with_both = FilterNode { val: "1".into(), ..leaf_of("k", cmp, &["1"]) };
        for tree in [leaf("k", cmp, ""), leaf_of("k", cmp, &["1"]), with_both] {
            let refusal = Filter::compile(&tree).map_err(|error| error.to_string());
            assert_eq!(refusal, Err(format!("filter comparison {cmp} needs val and no vals")));
        }
    }
}

#[test]
fn the_empty_key_may_exist() {
    let exists = Filter::compile(&leaf("", "ex", "")).expect("the filter is valid");
    assert!(exists.matches(Some(&tags(&[("", "x")]))));
    assert!(!exists.matches(Some(&tags(&[("k", "x")]))));
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| {
        (1..levels).fold(leaf("k", "eq", "a"), |inner, level| {
            node(if level % 2 == 0 { "not" } else { "and" }, vec![inner])
        })
    };
    let deepest = Filter::compile(&nested(MAX_DEPTH)).expect("the filter is valid");
    assert!(!deepest.matches(Some(&tags(&[("k", "a")]))), "31 negations");
    assert_eq!(Filter::compile(&nested(MAX_DEPTH + 1)), Err(FilterError::TooDeep));
}

#[test]
fn equal_meaning_is_equal_and_hashes_alike() {
    let hasher = RandomState::new();
    let compile = |tree| Filter::compile(&tree).expect("the filter is valid");
    let pairs = [
        (leaf_of("k", "in", &["a", "b", "a"]), leaf_of("k", "in", &["b", "a"])),
        (leaf("k", "gt", "1.50"), leaf("k", "gt", "+01.5")),
        (leaf("k", "gt", "-0"), leaf("k", "gt", "0.0")),
        (leaf("k", "lt", "few"), leaf("k", "lt", "many")),
    ];
    for (left, right) in pairs {
        let (left, right) = (compile(left), compile(right));
        assert_eq!(left, right);
        assert_eq!(hasher.hash_one(&left), hasher.hash_one(&right));
    }
    assert_ne!(compile(leaf("k", "gt", "1")), compile(leaf("k", "gte", "1")));
    assert_ne!(compile(leaf("k", "eq", "1")), compile(leaf("k", "eq", "1.0")));
}

#[test]
fn numbers_have_the_accepted_form() {
    let longest = format!("{}.5", "9".repeat(198));
    for text in ["0", "+1", "-1", "007", "1.5", "-0.0", "0.0000000000000000001", longest.as_str()] {
        assert!(Decimal::parse(text).is_some(), "{text}");
    }
    let too_long = "9".repeat(201);
    for text in [
        "",
        "+",
        "-",
        ".",
        ".5",
        "-.5",
        "5.",
        "1e3",
        "0x1",
        "1_000",
        " 1",
        "1 ",
        "1.2.3",
        "--1",
        "+-1",
        "NaN",
        "inf",
        "١",
        "1.00000000000000000000",
        too_long.as_str(),
    ] {
        assert!(Decimal::parse(text).is_none(), "{text}");
    }
}

#[test]
fn numbers_order_by_value() {
    let ascending = [
        "-100000000000000000000000000000000000000000",
        "-10",
        "-9.5",
        "-0.0000000000000000001",
        "0",
        "0.0000000000000000001",
        "0.09",
        "0.1",
        "0.11",
        "9",
        "10",
        "18446744073709551616",
        "18446744073709551616.5",
        "100000000000000000000000000000000000000000",
    ];
    for (left_rank, left) in ascending.iter().enumerate() {
        for (right_rank, right) in ascending.iter().enumerate() {
            let (left_number, right_number) = (Decimal::parse(left), Decimal::parse(right));
            let ordering = left_number.zip(right_number).map(|(left, right)| left.compare(&right));
            assert_eq!(ordering, Some(left_rank.cmp(&right_rank)), "{left} {right}");
        }
    }
}

proptest! {
    /// Numbers with up to nine places compare as whole numbers of billionths.
    #[test]
    fn numbers_agree_with_integers(
        left in -10i64.pow(12)..10i64.pow(12),
        right in -10i64.pow(12)..10i64.pow(12),
        places in 0..9usize,
        padding in 0..3usize,
    ) {
        let text = |number: i64| {
            let digits = format!("{:0width$}", number.unsigned_abs(), width = places + 1);
            let (whole, rest) = digits.split_at(digits.len() - places);
            let sign = if number < 0 { "-" } else { "" };
            let zeros = "0".repeat(padding);
            if places == 0 { format!("{sign}{zeros}{whole}") } else { format!("{sign}{zeros}{whole}.{rest}{zeros}") }
        };
        let (left_text, right_text) = (text(left), text(right));
        let (left_number, right_number) = (Decimal::parse(&left_text), Decimal::parse(&right_text));
        let ordering = left_number.zip(right_number).map(|(left, right)| left.compare(&right));
        prop_assert_eq!(ordering, Some(left.cmp(&right)), "{} {}", left_text, right_text);
    }

    #[test]
    fn any_text_is_a_number_or_not(text in "[-+0-9.eE _]{0,30}") {
        let _ = Decimal::parse(&text);
    }
}
