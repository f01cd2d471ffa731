//! Names of things, one type each, so that a volume id can't be passed where an instance id is meant.
//! Each is checked where it enters: what came in as text either is such a name or is refused here. Clones share the text:
//! records and observations are copied at every step of the loop.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A text that is not the name it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind}: expected {expected}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { kind: $kind, text, expected: $expected })
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An EC2 instance, as in `i-0123456789abcdef0`.
    InstanceId, "an instance id", "i- and 8 to 17 hexadecimal digits",
    |text| prefixed_hex(text, "i-")
);
text_id!(
    /// An EBS volume, as in `vol-0123456789abcdef0`.
    VolumeId, "a volume id", "vol- and 8 to 17 hexadecimal digits",
    |text| prefixed_hex(text, "vol-")
);
text_id!(
    /// A snapshot of a volume, as in `snap-0123456789abcdef0`.
    SnapshotId, "a snapshot id", "snap- and 8 to 17 hexadecimal digits",
    |text| prefixed_hex(text, "snap-")
);
text_id!(
    /// An Availability Zone, as in `eu-central-1a`. Volumes never leave theirs.
    Zone, "an Availability Zone", "1 to 32 lower-case letters, digits and hyphens",
    |text| plain(text, 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
);
text_id!(
    /// A pool of volumes: the value of their tag `stateful-asg:pool`.
    PoolName, "a pool name", "1 to 64 letters, digits, hyphens, underscores and dots",
    |text| plain(text, 64, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
);
text_id!(
    /// The name of a volume within its slot, as in `data` or `commitlog`. Part of a tag key that the instance
    /// metadata service must be able to carry, hence the narrow alphabet.
    VolumeName, "a volume name", "1 to 32 letters, digits, hyphens and underscores",
    |text| plain(text, 32, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
);
text_id!(
    /// An Auto Scaling group. AWS allows any printable text up to 255 characters.
    GroupName, "an Auto Scaling group name", "1 to 255 characters without control characters",
    |text| printable(text, 255)
);
text_id!(
    /// A lifecycle hook of a group.
    HookName, "a lifecycle hook name", "1 to 255 characters without control characters",
    |text| printable(text, 255)
);
text_id!(
    /// The token of one lifecycle action; Auto Scaling gives each action its own.
    ActionToken, "a lifecycle action token", "1 to 64 characters without control characters",
    |text| printable(text, 64)
);
text_id!(
    /// One attempt of one function invocation. Random per attempt, because Lambda's retries of an event share a
    /// request id and two of them may run at once.
    InvocationId, "an invocation name", "1 to 64 characters without control characters",
    |text| printable(text, 64)
);
text_id!(
    /// A document of Systems Manager, by its name or its ARN (`SendCommand`, `DocumentName`).
    DocumentName, "a document name", "3 to 128 letters, digits, hyphens, underscores, dots, colons and slashes",
    |text| text.len() >= 3 && plain(text, 128, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/')
    })
);
text_id!(
    /// A command of Systems Manager: what `SendCommand` answers.
    CommandId, "a command id", "1 to 64 characters without control characters",
    |text| printable(text, 64)
);
text_id!(
    /// A device name as given to `AttachVolume`, as in `/dev/sdf`.
    DeviceName, "a device name", "/dev/sdX, /dev/sdXY, /dev/xvdX or /dev/xvdXY with X from b to z, Y from a to z",
    |text| {
        text.strip_prefix("/dev/sd").or_else(|| text.strip_prefix("/dev/xvd")).is_some_and(|rest| {
            let mut letters = rest.chars();
            letters.next().is_some_and(|c| ('b'..='z').contains(&c))
                && letters.next().is_none_or(|c| c.is_ascii_lowercase())
                && letters.next().is_none()
        })
    }
);

/// `data`: the only volume of a slot, where the policy names none.
impl Default for VolumeName {
    fn default() -> Self {
        Self("data".into())
    }
}

/// `/dev/sdf`: the first name that EC2 recommends for a data volume.
impl Default for DeviceName {
    fn default() -> Self {
        Self("/dev/sdf".into())
    }
}

impl DeviceName {
    /// The letters after `sd` or `xvd`: EC2 takes `/dev/sdf` and `/dev/xvdf` for one attachment point.
    pub fn attachment_point(&self) -> &str {
        let text = self.as_str();
        text.strip_prefix("/dev/sd").or_else(|| text.strip_prefix("/dev/xvd")).unwrap_or(text)
    }

    /// Every name worth trying for a data volume, best first: those that EC2 recommends for Linux (`/dev/sd[f-p]`),
    /// then `/dev/xvd[b-c][a-z]` ("Device names for volumes on Amazon EC2 instances").
    pub fn candidates() -> impl Iterator<Item = Self> {
        let recommended = ('f'..='p').map(|letter| format!("/dev/sd{letter}"));
        let further = ('b'..='c')
            .flat_map(|first| ('a'..='z').map(move |second| format!("/dev/xvd{first}{second}")));
        recommended.chain(further).map(|name| Self(name.into()))
    }
}

/// A slot: the identity that outlives instances, written `<pool>-<index>`, as in `cassandra-0`.
///
/// The index is unique in the pool and never reused, so that it can serve as a Kafka node id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlotId {
    /// The pool that the slot belongs to.
    pub pool: PoolName,
    /// The slot's number in its pool.
    pub index: u32,
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pool, self.index)
    }
}

