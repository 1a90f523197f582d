//! Queries typed into a URL as they are.
//!
//! `curl 'http://localhost:9090/api/v1/query?query=up{job="x"}>0'` sends its quotes and `>` unescaped. Go's server takes
//! them; the URI type beneath ours does not, and would answer an empty 400. So they are escaped before they get there:
//! in the first request line of a connection only, which is where hands type and where no body can be mistaken for one.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes taken from the connection at a time while its first line is not whole.
const PIECE: usize = 2048;

/// Where in the first request line the next byte stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Method,
    Path,
    Query,
    Behind,
}

/// A connection of HTTP/1 whose first request line arrives with its query escaped.
pub(crate) struct RawQuery<S> {
    stream: S,
    place: Place,
    /// Escaped bytes not read yet, and how many of them are.
    ready: Vec<u8>,
    given: usize,
}

impl<S> RawQuery<S> {
    pub(crate) fn new(stream: S) -> RawQuery<S> {
        RawQuery {
            stream,
            place: Place::Method,
            ready: Vec::new(),
            given: 0,
        }
    }
}

/// Appends `bytes` to `out`, with what a URI may not hold escaped where it stands in a query.
fn escape(place: &mut Place, bytes: &[u8], out: &mut Vec<u8>) {
    for (i, &byte) in bytes.iter().enumerate() {
        *place = match (*place, byte) {
            (Place::Behind, _) => {
                out.extend_from_slice(&bytes[i..]);
                return;
            }
            // Empty lines may precede a request.
            (Place::Method, b'\r' | b'\n') => Place::Method,
            (_, b'\r' | b'\n') => Place::Behind,
            (Place::Method, b' ') => Place::Path,
            (Place::Path | Place::Query, b' ') => Place::Behind,
            (Place::Path, b'?') => Place::Query,
            (place, _) => place,
        };
        let foreign = matches!(byte, b'"' | b'<' | b'>' | b'#') || byte >= 0x80;
        if *place == Place::Query && foreign {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        } else {
            out.push(byte);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RawQuery<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.given == this.ready.len() {
            if this.place == Place::Behind {
                this.ready = Vec::new();
                this.given = 0;
                return Pin::new(&mut this.stream).poll_read(context, buffer);
            }
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            std::task::ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            this.ready.clear();
            this.given = 0;
            escape(&mut this.place, piece.filled(), &mut this.ready);
        }
        let rest = &this.ready[this.given..];
        let n = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..n]);
        this.given += n;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RawQuery<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    async fn through(bytes: &[u8]) -> String {
        let mut all = Vec::new();
        RawQuery::new(bytes)
            .read_to_end(&mut all)
            .await
            .expect("bytes in memory");
        String::from_utf8(all).expect("escaped")
    }

    #[tokio::test]
    async fn the_query_of_the_first_line_is_escaped() {
        let typed =
            "GET /api/v1/query?query=up{job=\"é\"}>0&x=%3C HTTP/1.1\r\nA: \"<>\"\r\n\r\nGET /?<";
        let escaped = "GET /api/v1/query?query=up{job=%22%C3%A9%22}%3E0&x=%3C HTTP/1.1\r\nA: \"<>\"\r\n\r\nGET /?<";
        assert_eq!(through(typed.as_bytes()).await, escaped);
        assert_eq!(
            through(b"\r\nGET /<?< HTTP/1.1\r\n").await,
            "\r\nGET /<?%3C HTTP/1.1\r\n"
        );
    }

    #[tokio::test]
    async fn whatever_is_not_a_query_passes_as_it_is() {
        for bytes in [
            "",
            "nonsense",
            "GET / HTTP/1.1\r\n\r\n?<>",
            "POST /\n?<\"> #",
            "A B C?<",
        ] {
            assert_eq!(through(bytes.as_bytes()).await, bytes);
        }
    }

    #[tokio::test]
    async fn long_lines_pass_in_pieces() {
        let quotes = PIECE * 3 + 7;
        let typed = format!(
            "GET /?{} HTTP/1.1\r\n\r\n{}",
            "\"".repeat(quotes),
            "\"".repeat(quotes)
        );
        let escaped = format!(
            "GET /?{} HTTP/1.1\r\n\r\n{}",
            "%22".repeat(quotes),
            "\"".repeat(quotes)
        );
        assert_eq!(through(typed.as_bytes()).await, escaped);
    }
}
