//! This machine as the host of a local cloud's instances. An instance is a process tree with mounts of its own, in which the instance's
//! side runs as it does on EC2; a volume attached to it is a loop device over the volume's image, which shows the volume's id as an
//! NVMe disk of EBS does. Needs root, and makes nothing outside its own directory but loop devices.

mod disk;
mod guest;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use local_cloud::cloud::Cloud;
use local_cloud::world::{AttachmentState, InstanceState, Pace, Step, World};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::{Failure, binary};
use guest::Guest;

/// The host.
#[derive(Debug)]
pub struct Host {
    directory: PathBuf,
    program: PathBuf,
    guests: BTreeMap<String, Guest>,
    consoles: mpsc::UnboundedSender<Line>,
}

/// What an instance says on its console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The instance.
    pub instance: String,
    /// What it says.
    pub text: String,
}

/// An instance as the world has it: its state, and the data volumes that it has.
struct Shown {
    instance: String,
    state: InstanceState,
    volumes: BTreeSet<String>,
}

impl Host {
    /// A host that keeps everything in this directory, the images of a cloud's volumes included, and where its consoles are read.
    pub async fn start(directory: &Path) -> Result<(Self, mpsc::UnboundedReceiver<Line>), Failure> {
        check().await?;
        let (consoles, lines) = mpsc::unbounded_channel();
        let program = binary("stateful-asg-instance")?;
        let directory = directory.to_owned();
        Ok((Self { directory, program, guests: BTreeMap::new(), consoles }, lines))
    }

    /// Where the image of a volume is.
    pub fn image(&self, volume: &str) -> PathBuf {
        self.images().join(format!("{volume}.img"))
    }

    /// Where all of them are.
    pub fn images(&self) -> PathBuf {
        self.directory.join("images")
    }

    /// Does what the world has decided since the last time, and tells it what has become of its instances: boots, presses power
    /// buttons, takes disks away, and then gives them.
    pub async fn follow(&mut self, cloud: &Cloud) -> Result<(), Failure> {
        let shown = cloud.inspect(shown);
        for it in &shown {
            if it.state == InstanceState::Running && !self.guests.contains_key(&it.instance) {
                self.boot(cloud, &it.instance).await?;
            }
        }
        for it in &shown {
            if let Some(guest) = self.guests.get_mut(&it.instance) {
                guest.obey(it.state)?;
                if guest.has_gone_down()? {
                    cloud.with_world(|world| went_down(world, it));
                }
                guest.keep(&it.volumes).await?;
            }
        }
        for it in &shown {
            let images = self.images();
            if let Some(guest) = self.guests.get_mut(&it.instance) {
                for volume in &it.volumes {
                    guest.plug(volume, &images.join(format!("{volume}.img"))).await?;
                }
                for (volume, mounted) in guest.mounts() {
                    let told = if mounted { World::mount } else { World::unmount };
                    cloud.with_world(|world| told(world, &volume));
                }
            }
        }
        Ok(())
    }

    /// The power of an instance fails: it ends in the middle of whatever it does, and on its disks is what had reached them.
    pub async fn cut(&mut self, cloud: &Cloud, instance: &str) -> Result<(), Failure> {
        let guest = self.guests.get_mut(instance).ok_or("there is no such instance")?;
        guest.cut().await?;
        for volume in guest.volumes() {
            cloud.with_world(|world| world.unmount(&volume));
        }
        cloud.with_world(|world| release(world, instance));
        Ok(())
    }

    /// Ends all instances, however they are.
    pub async fn shutdown(self) -> Result<(), Failure> {
        for (_, mut guest) in self.guests {
            guest.end().await?;
        }
        Ok(())
    }

    async fn boot(&mut self, cloud: &Cloud, instance: &str) -> Result<(), Failure> {
        let metadata = cloud.serve_metadata(instance).await?;
        let directory = self.directory.join(instance);
        let console = self.consoles.clone();
        let guest = Guest::boot(directory, &self.program, &metadata, console)?;
        self.guests.insert(instance.to_owned(), guest);
        // Neither ends before its operating system does.
        cloud.with_world(|world| {
            world.set_pace(instance, Step::Stop, Pace::NeverEnds);
            world.set_pace(instance, Step::Terminate, Pace::NeverEnds);
        });
        Ok(())
    }
}

/// What is to be seen of the world's instances.
fn shown(world: &World) -> Vec<Shown> {
    let there = |state| state != AttachmentState::Attaching;
    let shown = world.instances().map(|instance| {
        let attached = world.attachments_of(&instance.id).into_iter();
        let data = attached.filter(|it| it.device != instance.root_device && there(it.state));
        Shown {
            instance: instance.id.clone(),
            state: instance.state,
            volumes: data.map(|it| it.volume.clone()).collect(),
        }
    });
    shown.collect()
}

/// An operating system is down: by its own doing, where the world has not asked for it.
fn went_down(world: &mut World, shown: &Shown) {
    if shown.state == InstanceState::Running {
        // Refused where it is not running any more: then it has been asked to.
        let _ = world.stop_instances(std::slice::from_ref(&shown.instance));
    }
    release(world, &shown.instance);
}

/// What the operating system held up goes on.
fn release(world: &mut World, instance: &str) {
    world.reset_pace(instance, Step::Stop);
    world.reset_pace(instance, Step::Terminate);
}

/// Whether this machine can be a host at all.
async fn check() -> Result<(), Failure> {
    const WANTED: &str = "this takes Linux, root, and loop devices: it attaches image files as disks, formats and mounts them, and \
                          gives each instance mounts of its own (sudo -E make demo-disk)";
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        return Err(format!("{WANTED}. Here the user is not root").into());
    }
    let tools = "for tool in losetup unshare mknod mount umount mkfs.ext4 e2fsck resize2fs dumpe2fs blkid wipefs; do \
                 command -v $tool >/dev/null || { echo $tool is missing: install util-linux and e2fsprogs >&2; exit 1; }; done";
    for trial in [tools, "losetup --find", "unshare --mount --pid --fork true"] {
        if let Err(problem) = shell(trial).await {
            return Err(format!("{WANTED}. Here: {problem}").into());
        }
    }
    Ok(())
}

/// Runs a line of shell that must succeed, and gives what it printed.
pub async fn shell(line: &str) -> Result<String, Failure> {
    let output = Command::new("sh").args(["-ec", line]).kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{line}: {}, {}", output.status, said.trim()).into())
}
