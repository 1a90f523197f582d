//! `sigv4`: every place that keys and regions come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::signature_check::check;
use crate::stand_in::{Answer, Machine, Seen, StandIn, fails, ok, post};

const SECRET: &str = "wJalrXUtnFEMI/s3cr3t";

fn expiration(machine: &Machine, seconds: i64) -> String {
    let ms = machine.now() + seconds * 1000;
    let days = ms.div_euclid(86_400_000);
    let (year, month, day) = model::calendar::civil_from_days(days);
    let of_day = ms.rem_euclid(86_400_000) / 1000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

fn sts_answer(n: u64, until: &str) -> Answer {
    ok(format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials><AccessKeyId>ROLE{n}</AccessKeyId><SecretAccessKey>role-s3cr3t-{n}</SecretAccessKey><SessionToken>token-{n}</SessionToken><Expiration>{until}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    ))
}

fn json_keys(name: &str, until: &str) -> String {
    format!(
        r#"{{"Code": "Success", "AccessKeyId": "{name}", "SecretAccessKey": "{name}-s3cr3t", "Token": "{name}-token", "Expiration": "{until}"}}"#
    )
}

/// Sends a request and checks whose signature it has.
async fn signed_by(machine: &Machine, section: &str, name: &str, secret: &str) -> Seen {
    let server = StandIn::start(|_| ok("")).await;
    let client = machine.client(section).expect("built");
    assert_eq!(post(&client, &server.url).await, Ok(200), "{section}");
    let seen = server.seen().remove(0);
    check(&seen, name, secret);
    seen
}

#[tokio::test]
async fn keys_of_the_environment() {
    let machine = Machine::new();
    machine.set("AWS_ACCESS_KEY_ID", "ENV");
    machine.set("AWS_SECRET_ACCESS_KEY", SECRET);
    machine.set("AWS_SESSION_TOKEN", "session-token");
    machine.set("AWS_REGION", "us-west-2");
    let section = "sigv4: {service_name: execute-api}";
    let seen = signed_by(&machine, section, "ENV", SECRET).await;
    let (names, scope) = check(&seen, "ENV", SECRET);
    assert_eq!(seen.header("x-amz-security-token"), "session-token");
    assert!(names.contains(&"x-amz-security-token".to_string()));
    assert_eq!(scope, "us-west-2/execute-api");
}

#[tokio::test]
async fn keys_of_profiles() {
    let machine = Machine::new();
    machine.write(
        ".aws/config",
        "[default]\nregion = eu-north-1\n[profile dev]\nregion = eu-west-3\n[profile program]\nregion = r\ncredential_process = printf '{\"Version\": 1, \"AccessKeyId\": \"PROGRAM\", \"SecretAccessKey\": \"p\"}'\n",
    );
    machine.write(
        ".aws/credentials",
        "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = d\n[dev]\naws_access_key_id = DEV\naws_secret_access_key = v\naws_session_token = t\n",
    );
    let seen = signed_by(&machine, "sigv4: {}", "DEFAULT", "d").await;
    assert_eq!(check(&seen, "DEFAULT", "d").1, "eu-north-1/aps");
    let seen = signed_by(&machine, "sigv4: {profile: dev}", "DEV", "v").await;
    assert_eq!(check(&seen, "DEV", "v").1, "eu-west-3/aps");
    assert_eq!(seen.header("x-amz-security-token"), "t");
    signed_by(&machine, "sigv4: {profile: program}", "PROGRAM", "p").await;
    // A profile that is configured goes before keys of the environment, which go before other profiles.
    machine.set("AWS_ACCESS_KEY_ID", "ENV");
    machine.set("AWS_SECRET_ACCESS_KEY", "e");
    signed_by(&machine, "sigv4: {profile: dev}", "DEV", "v").await;
    machine.set("AWS_PROFILE", "dev");
    let seen = signed_by(&machine, "sigv4: {}", "ENV", "e").await;
    assert_eq!(check(&seen, "ENV", "e").1, "eu-west-3/aps");
    // Changed files take effect without a restart.
    machine.environment.lock().remove("AWS_ACCESS_KEY_ID");
    let server = StandIn::start(|_| ok("")).await;
    let client = machine.client("sigv4: {}").expect("built");
    post(&client, &server.url).await.expect("sent");
    machine.write(
        ".aws/credentials",
        "[dev]\naws_access_key_id = NEW\naws_secret_access_key = n\n",
    );
    machine.advance_seconds(301);
    post(&client, &server.url).await.expect("sent");
    let seen = server.seen();
    check(&seen[0], "DEV", "v");
    check(&seen[1], "NEW", "n");
}

