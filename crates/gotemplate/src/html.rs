//! Escaping by place, as Go's `html/template` does it: what an action yields is made safe for where in the page it lands.
//!
//! Go works the places out when it parses; here they follow what has been written, so branches may end in different
//! places; and comments of scripts stay, without what actions would put into them. What is refused there is replaced here
//! as there: by `ZgotmplZ`.

use crate::escape;
use crate::html_script::{Script, js_string, js_value};
use crate::html_url::{UrlPart, url_value};
use crate::value::Value;

/// What stands for what must not be written.
pub(crate) const REFUSED: &str = "ZgotmplZ";

/// What an attribute's value is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Url,
    Script,
    Style,
}

/// What ends an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Delimiter {
    Quote(char),
    Space,
}

#[derive(Clone, Debug)]
enum State {
    Text,
    /// `<name` so far.
    TagName(String),
    /// Between attributes.
    Tag,
    AttributeName(String),
    BeforeValue(Kind),
    Attribute {
        kind: Kind,
        delimiter: Delimiter,
        part: UrlPart,
        script: Script,
    },
    /// `script`, `style`, `textarea`, `title`: text up to the closing tag.
    Raw(&'static str, Script),
    Comment,
}

/// Where in a page writing has come to.
#[derive(Debug)]
pub(crate) struct Page {
    state: State,
    element: String,
}

const RAW: [&str; 4] = ["script", "style", "textarea", "title"];
const URLS: [&str; 18] = [
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "srcset",
    "usemap",
    "xmlns",
];

fn kind_of(attribute: &str) -> Kind {
    let name = attribute.to_ascii_lowercase();
    let name = match name.strip_prefix("data-") {
        Some(rest) => rest,
        None => name.split_once(':').map_or(&*name, |(_, local)| local),
    };
    if name == "style" {
        Kind::Style
    } else if name.starts_with("on") {
        Kind::Script
    } else if URLS.contains(&name) || ["src", "uri", "url"].iter().any(|n| name.contains(n)) {
        Kind::Url
    } else {
        Kind::Plain
    }
}

impl Page {
    /// At the start of a page.
    pub fn new() -> Page {
        Page {
            state: State::Text,
            element: String::new(),
        }
    }

