//! Which series fulfil matchers: upstream's rules over any index that can answer for single labels.

use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

use crate::failure::DbError;

/// An index of labels, of the head or of a block.
pub(crate) trait LabelIndex {
    /// All series.
    fn all(&self) -> Result<RoaringBitmap, DbError>;

    /// Series with any of these values.
    fn with_values(&self, name: &str, values: &[&str]) -> Result<RoaringBitmap, DbError>;

    /// About how many series [`LabelIndex::with_values`] would give.
    fn count(&self, name: &str, values: &[&str]) -> Result<u64, DbError> {
        Ok(self.with_values(name, values)?.len())
    }

    /// Those of `found` with any of these values.
    fn narrowed(
        &self,
        found: RoaringBitmap,
        name: &str,
        values: &[&str],
    ) -> Result<RoaringBitmap, DbError> {
        Ok(found & self.with_values(name, values)?)
    }

    /// Series with a value that begins with `prefix` and passes `test`.
    fn with_matching(
        &self,
        name: &str,
        prefix: &str,
        test: &dyn Fn(&str) -> bool,
    ) -> Result<RoaringBitmap, DbError>;

    /// Values of a label for which `test` says yes and, if `among` is given, that one of its series has.
    fn values(
        &self,
        name: &str,
        test: &dyn Fn(&str) -> bool,
        among: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, DbError>;

    /// Label names, of the series in `among` if given; not sorted.
    fn names(&self, among: Option<&RoaringBitmap>) -> Result<Vec<String>, DbError>;
}

/// Series whose value of the matcher's label passes a positive matcher.
fn accepted(index: &dyn LabelIndex, m: &Matcher) -> Result<RoaringBitmap, DbError> {
    match (m.op(), m.regex()) {
        (MatchOp::Equal, _) => index.with_values(m.name(), &[m.value()]),
        (MatchOp::Regex, Some(regex)) => match regex.set_matches() {
            Some(set) => {
                let values: Vec<&str> = set.iter().map(String::as_str).collect();
                index.with_values(m.name(), &values)
            }
            None => index.with_matching(m.name(), regex.prefix(), &|v| m.matches(v)),
        },
        _ => index.with_matching(m.name(), "", &|v| m.matches(v)),
    }
}

/// How many series may fulfil all matchers, going by their equalities; `None` without one.
pub(crate) fn at_most(index: &dyn LabelIndex, matchers: &[Matcher]) -> Option<u64> {
    /// Sets of this size are worth intersecting: smaller ones are small enough, larger ones take long.
    const WORTH: std::ops::Range<u64> = 32..20_000;
    let is_equality = |m: &&Matcher| m.op() == MatchOp::Equal && !m.value().is_empty();
    let equal: Vec<Matcher> = matchers.iter().filter(is_equality).cloned().collect();
    let counts = equal
        .iter()
        .map(|m| index.count(m.name(), &[m.value()]).ok());
    let least = counts.flatten().min()?;
    if equal.len() > 1 && WORTH.contains(&least) {
        return series(index, &equal).ok().map(|found| found.len());
    }
    Some(least)
}

/// Equalities by how little they leave, then all others as they were given.
fn most_selective_first<'a>(
    index: &dyn LabelIndex,
    matchers: &'a [Matcher],
) -> Result<Vec<&'a Matcher>, DbError> {
    let mut order: Vec<&Matcher> = matchers.iter().collect();
    if order.len() > 1 {
        let mut counted = Vec::with_capacity(order.len());
        for m in order {
            let count = match (m.op(), m.value()) {
                (MatchOp::Equal, value) if !value.is_empty() => index.count(m.name(), &[value])?,
                _ => u64::MAX,
            };
            counted.push((count, m));
        }
        counted.sort_by_key(|(count, _)| *count);
        order = counted.into_iter().map(|(_, m)| m).collect();
    }
    Ok(order)
}

