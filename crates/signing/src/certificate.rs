//! A certificate with its key, out of a PEM or a PFX file.

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use ring::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;

use crate::rsa_key::{KeyError, RsaKey};

/// Why a file holds no certificate with its key. Never shows the key or what opens the file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CertificateError {
    /// Neither form.
    #[error("neither PEM certificates nor a PFX file that opens with this password: {0}")]
    Form(String),
    /// Something is damaged.
    #[error("unusable certificate: {0}")]
    Certificate(String),
    /// The key is missing or not of the right kind.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There are certificates, and none for the key.
    #[error("found no certificate matching the private key")]
    NoMatch,
}

/// A certificate with its key and the chain above it.
#[derive(Debug)]
pub struct Certificate {
    /// The key.
    pub key: RsaKey,
    /// Certificates in DER form, the key's own first.
    pub chain: Vec<Vec<u8>>,
}

impl Certificate {
    /// Reads a file's content: PEM blocks (certificates and a key that is not encrypted), or PFX that `password` opens.
    pub fn read(content: &[u8], password: &str) -> Result<Certificate, CertificateError> {
        let has_pem = content
            .windows(PEM_START.len())
            .any(|part| part == PEM_START);
        let (key, chain) = if has_pem {
            (RsaKey::from_pem(content)?, pem_chain(content)?)
        } else {
            pfx(content, password)?
        };
        Certificate::of(key, chain)
    }

    fn of(key: RsaKey, mut chain: Vec<Vec<u8>>) -> Result<Certificate, CertificateError> {
        let mut own = None;
        for (at, der) in chain.iter().enumerate() {
            let (_, parsed) = x509_parser::parse_x509_certificate(der)
                .map_err(|e| CertificateError::Certificate(e.to_string()))?;
            if parsed.public_key().subject_public_key.data.as_ref() == key.public() {
                own.get_or_insert(at);
            }
        }
        let own = own.ok_or(CertificateError::NoMatch)?;
        chain[..=own].rotate_right(1);
        Ok(Certificate { key, chain })
    }

    /// The SHA-256 of the key's certificate.
    pub fn thumbprint(&self) -> Vec<u8> {
        let own = self.chain.first().map_or(&[][..], Vec::as_slice);
        digest::digest(&digest::SHA256, own).as_ref().to_vec()
    }
}

const PEM_START: &[u8] = b"-----BEGIN ";

fn pem_chain(content: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    CertificateDer::pem_slice_iter(content)
        .map(|one| match one {
            Ok(der) => Ok(der.as_ref().to_vec()),
            Err(e) => Err(CertificateError::Certificate(e.to_string())),
        })
        .collect()
}

fn pfx(content: &[u8], password: &str) -> Result<(RsaKey, Vec<Vec<u8>>), CertificateError> {
    let store = KeyStore::from_pkcs12(content, password, Pkcs12ImportPolicy::Relaxed)
        .map_err(|e| CertificateError::Form(e.to_string()))?;
    let (_, chain) = store.private_key_chain().ok_or(KeyError::NoKey)?;
    let key = RsaKey::from_pkcs8(chain.key().as_der())?;
    let certificates = chain.certs().iter();
    Ok((key, certificates.map(|one| one.as_der().to_vec()).collect()))
}
