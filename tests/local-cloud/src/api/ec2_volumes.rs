//! EC2's volume operations.

use crate::query::Params;
use crate::world::{
    ApiError, Attachment, AttachmentState, CreateVolume, Detachment, Tags, Volume,
    VolumeSpecification,
};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call};
use super::ec2_tags::{specified_tags, write_tags};

pub(super) fn create_volume(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let request = CreateVolume {
        zone: params.required("AvailabilityZone")?,
        specification: VolumeSpecification {
            size_gib: params.number("Size")?,
            volume_type: params.optional("VolumeType"),
            iops: params.number("Iops")?,
            throughput: params.number("Throughput")?,
            encrypted: params.flag("Encrypted")?,
            kms_key_id: params.optional("KmsKeyId"),
            snapshot_id: params.optional("SnapshotId"),
            multi_attach: params.flag("MultiAttachEnabled")?,
        },
        tags: specified_tags(params, &["volume"])?.remove("volume").unwrap_or_default(),
        client_token: params.optional("ClientToken"),
    };
    let volume = call.world()?.create_volume(request)?;
    write_volume(xml, &volume);
    Ok(())
}

pub(super) fn delete_volume(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let volume = call.params().required("VolumeId")?;
    call.world()?.delete_volume(&volume)?;
    xml.text("return", true);
    Ok(())
}

pub(super) fn describe_volumes(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let ids = params.list("VolumeId");
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(5, &ids)?;
    let found = call.world()?.describe_volumes(&ids, &filters, &page)?;
    xml.element("volumeSet", |xml| {
        for volume in &found.items {
            xml.element("item", |xml| write_volume(xml, volume));
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

pub(super) fn attach_volume(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let volume = params.required("VolumeId")?;
    let instance = params.required("InstanceId")?;
    let device = params.required("Device")?;
    let attachment = call.world()?.attach_volume(&volume, &instance, &device)?;
    write_attachment(xml, &attachment);
    Ok(())
}

pub(super) fn detach_volume(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let volume = params.required("VolumeId")?;
    let instance = params.optional("InstanceId");
    let device = params.optional("Device");
    let detachment = match params.flag("Force")? {
        Some(true) => Detachment::Forced,
        Some(false) | None => Detachment::Clean,
    };
    let mut attachment =
        call.world()?.detach_volume(&volume, instance.as_deref(), device.as_deref(), detachment)?;
    // The answer names what goes on, never `busy`: that shows in describes only.
    attachment.state = AttachmentState::Detaching;
    write_attachment(xml, &attachment);
    Ok(())
}

/// The `Ebs` part of a block device mapping: its volume, and whether it goes with the instance.
pub(super) fn mapped_volume(ebs: &Params) -> Result<(VolumeSpecification, Option<bool>), ApiError> {
    let specification = VolumeSpecification {
        size_gib: ebs.number("VolumeSize")?,
        volume_type: ebs.optional("VolumeType"),
        iops: ebs.number("Iops")?,
        throughput: ebs.number("Throughput")?,
        encrypted: ebs.flag("Encrypted")?,
        kms_key_id: ebs.optional("KmsKeyId"),
        snapshot_id: ebs.optional("SnapshotId"),
        multi_attach: None,
    };
    Ok((specification, ebs.flag("DeleteOnTermination")?))
}

fn write_volume(xml: &mut Xml, volume: &Volume) {
    let Volume { tags, attachments, .. } = volume;
    xml.text("volumeId", &volume.id)
        .text("size", volume.size_gib)
        .text("snapshotId", volume.snapshot_id.as_deref().unwrap_or_default())
        .text("availabilityZone", &volume.zone)
        .text("status", volume.state.as_str())
        .text("createTime", volume.created_at)
        .element("attachmentSet", |xml| {
            for attachment in attachments {
                xml.element("item", |xml| write_attachment(xml, attachment));
            }
        });
    write_some_tags(xml, tags);
    xml.text("volumeType", &volume.volume_type)
        .optional("iops", volume.iops)
        .optional("throughput", volume.throughput)
        .text("encrypted", volume.encrypted)
        .optional("kmsKeyId", volume.kms_key_id.as_ref())
        .text("multiAttachEnabled", volume.multi_attach);
}

/// EC2 leaves the tag set out where there are no tags.
fn write_some_tags(xml: &mut Xml, tags: &Tags) {
    if !tags.is_empty() {
        write_tags(xml, tags);
    }
}

fn write_attachment(xml: &mut Xml, attachment: &Attachment) {
    xml.text("volumeId", &attachment.volume)
        .text("instanceId", &attachment.instance)
        .text("device", &attachment.device)
        .text("status", attachment.state.as_str())
        .text("attachTime", attachment.attached_at)
        .text("deleteOnTermination", attachment.delete_on_termination);
}
