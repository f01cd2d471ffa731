//! A slot and a volume, for tests.

use std::collections::BTreeMap;

use volume_pool::Timestamp;
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, Volume, VolumeState,
};
use volume_pool::policy::Template;
use volume_pool::record::{Format, Origin, Slot, SlotState, SlotVolume};

/// `cassandra-0` with `vol-00000001`, in `eu-central-1a`; held last by `i-00000001`.
pub(crate) fn slot(state: SlotState) -> Slot {
    Slot {
        id: "cassandra-0".parse().unwrap(),
        zone: "eu-central-1a".parse().unwrap(),
        version: 3,
        epoch: 2,
        state,
        recent_holders: vec!["i-00000001".parse().unwrap()],
        volumes: vec![SlotVolume {
            name: "data".parse().unwrap(),
            volume: "vol-00000001".parse().unwrap(),
            device: "/dev/sdf".parse().unwrap(),
            origin: Origin::Adopted,
            created_at: Timestamp::from_millis(1_000),
        }],
        format: Format::Over,
        leased_at: Some(Timestamp::from_millis(2_000)),
        released_at: Some(Timestamp::from_millis(3_000)),
        moving: None,
        reason: "its reason".to_owned(),
    }
}

/// `vol-00000001`, available in `eu-central-1a`, without tags.
pub(crate) fn volume() -> Volume {
    Volume {
        id: "vol-00000001".parse().unwrap(),
        zone: "eu-central-1a".parse().unwrap(),
        state: VolumeState::Available,
        multi_attach: false,
        attachments: Vec::new(),
        tags: BTreeMap::new(),
        created_at: Timestamp::from_millis(1_000),
        like: Template {
            volume_type: "gp3".to_owned(),
            size_gib: 10,
            iops: None,
            throughput: None,
            encrypted: false,
            kms_key_id: None,
            tags: BTreeMap::new(),
        },
    }
}

/// The same, attached to this instance.
pub(crate) fn attached_to(instance: &str) -> Volume {
    let attachment = Attachment {
        instance: Some(instance.parse().unwrap()),
        device: "/dev/sdf".to_owned(),
        state: AttachmentState::Attached,
        delete_on_termination: DeleteOnTermination::Keep,
        attached_at: Timestamp::from_millis(2_000),
    };
    Volume { state: VolumeState::InUse, attachments: vec![attachment], ..volume() }
}
