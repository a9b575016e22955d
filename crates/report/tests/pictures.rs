//! The pictures that a report shows: what the map says of a place of an image is seen at that place, to a pixel.

use vision::{
    Blur, Channels, Heat, HeatScale, Image, MapFinish, Mask, Preprocess, Thumbnail, Upsampling,
    encode_png,
};

const GREY: u8 = 100;

/// Heights and widths of images, whether larger than the model's input, smaller or not square.
const IMAGES: [[usize; 2]; 6] = [
    [64, 64],
    [200, 120],
    [90, 300],
    [33, 47],
    [1, 50],
    [512, 384],
];

/// With and without a crop in the middle, square and not, with odd margins.
fn preprocessors() -> [Preprocess; 5] {
    [
        Preprocess::new([64, 64], None),
        Preprocess::new([48, 96], None),
        Preprocess::new([72, 72], Some([56, 56])),
        Preprocess::new([80, 65], Some([48, 32])),
        Preprocess::new([256, 256], Some([224, 224])),
    ]
}

fn plain([height, width]: [usize; 2]) -> Image {
    Image {
        width: width as u32,
        height: height as u32,
        channels: Channels::Grey,
        data: vec![GREY; height * width],
    }
}

fn scale() -> HeatScale {
    HeatScale::new(0.0, 1.0).expect("ascending")
}

/// The middle of what is hot: the mean of (y, x) over pixels, weighted by how far they are from the image's grey.
fn middle_of_heat(picture: &Image) -> Option<[f64; 2]> {
    let width = picture.width as usize;
    let (mut sum, mut y, mut x) = (0.0, 0.0, 0.0);
    for (at, pixel) in picture.data.chunks_exact(3).enumerate() {
        // Heat adds red, whatever its strength; what the model did not see is darker.
        let weight = f64::from(pixel[0].saturating_sub(GREY));
        sum += weight;
        y += weight * ((at / width) as f64 + 0.5);
        x += weight * ((at % width) as f64 + 0.5);
    }
    (sum > 0.0).then(|| [y / sum, x / sum])
}

#[test]
fn a_dot_of_the_map_is_seen_where_it_is_in_the_image() {
    for preprocess in preprocessors() {
        let [height, width] = preprocess.output();
        for image in IMAGES {
            for share in [[0.5, 0.5], [0.2, 0.7], [0.85, 0.1], [0.05, 0.95]] {
                // A map with one hot pixel, and where this pixel was cut from.
                let dot =
                    [0, 1].map(|axis| (share[axis] * preprocess.output()[axis] as f64) as usize);
                let mut map = vec![0.0; height * width];
                map[dot[0] * width + dot[1]] = 1.0;
                let in_image = [0, 1].map(|axis| {
                    // As torchvision's centre crop rounds; none of these sizes has a half.
                    let margin = (preprocess.size[axis] - preprocess.output()[axis]) as f64 / 2.0;
                    let margin = if margin.fract() == 0.5 {
                        half_to_even(margin)
                    } else {
                        margin
                    };
                    (dot[axis] as f64 + 0.5 + margin) / preprocess.size[axis] as f64
                        * image[axis] as f64
                });
                let heat = Heat::new(&map, preprocess, scale()).unwrap();
                let picture = Thumbnail::new(&plain(image), 400)
                    .overlay(&heat, None)
                    .unwrap();
                let small = [picture.height as usize, picture.width as usize];
                let expected =
                    [0, 1].map(|axis| in_image[axis] / image[axis] as f64 * small[axis] as f64);
                let found = middle_of_heat(&picture).unwrap();
                for axis in 0..2 {
                    let off = (found[axis] - expected[axis]).abs();
                    assert!(
                        off < 1.0,
                        "{preprocess:?} of {image:?}: the dot {dot:?} is at {found:?} instead of {expected:?}"
                    );
                }
            }
        }
    }
}

fn half_to_even(number: f64) -> f64 {
    let low = number.floor();
    if low % 2.0 == 0.0 { low } else { low + 1.0 }
}

