//! Upsampling and blur of a map, slowly and by definition.

use models::MapFinish;

pub fn finished(map: &[f32], [height, width]: [usize; 2], finish: MapFinish) -> Vec<f32> {
    let [out_height, out_width] = finish.size;
    // Source position of a pixel with corners not aligned: neighbours and the weight of the second.
    let source = |i: usize, from: usize, to: usize| {
        let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        (first, (first + 1).min(from - 1), at - first as f64)
    };
    let mut large = vec![0.0; out_height * out_width];
    for y in 0..out_height {
        let (y0, y1, v) = source(y, height, out_height);
        for x in 0..out_width {
            let (x0, x1, u) = source(x, width, out_width);
            let at = |y: usize, x: usize| f64::from(map[y * width + x]);
            large[y * out_width + x] = (at(y0, x0) * (1.0 - u) + at(y0, x1) * u) * (1.0 - v)
                + (at(y1, x0) * (1.0 - u) + at(y1, x1) * u) * v;
        }
    }
    let half = (finish.kernel / 2) as isize;
    let taps: Vec<f64> = (-half..=half)
        .map(|i| (-0.5 * (i as f64 / finish.sigma).powi(2)).exp())
        .collect();
    let sum: f64 = taps.iter().sum();
    let reflect = |i: isize, n: usize| {
        let i = i.unsigned_abs();
        if i < n { i } else { 2 * (n - 1) - i }
    };
    let blur = |image: &[f64], vertical: bool| -> Vec<f64> {
        let pixel = |y: usize, x: usize| -> f64 {
            let tap = |(k, tap): (usize, &f64)| {
                let shift = k as isize - half;
                let (y, x) = if vertical {
                    (reflect(y as isize + shift, out_height), x)
                } else {
                    (y, reflect(x as isize + shift, out_width))
                };
                tap * image[y * out_width + x]
            };
            taps.iter().enumerate().map(tap).sum::<f64>() / sum
        };
        (0..out_height * out_width)
            .map(|i| pixel(i / out_width, i % out_width))
            .collect()
    };
    blur(&blur(&large, true), false)
        .into_iter()
        .map(|v| v as f32)
        .collect()
}
