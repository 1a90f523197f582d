//! Bodies that are made while they are sent: a large answer is never held whole as text.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// Bytes of a piece, about.
pub const PIECE: usize = 256 << 10;

/// What is still to come of an answer.
pub enum Rest {
    /// Made when there is room for it, on the connection's own thread: pieces must be quick to make.
    Made(Box<dyn Iterator<Item = Bytes> + Send>),
    /// Sent from a thread that may block.
    Sent(mpsc::Receiver<Bytes>),
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

/// A body in up to three parts: bytes at hand, pieces to come, bytes at hand. Dropping it, as happens when the client
/// goes away, ends the making of pieces.
pub struct Pieces {
    first: Bytes,
    rest: Option<Rest>,
    last: Bytes,
}

impl Pieces {
    /// `first`, then all of `rest`, then `last`.
    pub fn new(first: Bytes, rest: Option<Rest>, last: Bytes) -> Pieces {
        Pieces { first, rest, last }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let mut piece = std::mem::take(&mut this.first);
        while piece.is_empty()
            && let Some(rest) = &mut this.rest
        {
            let next = match rest {
                Rest::Made(pieces) => pieces.next(),
                Rest::Sent(pieces) => match pieces.poll_recv(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(next) => next,
                },
            };
            match next {
                Some(next) => piece = next,
                None => this.rest = None,
            }
        }
        if piece.is_empty() {
            piece = std::mem::take(&mut this.last);
        }
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_none() && self.last.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let known = (self.first.len() + self.last.len()) as u64;
        if self.rest.is_none() {
            return SizeHint::with_exact(known);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(known);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn collected(body: Pieces) -> Bytes {
        body.collect().await.expect("infallible").to_bytes()
    }

    #[tokio::test]
    async fn parts_come_in_order() {
        let (sender, receiver) = mpsc::channel(3);
        for piece in ["b", "", "c"] {
            sender.try_send(Bytes::from(piece)).expect("room");
        }
        drop(sender);
        let body = Pieces::new("a".into(), Some(Rest::Sent(receiver)), "d".into());
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(collected(body).await, "abcd");
        let made = Rest::Made(Box::new(["b", "c"].map(Bytes::from).into_iter()));
        let body = Pieces::new(Bytes::new(), Some(made), "d".into());
        assert_eq!(collected(body).await, "bcd");
        let body = Pieces::new("a".into(), None, "d".into());
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(collected(body).await, "ad");
        assert!(Pieces::new(Bytes::new(), None, Bytes::new()).is_end_stream());
    }
}
