//! `/run/stateful-asg/env`: what units (`EnvironmentFile=`) and containers (`--env-file`) know of their slot.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::identity::Slot;

/// A volume that is mounted.
pub(crate) struct Mounted<'a> {
    pub(crate) name: &'a str,
    pub(crate) volume: &'a str,
    pub(crate) path: &'a Path,
}

/// Writes it, whole or not at all.
pub(crate) fn write(
    run: &Path,
    zone: &str,
    slot: Option<&Slot>,
    volumes: &[Mounted<'_>],
) -> std::io::Result<()> {
    fs::create_dir_all(run)?;
    let new = run.join("env.new");
    fs::write(&new, text(zone, slot, volumes))?;
    fs::rename(new, run.join("env"))
}

fn text(zone: &str, slot: Option<&Slot>, volumes: &[Mounted<'_>]) -> String {
    let mut text = format!("STATEFUL_ASG_ZONE={zone}\n");
    let mut add = |key: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "STATEFUL_ASG_{key}={value}");
    };
    if let Some(slot) = slot {
        add("SLOT", &slot.id);
        add("INDEX", &slot.index);
    }
    for Mounted { name, volume, path } in volumes {
        let name = name.to_uppercase().replace('-', "_");
        add(&format!("VOLUME_{name}"), volume);
        add(&format!("MOUNT_{name}"), &path.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn units_are_told_slot_index_zone_volumes_and_paths() {
        let (id, index, volumes) = ("kafka-7".to_owned(), "7".to_owned(), BTreeMap::new());
        let slot = Slot { id, index, volumes };
        let path = Path::new("/data");
        let mounted = [Mounted { name: "log-dir", volume: "vol-00000001", path }];
        assert_eq!(
            text("eu-central-1a", Some(&slot), &mounted),
            "STATEFUL_ASG_ZONE=eu-central-1a\nSTATEFUL_ASG_SLOT=kafka-7\nSTATEFUL_ASG_INDEX=7\n\
             STATEFUL_ASG_VOLUME_LOG_DIR=vol-00000001\nSTATEFUL_ASG_MOUNT_LOG_DIR=/data\n"
        );
    }
}
