//! Waits for the volumes of this instance's slot, and mounts them. All of them are looked at before one is changed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::arguments::Machine;
use crate::config::{Config, Filesystem, Volume};
use crate::disks::{self, Amiss, Disk, Known};
use crate::environment::{self, Mounted};
use crate::filesystem::{self, Problem};
use crate::identity::{Identity, Permission, Slot};
use crate::judge::{Verdict, judge};
use crate::metadata::{Metadata, NoAnswer};
use crate::probe::{self, Unclear};

/// How often it looks while it waits, and how often it says so.
const LOOK: Duration = Duration::from_secs(1);
const SAY: Duration = Duration::from_secs(30);

/// Why the workload must not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("volume {volume} ({name}) is not mounted, and nothing was changed on it: {problem}")]
    Refused { name: String, volume: String, problem: String },
    #[error("volume {volume} ({name}) is not mounted, and nothing was changed on it: {problem}")]
    Unclear { name: String, volume: String, problem: Unclear },
    #[error("volume {volume} ({name}) is not mounted: {problem}")]
    Failed { name: String, volume: String, problem: Problem },
    #[error(transparent)]
    Disks(#[from] Amiss),
    #[error("{path} is the mount point of device {number}, which is not the volume of this slot")]
    Occupied { path: PathBuf, number: String },
    #[error("the instance is to be terminated: nothing is mounted any more")]
    Terminating,
    #[error(
        "instance tags are off in the metadata (InstanceMetadataTags), so the volumes can only be found by EBS's device names: give volume {0} a \"device\" in the configuration, or allow the tags"
    )]
    NoDevice(String),
    #[error("the environment for units can't be written: {0}")]
    Environment(#[source] std::io::Error),
}

/// A volume of this instance, and the disk that it is.
struct Own<'a> {
    name: &'a str,
    wanted: &'a Volume,
    disk: Disk,
    known: Known,
    permission: Permission,
}

/// What one look found.
enum Look<'a> {
    /// All of it.
    Whole { zone: String, slot: Option<Slot>, volumes: Vec<Own<'a>> },
    /// Not all of it yet, for this reason.
    Not(String),
}

pub(crate) fn run(config: &Config, metadata: &Metadata, machine: &Machine) -> Result<(), Stopped> {
    let (zone, slot, volumes) = wait(config, metadata, machine)?;
    let mut planned = Vec::new();
    for own in &volumes {
        match filesystem::mounted(&own.wanted.path).map_err(|problem| own.failed(problem))? {
            Some(number) if number == own.disk.number => {}
            Some(number) => {
                return Err(Stopped::Occupied { path: own.wanted.path.clone(), number });
            }
            None => planned.push((own, own.verdict()?)),
        }
    }
    for (own, verdict) in planned {
        own.carry_out(verdict, machine)?;
    }
    let mounted: Vec<Mounted<'_>> = volumes
        .iter()
        .map(|own| Mounted { name: own.name, volume: own.known.text(), path: &own.wanted.path })
        .collect();
    environment::write(&machine.run, &zone, slot.as_ref(), &mounted).map_err(Stopped::Environment)
}

type Found<'a> = (String, Option<Slot>, Vec<Own<'a>>);

/// Waits until every volume is there. Without an end of its own: the control plane may be waiting for the old instance to
/// let go, and it is for the lifecycle hook to say how long.
fn wait<'a>(
    config: &'a Config,
    metadata: &Metadata,
    machine: &Machine,
) -> Result<Found<'a>, Stopped> {
    let mut said: Option<(String, Instant)> = None;
    loop {
        let missing = match look(config, metadata, machine)? {
            Look::Whole { zone, slot, volumes } => return Ok((zone, slot, volumes)),
            Look::Not(missing) => missing,
        };
        if said.as_ref().is_none_or(|(text, at)| *text != missing || at.elapsed() >= SAY) {
            eprintln!("stateful-asg: waiting: {missing}");
            said = Some((missing, Instant::now()));
        }
        std::thread::sleep(LOOK);
    }
}

