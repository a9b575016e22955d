//! Weights: `.pth` files and safetensors, whose tensors have as many numbers as their shapes say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(state) = weights::read("weights", bytes) else {
        return;
    };
    for (name, tensor) in &state {
        let expected: usize = tensor.shape().iter().product();
        assert_eq!(tensor.len(), expected, "{name}");
    }
});
