//! Names that a collector shows or leaves out, by regular expressions. The expressions are not anchored.

use regex::Regex;

use crate::config::ConfigError;

/// Exclude and include expressions; an absent one passes everything.
#[derive(Debug, Default)]
pub struct Filter {
    exclude: Option<Regex>,
    include: Option<Regex>,
}

impl Filter {
    /// Compiles the expressions; an empty one is the same as none.
    pub fn new(exclude: &str, include: &str) -> Result<Filter, ConfigError> {
        Ok(Filter {
            exclude: expression(exclude)?,
            include: expression(include)?,
        })
    }

    /// Whether `name` is to be left out.
    pub fn ignores(&self, name: &str) -> bool {
        self.exclude
            .as_ref()
            .is_some_and(|exclude| exclude.is_match(name))
            || self
                .include
                .as_ref()
                .is_some_and(|include| !include.is_match(name))
    }
}

/// Compiles an expression; an empty one gives none.
pub fn expression(text: &str) -> Result<Option<Regex>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    Regex::new(text)
        .map(Some)
        .map_err(|error| ConfigError(format!("regular expression {text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclude_wins_and_include_restricts() {
        let filter = Filter::new("^veth", "^(eth|veth)").unwrap();
        assert!(filter.ignores("veth0") && filter.ignores("lo") && !filter.ignores("eth0"));
        assert!(!Filter::new("", "").unwrap().ignores("anything"));
        assert!(Filter::new("(", "").is_err());
    }
}
