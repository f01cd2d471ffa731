//! How an instance refresh goes on. It only says which instances are to go and when: what terminates them, what
//! launches their replacements and which hooks run is the same as for any other instance.

use std::time::Duration;

use volume_pool::Timestamp;

use super::World;
use super::due::Due;
use super::groups::{Group, Process};
use super::lifecycle_states::LifecycleState;
use super::members::{Health, Member, TerminateHooks};
use super::refreshes::{Exempt, InstanceRefresh, RefreshStatus};
use super::replacements::Successor;

/// How long a refresh waits for exempt instances (`RefreshPreferences`, `StandbyInstances`).
const PATIENCE: Duration = Duration::from_hours(1);
/// Why an instance goes, as its activity says it.
const CAUSE: &str = "an instance refresh replaces it";

impl World {
    /// A refresh begins, and looks at its group again every so often from then on, because warm-ups end by themselves.
    pub(super) fn refresh_due(&mut self, name: &str, id: &str) {
        let refresh = |world: &Self| {
            let refresh = world.groups.get(name).and_then(Group::refresh);
            refresh.filter(|refresh| refresh.id == id).map(|refresh| refresh.status)
        };
        if refresh(self) == Some(RefreshStatus::Pending) {
            self.set_refresh(name, RefreshStatus::InProgress, None);
        }
        self.scaling_pass(name);
        if refresh(self).is_some() {
            let due = Due::Refresh { group: name.to_owned(), refresh: id.to_owned() };
            self.schedule(self.config.timings.health_check, due);
        }
    }

    /// Takes the refresh of a group as far as it gets now.
    pub(super) fn refresh_step(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let needed = [Process::Launch, Process::Terminate, Process::InstanceRefresh];
        if needed.iter().any(|process| group.suspended.contains(process)) {
            return;
        }
        match group.refresh().map(|refresh| refresh.status) {
            Some(RefreshStatus::InProgress) => {
                self.replace_old(name);
                self.end_refresh(name);
            }
            Some(RefreshStatus::Cancelling) => self.end_cancelled(name),
            _ => {}
        }
    }

    /// Whether an instance is in service, and has been for the warm-up of its group's refresh if it came after that one
    /// had begun (`RefreshPreferences`, `InstanceWarmup`).
    pub(super) fn is_warmed_up(&self, group: &Group, member: &Member) -> bool {
        let came = member.in_service_at.filter(|_| member.state == LifecycleState::InService);
        let warmed = |came: Timestamp| {
            group.refresh().is_none_or(|refresh| {
                let warmup = self.seconds(refresh.warmup);
                came <= refresh.started_at || came.plus(warmup) <= self.now
            })
        };
        came.is_some_and(warmed)
    }

    /// How many of the instances that a refresh set out to replace are still there, or not yet ready in their place.
    pub(super) fn to_update(&self, group: &Group, refresh: &InstanceRefresh) -> usize {
        let staying = |it: &&Member| it.state.counts() || it.state == LifecycleState::Standby;
        let old = refresh
            .old_members(group)
            .filter(staying)
            .filter(|it| refresh.exempts(it) != Exempt::Ignore);
        let ready = group.members.values().filter(|it| {
            self.is_warmed_up(group, it)
                && (!refresh.old.contains(&it.instance) || refresh.exempts(it) == Exempt::Ignore)
        });
        let missing = group.wanted().saturating_sub(ready.count()).min(refresh.total);
        old.count().max(missing)
    }

    /// Has as many old instances go as the refresh's pace lets: first what may go before its replacement has come,
    /// then, where the group may exceed what is wanted, what goes after it.
    fn replace_old(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let Some(refresh) = group.refresh() else {
            return;
        };
        let (pace, wanted) = (refresh.pace, group.wanted());
        let replaceable = |it: &&Member| refresh.exempts(it) == Exempt::Replace;
        let ids = |found: Vec<&Member>| -> Vec<String> {
            found.into_iter().map(|it| it.instance.clone()).collect()
        };
        // Nobody is served by what lies in the warm pool or stands by, so it may go at once.
        let idle = refresh
            .old_members(group)
            .filter(replaceable)
            .filter(|it| it.state.is_warmed() || it.state == LifecycleState::Standby);
        let idle = ids(idle.collect());
        let mut old: Vec<&Member> = refresh
            .old_members(group)
            .filter(replaceable)
            .filter(|it| it.state == LifecycleState::InService && it.successor == Successor::None)
            .collect();
        old.sort_by_key(|it| (it.health == Health::Healthy, it.launched_at, &it.instance));
        let serving = group
            .members
            .values()
            .filter(|it| it.health == Health::Healthy && self.is_warmed_up(group, it))
            .count();
        let mut room = serving.saturating_sub(pace.floor(wanted));
        if !pace.launches_first() && serving >= wanted {
            // One at a time, however few the percentage of few instances lets.
            room = room.max(1);
        }
        let mut old = ids(old).into_iter();
        let first: Vec<String> = old.by_ref().take(room).collect();
        for instance in idle.into_iter().chain(first) {
            self.dismiss(name, &instance, TerminateHooks::Run, CAUSE);
        }
        if pace.launches_first() {
            for instance in old {
                self.mark_successor(name, &instance, CAUSE, pace.ceiling(wanted));
            }
        }
    }

    /// The refresh is over once nothing old is left and everything new has warmed up; or it has waited long enough for
    /// instances that it may not replace.
    fn end_refresh(&mut self, name: &str) {
        let now = self.now;
        let patience = self.config.scaled(PATIENCE);
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let Some(refresh) = group.refresh() else {
            return;
        };
        let moving = group.members.values().any(|it| it.state.is_leaving());
        let left: Vec<&Member> = refresh
            .old_members(group)
            .filter(|it| refresh.exempts(it) != Exempt::Ignore && !it.state.is_retained())
            .collect();
        if self.to_update(group, refresh) == 0 && left.is_empty() {
            self.set_refresh(name, RefreshStatus::Successful, None);
            return;
        }
        let stalled = !left.is_empty()
            && !moving
            && left.iter().all(|it| refresh.exempts(it) == Exempt::Wait);
        let since = stalled.then(|| refresh.stalled_since.unwrap_or(now));
        if since.is_some_and(|since: Timestamp| since.plus(patience) <= now) {
            let reason = "Instances on standby or protected from scale in were left for an hour.";
            self.set_refresh(name, RefreshStatus::Failed, Some(reason));
            return;
        }
        let found = self.groups.get_mut(name).and_then(|group| group.refreshes.last_mut());
        if let Some(refresh) = found {
            refresh.stalled_since = since;
        }
    }

    /// A cancelled refresh still ends what is under way: instances that go, and those that are launched in the place
    /// of others, which stay until then. Where none is being launched any more, the others stay for good.
    fn end_cancelled(&mut self, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let launching = group.members.values().filter(|it| it.state.is_launching()).count();
        let leaving = group.members.values().any(|it| it.state.is_leaving());
        let serving = group
            .members
            .values()
            .filter(|it| it.state == LifecycleState::InService && it.successor == Successor::None);
        let replaced = serving.count().saturating_add(launching).saturating_add(group.awaiting());
        let covered = replaced.saturating_sub(group.wanted());
        let marked = group.members.values_mut().filter(|it| it.successor != Successor::None);
        for member in marked.skip(covered) {
            member.successor = Successor::None;
        }
        if launching == 0 && !leaving && group.awaiting() == 0 {
            let reason = Some("Cancelled by a user.");
            self.set_refresh(name, RefreshStatus::Cancelled, reason);
        }
    }
}
