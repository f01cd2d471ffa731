//! Scaling activities: what a group has done and why, as `DescribeScalingActivities` tells it.

use serde_json::json;
use volume_pool::Timestamp;

use super::World;
use super::errors::ApiError;
use super::filters::{Page, PageRequest};

/// How an activity stands (`StatusCode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityStatus {
    /// A launched instance that is not in service yet.
    PreInService,
    /// A termination that goes on.
    InProgress,
    /// Lifecycle hooks are waited for.
    MidLifecycleAction,
    /// Done.
    Successful,
    /// Given up, because a hook abandoned it or the instance went.
    Cancelled,
    /// Failed.
    Failed,
}

impl ActivityStatus {
    /// The status as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreInService => "PreInService",
            Self::InProgress => "InProgress",
            Self::MidLifecycleAction => "MidLifecycleAction",
            Self::Successful => "Successful",
            Self::Cancelled => "Cancelled",
            Self::Failed => "Failed",
        }
    }

    /// Whether the activity is over.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Successful | Self::Cancelled | Self::Failed)
    }
}

/// One thing that a group did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Its id.
    pub id: String,
    /// The group's name.
    pub group: String,
    /// The group's ARN.
    pub group_arn: String,
    /// What it is.
    pub description: String,
    /// Why.
    pub cause: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// How it stands.
    pub status: ActivityStatus,
    /// What went wrong.
    pub status_message: Option<String>,
    /// Zone and subnet, as JSON in text.
    pub details: String,
}

/// A group keeps so many activities.
const ACTIVITIES_KEPT: usize = 1_000;

impl World {
    /// `DescribeScalingActivities`, the latest first, of groups that still are.
    pub fn describe_activities(
        &self,
        group: Option<&str>,
        ids: &[String],
        page: &PageRequest,
    ) -> Result<Page<Activity>, ApiError> {
        if let Some(group) = group {
            self.group(group)?;
        }
        let found: Vec<(usize, &Activity)> = self
            .activities
            .iter()
            .rev()
            .enumerate()
            .filter(|(_, it)| group.is_none_or(|group| it.group == group))
            .filter(|(_, it)| self.groups.contains_key(&it.group))
            .filter(|(_, it)| ids.is_empty() || ids.contains(&it.id))
            .collect();
        // The latest has number 0, so that pages follow in the same order.
        let page = page.cut(found, 100, |(number, _)| format!("{number:06}"))?;
        let items = page.items.into_iter().map(|(_, activity)| activity.clone()).collect();
        Ok(Page { items, next_token: page.next_token })
    }

    /// An activity by its id.
    pub fn activity(&self, id: &str) -> Option<&Activity> {
        self.activities.iter().find(|it| it.id == id)
    }

    /// Takes down that a group begins something; gives the activity's id.
    pub(super) fn begin_activity(
        &mut self,
        group: &str,
        description: String,
        cause: String,
    ) -> String {
        let id = self.new_uuid();
        let group_arn = self.groups.get(group).map(|it| it.arn.clone()).unwrap_or_default();
        self.activities.push(Activity {
            id: id.clone(),
            group: group.to_owned(),
            group_arn,
            description,
            cause,
            started_at: self.now,
            ended_at: None,
            status: ActivityStatus::InProgress,
            status_message: None,
            details: "{}".to_owned(),
        });
        if self.activities.len() > ACTIVITIES_KEPT {
            self.activities.remove(0);
        }
        id
    }

    /// Says where an activity takes place.
    pub(super) fn place_activity(&mut self, id: &str, zone: &str, subnet: &str) {
        if let Some(activity) = self.activities.iter_mut().find(|it| it.id == id) {
            activity.details =
                json!({ "Subnet ID": subnet, "Availability Zone": zone }).to_string();
        }
    }

    /// Changes how the activity of an instance stands.
    pub(super) fn set_activity(&mut self, group: &str, instance: &str, status: ActivityStatus) {
        let now = self.now;
        let member = self.groups.get(group).and_then(|it| it.members.get(instance));
        let Some(id) = member.map(|member| member.activity.clone()) else {
            return;
        };
        if let Some(activity) = self.activities.iter_mut().find(|it| it.id == id) {
            activity.status = status;
            if status.is_over() {
                activity.ended_at = Some(now);
            }
        }
    }

    /// Ends an activity that failed before there was an instance.
    pub(super) fn fail_activity(&mut self, id: &str, message: String) {
        let now = self.now;
        if let Some(activity) = self.activities.iter_mut().find(|it| it.id == id) {
            activity.status = ActivityStatus::Failed;
            activity.status_message = Some(message);
            activity.ended_at = Some(now);
        }
    }
}
