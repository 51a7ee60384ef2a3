//! Series of one metric that differ in labels whose values are not known beforehand.

use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Label values, in the order of the family's label names.
pub type Values<const N: usize> = [Cow<'static, str>; N];

/// Series by label values.
///
/// Callers on a hot path keep the [`Arc`] that [`Family::get`] gives them. The lock is held for
/// a look-up or an insertion only.
#[derive(Debug)]
pub struct Family<M, const N: usize> {
    names: [&'static str; N],
    series: RwLock<BTreeMap<Values<N>, Arc<M>>>,
}

impl<M, const N: usize> Family<M, N> {
    /// Makes a family without series.
    pub fn new(names: [&'static str; N]) -> Self {
        Self { names, series: RwLock::default() }
    }

    /// Finds the series with these label values, or makes it.
    pub fn get(&self, values: Values<N>, make: impl FnOnce() -> M) -> Arc<M> {
        if let Some(series) = self.series.read().get(&values) {
            return Arc::clone(series);
        }
        Arc::clone(self.series.write().entry(values).or_insert_with(|| Arc::new(make())))
    }

    /// Shows every series with its labels.
    pub fn each(&self, mut show: impl FnMut(&[(&str, &str)], &M)) {
        for (values, series) in self.series.read().iter() {
            let labels: [(&str, &str); N] = std::array::from_fn(|at| (self.names[at], &*values[at]));
            show(&labels, series);
        }
    }
}
