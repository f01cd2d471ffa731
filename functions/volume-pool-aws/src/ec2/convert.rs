//! EC2's words into ours.

use std::collections::BTreeMap;

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{self as ec2, Tag};
use volume_pool::Timestamp;
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, Instance, InstanceState, Volume, VolumeState,
};
use volume_pool::policy::Template;

use crate::convert::{Unintelligible, present};

/// An instance of `DescribeInstances`.
pub(super) fn instance(instance: &ec2::Instance) -> Result<Instance, Unintelligible> {
    let zone = instance.placement().and_then(|placement| placement.availability_zone());
    let state = instance.state().and_then(|state| state.name());
    let mappings = instance.block_device_mappings().iter();
    Ok(Instance {
        id: present("InstanceId", instance.instance_id())?.parse()?,
        zone: present("Placement.AvailabilityZone", zone)?.parse()?,
        state: InstanceState::from(present("State.Name", state)?.as_str()),
        devices: mappings
            .map(|mapping| Ok(present("DeviceName", mapping.device_name())?.to_owned()))
            .collect::<Result<_, Unintelligible>>()?,
        tags: tags(instance.tags())?,
    })
}

/// A volume of `DescribeVolumes`.
pub(super) fn volume(volume: &ec2::Volume) -> Result<Volume, Unintelligible> {
    Ok(Volume {
        id: present("VolumeId", volume.volume_id())?.parse()?,
        zone: present("AvailabilityZone", volume.availability_zone())?.parse()?,
        state: VolumeState::from(present("State", volume.state())?.as_str()),
        multi_attach: volume.multi_attach_enabled().unwrap_or(false),
        attachments: volume
            .attachments()
            .iter()
            .map(attachment)
            .collect::<Result<_, Unintelligible>>()?,
        tags: tags(volume.tags())?,
        created_at: time("CreateTime", volume.create_time())?,
        like: template(volume)?,
    })
}

/// What a volume is like.
fn template(volume: &ec2::Volume) -> Result<Template, Unintelligible> {
    let whole = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    Ok(Template {
        volume_type: present("VolumeType", volume.volume_type())?.as_str().to_owned(),
        size_gib: present("Size", whole(volume.size()))?,
        iops: whole(volume.iops()),
        throughput: whole(volume.throughput()),
        encrypted: volume.encrypted().unwrap_or(false),
        kms_key_id: volume.kms_key_id().map(str::to_owned),
        tags: BTreeMap::new(),
    })
}

/// An attachment. One to a resource that AWS manages names no instance and may lack the rest, and is kept all the
/// same: the volume is taken.
fn attachment(attachment: &ec2::VolumeAttachment) -> Result<Attachment, Unintelligible> {
    let state = AttachmentState::from(present("Attachment.State", attachment.state())?.as_str());
    let delete_on_termination = match attachment.delete_on_termination() {
        Some(false) => DeleteOnTermination::Keep,
        // What EC2 does not promise to keep has to be asked to be kept.
        Some(true) | None => DeleteOnTermination::Delete,
    };
    let Some(instance) = attachment.instance_id() else {
        present("Attachment.InstanceId", attachment.associated_resource())?;
        return Ok(Attachment {
            instance: None,
            device: attachment.device().unwrap_or_default().to_owned(),
            state,
            delete_on_termination,
            attached_at: match attachment.attach_time() {
                None => Timestamp::default(),
                known => time("Attachment.AttachTime", known)?,
            },
        });
    };
    Ok(Attachment {
        instance: Some(instance.parse()?),
        device: present("Attachment.Device", attachment.device())?.to_owned(),
        state,
        delete_on_termination,
        attached_at: time("Attachment.AttachTime", attachment.attach_time())?,
    })
}

fn tags(tags: &[Tag]) -> Result<BTreeMap<String, String>, Unintelligible> {
    let pair = |tag: &Tag| {
        let key = present("Tag.Key", tag.key())?.to_owned();
        Ok((key, tag.value().unwrap_or_default().to_owned()))
    };
    tags.iter().map(pair).collect()
}

