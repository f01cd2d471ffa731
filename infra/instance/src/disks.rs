//! Which disk of the machine a volume is. EBS gives its NVMe disks the volume's id as their serial number; the kernel's
//! names (`nvme1n1`) are in the order in which disks appear, and say nothing.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::arguments::Machine;
use crate::command;

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Its device node.
    pub(crate) node: PathBuf,
    /// Its number, as in `259:1`.
    pub(crate) number: String,
    /// How it is known to be the volume.
    known: Known,
}

/// How a disk is known to be a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// By its serial number: the volume's id.
    Serial(String),
    /// By the name that EBS knows it by. Good enough to mount what is there, and never to format.
    Device(String),
}

/// Why no disk can be taken for the volume.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Amiss {
    #[error("{0} can't be read: {1}")]
    Sysfs(PathBuf, #[source] std::io::Error),
    #[error("two disks, {0} and {1}, say that they are {2}; neither is touched")]
    Ambiguous(String, String, String),
    #[error("{0} is not the device {1} that sysfs says it is; nothing is touched")]
    Node(PathBuf, String),
    #[error("{0} is no longer {1}: the disks have changed; nothing more is touched")]
    Changed(PathBuf, String),
}

/// The disk that is the volume; nothing while it is not there.
pub(crate) fn find(machine: &Machine, known: &Known) -> Result<Option<Disk>, Amiss> {
    let block = machine.sys.join("block");
    let unreadable = |error| Amiss::Sysfs(block.clone(), error);
    let mut found: Option<String> = None;
    for entry in fs::read_dir(&block).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is(machine, &entry.path(), &name, known) {
            continue;
        }
        if let Some(other) = found.replace(name.clone()) {
            return Err(Amiss::Ambiguous(other, name, known.text().to_owned()));
        }
    }
    found.map(|name| disk(machine, &name, known.clone())).transpose()
}

/// Looks once more, right before a disk is changed: names move when disks come and go.
pub(crate) fn confirm(machine: &Machine, disk: &Disk) -> Result<(), Amiss> {
    if find(machine, &disk.known)?.as_ref() == Some(disk) {
        Ok(())
    } else {
        Err(Amiss::Changed(disk.node.clone(), disk.known.text().to_owned()))
    }
}

/// Whether the machine has no NVMe disk at all, as on Xen.
pub(crate) fn without_nvme(machine: &Machine) -> Result<bool, Amiss> {
    let block = machine.sys.join("block");
    let unreadable = |error| Amiss::Sysfs(block.clone(), error);
    let names = fs::read_dir(&block).map_err(unreadable)?;
    let names = names.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    Ok(!names.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("nvme")))
}

impl Known {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Serial(text) | Self::Device(text) => text,
        }
    }
}

fn is(machine: &Machine, entry: &Path, name: &str, known: &Known) -> bool {
    // With several paths to one disk the kernel hides all but one of them.
    if read(&entry.join("hidden")).as_deref() == Some("1") {
        return false;
    }
    match known {
        // vol-0123456789abcdef0 is vol0123456789abcdef0 there.
        Known::Serial(volume) => read(&entry.join("device/serial"))
            .is_some_and(|serial| serial == volume.replace('-', "")),
        Known::Device(device) => {
            let device = point(device);
            match name.strip_prefix("xvd") {
                // Xen: the kernel's name is the one given to AttachVolume.
                Some(letters) => letters == device,
                // NVMe: Amazon's own ebsnvme-id reads the name that EBS left in the disk's identify data.
                None if name.starts_with("nvme") => {
                    let node = machine.dev.join(name);
                    let asked =
                        command::run("ebsnvme-id", &["-b".as_ref(), node.as_os_str()], &[0]);
                    asked.is_ok_and(|said| point(said.trim()) == device)
                }
                None => false,
            }
        }
    }
}

/// `/dev/sdf`, `sdf` and `/dev/xvdf` are one attachment point.
fn point(device: &str) -> &str {
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    name.strip_prefix("sd").or_else(|| name.strip_prefix("xvd")).unwrap_or(name)
}

fn disk(machine: &Machine, name: &str, known: Known) -> Result<Disk, Amiss> {
    let file = machine.sys.join("block").join(name).join("dev");
    let number = fs::read_to_string(&file).map_err(|error| Amiss::Sysfs(file, error))?;
    let number = number.trim().to_owned();
    let node = machine.dev.join(name);
    let shown = fs::metadata(&node).map_err(|error| Amiss::Sysfs(node.clone(), error))?;
    let rdev = shown.rdev();
    if !shown.file_type().is_block_device()
        || number != format!("{}:{}", libc::major(rdev), libc::minor(rdev))
    {
        return Err(Amiss::Node(node, number));
    }
    Ok(Disk { node, number, known })
}

fn read(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_a_device_name_are_one() {
        for name in ["/dev/sdf", "sdf", "/dev/xvdf", "xvdf"] {
            assert_eq!(point(name), "f", "{name}");
        }
    }
}
