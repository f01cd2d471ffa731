//! EC2 instances: their states and how they pass from one to the next. What a group makes of a state is the
//! group's business.

use volume_pool::Timestamp;

use super::World;
use super::config::StopWhileTerminating;
use super::due::Due;
use super::errors::ApiError;
use super::events::Subject;
use super::launches::{Market, MetadataTags};
use super::lifecycle_states::LifecycleState;
use super::tags::Tags;

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
    /// Whether its metadata service gives them.
    pub metadata_tags: MetadataTags,
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

impl World {
    /// `StartInstances`, all or none.
    pub fn start_instances(&mut self, ids: &[String]) -> Result<Vec<StateChange>, ApiError> {
        for state in self.states_of(ids)?.iter().zip(ids) {
            if let (
                InstanceState::Stopping | InstanceState::ShuttingDown | InstanceState::Terminated,
                id,
            ) = state
            {
                let instance = id.clone();
                return Err(ApiError::IncorrectInstanceState { instance, wanted: "started" });
            }
        }
        Ok(self.change_each(ids, |world, id| {
            if world.instances.get(id).is_some_and(|it| it.state == InstanceState::Stopped) {
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
            let terminating = self.config.stop_while_terminating == StopWhileTerminating::Refused
                && self
                    .member(id)
                    .is_some_and(|(_, member)| member.state == LifecycleState::TerminatingWait);
            if terminating
                || matches!(
                    state,
                    InstanceState::Pending
                        | InstanceState::ShuttingDown
                        | InstanceState::Terminated
                )
            {
                let instance = id.clone();
                return Err(ApiError::IncorrectInstanceState { instance, wanted: "stopped" });
            }
        }
        Ok(self.change_each(ids, |world, id| {
            if world.instances.get(id).is_some_and(|it| it.state == InstanceState::Running) {
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
                for it in found.attachments.iter_mut().filter(|it| it.instance == instance) {
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

    /// The instance as it is, whatever describes show.
    pub fn instance(&self, id: &str) -> Result<&Instance, ApiError> {
        check_instance_id(id)?;
        self.instances.get(id).ok_or_else(|| ApiError::InstanceNotFound(vec![id.to_owned()]))
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
        self.happened(Subject::instance(id), format!("{id} fails its status checks"));
        self.group_sees_instance(id);
        Ok(())
    }

    /// Someone terminates the instance with `TerminateInstances`, past its group.
    pub fn terminate_by_hand(&mut self, id: &str) -> Result<(), ApiError> {
        self.happened(Subject::instance(id), format!("{id} is terminated by hand"));
        self.terminate_instances(&[id.to_owned()]).map(drop)
    }

    /// Ends an instance, if it isn't going already.
    pub(super) fn begin_termination(&mut self, id: &str) {
        let state = self.instances.get(id).map(|it| it.state);
        if matches!(state, None | Some(InstanceState::ShuttingDown | InstanceState::Terminated)) {
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
        if instance.generation != generation || self.instance_held_up(id, instance.state) {
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
    pub(super) fn set_instance_state(&mut self, id: &str, state: InstanceState) {
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
            self.schedule_instance(id, state, span);
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

    fn states_of(&self, ids: &[String]) -> Result<Vec<InstanceState>, ApiError> {
        for id in ids {
            check_instance_id(id)?;
        }
        let missing: Vec<String> =
            ids.iter().filter(|id| self.instances.get(id).is_none()).cloned().collect();
        if !missing.is_empty() {
            return Err(ApiError::InstanceNotFound(missing));
        }
        ids.iter().map(|id| self.instance(id).map(|it| it.state)).collect()
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
            changes.push(StateChange { instance: id.clone(), previous, current });
        }
        changes
    }
}

pub(super) fn check_instance_id(id: &str) -> Result<(), ApiError> {
    let hex = id.strip_prefix("i-").unwrap_or_default();
    if hex.is_empty() || !hex.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(ApiError::InstanceMalformed(id.to_owned()));
    }
    Ok(())
}
