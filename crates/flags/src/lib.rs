//! Command lines as upstream's programs read them.
//!
//! Long flags, some with a letter; `--x` and `--no-x` for switches; some values repeatable; commands below commands, each
//! with flags of its own, which may stand anywhere behind its name. A program is a table of [`Flag`]s and [`Command`]s,
//! which is also what `--help` and `/status/flags` show.

mod help;
mod parse;
mod value;
mod wrap;

use std::collections::BTreeMap;

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
    /// A word that is not behind a flag.
    Word,
    /// Further words.
    Words,
}

/// What a value has to be; told before the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Any text; its default is shown in quotes.
    Text,
    /// What the program itself looks at.
    Other,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A duration of Go's: `1h30m`, `1.5s`.
    GoDuration,
    /// A whole number, also as `5e7`.
    Number,
    /// A whole number of 64 bits.
    Integer,
    /// A file that is there.
    File,
    /// `name=value`
    Pair,
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
    /// What its value has to be.
    pub takes: Takes,
    /// Not shown by `--help`.
    pub hidden: bool,
    /// Its letter.
    pub short: Option<char>,
    /// Has to be there.
    pub required: bool,
    /// What `--help` shows for a value; derived where empty.
    pub placeholder: &'static str,
}

impl Flag {
    const fn new(
        name: &'static str,
        default: &'static str,
        help: &'static str,
        kind: Kind,
    ) -> Flag {
        Flag {
            name,
            help,
            default,
            kind,
            takes: Takes::Text,
            hidden: false,
            short: None,
            required: false,
            placeholder: "",
        }
    }

    /// A flag with a value.
    pub const fn value(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, default, help, Kind::Value)
    }

    /// A switch.
    pub const fn switch(name: &'static str, default: bool, help: &'static str) -> Flag {
        let default = if default { "true" } else { "false" };
        Flag::new(name, default, help, Kind::Switch)
    }

    /// A repeatable flag.
    pub const fn list(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, default, help, Kind::List)
    }

    /// A word that has to be there.
    pub const fn word(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, "", help, Kind::Word).required()
    }

    /// A word that may be left out.
    pub const fn maybe_word(name: &'static str, default: &'static str, help: &'static str) -> Flag {
        Flag::new(name, default, help, Kind::Word)
    }

    /// Further words, any number of them.
    pub const fn words(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, "", help, Kind::Words)
    }

    /// The same flag, not shown by `--help`.
    pub const fn hidden(self) -> Flag {
        Flag {
            hidden: true,
            ..self
        }
    }

    /// The same flag, which has to be there.
    pub const fn required(self) -> Flag {
        Flag {
            required: true,
            ..self
        }
    }

    /// The same flag with a letter.
    pub const fn short(self, letter: char) -> Flag {
        Flag {
            short: Some(letter),
            ..self
        }
    }

    /// The same flag, its value being of a kind.
    pub const fn takes(self, takes: Takes) -> Flag {
        Flag { takes, ..self }
    }

    /// The same flag, its value shown so.
    pub const fn placeholder(self, placeholder: &'static str) -> Flag {
        Flag {
            placeholder,
            ..self
        }
    }

    fn is_word(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Words)
    }
}

/// A command of a program, or a group of commands.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its words: `check config`. What other commands' words begin with is their group.
    pub path: &'static str,
    /// What it does; may have paragraphs.
    pub about: &'static str,
    /// Its flags and words; those of a group hold for all in it.
    pub flags: &'static [Flag],
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
    /// Its commands, if it has any, in the order of the help.
    pub commands: &'static [Command],
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// To run with these values.
    Run(Values),
    /// To print this on standard output and end well.
    Print(String),
}

/// A command line that makes no sense.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UsageError {
    /// It cannot be read.
    #[error("{0}")]
    Shape(String),
    /// A value is wrong, or missing.
    #[error("{0}")]
    Value(String),
}

/// The values of a command line, defaults filled in.
#[derive(Clone, Debug)]
pub struct Values {
    command: &'static str,
    flags: Vec<Flag>,
    /// As the command line gives them, in order.
    given: Vec<(&'static str, String)>,
}

impl Values {
    /// The words of the command; empty for a program without commands.
    pub fn command(&self) -> &'static str {
        self.command
    }

    fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }

    /// The value of a flag or word; `""` when it has neither value nor default.
    pub fn text(&self, name: &str) -> &str {
        let mut given = self.given.iter().rev();
        match given.find(|(known, _)| *known == name) {
            Some((_, value)) => value,
            None => self.flag(name).map_or("", |flag| flag.default),
        }
    }

    /// Whether a switch is on.
    pub fn switch(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// All values of a repeatable flag, or all further words.
    pub fn list(&self, name: &str) -> Vec<String> {
        let given = self.given.iter().filter(|(known, _)| *known == name);
        let values: Vec<String> = given.map(|(_, value)| value.clone()).collect();
        if !values.is_empty() {
            return values;
        }
        let default = self.flag(name).map_or("", |flag| flag.default);
        let default = Some(default).filter(|default| !default.is_empty());
        default.map(str::to_string).into_iter().collect()
    }

    /// Whether the command line itself gives the flag.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|(known, _)| *known == name)
    }

    /// Every flag with its value as text.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.flags
            .iter()
            .map(|flag| {
                let value = match flag.kind {
                    Kind::List | Kind::Words => self.list(flag.name).join(","),
                    Kind::Switch | Kind::Value | Kind::Word => self.text(flag.name).to_string(),
                };
                (flag.name.to_string(), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
