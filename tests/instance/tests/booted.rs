//! The real units in a system that boots, on an NVMe disk whose serial number is a volume's id: qemu, without hardware
//! acceleration.

#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use instance_tests::{MIB, run};

/// Where the image of the system is.
const WORK: &str = "/tmp/work";
const MONITOR: &str = "/tmp/monitor";
const DISK: &str = "/tmp/volume.img";
const OTHER: &str = "/tmp/other.img";
const EBS: &str = "nvme,serial=vol0123456789abcdef0,drive=volume";

/// A system that boots, and what its console says.
struct Booted {
    qemu: Child,
    console: BufReader<ChildStdout>,
    said: String,
}

/// The arguments of a disk with the volume's id, with this for its drive.
fn volume(drive: &str) -> Vec<String> {
    vec![
        "-drive".to_owned(),
        format!("{drive},format=raw,if=none,id=volume"),
        "-device".to_owned(),
        format!("{EBS},id=ebs"),
    ]
}

impl Booted {
    /// With the disk there from the beginning.
    fn new(words: &str) -> Self {
        Self::with(&volume(&format!("file={DISK}")), words)
    }

    fn with(disks: &[String], words: &str) -> Self {
        let kernel = |name: &str| run(&format!("ls /boot/{name}-* | tail -1"));
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-accel", "tcg", "-m", "768"]);
        command.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        command.args(["-monitor", &format!("unix:{MONITOR},server,nowait")]);
        command.args(["-kernel", &kernel("vmlinuz"), "-initrd", &kernel("initrd.img")]);
        // What the units say is to be read as well.
        let journal = "systemd.journald.forward_to_console=1";
        command.args(["-append", &format!("root=/dev/vda rw console=ttyS0 {journal} {words}")]);
        let system = format!("file={WORK}/system.img,format=raw,if=virtio,snapshot=on");
        command.args(["-drive", &system]);
        command.args(disks);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut qemu = command.spawn().unwrap();
        let console = BufReader::new(qemu.stdout.take().unwrap());
        Self { qemu, console, said: String::new() }
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
        let found = self.until("WORKLOAD of cassandra-0 at /data finds:");
        self.until("WORKLOAD has written");
        found.split_once("finds: ").unwrap().1.to_owned()
    }

    /// Its end, which it comes to by itself.
    fn ends(mut self) {
        assert!(self.qemu.wait().unwrap().success(), "{}", self.said);
    }

    /// A power cut.
    fn cut(mut self) {
        self.qemu.kill().unwrap();
        self.qemu.wait().unwrap();
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Where a test has failed, or it has ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Has qemu do this while the system runs.
fn monitor(command: &str) {
    let mut monitor = UnixStream::connect(MONITOR).unwrap();
    monitor.write_all(format!("{command}\n").as_bytes()).unwrap();
    // It takes a command as carried out when it prompts for the next: once on connecting, and once after it.
    let (mut said, mut byte) = (Vec::new(), [0]);
    while String::from_utf8_lossy(&said).matches("(qemu) ").count() < 2 {
        monitor.read_exact(&mut byte).unwrap();
        said.extend(byte);
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
    assert!(!booted.said.contains("WORKLOAD"), "{}", booted.said);
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
    let mut disks: Vec<String> = ["-drive", "-device", "-drive"].map(str::to_owned).to_vec();
    disks.insert(1, format!("file={OTHER},format=raw,if=none,id=other"));
    disks.insert(3, "nvme,serial=vol0fedcba9876543210,drive=other".to_owned());
    disks.push(format!("file={DISK},format=raw,if=none,id=volume"));
    let mut booted = Booted::with(&disks, "volume=vol-0123456789abcdef0 blank act=poweroff");
    booted.until("waiting: volume vol-0123456789abcdef0 (data) is not attached yet");
    monitor(&format!("device_add {EBS},id=ebs"));
    let formatted = booted.until("may be formatted: mkfs.ext4");
    assert!(formatted.contains("/dev/nvme1n1"), "{formatted}");
    assert!(booted.finds().starts_with("in "), "{}", booted.said);
    booted.ends();
    assert_eq!(checksum(), before);
}

#[test]
fn a_volume_goes_from_boot_to_boot_with_its_data() {
    let _alone = alone();
    let disk = blank();

    // Created blank: formatted and mounted before the workload starts. At the announced end the workload stops, the volume is
    // unmounted, and can be taken away.
    let mut first = Booted::new("volume=vol-0123456789abcdef0 blank act=drain");
    assert!(first.finds().starts_with("in "), "{}", first.said);
    first.until("WORKLOAD has stopped");
    first.until("ACT: drained");
    monitor("device_del ebs");
    first.until("ACT: unplugged");
    first.ends();
    assert!(
        run(&format!("dumpe2fs -h {DISK} 2>/dev/null | grep 'Filesystem state'"))
            .ends_with("clean")
    );

    // Its replacement may not format, finds the data, and takes up what the volume has grown by. It is killed.
    disk.set_len(256 * MIB).unwrap();
    let mut second = Booted::new("volume=vol-0123456789abcdef0 act=nothing");
    let found = second.finds();
    assert!(found.starts_with("started stopped in "), "{found}");
    let size: u64 = found.rsplit(' ').next().unwrap().trim_end_matches('M').parse().unwrap();
    assert!(size > 200, "{found}");
    second.cut();

    // What was synced before is there; an ordinary shutdown stops the workload while its volume is still mounted.
    let mut third = Booted::new("volume=vol-0123456789abcdef0 act=poweroff");
    let found = third.finds();
    assert!(found.starts_with("started stopped started in "), "{found}");
    third.until("WORKLOAD has stopped");
    third.ends();
    assert!(
        run(&format!("dumpe2fs -h {DISK} 2>/dev/null | grep 'Filesystem state'"))
            .ends_with("clean")
    );
    run(&format!("mkdir /tmp/look; mount -o loop,ro {DISK} /tmp/look"));
    let log = fs::read_to_string("/tmp/look/db/log").unwrap();
    assert_eq!(log, "started\nstopped\nstarted\nstarted\nstopped\n");
}
