//! An AWS account as a user of it sees it: SDK clients, and the few calls that a stateful group takes. The demo and
//! the end-to-end tests are written on it, so that they run against local-cloud or any other endpoint.

pub mod host;
pub mod timeline;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use aws_sdk_autoscaling::types::{LaunchTemplateSpecification, LifecycleHookSpecification};
use aws_sdk_ec2::types::{
    Filter, LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceMetadataTagsState,
    RequestLaunchTemplateData, ResourceType, Tag, TagSpecification, Volume, VolumeType,
};
use serde_dynamo::aws_sdk_dynamodb_1::from_attribute_value;
use volume_pool::record::Record;

/// Any error: these are tests and a demo, which only report it.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The clients of one account.
#[derive(Debug, Clone)]
pub struct Account {
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// Auto Scaling.
    pub auto_scaling: aws_sdk_autoscaling::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// STS.
    pub sts: aws_sdk_sts::Client,
}

/// A group to be created.
#[derive(Debug, Clone, Copy)]
pub struct GroupPlan<'a> {
    /// Its name, its launch template's, and its pool's.
    pub name: &'a str,
    /// How many instances it is to have; it may have two more.
    pub size: i32,
    /// Its zones.
    pub zones: &'a [&'a str],
    /// The launch hook's metadata: the policy.
    pub metadata: Option<&'a str>,
    /// After how long both hooks time out.
    pub heartbeat_seconds: i32,
}

/// An instance of a group, with what Auto Scaling shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub instance: String,
    /// Its zone.
    pub zone: String,
    /// Its lifecycle state.
    pub state: String,
}

/// A volume of the pool, with what EC2 shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub volume: String,
    /// Its zone.
    pub zone: String,
    /// The slot that its tag names.
    pub slot: Option<String>,
    /// The instance that it is attached to.
    pub instance: Option<String>,
    /// Whether it would be deleted with that instance.
    pub deleted_with_instance: bool,
}

impl Account {
    /// The account that these variables point at (`AWS_ENDPOINT_URL`, region, credentials).
    pub async fn at(variables: &[(&'static str, String)]) -> Self {
        let value = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        let credentials = aws_sdk_ec2::config::Credentials::new(
            value("AWS_ACCESS_KEY_ID"),
            value("AWS_SECRET_ACCESS_KEY"),
            None,
            None,
            "local-cloud",
        );
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .endpoint_url(value("AWS_ENDPOINT_URL"))
            .region(aws_config::Region::new(value("AWS_REGION")))
            .credentials_provider(credentials)
            .load()
            .await;
        Self::of(&config)
    }

    /// The account that the environment points at, as for any AWS program.
    pub async fn from_environment() -> Self {
        Self::of(&aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await)
    }

    fn of(config: &aws_config::SdkConfig) -> Self {
        Self {
            ec2: aws_sdk_ec2::Client::new(config),
            auto_scaling: aws_sdk_autoscaling::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
        }
    }

    /// Creates a volume with the pool's tag.
    pub async fn tagged_volume(&self, pool: &str, zone: &str) -> Result<String, Failure> {
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Volume)
            .tags(Tag::builder().key("stateful-asg:pool").value(pool).build())
            .build();
        let created = self
            .ec2
            .create_volume()
            .availability_zone(zone)
            .size(10)
            .volume_type(VolumeType::Gp3)
            .tag_specifications(tags)
            .send()
            .await?;
        Ok(created.volume_id.ok_or("CreateVolume gave no id")?)
    }

    /// Creates a group of `size` over `zones`, with a launch template and both hooks from the start.
    pub async fn stateful_group(
        &self,
        name: &str,
        size: i32,
        zones: &[&str],
        policy: &str,
    ) -> Result<(), Failure> {
        let plan = GroupPlan { name, size, zones, metadata: Some(policy), heartbeat_seconds: 300 };
        self.create_group(&plan).await
    }

    /// Creates a group with a launch template and both hooks from the start.
    pub async fn create_group(&self, plan: &GroupPlan<'_>) -> Result<(), Failure> {
        let GroupPlan { name, size, zones, metadata, heartbeat_seconds } = *plan;
        let images =
            self.ec2.describe_images().owners("amazon").send().await?.images.unwrap_or_default();
        let image = images
            .into_iter()
            .find_map(|image| image.image_id)
            .ok_or("DescribeImages gave none")?;
        // So an instance reads from its metadata service which slot it has.
        let readable = LaunchTemplateInstanceMetadataOptionsRequest::builder()
            .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Enabled)
            .build();
        let data = RequestLaunchTemplateData::builder()
            .metadata_options(readable)
            .image_id(image)
            .instance_type(aws_sdk_ec2::types::InstanceType::from("m7i.large"))
            .build();
        self.ec2
            .create_launch_template()
            .launch_template_name(name)
            .launch_template_data(data)
            .send()
            .await?;
        let hook = |name: &str, transition: &str, metadata: Option<&str>| {
            LifecycleHookSpecification::builder()
                .lifecycle_hook_name(name)
                .lifecycle_transition(transition)
                .heartbeat_timeout(heartbeat_seconds)
                .set_notification_metadata(metadata.map(str::to_owned))
                .build()
        };
        self.auto_scaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(name)
            .launch_template(
                LaunchTemplateSpecification::builder().launch_template_name(name).build(),
            )
            .min_size(0)
            .max_size(size + 2)
            .desired_capacity(size)
            .health_check_grace_period(0)
            .tags(
                aws_sdk_autoscaling::types::Tag::builder()
                    .key("stateful-asg:pool")
                    .value(name)
                    .propagate_at_launch(false)
                    .build(),
            )
            .set_availability_zones(Some(zones.iter().map(|zone| (*zone).to_owned()).collect()))
            .lifecycle_hook_specification_list(hook(
                "stateful-asg-launch",
                "autoscaling:EC2_INSTANCE_LAUNCHING",
                metadata,
            ))
            .lifecycle_hook_specification_list(hook(
                "stateful-asg-terminate",
                "autoscaling:EC2_INSTANCE_TERMINATING",
                None,
            ))
            .send()
            .await?;
        Ok(())
    }

