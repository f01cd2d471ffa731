//! What is on a disk. "Nothing" is the dangerous answer, so it takes three witnesses: libblkid and wipefs, each with its
//! own word and not by failing, and the disk's own bytes.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::command::{self, Failed};

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// One filesystem over the whole disk, and nothing else.
    Filesystem { kind: String, uuid: String },
    /// Nothing: no signature, and zeros wherever it was looked.
    Blank,
    /// Something else, in words.
    Other(String),
}

/// What is on a disk can't be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unclear {
    #[error("it can't be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error(transparent)]
    Tool(#[from] Failed),
}

/// The first and the last of a disk are read whole: signatures, partition tables, metadata of RAID and LVM are there.
const ENDS: u64 = 1024 * 1024;
/// In between it is sampled: this much,
const SAMPLE: u64 = 64 * 1024;
/// so often, if not all of it is less. A disk of up to 512 MiB is so read whole.
const SAMPLES: u64 = 8192;
/// Samples lie on multiples of this, where ext4 (each 128 MiB) keeps copies of its superblock.
const STRIDE: u64 = 16 * 1024 * 1024;

/// Looks what is on a disk, and changes nothing. The disk is claimed while it is looked at: what is mounted, or part of
/// something, can't be.
pub(crate) fn look(node: &Path) -> Result<Content, Unclear> {
    let mut disk = OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(node)?;
    let signatures = signatures(node)?;
    let found = blkid(node)?;
    let size = disk.seek(SeekFrom::End(0))?;
    if size == 0 {
        return Ok(Content::Other("a disk of no size".to_owned()));
    }
    match (found, signatures.as_slice()) {
        (Found::Filesystem { kind, uuid }, [only]) if *only == kind => {
            Ok(Content::Filesystem { kind, uuid })
        }
        (Found::Nothing, []) => match first_byte(&mut disk, size)? {
            Some(offset) => {
                Ok(Content::Other(format!("data that nothing here knows, at byte {offset}")))
            }
            None => Ok(Content::Blank),
        },
        (Found::Filesystem { kind, .. }, _) => {
            Ok(Content::Other(format!("{kind}, and by wipefs: {}", signatures.join(", "))))
        }
        (Found::Nothing, _) => Ok(Content::Other(signatures.join(", "))),
        (Found::Other(what), _) => Ok(Content::Other(what)),
    }
}

enum Found {
    Filesystem { kind: String, uuid: String },
    Nothing,
    Other(String),
}

/// `blkid` in low-level probing. Its exit code 2 is said to mean "nothing found", and is given for much else as well: so
/// that alone proves nothing.
fn blkid(node: &Path) -> Result<Found, Unclear> {
    let options = ["--probe", "--output", "export"].map(AsRef::as_ref);
    let arguments = [&options[..], &[node.as_os_str()]].concat();
    let output = command::output("blkid", &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
    };
    Ok(match output.status.code() {
        Some(0) => match (value("TYPE"), value("UUID"), value("PTTYPE")) {
            (_, _, Some(table)) => Found::Other(format!("a partition table ({table})")),
            (Some(kind), Some(uuid), None) if value("USAGE").as_deref() == Some("filesystem") => {
                Found::Filesystem { kind, uuid }
            }
            (kind, ..) => Found::Other(kind.unwrap_or_else(|| text.replace('\n', " "))),
        },
        Some(2) if text.is_empty() && output.stderr.is_empty() => Found::Nothing,
        Some(8) => Found::Other("signatures of several things (blkid: ambivalent)".to_owned()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Found::Other(format!(
                "something that blkid fails at: {} {}",
                output.status,
                said.trim()
            ))
        }
    })
}

/// The types of all signatures that wipefs would remove. It is told not to.
fn signatures(node: &Path) -> Result<Vec<String>, Failed> {
    let options = ["--no-act", "--noheadings", "--output", "TYPE"].map(AsRef::as_ref);
    let said = command::run("wipefs", &[&options[..], &[node.as_os_str()]].concat(), &[0])?;
    let mut types: Vec<String> = said.lines().map(|line| line.trim().to_owned()).collect();
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

/// Where the first byte is found that is not zero.
fn first_byte(disk: &mut (impl Read + Seek), size: u64) -> std::io::Result<Option<u64>> {
    let ends = [(0, ENDS.min(size)), (size.saturating_sub(ENDS), ENDS.min(size))];
    let samples = samples(size).map(|offset| (offset, SAMPLE.min(size - offset)));
    for (offset, length) in ends.into_iter().chain(samples) {
        let mut bytes = Vec::new();
        disk.seek(SeekFrom::Start(offset))?;
        let read = disk.by_ref().take(length).read_to_end(&mut bytes)?;
        if u64::try_from(read) != Ok(length) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(position) =
            (offset..).zip(&bytes).find_map(|(at, byte)| (*byte != 0).then_some(at))
        {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

/// Where samples are taken.
fn samples(size: u64) -> impl Iterator<Item = u64> {
    let stride = if size <= SAMPLE * SAMPLES {
        SAMPLE
    } else {
        // The least multiple of STRIDE that needs no more than so many.
        STRIDE * size.div_ceil(SAMPLES * STRIDE)
    };
    (0..size.div_ceil(stride)).map(move |number| number * stride)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn no_byte_of_a_small_disk_is_missed() {
        let size = 3 * MIB + 5000;
        for at in [0, MIB, MIB + 1, 2 * MIB - 1, 3 * MIB, size - 1] {
            let mut bytes = vec![0; usize::try_from(size).unwrap()];
            bytes[usize::try_from(at).unwrap()] = 1;
            assert_eq!(first_byte(&mut Cursor::new(bytes), size).unwrap(), Some(at));
        }
        let zeros = vec![0; usize::try_from(size).unwrap()];
        assert_eq!(first_byte(&mut Cursor::new(zeros), size).unwrap(), None);
    }

    #[test]
    fn a_disk_that_gives_less_than_its_size_is_not_blank() {
        assert!(first_byte(&mut Cursor::new(vec![0; 4096]), 8192).is_err());
    }

    #[test]
    fn a_large_disk_is_sampled_where_ext4_keeps_its_copies() {
        for size in [1024 * MIB, 100 * 1024 * MIB, 64 * 1024 * 1024 * MIB] {
            let offsets: Vec<u64> = samples(size).collect();
            assert!(offsets.len() <= 8192, "{size}");
            assert!(offsets.iter().all(|offset| offset % (16 * MIB) == 0), "{size}");
        }
        assert!(samples(100 * 1024 * MIB).any(|offset| offset == 128 * MIB));
    }
}
