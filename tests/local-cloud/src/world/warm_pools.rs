//! Warm pools: instances that a group keeps ready beside those in service, running or stopped. What is launched into
//! the pool, taken from it and returned to it is decided here; the steps themselves are in `members`.

use super::World;
use super::config::AbandonedReturn;
use super::errors::ApiError;
use super::events::Subject;
use super::filters::{Page, PageRequest};
use super::groups::{Group, GroupStatus, Process, ScaleIn};
use super::hooks::{LifecycleResult, Transition};
use super::instances::InstanceState;
use super::launches::Market;
use super::lifecycle_states::{LifecycleState, Origin};
use super::members::{Ending, Member, TerminateHooks};
use super::replacements::Successor;
use super::scaling::Launch;

/// The state that instances of a warm pool are kept in (`PoolState`). `Hibernated` is none of them: it needs
/// hibernation in the launch template, which templates here cannot ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PoolState {
    /// Stopped, which is the default.
    #[default]
    Stopped,
    /// Running.
    Running,
}

impl PoolState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Running => "Running",
        }
    }

    /// The state of that name, if instances can be kept in it here.
    pub fn parse(name: &str) -> Result<Self, ApiError> {
        match name {
            "Stopped" => Ok(Self::Stopped),
            "Running" => Ok(Self::Running),
            "Hibernated" => Err(ApiError::Validation(
                "The launch template does not have hibernation configured, so the warm pool cannot keep its \
                 instances Hibernated."
                    .to_owned(),
            )),
            other => Err(ApiError::Validation(format!("Invalid warm pool state: {other}"))),
        }
    }
}

/// What becomes of an instance that scale-in takes out of service (`InstanceReusePolicy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ScaledIn {
    /// It is terminated, which is the default.
    #[default]
    Terminated,
    /// It goes back to the warm pool (`ReuseOnScaleIn`).
    Reused,
}

/// Whether a warm pool is on its way out (`Status`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WarmPoolStatus {
    /// It is kept filled.
    #[default]
    Active,
    /// `DeleteWarmPool` by force: its instances are being terminated (`PendingDelete`).
    PendingDelete,
}

/// The input of `PutWarmPool`; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarmPoolChange {
    /// `MaxGroupPreparedCapacity`; -1 takes back what was set.
    pub max_prepared: Option<i64>,
    /// `MinSize`.
    pub min_size: Option<u32>,
    /// `PoolState`. Instances that lie in the pool already stay as they are.
    pub state: Option<PoolState>,
    /// `InstanceReusePolicy`.
    pub scaled_in: Option<ScaledIn>,
}

/// A group's warm pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarmPool {
    /// The most instances in pool and group together; without it, the group's maximum.
    pub max_prepared: Option<u32>,
    /// The fewest instances in the pool.
    pub min_size: u32,
    /// What its instances are brought into.
    pub state: PoolState,
    /// What becomes of instances that scale-in takes.
    pub scaled_in: ScaledIn,
    /// Whether it is being deleted.
    pub status: WarmPoolStatus,
}

impl WarmPool {
    /// How many instances it is to hold beside so many in the group (`PutWarmPool`, `MaxGroupPreparedCapacity`).
    fn wanted(&self, group: &Group) -> usize {
        if self.status == WarmPoolStatus::PendingDelete {
            return 0;
        }
        let prepared = self.max_prepared.unwrap_or(group.max_size);
        let size = prepared.saturating_sub(group.desired_capacity).max(self.min_size);
        usize::try_from(size).unwrap_or(usize::MAX)
    }
}

/// What `DescribeWarmPool` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmPoolView {
    /// The pool, if the group has one.
    pub pool: Option<WarmPool>,
    /// Its instances.
    pub instances: Page<Member>,
}

/// At most so many records in one `DescribeWarmPool`.
const INSTANCES_PER_CALL: usize = 50;

