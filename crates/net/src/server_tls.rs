//! The server's side of TLS, as `tls_server_config` describes it.

use std::sync::Arc;

use configfile::web::{ClientAuth, TlsServerConfig};
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::tls::{Signatures, certificates, protocols};

/// TLS settings with the certificates they name, which may be replaced on disk at any time.
pub struct ServerTls {
    settings: TlsServerConfig,
    http2: bool,
    current: Mutex<(Material, Arc<rustls::ServerConfig>)>,
}

/// What is read from files, PEM.
#[derive(PartialEq)]
struct Material {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

impl ServerTls {
    /// Reads the files and checks that they go together.
    pub fn new(settings: &TlsServerConfig, http2: bool) -> Result<ServerTls, String> {
        let material = read(settings)?;
        let config = build(settings, http2, &material)?;
        Ok(ServerTls {
            settings: settings.clone(),
            http2,
            current: Mutex::new((material, Arc::new(config))),
        })
    }

    /// The configuration for the next connection, from the files as they are now.
    pub fn config(&self) -> Result<Arc<rustls::ServerConfig>, String> {
        let material = read(&self.settings)?;
        let mut current = self.current.lock();
        if current.0 != material {
            let config = build(&self.settings, self.http2, &material)?;
            *current = (material, Arc::new(config));
        }
        Ok(current.1.clone())
    }
}

fn read(settings: &TlsServerConfig) -> Result<Material, String> {
    let of = |text: &str, path: &str, what: &str| {
        if path.is_empty() {
            return Ok(text.as_bytes().to_vec());
        }
        std::fs::read(path).map_err(|e| format!("unable to read {what} {path}: {e}"))
    };
    Ok(Material {
        cert: of(&settings.cert, &settings.cert_file, "cert_file")?,
        key: of(settings.key.reveal(), &settings.key_file, "key_file")?,
        ca: of(
            &settings.client_ca,
            &settings.client_ca_file,
            "client_ca_file",
        )?,
    })
}

fn build(
    settings: &TlsServerConfig,
    http2: bool,
    material: &Material,
) -> Result<rustls::ServerConfig, String> {
    let provider = Arc::new(choose(settings)?);
    let chain = certificates(&material.cert).map_err(|e| format!("cert_file: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(&material.key)
        .map_err(|e| format!("key_file: no private key in it: {e}"))?;
    let verifier = client_verifier(settings, material, &provider)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(settings)?)
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| format!("cert_file and key_file do not go together: {e}"))?;
    config.alpn_protocols = protocols(http2);
    Ok(config)
}

fn versions(
    settings: &TlsServerConfig,
) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, String> {
    let chosen = crate::tls::versions(settings.min_version, settings.max_version);
    if chosen.is_empty() {
        return Err("min_version and max_version leave neither TLS12 nor TLS13".into());
    }
    Ok(chosen)
}

/// Suites and curves that Go knows and this library does not speak, being old.
const OLD_SUITES: [&str; 12] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

fn choose(settings: &TlsServerConfig) -> Result<CryptoProvider, String> {
    let mut chosen = provider::default_provider();
    if !settings.cipher_suites.is_empty() {
        let name = |suite: &rustls::SupportedCipherSuite| {
            // Go's names say WITH for 1.2 and nothing for 1.3; the library's constants are `TLS13_...`.
            format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
        };
        let plain = |word: &str| word.trim_end_matches("_SHA256").to_string();
        let fits = |word: &str, suite: &rustls::SupportedCipherSuite| {
            let suite = name(suite);
            suite == word || (word.contains("CHACHA20") && plain(&suite) == plain(word))
        };
        for word in &settings.cipher_suites {
            let known = chosen.cipher_suites.iter().any(|suite| fits(word, suite));
            if !known && !OLD_SUITES.contains(&word.as_str()) {
                return Err(format!("unknown cipher: {word}"));
            }
        }
        // As in Go, the suites of 1.3 are not configurable.
        chosen.cipher_suites.retain(|suite| {
            suite.tls13().is_some() || settings.cipher_suites.iter().any(|word| fits(word, suite))
        });
    }
    if !settings.curve_preferences.is_empty() {
        let group = |word: &str| match word {
            "CurveP256" => Ok(Some(provider::kx_group::SECP256R1)),
            "CurveP384" => Ok(Some(provider::kx_group::SECP384R1)),
            "X25519" => Ok(Some(provider::kx_group::X25519)),
            // Known to Go, not to the library.
            "CurveP521" => Ok(None),
            other => Err(format!("unknown curve: {other}")),
        };
        let groups: Vec<_> = settings
            .curve_preferences
            .iter()
            .map(|word| group(word))
            .collect::<Result<Vec<_>, _>>()?;
        chosen.kx_groups = groups.into_iter().flatten().collect();
        if chosen.kx_groups.is_empty() {
            return Err("curve_preferences: CurveP521 alone cannot be spoken".into());
        }
    }
    Ok(chosen)
}

fn client_verifier(
    settings: &TlsServerConfig,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    if settings.client_auth == ClientAuth::None {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    if !settings.client_auth.verifies() {
        return Ok(Arc::new(AnyClient {
            mandatory: settings.client_auth == ClientAuth::RequireAny,
            signatures: Signatures(provider.clone()),
        }));
    }
    let mut roots = RootCertStore::empty();
    let unusable = |e: String| format!("client_ca_file: {e}");
    for certificate in certificates(&material.ca).map_err(unusable)? {
        roots
            .add(certificate)
            .map_err(|e| unusable(e.to_string()))?;
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if settings.client_auth == ClientAuth::VerifyIfGiven {
        builder = builder.allow_unauthenticated();
    }
    let inner = builder.build().map_err(|e| e.to_string())?;
    if settings.client_allowed_sans.is_empty() {
        return Ok(inner);
    }
    Ok(Arc::new(NamedClients {
        inner,
        names: settings.client_allowed_sans.clone(),
    }))
}

/// Asks for certificates and believes all of them; only that the client has the key is checked.
#[derive(Debug)]
struct AnyClient {
    mandatory: bool,
    signatures: Signatures,
}

/// Lets in those whose good certificate has one of the names.
#[derive(Debug)]
struct NamedClients {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.tls12(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.tls13(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}

impl ClientCertVerifier for NamedClients {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .inner
            .verify_client_cert(certificate, intermediates, now)?;
        if alternative_names(certificate)
            .iter()
            .any(|name| self.names.contains(name))
        {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
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

fn alternative_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some(text.to_string())
        }
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|b| std::net::Ipv4Addr::from(b).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|b| std::net::Ipv6Addr::from(b).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}
