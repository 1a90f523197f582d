//! Go's `fmt`: `print`, `println`, `printf`.

use model::labels::go_quote;

use crate::number::{format_e, format_g};
use crate::value::Value;

/// Wider is refused, as Go does, and more than any output may be.
const WIDTH_MAX: i64 = 1_000_000;

/// Operands side by side; a space between two where neither is a text.
pub(crate) fn print(args: &[Value]) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for (i, arg) in args.iter().enumerate() {
        let is_text = matches!(arg, Value::Text(_));
        if i > 0 && !is_text && !after_text {
            out.push(' ');
        }
        arg.print_into(&mut out);
        after_text = is_text;
    }
    out
}

/// Operands with spaces between them and a new line.
pub(crate) fn println(args: &[Value]) -> String {
    let parts: Vec<String> = args.iter().map(Value::print).collect();
    format!("{}\n", parts.join(" "))
}

#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Args<'a> {
    all: &'a [Value],
    at: usize,
    reordered: bool,
}

impl Args<'_> {
    fn int(&mut self) -> Option<i64> {
        let value = self.all.get(self.at)?;
        self.at += 1;
        match value {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// `[n]`; false where it is wrong.
    fn index(&mut self, rest: &mut &str) -> bool {
        let Some(inner) = rest.strip_prefix('[') else {
            return true;
        };
        self.reordered = true;
        let Some((digits, after)) = inner.split_once(']') else {
            *rest = inner;
            return false;
        };
        *rest = after;
        match digits.parse::<usize>() {
            Ok(n) if n >= 1 && n <= self.all.len() => {
                self.at = n - 1;
                true
            }
            _ => false,
        }
    }
}

/// Formats `args` after `format`; no more than about `longest` bytes.
pub(crate) fn printf(format: &str, args: &[Value], longest: usize) -> String {
    let mut out = String::new();
    let mut args = Args {
        all: args,
        at: 0,
        reordered: false,
    };
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        out.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        if out.len() > longest {
            return out;
        }
        verb(&mut rest, &mut args, &mut out);
    }
    out.push_str(rest);
    if !args.reordered && args.at < args.all.len() {
        out.push_str("%!(EXTRA ");
        for (i, arg) in args.all[args.at..].iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            match arg {
                Value::Nil => out.push_str("<nil>"),
                arg => {
                    out.push_str(arg.type_name());
                    out.push('=');
                    arg.print_into(&mut out);
                }
            }
        }
        out.push(')');
    }
    out
}

fn verb(rest: &mut &str, args: &mut Args<'_>, out: &mut String) {
    let mut spec = Spec::default();
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => (spec.minus, spec.zero) = (true, false),
            '+' => spec.plus = true,
            '#' => spec.sharp = true,
            ' ' => spec.space = true,
            '0' => spec.zero = !spec.minus,
            _ => break,
        }
        *rest = &rest[1..];
    }
    let mut good = args.index(rest);
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        match args.int().filter(|n| n.abs() <= WIDTH_MAX) {
            Some(n) => {
                spec.minus |= n < 0;
                spec.zero &= n >= 0;
                spec.width = Some(n.unsigned_abs() as usize);
            }
            None => out.push_str("%!(BADWIDTH)"),
        }
    } else {
        spec.width = number(rest, out, "%!(BADWIDTH)");
    }
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        good &= args.index(rest);
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            match args.int().filter(|n| (0..=WIDTH_MAX).contains(n)) {
                Some(n) => spec.precision = Some(n as usize),
                None => out.push_str("%!(BADPREC)"),
            }
        } else {
            spec.precision = Some(number(rest, out, "%!(BADPREC)").unwrap_or(0));
        }
    }
    good &= args.index(rest);
    let Some(verb) = rest.chars().next() else {
        out.push_str("%!(NOVERB)");
        return;
    };
    *rest = &rest[verb.len_utf8()..];
    if verb == '%' {
        out.push('%');
        return;
    }
    if !good {
        out.push_str(&format!("%!{verb}(BADINDEX)"));
        return;
    }
    let Some(value) = args.all.get(args.at) else {
        out.push_str(&format!("%!{verb}(MISSING)"));
        return;
    };
    args.at += 1;
    out.push_str(&formatted(value, verb, &spec));
}

fn number(rest: &mut &str, out: &mut String, bad: &str) -> Option<usize> {
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let digits = &rest[..end];
    *rest = &rest[end..];
    if digits.is_empty() {
        return None;
    }
    let n = digits.parse::<i64>().ok().filter(|n| *n <= WIDTH_MAX);
    if n.is_none() {
        out.push_str(bad);
    }
    n.map(|n| n as usize)
}

/// Fills up to the width; zeros go between sign and digits.
fn padded(text: String, spec: &Spec, zeros: bool) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if spec.minus {
        return text + &" ".repeat(missing);
    }
    if zeros {
        let (sign, digits) = match text.strip_prefix(['+', '-', ' ']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text.as_str()),
        };
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    " ".repeat(missing) + &text
}

fn bad_verb(value: &Value, verb: char) -> String {
    match value {
        Value::Nil => format!("%!{verb}(<nil>)"),
        value => format!("%!{verb}({}={})", value.type_name(), value.print()),
    }
}

