//! EC2 behind [`Volumes`]. Never forces a detach, always names the instance to detach from, and deletes nothing.

mod convert;

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    EbsInstanceBlockDeviceSpecification, Filter, InstanceBlockDeviceMappingSpecification, Tag,
};
use volume_pool::ids::{DeviceName, InstanceId, PoolName, VolumeId};
use volume_pool::observation::{Instance, Volume, VolumeState, tags};
use volume_pool::ports::{Answer, PortError, Volumes};
use volume_pool::record::Place;

use crate::classify;
use crate::convert::unintelligible;

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
        const CALL: &str = "ec2:DescribeInstances";
        let reservations = self
            .client
            .describe_instances()
            .filters(filter("instance-id", [instance]))
            .into_paginator()
            .page_size(PAGE_SIZE)
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        reservations
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
            .find(|shown| shown.instance_id() == Some(instance.as_str()))
            .map(convert::instance)
            .transpose()
            .map_err(|problem| unintelligible(CALL, instance, problem))
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<BTreeMap<VolumeId, Volume>, PortError> {
        let mut found = BTreeMap::new();
        for some in ids.chunks(FILTER_VALUES) {
            let volumes = self.describe_volumes(vec![filter("volume-id", some)]).await?;
            found.extend(volumes.into_iter().map(|volume| (volume.id.clone(), volume)));
        }
        Ok(found)
    }

    async fn pool_volumes(
        &self,
        place: &Place,
        state: &VolumeState,
    ) -> Result<Vec<Volume>, PortError> {
        self.describe_volumes(vec![
            filter(&format!("tag:{}", tags::POOL), [&place.pool]),
            filter("availability-zone", [&place.zone]),
            filter("status", [convert::volume_state_text(state)]),
        ])
        .await
    }

    async fn every_pool_volume(&self, pool: &PoolName) -> Result<Vec<Volume>, PortError> {
        self.describe_volumes(vec![filter(&format!("tag:{}", tags::POOL), [pool])]).await
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
