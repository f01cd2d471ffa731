//! EC2 instances: their states and how they pass from one to the next. What a group makes of a state is the
//! group's business.

use volume_pool::Timestamp;

use super::World;
use super::attachments::AttachmentState;
use super::due::Due;
use super::errors::ApiError;
use super::events::Subject;
use super::filters::{Filter, Filtered, Page, PageRequest, check, passes};
use super::tags::{Tags, check_tags};
use super::templates::TemplateReference;
use super::volumes::{Volume, VolumeSpecification, VolumeState};

/// The state of an instance (`InstanceState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// Starting.
    Pending,
    /// Running.
    Running,
    /// On its way to termination; its volumes are still attached.
    ShuttingDown,
    /// Gone; it stays in describes for about an hour.
    Terminated,
    /// On its way to `stopped`; services end and filesystems are unmounted.
    Stopping,
    /// Stopped.
    Stopped,
}

impl InstanceState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The state's number, as `InstanceState.Code`.
    pub fn number(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }
}

/// What EC2's status checks say of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChecks {
    /// Passed.
    Ok,
    /// Failed.
    Impaired,
}

/// How an instance was bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Market {
    /// On demand.
    #[default]
    OnDemand,
    /// A one-time Spot request: it cannot be stopped.
    Spot,
}

/// A volume that is made with the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// The device name.
    pub device: String,
    /// What kind of volume.
    pub specification: VolumeSpecification,
    /// Whether terminating the instance deletes it: at launch that is the default.
    pub delete_on_termination: bool,
}

/// What an instance is made from: the part that `RunInstances` and launch templates share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchSpecification {
    /// The image.
    pub image_id: Option<String>,
    /// The instance type.
    pub instance_type: Option<String>,
    /// The key pair's name.
    pub key_name: Option<String>,
    /// The user data, as given (base64).
    pub user_data: Option<String>,
    /// The instance profile's name or ARN.
    pub instance_profile: Option<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Volumes made with it.
    pub block_devices: Vec<BlockDevice>,
    /// Tags for the instance.
    pub instance_tags: Tags,
    /// Tags for the volumes made with it.
    pub volume_tags: Tags,
    /// How it is bought.
    pub market: Market,
}

impl LaunchSpecification {
    /// This specification, completed by what `base` says: lists are taken whole, tags are joined.
    fn over(self, base: Self) -> Self {
        let whole = |own: Vec<String>, other| if own.is_empty() { other } else { own };
        let mut instance_tags = base.instance_tags;
        instance_tags.extend(self.instance_tags);
        let mut volume_tags = base.volume_tags;
        volume_tags.extend(self.volume_tags);
        Self {
            image_id: self.image_id.or(base.image_id),
            instance_type: self.instance_type.or(base.instance_type),
            key_name: self.key_name.or(base.key_name),
            user_data: self.user_data.or(base.user_data),
            instance_profile: self.instance_profile.or(base.instance_profile),
            security_groups: whole(self.security_groups, base.security_groups),
            block_devices: if self.block_devices.is_empty() {
                base.block_devices
            } else {
                self.block_devices
            },
            instance_tags,
            volume_tags,
            market: if self.market == Market::Spot {
                self.market
            } else {
                base.market
            },
        }
    }
}

/// The input of `RunInstances`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunInstances {
    /// A launch template to begin with.
    pub template: Option<TemplateReference>,
    /// What to make it from; it goes before what the template says.
    pub specification: LaunchSpecification,
    /// The fewest to launch. This cloud never runs short, so it launches `max_count`.
    pub min_count: u32,
    /// The most to launch.
    pub max_count: u32,
    /// The zone. Without one, and without a subnet, the region's first.
    pub zone: Option<String>,
    /// The subnet.
    pub subnet: Option<String>,
    /// Makes the call idempotent.
    pub client_token: Option<String>,
}

