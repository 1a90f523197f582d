//! The envelope around every answer.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use crate::error::ApiError;
use crate::json::push_string;
use crate::stream::{Pieces, Rest};

/// An answer: the JSON of its data, with warnings and infos.
#[derive(Debug, Default)]
pub struct Reply {
    /// JSON; empty when there is nothing to say.
    pub data: Vec<u8>,
    /// The rest of `data`, while it is being made.
    pub rest: Option<Rest>,
    /// What is probably wrong.
    pub warnings: Vec<String>,
    /// What may be.
    pub infos: Vec<String>,
}

impl Reply {
    /// Data that can be serialised.
    pub fn of(data: &impl serde::Serialize) -> Result<Reply, ApiError> {
        let data = serde_json::to_vec(data).map_err(|e| ApiError::internal(e.to_string()))?;
        Ok(Reply {
            data,
            ..Reply::default()
        })
    }

    /// A list of texts.
    pub fn strings(values: &[String]) -> Reply {
        let mut data = vec![b'['];
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                data.push(b',');
            }
            push_string(&mut data, value);
        }
        data.push(b']');
        Reply {
            data,
            ..Reply::default()
        }
    }
}

/// What a handler gives.
pub type Handled = Result<Reply, ApiError>;

/// Puts the envelope around.
pub fn respond(handled: Handled) -> Response<Body> {
    let (status, body) = match handled {
        Ok(reply) if reply.data.is_empty() && reply.rest.is_none() => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        Ok(reply) => (StatusCode::OK, success(reply)),
        Err(error) => (error.kind.status(), Body::from(failure(&error))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn success(mut reply: Reply) -> Body {
    let mut last = Vec::new();
    push_notes(&mut last, "warnings", &reply.warnings);
    push_notes(&mut last, "infos", &reply.infos);
    last.push(b'}');
    // In place: what is long is not copied for its envelope.
    let mut first = reply.data;
    first.splice(0..0, b"{\"status\":\"success\",\"data\":".iter().copied());
    Body::new(Pieces::new(first.into(), reply.rest.take(), last.into()))
}

fn push_notes(out: &mut Vec<u8>, name: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    out.extend_from_slice(format!(",\"{name}\":").as_bytes());
    out.extend_from_slice(&Reply::strings(notes).data);
}

fn failure(error: &ApiError) -> Vec<u8> {
    let mut out = b"{\"status\":\"error\",\"errorType\":".to_vec();
    push_string(&mut out, error.kind.as_str());
    out.extend_from_slice(b",\"error\":");
    push_string(&mut out, &error.message);
    out.push(b'}');
    out
}
