//! EC2's operations on replacements of root volumes.

use crate::world::{ApiError, ReplaceRoot, ReplacedRoot, RootReplacement};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call};
use super::ec2_tags::{specified_tags, write_tags};

const TASK: &str = "replace-root-volume-task";

pub(super) fn create_replace_root_volume_task(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    if let Some(snapshot) = params.optional("SnapshotId") {
        return Err(ApiError::SnapshotNotFound(snapshot));
    }
    let deleted = params.flag("DeleteReplacedRootVolume")?.unwrap_or(false);
    let request = ReplaceRoot {
        instance: params.required("InstanceId")?,
        image_id: params.optional("ImageId"),
        replaced: if deleted { ReplacedRoot::Deleted } else { ReplacedRoot::Kept },
        tags: specified_tags(params, &[TASK])?.remove(TASK).unwrap_or_default(),
        client_token: params.optional("ClientToken"),
    };
    let task = call.world()?.replace_root_volume(request)?;
    xml.element("replaceRootVolumeTask", |xml| write_task(xml, &task));
    Ok(())
}

pub(super) fn describe_replace_root_volume_tasks(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let ids = params.list("ReplaceRootVolumeTaskId");
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(1, &ids)?;
    let found = call.world()?.describe_root_replacements(&ids, &filters, &page)?;
    xml.element("replaceRootVolumeTaskSet", |xml| {
        for task in &found.items {
            xml.element("item", |xml| write_task(xml, task));
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

fn write_task(xml: &mut Xml, task: &RootReplacement) {
    xml.text("replaceRootVolumeTaskId", &task.id)
        .text("instanceId", &task.request.instance)
        .text("taskState", task.state.as_str())
        .text("startTime", task.started_at)
        .optional("completeTime", task.ended_at)
        .optional("imageId", task.request.image_id.as_ref())
        .text("deleteReplacedRootVolume", task.request.replaced == ReplacedRoot::Deleted);
    write_tags(xml, &task.request.tags);
}
