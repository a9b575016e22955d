//! A search whose objective another program computes, over standard input and output: for `make bench ONLY=hpo`.
//!
//! The first line is the search as JSON. Then each trial's parameters are written as a line of JSON, `{"trial", "us", ...}`, and a
//! line with its value is read; one that is no number is a failed trial. Ends with the search.

use std::io::{BufRead, Write};
use std::time::Instant;

use hpo::{Search, Trial};
use serde_json::{Map, Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = std::io::stdin().lock().lines();
    let search: Search = serde_json::from_str(&lines.next().ok_or("no search")??)?;
    search.check()?;
    let mut out = std::io::stdout().lock();
    let mut trials = Vec::new();
    loop {
        let start = Instant::now();
        let Some(suggestion) = search.suggest(&trials) else {
            return Ok(());
        };
        let us = start.elapsed().as_micros() as u64;
        let values = search.space.values(&suggestion.point);
        let values: Map<String, Value> = values
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        writeln!(
            out,
            "{}",
            json!({"trial": trials.len(), "us": us, "values": values})
        )?;
        out.flush()?;
        let value = lines.next().ok_or("no value")??.trim().parse().ok();
        trials.push(Trial {
            point: suggestion.point,
            value,
        });
    }
}
