//! `/write`: samples that other servers send, by remote write 1.0 or 2.0.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use configfile::remote::WriteMessage;
use env::Registry;
use env::instruments::Counter;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use model::{Exemplar, Labels};
use storage::{AppendError, Appendable, Appender, HistogramSample, SeriesRef};
use wire::histogram::AnyHistogram;
use wire::remote_write::{Incoming, IncomingExemplar, read_v1, read_v2};

use crate::router::Api;

/// The longest request, compressed or not.
const MAX_REQUEST: usize = 32 << 20;
/// How far ahead of the server's clock samples may be, milliseconds.
const MAX_AHEAD: i64 = 10 * 60_000;
/// Faults of single elements that an answer lists.
const MAX_FAULTS: usize = 100;

/// Takes what other servers send.
pub struct WriteReceiver {
    storage: Arc<dyn Appendable>,
    accepted: Vec<WriteMessage>,
    /// Whether start timestamps become zero samples.
    start_zeros: bool,
    /// Whether metadata is stored.
    metadata: bool,
    invalid_labels: Counter,
    without_metadata: Counter,
}

impl WriteReceiver {
    /// Appends to `storage` what comes in one of the `accepted` messages.
    pub fn new(
        storage: Arc<dyn Appendable>,
        accepted: Vec<WriteMessage>,
        start_zeros: bool,
        metadata: bool,
        registry: &Registry,
    ) -> WriteReceiver {
        WriteReceiver {
            storage,
            accepted,
            start_zeros,
            metadata,
            invalid_labels: registry.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples rejected due to invalid labels.",
            ),
            without_metadata: registry.counter(
                "prometheus_api_remote_write_without_metadata_appended_samples_total",
                "The total number of received remote write samples (and histogram samples) appended without corresponding metadata.",
            ),
        }
    }
}

/// `/write`
pub async fn write(State(api): State<Arc<Api>>, request: Request) -> Response<Body> {
    let Some(receiver) = api.write.clone() else {
        return plain(
            StatusCode::NOT_FOUND,
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
        );
    };
    receive(receiver, api.clock.now(), request).await
}

/// Takes a request; `now` is unix milliseconds.
pub async fn receive(receiver: Arc<WriteReceiver>, now: i64, request: Request) -> Response<Body> {
    let message = match message_of(request.headers(), &receiver.accepted) {
        Ok(message) => message,
        Err(error) => return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error),
    };
    let body = match Limited::new(request.into_body(), MAX_REQUEST)
        .collect()
        .await
    {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let text = format!("the request is longer than {MAX_REQUEST} bytes");
            return plain(StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
        Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    // Appending writes to the log.
    let work = move || match decompress(&body) {
        Ok(bytes) => match message {
            WriteMessage::V1 => receiver.take_v1(&bytes, now),
            WriteMessage::V2 => receiver.take_v2(&bytes, now),
        },
        Err(error) => plain(StatusCode::BAD_REQUEST, &error),
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(response) => response,
        Err(failed) => plain(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()),
    }
}

fn decompress(body: &[u8]) -> Result<Vec<u8>, String> {
    let length = snap::raw::decompress_len(body).map_err(|e| e.to_string())?;
    if length > MAX_REQUEST {
        return Err(format!(
            "snappy: decoded length {length} exceeds {MAX_REQUEST} bytes"
        ));
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|e| e.to_string())
}

/// The message that the headers announce.
fn message_of(headers: &HeaderMap, accepted: &[WriteMessage]) -> Result<WriteMessage, String> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
    };
    let encoding = text(header::CONTENT_ENCODING).unwrap_or("");
    if !encoding.is_empty() && encoding != "snappy" {
        return Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        ));
    }
    let content_type = text(header::CONTENT_TYPE).unwrap_or("application/x-protobuf");
    let mut parts = content_type.split(';');
    let kind = parts.next().unwrap_or("");
    if kind != "application/x-protobuf" {
        return Err(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        ));
    }
    let mut proto = None;
    for part in parts {
        match part.split_once('=') {
            Some(("proto", name)) if !name.contains('=') => proto = proto.or(Some(name)),
            Some((_, value)) if !value.contains('=') => {}
            _ => {
                return Err(format!(
                    "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {content_type} content-type"
                ));
            }
        }
    }
    let message = match proto {
        None => WriteMessage::V1,
        Some(name) => WriteMessage::parse(name)?,
    };
    if !accepted.contains(&message) {
        let names: Vec<&str> = accepted.iter().map(|m| m.as_str()).collect();
        return Err(format!(
            "{} protobuf message is not accepted by this server; only accepts {}",
            message.as_str(),
            names.join(", ")
        ));
    }
    Ok(message)
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The label set, if it is one that a series can have.
fn labels_of(series: &Incoming<'_>) -> Option<Labels> {
    let mut pairs = series.labels.clone();
    pairs.retain(|(_, value)| !value.is_empty());
    let labels = Labels::from_refs(&mut pairs);
    let valid = !series.broken_labels
        && labels.get("__name__").is_some()
        && labels.iter().all(|(name, _)| !name.is_empty())
        && Labels::duplicate_name(&pairs).is_none();
    valid.then_some(labels)
}

