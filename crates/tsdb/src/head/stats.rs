//! What is in the head, counted for people who look for the series that cost most.

use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::Relaxed;

use hashbrown::hash_map::HashMap;

use super::Head;

/// A name and a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedCount {
    /// The name.
    pub name: String,
    /// The number.
    pub value: u64,
}

/// Statistics of the head, as `/api/v1/status/tsdb` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadStats {
    /// Series.
    pub series: u64,
    /// Distinct pairs of label name and value.
    pub label_pairs: u64,
    /// Chunks, the open ones included.
    pub chunks: u64,
    /// Oldest time, unix milliseconds; `i64::MAX` in an empty head.
    pub min_time: i64,
    /// Newest time, unix milliseconds; `i64::MIN` in an empty head.
    pub max_time: i64,
    /// Distinct strings in labels.
    pub symbols: u64,
    /// Series by metric name.
    pub series_by_metric: Vec<NamedCount>,
    /// Values by label name.
    pub values_by_label: Vec<NamedCount>,
    /// Bytes of name and value, times their series, by label name.
    pub bytes_by_label: Vec<NamedCount>,
    /// Series by `name=value`.
    pub series_by_pair: Vec<NamedCount>,
}

/// Keeps the largest counts without building all their names.
struct Top<K>(BinaryHeap<std::cmp::Reverse<(u64, K)>>, usize);

impl<K: Ord> Top<K> {
    fn new(limit: usize) -> Top<K> {
        Top(BinaryHeap::new(), limit)
    }

    fn push(&mut self, value: u64, key: K) {
        self.0.push(std::cmp::Reverse((value, key)));
        if self.0.len() > self.1 {
            self.0.pop();
        }
    }

    fn named(self, name: impl Fn(&K) -> String) -> Vec<NamedCount> {
        let sorted = self.0.into_sorted_vec();
        sorted
            .iter()
            .map(|r| NamedCount {
                name: name(&r.0.1),
                value: r.0.0,
            })
            .collect()
    }
}

impl Head {
    /// Counts, with at most `limit` entries a list; series of `metric_label` values count as metrics.
    pub(crate) fn stats(&self, metric_label: &str, limit: usize) -> HeadStats {
        let postings = self.postings.read();
        let symbols = self.symbols.read();
        let metric = symbols.find(metric_label);
        let mut by_metric = Top::new(limit);
        let mut values = Top::new(limit);
        let mut bytes = Top::new(limit);
        let mut pairs = Top::new(limit);
        let encoded = |text: &str| match text.len() as u64 {
            long @ 255.. => long + 4,
            short => short + 1,
        };
        let mut names: HashMap<u32, u64> = HashMap::new();
        for name in postings.names() {
            let name_len = encoded(symbols.text(name));
            let mut total = 0;
            let mut count = 0;
            for (value, series) in postings.values(name) {
                count += 1;
                total += (name_len + encoded(symbols.text(value))) * series;
                pairs.push(series, (name, value));
                if Some(name) == metric {
                    by_metric.push(series, value);
                }
            }
            names.insert(name, count);
            values.push(count, name);
            bytes.push(total, name);
        }
        let text = |symbol: &u32| symbols.text(*symbol).to_owned();
        HeadStats {
            series: self.series_count.load(Relaxed).max(0) as u64,
            label_pairs: names.values().sum(),
            chunks: self.chunk_count.load(Relaxed).max(0) as u64,
            min_time: self.min_time.load(Relaxed),
            max_time: self.max_time.load(Relaxed),
            symbols: symbols.len() as u64,
            series_by_metric: by_metric.named(text),
            values_by_label: values.named(text),
            bytes_by_label: bytes.named(text),
            series_by_pair: pairs
                .named(|(n, v)| format!("{}={}", symbols.text(*n), symbols.text(*v))),
        }
    }
}
