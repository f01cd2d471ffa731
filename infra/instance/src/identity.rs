//! Who this instance is, by its own tags: which slot it holds, and which volumes are the slot's.

use std::collections::BTreeMap;

use crate::metadata::{Metadata, NoAnswer};

/// What the instance's tags say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Instance tags are not allowed in the metadata.
    TagsOff,
    /// The control plane has not said yet which slot it gets.
    Nobody,
    /// It holds this slot.
    Slot(Slot),
}

/// The slot that an instance holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) id: String,
    pub(crate) index: String,
    pub(crate) volumes: BTreeMap<String, Assigned>,
}

/// A volume of the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// As in `vol-0123456789abcdef0`.
    pub(crate) id: String,
    pub(crate) permission: Permission,
}

/// Whether the control plane says that the volume may be formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// It created it blank, and its slot has not been released since its first launch.
    Granted,
    /// It has data, as far as anybody knows.
    None,
}

const TAGS: &str = "tags/instance";
const VOLUME: &str = "stateful-asg:volume:";

impl Identity {
    pub(crate) fn ask(metadata: &Metadata) -> Result<Self, NoAnswer> {
        let Some(keys) = metadata.get(TAGS)? else {
            return Ok(Self::TagsOff);
        };
        let mut tags = BTreeMap::new();
        for key in keys.lines().filter(|key| key.starts_with("stateful-asg:")) {
            if let Some(value) = metadata.get(&format!("{TAGS}/{key}"))? {
                tags.insert(key.to_owned(), value);
            }
        }
        Ok(Self::from_tags(&tags))
    }

    fn from_tags(tags: &BTreeMap<String, String>) -> Self {
        let (Some(id), Some(index)) =
            (tags.get("stateful-asg:slot"), tags.get("stateful-asg:index"))
        else {
            return Self::Nobody;
        };
        let named = tags.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(VOLUME)?.to_owned(), Assigned::parse(value)?))
        });
        Self::Slot(Slot { id: id.clone(), index: index.clone(), volumes: named.collect() })
    }
}

impl Assigned {
    /// `vol-…`, or `vol-… blank`. Anything else names no volume.
    fn parse(value: &str) -> Option<Self> {
        let (id, permission) = match value.strip_suffix(" blank") {
            Some(id) => (id, Permission::Granted),
            None => (value, Permission::None),
        };
        let digits = id.strip_prefix("vol-")?;
        let valid = (8..=17).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
        valid.then(|| Self { id: id.to_owned(), permission })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_known_by_its_tags_and_its_volumes_by_name() {
        let tags = BTreeMap::from(
            [
                ("stateful-asg:slot", "cassandra-3"),
                ("stateful-asg:index", "3"),
                ("stateful-asg:volume:data", "vol-0123456789abcdef0"),
                ("stateful-asg:volume:log", "vol-0123456789abcdef1 blank"),
                ("stateful-asg:volume:other", "vol-xyz"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let Identity::Slot(slot) = Identity::from_tags(&tags) else { panic!("no slot") };
        assert_eq!((slot.id.as_str(), slot.index.as_str()), ("cassandra-3", "3"));
        assert_eq!(slot.volumes.len(), 2);
        assert_eq!(slot.volumes["data"].permission, Permission::None);
        assert_eq!(slot.volumes["log"].permission, Permission::Granted);
    }

    #[test]
    fn nothing_but_the_exact_word_is_a_permission() {
        for value in ["vol-0123456789abcdef0 Blank", "vol-0123456789abcdef0  blank", "blank", ""] {
            assert_eq!(Assigned::parse(value), None, "{value}");
        }
    }
}
