//! `DescribeInstanceStatus`: what EC2's checks say of instances.

use super::World;
use super::errors::ApiError;
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, passes};
use super::instances::{Instance, InstanceState, StatusChecks};
use super::tags::Tags;

/// Which instances `DescribeInstanceStatus` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusScope {
    /// Running ones, which is the default.
    Running,
    /// All of them (`IncludeAllInstances`).
    All,
}

/// The status of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStatus {
    /// The instance.
    pub instance: Instance,
}

impl InstanceStatus {
    /// The summary of its checks: `ok`, `impaired`, `initializing` or `not-applicable`.
    pub fn summary(&self) -> &'static str {
        match (self.instance.state, self.instance.status_checks) {
            (InstanceState::Running, StatusChecks::Ok) => "ok",
            (InstanceState::Running, StatusChecks::Impaired) => "impaired",
            (InstanceState::Pending, _) => "initializing",
            _ => "not-applicable",
        }
    }
}

impl Filtered for InstanceStatus {
    const NAMES: &'static [&'static str] = &[
        "availability-zone",
        "instance-state-code",
        "instance-state-name",
        "instance-status.status",
        "system-status.status",
    ];

    fn values_of(&self, name: &str) -> Vec<String> {
        vec![match name {
            "availability-zone" => self.instance.zone.clone(),
            "instance-state-code" => self.instance.state.number().to_string(),
            "instance-state-name" => self.instance.state.as_str().to_owned(),
            _ => self.summary().to_owned(),
        }]
    }

    fn tags(&self) -> &Tags {
        &self.instance.tags
    }
}

impl World {
    /// `DescribeInstanceStatus`. One id that is not there fails the whole call.
    pub fn describe_instance_status(
        &self,
        ids: &[String],
        filters: &[Filter],
        scope: StatusScope,
        page: &PageRequest,
    ) -> Result<Page<InstanceStatus>, ApiError> {
        check_ec2::<InstanceStatus>(filters)?;
        let found = self
            .instances_shown(ids)?
            .into_iter()
            .filter(|it| scope == StatusScope::All || it.state == InstanceState::Running)
            .map(|instance| InstanceStatus { instance: instance.clone() })
            .filter(|status| passes(status, filters))
            .collect();
        page.cut(found, self.config.page_limit, |it: &InstanceStatus| it.instance.id.clone())
    }
}
