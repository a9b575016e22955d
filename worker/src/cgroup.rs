//! What the control group of this process says about memory: version 1 or 2, on a host or in a container.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The least limit of the group and of all above it, in bytes; `None` without one.
pub fn memory_limit() -> Option<u64> {
    Group::of_this_process(Path::new("/"))?.limit()
}

/// How many processes of the group the kernel has killed for memory; of the whole machine where the group does not count.
pub fn oom_kills() -> u64 {
    let root = Path::new("/");
    Group::of_this_process(root)
        .and_then(|group| group.oom_kills())
        .or_else(|| counter(&root.join("proc/vmstat"), "oom_kill"))
        .unwrap_or(0)
}

/// A group of the memory controller.
struct Group {
    /// Where the controller is mounted.
    mount: PathBuf,
    folder: PathBuf,
    limit: &'static str,
    events: &'static str,
}

impl Group {
    /// `root` stands for `/`.
    fn of_this_process(root: &Path) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let path_after = |is: &dyn Fn(&str, &str) -> bool| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                is(number, controllers).then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let first = path_after(&|_, controllers| controllers.split(',').any(|one| one == "memory"));
        let (mount, path, limit, events) = match first {
            Some(path) => (
                "sys/fs/cgroup/memory",
                path,
                "memory.limit_in_bytes",
                "memory.oom_control",
            ),
            None => (
                "sys/fs/cgroup",
                path_after(&|number, controllers| number == "0" && controllers.is_empty())?,
                "memory.max",
                "memory.events",
            ),
        };
        let mount = root.join(mount);
        // In a container the path may be the host's, while what is mounted is the own group.
        let folder = [mount.join(path), mount.clone()]
            .into_iter()
            .find(|folder| folder.join(limit).exists())?;
        Some(Self {
            mount,
            folder,
            limit,
            events,
        })
    }

    fn limit(&self) -> Option<u64> {
        self.folder
            .ancestors()
            .take_while(|folder| folder.starts_with(&self.mount))
            .filter_map(|folder| {
                let text = fs::read_to_string(folder.join(self.limit)).ok()?;
                // `max` in version 2; version 1 says "none" by a number that no machine has.
                text.trim().parse().ok()
            })
            .min()
    }

    fn oom_kills(&self) -> Option<u64> {
        counter(&self.folder.join(self.events), "oom_kill")
    }
}

/// The number after a word at a line's beginning.
fn counter(file: &Path, word: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, number) = line.split_once(' ')?;
        (name == word).then(|| number.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_counts_the_own_group_and_limits_by_the_least_above_it() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/pods/a/b\n"),
            ("sys/fs/cgroup/pods/memory.max", "4096\n"),
            ("sys/fs/cgroup/pods/a/memory.max", "max\n"),
            ("sys/fs/cgroup/pods/a/b/memory.max", "8192\n"),
            (
                "sys/fs/cgroup/pods/a/b/memory.events",
                "low 0\noom 3\noom_kill 2\n",
            ),
        ]);
        let group = Group::of_this_process(root.path()).unwrap();
        assert_eq!((group.limit(), group.oom_kills()), (Some(4096), Some(2)));
    }

    #[test]
    fn version_1_is_read_beside_other_controllers() {
        let root = machine(&[
            (
                "proc/self/cgroup",
                "9:name=systemd:/\n4:memory:/a\n2:cpuacct,cpu:/x\n0::/\n",
            ),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n"),
            (
                "sys/fs/cgroup/memory/a/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n",
            ),
        ]);
        let group = Group::of_this_process(root.path()).unwrap();
        assert_eq!((group.limit(), group.oom_kills()), (Some(1 << 20), Some(7)));
    }

    #[test]
    fn in_a_container_the_mounted_group_is_the_own_one() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/../../kubepods/pod1/c\n"),
            ("sys/fs/cgroup/memory.max", "512\n"),
            ("sys/fs/cgroup/memory.events", "oom_kill 1\n"),
        ]);
        let group = Group::of_this_process(root.path()).unwrap();
        assert_eq!((group.limit(), group.oom_kills()), (Some(512), Some(1)));
    }

    #[test]
    fn a_machine_without_the_controller_has_no_limit() {
        let root = machine(&[("proc/self/cgroup", "0::/\n")]);
        assert!(Group::of_this_process(root.path()).is_none());
    }
}
