//! From the words of a command line to values.

use crate::value::{check, fault};
use crate::{Command, Flag, Invocation, Kind, Program, UsageError, Values};

/// Flags that every program has.
pub(crate) const HELP: Flag = Flag::switch(
    "help",
    false,
    "Show context-sensitive help (also try --help-long and --help-man).",
)
.short('h');
pub(crate) const VERSION: Flag = Flag::switch("version", false, "Show application version.");

/// A command line that is being read.
struct Reading<'a> {
    program: &'a Program,
    /// Words of the command so far.
    path: String,
    flags: Vec<Flag>,
    given: Vec<(Flag, String)>,
    words: Vec<String>,
}

impl Program {
    /// Reads a command line without the program's name. `version` is what `--version` prints.
    pub fn parse(
        &self,
        arguments: impl IntoIterator<Item = String>,
        version: &str,
    ) -> Result<Invocation, UsageError> {
        let mut flags = vec![HELP, VERSION];
        flags.extend_from_slice(self.flags);
        let mut reading = Reading {
            program: self,
            path: String::new(),
            flags,
            given: Vec::new(),
            words: Vec::new(),
        };
        let arguments: Vec<String> = arguments.into_iter().collect();
        if !self.commands.is_empty() && arguments.first().is_some_and(|word| word == "help") {
            return self.help_about(&arguments[1..]);
        }
        let read = reading.read(arguments);
        let asked = |name: &str| {
            let mut given = reading.given.iter();
            given.any(|(flag, value)| flag.name == name && value == "true")
        };
        if asked(VERSION.name) {
            return Ok(Invocation::Print(version.to_string()));
        }
        read.map_err(UsageError::Shape)?;
        if asked(HELP.name) {
            return Ok(Invocation::Print(self.help(&reading.path, &reading.flags)));
        }
        reading.finish()
    }

    /// What `--help` prints for a program without commands.
    pub fn usage(&self) -> String {
        let mut flags = vec![HELP, VERSION];
        flags.extend_from_slice(self.flags);
        self.help("", &flags)
    }

    /// `help COMMAND`
    fn help_about(&self, words: &[String]) -> Result<Invocation, UsageError> {
        let path = words.join(" ");
        if !words.is_empty() && self.command(&path).is_none() {
            let unknown = words.last().map_or("", String::as_str);
            return Err(UsageError::Value(format!(
                "expected command but got {unknown:?}"
            )));
        }
        let mut flags = vec![HELP, VERSION];
        flags.extend_from_slice(self.flags);
        for command in self.commands.iter().filter(|c| is_within(&path, c.path)) {
            flags.extend_from_slice(command.flags);
        }
        Ok(Invocation::Print(self.help(&path, &flags)))
    }

    pub(crate) fn command(&self, path: &str) -> Option<&'static Command> {
        self.commands.iter().find(|command| command.path == path)
    }

    /// Whether commands stand below this one; below none, all do.
    pub(crate) fn has_below(&self, path: &str) -> bool {
        self.commands
            .iter()
            .any(|command| command.path != path && is_within(command.path, path))
    }
}

/// Whether `path` is `group` or stands below it.
pub(crate) fn is_within(path: &str, group: &str) -> bool {
    match path.strip_prefix(group) {
        Some(rest) => group.is_empty() || rest.is_empty() || rest.starts_with(' '),
        None => false,
    }
}

