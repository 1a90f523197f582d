//! What `--help` prints.

use crate::parse::is_within;
use crate::wrap::wrap;
use crate::{Flag, Kind, Program, Takes};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// What begins at this column or beyond has its help below it.
const LONG: usize = 30;

impl Program {
    /// The help of a command, or of the program where `path` is empty. `flags` are all that it takes.
    pub(crate) fn help(&self, path: &str, flags: &[Flag]) -> String {
        let command = self.command(path);
        let (about, own) = command.map_or((self.about, self.flags), |c| (c.about, c.flags));
        let words = [self.name, path].join(" ");
        let mut out = format!("usage: {}{}", words.trim_end(), summary(own));
        if self.has_below(path) {
            out.push_str(" <command> [<args> ...]");
        }
        out.push_str("\n\n");
        push_paragraphs(&mut out, about, 0);
        out.push_str("\n\nFlags:\n");
        let shown = flags.iter().filter(|flag| !flag.hidden && !flag.is_word());
        push_columns(&mut out, shown.map(|flag| (flag_column(flag), flag.help)));
        out.push('\n');
        let words = flags.iter().filter(|flag| flag.is_word());
        if words.clone().next().is_some() {
            out.push_str("Args:\n");
            push_columns(&mut out, words.map(|word| (word_column(word), word.help)));
            out.push('\n');
        }
        if self.has_below(path) {
            out.push_str(if path.is_empty() {
                "Commands:\n"
            } else {
                "Subcommands:\n"
            });
            if path.is_empty() {
                out.push_str("help [<command>...]\n    Show help.\n\n");
            }
            let below = self
                .commands
                .iter()
                .filter(|command| is_within(command.path, path) && !self.has_below(command.path));
            for command in below {
                out.push_str(&format!("{}{}\n", command.path, summary(command.flags)));
                push_paragraphs(&mut out, command.about, 4);
                out.push('\n');
            }
            out.push('\n');
        }
        out
    }
}

/// ` --start=START [<flags>] <server> [<more>...]`
fn summary(own: &[Flag]) -> String {
    let mut out = String::new();
    let flags = || own.iter().filter(|flag| !flag.is_word() && !flag.hidden);
    for flag in flags().filter(|flag| flag.required) {
        out.push_str(&format!(" --{}={}", flag.name, placeholder(flag)));
    }
    // Every program has flags that no table shows.
    if flags().any(|flag| !flag.required) {
        out.push_str(" [<flags>]");
    }
    for word in own.iter().filter(|flag| flag.is_word()) {
        let more = if word.kind == Kind::Words { "..." } else { "" };
        let name = word.name;
        out.push_str(&match word.required {
            true => format!(" <{name}>{more}"),
            false => format!(" [<{name}>{more}]"),
        });
    }
    out
}

fn placeholder(flag: &Flag) -> String {
    if !flag.placeholder.is_empty() {
        return flag.placeholder.into();
    }
    match (flag.default, flag.takes, flag.kind) {
        ("", Takes::Text, Kind::Value) | ("", Takes::Pair, _) => flag.name.to_uppercase(),
        (default, Takes::Text, Kind::Value) => format!("{default:?}"),
        ("", Takes::Other, Kind::List) => String::new(),
        ("", _, _) => flag.name.to_uppercase(),
        (default, _, _) => default.into(),
    }
}

fn flag_column(flag: &Flag) -> String {
    let letter = match flag.short {
        Some(letter) => format!("-{letter}, "),
        None => "    ".into(),
    };
    let name = flag.name;
    match flag.kind {
        Kind::Switch => format!("{letter}--[no-]{name}"),
        Kind::List => format!("{letter}--{name}={} ...", placeholder(flag)),
        _ => format!("{letter}--{name}={}", placeholder(flag)),
    }
}

fn word_column(word: &Flag) -> String {
    let name = word.name;
    match word.required {
        true => format!("<{name}>"),
        false => format!("[<{name}>]"),
    }
}

fn push_columns<'a>(out: &mut String, rows: impl Iterator<Item = (String, &'a str)>) {
    let rows: Vec<(String, &str)> = rows.collect();
    let lengths = rows.iter().map(|(first, _)| first.len());
    let first_width = lengths.filter(|length| *length < LONG).max().unwrap_or(0);
    for (first, help) in &rows {
        let mut lines = wrap(help, WIDTH - first_width - 4).into_iter();
        out.push_str(&format!("  {first:first_width$}  "));
        if first.len() >= LONG {
            out.push_str(&format!("\n    {:first_width$}", ""));
        }
        out.push_str(&lines.next().unwrap_or_default());
        out.push('\n');
        for line in lines {
            out.push_str(&format!("    {:first_width$}{line}\n", ""));
        }
    }
}

/// Paragraphs stand apart by empty lines.
fn push_paragraphs(out: &mut String, text: &str, indent: usize) {
    for (at, paragraph) in text.split("\n\n").enumerate() {
        if at > 0 {
            out.push('\n');
        }
        for line in wrap(paragraph, WIDTH - indent) {
            out.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
}
