//! What doctor has read: groups with their settings, pools with their records and volumes. What could not be read is
//! nothing here, and nothing is concluded from it.

use std::collections::BTreeMap;

use volume_pool::Timestamp;
use volume_pool::action::Transition;
use volume_pool::ids::{GroupName, PoolName};
use volume_pool::observation::Volume;
use volume_pool::policy::{Policy, PolicyError};
use volume_pool::record::{self, Slot};
use volume_pool_aws::enrolment::{GroupSettings, HookSettings, Template};

use super::around::Around;

/// Everything that was read.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) now: Timestamp,
    /// The lease table: what `make deploy` names everything after.
    pub(crate) table: String,
    /// What the names of our hooks begin with.
    pub(crate) hook_prefix: String,
    pub(crate) groups: Vec<Group>,
    pub(crate) pools: BTreeMap<PoolName, Pool>,
    /// What is around them.
    pub(crate) around: Around,
    /// The reads that failed, in words.
    pub(crate) unread: Vec<String>,
}

/// A group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) settings: GroupSettings,
    /// Whether it was asked for, or only shares a pool with one that was.
    pub(crate) asked: bool,
    pub(crate) hooks: Option<Vec<HookSettings>>,
    pub(crate) template: Option<Template>,
    pub(crate) record: Option<record::Group>,
}

/// A pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    pub(crate) records: Option<PoolRecords>,
    /// Every volume with its tag.
    pub(crate) volumes: Option<Vec<Volume>>,
}

/// What is on record of a pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolRecords {
    pub(crate) pool: Option<record::Pool>,
    pub(crate) slots: Vec<Slot>,
}

impl Group {
    pub(crate) fn name(&self) -> &GroupName {
        &self.settings.view.name
    }

    /// As findings name it.
    pub(crate) fn subject(&self) -> String {
        format!("group {}", self.name())
    }

    /// Its hooks of ours for this transition.
    pub(crate) fn our_hooks(
        &self,
        prefix: &str,
        transition: Transition,
    ) -> impl Iterator<Item = &HookSettings> {
        self.hooks.iter().flatten().filter(move |it| {
            it.hook.transition == transition && it.hook.name.as_str().starts_with(prefix)
        })
    }

    /// What its launch hook's metadata says; nothing where it has no launch hook of ours.
    pub(crate) fn written_policy(&self, prefix: &str) -> Option<Result<Policy, PolicyError>> {
        let launch = self.our_hooks(prefix, Transition::Launching).next()?;
        Some(Policy::parse(launch.hook.metadata.as_deref()))
    }

    /// The policy that its launches go by: what its hook says, else the last good one on record.
    pub(crate) fn policy(&self, prefix: &str) -> Option<Policy> {
        match self.written_policy(prefix)? {
            Ok(policy) => Some(policy),
            Err(_) => self.record.as_ref().map(|record| record.policy.clone()),
        }
    }

    /// The pool that its tag names.
    pub(crate) fn pool(&self) -> Option<PoolName> {
        self.settings.view.pool_tag.as_deref()?.parse().ok()
    }
}

impl View {
    /// The groups whose tag names this pool.
    pub(crate) fn groups_of(&self, pool: &PoolName) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| group.pool().as_ref() == Some(pool))
    }
}
