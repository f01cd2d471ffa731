//! `DescribeInstances`: instances with the attachments that go with them, as describes show both.

use super::World;
use super::attachments::Attachment;
use super::errors::ApiError;
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, ids_named, passes};
use super::instances::{Instance, check_instance_id};
use super::launches::Market;
use super::tags::Tags;
use super::volumes::Volume;

/// An instance as describes show it, with the attachments that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// The instance.
    pub instance: Instance,
    /// Its attachments, by device.
    pub attachments: Vec<Attachment>,
}

impl Filtered for InstanceView {
    const NAMES: &'static [&'static str] = &[
        "availability-zone",
        "block-device-mapping.device-name",
        "block-device-mapping.status",
        "block-device-mapping.volume-id",
        "client-token",
        "image-id",
        "instance-id",
        "instance-lifecycle",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "key-name",
        "launch-time",
        "private-ip-address",
        "reservation-id",
        "root-device-name",
        "subnet-id",
    ];

    fn values_of(&self, name: &str) -> Vec<String> {
        let Self { instance, attachments } = self;
        let one = |value: &str| vec![value.to_owned()];
        match name {
            "availability-zone" => one(&instance.zone),
            "block-device-mapping.device-name" => {
                attachments.iter().map(|it| it.device.clone()).collect()
            }
            "block-device-mapping.status" => {
                attachments.iter().map(|it| it.state.as_str().to_owned()).collect()
            }
            "block-device-mapping.volume-id" => {
                attachments.iter().map(|it| it.volume.clone()).collect()
            }
            "client-token" => instance.client_token.iter().cloned().collect(),
            "image-id" => one(&instance.image_id),
            "instance-id" => one(&instance.id),
            "instance-lifecycle" => match instance.market {
                Market::OnDemand => Vec::new(),
                Market::Spot => one("spot"),
            },
            "instance-state-code" => vec![instance.state.number().to_string()],
            "instance-state-name" => one(instance.state.as_str()),
            "instance-type" => one(&instance.instance_type),
            "key-name" => instance.key_name.iter().cloned().collect(),
            "launch-time" => vec![instance.launched_at.to_string()],
            "private-ip-address" => one(&instance.private_ip),
            "reservation-id" => one(&instance.reservation),
            "root-device-name" => one(&instance.root_device),
            "subnet-id" => one(&instance.subnet),
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> &Tags {
        &self.instance.tags
    }
}

impl World {
    /// `DescribeInstances`, and what `DescribeInstanceStatus` is made from. One id that is not there fails the
    /// whole call.
    pub fn describe_instances(
        &self,
        ids: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<InstanceView>, ApiError> {
        check_ec2::<InstanceView>(filters)?;
        let volumes = self.volumes.all_shown(self.now);
        let shown = match ids_named(filters, "instance-id") {
            Some(named) if ids.is_empty() => self.instances.some_shown(named, self.now),
            Some(_) | None => self.instances_shown(ids)?,
        };
        let shown = shown.into_iter();
        let found = shown
            .map(|instance| view(instance, &volumes))
            .filter(|view| passes(view, filters))
            .collect();
        page.cut(found, self.config.page_limit, |view: &InstanceView| view.instance.id.clone())
    }

    /// The instances as describes show them: those that were named, or all.
    pub(super) fn instances_shown(&self, ids: &[String]) -> Result<Vec<&Instance>, ApiError> {
        for id in ids {
            check_instance_id(id)?;
        }
        let unknown = |id: &&String| self.instances.shown(id, self.now).is_none();
        let missing: Vec<String> = ids.iter().filter(unknown).cloned().collect();
        if !missing.is_empty() {
            return Err(ApiError::InstanceNotFound(missing));
        }
        let shown = self.instances.all_shown(self.now).into_iter();
        Ok(shown.filter(|instance| ids.is_empty() || ids.contains(&instance.id)).collect())
    }
}

fn view(instance: &Instance, volumes: &[&Volume]) -> InstanceView {
    let mut attachments: Vec<_> = volumes
        .iter()
        .flat_map(|volume| &volume.attachments)
        .filter(|attachment| attachment.instance == instance.id)
        .cloned()
        .collect();
    attachments.sort_by(|a, b| a.device.cmp(&b.device));
    InstanceView { instance: instance.clone(), attachments }
}
