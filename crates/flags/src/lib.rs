//! Command lines as upstream's programs read them.
//!
//! Long flags only; `--x` and `--no-x` for switches; some values repeatable; `--help` shows defaults and goes to
//! standard output. A program is a table of [`Flag`]s, which is also what `/status/flags` shows.

use std::collections::BTreeMap;

use clap::builder::Str;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use thiserror::Error;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Value,
    /// Nothing: `--x` or `--no-x`; the default is `true` or `false`.
    Switch,
    /// A value, any number of times.
    List,
    /// A word that has to be there, not behind a flag.
    Word,
    /// Further words.
    Words,
}

/// One row of a program's table.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Its default, as a user would write it.
    pub default: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Not shown by `--help`.
    pub hidden: bool,
}

impl Flag {
    /// A flag with a value.
    pub const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag {
            name,
            help,
            default,
            kind: Kind::Value,
            hidden: false,
        }
    }

    /// A switch.
    pub const fn switch(name: &'static str, default: bool, help: &'static str) -> Flag {
        let default = if default { "true" } else { "false" };
        Flag {
            name,
            help,
            default,
            kind: Kind::Switch,
            hidden: false,
        }
    }

    /// A repeatable flag.
    pub const fn list(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag {
            name,
            help,
            default,
            kind: Kind::List,
            hidden: false,
        }
    }

    /// A word that has to be there.
    pub const fn word(name: &'static str, help: &'static str) -> Flag {
        Flag {
            name,
            help,
            default: "",
            kind: Kind::Word,
            hidden: false,
        }
    }

    /// Further words, any number of them.
    pub const fn words(name: &'static str, help: &'static str) -> Flag {
        Flag {
            name,
            help,
            default: "",
            kind: Kind::Words,
            hidden: false,
        }
    }

    /// The same flag, not shown by `--help`.
    pub const fn hidden(self) -> Flag {
        Flag {
            hidden: true,
            ..self
        }
    }
}

/// A program as its command line shows it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// To run with these values.
    Run(Values),
    /// To print this on standard output and end well.
    Print(String),
}

/// A command line that makes no sense; tells what and how it is used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The values of a command line, defaults filled in.
#[derive(Clone, Debug)]
pub struct Values {
    flags: &'static [Flag],
    matches: ArgMatches,
}

impl Program {
    /// Reads a command line without the program's name. `version` is what `--version` prints.
    pub fn parse(
        &self,
        arguments: impl IntoIterator<Item = String>,
        version: &str,
    ) -> Result<Invocation, UsageError> {
        let matches = match self.command().try_get_matches_from(arguments) {
            Ok(matches) => matches,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return Ok(Invocation::Print(error.render().to_string()));
            }
            Err(error) => {
                let text = error.render().to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                return Err(UsageError(text.trim_end().to_string()));
            }
        };
        if matches.get_flag("version") {
            return Ok(Invocation::Print(version.to_string()));
        }
        Ok(Invocation::Run(Values {
            flags: self.flags,
            matches,
        }))
    }

    fn command(&self) -> Command {
        let version = Arg::new("version")
            .long("version")
            .help("Show the version")
            .action(ArgAction::SetTrue);
        self.flags.iter().fold(
            Command::new(self.name)
                .about(self.about)
                .no_binary_name(true)
                .disable_version_flag(true)
                .disable_help_subcommand(true)
                .arg(version),
            |command, flag| command.args(arguments_of(flag)),
        )
    }
}

fn arguments_of(flag: &Flag) -> Vec<Arg> {
    let base = Arg::new(flag.name).help(flag.help).hide(flag.hidden);
    let with_default = |arg: Arg| {
        if flag.default.is_empty() {
            arg
        } else {
            arg.default_value(flag.default)
        }
    };
    match flag.kind {
        Kind::Value => vec![with_default(
            base.long(flag.name)
                .value_name("VALUE")
                .allow_hyphen_values(true),
        )],
        Kind::List => vec![with_default(
            base.long(flag.name)
                .value_name("VALUE")
                .allow_hyphen_values(true)
                .action(ArgAction::Append),
        )],
        Kind::Word => vec![base.required(true)],
        Kind::Words => vec![base.num_args(0..).allow_hyphen_values(false)],
        Kind::Switch => {
            let negative = negative(flag.name);
            let state = if flag.default == "true" { "on" } else { "off" };
            let on = base
                .long(flag.name)
                .help(format!("{} [default: {state}]", flag.help))
                .action(ArgAction::SetTrue)
                .conflicts_with(negative.to_string());
            let off = Arg::new(negative.clone())
                .long(negative)
                .action(ArgAction::SetTrue)
                .hide(true);
            vec![on, off]
        }
    }
}

