//! Where the numbers of PaDiM's features lie: layer by layer, the chosen channels of each cell of the layer's own map.
//!
//! The grid of positions is the first layer's map; a deeper layer's is coarser, so that many positions see one cell of it.
//! Features keep each cell once: a quarter of the numbers that positions see, for networks that halve their maps.

use std::error::Error;
use std::ops::Range;

use crate::FeatureSource;
use crate::backbones::Layer;

/// Of one image's features.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Height, width in positions.
    grid: [usize; 2],
    /// Channels that a position sees.
    dims: usize,
    /// Numbers of an image.
    len: usize,
    pub(super) parts: Vec<Part>,
}

/// What a layer gives; at least one channel.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Place of the layer among the model's.
    pub(super) layer: usize,
    /// Chosen channels, counted in the layer, in the order in which a cell has them.
    pub(super) channels: Vec<usize>,
    /// Which of a position's dimensions each of them is.
    pub(super) dims: Vec<usize>,
    /// The features' numbers before it.
    first: usize,
    /// Cells of the map in a row.
    width: usize,
    /// The row of the map that each row of the grid sees, and the column.
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Layout {
    /// `chosen`: channels counted over all layers, in the order of a position's dimensions.
    pub(super) fn new(layers: &[Layer], chosen: &[usize], size: [usize; 2]) -> Self {
        let grid = layers.first().map_or(size, |layer| layer.map_size(size));
        let (mut parts, mut len, mut before) = (Vec::new(), 0, 0);
        for (number, layer) in layers.iter().enumerate() {
            let own = before..before + layer.channels;
            before = own.end;
            let dims: Vec<usize> = (0..chosen.len())
                .filter(|&dim| own.contains(&chosen[dim]))
                .collect();
            if dims.is_empty() {
                continue;
            }
            let [height, width] = layer.map_size(size);
            let part = Part {
                layer: number,
                channels: dims.iter().map(|&dim| chosen[dim] - own.start).collect(),
                first: len,
                width,
                rows: (0..grid[0]).map(|y| y * height / grid[0]).collect(),
                columns: (0..grid[1]).map(|x| x * width / grid[1]).collect(),
                dims,
            };
            len += height * width * part.channels.len();
            parts.push(part);
        }
        Self {
            grid,
            dims: chosen.len(),
            len,
            parts,
        }
    }

    pub(super) fn grid(&self) -> [usize; 2] {
        self.grid
    }

    pub(super) fn positions(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    pub(super) fn dims(&self) -> usize {
        self.dims
    }

    /// Numbers of one image's features.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Part {
    /// Where the cell's numbers begin that a position sees; as many as there are channels.
    #[inline(always)]
    pub(super) fn cell(&self, position: usize) -> usize {
        let (y, x) = (position / self.columns.len(), position % self.columns.len());
        self.first + (self.rows[y] * self.width + self.columns[x]) * self.channels.len()
    }

    /// The numbers of all cells that these rows of the grid see.
    fn of_rows(&self, rows: Range<usize>) -> Range<usize> {
        let row = self.width * self.channels.len();
        let seen = &self.rows[rows];
        let end = seen.last().map_or(0, |last| last + 1);
        let start = seen.first().map_or(end, |first| *first);
        self.first + start * row..self.first + end * row
    }
}

/// Features as positions see them.
pub(super) struct Seen<'a> {
    pub(super) features: &'a dyn FeatureSource,
    pub(super) layout: &'a Layout,
}

impl FeatureSource for Seen<'_> {
    fn images(&self) -> usize {
        self.features.images()
    }

    fn positions(&self) -> usize {
        self.layout.positions()
    }

    fn dims(&self) -> usize {
        self.layout.dims
    }

    fn read(
        &self,
        images: Range<usize>,
        positions: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let [_, width] = self.layout.grid;
        let rows = positions.start / width..positions.end.div_ceil(width);
        let dims = self.layout.dims;
        let mut cells = Vec::new();
        for (image, out) in images.zip(out.chunks_exact_mut(positions.len() * dims)) {
            for part in &self.layout.parts {
                let range = part.of_rows(rows.clone());
                cells.resize(range.len(), 0.0);
                self.features
                    .read(image..image + 1, range.clone(), &mut cells)?;
                for (position, out) in positions.clone().zip(out.chunks_exact_mut(dims)) {
                    let cell = &cells[part.cell(position) - range.start..];
                    for (&dim, &value) in part.dims.iter().zip(cell) {
                        out[dim] = value;
                    }
                }
            }
        }
        Ok(())
    }
}
