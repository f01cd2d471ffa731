//! This machine as the host of a local cloud's instances. An instance is a process tree with mounts of its own, in which the instance's
//! side runs as it does on EC2, or a system that boots; a volume attached to it is a disk over the volume's image, which shows the volume's id as an
//! NVMe disk of EBS does. Needs root, and makes nothing outside its own directory but loop devices.

mod booted;
mod disk;
mod guest;
mod processes;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use local_cloud::cloud::Cloud;
use local_cloud::world::{AttachmentState, InstanceState, Pace, Step, World};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::{Failure, binary};
use booted::Booted;
use guest::{Guest, Player};
use processes::Processes;

/// The host.
#[derive(Debug)]
pub struct Host {
    directory: PathBuf,
    made_of: MadeOf,
    guests: BTreeMap<String, Guest>,
    consoles: mpsc::UnboundedSender<Line>,
}

/// What instances are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MadeOf {
    /// Processes of this machine.
    Processes,
    /// A system that boots, of which this directory has the files (`root`) and their image (`system.img`). The host's own
    /// directory must be in it.
    System(PathBuf),
}

/// What an instance says on its console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The instance.
    pub instance: String,
    /// What it says.
    pub text: String,
    /// Whether that is part of the story, as most of what a boot says is not.
    pub told: bool,
}

/// An instance as the world has it: its state, and the data volumes that it has.
struct Shown {
    instance: String,
    state: InstanceState,
    volumes: BTreeSet<String>,
}

impl Host {
    /// A host that keeps everything in this directory, the images of a cloud's volumes included, and where its consoles are read.
    pub async fn start(
        directory: &Path,
        made_of: MadeOf,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Line>), Failure> {
        check(&made_of).await?;
        let (consoles, lines) = mpsc::unbounded_channel();
        let directory = directory.to_owned();
        Ok((Self { directory, made_of, guests: BTreeMap::new(), consoles }, lines))
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
                for (volume, mounted) in guest.mounts()? {
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
        let console = self.consoles.clone();
        let player = match &self.made_of {
            MadeOf::Processes => {
                let (directory, program) =
                    (self.directory.join(instance), binary("stateful-asg-instance")?);
                Player::Processes(Processes::boot(directory, &program, &metadata, console)?)
            }
            MadeOf::System(work) => {
                Player::Booted(Booted::boot(instance, work, &metadata, console)?)
            }
        };
        self.guests.insert(instance.to_owned(), Guest::new(instance, player));
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
async fn check(made_of: &MadeOf) -> Result<(), Failure> {
    let (wanted, tools, there) = match made_of {
        MadeOf::Processes => (
            "this takes Linux, root, and loop devices: it attaches image files as disks, formats and mounts them, and \
             gives each instance mounts of its own (sudo -E make demo-disk)",
            "losetup mknod umount mkfs.ext4 e2fsck resize2fs blkid wipefs",
            "losetup --find".to_owned(),
        ),
        MadeOf::System(work) => (
            "this takes Linux, root, and a Debian system with qemu in it, which it boots: sudo -E make demo-boot makes it",
            "chroot debugfs",
            format!("ls '{0}/system.img' '{0}/root/usr/bin/qemu-system-x86_64'", work.display()),
        ),
    };
    let tools = format!(
        "for tool in unshare mount dumpe2fs {tools}; do \
         command -v $tool >/dev/null || {{ echo $tool is missing: install util-linux and e2fsprogs >&2; exit 1; }}; done"
    );
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        return Err(format!("{wanted}. Here the user is not root").into());
    }
    for trial in [&tools, &there, "unshare --mount --pid --fork true"] {
        if let Err(problem) = shell(trial).await {
            return Err(format!("{wanted}. Here: {problem}").into());
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
