//! A private RSA key, as files have it.

use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;

/// Why something is no key or does not sign. Never shows the key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// No private RSA key is in the text.
    #[error("no RSA key in PEM form")]
    NoKey,
    /// There is one, and it cannot be used.
    #[error("unusable RSA key: {0}")]
    Unusable(String),
    /// No chance to be had, or a key that is too small.
    #[error("cannot sign with the key")]
    Signing,
}

/// How a text is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// PKCS #1 with SHA-256.
    Rs256,
    /// PKCS #1 with SHA-384.
    Rs384,
    /// PKCS #1 with SHA-512.
    Rs512,
    /// PSS with SHA-256.
    Ps256,
}

impl Algorithm {
    /// As tokens name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
        }
    }

    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_SHA512,
            Algorithm::Ps256 => &RSA_PSS_SHA256,
        }
    }
}

/// A private RSA key.
#[derive(Debug)]
pub struct RsaKey(RsaKeyPair);

impl RsaKey {
    /// The first private key of a PEM text, in PKCS #1 or PKCS #8 form.
    pub fn from_pem(pem: &[u8]) -> Result<RsaKey, KeyError> {
        let pair = match PrivateKeyDer::from_pem_slice(pem) {
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(KeyError::NoKey),
        };
        pair.map(RsaKey).map_err(unusable)
    }

    /// A key in PKCS #8 form.
    pub fn from_pkcs8(der: &[u8]) -> Result<RsaKey, KeyError> {
        RsaKeyPair::from_pkcs8(der).map(RsaKey).map_err(unusable)
    }

    /// The public half, as certificates have it (PKCS #1).
    pub fn public(&self) -> &[u8] {
        self.0.public().as_ref()
    }

    /// Signs a text.
    pub fn sign(&self, algorithm: Algorithm, text: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        // Chance goes into padding and blinding only, and the library takes it from the system alone.
        let chance = SystemRandom::new();
        self.0
            .sign(algorithm.encoding(), &chance, text, &mut signature)
            .map_err(|_| KeyError::Signing)?;
        Ok(signature)
    }
}

fn unusable(error: ring::error::KeyRejected) -> KeyError {
    KeyError::Unusable(error.to_string())
}
