//! Which program this is: by the name it was called, or by its first argument.

/// The programs in this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// The server.
    Prometheus,
    /// Its tool.
    Promtool,
    /// The machine's metrics.
    NodeExporter,
    /// The stack on this machine.
    Up,
    /// What there is.
    Help,
    /// Which build this is.
    Version,
}

/// What `titan --help` prints.
pub const HELP: &str = "\
Titan: a whole Prometheus monitoring stack in one program.

usage: titan PART [flags]

  up              watch this machine: every part at once, in one process
  prometheus      the server: scraping, storage, queries
  promtool        its tool
  node-exporter   metrics of this machine

`titan PART --help` shows a part's flags. Called through a link named prometheus,
promtool or node_exporter, titan is that program.
";

/// What `titan --version` prints.
pub fn version() -> String {
    format!("titan, version {}\n", env!("CARGO_PKG_VERSION"))
}

/// Finds the program and its own arguments.
pub fn find(arguments: &[String]) -> Result<(Personality, Vec<String>), String> {
    let called = arguments
        .first()
        .map_or("", |path| path.rsplit('/').next().unwrap_or(path));
    let rest = || arguments.iter().skip(1).cloned().collect::<Vec<_>>();
    if let Some(personality) = by_link(called) {
        return Ok((personality, rest()));
    }
    let Some(part) = arguments.get(1) else {
        return Ok((Personality::Help, Vec::new()));
    };
    let personality = match part.as_str() {
        "up" => Personality::Up,
        "prometheus" => Personality::Prometheus,
        "promtool" => Personality::Promtool,
        "node-exporter" => Personality::NodeExporter,
        "--help" | "-h" | "help" => Personality::Help,
        "--version" => Personality::Version,
        other => return Err(format!("unknown part {other:?}")),
    };
    Ok((personality, arguments.iter().skip(2).cloned().collect()))
}

/// Names of upstream programs, Debian's among them.
fn by_link(name: &str) -> Option<Personality> {
    match name {
        "prometheus" => Some(Personality::Prometheus),
        "promtool" => Some(Personality::Promtool),
        "node_exporter" | "prometheus-node-exporter" => Some(Personality::NodeExporter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(arguments: &[&str]) -> Result<(Personality, Vec<String>), String> {
        find(&arguments.iter().map(|a| a.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn by_name_or_by_argument() {
        let flag = vec!["--x".to_string()];
        assert_eq!(
            found(&["/usr/bin/prometheus", "--x"]),
            Ok((Personality::Prometheus, flag.clone()))
        );
        assert_eq!(
            found(&["./node_exporter", "--x"]),
            Ok((Personality::NodeExporter, flag.clone()))
        );
        assert_eq!(
            found(&["titan", "promtool", "--x"]),
            Ok((Personality::Promtool, flag))
        );
        assert_eq!(found(&["titan"]), Ok((Personality::Help, vec![])));
        assert_eq!(
            found(&["titan", "nope"]),
            Err("unknown part \"nope\"".into())
        );
    }
}
