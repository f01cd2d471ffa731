//! Replacements that launch first: an instance that is to go stays in service until another one has come. Health
//! checks do so if the group's maintenance policy says it, and so do zone rebalancing and capacity rebalancing.
//!
//! An instance is only marked here. The group then wants one more, and the mark is redeemed once what it has in
//! service without the marked ones is enough.

use super::World;
use super::errors::ApiError;
use super::groups::{Group, Process, ScaleIn};
use super::lifecycle_states::LifecycleState;
use super::members::{Health, Member, TerminateHooks};

/// How far a group's capacity may move while instances are replaced (`InstanceMaintenancePolicy`), in percent of
/// what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaintenancePolicy {
    /// What has to stay in service and healthy, 0 to 100.
    pub min_healthy: u32,
    /// What may be in service or on its way there, 100 to 200.
    pub max_healthy: u32,
}

/// What a caller wants of the maintenance policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceChange {
    /// It is this one from now on.
    Set(MaintenancePolicy),
    /// There is none any more.
    Cleared,
}

impl MaintenanceChange {
    /// The change that these percentages mean; -1 and -1 clear what was set (`InstanceMaintenancePolicy`).
    pub fn parse(min_healthy: i64, max_healthy: i64) -> Result<Self, ApiError> {
        if (min_healthy, max_healthy) == (-1, -1) {
            return Ok(Self::Cleared);
        }
        let number = |percentage: i64| u32::try_from(percentage).unwrap_or(u32::MAX);
        MaintenancePolicy::checked(number(min_healthy), number(max_healthy)).map(Self::Set)
    }
}

impl MaintenancePolicy {
    /// A policy of these percentages, if they can be one.
    pub(super) fn checked(min_healthy: u32, max_healthy: u32) -> Result<Self, ApiError> {
        let bounded = min_healthy <= 100 && (100..=200).contains(&max_healthy);
        if !bounded || max_healthy - min_healthy > 100 {
            return Err(ApiError::Validation(
                "MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200, and \
                 they must not differ by more than 100."
                    .to_owned(),
            ));
        }
        Ok(Self { min_healthy, max_healthy })
    }

    /// Whether a replacement goes before what it replaces: it may exceed what is wanted, or has to because nothing may
    /// be missing (EC2 Auto Scaling User Guide, "How an instance refresh works").
    pub fn launches_first(self) -> bool {
        self.max_healthy > 100 || self.min_healthy == 100
    }

    /// The fewest healthy instances in service, of so many wanted.
    pub(super) fn floor(self, wanted: usize) -> usize {
        wanted.saturating_mul(to_usize(self.min_healthy)).div_ceil(100)
    }

    /// The most instances, of so many wanted; one more than those at least, or nothing could be launched first.
    pub(super) fn ceiling(self, wanted: usize) -> usize {
        let most = wanted.saturating_mul(to_usize(self.max_healthy)) / 100;
        most.max(wanted.saturating_add(1))
    }
}

/// Whether an instance is to go as soon as another one has taken its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// It stays.
    None,
    /// It goes once another one is in service, for this reason.
    Awaited(&'static str),
}

impl World {
    /// Whether an unhealthy instance has to stay until its replacement is in service. What EC2 does not show running
    /// serves nobody, so it is not waited with.
    pub(super) fn replaced_after_launch(&self, name: &str, member: &Member) -> bool {
        let Some(group) = self.groups.get(name) else {
            return false;
        };
        let Some(policy) = group.maintenance.filter(|policy| policy.launches_first()) else {
            return false;
        };
        let running = self
            .instances
            .get(&member.instance)
            .is_some_and(|it| it.state == super::InstanceState::Running);
        let serving = group
            .members
            .values()
            .filter(|it| it.instance != member.instance && it.is_healthy_in_service());
        running
            && member.state == LifecycleState::InService
            && serving.count() < policy.floor(group.wanted())
    }

    /// Marks an instance to go after its replacement, if the maintenance policy has room for one more.
    pub(super) fn await_successor(&mut self, name: &str, instance: &str, reason: &'static str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let wanted = group.wanted();
        let most = group.maintenance.map_or(wanted.saturating_add(1), |it| it.ceiling(wanted));
        self.mark_successor(name, instance, reason, most);
    }

