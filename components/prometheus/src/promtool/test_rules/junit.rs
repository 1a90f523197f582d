//! Results for machines.

use apiv1::time::format_rfc3339;

use super::FileReport;

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#xA;"),
            '\t' => out.push_str("&#x9;"),
            '\r' => out.push_str("&#xD;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// JUnit's XML: a suite a file, a case a test.
pub(super) fn xml(reports: &[FileReport], now: i64) -> String {
    let mut out = String::from("<testsuites>");
    for report in reports {
        let failures = report
            .cases
            .iter()
            .filter(|case| !case.failures.is_empty())
            .count();
        let errors = usize::from(report.error.is_some());
        let tests = report.cases.len() + errors;
        out.push_str(&format!(
            "\n\t<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" timestamp=\"{}\">",
            escape(&report.file),
            format_rfc3339(Some(now))
        ));
        if let Some(error) = &report.error {
            out.push_str(&format!(
                "\n\t\t<testcase name=\"{}\">\n\t\t\t<error>{}</error>\n\t\t</testcase>",
                escape(&report.file),
                escape(error)
            ));
        }
        for case in &report.cases {
            out.push_str(&format!("\n\t\t<testcase name=\"{}\">", escape(&case.name)));
            for failure in &case.failures {
                out.push_str(&format!("\n\t\t\t<failure>{}</failure>", escape(failure)));
            }
            if !case.failures.is_empty() {
                out.push_str("\n\t\t");
            }
            out.push_str("</testcase>");
        }
        if tests > 0 {
            out.push_str("\n\t");
        }
        out.push_str("</testsuite>");
    }
    if !reports.is_empty() {
        out.push('\n');
    }
    out.push_str("</testsuites>");
    out
}
