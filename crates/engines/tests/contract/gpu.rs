//! An engine that few machines can use: it says what is missing, also after libtorch has computed on the processor.

use engines::{Choice, EngineError, open};
use graph::{Builder, Dim};

use crate::values::run;

#[test]
fn torch_cuda_computes_on_a_gpu_or_says_what_it_lacks() {
    engines_torch::link();
    let mut b = Builder::new();
    let x = b.input("x", &[Dim::Batch, Dim::Fixed(3)]).unwrap();
    let y = b.mul_scalar(x, 2.0).unwrap();
    b.output("y", y).unwrap();
    let graph = b.finish().unwrap();
    let input = [-1.0, 0.5, 2.0];
    let on_cpu = open(Choice::TorchCpu).unwrap();
    assert_eq!(run(&*on_cpu, &graph, 1, &[&input]), [[-2.0, 1.0, 4.0]]);
    match open(Choice::TorchCuda) {
        Ok(engine) => {
            assert_eq!(engine.devices()[0], "cuda:0");
            assert_ne!(engine.device(), engines::CPU);
            assert_eq!(run(&*engine, &graph, 1, &[&input]), [[-2.0, 1.0, 4.0]]);
        }
        Err(error @ EngineError::NoCuda { .. }) => {
            let words = error.to_string();
            assert!(words.contains("libtorch_cuda.so"), "{words}");
            assert!(words.contains("make setup CUDA=1"), "{words}");
        }
        Err(error @ EngineError::NoGpu { .. }) => {
            // That libtorch has it is what it remembers, not that it has not.
            let words = error.to_string();
            assert!(
                words.contains("driver") || words.contains("CUDA-capable"),
                "{words}"
            );
        }
        Err(error) => panic!("{error}"),
    }
}
