//! The client's side of TLS, as `tls_config` describes it.

use std::sync::Arc;

use configfile::http_client::TlsConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::http_client::ClientError;
use crate::tls::{Signatures, certificates, protocols};

/// What is read from files, PEM; empty where nothing is configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Material {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Material {
    /// Reads what the section names, as it is on disk now.
    pub fn read(tls: &TlsConfig) -> Result<Material, ClientError> {
        let of = |text: &str, path: &str, what: &'static str| {
            if path.is_empty() {
                return Ok(text.as_bytes().to_vec());
            }
            std::fs::read(path).map_err(|source| ClientError::File {
                what,
                path: path.to_string(),
                source,
            })
        };
        Ok(Material {
            ca: of(&tls.ca, &tls.ca_file, "CA certificate")?,
            cert: of(&tls.cert, &tls.cert_file, "client certificate")?,
            key: of(tls.key.reveal(), &tls.key_file, "client key")?,
        })
    }
}

fn invalid(message: impl std::fmt::Display) -> ClientError {
    ClientError::Invalid(format!("tls_config: {message}"))
}

/// Settings for connections; `http2` offers it.
pub fn client_config(
    tls: &TlsConfig,
    material: &Material,
    http2: bool,
) -> Result<rustls::ClientConfig, ClientError> {
    let provider = Arc::new(provider::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(tls)?)
        .map_err(invalid)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(tls, material, provider)?);
    let mut config = if material.cert.is_empty() {
        builder.with_no_client_auth()
    } else {
        let chain = certificates(&material.cert)
            .map_err(|e| invalid(format!("client certificate {}: {e}", tls.cert_file)))?;
        let key = PrivateKeyDer::from_pem_slice(&material.key)
            .map_err(|e| invalid(format!("client key {}: {e}", tls.key_file)))?;
        builder.with_client_auth_cert(chain, key).map_err(|e| {
            invalid(format!(
                "client certificate and key do not go together: {e}"
            ))
        })?
    };
    config.alpn_protocols = protocols(http2);
    Ok(config)
}

fn versions(
    tls: &TlsConfig,
) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, ClientError> {
    let chosen = crate::tls::versions(tls.min_version, tls.max_version);
    if chosen.is_empty() {
        return Err(invalid(
            "max_version is older than TLS12, the oldest that is spoken",
        ));
    }
    Ok(chosen)
}

fn verifier(
    tls: &TlsConfig,
    material: &Material,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ClientError> {
    if tls.insecure_skip_verify {
        return Ok(Arc::new(Credulous(Signatures(provider))));
    }
    let inner: Arc<dyn ServerCertVerifier> = if material.ca.is_empty() {
        Arc::new(rustls_platform_verifier::Verifier::new(provider).map_err(invalid)?)
    } else {
        let mut roots = RootCertStore::empty();
        let of = if tls.ca_file.is_empty() {
            "from inline"
        } else {
            &tls.ca_file
        };
        let unusable =
            |e: String| ClientError::Invalid(format!("unable to use specified CA cert {of}: {e}"));
        for certificate in certificates(&material.ca).map_err(unusable)? {
            roots
                .add(certificate)
                .map_err(|e| unusable(e.to_string()))?;
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(invalid)?
    };
    Ok(match server_name(tls)? {
        Some(name) => Arc::new(Renamed { inner, name }),
        None => inner,
    })
}

/// The name that the server is expected to have, where it is not the URL's.
pub fn server_name(tls: &TlsConfig) -> Result<Option<ServerName<'static>>, ClientError> {
    if tls.server_name.is_empty() {
        return Ok(None);
    }
    let name = ServerName::try_from(tls.server_name.clone());
    name.map(Some)
        .map_err(|_| invalid(format!("invalid server_name {:?}", tls.server_name)))
}

/// Expects another name in the certificate than the URL's.
#[derive(Debug)]
struct Renamed {
    inner: Arc<dyn ServerCertVerifier>,
    name: ServerName<'static>,
}

/// Believes every certificate; only that the server has its key is checked.
#[derive(Debug)]
struct Credulous(Signatures);

impl ServerCertVerifier for Renamed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(certificate, intermediates, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.tls12(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.tls13(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.schemes()
    }
}
