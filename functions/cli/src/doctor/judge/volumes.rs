//! The pool's volumes, and who works with them: tags that don't fit the records, and volumes that would not outlive their
//! instance.

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::ids::{InstanceId, PoolName, SlotId, VolumeId};
use volume_pool::observation::{DeleteOnTermination, Volume, tags};
use volume_pool::record::{Slot, SlotState};
use volume_pool::sweep::at_work;

use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::{Pool, View};

pub(super) fn judge(view: &View, name: &PoolName, pool: &Pool, found: &mut Vec<Finding>) {
    let Some(volumes) = &pool.volumes else { return };
    for volume in volumes {
        alone(volume, found);
    }
    let slots = pool.records.as_ref().map(|records| records.slots.as_slice());
    if let Some(slots) = slots {
        tagged(name, slots, volumes, found);
    }
    served(view, name, slots.unwrap_or_default(), volumes, found);
}

fn alone(volume: &Volume, found: &mut Vec<Finding>) {
    let id = &volume.id;
    if volume.multi_attach {
        found.push(Finding {
            severity: Severity::Error,
            code: Code::VolumeMultiAttach,
            subject: format!("volume {id}"),
            reason: "it has Multi-Attach enabled, so EC2 would not keep two holders apart: it is refused".to_owned(),
            mend: format!("aws ec2 modify-volume --volume-id {id} --no-multi-attach-enabled"),
        });
    }
    for attachment in volume.standing() {
        let Some(instance) = &attachment.instance else { continue };
        if attachment.delete_on_termination == DeleteOnTermination::Keep {
            continue;
        }
        let mapping = format!(
            r#"[{{"DeviceName":"{}","Ebs":{{"DeleteOnTermination":false}}}}]"#,
            attachment.device
        );
        found.push(Finding {
            severity: Severity::Error,
            code: Code::VolumeDeleted,
            subject: format!("volume {id}"),
            reason: format!(
                "it is attached to {instance} with DeleteOnTermination: it goes with the instance, data and all"
            ),
            mend: format!(
                "aws ec2 modify-instance-attribute --instance-id {instance} --block-device-mappings {}",
                mend::word(&mapping)
            ),
        });
    }
}

/// Tags and records must say the same of which volumes belong to the pool and to which slot.
fn tagged(name: &PoolName, slots: &[Slot], volumes: &[Volume], found: &mut Vec<Finding>) {
    let shown: BTreeSet<&VolumeId> = volumes.iter().map(|volume| &volume.id).collect();
    for slot in slots.iter().filter(|slot| slot.state != SlotState::Quarantined) {
        for volume in slot.volumes.iter().map(|it| &it.volume).filter(|it| !shown.contains(it)) {
            found.push(Finding {
                severity: Severity::Warning,
                code: Code::VolumeNotShown,
                subject: format!("volume {volume}"),
                reason: format!(
                    "it belongs to slot {} on record, and EC2 shows no such volume with the tag stateful-asg:pool={name}: its \
                     tag was taken away, or it was deleted",
                    slot.id
                ),
                mend: format!(
                    "aws ec2 create-tags --resources {volume} --tags Key=stateful-asg:pool,Value={name}"
                ),
            });
        }
    }
    let owner: BTreeMap<&SlotId, Vec<&VolumeId>> =
        slots.iter().map(|slot| (&slot.id, slot.every_volume().collect())).collect();
    for volume in volumes {
        let named = volume.tags.get(tags::SLOT).and_then(|slot| slot.parse::<SlotId>().ok());
        let Some((slot, members)) = named.and_then(|slot| Some((slot.clone(), owner.get(&slot)?)))
        else {
            continue;
        };
        if members.contains(&&volume.id) {
            continue;
        }
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::VolumeCopiedTag,
            subject: format!("volume {}", volume.id),
            reason: format!(
                "its tag says slot {slot}, which has other volumes: a restored backup carries copied tags. It is left alone \
                 until a person says what it is"
            ),
            mend: format!(
                "aws ec2 delete-tags --resources {} --tags Key=stateful-asg:slot Key=stateful-asg:lease",
                volume.id
            ),
        });
    }
}

/// Instances at work in groups of the pool hold a slot, or at least a volume that becomes one.
fn served(
    view: &View,
    name: &PoolName,
    slots: &[Slot],
    volumes: &[Volume],
    found: &mut Vec<Finding>,
) {
    let holders = slots.iter().filter_map(Slot::holder);
    let attached = volumes.iter().flat_map(Volume::standing).filter_map(|it| it.instance.as_ref());
    let served: BTreeSet<&InstanceId> = holders.chain(attached).collect();
    for group in view.groups_of(name).filter(|group| group.asked) {
        let members = group.settings.view.members.iter();
        for (instance, _) in members
            .filter(|(instance, member)| at_work(&member.state) && !served.contains(instance))
        {
            found.push(Finding {
                severity: Severity::Warning,
                code: Code::NoVolume,
                subject: format!("instance {instance}"),
                reason: format!(
                    "it is in service in group {} without a volume of pool {name}: what it writes is lost with it. If it has a \
                     data volume, tag that; else let the group replace it",
                    group.name()
                ),
                mend: format!(
                    "aws ec2 create-tags --resources VOLUME --tags Key=stateful-asg:pool,Value={name}"
                ),
            });
        }
    }
}
