//! Running a template over data.

use std::collections::HashMap;
use std::sync::Arc;

use model::labels::go_quote;

use crate::alerting::html_text;
use crate::builtins;
use crate::html::Page;
use crate::template::{Definition, Functions, Limits, Parameter, Signature};
use crate::tree::{Branch, Call, Command, Node, Operand, Pipe, Term};
use crate::value::Value;

/// Why an execution ended: a fault of the template or its data, in Go's words with its place in front.
type Res<T> = Result<T, String>;

/// What a list of nodes ended with.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

pub(crate) struct Run<'a> {
    pub templates: &'a HashMap<Arc<str>, Arc<Definition>>,
    pub functions: &'a dyn Functions,
    pub limits: Limits,
    pub out: String,
    /// Where in the page we are, if it is one.
    pub page: Option<Page>,
    definition: &'a Definition,
    variables: Vec<(Arc<str>, Value)>,
    depth: usize,
    steps: u64,
}

/// Where the fault is: a byte of the source and the text it quotes.
struct Place<'p> {
    pos: usize,
    shown: &'p dyn std::fmt::Display,
}

impl<'a> Run<'a> {
    pub fn new(
        templates: &'a HashMap<Arc<str>, Arc<Definition>>,
        functions: &'a dyn Functions,
        limits: Limits,
        definition: &'a Definition,
        data: &Value,
    ) -> Run<'a> {
        Run {
            templates,
            functions,
            limits,
            out: String::new(),
            page: None,
            definition,
            variables: vec![("$".into(), data.clone())],
            depth: 0,
            steps: 0,
        }
    }

    pub fn run(&mut self, data: &Value) -> Res<()> {
        let definition = self.definition;
        self.list(&definition.body, data).map(|_| ())
    }

    fn fault(&self, place: &Place<'_>, message: &str) -> String {
        let source = &self.definition.source;
        let before = &source.text[..place.pos.min(source.text.len())];
        let line = 1 + before.matches('\n').count();
        let column = before
            .rfind('\n')
            .map_or(before.len(), |newline| before.len() - newline - 1);
        format!(
            "template: {}:{line}:{column}: executing {} at <{}>: {message}",
            source.name,
            go_quote(&self.definition.name),
            place.shown
        )
    }

    fn at(&self, operand: &Operand, message: &str) -> String {
        let place = Place {
            pos: operand.pos,
            shown: operand,
        };
        self.fault(&place, message)
    }

    fn step(&mut self) -> Res<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(format!(
                "template: {}: more than {} steps",
                self.definition.name, self.limits.steps
            ));
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Res<()> {
        if self.out.len() + text.len() > self.limits.output {
            return Err(format!(
                "template: {}: output is longer than {} bytes",
                self.definition.name, self.limits.output
            ));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Value) -> Res<Flow> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    match &mut self.page {
                        Some(page) => {
                            let text = page.text(text);
                            self.write(&text)?;
                        }
                        None => self.write(text)?,
                    }
                    Flow::On
                }
                Node::Action(pipe) => {
                    let value = self.pipe(dot, pipe)?;
                    if let (Some(page), true) = (&mut self.page, pipe.variables.is_empty()) {
                        let last = pipe.commands.last().and_then(|c| c.args.first());
                        let escaped = matches!(last.map(|a| &a.term), Some(Term::Function(name)) if **name == *"html");
                        let text = if escaped {
                            page.value(&html_text(value.print()))
                        } else {
                            page.value(&value)
                        };
                        self.write(&text)?;
                    } else if pipe.variables.is_empty() {
                        match value {
                            Value::Nil => self.write("<no value>")?,
                            Value::Text(text) => self.write(&text)?,
                            value => self.write(&value.print())?,
                        }
                    }
                    Flow::On
                }
                Node::If(branch) => self.conditional(dot, branch, false)?,
                Node::With(branch) => self.conditional(dot, branch, true)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Template(call) => {
                    self.template(dot, call)?;
                    Flow::On
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn conditional(&mut self, dot: &Value, branch: &'a Branch, with: bool) -> Res<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = if value.truth() {
            self.list(&branch.body, if with { &value } else { dot })
        } else {
            self.list(&branch.otherwise, dot)
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, dot: &Value, branch: &'a Branch) -> Res<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let entries: Vec<(Value, Value)> = match &value {
            Value::List(items) => (0..).map(Value::Int).zip(items.iter().cloned()).collect(),
            Value::Map(map) => map
                .entries
                .iter()
                .map(|(key, value)| (Value::Text(key.clone()), value.clone()))
                .collect(),
            Value::Nil => Vec::new(),
            Value::Int(n) => {
                if *n > self.limits.steps as i64 {
                    let place = Place {
                        pos: branch.pipe.pos,
                        shown: &branch.pipe,
                    };
                    return Err(self.fault(&place, &format!("range over {n} is too long")));
                }
                (0..*n).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            other => {
                let entries = match other {
                    Value::Object(object) => object.entries(),
                    _ => None,
                };
                match entries {
                    Some(entries) => entries,
                    None => {
                        let place = Place {
                            pos: branch.pipe.pos,
                            shown: &branch.pipe,
                        };
                        let message = format!("range can't iterate over {}", other.print());
                        return Err(self.fault(&place, &message));
                    }
                }
            }
        };
        let mut flow = Flow::On;
        if entries.is_empty() {
            flow = self.list(&branch.otherwise, dot)?;
        }
        let inner = self.variables.len();
        let names = &branch.pipe.variables;
        for (key, element) in entries {
            self.step()?;
            let values = match names.len() {
                0 => vec![],
                1 => vec![element.clone()],
                _ => vec![key, element.clone()],
            };
            for (name, value) in names.iter().zip(values) {
                // The pipeline itself declared or assigned the last one; each turn sets them anew.
                self.assign(name, value);
            }
            match self.list(&branch.body, &element)? {
                Flow::Break => break,
                Flow::On | Flow::Continue => self.variables.truncate(inner),
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn assign(&mut self, name: &Arc<str>, value: Value) {
        match self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            Some((_, slot)) => *slot = value,
            None => self.variables.push((name.clone(), value)),
        }
    }

    fn template(&mut self, dot: &Value, call: &'a Call) -> Res<()> {
        let place = Place {
            pos: call.pos,
            shown: call,
        };
        let Some(definition) = self.templates.get(&call.name) else {
            let message = format!("template {} not defined", go_quote(&call.name));
            return Err(self.fault(&place, &message));
        };
        if self.depth >= self.limits.depth {
            let message = format!("exceeded maximum template depth ({})", self.limits.depth);
            return Err(self.fault(&place, &message));
        }
        let data = match &call.pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nil,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), data.clone())]);
        let caller = std::mem::replace(&mut self.definition, definition);
        self.depth += 1;
        self.list(&definition.body, &data)?;
        self.depth -= 1;
        self.definition = caller;
        self.variables = outer;
        Ok(())
    }

    fn pipe(&mut self, dot: &Value, pipe: &'a Pipe) -> Res<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone());
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Res<Value> {
        self.step()?;
        let Some((first, rest)) = command.args.split_first() else {
            return Ok(Value::Nil);
        };
        match &first.term {
            Term::Function(name) => return self.call(dot, first, command, name, rest, last),
            Term::Field(names) => {
                return self.chain(dot, dot.clone(), first, names, rest, last);
            }
            Term::Variable(names) => {
                let base = self.variable(&names[0]);
                if names.len() > 1 {
                    return self.chain(dot, base, first, &names[1..], rest, last);
                }
                self.not_a_function(first, rest, &last)?;
                return Ok(base);
            }
            Term::Chain(of, names) => {
                let base = self.operand(dot, of)?;
                return self.chain(dot, base, first, names, rest, last);
            }
            Term::Nil => return Err(self.at(first, "nil is not a command")),
            _ => {}
        }
        self.not_a_function(first, rest, &last)?;
        self.operand(dot, first)
    }

    fn not_a_function(&self, first: &Operand, rest: &[Operand], last: &Option<Value>) -> Res<()> {
        if rest.is_empty() && last.is_none() {
            return Ok(());
        }
        Err(self.at(
            first,
            &format!("can't give argument to non-function {first}"),
        ))
    }

    fn variable(&self, name: &str) -> Value {
        self.variables
            .iter()
            .rev()
            .find(|(known, _)| **known == *name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }

    /// An operand that is given no arguments.
    fn operand(&mut self, dot: &Value, operand: &'a Operand) -> Res<Value> {
        match &operand.term {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Nil),
            Term::Bool(b) => Ok(Value::Bool(*b)),
            Term::Number(value, _) => Ok(value.clone()),
            Term::Text(text, _) => Ok(Value::Text(text.clone())),
            Term::Function(name) => self.call(dot, operand, operand, name, &[], None),
            Term::Field(names) => self.chain(dot, dot.clone(), operand, names, &[], None),
            Term::Variable(names) => {
                let base = self.variable(&names[0]);
                self.chain(dot, base, operand, &names[1..], &[], None)
            }
            Term::Pipe(pipe) => self.pipe(dot, pipe),
            Term::Chain(of, names) => {
                let base = self.operand(dot, of)?;
                self.chain(dot, base, operand, names, &[], None)
            }
        }
    }

    /// Fields after fields; arguments belong to the last.
    fn chain(
        &mut self,
        dot: &Value,
        base: Value,
        at: &'a Operand,
        names: &'a [Arc<str>],
        args: &'a [Operand],
        last: Option<Value>,
    ) -> Res<Value> {
        let mut value = base;
        for (i, name) in names.iter().enumerate() {
            self.step()?;
            let mut given = Vec::new();
            if i + 1 == names.len() {
                for arg in args {
                    given.push(self.operand(dot, arg)?);
                }
                given.extend(last.clone());
            }
            value = self.member(&value, name, &given, at)?;
        }
        Ok(value)
    }

    fn member(&self, of: &Value, name: &str, args: &[Value], at: &Operand) -> Res<Value> {
        let missing = |value: Value| {
            if args.is_empty() {
                Ok(value)
            } else {
                let message = format!("{name} is not a method but has arguments");
                Err(self.at(at, &message))
            }
        };
        match of {
            Value::Map(map) => missing(match map.entries.get(name) {
                Some(value) => value.clone(),
                None if map.texts => Value::text(""),
                None => Value::Nil,
            }),
            Value::Object(object) => match object.member(name, args) {
                Some(Ok(value)) => Ok(value),
                Some(Err(message)) => Err(self.at(at, &format!("error calling {name}: {message}"))),
                None => match object.key(name) {
                    Some(value) => missing(value),
                    None => Err(self.at(
                        at,
                        &format!("can't evaluate field {name} in type {}", of.type_name()),
                    )),
                },
            },
            Value::Nil => {
                Err(self.at(at, &format!("nil pointer evaluating interface {{}}.{name}")))
            }
            other => Err(self.at(
                at,
                &format!("can't evaluate field {name} in type {}", other.type_name()),
            )),
        }
    }

    fn call(
        &mut self,
        dot: &Value,
        at: &'a Operand,
        whole: &dyn std::fmt::Display,
        name: &str,
        args: &'a [Operand],
        last: Option<Value>,
    ) -> Res<Value> {
        self.step()?;
        if matches!(name, "and" | "or") && self.functions.signature(name).is_none() {
            return self.short_circuit(dot, at, name, args, last);
        }
        let own = self.functions.signature(name);
        let Some(signature) = own.or_else(|| builtins::signature(name)) else {
            return Err(self.at(at, &format!("{} is not a defined function", go_quote(name))));
        };
        let given = args.len() + usize::from(last.is_some());
        self.check_count(at, name, &signature, given)?;
        let mut values = Vec::with_capacity(given);
        for (i, arg) in args.iter().enumerate() {
            let value = self.operand(dot, arg)?;
            values.push(self.fit(arg, value, signature.parameter(i), true)?);
        }
        if let Some(value) = last {
            values.push(self.fit(at, value, signature.parameter(args.len()), false)?);
        }
        let result = match own {
            Some(_) => self.functions.call(name, &values),
            None => builtins::call(name, &values, self.limits.output),
        };
        let message = match result {
            Ok(Value::Text(text)) if text.len() > self.limits.output => {
                format!("result is longer than {} bytes", self.limits.output)
            }
            Ok(value) => return Ok(value),
            Err(message) => message,
        };
        let place = Place {
            pos: at.pos,
            shown: whole,
        };
        Err(self.fault(&place, &format!("error calling {name}: {message}")))
    }

    fn check_count(
        &self,
        at: &Operand,
        name: &str,
        signature: &Signature,
        given: usize,
    ) -> Res<()> {
        let want = signature.fixed.len();
        if signature.rest.is_some() {
            if given < want {
                return Err(self.at(
                    at,
                    &format!("wrong number of args for {name}: want at least {want} got {given}"),
                ));
            }
        } else if given != want {
            return Err(self.at(
                at,
                &format!("wrong number of args for {name}: want {want} got {given}"),
            ));
        }
        Ok(())
    }

    /// The value as the parameter wants it.
    fn fit(&self, at: &Operand, value: Value, wanted: Parameter, constant: bool) -> Res<Value> {
        let constant = constant && matches!(at.term, Term::Number(..));
        match (wanted, &value) {
            (Parameter::Any, _)
            | (Parameter::Text, Value::Text(_))
            | (Parameter::Int, Value::Int(_))
            | (Parameter::Float, Value::Float(_))
            | (Parameter::List, Value::List(_)) => Ok(value),
            (Parameter::Float, Value::Int(n)) if constant => Ok(Value::Float(*n as f64)),
            (Parameter::Int, Value::Float(_)) if constant && value.as_int().is_some() => {
                Ok(value.as_int().map_or(Value::Nil, Value::Int))
            }
            _ => {
                let wanted = wanted.name();
                let message = match value {
                    Value::Nil => format!("invalid value; expected {wanted}"),
                    _ if constant || matches!(at.term, Term::Text(..) | Term::Bool(_)) => {
                        format!("expected {}; found {at}", wanted_constant(wanted))
                    }
                    value => format!(
                        "wrong type for value; expected {wanted}; got {}",
                        value.type_name()
                    ),
                };
                Err(self.at(at, &message))
            }
        }
    }

    fn short_circuit(
        &mut self,
        dot: &Value,
        at: &'a Operand,
        name: &str,
        args: &'a [Operand],
        last: Option<Value>,
    ) -> Res<Value> {
        if args.is_empty() && last.is_none() {
            return Err(self.at(
                at,
                &format!("wrong number of args for {name}: want at least 1 got 0"),
            ));
        }
        let decides = |value: &Value| value.truth() == (name == "or");
        let mut value = Value::Nil;
        for arg in args {
            value = self.operand(dot, arg)?;
            if decides(&value) {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

fn wanted_constant(wanted: &str) -> &str {
    match wanted {
        "float64" => "float",
        "int" => "integer",
        other => other,
    }
}
