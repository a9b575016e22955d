//! The Gaussian blur of anomaly maps: kernel and graph.

use graph::{Builder, Conv2d, Tensor, Value};

use crate::arguments::Arguments;
use crate::{Blur, ModelError, Transform};

/// Of anomaly maps (the reference's default).
pub(crate) const BLUR: Blur = Blur {
    sigma: 4.0,
    kernel: kernel_size(4.0),
};

/// Tells whether anomaly maps of images that are seen so are too small to be blurred.
pub(crate) fn check_size(transform: Option<Transform>, arguments: &mut Arguments) {
    let half = BLUR.kernel / 2;
    let Some([height, width]) = transform.map(|transform| transform.output()) else {
        return;
    };
    if height.min(width) <= half {
        arguments.problems.push(ModelError::ImageSize {
            height,
            width,
            reason: format!(
                "the anomaly map's blur reflects {half} pixels at each edge and needs sides of at least {}",
                half + 1
            ),
        });
    }
}

/// Taps of the kernel for a standard deviation: 2 int(4 sigma + 0.5) + 1, as in the reference.
const fn kernel_size(sigma: f64) -> usize {
    2 * (4.0 * sigma + 0.5) as usize + 1
}

/// Samples of the Gaussian, normalized to the sum 1.
fn kernel(blur: Blur) -> Vec<f32> {
    let half = (blur.kernel / 2) as f64;
    let taps: Vec<f64> = (0..blur.kernel)
        .map(|i| (-0.5 * ((i as f64 - half) / blur.sigma).powi(2)).exp())
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

/// Blurs a map [N, 1, H, W], padding by reflection; separable, one axis after the other.
pub(crate) fn gaussian_blur(
    builder: &mut Builder,
    map: Value,
    blur: Blur,
) -> Result<Value, ModelError> {
    let taps = kernel(blur);
    let half = taps.len() / 2;
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
        let taps = kernel(BLUR);
        assert_eq!(taps.len(), 33);
        assert!((taps.iter().map(|&t| f64::from(t)).sum::<f64>() - 1.0).abs() < 1e-6);
        assert!(taps[16] > taps[15] && taps[0] == taps[32] && (taps[16] - 0.099_74).abs() < 1e-4);
    }
}