/// An EC2 instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// The reservation it was launched in.
    pub reservation: String,
    /// Its number in that reservation.
    pub launch_index: u32,
    /// The client token of its `RunInstances`.
    pub client_token: Option<String>,
    /// What it was made from.
    pub image_id: String,
    /// Its type.
    pub instance_type: String,
    /// Its key pair's name.
    pub key_name: Option<String>,
    /// Its instance profile's name or ARN.
    pub instance_profile: Option<String>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Its user data.
    pub user_data: Option<String>,
    /// Its availability zone.
    pub zone: String,
    /// Its subnet.
    pub subnet: String,
    /// Its private address.
    pub private_ip: String,
    /// How it was bought.
    pub market: Market,
    /// The device name of its root volume.
    pub root_device: String,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in that state, code and message, once someone has stopped or terminated it.
    pub state_reason: Option<(&'static str, &'static str)>,
    /// What the status checks say.
    pub status_checks: StatusChecks,
    /// Whether `TerminateInstances` is refused (`DisableApiTermination`).
    pub termination_protected: bool,
    /// When it was launched, or last started.
    pub launched_at: Timestamp,
    /// Its tags.
    pub tags: Tags,
    /// Rises at every change of state, so that what was scheduled before it is void.
    pub(super) generation: u64,
}

/// What `StopInstances`, `StartInstances` and `TerminateInstances` answer for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The instance.
    pub instance: String,
    /// The state before the call.
    pub previous: InstanceState,
    /// The state after it.
    pub current: InstanceState,
}

