//! What dashboards and rules ask of the generated data.

use testkit::http::escape;

/// A query as a panel or a rule asks it.
pub struct Question {
    pub expr: &'static str,
    /// Hours looked at; 0 for an instant query.
    pub hours: i64,
    /// Seconds.
    pub step: i64,
}

/// A query over the last `hours`, a value every `step` seconds.
pub const fn range(expr: &'static str, hours: i64, step: i64) -> Question {
    Question { expr, hours, step }
}

/// A query at the end of the data.
pub const fn instant(expr: &'static str) -> Question {
    Question {
        expr,
        hours: 0,
        step: 0,
    }
}

/// What `bench query` asks.
pub const QUESTIONS: [Question; 34] = [
    range(
        "sum by (namespace) (rate(bench_requests_1_total[5m]))",
        6,
        60,
    ),
    range(
        "sum by (namespace) (rate(bench_requests_1_total[5m]))",
        24,
        300,
    ),
    range("sum(rate(bench_requests_2_total[1h]))", 24, 300),
    range(
        "sum by (code) (increase(bench_requests_3_total[5m]))",
        3,
        30,
    ),
    range(
        "sum by (instance) (irate(bench_requests_4_total[5m]))",
        1,
        15,
    ),
    range(
        "histogram_quantile(0.99, sum by (le) (rate(bench_latency_1_seconds_bucket[5m])))",
        6,
        60,
    ),
    range(
        "histogram_quantile(0.9, sum by (le, namespace) (rate(bench_latency_2_seconds_bucket[5m])))",
        3,
        60,
    ),
    range(
        "topk(5, sum by (pod) (rate(bench_requests_5_total[5m])))",
        3,
        60,
    ),
    range("bottomk(3, bench_gauge_1{namespace=\"ns-3\"})", 6, 60),
    range("bench_gauge_2{instance=\"host-7\"}", 24, 300),
    range("bench_gauge_3", 1, 60),
    range("avg by (namespace) (bench_gauge_4)", 24, 300),
    range(
        "max by (instance) (max_over_time(bench_gauge_5[10m]))",
        3,
        60,
    ),
    range("quantile by (namespace) (0.95, bench_gauge_6)", 3, 60),
    range("stddev by (namespace) (bench_gauge_6)", 3, 60),
    range("count by (namespace) (bench_gauge_7 > 500)", 6, 60),
    range(
        "sum by (namespace) (bench_gauge_1) / on (namespace) sum by (namespace) (bench_gauge_2)",
        6,
        60,
    ),
    range(
        "bench_gauge_1{code=\"200\"} * on (instance, pod) group_left () sum by (instance, pod) (bench_gauge_2)",
        1,
        60,
    ),
    range(
        "bench_gauge_1{namespace=\"ns-1\"} and bench_gauge_1{code=~\"20[01]\"}",
        3,
        60,
    ),
    range(
        "sum(rate(bench_requests_1_total{namespace=~\"ns-1.*\",pod!=\"\"}[5m]))",
        6,
        60,
    ),
    range("absent(bench_gauge_1{namespace=\"nowhere\"})", 6, 60),
    range("sum(bench_gauge_8) - sum(bench_gauge_8 offset 1h)", 6, 60),
    range(
        "max_over_time(sum(rate(bench_requests_6_total[5m]))[30m:1m])",
        3,
        120,
    ),
    range(
        "label_replace(sum by (instance) (bench_gauge_9), \"host\", \"$1\", \"instance\", \"host-(.*)\")",
        3,
        60,
    ),
    range(
        "avg_over_time(bench_gauge_1{namespace=\"ns-5\"}[1h])",
        24,
        600,
    ),
    range(
        "sum by (namespace) (rate(bench_requests_7_total{code=~\"20[234]\"}[5m])) > 10",
        6,
        60,
    ),
    range("deriv(bench_gauge_2{namespace=\"ns-2\"}[15m])", 3, 60),
    range(
        "histogram_quantile(0.99, sum by (namespace) (rate(bench_native_seconds[5m])))",
        3,
        60,
    ),
    range(
        "bench_gauge_4{instance=\"host-3\",pod=\"pod-3-0\",code=\"204\"}",
        1,
        15,
    ),
    instant("sum by (namespace) (rate(bench_requests_1_total[5m]))"),
    instant("bench_gauge_1"),
    instant("bench_gauge_1{instance=\"host-1\",code=\"203\"}"),
    instant("count({job=\"bench\"})"),
    instant("histogram_quantile(0.99, sum by (le) (rate(bench_latency_3_seconds_bucket[5m])))"),
];

impl Question {
    /// The request for it; `end` is the last moment with data, unix seconds.
    pub fn path(&self, end: i64) -> String {
        let expr = escape(self.expr);
        if self.hours == 0 {
            return format!("/api/v1/query?query={expr}&time={end}");
        }
        let (start, step) = (end - self.hours * 3600, self.step);
        format!("/api/v1/query_range?query={expr}&start={start}&end={end}&step={step}")
    }

    /// Its range and step, for tables.
    pub fn when(&self) -> String {
        match self.hours {
            0 => "instant".to_string(),
            hours => format!("{hours} h, {} s", self.step),
        }
    }
}

/// The panels of a dashboard as `bench concurrent` replays it: mostly one namespace or host, a few overviews.
pub const DASHBOARD: [Question; 12] = [
    range(
        "sum by (namespace) (rate(bench_requests_1_total{namespace=\"ns-3\"}[5m]))",
        1,
        15,
    ),
    range(
        "histogram_quantile(0.99, sum by (le) (rate(bench_latency_1_seconds_bucket{namespace=\"ns-3\"}[5m])))",
        1,
        15,
    ),
    range(
        "topk(5, sum by (pod) (rate(bench_requests_5_total{namespace=\"ns-4\"}[5m])))",
        1,
        30,
    ),
    range("bench_gauge_2{instance=\"host-7\"}", 1, 15),
    range(
        "avg by (instance) (bench_gauge_4{namespace=\"ns-5\"})",
        6,
        60,
    ),
    range(
        "max_over_time(bench_gauge_5{instance=\"host-9\"}[10m])",
        6,
        60,
    ),
    range("sum(rate(bench_requests_2_total[5m]))", 1, 30),
    range(
        "sum by (code) (increase(bench_requests_3_total{namespace=~\"ns-1.*\"}[5m]))",
        3,
        60,
    ),
    range("count by (namespace) (bench_gauge_7 > 500)", 1, 60),
    range("absent(bench_gauge_1{namespace=\"nowhere\"})", 1, 60),
    instant("sum by (namespace) (rate(bench_requests_1_total[5m]))"),
    instant("bench_gauge_1{instance=\"host-1\",code=\"203\"}"),
];
