//! Tiny data sets: grey texture from a counter-based generator, defects as bright squares with masks.

use std::fs;
use std::io::BufWriter;
use std::path::Path;

pub const SIDE: u32 = 64;
/// Images that differ; more are links to them.
const DISTINCT: u32 = 8;

/// A category in MVTec's layout: normal training images, and as many normal as anomalous test images, with masks.
pub fn mvtec(category: &Path, train: u32, test: u32) {
    many(&category.join("train/good"), train, 0);
    many(&category.join("test/good"), test, 1000);
    for index in 0..test {
        let (image, mask) = defect(2000 + index);
        write(&category.join(format!("test/bad/{index:04}.png")), &image);
        let name = format!("ground_truth/bad/{index:04}_mask.png");
        write(&category.join(name), &mask);
    }
}

/// Two folders, as people have them: `good` and `bad`.
pub fn folder(root: &Path, good: u32, bad: u32) {
    many(&root.join("good"), good, 0);
    for index in 0..bad {
        let (image, _) = defect(2000 + index);
        write(&root.join(format!("bad/{index:04}.png")), &image);
    }
}

fn many(folder: &Path, count: u32, seed: u32) {
    for index in 0..count {
        let path = folder.join(format!("{index:04}.png"));
        if index < DISTINCT {
            write(&path, &texture(seed + index));
        } else {
            let first = folder.join(format!("{:04}.png", index % DISTINCT));
            fs::hard_link(first, path).unwrap();
        }
    }
}

fn defect(seed: u32) -> (Vec<u8>, Vec<u8>) {
    let (mut image, mut mask) = (texture(seed), vec![0; (SIDE * SIDE) as usize]);
    let (left, top) = (8 + 3 * seed % 30, 10 + 5 * seed % 30);
    for (y, x) in (top..top + 16).flat_map(|y| (left..left + 16).map(move |x| (y, x))) {
        image[(y * SIDE + x) as usize] = 250;
        mask[(y * SIDE + x) as usize] = 255;
    }
    (image, mask)
}

fn texture(seed: u32) -> Vec<u8> {
    (0..SIDE * SIDE)
        .map(|index| {
            let noise = (index ^ seed.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
            let wave = 20.0 * (f64::from(index % SIDE) / 5.0).sin();
            (100.0 + wave + f64::from((noise ^ (noise >> 15)) % 24)) as u8
        })
        .collect()
}

fn write(path: &Path, grey: &[u8]) {
    write_sized(path, grey, SIDE, SIDE);
}

pub fn write_sized(path: &Path, grey: &[u8], width: u32, height: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // A link's other names must not see the new content.
    let _ = fs::remove_file(path);
    let file = BufWriter::new(fs::File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(grey))
        .unwrap();
}

/// The first half of a picture.
pub fn write_truncated(path: &Path) {
    write(path, &texture(1));
    let whole = fs::read(path).unwrap();
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
}

/// A picture of a few bytes that claims to be 30,000 x 30,000.
pub fn write_bomb(path: &Path) {
    write(path, &texture(1));
    let mut bytes = fs::read(path).unwrap();
    bytes[16..20].copy_from_slice(&30_000_u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&30_000_u32.to_be_bytes());
    let crc = crc32(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&crc);
    fs::write(path, bytes).unwrap();
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
