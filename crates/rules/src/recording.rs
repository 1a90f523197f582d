//! Recording rules: what a query yields, under another name.

use model::{Labels, LabelsBuilder};
use promql::{Sample, SampleValue};

use crate::writer::{Slot, Twice, Writer};

/// What a recording rule makes of labels.
#[derive(Debug)]
pub(crate) struct Recording {
    pub name: String,
    pub labels: Vec<(String, String)>,
}

impl Recording {
    fn output(&self, input: &Labels) -> Labels {
        let mut builder = LabelsBuilder::new(input);
        builder.set("__name__", self.name.as_str());
        for (name, value) in &self.labels {
            builder.set(name.as_str(), value.as_str());
        }
        builder.build()
    }

    /// The samples to write.
    pub fn evaluate(
        &self,
        vector: Vec<Sample>,
        limit: i64,
        writer: &mut Writer,
    ) -> Result<Vec<(Slot, SampleValue)>, String> {
        if limit > 0 && vector.len() as i64 > limit {
            return Err(format!(
                "exceeded limit of {limit} with {} series",
                vector.len()
            ));
        }
        writer.begin();
        let mut samples = Vec::with_capacity(vector.len());
        for sample in vector {
            let slot = writer
                .claim_input(&sample.labels, |input| self.output(input))
                .map_err(|Twice| {
                    "vector contains metrics with the same labelset after applying rule labels"
                        .to_string()
                })?;
            samples.push((slot, sample.value));
        }
        Ok(samples)
    }
}
