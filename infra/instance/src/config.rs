//! `/etc/stateful-asg.json`: what belongs to this machine. Which volumes are its own is not in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The configuration. A field that it does not know is refused: a typo must not pass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// The volumes, by their names in the slot.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// How the instance lets go of them.
    #[serde(default)]
    pub(crate) leave: Leave,
}

/// What is made of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Volume {
    /// Where it is mounted.
    pub(crate) path: PathBuf,
    /// What a blank one is formatted with.
    #[serde(default)]
    pub(crate) filesystem: Filesystem,
    /// Mount options.
    #[serde(default = "default_options")]
    pub(crate) options: String,
    /// Whose the directory is, as `chown` takes it.
    #[serde(default)]
    pub(crate) owner: Option<String>,
    /// The directory's mode, as `chmod` takes it.
    #[serde(default)]
    pub(crate) mode: Option<String>,
    /// Directories to have in it, with the same owner and mode.
    #[serde(default)]
    pub(crate) directories: Vec<PathBuf>,
    /// The device name that EBS knows it by, as in `/dev/sdf`: needed only where instance tags are off in the metadata, and on
    /// instances without NVMe. What is found by it is never formatted.
    #[serde(default)]
    pub(crate) device: Option<String>,
}

/// The filesystems that this mounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Filesystem {
    #[default]
    Ext4,
    Xfs,
}

/// How the instance lets go of its volumes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Leave {
    /// Units to stop.
    pub(crate) units: Vec<String>,
    /// Whether to stop every running Docker container.
    pub(crate) containers: bool,
    /// How long all that may take before the workload is killed.
    pub(crate) seconds: u64,
    /// Whether to power off in the end: how the control plane sees it, in leave mode `guest`.
    pub(crate) power_off: bool,
    /// Whether a rebalance recommendation counts as the end: it is a hint, and may come without one.
    pub(crate) on_rebalance: bool,
}

impl Default for Leave {
    fn default() -> Self {
        Self {
            units: Vec::new(),
            containers: false,
            seconds: 100,
            power_off: false,
            on_rebalance: false,
        }
    }
}

fn default_options() -> String {
    "noatime,nodev,nosuid".to_owned()
}

impl Filesystem {
    /// As mount, mkfs and blkid call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0} can't be read: {1}")]
    Unreadable(PathBuf, #[source] std::io::Error),
    #[error("{0} is no configuration of stateful-asg: {1}")]
    Malformed(PathBuf, #[source] serde_json::Error),
    #[error("{0} names no volume")]
    Empty(PathBuf),
    #[error("{0}: {1} must be an absolute path below the root, without ..")]
    Path(PathBuf, PathBuf),
    #[error("{0}: two volumes have the path {1}")]
    Twice(PathBuf, PathBuf),
}

impl Config {
    pub(crate) fn read(file: &Path) -> Result<Self, Unusable> {
        let text = fs::read(file).map_err(|error| Unusable::Unreadable(file.to_owned(), error))?;
        let config: Self = serde_json::from_slice(&text)
            .map_err(|error| Unusable::Malformed(file.to_owned(), error))?;
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &Path) -> Result<(), Unusable> {
        if self.volumes.is_empty() {
            return Err(Unusable::Empty(file.to_owned()));
        }
        let mut seen = Vec::new();
        for volume in self.volumes.values() {
            if !volume.path.is_absolute() || volume.path.parent().is_none() || climbs(&volume.path)
            {
                return Err(Unusable::Path(file.to_owned(), volume.path.clone()));
            }
            for directory in &volume.directories {
                if directory.is_absolute() || climbs(directory) {
                    return Err(Unusable::Path(file.to_owned(), directory.clone()));
                }
            }
            if seen.contains(&&volume.path) {
                return Err(Unusable::Twice(file.to_owned(), volume.path.clone()));
            }
            seen.push(&volume.path);
        }
        Ok(())
    }

    /// The volumes, in the order in which they are mounted: a path below another one comes after it.
    pub(crate) fn in_order(&self) -> Vec<(&str, &Volume)> {
        let mut volumes: Vec<(&str, &Volume)> =
            self.volumes.iter().map(|(name, volume)| (name.as_str(), volume)).collect();
        volumes.sort_by_key(|(_, volume)| volume.path.components().count());
        volumes
    }
}

fn climbs(path: &Path) -> bool {
    path.components().any(|part| part == std::path::Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(text).map_err(|error| error.to_string())?;
        config.check(Path::new("test")).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_path_is_all_that_a_volume_needs() {
        let config = parse(r#"{"volumes":{"data":{"path":"/data"}}}"#).unwrap();
        let volume = &config.volumes["data"];
        assert_eq!(volume.filesystem, Filesystem::Ext4);
        assert_eq!(volume.options, "noatime,nodev,nosuid");
        assert_eq!(config.leave, Leave::default());
    }

    #[test]
    fn what_is_misspelt_or_makes_no_sense_is_refused() {
        for text in [
            r#"{"volumes":{}}"#,
            r#"{"volumes":{"data":{"path":"/data","filesytem":"xfs"}}}"#,
            r#"{"volumes":{"data":{"path":"/data","filesystem":"btrfs"}}}"#,
            r#"{"volumes":{"data":{"path":"data"}}}"#,
            r#"{"volumes":{"data":{"path":"/"}}}"#,
            r#"{"volumes":{"data":{"path":"/data","directories":["../etc"]}}}"#,
            r#"{"volumes":{"data":{"path":"/data"},"log":{"path":"/data"}}}"#,
            r#"{"volumes":{"data":{"path":"/data"}},"leave":{"poweroff":true}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_below_another_is_mounted_after_it() {
        let text = r#"{"volumes":{"a":{"path":"/data/log"},"b":{"path":"/data"}}}"#;
        let config = parse(text).unwrap();
        let names: Vec<&str> = config.in_order().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["b", "a"]);
    }
}
