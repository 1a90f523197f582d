//! What both sides of TLS need: certificates out of PEM, versions, and the check that the other side has its key.

use std::sync::Arc;

use configfile::http_client::TlsVersion;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};

/// The certificates in a PEM text, at least one.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    if chain.is_empty() {
        return Err("no certificate in it".into());
    }
    Ok(chain)
}

/// The versions in a range, none where all of it is too old: versions before 1.2 are never spoken.
pub fn versions(
    min: Option<TlsVersion>,
    max: Option<TlsVersion>,
) -> Vec<&'static SupportedProtocolVersion> {
    let min = min.unwrap_or(TlsVersion::Tls12);
    let max = max.unwrap_or(TlsVersion::Tls13);
    [
        (TlsVersion::Tls12, &rustls::version::TLS12),
        (TlsVersion::Tls13, &rustls::version::TLS13),
    ]
    .into_iter()
    .filter(|(version, _)| min <= *version && *version <= max)
    .map(|(_, version)| version)
    .collect()
}

/// What is offered to the other side.
pub fn protocols(http2: bool) -> Vec<Vec<u8>> {
    let mut offered = vec![b"http/1.1".to_vec()];
    if http2 {
        offered.insert(0, b"h2".to_vec());
    }
    offered
}

/// Checks signatures of handshakes: that the other side has the key of its certificate, whoever it is.
#[derive(Clone, Debug)]
pub struct Signatures(pub Arc<CryptoProvider>);

/// Whether a signature holds.
type Checked = Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error>;

impl Signatures {
    /// In TLS 1.2.
    pub fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Checked {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    /// In TLS 1.3.
    pub fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Checked {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    /// Which ones can be checked.
    pub fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
