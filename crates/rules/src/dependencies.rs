//! Which rules of a group can run side by side.

use configfile::rules::RuleKind;
use model::Matcher;
use promql_syntax::Expr;

use crate::query::selectors;

/// What order the rules of a group may be evaluated in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Batches {
    /// One after the other.
    InOrder,
    /// Batch after batch; within a batch together where `true`, else one after the other.
    Some(Vec<(bool, Vec<usize>)>),
}

/// Looks at what each rule reads and writes.
pub(crate) fn batches(rules: &[(&RuleKind, &Expr)]) -> Batches {
    let n = rules.len();
    let (mut depends, mut has_dependents) = (vec![false; n], vec![false; n]);
    for (i, (_, expr)) in rules.iter().enumerate() {
        let mut unnamed = false;
        selectors(expr, &mut |selector| {
            let names: Vec<&Matcher> = selector
                .matchers
                .iter()
                .filter(|m| m.name() == "__name__")
                .collect();
            if names.is_empty() {
                unnamed = true;
                return;
            }
            for (earlier, (kind, _)) in rules[..i].iter().enumerate() {
                if reads(&names, &selector.matchers, kind) {
                    depends[i] = true;
                    has_dependents[earlier] = true;
                }
            }
        });
        if unnamed {
            return Batches::InOrder;
        }
    }
    let pick = |wanted: &dyn Fn(usize) -> bool| (0..n).filter(|i| wanted(*i)).collect::<Vec<_>>();
    let first = pick(&|i| !depends[i]);
    let middle = pick(&|i| depends[i] && has_dependents[i]);
    let last = pick(&|i| depends[i] && !has_dependents[i]);
    Batches::Some(
        [(true, first), (false, middle), (true, last)]
            .into_iter()
            .filter(|(_, batch)| !batch.is_empty())
            .collect(),
    )
}

fn reads(names: &[&Matcher], all: &[Matcher], of: &RuleKind) -> bool {
    let named = |name: &str| names.iter().all(|m| m.matches(name));
    if named(of.name()) {
        return true;
    }
    let RuleKind::Alert(alert) = of else {
        return false;
    };
    (named("ALERTS") || named("ALERTS_FOR_STATE"))
        && all
            .iter()
            .filter(|m| m.name() == "alertname")
            .all(|m| m.matches(alert))
}

#[cfg(test)]
mod tests {
    use super::*;
    use promql_syntax::{ParserOptions, parse};

    fn of(rules: &[(&str, &str)]) -> Batches {
        let parsed: Vec<(RuleKind, Expr)> = rules
            .iter()
            .map(|(name, expr)| {
                let kind = match name.strip_prefix('!') {
                    Some(alert) => RuleKind::Alert(alert.to_string()),
                    None => RuleKind::Record(name.to_string()),
                };
                (kind, parse(expr, &ParserOptions::stable()).expect("parses"))
            })
            .collect();
        let refs: Vec<(&RuleKind, &Expr)> = parsed.iter().map(|(k, e)| (k, e)).collect();
        batches(&refs)
    }

    #[test]
    fn rules_that_read_each_other() {
        assert_eq!(
            of(&[("a", "x"), ("b", "a + 1"), ("c", "b"), ("d", "y")]),
            Batches::Some(vec![(true, vec![0, 3]), (false, vec![1]), (true, vec![2])])
        );
        assert_eq!(
            of(&[
                ("a", "x"),
                ("b", "sum(max_over_time({__name__=~\"a|z\"}[5m:1m]))")
            ])
            .clone_shape(),
            vec![vec![0], vec![1]]
        );
        assert_eq!(of(&[("a", "x"), ("b", "{job=\"j\"}")]), Batches::InOrder);
        assert_eq!(
            of(&[
                ("!A", "x"),
                ("b", "ALERTS{alertname=\"A\"}"),
                ("c", "ALERTS{alertname=\"B\"}")
            ]),
            Batches::Some(vec![(true, vec![0, 2]), (true, vec![1])])
        );
        assert_eq!(
            of(&[("b", "a"), ("a", "x")]),
            Batches::Some(vec![(true, vec![0, 1])])
        );
    }

    impl Batches {
        fn clone_shape(&self) -> Vec<Vec<usize>> {
            match self {
                Batches::InOrder => Vec::new(),
                Batches::Some(all) => all.iter().map(|(_, batch)| batch.clone()).collect(),
            }
        }
    }
}
