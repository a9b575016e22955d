//! PRO: the per-region overlap at a threshold, the mean over all defect regions of the share of a region's pixels that are
//! found.
//!
//! Pixels at or above the threshold are found, as everywhere here; regions are those of [`Regions`](crate::Regions).
//! Source: as for AUPRO. Without a region it is undefined; Anomalib 1.0.1 gives 1 there.

#[cfg(test)]
mod tests;

use crate::ordered::Below;
use crate::{Totals, Undefined};

/// `below`: the pixels under the threshold.
pub(crate) fn pro(totals: Totals, below: Below) -> Result<f64, Undefined> {
    if totals.is_empty() {
        return Err(Undefined::Empty);
    }
    if totals.regions == 0 {
        return Err(Undefined::OneClass);
    }
    Ok(1.0 - below.overlap.mean(totals.regions))
}
