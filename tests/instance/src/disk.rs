//! Disks: files behind loop devices.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::run;

/// A mebibyte.
pub const MIB: u64 = 1024 * 1024;

/// A disk. It is let go of with its value.
#[derive(Debug)]
pub struct Disk {
    /// Its file.
    pub file: PathBuf,
    /// Its loop device.
    pub device: String,
}

impl Disk {
    /// A blank disk.
    pub fn blank(directory: &std::path::Path, name: &str, mib: u64) -> Self {
        let file = directory.join(name);
        File::create(&file).unwrap().set_len(mib * MIB).unwrap();
        let device = run(&format!("losetup --find --show {}", file.display()));
        Self { file, device }
    }

    /// Writes bytes at an offset; a negative one counts from the end.
    pub fn write(&self, offset: i64, bytes: &[u8]) {
        let mut disk = OpenOptions::new().write(true).open(&self.device).unwrap();
        let from = match u64::try_from(offset) {
            Ok(offset) => SeekFrom::Start(offset),
            Err(_) => SeekFrom::End(offset),
        };
        disk.seek(from).unwrap();
        disk.write_all(bytes).unwrap();
        disk.sync_all().unwrap();
    }

    /// Runs a line of shell with `$DISK` for the device.
    #[track_caller]
    pub fn with(&self, line: &str) {
        run(&format!("DISK={}; {line}", self.device));
        run("sync");
    }

    /// The checksum of every byte of it.
    pub fn checksum(&self) -> String {
        run(&format!("sync; sha256sum < {}", self.file.display()))
    }

    /// Its number, as in `7:3`.
    pub fn number(&self) -> String {
        let name = self.device.trim_start_matches("/dev/");
        std::fs::read_to_string(format!("/sys/block/{name}/dev")).unwrap().trim().to_owned()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A mounted one goes once it is unmounted.
        crate::output(&format!("losetup --detach {}", self.device));
    }
}
