//! A good picture: a part of a photograph as a camera over a moving surface would see it.

use crate::picture::{Photo, Picture, SIDE};
use crate::random::Random;

/// Colour of the surface: red, green and blue against grey.
pub type Tint = [f32; 3];

/// How the photograph lies under the camera.
pub struct View {
    /// Centre in the photograph.
    centre: (f32, f32),
    /// Photograph pixels along the picture's x and y axes.
    right: (f32, f32),
    down: (f32, f32),
}

impl View {
    pub fn draw(random: &mut Random, photo: &Photo) -> Self {
        let scale = random.between(0.9, 1.12);
        // A tilt of up to 3 degrees: for so small a slope the direction (1, slope), set to length 1, is the rotation.
        let slope = random.between(-0.05, 0.05);
        let length = (1.0 + slope * slope).sqrt();
        let (cos, sin) = (scale / length, scale * slope / length);
        let (flip_x, flip_y) = (
            if random.coin() { -1.0 } else { 1.0 },
            if random.coin() { -1.0 } else { 1.0 },
        );
        let margin = SIDE as f32 * 0.5 * scale * 1.06;
        let centre = (
            random.between(margin, photo.width as f32 - margin),
            random.between(margin, photo.height as f32 - margin),
        );
        Self {
            centre,
            right: (cos * flip_x, sin * flip_x),
            down: (-sin * flip_y, cos * flip_y),
        }
    }

    /// Grey value of the photograph under a pixel.
    pub fn grey(&self, photo: &Photo, x: usize, y: usize) -> f32 {
        let (dx, dy) = (
            x as f32 + 0.5 - SIDE as f32 * 0.5,
            y as f32 + 0.5 - SIDE as f32 * 0.5,
        );
        photo.sample(
            self.centre.0 + dx * self.right.0 + dy * self.down.0 - 0.5,
            self.centre.1 + dx * self.right.1 + dy * self.down.1 - 0.5,
        )
    }
}

/// Light, colour and noise of one picture.
pub struct Light {
    gain: f32,
    offset: f32,
    slope: (f32, f32),
    tint: Tint,
}

impl Light {
    pub fn draw(random: &mut Random, tint: Tint) -> Self {
        Self {
            gain: random.between(0.92, 1.08),
            offset: random.between(-6.0, 6.0),
            slope: (random.between(-6.0, 6.0), random.between(-6.0, 6.0)),
            tint: tint.map(|channel| channel * random.between(0.98, 1.02)),
        }
    }

    pub fn shine(&self, grey: f32, x: usize, y: usize) -> [f32; 3] {
        let (u, v) = (x as f32 / SIDE as f32 - 0.5, y as f32 / SIDE as f32 - 0.5);
        let lit = grey * self.gain + self.offset + u * self.slope.0 + v * self.slope.1;
        self.tint.map(|channel| lit * channel)
    }
}

/// What the camera sees: the view under the light, before the sensor's noise.
pub fn see(photo: &Photo, view: &View, light: &Light) -> Picture {
    let mut pixels = Vec::with_capacity(SIDE * SIDE);
    for y in 0..SIDE {
        for x in 0..SIDE {
            pixels.push(light.shine(view.grey(photo, x, y), x, y));
        }
    }
    Picture(pixels)
}

/// The sensor's noise, standard deviation 2 grey values, the same in the three colours.
pub fn add_noise(random: &mut Random, picture: &mut Picture) {
    for pixel in &mut picture.0 {
        let noise = 2.0 * random.bell();
        pixel.iter_mut().for_each(|value| *value += noise);
    }
}
