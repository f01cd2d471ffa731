//! An instance as a process tree of this machine with mounts of its own, and disks that are loop devices.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::disk::Disk;
use super::{Line, shell};
use crate::Failure;

/// What runs there: its first process, what of systemctl it needs, and what keeps data on the volume.
const BOOT: &str = include_str!("processes/boot");
const SYSTEMCTL: &str = include_str!("processes/systemctl");
const WORKLOAD: &str = include_str!("processes/workload");

/// `/etc/stateful-asg.json`, but for the directory.
const CONFIGURATION: &str = r#"{
  "volumes": { "data": { "path": "HERE/data", "filesystem": "ext4", "mode": "0700" } },
  "leave": { "units": ["workload.service"], "seconds": 20, "powerOff": true }
}"#;

/// An instance.
#[derive(Debug)]
pub(super) struct Processes {
    directory: PathBuf,
    first: Child,
    disks: BTreeMap<String, Plugged>,
}

#[derive(Debug)]
struct Plugged {
    disk: Disk,
    name: String,
}

impl Processes {
    /// Boots an instance; what it says goes to `console`.
    pub(super) fn boot(
        directory: PathBuf,
        program: &Path,
        metadata: &str,
        console: mpsc::UnboundedSender<Line>,
    ) -> Result<Self, Failure> {
        for part in ["bin", "sys/block", "dev", "run"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let here = directory.to_string_lossy();
        fs::write(directory.join("config.json"), CONFIGURATION.replace("HERE", &here))?;
        for (name, script) in [("boot", BOOT), ("systemctl", SYSTEMCTL), ("workload", WORKLOAD)] {
            let file = directory.join("bin").join(name);
            fs::write(&file, script)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        let button = std::process::Command::new("mkfifo").arg(directory.join("button")).status()?;
        if !button.success() {
            return Err(format!("mkfifo {here}/button: {button}").into());
        }
        let mut first = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"])
            .arg(directory.join("bin/boot"))
            .args([directory.as_path(), program])
            .arg(metadata)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let (Some(out), Some(err)) = (first.stdout.take(), first.stderr.take()) {
            tokio::spawn(read(directory.clone(), out, console.clone()));
            tokio::spawn(read(directory.clone(), err, console));
        }
        Ok(Self { directory, first, disks: BTreeMap::new() })
    }

    /// Presses its power button.
    pub(super) fn press_power_button(&self) -> Result<(), Failure> {
        // Open for reading as well, so that nobody need read it.
        let button = self.directory.join("button");
        OpenOptions::new().read(true).write(true).open(button)?.write_all(b"press\n")?;
        Ok(())
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> Result<bool, Failure> {
        Ok(self.first.try_wait()?.is_some())
    }

    /// Gives it a disk under the next name that is free, with the volume's id as its serial number.
    pub(super) async fn plug(&mut self, volume: &str, image: &Path) -> Result<(), Failure> {
        let disk = Disk::attach(image).await?;
        let taken = |name: &String| self.disks.values().any(|it| it.name == *name);
        let mut names = (1..).map(|number| format!("nvme{number}n1"));
        let name = names.find(|name| !taken(name)).ok_or("there is no name left for a disk")?;
        let node = self.directory.join("dev").join(&name);
        let number = disk.number.replace(':', " ");
        shell(&format!("mknod {} b {number}", node.display())).await?;
        // The entry last: what sysfs shows is there.
        let entry = self.directory.join("sys/block").join(&name);
        let new = self.directory.join("sys").join(&name);
        fs::create_dir_all(new.join("device"))?;
        fs::write(new.join("dev"), format!("{}\n", disk.number))?;
        fs::write(new.join("device/serial"), format!("{}\n", volume.replace('-', "")))?;
        fs::rename(new, entry)?;
        self.disks.insert(volume.to_owned(), Plugged { disk, name });
        Ok(())
    }

    /// Takes a disk away.
    pub(super) async fn unplug(&mut self, volume: &str) -> Result<(), Failure> {
        if let Some(plugged) = self.disks.remove(volume) {
            fs::remove_dir_all(self.directory.join("sys/block").join(&plugged.name))?;
            fs::remove_file(self.directory.join("dev").join(&plugged.name))?;
            plugged.disk.detach().await?;
        }
        Ok(())
    }

    /// The volumes that it has mounted.
    pub(super) fn mounted(&self) -> BTreeSet<String> {
        // proc(5): the third field is the device's number. An instance that has just ended has nothing mounted.
        let table = self.first.id().map(|id| format!("/proc/{id}/mountinfo"));
        let table = table.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let mounted: BTreeSet<&str> =
            table.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        let disks = self.disks.iter();
        let of_ours = disks.filter(|(_, plugged)| mounted.contains(plugged.disk.number.as_str()));
        of_ours.map(|(volume, _)| volume.clone()).collect()
    }

    /// Ends it in the middle of whatever it does, and leaves on its disks what had reached them.
    pub(super) async fn cut(&mut self) -> Result<(), Failure> {
        let mut frozen = Vec::new();
        for plugged in self.disks.values() {
            frozen.push(plugged.disk.freeze().await?);
        }
        self.end().await?;
        for disk in frozen {
            disk.settle()?;
        }
        Ok(())
    }

    /// Ends it, however it is.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        Ok(self.first.kill().await?)
    }
}

/// Passes on what is said, with paths as the instance would have them.
async fn read(
    directory: PathBuf,
    from: impl AsyncRead + Unpin,
    console: mpsc::UnboundedSender<Line>,
) {
    let instance = directory.file_name().unwrap_or_default().to_string_lossy();
    let root = directory.to_string_lossy();
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let text = text.replace(&*root, "");
        // Nobody listens any more at the end.
        let _ = console.send(Line { instance: instance.to_string(), text, told: true });
    }
}