impl FromStr for SlotId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidId {
            kind: "a slot",
            text: text.to_owned(),
            expected: "<pool>-<index>, as in cassandra-0",
        };
        let (pool, index) = text.rsplit_once('-').ok_or_else(invalid)?;
        // One spelling for each slot: neither +7 nor 007, which would parse as 7.
        let canonical = index == "0" || index.starts_with(|c: char| ('1'..='9').contains(&c));
        match (pool.parse(), index.parse()) {
            (Ok(pool), Ok(index)) if canonical => Ok(Self { pool, index }),
            _ => Err(invalid()),
        }
    }
}

impl TryFrom<String> for SlotId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SlotId> for String {
    fn from(slot: SlotId) -> Self {
        slot.to_string()
    }
}

fn prefixed_hex(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        (8..=17).contains(&digits.len())
            && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn plain(text: &str, longest: usize, allowed: fn(char) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.chars().all(allowed)
}

fn printable(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_wrong_kind_are_refused_with_what_was_expected() {
        let error = "vol-0123456789abcdef0".parse::<InstanceId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"vol-0123456789abcdef0\" is not an instance id: expected i- and 8 to 17 hexadecimal digits"
        );
        assert!("i-0123456789abcdef0".parse::<InstanceId>().is_ok());
        assert!("i-0123456".parse::<InstanceId>().is_err());
        assert!("i-0123456789ABCDEF0".parse::<InstanceId>().is_err());
        assert!("pool#1".parse::<PoolName>().is_err());
    }

    #[test]
    fn a_slot_has_one_spelling() {
        let slot: SlotId = "my-cassandra-12".parse().unwrap();
        assert_eq!((slot.pool.as_str(), slot.index), ("my-cassandra", 12));
        assert_eq!(slot.to_string(), "my-cassandra-12");
        for wrong in [
            "cassandra",
            "cassandra-",
            "-1",
            "cassandra-01",
            "cassandra-+1",
            "cassandra-4294967296",
        ] {
            assert!(wrong.parse::<SlotId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_two_spellings_of_a_device_are_one_attachment_point() {
        let sd: DeviceName = "/dev/sdf".parse().unwrap();
        let xvd: DeviceName = "/dev/xvdf".parse().unwrap();
        assert_eq!(sd.attachment_point(), xvd.attachment_point());
        assert!("/dev/sda1".parse::<DeviceName>().is_err());
        assert!("/dev/nvme1n1".parse::<DeviceName>().is_err());
        assert_eq!(DeviceName::candidates().next(), Some(sd));
        assert_eq!(DeviceName::candidates().count(), 11 + 52);
    }
}
