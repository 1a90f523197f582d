//! Pages of the user's own: the same as the real server makes of the same templates, and errors that say what is wrong.

use std::path::Path;
use std::process::Command;

use testkit::child::Running;
use testkit::http::{Answer, get, wait_for};
use testkit::{free_port, peers};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

/// Every place that a value can land in, and every way to come by one.
const PAGE: &str = r#"<!DOCTYPE html>
<html><head><title>{{ .Params.t }}</title><!-- gone {{ .Path }} --></head>
<body class="{{ .Params.t }}" onload="f('{{ .Params.t }}', {{ .Params.t }})">
{{ .Params.t }} {{ $params.t | html }} {{ $path }} {{ $rawParams }} {{ .RawParams.t }} {{ index .RawParams.t 0 }}
{{ $rawParams.Get "t" }} [{{ .Params.none }}] {{ $externalLabels.env }} {{ .ExternalLabels }}
<a href="{{ .Params.t }}">{{ .Params.u }}</a> <a href="{{ .Params.u }}">x</a>
<a href="/x?q={{ .Params.t }}&y={{ .Params.u }}">x</a> <a href=/a/{{ .Params.t }}>y</a>
<p id={{ .Params.t }} style="color: {{ .Params.t }}; width: {{ .Params.w }}">z</p>
<script>var a = {{ .Params.t }}, b = "{{ .Params.t }}", c = {{ 1.5 }}, d = {{ true }}, e = {{ $params }};
f({{ len .Params.t }}, 1 / 2);</script>
<style>p { color: {{ .Params.w }}; background: {{ .Params.t }} }</style>
{{ template "row" (args "a<b" 2) }}{{ tmpl "row" (args .Params.t 3) }}
{{ range query "vector(5)" }}{{ . | value }} {{ .Value | humanize }}{{ end }}
{{ with query "nothing" }}{{ . | first | label "job" }}{{ else }}none{{ end }}
{{ safeHtml "<b>ok</b>" }} {{ "1 < 2" }} <p title="{{ safeHtml "<b>x</b> &amp; \"q\"" }}">
<a href="{{ graphLink "up{a='b'}" }}">g</a> {{ pathPrefix }} {{ externalURL }} <textarea>{{ .Params.t }}</textarea>
</body></html>
"#;
const LIBRARY: &str = r#"{{ define "row" }}<i>{{ .arg0 }}|{{ .arg1 }}</i>{{ end }}"#;
const QUERY: &str =
    "t=%3Cb%3E%22%27%26%2B%20x%2Fy%5C&u=javascript%3Aalert(1)&w=10%25&t=second&instance=x";

/// Templates in a folder, the examples of the real server among them where it is installed.
fn folder() -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pages = Vec::new();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    for (name, text) in [
        ("page.html", PAGE),
        ("query.html", "<p>{{ query \"up{\" }}"),
        ("parse.html", "<p>{{ nosuch }}"),
        ("tmpl.html", "{{ tmpl \"nosuch\" 1 }}"),
        ("plain.txt", "plain {{ .Path }}"),
        ("below/a.html", "<p>{{ .Path }}"),
    ] {
        write(&format!("consoles/{name}"), text);
        pages.push(name.to_string());
    }
    pages.extend(["none.html", "below", ""].map(String::from));
    write("libraries/rows.lib", LIBRARY);
    write("libraries/not-one.txt", "{{");
    write("prometheus.yml", "global: {external_labels: {env: 'a<b'}}");
    let examples = testkit::project_root().join(".peers/usr/share/doc/prometheus/examples");
    let texts = |dir: &str| {
        let entries = std::fs::read_dir(examples.join(dir)).into_iter().flatten();
        entries.filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, std::fs::read_to_string(path).ok()?))
        })
    };
    for (name, text) in texts("consoles") {
        write(&format!("consoles/{name}"), &text);
        pages.push(name);
    }
    for (name, text) in texts("console_libraries") {
        write(&format!("libraries/{name}"), &text);
    }
    (folder, pages)
}

