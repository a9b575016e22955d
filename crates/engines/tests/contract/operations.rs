//! Every operation means the same to every engine.

use crate::cases::CASES;
use crate::values::{all, difference, noise, run};

/// Relative difference between engines, far above what is measured and far below what a wrong attribute causes.
const LIMIT: f64 = 1e-4;

#[test]
fn every_operation_agrees_with_torch_at_batch_1_and_5() {
    let engines = all();
    let (reference, others) = engines.split_first().expect("one engine is built");
    let mut failures = Vec::new();
    let mut worst = vec![(0.0, ""); others.len()];
    for case in CASES {
        let graph = case.graph();
        for batch in [1, 5] {
            let x = noise(77, case.image_len() * batch);
            let expected = run(reference.as_ref(), &graph, batch, &[&x]);
            for (other, worst) in others.iter().zip(&mut worst) {
                let got = run(other.as_ref(), &graph, batch, &[&x]);
                let off = difference(&expected[0], &got[0]);
                if off > worst.0 {
                    *worst = (off, case.name);
                }
                if off.is_nan() || off > LIMIT {
                    failures.push(format!(
                        "{}, batch {batch}, {}: {off:e}",
                        case.name,
                        other.name()
                    ));
                }
            }
        }
    }
    for (other, (off, name)) in others.iter().zip(&worst) {
        println!(
            "{}: largest relative difference {off:.1e} ({name})",
            other.name()
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