    /// Marks an instance to go after its replacement, if the group then has no more than `most`.
    pub(super) fn mark_successor(
        &mut self,
        name: &str,
        instance: &str,
        reason: &'static str,
        most: usize,
    ) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let room = group.wanted().saturating_add(group.awaiting()) < most;
        if let Some(member) = group.members.get_mut(instance)
            && member.successor == Successor::None
            && room
        {
            member.successor = Successor::Awaited(reason);
            self.request_scaling(name);
        }
    }

    /// Terminates marked instances, as far as those in service without them suffice.
    pub(super) fn redeem_successors(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        if group.suspended.contains(&Process::Terminate) {
            return;
        }
        // Where a refresh has a warm-up, what has only just come does not serve yet.
        let serving = group.members.values().filter(|it| self.is_warmed_up(group, it));
        let unmarked = serving.filter(|it| it.successor == Successor::None).count();
        let marked: Vec<(String, &'static str)> = group
            .members
            .values()
            .filter(|it| it.state.counts())
            .filter_map(|it| match it.successor {
                Successor::Awaited(reason) => Some((it.instance.clone(), reason)),
                Successor::None => None,
            })
            .collect();
        let surplus = unmarked.saturating_add(marked.len()).saturating_sub(group.wanted());
        for (instance, reason) in marked.into_iter().take(surplus) {
            self.dismiss(name, &instance, TerminateHooks::Run, reason);
        }
        // Others may be waiting for room.
        if surplus > 0 {
            self.request_health_check(name);
        }
    }

    /// Evens out the zones of a group that has what it wants: it launches in the emptiest zone first, and may exceed
    /// its maximum by a tenth, or by one (EC2 Auto Scaling User Guide, "Rebalancing activities").
    pub(super) fn rebalance_zones(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let needed = [Process::AzRebalance, Process::Launch, Process::Terminate];
        if needed.iter().any(|process| group.suspended.contains(process)) || !group.is_at_rest() {
            return;
        }
        let maximum = to_usize(group.max_size);
        let most = maximum.saturating_add((maximum / 10).max(1));
        let mut room = most.saturating_sub(group.capacity());
        while room > 0 {
            let Some(instance) = self.groups.get(name).and_then(rebalancing_choice) else {
                return;
            };
            let found = self.groups.get_mut(name).and_then(|it| it.members.get_mut(&instance));
            if let Some(member) = found {
                member.successor = Successor::Awaited("its group evens out its zones");
            }
            self.request_scaling(name);
            room -= 1;
        }
    }
}

impl Group {
    /// How many instances are wanted.
    pub(super) fn wanted(&self) -> usize {
        to_usize(self.desired_capacity)
    }

    /// How many instances wait for their successor.
    pub(super) fn awaiting(&self) -> usize {
        let marked = |it: &&Member| it.state.counts() && it.successor != Successor::None;
        self.members.values().filter(marked).count()
    }

    /// Whether it has exactly what it wants, in service, and replaces nothing.
    fn is_at_rest(&self) -> bool {
        let serving = self.members.values().filter(|it| it.state == LifecycleState::InService);
        self.capacity() == self.wanted() && serving.count() == self.wanted() && self.awaiting() == 0
    }

    /// How many of a zone's instances are to stay.
    pub(super) fn staying_in(&self, zone: &str) -> usize {
        let stays = |it: &&Member| it.state.counts() && it.successor == Successor::None;
        self.members.values().filter(|it| it.zone == zone).filter(stays).count()
    }
}

impl Member {
    fn is_healthy_in_service(&self) -> bool {
        self.state == LifecycleState::InService && self.health == Health::Healthy
    }
}

/// The instance that zone rebalancing takes next: of a zone that the group has no more, or else of the fullest one if
/// the emptiest has at least two fewer, those on their way there included; the oldest first.
fn rebalancing_choice(group: &Group) -> Option<String> {
    // Each instance that is marked already comes back in the zone that is then the emptiest.
    let mut counts: Vec<(usize, &String)> =
        group.zones.keys().map(|zone| (group.staying_in(zone), zone)).collect();
    for _ in 0..group.awaiting() {
        counts.iter_mut().min_by_key(|(count, _)| *count)?.0 += 1;
    }
    let (fewest, _) = counts.iter().min_by_key(|(count, _)| *count)?;
    let (most, fullest) = counts.iter().max_by_key(|(count, _)| *count)?;
    let candidates = group.members.values().filter(|it| {
        it.state == LifecycleState::InService
            && it.successor == Successor::None
            && it.scale_in == ScaleIn::Allowed
            && (!group.zones.contains_key(&it.zone) || it.zone == **fullest && *most > fewest + 1)
    });
    let choice = candidates
        .min_by_key(|it| (group.zones.contains_key(&it.zone), it.launched_at, it.instance.clone()));
    choice.map(|it| it.instance.clone())
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
