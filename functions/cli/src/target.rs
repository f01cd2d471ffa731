//! What a command is about: told apart by how it is written.

use std::str::FromStr;

use volume_pool::ids::{InstanceId, InvalidId, SlotId, VolumeId};

/// An instance, a volume, or a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Instance(InstanceId),
    Volume(VolumeId),
    Slot(SlotId),
}

impl FromStr for Target {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A pool may be called `i` or `vol`, but no slot's index has eight digits.
        if let Ok(instance) = text.parse() {
            return Ok(Self::Instance(instance));
        }
        if let Ok(volume) = text.parse() {
            return Ok(Self::Volume(volume));
        }
        text.parse().map(Self::Slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_what_they_are_of() {
        let target = |text: &str| text.parse::<Target>().unwrap();
        assert!(matches!(target("i-0123456789abcdef0"), Target::Instance(_)));
        assert!(matches!(target("vol-0123456789abcdef0"), Target::Volume(_)));
        assert!(matches!(target("my-pool-12"), Target::Slot(_)));
        assert!(matches!(target("vol-12"), Target::Slot(_)));
        assert!("cassandra".parse::<Target>().is_err());
    }
}
