//! A name server that stops answering.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::child::Running;
use testkit::free_port;
use testkit::http::wait_for;

use crate::world::{command, json, metric, samples, say, target};

/// Name servers are asked at port 53, so this one has an address of its own.
const ADDRESS: &str = "127.0.0.77";

/// Answers every question with 127.0.0.1 while it is told to.
fn name_server(answering: Arc<AtomicBool>) -> std::io::Result<()> {
    let socket = UdpSocket::bind((ADDRESS, 53))?;
    std::thread::spawn(move || {
        let mut question = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut question) {
            // The header has 12 bytes; the name is parts with their lengths; type and class are 4 bytes.
            let mut end = 12;
            while end < n && question[end] != 0 {
                end += 1 + usize::from(question[end]);
            }
            end += 5;
            if end > n || !answering.load(Ordering::Relaxed) {
                continue;
            }
            let mut answer = question[..end].to_vec();
            // A recursive answer without error: one question, one answer, nothing else.
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            // The same name, A, IN, one second, 127.0.0.1.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
            let _ = socket.send_to(&answer, from);
        }
    });
    Ok(())
}

#[test]
fn targets_stay_while_the_name_server_is_silent() {
    let folder = tempfile::tempdir().expect("a folder");
    let answering = Arc::new(AtomicBool::new(true));
    if let Err(error) = name_server(answering.clone()) {
        testkit::skip(&format!(
            "no name server can be opened at {ADDRESS}:53: {error}"
        ));
        return;
    }
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(
        &resolver,
        format!("nameserver {ADDRESS}\noptions timeout:1 attempts:1\n"),
    )
    .expect("written");
    // The server sees this file in the place of the machine's.
    let mount = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let within = |command: &Command| {
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "sh", "-c", mount]).arg(&resolver);
        inside.arg(command.get_program()).args(command.get_args());
        inside
    };
    if !within(&Command::new("true"))
        .status()
        .is_ok_and(|status| status.success())
    {
        testkit::skip("no file can be put in the place of /etc/resolv.conf (unshare --mount)");
        return;
    }
    let address = target(|stream, nth| say(stream, "200 OK", format!("n {nth}\n").as_bytes()));
    let port_of_target = address.rsplit(':').next().expect("a port");
    let port = free_port();
    let config = format!(
        "scrape_configs:\n- job_name: j\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n  dns_sd_configs: [{{names: [web.test.], type: A, port: {port_of_target}, refresh_interval: 1s}}]\n"
    );
    let running = Running::start(&mut within(&command(folder.path(), port, &config)));
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    let ups = || samples(port, "up{job=\"j\"}[5m]");
    wait_for(port, "/-/ready", |_| ups().len() >= 3);

    answering.store(false, Ordering::Relaxed);
    wait_for(port, "/-/ready", |_| {
        metric(port, "prometheus_sd_dns_lookup_failures_total") >= 2.0
    });
    let refreshes = "prometheus_sd_refresh_failures_total{config=\"j\",mechanism=\"dns\"}";
    assert!(metric(port, refreshes) >= 2.0);
    let targets = json(port, "/api/v1/targets");
    let active = targets["data"]["activeTargets"].as_array().expect("a list");
    assert_eq!(active.len(), 1, "{targets}");
    assert_eq!(active[0]["health"], "up", "{targets}");
    assert_eq!(active[0]["scrapeUrl"], format!("http://{address}/metrics"));
    let before = ups().len();
    wait_for(port, "/-/ready", |_| ups().len() >= before + 3);
    assert!(ups().iter().all(|(_, up)| up == "1"));

    answering.store(true, Ordering::Relaxed);
    let failures = || metric(port, "prometheus_sd_dns_lookup_failures_total");
    let lookups = || metric(port, "prometheus_sd_dns_lookups_total");
    // It is asked again and found: there are lookups that do not fail.
    let (asked, failed) = (lookups(), failures());
    wait_for(port, "/-/ready", |_| {
        lookups() - asked > failures() - failed + 1.0
    });
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    let told = log.lines().any(|line| {
        line.contains("msg=\"Error refreshing DNS targets\"") && line.contains("name=web.test.")
    });
    assert!(told, "{log}");
}
