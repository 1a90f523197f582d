//! What storage is told about the use of a selection.

use storage::SelectHints;

/// What surrounds a selector.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// The nearest function or aggregation; none once an operator is in between.
    pub func: Option<String>,
    /// Labels of the aggregation right above.
    pub grouping: Vec<String>,
    pub by: bool,
}

impl Around {
    /// The surroundings of a function's argument.
    pub fn call(name: &str) -> Around {
        Around {
            func: Some(name.to_string()),
            ..Around::default()
        }
    }

    /// The same without the aggregation's labels, for what is not directly below it.
    pub fn deeper(&self) -> Around {
        Around {
            func: self.func.clone(),
            ..Around::default()
        }
    }

    pub fn hints(&self, start: i64, end: i64, step: i64, range: i64) -> SelectHints {
        SelectHints {
            start,
            end,
            step,
            range,
            func: self.func.clone(),
            grouping: self.grouping.clone(),
            by: self.by,
            limit: 0,
        }
    }
}
