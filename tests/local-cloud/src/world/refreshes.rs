//! Instance refreshes: `StartInstanceRefresh`, `CancelInstanceRefresh` and `DescribeInstanceRefreshes`. What a refresh
//! does with its group from then on is in `refreshing`.

use std::collections::BTreeSet;

use serde_json::json;
use volume_pool::Timestamp;

use super::World;
use super::due::Due;
use super::errors::ApiError;
use super::events::{Announcement, Subject};
use super::filters::{Page, PageRequest};
use super::groups::{Group, ScaleIn};
use super::lifecycle_states::LifecycleState;
use super::members::Member;
use super::replacements::MaintenancePolicy;
use super::templates::TemplateReference;

/// The least that stays healthy where neither the caller nor the group says so (EC2 Auto Scaling User Guide,
/// "Understand the default values for an instance refresh").
const USUAL_MIN_HEALTHY: u32 = 90;

/// How a refresh stands (`Status`). Bake times and rollbacks are not modelled, so their states are not either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshStatus {
    /// Asked for.
    Pending,
    /// It replaces instances.
    InProgress,
    /// Every instance is replaced.
    Successful,
    /// It gave up.
    Failed,
    /// Cancelled by a caller: what it has begun is still brought to its end.
    Cancelling,
    /// That has ended too.
    Cancelled,
}

impl RefreshStatus {
    /// The status as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::Cancelling => "Cancelling",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether the refresh is still to do something, and stands in another one's way.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress | Self::Cancelling)
    }
}

/// What a refresh does about instances that it may not simply replace: those on standby (`StandbyInstances`), and
/// those that are protected from scale-in (`ScaleInProtectedInstances`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exempt {
    /// It waits for an hour that somebody changes that, then it fails.
    #[default]
    Wait,
    /// It leaves them as they are.
    Ignore,
    /// It replaces them like the others.
    Replace,
}

/// What a caller wants of a refresh; what is absent is as the group says, or as usual (`RefreshPreferences`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefreshPreferences {
    /// `MinHealthyPercentage`.
    pub min_healthy: Option<u32>,
    /// `MaxHealthyPercentage`, which takes the other one.
    pub max_healthy: Option<u32>,
    /// `InstanceWarmup`, in seconds.
    pub warmup: Option<u32>,
    /// Whether instances of the group's present launch template are left as they are (`SkipMatching`).
    pub skips_matching: bool,
    /// What is done about instances on standby.
    pub standby: Exempt,
    /// What is done about instances that are protected from scale-in.
    pub protected: Exempt,
}

/// A refresh of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRefresh {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: RefreshStatus,
    /// Why, where there is more to say.
    pub reason: Option<&'static str>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// How far capacity may move.
    pub pace: MaintenancePolicy,
    /// How many seconds an instance has to be in service before it counts as replaced.
    pub warmup: u32,
    /// What else the caller wanted.
    pub preferences: RefreshPreferences,
    /// How many instances in service it set out to replace.
    pub total: usize,
    /// The instances that are to go, those of the warm pool among them.
    pub(super) old: BTreeSet<String>,
    /// Since when nothing but exempt instances was left.
    pub(super) stalled_since: Option<Timestamp>,
}

/// A refresh and how far it has got with the instances in service. Those of a warm pool are not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshView {
    /// The refresh.
    pub refresh: InstanceRefresh,
    /// How many instances are still to be replaced or to warm up.
    pub to_update: usize,
}

impl RefreshView {
    /// `PercentageComplete`.
    pub fn percentage(&self) -> usize {
        let done = self.refresh.total.saturating_sub(self.to_update);
        (done * 100).checked_div(self.refresh.total).unwrap_or(100)
    }
}

impl World {
    /// `StartInstanceRefresh` with strategy `Rolling`. Answers the refresh's id.
    pub fn start_instance_refresh(
        &mut self,
        name: &str,
        preferences: RefreshPreferences,
    ) -> Result<String, ApiError> {
        let group = self.group(name)?;
        if group.refresh().is_some() {
            return Err(ApiError::InstanceRefreshInProgress);
        }
        let pace = pace(group, preferences)?;
        let (_, present) = self.launch_specification(name)?;
        let replaced =
            |member: &&Member| !(preferences.skips_matching && matches(&member.template, &present));
        let members = || group.members.values().filter(replaced);
        let old = members().map(|it| it.instance.clone()).collect();
        let total = members().filter(|it| it.state.counts()).count();
        let usual = group.default_instance_warmup.unwrap_or(group.health_check_grace_period);
        let refresh = InstanceRefresh {
            id: self.new_uuid(),
            status: RefreshStatus::Pending,
            reason: None,
            started_at: self.now,
            ended_at: None,
            pace,
            warmup: preferences.warmup.unwrap_or(usual),
            preferences,
            total,
            old,
            stalled_since: None,
        };
        let id = refresh.id.clone();
        if let Some(group) = self.groups.get_mut(name) {
            group.refreshes.push(refresh);
        }
        let due = Due::Refresh { group: name.to_owned(), refresh: id.clone() };
        self.schedule(self.config.timings.scaling, due);
        Ok(id)
    }

