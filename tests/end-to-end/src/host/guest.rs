//! An instance: a process tree with mounts of its own, and the disks that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use local_cloud::world::InstanceState;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::disk::Disk;
use super::{Line, shell};
use crate::Failure;

/// What runs there: its first process, what of systemctl it needs, and what keeps data on the volume.
const BOOT: &str = include_str!("guest/boot");
const SYSTEMCTL: &str = include_str!("guest/systemctl");
const WORKLOAD: &str = include_str!("guest/workload");

/// `/etc/stateful-asg.json`, but for the directory.
const CONFIGURATION: &str = r#"{
  "volumes": { "data": { "path": "HERE/data", "filesystem": "ext4", "mode": "0700" } },
  "leave": { "units": ["workload.service"], "seconds": 20, "powerOff": true }
}"#;

/// An instance.
#[derive(Debug)]
pub(super) struct Guest {
    directory: PathBuf,
    power: Power,
    disks: BTreeMap<String, Plugged>,
}

#[derive(Debug)]
enum Power {
    On(Child),
    /// Its power button was pressed.
    Pressed(Child),
    Off,
}

#[derive(Debug)]
struct Plugged {
    disk: Disk,
    name: String,
    mounted: bool,
}

impl Guest {
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
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"])
            .arg(directory.join("bin/boot"))
            .args([directory.as_path(), program])
            .arg(metadata)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            tokio::spawn(read(directory.clone(), out, console.clone()));
            tokio::spawn(read(directory.clone(), err, console));
        }
        Ok(Self { directory, power: Power::On(child), disks: BTreeMap::new() })
    }

    /// Presses the power button of an instance that is to stop or to end.
    pub(super) fn obey(&mut self, state: InstanceState) -> Result<(), Failure> {
        use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
        match (state, std::mem::replace(&mut self.power, Power::Off)) {
            (Stopping | ShuttingDown, Power::On(child)) => {
                // Open for reading as well, so that nobody need read it.
                let button = self.directory.join("button");
                OpenOptions::new().read(true).write(true).open(button)?.write_all(b"press\n")?;
                self.power = Power::Pressed(child);
            }
            (Stopped | Terminated, Power::On(_) | Power::Pressed(_)) => {
                return Err(format!("{} ended before it was down", self.directory.display()).into());
            }
            (
                Pending | Running | Stopping | ShuttingDown | Stopped | Terminated,
                power @ (Power::On(_) | Power::Pressed(_) | Power::Off),
            ) => self.power = power,
        }
        Ok(())
    }

    /// Whether it has gone down since the last time. Its disks are still there.
    pub(super) fn has_gone_down(&mut self) -> Result<bool, Failure> {
        let down = match &mut self.power {
            Power::On(child) | Power::Pressed(child) => child.try_wait()?.is_some(),
            Power::Off => false,
        };
        if down {
            self.power = Power::Off;
        }
        Ok(down)
    }

    /// Takes away the disks of volumes that are not among these.
    pub(super) async fn keep(&mut self, volumes: &BTreeSet<String>) -> Result<(), Failure> {
        let off = matches!(self.power, Power::Off);
        let gone: Vec<String> =
            self.disks.keys().filter(|it| off || !volumes.contains(*it)).cloned().collect();
        for volume in gone {
            if let Some(plugged) = self.disks.remove(&volume) {
                fs::remove_dir_all(self.directory.join("sys/block").join(&plugged.name))?;
                fs::remove_file(self.directory.join("dev").join(&plugged.name))?;
                plugged.disk.detach().await?;
            }
        }
        Ok(())
    }

    /// Gives it a disk that it does not have, under the next name that is free, with the volume's id as its serial number.
    pub(super) async fn plug(&mut self, volume: &str, image: &Path) -> Result<(), Failure> {
        if matches!(self.power, Power::Off) || self.disks.contains_key(volume) {
            return Ok(());
        }
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
        self.disks.insert(volume.to_owned(), Plugged { disk, name, mounted: false });
        Ok(())
    }

    /// The volumes that it has.
    pub(super) fn volumes(&self) -> Vec<String> {
        self.disks.keys().cloned().collect()
    }

    /// Which volumes it has mounted or unmounted since the last time.
    pub(super) fn mounts(&mut self) -> Vec<(String, bool)> {
        let (Power::On(child) | Power::Pressed(child)) = &self.power else {
            return Vec::new();
        };
        // proc(5): the third field is the device's number. An instance that has just ended has nothing mounted.
        let table = child.id().map(|id| format!("/proc/{id}/mountinfo"));
        let table = table.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let mounted: BTreeSet<&str> =
            table.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        let mut changed = Vec::new();
        for (volume, plugged) in &mut self.disks {
            let now = mounted.contains(plugged.disk.number.as_str());
            if std::mem::replace(&mut plugged.mounted, now) != now {
                changed.push((volume.clone(), now));
            }
        }
        changed
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
        if let Power::On(child) | Power::Pressed(child) = &mut self.power {
            child.kill().await?;
        }
        self.power = Power::Off;
        Ok(())
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
        let _ = console.send(Line { instance: instance.to_string(), text });
    }
}