fn negative(name: &str) -> Str {
    format!("no-{name}").into()
}

impl Values {
    /// The value of a flag or word; `""` when it has neither value nor default.
    pub fn text(&self, name: &str) -> &str {
        self.matches
            .get_one::<String>(name)
            .map_or("", String::as_str)
    }

    /// Whether a switch is on.
    pub fn switch(&self, name: &str) -> bool {
        if self.matches.get_flag(name) {
            return true;
        }
        if self.matches.get_flag(&negative(name)) {
            return false;
        }
        self.flags
            .iter()
            .any(|flag| flag.name == name && flag.default == "true")
    }

    /// All values of a repeatable flag, or all further words.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.matches
            .get_many::<String>(name)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Whether the command line itself gives the flag.
    pub fn is_given(&self, name: &str) -> bool {
        let given = |id: &str| self.matches.value_source(id) == Some(ValueSource::CommandLine);
        let is_switch = self
            .flags
            .iter()
            .any(|f| f.name == name && f.kind == Kind::Switch);
        given(name) || (is_switch && given(&negative(name)))
    }

    /// Every flag with its value as text.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.flags
            .iter()
            .map(|flag| {
                let value = match flag.kind {
                    Kind::Switch => self.switch(flag.name).to_string(),
                    Kind::List | Kind::Words => self.list(flag.name).join(","),
                    Kind::Value | Kind::Word => self.text(flag.name).to_string(),
                };
                (flag.name.to_string(), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        name: "thing",
        about: "Does things.",
        flags: &[
            Flag::value("data.path", "data/", "Where data is"),
            Flag::switch("fast", true, "Be fast"),
            Flag::switch("slow", false, "Be slow"),
            Flag::list("listen", ":1", "Where to listen"),
            Flag::value("secret", "x", "Hidden").hidden(),
        ],
    };

    fn parse(arguments: &[&str]) -> Result<Invocation, UsageError> {
        PROGRAM.parse(
            arguments.iter().map(|a| a.to_string()),
            "thing, version 1\n",
        )
    }

    fn values(arguments: &[&str]) -> Values {
        match parse(arguments).expect("makes sense") {
            Invocation::Run(values) => values,
            Invocation::Print(text) => panic!("prints {text}"),
        }
    }

    #[test]
    fn values_and_defaults() {
        let read = values(&[
            "--data.path=/x",
            "--no-fast",
            "--slow",
            "--listen",
            ":2",
            "--listen=:3",
        ]);
        assert_eq!(read.text("data.path"), "/x");
        assert!(!read.switch("fast") && read.switch("slow"));
        assert_eq!(read.list("listen"), [":2", ":3"]);
        assert!(read.is_given("fast") && !read.is_given("secret"));
        let read = values(&[]);
        assert!(read.switch("fast") && !read.switch("slow"));
        assert_eq!(read.all()["listen"], ":1");
        assert_eq!(read.all()["fast"], "true");
    }

    #[test]
    fn help_version_and_nonsense() {
        let Ok(Invocation::Print(help)) = parse(&["--help"]) else {
            panic!("help")
        };
        assert!(
            help.contains("--data.path") && help.contains("[default: data/]"),
            "{help}"
        );
        assert!(!help.contains("--secret") && !help.contains("--no-fast"));
        let Ok(Invocation::Print(version)) = parse(&["--version"]) else {
            panic!("version")
        };
        assert_eq!(version, "thing, version 1\n");
        assert!(parse(&["--nope"]).unwrap_err().0.contains("--nope"));
        assert!(parse(&["--fast=false"]).is_err());
        assert!(parse(&["stray"]).is_err());
    }
}
