//! File patterns with a star in the last element, as configurations allow them.

use std::path::{Path, PathBuf};

/// A pattern that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// The files that `pattern` matches, sorted; none for a pattern that cannot be read. A pattern without a star is the file
/// itself, if it is there.
pub fn matching_files(pattern: &str) -> Vec<PathBuf> {
    let mut files = matching(pattern).unwrap_or_default();
    files.retain(|path| path.is_file());
    files
}

/// All that `pattern` matches, sorted: files and folders.
pub fn matching(pattern: &str) -> Result<Vec<PathBuf>, BadPattern> {
    if !is_readable(pattern) {
        return Err(BadPattern);
    }
    let path = Path::new(pattern);
    let (dir, name) = match (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) {
        (Some(dir), Some(name)) => (dir, name),
        _ => return Ok(Vec::new()),
    };
    if !name.contains(['*', '?', '[', '\\']) {
        let is_there = path.symlink_metadata().is_ok();
        return Ok(is_there.then(|| path.to_path_buf()).into_iter().collect());
    }
    let below = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let Ok(entries) = std::fs::read_dir(below) else {
        return Ok(Vec::new());
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|file| fits(name, file))
        .map(|file| dir.join(file))
        .collect();
    found.sort();
    Ok(found)
}

/// Whether every `[` is closed and has members, and every `\` has something behind it.
fn is_readable(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    // A member of a class: any character but the signs of the class itself, unless behind a backslash.
    let member = |c: Option<char>, rest: &mut std::str::Chars<'_>| match c {
        None | Some('-' | ']') => false,
        Some('\\') => rest.next().is_some(),
        Some(_) => true,
    };
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => return false,
            '[' => {
                if rest.as_str().starts_with('^') {
                    rest.next();
                }
                let mut members = 0;
                loop {
                    let c = rest.next();
                    if c == Some(']') && members > 0 {
                        break;
                    }
                    if !member(c, &mut rest) {
                        return false;
                    }
                    if rest.as_str().starts_with('-') {
                        rest.next();
                        let last = rest.next();
                        if !member(last, &mut rest) {
                            return false;
                        }
                    }
                    members += 1;
                }
            }
            _ => {}
        }
    }
    true
}

/// Shell-style matching of `*`, `?` and `[...]` against one path element.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Where to go on after the last star: its place in the pattern and how much of the text it has taken.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], text[t]),
            Some('\\') => (pattern.get(p + 1) == Some(&text[t])).then_some(2),
            Some(c) if *c == text[t] => Some(1),
            _ => None,
        };
        match (step, &mut star) {
            (Some(width), _) => {
                p += width;
                t += 1;
            }
            (None, Some((star_p, star_t))) => {
                *star_t += 1;
                (p, t) = (*star_p + 1, *star_t);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The width of a `[...]` at the start of `pattern` if `c` is in it.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().position(|c| *c == ']')?;
    let negated = pattern.get(1) == Some(&'^');
    let mut members = &pattern[1 + usize::from(negated)..end];
    let mut found = false;
    while let [first, rest @ ..] = members {
        match rest {
            ['-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&c);
                members = rest;
            }
            _ => {
                found |= *first == c;
                members = rest;
            }
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_cannot_be_read() {
        for bad in ["a[", "a[]", "[^]", "[a-]", "[-a]", "x\\", "[a"] {
            assert_eq!(matching(bad), Err(BadPattern), "{bad}");
        }
        for good in ["[a]", "[^a-z]x", r"[\]]", "]", r"\["] {
            assert_eq!(matching(good), Ok(Vec::new()), "{good}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?.json", "a.json", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("*", "", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn finds_files_in_order() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["b.yml", "a.yml", "c.json"] {
            std::fs::write(dir.path().join(name), "").expect("write");
        }
        let pattern = dir.path().join("*.yml");
        let found = matching_files(pattern.to_str().expect("utf-8"));
        assert_eq!(found, [dir.path().join("a.yml"), dir.path().join("b.yml")]);
        assert_eq!(
            matching_files(dir.path().join("c.json").to_str().expect("utf-8")).len(),
            1
        );
        assert!(matching_files(dir.path().join("nope").to_str().expect("utf-8")).is_empty());
    }
}
