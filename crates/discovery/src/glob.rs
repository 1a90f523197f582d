//! File patterns with a star in the last element, as configurations allow them.

use std::path::{Path, PathBuf};

/// The files that `pattern` matches, sorted. A pattern without a star is the file itself, if it is there.
pub fn matching_files(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    let (dir, name) = match (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) {
        (Some(dir), Some(name)) => (dir, name),
        _ => return Vec::new(),
    };
    if !name.contains(['*', '?', '[']) {
        return if path.is_file() {
            vec![path.to_path_buf()]
        } else {
            Vec::new()
        };
    }
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|file| fits(name, file))
        })
        .map(|entry| {
            if path.parent() == Some(Path::new("")) {
                entry.file_name().into()
            } else {
                entry.path()
            }
        })
        .filter(|path: &PathBuf| path.is_file())
        .collect();
    files.sort();
    files
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
