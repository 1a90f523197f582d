//! How the tool reaches servers: their address, and credentials from a file.

use configfile::decode::{Faults, Fields};
use configfile::http_client::HttpClientConfig;
use flags::{Flag, Takes, Values};
use net::http_client::HttpClient;

/// The flag with the file of credentials.
pub const CLIENT_CONFIG: Flag = Flag::value(
    "http.config.file",
    "",
    "HTTP client configuration file, see details at https://prometheus.io/docs/prometheus/latest/configuration/promtool",
)
.placeholder("<filename>")
.takes(Takes::File);

/// Why there is no client; for the user.
pub struct ClientFault(pub String);

/// A client for the server of a command line's `server` word, and the address of `path` there.
pub fn client_and_url(values: &Values, path: &str) -> Result<(HttpClient, String), ClientFault> {
    Ok((client(values)?, url(values.text("server"), path)))
}

/// A client with the credentials that a command line names.
pub fn client(values: &Values) -> Result<HttpClient, ClientFault> {
    let file = values.text(CLIENT_CONFIG.name);
    let config = match file {
        "" => HttpClientConfig::default(),
        file => read_config(file)
            .map_err(|e| ClientFault(format!("Failed to load HTTP config file: {e}")))?,
    };
    HttpClient::new(&config, &crate::build::user_agent())
        .map_err(|e| ClientFault(format!("Failed to create a new HTTP round tripper: {e}")))
}

/// `path` on a server, whose address may come without a scheme.
pub fn url(server: &str, path: &str) -> String {
    let server = server.trim_end_matches('/');
    let scheme = if server.contains("://") {
        ""
    } else {
        "http://"
    };
    format!("{scheme}{server}{path}")
}

fn read_config(file: &str) -> Result<HttpClientConfig, String> {
    let text = std::fs::read_to_string(file).map_err(|e| crate::load::unread(file, &e))?;
    let node = configfile::yaml::parse(&text).map_err(|e| e.to_string())?;
    let mut faults = Faults::default();
    let mut fields = Fields::open(&node, "config.plain", &mut faults);
    let read = HttpClientConfig::take(&mut fields, &mut faults);
    fields.close(&mut faults);
    faults.finish(read).map_err(|e| e.to_string())
}
