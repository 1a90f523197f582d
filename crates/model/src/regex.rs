//! Label regexes: fully anchored, dot matches newline, Go's RE2 syntax, and fast paths for what dashboards write.
//!
//! Most label patterns are `a|b|c`, `prefix.*`, `.*suffix`, `.*middle.*` or `.+`. Those are answered by comparing
//! strings; and the finite ones tell storage which values to look up instead of trying all of them.

use std::sync::Arc;

use regex::Regex;
use regex_syntax::hir::{Hir, HirKind, Look};
use thiserror::Error;

/// How many literals a pattern may expand to before it counts as a pattern after all (upstream's limit).
const MAX_SET: usize = 256;

/// A pattern that does not compile.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("error parsing regexp: {0}")]
pub struct RegexError(String);

/// A compiled, anchored pattern. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FastRegex(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Box<str>,
    plan: Plan,
    set: Option<Vec<String>>,
    prefix: String,
    suffix: String,
    contains: Vec<String>,
}

#[derive(Debug)]
enum Plan {
    /// `.*`
    Anything,
    /// `.+`
    NonEmpty,
    /// One of a sorted list of literals.
    Set,
    /// `prefix.*` / `.*suffix` / `.*a.*b.*`: the three literal parts decide alone. `plus` asks for one more character.
    Literals { gap: usize },
    /// All else; the literal parts still refuse early.
    Regex(Regex),
}

/// The first repetition that Go refuses: none may ask for more than a thousand.
fn refused_count(hir: &Hir) -> Option<String> {
    const MOST: u32 = 1000;
    match hir.kind() {
        HirKind::Repetition(r) if r.min > MOST || r.max.is_some_and(|max| max > MOST) => {
            Some(match r.max {
                Some(max) if max == r.min => format!("{{{max}}}"),
                Some(max) => format!("{{{},{max}}}", r.min),
                None => format!("{{{},}}", r.min),
            })
        }
        HirKind::Repetition(r) => refused_count(&r.sub),
        HirKind::Capture(c) => refused_count(&c.sub),
        HirKind::Concat(all) | HirKind::Alternation(all) => all.iter().find_map(refused_count),
        _ => None,
    }
}

impl FastRegex {
    /// Compiles `pattern` as upstream does: `^(?s:pattern)$`.
    pub fn new(pattern: &str) -> Result<FastRegex, RegexError> {
        let translated = translate_go_syntax(pattern);
        let refused = |message: String| RegexError(message);
        if let Some(fault) = refused_by_go(pattern) {
            return Err(refused(fault));
        }
        let mut parser = regex_syntax::ParserBuilder::new()
            .dot_matches_new_line(true)
            .nest_limit(1000)
            .build();
        let hir = parser
            .parse(&translated)
            .map_err(|e| refused(describe(&e, pattern)))?;
        if let Some(count) = refused_count(&hir) {
            return Err(refused(format!("invalid repeat count: `{count}`")));
        }
        let set = literal_set(&hir).map(|mut set| {
            set.sort_unstable();
            set.dedup();
            set
        });
        let (prefix, suffix, contains, pure_gap) = literal_parts(&hir);
        let plan = match (hir.kind(), &set, pure_gap) {
            (_, Some(_), _) => Plan::Set,
            _ if is_dot_repeat(&hir) == Some(0) => Plan::Anything,
            _ if is_dot_repeat(&hir) == Some(1) => Plan::NonEmpty,
            (_, None, Some(gap)) => Plan::Literals { gap },
            _ => Plan::Regex(
                regex::RegexBuilder::new(&format!("^(?s:{translated})$"))
                    .size_limit(10 << 20)
                    .build()
                    .map_err(|e| refused(e.to_string()))?,
            ),
        };
        Ok(FastRegex(Arc::new(Inner {
            source: pattern.into(),
            plan,
            set,
            prefix,
            suffix,
            contains,
        })))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0.source
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        let inner = &*self.0;
        match &inner.plan {
            Plan::Anything => true,
            Plan::NonEmpty => !value.is_empty(),
            Plan::Set => inner
                .set
                .as_ref()
                .is_some_and(|set| set.binary_search_by(|s| s.as_str().cmp(value)).is_ok()),
            Plan::Literals { gap } => inner.literals_match(value, *gap),
            Plan::Regex(regex) => inner.may_match(value) && regex.is_match(value),
        }
    }

    /// The pattern in the syntax of the `regex` crate, for those who need captures.
    pub fn library_syntax(&self) -> String {
        translate_go_syntax(&self.0.source)
    }

