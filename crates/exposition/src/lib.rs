//! The formats in which programs show their metrics: read from foreign bytes, and written for others to read.
//!
//! Reading is pull style and borrows: a parser yields [`Entry`] after [`Entry`]; labels of a sample are built only when
//! asked for. Writing takes [`model::MetricFamily`]s. This crate knows nothing of HTTP connections, targets or storage.

pub mod entry;
pub mod escaping;
pub mod families;
pub mod float;
pub mod lint;
pub mod negotiation;
pub mod openmetrics;
pub mod parser;
pub mod protobuf;
pub mod text;
pub mod writer;

mod quote;
mod scan;

pub use entry::{Entry, ParseError};
pub use escaping::Escaping;
pub use families::read_families;
pub use negotiation::{Format, Protocol};
pub use openmetrics::OpenMetricsParser;
pub use parser::Parser;
pub use protobuf::{ProtobufBody, ProtobufEntry, ProtobufOptions, ProtobufParser, write_protobuf};
pub use text::TextParser;
pub use writer::{write_openmetrics, write_text, write_text_as_given};