    /// The instances of a group, by zone.
    pub async fn members(&self, group: &str) -> Result<Vec<Member>, Failure> {
        let groups = self
            .auto_scaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(group)
            .send()
            .await?;
        let group = groups
            .auto_scaling_groups
            .unwrap_or_default()
            .into_iter()
            .next()
            .ok_or("no such group")?;
        let mut members: Vec<Member> = group
            .instances
            .unwrap_or_default()
            .into_iter()
            .map(|instance| Member {
                instance: instance.instance_id.unwrap_or_default(),
                zone: instance.availability_zone.unwrap_or_default(),
                state: instance
                    .lifecycle_state
                    .map(|state| state.as_str().to_owned())
                    .unwrap_or_default(),
            })
            .collect();
        members.sort_by(|a, b| (&a.zone, &a.instance).cmp(&(&b.zone, &b.instance)));
        Ok(members)
    }

    /// The volumes with the pool's tag, by zone.
    pub async fn pool(&self, pool: &str) -> Result<Vec<Held>, Failure> {
        let filter = Filter::builder().name("tag:stateful-asg:pool").values(pool).build();
        let mut pages = self.ec2.describe_volumes().filters(filter).into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(volume) = pages.try_next().await? {
            found.push(held(volume));
        }
        found.sort_by(|a: &Held, b: &Held| (&a.zone, &a.volume).cmp(&(&b.zone, &b.volume)));
        Ok(found)
    }

    /// Every record of the lease table.
    pub async fn records(&self, table: &str) -> Result<Vec<Record>, Failure> {
        let scan = self.dynamodb.scan().table_name(table).consistent_read(true);
        let mut pages = scan.into_paginator().items().send();
        let mut records = Vec::new();
        while let Some(mut item) = pages.try_next().await? {
            let record = item.remove("record").ok_or("an item of the table holds no record")?;
            records.push(from_attribute_value(record)?);
        }
        Ok(records)
    }
}

/// Which instance holds each volume, where one does.
pub fn holders(pool: &[Held]) -> BTreeMap<String, String> {
    pool.iter().filter_map(|held| Some((held.volume.clone(), held.instance.clone()?))).collect()
}

fn held(volume: Volume) -> Held {
    let tags = volume.tags.unwrap_or_default();
    let slot = tags
        .into_iter()
        .find(|tag| tag.key() == Some("stateful-asg:slot"))
        .and_then(|tag| tag.value);
    let attached = volume.attachments.unwrap_or_default().into_iter().next();
    Held {
        volume: volume.volume_id.unwrap_or_default(),
        zone: volume.availability_zone.unwrap_or_default(),
        slot,
        deleted_with_instance: attached
            .as_ref()
            .and_then(|attachment| attachment.delete_on_termination)
            .unwrap_or_default(),
        instance: attached.and_then(|attachment| attachment.instance_id),
    }
}

/// A binary of this workspace, beside the running one: they are built together.
pub fn binary(name: &str) -> Result<PathBuf, Failure> {
    let running = std::env::current_exe()?;
    let folders = running.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        format!(
            "there is no binary {name} beside {}; run `cargo build --workspace` first",
            running.display()
        )
        .into()
    })
}