/// The series that fulfil all matchers.
pub(crate) fn series(
    index: &dyn LabelIndex,
    matchers: &[Matcher],
) -> Result<RoaringBitmap, DbError> {
    if let [only] = matchers
        && only.name().is_empty()
        && only.value().is_empty()
    {
        return index.all();
    }
    let required = |name: &str| {
        matchers
            .iter()
            .any(|m| m.name() == name && !m.matches_empty())
    };
    let mut found: Option<RoaringBitmap> = None;
    let mut subtract: Vec<&Matcher> = Vec::new();
    let everything = |m: &Matcher| index.with_matching(m.name(), "", &|_| true);
    for m in most_selective_first(index, matchers)? {
        let negative = m.op().is_negative();
        let set = match (m.op(), m.value()) {
            (MatchOp::Regex, ".*") => continue,
            (MatchOp::NotRegex, ".*") => return Ok(RoaringBitmap::new()),
            (MatchOp::Regex, ".+") => everything(m)?,
            (MatchOp::NotRegex, ".+") => {
                subtract.push(m);
                continue;
            }
            _ if !required(m.name()) || (negative && m.matches_empty()) => {
                subtract.push(m);
                continue;
            }
            (MatchOp::Equal, value) if found.is_some() => {
                let narrowed =
                    index.narrowed(found.take().unwrap_or_default(), m.name(), &[value])?;
                if narrowed.is_empty() {
                    return Ok(narrowed);
                }
                found = Some(narrowed);
                continue;
            }
            _ => accepted(index, m)?,
        };
        let both = match found.take() {
            Some(found) => found & set,
            None => set,
        };
        if both.is_empty() {
            return Ok(both);
        }
        found = Some(both);
    }
    let mut found = match found {
        Some(found) => found,
        None => index.all()?,
    };
    for m in subtract {
        if found.is_empty() {
            break;
        }
        // What the matcher rejects is what its inverse accepts; lacking the label is never rejected here.
        found -= match (m.op(), m.value()) {
            (MatchOp::NotRegex, ".+") => everything(m)?,
            (MatchOp::NotEqual | MatchOp::NotRegex, _) => accepted(index, &m.inverse())?,
            _ => index.with_matching(m.name(), "", &|v| !m.matches(v))?,
        };
    }
    Ok(found)
}

/// Sorted values of a label among the series that fulfil all matchers; at most `limit`, 0 for all.
pub(crate) fn label_values(
    index: &dyn LabelIndex,
    name: &str,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, DbError> {
    let (own, others): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|m| m.name() == name);
    let among = match others.is_empty() {
        true => None,
        // All of them, for a matcher on the same name decides together with others whether the label is required.
        false => Some(series(index, matchers)?),
    };
    let test = |value: &str| own.iter().all(|m| m.matches(value));
    let mut values = index.values(name, &test, among.as_ref())?;
    values.sort_unstable();
    values.dedup();
    if limit > 0 {
        values.truncate(limit);
    }
    Ok(values)
}

