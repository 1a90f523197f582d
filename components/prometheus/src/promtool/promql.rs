//! `promtool promql format`: an expression, pretty.

use flags::{Command, Flag, Values};

use super::{GlobalFlags, Outcome};

pub const FORMAT: Command = Command {
    path: "promql format",
    about: "Format PromQL query to pretty printed form.",
    flags: &[Flag::word("query", "PromQL query.")],
};

/// `promtool promql format EXPR`
pub fn format(values: &Values, global: &GlobalFlags) -> Outcome {
    if !global.experimental {
        return Outcome::failed(
            "This command is experimental and requires the --experimental flag to be set.\n".into(),
        );
    }
    match promql_syntax::parse(values.text("query"), &global.parser()) {
        Ok(expr) => Outcome::printed(format!("{}\n", promql_syntax::pretty(&expr))),
        Err(error) => Outcome::failed(format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_its_flag() {
        let of = |expr| crate::promtool::values_of(["promql", "format", expr].iter());
        let values = of("sum  by(job)(rate(a[5m]))");
        let refused = format(&values, &GlobalFlags::default());
        assert_eq!(refused.code, 1);
        let global = GlobalFlags {
            experimental: true,
            ..GlobalFlags::default()
        };
        assert_eq!(format(&values, &global).out, "sum by (job) (rate(a[5m]))\n");
        let bad = format(&of("sum("), &global);
        assert_eq!(bad.code, 1);
        assert!(bad.err.contains("parse error"), "{}", bad.err);
    }
}
