//! Numbers of fewer bits: those who have them compute with them, the others refuse.

use engines::{CompileOptions, EngineError, Precision};

use crate::network::{IMAGE, scoring_network};
use crate::values::{all, bits, difference, noise, run};

/// bf16 keeps 8 bits of a number; a network's errors are some times that.
const BF16_TOLERANCE: f64 = 0.1;

#[test]
fn who_has_no_such_numbers_refuses_and_who_has_them_computes_with_them() {
    let graph = scoring_network().unwrap();
    let image = noise(3, IMAGE);
    for engine in all() {
        let name = engine.name();
        let present = engine.precisions();
        assert!(present.contains(&Precision::F32), "{name}");
        let options = CompileOptions {
            precision: Precision::Bf16,
            ..CompileOptions::default()
        };
        if !present.contains(&Precision::Bf16) {
            let error = engine.compile(&graph, &options).err().unwrap();
            assert!(matches!(error, EngineError::Precision { .. }), "{name}");
            let error = error.to_string();
            assert!(error.contains("bf16") && error.contains("f32"), "{error}");
            continue;
        }
        let exact = run(engine.as_ref(), &graph, 1, &[&image]);
        let compiled = engine.compile(&graph, &options).unwrap();
        let mut outputs = vec![Vec::new(); exact.len()];
        let mut session = compiled.session().unwrap();
        session.run(&[&image], &mut outputs).unwrap();
        let differs = exact
            .iter()
            .zip(&outputs)
            .any(|(exact, found)| bits(exact) != bits(found));
        assert!(differs, "{name} computes in f32 what was asked for in bf16");
        for (exact, found) in exact.iter().zip(&outputs) {
            let off = difference(exact, found);
            assert!(off < BF16_TOLERANCE, "{name}: {off}");
        }
    }
}