/// The preprocessor itself says where a bright dot of the image is in the model's input; a map that is hot there must be hot on the dot.
#[test]
fn the_map_of_what_the_preprocessor_sees_lies_on_the_image() {
    for preprocess in preprocessors() {
        let [height, width] = preprocess.output();
        for [image_height, image_width] in [[64_usize, 64], [200, 120], [90, 300], [512, 384]] {
            // As large as two pixels of the input, in the upper left of the middle.
            let dot_height = 2 * image_height.div_ceil(preprocess.size[0]);
            let dot_width = 2 * image_width.div_ceil(preprocess.size[1]);
            let (top, left) = (image_height * 2 / 5, image_width / 3);
            let mut image = plain([image_height, image_width]);
            image.data.fill(0);
            for y in top..top + dot_height {
                for x in left..left + dot_width {
                    image.data[y * image_width + x] = 255;
                }
            }
            let mut input = vec![0.0; 3 * height * width];
            preprocess.apply(&image, &mut input).unwrap();
            let heat = Heat::new(&input[..height * width], preprocess, scale()).unwrap();
            let on = plain([image_height, image_width]);
            let picture = Thumbnail::new(&on, 4_096).overlay(&heat, None).unwrap();
            let found = middle_of_heat(&picture).unwrap();
            let expected = [
                top as f64 + dot_height as f64 / 2.0,
                left as f64 + dot_width as f64 / 2.0,
            ];
            for axis in 0..2 {
                // To a pixel of the picture, or of the map where that is coarser.
                let coarse =
                    [image_height, image_width][axis] as f64 / preprocess.size[axis] as f64;
                let off = (found[axis] - expected[axis]).abs();
                assert!(
                    off < coarse.max(1.0) * 0.75,
                    "{preprocess:?} of {image_height}x{image_width}: {found:?} instead of {expected:?}"
                );
            }
        }
    }
}

