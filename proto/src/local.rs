//! Where a coordinator on this machine listens.

use std::path::PathBuf;

/// Name of the Unix socket in the state folder.
pub const SOCKET: &str = "coordinator.sock";

/// Largest message either side accepts: a submitted job or a list of 100,000 tasks fits.
pub const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// The state folder of those who name none: `$XDG_STATE_HOME/nightshift`, else `~/.local/state/nightshift`.
pub fn default_state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/state")))
        .map(|base| base.join("nightshift"))
}