/// An instance as describes show it, with the attachments that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// The instance.
    pub instance: Instance,
    /// Its attachments, by device.
    pub attachments: Vec<super::attachments::Attachment>,
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
        let Self {
            instance,
            attachments,
        } = self;
        let one = |value: &str| vec![value.to_owned()];
        match name {
            "availability-zone" => one(&instance.zone),
            "block-device-mapping.device-name" => {
                attachments.iter().map(|it| it.device.clone()).collect()
            }
            "block-device-mapping.status" => attachments
                .iter()
                .map(|it| it.state.as_str().to_owned())
                .collect(),
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

/// The device name of every image's root volume here, as on Amazon Linux.
pub(super) const ROOT_DEVICE: &str = "/dev/xvda";

impl World {
    /// `RunInstances`.
    pub fn run_instances(&mut self, request: RunInstances) -> Result<Vec<Instance>, ApiError> {
        if let Some((known, ids)) = request
            .client_token
            .as_ref()
            .and_then(|token| self.instance_tokens.get(token))
        {
            if *known != request {
                return Err(ApiError::IdempotentParameterMismatch(
                    "Arguments on this idempotent request are inconsistent with arguments used in \
                     previous request(s)."
                        .to_owned(),
                ));
            }
            return Ok(ids
                .iter()
                .filter_map(|id| self.instances.get(id))
                .cloned()
                .collect());
        }
        if request.min_count == 0 || request.max_count < request.min_count {
            return Err(ApiError::InvalidParameterValue(format!(
                "Invalid value '{}' for MinCount or MaxCount.",
                request.min_count
            )));
        }
        let (zone, subnet) = self.place(request.zone.as_deref(), request.subnet.as_deref())?;
        let mut specification = request.specification.clone();
        if let Some(reference) = &request.template {
            let version = self
                .template(reference)?
                .version(reference.version.as_deref())?;
            specification = specification.over(version.specification.clone());
        }
        check_tags(&specification.instance_tags)?;
        check_tags(&specification.volume_tags)?;
        let reservation = self.new_id("r");
        let mut launched = Vec::new();
        for launch_index in 0..request.max_count {
            let instance = self.launch(&specification, &zone, &subnet)?;
            if let Some(found) = self.instances.get_mut(&instance, self.now) {
                found.launch_index = launch_index;
                found.reservation.clone_from(&reservation);
                found.client_token.clone_from(&request.client_token);
                launched.push(found.clone());
            }
        }
        if let Some(token) = request.client_token.clone() {
            let ids = launched.iter().map(|it| it.id.clone()).collect();
            self.instance_tokens.insert(token, (request, ids));
        }
        Ok(launched)
    }

    /// `StartInstances`, all or none.
    pub fn start_instances(&mut self, ids: &[String]) -> Result<Vec<StateChange>, ApiError> {
        for state in self.states_of(ids)?.iter().zip(ids) {
            if let (
                InstanceState::Stopping | InstanceState::ShuttingDown | InstanceState::Terminated,
                id,
            ) = state
            {
                let instance = id.clone();
                return Err(ApiError::IncorrectInstanceState {
                    instance,
                    wanted: "started",
                });
            }
        }
        Ok(self.change_each(ids, |world, id| {
            if world
                .instances
                .get(id)
                .is_some_and(|it| it.state == InstanceState::Stopped)
            {
                if let Some(instance) = world.instances.get_mut(id, world.now) {
                    instance.launched_at = world.now;
                    instance.state_reason = None;
                    instance.status_checks = StatusChecks::Ok;
                }
                world.set_instance_state(id, InstanceState::Pending);
            }
        }))
    }

    /// `StopInstances`, all or none. A one-time Spot instance refuses.
    pub fn stop_instances(&mut self, ids: &[String]) -> Result<Vec<StateChange>, ApiError> {
        for (state, id) in self.states_of(ids)?.into_iter().zip(ids) {
            if self.instance(id)?.market == Market::Spot {
                return Err(ApiError::UnsupportedOperation(format!(
                    "You can't stop the Spot Instance '{id}' because it is associated with a one-time \
                     Spot Instance request. You can only stop Spot Instances associated with persistent \
                     Spot Instance requests."
                )));
            }
            if matches!(
                state,
                InstanceState::Pending | InstanceState::ShuttingDown | InstanceState::Terminated
            ) {
                let instance = id.clone();
                return Err(ApiError::IncorrectInstanceState {
                    instance,
                    wanted: "stopped",
                });
            }
        }
        Ok(self.change_each(ids, |world, id| {
            if world
                .instances
                .get(id)
                .is_some_and(|it| it.state == InstanceState::Running)
            {
                world.set_reason(id);
                world.set_instance_state(id, InstanceState::Stopping);
            }
        }))
    }

    /// `TerminateInstances`, all or none.
    pub fn terminate_instances(&mut self, ids: &[String]) -> Result<Vec<StateChange>, ApiError> {
        self.states_of(ids)?;
        for id in ids {
            if self.instance(id)?.termination_protected {
                return Err(ApiError::OperationNotPermitted(format!(
                    "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' \
                     instance attribute and try again."
                )));
            }
        }
        Ok(self.change_each(ids, Self::begin_termination))
    }

    /// `ModifyInstanceAttribute` with block device mappings: (device, volume if named, `DeleteOnTermination`).
    pub fn set_delete_on_termination(
        &mut self,
        instance: &str,
        changes: &[(String, Option<String>, bool)],
    ) -> Result<(), ApiError> {
        self.instance(instance)?;
        let mut volumes = Vec::new();
        for (device, volume, delete) in changes {
            let attached = self.attachments_of(instance).into_iter().find(|it| {
                it.device == *device && volume.as_ref().is_none_or(|volume| it.volume == *volume)
            });
            let Some(attachment) = attached else {
                return Err(ApiError::InvalidParameterValue(format!(
                    "No device is currently mapped at {device}"
                )));
            };
            volumes.push((attachment.volume.clone(), *delete));
        }
        for (volume, delete) in volumes {
            if let Some(found) = self.volumes.get_mut(&volume, self.now) {
                for it in found
                    .attachments
                    .iter_mut()
                    .filter(|it| it.instance == instance)
                {
                    it.delete_on_termination = delete;
                }
            }
        }
        Ok(())
    }

    /// `ModifyInstanceAttribute` with `DisableApiTermination`.
    pub fn set_termination_protection(
        &mut self,
        instance: &str,
        protected: bool,
    ) -> Result<(), ApiError> {
        self.instance(instance)?;
        if let Some(found) = self.instances.get_mut(instance, self.now) {
            found.termination_protected = protected;
        }
        Ok(())
    }

    /// `DescribeInstances`, and what `DescribeInstanceStatus` is made from. One id that is not there fails the
    /// whole call.
    pub fn describe_instances(
        &self,
        ids: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<InstanceView>, ApiError> {
        check::<InstanceView>(filters)?;
        let volumes = self.volumes.all_shown(self.now);
        let shown = self.instances_shown(ids)?.into_iter();
        let found = shown
            .map(|instance| view(instance, &volumes))
            .filter(|view| passes(view, filters))
            .collect();
        page.cut(found, self.config.page_limit, |view: &InstanceView| {
            view.instance.id.clone()
        })
    }

    /// The instance as it is, whatever describes show.
    pub fn instance(&self, id: &str) -> Result<&Instance, ApiError> {
        check_instance_id(id)?;
        self.instances
            .get(id)
            .ok_or_else(|| ApiError::InstanceNotFound(vec![id.to_owned()]))
    }

    /// All instances as they are, the terminated ones that EC2 still remembers included.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// EC2's status checks of the instance fail from now on; a group that has it notices and replaces it.
    pub fn fail_instance(&mut self, id: &str) -> Result<(), ApiError> {
        self.instance(id)?;
        if let Some(found) = self.instances.get_mut(id, self.now) {
            found.status_checks = StatusChecks::Impaired;
        }
        self.happened(
            Subject::instance(id),
            format!("{id} fails its status checks"),
        );
        self.group_sees_instance(id);
        Ok(())
    }

    /// Someone terminates the instance with `TerminateInstances`, past its group.
    pub fn terminate_by_hand(&mut self, id: &str) -> Result<(), ApiError> {
        self.happened(Subject::instance(id), format!("{id} is terminated by hand"));
        self.terminate_instances(&[id.to_owned()]).map(drop)
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
        Ok(shown
            .filter(|instance| ids.is_empty() || ids.contains(&instance.id))
            .collect())
    }

    /// Makes one instance in a zone that has been checked, with its volumes.
    pub(super) fn launch(
        &mut self,
        specification: &LaunchSpecification,
        zone: &str,
        subnet: &str,
    ) -> Result<String, ApiError> {
        let image_id = specification
            .image_id
            .clone()
            .ok_or_else(|| ApiError::MissingParameter("ImageId".to_owned()))?;
        super::places::check_image_id(&image_id)?;
        let devices = with_root(&specification.block_devices);
        let mut volumes = Vec::new();
        for device in &devices {
            let id = self.new_id("vol");
            let volume = self.specified(&id, zone, &device.specification)?;
            let tags = specification.volume_tags.clone();
            volumes.push(Volume {
                tags,
                state: VolumeState::InUse,
                ..volume
            });
        }
        let id = self.new_id("i");
        let host = self.rng.u16(1024..);
        let instance = Instance {
            id: id.clone(),
            reservation: self.new_id("r"),
            launch_index: 0,
            client_token: None,
            image_id,
            instance_type: specification
                .instance_type
                .clone()
                .unwrap_or_else(|| "m1.small".to_owned()),
            key_name: specification.key_name.clone(),
            instance_profile: specification.instance_profile.clone(),
            security_groups: specification.security_groups.clone(),
            user_data: specification.user_data.clone(),
            zone: zone.to_owned(),
            subnet: subnet.to_owned(),
            private_ip: format!("172.31.{}.{}", host >> 8, host & 255),
            market: specification.market,
            root_device: ROOT_DEVICE.to_owned(),
            state: InstanceState::Pending,
            state_reason: None,
            status_checks: StatusChecks::Ok,
            termination_protected: false,
            launched_at: self.now,
            tags: specification.instance_tags.clone(),
            generation: 0,
        };
        self.instances.insert(&id, instance, self.now);
        for (volume, device) in volumes.into_iter().zip(&devices) {
            let volume_id = volume.id.clone();
            self.volumes.insert(&volume_id, volume, self.now);
            self.place_attachment(&volume_id, &id, &device.device, AttachmentState::Attached);
            self.set_delete_flag(&volume_id, device.delete_on_termination);
        }
        self.happened(
            Subject::instance(&id),
            format!("{id} is launched in {zone}"),
        );
        self.set_instance_state(&id, InstanceState::Pending);
        Ok(id)
    }

    /// Ends an instance, if it isn't going already.
    pub(super) fn begin_termination(&mut self, id: &str) {
        let state = self.instances.get(id).map(|it| it.state);
        if matches!(
            state,
            None | Some(InstanceState::ShuttingDown | InstanceState::Terminated)
        ) {
            return;
        }
        self.set_reason(id);
        self.set_instance_state(id, InstanceState::ShuttingDown);
    }

    /// An instance has had its time in a state that passes.
    pub(super) fn instance_due(&mut self, id: &str, generation: u64) {
        let Some(instance) = self.instances.get(id) else {
            return;
        };
        if instance.generation != generation {
            return;
        }
        match instance.state {
            InstanceState::Pending => self.set_instance_state(id, InstanceState::Running),
            InstanceState::Stopping => {
                self.set_instance_state(id, InstanceState::Stopped);
            }
            InstanceState::ShuttingDown => self.set_instance_state(id, InstanceState::Terminated),
            InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated => {}
        }
    }

    pub(super) fn forget_instance(&mut self, id: &str) {
        self.instances.remove(id, self.now);
    }

    /// Enters a state: what follows from it at once, what falls due later, and who is told.
    fn set_instance_state(&mut self, id: &str, state: InstanceState) {
        self.generations += 1;
        let generation = self.generations;
        let Some(instance) = self.instances.get_mut(id, self.now) else {
            return;
        };
        instance.state = state;
        instance.generation = generation;
        let timings = &self.config.timings;
        let passes = match state {
            InstanceState::Pending => Some(timings.start),
            InstanceState::Stopping => Some(timings.stop),
            InstanceState::ShuttingDown => Some(timings.terminate),
            InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated => None,
        };
        let visible = timings.terminated_visible;
        if let Some(span) = passes {
            self.schedule(
                span,
                Due::Instance {
                    instance: id.to_owned(),
                    generation,
                },
            );
        }
        self.happened(Subject::instance(id), format!("{id} is {}", state.as_str()));
        match state {
            InstanceState::Stopped => self.unmount_all(id),
            InstanceState::Terminated => {
                self.free_volumes(id);
                self.schedule(visible, Due::Forget(id.to_owned()));
            }
            InstanceState::Running => self.workload_mounts(id),
            InstanceState::Pending | InstanceState::Stopping | InstanceState::ShuttingDown => {}
        }
        self.announce_instance_state(id, state.as_str());
        self.group_sees_instance(id);
    }

    fn set_reason(&mut self, id: &str) {
        if let Some(instance) = self.instances.get_mut(id, self.now) {
            instance.state_reason = Some((
                "Client.UserInitiatedShutdown",
                "Client.UserInitiatedShutdown: User initiated shutdown",
            ));
        }
    }

    fn set_delete_flag(&mut self, volume: &str, delete: bool) {
        if let Some(found) = self.volumes.get_mut(volume, self.now) {
            for it in &mut found.attachments {
                it.delete_on_termination = delete;
            }
        }
    }

    fn states_of(&self, ids: &[String]) -> Result<Vec<InstanceState>, ApiError> {
        for id in ids {
            check_instance_id(id)?;
        }
        let missing: Vec<String> = ids
            .iter()
            .filter(|id| self.instances.get(id).is_none())
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(ApiError::InstanceNotFound(missing));
        }
        ids.iter()
            .map(|id| self.instance(id).map(|it| it.state))
            .collect()
    }

    fn change_each(
        &mut self,
        ids: &[String],
        change: impl Fn(&mut Self, &str),
    ) -> Vec<StateChange> {
        let mut changes = Vec::new();
        for id in ids {
            let Some(previous) = self.instances.get(id).map(|it| it.state) else {
                continue;
            };
            change(self, id);
            let current = self.instances.get(id).map_or(previous, |it| it.state);
            changes.push(StateChange {
                instance: id.clone(),
                previous,
                current,
            });
        }
        changes
    }
}

/// The block devices with a root volume among them: an image brings one of 8 GiB.
fn with_root(devices: &[BlockDevice]) -> Vec<BlockDevice> {
    let image_root = VolumeSpecification {
        size_gib: Some(8),
        volume_type: Some("gp3".to_owned()),
        ..VolumeSpecification::default()
    };
    let mut devices = devices.to_vec();
    match devices.iter_mut().find(|it| it.device == ROOT_DEVICE) {
        Some(root) => {
            root.specification.size_gib = root.specification.size_gib.or(image_root.size_gib);
            if root.specification.volume_type.is_none() {
                root.specification.volume_type = image_root.volume_type;
            }
        }
        None => devices.insert(
            0,
            BlockDevice {
                device: ROOT_DEVICE.to_owned(),
                specification: image_root,
                delete_on_termination: true,
            },
        ),
    }
    devices
}

fn view(instance: &Instance, volumes: &[&Volume]) -> InstanceView {
    let mut attachments: Vec<_> = volumes
        .iter()
        .flat_map(|volume| &volume.attachments)
        .filter(|attachment| attachment.instance == instance.id)
        .cloned()
        .collect();
    attachments.sort_by(|a, b| a.device.cmp(&b.device));
    InstanceView {
        instance: instance.clone(),
        attachments,
    }
}

fn check_instance_id(id: &str) -> Result<(), ApiError> {
    let hex = id.strip_prefix("i-").unwrap_or_default();
    if hex.is_empty() || !hex.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(ApiError::InstanceMalformed(id.to_owned()));
    }
    Ok(())
}
