//! Where a probe takes place: a group, instances and volumes of its own, made by the account's own calls, and what is seen
//! of them.

use std::fmt;
use std::time::Duration;

use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_autoscaling::types::{LaunchTemplateSpecification, LifecycleHookSpecification, Tag};
use aws_sdk_ec2::types::{
    self as ec2, Filter, InstanceType, RequestLaunchTemplateData, ResourceType, TagSpecification,
    VolumeType,
};

use crate::pace::{Clock, Pace};
use crate::{Account, Failure, LIMIT, PATIENCE, Run};

/// The tag of everything that a run makes; its value is the run's name.
pub(crate) const RUN_TAG: &str = "stateful-asg-verify";
/// The tag by which policies know a pool's volumes.
pub(crate) const POOL_TAG: &str = "stateful-asg:pool";
/// How long a hook waits: a run that is cut off leaves nothing that waits for longer.
const HEARTBEAT_SECONDS: i32 = 600;
const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// The smallest that there is on Nitro, so that volumes are attached as on larger ones.
const INSTANCE_TYPE: &str = "t4g.nano";
/// Amazon Linux 2023 for it, without what is not needed.
const IMAGE: &str = "al2023-ami-minimal-2023.*-arm64";

/// A hook of a group, by the transition that it waits on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    Launch(&'static str),
    Terminate(&'static str),
}

/// The place of one probe.
#[derive(Debug)]
pub struct Scene {
    pub(crate) account: Account,
    pub(crate) role: Option<String>,
    /// The zones that there are, in order.
    pub(crate) zones: Vec<String>,
    run: String,
    name: String,
    image: String,
    pace: Pace,
}

impl Scene {
    /// Looks where instances can be launched.
    pub(crate) async fn prepare(run: &Run, probe: &str) -> Result<Self, Failure> {
        let account = run.account.clone();
        let default = Filter::builder().name("default-for-az").values("true").build();
        let subnets = account.ec2.describe_subnets().filters(default).send().await?;
        let zones = subnets.subnets.unwrap_or_default().into_iter();
        let mut zones: Vec<String> = zones.filter_map(|it| it.availability_zone).collect();
        zones.sort();
        if zones.len() < 2 {
            return Err("this takes a default VPC with subnets in two zones or more".into());
        }
        let by_name = Filter::builder().name("name").values(IMAGE).build();
        let images = account.ec2.describe_images().owners("amazon").filters(by_name).send().await?;
        let mut images = images.images.unwrap_or_default();
        images.sort_by(|a, b| a.creation_date.cmp(&b.creation_date));
        let image = images.pop().and_then(|it| it.image_id);
        Ok(Self {
            image: image.ok_or_else(|| format!("there is no image {IMAGE}"))?,
            name: format!("{}{probe}", prefix(&run.name)),
            run: run.name.clone(),
            role: run.role.clone(),
            pace: Pace { speed: run.speed },
            account,
            zones,
        })
    }

    /// The zone of most of what is made.
    pub(crate) fn zone(&self) -> &str {
        self.zones.first().map(String::as_str).unwrap_or_default()
    }

    /// The run's name.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// The name of the probe's group, and of whatever else is there once.
    pub(crate) fn group(&self) -> &str {
        &self.name
    }

    /// Creates the group, wanting one instance, with these hooks from the start.
    pub(crate) async fn create_group(&self, hooks: &[Hook]) -> Result<(), Failure> {
        let data = RequestLaunchTemplateData::builder()
            .image_id(&self.image)
            .instance_type(InstanceType::from(INSTANCE_TYPE))
            .build();
        self.account
            .ec2
            .create_launch_template()
            .launch_template_name(&self.name)
            .launch_template_data(data)
            .tag_specifications(self.tags(ResourceType::LaunchTemplate, &[]))
            .send()
            .await?;
        let hooks = hooks.iter().map(|hook| {
            let (name, transition, result) = match hook {
                Hook::Launch(name) => (name, LAUNCHING, "ABANDON"),
                Hook::Terminate(name) => (name, TERMINATING, "CONTINUE"),
            };
            LifecycleHookSpecification::builder()
                .lifecycle_hook_name(*name)
                .lifecycle_transition(transition)
                .default_result(result)
                .heartbeat_timeout(HEARTBEAT_SECONDS)
                .build()
        });
        let tag = Tag::builder().key(RUN_TAG).value(&self.run).propagate_at_launch(true).build();
        let template =
            LaunchTemplateSpecification::builder().launch_template_name(&self.name).build();
        self.account
            .auto_scaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(&self.name)
            .launch_template(template)
            .min_size(0)
            .max_size(2)
            .desired_capacity(1)
            .health_check_grace_period(0)
            .availability_zones(self.zone())
            .tags(tag)
            .set_lifecycle_hook_specification_list(Some(hooks.collect()))
            .send()
            .await?;
        Ok(())
    }

