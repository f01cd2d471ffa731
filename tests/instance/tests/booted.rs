//! The real units in a system that boots, on an NVMe disk whose serial number is a volume's id: qemu, without hardware
//! acceleration.

#![cfg(test)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use instance_tests::{MIB, run};

/// Where the image of the system is.
const WORK: &str = "/tmp/work";
const MONITOR: &str = "/tmp/monitor";
const DISK: &str = "/tmp/volume.img";

/// A system that boots, and what its console says.
struct Booted {
    qemu: Child,
    console: BufReader<ChildStdout>,
    said: String,
}

impl Booted {
    fn new(words: &str) -> Self {
        let kernel = |name: &str| run(&format!("ls /boot/{name}-* | tail -1"));
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-accel", "tcg", "-m", "768"]);
        command.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        command.args(["-monitor", &format!("unix:{MONITOR},server,nowait")]);
        command.args(["-kernel", &kernel("vmlinuz"), "-initrd", &kernel("initrd.img")]);
        command.args(["-append", &format!("root=/dev/vda rw console=ttyS0 {words}")]);
        let system = format!("file={WORK}/system.img,format=raw,if=virtio,snapshot=on");
        command.args(["-drive", &system]);
        command.args(["-drive", &format!("file={DISK},format=raw,if=none,id=volume")]);
        command.args(["-device", "nvme,serial=vol0123456789abcdef0,drive=volume,id=ebs"]);
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

/// Takes the disk away while the system runs.
fn unplug() {
    let mut monitor = UnixStream::connect(MONITOR).unwrap();
    monitor.write_all(b"device_del ebs\n").unwrap();
    // It takes a command as carried out when it prompts for the next: once on connecting, and once after it.
    let (mut said, mut byte) = (Vec::new(), [0]);
    while String::from_utf8_lossy(&said).matches("(qemu) ").count() < 2 {
        monitor.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
}

#[test]
fn a_volume_goes_from_boot_to_boot_with_its_data() {
    let disk = fs::File::create(DISK).unwrap();
    disk.set_len(64 * MIB).unwrap();

    // Created blank: formatted and mounted before the workload starts. At the announced end the workload stops, the volume is
    // unmounted, and can be taken away.
    let mut first = Booted::new("volume=vol-0123456789abcdef0 blank act=drain");
    assert!(first.finds().starts_with("in "), "{}", first.said);
    first.until("WORKLOAD has stopped");
    first.until("ACT: drained");
    unplug();
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
