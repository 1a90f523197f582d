//! `/read`: remote read, by samples or by streamed chunks.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use model::{Labels, LabelsBuilder, MatchOp, Matcher};
use storage::memory::{StoredValue, encode};
use storage::{Chunk, SelectHints, Series, StorageError, TimeRange, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wire::put_bytes;
use wire::remote_read::{
    ReadQuery, ReadRequest, SAMPLES, STREAMED_XOR_CHUNKS, put_chunk, put_labels, put_sample,
};

use crate::router::Api;
use crate::stream::{PIECE, Pieces, Rest};

/// The longest request, compressed or not.
const MAX_REQUEST: usize = 32 << 20;

/// How much remote read may take.
#[derive(Clone)]
pub struct RemoteReadLimits {
    /// Samples of an answer by samples; 0 is no limit.
    pub samples: usize,
    /// Bytes of a frame, about.
    pub frame_bytes: usize,
    /// As many permits as requests may run at one time.
    pub slots: Arc<Semaphore>,
}

/// Why a request has no answer.
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(message: impl ToString) -> Refusal {
        Refusal(StatusCode::BAD_REQUEST, message.to_string())
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<ondisk::chunk::ChunkError> for Refusal {
    fn from(error: ondisk::chunk::ChunkError) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

/// `/read`
pub async fn read(State(api): State<Arc<Api>>, request: Request) -> Response<Body> {
    match answer(api, request).await {
        Ok(response) => response,
        Err(Refusal(status, message)) => {
            let mut response = Response::new(Body::from(format!("{message}\n")));
            *response.status_mut() = status;
            for (name, value) in [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ] {
                let value = HeaderValue::from_static(value);
                response.headers_mut().insert(name, value);
            }
            response
        }
    }
}

async fn answer(api: Arc<Api>, request: Request) -> Result<Response<Body>, Refusal> {
    let limited = Limited::new(request.into_body(), MAX_REQUEST);
    let body = limited.collect().await.map_err(Refusal::bad)?.to_bytes();
    let request = decode(&body)?;
    let kinds = &request.accepted;
    let kind = if kinds.is_empty() {
        SAMPLES
    } else {
        *kinds
            .iter()
            .find(|kind| matches!(**kind, SAMPLES | STREAMED_XOR_CHUNKS))
            .ok_or_else(|| {
                Refusal::bad(format!(
                    "server does not support any of the requested response types: {kinds:?}; supported: [SAMPLES STREAMED_XOR_CHUNKS]"
                ))
            })?
    };
    let slot = api.remote_read.slots.clone().acquire_owned().await;
    let slot = slot.map_err(|_| Refusal::from(StorageError::Canceled))?;
    let external = api.status.external_labels();
    let selections: Vec<Selection> = request
        .queries
        .iter()
        .map(|query| Selection::new(query, &external))
        .collect::<Result<_, _>>()?;
    let reader = Reader {
        api,
        external,
        selections,
    };
    if kind == SAMPLES {
        return reader.samples(slot).await;
    }
    reader.chunks(slot).await
}

fn decode(body: &[u8]) -> Result<ReadRequest, Refusal> {
    let corrupt = |_| Refusal::bad("snappy: corrupt input");
    let length = snap::raw::decompress_len(body).map_err(corrupt)?;
    if length > MAX_REQUEST {
        return Err(Refusal::bad(format!(
            "snappy: decoded block of {length} bytes is over the limit of {MAX_REQUEST}"
        )));
    }
    let message = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(corrupt)?;
    ReadRequest::decode(&message).map_err(|e| Refusal::bad(format!("proto: {e}")))
}

/// A query as storage takes it.
struct Selection {
    range: TimeRange,
    matchers: Vec<Matcher>,
    hints: SelectHints,
}

impl Selection {
    fn new(query: &ReadQuery, external: &Labels) -> Result<Selection, Refusal> {
        let range = TimeRange {
            min: query.start,
            max: query.end,
        };
        let mut matchers = Vec::with_capacity(query.matchers.len());
        for matcher in &query.matchers {
            let op = match matcher.kind {
                0 => MatchOp::Equal,
                1 => MatchOp::NotEqual,
                2 => MatchOp::Regex,
                3 => MatchOp::NotRegex,
                _ => return Err(Refusal::bad("invalid matcher type")),
            };
            // What everything here is labelled with, stored series need not have.
            let is_ours =
                op == MatchOp::Equal && external.get(&matcher.name) == Some(matcher.value.as_str());
            let value = if is_ours { "" } else { &matcher.value };
            let made = Matcher::new(op, matcher.name.as_str(), value);
            matchers.push(made.map_err(Refusal::bad)?);
        }
        let asked = query.hints.clone().unwrap_or_default();
        let hints = SelectHints {
            start: if query.hints.is_some() {
                asked.start
            } else {
                range.min
            },
            end: if query.hints.is_some() {
                asked.end
            } else {
                range.max
            },
            step: asked.step,
            range: asked.range,
            // `series` asks for labels alone, and is nothing that other servers say.
            func: Some(asked.func).filter(|func| !func.is_empty() && func != "series"),
            grouping: asked.grouping,
            by: asked.by,
            limit: 0,
        };
        Ok(Selection {
            range,
            matchers,
            hints,
        })
    }
}

struct Reader {
    api: Arc<Api>,
    external: Labels,
    selections: Vec<Selection>,
}

impl Reader {
    /// Hands every series of every query out, with the query's place.
    fn each(
        &self,
        mut take: impl FnMut(usize, TimeRange, Series) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        for (i, selection) in self.selections.iter().enumerate() {
            let querier = self.api.queryable.querier(selection.range)?;
            let mut set = querier.select(&selection.matchers, &selection.hints)?;
            while let Some(series) = set.next() {
                let mut series = series?;
                series.labels = self.labelled(&series.labels);
                take(i, selection.range, series)?;
            }
        }
        Ok(())
    }

    /// External labels are added, a series' own win.
    fn labelled(&self, labels: &Labels) -> Labels {
        if self.external.is_empty() {
            return labels.clone();
        }
        let mut builder = LabelsBuilder::new(labels);
        for (name, value) in &self.external {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        builder.build()
    }

    async fn samples(self, slot: OwnedSemaphorePermit) -> Result<Response<Body>, Refusal> {
        let work = move || {
            let _slot = slot;
            let limit = self.api.remote_read.samples;
            let mut count = 0;
            let mut results = vec![Vec::new(); self.selections.len()];
            self.each(|i, range, series| {
                let message = series_message(&series, range, &mut count, limit)?;
                put_bytes(&mut results[i], 1, &message);
                Ok(())
            })?;
            let mut response = Vec::new();
            for result in results {
                put_bytes(&mut response, 1, &result);
            }
            let compressed = snap::raw::Encoder::new().compress_vec(&response);
            compressed.map_err(|e| Refusal(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
        };
        let made = tokio::task::spawn_blocking(work).await;
        let body = made.map_err(|_| ended())??;
        let mut response = Response::new(Body::from(body));
        for (name, value) in [
            (header::CONTENT_TYPE, "application/x-protobuf"),
            (header::CONTENT_ENCODING, "snappy"),
        ] {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }

    async fn chunks(self, slot: OwnedSemaphorePermit) -> Result<Response<Body>, Refusal> {
        let (sender, receiver) = mpsc::channel::<Bytes>(4);
        let (failed, failure) = tokio::sync::oneshot::channel();
        let work = move || {
            let _slot = slot;
            let mut frames = Frames {
                out: Vec::new(),
                message: Vec::new(),
                limit: self.api.remote_read.frame_bytes.max(1),
                sender,
            };
            let sent = self
                .each(|i, range, series| frames.series(i, range, series))
                .and_then(|()| frames.flush());
            if let Err(refusal) = sent {
                tracing::warn!(component = "web", err = %refusal.1, "streamed remote read ended early");
                let _ = failed.send(refusal);
            }
        };
        tokio::task::spawn_blocking(work);
        // A failure before anything is sent is told as one; a later one can only cut the answer off.
        let mut receiver = receiver;
        let Some(first) = receiver.recv().await else {
            return match failure.await {
                Ok(refusal) => Err(refusal),
                Err(_) => Ok(streamed(Pieces::new(Bytes::new(), None, Bytes::new()))),
            };
        };
        let rest = Rest::Sent(receiver);
        Ok(streamed(Pieces::new(first, Some(rest), Bytes::new())))
    }
}

fn ended() -> Refusal {
    Refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the request ended unexpectedly; see the log".into(),
    )
}

fn streamed(body: Pieces) -> Response<Body> {
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(
            "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
        ),
    );
    response
}

/// A `TimeSeries`.
fn series_message(
    series: &Series,
    range: TimeRange,
    count: &mut usize,
    limit: usize,
) -> Result<Vec<u8>, Refusal> {
    let mut message = Vec::new();
    put_labels(&mut message, &series.labels);
    let mut samples = series.samples(range);
    while let Some((t, value)) = samples.next()? {
        *count += 1;
        if limit > 0 && *count > limit {
            return Err(Refusal::bad(format!("exceeded sample limit ({limit})")));
        }
        match value {
            Value::Float(v) => put_sample(&mut message, t, v),
            Value::Histogram(h) => wire::histogram::put_float(&mut message, 4, t, 0, &h),
        }
    }
    Ok(message)
}

/// Frames on their way to the client.
struct Frames {
    /// Not sent yet.
    out: Vec<u8>,
    /// The series of a frame that is being made.
    message: Vec<u8>,
    limit: usize,
    sender: mpsc::Sender<Bytes>,
}

impl Frames {
    fn series(&mut self, query: usize, range: TimeRange, series: Series) -> Result<(), Refusal> {
        let series = in_order(series, range)?;
        let mut chunks = series
            .chunks
            .iter()
            .filter(|c| c.min_time <= range.max && c.max_time >= range.min)
            .peekable();
        while chunks.peek().is_some() {
            self.message.clear();
            put_labels(&mut self.message, &series.labels);
            for chunk in chunks.by_ref() {
                let Chunk {
                    min_time, max_time, ..
                } = *chunk;
                let kind = chunk.encoding.to_byte();
                put_chunk(&mut self.message, min_time, max_time, kind, &chunk.data);
                if self.message.len() >= self.limit {
                    break;
                }
            }
            self.frame(query)?;
        }
        Ok(())
    }

    fn frame(&mut self, query: usize) -> Result<(), Refusal> {
        let mut data = Vec::with_capacity(self.message.len() + 16);
        put_bytes(&mut data, 1, &self.message);
        if query > 0 {
            wire::put_uint(&mut data, 2, query as u64);
        }
        wire::put_varint(&mut self.out, data.len() as u64);
        let sum = crc32c::crc32c(&data);
        self.out.extend_from_slice(&sum.to_be_bytes());
        self.out.extend_from_slice(&data);
        if self.out.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        let sent = self.sender.blocking_send(out.into());
        sent.map_err(|_| StorageError::Canceled.into())
    }
}

/// Clients take chunks of a series one after the other; those that overlap are written anew.
fn in_order(series: Series, range: TimeRange) -> Result<Series, Refusal> {
    let overlap = |pair: &[Chunk]| pair[1].min_time <= pair[0].max_time;
    if !series.chunks.windows(2).any(overlap) {
        return Ok(series);
    }
    let mut decoded = Vec::new();
    let mut samples = series.samples(range);
    while let Some((t, value)) = samples.next()? {
        decoded.push((
            t,
            match value {
                Value::Float(v) => StoredValue::Float(v),
                Value::Histogram(h) => StoredValue::FloatHistogram((*h).clone()),
            },
        ));
    }
    let borrowed: Vec<(i64, &StoredValue)> = decoded.iter().map(|(t, v)| (*t, v)).collect();
    Ok(Series {
        labels: series.labels,
        chunks: encode(&borrowed)?,
    })
}
