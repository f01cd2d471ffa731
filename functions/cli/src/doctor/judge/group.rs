//! How the group replaces its instances: settings by which a replacement waits for a volume that does not come.

use volume_pool::ids::Zone;

use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::Group;

/// Evening out the zones, as `SuspendProcesses` names it.
const REBALANCE: &str = "AZRebalance";

pub(super) fn judge(group: &Group, found: &mut Vec<Finding>) {
    if group.settings.view.pool_tag.is_none() {
        return;
    }
    let mut push = |severity, code, reason: String, mend: String| {
        found.push(Finding { severity, code, subject: group.subject(), reason, mend });
    };
    let settings = &group.settings;
    if let Some(policy) = settings.maintenance.filter(|policy| {
        // The group may exceed its size, or nothing may be missing from it (User Guide, "Instance maintenance policies").
        policy.max_healthy > 100 || policy.min_healthy == 100
    }) {
        let (least, most) = (policy.min_healthy, policy.max_healthy);
        let (severity, may) =
            if least == 100 { (Severity::Error, "") } else { (Severity::Warning, "may ") };
        push(
            severity,
            Code::LaunchesFirst,
            format!(
                "its instance maintenance policy ({least} to {most} % healthy) {may}launch the replacement first: that waits for \
                 the volume of an instance which stays until the replacement is in service, so neither goes on"
            ),
            mend::scaling(
                "update-auto-scaling-group",
                group.name(),
                "--instance-maintenance-policy MinHealthyPercentage=90,MaxHealthyPercentage=100",
            ),
        );
    }
    if settings.capacity_rebalance {
        push(
            Severity::Warning,
            Code::CapacityRebalance,
            "it has capacity rebalancing on: the replacement of a Spot instance at risk is launched first, and waits until that \
             is interrupted or terminated"
                .to_owned(),
            mend::scaling("update-auto-scaling-group", group.name(), "--no-capacity-rebalance"),
        );
    }
    if settings.zones.len() > 1 {
        let zones: Vec<&str> = settings.zones.iter().map(Zone::as_str).collect();
        let zones = zones.join(", ");
        if settings.suspended.contains(REBALANCE) {
            push(
                Severity::Note,
                Code::SeveralZones,
                format!(
                    "it has several zones ({zones}), and no volume leaves its own: a replacement in another zone finds another \
                     slot, or an empty one. A group for each zone keeps node and data together"
                ),
                "one group per zone, all with the same pool".to_owned(),
            );
        } else {
            push(
                Severity::Warning,
                Code::ZoneRebalance,
                format!(
                    "it evens out its zones ({zones}): it launches in another zone first, where the data is not, and then \
                     terminates an instance that is fine"
                ),
                mend::scaling("suspend-processes", group.name(), "--scaling-processes AZRebalance"),
            );
        }
    }
    if let Some(pool) = &settings.warm_pool {
        if pool.reuses && pool.state != "Stopped" {
            push(
                Severity::Warning,
                Code::WarmPoolMounted,
                format!(
                    "scale-in brings its instances back to a warm pool whose state is {}: one that is parked with its slot all the \
                     same may have it mounted, and a person is told each minute",
                    pool.state
                ),
                mend::scaling("put-warm-pool", group.name(), "--pool-state Stopped"),
            );
        } else {
            push(
                Severity::Note,
                Code::WarmPool,
                "it has a warm pool: instances in it hold no slot and get one on their way into service".to_owned(),
                mend::scaling("describe-warm-pool", group.name(), ""),
            );
        }
    }
    if let Some(tag) = settings.tags.get("stateful-asg:pool").filter(|tag| tag.propagated) {
        push(
            Severity::Warning,
            Code::TagPropagates,
            "its tag stateful-asg:pool is given to its instances: who looks for what belongs to the pool by that tag finds \
             instances among the volumes"
                .to_owned(),
            mend::tag(group.name(), &tag.value),
        );
    }
}
