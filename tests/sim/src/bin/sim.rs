//! `sim --seconds N`: as many random schedules as fit; `sim --seed S [--trace]`: one of them again.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sim::run_seed;

struct Arguments {
    seconds: u64,
    seed: Option<u64>,
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = match read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\nusage: sim [--seconds N] | sim --seed S [--trace]");
            return ExitCode::from(2);
        }
    };
    match arguments.seed {
        Some(seed) => one(seed, arguments.trace),
        None => many(arguments.seconds),
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seconds: 10,
        seed: None,
        trace: false,
    };
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words
                .next()
                .ok_or_else(|| format!("{word} needs a number"))?;
            text.parse()
                .map_err(|_| format!("{word}: {text:?} is not a number"))
        };
        match word.as_str() {
            "--seconds" => arguments.seconds = number()?,
            "--seed" => arguments.seed = Some(number()?),
            "--trace" => arguments.trace = true,
            _ => return Err(format!("unknown argument {word:?}")),
        }
    }
    Ok(arguments)
}

fn one(seed: u64, trace: bool) -> ExitCode {
    match run_seed(seed, None, trace) {
        Ok(outcome) => {
            println!(
                "seed {seed}: {} steps, {} commits, {} s simulated",
                outcome.steps,
                outcome.commits,
                outcome.simulated_ms / 1000
            );
            println!("schedules 1 failures 0");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!(
                "seed {seed} at {} s: {}",
                failure.at_ms / 1000,
                failure.what
            );
            println!("schedules 1 failures 1");
            ExitCode::FAILURE
        }
    }
}

fn many(seconds: u64) -> ExitCode {
    let first = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
        << 20;
    let end = Instant::now() + Duration::from_secs(seconds);
    let (next, failures) = (AtomicU64::new(first), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if let Err(failure) = run_seed(seed, None, false) {
                        failures.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed} at {} s: {}\n  again: cargo run -p sim --bin sim -- --seed {seed} --trace", failure.at_ms / 1000, failure.what);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner();
    println!(
        "schedules {} failures {failures}",
        next.into_inner() - first
    );
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
