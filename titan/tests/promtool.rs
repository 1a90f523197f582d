//! The tool: against a running server its answers are byte for byte those of the real one; its other commands alone.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::child::Running;
use testkit::http::wait_for;
use testkit::{free_port, peers};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

fn run(program: &Path, arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(program);
    if program == Path::new(TITAN) {
        command.arg("promtool");
    }
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that does not read ends before it is written to.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    Said {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}

fn tool(arguments: &[&str]) -> Said {
    run(Path::new(TITAN), arguments, "")
}

/// Samples whose times are known.
const SAMPLES: &str = "\
# TYPE requests counter
requests_total{code=\"200\",path=\"/<a>&b\"} 1 1700000000
requests_total{code=\"200\",path=\"/<a>&b\"} 5.5 1700000015
requests_total{code=\"500\",path=\"/\"} 1e+30 1700000000.5
# TYPE temp gauge
temp -0.25 1700000000
temp NaN 1700000030
temp +Inf 1700007300
# EOF
";

fn folder_with_samples() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("in.txt");
    std::fs::write(&input, SAMPLES).expect("written");
    let data = folder.path().join("data");
    let made = tool(&[
        "tsdb",
        "create-blocks-from",
        "-r",
        "openmetrics",
        &input.to_string_lossy(),
        &data.to_string_lossy(),
        "--label=origin=file",
        "--max-block-duration=2h",
    ]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert_eq!(made.out.lines().count(), 3, "{}", made.out);
    assert!(made.out.starts_with("BLOCK ULID"), "{}", made.out);
    folder
}

#[test]
fn queries_print_as_the_real_tool_prints_them() {
    let folder = folder_with_samples();
    let port = free_port();
    std::fs::write(folder.path().join("prometheus.yml"), "scrape_configs: []\n").expect("written");
    let _server = Running::start(Command::new(TITAN).args([
        "prometheus",
        &format!(
            "--config.file={}",
            folder.path().join("prometheus.yml").display()
        ),
        &format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ),
        &format!("--web.listen-address=127.0.0.1:{port}"),
        "--storage.tsdb.retention.time=100y",
    ]));
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    let Some(real) = peers::find("promtool") else {
        return;
    };
    let server = format!("http://127.0.0.1:{port}");
    let at = "--time=1700000020";
    let range = ["--start=1700000000", "--end=1700000020", "--step=10s"];
    let cases: Vec<Vec<&str>> = vec![
        vec!["instant", at, &server, "requests_total"],
        vec!["instant", at, "-o", "json", &server, "requests_total"],
        vec!["instant", at, &server, "temp[1m]"],
        vec!["instant", at, "-o", "json", &server, "temp[1m]"],
        vec!["instant", at, &server, "vector(1e30)"],
        vec!["instant", at, "-o", "json", &server, "vector(1e-9)"],
        vec!["instant", at, &server, "nothing"],
        vec!["instant", at, "-o", "json", &server, "nothing"],
        vec!["instant", "--time=1700000000.123", &server, "time()"],
        vec![
            "instant",
            "--time=1700000000.123",
            "-o",
            "json",
            &server,
            "vector(time())",
        ],
        vec!["instant", at, &server, "1 / 0"],
        vec!["instant", "--time=abc", &server, "1"],
        vec![
            "range",
            range[0],
            range[1],
            range[2],
            &server,
            "requests_total",
        ],
        vec![
            "range",
            range[0],
            range[1],
            range[2],
            "-o",
            "json",
            &server,
            "requests_total",
        ],
        vec!["range", "--start=3", "--end=0", &server, "temp"],
        vec!["series", "--match=requests_total", "--start=0", &server],
        vec!["series", "--match=requests_total", "-o", "json", &server],
        vec!["series", &server],
        vec!["labels", &server, "path"],
        vec!["labels", "-o", "json", &server, "path"],
        vec!["nonsense"],
    ];
    for case in cases {
        let arguments = [&["query"], case.as_slice()].concat();
        let (ours, theirs) = (tool(&arguments), run(&real, &arguments, ""));
        assert_eq!(ours.out, theirs.out, "{case:?}: {}", ours.err);
        assert_eq!(ours.code, theirs.code, "{case:?}: {}", ours.err);
        // The real one that is at hand is older, and says this otherwise.
        let theirs = theirs
            .err
            .replace("required flag --match", "required flag(s) '--match'");
        assert_eq!(ours.err, theirs, "{case:?}");
    }
    let healthy = tool(&["check", "healthy", &format!("--url={server}")]);
    assert_eq!(
        (healthy.code, healthy.err.as_str()),
        (Some(0), "  SUCCESS:  Prometheus Server is Healthy.\n\n")
    );
    let lost = tool(&["check", "ready", &format!("--url={server}/nowhere")]);
    assert_eq!(lost.code, Some(1));
    assert!(lost.err.ends_with("status=404\n"), "{}", lost.err);
}

#[test]
fn metrics_are_linted_as_by_the_real_tool() {
    let Some(real) = peers::find("promtool") else {
        return;
    };
    for page in [
        "# HELP a_b x\n# TYPE a_b counter\na_b 1\na_b{x=\"1\"} 2\nfoo 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total{x=\"1\"} 2\n",
        "# HELP h_seconds x\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"+Inf\"} 2\nh_seconds_sum 1\nh_seconds_count 2\n",
        "# HELP camelCase x\n# TYPE camelCase gauge\ncamelCase 1\n",
    ] {
        for flags in [&[][..], &["--extended"]] {
            let arguments = [&["check", "metrics"], flags].concat();
            let ours = run(Path::new(TITAN), &arguments, page);
            let mut theirs = run(&real, &arguments, page);
            // The real one that is at hand is older: it shows no table where something is to be mended.
            if theirs.code == Some(3) {
                theirs.out.clone_from(&ours.out);
                assert_eq!(ours.out.is_empty(), flags.is_empty(), "{page}");
            }
            assert_eq!(
                (ours.out, ours.err, ours.code),
                (theirs.out, theirs.err, theirs.code),
                "{page}"
            );
        }
    }
}

#[test]
fn data_folders_are_listed_dumped_and_analyzed() {
    let folder = folder_with_samples();
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let dumped = tool(&["tsdb", "dump", &data]);
    assert_eq!(dumped.code, Some(0), "{}", dumped.err);
    let expected = "\
{__name__=\"requests_total\", code=\"200\", origin=\"file\", path=\"/<a>&b\"} 1 1700000000000
{__name__=\"requests_total\", code=\"200\", origin=\"file\", path=\"/<a>&b\"} 5.5 1700000015000
{__name__=\"requests_total\", code=\"500\", origin=\"file\", path=\"/\"} 1e+30 1700000000500
{__name__=\"temp\", origin=\"file\"} -0.25 1700000000000
{__name__=\"temp\", origin=\"file\"} NaN 1700000030000
{__name__=\"temp\", origin=\"file\"} +Inf 1700007300000
";
    assert_eq!(dumped.out, expected);
    let some = tool(&[
        "tsdb",
        "dump",
        "--match=temp",
        "--max-time=1700000000000",
        &data,
    ]);
    assert_eq!(some.out.lines().count(), 1, "{}", some.out);
    let openmetrics = tool(&["tsdb", "dump-openmetrics", &data]);
    assert!(openmetrics.out.ends_with("# EOF\n"), "{}", openmetrics.out);
    let lost = tool(&["tsdb", "list", "/nowhere"]);
    assert_eq!(
        (lost.code, lost.err.as_str()),
        (
            Some(1),
            "opening the db dir: stat /nowhere: no such file or directory\n"
        )
    );
    let analyzed = tool(&["tsdb", "analyze", "--match=temp", &data]);
    assert!(
        analyzed
            .out
            .contains("\nMatcher: temp\nLabel names: 2\nMatched series: 1\n"),
        "{}",
        analyzed.out
    );
    let unknown = tool(&["tsdb", "analyze", &data, "nope"]);
    assert_eq!(
        (unknown.code, unknown.err.as_str()),
        (Some(1), "invalid block ID nope\n")
    );
    if let Some(real) = peers::find("promtool") {
        // The real one does not open a folder without a log.
        std::fs::create_dir(folder.path().join("data/wal")).expect("made");
        for arguments in [
            vec!["tsdb", "list", &data],
            vec!["tsdb", "list", "-r", &data],
            vec!["tsdb", "dump", &data],
        ] {
            let (ours, theirs) = (tool(&arguments), run(&real, &arguments, ""));
            // The real one prints in no order.
            let lines = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
                lines.sort();
                lines
            };
            assert_eq!(lines(&ours.out), lines(&theirs.out), "{arguments:?}");
        }
    }
    let bad = folder.path().join("bad.txt");
    std::fs::write(&bad, "temp 1\n# EOF\n").expect("written");
    let refused = tool(&[
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        &bad.to_string_lossy(),
        &data,
    ]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("expected timestamp for series"),
        "{}",
        refused.err
    );
}

#[test]
fn configurations_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |name: &str, text: &str, flags: &[&str]| {
        std::fs::write(folder.path().join(name), text).expect("written");
        let file = folder.path().join(name).to_string_lossy().into_owned();
        tool(&[&["check", "config"], flags, &[file.as_str()]].concat())
    };
    let good = check("good.yml", "scrape_configs: [{job_name: x}]\n", &[]);
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""));
    assert!(
        good.out
            .contains("good.yml is valid prometheus config file syntax\n\n"),
        "{}",
        good.out
    );
    let unknown = check("unknown.yml", "foo: 1\n", &[]);
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.err.starts_with("  FAILED: parsing YAML file ")
            && unknown
                .err
                .contains("field foo not found in type config.plain"),
        "{}",
        unknown.err
    );
    let missing = "scrape_configs:\n- job_name: x\n  authorization: {credentials_file: nope}\n  file_sd_configs: [{files: [lost.json]}]\n";
    let lost = check("lost.yml", missing, &[]);
    assert_eq!(lost.code, Some(1));
    assert!(
        lost.err
            .contains("error checking authorization credentials or bearer token file"),
        "{}",
        lost.err
    );
    assert_eq!(check("lost.yml", missing, &["--syntax-only"]).code, Some(0));
    let slow = "scrape_configs: [{job_name: x, scrape_interval: 10m}]\n";
    let lint = "--lint=too-long-scrape-interval";
    assert_eq!(check("slow.yml", slow, &[lint]).code, Some(0));
    let fatal = check("slow.yml", slow, &[lint, "--lint-fatal"]);
    assert_eq!(fatal.code, Some(3));
    assert!(
        fatal.err.contains("too long scrape interval found, data point will be marked as stale - job: x, interval: 10m"),
        "{}",
        fatal.err
    );
    assert_eq!(
        tool(&["check", "config", "/nowhere.yml"]).err,
        "promtool: error: path '/nowhere.yml' does not exist, try --help\n"
    );
}

#[test]
fn writes_are_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = format!("--out={}", folder.path().display());
    let said = tool(&[
        "tsdb",
        "bench",
        "write",
        &out,
        "--metrics=50",
        "--scrapes=20",
    ]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains(" > total samples: 1000\n"),
        "{}",
        said.out
    );
}

#[test]
fn what_discovery_finds_is_shown_as_the_real_one_shows_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let config = path("p.yml");
    let text = "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['x:1', 'y:2', 'x:1'], labels: {l: v}}]\n  \
        relabel_configs: [{source_labels: [__address__], regex: 'y.*', action: drop}]\n- job_name: b\n  \
        file_sd_configs: [{files: [f.yml]}]\n- job_name: c\n  static_configs: [{targets: ['c:1']}]\n  \
        relabel_configs: [{target_label: __address__, replacement: bad/address}]\n- job_name: d\n- job_name: e\n  \
        static_configs: [{targets: ['e:1', 'e:1']}, {targets: ['e:1']}]\n";
    std::fs::write(&config, text).expect("written");
    std::fs::write(
        path("f.yml"),
        "- targets: ['f:1', 'g:2']\n  labels: {z: '<&>'}\n",
    )
    .expect("written");
    let check = |job| {
        let timeout = "--timeout=500ms";
        ["check", "service-discovery", timeout, &config, job].map(str::to_string)
    };
    let ours = |job| {
        let arguments = check(job);
        tool(&arguments.each_ref().map(String::as_str))
    };
    let fault = ours("c");
    assert_eq!(fault.code, Some(0), "{}", fault.err);
    assert!(fault.out.contains("\"labels\": {},\n    \"error\": {}\n"));
    assert_eq!(
        fault.err,
        "target \"c:1\": \"bad/address\" is not a valid hostname\n"
    );
    let unknown = ours("x");
    assert_eq!(
        unknown.err,
        "Job x not found. Select one of:\n\ta\n\tb\n\tc\n\td\n\te\n"
    );
    assert_eq!(unknown.code, Some(1));
    let twice = ours("e").out.matches("\"instance\": \"e:1\"").count();
    assert_eq!(twice, 2, "once for each group");
    let Some(real) = peers::find("promtool") else {
        return;
    };
    for job in ["a", "b", "d", "e", "x"] {
        let arguments = check(job);
        let theirs = run(&real, &arguments.each_ref().map(String::as_str), "");
        let ours = ours(job);
        // The real one is older than these labels.
        let mut lines: Vec<&str> = ours.out.split_inclusive('\n').collect();
        lines.retain(|line| {
            !line.contains("__convert_classic") && !line.contains("_native_histograms__")
        });
        lines.retain(|line| !line.contains("__always_scrape_classic"));
        assert_eq!(lines.concat(), theirs.out, "{job}");
        assert_eq!(ours.code, theirs.code, "{job}");
    }
    for arguments in [
        &["check", "service-discovery"][..],
        &["check", "service-discovery", &config],
        &["check", "service-discovery", "/nowhere.yml", "a"],
    ] {
        let (ours, theirs) = (tool(arguments), run(&real, arguments, ""));
        assert_eq!((ours.err, ours.code), (theirs.err, theirs.code));
    }
}

const PAGE: &str = "\
# HELP pushed_total Things.
# TYPE pushed_total counter
pushed_total{job=\"own\",a=\"b\"} 3
# TYPE pushed_seconds histogram
pushed_seconds_bucket{le=\"0.5\"} 1
pushed_seconds_bucket{le=\"+Inf\"} 2
pushed_seconds_sum 1.5
pushed_seconds_count 2
";

/// A server that takes remote write.
fn receiver(program: &Path, folder: &Path) -> (Running, u16) {
    let port = free_port();
    std::fs::write(folder.join("prometheus.yml"), "").expect("written");
    let mut command = Command::new(program);
    if program == Path::new(TITAN) {
        command.arg("prometheus");
    }
    command.args([
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-remote-write-receiver".into(),
    ]);
    let running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    (running, port)
}

fn push_to(program: &Path, message: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, port) = receiver(program, folder.path());
    let server = format!("http://127.0.0.1:{port}");
    let file = folder.path().join("page.txt").display().to_string();
    std::fs::write(&file, PAGE).expect("written");
    let message = format!("--protobuf_message={message}");
    let said = tool(&["push", "metrics", &message, "--label=x=y", &server, &file]);
    assert_eq!(
        (said.code, &*said.err, said.out),
        (
            Some(0),
            "",
            format!(
                "Parsing metrics file {file}\n  SUCCESS: metrics file {file} pushed to remote write.\n"
            )
        )
    );
    let query = |expr: &str| {
        let path = format!("/api/v1/query?query={}", testkit::http::escape(expr));
        testkit::http::get(port, &path).body
    };
    let counter = query("pushed_total{exported_job=\"own\",a=\"b\",x=\"y\",job=\"\"}");
    assert!(counter.contains("\"3\""), "{counter}");
    let buckets = query("sum(pushed_seconds_bucket)");
    assert!(buckets.contains("\"3\""), "{buckets}");
    // The address as it used to be given, and standard input.
    let address = format!("{server}/api/v1/write");
    let said = run(
        Path::new(TITAN),
        &["push", "metrics", &message, &address],
        "up_here 1\n",
    );
    assert_eq!(
        (said.code, &*said.out),
        (
            Some(0),
            "Parsing standard input\n  SUCCESS: metrics pushed to remote write.\n"
        ),
        "{}",
        said.err
    );
    assert!(query("up_here{job=\"promtool\"}").contains("\"1\""));
}

#[test]
fn metrics_are_pushed_in_both_messages() {
    push_to(Path::new(TITAN), "prometheus.WriteRequest");
    push_to(Path::new(TITAN), "io.prometheus.write.v2.Request");
}

#[test]
fn metrics_are_pushed_to_the_real_prometheus() {
    if let Some(prometheus) = peers::find("prometheus") {
        push_to(&prometheus, "prometheus.WriteRequest");
    }
}

#[test]
fn what_cannot_be_pushed_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, port) = receiver(Path::new(TITAN), folder.path());
    let server = format!("http://127.0.0.1:{port}");
    let push = |arguments: &[&str], input: &str| {
        let all = [&["push", "metrics"], arguments].concat();
        let said = run(Path::new(TITAN), &all, input);
        assert_eq!(said.code, Some(1), "{}", said.out);
        said.err
    };
    let broken = push(&[&server], "b 1\na{ 1\n");
    assert!(
        broken.starts_with("  FAILED: text format parsing error in line 2: "),
        "{broken}"
    );
    // A sample that is too far in the future is refused and not tried again.
    let refused = push(&[&server], "a 1 99999999999999\n");
    assert!(
        refused.starts_with("  FAILED: server returned HTTP status 400 Bad Request: "),
        "{refused}"
    );
    let missing = push(&[&server, "/no/such/file"], "");
    assert_eq!(
        missing,
        "promtool: error: path '/no/such/file' does not exist, try --help\n"
    );
    assert_eq!(
        push(&["--protobuf_message=x", &server], ""),
        "  FAILED: invalid protobuf message \"x\", must be prometheus.WriteRequest or io.prometheus.write.v2.Request\n"
    );
    assert!(push(&["--label=x", &server], "").contains("expected KEY=VALUE got 'x'"));
    assert!(push(&[], "").contains("required argument 'remote-write-url'"));
}
