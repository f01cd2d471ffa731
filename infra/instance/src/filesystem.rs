//! Making, checking, mounting and growing filesystems, by the system's own programs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{self, Failed};
use crate::config::{Filesystem, Volume};
use crate::disks::Disk;

/// Why a filesystem could not be brought to its directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Tool(#[from] Failed),
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
}

/// Makes a filesystem. Neither is told to overwrite (`-F`, `-f`): each looks for itself what is there, and refuses.
pub(crate) fn format(kind: Filesystem, node: &Path) -> Result<(), Failed> {
    let program = match kind {
        Filesystem::Ext4 => "mkfs.ext4",
        Filesystem::Xfs => "mkfs.xfs",
    };
    command::run(program, &["-q".as_ref(), node.as_os_str()], &[0]).map(drop)
}

/// Checks a filesystem as its kind asks: ext4 by e2fsck, which repairs by itself only what is safe (1 and 2: repaired). XFS
/// replays its log when it is mounted, and wants no other check (fsck.xfs does nothing); but that writes even where the
/// mount fails in the end, so it is first mounted without.
pub(crate) fn check(kind: Filesystem, node: &Path, path: &Path) -> Result<(), Problem> {
    match kind {
        Filesystem::Ext4 => {
            command::run("e2fsck", &["-p".as_ref(), node.as_os_str()], &[0, 1, 2])?;
        }
        Filesystem::Xfs => {
            mount_with(kind, node, path, "ro,norecovery")?;
            command::run("umount", &["--".as_ref(), path.as_os_str()], &[0])?;
        }
    }
    Ok(())
}

/// Mounts a disk. By its node, which was looked up by the volume's id a moment ago, and not by the filesystem's UUID: a
/// copy from a snapshot has the same one.
pub(crate) fn mount(kind: Filesystem, disk: &Disk, volume: &Volume) -> Result<(), Problem> {
    mount_with(kind, &disk.node, &volume.path, &volume.options)
}

fn mount_with(kind: Filesystem, node: &Path, path: &Path, options: &str) -> Result<(), Problem> {
    fs::create_dir_all(path).map_err(|error| Problem::File(path.to_owned(), error))?;
    let options = ["-t", kind.name(), "-o", options].map(AsRef::as_ref);
    let arguments = [&options[..], &[node.as_os_str(), path.as_os_str()]].concat();
    command::run("mount", &arguments, &[0])?;
    Ok(())
}

/// Lets a mounted filesystem take up the whole of its disk, in case that grew. Does nothing where it does already.
pub(crate) fn grow(kind: Filesystem, disk: &Disk, path: &Path) -> Result<(), Failed> {
    match kind {
        Filesystem::Ext4 => command::run("resize2fs", &[disk.node.as_os_str()], &[0]),
        Filesystem::Xfs => command::run("xfs_growfs", &["-d".as_ref(), path.as_os_str()], &[0]),
    }
    .map(drop)
}

/// Gives the mounted directory, and those wanted in it, their owner and mode. What lies below is left alone.
pub(crate) fn furnish(volume: &Volume) -> Result<(), Problem> {
    let mut directories = vec![volume.path.clone()];
    for directory in &volume.directories {
        let path = volume.path.join(directory);
        fs::create_dir_all(&path).map_err(|error| Problem::File(path.clone(), error))?;
        directories.push(path);
    }
    for path in directories {
        if let Some(owner) = &volume.owner {
            command::run("chown", &["--".as_ref(), owner.as_ref(), path.as_os_str()], &[0])?;
        }
        if let Some(mode) = &volume.mode {
            command::run("chmod", &["--".as_ref(), mode.as_ref(), path.as_os_str()], &[0])?;
        }
    }
    Ok(())
}

/// The number of the device that is mounted at a path, if one is.
pub(crate) fn mounted(path: &Path) -> Result<Option<String>, Problem> {
    let table = PathBuf::from("/proc/self/mountinfo");
    let text = fs::read_to_string(&table).map_err(|error| Problem::File(table, error))?;
    // proc(5): id, parent, major:minor, root, mount point; blanks in it are written \040. The last one lies on top.
    let wanted = path.to_string_lossy().replace(' ', "\\040");
    let found = text.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let number = fields.next()?;
        (fields.nth(1)? == wanted).then(|| number.to_owned())
    });
    Ok(found)
}
