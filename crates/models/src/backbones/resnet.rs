//! ResNets of basic and of bottleneck blocks under the names that timm and torchvision share.

use super::steps::{Conv, Norm, Padding, Step};

const EPS: f32 = 1e-5;

/// What a residual block adds to its shortcut.
#[derive(Clone, Copy)]
enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions; the inner ones have `width` times the stage's channels, the outer 4 times.
    Bottleneck { width: usize },
}

/// He et al., arXiv:1512.03385, table 1.
pub(super) fn resnet18() -> Vec<Step> {
    steps(Block::Basic, [2, 2, 2, 2])
}

pub(super) fn resnet34() -> Vec<Step> {
    steps(Block::Basic, [3, 4, 6, 3])
}

pub(super) fn resnet50() -> Vec<Step> {
    steps(Block::Bottleneck { width: 1 }, [3, 4, 6, 3])
}

/// Zagoruyko and Komodakis, arXiv:1605.07146: twice as wide inside of its blocks.
pub(super) fn wide_resnet50_2() -> Vec<Step> {
    steps(Block::Bottleneck { width: 2 }, [3, 4, 6, 3])
}

fn steps(kind: Block, blocks: [usize; 4]) -> Vec<Step> {
    const CHANNELS: [usize; 4] = [64, 128, 256, 512];
    let mut steps = vec![
        Step::Conv(conv("conv1".to_owned(), 3, 64, 7, 2)),
        Step::Norm(norm("bn1".to_owned(), 64)),
        Step::Relu,
        layer("act1".to_owned()),
        Step::MaxPool,
    ];
    let mut inputs = 64;
    for (stage, (&channels, &count)) in CHANNELS.iter().zip(&blocks).enumerate() {
        let name = format!("layer{}", stage + 1);
        for b in 0..count {
            let stride = if b == 0 && stage > 0 { 2 } else { 1 };
            let block_name = format!("{name}.{b}");
            inputs = block(&mut steps, kind, &block_name, inputs, channels, stride);
        }
        steps.push(layer(name));
    }
    steps
}

/// Adds a block; the number of channels that it gives.
fn block(
    steps: &mut Vec<Step>,
    kind: Block,
    name: &str,
    inputs: usize,
    channels: usize,
    stride: usize,
) -> usize {
    let part = |part: &str| format!("{name}.{part}");
    // Channels, kernel and stride of each convolution.
    let convolutions = match kind {
        Block::Basic => vec![(channels, 3, stride), (channels, 3, 1)],
        Block::Bottleneck { width } => vec![
            (width * channels, 1, 1),
            (width * channels, 3, stride),
            (4 * channels, 1, 1),
        ],
    };
    steps.push(Step::Fork);
    let mut last = inputs;
    for (i, (outputs, kernel, stride)) in convolutions.into_iter().enumerate() {
        if i > 0 {
            steps.push(Step::Relu);
        }
        let number = i + 1;
        let conv = conv(
            part(&format!("conv{number}")),
            last,
            outputs,
            kernel,
            stride,
        );
        steps.push(Step::Conv(conv));
        steps.push(Step::Norm(norm(part(&format!("bn{number}")), outputs)));
        last = outputs;
    }
    let shortcut = (stride != 1 || inputs != last).then(|| {
        (
            conv(part("downsample.0"), inputs, last, 1, stride),
            norm(part("downsample.1"), last),
        )
    });
    steps.extend([Step::Join(shortcut), Step::Relu]);
    last
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
