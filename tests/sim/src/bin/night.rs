//! `night`: the table of docs/kubernetes.md, by simulation: 5 million images in two hours, on pools that stand and pools that are scaled.

use std::process::ExitCode;

use sim::night::{Morning, Night, Pool, Scaled};

const SEEDS: u64 = 5;
/// A night's rent of what stands all night, in hours.
const NIGHT_H: f64 = 8.0;
/// What a spot machine costs beside one that stays.
const SPOT_PRICE: f64 = 0.35;

fn night(seed: u64, rate: f64, pool: Pool) -> Night {
    Night {
        seed,
        jobs: 13,
        every_s: 600,
        // 13 arrivals from 0 to 2 h: 5.0 million images.
        chunks: 1_503,
        rate,
        pool,
    }
}

fn scaled(max: u64, seconds_per_slot: u64, taken_an_hour: f64) -> Pool {
    Pool::Scaled(Scaled {
        max,
        seconds_per_slot,
        taken_an_hour,
        without_notice: 0.1,
    })
}

fn main() -> ExitCode {
    println!(
        "| pool | images/s a slot | done after the last arrival | most pods | pod-hours | cost | machines taken | lost, handed back |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for rate in [10.0, 100.0] {
        let fixed: &[u64] = if rate < 50.0 {
            &[20, 70, 200]
        } else {
            &[7, 20]
        };
        for &pods in fixed {
            if !row(&format!("{pods}, all night"), rate, 1.0, true, || {
                Pool::Fixed(pods)
            }) {
                return ExitCode::FAILURE;
            }
        }
        for (name, price, pool) in [
            ("0 to 200, 300 s a slot", 1.0, scaled(200, 300, 0.0)),
            ("0 to 200, 60 s a slot", 1.0, scaled(200, 60, 0.0)),
            (
                "0 to 200 spot, 300 s a slot, 10 % taken an hour",
                SPOT_PRICE,
                scaled(200, 300, 0.1),
            ),
            (
                "0 to 200 spot, 300 s a slot, every machine once an hour",
                SPOT_PRICE,
                scaled(200, 300, 1.0),
            ),
        ] {
            if !row(name, rate, price, false, || pool.clone()) {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Prints one line, of the mean of all seeds; false if a night does not end.
fn row(name: &str, rate: f64, price: f64, all_night: bool, pool: impl Fn() -> Pool) -> bool {
    let seeds = if all_night { 1 } else { SEEDS };
    let nights: Result<Vec<Morning>, String> = (0..seeds)
        .map(|seed| night(seed, rate, pool()).pass())
        .collect();
    let mornings = match nights {
        Ok(mornings) => mornings,
        Err(why) => {
            eprintln!("{name}: {why}");
            return false;
        }
    };
    let mean = |of: fn(&Morning) -> u64| {
        mornings.iter().map(|one| of(one) as f64).sum::<f64>() / mornings.len() as f64
    };
    let last_s = 7_200.0;
    let pods = mean(|one| one.most_pods);
    let rented = if all_night {
        pods * NIGHT_H.max(mean(|one| one.done_s) / 3_600.0)
    } else {
        mean(|one| one.pod_s) / 3_600.0
    };
    println!(
        "| {name} | {rate} | {:.0} min | {pods:.0} | {rented:.0} | {:.0} | {:.0} | {:.0}, {:.0} |",
        (mean(|one| one.done_s) - last_s) / 60.0,
        rented * price,
        mean(|one| one.taken),
        mean(|one| one.lost),
        mean(|one| one.released),
    );
    true
}