#[tokio::test]
async fn roles_are_taken_on_and_renewed_before_they_end() {
    let machine = Arc::new(Machine::new());
    let works = Arc::new(AtomicU64::new(0));
    let (there, count) = (machine.clone(), works.clone());
    // 1000 and more: out of order.
    let sts = StandIn::start(move |seen| match count.fetch_add(1, Ordering::SeqCst) {
        n if n < 1000 => sts_answer(n, &expiration(&there, 900)),
        _ => fails(
            403,
            format!(
                "<ErrorResponse><Error><Code>AccessDenied</Code><Message>{} may not, says {SECRET}</Message></Error></ErrorResponse>",
                seen.form()["RoleArn"]
            ),
        ),
    })
    .await;
    machine.set("AWS_ENDPOINT_URL_STS", &sts.url);
    let server = StandIn::start(|_| ok("")).await;
    let section = format!(
        "sigv4: {{region: eu-west-1, access_key: AKID, secret_key: '{SECRET}', role_arn: 'arn:aws:iam::1:role/r', external_id: ext}}"
    );
    let client = machine.client(&section).expect("built");
    for _ in 0..3 {
        assert_eq!(post(&client, &server.url).await, Ok(200));
    }
    let asked = sts.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(check(&asked[0], "AKID", SECRET).1, "eu-west-1/sts");
    let form = asked[0].form();
    assert_eq!(form["Action"], "AssumeRole");
    assert_eq!(form["RoleArn"], "arn:aws:iam::1:role/r");
    assert_eq!(form["ExternalId"], "ext");
    assert_eq!(form["DurationSeconds"], "900");
    for one in server.seen() {
        check(&one, "ROLE0", "role-s3cr3t-0");
        assert_eq!(one.header("x-amz-security-token"), "token-0");
    }
    // A quarter of the time before the end there are new ones.
    machine.advance_seconds(676);
    assert_eq!(post(&client, &server.url).await, Ok(200));
    check(&server.seen()[0], "ROLE1", "role-s3cr3t-1");
    // Where that fails, those that still hold are used, and the service is left alone for a while.
    works.store(1000, Ordering::SeqCst);
    sts.seen();
    machine.advance_seconds(800);
    for _ in 0..5 {
        assert_eq!(post(&client, &server.url).await, Ok(200));
    }
    assert_eq!(sts.seen().len(), 1);
    machine.advance_seconds(101);
    server.seen();
    let error = post(&client, &server.url).await.expect_err("they ended");
    assert_eq!(
        error,
        format!(
            "sigv4: could not get SigV4 credentials: {}: 403 Forbidden: AccessDenied: arn:aws:iam::1:role/r may not, says <secret>",
            sts.url
        )
    );
    assert_eq!(server.seen().len(), 0);
    works.store(7, Ordering::SeqCst);
    assert_eq!(post(&client, &server.url).await, Ok(200));
    check(&server.seen()[0], "ROLE7", "role-s3cr3t-7");
}

#[tokio::test]
async fn profiles_lead_to_roles() {
    let machine = Arc::new(Machine::new());
    let there = machine.clone();
    let sts = StandIn::start(move |_| sts_answer(3, &expiration(&there, 900))).await;
    machine.set("AWS_ENDPOINT_URL", &sts.url);
    machine.set("AWS_DEFAULT_REGION", "cn-north-1");
    machine.write(
        ".aws/config",
        "[profile work]\nrole_arn = arn:work\nsource_profile = base\nexternal_id = e\nrole_session_name = me\nduration_seconds = 1800\n[profile self]\nrole_arn = arn:self\nsource_profile = self\naws_access_key_id = SELF\naws_secret_access_key = s\n[profile env]\nrole_arn = arn:env\ncredential_source = Environment\n",
    );
    machine.write(
        ".aws/credentials",
        "[base]\naws_access_key_id = BASE\naws_secret_access_key = b\n",
    );
    machine.set("AWS_ACCESS_KEY_ID", "ENV");
    machine.set("AWS_SECRET_ACCESS_KEY", "e");
    for (profile, name, secret) in [
        ("work", "BASE", "b"),
        ("self", "SELF", "s"),
        ("env", "ENV", "e"),
    ] {
        let section = format!("sigv4: {{profile: {profile}}}");
        signed_by(&machine, &section, "ROLE3", "role-s3cr3t-3").await;
        let asked = sts.seen().remove(0);
        check(&asked, name, secret);
        assert_eq!(asked.form()["RoleArn"], format!("arn:{profile}"));
        if profile == "work" {
            assert_eq!(asked.form()["RoleSessionName"], "me");
            assert_eq!(asked.form()["DurationSeconds"], "1800");
            assert_eq!(asked.form()["ExternalId"], "e");
        }
    }
}

