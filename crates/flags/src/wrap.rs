//! Breaking text into lines, as Go's documentation printer does it: the lines as even as they can be, rather after
//! punctuation than elsewhere.

/// The lines of one paragraph, each of at most `width` characters where words are not longer.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // Characters up to each word, a space after every one.
    let mut total = vec![0usize];
    for word in &words {
        total.push(total[total.len() - 1] + word.chars().count() + 1);
    }
    let end = words.len();
    // The least cost of lines up to each word, and where the last of them begins: first what sticks out, then the rest.
    let mut best: Vec<((u64, u64), usize)> = vec![((0, 0), 0)];
    for to in 1..=end {
        let cost_from = |from: usize| {
            let long = total[to] - 1 - total[from];
            let apart = (long.abs_diff(width) as u64).pow(2);
            let penalty = if words[to - 1].ends_with(['.', ',', ':', ';']) {
                0
            } else {
                64
            };
            let (over, rest) = match long > width {
                true => (apart, penalty),
                false if to == end => (0, 0),
                false => (0, apart + penalty),
            };
            let ((over_before, rest_before), _) = best[from];
            (over_before + over, rest_before + rest)
        };
        let choices = (0..to).map(|from| (cost_from(from), from));
        best.push(choices.min().unwrap_or_default());
    }
    let mut starts = Vec::new();
    let mut at = end;
    while at > 0 {
        starts.push(best[at].1..at);
        at = best[at].1;
    }
    let lines = starts.into_iter().rev();
    lines.map(|line| words[line].join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_are_even_and_end_at_punctuation() {
        assert_eq!(
            wrap(
                "Prefix for the internal routes of web endpoints. Defaults to path of --web.external-url.",
                47
            ),
            [
                "Prefix for the internal routes of",
                "web endpoints. Defaults to path of",
                "--web.external-url."
            ]
        );
        assert_eq!(
            wrap("a-word-longer-than-the-line b", 5),
            ["a-word-longer-than-the-line", "b"]
        );
        assert!(wrap("", 10).is_empty());
    }
}
