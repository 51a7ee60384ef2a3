//! Metrics as one map, the way the `info` method of the server API shows them: the parts of the
//! name, then labels with their values, joined by dots; empty labels are left out.

use super::exposition::{Collector, Label, QUANTILES};
use super::instruments::{HistogramTotal, SummaryTotal};
use std::collections::BTreeMap;

/// Collects values, and how much counters grew.
#[derive(Debug)]
pub(super) struct Flat<'b> {
    before: &'b BTreeMap<String, f64>,
    values: BTreeMap<String, f64>,
    totals: BTreeMap<String, f64>,
}

impl<'b> Flat<'b> {
    /// Shows counters relative to the totals `before`.
    pub(super) fn since(before: &'b BTreeMap<String, f64>) -> Self {
        Self { before, values: BTreeMap::new(), totals: BTreeMap::new() }
    }

    /// Returns the values, and the totals for the next time.
    pub(super) fn finish(self) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
        (self.values, self.totals)
    }

    fn grown(&mut self, name: String, total: f64) {
        let before = self.before.get(&name).copied().unwrap_or_default();
        self.values.insert(name.clone(), total - before);
        self.totals.insert(name, total);
    }
}

impl Collector for Flat<'_> {
    fn counter(&mut self, name: &str, _: &'static str, labels: &[Label<'_>], value: f64) {
        self.grown(flat_name(name, "", labels), value);
    }

    fn gauge(&mut self, name: &str, _: &'static str, labels: &[Label<'_>], value: f64) {
        self.values.insert(flat_name(name, "", labels), value);
    }

    /// Histograms are not shown.
    fn histogram(&mut self, _: &str, _: &'static str, _: &[Label<'_>], _: &HistogramTotal, _: f64) {}

    fn summary(&mut self, name: &str, _: &'static str, labels: &[Label<'_>], total: &SummaryTotal) {
        self.grown(flat_name(name, "count", labels), total.count as f64);
        self.grown(flat_name(name, "sum", labels), total.sum_nanos as f64 / 1e9);
        for quantile in QUANTILES {
            let value = total.quantile(quantile);
            if !value.is_nan() {
                // 0.5 is called 50, 0.999 is called 999.
                let thousandths = format!("{}", (quantile * 1000.0) as u32);
                let digits = thousandths.strip_suffix('0').unwrap_or(&thousandths);
                self.values.insert(flat_name(name, &format!("quantile.{digits}"), labels), value);
            }
        }
    }
}

fn flat_name(name: &str, part: &str, labels: &[Label<'_>]) -> String {
    let mut flat: Vec<&str> = name.splitn(3, '_').collect();
    if !part.is_empty() {
        flat.push(part);
    }
    let mut labels: Vec<_> = labels.iter().filter(|(_, value)| !value.is_empty()).collect();
    labels.sort_unstable();
    for (label, value) in labels {
        flat.extend([*label, *value]);
    }
    flat.join(".")
}

#[cfg(test)]
mod tests {
    use super::super::labels::ApiProtocol;
    use super::super::metrics::{Metrics, MetricsSettings};
    use super::super::render::Gauges;
    use std::time::{Duration, Instant};

    #[test]
    fn counters_are_shown_as_growth_and_gauges_as_they_are() {
        let start = Instant::now();
        let metrics = Metrics::new(MetricsSettings::default(), start);
        let timing = metrics.api_duration(ApiProtocol::Http, "publish");
        timing.observe(Duration::from_millis(1), start);
        metrics.server_disconnect(3005);
        let gauges = Gauges { clients: 7, ..Gauges::default() };
        let first = metrics.aggregate(gauges, start);
        assert_eq!(first["centrifugo.node.num_clients"], 7.0);
        assert_eq!(first["centrifugo.client.num_server_disconnects.code.3005"], 1.0);
        let name = "centrifugo.api.command_duration_seconds";
        assert_eq!(first[&format!("{name}.count.method.publish.protocol.http")], 1.0);
        assert!(first.contains_key(&format!("{name}.quantile.50.method.publish.protocol.http")));
        assert!(first.contains_key(&format!("{name}.quantile.999.method.publish.protocol.http")));

        timing.observe(Duration::from_millis(1), start);
        let second = metrics.aggregate(gauges, start);
        assert_eq!(second["centrifugo.node.num_clients"], 7.0);
        assert_eq!(second["centrifugo.client.num_server_disconnects.code.3005"], 0.0);
        assert_eq!(second[&format!("{name}.count.method.publish.protocol.http")], 1.0);
    }
}