fn shown(series: &Incoming<'_>) -> String {
    Labels::from_pairs(series.labels.iter().copied()).to_string()
}

fn exemplar_of(exemplar: &IncomingExemplar<'_>) -> Exemplar {
    Exemplar {
        labels: Labels::from_pairs(exemplar.labels.iter().copied()),
        value: exemplar.value,
        timestamp: Some(exemplar.t),
    }
}

/// Whether the sender is at fault, not the server.
fn is_the_senders(error: &AppendError) -> bool {
    error.is_sample_fault()
        || matches!(
            error,
            AppendError::InvalidHistogram(_)
                | AppendError::InvalidLabels(_)
                | AppendError::HistogramsDisabled
        )
}

fn sample_of(histogram: &AnyHistogram) -> HistogramSample<'_> {
    match histogram {
        AnyHistogram::Integer(h) => HistogramSample::Integer(h),
        AnyHistogram::Float(h) => HistogramSample::Float(h),
    }
}

fn append_histogram(
    appender: &mut dyn Appender,
    series: SeriesRef,
    t: i64,
    histogram: &AnyHistogram,
) -> Result<(), AppendError> {
    appender.append_histogram(series, t, sample_of(histogram))
}

fn not_too_far_ahead(t: i64, now: i64) -> Result<(), AppendError> {
    if t > now.saturating_add(MAX_AHEAD) {
        return Err(AppendError::OutOfBounds);
    }
    Ok(())
}

/// What a 2.0 request brought.
#[derive(Default)]
struct Written {
    samples: u64,
    histograms: u64,
    exemplars: u64,
    faults: Vec<String>,
    faults_more: usize,
}

