//! Tokens for an application that proves itself by a secret, by another token or by a certificate.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use configfile::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Map;
use signing::certificate::Certificate;
use signing::rsa_key::Algorithm;

use super::read_token;
use crate::cached::Lease;
use crate::token_request::{TokenRequest, TokenServers, check_private};
use crate::world::{World, read_file, read_text};

/// Seconds that a signed assertion holds.
const ASSERTION_SECONDS: i64 = 600;

/// An application of a directory.
pub struct Application {
    /// The token server, without a slash at its end.
    pub authority: String,
    /// The application.
    pub client_id: String,
    /// The directory.
    pub tenant_id: String,
    /// What it proves itself by.
    pub proof: Proof,
}

/// What an application proves itself by.
pub enum Proof {
    /// Its secret.
    Secret(Secret),
    /// A token of somebody that it trusts, in a file.
    TokenFile(String),
    /// Its certificate.
    Certificate {
        /// PEM or PFX.
        path: String,
        /// The key, PEM; empty where it is in the same file.
        key_path: String,
        /// What opens a PFX file.
        password: Secret,
        /// Whether the certificates are shown whole.
        send_chain: bool,
    },
}

impl Application {
    /// Whether a token could be asked for, as far as files tell. The file with a token may come later than we do.
    pub fn check(&self) -> Result<(), String> {
        check_private(&self.authority)?;
        match &self.proof {
            Proof::Certificate {
                path,
                key_path,
                password,
                ..
            } => read_certificate(path, key_path, password).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Asks for a token. Files are read each time, so that new ones take effect.
    pub async fn token(
        &self,
        servers: &TokenServers,
        world: &World,
        scope: &str,
    ) -> Result<Lease<Secret>, String> {
        check_private(&self.authority)?;
        let url = format!("{}/{}/oauth2/v2.0/token", self.authority, self.tenant_id);
        let (proof, value) = match &self.proof {
            Proof::Secret(secret) => ("client_secret", secret.clone()),
            Proof::TokenFile(path) => {
                let token = read_text(path, "federated token file")?;
                ("client_assertion", Secret::new(token))
            }
            Proof::Certificate {
                path,
                key_path,
                password,
                send_chain,
            } => {
                let certificate = read_certificate(path, key_path, password)?;
                let assertion = self.assertion(&certificate, *send_chain, &url, world.now())?;
                ("client_assertion", assertion)
            }
        };
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("scope", scope),
            (proof, value.reveal()),
        ];
        if proof == "client_assertion" {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            fields.push(("client_assertion_type", kind));
        }
        let answer = servers
            .ask(TokenRequest::form(&url, &fields, &[proof]))
            .await?;
        read_token(&answer.object()?, world.now()).map_err(|e| answer.wrong(&e))
    }

    fn assertion(
        &self,
        certificate: &Certificate,
        send_chain: bool,
        url: &str,
        now: i64,
    ) -> Result<Secret, String> {
        let seconds = now / 1000;
        let mut id = [0_u8; 16];
        SystemRandom::new()
            .fill(&mut id)
            .map_err(|_| "no randomness".to_string())?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut header = Map::new();
        let thumbprint = URL_SAFE_NO_PAD.encode(certificate.thumbprint());
        header.insert("x5t#S256".into(), thumbprint.into());
        if send_chain {
            let chain: Vec<String> = certificate
                .chain
                .iter()
                .map(|der| STANDARD.encode(der))
                .collect();
            header.insert("x5c".into(), chain.into());
        }
        let mut claims = Map::new();
        for (name, value) in [
            ("aud", url),
            ("iss", &self.client_id),
            ("sub", &self.client_id),
            ("jti", &id),
        ] {
            claims.insert(name.into(), value.into());
        }
        claims.insert("nbf".into(), seconds.into());
        claims.insert("exp".into(), (seconds + ASSERTION_SECONDS).into());
        signing::jwt::encode(&certificate.key, Algorithm::Ps256, header, claims)
            .map_err(|e| e.to_string())
    }
}

fn read_certificate(path: &str, key_path: &str, password: &Secret) -> Result<Certificate, String> {
    let mut content = read_file(path, "certificate file")?;
    if !key_path.is_empty() {
        content.push(b'\n');
        content.extend(read_file(key_path, "private key file")?);
    }
    Certificate::read(&content, password.reveal())
        .map_err(|e| format!("failed to parse certificate data: {path}: {e}"))
}
