//! An instance as a Debian system that boots under qemu, in which the units of `infra/instance` do all the work. A volume is an NVMe disk over
//! its very image, and the metadata service is at its own address, on a network where there is nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command};
use std::time::Duration;

use instance_tests::{Recipe, System};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Line;
use crate::Failure;

/// Where the directory of the system and its image is, for qemu, which runs in that system's own files: they have qemu in them.
const HERE: &str = "/mnt";
/// It is the first process of a namespace, so that whatever it has started ends with it.
const QEMU: &str = r#"mount --bind "$1" "$1/root/mnt"; mount --rbind /dev "$1/root/dev"; mount -t proc proc "$1/root/proc"
root=$1/root; shift; exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" qemu-system-x86_64 "$@""#;
/// How often a system is asked whether it has let go of a disk.
const LOOK: Duration = Duration::from_millis(50);

/// An instance.
#[derive(Debug)]
pub(super) struct Booted {
    system: System,
    work: PathBuf,
    disks: BTreeMap<String, PathBuf>,
}

impl Booted {
    /// Boots an instance from the system in the directory `work`; what it says goes to `console`.
    pub(super) fn boot(
        instance: &str,
        work: &Path,
        metadata: &str,
        console: mpsc::UnboundedSender<Line>,
    ) -> Result<Self, Failure> {
        let mut qemu = Command::new("unshare");
        qemu.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
        qemu.args(["sh", "-ec", QEMU, "sh"]).arg(work);
        let service = metadata.trim_start_matches("http://");
        let network = format!(
            "user,id=network,ipv6=off,restrict=on,net=169.254.169.0/24,dhcpstart=169.254.169.15,\
             guestfwd=tcp:169.254.169.254:80-cmd:/usr/local/lib/tests/forward {service}"
        );
        let card = "virtio-net-pci,netdev=network,romfile=".to_owned();
        let recipe = Recipe {
            root: &work.join("root"),
            image: &format!("{HERE}/system.img"),
            words: &format!("systemd.hostname={instance} systemd.show_status=no quiet"),
            hardware: &["-netdev".to_owned(), network, "-device".to_owned(), card],
        };
        let (system, says) = System::boot(qemu, recipe)?;
        let instance = instance.to_owned();
        std::thread::spawn(move || read(&instance, says, &console));
        Ok(Self { system, work: work.to_owned(), disks: BTreeMap::new() })
    }

    /// Presses its power button.
    pub(super) fn press_power_button(&mut self) -> Result<(), Failure> {
        Ok(self.system.press_power_button()?)
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> Result<bool, Failure> {
        Ok(self.system.has_ended()?)
    }

    /// Gives it a disk. qemu holds a lock on the image for as long as it has it: no image is ever behind two disks.
    pub(super) fn plug(&mut self, volume: &str, image: &Path) -> Result<(), Failure> {
        let inside = Path::new(HERE).join(image.strip_prefix(&self.work)?);
        self.system.plug(volume, &inside.to_string_lossy())?;
        self.disks.insert(volume.to_owned(), image.to_owned());
        Ok(())
    }

    /// Takes a disk away, and waits until the system has let go of it, as one that is off has of all.
    pub(super) async fn unplug(&mut self, volume: &str) -> Result<(), Failure> {
        self.disks.remove(volume);
        if self.system.has_ended()? {
            return Ok(());
        }
        self.system.unplug(volume)?;
        while !self.system.has_ended()? && !self.system.has_unplugged(volume)? {
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// The volumes that it has mounted, by what is on them.
    pub(super) fn mounted(&self) -> Result<BTreeSet<String>, Failure> {
        let mut mounted = BTreeSet::new();
        for (volume, image) in &self.disks {
            if is_mounted(image)? {
                mounted.insert(volume.clone());
            }
        }
        Ok(mounted)
    }

    /// Ends it in the middle of whatever it does; what it had not written to its disks by then is lost.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        Ok(self.system.kill()?)
    }
}

/// Whether an ext4 filesystem is mounted: from then until it is unmounted its superblock says that its journal may be needed (Linux,
/// "ext4 Data Structures and Algorithms", Super Block: `s_magic`, and `INCOMPAT_RECOVER` in `s_feature_incompat`).
fn is_mounted(image: &Path) -> Result<bool, Failure> {
    const SUPERBLOCK: u64 = 1024;
    let image = File::open(image)?;
    let (mut magic, mut features) = ([0; 2], [0; 4]);
    image.read_exact_at(&mut magic, SUPERBLOCK + 0x38)?;
    image.read_exact_at(&mut features, SUPERBLOCK + 0x60)?;
    Ok(u16::from_le_bytes(magic) == 0xEF53 && u32::from_le_bytes(features) & 0x4 != 0)
}

/// Passes on what the console says, up to its end.
fn read(instance: &str, console: ChildStderr, lines: &mpsc::UnboundedSender<Line>) {
    let mut console = BufReader::new(console);
    let mut line = Vec::new();
    while console.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let told = told(&text);
        let text = told.unwrap_or(text.trim()).to_owned();
        // Nobody listens any more at the end.
        let _ = lines.send(Line { instance: instance.to_owned(), text, told: told.is_some() });
        line.clear();
    }
}

/// What of a line is part of the story: what the instance's side and the workload say, and how their units come and go.
fn told(line: &str) -> Option<&str> {
    let of_units = |from: &usize| {
        line[*from..].contains("stateful-asg-") || line[*from..].contains("workload.service")
    };
    let from = line.find("stateful-asg: ").or_else(|| line.find("workload: "));
    from.or_else(|| line.find("systemd[1]: ").filter(of_units)).map(|from| line[from..].trim())
}
