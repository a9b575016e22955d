//! The state folder: where it is, that it is local, and that it belongs to one coordinator at a time.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock, statfs};
use types::Epoch;

#[derive(Debug, thiserror::Error)]
pub enum StateFolderError {
    #[error("no state folder: neither HOME nor XDG_STATE_HOME is set; pass --state DIR")]
    NoHome,
    #[error("cannot use the state folder {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the state folder {} is in use by another coordinator ({holder}); stop it, or pass another --state DIR", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error("the state folder {} is on a network file system ({kind}), where locks and fsync cannot be relied upon; pass --state with a local folder", path.display())]
    Network { path: PathBuf, kind: String },
    #[error("the path of the socket {} is {length} bytes long and the system allows {MAX_SOCKET_PATH}; pass a shorter --state DIR", path.display())]
    PathTooLong { path: PathBuf, length: usize },
}

/// `sun_path` holds 108 bytes, the last of them zero.
const MAX_SOCKET_PATH: usize = 107;

/// A state folder that this process owns until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    lock: File,
    /// The epoch of the coordinator that had the folder last, as it wrote into the lock file.
    last_epoch: Option<Epoch>,
}

impl StateFolder {
    /// Makes the folder if there is none, and takes its lock.
    pub fn open(path: &Path) -> Result<Self, StateFolderError> {
        let failed = |source| StateFolderError::Io {
            path: path.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        if let Some(kind) = network_file_system(&path).map_err(failed)? {
            return Err(StateFolderError::Network { path, kind });
        }
        let socket = path.join(proto::local::SOCKET);
        let length = socket.as_os_str().len();
        if length > MAX_SOCKET_PATH {
            return Err(StateFolderError::PathTooLong {
                path: socket,
                length,
            });
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        let mut note = String::new();
        Read::by_ref(&mut lock)
            .take(1024)
            .read_to_string(&mut note)
            .map_err(failed)?;
        match taken {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StateFolderError::InUse {
                    path,
                    holder: holder(&note),
                });
            }
            Err(error) => return Err(failed(error.into())),
        }
        let last_epoch = field(&note, "epoch")
            .and_then(|text| text.parse().ok())
            .map(Epoch);
        Ok(Self {
            path,
            lock,
            last_epoch,
        })
    }

    pub fn last_epoch(&self) -> Option<Epoch> {
        self.last_epoch
    }

    /// Says in the lock file who has the folder: for the message that a second coordinator gives, and to notice
    /// a database that is older than its folder.
    pub fn sign(&mut self, epoch: Epoch) -> Result<(), StateFolderError> {
        let note = format!("pid {}\nepoch {}\n", std::process::id(), epoch.0);
        let write = || -> io::Result<()> {
            let mut lock = &self.lock;
            lock.rewind()?;
            lock.write_all(note.as_bytes())?;
            lock.set_len(note.len() as u64)?;
            lock.sync_data()
        };
        write().map_err(|source| StateFolderError::Io {
            path: self.path.clone(),
            source,
        })
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("nightshift.db")
    }

    pub fn socket(&self) -> PathBuf {
        self.path.join(proto::local::SOCKET)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn field<'a>(note: &'a str, name: &str) -> Option<&'a str> {
    note.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

fn holder(note: &str) -> String {
    match field(note, "pid") {
        Some(pid) => format!("process {pid}"),
        None => "just starting".to_owned(),
    }
}

/// Names the file system if it is one of another machine.
fn network_file_system(path: &Path) -> io::Result<Option<String>> {
    // From statfs(2) and linux/magic.h.
    const NETWORK: [(u32, &str); 9] = [
        (0x0000_6969, "nfs"),
        (0xFF53_4D42, "cifs"),
        (0xFE53_4D42, "smb2"),
        (0x0000_517B, "smb"),
        (0x00C3_6400, "ceph"),
        (0x5346_414F, "afs"),
        (0x7375_7245, "coda"),
        (0x0BD0_0BD0, "lustre"),
        (0x4750_4653, "gpfs"),
    ];
    const FUSE: u32 = 0x6573_5546;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "magic numbers have 32 bits"
    )]
    let magic = statfs(path)?.f_type as u32;
    if magic == FUSE {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        return Ok(fuse_kind(&mounts, path).filter(|kind| is_network_fuse(kind)));
    }
    Ok(NETWORK
        .iter()
        .find(|(number, _)| *number == magic)
        .map(|(_, name)| (*name).to_owned()))
}

/// A FUSE mount may be anything; its type says which program serves it, such as `fuse.sshfs`.
fn is_network_fuse(kind: &str) -> bool {
    const NETWORK: [&str; 10] = [
        "sshfs",
        "s3fs",
        "gcsfuse",
        "blobfuse",
        "rclone",
        "glusterfs",
        "ceph",
        "goofys",
        "mount-s3",
        "juicefs",
    ];
    NETWORK.iter().any(|name| kind.contains(name))
}

/// The type of the innermost mount that holds `path`, from the text of `/proc/self/mountinfo`.
fn fuse_kind(mounts: &str, path: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let (head, tail) = line.split_once(" - ")?;
            let point = head.split(' ').nth(4)?;
            path.starts_with(point)
                .then_some((point.len(), tail.split(' ').next()?))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_coordinator_at_a_time_and_the_second_hears_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = StateFolder::open(dir.path()).unwrap();
        assert_eq!(first.last_epoch(), None);
        first.sign(Epoch(7)).unwrap();
        let error = StateFolder::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        assert_eq!(
            StateFolder::open(dir.path()).unwrap().last_epoch(),
            Some(Epoch(7))
        );
    }

    #[test]
    fn a_shorter_note_leaves_nothing_of_a_longer_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = StateFolder::open(dir.path()).unwrap();
        folder.sign(Epoch(123_456_789)).unwrap();
        folder.sign(Epoch(8)).unwrap();
        let note = fs::read_to_string(dir.path().join("lock")).unwrap();
        assert_eq!(note, format!("pid {}\nepoch 8\n", std::process::id()));
    }

    #[test]
    fn too_long_a_path_is_refused_before_anything_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        assert!(matches!(
            StateFolder::open(&long),
            Err(StateFolderError::PathTooLong { .. })
        ));
    }

    #[test]
    fn fuse_mounts_are_told_apart_by_the_innermost_mount() {
        let mounts = "22 1 0:21 / / rw - overlay overlay rw\n\
                      40 22 0:40 / /home rw - fuse.gocryptfs a rw\n\
                      41 40 0:41 / /home/me/lab rw - fuse.sshfs lab: rw\n";
        assert_eq!(
            fuse_kind(mounts, Path::new("/home/me/lab/state")).unwrap(),
            "fuse.sshfs"
        );
        assert_eq!(
            fuse_kind(mounts, Path::new("/home/me/labor")).unwrap(),
            "fuse.gocryptfs"
        );
        assert!(is_network_fuse("fuse.sshfs"));
        assert!(!is_network_fuse("fuse.gocryptfs"));
    }
}
