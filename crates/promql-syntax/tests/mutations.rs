//! Any bytes as a query: an expression that prints and parses back, or an error that says where. From a fixed seed.

mod support {
    pub mod query;
}

use support::query::check;

const SEEDS: [&str; 24] = [
    "sum by (namespace, pod) (rate(http_requests_total{code=~\"5..\",job!=\"a\"}[5m] offset 1h))",
    "histogram_quantile(0.9, sum without (instance) (rate(x_bucket[1h30m:1m] @ 1609746000)))",
    "a + on (b) group_left (c, \"d.e\") d * -2 ^ 3 ^ -0x1F % 1e3",
    "{\"utf8 name é\", \"a.b\"=\"c\\n\\u00e9\\x41\"}",
    "topk(5, a unless ignoring (x) b or c and on () d)",
    "label_replace(up, \"dst\", \"$1\", \"src\", `(.*)\\d`)",
    "x @ start() offset -5m > bool 0.5e-3",
    "max_over_time((a - b)[1w2d:15s] offset 3d)",
    "count_values(\"v\", up) == NaN or Inf != -inf",
    "x[step() + max_of(range(), 2 * 5m) % 3:min_of(1m, 30)]",
    "rate(x[5m] anchored) + increase(y[1h] smoothed)",
    "a + fill_left(1) fill_right (-2) b",
    "h </ 5 + h >/ on (a) 3",
    "absent(nonexistent{a=\"b\",c!~\"d\"}) # a comment\n + vector(1)",
    "quantile_over_time(0.5, foo[10m]) atan2 deriv(bar[10m])",
    "1_000 + 0755 + .5 + 2. - 5m * 1d1h1m1s1ms",
    "\"a string\"",
    "sort_by_label_desc(info(a, {b=~\".+\"}), \"x\", \"y\")",
    "group_left + bool",
    "limit_ratio(-0.5, x) / limitk(3, y)",
    "foo:bar:baz{__name__!=\"\"} offset (2^2)",
    "avg(x) by (a) / ignoring (a) group_right avg(x)",
    "predict_linear(a[1h], 4 * 3600) < 0",
    "((((((((((a))))))))))",
];

/// What mutations put in: pieces of the language, and bytes that are none.
const PIECES: [&[u8]; 40] = [
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"=",
    b"=~",
    b"!~",
    b"!=",
    b"@",
    b"^",
    b"%",
    b"-",
    b"+",
    b"offset ",
    b"by ",
    b"without",
    b"bool ",
    b"on(",
    b"5m",
    b"1e400",
    b"0x",
    b"\"",
    b"'",
    b"`",
    b"\\",
    b"\\u",
    b"#",
    b"\n",
    b"\xff",
    b"\xc3",
    b"\0",
    b"_",
    b"inf",
    b"nan",
    b" anchored",
    b"9223372036854775808",
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
        match self.below(6) {
            0 if at < query.len() => query[at] ^= 1 << self.below(8),
            1 => drop(query.drain(at..(at + self.below(8)).min(query.len()))),
            2 => {
                let other = SEEDS[self.below(SEEDS.len())].as_bytes();
                let from = self.below(other.len());
                let part = &other[from..(from + self.below(20)).min(other.len())];
                query.splice(at..at, part.iter().copied());
            }
            3 => query.truncate(at),
            4 => {
                let end = (at + self.below(30)).min(query.len());
                let part = query[at..end].to_vec();
                query.splice(end..end, part);
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                query.splice(at..at, piece.iter().copied());
            }
        }
    }
}

#[test]
fn mutated_queries_are_parsed_or_refused_with_a_place() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut parsed, mut refused) = (0, 0);
    for i in 0..60_000 {
        let mut query = SEEDS[i % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..1 + random.below(5) {
            random.mutate(&mut query);
        }
        match check(&query) {
            true => parsed += 1,
            false => refused += 1,
        }
    }
    assert!(
        parsed > 3_000 && refused > 10_000,
        "{parsed} parsed, {refused} refused"
    );
}

#[test]
fn bytes_of_any_kind() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let query: Vec<u8> = (0..random.below(40))
            .map(|_| random.below(256) as u8)
            .collect();
        check(&query);
    }
    for n in [1, 100, 10_000, 300_000] {
        for piece in PIECES
            .iter()
            .chain(&[&b"a"[..], b"a+", b"sum(", b"a,", b"{a=\"b\"}"])
        {
            check(&piece.repeat(n));
        }
    }
}
