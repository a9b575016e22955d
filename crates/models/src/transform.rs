//! How images are brought to a model's size: what a job asks for, and what becomes of it.

use crate::ModelError;

/// At which size a job wants images to be seen, and how much of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct InputSize {
    /// Height, width to which the whole image is resized; `None`: the model's default.
    pub resized: Option<[usize; 2]>,
    /// Height, width of the middle that the model sees of that, at most all of it; `None`: the model's own habit.
    pub crop: Option<[usize; 2]>,
}

impl InputSize {
    /// Resized to this height and width, of which the model sees what it sees by itself.
    pub fn resized(size: [usize; 2]) -> Self {
        Self {
            resized: Some(size),
            crop: None,
        }
    }

    /// `default` is the model's size, `habit` how much it sees of a resized image by itself, no more than all.
    pub(crate) fn transform(
        self,
        default: [usize; 2],
        habit: fn([usize; 2]) -> [usize; 2],
    ) -> Result<Transform, ModelError> {
        let size = self.resized.unwrap_or(default);
        let crop = self.crop.unwrap_or_else(|| habit(size));
        if crop[0] > size[0] || crop[1] > size[1] {
            return Err(ModelError::Crop { crop, size });
        }
        Ok(Transform {
            size,
            // All of it is no crop: what sees the same is the same.
            crop: (crop != size).then_some(crop),
        })
    }
}

/// The habit of a model that sees whole images.
pub(crate) fn whole(size: [usize; 2]) -> [usize; 2] {
    size
}

/// How images are brought to a model's size; the rest of preprocessing is in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transform {
    /// Height, width to which the whole image is resized (bilinear, antialiased).
    pub size: [usize; 2],
    /// Height, width of the centre that is cut out afterwards; never all of it.
    pub crop: Option<[usize; 2]>,
}

impl Transform {
    /// Height, width of what the graph sees.
    pub fn output(&self) -> [usize; 2] {
        self.crop.unwrap_or(self.size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn half(size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side / 2)
    }

    #[test]
    fn without_a_size_the_model_has_its_own() {
        let own = |habit| InputSize::default().transform([256, 320], habit);
        let whole = own(whole).unwrap();
        assert_eq!((whole.size, whole.crop), ([256, 320], None));
        let half = own(half).unwrap();
        assert_eq!((half.size, half.crop), ([256, 320], Some([128, 160])));
        assert_eq!((whole.output(), half.output()), ([256, 320], [128, 160]));
    }

    proptest! {
        /// Whatever a model does by itself: what is asked for is what it sees, or an error that names both sizes.
        #[test]
        fn a_crop_is_what_every_model_sees(
            size in prop::array::uniform2(1..600_usize), crop in prop::array::uniform2(1..600_usize), is_given: bool,
        ) {
            let input = InputSize { resized: is_given.then_some(size), crop: Some(crop) };
            let found = [whole, half].map(|habit| input.transform(size, habit));
            if crop[0] > size[0] || crop[1] > size[1] {
                let text = found[0].as_ref().expect_err("too large").to_string();
                for [height, width] in [size, crop] {
                    prop_assert!(text.contains(&format!("{height} x {width}")), "{}", text);
                }
                prop_assert!(found[1].is_err());
            } else {
                let [one, other] = found.map(|found| found.expect("fits"));
                prop_assert_eq!(one, other);
                prop_assert_eq!((one.size, one.output()), (size, crop));
                prop_assert_eq!(one.crop.is_none(), crop == size);
            }
        }
    }
}
