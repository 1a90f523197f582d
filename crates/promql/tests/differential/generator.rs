//! Seeded random queries of what both versions of the language have.
//!
//! Samples never lie on whole seconds. Queries are evaluated at seconds that leave 2 when divided by 5, durations and
//! steps are multiples of 5 s, and subqueries do not nest: so nothing lies on the border of a window.

pub struct Generator {
    state: u64,
    /// The first moment with data, unix seconds, and for how many seconds there is some.
    data: (i64, i64),
    in_subquery: bool,
}

/// When to evaluate, unix seconds.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    Instant(i64),
    /// Start, end, step.
    Range(i64, i64, i64),
}

impl Generator {
    /// For data that begins at a multiple of five seconds and spans some.
    pub fn new(seed: u64, first: i64, span: i64) -> Generator {
        Generator {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            data: (first, span),
            in_subquery: false,
        }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// A moment with data around it, mostly.
    fn time(&mut self) -> i64 {
        let (first, span) = self.data;
        first + self.below((span as u64 + 900) / 5) as i64 * 5 + 2
    }

    pub fn times(&mut self) -> Times {
        let start = self.time();
        if self.below(2) == 0 {
            return Times::Instant(start);
        }
        let step = [5, 15, 45, 120, 400][self.below(5) as usize];
        Times::Range(start, start + step * self.below(40) as i64, step)
    }

    pub fn query(&mut self) -> String {
        self.in_subquery = false;
        let depth = 1 + self.below(3);
        match self.below(40) {
            0 => self.wrong(),
            1 => self.scalar(depth),
            _ => self.vector(depth),
        }
    }

    /// What neither takes.
    fn wrong(&mut self) -> String {
        let v = self.vector(1);
        match self.below(9) {
            0 => format!("rate({v})"),
            1 => format!("sum({v}"),
            2 => format!("{v} +"),
            3 => "{}".to_string(),
            4 => format!("nonesuch({v})"),
            5 => format!("topk({v})"),
            6 => format!("({v}) and 1"),
            7 => format!("label_replace({v}, \"c\", \"$1\", \"b\", \"(x\")"),
            _ => format!("({v}) + on (a) group_left (a) ({v})"),
        }
    }

    fn selector(&mut self) -> String {
        let name = self.pick(&[
            "req_total",
            "req_total",
            "small_total",
            "temp",
            "temp",
            "size",
            "size",
            "odd",
            "lat_bucket",
            "lat_sum",
        ]);
        let matchers = self.pick(&[
            "",
            "",
            "{a=\"1\"}",
            "{b=~\"x|y\"}",
            "{b!=\"z\"}",
            "{a=\"2\",b!~\"y\"}",
            "{a=\"none\"}",
            "{a=~\".+\",missing=\"\"}",
            "{b=~\"[xz]\"}",
        ]);
        if self.below(30) == 0 {
            return "{__name__=~\"temp|size\",a=\"1\"}".to_string();
        }
        format!("{name}{matchers}")
    }

    fn shift(&mut self) -> String {
        match self.below(12) {
            0 => " offset 1m".to_string(),
            1 => " offset -95s".to_string(),
            2 => format!(" @ {}", self.time()),
            3 => " @ end()".to_string(),
            4 => " @ start() offset 10m".to_string(),
            _ => String::new(),
        }
    }

    fn range(&mut self, depth: u64) -> String {
        let duration = self.pick(&["1m", "5m", "35s", "20m", "1h"]);
        let shift = self.shift();
        if depth > 0 && !self.in_subquery && self.below(5) == 0 {
            let step = self.pick(&["1m", "20s", "45s"]);
            self.in_subquery = true;
            let inner = self.vector(depth - 1);
            self.in_subquery = false;
            return format!("({inner})[{duration}:{step}]{shift}");
        }
        format!("{}[{duration}]{shift}", self.selector())
    }

    fn scalar(&mut self, depth: u64) -> String {
        match self.below(8) {
            0 if depth > 0 => format!("scalar({})", self.vector(depth - 1)),
            1 => "time()".to_string(),
            2 => "(pi() - 2)".to_string(),
            3 => format!(
                "(3 {} 7)",
                self.pick(&["+", "-", "*", "/", "%", "^", "> bool"])
            ),
            _ => self
                .pick(&["1", "-2", "0", "0.5", "NaN", "7", "Inf", "1e3"])
                .to_string(),
        }
    }

    fn over_time(&mut self, depth: u64) -> String {
        let f = self.pick(&[
            "rate",
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "sum_over_time",
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "count_over_time",
            "last_over_time",
            "present_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "changes",
            "resets",
            "deriv",
            "absent_over_time",
            "quantile_over_time",
            "predict_linear",
        ]);
        let range = self.range(depth);
        match f {
            "quantile_over_time" => format!("{f}({}, {range})", self.pick(&["0.9", "0", "2"])),
            "predict_linear" => format!("{f}({range}, {})", self.pick(&["60", "-300", "3600"])),
            _ => format!("{f}({range})"),
        }
    }

    fn aggregation(&mut self, depth: u64) -> String {
        let (op, param) = match self.below(12) {
            0 => ("topk", "2, "),
            1 => ("bottomk", "1, "),
            2 => ("quantile", "0.3, "),
            // Of raw samples only: labels show every last digit of computed ones.
            3 => return format!("count_values by (a) (\"v\", {})", self.selector()),
            _ => (
                self.pick(&[
                    "sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
                ]),
                "",
            ),
        };
        let clause = self.pick(&[
            "",
            " by (a)",
            " by (b)",
            " without (a)",
            " by (a, b)",
            " without ()",
            " by (le, missing)",
        ]);
        format!("{op}{clause} ({param}{})", self.vector(depth))
    }

    fn binary(&mut self, depth: u64) -> String {
        if self.below(2) == 0 {
            let op = self.pick(&["+", "-", "*", "/", "%", "^", ">", "<=", "== bool", "!="]);
            let (v, s) = (self.vector(depth), self.scalar(depth));
            return match self.below(2) {
                0 => format!("({v}) {op} {s}"),
                _ => format!("{s} {op} ({v})"),
            };
        }
        let op = self.pick(&[
            "+", "-", "*", "/", ">", "< bool", "atan2", "and", "or", "unless",
        ]);
        let set = matches!(op, "and" | "or" | "unless");
        let on = self.pick(&["", " on (a, b)", " on (a)", " ignoring (a)", " on ()"]);
        let group = match (set || on.is_empty(), on) {
            (true, _) => "",
            (_, " on (a, b)") => self.pick(&["", " group_left ()", " group_right ()"]),
            _ => self.pick(&["", " group_left ()", " group_right ()"]),
        };
        let (l, r) = (self.vector(depth), self.vector(depth));
        format!("({l}) {op}{on}{group} ({r})")
    }

    fn function(&mut self, depth: u64) -> String {
        let v = self.vector(depth);
        match self.below(12) {
            0 => format!("absent({v})"),
            1 => format!("-({v})"),
            2 => format!("clamp({v}, -1, 300)"),
            3 => format!("vector({})", self.scalar(depth)),
            4 => format!("label_replace({v}, \"c\", \"$1-\", \"b\", \"(x|y)\")"),
            5 => format!("timestamp({v})"),
            6 => format!("round({v}, 0.5)"),
            7 => format!("label_join({v}, \"c\", \"/\", \"a\", \"b\", \"missing\")"),
            8 => {
                let f = self.pick(&[
                    "minute",
                    "hour",
                    "day_of_week",
                    "day_of_month",
                    "day_of_year",
                    "days_in_month",
                    "month",
                    "year",
                ]);
                format!("{f}(timestamp({v}))")
            }
            9 => format!("{}({v})", self.pick(&["sort", "sort_desc"])),
            _ => {
                let f = self.pick(&[
                    "abs", "ceil", "sgn", "floor", "exp", "sqrt", "ln", "log2", "log10", "deg",
                    "rad", "sin", "cos", "tanh",
                ]);
                format!("{f}({v})")
            }
        }
    }

    fn vector(&mut self, depth: u64) -> String {
        if depth == 0 {
            return format!("{}{}", self.selector(), self.shift());
        }
        match self.below(20) {
            0 => format!("{}{}", self.selector(), self.shift()),
            1..=6 => self.over_time(depth - 1),
            7..=10 => self.aggregation(depth - 1),
            11..=14 => self.binary(depth - 1),
            15 | 16 => {
                let q = self.pick(&["0.5", "0.99", "0", "1", "-1", "1.5"]);
                let range = self.pick(&["1m", "5m", "20m"]);
                let shift = self.shift();
                match self.below(3) {
                    0 => format!("histogram_quantile({q}, lat_bucket{shift})"),
                    1 => format!("histogram_quantile({q}, rate(lat_bucket[{range}]{shift}))"),
                    _ => format!(
                        "histogram_quantile({q}, sum by (le) (rate(lat_bucket[{range}]{shift})))"
                    ),
                }
            }
            _ => self.function(depth - 1),
        }
    }
}
