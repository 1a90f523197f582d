//! A response's body that tells at its end how many bytes it had.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use env::instruments::Histogram;
use hyper::body::{Frame, SizeHint};

/// Counts what goes through; a client that goes away has got what it has got.
pub struct CountedBody {
    body: Body,
    sent: u64,
    sizes: Histogram,
}

impl CountedBody {
    /// Notes the size of `body` in `sizes`.
    pub fn new(body: Body, sizes: Histogram) -> CountedBody {
        CountedBody {
            body,
            sent: 0,
            sizes,
        }
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.sizes.observe(self.sent as f64);
    }
}
