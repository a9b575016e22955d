//! Test images by formula.

use super::formula::uniform;

/// The images of the golden sets, normalized: a common base, an own part, and for `test` a bright square from the second on.
pub fn reference(kind: &str, count: usize, side: usize) -> Vec<Vec<f32>> {
    let input = |name: &str, i: usize| f64::from((4.0 * uniform(name, 0, i as u64) - 2.0) as f32);
    let image = |k: usize| {
        let name = format!("{kind}{k}");
        (0..3 * side * side)
            .map(|i| (0.7 * input("base", i) + 0.5 * input(&name, i)) as f32)
            .collect()
    };
    (0..count).map(image).collect()
}

/// What the graph's normalization turns into `image`.
pub fn denormalized(image: Vec<f32>) -> Vec<f32> {
    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const STD: [f32; 3] = [0.229, 0.224, 0.225];
    let plane = image.len() / 3;
    image
        .into_iter()
        .enumerate()
        .map(|(i, v)| v * STD[i / plane] + MEAN[i / plane])
        .collect()
}

/// Images of that many pixels with values in [0, 1].
pub fn uniform_image(name: &str, pixels: usize) -> Vec<f32> {
    (0..3 * pixels)
        .map(|i| uniform(name, 9, i as u64) as f32)
        .collect()
}

/// Several of them.
pub fn uniform_images(kind: &str, count: usize, pixels: usize) -> Vec<Vec<f32>> {
    (0..count)
        .map(|k| uniform_image(&format!("{kind}{k}"), pixels))
        .collect()
}
