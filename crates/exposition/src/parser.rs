//! One parser over whichever format a body came in.

use std::borrow::Cow;

use model::labels::Labels;
use model::{Exemplar, MetricType};

use crate::entry::{Entry, ParseError};
use crate::openmetrics::OpenMetricsParser;
use crate::text::TextParser;

/// A parser of a text body.
#[derive(Debug, Clone)]
pub enum Parser<'a> {
    /// Text format.
    Text(TextParser<'a>),
    /// OpenMetrics text.
    OpenMetrics(OpenMetricsParser<'a>),
}

impl<'a> Parser<'a> {
    /// Reads `body` as text format.
    pub fn text(body: &'a [u8]) -> Parser<'a> {
        Parser::Text(TextParser::new(body))
    }

    /// Reads `body` as OpenMetrics; with `start_timestamps`, `_created` samples are consumed.
    pub fn openmetrics(body: &'a [u8], start_timestamps: bool) -> Parser<'a> {
        let parser = OpenMetricsParser::new(body);
        Parser::OpenMetrics(if start_timestamps {
            parser.with_start_timestamps()
        } else {
            parser
        })
    }

    /// The next entry; `None` at the end.
    #[allow(clippy::should_implement_trait)] // fallible, and the labels of the last entry are asked of the parser
    #[inline]
    pub fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        match self {
            Parser::Text(parser) => parser.next(),
            Parser::OpenMetrics(parser) => parser.next(),
        }
    }

    /// As [`Parser::next`], with what the caller knows of series texts, as in [`TextParser::next_known`]; formats other
    /// than text do not ask.
    #[inline]
    pub fn next_known(
        &mut self,
        known: impl FnOnce(&'a [u8]) -> Option<usize>,
    ) -> Result<Option<Entry<'a>>, ParseError> {
        match self {
            Parser::Text(parser) => parser.next_known(known),
            Parser::OpenMetrics(parser) => parser.next(),
        }
    }

    /// The labels of the last sample, with the metric name, bucket bounds and quantiles in canonical spelling.
    pub fn labels(&self) -> Labels {
        match self {
            Parser::Text(parser) => parser.labels(),
            Parser::OpenMetrics(parser) => parser.labels(),
        }
    }

    /// Every label of the last sample as it stands, the metric name first; empty values and duplicates included.
    pub fn each_label(&self, visit: impl FnMut(Cow<'a, str>, Cow<'a, str>)) {
        match self {
            Parser::Text(parser) => parser.each_label(visit),
            Parser::OpenMetrics(parser) => parser.each_label(visit),
        }
    }

    /// As `labels`; the error is the name of a label that the sample has twice, which storage must refuse.
    pub fn distinct_labels(&self) -> Result<Labels, String> {
        match self {
            Parser::Text(parser) => parser.distinct_labels(),
            Parser::OpenMetrics(parser) => parser.distinct_labels(),
        }
    }

    /// Whether the last sample has an exemplar.
    #[inline]
    pub fn has_exemplar(&self) -> bool {
        match self {
            Parser::Text(_) => false,
            Parser::OpenMetrics(parser) => parser.has_exemplar(),
        }
    }

    /// The exemplar of the last sample.
    pub fn exemplar(&self) -> Option<Exemplar> {
        match self {
            Parser::Text(parser) => parser.exemplar(),
            Parser::OpenMetrics(parser) => parser.exemplar(),
        }
    }

    /// When the last sample's counter began, in unix milliseconds, if the format and the options give it.
    pub fn start_timestamp(&mut self) -> Option<i64> {
        match self {
            Parser::Text(_) => None,
            Parser::OpenMetrics(parser) => parser.start_timestamp(),
        }
    }

    /// The type that the last `# TYPE` line gave.
    pub fn metric_type(&self) -> MetricType {
        match self {
            Parser::Text(parser) => parser.metric_type(),
            Parser::OpenMetrics(parser) => parser.metric_type(),
        }
    }
}