    /// The finite set of values that can match, sorted, if the pattern is one.
    pub fn set_matches(&self) -> Option<&[String]> {
        self.0.set.as_deref()
    }

    /// A literal that every match starts with; may be empty.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// A literal that every match ends with; may be empty.
    pub fn suffix(&self) -> &str {
        &self.0.suffix
    }

    /// Whether every value matches (`.*`).
    pub fn matches_anything(&self) -> bool {
        matches!(self.0.plan, Plan::Anything)
    }

    /// Whether exactly the non-empty values match (`.+`).
    pub fn matches_non_empty(&self) -> bool {
        matches!(self.0.plan, Plan::NonEmpty)
    }
}

impl Inner {
    fn may_match(&self, value: &str) -> bool {
        value.starts_with(&self.prefix)
            && value.ends_with(&self.suffix)
            && self
                .contains
                .iter()
                .all(|part| value.contains(part.as_str()))
    }

    /// For `prefix .* a .* b .* suffix`: `gap` = least number of characters that the wildcards together take, known to
    /// be 0, or 1 where there is a single wildcard.
    fn literals_match(&self, value: &str, gap: usize) -> bool {
        let Some(rest) = value.strip_prefix(self.prefix.as_str()) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(self.suffix.as_str()) else {
            return false;
        };
        if gap > 0 && rest.is_empty() {
            return false;
        }
        for part in &self.contains {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// `.*` gives 0, `.+` gives 1.
fn is_dot_repeat(hir: &Hir) -> Option<u32> {
    match hir.kind() {
        HirKind::Capture(capture) => is_dot_repeat(&capture.sub),
        HirKind::Repetition(r) if r.max.is_none() && r.min <= 1 && is_any_char(&r.sub) => {
            Some(r.min)
        }
        _ => None,
    }
}

fn is_any_char(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            let ranges = class.ranges();
            ranges.len() == 1 && ranges[0].start() == '\0' && ranges[0].end() == char::MAX
        }
        HirKind::Capture(capture) => is_any_char(&capture.sub),
        _ => false,
    }
}

/// All strings that `hir` matches, if they are few.
fn literal_set(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        // A leading ^ or a closing $ adds nothing to an anchored pattern, but in the middle it would; giving up is safe.
        HirKind::Look(_) | HirKind::Repetition(_) => match hir.kind() {
            HirKind::Repetition(r) if r.min == 0 && r.max == Some(1) => {
                let mut set = literal_set(&r.sub)?;
                set.push(String::new());
                Some(set)
            }
            _ => None,
        },
        HirKind::Literal(literal) => Some(vec![String::from_utf8(literal.0.to_vec()).ok()?]),
        HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|r| r.len()).sum();
            if count > MAX_SET {
                return None;
            }
            Some(
                class
                    .ranges()
                    .iter()
                    .flat_map(|r| r.start()..=r.end())
                    .map(String::from)
                    .collect(),
            )
        }
        HirKind::Class(regex_syntax::hir::Class::Bytes(_)) => None,
        HirKind::Capture(capture) => literal_set(&capture.sub),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(literal_set(branch)?);
                if all.len() > MAX_SET {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let parts = strip_anchors(parts);
            let mut all = vec![String::new()];
            for part in parts {
                let next = literal_set(part)?;
                if all.len() * next.len() > MAX_SET {
                    return None;
                }
                all = all
                    .iter()
                    .flat_map(|a| next.iter().map(move |b| format!("{a}{b}")))
                    .collect();
            }
            Some(all)
        }
    }
}

/// An outermost `^` at the start or `$` at the end changes nothing.
fn strip_anchors(mut parts: &[Hir]) -> &[Hir] {
    while let [first, rest @ ..] = parts
        && matches!(first.kind(), HirKind::Look(Look::Start))
    {
        parts = rest;
    }
    while let [rest @ .., last] = parts
        && matches!(last.kind(), HirKind::Look(Look::End))
    {
        parts = rest;
    }
    parts
}

