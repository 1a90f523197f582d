//! A request as it is put together while the log is read.
//!
//! Items become bytes where they are read: what waits for a sender is a compressed request, some twenty bytes a sample,
//! and no series is shared between the reader's processor and the senders'.

use configfile::remote::WriteMessage;
use snap::raw::{Encoder, max_compress_len};
use wire::remote_write::{RequestV2, Version, put_v1};

use crate::batch::{Contents, Counts, Read, Request};
use crate::known_series::Known;

/// The version of the messages of a queue.
pub fn version(message: WriteMessage) -> Version {
    match message {
        WriteMessage::V1 => Version::V1,
        WriteMessage::V2 => Version::V2,
    }
}

/// Compresses one request after another.
pub struct Press {
    encoder: Encoder,
    message: Vec<u8>,
    space: Vec<u8>,
}

impl Default for Press {
    fn default() -> Press {
        Press {
            encoder: Encoder::new(),
            message: Vec::new(),
            space: Vec::new(),
        }
    }
}

impl Press {
    fn press(&mut self, message: &[u8]) -> Result<bytes::Bytes, snap::Error> {
        let most = max_compress_len(message.len());
        if self.space.len() < most {
            self.space.resize(most, 0);
        }
        let length = self.encoder.compress(message, &mut self.space)?;
        Ok(bytes::Bytes::copy_from_slice(&self.space[..length]))
    }
}

enum Message {
    V1(Vec<u8>),
    V2(Box<RequestV2>),
}

/// A request that fills up.
pub struct Packing {
    message: Message,
    contents: Contents,
}

impl Packing {
    /// Of a version.
    pub fn new(version: Version) -> Packing {
        Packing {
            message: match version {
                Version::V1 => Message::V1(Vec::new()),
                Version::V2 => Message::V2(Box::default()),
            },
            contents: Contents::default(),
        }
    }

    /// How many items are in it.
    pub fn len(&self) -> usize {
        self.contents.counts.all() as usize
    }

    /// What is in it.
    pub fn counts(&self) -> Counts {
        self.contents.counts
    }

    /// Adds an item of a series.
    pub fn push(&mut self, series: Known<'_>, read: &Read) {
        self.contents.see(read.payload.kind(), read.t);
        let value = read.payload.outgoing();
        match (&mut self.message, series) {
            (Message::V1(message), Known::Encoded(labels)) => {
                put_v1(message, labels, read.t, value);
            }
            (Message::V2(request), Known::Labels(labels, metadata)) => {
                request.push(labels, read.t, read.start, value, metadata);
            }
            (Message::V1(_), Known::Labels(..)) | (Message::V2(_), Known::Encoded(_)) => {
                unreachable!("a queue keeps its series for the one version that it sends")
            }
        }
    }

    /// The request; the next one is begun.
    pub fn finish(&mut self, press: &mut Press) -> Result<Request, snap::Error> {
        let contents = std::mem::take(&mut self.contents);
        let body = match &mut self.message {
            Message::V1(message) => {
                let body = press.press(message);
                message.clear();
                body?
            }
            Message::V2(request) => {
                let mut message = std::mem::take(&mut press.message);
                message.clear();
                request.finish(&mut message);
                request.clear();
                let body = press.press(&message);
                press.message = message;
                body?
            }
        };
        Ok(Request { body, contents })
    }
}
