//! Keys and certificates as files have them, and tokens signed with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use serde_json::{Map, Value, json};
use signing::certificate::{Certificate, CertificateError};
use signing::jwt::encode;
use signing::rsa_key::{Algorithm, RsaKey};

const KEY: &str = include_str!("certificates/key.pem");
const CERT: &str = include_str!("certificates/cert.pem");
const OTHER: &str = include_str!("certificates/other.pem");
const PASSWORD: &str = "open-sesame";

#[test]
fn every_form_gives_the_same_certificate_and_key() {
    let plain = Certificate::read(format!("{CERT}\n{KEY}").as_bytes(), "").expect("PEM");
    assert_eq!(plain.chain.len(), 1);
    // The key's own certificate comes first, wherever it stands.
    let last = format!("{KEY}{OTHER}{CERT}");
    let last = Certificate::read(last.as_bytes(), "").expect("PEM");
    assert_eq!(last.chain.len(), 2);
    let modern = include_bytes!("certificates/modern.pfx");
    let legacy = include_bytes!("certificates/legacy.pfx");
    let unlocked = include_bytes!("certificates/unlocked.pfx");
    for other in [
        last,
        Certificate::read(modern, PASSWORD).expect("PFX with AES"),
        Certificate::read(legacy, PASSWORD).expect("PFX with 3DES"),
        Certificate::read(unlocked, "").expect("PFX without a password"),
    ] {
        assert_eq!(other.chain[0], plain.chain[0]);
        assert_eq!(other.thumbprint(), plain.thumbprint());
        assert_eq!(other.key.public(), plain.key.public());
    }
}

#[test]
fn what_is_wrong_is_told_without_secrets() {
    let modern = include_bytes!("certificates/modern.pfx");
    let read = |content: &[u8], password: &str| {
        Certificate::read(content, password).expect_err("nothing that can be used")
    };
    let no_match = read(format!("{OTHER}{KEY}").as_bytes(), "");
    assert_eq!(no_match, CertificateError::NoMatch);
    assert_eq!(
        read(CERT.as_bytes(), "").to_string(),
        "no RSA key in PEM form"
    );
    for (content, password) in [
        (&modern[..], "s3cr3t"),
        (&modern[..modern.len() / 2], PASSWORD),
        (b"", "s3cr3t"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", ""),
    ] {
        let error = read(content, password).to_string();
        assert!(!error.contains("s3cr3t"), "{error}");
        assert!(!error.contains(PASSWORD), "{error}");
    }
}

#[test]
fn damaged_files_give_errors() {
    let files: [(&[u8], &str); 3] = [
        (include_bytes!("certificates/modern.pfx"), PASSWORD),
        (include_bytes!("certificates/legacy.pfx"), PASSWORD),
        (KEY.as_bytes(), ""),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for (content, password) in files {
        for _ in 0..20 {
            let mut damaged = content.to_vec();
            // The front is structure: lengths and kinds, not what is encrypted.
            let at = chance(damaged.len().min(120));
            damaged[at] ^= 1 << chance(8);
            // Either it did not matter or it is an error; the point is that this returns.
            let _ = Certificate::read(&damaged, password);
        }
    }
}

fn verify(token: &str, key: &RsaKey, how: &'static RsaParameters) -> (Value, Value) {
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
    UnparsedPublicKey::new(how, key.public())
        .verify(signed.as_bytes(), &part(signature))
        .expect("the signature holds");
    let (header, claims) = signed.split_once('.').expect("two parts");
    let read = |text: &str| serde_json::from_slice(&part(text)).expect("JSON");
    (read(header), read(claims))
}

#[test]
fn tokens_are_signed_in_both_ways() {
    let pkcs1 = include_str!("certificates/key_pkcs1.pem");
    for pem in [KEY, pkcs1] {
        let key = RsaKey::from_pem(pem.as_bytes()).expect("a key");
        let claims: Map<String, Value> = Map::from_iter([("iss".to_string(), json!("me"))]);
        let header = Map::from_iter([("kid".to_string(), json!("k"))]);
        for (algorithm, how) in [
            (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
        ] {
            let token = encode(&key, algorithm, header.clone(), claims.clone()).expect("signed");
            let (header, claims) = verify(token.reveal(), &key, how);
            let expected = json!({"alg": algorithm.as_str(), "typ": "JWT", "kid": "k"});
            assert_eq!(header, expected);
            assert_eq!(claims, json!({"iss": "me"}));
        }
    }
}