/// From a value on the model's grid to the picture, as executors go.
#[test]
fn a_hot_cell_of_the_grid_is_seen_in_the_middle_of_what_it_covers() {
    let blur = Blur {
        sigma: 1.0,
        kernel: 9,
    };
    for preprocess in preprocessors() {
        let [height, width] = preprocess.output();
        let grid = [height / 8, width / 8];
        for (upsampling, blur) in [
            (Upsampling::Nearest, Some(blur)),
            (Upsampling::Bilinear, None),
        ] {
            let finish = MapFinish::new(grid, [height, width], upsampling, blur);
            for image in [[200, 120], [90, 300], [512, 384]] {
                // Far enough from the edges that they cut nothing off.
                for cell in [
                    [2, grid[1] - 3],
                    [grid[0] / 2, 2],
                    [grid[0] - 3, grid[1] / 2],
                ] {
                    let mut cells = vec![0.0; grid[0] * grid[1]];
                    cells[cell[0] * grid[1] + cell[1]] = 1.0;
                    let map = finish.apply(&cells);
                    let heat = Heat::new(&map, preprocess, scale()).unwrap();
                    let small = Thumbnail::new(&plain(image), 176);
                    let picture = small.overlay(&heat, None).unwrap();
                    let found = middle_of_heat(&picture).unwrap();
                    let size = [picture.height, picture.width];
                    for axis in 0..2 {
                        let (seen, whole) = (preprocess.output()[axis], preprocess.size[axis]);
                        let margin = (whole - seen) as f64 / 2.0;
                        let in_input = (cell[axis] as f64 + 0.5) / grid[axis] as f64 * seen as f64;
                        let expected = (margin + in_input) / whole as f64 * f64::from(size[axis]);
                        let off = (found[axis] - expected).abs();
                        // Half a pixel of the input or of the picture, whichever is larger, and the rounding of an odd crop.
                        let pixel = (f64::from(size[axis]) / whole as f64).max(1.0);
                        assert!(
                            off < 1.1 * pixel,
                            "{preprocess:?} of {image:?}: cell {cell:?} is at {found:?}, not at {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_crop_cuts_off_is_darker_and_the_rest_is_as_it_was() {
    let preprocess = Preprocess::new([100, 100], Some([50, 80]));
    let map = vec![0.0; 50 * 80];
    let heat = Heat::new(&map, preprocess, scale()).unwrap();
    let picture = Thumbnail::new(&plain([200, 100]), 200)
        .overlay(&heat, None)
        .unwrap();
    for (at, pixel) in picture.data.chunks_exact(3).enumerate() {
        let (y, x) = (at / 100, at % 100);
        let seen = (50..150).contains(&y) && (10..90).contains(&x);
        assert_eq!(pixel == [GREY; 3], seen, "{y} {x}: {pixel:?}");
        assert!(seen || pixel == [40; 3], "{y} {x}: {pixel:?}");
    }
}

#[test]
fn a_hot_pixel_is_not_lost_in_a_small_picture() {
    let preprocess = Preprocess::new([256, 256], None);
    for dot in [0, 1, 77 * 256 + 130, 255 * 256 + 255] {
        let mut map = vec![0.0; 256 * 256];
        map[dot] = 1.0;
        let heat = Heat::new(&map, preprocess, scale()).unwrap();
        let picture = Thumbnail::new(&plain([512, 512]), 64)
            .overlay(&heat, None)
            .unwrap();
        let hot: Vec<usize> = (0..64 * 64)
            .filter(|at| picture.data[3 * at..3 * at + 3] != [GREY; 3])
            .collect();
        assert_eq!(hot, [dot / 256 / 4 * 64 + dot % 256 / 4]);
    }
}

#[test]
fn the_outline_of_a_mask_goes_around_it() {
    let preprocess = Preprocess::new([32, 32], None);
    let map = vec![0.0; 32 * 32];
    let heat = Heat::new(&map, preprocess, scale()).unwrap();
    // Rows 20 to 39 and columns 30 to 59 of an image twice as large as its picture.
    let mut mask = Mask {
        width: 80,
        height: 60,
        data: vec![0; 60 * 80],
    };
    for y in 20..40 {
        mask.data[y * 80 + 30..y * 80 + 60].fill(1);
    }
    let picture = Thumbnail::new(&plain([60, 80]), 40)
        .overlay(&heat, Some(&mask))
        .unwrap();
    for (at, pixel) in picture.data.chunks_exact(3).enumerate() {
        let (y, x) = (at / 40, at % 40);
        let inside = (10..20).contains(&y) && (15..30).contains(&x);
        let inner = (11..19).contains(&y) && (16..29).contains(&x);
        assert_eq!(pixel != [GREY; 3], inside && !inner, "{y} {x}");
    }
    mask.width = 60;
    mask.height = 80;
    let error = Thumbnail::new(&plain([60, 80]), 40)
        .overlay(&heat, Some(&mask))
        .unwrap_err();
    assert_eq!(error.word(), "mask_size");
    assert!(error.to_string().contains("60x80"), "{error}");
}

#[test]
fn maps_of_another_size_and_scales_that_are_none_are_refused() {
    let preprocess = Preprocess::new([32, 32], Some([16, 16]));
    assert!(Heat::new(&[0.0; 32 * 32], preprocess, scale()).is_err());
    assert!(Heat::new(&[0.0; 16 * 16], preprocess, scale()).is_ok());
    for (low, high) in [
        (1.0, 1.0),
        (2.0, 1.0),
        (f32::NAN, 1.0),
        (0.0, f32::INFINITY),
        (f32::MIN, f32::MAX),
    ] {
        assert_eq!(HeatScale::new(low, high), None, "{low} {high}");
    }
}

#[test]
fn pictures_are_small_keep_their_shape_and_can_be_read_again() {
    for [height, width] in IMAGES {
        let small = Thumbnail::new(&plain([height, width]), 40).image;
        let [small_height, small_width] = [small.height as usize, small.width as usize];
        assert!(small_height.max(small_width) <= 40.max(height.min(width)));
        assert!(small_height <= height && small_width <= width);
        let exact = height as f64 * small_width as f64 / width as f64;
        assert!(
            (small_height as f64 - exact).abs() <= 1.0,
            "{small_height}x{small_width}"
        );
        assert!(small.data.iter().all(|value| *value == GREY));
        let bytes = encode_png(&small).unwrap();
        let read = vision::decode(&bytes, &vision::Limits::default()).unwrap();
        assert_eq!(read, small);
        assert!(report::Picture::new(bytes).is_ok());
    }
    let broken = Image {
        data: vec![0; 3],
        ..plain([2, 2])
    };
    assert!(encode_png(&broken).is_err());
}
