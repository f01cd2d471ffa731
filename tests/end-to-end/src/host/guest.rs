//! An instance: whether its power is on, and which disks it has, whatever it is that plays it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use local_cloud::world::InstanceState;

use super::booted::Booted;
use super::processes::Processes;
use crate::Failure;

/// An instance.
#[derive(Debug)]
pub(super) struct Guest {
    instance: String,
    player: Player,
    power: Power,
    /// The volumes that it has, and whether it has them mounted.
    disks: BTreeMap<String, bool>,
}

/// What plays it.
#[derive(Debug)]
pub(super) enum Player {
    Processes(Processes),
    Booted(Booted),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// Its power button was pressed.
    Pressed,
    Off,
}

impl Guest {
    /// An instance that has just been switched on.
    pub(super) fn new(instance: &str, player: Player) -> Self {
        let instance = instance.to_owned();
        Self { instance, player, power: Power::On, disks: BTreeMap::new() }
    }

    /// Presses the power button of an instance that is to stop or to end.
    pub(super) fn obey(&mut self, state: InstanceState) -> Result<(), Failure> {
        use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
        match (state, self.power) {
            (Stopping | ShuttingDown, Power::On) => {
                self.player.press_power_button()?;
                self.power = Power::Pressed;
                Ok(())
            }
            (Stopped | Terminated, Power::On | Power::Pressed) => {
                Err(format!("{} ended before it was down", self.instance).into())
            }
            (
                Pending | Running | Stopping | ShuttingDown | Stopped | Terminated,
                Power::On | Power::Pressed | Power::Off,
            ) => Ok(()),
        }
    }

    /// Whether it has gone down since the last time. Its disks are still there.
    pub(super) fn has_gone_down(&mut self) -> Result<bool, Failure> {
        let down = self.power != Power::Off && self.player.has_ended()?;
        if down {
            self.power = Power::Off;
        }
        Ok(down)
    }

    /// Takes away the disks of volumes that are not among these.
    pub(super) async fn keep(&mut self, volumes: &BTreeSet<String>) -> Result<(), Failure> {
        let off = self.power == Power::Off;
        let gone = |volume: &&String| off || !volumes.contains(*volume);
        let gone: Vec<String> = self.disks.keys().filter(gone).cloned().collect();
        for volume in gone {
            self.player.unplug(&volume).await?;
            self.disks.remove(&volume);
        }
        Ok(())
    }

    /// Gives it a disk that it does not have.
    pub(super) async fn plug(&mut self, volume: &str, image: &Path) -> Result<(), Failure> {
        if self.power == Power::Off || self.disks.contains_key(volume) {
            return Ok(());
        }
        self.player.plug(volume, image).await?;
        self.disks.insert(volume.to_owned(), false);
        Ok(())
    }

    /// The volumes that it has.
    pub(super) fn volumes(&self) -> Vec<String> {
        self.disks.keys().cloned().collect()
    }

    /// Which volumes it has mounted or unmounted since the last time.
    pub(super) fn mounts(&mut self) -> Result<Vec<(String, bool)>, Failure> {
        let mut changed = Vec::new();
        if self.power == Power::Off {
            return Ok(changed);
        }
        let mounted = self.player.mounted()?;
        for (volume, before) in &mut self.disks {
            let now = mounted.contains(volume);
            if std::mem::replace(before, now) != now {
                changed.push((volume.clone(), now));
            }
        }
        Ok(changed)
    }

    /// Ends it in the middle of whatever it does, and leaves on its disks what had reached them.
    pub(super) async fn cut(&mut self) -> Result<(), Failure> {
        match &mut self.player {
            Player::Processes(processes) => processes.cut().await?,
            Player::Booted(system) => system.end()?,
        }
        self.power = Power::Off;
        Ok(())
    }

    /// Ends it, however it is.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.power, Power::Off) == Power::Off {
            return Ok(());
        }
        match &mut self.player {
            Player::Processes(processes) => processes.end().await,
            Player::Booted(system) => system.end(),
        }
    }
}

impl Player {
    fn press_power_button(&mut self) -> Result<(), Failure> {
        match self {
            Self::Processes(processes) => processes.press_power_button(),
            Self::Booted(system) => system.press_power_button(),
        }
    }

    fn has_ended(&mut self) -> Result<bool, Failure> {
        match self {
            Self::Processes(processes) => processes.has_ended(),
            Self::Booted(system) => system.has_ended(),
        }
    }

    async fn plug(&mut self, volume: &str, image: &Path) -> Result<(), Failure> {
        match self {
            Self::Processes(processes) => processes.plug(volume, image).await,
            Self::Booted(system) => system.plug(volume, image),
        }
    }

    async fn unplug(&mut self, volume: &str) -> Result<(), Failure> {
        match self {
            Self::Processes(processes) => processes.unplug(volume).await,
            Self::Booted(system) => system.unplug(volume).await,
        }
    }

    fn mounted(&self) -> Result<BTreeSet<String>, Failure> {
        match self {
            Self::Processes(processes) => Ok(processes.mounted()),
            Self::Booted(system) => system.mounted(),
        }
    }
}
