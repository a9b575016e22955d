//! Models from files of other programs: an image of any size, or of one size, goes in; what comes out, the file decides.

use std::ops::RangeInclusive;

use crate::EngineError;

/// A model file made ready by an engine; shared by its sessions.
pub trait ImageModel: Send + Sync {
    /// Height, width of its images; `None`: it takes any.
    fn image_size(&self) -> Option<[usize; 2]>;

    /// Of all outputs, in the file's order; those that are not of f32 are among them.
    fn output_names(&self) -> &[String];

    /// A session of its own buffers, of as many at once as the file was opened for. Sessions may run at the same time, each in one thread.
    fn session(&self) -> Result<Box<dyn ImageSession>, EngineError>;
}

/// One stream of inferences, computed by one thread.
pub trait ImageSession: Send {
    /// Every output of f32 for one image [3, height, width], in the file's order; those of other types are left out.
    fn run(&mut self, image: &[f32], size: [usize; 2]) -> Result<Vec<Output>, EngineError>;
}

/// What a model says of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// As in the file.
    pub name: String,
    /// Extents, the batch of one among them.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// In pixels, of the images that a file asks for; no more than of packages, since each thread holds one.
const SIDES: RangeInclusive<usize> = 1..=4096;

/// Height and width that a file asks for, of its input's extents; `None` if it leaves both open. It must have one input, an
/// image [N, 3, H, W] of f32.
pub(crate) fn image_size(
    engine: &'static str,
    inputs: usize,
    is_f32: bool,
    extents: &[Option<usize>],
) -> Result<Option<[usize; 2]>, EngineError> {
    let wrong = |found: String| Err(EngineError::NoImageInput { engine, found });
    if inputs != 1 {
        return wrong(format!("{inputs} inputs"));
    }
    if !is_f32 {
        return wrong("numbers of another type".to_owned());
    }
    match extents {
        &[None | Some(1), None | Some(3), None, None] => Ok(None),
        &[None | Some(1), None | Some(3), Some(height), Some(width)] => {
            if [height, width].iter().any(|side| !SIDES.contains(side)) {
                return Err(EngineError::ImageSize {
                    engine,
                    height,
                    width,
                    most: *SIDES.end(),
                });
            }
            Ok(Some([height, width]))
        }
        &[Some(batch), None | Some(3), _, _] if batch > 1 => wrong(format!(
            "{batch} of them at once; export the model with a batch of 1, or with an open one"
        )),
        other => {
            let word = |extent: &Option<usize>| extent.map_or("?".to_owned(), |n| n.to_string());
            let words: Vec<String> = other.iter().map(word).collect();
            wrong(format!("[{}]", words.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::image_size;

    #[test]
    fn only_one_image_goes_in() {
        let size = |inputs, is_f32, extents: &[Option<usize>]| {
            image_size("x", inputs, is_f32, extents).ok()
        };
        let any = [None, Some(3), None, None];
        assert_eq!(size(1, true, &any), Some(None));
        assert_eq!(
            size(1, true, &[Some(1), Some(3), Some(4), Some(5)]),
            Some(Some([4, 5]))
        );
        assert_eq!(size(1, true, &[None; 4]), Some(None));
        assert_eq!(size(1, true, &[None, None, Some(4), None]), None);
        assert_eq!(size(2, true, &any), None);
        assert_eq!(size(1, false, &any), None);
        assert_eq!(size(1, true, &[Some(8), Some(3), None, None]), None);
        assert_eq!(size(1, true, &[None, None, None, Some(3)]), None);
        assert_eq!(size(1, true, &[None, Some(3)]), None);
    }

    #[test]
    fn a_batch_of_several_images_is_named() {
        let error = image_size("x", 1, true, &[Some(4), Some(3), Some(64), Some(64)])
            .expect_err("a batch")
            .to_string();
        assert!(error.contains("but 4 of them at once; export"), "{error}");
    }

    #[test]
    fn an_image_that_no_memory_holds_is_refused() {
        let size =
            |height, width| image_size("x", 1, true, &[None, Some(3), Some(height), Some(width)]);
        assert_eq!(size(4096, 1).ok(), Some(Some([4096, 1])));
        for (height, width) in [
            (4097, 64),
            (64, 99_999),
            (0, 64),
            (4_000_000_000, 4_000_000_000),
            (usize::MAX, usize::MAX),
        ] {
            let error = size(height, width).expect_err("too large").to_string();
            let said = format!("an image of {height} x {width}; sides are 1 to 4096 pixels");
            assert!(error.contains(&said), "{error}");
        }
    }
}
