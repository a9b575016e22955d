//! Images and masks: decoded to as many values as they say, or refused; JPEG files to the pixels of libjpeg-turbo, and resized while
//! they are decoded as they are afterwards.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vision::{Limits, Preprocess};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    // Large ones are slow, not wrong.
    if let Ok(image) = vision::decode(bytes, &limits)
        && u64::from(image.width) * u64::from(image.height) < 1 << 20
    {
        let rgb = image.to_rgb();
        assert_eq!(rgb.len(), 3 * image.width as usize * image.height as usize);
        let preprocess = Preprocess::new([32, 32], None);
        let mut input = vec![f32::NAN; 3 * 32 * 32];
        if preprocess.apply(&image, &mut input).is_ok() {
            // Weights add up to 1 but for their rounding.
            assert!(input.iter().all(|value| (0.0..=1.00001).contains(value)));
            let mut at_once = vec![f32::NAN; 3 * 32 * 32];
            assert!(vision::decode_input(bytes, &limits, &preprocess, &mut at_once).is_ok());
            assert!(at_once == input);
        }
    }
    if let Ok(scaled) = vision::decode_scaled(bytes, &limits, [32, 32]) {
        let image = scaled.image;
        assert!(image.width <= scaled.width && image.height <= scaled.height);
        assert_eq!(
            image.data.len(),
            image.width as usize * image.height as usize * image.channels.count()
        );
    }
    let _ = vision::read_mask(bytes, &limits);
});
