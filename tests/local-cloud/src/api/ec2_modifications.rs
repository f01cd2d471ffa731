//! EC2's operations on modifications of volumes.

use crate::world::{ApiError, VolumeModification, VolumeSpecification};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call, invalid};

/// `DescribeVolumesModifications` has pages of up to 500 (API Reference).
const LARGEST_PAGE: usize = 500;

pub(super) fn modify_volume(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let volume = params.required("VolumeId")?;
    let wanted = VolumeSpecification {
        size_gib: params.number("Size")?,
        volume_type: params.optional("VolumeType"),
        iops: params.number("Iops")?,
        throughput: params.number("Throughput")?,
        multi_attach: params.flag("MultiAttachEnabled")?,
        ..VolumeSpecification::default()
    };
    let modification = call.world()?.modify_volume(&volume, &wanted)?;
    xml.element("volumeModification", |xml| write_modification(xml, &modification));
    Ok(())
}

pub(super) fn describe_volumes_modifications(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let ids = params.list("VolumeId");
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(1, &ids)?;
    if let Some(most) = page.max_results.filter(|most| *most > LARGEST_PAGE) {
        return Err(invalid("maxResults", &most.to_string()));
    }
    let found = call.world()?.describe_volumes_modifications(&ids, &filters, &page)?;
    xml.element("volumeModificationSet", |xml| {
        for modification in &found.items {
            xml.element("item", |xml| write_modification(xml, modification));
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

fn write_modification(xml: &mut Xml, modification: &VolumeModification) {
    let VolumeModification { volume, state, original, target, started_at, ended_at, .. } =
        modification;
    xml.text("volumeId", volume)
        .text("modificationState", state.as_str())
        .text("targetSize", target.size_gib)
        .optional("targetIops", target.iops)
        .text("targetVolumeType", &target.volume_type)
        .optional("targetThroughput", target.throughput)
        .text("targetMultiAttachEnabled", target.multi_attach)
        .text("originalSize", original.size_gib)
        .optional("originalIops", original.iops)
        .text("originalVolumeType", &original.volume_type)
        .optional("originalThroughput", original.throughput)
        .text("originalMultiAttachEnabled", original.multi_attach)
        .text("progress", state.progress())
        .text("startTime", started_at)
        .optional("endTime", *ended_at);
}
