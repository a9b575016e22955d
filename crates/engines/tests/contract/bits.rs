//! Which results are equal bit for bit.

use engines::{CompileOptions, Engine};
use graph::{Builder, Dim, Graph};

use crate::cases::CASES;
use crate::network::{IMAGE, scoring_network};
use crate::values::{all, batch_size_independent, bits, noise, run, tensor};

#[test]
fn an_operation_gives_an_image_the_same_bits_at_every_place_of_a_batch() {
    for engine in all() {
        for case in CASES {
            let image = noise(9, case.image_len());
            check_places(engine.as_ref(), &case.graph(), &image, 5, case.name);
        }
    }
}

#[test]
fn a_network_gives_an_image_the_same_bits_at_every_place_of_a_batch() {
    let graph = scoring_network().unwrap();
    let image = noise(9, IMAGE);
    for engine in all() {
        check_places(engine.as_ref(), &graph, &image, 8, "network");
    }
}

/// The image at each place among other images, and in a batch padded with zeros.
fn check_places(engine: &dyn Engine, graph: &Graph, image: &[f32], batch: usize, what: &str) {
    let len = image.len();
    let mut padded = vec![0.0; batch * len];
    padded[..len].copy_from_slice(image);
    let first: Vec<Vec<u32>> = outputs_of(engine, graph, batch, &padded, 0);
    for place in 0..batch {
        let mut x = noise(1000 + place as u64, batch * len);
        x[place * len..][..len].copy_from_slice(image);
        let here = outputs_of(engine, graph, batch, &x, place);
        assert_eq!(
            first,
            here,
            "{what}, {}: other bits at place {place}",
            engine.name()
        );
    }
}

fn outputs_of(
    engine: &dyn Engine,
    graph: &Graph,
    batch: usize,
    x: &[f32],
    place: usize,
) -> Vec<Vec<u32>> {
    let outputs = run(engine, graph, batch, &[x]);
    outputs
        .iter()
        .map(|output| {
            let per_image = output.len() / batch;
            bits(&output[place * per_image..][..per_image])
        })
        .collect()
}

#[test]
fn a_network_gives_the_same_bits_at_batch_1_and_8() {
    let graph = scoring_network().unwrap();
    let x = noise(9, 8 * IMAGE);
    for engine in batch_size_independent() {
        for place in 0..8 {
            let together = outputs_of(engine.as_ref(), &graph, 8, &x, place);
            let alone = outputs_of(engine.as_ref(), &graph, 1, &x[place * IMAGE..][..IMAGE], 0);
            assert_eq!(
                together,
                alone,
                "{}: other bits at place {place}",
                engine.name()
            );
        }
    }
}

#[test]
fn two_sessions_at_work_give_the_bits_of_one() {
    check_two_sessions(&scoring_network().unwrap());
}

/// Of which engines do not keep a copy for each session.
#[test]
fn two_sessions_of_a_large_network_give_the_bits_of_one() {
    let wide = 1_500;
    let mut builder = Builder::new();
    let image = builder.input("image", &[Dim::Batch, IMAGE.into()]).unwrap();
    let mut value = image;
    for (key, shape) in [(1, [IMAGE, wide]), (2, [wide, 100])] {
        let weights = tensor(key, &shape, 0.1);
        let weights = builder
            .constant(&format!("weights {key}"), weights)
            .unwrap();
        value = builder.matmul(value, weights).unwrap();
    }
    builder.output("numbers", value).unwrap();
    check_two_sessions(&builder.finish().unwrap());
}

/// Of a graph whose input is [`IMAGE`] numbers.
fn check_two_sessions(graph: &Graph) {
    let images: Vec<Vec<f32>> = (0..6).map(|key| noise(key, IMAGE)).collect();
    for engine in all() {
        let alone: Vec<Vec<Vec<f32>>> = images
            .iter()
            .map(|x| run(engine.as_ref(), graph, 1, &[x]))
            .collect();
        let options = CompileOptions {
            batch: 1,
            sessions: 2,
            ..CompileOptions::default()
        };
        let compiled = engine.compile(graph, &options).expect("it compiles");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let mut session = compiled.session().expect("a session");
                let (images, alone, engine) = (&images, &alone, &engine);
                scope.spawn(move || {
                    for _ in 0..5 {
                        for (x, expected) in images.iter().zip(alone) {
                            let mut outputs = vec![Vec::new(); expected.len()];
                            session.run(&[x], &mut outputs).expect("it runs");
                            for (a, b) in expected.iter().zip(&outputs) {
                                assert_eq!(bits(a), bits(b), "{}", engine.name());
                            }
                        }
                    }
                });
            }
        });
    }
}