fn look<'a>(
    config: &'a Config,
    metadata: &Metadata,
    machine: &Machine,
) -> Result<Look<'a>, Stopped> {
    let asked = || -> Result<_, NoAnswer> {
        let target = metadata.get("autoscaling/target-lifecycle-state")?;
        let zone = metadata.get("placement/availability-zone")?.unwrap_or_default();
        Ok((target, zone, Identity::ask(metadata)?))
    };
    let (target, zone, identity) = match asked() {
        Ok(answers) => answers,
        Err(silent) => return Ok(Look::Not(silent.to_string())),
    };
    if target.as_deref().map(str::trim) == Some("Terminated") {
        return Err(Stopped::Terminating);
    }
    let slot = match identity {
        Identity::TagsOff => None,
        Identity::Nobody => {
            return Ok(Look::Not(
                "the control plane has not given this instance a slot yet".into(),
            ));
        }
        Identity::Slot(slot) => Some(slot),
    };
    let mut volumes = Vec::new();
    for (name, wanted) in config.in_order() {
        let assigned = slot.as_ref().map(|slot| slot.volumes.get(name).ok_or(&slot.id));
        let (known, permission) = match (assigned, &wanted.device) {
            (Some(Ok(volume)), _) => (Known::Serial(volume.id.clone()), volume.permission),
            (Some(Err(slot)), _) => {
                let untold = format!("slot {slot} has no volume {name} by the instance's tags");
                return Ok(Look::Not(untold));
            }
            (None, Some(device)) => (Known::Device(device.clone()), Permission::None),
            (None, None) => return Err(Stopped::NoDevice(name.to_owned())),
        };
        let text = known.text().to_owned();
        let Some((disk, known)) = disk(machine, wanted, known)? else {
            return Ok(Look::Not(format!("volume {text} ({name}) is not attached yet")));
        };
        volumes.push(Own { name, wanted, disk, known, permission });
    }
    Ok(Look::Whole { zone, slot, volumes })
}

/// The volume's disk. Xen shows no serial numbers: there the device name must do, where the configuration gives it, and
/// there is no NVMe disk at all.
fn disk(machine: &Machine, wanted: &Volume, known: Known) -> Result<Option<(Disk, Known)>, Amiss> {
    if let Some(disk) = disks::find(machine, &known)? {
        return Ok(Some((disk, known)));
    }
    match (&known, &wanted.device) {
        (Known::Serial(_), Some(device)) if disks::without_nvme(machine)? => {
            let known = Known::Device(device.clone());
            Ok(disks::find(machine, &known)?.map(|disk| (disk, known)))
        }
        _ => Ok(None),
    }
}

impl Own<'_> {
    fn verdict(&self) -> Result<Verdict, Stopped> {
        let (name, volume) = (self.name.to_owned(), self.known.text().to_owned());
        let content = match probe::look(&self.disk.node) {
            Ok(content) => content,
            Err(problem) => return Err(Stopped::Unclear { name, volume, problem }),
        };
        match judge(&self.known, &content, self.permission) {
            Verdict::Refuse(problem) => Err(Stopped::Refused { name, volume, problem }),
            verdict @ (Verdict::Format | Verdict::Mount { .. }) => Ok(verdict),
        }
    }

    fn carry_out(&self, verdict: Verdict, machine: &Machine) -> Result<(), Stopped> {
        let Self { name, wanted, disk, .. } = self;
        let (node, path, volume) = (disk.node.display(), wanted.path.display(), self.known.text());
        disks::confirm(machine, disk)?;
        let kind = match verdict {
            Verdict::Format => {
                let kind = wanted.filesystem;
                eprintln!(
                    "stateful-asg: volume {volume} ({name}) was created blank, reads blank, and may be formatted: mkfs.{} {node}",
                    kind.name()
                );
                filesystem::format(kind, &disk.node).map_err(|it| self.failed(it.into()))?;
                kind
            }
            Verdict::Mount { kind, uuid } => {
                eprintln!(
                    "stateful-asg: volume {volume} ({name}) is {node}: {} {uuid}",
                    kind.name()
                );
                filesystem::check(kind, &disk.node, &wanted.path).map_err(|it| self.failed(it))?;
                kind
            }
            Verdict::Refuse(problem) => {
                let (name, volume) = ((*name).to_owned(), volume.to_owned());
                return Err(Stopped::Refused { name, volume, problem });
            }
        };
        disks::confirm(machine, disk)?;
        filesystem::mount(kind, disk, wanted).map_err(|it| self.failed(it))?;
        eprintln!("stateful-asg: volume {volume} ({name}) is mounted at {path}");
        self.grow(kind);
        filesystem::furnish(wanted).map_err(|it| self.failed(it))
    }

    /// What failed to grow can be used all the same.
    fn grow(&self, kind: Filesystem) {
        if let Err(problem) = filesystem::grow(kind, &self.disk, &self.wanted.path) {
            eprintln!("stateful-asg: volume {} was not grown: {problem}", self.known.text());
        }
    }

    fn failed(&self, problem: Problem) -> Stopped {
        let (name, volume) = (self.name.to_owned(), self.known.text().to_owned());
        Stopped::Failed { name, volume, problem }
    }
}
