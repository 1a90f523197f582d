//! `promtool promql format`: an expression, pretty.

use flags::{Flag, Program};
use promql_syntax::ParserOptions;

use super::{GlobalFlags, Outcome, read_flags};

const FORMAT: Program = Program {
    name: "promtool promql format",
    about: "Format PromQL query to pretty printed form.",
    flags: &[Flag::word("query", "PromQL query.")],
};

/// `promtool promql format EXPR`
pub fn format(arguments: &[String], global: &GlobalFlags) -> Outcome {
    if !global.experimental {
        return Outcome::failed(
            "This command is experimental and requires the --experimental flag to be set.\n".into(),
        );
    }
    let values = match read_flags(&FORMAT, &[], arguments) {
        Ok(values) => values,
        Err(outcome) => return outcome,
    };
    match promql_syntax::parse(values.text("query"), &parser_options(global)) {
        Ok(expr) => Outcome::printed(format!("{}\n", promql_syntax::pretty(&expr))),
        Err(error) => Outcome::failed(format!("{error}\n")),
    }
}

/// The language as `--enable-feature` widens it.
fn parser_options(global: &GlobalFlags) -> ParserOptions {
    let on = |name: &str| global.features.iter().any(|feature| feature == name);
    ParserOptions {
        experimental_functions: on("promql-experimental-functions"),
        extended_range_selectors: on("promql-extended-range-selectors"),
        binop_fill_modifiers: on("promql-binop-fill-modifiers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_its_flag() {
        let words = ["sum  by(job)(rate(a[5m]))".to_string()];
        let refused = format(&words, &GlobalFlags::default());
        assert_eq!(refused.code, 1);
        let global = GlobalFlags {
            experimental: true,
            ..GlobalFlags::default()
        };
        assert_eq!(format(&words, &global).out, "sum by (job) (rate(a[5m]))\n");
        let bad = format(&["sum(".to_string()], &global);
        assert_eq!(bad.code, 1);
        assert!(bad.err.contains("parse error"), "{}", bad.err);
    }
}
