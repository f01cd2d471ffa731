//! A Debian system that boots under qemu, without hardware acceleration: kernel, systemd and units are the real ones, and a volume is
//! an NVMe disk with the volume's id for a serial number, as EC2 shows it, given and taken away while the system runs.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A system, and qemu's monitor, through which its hardware is changed.
#[derive(Debug)]
pub struct System {
    qemu: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The disks that it has let go of since somebody asked.
    unplugged: BTreeSet<String>,
}

/// What is to be booted.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// The files that the image was made of, of which the kernel is one.
    pub root: &'a Path,
    /// The image, by the name that qemu has for it. It is never written to.
    pub image: &'a str,
    /// Words for the kernel's command line.
    pub words: &'a str,
    /// What hardware there is besides, as arguments of qemu.
    pub hardware: &'a [String],
}

impl System {
    /// Boots a system, and gives it with its console, on which is also what qemu has to complain of. `qemu` runs qemu in
    /// the directory `root` of the recipe, with the arguments that it is given here.
    pub fn boot(mut qemu: Command, recipe: Recipe<'_>) -> io::Result<(Self, ChildStderr)> {
        let Recipe { root, image, words, hardware } = recipe;
        qemu.args(["-accel", "tcg", "-m", "768"]);
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"]);
        qemu.args(["-qmp", "stdio", "-serial", "file:/dev/stderr"]);
        qemu.args([
            "-kernel",
            &newest(root, "vmlinuz-")?,
            "-initrd",
            &newest(root, "initrd.img-")?,
        ]);
        // What the units say is to be read as well.
        let journal = "systemd.journald.forward_to_console=1";
        qemu.args(["-append", &format!("root=/dev/vda rw console=ttyS0 {journal} {words}")]);
        qemu.args(["-drive", &format!("file={image},format=raw,if=virtio,snapshot=on")]);
        qemu.args(hardware);
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut qemu = qemu.spawn()?;
        let (Some(orders), Some(answers), Some(mut console)) =
            (qemu.stdin.take(), qemu.stdout.take(), qemu.stderr.take())
        else {
            return Err(io::Error::other("qemu has no monitor and no console"));
        };
        let mut system =
            Self { qemu, orders, answers: BufReader::new(answers), unplugged: BTreeSet::new() };
        if let Err(problem) = system.order(&json!({"execute": "qmp_capabilities"})) {
            system.kill()?;
            let mut said = String::new();
            console.read_to_string(&mut said)?;
            let said = said.trim();
            return Err(io::Error::other(format!("qemu does not start: {problem}: {said}")));
        }
        Ok((system, console))
    }

    /// Gives it the disk of a volume. Refused while anybody else has the image open.
    pub fn plug(&mut self, volume: &str, image: &str) -> io::Result<()> {
        let file = json!({"driver": "file", "filename": image});
        let drive = json!({"driver": "raw", "node-name": volume, "file": file});
        self.order(&json!({"execute": "blockdev-add", "arguments": drive}))?;
        let serial = volume.replace('-', "");
        let disk = json!({"driver": "nvme", "id": volume, "serial": serial, "drive": volume});
        self.order(&json!({"execute": "device_add", "arguments": disk})).map(drop)
    }

    /// Asks it to let go of a disk that it was given so.
    pub fn unplug(&mut self, volume: &str) -> io::Result<()> {
        self.order(&json!({"execute": "device_del", "arguments": {"id": volume}})).map(drop)
    }

    /// Whether it has let go of the disk. Then the image is nobody's any more.
    pub fn has_unplugged(&mut self, volume: &str) -> io::Result<bool> {
        // What qemu tells of its own accord comes before its answer.
        self.order(&json!({"execute": "query-status"}))?;
        if !self.unplugged.remove(volume) {
            return Ok(false);
        }
        self.order(&json!({"execute": "blockdev-del", "arguments": {"node-name": volume}}))?;
        Ok(true)
    }

    /// Presses its power button.
    pub fn press_power_button(&mut self) -> io::Result<()> {
        self.order(&json!({"execute": "system_powerdown"})).map(drop)
    }

    /// Whether it has ended, by itself or not.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.qemu.try_wait()?.is_some())
    }

    /// Waits for its end; whether that was a good one.
    pub fn wait(&mut self) -> io::Result<bool> {
        Ok(self.qemu.wait()?.success())
    }

    /// A power cut: what had not reached the disks is lost.
    pub fn kill(&mut self) -> io::Result<()> {
        self.qemu.kill()?;
        self.qemu.wait().map(drop)
    }

    /// Has qemu's monitor do this, and gives what it answers.
    fn order(&mut self, order: &Value) -> io::Result<Value> {
        writeln!(self.orders, "{order}")?;
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(io::Error::other(format!("qemu has ended before it answered {order}")));
            }
            let mut answer: Value = serde_json::from_str(&line)?;
            if let Some(answer) = answer.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(problem) = answer.get("error") {
                return Err(io::Error::other(format!("qemu refuses {order}: {problem}")));
            }
            // Anything else is its greeting, or an event.
            if let ("DEVICE_DELETED", Some(disk)) =
                (answer["event"].as_str().unwrap_or_default(), answer["data"]["device"].as_str())
            {
                self.unplugged.insert(disk.to_owned());
            }
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // It has ended by itself, or nobody needs it any more.
        let _ = self.kill();
    }
}

/// The last by name of the files in `/boot` that begin so.
fn newest(root: &Path, name: &str) -> io::Result<String> {
    let boot = root.join("boot");
    let mut files = Vec::new();
    for file in boot.read_dir()? {
        files.push(file?.file_name().to_string_lossy().into_owned());
    }
    let newest = files.into_iter().filter(|file| file.starts_with(name)).max();
    let newest = newest.map(|file| format!("/boot/{file}"));
    newest.ok_or_else(|| io::Error::other(format!("there is no {name}* in {}", boot.display())))
}