impl Reading<'_> {
    fn read(&mut self, arguments: Vec<String>) -> Result<(), String> {
        let mut arguments = arguments.into_iter().peekable();
        let mut words_only = false;
        while let Some(argument) = arguments.next() {
            if words_only || !argument.starts_with('-') || argument == "-" {
                // Upstream takes a lone dash for an empty word.
                let word = if argument == "-" && !words_only {
                    String::new()
                } else {
                    argument
                };
                self.word(word)?;
            } else if argument == "--" {
                words_only = true;
            } else if let Some(long) = argument.strip_prefix("--") {
                let (name, mut value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_string())),
                    None => (long, None),
                };
                let (flag, on) = self
                    .long(name)
                    .ok_or_else(|| format!("unknown long flag '--{name}'"))?;
                if flag.kind == Kind::Switch {
                    self.given.push((flag, on.to_string()));
                    // What follows `=` is a word of its own then.
                    if let Some(word) = value.take() {
                        self.word(word)?;
                    }
                    continue;
                }
                let next = |next: &String| !next.starts_with('-') || next == "-";
                let value = value.or_else(|| arguments.next_if(next));
                let missing = || format!("expected argument for flag '--{name}'");
                self.given.push((flag, value.ok_or_else(missing)?));
            } else {
                let mut letters = argument[1..].chars();
                while let Some(letter) = letters.next() {
                    let known = self.flags.iter().find(|flag| flag.short == Some(letter));
                    let flag = *known.ok_or_else(|| format!("unknown short flag '-{letter}'"))?;
                    if flag.kind == Kind::Switch {
                        self.given.push((flag, "true".into()));
                        continue;
                    }
                    let rest = letters.as_str().to_string();
                    letters = "".chars();
                    let next = |next: &String| !next.starts_with('-');
                    let value = Some(rest)
                        .filter(|rest| !rest.is_empty())
                        .or_else(|| arguments.next_if(next));
                    let missing = || format!("expected argument for flag '-{letter}'");
                    self.given.push((flag, value.ok_or_else(missing)?));
                }
            }
        }
        Ok(())
    }

    /// A flag by its name, and whether a switch is put on by it.
    fn long(&self, name: &str) -> Option<(Flag, bool)> {
        let named = |name: &str| {
            let mut flags = self.flags.iter();
            flags.find(|flag| flag.name == name && !flag.is_word())
        };
        if let Some(flag) = named(name) {
            return Some((*flag, true));
        }
        let flag = named(name.strip_prefix("no-")?)?;
        (flag.kind == Kind::Switch).then_some((*flag, false))
    }

    fn word(&mut self, word: String) -> Result<(), String> {
        if self.program.has_below(&self.path) {
            let separator = if self.path.is_empty() { "" } else { " " };
            let path = format!("{}{separator}{word}", self.path);
            let command = self.program.command(&path);
            let command = command.ok_or_else(|| format!("expected command but got {word:?}"))?;
            self.flags.extend_from_slice(command.flags);
            self.path = path;
            return Ok(());
        }
        let places = self.flags.iter().filter(|flag| flag.is_word());
        let most = if places.clone().any(|flag| flag.kind == Kind::Words) {
            usize::MAX
        } else {
            places.count()
        };
        if self.words.len() >= most {
            return Err(format!("unexpected {word}"));
        }
        self.words.push(word);
        Ok(())
    }

    fn finish(self) -> Result<Invocation, UsageError> {
        if self.program.has_below(&self.path) {
            if self.path.is_empty() {
                return Ok(Invocation::Print(self.program.help("", &self.flags)));
            }
            let path = &self.path;
            return Err(UsageError::Value(format!(
                "must select a subcommand of '{path}'"
            )));
        }
        let mut given: Vec<(&'static str, String)> = Vec::new();
        for (flag, value) in self.given {
            let repeated = given.iter().any(|(known, _)| *known == flag.name);
            if repeated && flag.kind != Kind::List {
                return Err(UsageError::Value(format!(
                    "flag '{}' cannot be repeated",
                    flag.name
                )));
            }
            check(&flag, &value).map_err(UsageError::Value)?;
            given.push((flag.name, value));
        }
        let mut words = self.words.into_iter();
        let mut missing = None;
        for flag in self.flags.iter().filter(|flag| flag.is_word()) {
            let most = if flag.kind == Kind::Words {
                usize::MAX
            } else {
                1
            };
            let before = given.len();
            for word in words.by_ref().take(most) {
                check(flag, &word).map_err(UsageError::Value)?;
                given.push((flag.name, word));
            }
            if flag.required && given.len() == before {
                missing.get_or_insert(flag.name);
            }
        }
        let required = self
            .flags
            .iter()
            .filter(|flag| flag.required && !flag.is_word());
        let lacking: Vec<String> = required
            .filter(|flag| given.iter().all(|(known, _)| *known != flag.name))
            .map(|flag| format!("'--{}'", flag.name))
            .collect();
        if !lacking.is_empty() {
            return fault(format!(
                "required flag(s) {} not provided",
                lacking.join(", ")
            ));
        }
        if let Some(name) = missing {
            return fault(format!("required argument '{name}' not provided"));
        }
        let known = self.program.command(&self.path);
        Ok(Invocation::Run(Values {
            command: known.map_or("", |command| command.path),
            flags: self.flags[2..].to_vec(),
            given,
        }))
    }
}
