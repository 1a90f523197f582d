//! Sizes such as `512MB`: powers of 1024, whichever suffix.

/// Units from largest to smallest, as they are printed.
const UNITS: [(&str, &str, u64); 7] = [
    ("EB", "EiB", 1 << 60),
    ("PB", "PiB", 1 << 50),
    ("TB", "TiB", 1 << 40),
    ("GB", "GiB", 1 << 30),
    ("MB", "MiB", 1 << 20),
    ("KB", "KiB", 1 << 10),
    ("B", "B", 1),
];

/// Reads `1.5GB`, `10MiB`, `0`. A bare number other than 0 is refused with upstream's words.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("units: invalid ".into());
    }
    let (mut rest, mut total) = (text, 0f64);
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let number: f64 = number
            .parse()
            .map_err(|_| format!("units: invalid {text}"))?;
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, _, factor) = UNITS
            .iter()
            .find(|(short, long, _)| *short == unit || *long == unit)
            .ok_or_else(|| format!("units: unknown unit {unit} in {text}"))?;
        total += number * *factor as f64;
        rest = tail;
    }
    if total >= 9.3e18 {
        return Err("units: overflow parsing unit".into());
    }
    Ok(total as u64)
}

/// Writes a size the way upstream does: `512MiB`, `1GiB512MiB`, `0B`.
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".into();
    }
    let (mut rest, mut out) = (bytes, String::new());
    for (_, unit, factor) in UNITS {
        if rest >= factor {
            out.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        assert_eq!(parse_size("1.5GB"), Ok(3 << 29));
        assert_eq!(parse_size("10MiB"), Ok(10 << 20));
        assert_eq!(parse_size("1B"), Ok(1));
        assert_eq!(
            parse_size("100").unwrap_err(),
            "units: unknown unit  in 100"
        );
        assert_eq!(
            parse_size("1kB").unwrap_err(),
            "units: unknown unit kB in 1kB"
        );
        assert!(
            parse_size("9999EB").is_err() && parse_size("").is_err() && parse_size("GB").is_err()
        );
        assert_eq!(format_size(512 << 20), "512MiB");
        assert_eq!(format_size(0), "0B");
    }
}