    /// Launches an instance that no group has.
    pub(crate) async fn run_instance(&self) -> Result<String, Failure> {
        let place = ec2::Placement::builder().availability_zone(self.zone()).build();
        let launched = self
            .account
            .ec2
            .run_instances()
            .image_id(&self.image)
            .instance_type(InstanceType::from(INSTANCE_TYPE))
            .placement(place)
            .min_count(1)
            .max_count(1)
            .tag_specifications(self.tags(ResourceType::Instance, &[]))
            .send()
            .await?;
        let instance = launched.instances.unwrap_or_default().into_iter().next();
        Ok(instance.and_then(|it| it.instance_id).ok_or("RunInstances gave no instance")?)
    }

    /// Creates a volume of one GiB, and waits until it is available.
    pub(crate) async fn volume(
        &self,
        zone: &str,
        tags: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let created = self
            .account
            .ec2
            .create_volume()
            .availability_zone(zone)
            .size(1)
            .volume_type(VolumeType::Gp3)
            .tag_specifications(self.tags(ResourceType::Volume, tags))
            .send()
            .await?;
        let volume = created.volume_id.ok_or("CreateVolume gave no id")?;
        self.volume_is(&volume, "available").await?;
        Ok(volume)
    }

    pub(crate) fn tags(&self, kind: ResourceType, more: &[(&str, &str)]) -> TagSpecification {
        let pairs = more.iter().copied().chain([(RUN_TAG, self.run.as_str())]);
        let tags = pairs.map(|(key, value)| ec2::Tag::builder().key(key).value(value).build());
        TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
    }

    /// The group's instances, with their lifecycle states; those in its warm pool included.
    pub(crate) async fn members(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut pages = self
            .account
            .auto_scaling
            .describe_auto_scaling_instances()
            .into_paginator()
            .items()
            .send();
        let mut members = Vec::new();
        while let Some(member) = pages.try_next().await? {
            if member.auto_scaling_group_name() == Some(self.group()) {
                let state = member.lifecycle_state().unwrap_or_default().to_owned();
                members.push((member.instance_id().unwrap_or_default().to_owned(), state));
            }
        }
        Ok(members)
    }

    /// The state of an instance in its group, if it is in there.
    pub(crate) async fn member_state(&self, instance: &str) -> Result<Option<String>, Failure> {
        let members = self.members().await?;
        Ok(members.into_iter().find(|(id, _)| id == instance).map(|(_, state)| state))
    }

    /// Waits until an instance of the group has this state, and gives the first that has it.
    pub(crate) async fn one_is(&self, state: &str) -> Result<String, Failure> {
        let found = self
            .until(LIMIT, async || {
                let members = self.members().await?;
                Ok(members.into_iter().find(|(_, it)| it == state).map(|(id, _)| id))
            })
            .await?;
        Ok(found.ok_or_else(|| format!("no instance of the group got to be {state}"))?)
    }

    /// Waits until this instance of the group has one of these states; gives it, or nothing when it does not come.
    pub(crate) async fn becomes(
        &self,
        instance: &str,
        states: &[&str],
    ) -> Result<Option<String>, Failure> {
        self.until(PATIENCE, async || {
            let state = self.member_state(instance).await?;
            Ok(state.filter(|state| states.contains(&state.as_str())))
        })
        .await
    }

    /// The state of an instance in EC2.
    pub(crate) async fn instance_state(&self, instance: &str) -> Result<String, Failure> {
        let described = self.account.ec2.describe_instances().instance_ids(instance).send().await;
        let Some(described) = unless_unknown(described)? else {
            return Ok(String::new());
        };
        let reservations = described.reservations.unwrap_or_default().into_iter();
        let state = reservations.flat_map(|it| it.instances.unwrap_or_default()).next();
        let state = state.and_then(|it| it.state).and_then(|it| it.name);
        Ok(state.map(|it| it.as_str().to_owned()).unwrap_or_default())
    }

