//! Instances come and go: they fail, are killed, stopped, scaled, moved, taken back by EC2.

use local_cloud::stage::Stage;
use local_cloud::world::{
    ActionName, DesiredCapacity, InstanceState, LifecycleResult, LifecycleState, Member, Origin,
    RunInstances,
};

use super::{Done, History};
use crate::plan::ZONES;
use crate::setup::{OTHERS, OTHERS_LAUNCH, specification};

impl History<'_> {
    pub(super) fn fail(&mut self) -> Done {
        let (_, one) = self.one()?;
        self.stage.cloud.world().fail_instance(&one).ok()
    }

    pub(super) fn kill(&mut self) -> Done {
        let (_, one) = self.one()?;
        self.stage.cloud.world().terminate_by_hand(&one).ok()
    }

    pub(super) fn stop(&mut self) -> Done {
        let (_, one) = self.one()?;
        self.stage.cloud.world().stop_instances(&[one]).ok().map(drop)
    }

    pub(super) fn start(&mut self) -> Done {
        let mut world = self.stage.cloud.world();
        let stopped = world.instances().filter(|it| it.state == InstanceState::Stopped);
        let stopped: Vec<String> = stopped.map(|it| it.id.clone()).collect();
        world.start_instances(&[self.rng.choice(stopped)?]).ok().map(drop)
    }

    pub(super) fn scale(&mut self) -> Done {
        let group = self.one_group();
        let name = self.name(group);
        let most = self.stage.cloud.world().group(&name).ok()?.max_size;
        let wanted = self.rng.u32(0..=most);
        self.stage.cloud.world().set_desired_capacity(&name, wanted).ok()
    }

    pub(super) fn terminate_in_group(&mut self) -> Done {
        let (_, one) = self.one()?;
        let capacity =
            if self.rng.bool() { DesiredCapacity::Kept } else { DesiredCapacity::Decremented };
        self.stage.cloud.world().terminate_instance_in_group(&one, capacity).ok().map(drop)
    }

    /// Every instance of a group is marked unhealthy, as a refresh replaces them.
    pub(super) fn refresh(&mut self) -> Done {
        let group = self.one_group();
        for one in self.members(group, LifecycleState::InService) {
            self.stage.cloud.world().fail_instance(&one).ok()?;
        }
        Some(())
    }

    pub(super) fn standby(&mut self) -> Done {
        if self.rng.bool() {
            let (group, one) = self.one_in(LifecycleState::Standby)?;
            return self.stage.cloud.world().exit_standby(&group, &[one]).ok().map(drop);
        }
        let (group, one) = self.one_in(LifecycleState::InService)?;
        let capacity =
            if self.rng.bool() { DesiredCapacity::Kept } else { DesiredCapacity::Decremented };
        self.stage.cloud.world().enter_standby(&group, &[one], capacity).ok().map(drop)
    }

    pub(super) fn detach(&mut self) -> Done {
        let (group, one) = self.one_in(LifecycleState::InService)?;
        let capacity =
            if self.rng.bool() { DesiredCapacity::Kept } else { DesiredCapacity::Decremented };
        let instances = [one.clone()];
        self.stage.cloud.world().detach_instances(&group, &instances, capacity).ok()?;
        self.strangers.push(one);
        Some(())
    }

    pub(super) fn attach(&mut self) -> Done {
        let group = self.one_group();
        let name = self.name(group);
        let one = self.stranger()?;
        self.stage.cloud.world().attach_instances(&name, &[one]).ok()
    }

    pub(super) fn interrupt(&mut self) -> Done {
        let (_, one) = self.one()?;
        self.stage.cloud.world().interrupt_spot(&one).ok()
    }

    pub(super) fn recommend(&mut self) -> Done {
        let (_, one) = self.one()?;
        self.stage.cloud.world().recommend_rebalance(&one).ok()
    }

    /// An instance of nobody's: one that there is, or a new one.
    pub(super) fn stranger(&mut self) -> Option<String> {
        if self.rng.bool()
            && let Some(known) = self.rng.choice(self.strangers.clone())
        {
            return Some(known);
        }
        let request = RunInstances {
            specification: specification(self.plan, None),
            min_count: 1,
            max_count: 1,
            zone: Some(self.rng.choice(ZONES)?.to_owned()),
            ..RunInstances::default()
        };
        let launched = self.stage.cloud.world().run_instances(request).ok()?;
        let id = launched.first()?.id.clone();
        self.strangers.push(id.clone());
        Some(id)
    }
}

/// What runs on instances does its part now and then: a guest that drains powers off, and other people's hooks get their
/// answers.
pub(crate) fn agents(stage: &Stage, rng: &mut fastrand::Rng) {
    let mut world = stage.cloud.world();
    let waiting: Vec<(String, Member)> = world
        .groups()
        .flat_map(|group| group.members.values().map(|member| (group.name.clone(), member)))
        .filter(|(_, member)| member.state.as_str().ends_with(":Wait"))
        .map(|(group, member)| (group, member.clone()))
        .collect();
    for (group, Member { instance, state, origin, .. }) in waiting {
        let leaves = match state {
            LifecycleState::TerminatingWait => true,
            LifecycleState::WarmedPendingWait => origin == Origin::Group,
            _ => false,
        };
        if rng.u32(0..4) == 0 && leaves {
            let _refused = world.stop_instances(std::slice::from_ref(&instance));
        }
        if rng.u32(0..3) == 0 {
            let name = ActionName { token: None, instance: Some(&instance) };
            let result = if rng.u32(0..8) == 0 {
                LifecycleResult::Abandon
            } else {
                LifecycleResult::Continue
            };
            for hook in [OTHERS, OTHERS_LAUNCH] {
                let _refused = world.complete_lifecycle_action(&group, hook, name, result);
            }
        }
    }
}
