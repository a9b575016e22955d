//! MobileNetV2 and EfficientNet-Lite: inverted residual blocks under timm's names.

use super::steps::{Conv, Norm, Padding, Step};

/// Blocks of one kind.
struct Stage {
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
    blocks: usize,
}

struct Table {
    stem: usize,
    stages: [Stage; 7],
    padding: Padding,
    eps: f32,
    /// What the layer after block `n` (from 1 throughout) is called elsewhere.
    alias: fn(usize) -> String,
}

const fn stage(
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
    blocks: usize,
) -> Stage {
    Stage {
        kernel,
        stride,
        expansion,
        channels,
        blocks,
    }
}

/// Sandler et al., arXiv:1801.04381, table 2. Layers are also known by torchvision's `features.N`.
pub(super) fn mobilenet_v2() -> Vec<Step> {
    steps(&Table {
        stem: 32,
        stages: [
            stage(3, 1, 1, 16, 1),
            stage(3, 2, 6, 24, 2),
            stage(3, 2, 6, 32, 3),
            stage(3, 2, 6, 64, 4),
            stage(3, 1, 6, 96, 3),
            stage(3, 2, 6, 160, 3),
            stage(3, 1, 6, 320, 1),
        ],
        padding: Padding::Centred,
        eps: 1e-5,
        alias: |block| format!("features.{block}"),
    })
}

/// EfficientNet-Lite0 as published for TensorFlow: its padding and its epsilon. Layers are also known by the `_blocks.N`
/// of the shipped weights.
pub(super) fn lite0() -> Vec<Step> {
    steps(&Table {
        stem: 32,
        stages: [
            stage(3, 1, 1, 16, 1),
            stage(3, 2, 6, 24, 2),
            stage(5, 2, 6, 40, 2),
            stage(3, 2, 6, 80, 3),
            stage(5, 1, 6, 112, 3),
            stage(5, 2, 6, 192, 4),
            stage(3, 1, 6, 320, 1),
        ],
        padding: Padding::Same,
        eps: 1e-3,
        // Numbered from 0 there.
        alias: |block| format!("_blocks.{}", block - 1),
    })
}

fn steps(table: &Table) -> Vec<Step> {
    let mut net = Net {
        table,
        steps: Vec::new(),
        channels: 3,
    };
    net.conv_norm(
        "conv_stem".to_owned(),
        "bn1".to_owned(),
        table.stem,
        3,
        2,
        false,
    );
    net.steps.push(Step::Relu6);
    let mut number = 0;
    for (s, stage) in table.stages.iter().enumerate() {
        for b in 0..stage.blocks {
            number += 1;
            let name = format!("blocks.{s}.{b}");
            net.block(&name, stage, if b == 0 { stage.stride } else { 1 });
            net.steps.push(Step::Layer {
                name,
                alias: Some((table.alias)(number)),
            });
        }
    }
    net.steps
}

struct Net<'a> {
    table: &'a Table,
    steps: Vec<Step>,
    /// Of the current value.
    channels: usize,
}

impl Net<'_> {
    fn conv_norm(
        &mut self,
        conv: String,
        norm: String,
        outputs: usize,
        kernel: usize,
        stride: usize,
        depthwise: bool,
    ) {
        let (inputs, padding) = (self.channels, self.table.padding);
        let groups = if depthwise { inputs } else { 1 };
        self.steps.push(Step::Conv(Conv {
            name: conv,
            inputs,
            outputs,
            kernel,
            stride,
            groups,
            padding,
        }));
        self.steps.push(Step::Norm(Norm {
            name: norm,
            channels: outputs,
            eps: self.table.eps,
        }));
        self.channels = outputs;
    }

    /// Expand, convolve each channel, project; without expansion the projection is called `conv_pw`.
    fn block(&mut self, name: &str, stage: &Stage, stride: usize) {
        let part = |part: &str| format!("{name}.{part}");
        let residual = stride == 1 && self.channels == stage.channels;
        if residual {
            self.steps.push(Step::Fork);
        }
        let names = if stage.expansion == 1 {
            ["bn1", "conv_pw", "bn2"]
        } else {
            self.conv_norm(
                part("conv_pw"),
                part("bn1"),
                self.channels * stage.expansion,
                1,
                1,
                false,
            );
            self.steps.push(Step::Relu6);
            ["bn2", "conv_pwl", "bn3"]
        };
        self.conv_norm(
            part("conv_dw"),
            part(names[0]),
            self.channels,
            stage.kernel,
            stride,
            true,
        );
        self.steps.push(Step::Relu6);
        self.conv_norm(part(names[1]), part(names[2]), stage.channels, 1, 1, false);
        if residual {
            self.steps.push(Step::Join(None));
        }
    }
}
