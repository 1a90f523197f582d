//! The client side: asks a server and reads its envelope.

use net::http_client::HttpClient;
use net::transport_error::describe;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// An answer with its warnings.
#[derive(Clone, Debug, Deserialize)]
pub struct Reply {
    /// `success` or `error`.
    pub status: String,
    /// What was asked for.
    #[serde(default)]
    pub data: Value,
    /// The class of a failure.
    #[serde(default, rename = "errorType")]
    pub error_type: String,
    /// The text of a failure.
    #[serde(default)]
    pub error: String,
    /// What is probably wrong.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What may be.
    #[serde(default)]
    pub infos: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The server cannot be reached.
    #[error("{0}")]
    Transport(String),
    /// It refuses.
    #[error("{kind}: {message}")]
    Refused {
        /// `bad_data` and so on.
        kind: String,
        /// The text.
        message: String,
    },
    /// It answers something else.
    #[error("server returned {status}: {body}")]
    Unexpected {
        /// The status line.
        status: String,
        /// The start of the body.
        body: String,
    },
}

/// Asks `url` (the API's path included) with the parameters as a form.
pub async fn post(
    client: &HttpClient,
    url: &str,
    params: &[(&str, String)],
    headers: &[(String, String)],
) -> Result<Reply, ClientError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        form.append_pair(name, value);
    }
    let transport = |e: &dyn std::fmt::Display| {
        ClientError::Transport(format!("Post {}: {e}", model::labels::go_quote(url)))
    };
    let mut request = client
        .post(url)
        .await
        .map_err(|e| transport(&e))?
        .header("Content-Type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let sent = request.body(form.finish()).send().await;
    finish(sent, "Post", url).await
}

/// Asks `url` with the parameters in it.
pub async fn get(
    client: &HttpClient,
    url: &str,
    params: &[(&str, String)],
) -> Result<Reply, ClientError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        query.append_pair(name, value);
    }
    let url = format!("{url}?{}", query.finish());
    let request = client
        .get(&url)
        .await
        .map_err(|e| ClientError::Transport(e.to_string()))?;
    finish(request.send().await, "Get", &url).await
}

async fn finish(
    sent: Result<net::http_client::Response, net::http_client::TransportError>,
    method: &str,
    url: &str,
) -> Result<Reply, ClientError> {
    let transport = |e: net::http_client::TransportError| {
        ClientError::Transport(describe(method, url, &e, true))
    };
    let response = sent.map_err(transport)?;
    let status = response.status().to_string();
    let body = response.bytes().await.map_err(transport)?;
    match serde_json::from_slice::<Reply>(&body) {
        Ok(reply) if reply.status == "success" => Ok(reply),
        Ok(reply) if reply.status == "error" => Err(ClientError::Refused {
            kind: reply.error_type,
            message: reply.error,
        }),
        _ => {
            let body: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            Err(ClientError::Unexpected {
                status,
                body: body.trim().to_string(),
            })
        }
    }
}
