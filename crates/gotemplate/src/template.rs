//! Parsed templates, the functions they may call, and the limits they run in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::builtins;
use crate::exec::Run;
use crate::html::Page;
use crate::parser;
use crate::tree::Node;
use crate::value::Value;

/// What is wrong with a template, in Go's words with its place in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(pub String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Anything.
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `float64`
    Float,
    /// A slice.
    List,
}

impl Parameter {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Parameter::Any => "interface {}",
            Parameter::Text => "string",
            Parameter::Int => "int",
            Parameter::Float => "float64",
            Parameter::List => "[]interface {}",
        }
    }
}

/// The arguments of a function.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Those that have to be there.
    pub fixed: &'static [Parameter],
    /// What any further ones have to be; `None` if there may be none.
    pub rest: Option<Parameter>,
}

impl Signature {
    /// A function of just these.
    pub const fn of(fixed: &'static [Parameter]) -> Signature {
        Signature { fixed, rest: None }
    }

    pub(crate) fn parameter(&self, i: usize) -> Parameter {
        self.fixed
            .get(i)
            .copied()
            .or(self.rest)
            .unwrap_or(Parameter::Any)
    }
}

/// Functions beside Go's own; one of the same name goes first.
pub trait Functions {
    /// The arguments of a function; `None` if there is none of that name.
    fn signature(&self, name: &str) -> Option<Signature>;

    /// Calls it with arguments that fit its signature.
    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String>;
}

/// No functions but Go's own.
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn signature(&self, _name: &str) -> Option<Signature> {
        None
    }

    fn call(&self, name: &str, _args: &[Value]) -> Result<Value, String> {
        Err(format!("{name} is not a function"))
    }
}

/// What an execution may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Templates within templates.
    pub depth: usize,
    /// Bytes written, also by any one function.
    pub output: usize,
    /// Nodes, commands and turns of loops.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            depth: 50,
            output: 1 << 20,
            steps: 1_000_000,
        }
    }
}

/// A text that templates were parsed from.
#[derive(Debug)]
pub(crate) struct Source {
    pub name: Arc<str>,
    pub text: Arc<str>,
}

/// One template with its body.
#[derive(Debug)]
pub(crate) struct Definition {
    pub name: Arc<str>,
    pub source: Arc<Source>,
    pub body: Vec<Node>,
}

/// A set of templates: the one it is named after and those that it, or texts added later, define.
#[derive(Clone, Debug, Default)]
pub struct Template {
    name: Arc<str>,
    definitions: HashMap<Arc<str>, Arc<Definition>>,
}

impl Template {
    /// Parses `text`. Functions have to be known now and again at execution.
    pub fn parse(
        name: &str,
        text: &str,
        functions: &dyn Functions,
    ) -> Result<Template, TemplateError> {
        let mut template = Template {
            name: name.into(),
            definitions: HashMap::new(),
        };
        template.add(name, text, functions)?;
        Ok(template)
    }

    /// Adds a text; what it defines takes the place of what was defined before.
    pub fn add(
        &mut self,
        name: &str,
        text: &str,
        functions: &dyn Functions,
    ) -> Result<(), TemplateError> {
        let known =
            |name: &str| functions.signature(name).is_some() || builtins::signature(name).is_some();
        let parsed = parser::parse(name, text, &known).map_err(TemplateError)?;
        let source = Arc::new(Source {
            name: name.into(),
            text: text.into(),
        });
        let own = (Arc::from(name), parsed.body);
        for (name, body) in parsed.defined.into_iter().chain([own]) {
            let empty = body
                .iter()
                .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()));
            if empty && self.definitions.contains_key(&name) {
                continue;
            }
            let definition = Definition {
                name: name.clone(),
                source: source.clone(),
                body,
            };
            self.definitions.insert(name, Arc::new(definition));
        }
        Ok(())
    }

    /// The text without actions, if there are none: it is its own output.
    pub fn as_plain(&self) -> Option<&str> {
        match &*self.definitions.get(&self.name)?.body {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Runs the template over `data`.
    pub fn execute(
        &self,
        data: &Value,
        functions: &dyn Functions,
        limits: Limits,
    ) -> Result<String, TemplateError> {
        self.execute_named(&self.name, data, functions, limits)
    }

    /// Runs the template of that name.
    pub fn execute_named(
        &self,
        name: &str,
        data: &Value,
        functions: &dyn Functions,
        limits: Limits,
    ) -> Result<String, TemplateError> {
        self.run(name, data, functions, limits, None)
    }

    /// Runs the template of that name as a page of HTML: what actions yield is escaped by where it lands.
    pub fn execute_html(
        &self,
        name: &str,
        data: &Value,
        functions: &dyn Functions,
        limits: Limits,
    ) -> Result<String, TemplateError> {
        if !self.definitions.contains_key(name) {
            let name = model::labels::go_quote(name);
            return Err(TemplateError(format!("html/template: {name} is undefined")));
        }
        self.run(name, data, functions, limits, Some(Page::new()))
    }

    /// The name of the template itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn run(
        &self,
        name: &str,
        data: &Value,
        functions: &dyn Functions,
        limits: Limits,
        page: Option<Page>,
    ) -> Result<String, TemplateError> {
        let Some(definition) = self.definitions.get(name) else {
            return Err(TemplateError(format!(
                "template: no template {} associated with template {}",
                model::labels::go_quote(name),
                model::labels::go_quote(&self.name)
            )));
        };
        let mut run = Run::new(&self.definitions, functions, limits, definition, data);
        run.page = page;
        run.run(data).map_err(TemplateError)?;
        Ok(run.out)
    }
}
