//! Whether a stand-in's request is signed as it has to be.

use testkit::aws_signature::{self, Request};

use crate::stand_in::Seen;

/// The names that are signed, and `region/service`; panics unless the signature is that of the key.
pub fn check(seen: &Seen, access_key: &str, secret_key: &str) -> (Vec<String>, String) {
    let target = seen
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let request = Request {
        method: seen.method.as_str(),
        target,
        header: &|name| seen.header(name).to_string(),
        body: &seen.body,
    };
    aws_signature::check(&request, access_key, secret_key)
}
