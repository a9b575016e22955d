//! Shapes that operations give, and what they say about operands they refuse.

use crate::{BatchNorm, Builder, Conv2d, ConvTranspose2d, Dim, GraphError, Pool2d, Tensor, Value};

const N: Dim = Dim::Batch;

fn dims(fixed: &[usize]) -> Vec<Dim> {
    fixed.iter().copied().map(Dim::Fixed).collect()
}

/// A builder with an input [N, fixed...].
fn with_input(fixed: &[usize]) -> (Builder, Value) {
    let mut b = Builder::new();
    let mut shape = vec![N];
    shape.extend(dims(fixed));
    let x = b.input("x", &shape).unwrap();
    (b, x)
}

fn zeros(b: &mut Builder, name: &str, shape: &[usize]) -> Value {
    let tensor = Tensor::new(shape, vec![0.0; shape.iter().product()]).unwrap();
    b.constant(name, tensor).unwrap()
}

fn shape(b: &Builder, value: Value) -> String {
    b.shape(value).unwrap().to_string()
}

type Op = fn(&mut Builder, Value) -> Result<Value, GraphError>;

#[test]
fn shapes() {
    let image: &[usize] = &[6, 12, 10];
    let cases: &[(&[usize], Op, &str)] = &[
        (image, |b, x| b.relu(x), "[N, 6, 12, 10]"),
        (
            image,
            |b, x| {
                let c = zeros(b, "c", &[6, 1, 1]);
                b.add(x, c)
            },
            "[N, 6, 12, 10]",
        ),
        (
            &[1, 4],
            |b, x| {
                let c = zeros(b, "c", &[3, 1]);
                b.add(x, c)
            },
            "[N, 3, 4]",
        ),
        (
            image,
            |b, x| {
                let w = zeros(b, "w", &[8, 3, 3, 3]);
                b.conv2d(
                    x,
                    w,
                    None,
                    Conv2d {
                        stride: [2, 1],
                        padding: [1, 0, 1, 0],
                        dilation: [1, 2],
                        groups: 2,
                    },
                )
            },
            "[N, 8, 6, 6]",
        ),
        (
            image,
            |b, x| {
                let w = zeros(b, "w", &[6, 4, 2, 2]);
                b.conv_transpose2d(
                    x,
                    w,
                    None,
                    ConvTranspose2d {
                        stride: [2, 2],
                        ..ConvTranspose2d::default()
                    },
                )
            },
            "[N, 4, 24, 20]",
        ),
        (
            image,
            |b, x| {
                b.max_pool2d(
                    x,
                    Pool2d {
                        kernel: [3, 3],
                        stride: [2, 2],
                        padding: [1; 4],
                    },
                )
            },
            "[N, 6, 6, 5]",
        ),
        (
            image,
            |b, x| {
                b.max_pool2d(
                    x,
                    Pool2d {
                        kernel: [3, 3],
                        stride: [2, 2],
                        padding: [0; 4],
                    }
                    .ceil_mode([12, 10]),
                )
            },
            "[N, 6, 6, 5]",
        ),
        (
            &[7, 9],
            |b, x| {
                let c = zeros(b, "c", &[9, 5]);
                b.matmul(x, c)
            },
            "[N, 7, 5]",
        ),
        (
            &[9],
            |b, x| {
                let c = zeros(b, "c", &[9, 5]);
                b.matmul(x, c)
            },
            "[N, 5]",
        ),
        (
            &[4, 1, 9],
            |b, x| {
                let c = zeros(b, "c", &[4, 9, 9]);
                b.matmul(x, c)
            },
            "[N, 4, 1, 9]",
        ),
        (
            image,
            |b, x| b.transpose(x, &[0, 2, 3, 1]),
            "[N, 12, 10, 6]",
        ),
        (
            image,
            |b, x| b.reshape(x, &[N, 4.into(), 180.into()]),
            "[N, 4, 180]",
        ),
        (image, |b, x| b.concat(&[x, x], 2), "[N, 6, 24, 10]"),
        (image, |b, x| b.slice(x, 1, 2, 5), "[N, 3, 12, 10]"),
        (image, |b, x| b.gather(x, 3, &[9, 9]), "[N, 6, 12, 2]"),
        (
            image,
            |b, x| b.resize_nearest(x, [17, 30]),
            "[N, 6, 17, 30]",
        ),
        (
            image,
            |b, x| b.resize_bilinear(x, [5, 30], true),
            "[N, 6, 5, 30]",
        ),
        (
            image,
            |b, x| b.pad_reflect(x, [1, 2, 3, 4]),
            "[N, 6, 16, 16]",
        ),
        (image, |b, x| b.reduce_mean(x, &[3, 2], false), "[N, 6]"),
        (image, |b, x| b.reduce_max(x, &[1], true), "[N, 1, 12, 10]"),
        (
            image,
            |b, x| b.top_k(x, 2, 5, true).map(|(v, _)| v),
            "[N, 6, 5, 10]",
        ),
        (
            image,
            |b, x| {
                let i = b.arg_max(x, 1, false)?;
                let t = zeros(b, "t", &[6, 2]);
                b.take(t, i)
            },
            "[N, 12, 10, 2]",
        ),
        (image, |b, x| b.space_to_depth(x, 2), "[N, 24, 6, 5]"),
        (
            image,
            |b, x| {
                let w = zeros(b, "w", &[6]);
                b.group_norm(x, 3, w, w, 1e-5)
            },
            "[N, 6, 12, 10]",
        ),
    ];
    for (number, (input, op, expected)) in cases.iter().enumerate() {
        let (mut b, x) = with_input(input);
        let y = op(&mut b, x).unwrap_or_else(|e| panic!("case {number}: {e}"));
        assert_eq!(shape(&b, y), *expected, "case {number}");
    }
}