fn server(program: &Path, folder: &Path) -> (u16, Running) {
    let port = free_port();
    let mut command = Command::new(program);
    if program == Path::new(TITAN) {
        command.arg("prometheus");
    }
    let data = program.file_name().unwrap_or_default().to_string_lossy();
    command.current_dir(folder).args([
        "--config.file=prometheus.yml",
        &format!("--storage.tsdb.path=data-{data}"),
        "--web.console.templates=consoles",
        "--web.console.libraries=libraries",
        "--web.external-url=http://outside/p/",
        "--web.user-assets=assets",
        "--web.page-title=Ours & <theirs>",
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let running = Running::start(&mut command);
    wait_for(port, "/p/-/ready", |answer| answer.status == 200);
    (port, running)
}

fn page(port: u16, name: &str) -> Answer {
    get(port, &format!("/p/consoles/{name}?{QUERY}"))
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let mut lines = answer.headers.lines();
    let value = lines.find_map(|line| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then_some(value)
    });
    value.unwrap_or("")
}

fn content_type(answer: &Answer) -> String {
    header(answer, "content-type").to_ascii_lowercase()
}

#[test]
fn pages_are_those_of_the_real_server() {
    let Some(prometheus) = peers::find("prometheus") else {
        return;
    };
    let (folder, pages) = folder();
    let (real, _real) = server(&prometheus, folder.path());
    let (ours, _ours) = server(Path::new(TITAN), folder.path());
    for name in pages {
        let (wanted, made) = (page(real, &name), page(ours, &name));
        if name == "query.html" {
            // The words of the parser are its own.
            assert_eq!(made.status, wanted.status);
            continue;
        }
        assert_eq!(made.body, wanted.body, "{name}");
        assert_eq!(made.status, wanted.status, "{name}");
        assert_eq!(content_type(&made), content_type(&wanted), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let (folder, _) = folder();
    let (port, _running) = server(Path::new(TITAN), folder.path());
    let made = page(port, "page.html");
    assert_eq!(made.status, 200, "{}", made.body);
    assert!(made.body.contains("<i>a&lt;b|2</i>"), "{}", made.body);
    assert!(!made.body.contains("href=\"javascript"), "{}", made.body);
    for (name, status, start) in [
        (
            "none.html",
            404,
            "open consoles/none.html: no such file or directory\n",
        ),
        ("../prometheus.yml", 307, "<a href=\"/p/prometheus.yml?t="),
        (
            "parse.html",
            500,
            "error parsing template __console_/parse.html: template: __console_/parse.html:1: function \"nosuch\" not defined\n",
        ),
        (
            "query.html",
            500,
            "error executing template __console_/query.html: template: __console_/query.html:1:113: executing \"__console_/query.html\" at <query \"up{\">: error calling query: ",
        ),
    ] {
        let answer = page(port, name);
        assert_eq!(answer.status, status, "{name}");
        assert!(answer.body.starts_with(start), "{name}: {}", answer.body);
    }
    // A page that calls itself ends with an error, and the server goes on.
    let endless = "{{ define \"again\" }}{{ tmpl \"again\" . }}{{ tmpl \"again\" . }}{{ end }}{{ tmpl \"again\" 1 }}";
    std::fs::write(folder.path().join("consoles/endless.html"), endless).expect("written");
    let answer = page(port, "endless.html");
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains("tmpl is called more than"),
        "{}",
        answer.body
    );
    // Other libraries take hold at the next request.
    std::fs::write(folder.path().join("libraries/rows.lib"), "{{").expect("written");
    let broken = page(port, "page.html");
    assert!(
        broken
            .body
            .starts_with("error parsing template files for __console_/page.html: "),
        "{}",
        broken.body
    );
    assert_eq!(get(port, "/p/-/healthy").status, 200);
}

#[test]
fn assets_of_the_user_are_served_and_the_title_is_theirs() {
    let (folder, _) = folder();
    let assets = folder.path().join("assets/deep");
    std::fs::create_dir_all(&assets).expect("a folder");
    std::fs::write(assets.join("a.css"), "p {}").expect("written");
    let (port, _running) = server(Path::new(TITAN), folder.path());
    let asset = get(port, "/p/user/deep/a.css");
    assert_eq!((asset.status, asset.body.as_str()), (200, "p {}"));
    assert_eq!(content_type(&asset), "text/css");
    for (outside, status) in [
        ("/p/user/none", 404),
        ("/p/user/../prometheus.yml", 307),
        ("/p/user/%2e%2e/prometheus.yml", 404),
    ] {
        let answer = get(port, outside);
        assert_eq!(answer.status, status, "{outside}: {}", answer.body);
    }
    let home = get(port, "/p/");
    assert_eq!((home.status, header(&home, "location")), (302, "/p/query"));
    let link = get(port, "/p/graph?g0.expr=up&g0.tab=1");
    let there = "/p/query?g0.expr=up&g0.tab=1";
    assert_eq!((link.status, header(&link, "location")), (302, there));
    let page = get(port, there).body;
    assert!(
        page.contains("<title>Ours &amp; &lt;theirs&gt;</title>"),
        "{page}"
    );
}
