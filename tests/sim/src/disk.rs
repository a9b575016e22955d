//! The fake disk: a transaction happens wholly or not at all, and only in the present epoch.

use coordinator_core::{Change, RESTORED_JUMP, Rows};

#[derive(Debug, Default)]
pub struct Disk {
    pub rows: Rows,
    pub epoch: u64,
    /// M8: writes of an old epoch go through.
    pub epoch_not_asserted: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct StaleEpoch;

impl Disk {
    /// A coordinator starts: from now on only its transactions are let in.
    pub fn take_over(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// An operator puts a backup in its place, and says so.
    pub fn restore(&mut self, backup: Rows, epoch: u64) {
        let changes = backup.restored();
        self.rows = backup;
        for change in changes {
            self.rows.put(change);
        }
        self.epoch = epoch + RESTORED_JUMP;
    }

    pub fn commit(&mut self, epoch: u64, changes: &[Change]) -> Result<(), StaleEpoch> {
        if epoch != self.epoch && !self.epoch_not_asserted {
            return Err(StaleEpoch);
        }
        for change in changes {
            self.rows.put(change.clone());
        }
        Ok(())
    }
}