#[test]
fn refusals_name_the_operation_the_operands_and_what_was_expected() {
    let image: &[usize] = &[6, 12, 10];
    let cases: &[(&[usize], Op, &str)] = &[
        (
            image,
            |b, x| {
                let c = zeros(b, "c", &[5, 1, 1]);
                b.add(x, c)
            },
            "add: operands [N, 6, 12, 10], [5, 1, 1] do not fit; expected shapes that broadcast",
        ),
        (
            image,
            |b, x| {
                let w = zeros(b, "w", &[8, 3, 3, 3]);
                b.conv2d(x, w, None, Conv2d::default())
            },
            "conv2d: operands [N, 6, 12, 10], [8, 3, 3, 3] do not fit; expected weight [out, 6 / 1, height, width] with out a multiple of 1",
        ),
        (
            image,
            |b, x| {
                let w = zeros(b, "w", &[8, 6, 13, 3]);
                b.conv2d(x, w, None, Conv2d::default())
            },
            "conv2d: the kernel is larger than the padded image (operands [N, 6, 12, 10], [8, 6, 13, 3])",
        ),
        (
            image,
            |b, x| b.reduce_sum(x, &[0, 1], false),
            "reduce_sum: axis 0 is the batch, whose entries stay apart (operands [N, 6, 12, 10])",
        ),
        (
            image,
            |b, x| b.concat(&[x, x], 0),
            "concat: axis 0 is the batch, whose entries stay apart (operands [N, 6, 12, 10])",
        ),
        (
            image,
            |b, x| b.transpose(x, &[1, 0, 2, 3]),
            "transpose: [1, 0, 2, 3] moves the batch away from axis 0 (operands [N, 6, 12, 10])",
        ),
        (
            image,
            |b, x| b.reshape(x, &[720.into()]),
            "reshape: target [720] must hold 720 elements for each image, the batch as axis 0 (operands [N, 6, 12, 10])",
        ),
        (
            image,
            |b, x| b.gather(x, 1, &[0, 6]),
            "gather: index 6 is outside of axis 1 (operands [N, 6, 12, 10])",
        ),
        (
            image,
            |b, x| b.pad_reflect(x, [12, 0, 0, 0]),
            "pad_reflect: padding [12, 0, 0, 0] must be smaller than the image (operands [N, 6, 12, 10])",
        ),
        (
            &[9],
            |b, x| b.matmul(x, x),
            "matmul: operands [N, 9], [N, 9] do not fit; expected [.., m, k] and [.., k, n] whose leading axes broadcast and in which the batch is no matrix axis",
        ),
        (
            image,
            |b, x| {
                let (_, i) = b.top_k(x, 1, 2, true)?;
                b.relu(i)
            },
            "relu: operand 0 holds indices, expected floats",
        ),
        (
            image,
            |b, x| b.top_k(x, 1, 7, true).map(|(v, _)| v),
            "top_k: k = 7 is not within 1..=6 (operands [N, 6, 12, 10])",
        ),
        (
            image,
            |b, x| b.clip(x, 1.0, f32::NAN),
            "clip: the limits Some(1.0) and Some(NaN) are not in order (operands [N, 6, 12, 10])",
        ),
    ];
    for (input, op, expected) in cases {
        let (mut b, x) = with_input(input);
        assert_eq!(op(&mut b, x).unwrap_err().to_string(), *expected);
    }
}

#[test]
fn values_of_another_builder_are_refused() {
    let (mut b, x) = with_input(&[4]);
    let y = b.relu(x).unwrap();
    let mut other = Builder::new();
    let error = other.add(x, y).unwrap_err();
    assert_eq!(
        error,
        GraphError::UnknownValue {
            op: "add",
            position: 0
        }
    );
}

#[test]
fn names_are_unique_and_equal_constants_are_one() {
    let (mut b, x) = with_input(&[4]);
    let first = zeros(&mut b, "c", &[4]);
    assert_eq!(first, zeros(&mut b, "c", &[4]));
    assert!(b.constant("c", Tensor::scalar(1.0)).is_err());
    assert!(b.input("x", &[N]).is_err());
    assert!(b.output("x", x).is_err());
    b.output("y", x).unwrap();
    assert!(b.output("y", x).is_err());
}

#[test]
fn tensors_hold_what_their_shape_says() {
    assert!(Tensor::new([2, 3], vec![0.0; 5]).is_err());
    assert!(Tensor::new([usize::MAX, 3], vec![0.0; 5]).is_err());
    let empty = Tensor::new([0], Vec::new()).unwrap();
    assert!(Builder::new().constant("empty", empty).is_err());
    assert!(Builder::new().finish().is_err());
}

#[test]
fn batch_norm_takes_one_number_a_channel() {
    let (mut b, x) = with_input(&[6, 12, 10]);
    let (good, bad) = (zeros(&mut b, "good", &[6]), zeros(&mut b, "bad", &[12]));
    let norm = |var| BatchNorm {
        weight: good,
        bias: good,
        mean: good,
        var,
    };
    assert!(b.batch_norm(x, norm(good), 1e-5).is_ok());
    let error = b.batch_norm(x, norm(bad), 1e-5).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("one number for each of 6 channels"),
        "{error}"
    );
}