/// Sorted label names of the series that fulfil all matchers; at most `limit`, 0 for all.
pub(crate) fn label_names(
    index: &dyn LabelIndex,
    matchers: &[Matcher],
    limit: usize,
) -> Result<Vec<String>, DbError> {
    let among = match matchers.is_empty() {
        true => None,
        false => Some(series(index, matchers)?),
    };
    let mut names = index.names(among.as_ref())?;
    names.sort_unstable();
    names.dedup();
    if limit > 0 {
        names.truncate(limit);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    /// A list of label sets that answers by looking at each.
    struct Plain(Vec<Labels>);

    impl LabelIndex for Plain {
        fn all(&self) -> Result<RoaringBitmap, DbError> {
            Ok((0..self.0.len() as u32).collect())
        }

        fn with_values(&self, name: &str, values: &[&str]) -> Result<RoaringBitmap, DbError> {
            self.with_matching(name, "", &|v| values.contains(&v))
        }

        fn with_matching(
            &self,
            name: &str,
            prefix: &str,
            test: &dyn Fn(&str) -> bool,
        ) -> Result<RoaringBitmap, DbError> {
            let has = |l: &Labels| {
                l.get(name)
                    .is_some_and(|v| v.starts_with(prefix) && test(v))
            };
            let of = self.0.iter().enumerate().filter(|(_, l)| has(l));
            Ok(of.map(|(i, _)| i as u32).collect())
        }

        fn values(
            &self,
            name: &str,
            test: &dyn Fn(&str) -> bool,
            among: Option<&RoaringBitmap>,
        ) -> Result<Vec<String>, DbError> {
            let of = self.0.iter().enumerate();
            let of = of.filter(|(i, _)| among.is_none_or(|a| a.contains(*i as u32)));
            let of = of.filter_map(|(_, l)| l.get(name)).filter(|v| test(v));
            Ok(of.map(str::to_owned).collect())
        }

        fn names(&self, among: Option<&RoaringBitmap>) -> Result<Vec<String>, DbError> {
            let of = self.0.iter().enumerate();
            let of = of.filter(|(i, _)| among.is_none_or(|a| a.contains(*i as u32)));
            Ok(of
                .flat_map(|(_, l)| l.iter().map(|(n, _)| n.to_owned()))
                .collect())
        }
    }

    const NAMES: [&str; 3] = ["n", "i", "absent"];
    const VALUES: [&str; 13] = [
        "", "1", "a", "b", "x", ".*", ".+", "a|b", "1|", "a.*", ".*b", "1.5|1", "(?i:A)",
    ];

    /// Every series must be found exactly if each matcher accepts its value, a missing label being empty.
    #[test]
    fn every_pair_of_matchers_means_what_it_says() {
        let sets = [
            vec![("n", "1")],
            vec![("n", "1"), ("i", "a")],
            vec![("n", "1"), ("i", "b")],
            vec![("n", "2")],
            vec![("n", "2.5")],
            vec![("i", "ab")],
            vec![("z", "1")],
        ];
        let index = Plain(sets.into_iter().map(Labels::from_pairs).collect());
        let mut all = Vec::new();
        for name in NAMES {
            for value in VALUES {
                for op in [
                    MatchOp::Equal,
                    MatchOp::NotEqual,
                    MatchOp::Regex,
                    MatchOp::NotRegex,
                ] {
                    all.push(Matcher::new(op, name, value).unwrap());
                }
            }
        }
        let check = |matchers: &[Matcher]| {
            let got = series(&index, matchers).unwrap();
            let want: RoaringBitmap = (0..index.0.len() as u32)
                .filter(|i| {
                    matchers
                        .iter()
                        .all(|m| m.matches_labels(&index.0[*i as usize]))
                })
                .collect();
            assert_eq!(got, want, "{matchers:?}");
        };
        for a in &all {
            check(std::slice::from_ref(a));
            for b in &all {
                check(&[a.clone(), b.clone()]);
            }
        }
        check(&[]);
    }

    #[test]
    fn values_and_names() {
        let index = Plain(vec![
            Labels::from_pairs([("a", "1"), ("b", "x")]),
            Labels::from_pairs([("a", "2"), ("c", "y")]),
        ]);
        let m = |op, n: &str, v: &str| Matcher::new(op, n, v).unwrap();
        assert_eq!(label_values(&index, "a", &[], 0).unwrap(), ["1", "2"]);
        assert_eq!(label_values(&index, "a", &[], 1).unwrap(), ["1"]);
        assert_eq!(
            label_values(&index, "a", &[m(MatchOp::Equal, "b", "x")], 0).unwrap(),
            ["1"]
        );
        assert_eq!(
            label_values(&index, "a", &[m(MatchOp::NotEqual, "a", "1")], 0).unwrap(),
            ["2"]
        );
        assert_eq!(
            label_names(&index, &[m(MatchOp::Equal, "a", "2")], 0).unwrap(),
            ["a", "c"]
        );
        assert_eq!(label_names(&index, &[], 0).unwrap(), ["a", "b", "c"]);
    }
}