/// Prefix, suffix, the literals between in order, and, when nothing but literals and `.*` (or one `.+`) makes up the
/// pattern, the least length of the gap.
fn literal_parts(hir: &Hir) -> (String, String, Vec<String>, Option<usize>) {
    let none = (String::new(), String::new(), Vec::new(), None);
    let HirKind::Concat(parts) = unwrap_capture(hir).kind() else {
        return none;
    };
    let parts: Vec<&Hir> = strip_anchors(parts).iter().map(unwrap_capture).collect();
    let literal = |hir: &Hir| match hir.kind() {
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        _ => None,
    };
    let (mut prefix, mut suffix, mut contains) = (String::new(), String::new(), Vec::new());
    let (mut pure, mut wildcards, mut gap) = (true, 0usize, 0usize);
    for (i, part) in parts.iter().enumerate() {
        if let Some(text) = literal(part) {
            if i == 0 {
                prefix = text;
            } else if i + 1 == parts.len() {
                suffix = text;
            } else {
                contains.push(text);
            }
        } else if let Some(min) = is_dot_repeat(part) {
            wildcards += 1;
            gap += min as usize;
        } else {
            pure = false;
        }
    }
    // Two wildcards where one wants a character need the real thing.
    let simple = pure && wildcards > 0 && (gap == 0 || (wildcards == 1 && gap == 1));
    (prefix, suffix, contains, simple.then_some(gap))
}

fn unwrap_capture(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(capture) => unwrap_capture(&capture.sub),
        _ => hir,
    }
}

