//! The parsed form of a template, and how messages quote it.

use std::fmt;
use std::sync::Arc;

use model::labels::go_quote;

use crate::value::Value;

/// Something between texts.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(Arc<str>),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Call),
    Break,
    Continue,
}

/// `{{template "name" pipe}}`
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub pos: usize,
    pub name: Arc<str>,
    pub pipe: Option<Pipe>,
}

/// `if`, `with`, `range` with both of their bodies.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub pipe: Pipe,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// Commands that feed each other, and the variables that take the outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe {
    pub pos: usize,
    /// `=` rather than `:=`.
    pub assigns: bool,
    pub variables: Vec<Arc<str>>,
    pub commands: Vec<Command>,
}

/// Operands: the first is called with the others if it can be.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub args: Vec<Operand>,
}

/// A term.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub pos: usize,
    pub term: Term,
}

#[derive(Clone, Debug)]
pub(crate) enum Term {
    Dot,
    Nil,
    Bool(bool),
    /// A constant with its text.
    Number(Value, Arc<str>),
    /// A text with how it was written.
    Text(Arc<str>, Arc<str>),
    Function(Arc<str>),
    /// `.a.b`
    Field(Vec<Arc<str>>),
    /// `$x.a.b`: the variable first.
    Variable(Vec<Arc<str>>),
    /// `(pipe)`
    Pipe(Box<Pipe>),
    /// `(pipe).a.b`
    Chain(Box<Operand>, Vec<Arc<str>>),
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Bool(b) => write!(f, "{b}"),
            Term::Number(_, text) | Term::Text(_, text) | Term::Function(text) => f.write_str(text),
            Term::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Term::Variable(names) => f.write_str(&names.join(".")),
            Term::Pipe(pipe) => write!(f, "({pipe})"),
            Term::Chain(of, names) => {
                write!(f, "{of}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{arg}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", go_quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