    /// A piece of the template itself; gives what is to be written of it: comments are not.
    pub fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let taken = self.advance(rest, c);
            let (piece, after) = rest.split_at(taken);
            if !matches!(self.state, State::Comment) && piece != "-->" {
                out.push_str(piece);
            }
            rest = after;
        }
        out
    }

    /// Takes a character, or some; gives how many bytes.
    fn advance(&mut self, rest: &str, c: char) -> usize {
        let one = c.len_utf8();
        match &mut self.state {
            State::Text => {
                if rest.starts_with("<!--") {
                    self.state = State::Comment;
                    return 4;
                }
                let after = rest[one..].chars().next().unwrap_or(' ');
                if c == '<' && (after.is_ascii_alphabetic() || after == '/') {
                    self.state = State::TagName(String::new());
                }
                one
            }
            State::Comment => {
                if rest.starts_with("-->") {
                    self.state = State::Text;
                    return 3;
                }
                one
            }
            State::TagName(name) => {
                if c == '>' || c == '/' && !name.is_empty() || c.is_ascii_whitespace() {
                    self.element = name.to_ascii_lowercase();
                    self.state = State::Tag;
                    return if c == '>' { self.end_of_tag() } else { one };
                }
                name.push(c);
                one
            }
            State::Tag => {
                if c == '>' {
                    return self.end_of_tag();
                }
                if !c.is_ascii_whitespace() && c != '/' {
                    self.state = State::AttributeName(c.to_string());
                }
                one
            }
            State::AttributeName(name) => {
                let kind = kind_of(name.trim_end());
                if c == '=' {
                    self.state = State::BeforeValue(kind);
                } else if c == '>' {
                    return self.end_of_tag();
                } else if !c.is_ascii_whitespace() && name.ends_with(' ') {
                    // An attribute without a value, and the next one.
                    self.state = State::AttributeName(c.to_string());
                } else {
                    name.push(if c.is_ascii_whitespace() { ' ' } else { c });
                }
                one
            }
            State::BeforeValue(kind) => {
                let kind = *kind;
                if c == '>' {
                    return self.end_of_tag();
                }
                if c == '"' || c == '\'' {
                    self.state = attribute(kind, Delimiter::Quote(c));
                    return one;
                }
                if !c.is_ascii_whitespace() {
                    self.state = attribute(kind, Delimiter::Space);
                    return self.advance(rest, c);
                }
                one
            }
            State::Attribute {
                delimiter,
                part,
                script,
                kind,
            } => {
                match delimiter {
                    Delimiter::Quote(quote) if c == *quote => self.state = State::Tag,
                    Delimiter::Space if c == '>' => return self.end_of_tag(),
                    Delimiter::Space if c.is_ascii_whitespace() => self.state = State::Tag,
                    _ => {
                        part.text(c);
                        if *kind == Kind::Script {
                            script.text(rest, c);
                        }
                    }
                }
                one
            }
            State::Raw(element, script) => {
                let closing = rest.strip_prefix("</").is_some_and(|name| {
                    name.get(..element.len())
                        .is_some_and(|name| name.eq_ignore_ascii_case(element))
                });
                if closing {
                    let taken = 2 + element.len();
                    self.element = format!("/{element}");
                    self.state = State::Tag;
                    return taken;
                }
                if *element == "script" {
                    script.text(rest, c);
                }
                one
            }
        }
    }

    fn end_of_tag(&mut self) -> usize {
        let raw = RAW.into_iter().find(|raw| *raw == self.element);
        self.state = match raw {
            Some(element) => State::Raw(element, Script::new()),
            None => State::Text,
        };
        1
    }

    /// What is to be written of a value here.
    pub fn value(&mut self, value: &Value) -> String {
        let is_html = matches!(value, Value::Object(object) if object.type_name() == HTML_TYPE);
        let text = match value {
            Value::Nil => String::new(),
            value => value.print(),
        };
        if let State::BeforeValue(kind) = self.state {
            self.state = attribute(kind, Delimiter::Space);
        }
        match &mut self.state {
            State::Text if is_html => text,
            State::Text => escape_html(&text),
            State::Comment => String::new(),
            State::TagName(name) => {
                let safe = safe_name(&text);
                name.push_str(&safe);
                safe
            }
            State::Tag | State::AttributeName(_) => {
                let safe = safe_name(&text);
                match &mut self.state {
                    State::AttributeName(name) => name.push_str(&safe),
                    state => *state = State::AttributeName(safe.clone()),
                }
                safe
            }
            // Decided above.
            State::BeforeValue(_) => String::new(),
            State::Attribute {
                kind,
                delimiter,
                part,
                script,
            } => {
                let made = match kind {
                    Kind::Plain if is_html => without_tags(&text),
                    Kind::Plain => text,
                    Kind::Url => url_value(&text, part),
                    Kind::Script => script_value(script, value, &text),
                    Kind::Style => style_value(&text),
                };
                match delimiter {
                    // Its characters are escaped already, but for the quotes.
                    Delimiter::Quote(_) if is_html && *kind == Kind::Plain => {
                        made.replace('"', "&#34;").replace('\'', "&#39;")
                    }
                    Delimiter::Quote(_) => escape_html(&made),
                    Delimiter::Space => escape_unquoted(&made),
                }
            }
            State::Raw("script", script) => script_value(script, value, &text),
            State::Raw("style", _) => style_value(&text),
            State::Raw(..) if is_html => escape_html(&without_tags(&text)),
            State::Raw(..) => escape_html(&text),
        }
    }
}

fn attribute(kind: Kind, delimiter: Delimiter) -> State {
    State::Attribute {
        kind,
        delimiter,
        part: UrlPart::Start,
        script: Script::new(),
    }
}

/// The type of texts that are HTML already.
pub(crate) const HTML_TYPE: &str = "template.HTML";

fn script_value(script: &mut Script, value: &Value, text: &str) -> String {
    match script {
        Script::Code { .. } => {
            script.after_value();
            js_value(value)
        }
        Script::Comment { .. } => String::new(),
        _ => js_string(text, matches!(script, Script::Regexp { .. })),
    }
}

fn escape_html(text: &str) -> String {
    escape::html(text).replace('+', "&#43;")
}

