//! Signatures against those that Amazon publishes.

use configfile::Secret;
use signing::aws_v4::{Call, Keys, Purpose, sign};

fn keys(session_token: &str) -> Keys {
    Keys {
        access_key: "AKIDEXAMPLE".into(),
        secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: Secret::new(session_token),
    }
}

/// 2015-08-30T12:36:00Z
const NOW: i64 = 1_440_938_160_000;

struct Case {
    name: &'static str,
    service: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
    signature: &'static str,
}

const HOST: (&str, &str) = ("Host", "example.amazonaws.com");

const CASES: [Case; 9] = [
    Case {
        name: "the example of the general reference",
        service: "iam",
        method: "GET",
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &[
            (
                "Content-Type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
            ("Host", "iam.amazonaws.com"),
        ],
        body: b"",
        signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    },
    Case {
        name: "get-vanilla",
        service: "service",
        method: "GET",
        path: "/",
        query: "",
        headers: &[HOST],
        body: b"",
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    },
    Case {
        name: "get-vanilla-query-order-key-case",
        service: "service",
        method: "GET",
        path: "/",
        query: "Param2=value2&Param1=value1",
        headers: &[HOST],
        body: b"",
        signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    },
    Case {
        name: "post-vanilla",
        service: "service",
        method: "POST",
        path: "/",
        query: "",
        headers: &[HOST],
        body: b"",
        signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    },
    Case {
        name: "get-header-value-trim",
        service: "service",
        method: "GET",
        path: "/",
        query: "",
        headers: &[
            HOST,
            ("My-Header1", " value1"),
            ("My-Header2", " \"a   b   c\""),
        ],
        body: b"",
        signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    },
    Case {
        name: "get-header-key-duplicate",
        service: "service",
        method: "GET",
        path: "/",
        query: "",
        headers: &[
            HOST,
            ("My-Header1", "value2"),
            ("My-Header1", "value2"),
            ("My-Header1", "value1"),
        ],
        body: b"",
        signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    },
    Case {
        name: "post-x-www-form-urlencoded",
        service: "service",
        method: "POST",
        path: "/",
        query: "",
        headers: &[HOST, ("Content-Type", "application/x-www-form-urlencoded")],
        body: b"Param1=value1",
        signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    },
    Case {
        name: "get-vanilla-utf8-query",
        service: "service",
        method: "GET",
        path: "/",
        query: "\u{1234}=bar",
        headers: &[HOST],
        body: b"",
        signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    },
    Case {
        // Published with a path that was not escaped before; the request line has it escaped once.
        name: "get-utf8, escaped once by the client",
        service: "service",
        method: "GET",
        path: "/\u{1234}",
        query: "",
        headers: &[HOST],
        body: b"",
        signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    },
];

#[test]
fn signatures_are_those_that_amazon_publishes() {
    for case in CASES {
        let call = Call {
            method: case.method,
            path: case.path,
            query: case.query,
            headers: case.headers,
            body: case.body,
        };
        let purpose = Purpose {
            region: "us-east-1",
            service: case.service,
        };
        let signed = sign(&keys(""), purpose, &call, NOW);
        assert_eq!(signed.date, "20150830T123600Z");
        assert_eq!(signed.security_token, None);
        let (before, signature) = signed
            .authorization
            .split_once(", Signature=")
            .expect("a signature");
        assert_eq!(signature, case.signature, "{}: {before}", case.name);
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{}/aws4_request, SignedHeaders=",
            case.service
        );
        assert!(before.starts_with(&scope), "{}: {before}", case.name);
    }
}

#[test]
fn keys_that_end_bring_their_token() {
    let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    let call = Call {
        method: "POST",
        path: "/",
        query: "",
        headers: &[HOST],
        body: b"",
    };
    let purpose = Purpose {
        region: "us-east-1",
        service: "service",
    };
    let signed = sign(&keys(token), purpose, &call, NOW);
    assert_eq!(signed.security_token, Some(Secret::new(token)));
    assert!(
        signed.authorization.ends_with(
            "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        ),
        "{}",
        signed.authorization
    );
    assert!(!format!("{signed:?}").contains(token));
    assert!(!format!("{:?}", keys(token)).contains("wJalr"));
}
