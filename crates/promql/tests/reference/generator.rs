//! Seeded random data and queries.

use crate::evaluator::{Data, Labels};

/// Scrapes are this far apart.
const SCRAPE_MS: i64 = 15_000;
const SCRAPES: i64 = 240;

pub struct Generator(u64);

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// Counters with resets, gauges, gaps, stale markers.
    pub fn data(&mut self) -> Data {
        let mut out = Data::new();
        for (name, counter) in [("req_total", true), ("temp", false), ("size", false)] {
            for a in ["1", "2"] {
                for b in ["x", "y", "z"] {
                    let labels: Labels = [("__name__", name), ("a", a), ("b", b)]
                        .iter()
                        .map(|(n, v)| (n.to_string(), v.to_string()))
                        .collect();
                    let mut samples = Vec::new();
                    let mut v = 0.0;
                    for i in 0..SCRAPES {
                        if counter {
                            v = if self.below(60) == 0 {
                                0.0
                            } else {
                                v + self.below(9) as f64
                            };
                        } else {
                            v = self.below(40) as f64 / 4.0 - 3.0;
                        }
                        let value = match self.below(40) {
                            0 | 1 => continue,
                            2 => model::sample::stale_nan(),
                            3 if !counter => f64::NAN,
                            _ => v,
                        };
                        let jitter = self.below(3) as i64;
                        samples.push((i * SCRAPE_MS + jitter, value));
                    }
                    out.push((labels, samples));
                }
            }
        }
        out.sort_by(|x, y| x.0.cmp(&y.0));
        out
    }

    pub fn time(&mut self) -> i64 {
        self.below((SCRAPES * SCRAPE_MS) as u64) as i64
    }

    pub fn step(&mut self) -> i64 {
        [1_000, 15_000, 47_000, 120_001, 400_000][self.below(5) as usize]
    }

    pub fn query(&mut self) -> String {
        let depth = 1 + self.below(3);
        self.vector(depth)
    }

    fn selector(&mut self) -> String {
        let name = self.pick(&["req_total", "temp", "size", "temp", "req_total"]);
        let matchers = self.pick(&[
            "",
            "",
            "{a=\"1\"}",
            "{b=~\"x|y\"}",
            "{b!=\"z\"}",
            "{a=\"2\",b!~\"y\"}",
            "{a=\"none\"}",
        ]);
        format!("{name}{matchers}")
    }

    fn shift(&mut self) -> String {
        let at = self.time() as f64 / 1000.0;
        match self.below(9) {
            0 => " offset 1m".to_string(),
            1 => " offset -97s".to_string(),
            2 => format!(" @ {at}"),
            3 => " @ end()".to_string(),
            _ => String::new(),
        }
    }

    fn range(&mut self, depth: u64) -> String {
        let duration = self.pick(&["1m", "5m", "37s", "20m"]);
        let shift = self.shift();
        if depth > 0 && self.below(5) == 0 {
            let step = self.pick(&["1m", "20s", "45s"]);
            return format!("({})[{duration}:{step}]{shift}", self.vector(depth - 1));
        }
        format!("{}[{duration}]{shift}", self.selector())
    }

    fn scalar(&mut self, depth: u64) -> String {
        match self.below(6) {
            0 if depth > 0 => format!("scalar({})", self.vector(depth - 1)),
            1 => "time()".to_string(),
            _ => self.pick(&["1", "-2", "0", "0.5", "NaN", "7"]).to_string(),
        }
    }

    fn vector(&mut self, depth: u64) -> String {
        if depth == 0 {
            return format!("{}{}", self.selector(), self.shift());
        }
        match self.below(10) {
            0 => format!("{}{}", self.selector(), self.shift()),
            1..=3 => {
                let f = self.pick(&[
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
                    "first_over_time",
                    "present_over_time",
                    "stddev_over_time",
                    "changes",
                    "resets",
                    "deriv",
                    "absent_over_time",
                ]);
                format!("{f}({})", self.range(depth - 1))
            }
            4 | 5 => {
                let (op, param) = match self.below(9) {
                    0 => ("topk", "2, "),
                    1 => ("bottomk", "1, "),
                    2 => ("quantile", "0.3, "),
                    // Of raw samples only: labels show every last digit of computed ones.
                    3 => return format!("count_values by (a) (\"v\", {})", self.selector()),
                    4 => ("limitk", "1, "),
                    _ => (
                        self.pick(&["sum", "avg", "min", "max", "count", "group", "stddev"]),
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
                ]);
                format!("{op}{clause} ({param}{})", self.vector(depth - 1))
            }
            6 => {
                let op = self.pick(&["+", "-", "*", "/", "%", ">", "<=", "== bool", "!="]);
                let (v, s) = (self.vector(depth - 1), self.scalar(depth - 1));
                if self.below(2) == 0 {
                    format!("({v}) {op} {s}")
                } else {
                    format!("{s} {op} ({v})")
                }
            }
            7 | 8 => {
                let op = self.pick(&["+", "-", "/", ">", "< bool", "and", "or", "unless"]);
                let set = matches!(op, "and" | "or" | "unless");
                let on = self.pick(&["", " on (a, b)", " on (a)", " ignoring (a)", " on ()"]);
                let group = if set || on.is_empty() {
                    ""
                } else {
                    self.pick(&["", " group_left ()", " group_right ()", " group_left (b)"])
                };
                let group = if on == " on (a, b)" && group == " group_left (b)" {
                    ""
                } else {
                    group
                };
                let (l, r) = (self.vector(depth - 1), self.vector(depth - 1));
                format!("({l}) {op}{on}{group} ({r})")
            }
            _ => {
                let v = self.vector(depth - 1);
                match self.below(7) {
                    0 => format!("absent({v})"),
                    1 => format!("-({v})"),
                    2 => format!("clamp({v}, -1, 3)"),
                    3 => format!("vector({})", self.scalar(depth - 1)),
                    4 => format!("label_replace({v}, \"c\", \"$1-\", \"b\", \"(x|y)\")"),
                    5 => format!("timestamp({v})"),
                    _ => format!("{}({v})", self.pick(&["abs", "ceil", "sgn", "floor"])),
                }
            }
        }
    }
}
