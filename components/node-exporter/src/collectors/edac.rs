//! Memory errors, corrected and not, by controller, row and channel.

use std::path::Path;

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read_sys, read_u64};
use crate::sink::Sink;

/// The two kinds of errors: file name part, ours, word in help texts.
const KINDS: [(&str, &str); 2] = [("ce", "correctable"), ("ue", "uncorrectable")];

/// Adds the counts of every memory controller.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("devices/system/edac/mc");
    for entry in list_or_empty(&base) {
        let Some(controller) = entry.strip_prefix("mc").filter(|n| is_number(n)) else {
            continue;
        };
        let path = base.join(&entry);
        for (kind, word) in KINDS {
            let count = read_u64(&path.join(format!("{kind}_count")))?;
            let help = format!("Total {word} memory errors.");
            let labels = [("controller", controller)];
            sink.counter(
                &format!("edac_{word}_errors_total"),
                &help,
                &labels,
                count as f64,
            );
            let count = read_u64(&path.join(format!("{kind}_noinfo_count")))?;
            rows(controller, "unknown", word, count, sink);
        }
        for entry in list_or_empty(&path) {
            if let Some(row) = entry.strip_prefix("csrow").filter(|n| is_number(n)) {
                csrow(controller, row, &path.join(&entry), sink)?;
            }
        }
    }
    Ok(())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn rows(controller: &str, row: &str, word: &str, count: u64, sink: &mut Sink) {
    let labels = [("controller", controller), ("csrow", row)];
    let help = format!("Total {word} memory errors for this csrow.");
    sink.counter(
        &format!("edac_csrow_{word}_errors_total"),
        &help,
        &labels,
        count as f64,
    );
}

fn csrow(controller: &str, row: &str, path: &Path, sink: &mut Sink) -> Result<(), CollectError> {
    for (kind, word) in KINDS {
        rows(
            controller,
            row,
            word,
            read_u64(&path.join(format!("{kind}_count")))?,
            sink,
        );
    }
    for entry in list_or_empty(path) {
        let Some((channel, kind)) = entry
            .strip_prefix("ch")
            .and_then(|rest| rest.split_once('_'))
        else {
            continue;
        };
        let Some((_, word)) = KINDS
            .iter()
            .find(|(k, _)| kind.strip_suffix("_count") == Some(k))
            .filter(|_| is_number(channel))
        else {
            continue;
        };
        let dimm = read_sys(&path.join(format!("ch{channel}_dimm_label")))
            .map(|label| {
                label
                    .replace('#', "")
                    .replace("csrow", "_csrow")
                    .replace("channel", "_channel")
            })
            .unwrap_or_else(|_| "unknown".into());
        let count = read_u64(&path.join(&entry))?;
        let labels = [
            ("controller", controller),
            ("csrow", row),
            ("channel", channel),
            ("dimm_label", dimm.as_str()),
        ];
        let help = format!("Total {word} memory errors for this channel.");
        sink.counter(
            &format!("edac_channel_{word}_errors_total"),
            &help,
            &labels,
            count as f64,
        );
    }
    Ok(())
}
