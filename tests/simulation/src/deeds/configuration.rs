//! What the owners of groups change: zones, processes, warm pools, policies, hooks, pools.

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    GroupChange, GroupTag, HookSpecification, LaunchSpecification, PoolState, Process,
    TemplateReference, Transition, WarmPoolChange,
};
use volume_pool::ids::DeviceName;
use volume_pool::ports::{Commit, LeaseStore};
use volume_pool::record::{Key, Record};
use volume_pool::transition::{self, Transaction};

use super::trouble::Undo;
use super::{Done, History};
use crate::plan::{GroupPlan, ZONES};
use crate::setup::{LAUNCH, POOL, disk_at, hooks, scaled_in, specification, tag};

/// The second launch hook of ours that nobody should have made.
pub(super) const SECOND: &str = "stateful-asg-second";
const HOUR: Duration = Duration::from_hours(1);

impl History<'_> {
    pub(super) fn rezone(&mut self) -> Done {
        let group = self.one_group();
        let wide = self.rng.usize(1..=ZONES.len());
        let zones = ZONES[..wide].iter().map(|zone| (*zone).to_owned()).collect();
        let change = GroupChange { zones: Some(zones), ..GroupChange::default() };
        let name = self.name(group);
        self.stage.cloud.world().update_group(&name, change).ok()
    }

    pub(super) fn suspend(&mut self) -> Done {
        let group = self.one_group();
        let name = self.name(group);
        let process = self.rng.choice(Process::ALL)?;
        self.stage.cloud.world().suspend_processes(&name, &[process]).ok()?;
        self.undo_within(HOUR, Undo::Resume(name));
        Some(())
    }

    pub(super) fn warm(&mut self) -> Done {
        let group = self.one_group();
        let name = self.name(group);
        let mut world = self.stage.cloud.world();
        if self.rng.u32(0..4) == 0 {
            return world.delete_warm_pool(&name, self.rng.bool()).ok();
        }
        let state = if self.rng.bool() { PoolState::Stopped } else { PoolState::Running };
        let (min_size, state) = (Some(self.rng.u32(0..=2)), Some(state));
        let scaled_in = Some(scaled_in(self.plan));
        let change = WarmPoolChange { min_size, state, scaled_in, ..WarmPoolChange::default() };
        world.put_warm_pool(&name, change).ok()
    }

    pub(super) fn deploy(&mut self) -> Done {
        let group = self.one_group();
        self.groups[group].policy = self.groups[group].policy.changed(&mut self.rng);
        // Without hooks it comes with them.
        self.hooked(group).then(|| deploy(self.stage, &self.groups[group]))
    }

    pub(super) fn break_policy(&mut self) -> Done {
        let group = self.one_group();
        let broken = [r#"{"pool":"#, r#"{"pool":"shared","waitSecond":5}"#, "{}"];
        let broken = self.rng.choice(broken)?;
        if !self.hooked(group) {
            return None;
        }
        let hook = HookSpecification {
            name: LAUNCH.to_owned(),
            metadata: Some(broken.to_owned()),
            ..HookSpecification::default()
        };
        let name = self.name(group);
        self.stage.cloud.world().put_lifecycle_hook(&name, hook).ok()?;
        self.undo_within(HOUR, Undo::Deploy(group));
        Some(())
    }

    /// The hooks are taken away, and put back later.
    pub(super) fn rehook(&mut self) -> Done {
        let group = self.one_group();
        let name = self.name(group);
        for hook in hooks(&self.groups[group], "{}") {
            self.stage.cloud.world().delete_lifecycle_hook(&name, &hook.name).ok()?;
        }
        self.undo_within(HOUR, Undo::Enrol(group));
        Some(())
    }

    pub(super) fn second_hook(&mut self) -> Done {
        let group = self.one_group();
        let hook = HookSpecification {
            name: SECOND.to_owned(),
            transition: Some(Transition::Launching),
            metadata: Some(self.groups[group].policy.json()),
            heartbeat_timeout: Some(300),
            default_result: None,
        };
        let name = self.name(group);
        self.stage.cloud.world().put_lifecycle_hook(&name, hook).ok()?;
        // Of two hooks that wait at once, one is kept alive.
        self.stage.tolerated.extend([SECOND, LAUNCH].map(str::to_owned));
        self.undo_within(HOUR, Undo::SecondHook(name));
        Some(())
    }

    pub(super) fn retag(&mut self) -> Done {
        let group = self.one_group();
        let other = self.rng.choice(["shared", "cassandra", "elsewhere"])?;
        let name = self.name(group);
        let mut world = self.stage.cloud.world();
        let tagged = world.group(&name).is_ok_and(|it| it.tags.contains_key(POOL));
        if !tagged || self.groups[group].policy.pool == other {
            return None;
        }
        let tag = GroupTag { value: other.to_owned(), propagate_at_launch: false };
        world.create_or_update_group_tags(vec![(name, POOL.to_owned(), tag)]).ok()?;
        drop(world);
        self.undo_within(HOUR, Undo::Retag(group));
        Some(())
    }

    /// Every name that a volume could be attached at is taken by the template's own, or as many as an instance takes.
    pub(super) fn crowd(&mut self) -> Done {
        let group = self.one_group();
        // The volumes of such a template belong to the pool.
        let name = self.name(group);
        let crowded = |undo: &Undo| matches!(undo, Undo::Uncrowd(crowded, _) if *crowded == name);
        // And so many volumes take their time: one group in four is worth it.
        if self.groups[group].enrolled_later
            || self.undo.iter().any(|(_, undo)| crowded(undo))
            || self.rng.u32(0..4) > 0
        {
            return None;
        }
        let mut world = self.stage.cloud.world();
        // A template goes by its id or by its name.
        let known = world.group(&name).ok()?.template.clone();
        let template = TemplateReference { name: None, ..known };
        // The root volume counts.
        let most = world.config().attachment_limit - 1;
        let names = DeviceName::candidates().take(most).map(|device| device.to_string());
        let base = specification(self.plan, Some(&self.groups[group]));
        let crowded = LaunchSpecification { block_devices: names.map(disk_at).collect(), ..base };
        let (made, version) =
            world.create_launch_template_version(&template, None, crowded).ok()?;
        let reference = TemplateReference {
            id: Some(made.id),
            version: Some(version.number.to_string()),
            ..TemplateReference::default()
        };
        let change = GroupChange { template: Some(reference), ..GroupChange::default() };
        world.update_group(&name, change).ok()?;
        drop(world);
        self.undo_within(Duration::from_mins(30), Undo::Uncrowd(name, template));
        Some(())
    }

    pub(super) fn pause(&mut self) -> Done {
        let group = self.one_group();
        let pool = self.groups[group].policy.pool.clone();
        set_paused(self.stage, &pool, true)?;
        self.undo_within(HOUR, Undo::Unpause(pool));
        Some(())
    }

    fn hooked(&self, group: usize) -> bool {
        let world = self.stage.cloud.world();
        let name = &self.groups[group].name;
        world.group(name).is_ok_and(|group| group.hooks.contains_key(LAUNCH))
    }
}