fn time(field: &'static str, time: Option<&DateTime>) -> Result<Timestamp, Unintelligible> {
    let millis = present(field, time)?.to_millis().ok().and_then(|millis| millis.try_into().ok());
    millis.map(Timestamp::from_millis).ok_or(Unintelligible::Time(field))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::builders::{VolumeAttachmentBuilder, VolumeBuilder};

    use super::*;

    fn attached() -> VolumeAttachmentBuilder {
        ec2::VolumeAttachment::builder()
            .volume_id("vol-0123456789abcdef0")
            .instance_id("i-0123456789abcdef0")
            .device("/dev/sdf")
            .state(ec2::VolumeAttachmentState::Attached)
            .delete_on_termination(false)
            .attach_time(DateTime::from_millis(2_000))
    }

    fn described() -> VolumeBuilder {
        ec2::Volume::builder()
            .volume_id("vol-0123456789abcdef0")
            .availability_zone("eu-central-1a")
            .state(ec2::VolumeState::InUse)
            .multi_attach_enabled(false)
            .create_time(DateTime::from_millis(1_000))
            .volume_type(ec2::VolumeType::Gp3)
            .size(100)
            .iops(3_000)
            .throughput(125)
            .encrypted(true)
            .tags(Tag::builder().key("stateful-asg:pool").value("cassandra").build())
    }

    #[test]
    fn a_volume_carries_its_attachment_tags_and_times() {
        assert_eq!(
            volume(&described().attachments(attached().build()).build()).unwrap(),
            Volume {
                id: "vol-0123456789abcdef0".parse().unwrap(),
                zone: "eu-central-1a".parse().unwrap(),
                state: VolumeState::InUse,
                multi_attach: false,
                attachments: vec![Attachment {
                    instance: Some("i-0123456789abcdef0".parse().unwrap()),
                    device: "/dev/sdf".to_owned(),
                    state: AttachmentState::Attached,
                    delete_on_termination: DeleteOnTermination::Keep,
                    attached_at: Timestamp::from_millis(2_000),
                }],
                tags: BTreeMap::from([("stateful-asg:pool".to_owned(), "cassandra".to_owned())]),
                created_at: Timestamp::from_millis(1_000),
                like: Template {
                    volume_type: "gp3".to_owned(),
                    size_gib: 100,
                    iops: Some(3_000),
                    throughput: Some(125),
                    encrypted: true,
                    kms_key_id: None,
                    tags: BTreeMap::new(),
                },
            }
        );
    }

    #[test]
    fn a_volume_whose_attachment_cannot_be_read_is_no_answer() {
        for (broken, expected) in [
            (attached().instance_id("the first one"), "is not an instance id"),
            (attached().set_device(None), "Attachment.Device is missing"),
            (attached().set_state(None), "Attachment.State is missing"),
            (attached().set_attach_time(None), "Attachment.AttachTime is missing"),
            (attached().set_instance_id(None), "Attachment.InstanceId is missing"),
        ] {
            let problem = volume(&described().attachments(broken.build()).build()).unwrap_err();
            assert!(problem.to_string().contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_volume_on_a_resource_that_aws_manages_is_shown_as_attached_to_no_instance_of_ours() {
        let managed = ec2::VolumeAttachment::builder()
            .associated_resource("arn:aws:ecs:eu-central-1:123456789012:task/1")
            .state(ec2::VolumeAttachmentState::Attached);
        let volume = volume(&described().attachments(managed.build()).build()).unwrap();
        assert_eq!(volume.attachment().map(|it| it.instance.clone()), Some(None));
        assert!(!volume.is_available());
    }

    #[test]
    fn an_attachment_that_ec2_does_not_promise_to_keep_would_be_deleted() {
        for flag in [Some(true), None] {
            let attachment = attached().set_delete_on_termination(flag).build();
            let volume = volume(&described().attachments(attachment).build()).unwrap();
            assert_eq!(volume.attachments[0].delete_on_termination, DeleteOnTermination::Delete);
        }
    }

    #[test]
    fn a_volume_with_a_missing_field_is_no_answer() {
        for (broken, field) in [
            (described().set_volume_id(None), "VolumeId"),
            (described().set_availability_zone(None), "AvailabilityZone"),
            (described().set_state(None), "State"),
            (described().set_create_time(None), "CreateTime"),
            (described().set_volume_type(None), "VolumeType"),
            (described().set_size(None), "Size"),
        ] {
            let problem = volume(&broken.build()).unwrap_err().to_string();
            assert_eq!(problem, format!("{field} is missing"));
        }
        let ancient = described().create_time(DateTime::from_millis(-1)).build();
        assert!(volume(&ancient).is_err());
    }

    #[test]
    fn a_state_that_aws_adds_later_stays_what_it_is() {
        let volume = volume(&described().state("hibernating".into()).build()).unwrap();
        assert_eq!(volume.state, VolumeState::Other("hibernating".to_owned()));
    }

    #[test]
    fn an_instance_carries_zone_state_taken_devices_and_tags() {
        let mapping =
            |device: &str| ec2::InstanceBlockDeviceMapping::builder().device_name(device).build();
        let shown = ec2::Instance::builder()
            .instance_id("i-0123456789abcdef0")
            .placement(ec2::Placement::builder().availability_zone("eu-central-1a").build())
            .state(ec2::InstanceState::builder().name(ec2::InstanceStateName::ShuttingDown).build())
            .block_device_mappings(mapping("/dev/xvda"))
            .block_device_mappings(mapping("/dev/sdf"))
            .tags(Tag::builder().key("Name").value("node").build());
        assert_eq!(
            instance(&shown.clone().build()).unwrap(),
            Instance {
                id: "i-0123456789abcdef0".parse().unwrap(),
                zone: "eu-central-1a".parse().unwrap(),
                state: InstanceState::ShuttingDown,
                devices: vec!["/dev/xvda".to_owned(), "/dev/sdf".to_owned()],
                tags: BTreeMap::from([("Name".to_owned(), "node".to_owned())]),
            }
        );
        let problem = instance(&shown.set_placement(None).build()).unwrap_err().to_string();
        assert_eq!(problem, "Placement.AvailabilityZone is missing");
    }
}
