//! EC2's operations on snapshots.

use crate::world::{ApiError, CreateSnapshot, Snapshot};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call};
use super::ec2_tags::{specified_tags, write_tags};

pub(super) fn create_snapshot(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let request = CreateSnapshot {
        volume: params.required("VolumeId")?,
        description: params.optional("Description").unwrap_or_default(),
        tags: specified_tags(params, &["snapshot"])?.remove("snapshot").unwrap_or_default(),
    };
    let world = call.world()?;
    let account = world.config().account.clone();
    write_snapshot(xml, &world.create_snapshot(request)?, &account);
    Ok(())
}

pub(super) fn describe_snapshots(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    // Every snapshot here is the account's own, whoever is named.
    let _owners = params.list("Owner");
    let ids = params.list("SnapshotId");
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(5, &ids)?;
    let world = call.world()?;
    let account = world.config().account.clone();
    let found = world.describe_snapshots(&ids, &filters, &page)?;
    xml.element("snapshotSet", |xml| {
        for snapshot in &found.items {
            xml.element("item", |xml| write_snapshot(xml, snapshot, &account));
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

fn write_snapshot(xml: &mut Xml, snapshot: &Snapshot, account: &str) {
    xml.text("snapshotId", &snapshot.id)
        .text("volumeId", &snapshot.volume)
        .text("status", snapshot.state.as_str())
        .text("startTime", snapshot.started_at)
        .text("progress", snapshot.state.progress())
        .text("ownerId", account)
        .text("volumeSize", snapshot.size_gib)
        .text("description", &snapshot.description)
        .text("encrypted", snapshot.encrypted)
        .optional("kmsKeyId", snapshot.kms_key_id.as_ref());
    if !snapshot.tags.is_empty() {
        write_tags(xml, &snapshot.tags);
    }
}
