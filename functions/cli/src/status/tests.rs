//! From records, groups and describes to the text that people read.

use std::collections::BTreeMap;
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, GroupInstance, GroupView, Instance,
    InstanceState, LifecycleState, Volume, VolumeState,
};
use volume_pool::policy::Template;
use volume_pool::record::{
    Claim, Format, HeldMark, Origin, Phase, Place, Pool, Record, Slot, SlotState, SlotVolume,
    WaitingMark,
};

use super::render;
use super::view::{self, Seen, Status};

const NOW: Timestamp = Timestamp::from_millis(10_000_000);

fn ago(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

fn place(zone: &str) -> Place {
    Place { pool: "cassandra".parse().unwrap(), zone: zone.parse().unwrap() }
}

fn slot(index: u32, zone: &str, state: SlotState, volumes: &[(&str, &str)]) -> Slot {
    let volumes = volumes.iter().map(|(name, volume)| SlotVolume {
        name: name.parse().unwrap(),
        volume: volume.parse().unwrap(),
        device: "/dev/sdf".parse().unwrap(),
        origin: Origin::Adopted,
        created_at: ago(9_000),
    });
    Slot {
        id: format!("cassandra-{index}").parse().unwrap(),
        zone: zone.parse().unwrap(),
        version: 1,
        epoch: 1,
        state,
        recent_holders: Vec::new(),
        volumes: volumes.collect(),
        format: Format::Over,
        leased_at: Some(ago(7_200)),
        released_at: Some(ago(700)),
        moving: None,
        reason: "its reason".to_owned(),
    }
}

fn claim(instance: &str, phase: Phase, reason: &str) -> Record {
    let mut claim = Claim::new(instance.parse().unwrap());
    claim.phase = phase;
    claim.reason = reason.to_owned();
    Record::Claim(claim)
}

fn volume(id: &str, attached: Option<(&str, AttachmentState)>) -> Volume {
    let attachment = attached.map(|(instance, state)| Attachment {
        instance: Some(instance.parse().unwrap()),
        device: "/dev/sdf".to_owned(),
        state,
        delete_on_termination: DeleteOnTermination::Keep,
        attached_at: ago(7_200),
    });
    Volume {
        id: id.parse().unwrap(),
        zone: "eu-central-1a".parse().unwrap(),
        state: if attachment.is_some() { VolumeState::InUse } else { VolumeState::Available },
        multi_attach: false,
        attachments: attachment.into_iter().collect(),
        tags: BTreeMap::new(),
        created_at: ago(9_000),
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

fn group(members: &[(&str, LifecycleState)]) -> GroupView {
    let name = || "cassandra".parse().unwrap();
    let members = members.iter().map(|(instance, state)| {
        let zone = "eu-central-1a".parse().unwrap();
        (instance.parse().unwrap(), GroupInstance { group: name(), zone, state: state.clone() })
    });
    GroupView {
        name: name(),
        pool_tag: Some("cassandra".to_owned()),
        max_size: 5,
        desired: 3,
        members: members.collect(),
    }
}

/// What is shown of a pool with these records, of which this is known beside.
fn shown(
    records: Vec<Record>,
    claims: Vec<Record>,
    groups: &[GroupView],
    volumes: Option<Vec<Volume>>,
    width: Option<usize>,
) -> String {
    let instance = Instance {
        id: "i-00000001".parse().unwrap(),
        zone: "eu-central-1a".parse().unwrap(),
        state: InstanceState::Stopping,
        devices: Vec::new(),
        tags: BTreeMap::new(),
    };
    let seen = Seen {
        claims: claims.into_iter().map(|claim| (claim.key(), claim)).collect(),
        groups: Some(groups),
        members: view::members(groups),
        volumes,
        instances: BTreeMap::from([(instance.id.clone(), instance)]),
    };
    let pool = view::pool("cassandra".parse().unwrap(), records, &seen);
    render::status(&Status { at: NOW, pools: vec![pool], unread: Vec::new() }, width)
}

/// One instance lets go of its slot, another waits for that.
fn replacement(width: Option<usize>) -> String {
    let slots = [
        slot(
            0,
            "eu-central-1a",
            SlotState::Releasing { holder: "i-00000001".parse().unwrap() },
            &[("data", "vol-00000001"), ("commitlog", "vol-00000002")],
        ),
        slot(
            1,
            "eu-central-1b",
            SlotState::Leased { holder: "i-00000002".parse().unwrap() },
            &[("data", "vol-00000003")],
        ),
        slot(2, "eu-central-1b", SlotState::Free, &[("data", "vol-00000004")]),
        slot(3, "eu-central-1b", SlotState::Quarantined, &[("data", "vol-00000005")]),
    ];
    let waiting = WaitingMark {
        place: place("eu-central-1a"),
        since: ago(65),
        instance: "i-00000004".parse().unwrap(),
        stale_after_hours: None,
    };
    let amiss = HeldMark {
        place: place("eu-central-1b"),
        slot: "cassandra-1".parse().unwrap(),
        holder: "i-00000002".parse().unwrap(),
        volumes: Vec::new(),
        amiss: true,
    };
    let mut pool = Pool::new("cassandra".parse().unwrap());
    pool.paused = true;
    let mut records: Vec<Record> = slots.into_iter().map(Record::Slot).collect();
    records.extend([Record::Waiting(waiting), Record::Held(amiss), Record::Pool(pool)]);
    let leaving = Phase::Leaving { slot: "cassandra-0".parse().unwrap(), epoch: 1, since: ago(70) };
    let claims = vec![
        claim("i-00000001", leaving, "the instance is stopping"),
        claim(
            "i-00000004",
            Phase::Waiting { place: place("eu-central-1a"), since: ago(65) },
            "waiting for slot cassandra-0, which i-00000001 is letting go of",
        ),
        claim("i-00000005", Phase::Closed, "held: no policy that parses"),
    ];
    let groups = [group(&[
        ("i-00000001", LifecycleState::TerminatingWait),
        ("i-00000002", LifecycleState::InService),
        ("i-00000004", LifecycleState::PendingWait),
        ("i-00000005", LifecycleState::PendingWait),
        ("i-00000006", LifecycleState::TerminatingProceed),
    ])];
    let volumes = vec![
        volume("vol-00000001", Some(("i-00000001", AttachmentState::Attached))),
        volume("vol-00000003", Some(("i-00000007", AttachmentState::Attached))),
        volume("vol-00000004", None),
        volume("vol-00000009", None),
    ];
    shown(records, claims, &groups, Some(volumes), width)
}

#[test]
fn everything_that_matters_in_a_pool_is_told() {
    let expected = "\
Pool cassandra: 1 held, 1 free, 1 releasing, 1 quarantined, 1 waiting; group cassandra: 1 of 3 in service
PAUSED: nothing of it is leased, adopted or created. To go on: stateful-asg resume cassandra

  SLOT         STATE        INSTANCE    INSTANCE STATE              FOR         VOLUME                    VOLUME STATE
eu-central-1a: 1 releasing, 1 waiting
  cassandra-0  releasing    i-00000001  Terminating:Wait, stopping  1 min 10 s  vol-00000001 (data)       attached
                                                                                vol-00000002 (commitlog)  not shown
               waiting      i-00000004  Pending:Wait                1 min 5 s
      waiting for slot cassandra-0, which i-00000001 is letting go of
eu-central-1b: 1 held, 1 free, 1 quarantined
  cassandra-1  held         i-00000002  InService                   2 h         vol-00000003              attached to i-00000007
      its reason
  cassandra-2  free                                                 11 min      vol-00000004              available
  cassandra-3  quarantined                                                      vol-00000005              not shown
      its reason

Instances of its groups that neither hold a slot nor wait for one
  i-00000005  Pending:Wait
      held: no policy that parses

Volumes with its tag that belong to no slot; an available one is adopted when a launch needs it
  vol-00000009  available
";
    assert_eq!(replacement(None), expected);
}

#[test]
fn on_a_narrow_screen_rows_are_cut_and_reasons_wrapped() {
    let narrow = replacement(Some(40));
    assert!(narrow.contains("  cassandra-0  releasing    i-00000001 …\n"), "{narrow}");
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    let reason = "      waiting for slot cassandra-0,\n      which i-00000001 is letting go of\n";
    assert!(narrow.contains(reason), "{narrow}");
}

#[test]
fn where_ec2_can_not_be_read_nothing_is_said_of_volumes() {
    let free = Record::Slot(slot(0, "eu-central-1a", SlotState::Free, &[("data", "vol-00000001")]));
    let text = shown(vec![free], Vec::new(), &[], None, None);
    assert!(text.contains("vol-00000001\n") && !text.contains("not shown"), "{text}");
}
