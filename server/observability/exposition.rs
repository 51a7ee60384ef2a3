//! The Prometheus text format, version 0.0.4.

use super::instruments::{HistogramTotal, SummaryTotal};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Content type of what `Exposition::finish` returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// Name and value of a label.
pub type Label<'a> = (&'a str, &'a str);

/// Takes metrics, one series at a time.
pub trait Collector {
    /// Takes one series of a counter.
    fn counter(&mut self, name: &str, help: &'static str, labels: &[Label<'_>], value: f64);
    /// Takes one series of a gauge.
    fn gauge(&mut self, name: &str, help: &'static str, labels: &[Label<'_>], value: f64);
    /// Takes one histogram. `unit` is how many of the bounds' units make one exposed unit,
    /// 1e9 for nanoseconds shown as seconds.
    fn histogram(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &[Label<'_>],
        total: &HistogramTotal,
        unit: f64,
    );
    /// Takes one summary of durations, in seconds.
    fn summary(&mut self, name: &str, help: &'static str, labels: &[Label<'_>], total: &SummaryTotal);
}

/// Collects metric families and writes them ordered by name.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<String, Family>,
}

#[derive(Debug)]
struct Family {
    kind: &'static str,
    help: &'static str,
    lines: String,
}

impl Collector for Exposition {
    fn counter(&mut self, name: &str, help: &'static str, labels: &[Label<'_>], value: f64) {
        self.single(name, "counter", help, labels, value);
    }

    fn gauge(&mut self, name: &str, help: &'static str, labels: &[Label<'_>], value: f64) {
        self.single(name, "gauge", help, labels, value);
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &[Label<'_>],
        total: &HistogramTotal,
        unit: f64,
    ) {
        let lines = self.family(name, "histogram", help);
        let mut cumulative = 0;
        for (bound, count) in total.bounds.iter().zip(&total.buckets) {
            cumulative += count;
            let bound = number(*bound as f64 / unit);
            sample(lines, &format!("{name}_bucket"), labels, Some(("le", &bound)), cumulative as f64);
        }
        let count = total.count() as f64;
        sample(lines, &format!("{name}_bucket"), labels, Some(("le", "+Inf")), count);
        sample(lines, &format!("{name}_sum"), labels, None, total.sum as f64 / unit);
        sample(lines, &format!("{name}_count"), labels, None, count);
    }

    fn summary(&mut self, name: &str, help: &'static str, labels: &[Label<'_>], total: &SummaryTotal) {
        let lines = self.family(name, "summary", help);
        for quantile in QUANTILES {
            let label = number(quantile);
            sample(lines, name, labels, Some(("quantile", &label)), total.quantile(quantile));
        }
        sample(lines, &format!("{name}_sum"), labels, None, total.sum_nanos as f64 / 1e9);
        sample(lines, &format!("{name}_count"), labels, None, total.count as f64);
    }
}

impl Exposition {
    /// Returns the text.
    pub fn finish(self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        for (name, family) in self.families {
            let Family { kind, help, lines } = family;
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
        text
    }

    fn single(
        &mut self,
        name: &str,
        kind: &'static str,
        help: &'static str,
        labels: &[Label<'_>],
        value: f64,
    ) {
        sample(self.family(name, kind, help), name, labels, None, value);
    }

    fn family(&mut self, name: &str, kind: &'static str, help: &'static str) -> &mut String {
        if !self.families.contains_key(name) {
            self.families.insert(name.to_owned(), Family { kind, help, lines: String::new() });
        }
        &mut self.families.get_mut(name).expect("inserted above").lines
    }
}

fn sample(lines: &mut String, name: &str, labels: &[Label<'_>], last: Option<Label<'_>>, value: f64) {
    lines.push_str(name);
    let mut separator = '{';
    for (label, text) in labels.iter().copied().chain(last) {
        lines.push(separator);
        separator = ',';
        lines.push_str(label);
        lines.push_str("=\"");
        for character in text.chars() {
            match character {
                '\\' => lines.push_str("\\\\"),
                '"' => lines.push_str("\\\""),
                '\n' => lines.push_str("\\n"),
                other => lines.push(other),
            }
        }
        lines.push('"');
    }
    if separator == ',' {
        lines.push('}');
    }
    lines.push(' ');
    lines.push_str(&number(value));
    lines.push('\n');
}

/// Writes a number the way the reference exposition does, because bucket bounds are label values
/// that queries match as text: shortest digits, an exponent below 1e-4 and from 21 digits on.
fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return value.to_string();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::super::instruments::Histogram;
    use super::*;

    #[test]
    fn numbers_read_as_in_the_reference() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.005, "0.005"),
            (0.0001, "0.0001"),
            (0.00005, "5e-05"),
            (0.000001, "1e-06"),
            (2.5, "2.5"),
            (123456789.0, "123456789"),
            (1e21, "1e+21"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn families_are_sorted_and_labels_escaped() {
        let mut exposition = Exposition::default();
        exposition.gauge("b", "second", &[], 2.0);
        exposition.counter("a", "first", &[("x", "q\"\\\n"), ("y", "")], 1.0);
        let histogram = Histogram::new(&[1_000_000_000]);
        histogram.observe(500_000_000);
        let mut total = HistogramTotal::new(&[1_000_000_000]);
        histogram.add_to(&mut total);
        exposition.histogram("c", "third", &[], &total, 1e9);
        let expected = "# HELP a first\n# TYPE a counter\na{x=\"q\\\"\\\\\\n\",y=\"\"} 1\n\
            # HELP b second\n# TYPE b gauge\nb 2\n\
            # HELP c third\n# TYPE c histogram\nc_bucket{le=\"1\"} 1\nc_bucket{le=\"+Inf\"} 1\nc_sum 0.5\nc_count 1\n";
        assert_eq!(exposition.finish(), expected);
    }
}
