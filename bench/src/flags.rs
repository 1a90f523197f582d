//! `--name NUMBER` flags of measurements.

/// Reads the flags, each with its default.
pub fn numbers<const N: usize>(
    arguments: &[String],
    flags: [(&str, u64); N],
) -> Result<[u64; N], String> {
    let mut values = flags.map(|(_, default)| default);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let at = flags
            .iter()
            .position(|(name, _)| name == flag)
            .ok_or_else(|| {
                let names: Vec<&str> = flags.iter().map(|(name, _)| *name).collect();
                format!("unknown flag {flag}, expected one of {}", names.join(", "))
            })?;
        values[at] = rest
            .next()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{flag}: a whole number has to follow"))?;
    }
    Ok(values)
}
