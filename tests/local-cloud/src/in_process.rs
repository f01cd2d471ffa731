//! The door in process: the world behind the domain's ports. Every future is ready at once, so whoever drives it
//! decides when time passes.

mod commands;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::effect::Creation;
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::ids::{DeviceName, GroupName, InstanceId, PoolName, SlotId, VolumeId};
use volume_pool::observation::{
    Attachment, DeleteOnTermination, GroupInstance, GroupView, Hook, Instance, Volume, tags,
};
use volume_pool::policy::Template;
use volume_pool::ports::{Answer, Clock, LifecycleActions, PortError, Refusal, Volumes};
use volume_pool::record::Place;

use crate::gate::{Gate, Service};
use crate::world::{
    self, ActionName, ApiError, Breadth, CreateVolume, Detachment, Filter, LifecycleResult,
    PageRequest, VolumeSpecification, World,
};

/// As many values as EC2 takes for one filter.
const FILTER_VALUES: usize = 200;

/// The world, shared by those who look at it and those who change it.
#[derive(Debug, Clone)]
pub struct InProcess {
    world: Arc<Mutex<World>>,
    gate: Gate,
}

impl InProcess {
    /// A door to this world.
    pub fn new(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), gate: Gate::default() }
    }

    /// The gate that its calls come by.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The world itself.
    pub fn world(&self) -> MutexGuard<'_, World> {
        // A test that failed while it held the lock has said why already.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Volumes for InProcess {
    async fn instance(&self, instance: &InstanceId) -> Result<Option<Instance>, PortError> {
        let mut found = self.instances(std::slice::from_ref(instance)).await?;
        Ok(found.remove(instance))
    }

    async fn instances(
        &self,
        ids: &[InstanceId],
    ) -> Result<BTreeMap<InstanceId, Instance>, PortError> {
        self.gate.turn().await;
        let call = "ec2:DescribeInstances";
        let mut found = BTreeMap::new();
        for some in ids.chunks(FILTER_VALUES) {
            let values = some.iter().map(ToString::to_string).collect();
            let filter = Filter { name: "instance-id".to_owned(), values };
            let page = self
                .ec2(call, Breadth::Narrow)?
                .describe_instances(&[], &[filter], &PageRequest::default())
                .map_err(|error| unanswered(call, &error))?;
            for view in page.items {
                let instance = instance_seen(view)?;
                found.insert(instance.id.clone(), instance);
            }
        }
        Ok(found)
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<BTreeMap<VolumeId, Volume>, PortError> {
        self.gate.turn().await;
        let mut found = BTreeMap::new();
        for some in ids.chunks(FILTER_VALUES) {
            let values = some.iter().map(ToString::to_string).collect();
            let filter = Filter { name: "volume-id".to_owned(), values };
            let volumes = self.every_volume(&[filter])?.into_iter();
            found.extend(volumes.map(|volume| (volume.id.clone(), volume)));
        }
        Ok(found)
    }

    async fn available_volumes(&self, place: &Place) -> Result<Vec<Volume>, PortError> {
        self.gate.turn().await;
        self.every_volume(&[
            Filter::new(&format!("tag:{}", tags::POOL), place.pool.as_str()),
            Filter::new("availability-zone", place.zone.as_str()),
            Filter::new("status", "available"),
        ])
    }

    async fn every_pool_volume(&self, pool: &PoolName) -> Result<Vec<Volume>, PortError> {
        self.gate.turn().await;
        self.every_volume(&[Filter::new(&format!("tag:{}", tags::POOL), pool.as_str())])
    }

    async fn slot_volumes(&self, slot: &SlotId) -> Result<Vec<Volume>, PortError> {
        self.gate.turn().await;
        self.every_volume(&[Filter::new(&format!("tag:{}", tags::SLOT), &slot.to_string())])
    }

    async fn create(&self, creation: &Creation) -> Result<Result<VolumeId, Refusal>, PortError> {
        let like = creation.like.clone();
        let request = CreateVolume {
            zone: creation.zone.to_string(),
            specification: VolumeSpecification {
                size_gib: Some(like.size_gib),
                volume_type: Some(like.volume_type),
                iops: like.iops,
                throughput: like.throughput,
                encrypted: Some(like.encrypted),
                kms_key_id: like.kms_key_id,
                ..VolumeSpecification::default()
            },
            tags: creation.tags.clone(),
            client_token: Some(creation.token.clone()),
        };
        let created = self.ec2("ec2:CreateVolume", Breadth::Narrow)?.create_volume(request);
        match created {
            Ok(volume) => {
                let id = volume.id.parse();
                id.map(Ok).map_err(|error| unanswered("ec2:CreateVolume", &error))
            }
            Err(error) => Ok(Err(refusal(&error))),
        }
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<Answer, PortError> {
        let mut world = self.ec2("ec2:AttachVolume", Breadth::Narrow)?;
        let answer = world.attach_volume(volume.as_str(), instance.as_str(), device.as_str());
        Ok(answer.map(drop).map_err(|error| refusal(&error)))
    }

    async fn detach(&self, volume: &VolumeId, instance: &InstanceId) -> Result<Answer, PortError> {
        let answer = self.ec2("ec2:DetachVolume", Breadth::Narrow)?.detach_volume(
            volume.as_str(),
            Some(instance.as_str()),
            None,
            Detachment::Clean,
        );
        Ok(answer.map(drop).map_err(|error| match error {
            ApiError::IncorrectState(text) if text.contains("'available'") => Refusal::NotAttached,
            ApiError::AttachmentNotFound { .. } => Refusal::NotAttached,
            error => refusal(&error),
        }))
    }

    async fn keep_on_termination(
        &self,
        instance: &InstanceId,
        device: &str,
    ) -> Result<Answer, PortError> {
        let change = [(device.to_owned(), None, false)];
        let mut world = self.ec2("ec2:ModifyInstanceAttribute", Breadth::Narrow)?;
        let answer = world.set_delete_on_termination(instance.as_str(), &change);
        Ok(answer.map_err(|error| refusal(&error)))
    }

    async fn stop(&self, instance: &InstanceId) -> Result<Answer, PortError> {
        let mut world = self.ec2("ec2:StopInstances", Breadth::Narrow)?;
        let answer = world.stop_instances(&[instance.to_string()]);
        Ok(answer.map(drop).map_err(|error| refusal(&error)))
    }

    async fn tag(
        &self,
        resource: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Answer, PortError> {
        let mut world = self.ec2("ec2:CreateTags", Breadth::Narrow)?;
        let answer = world.create_tags(&[resource.to_owned()], tags);
        Ok(answer.map_err(|error| refusal(&error)))
    }
}

impl InProcess {
    /// The world for one call of EC2, if EC2 takes it.
    fn ec2(
        &self,
        call: &'static str,
        breadth: Breadth,
    ) -> Result<MutexGuard<'_, World>, PortError> {
        self.gate.admit(Service::Ec2, call)?;
        let mut world = self.world();
        let action = call.trim_start_matches("ec2:");
        world.admit_ec2(action, breadth).map_err(|error| unanswered(call, &error))?;
        Ok(world)
    }

    /// The world for one call of Auto Scaling, if Auto Scaling takes it.
    fn auto_scaling(&self, call: &'static str) -> Result<MutexGuard<'_, World>, PortError> {
        self.gate.admit(Service::AutoScaling, call)?;
        let mut world = self.world();
        let action = call.trim_start_matches("autoscaling:");
        world.admit_auto_scaling(action).map_err(|error| unanswered(call, &error))?;
        Ok(world)
    }

    /// `DescribeVolumes` to the last page.
    fn every_volume(&self, filters: &[Filter]) -> Result<Vec<Volume>, PortError> {
        let call = "ec2:DescribeVolumes";
        let mut page = PageRequest { max_results: Some(500), next_token: None };
        let mut found = Vec::new();
        loop {
            let answer = self
                .ec2(call, Breadth::Narrow)?
                .describe_volumes(&[], filters, &page)
                .map_err(|error| unanswered(call, &error))?;
            for volume in answer.items {
                found.push(volume_seen(volume)?);
            }
            match answer.next_token {
                Some(token) => page.next_token = Some(token),
                None => return Ok(found),
            }
        }
    }
}

impl LifecycleActions for InProcess {
    async fn group_instance(
        &self,
        instance: &InstanceId,
    ) -> Result<Option<GroupInstance>, PortError> {
        self.gate.turn().await;
        let call = "autoscaling:DescribeAutoScalingInstances";
        let page = self
            .auto_scaling(call)?
            .describe_group_instances(&[instance.to_string()], &PageRequest::default())
            .map_err(|error| unanswered(call, &error))?;
        page.items.first().map(|view| member_seen(&view.group, &view.member)).transpose()
    }

    async fn group_instances(
        &self,
        ids: &[InstanceId],
    ) -> Result<BTreeMap<InstanceId, GroupInstance>, PortError> {
        self.gate.turn().await;
        let call = "autoscaling:DescribeAutoScalingInstances";
        let mut found = BTreeMap::new();
        // `DescribeAutoScalingInstances` takes 50 ids.
        for some in ids.chunks(50) {
            let ids: Vec<String> = some.iter().map(ToString::to_string).collect();
            let page = self
                .auto_scaling(call)?
                .describe_group_instances(&ids, &PageRequest::default())
                .map_err(|error| unanswered(call, &error))?;
            for view in page.items {
                let id = view.member.instance.parse().map_err(|error| unanswered(call, &error))?;
                found.insert(id, member_seen(&view.group, &view.member)?);
            }
        }
        Ok(found)
    }

    async fn group(&self, group: &GroupName) -> Result<Option<GroupView>, PortError> {
        self.gate.turn().await;
        let found = self.every_group(&[group.to_string()], &[])?;
        Ok(found.into_iter().next())
    }

    async fn enrolled_groups(&self) -> Result<Vec<GroupView>, PortError> {
        self.gate.turn().await;
        self.every_group(&[], &[Filter::new("tag-key", tags::POOL)])
    }

    async fn hooks(&self, group: &GroupName) -> Result<Vec<Hook>, PortError> {
        self.gate.turn().await;
        let call = "autoscaling:DescribeLifecycleHooks";
        let hooks = self
            .auto_scaling(call)?
            .describe_lifecycle_hooks(group.as_str(), &[])
            .map_err(|error| unanswered(call, &error))?;
        let seen = hooks.into_iter().map(|hook| {
            let seconds = |number: u32| Duration::from_secs(u64::from(number));
            Ok(Hook {
                heartbeat_timeout: seconds(hook.heartbeat_timeout),
                global_timeout: seconds(hook.global_timeout()),
                name: hook.name.parse().map_err(|error| unanswered(call, &error))?,
                transition: match hook.transition {
                    world::Transition::Launching => Transition::Launching,
                    world::Transition::Terminating => Transition::Terminating,
                },
                metadata: hook.metadata,
            })
        });
        seen.collect()
    }

    async fn complete(
        &self,
        instance: &InstanceId,
        action: &Action,
        result: ActionResult,
    ) -> Result<Answer, PortError> {
        let result = match result {
            ActionResult::Continue => LifecycleResult::Continue,
            ActionResult::Abandon => LifecycleResult::Abandon,
        };
        let (group, hook) = (action.group.as_str(), action.hook.as_str());
        let mut world = self.auto_scaling("autoscaling:CompleteLifecycleAction")?;
        let answer = world.complete_lifecycle_action(group, hook, named(instance, action), result);
        Ok(answer.map_err(|error| no_action(&error)))
    }

    async fn heartbeat(&self, instance: &InstanceId, action: &Action) -> Result<Answer, PortError> {
        let (group, hook) = (action.group.as_str(), action.hook.as_str());
        let mut world = self.auto_scaling("autoscaling:RecordLifecycleActionHeartbeat")?;
        let answer = world.record_lifecycle_action_heartbeat(group, hook, named(instance, action));
        Ok(answer.map_err(|error| no_action(&error)))
    }
}

impl InProcess {
    /// `DescribeAutoScalingGroups` to the last page.
    fn every_group(
        &self,
        names: &[String],
        filters: &[Filter],
    ) -> Result<Vec<GroupView>, PortError> {
        let call = "autoscaling:DescribeAutoScalingGroups";
        let mut page = PageRequest { max_results: Some(100), next_token: None };
        let mut found = Vec::new();
        loop {
            let answer = self
                .auto_scaling(call)?
                .describe_groups(names, filters, &page)
                .map_err(|error| unanswered(call, &error))?;
            for group in &answer.items {
                found.push(group_seen(group)?);
            }
            match answer.next_token {
                Some(token) => page.next_token = Some(token),
                None => return Ok(found),
            }
        }
    }
}

impl Clock for InProcess {
    fn now(&self) -> Timestamp {
        self.world().now()
    }

    /// Time passes outside: whoever drives the machine lets it.
    async fn pause(&self, _: Duration) {}
}

fn named<'a>(instance: &'a InstanceId, action: &'a Action) -> ActionName<'a> {
    ActionName {
        token: action.token.as_ref().map(volume_pool::ids::ActionToken::as_str),
        instance: Some(instance.as_str()),
    }
}

fn no_action(error: &ApiError) -> Refusal {
    let text = error.to_string();
    if text.starts_with("No active Lifecycle Action found") {
        Refusal::NoActiveAction
    } else {
        Refusal::Other(text)
    }
}

fn refusal(error: &ApiError) -> Refusal {
    match error {
        ApiError::VolumeInUse(_) => Refusal::AlreadyAttached,
        ApiError::DeviceInUse(_) => Refusal::DeviceInUse,
        ApiError::IncorrectState(text) => Refusal::IncorrectState(text.clone()),
        ApiError::IncorrectInstanceState { .. } => Refusal::IncorrectState(error.to_string()),
        ApiError::AttachmentNotFound { .. } => Refusal::NotAttached,
        ApiError::VolumeNotFound(_) | ApiError::InstanceNotFound(_) => Refusal::NotFound,
        ApiError::AttachmentLimitExceeded(_) => Refusal::LimitExceeded,
        ApiError::IdempotentParameterMismatch(_) => Refusal::TokenBurned,
        ApiError::VolumeLimitExceeded { .. } => Refusal::QuotaExceeded(error.to_string()),
        ApiError::UnsupportedOperation(text) => Refusal::Unsupported(text.clone()),
        error => Refusal::Other(error.to_string()),
    }
}

fn unanswered(call: &'static str, problem: &impl ToString) -> PortError {
    PortError::Transient { call, problem: problem.to_string() }
}

fn instance_seen(view: world::InstanceView) -> Result<Instance, PortError> {
    let call = "ec2:DescribeInstances";
    Ok(Instance {
        id: view.instance.id.parse().map_err(|error| unanswered(call, &error))?,
        zone: view.instance.zone.parse().map_err(|error| unanswered(call, &error))?,
        state: view.instance.state.as_str().into(),
        devices: view.attachments.into_iter().map(|attachment| attachment.device).collect(),
        tags: view.instance.tags,
    })
}

fn member_seen(group: &str, member: &world::Member) -> Result<GroupInstance, PortError> {
    let call = "autoscaling:DescribeAutoScalingInstances";
    Ok(GroupInstance {
        group: group.parse().map_err(|error| unanswered(call, &error))?,
        zone: member.zone.parse().map_err(|error| unanswered(call, &error))?,
        state: member.state.as_str().into(),
    })
}

fn group_seen(group: &world::Group) -> Result<GroupView, PortError> {
    let call = "autoscaling:DescribeAutoScalingGroups";
    let members = group.members.values().map(|member| {
        let id = member.instance.parse().map_err(|error| unanswered(call, &error))?;
        Ok((id, member_seen(&group.name, member)?))
    });
    Ok(GroupView {
        name: group.name.parse().map_err(|error| unanswered(call, &error))?,
        pool_tag: group.tags.get(tags::POOL).map(|tag| tag.value.clone()),
        max_size: group.max_size,
        desired: group.desired_capacity,
        members: members.collect::<Result<_, PortError>>()?,
    })
}

fn volume_seen(volume: world::Volume) -> Result<Volume, PortError> {
    let call = "ec2:DescribeVolumes";
    let attachments = volume.attachments.into_iter().map(|attachment| {
        Ok(Attachment {
            instance: Some(attachment.instance.parse().map_err(|error| unanswered(call, &error))?),
            device: attachment.device,
            state: attachment.state.as_str().into(),
            delete_on_termination: if attachment.delete_on_termination {
                DeleteOnTermination::Delete
            } else {
                DeleteOnTermination::Keep
            },
            attached_at: attachment.attached_at,
        })
    });
    Ok(Volume {
        id: volume.id.parse().map_err(|error| unanswered(call, &error))?,
        zone: volume.zone.parse().map_err(|error| unanswered(call, &error))?,
        state: volume.state.as_str().into(),
        multi_attach: volume.multi_attach,
        attachments: attachments.collect::<Result<_, PortError>>()?,
        tags: volume.tags,
        created_at: volume.created_at,
        like: Template {
            volume_type: volume.volume_type,
            size_gib: volume.size_gib,
            iops: volume.iops,
            throughput: volume.throughput,
            encrypted: volume.encrypted,
            kms_key_id: volume.kms_key_id,
            tags: BTreeMap::new(),
        },
    })
}