/// For attributes without quotes: nothing may end the value.
fn escape_unquoted(text: &str) -> String {
    if text.is_empty() {
        return "&#xfffd;".into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push_str("&#xfffd;"),
            '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '"' | '\'' | '+' | '=' | '`' => {
                out.push_str(&format!("&#{};", c as u32));
            }
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// A part of a tag's or attribute's name; never one that means more than itself.
fn safe_name(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    if plain && kind_of(text) == Kind::Plain {
        text.to_ascii_lowercase()
    } else {
        REFUSED.into()
    }
}

fn style_value(text: &str) -> String {
    let harmless = |c: char| !"\0\"'()/;@[\\]`{}<>".contains(c);
    let word: String = text
        .to_ascii_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let dangerous = word.contains("expression") || word.contains("mozbinding");
    if text.chars().all(harmless) && !text.contains("--") && !dangerous {
        text.to_string()
    } else {
        REFUSED.into()
    }
}

fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        match rest[at..].find('>') {
            Some(end) => rest = &rest[at + end + 1..],
            None => return out,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::html_text;

    fn page(before: &str, value: &Value, after: &str) -> String {
        let mut page = Page::new();
        let mut out = page.text(before);
        out.push_str(&page.value(value));
        out.push_str(&page.text(after));
        out
    }

    #[test]
    fn values_are_safe_where_they_land() {
        let nasty = "<a href='x'>\"&+</script>";
        let both = [
            (
                "<b>",
                "</b>",
                "&lt;a href=&#39;x&#39;&gt;&#34;&amp;&#43;&lt;/script&gt;",
            ),
            (
                "<p title=\"",
                "\">",
                "&lt;a href=&#39;x&#39;&gt;&#34;&amp;&#43;&lt;/script&gt;",
            ),
            (
                "<p title=",
                ">",
                "&lt;a&#32;href&#61;&#39;x&#39;&gt;&#34;&amp;&#43;&lt;/script&gt;",
            ),
            (
                "<textarea>",
                "</textarea>",
                "&lt;a href=&#39;x&#39;&gt;&#34;&amp;&#43;&lt;/script&gt;",
            ),
            (
                "<script>var x = ",
                ";</script>",
                r#""\u003ca href='x'\u003e\"\u0026+\u003c/script\u003e""#,
            ),
            (
                "<script>var x = '",
                "';</script>",
                r"\u003ca href=\u0027x\u0027\u003e\u0022\u0026\u002b\u003c\/script\u003e",
            ),
            (
                "<a href=\"/graph?q=",
                "\">",
                "%3ca%20href%3d%27x%27%3e%22%26%2b%3c%2fscript%3e",
            ),
            ("<p style=\"color: ", "\">", REFUSED),
            ("<style>p {color: ", "}</style>", REFUSED),
            ("<p ", ">", REFUSED),
            ("<script>// ", "\n</script>", ""),
        ];
        for (before, after, wanted) in both {
            let made = page(before, &Value::text(nasty), after);
            assert_eq!(made, format!("{before}{wanted}{after}"));
        }
    }

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        let text = Value::text;
        for (before, value, after) in [
            ("<a href=\"", text("http://h/x?a=b"), "\">"),
            ("<a href=\"", text("/path"), "\">"),
            ("<p style=\"width: ", text("10%"), "\">"),
            ("<p>", html_text("<b>bold</b>"), "</p>"),
            ("<p class=", text("odd"), " id=x>"),
        ] {
            let made = page(before, &value, after);
            assert_eq!(made, format!("{before}{}{after}", value.print()));
        }
        assert_eq!(
            page("<script>f(", &Value::Float(1.5), ")</script>"),
            "<script>f( 1.5 )</script>"
        );
        assert_eq!(page("<p>", &Value::Nil, "</p>"), "<p></p>");
        assert_eq!(
            page("<p title='", &html_text("<b>&amp;</b>"), "'>"),
            "<p title='&amp;'>"
        );
    }

    #[test]
    fn scripts_in_addresses_are_refused_and_comments_dropped() {
        let script = Value::text("javascript:alert(1)");
        assert_eq!(page("<a href='", &script, "'>"), "<a href='#ZgotmplZ'>");
        assert_eq!(page("<!-- ", &Value::text("x"), " --><i>"), "<i>");
        assert_eq!(
            page("<a onclick=\"f('", &Value::text("'"), "')\">"),
            "<a onclick=\"f('\\u0027')\">"
        );
    }
}
