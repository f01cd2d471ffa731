//! EC2 behind [`Volumes`]. Never forces a detach, always names the instance to detach from, and deletes nothing.

mod convert;

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    EbsInstanceBlockDeviceSpecification, Filter, InstanceBlockDeviceMappingSpecification,
    ResourceType, Tag, TagSpecification, VolumeType,
};
use volume_pool::effect::Creation;
use volume_pool::ids::{DeviceName, InstanceId, PoolName, SlotId, VolumeId};
use volume_pool::observation::{Instance, Volume, tags};
use volume_pool::ports::{Answer, PortError, Refusal, Volumes};
use volume_pool::record::Place;

use crate::classify;
use crate::convert::{present, unintelligible};

/// How many results a page of a describe holds: what AWS advises for `DescribeVolumes`.
const PAGE_SIZE: i32 = 500;

/// How many values one filter takes ("List and filter using the CLI and API", Amazon EC2).
const FILTER_VALUES: usize = 200;

/// EC2.
///
/// Describes name what they want in a filter and not in a list of ids, and ask for pages. A list fails as a whole
/// for one id that EC2 does not know (yet), where a filter just leaves that one out; and calls with neither filter
/// nor pages draw on a bucket half the size (50 and 10 a second instead of 100 and 20, "Request throttling for the
/// Amazon EC2 API").
#[derive(Debug, Clone)]
pub struct Ec2 {
    client: Client,
}

impl Ec2 {
    /// EC2 through this client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// `DescribeVolumes`, to the last page. A page may be empty and not be the last.
    async fn describe_volumes(&self, filters: Vec<Filter>) -> Result<Vec<Volume>, PortError> {
        const CALL: &str = "ec2:DescribeVolumes";
        let volumes = self
            .client
            .describe_volumes()
            .set_filters(Some(filters))
            .into_paginator()
            .page_size(PAGE_SIZE)
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        let convert = |volume: &aws_sdk_ec2::types::Volume| {
            convert::volume(volume).map_err(|problem| {
                unintelligible(CALL, volume.volume_id().unwrap_or("a volume"), problem)
            })
        };
        volumes.iter().map(convert).collect()
    }
}

impl Volumes for Ec2 {
    async fn instance(&self, instance: &InstanceId) -> Result<Option<Instance>, PortError> {
        let mut found = self.instances(std::slice::from_ref(instance)).await?;
        Ok(found.remove(instance))
    }

    async fn instances(
        &self,
        ids: &[InstanceId],
    ) -> Result<BTreeMap<InstanceId, Instance>, PortError> {
        const CALL: &str = "ec2:DescribeInstances";
        let mut found = BTreeMap::new();
        for some in ids.chunks(FILTER_VALUES) {
            let reservations = self
                .client
                .describe_instances()
                .filters(filter("instance-id", some))
                .into_paginator()
                .page_size(PAGE_SIZE)
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await
                .map_err(|error| classify::unanswered(CALL, &error))?;
            for shown in reservations.iter().flat_map(aws_sdk_ec2::types::Reservation::instances) {
                let instance = convert::instance(shown).map_err(|problem| {
                    unintelligible(CALL, shown.instance_id().unwrap_or("an instance"), problem)
                })?;
                found.insert(instance.id.clone(), instance);
            }
        }
        Ok(found)
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<BTreeMap<VolumeId, Volume>, PortError> {
        let mut found = BTreeMap::new();
        for some in ids.chunks(FILTER_VALUES) {
            let volumes = self.describe_volumes(vec![filter("volume-id", some)]).await?;
            found.extend(volumes.into_iter().map(|volume| (volume.id.clone(), volume)));
        }
        Ok(found)
    }

    async fn available_volumes(&self, place: &Place) -> Result<Vec<Volume>, PortError> {
        self.describe_volumes(vec![
            filter(&format!("tag:{}", tags::POOL), [&place.pool]),
            filter("availability-zone", [&place.zone]),
            filter("status", [aws_sdk_ec2::types::VolumeState::Available.as_str()]),
        ])
        .await
    }

    async fn every_pool_volume(&self, pool: &PoolName) -> Result<Vec<Volume>, PortError> {
        self.describe_volumes(vec![filter(&format!("tag:{}", tags::POOL), [pool])]).await
    }

    async fn slot_volumes(&self, slot: &SlotId) -> Result<Vec<Volume>, PortError> {
        self.describe_volumes(vec![filter(&format!("tag:{}", tags::SLOT), [slot])]).await
    }

    async fn create(&self, creation: &Creation) -> Result<Result<VolumeId, Refusal>, PortError> {
        const CALL: &str = "ec2:CreateVolume";
        let Creation { name, zone, like, tags, token } = creation;
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let tagged = TagSpecification::builder()
            .resource_type(ResourceType::Volume)
            .set_tags(Some(tags.collect()))
            .build();
        let whole = |number: Option<u32>| number.and_then(|number| i32::try_from(number).ok());
        let answer = self
            .client
            .create_volume()
            .availability_zone(zone.as_str())
            .volume_type(VolumeType::from(like.volume_type.as_str()))
            .set_size(whole(Some(like.size_gib)))
            .set_iops(whole(like.iops))
            .set_throughput(whole(like.throughput))
            .encrypted(like.encrypted)
            .set_kms_key_id(like.kms_key_id.clone())
            .tag_specifications(tagged)
            .client_token(token)
            .send()
            .await;
        let reply = match classify::reply(CALL, answer)? {
            Ok(reply) => reply,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let volume = present("VolumeId", reply.volume_id()).and_then(|id| Ok(id.parse()?));
        volume.map(Ok).map_err(|problem| unintelligible(CALL, name, problem))
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<Answer, PortError> {
        let answer = self
            .client
            .attach_volume()
            .volume_id(volume.as_str())
            .instance_id(instance.as_str())
            .device(device.as_str())
            .send()
            .await;
        classify::answer("ec2:AttachVolume", answer)
    }

    async fn detach(&self, volume: &VolumeId, instance: &InstanceId) -> Result<Answer, PortError> {
        let answer = self
            .client
            .detach_volume()
            .volume_id(volume.as_str())
            .instance_id(instance.as_str())
            .send()
            .await;
        classify::answer("ec2:DetachVolume", answer)
    }

    async fn keep_on_termination(
        &self,
        instance: &InstanceId,
        device: &str,
    ) -> Result<Answer, PortError> {
        let keep = EbsInstanceBlockDeviceSpecification::builder().delete_on_termination(false);
        let mapping = InstanceBlockDeviceMappingSpecification::builder()
            .device_name(device)
            .ebs(keep.build())
            .build();
        let answer = self
            .client
            .modify_instance_attribute()
            .instance_id(instance.as_str())
            .block_device_mappings(mapping)
            .send()
            .await;
        classify::answer("ec2:ModifyInstanceAttribute", answer)
    }

    async fn stop(&self, instance: &InstanceId) -> Result<Answer, PortError> {
        let answer = self.client.stop_instances().instance_ids(instance.as_str()).send().await;
        classify::answer("ec2:StopInstances", answer)
    }

    async fn tag(
        &self,
        resource: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Answer, PortError> {
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let answer = self
            .client
            .create_tags()
            .resources(resource)
            .set_tags(Some(tags.collect()))
            .send()
            .await;
        classify::answer("ec2:CreateTags", answer)
    }
}

fn filter(name: &str, values: impl IntoIterator<Item = impl ToString>) -> Filter {
    let values = values.into_iter().map(|value| value.to_string());
    Filter::builder().name(name).set_values(Some(values.collect())).build()
}
