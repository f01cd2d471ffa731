//! Spot interruptions: EC2 warns, and two minutes later it terminates the instance, whoever is still waited for.

use std::time::Duration;

use serde_json::json;

use super::World;
use super::due::Due;
use super::errors::ApiError;
use super::events::{Announcement, Subject};
use super::instances::InstanceState;
use super::launches::Market;
use super::lifecycle_states::LifecycleState;
use super::members::TerminateHooks;

/// How long before it terminates a Spot instance EC2 warns (EC2 User Guide, "Spot Instance interruption notices").
const NOTICE: Duration = Duration::from_mins(2);

impl World {
    /// EC2 takes a Spot instance back. It warns now and terminates the instance two minutes later. A group with
    /// capacity rebalancing terminates it at the warning, with its hooks, and replaces it at once; others see that it
    /// has gone (EC2 Auto Scaling User Guide, "Use Capacity Rebalancing").
    pub fn interrupt_spot(&mut self, id: &str) -> Result<(), ApiError> {
        self.check_spot(id)?;
        self.happened(Subject::instance(id), format!("{id} is to be interrupted in two minutes"));
        let detail = json!({ "instance-id": id, "instance-action": "terminate" });
        self.announce_spot(id, "EC2 Spot Instance Interruption Warning", detail);
        let at = self.now.plus(self.config.scaled(NOTICE));
        self.queue.schedule(at, Due::SpotInterruption(id.to_owned()));
        if let Some(group) = self.rebalancing_group(id) {
            let cause = "EC2 is about to interrupt it";
            self.dismiss(&group, id, TerminateHooks::Run, cause);
        }
        Ok(())
    }

    /// EC2 tells that a Spot instance is likely to be interrupted. A group with capacity rebalancing launches its
    /// replacement, and terminates it once that one is in service.
    pub fn recommend_rebalance(&mut self, id: &str) -> Result<(), ApiError> {
        self.check_spot(id)?;
        self.happened(Subject::instance(id), format!("{id} is likely to be interrupted"));
        let detail = json!({ "instance-id": id });
        self.announce_spot(id, "EC2 Instance Rebalance Recommendation", detail);
        if let Some(group) = self.rebalancing_group(id) {
            self.await_successor(&group, id, "EC2 is likely to interrupt it");
        }
        Ok(())
    }

    /// The two minutes are over.
    pub(super) fn spot_interrupted(&mut self, id: &str) {
        self.begin_termination(id);
        if let Some(instance) = self.instances.get_mut(id, self.now) {
            instance.state_reason = Some((
                "Server.SpotInstanceTermination",
                "Server.SpotInstanceTermination: Spot instance termination",
            ));
        }
    }

    fn check_spot(&self, id: &str) -> Result<(), ApiError> {
        let instance = self.instance(id)?;
        if instance.market != Market::Spot {
            return Err(ApiError::UnsupportedOperation(format!("{id} is not a Spot Instance")));
        }
        if instance.state != InstanceState::Running {
            return Err(ApiError::IncorrectState(format!("The instance '{id}' is not 'running'.")));
        }
        Ok(())
    }

    /// The group that has the instance in service and rebalances its capacity.
    fn rebalancing_group(&self, id: &str) -> Option<String> {
        let (group, member) = self.member(id)?;
        let rebalances = self.groups.get(group)?.capacity_rebalance == Some(true);
        (rebalances && member.state == LifecycleState::InService).then(|| group.to_owned())
    }

    fn announce_spot(&mut self, id: &str, detail_type: &'static str, detail: serde_json::Value) {
        let zone = self.instances.get(id).map(|it| it.zone.clone()).unwrap_or_default();
        // Unlike other instance events, these name the zone and no account.
        let resources = vec![format!("arn:aws:ec2:{zone}:instance/{id}")];
        self.announce(Announcement { source: "aws.ec2", detail_type, resources, detail });
    }
}