impl World {
    /// `PutWarmPool`.
    pub fn put_warm_pool(&mut self, name: &str, change: WarmPoolChange) -> Result<(), ApiError> {
        let group = self.group(name)?;
        let (specification, _) = self.launch_specification(name)?;
        // EC2 Auto Scaling User Guide, "Warm pools", limitations.
        if specification.market == Market::Spot {
            return Err(ApiError::Validation(
                "You can't add a warm pool to an Auto Scaling group that launches Spot Instances."
                    .to_owned(),
            ));
        }
        let mut pool = group.warm_pool.unwrap_or_default();
        if pool.status == WarmPoolStatus::PendingDelete {
            return Err(ApiError::Validation(format!(
                "The warm pool of the AutoScalingGroup {name} is being deleted."
            )));
        }
        pool.max_prepared = match change.max_prepared {
            None => pool.max_prepared,
            Some(-1) => None,
            Some(most) => Some(u32::try_from(most).map_err(|_| {
                ApiError::Validation(format!("MaxGroupPreparedCapacity must not be {most}"))
            })?),
        };
        pool.min_size = change.min_size.unwrap_or(pool.min_size);
        if pool.max_prepared.is_some_and(|most| most < pool.min_size) {
            return Err(ApiError::Validation(
                "MaxGroupPreparedCapacity must not be less than the warm pool's MinSize".to_owned(),
            ));
        }
        pool.state = change.state.unwrap_or(pool.state);
        pool.scaled_in = change.scaled_in.unwrap_or(pool.scaled_in);
        if let Some(group) = self.groups.get_mut(name) {
            group.warm_pool = Some(pool);
        }
        self.happened(Subject::group(name), format!("group {name} has a warm pool"));
        self.request_scaling(name);
        Ok(())
    }

    /// `DescribeWarmPool`.
    pub fn describe_warm_pool(
        &self,
        name: &str,
        page: &PageRequest,
    ) -> Result<WarmPoolView, ApiError> {
        let group = self.group(name)?;
        let found = group
            .members
            .values()
            .filter(|member| member.state.is_listed_in_warm_pool())
            .cloned()
            .collect();
        let instances =
            page.cut(found, INSTANCES_PER_CALL, |member: &Member| member.instance.clone())?;
        Ok(WarmPoolView { pool: group.warm_pool, instances })
    }

    /// `DeleteWarmPool`. With instances in it, by force only.
    pub fn delete_warm_pool(&mut self, name: &str, force: bool) -> Result<(), ApiError> {
        let group = self.group(name)?;
        let Some(mut pool) = group.warm_pool else {
            return Err(ApiError::Validation(format!(
                "No warm pool found for the AutoScalingGroup {name}"
            )));
        };
        let members = warm_members(group);
        if !members.is_empty() && !force {
            return Err(ApiError::WarmPoolInUse);
        }
        pool.status = WarmPoolStatus::PendingDelete;
        if let Some(group) = self.groups.get_mut(name) {
            group.warm_pool = Some(pool);
        }
        let hooks = self.config.forced_deletion.hooks();
        for instance in members {
            self.dismiss(name, &instance, hooks, "the warm pool is being deleted");
        }
        self.warm_pool_emptied(name);
        Ok(())
    }

    /// A warm pool that is being deleted is gone with its last instance.
    pub(super) fn warm_pool_emptied(&mut self, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let deleted = group.warm_pool.is_some_and(|it| it.status == WarmPoolStatus::PendingDelete);
        if deleted && warm_members(group).is_empty() {
            group.warm_pool = None;
            self.happened(Subject::group(name), format!("group {name} has no warm pool any more"));
        }
    }

