//! `label_replace` and `label_join`.

use model::labels::METRIC_NAME;
use model::regex::FastRegex;
use model::{Labels, LabelsBuilder};

use super::text;
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::Frame;
use crate::grid::Grid;
use crate::guard::Guard;
use crate::plan::{Call, Node};
use crate::stream::{Mapped, Stream, open as open_stream};

/// The longest value a label is given.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// The most bytes that label functions of one query may write in all.
const QUERY_BYTES_MAX: usize = 512 << 20;

/// Counts a value about to be made; refuses those that nobody wants: each nested call could double the last one's.
fn count_value(call: &Call, cx: &Cx<'_>, bytes: usize) -> Res<()> {
    let name = call.func.name;
    if bytes > VALUE_BYTES_MAX {
        return Err(QueryError::execution(format!(
            "{name}(): a label value of {bytes} bytes, at most {VALUE_BYTES_MAX} are made"
        )));
    }
    let made = cx.label_bytes.get() + bytes;
    cx.label_bytes.set(made);
    if made > QUERY_BYTES_MAX {
        return Err(QueryError::execution(format!(
            "{name}(): more than {QUERY_BYTES_MAX} bytes of label values in one query"
        )));
    }
    Ok(())
}

/// Applies `change` to the labels of every series; writing the name makes it stay.
fn relabelled<'q>(
    call: &'q Call,
    grid: Grid,
    cx: &'q Cx<'q>,
    dst: &'q str,
    mut change: impl FnMut(&Labels) -> Res<Option<Labels>> + 'q,
) -> Res<Box<dyn Stream + 'q>> {
    let mut guard = Guard::strict();
    Ok(Box::new(Mapped {
        input: open_stream(&call.args[0].node, grid, cx)?,
        f: move |frame: &mut Frame| {
            if !cx.options.delayed_name_removal {
                frame.settle();
            }
            if let Some(labels) = change(&frame.labels)? {
                frame.labels = labels;
                if dst == METRIC_NAME {
                    frame.drop_name = false;
                }
            }
            if cx.options.delayed_name_removal && frame.drop_name {
                return Ok(());
            }
            guard.claim(frame.labels.clone(), frame)
        },
    }))
}

/// Label names are anything but nothing, and have to be UTF-8.
fn check_name(call: &Call, at: usize, role: &str) -> Res<()> {
    match call.args.get(at).map(|a| &a.node) {
        Some(Node::Text(name, None)) if !name.is_empty() => Ok(()),
        Some(Node::Text(name, _)) => Err(QueryError::execution(format!(
            "invalid {role} label name in {}(): {name}",
            call.func.name
        ))),
        _ => text(call, at).map(|_| ()),
    }
}

pub(super) fn replace<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let (dst, replacement, src, pattern) = (
        text(call, 1)?,
        text(call, 2)?,
        text(call, 3)?,
        text(call, 4)?,
    );
    let invalid = || {
        QueryError::execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ))
    };
    let checked = FastRegex::new(pattern).map_err(|_| invalid())?;
    let regex = regex::Regex::new(&format!("^(?s:{})$", checked.library_syntax()))
        .map_err(|_| invalid())?;
    check_name(call, 1, "destination")?;
    let replacement = library_template(replacement);
    let inserts = replacement.matches('$').count();
    relabelled(call, grid, cx, dst, move |labels| {
        let source = labels.get(src).unwrap_or("");
        let Some(captures) = regex.captures(source) else {
            return Ok(None);
        };
        let at_most = replacement.len() + source.len() * inserts;
        count_value(call, cx, at_most)?;
        let mut value = String::new();
        captures.expand(&replacement, &mut value);
        let mut builder = LabelsBuilder::new(labels);
        builder.set(dst.to_string(), value);
        Ok(Some(builder.build()))
    })
}

/// Go's and the library's templates agree but for what follows a `$` that names nothing: there Go writes it out.
fn library_template(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = |s: &str| {
            s.bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                .count()
        };
        if let Some(after) = rest.strip_prefix('$') {
            out.push_str("$$");
            rest = after;
        } else if let Some(braced) = rest.strip_prefix('{') {
            let n = name(braced);
            if n > 0 && braced.as_bytes().get(n) == Some(&b'}') {
                out.push_str(&format!("${{{}}}", &braced[..n]));
                rest = &braced[n + 1..];
            } else {
                out.push_str("$$");
            }
        } else {
            let n = name(rest);
            if n > 0 {
                out.push_str(&format!("${{{}}}", &rest[..n]));
                rest = &rest[n..];
            } else {
                out.push_str("$$");
            }
        }
    }
    out.push_str(rest);
    out
}

pub(super) fn join<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let (dst, separator) = (text(call, 1)?, text(call, 2)?);
    let mut sources = Vec::new();
    for at in 3..call.args.len() {
        let src = text(call, at)?;
        check_name(call, at, "source")?;
        sources.push(src);
    }
    check_name(call, 1, "destination")?;
    relabelled(call, grid, cx, dst, move |labels| {
        let parts: Vec<&str> = sources
            .iter()
            .map(|s| labels.get(s).unwrap_or(""))
            .collect();
        let separators = separator.len() * parts.len().saturating_sub(1);
        let bytes = parts.iter().map(|part| part.len()).sum::<usize>() + separators;
        count_value(call, cx, bytes)?;
        let mut builder = LabelsBuilder::new(labels);
        builder.set(dst.to_string(), parts.join(separator));
        Ok(Some(builder.build()))
    })
}

#[cfg(test)]
mod tests {
    use super::library_template;

    #[test]
    fn templates() {
        for (go, library) in [
            ("$1", "${1}"),
            ("${1}x", "${1}x"),
            ("$1x", "${1x}"),
            ("a$$b", "a$$b"),
            ("a$", "a$$"),
            ("${1", "$${1"),
        ] {
            assert_eq!(library_template(go), library);
        }
    }
}
