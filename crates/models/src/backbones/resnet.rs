//! ResNets of basic blocks under the names that timm and torchvision share.

use super::steps::{Conv, Norm, Padding, Step};

const EPS: f32 = 1e-5;

/// He et al., arXiv:1512.03385, table 1.
pub(super) fn resnet18() -> Vec<Step> {
    steps([2, 2, 2, 2])
}

pub(super) fn resnet34() -> Vec<Step> {
    steps([3, 4, 6, 3])
}

fn steps(blocks: [usize; 4]) -> Vec<Step> {
    const CHANNELS: [usize; 4] = [64, 128, 256, 512];
    let mut steps = vec![
        Step::Conv(conv("conv1".to_owned(), 3, 64, 7, 2)),
        Step::Norm(norm("bn1".to_owned(), 64)),
        Step::Relu,
        layer("act1".to_owned()),
        Step::MaxPool,
    ];
    let mut inputs = 64;
    for (stage, (&outputs, &count)) in CHANNELS.iter().zip(&blocks).enumerate() {
        let name = format!("layer{}", stage + 1);
        for b in 0..count {
            let stride = if b == 0 && stage > 0 { 2 } else { 1 };
            block(&mut steps, &format!("{name}.{b}"), inputs, outputs, stride);
            inputs = outputs;
        }
        steps.push(layer(name));
    }
    steps
}

fn block(steps: &mut Vec<Step>, name: &str, inputs: usize, outputs: usize, stride: usize) {
    let part = |part: &str| format!("{name}.{part}");
    let shortcut = (stride != 1 || inputs != outputs).then(|| {
        (
            conv(part("downsample.0"), inputs, outputs, 1, stride),
            norm(part("downsample.1"), outputs),
        )
    });
    steps.extend([
        Step::Fork,
        Step::Conv(conv(part("conv1"), inputs, outputs, 3, stride)),
        Step::Norm(norm(part("bn1"), outputs)),
        Step::Relu,
        Step::Conv(conv(part("conv2"), outputs, outputs, 3, 1)),
        Step::Norm(norm(part("bn2"), outputs)),
        Step::Join(shortcut),
        Step::Relu,
    ]);
}

fn conv(name: String, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Conv {
    Conv {
        name,
        inputs,
        outputs,
        kernel,
        stride,
        groups: 1,
        padding: Padding::Centred,
    }
}

fn norm(name: String, channels: usize) -> Norm {
    Norm {
        name,
        channels,
        eps: EPS,
    }
}

fn layer(name: String) -> Step {
    Step::Layer { name, alias: None }
}