#[tokio::test]
async fn pods_exchange_their_token() {
    let machine = Arc::new(Machine::new());
    let there = machine.clone();
    let sts = StandIn::start(move |seen| match seen.form()["WebIdentityToken"].as_str() {
        "first" => sts_answer(1, &expiration(&there, 3600)),
        "second" => sts_answer(2, &expiration(&there, 3600)),
        other => fails(
            400,
            format!(
                "<Error><Code>InvalidIdentityToken</Code><Message>not {other}</Message></Error>"
            ),
        ),
    })
    .await;
    machine.set("AWS_ENDPOINT_URL_STS", &sts.url);
    machine.set("AWS_REGION", "eu-west-1");
    machine.set("AWS_ROLE_ARN", "arn:pod");
    machine.set("AWS_ROLE_SESSION_NAME", "a-pod");
    let token = machine.write("token", "first\n");
    machine.set("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
    let server = StandIn::start(|_| ok("")).await;
    let client = machine.client("sigv4: {}").expect("built");
    post(&client, &server.url).await.expect("sent");
    let asked = sts.seen().remove(0);
    assert_eq!(asked.header("authorization"), "");
    let form = asked.form();
    assert_eq!(form["Action"], "AssumeRoleWithWebIdentity");
    assert_eq!(form["RoleArn"], "arn:pod");
    assert_eq!(form["RoleSessionName"], "a-pod");
    machine.write("token", "second");
    machine.advance_seconds(3400);
    post(&client, &server.url).await.expect("sent");
    let seen = server.seen();
    check(&seen[0], "ROLE1", "role-s3cr3t-1");
    check(&seen[1], "ROLE2", "role-s3cr3t-2");
    machine.write("token", "s3cr3t-of-a-pod");
    machine.advance_seconds(3601);
    let error = post(&client, &server.url).await.expect_err("a wrong token");
    assert!(
        error.starts_with("sigv4: could not get SigV4 credentials: "),
        "{error}"
    );
    assert!(
        error.ends_with("InvalidIdentityToken: not <secret>"),
        "{error}"
    );
}

#[tokio::test]
async fn containers_ask_beside_them() {
    let machine = Arc::new(Machine::new());
    let there = machine.clone();
    let agent = StandIn::start(
        move |seen| match (seen.path(), seen.header("authorization")) {
            ("/v1/credentials", "of-the-file") => ok(json_keys("POD", &expiration(&there, 3600))),
            (_, other) => fails(401, format!(r#"{{"message": "not {other}"}}"#)),
        },
    )
    .await;
    machine.set("AWS_REGION", "eu-west-1");
    machine.set(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        format!("{}/v1/credentials", agent.url),
    );
    machine.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "s3cr3t-of-env");
    let server = StandIn::start(|_| ok("")).await;
    let client = machine.client("sigv4: {}").expect("built");
    let error = post(&client, &server.url).await.expect_err("a wrong token");
    assert_eq!(
        error,
        format!(
            "sigv4: could not get SigV4 credentials: {}/v1/credentials: 401 Unauthorized: not <secret>",
            agent.url
        )
    );
    let token = machine.write("pod-token", "of-the-file\n");
    machine.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token);
    post(&client, &server.url).await.expect("sent");
    check(&server.seen()[0], "POD", "POD-s3cr3t");
}

#[tokio::test]
async fn machines_ask_their_metadata_service() {
    for second_version in [true, false] {
        let machine = Arc::new(Machine::new());
        let there = machine.clone();
        let service = StandIn::start(move |seen| {
            let session = seen.header("x-aws-ec2-metadata-token");
            match (seen.method.as_str(), seen.path()) {
                ("PUT", "/latest/api/token") if second_version => {
                    assert_eq!(seen.header("x-aws-ec2-metadata-token-ttl-seconds"), "21600");
                    ok("session")
                }
                ("PUT", _) => fails(404, ""),
                _ if second_version && session != "session" => fails(401, ""),
                ("GET", "/latest/meta-data/iam/security-credentials/") => ok("a-role"),
                ("GET", "/latest/meta-data/iam/security-credentials/a-role") => {
                    ok(json_keys("MACHINE", &expiration(&there, 6 * 3600)))
                }
                ("GET", "/latest/meta-data/placement/region") => ok("ap-south-1"),
                _ => fails(404, ""),
            }
        })
        .await;
        machine.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url);
        let seen = signed_by(&machine, "sigv4: {}", "MACHINE", "MACHINE-s3cr3t").await;
        assert_eq!(
            check(&seen, "MACHINE", "MACHINE-s3cr3t").1,
            "ap-south-1/aps"
        );
        assert_eq!(seen.header("x-amz-security-token"), "MACHINE-token");
        if !second_version {
            machine.set("AWS_EC2_METADATA_V1_DISABLED", "true");
            let client = machine.client("sigv4: {}").expect("built");
            let error = post(&client, &service.url).await.expect_err("no session");
            assert!(error.contains("no EC2 IMDS role found"), "{error}");
        }
        machine.set("AWS_EC2_METADATA_DISABLED", "true");
        let client = machine.client("sigv4: {}").expect("built");
        let error = post(&client, &service.url).await.expect_err("disabled");
        assert_eq!(
            error,
            "sigv4: could not get SigV4 credentials: no EC2 IMDS role found: access disabled to EC2 IMDS via AWS_EC2_METADATA_DISABLED"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_sent() {
    for (variables, config, section, expected) in [
        (
            &[][..],
            "",
            "sigv4: {profile: gone}",
            "sigv4: failed to get shared config profile, gone",
        ),
        (
            &[("AWS_PROFILE", "gone")],
            "",
            "sigv4: {}",
            "sigv4: failed to get shared config profile, gone",
        ),
        (
            &[("AWS_REGION", "a/../b")],
            "",
            "sigv4: {access_key: a, secret_key: b}",
            "sigv4: \"a/../b\" is no region",
        ),
        (
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", "f")],
            "",
            "sigv4: {}",
            "sigv4: AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not",
        ),
        (
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil/")],
            "",
            "sigv4: {}",
            "sigv4: AWS_CONTAINER_CREDENTIALS_FULL_URI: invalid endpoint host, \"evil\", only loopback/ecs/eks hosts are allowed without https",
        ),
        (
            &[],
            "[profile a]\nsource_profile=b\n[profile b]\nsource_profile=a\n",
            "sigv4: {profile: a}",
            "sigv4: profile a: its source_profile leads back to it",
        ),
        (
            &[],
            "[profile a]\nsource_profile=b\n",
            "sigv4: {profile: a}",
            "sigv4: profile a: its source_profile b is not there",
        ),
        (
            &[],
            "[profile a]\nsso_session=b\n",
            "sigv4: {profile: a}",
            "sigv4: profile a: this build lacks single sign-on (sso_*): use keys or credential_process",
        ),
        (
            &[],
            "[profile a]\ncredential_source=Moon\n",
            "sigv4: {profile: a}",
            "sigv4: profile a: invalid credential_source \"Moon\"",
        ),
        (
            &[],
            "[profile a]\nrole_arn=r\nmfa_serial=m\n",
            "sigv4: {profile: a}",
            "sigv4: profile a: mfa_serial: nobody is there to be asked for a code",
        ),
    ] {
        let machine = Machine::new();
        machine.write(".aws/config", config);
        for (name, value) in variables {
            machine.set(name, *value);
        }
        let error = machine.client(section).err().expect(expected);
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors() {
    for (body, expected) in [
        ("", "the answer is no JSON object"),
        ("[]", "the answer is no JSON object"),
        ("{}", "the answer has no AccessKeyId and SecretAccessKey"),
        (
            r#"{"AccessKeyId": "a", "SecretAccessKey": "s3cr3t", "Expiration": "soon"}"#,
            "the answer's Expiration \"soon\" is no time",
        ),
        (
            r#"{"AccessKeyId": "a", "SecretAccessKey": "s3cr3t", "Expiration": "2001-01-01T00:00:00Z"}"#,
            "the credentials ended at 2001-01-01T00:00:00Z",
        ),
    ] {
        let machine = Machine::new();
        let agent = StandIn::start(move |_| ok(body)).await;
        machine.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent.url);
        let client = machine.client("sigv4: {region: r}").expect("built");
        let error = post(&client, &agent.url).await.expect_err(expected);
        assert!(error.ends_with(expected), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}
