//! What holds for every identity: one question however many wait, redirects, headers.

use crate::signature_check::check;
use crate::stand_in::{Machine, StandIn, fails, ok, post};

const KEYS: &str = "sigv4: {region: eu-west-1, access_key: AKID, secret_key: s3cr3t}";

#[tokio::test]
async fn those_who_wait_share_one_answer() {
    let machine = Machine::new();
    let server = StandIn::start(|_| ok("")).await;
    let tokens = StandIn::start(|seen| match seen.form()["scope"].as_str() {
        "good" => ok(r#"{"access_token": "t", "expires_in": 60}"#),
        _ => fails(503, ""),
    })
    .await;
    machine.set("AZURE_AUTHORITY_HOST", &tokens.url);
    let section = |scope: &str| {
        format!(
            "azuread: {{scope: {scope}, oauth: {{client_id: 00000000-0000-0000-0000-000000000000, client_secret: s, tenant_id: t}}}}"
        )
    };
    let client = machine.client(&section("good")).expect("built");
    let posts: Vec<_> = (0..20)
        .map(|_| {
            let (client, url) = (client.clone(), server.url.clone());
            tokio::spawn(async move { post(&client, &url).await })
        })
        .collect();
    for one in posts {
        assert_eq!(one.await.expect("no panic"), Ok(200));
    }
    assert_eq!(tokens.seen().len(), 1);
    assert_eq!(server.seen().len(), 20);
    // Without a token nothing is sent.
    let client = machine.client(&section("bad")).expect("built");
    post(&client, &server.url).await.expect_err("no token");
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn redirects_are_followed_within_the_host_and_signed_anew() {
    let machine = Machine::new();
    let elsewhere = StandIn::start(|_| ok("")).await;
    // Another name for the same machine is another host.
    let other = elsewhere.url.replace("127.0.0.1", "localhost");
    let server = StandIn::start(move |seen| match seen.path() {
        "/here" => (307, vec![("location", "/there?a=b".into())], String::new()),
        "/away" => (308, vec![("location", other.clone())], String::new()),
        "/round" => (307, vec![("location", "/round".into())], String::new()),
        _ => ok(""),
    })
    .await;
    let client = machine.client(KEYS).expect("built");
    let to = |path: &str| format!("{}{path}", server.url);
    assert_eq!(post(&client, &to("/here")).await, Ok(200));
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    for one in &seen {
        check(one, "AKID", "s3cr3t");
        assert_eq!(&one.body[..], b"a body");
    }
    assert_eq!(post(&client, &to("/away")).await, Ok(308));
    assert_eq!(elsewhere.seen().len(), 0);
    server.seen();
    assert_eq!(post(&client, &to("/round")).await, Ok(307));
    assert_eq!(server.seen().len(), 11);
    let client = machine.client(&format!("{KEYS}\n  follow_redirects: false"));
    assert_eq!(post(&client.expect("built"), &to("/here")).await, Ok(307));
}

#[tokio::test]
async fn what_users_add_is_sent_and_not_signed() {
    let machine = Machine::new();
    let server = StandIn::start(|_| ok("")).await;
    let section = format!("{KEYS}\n  http_headers: {{X-Scope: {{values: [tenant]}}}}");
    let client = machine.client(&section).expect("built");
    let url = format!("{}//api//v1/a%20b/write/?z=1&a=b%2Fc&e", server.url);
    assert_eq!(post(&client, &url).await, Ok(200));
    let seen = server.seen().remove(0);
    assert_eq!(seen.path(), "/api/v1/a%20b/write/");
    assert_eq!(seen.header("x-scope"), "tenant");
    let (names, scope) = check(&seen, "AKID", "s3cr3t");
    assert_eq!(
        names,
        [
            "content-encoding",
            "content-length",
            "content-type",
            "host",
            "x-amz-date"
        ]
    );
    assert_eq!(scope, "eu-west-1/aps");
    assert_eq!(seen.header("x-amz-date"), "20150830T123600Z");
}