fn formatted(value: &Value, verb: char, spec: &Spec) -> String {
    match verb {
        'T' => return padded(value.type_name().to_string(), spec, spec.zero),
        'p' => return bad_verb(value, verb),
        _ => {}
    }
    match value {
        Value::Nil if verb == 'v' => padded("<nil>".into(), spec, false),
        Value::Bool(b) if matches!(verb, 't' | 'v') => padded(b.to_string(), spec, false),
        Value::Int(n) => integer(*n, verb, spec).unwrap_or_else(|| bad_verb(value, verb)),
        Value::Float(v) => float(*v, verb, spec).unwrap_or_else(|| bad_verb(value, verb)),
        Value::Text(text) => string(text, verb, spec).unwrap_or_else(|| bad_verb(value, verb)),
        Value::List(items) => {
            let parts: Vec<String> = items.iter().map(|i| formatted(i, verb, spec)).collect();
            format!("[{}]", parts.join(" "))
        }
        Value::Map(map) => {
            let parts: Vec<String> = map
                .entries
                .iter()
                .map(|(key, value)| {
                    let key = string(key, verb, spec).unwrap_or_else(|| key.to_string());
                    format!("{key}:{}", formatted(value, verb, spec))
                })
                .collect();
            format!("map[{}]", parts.join(" "))
        }
        Value::Object(object) => match (verb, object.number()) {
            ('v' | 's', _) => padded(object.print(), spec, false),
            ('q', _) => padded(go_quote(&object.print()), spec, false),
            (_, Some(v)) => formatted(&Value::Float(v), verb, spec),
            _ => bad_verb(value, verb),
        },
        _ => bad_verb(value, verb),
    }
}

fn signed(text: String, negative: bool, spec: &Spec) -> String {
    let sign = match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (.., true) => " ",
        _ => "",
    };
    format!("{sign}{text}")
}

fn integer(n: i64, verb: char, spec: &Spec) -> Option<String> {
    let magnitude = n.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' => format!("{}{magnitude:o}", if spec.sharp { "0" } else { "" }),
        'O' => format!("0o{magnitude:o}"),
        'x' => format!("{}{magnitude:x}", if spec.sharp { "0x" } else { "" }),
        'X' => format!("{}{magnitude:X}", if spec.sharp { "0X" } else { "" }),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(n)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or('\u{fffd}');
            let text = match verb {
                'c' => c.to_string(),
                'q' => {
                    let quoted = go_quote(&c.to_string());
                    let inner = quoted.trim_start_matches('"').trim_end_matches('"');
                    match c {
                        '\'' => "'\\''".into(),
                        '"' => "'\"'".into(),
                        _ => format!("'{inner}'"),
                    }
                }
                _ if spec.sharp => format!("U+{n:04X} '{c}'"),
                _ => format!("U+{n:04X}"),
            };
            return Some(padded(text, spec, false));
        }
        _ => return None,
    };
    let digits = match spec.precision {
        Some(least) if digits.len() < least => {
            format!("{}{digits}", "0".repeat(least - digits.len()))
        }
        _ => digits,
    };
    let zeros = spec.zero && spec.precision.is_none();
    Some(padded(signed(digits, n < 0, spec), spec, zeros))
}

fn float(v: f64, verb: char, spec: &Spec) -> Option<String> {
    if !"vgGeEfFbxX".contains(verb) {
        return None;
    }
    if !v.is_finite() {
        let word = if v.is_nan() { "NaN" } else { "Inf" };
        let plus = spec.plus || (v == f64::INFINITY && verb == 'v' && !spec.space);
        let negative = v == f64::NEG_INFINITY;
        let sign = match (negative, plus, spec.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (.., true) => " ",
            _ if v.is_nan() => "",
            _ => "+",
        };
        return Some(padded(format!("{sign}{word}"), spec, false));
    }
    let negative = v.is_sign_negative();
    let magnitude = v.abs();
    let text = match verb {
        'v' | 'g' => format_g(magnitude, spec.precision),
        'G' => format_g(magnitude, spec.precision).to_uppercase(),
        'e' => format_e(magnitude, Some(spec.precision.unwrap_or(6))),
        'E' => format_e(magnitude, Some(spec.precision.unwrap_or(6))).to_uppercase(),
        'f' | 'F' => format!("{magnitude:.*}", spec.precision.unwrap_or(6)),
        _ => return None,
    };
    Some(padded(signed(text, negative, spec), spec, spec.zero))
}

fn string(text: &str, verb: char, spec: &Spec) -> Option<String> {
    let cut = |text: &str| -> String {
        match spec.precision {
            Some(n) => text.chars().take(n).collect(),
            None => text.to_string(),
        }
    };
    let out = match verb {
        'v' | 's' if spec.sharp && verb == 'v' => go_quote(text),
        'v' | 's' => cut(text),
        'q' if spec.sharp && !text.contains('`') && !text.contains(char::is_control) => {
            format!("`{}`", cut(text))
        }
        'q' => go_quote(&cut(text)),
        'x' | 'X' => {
            let bytes = text.as_bytes();
            let bytes = &bytes[..spec.precision.unwrap_or(bytes.len()).min(bytes.len())];
            let hex: Vec<String> = bytes
                .iter()
                .map(|byte| match verb {
                    'x' => format!("{byte:02x}"),
                    _ => format!("{byte:02X}"),
                })
                .collect();
            hex.join(if spec.space { " " } else { "" })
        }
        _ => return None,
    };
    Some(padded(out, spec, spec.zero))
}