    /// `CancelInstanceRefresh`: no further replacement begins. Answers the refresh's id.
    pub fn cancel_instance_refresh(&mut self, name: &str) -> Result<String, ApiError> {
        let refresh = self.group(name)?.refresh();
        let id = refresh.map(|refresh| refresh.id.clone());
        let id = id.ok_or_else(|| ApiError::ActiveInstanceRefreshNotFound(name.to_owned()))?;
        self.set_refresh(name, RefreshStatus::Cancelling, Some("Cancelled by a user."));
        self.request_scaling(name);
        Ok(id)
    }

    /// `DescribeInstanceRefreshes`, the latest first. Ids that the group does not know are left out.
    pub fn describe_instance_refreshes(
        &self,
        name: &str,
        ids: &[String],
        page: &PageRequest,
    ) -> Result<Page<RefreshView>, ApiError> {
        let group = self.group(name)?;
        let found: Vec<(usize, RefreshView)> = group
            .refreshes
            .iter()
            .rev()
            .filter(|it| ids.is_empty() || ids.contains(&it.id))
            .map(|refresh| self.refresh_view(group, refresh))
            .enumerate()
            .collect();
        // The latest has number 0, so that pages follow in the same order.
        let page = page.cut(found, 100, |(number, _)| format!("{number:06}"))?;
        let items = page.items.into_iter().map(|(_, view)| view).collect();
        Ok(Page { items, next_token: page.next_token })
    }

    /// Changes how the active refresh of a group stands, and tells (EC2 Auto Scaling User Guide, "EventBridge events
    /// for instance refreshes").
    pub(super) fn set_refresh(
        &mut self,
        name: &str,
        status: RefreshStatus,
        reason: Option<&'static str>,
    ) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let arn = group.arn.clone();
        let Some(refresh) = group.refreshes.last_mut().filter(|it| it.status.is_active()) else {
            return;
        };
        refresh.status = status;
        refresh.reason = reason;
        refresh.ended_at = (!status.is_active()).then_some(now);
        let id = refresh.id.clone();
        let text = format!("the instance refresh of group {name} is {}", status.as_str());
        self.happened(Subject::group(name), text);
        let detail_type = match status {
            RefreshStatus::Pending | RefreshStatus::Cancelling => return,
            RefreshStatus::InProgress => "EC2 Auto Scaling Instance Refresh Started",
            RefreshStatus::Successful => "EC2 Auto Scaling Instance Refresh Succeeded",
            RefreshStatus::Failed => "EC2 Auto Scaling Instance Refresh Failed",
            RefreshStatus::Cancelled => "EC2 Auto Scaling Instance Refresh Cancelled",
        };
        self.announce(Announcement {
            source: "aws.autoscaling",
            detail_type,
            resources: vec![arn],
            detail: json!({ "InstanceRefreshId": id, "AutoScalingGroupName": name }),
        });
    }

    fn refresh_view(&self, group: &Group, refresh: &InstanceRefresh) -> RefreshView {
        let to_update = match refresh.status {
            RefreshStatus::Successful => 0,
            status if status.is_active() => self.to_update(group, refresh),
            _ => refresh.old_members(group).filter(|it| it.state.counts()).count(),
        };
        RefreshView { refresh: refresh.clone(), to_update }
    }
}

impl Group {
    /// The refresh that is at work, if one is.
    pub fn refresh(&self) -> Option<&InstanceRefresh> {
        self.refreshes.last().filter(|refresh| refresh.status.is_active())
    }
}

impl InstanceRefresh {
    /// What is left of the instances that are to go.
    pub(super) fn old_members<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Member> {
        group.members.values().filter(|it| self.old.contains(&it.instance))
    }

    /// What is done about an instance that may be exempt; `Replace` for those that are not.
    pub(super) fn exempts(&self, member: &Member) -> Exempt {
        match (member.state, member.scale_in) {
            (LifecycleState::Standby | LifecycleState::EnteringStandby, _) => {
                self.preferences.standby
            }
            (LifecycleState::InService, ScaleIn::Protected) => self.preferences.protected,
            _ => Exempt::Replace,
        }
    }
}

/// How far capacity may move: as the caller says, else as the group's maintenance policy does (`RefreshPreferences`).
fn pace(group: &Group, wanted: RefreshPreferences) -> Result<MaintenancePolicy, ApiError> {
    if wanted.max_healthy.is_some() && wanted.min_healthy.is_none() {
        return Err(ApiError::Validation(
            "MaxHealthyPercentage cannot be specified without MinHealthyPercentage.".to_owned(),
        ));
    }
    let usual = group
        .maintenance
        .unwrap_or(MaintenancePolicy { min_healthy: USUAL_MIN_HEALTHY, max_healthy: 100 });
    let (min, max) = match wanted.min_healthy {
        Some(min) => (min, wanted.max_healthy.unwrap_or(100)),
        None => (usual.min_healthy, usual.max_healthy),
    };
    MaintenancePolicy::checked(min, max)
}

/// Whether an instance was launched from this version of this template (`SkipMatching`).
fn matches(launched: &TemplateReference, present: &TemplateReference) -> bool {
    launched.id == present.id && launched.version == present.version
}