/// Brings a group's policy to its launch hook.
pub(crate) fn deploy(stage: &Stage, group: &GroupPlan) {
    let hook = HookSpecification {
        name: LAUNCH.to_owned(),
        metadata: Some(group.policy.json()),
        ..HookSpecification::default()
    };
    let _refused = stage.cloud.world().put_lifecycle_hook(&group.name, hook);
}

/// Puts the hooks and the tag on a group, in this order, as the guide says.
pub(crate) fn enrol(stage: &Stage, group: &GroupPlan) {
    let mut world = stage.cloud.world();
    for hook in hooks(group, &group.policy.json()) {
        let _refused = world.put_lifecycle_hook(&group.name, hook);
    }
    drop(world);
    tag_group(stage, group);
}

/// Has a group's tag name its pool.
pub(super) fn tag_group(stage: &Stage, group: &GroupPlan) {
    let change = (group.name.clone(), POOL.to_owned(), tag(group));
    let _refused = stage.cloud.world().create_or_update_group_tags(vec![change]);
}

/// Pauses or resumes a pool on record, as a person's tool does.
pub(super) fn set_paused(stage: &Stage, pool: &str, paused: bool) -> Done {
    let key = Key::Pool(pool.parse().ok()?);
    let found = stage.leases.view(|records| {
        let mut pools = records.filter(|record| record.key() == key);
        pools.next().cloned()
    });
    let Some(Record::Pool(pool)) = found else { return None };
    let transaction: Transaction =
        if paused { transition::pause(&pool)? } else { transition::resume(&pool)? };
    match at_once(stage.leases.commit(&transaction))?.ok()? {
        Commit::Committed => Some(()),
        Commit::Conflict => None,
    }
}

/// The outcome of what is ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(outcome) => Some(outcome),
        std::task::Poll::Pending => None,
    }
}
