//! What a volume's tag says of the lease under which it was last attached: the one account of a lease outside the table,
//! by which lost records are noticed and rebuilt.
//!
//! The tag names the volume that it was written on. Tags that were copied with a snapshot name another volume, so a copy
//! is never taken for the original.

use std::fmt;
use std::str::FromStr;

use crate::ids::{InstanceId, VolumeId};
use crate::observation::{Volume, tags};
use crate::record::Slot;
use crate::time::Timestamp;

/// The lease that a volume was last attached under, as its tag `stateful-asg:lease` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTag {
    /// The slot's epoch.
    pub epoch: u64,
    /// Who held it.
    pub holder: InstanceId,
    /// The volume that the tag was written on.
    pub volume: VolumeId,
    /// How many volumes the slot has.
    pub of: usize,
    /// When the lease began.
    pub since: Timestamp,
}

impl LeaseTag {
    /// The tag of a volume of `slot` under its present lease; nothing where nobody holds it.
    pub fn present(slot: &Slot, volume: &VolumeId) -> Option<Self> {
        Some(Self {
            epoch: slot.epoch,
            holder: slot.holder()?.clone(),
            volume: volume.clone(),
            of: slot.volumes.len(),
            since: slot.leased_at.unwrap_or_default(),
        })
    }

    /// The tag that was written on this very volume; nothing where it has none, or a copy of another's.
    pub fn of(volume: &Volume) -> Option<Self> {
        let tag: Self = volume.tags.get(tags::LEASE)?.parse().ok()?;
        (tag.volume == volume.id).then_some(tag)
    }

    /// Whether the slot's record is older than this lease: then it was restored from a backup, for a record is always
    /// written before the tag. Whoever holds a slot, or held it last, is its latest holder.
    pub fn outdates(&self, slot: &Slot) -> bool {
        slot.epoch < self.epoch
            || (slot.epoch == self.epoch && slot.recent_holders.first() != Some(&self.holder))
    }

    /// Whether it was released since, as far as the volume's other tag has it.
    pub fn released(&self, volume: &Volume) -> bool {
        let released = volume.tags.get(tags::RELEASED_AT).and_then(|text| text.parse().ok());
        released.is_some_and(|released: Timestamp| released >= self.since)
    }
}

impl fmt::Display for LeaseTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, holder, volume, of, since } = self;
        write!(f, "epoch={epoch} holder={holder} volume={volume} of={of} since={since}")
    }
}

/// A text that is no such tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a lease: expected epoch=, holder=, volume=, of= and since=")]
pub struct InvalidLeaseTag(String);

impl FromStr for LeaseTag {
    type Err = InvalidLeaseTag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let field = |name: &str| {
            let mut found =
                text.split(' ').filter_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.next().filter(|_| found.next().is_none())
        };
        let parsed = || {
            Some(Self {
                epoch: field("epoch")?.parse().ok()?,
                holder: field("holder")?.parse().ok()?,
                volume: field("volume")?.parse().ok()?,
                of: field("of")?.parse().ok()?,
                since: field("since")?.parse().ok()?,
            })
        };
        parsed().ok_or_else(|| InvalidLeaseTag(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "epoch=7 holder=i-00000001 volume=vol-00000001 of=2 since=2026-11-23T21:30:00.000Z";

    #[test]
    fn a_lease_reads_back_as_it_was_written() {
        let tag: LeaseTag = TEXT.parse().unwrap();
        assert_eq!((tag.epoch, tag.of), (7, 2));
        assert_eq!(tag.to_string(), TEXT);
    }

    #[test]
    fn what_lacks_a_field_or_has_one_twice_is_no_lease() {
        assert!(TEXT.replace("of=2 ", "").parse::<LeaseTag>().is_err());
        assert!(format!("{TEXT} epoch=8").parse::<LeaseTag>().is_err());
        let refused = "".parse::<LeaseTag>().unwrap_err();
        assert!(refused.to_string().contains("expected epoch="));
    }
}