    /// Brings the warm pool to the size that it is to have. Only what lies ready is taken out of it.
    pub(super) fn fill_warm_pool(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let Some(pool) = group.warm_pool else {
            return;
        };
        if group.status == GroupStatus::Deleting {
            return;
        }
        let (wanted, have) = (pool.wanted(group), group.warm_pool_size());
        if have < wanted && !group.suspended.contains(&Process::Launch) {
            if self.launches_held_back(name) {
                return;
            }
            for number in have..wanted {
                if !self.launch_member(name, number, Launch::IntoWarmPool) {
                    break;
                }
            }
        } else if have > wanted && !group.suspended.contains(&Process::Terminate) {
            let mut warmed: Vec<&Member> =
                group.members.values().filter(|it| it.state.is_warmed()).collect();
            warmed.sort_by_key(|it| it.launched_at);
            let surplus: Vec<String> =
                warmed.into_iter().take(have - wanted).map(|it| it.instance.clone()).collect();
            for instance in surplus {
                let cause = "the warm pool has more than it wants";
                self.dismiss(name, &instance, TerminateHooks::Run, cause);
            }
        }
    }

    /// Takes an instance from the warm pool into the group, where its zone has the fewest. False if none is ready.
    pub(super) fn warm_start(&mut self, name: &str, have: usize) -> bool {
        let Some(instance) = self.groups.get(name).and_then(warm_choice) else {
            return false;
        };
        let description = format!("Launching a new EC2 instance from warm pool: {instance}");
        let cause = format!(
            "At {} an instance was taken from the warm pool in response to a difference between desired and \
             actual capacity, increasing the capacity from {have} to {}.",
            self.now,
            have + 1
        );
        let activity = self.begin_activity(name, description, cause);
        let found = self.groups.get_mut(name).and_then(|it| it.members.get_mut(&instance));
        if let Some(member) = found {
            member.activity = activity;
            member.origin = Origin::WarmPool;
        }
        self.set_member_state(name, &instance, LifecycleState::Pending);
        // A stopped instance is started; one that runs already is left alone by StartInstances.
        if self.start_instances(std::slice::from_ref(&instance)).is_err() {
            self.request_health_check(name);
        }
        self.step_soon(name, &instance);
        true
    }

    /// Scale-in of an instance in service: back to the warm pool, if the pool wants it so, else terminated.
    pub(super) fn scale_in(&mut self, name: &str, instance: &str) {
        let cause = "the group has more than it wants";
        let reused = self.groups.get(name).and_then(|it| it.warm_pool).is_some_and(|pool| {
            pool.scaled_in == ScaledIn::Reused && pool.status == WarmPoolStatus::Active
        });
        if !reused || self.member_state(name, instance) != Some(LifecycleState::InService) {
            self.dismiss(name, instance, TerminateHooks::Run, cause);
            return;
        }
        let activity = self.begin_activity(
            name,
            format!("Returning EC2 instance to warm pool: {instance}"),
            format!("At {} an instance was taken out of service: {cause}.", self.now),
        );
        let found = self.groups.get_mut(name).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.activity = activity;
            member.origin = Origin::Group;
            member.in_service_at = None;
        }
        let text = format!("group {name} returns {instance} to its warm pool");
        self.happened(Subject::member(name, instance), text);
        self.set_member_state(name, instance, LifecycleState::WarmedPending);
        self.step_soon(name, instance);
    }

    /// The next step of an instance on its way into the warm pool. The hooks that an instance from the group waits
    /// for are the terminate hooks (EC2 Auto Scaling User Guide, "Use lifecycle hooks with a warm pool").
    pub(super) fn warming_due(&mut self, group: &str, instance: &str, member: &Member) {
        if member.state == LifecycleState::WarmedPending {
            let transition = match member.origin {
                Origin::Group => Transition::Terminating,
                _ => Transition::Launching,
            };
            if !self.open_actions(group, instance, transition) {
                self.set_member_state(group, instance, LifecycleState::WarmedPendingProceed);
                self.step_soon(group, instance);
            }
        } else if member.ending == Ending::Retained {
            self.retain(group, instance, LifecycleState::WarmedPendingRetained);
        } else if member.state == LifecycleState::WarmedPendingProceed {
            self.settle_in_warm_pool(group, instance);
        }
    }

    /// The hooks of an instance on its way into the warm pool have been answered.
    pub(super) fn warming_answered(
        &mut self,
        group: &str,
        member: &Member,
        result: LifecycleResult,
    ) {
        let instance = &member.instance;
        let returns = self.config.abandoned_return == AbandonedReturn::Returns;
        match (result, member.origin) {
            (LifecycleResult::Abandon, Origin::Group)
                if !returns && member.ending == Ending::Regular =>
            {
                // Its terminate hooks have just been answered.
                let cause = "its return to the warm pool was abandoned by a lifecycle hook";
                self.dismiss(group, instance, TerminateHooks::Skip, cause);
            }
            (LifecycleResult::Continue, _) | (LifecycleResult::Abandon, Origin::Group) => {
                self.set_member_state(group, instance, LifecycleState::WarmedPendingProceed);
                self.step_soon(group, instance);
            }
            (LifecycleResult::Abandon, _) => self.launch_abandoned(group, instance),
        }
    }

    /// Brings an instance into the pool's state, as far as EC2 lets it.
    fn settle_in_warm_pool(&mut self, group: &str, instance: &str) {
        let Some(found) = self.groups.get(group) else {
            return;
        };
        let wanted = found.warm_pool.unwrap_or_default().state;
        let Some(state) = self.instances.get(instance).map(|it| it.state) else {
            return;
        };
        let settled = match (wanted, state) {
            (PoolState::Stopped, InstanceState::Stopped) => LifecycleState::WarmedStopped,
            (PoolState::Running, InstanceState::Running) => LifecycleState::WarmedRunning,
            (PoolState::Stopped, InstanceState::Running) => {
                if self.stop_instances(&[instance.to_owned()]).is_err() {
                    self.request_health_check(group);
                }
                return;
            }
            (PoolState::Running, InstanceState::Stopped) => {
                if self.start_instances(&[instance.to_owned()]).is_err() {
                    self.request_health_check(group);
                }
                return;
            }
            // It is on its way from one to the other, or gone: what EC2 shows next comes back here.
            (
                _,
                InstanceState::Pending
                | InstanceState::Stopping
                | InstanceState::ShuttingDown
                | InstanceState::Terminated,
            ) => return,
        };
        self.set_member_state(group, instance, settled);
        self.settled(group, instance);
    }
}

