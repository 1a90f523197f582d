//! Energy used by processor packages, cores and memory, as the processor counts it.

use std::collections::HashMap;

use crate::collector::CollectError;
use crate::files::{Paths, list, read_sys, read_u64};
use crate::sink::Sink;

/// Adds one counter per zone: named after it, or labelled with it.
pub fn update(paths: &Paths, zone_label: bool, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/powercap");
    let entries = match list(&base) {
        Ok(entries) => entries,
        Err(error) if error.is_absent() || error.is_denied() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    let mut seen: HashMap<String, u32> = HashMap::new();
    for entry in &entries {
        let path = base.join(entry);
        let Ok(name) = read_sys(&path.join("name")) else {
            continue;
        };
        // `package-0` carries its number; zones below it are counted by name.
        let (zone, index) = match name.rsplit_once('-') {
            Some((zone, index))
                if !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()) =>
            {
                (zone.to_string(), index.to_string())
            }
            _ => {
                let count = seen.entry(name.clone()).or_insert(0);
                let index = count.to_string();
                *count += 1;
                (name, index)
            }
        };
        let microjoules = match read_u64(&path.join("energy_uj")) {
            Ok(energy) => energy,
            // The control type's own directory has none.
            Err(error) if error.is_absent() => continue,
            Err(error) if error.is_denied() => return Err(CollectError::NoData),
            Err(error) => return Err(error.into()),
        };
        let joules = microjoules as f64 / 1e6;
        let shown = path.to_string_lossy();
        if zone_label {
            let labels = [
                ("index", index.as_str()),
                ("path", &shown),
                ("rapl_zone", &zone),
            ];
            sink.counter(
                "rapl_joules_total",
                "Current RAPL value in joules",
                &labels,
                joules,
            );
        } else {
            let zone = sanitize(&zone);
            let labels = [("index", index.as_str()), ("path", &*shown)];
            let help = format!("Current RAPL {zone} value in joules");
            sink.counter(&format!("rapl_{zone}_joules_total"), &help, &labels, joules);
        }
    }
    Ok(())
}

/// A name with everything that metric names cannot hold joined into single underscores.
pub(crate) fn sanitize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut pending = false;
    let mut underscores = 0;
    for c in name.chars() {
        match c {
            '_' => underscores += 1,
            c if c.is_ascii_alphanumeric() => {
                if pending {
                    out.push('_');
                } else {
                    out.extend(std::iter::repeat_n('_', underscores));
                }
                (pending, underscores) = (false, 0);
                out.push(c);
            }
            _ => pending = true,
        }
    }
    if pending {
        out.push('_');
    } else {
        out.extend(std::iter::repeat_n('_', underscores));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn sanitizing() {
        for (name, want) in [
            ("a-b", "a_b"),
            ("a_-_b", "a_b"),
            ("a__b", "a__b"),
            ("dram (x)", "dram_x_"),
            ("", ""),
        ] {
            assert_eq!(super::sanitize(name), want);
        }
    }
}
