//! Reads a body over and over and says how fast: `parse_speed FILE [openmetrics]`.

use std::time::Instant;

use exposition::{Entry, Parser};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(path) = arguments.get(1) else {
        eprintln!("usage: parse_speed FILE [openmetrics]");
        std::process::exit(2);
    };
    let body = match std::fs::read(path) {
        Ok(body) => body,
        Err(error) => {
            eprintln!("{path}: {error}");
            std::process::exit(1);
        }
    };
    let openmetrics = arguments.get(2).is_some_and(|word| word == "openmetrics");
    let rounds = (400_000_000 / body.len().max(1)).max(1);
    for with_labels in [false, true] {
        let rounds = if with_labels { rounds / 5 } else { rounds };
        let (mut lines, mut sum) = (0u64, 0f64);
        let start = Instant::now();
        for _ in 0..rounds {
            let mut parser = if openmetrics {
                Parser::openmetrics(&body, false)
            } else {
                Parser::text(&body)
            };
            loop {
                match parser.next() {
                    Ok(Some(Entry::Series { value, .. })) => {
                        lines += 1;
                        sum += value;
                        if with_labels {
                            sum += f64::from(parser.labels().is_empty());
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        eprintln!("line {}: {error}", error.line);
                        std::process::exit(1);
                    }
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}: {:.0} MB/s, {:.0} ns a sample ({lines} samples, sum {sum:e})",
            if with_labels {
                "with labels"
            } else {
                "series text and value"
            },
            (rounds * body.len()) as f64 / seconds / 1e6,
            seconds * 1e9 / lines as f64,
        );
    }
}