impl Written {
    fn fault(&mut self, text: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(text);
        } else {
            self.faults_more += 1;
        }
    }

    fn respond(self) -> Response<Body> {
        let mut response = if self.faults.is_empty() {
            nothing()
        } else {
            let mut text = self.faults.join("\n");
            if self.faults_more > 0 {
                text.push_str(&format!("\n{} more errors", self.faults_more));
            }
            plain(StatusCode::BAD_REQUEST, &text)
        };
        for (kind, count) in [
            ("samples", self.samples),
            ("histograms", self.histograms),
            ("exemplars", self.exemplars),
        ] {
            if let (Ok(name), Ok(value)) = (
                http::HeaderName::try_from(format!("x-prometheus-remote-write-{kind}-written")),
                HeaderValue::try_from(count.to_string()),
            ) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl WriteReceiver {
    fn failed(error: &AppendError) -> Response<Body> {
        let status = if is_the_senders(error) {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        plain(status, &error.to_string())
    }

    /// All of the request or nothing, but for label sets that no series can have.
    fn take_v1(&self, message: &[u8], now: i64) -> Response<Body> {
        let mut appender = self.storage.appender();
        let mut fault: Option<AppendError> = None;
        let read = read_v1(message, |series| {
            if fault.is_none()
                && let Err(error) = self.append_v1(&mut *appender, series, now)
            {
                fault = Some(error);
            }
        });
        if let Err(error) = read {
            appender.rollback();
            return plain(StatusCode::BAD_REQUEST, &error.to_string());
        }
        if let Some(error) = fault {
            appender.rollback();
            if is_the_senders(&error) {
                tracing::debug!(component = "web", err = %error, "Out of order sample from remote write");
            } else {
                tracing::error!(component = "web", err = %error, "Error appending remote write");
            }
            return WriteReceiver::failed(&error);
        }
        match appender.commit() {
            Ok(()) => nothing(),
            Err(error) => WriteReceiver::failed(&error),
        }
    }

    fn append_v1(
        &self,
        appender: &mut dyn Appender,
        series: &Incoming<'_>,
        now: i64,
    ) -> Result<(), AppendError> {
        let Some(labels) = labels_of(series) else {
            tracing::warn!(component = "web", series = %shown(series), "Invalid metric names or labels");
            let count = series.samples.len() + series.histograms.len();
            self.invalid_labels.add(count as u64);
            return Ok(());
        };
        let reference = appender.series(&labels)?;
        for (t, value, _) in &series.samples {
            not_too_far_ahead(*t, now)?;
            appender.append(reference, *t, *value)?;
        }
        for sample in &series.histograms {
            not_too_far_ahead(sample.t, now)?;
            append_histogram(appender, reference, sample.t, &sample.histogram)?;
        }
        for exemplar in &series.exemplars {
            // Senders repeat them, and they are only examples.
            if let Err(error) = appender.append_exemplar(reference, &exemplar_of(exemplar)) {
                tracing::debug!(component = "web", err = %error, "Error while adding exemplar");
            }
        }
        Ok(())
    }

    /// What can be taken is taken, and the rest told.
    fn take_v2(&self, message: &[u8], now: i64) -> Response<Body> {
        let mut appender = self.storage.appender();
        let mut written = Written::default();
        let mut fatal: Option<AppendError> = None;
        let read = read_v2(message, |series| {
            if fatal.is_none()
                && let Err(error) = self.append_v2(&mut *appender, series, now, &mut written)
            {
                fatal = Some(error);
            }
        });
        if let Err(error) = read {
            appender.rollback();
            return plain(StatusCode::BAD_REQUEST, &error.to_string());
        }
        let ended = match fatal {
            Some(error) => {
                appender.rollback();
                Err(error)
            }
            None => appender.commit(),
        };
        match ended {
            Ok(()) => written.respond(),
            Err(error) => {
                tracing::error!(component = "web", err = %error, "Error appending remote write");
                let nothing = Written {
                    faults: vec![error.to_string()],
                    ..Written::default()
                };
                let mut response = nothing.respond();
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    fn append_v2(
        &self,
        appender: &mut dyn Appender,
        series: &Incoming<'_>,
        now: i64,
        written: &mut Written,
    ) -> Result<(), AppendError> {
        let count = series.samples.len() + series.histograms.len();
        let Some(labels) = labels_of(series) else {
            self.invalid_labels.add(count as u64);
            written.fault(format!(
                "invalid metric name or labels, got {}",
                shown(series)
            ));
            return Ok(());
        };
        if count == 0 {
            written.fault(format!(
                "TimeSeries must contain at least one sample or histogram for series {labels}"
            ));
            return Ok(());
        }
        // Faults of elements are collected; what is wrong with the storage ends the request.
        let judge = |result: Result<(), AppendError>, written: &mut Written| match result {
            Ok(()) => Ok(true),
            Err(error) if is_the_senders(&error) => {
                written.fault(format!("{error} for series {labels}"));
                Ok(false)
            }
            Err(error) => Err(error),
        };
        let reference = match appender.series(&labels) {
            Ok(reference) => reference,
            Err(error) => return judge(Err(error), written).map(|_| ()),
        };
        for (t, value, start) in &series.samples {
            self.append_start(appender, reference, *t, *start, None);
            let result =
                not_too_far_ahead(*t, now).and_then(|()| appender.append(reference, *t, *value));
            written.samples += u64::from(judge(result, written)?);
        }
        for sample in &series.histograms {
            self.append_start(
                appender,
                reference,
                sample.t,
                sample.start,
                Some(&sample.histogram),
            );
            let result = not_too_far_ahead(sample.t, now)
                .and_then(|()| append_histogram(appender, reference, sample.t, &sample.histogram));
            written.histograms += u64::from(judge(result, written)?);
        }
        for exemplar in &series.exemplars {
            match appender.append_exemplar(reference, &exemplar_of(exemplar)) {
                Ok(()) => written.exemplars += 1,
                Err(AppendError::DuplicateExemplar | AppendError::ExemplarsDisabled) => {}
                Err(error) => {
                    tracing::debug!(component = "web", err = %error, "Error while adding exemplar");
                    written.fault(format!("{error} for series {labels}"));
                }
            }
        }
        match &series.metadata {
            Some(metadata) if self.metadata => {
                if let Err(error) = appender.update_metadata(reference, metadata) {
                    tracing::debug!(component = "web", err = %error, "Error while updating metadata");
                }
            }
            _ => self.without_metadata.add(count as u64),
        }
        Ok(())
    }

    fn append_start(
        &self,
        appender: &mut dyn Appender,
        series: SeriesRef,
        t: i64,
        start: i64,
        histogram: Option<&AnyHistogram>,
    ) {
        if self.start_zeros && start != 0 {
            // What the storage has already needs no zero.
            let _ = appender.append_start(series, t, start, histogram.map(sample_of));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(encoding: &str, content_type: Option<&str>) -> Result<WriteMessage, String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", encoding.parse().expect("header"));
        if let Some(kind) = content_type {
            headers.insert("content-type", kind.parse().expect("header"));
        }
        message_of(&headers, &[WriteMessage::V1, WriteMessage::V2])
    }

    #[test]
    fn headers_say_which_message() {
        use WriteMessage::{V1, V2};
        let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        let spaced = "application/x-protobuf; proto=io.prometheus.write.v2.Request";
        assert_eq!(announced("snappy", None), Ok(V1));
        assert_eq!(announced("", Some("application/x-protobuf")), Ok(V1));
        assert_eq!(announced("snappy", Some(v2)), Ok(V2));
        assert_eq!(
            announced("snappy", Some(spaced)),
            Ok(V1),
            "as upstream reads it"
        );
        for (encoding, kind) in [
            ("gzip", "application/x-protobuf"),
            ("snappy", "application/json"),
            ("snappy", "application/x-protobuf;proto=io.other"),
        ] {
            assert!(
                announced(encoding, Some(kind)).is_err(),
                "{encoding} {kind}"
            );
        }
        let headers = HeaderMap::new();
        assert!(message_of(&headers, &[V2]).is_err());
    }
}
