//! The Gaussian blur of anomaly maps: kernel and graph.

use graph::{Builder, Conv2d, Tensor, Value};

use crate::ModelError;

/// Taps of the kernel for a standard deviation: 2 int(4 sigma + 0.5) + 1, as in the reference.
pub(crate) fn kernel_size(sigma: f64) -> usize {
    2 * (4.0 * sigma + 0.5) as usize + 1
}

/// Samples of the Gaussian, normalized to the sum 1.
fn kernel(sigma: f64) -> Vec<f32> {
    let half = (kernel_size(sigma) / 2) as f64;
    let taps: Vec<f64> = (0..kernel_size(sigma))
        .map(|i| (-0.5 * ((i as f64 - half) / sigma).powi(2)).exp())
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

/// Blurs a map [N, 1, H, W], padding by reflection; separable, one axis after the other.
pub(crate) fn gaussian_blur(
    builder: &mut Builder,
    map: Value,
    sigma: f64,
) -> Result<Value, ModelError> {
    let taps = kernel(sigma);
    let half = taps.len() / 2;
    let size: Vec<usize> = builder
        .dims(map)?
        .iter()
        .skip(2)
        .filter_map(|dim| dim.fixed())
        .collect();
    if let [height, width] = size[..]
        && (height <= half || width <= half)
    {
        let reason = format!(
            "the anomaly map's blur (sigma {sigma}, {} taps) reflects {half} pixels at each edge and needs sides of at least {}",
            taps.len(),
            half + 1
        );
        return Err(ModelError::ImageSize {
            height,
            width,
            reason,
        });
    }
    let padded = builder.pad_reflect(map, [half; 4])?;
    let down = builder.constant(
        "blur.vertical",
        Tensor::new([1, 1, taps.len(), 1], taps.clone())?,
    )?;
    let across = builder.constant("blur.horizontal", Tensor::new([1, 1, 1, taps.len()], taps)?)?;
    let blurred = builder.conv2d(padded, down, None, Conv2d::default())?;
    Ok(builder.conv2d(blurred, across, None, Conv2d::default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_of_sigma_4_has_33_taps_and_sum_1() {
        let taps = kernel(4.0);
        assert_eq!(taps.len(), 33);
        assert!((taps.iter().map(|&t| f64::from(t)).sum::<f64>() - 1.0).abs() < 1e-6);
        assert!(taps[16] > taps[15] && taps[0] == taps[32] && (taps[16] - 0.099_74).abs() < 1e-4);
    }
}
