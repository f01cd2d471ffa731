//! A machine: its sysfs, its device nodes, its configuration, and the disks attached to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Disk, Metadata, PROGRAM, output, run};

/// A machine with one configured volume, `data`, and the metadata service that tells it who it is.
#[derive(Debug)]
pub struct Machine {
    /// Where everything of it is.
    pub root: PathBuf,
    /// Its metadata service.
    pub metadata: Metadata,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it succeeded.
    pub success: bool,
    /// What it said.
    pub said: String,
}

/// Where a machine's own programs are.
const PATH: &str = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

static MACHINES: AtomicU32 = AtomicU32::new(0);

impl Machine {
    /// A machine without disks.
    pub fn new(configuration: &str) -> Self {
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/tmp/machine-{}-{number}", std::process::id()));
        for directory in ["sys/block", "dev", "run", "bin"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let configuration = configuration.replace("ROOT", &root.to_string_lossy());
        fs::write(root.join("config.json"), configuration).unwrap();
        Self { root, metadata: Metadata::start() }
    }

    /// A machine that mounts its volume `data` at `data`, formatted so where it is blank.
    pub fn with_data(filesystem: &str) -> Self {
        Self::new(&format!(
            r#"{{"volumes":{{"data":{{"path":"ROOT/data","filesystem":"{filesystem}"}}}}}}"#
        ))
    }

    /// A blank disk of this machine, not attached yet.
    pub fn disk(&self, name: &str, mib: u64) -> Disk {
        Disk::blank(&self.root, name, mib)
    }

    /// Attaches a disk as the kernel shows an EBS volume: with its id, without the hyphen, as the serial number.
    pub fn attach(&self, disk: &Disk, name: &str, volume: &str) {
        let entry = self.root.join("sys/block").join(name);
        fs::create_dir_all(entry.join("device")).unwrap();
        // The kernel pads it with blanks.
        let serial = format!("{}  \n", volume.replace('-', ""));
        self.node(disk, name);
        fs::write(entry.join("dev"), disk.number()).unwrap();
        fs::write(entry.join("device/serial"), serial).unwrap();
    }

    /// Attaches a disk as Xen does: by a name, without a serial number.
    pub fn attach_xen(&self, disk: &Disk, name: &str) {
        let entry = self.root.join("sys/block").join(name);
        fs::create_dir_all(&entry).unwrap();
        self.node(disk, name);
        fs::write(entry.join("dev"), disk.number()).unwrap();
    }

    /// Makes a disk's node.
    pub fn node(&self, disk: &Disk, name: &str) {
        let number = disk.number().replace(':', " ");
        let node = self.root.join("dev").join(name);
        run(&format!("rm -f {0}; mknod {0} b {number}", node.display()));
    }

    /// Puts a stand-in for another program before everything else that the machine has: a shell script, which finds its own
    /// directory in `$HERE`.
    pub fn stand_in(&self, name: &str, script: &str) {
        let file = self.root.join("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\nHERE={}\n{script}\n", self.root.display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a task of the program to its end.
    pub fn run(&self, task: &str) -> Outcome {
        let output = self.command(task).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Outcome { success: output.status.success(), said }
    }

    /// Runs `drain` to its end, which has been announced: so it has to come with the first look.
    #[track_caller]
    pub fn drain(&self) -> Outcome {
        let (mut child, said) = self.start("drain");
        let ended = self.metadata.ends_before_asking(&mut child, "spot/instance-action", 2);
        if !ended {
            child.kill().unwrap();
        }
        let success = child.wait().unwrap().success();
        let said = std::io::read_to_string(said).unwrap();
        assert!(
            ended,
            "drain has looked twice and still waits, though the end was announced: {said:?}"
        );
        Outcome { success, said }
    }

    /// Starts a task of the program, and gives it with what it says.
    pub fn start(&self, task: &str) -> (Child, ChildStderr) {
        let mut child = self.command(task).stderr(Stdio::piped()).spawn().unwrap();
        let said = child.stderr.take().unwrap();
        (child, said)
    }

    /// Starts a task of the program, and gives it with what it has said up to the first line with this text.
    pub fn start_until(&self, task: &str, text: &str) -> (Child, String) {
        let (child, stderr) = self.start(task);
        let mut said = String::new();
        let mut reader = BufReader::new(stderr);
        while !said.contains(text) {
            assert!(reader.read_line(&mut said).unwrap() > 0, "it never said {text:?}: {said}");
        }
        // It goes on talking to nobody.
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        (child, said)
    }

    /// The path of the volume `data`.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What is mounted at `data`: its filesystem and size in MiB.
    pub fn mounted(&self) -> Option<(String, u64)> {
        let line =
            format!("findmnt --noheadings --output FSTYPE --mountpoint {}", self.data().display());
        let (mounted, kind) = output(&line);
        let blocks = || run(&format!("df --output=size -BM {} | tail -1", self.data().display()));
        mounted.then(|| (kind, blocks().trim().trim_end_matches('M').parse().unwrap()))
    }

    fn command(&self, task: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(task).args(["--metadata", &self.metadata.address]);
        command.env("PATH", format!("{}:{PATH}", self.root.join("bin").display()));
        for (option, directory) in
            [("--config", "config.json"), ("--sys", "sys"), ("--dev", "dev"), ("--run", "run")]
        {
            command.arg(option).arg(self.root.join(directory));
        }
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let root = self.root.display();
        output(&format!("umount --recursive {root}/data; umount {root}/log; true"));
    }
}