impl Group {
    /// How many instances its warm pool holds, those on their way into it included (`WarmPoolSize`).
    pub fn warm_pool_size(&self) -> usize {
        self.members.values().filter(|member| member.state.is_warm()).count()
    }
}

fn warm_members(group: &Group) -> Vec<String> {
    let listed = group.members.values().filter(|it| it.state.is_listed_in_warm_pool());
    listed.map(|it| it.instance.clone()).collect()
}

/// The instance that a warm start takes: ready, in the group's emptiest zone, the oldest.
fn warm_choice(group: &Group) -> Option<String> {
    let pool = group.warm_pool.filter(|pool| pool.status == WarmPoolStatus::Active)?;
    let ready = match pool.state {
        PoolState::Stopped => LifecycleState::WarmedStopped,
        PoolState::Running => LifecycleState::WarmedRunning,
    };
    let warmed = group.members.values().filter(|it| it.state.is_warmed());
    let choice = warmed.filter(|it| group.zones.contains_key(&it.zone)).min_by_key(|it| {
        (group.in_zone(&it.zone), it.state != ready, it.launched_at, it.instance.clone())
    });
    choice.map(|it| it.instance.clone())
}

impl Member {
    /// Whether EC2 may show the instance stopped, or on its way there, without anything being wrong with it.
    pub(super) fn may_be_stopped(&self) -> bool {
        match self.state {
            LifecycleState::WarmedPendingProceed | LifecycleState::WarmedStopped => true,
            // Whoever answers its terminate hooks may stop it first.
            LifecycleState::WarmedPending | LifecycleState::WarmedPendingWait => {
                self.origin == Origin::Group
            }
            _ => false,
        }
    }

    /// Whether scale-in may take the instance.
    pub(super) fn scales_in(&self) -> bool {
        self.state.counts()
            && self.scale_in == ScaleIn::Allowed
            && self.successor == Successor::None
    }
}
