//! Queries with something wrong in them, evaluated: answered or refused, never a panic or a runaway. From a fixed seed.

#[path = "../support/little_data.rs"]
mod little_data;

const SEEDS: [&str; 16] = [
    "sum by (i) (rate(x[5m] offset 1m)) / on (i) group_left () up",
    "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))",
    "max_over_time(sum(rate(x[1m]))[5m:30s] @ end())",
    "topk(2, x) or bottomk(1, a) unless on (i) up{i=~\"1|2\"}",
    "label_replace(label_join(x, \"y\", \"-\", \"i\", \"le\"), \"z\", \"$1$2\", \"y\", \"(.*)-(.*)\")",
    "quantile_over_time(0.5, a[10m]) atan2 deriv(up[3m])",
    "count_values(\"v\", round(x, 0.5)) > bool 1",
    "absent_over_time(x{i=\"9\"}[1m]) * -2 ^ 3",
    "predict_linear(x[4m], 60) + clamp(up, -1, 1) % 3",
    "double_exponential_smoothing(a[5m], 0.3, 0.6)",
    "sort_desc(avg without (le) (irate(x_bucket[2m])))",
    "limit_ratio(-0.5, x) + limitk(2, a)",
    "increase(x[1m] anchored) - increase(x[1m] smoothed)",
    "x + fill_left(1) fill_right (2) on (i, le) a",
    "info(x, {i=~\".+\"}) and timestamp(up offset -1m) == time()",
    "scalar(x{i=\"1\"}) + vector(pi()) + minute(vector(1e9)) + hour()",
];

const PIECES: [&str; 34] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "1",
    "-",
    "9e9",
    "NaN",
    "Inf",
    " offset ",
    " @ ",
    "[5m]",
    "[1h:1s]",
    "[9y:1m]",
    "x",
    "up",
    "a",
    "sum",
    "rate(",
    " by (i) ",
    " bool ",
    " or ",
    "0",
    "!=",
    "\"",
    "stddev",
    "_over_time",
    "-1e300",
    "1ms",
    "ln(",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }

    fn mutate(&mut self, query: &mut Vec<u8>) {
        let at = self.below(query.len() + 1);
        let end = (at + 1 + self.below(4)).min(query.len());
        match self.below(5) {
            // One number, operator or name for another keeps most queries whole.
            0 if at < query.len() && query[at].is_ascii_digit() => {
                query[at] = b'0' + self.below(10) as u8;
            }
            1 => drop(query.drain(at.min(end)..end)),
            2 => {
                let other = SEEDS[self.below(SEEDS.len())].as_bytes();
                let from = self.below(other.len());
                let part = &other[from..(from + self.below(24)).min(other.len())];
                query.splice(at..at, part.iter().copied());
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())].bytes();
                query.splice(at.min(end)..end, piece);
            }
        }
    }
}

#[test]
fn mutated_queries_are_answered_or_refused() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    let (mut answered, rounds) = (0, 20_000);
    for i in 0..rounds {
        let mut query = SEEDS[i % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..random.below(4) {
            random.mutate(&mut query);
        }
        answered += usize::from(little_data::ask(&String::from_utf8_lossy(&query)));
    }
    assert!(answered * 10 > rounds, "{answered} answered");
    assert!(answered < rounds, "nothing was refused");
}
