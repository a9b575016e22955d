//! Wrong buffers, options and names are errors that say what is wrong; sessions outlive what made them.

use engines::{Choice, CompileOptions, EngineError, probe};

use graph::{Builder, Dim};

use crate::network::{IMAGE, scoring_network};
use crate::values::{all, noise};

#[test]
fn buffers_of_another_size_are_refused_and_the_session_lives_on() {
    let graph = scoring_network().unwrap();
    for engine in all() {
        let compiled = engine.compile(&graph, &CompileOptions::default()).unwrap();
        let mut session = compiled.session().unwrap();
        let x = noise(1, IMAGE);
        let mut outputs = vec![Vec::new(); 3];
        let error = session.run(&[&x[1..]], &mut outputs).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("input \"image\" takes 3072, got 3071"),
            "{error}"
        );
        assert!(session.run(&[], &mut outputs).is_err());
        assert!(session.run(&[&x], &mut outputs[..2]).is_err());
        session.run(&[&x], &mut outputs).unwrap();
        assert!(outputs[2][0].is_finite(), "{}", engine.name());
    }
}

#[test]
fn inputs_that_no_output_needs_may_be_given_all_the_same() {
    let mut b = Builder::new();
    b.input("unused", &[Dim::Batch, Dim::Fixed(3)]).unwrap();
    let x = b.input("x", &[Dim::Batch, Dim::Fixed(5)]).unwrap();
    let z = b.input("z", &[Dim::Batch, Dim::Fixed(5)]).unwrap();
    let negative = b.mul_scalar(z, -1.0).unwrap();
    let y = b.add(x, negative).unwrap();
    b.output("y", y).unwrap();
    let graph = b.finish().unwrap();
    for engine in all() {
        let compiled = engine.compile(&graph, &CompileOptions::default()).unwrap();
        let mut session = compiled.session().unwrap();
        let mut outputs = vec![Vec::new()];
        session
            .run(&[&[9.0; 3], &[3.0; 5], &[2.0; 5]], &mut outputs)
            .unwrap();
        assert_eq!(outputs[0], [1.0; 5], "{}", engine.name());
    }
}

#[test]
fn no_images_and_no_sessions_are_refused() {
    let graph = scoring_network().unwrap();
    for engine in all() {
        for (batch, sessions) in [(0, 1), (1, 0)] {
            let options = CompileOptions {
                batch,
                sessions,
                ..CompileOptions::default()
            };
            let result = engine.compile(&graph, &options);
            assert!(
                matches!(result, Err(EngineError::Options { .. })),
                "{}",
                engine.name()
            );
        }
    }
}

#[test]
fn a_session_outlives_the_graph_the_compiled_model_and_the_engine() {
    for engine in all() {
        let graph = scoring_network().unwrap();
        let compiled = engine.compile(&graph, &CompileOptions::default()).unwrap();
        let mut session = compiled.session().unwrap();
        drop((graph, compiled, engine));
        let mut outputs = vec![Vec::new(); 3];
        session.run(&[&noise(1, IMAGE)], &mut outputs).unwrap();
        assert_eq!(outputs[0].len(), 3);
    }
}

#[test]
fn the_probe_finds_every_engine_of_this_build_with_its_version() {
    // Also links libtorch.
    assert!(!all().is_empty());
    for info in probe() {
        match info.error {
            None => assert!(
                info.version
                    .is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
            ),
            Some(
                EngineError::NotBuilt { .. }
                | EngineError::NoCuda { .. }
                | EngineError::NoGpu { .. },
            ) => {}
            Some(error) => panic!("{}: {error}", info.name),
        }
    }
}

#[test]
fn choices_are_read_by_name() {
    for (choice, name) in Choice::ALL {
        assert_eq!(name.parse::<Choice>().unwrap(), choice);
    }
    let error = "tensorrt".parse::<Choice>().unwrap_err();
    assert!(error.to_string().contains("openvino"), "{error}");
}