    /// Waits until EC2 shows an instance so. False when it does not come to that.
    pub(crate) async fn instance_is(&self, instance: &str, state: &str) -> Result<bool, Failure> {
        let found = self.until(LIMIT, async || {
            Ok((self.instance_state(instance).await? == state).then_some(()))
        });
        Ok(found.await?.is_some())
    }

    /// Waits until EC2 shows a volume so, as in `available`, or its attachment so, as in `attached`.
    pub(crate) async fn volume_is(&self, volume: &str, state: &str) -> Result<(), Failure> {
        let found = self.until(LIMIT, async || {
            let described = self.account.ec2.describe_volumes().volume_ids(volume).send().await;
            let described = unless_unknown(described)?.and_then(|it| it.volumes);
            let Some(shown) = described.unwrap_or_default().into_iter().next() else {
                return Ok(None);
            };
            let attachment = shown.attachments().first().and_then(|it| it.state());
            let volume = shown.state().map(ec2::VolumeState::as_str);
            let is = volume == Some(state) || attachment.is_some_and(|it| it.as_str() == state);
            Ok(is.then_some(()))
        });
        Ok(found.await?.ok_or_else(|| format!("a volume did not get to be {state}"))?)
    }

    /// Answers the action of a hook for an instance; gives what Auto Scaling said.
    pub(crate) async fn answer(
        &self,
        hook: &str,
        instance: &str,
        result: &str,
    ) -> Result<String, Failure> {
        let answered = self
            .account
            .auto_scaling
            .complete_lifecycle_action()
            .auto_scaling_group_name(self.group())
            .lifecycle_hook_name(hook)
            .instance_id(instance)
            .lifecycle_action_result(result)
            .send()
            .await;
        said(answered)
    }

    /// Has the group terminate an instance, and want one less.
    pub(crate) async fn take_out(&self, instance: &str) -> Result<(), Failure> {
        let take = self.account.auto_scaling.terminate_instance_in_auto_scaling_group();
        take.instance_id(instance).should_decrement_desired_capacity(true).send().await?;
        Ok(())
    }

    /// Has the group want so many instances.
    pub(crate) async fn want(&self, size: i32) -> Result<(), Failure> {
        let want = self.account.auto_scaling.set_desired_capacity();
        want.auto_scaling_group_name(self.group()).desired_capacity(size).send().await?;
        Ok(())
    }

    /// Looks until something is found, for so long in AWS's time.
    pub(crate) async fn until<T>(
        &self,
        limit: Duration,
        look: impl AsyncFn() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.pace.until(limit, look).await
    }

    /// Starts a clock that counts in AWS's time.
    pub(crate) fn clock(&self) -> Clock {
        self.pace.clock()
    }
}

/// What the names begin with that a run gives.
pub(crate) fn prefix(run: &str) -> String {
    format!("verify-{run}-")
}

/// Nothing where EC2 does not know yet what it has just made (Amazon EC2 Developer Guide, "Eventual consistency").
fn unless_unknown<T, E>(answer: Result<T, SdkError<E>>) -> Result<Option<T>, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code().is_some_and(|code| code.ends_with(".NotFound")) => Ok(None),
        Err(error) => Err(Box::new(error)),
    }
}

/// An answer as it can be compared: `accepted`, or the error's code with the beginning of what it says, without ids. An error
/// without a code is a failure: nobody answered.
pub(crate) fn said<T, E>(answer: Result<T, SdkError<E>>) -> Result<String, Failure>
where
    E: ProvideErrorMetadata + fmt::Debug + std::error::Error + Send + Sync + 'static,
{
    let Err(error) = answer else {
        return Ok("accepted".to_owned());
    };
    match error.code() {
        // Auto Scaling has this one code for nearly everything; what it says tells them apart.
        Some("ValidationError") => {
            let message = error.message().unwrap_or_default();
            let beginning = message.split(" with ").next().unwrap_or_default();
            Ok(format!("ValidationError: {beginning}"))
        }
        Some(code) => Ok(code.to_owned()),
        None => Err(Box::new(error)),
    }
}
