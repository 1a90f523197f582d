//! What went wrong while a page came in.

use std::error::Error;

use net::transport_error::causes;

use crate::fetch::FetchError;

/// What went wrong while a body came in.
pub fn of_body(error: &(dyn Error + 'static)) -> FetchError {
    let what = causes(error)
        .last()
        .map_or(String::new(), ToString::to_string);
    let lower = what.to_lowercase();
    if lower.contains("end of file before") || lower.contains("connection closed before") {
        return FetchError::Torn;
    }
    FetchError::Transport(match lower.contains("chunk size") {
        true => "invalid byte in chunk length".into(),
        false => what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_bodies_and_broken_chunks() {
        let torn = std::io::Error::other("end of file before message length reached");
        assert_eq!(of_body(&torn), FetchError::Torn);
        let chunks = std::io::Error::other("invalid chunk size line: missing size digit");
        assert_eq!(of_body(&chunks).to_string(), "invalid byte in chunk length");
    }
}