/// Go's syntax where it differs: `\z` is the same, `\Q...\E` quotes, `\C` is refused by both, `(?P<n>)` is known to
/// both, and `{` that is no repetition is a literal in Go.
fn translate_go_syntax(pattern: &str) -> String {
    if !pattern.contains("\\Q") && !pattern.contains('{') && !pattern.contains('[') {
        return pattern.to_string();
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    let (mut braces, mut class_ends) = (Ahead::of("}"), Ahead::of(":]"));
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("\\Q") {
            let body = &rest[2..];
            let (quoted, after) = match body.find("\\E") {
                Some(end) => (&body[..end], &body[end + 2..]),
                None => (body, ""),
            };
            out.push_str(&regex_syntax::escape(quoted));
            rest = after;
            continue;
        }
        if c == '\\' {
            let take = rest.chars().nth(1).map_or(1, |next| 1 + next.len_utf8());
            out.push_str(&rest[..take]);
            rest = &rest[take..];
            // \p{Greek} and \x{10FFFF}: the brace belongs to the escape.
            if rest.starts_with('{')
                && matches!(out.as_bytes().last(), Some(b'p' | b'P' | b'x'))
                && let Some(end) = braces.find(rest)
            {
                out.push_str(&rest[..=end]);
                rest = &rest[end + 1..];
            }
            continue;
        }
        match c {
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                rest = &rest[1..];
                // A ']' right after the opening is a member of the class.
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
                continue;
            }
            // Rust knows nested classes and set operators; Go does not.
            '[' if in_class && rest.starts_with("[:") => {
                if let Some(end) = class_ends.find(rest) {
                    out.push_str(&rest[..end + 2]);
                    rest = &rest[end + 2..];
                    continue;
                }
                out.push_str("\\[");
            }
            '[' if in_class => out.push_str("\\["),
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '{' if !in_class => {
                if let Some(repetition) = repetition(rest) {
                    out.push_str(repetition);
                    rest = &rest[repetition.len()..];
                    continue;
                }
                out.push_str("\\{");
            }
            // Those of repetitions are behind us.
            '}' if !in_class => out.push_str("\\}"),
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// What Go refuses and the library takes: repetitions of repetitions, and classes of unknown names.
fn refused_by_go(pattern: &str) -> Option<String> {
    let (mut at, mut repeated, mut in_class) = (0, None, false);
    let mut class_ends = Ahead::of(":]");
    while let Some(c) = pattern[at..].chars().next() {
        let rest = &pattern[at..];
        let width = match c {
            '\\' if rest.starts_with("\\Q") => match rest.find("\\E") {
                Some(end) => end + 2,
                None => rest.len(),
            },
            '\\' => rest.chars().take(2).map(char::len_utf8).sum(),
            '[' if in_class && rest.starts_with("[:") => match class_ends.find(rest) {
                Some(end) if !is_class_name(&rest[2..end]) => {
                    let name = &rest[..end + 2];
                    return Some(format!("invalid character class range: `{name}`"));
                }
                Some(end) => end + 2,
                None => 1,
            },
            ']' if in_class => {
                in_class = false;
                1
            }
            '[' if !in_class => {
                in_class = true;
                let after = rest[1..].strip_prefix('^').unwrap_or(&rest[1..]);
                // A ']' right after the opening is a member of the class.
                let first = usize::from(after.starts_with(']'));
                rest.len() - after.len() + first
            }
            '*' | '+' | '?' | '{' if !in_class => {
                let operator = match c {
                    '{' => repetition(rest).map_or(0, str::len),
                    _ => 1,
                };
                if operator > 0 {
                    if let Some(from) = repeated {
                        let both = &pattern[from..at + operator];
                        return Some(format!("invalid nested repetition operator: `{both}`"));
                    }
                    repeated = Some(at);
                    // A '?' behind it makes it lazy.
                    at += operator + usize::from(rest[operator..].starts_with('?'));
                    continue;
                }
                1
            }
            c => c.len_utf8(),
        };
        repeated = None;
        at += width;
    }
    None
}

fn is_class_name(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    NAMES.contains(&name.strip_prefix('^').unwrap_or(name))
}

/// The fault of a pattern as a program tells it that puts the pattern between anchors before it compiles it.
pub fn anchored_fault(pattern: &str) -> Option<RegexError> {
    let anchored = format!("^(?s:{pattern})$");
    FastRegex::new(&anchored).err()
}

/// The `{n}`, `{n,}` or `{n,m}` that a text begins with.
fn repetition(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?;
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let low = digits(inner);
    let after = &inner[low..];
    let rest = match after.strip_prefix(',') {
        Some(high) => &high[digits(high)..],
        None => after,
    };
    let length = text.len() - rest.strip_prefix('}')?.len();
    (low > 0).then(|| &text[..length])
}

/// Looks for a text behind the places of a pattern, one after the other. What is not there once is not looked for again,
/// so that all looking together costs no more than the pattern is long.
struct Ahead {
    text: &'static str,
    is_gone: bool,
}

impl Ahead {
    fn of(text: &'static str) -> Ahead {
        Ahead {
            text,
            is_gone: false,
        }
    }

    fn find(&mut self, rest: &str) -> Option<usize> {
        if self.is_gone {
            return None;
        }
        let found = rest.find(self.text);
        self.is_gone = found.is_none();
        found
    }
}

/// Go's wording for the faults people meet; the library's own line for the rest.
fn describe(error: &regex_syntax::Error, pattern: &str) -> String {
    use regex_syntax::ast::ErrorKind as Kind;
    if let regex_syntax::Error::Parse(e) = error {
        let from = e.span().start.offset.min(e.pattern().len());
        let tail = e.pattern().get(from..).unwrap_or("");
        match e.kind() {
            Kind::RepetitionMissing => {
                let operator: String = tail.chars().take(1).collect();
                return format!("missing argument to repetition operator: `{operator}`");
            }
            Kind::GroupUnclosed => return format!("missing closing ): `{pattern}`"),
            Kind::GroupUnopened => return format!("unexpected ): `{pattern}`"),
            Kind::ClassUnclosed => return format!("missing closing ]: `{tail}`"),
            Kind::EscapeUnexpectedEof => {
                return "trailing backslash at end of expression: ``".into();
            }
            Kind::EscapeUnrecognized => {
                let sequence: String = tail.chars().take(2).collect();
                return format!("invalid escape sequence: `{sequence}`");
            }
            Kind::ClassRangeInvalid => {
                let range: String = tail.chars().take(3).collect();
                return format!("invalid character class range: `{range}`");
            }
            Kind::UnsupportedLookAround => {
                let operator: String = tail.chars().take(3).collect();
                return format!("invalid or unsupported Perl syntax: `{operator}`");
            }
            Kind::UnsupportedBackreference => {
                let sequence: String = tail.chars().take(2).collect();
                return format!("invalid escape sequence: `{sequence}`");
            }
            Kind::FlagUnrecognized | Kind::FlagUnexpectedEof => {
                let upto = e.span().end.offset.min(e.pattern().len());
                let group = e.pattern()[..upto].rfind("(?").unwrap_or(from);
                let flags = &e.pattern()[group..upto];
                return format!("invalid or unsupported Perl syntax: `{flags}`");
            }
            kind => return format!("{kind}: `{pattern}`"),
        }
    }
    if let regex_syntax::Error::Translate(e) = error
        && matches!(
            e.kind(),
            regex_syntax::hir::ErrorKind::UnicodePropertyNotFound
        )
    {
        let span = e.span();
        let property = e.pattern().get(span.start.offset..span.end.offset);
        return format!(
            "invalid character class range: `{}`",
            property.unwrap_or(pattern)
        );
    }
    error
        .to_string()
        .lines()
        .last()
        .unwrap_or("invalid pattern")
        .trim()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str) -> FastRegex {
        FastRegex::new(pattern).expect("pattern compiles")
    }

    #[test]
    fn fast_paths_agree_with_the_library() {
        let patterns = [
            "",
            ".*",
            ".+",
            "a|b|c",
            "foo.*",
            ".*foo",
            ".*foo.*",
            "foo.+",
            "(foo|bar)",
            "(foo|bar)-[12]",
            "a?b",
            "foo.*bar",
            "foo.+bar.*",
            ".*a.*b.*",
            "(?i)foo",
            "^foo$",
            "^(foo|bar).*",
            "[abc]x",
            "fo{2}",
            "f.o",
            "x^y",
            "ns-1.*",
            "(.*)",
            "(.+)x",
            "a|.*b",
            "(?i:a)b",
            "\\d+",
            "\\.",
            "a\\.b",
            "{",
            "a{b",
            "a}",
            "{}",
            "[]a]",
            "[a[]",
            "\\Qa.b\\E.*",
        ];
        let values = [
            "", "a", "b", "foo", "foobar", "barfoo", "xfooy", "foo\nbar", "FOO", "bar", "foo-1",
            "bar-3", "ab", "ba", "aabb", "axbx", "ax", "cx", "foo\n", "fo", "x^y", "ns-1", "ns-12",
            "ns-2", "x", "12", ".", "a.b", "a.bc", "{", "a{b", "a}", "{}", "]", "[",
        ];
        for pattern in patterns {
            let fast = regex(pattern);
            let slow =
                Regex::new(&format!("^(?s:{})$", translate_go_syntax(pattern))).expect("compiles");
            for value in values {
                assert_eq!(
                    fast.is_match(value),
                    slow.is_match(value),
                    "/{pattern}/ on {value:?}"
                );
            }
        }
    }

    #[test]
    fn finite_patterns_list_their_values() {
        let set = |pattern| regex(pattern).set_matches().map(|s| s.join(","));
        assert_eq!(set("b|a").as_deref(), Some("a,b"));
        assert_eq!(
            set("(foo|bar)-[12]").as_deref(),
            Some("bar-1,bar-2,foo-1,foo-2")
        );
        assert_eq!(set("^a$").as_deref(), Some("a"));
        assert_eq!(set("").as_deref(), Some(""));
        assert_eq!(set("a.*"), None);
        assert_eq!(set("[^a]"), None);
        assert_eq!(regex("foo.*").prefix(), "foo");
        assert_eq!(regex(".*[0-9]bar").suffix(), "bar");
    }

    #[test]
    fn faults_read_like_upstream() {
        let fault = |pattern| FastRegex::new(pattern).expect_err("refused").to_string();
        assert_eq!(
            fault("*a"),
            "error parsing regexp: missing argument to repetition operator: `*`"
        );
        assert_eq!(fault("(a"), "error parsing regexp: missing closing ): `(a`");
        assert_eq!(fault("[a"), "error parsing regexp: missing closing ]: `[a`");
        for (pattern, told) in [
            ("a**", "invalid nested repetition operator: `**`"),
            ("a+?{2}", "invalid nested repetition operator: `+?{2}`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
            (r"a\1", r"invalid escape sequence: `\1`"),
            ("(?z)", "invalid or unsupported Perl syntax: `(?z`"),
            ("a{2000}", "invalid repeat count: `{2000}`"),
        ] {
            assert_eq!(fault(pattern), format!("error parsing regexp: {told}"));
        }
        for good in [
            "a*?b+",
            "[*+]*",
            r"\Q**\E",
            r"\**",
            "[]*]+",
            "[[:alpha:]]?",
            "a{,2}*",
            "(a*)*",
        ] {
            assert!(FastRegex::new(good).is_ok(), "{good}");
        }
        // None of these may take longer than its length.
        for part in ["[[:", "{1", "}", r"\p{", "[:", "a}{"] {
            let _ = FastRegex::new(&part.repeat(100_000));
        }
        for (pattern, told) in [
            ("(", "missing closing ): `^(?s:()$`"),
            ("a)", "unexpected ): `^(?s:a))$`"),
            ("[", "missing closing ]: `[)$`"),
            (r"\", r"missing closing ): `^(?s:\)$`"),
        ] {
            let fault = anchored_fault(pattern).expect(pattern).to_string();
            assert_eq!(fault, format!("error parsing regexp: {told}"));
        }
        assert_eq!(
            fault("a(?=b)"),
            "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"
        );
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(FastRegex::new(&deep).is_err());
        assert!(FastRegex::new("((a{1000}){1000}){1000}").is_err());
    }
}
