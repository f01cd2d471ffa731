//! What is done to the world, by people, by AWS and by chance. What the world refuses is no news; what must end by itself
//! is on a list of what is still to be undone.

mod configuration;
mod instances;
mod trouble;
mod volumes;

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::LifecycleState;
use volume_pool::Timestamp;

use crate::feature::Deed;
use crate::plan::{GroupPlan, Plan, Step};

pub(crate) use configuration::{deploy, enrol};
pub(crate) use instances::agents;
pub(crate) use trouble::{Undo, dismiss_crowded};

/// A history as it goes on.
#[derive(Debug)]
pub(crate) struct History<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) plan: &'a Plan,
    /// The groups' policies as they are now, broken ones aside.
    pub(crate) groups: Vec<GroupPlan>,
    /// What will be undone, and when.
    pub(crate) undo: Vec<(Timestamp, Undo)>,
    /// Instances of nobody's.
    pub(crate) strangers: Vec<String>,
    /// What the step at hand draws from.
    pub(crate) rng: fastrand::Rng,
}

/// What the world answered; a refusal is as good.
type Done = Option<()>;

impl History<'_> {
    /// Takes a step.
    pub(crate) fn act(&mut self, step: &Step) {
        self.rng = fastrand::Rng::with_seed(step.seed);
        self.stage.note(format!("deed: {:?}", step.deed));
        let _refused: Done = match step.deed {
            Deed::Fail => self.fail(),
            Deed::Kill => self.kill(),
            Deed::Stop => self.stop(),
            Deed::Start => self.start(),
            Deed::Scale => self.scale(),
            Deed::TerminateInGroup => self.terminate_in_group(),
            Deed::Standby => self.standby(),
            Deed::Detach => self.detach(),
            Deed::Attach => self.attach(),
            Deed::Interrupt => self.interrupt(),
            Deed::Recommend => self.recommend(),
            Deed::Refresh => self.refresh(),
            Deed::Rezone => self.rezone(),
            Deed::Suspend => self.suspend(),
            Deed::Warm => self.warm(),
            Deed::Deploy => self.deploy(),
            Deed::BreakPolicy => self.break_policy(),
            Deed::Rehook => self.rehook(),
            Deed::SecondHook => self.second_hook(),
            Deed::Retag => self.retag(),
            Deed::Crowd => self.crowd(),
            Deed::Pause => self.pause(),
            Deed::PersonAttaches => self.person_attaches(),
            Deed::PersonReturns => self.person_returns(),
            Deed::PersonHelps => self.person_helps(),
            Deed::PersonDetaches => self.person_detaches(),
            Deed::PersonDeletes => self.person_deletes(),
            Deed::PersonTags => self.person_tags(),
            Deed::PersonFillsTags => self.person_fills_tags(),
            Deed::PersonFlags => self.person_flags(),
            Deed::PersonAdds => self.person_adds(),
            Deed::PersonModifies => self.person_modifies(),
            Deed::VolumeFails => self.volume_fails(),
            Deed::StickAttach
            | Deed::StickDetach
            | Deed::SlowVolumes
            | Deed::SlowInstance
            | Deed::DisableKey
            | Deed::UseUpStorage
            | Deed::Throttle
            | Deed::DynamoDbDown
            | Deed::Ec2Down
            | Deed::AutoScalingDown => self.trouble(step.deed),
        };
    }

    /// Lets time pass, and undoes what is due meanwhile.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = self.stage.cloud.world().now().plus(time);
        while let Some(index) = self.first_undo().filter(|index| self.undo[*index].0 <= end) {
            let (at, undo) = self.undo.swap_remove(index);
            let now = self.stage.cloud.world().now();
            self.stage.run_for(at.since(now))?;
            self.stage.note(format!("undone: {undo:?}"));
            self.undo(&undo);
        }
        let now = self.stage.cloud.world().now();
        self.stage.run_for(end.since(now))
    }

    fn first_undo(&self) -> Option<usize> {
        let undo = self.undo.iter().enumerate();
        undo.min_by_key(|(_, (at, _))| *at).map(|(index, _)| index)
    }

    /// Has something undone after a while: short ones as often as long ones.
    fn undo_within(&mut self, most: Duration, undo: Undo) {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let scale = self.rng.u32(0..6);
        let after = Duration::from_millis(self.rng.u64(0..=most >> scale));
        let at = self.stage.cloud.world().now().plus(after);
        self.undo.push((at, undo));
    }

    /// One of the groups, by its place.
    fn one_group(&mut self) -> usize {
        self.rng.usize(0..self.groups.len())
    }

    fn name(&self, group: usize) -> String {
        self.groups[group].name.clone()
    }

    /// The instances of a group in this state.
    fn members(&self, group: usize, state: LifecycleState) -> Vec<String> {
        let world = self.stage.cloud.world();
        let Ok(found) = world.group(&self.groups[group].name) else { return Vec::new() };
        let members = found.members.values().filter(|member| member.state == state);
        members.map(|member| member.instance.clone()).collect()
    }

    /// An instance of a group in this state, with its group's name.
    fn one_in(&mut self, state: LifecycleState) -> Option<(String, String)> {
        let group = self.one_group();
        let members = self.members(group, state);
        Some((self.name(group), self.rng.choice(members)?))
    }

    /// An instance of a group, in service mostly.
    fn one(&mut self) -> Option<(String, String)> {
        if self.rng.u32(0..4) > 0 {
            return self.one_in(LifecycleState::InService);
        }
        let group = self.one_group();
        let members: Vec<String> = {
            let world = self.stage.cloud.world();
            world.group(&self.groups[group].name).ok()?.members.keys().cloned().collect()
        };
        Some((self.name(group), self.rng.choice(members)?))
    }
}
