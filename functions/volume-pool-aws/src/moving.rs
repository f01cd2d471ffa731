//! EC2 for the moves of slots to other zones, which the command line tool alone carries out: snapshots, volumes made from them,
//! and the tags of what a move leaves behind. No snapshot and no volume is ever deleted.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Config;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification, VolumeType};
use volume_pool::effect::Creation;
use volume_pool::ids::{SnapshotId, VolumeId};
use volume_pool::moving::{OWN_TAGS, Snapshot, SnapshotState};
use volume_pool::observation::tags;
use volume_pool::ports::{Answer, PortError, Refusal};

use crate::classify;
use crate::convert::{Unintelligible, present, unintelligible};

/// EC2, for moves.
#[derive(Debug, Clone)]
pub struct Moves {
    client: Client,
}

impl Moves {
    /// Moves through this client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// `DescribeSnapshots` for those that carry the move's tag, to the last page.
    pub async fn snapshots(&self, of: &str) -> Result<Vec<Snapshot>, PortError> {
        const CALL: &str = "ec2:DescribeSnapshots";
        let tagged = Filter::builder().name(format!("tag:{}", tags::MOVE)).values(of).build();
        let shown = self
            .client
            .describe_snapshots()
            .owner_ids("self")
            .filters(tagged)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        let convert = |shown: &aws_sdk_ec2::types::Snapshot| {
            snapshot(shown).map_err(|problem| {
                unintelligible(CALL, shown.snapshot_id().unwrap_or("a snapshot"), problem)
            })
        };
        shown.iter().map(convert).collect()
    }

    /// `CreateSnapshot`, with these tags in the same call. It takes no client token, so the SDK must not try it twice: one that
    /// was taken although no answer came is found by its tag.
    pub async fn snapshot(
        &self,
        volume: &VolumeId,
        tags: &BTreeMap<String, String>,
    ) -> Result<Result<SnapshotId, Refusal>, PortError> {
        const CALL: &str = "ec2:CreateSnapshot";
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let answer = self
            .client
            .create_snapshot()
            .volume_id(volume.as_str())
            .description(format!("{volume}, to move its slot of stateful-asg to another zone"))
            .tag_specifications(specified(ResourceType::Snapshot, tags))
            .customize()
            .config_override(once)
            .send()
            .await;
        let reply = match classify::reply(CALL, answer)? {
            Ok(reply) => reply,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let id = present("SnapshotId", reply.snapshot_id()).and_then(|id| Ok(id.parse()?));
        id.map(Ok).map_err(|problem| unintelligible(CALL, volume, problem))
    }

    /// `CreateVolume` from a snapshot: as large as that, and encrypted as that is.
    pub async fn copy(
        &self,
        from: &SnapshotId,
        creation: &Creation,
    ) -> Result<Result<VolumeId, Refusal>, PortError> {
        const CALL: &str = "ec2:CreateVolume";
        let Creation { zone, like, tags, token, .. } = creation;
        let whole = |number: Option<u32>| number.and_then(|number| i32::try_from(number).ok());
        // gp2 has no number of its own, and is shown with one all the same.
        let provisioned = matches!(like.volume_type.as_str(), "gp3" | "io1" | "io2");
        let answer = self
            .client
            .create_volume()
            .snapshot_id(from.as_str())
            .availability_zone(zone.as_str())
            .volume_type(VolumeType::from(like.volume_type.as_str()))
            .set_size(whole(Some(like.size_gib)))
            .set_iops(whole(like.iops.filter(|_| provisioned)))
            .set_throughput(whole(like.throughput))
            .tag_specifications(specified(ResourceType::Volume, tags))
            .client_token(token)
            .send()
            .await;
        let reply = match classify::reply(CALL, answer)? {
            Ok(reply) => reply,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let volume = present("VolumeId", reply.volume_id()).and_then(|id| Ok(id.parse()?));
        volume.map(Ok).map_err(|problem| unintelligible(CALL, from, problem))
    }

    /// `DeleteTags`: the volume is no slot's any more.
    pub async fn untag(&self, volume: &VolumeId) -> Result<Answer, PortError> {
        let tags = OWN_TAGS.iter().map(|key| Tag::builder().key(*key).build());
        let answer = self
            .client
            .delete_tags()
            .resources(volume.as_str())
            .set_tags(Some(tags.collect()))
            .send()
            .await;
        classify::answer("ec2:DeleteTags", answer)
    }
}

fn specified(kind: ResourceType, tags: &BTreeMap<String, String>) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
}

fn snapshot(shown: &aws_sdk_ec2::types::Snapshot) -> Result<Snapshot, Unintelligible> {
    Ok(Snapshot {
        id: present("SnapshotId", shown.snapshot_id())?.parse()?,
        of: present("VolumeId", shown.volume_id())?.parse()?,
        state: match present("State", shown.state())?.as_str() {
            "pending" => SnapshotState::Pending,
            "completed" => SnapshotState::Completed,
            other => SnapshotState::Other(other.to_owned()),
        },
        progress: shown.progress().unwrap_or("an unknown part").to_owned(),
    })
}
