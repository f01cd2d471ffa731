//! The real units in a system that boots, on an NVMe disk whose serial number is a volume's id: qemu, without hardware
//! acceleration.

#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use instance_tests::{MIB, Recipe, System, run};

const VOLUME: &str = "vol-0123456789abcdef0";
const DISK: &str = "/tmp/volume.img";
const OTHER: &str = "/tmp/other.img";

/// A system that boots, and what its console says.
struct Booted {
    system: System,
    console: BufReader<ChildStderr>,
    said: String,
}

/// The arguments of a disk with the volume's id, with this for its drive.
fn volume(drive: &str) -> Vec<String> {
    vec![
        "-drive".to_owned(),
        format!("{drive},format=raw,if=none,id=volume"),
        "-device".to_owned(),
        format!("nvme,serial={},drive=volume,id={VOLUME}", VOLUME.replace('-', "")),
    ]
}

impl Booted {
    /// With the disk there from the beginning.
    fn new(words: &str) -> Self {
        Self::with(&volume(&format!("file={DISK}")), words)
    }

    fn with(hardware: &[String], words: &str) -> Self {
        let image = "/tmp/work/system.img";
        let recipe = Recipe { root: Path::new("/"), image, words, hardware };
        let (system, console) = System::boot(Command::new("qemu-system-x86_64"), recipe).unwrap();
        Self { system, console: BufReader::new(console), said: String::new() }
    }

    /// Reads its console up to a line with these words, and gives that.
    /// A system that says nothing more for long is for the run's own time limit to end.
    #[track_caller]
    fn until(&mut self, words: &str) -> String {
        loop {
            let mut line = Vec::new();
            let read = self.console.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8_lossy(&line);
            self.said.push_str(&line);
            assert!(read > 0, "it ended without {words:?}:\n{}", self.said);
            if line.contains(words) {
                return line.trim().to_owned();
            }
        }
    }

    /// What the workload finds, once it has written as well.
    #[track_caller]
    fn finds(&mut self) -> String {
        let found = self.until(&format!("workload: cassandra-0 at {VOLUME} has found: "));
        let (_, found) = found.split_once("found: ").unwrap();
        found.strip_suffix(", and has written its own line").unwrap().to_owned()
    }

    /// Its end, which it comes to by itself.
    fn ends(mut self) {
        assert!(self.system.wait().unwrap(), "{}", self.said);
    }

    /// A power cut.
    fn cut(mut self) {
        self.system.kill().unwrap();
    }
}

/// The disk, blank.
fn blank() -> fs::File {
    let disk = fs::File::create(DISK).unwrap();
    disk.set_len(64 * MIB).unwrap();
    disk
}

/// One system at a time: they share their disks and the machine's processors.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_blank_disk_with_one_place_that_can_not_be_read_is_not_formatted() {
    let _alone = alone();
    blank();
    // A sector in the middle, each time that it is read.
    let rules =
        "[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\nsector = \"65536\"\nonce = \"off\"\n";
    fs::write("/tmp/blkdebug", rules).unwrap();
    let checksum = || run(&format!("sha256sum < {DISK}"));
    let before = checksum();
    let disks = volume(&format!("file=blkdebug:/tmp/blkdebug:{DISK},rerror=report"));
    let mut booted = Booted::with(&disks, "volume=vol-0123456789abcdef0 blank act=nothing");
    let refused = booted.until("is not mounted, and nothing was changed on it");
    assert!(refused.contains("can't be read: I/O error"), "{refused}");
    // What requires the volume does not start.
    booted.until("Job workload.service/start failed with result 'dependency'");
    assert!(!booted.said.contains("workload: "), "{}", booted.said);
    booted.cut();
    assert_eq!(checksum(), before);
}

#[test]
fn a_disk_that_comes_late_and_after_another_is_found_by_its_volume() {
    let _alone = alone();
    blank();
    // Another volume, with data, has the first name when this one comes, which may be formatted.
    fs::File::create(OTHER).unwrap().set_len(64 * MIB).unwrap();
    run(&format!("mkfs.ext4 -q {OTHER}"));
    let checksum = || run(&format!("sha256sum < {OTHER}"));
    let before = checksum();
    let mut other = volume(&format!("file={OTHER}"));
    other[3] = "nvme,serial=vol0fedcba9876543210,drive=volume".to_owned();
    let mut booted = Booted::with(&other, "volume=vol-0123456789abcdef0 blank act=poweroff");
    booted.until("waiting: volume vol-0123456789abcdef0 (data) is not attached yet");
    booted.system.plug(VOLUME, DISK).unwrap();
    let formatted = booted.until("may be formatted: mkfs.ext4");
    assert!(formatted.contains("/dev/nvme1n1"), "{formatted}");
    assert_eq!(booted.finds(), "nothing");
    booted.ends();
    assert_eq!(checksum(), before);
}

#[test]
fn a_volume_goes_from_boot_to_boot_with_its_data() {
    let _alone = alone();
    let disk = blank();

    // Created blank: formatted and mounted before the workload starts. At the announced end the workload stops, the volume is
    // unmounted, and can be taken away.
    let mut first =
        Booted::new("systemd.hostname=first volume=vol-0123456789abcdef0 blank act=drain");
    assert_eq!(first.finds(), "nothing");
    first.until("workload: has stopped");
    first.until("ACT: drained");
    first.system.unplug(VOLUME).unwrap();
    first.until("ACT: unplugged");
    first.ends();
    assert!(
        run(&format!("dumpe2fs -h {DISK} 2>/dev/null | grep 'Filesystem state'"))
            .ends_with("clean")
    );

    // Its replacement may not format, finds the data, and takes up what the volume has grown by. It is killed.
    disk.set_len(256 * MIB).unwrap();
    let mut second =
        Booted::new("systemd.hostname=second volume=vol-0123456789abcdef0 act=nothing");
    let size = second.until("M of space");
    assert_eq!(second.finds(), "written on first, stopped on first");
    let size = size.trim_end_matches("M of space").rsplit(' ').next().unwrap();
    assert!(size.parse::<u64>().unwrap() > 200, "{size}");
    second.cut();

    // What was synced before is there; an ordinary shutdown stops the workload while its volume is still mounted.
    let mut third = Booted::new("systemd.hostname=third volume=vol-0123456789abcdef0 act=poweroff");
    let all = "written on first, stopped on first, written on second";
    assert_eq!(third.finds(), all);
    third.until("workload: has stopped");
    third.ends();
    assert!(
        run(&format!("dumpe2fs -h {DISK} 2>/dev/null | grep 'Filesystem state'"))
            .ends_with("clean")
    );
    run(&format!("mkdir /tmp/look; mount -o loop,ro {DISK} /tmp/look"));
    let log = fs::read_to_string("/tmp/look/db/log").unwrap();
    assert_eq!(
        log.trim().replace('\n', ", "),
        format!("{all}, written on third, stopped on third")
    );
}
