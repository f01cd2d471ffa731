//! What the group's owner has set up wrongly: named by an alarm, and held rather than guessed at.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{GroupTag, HookSpecification, LifecycleState};
use scenarios::{
    LONG, ZONE, group, hooks, in_service, instances, replace_one, stage, tagged_volume,
    volumes_by_slot,
};

const POLICY: &str = r#"{"pool":"cassandra"}"#;

fn alarmed(stage: &Stage, name: &str) -> bool {
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    alarms.into_iter().any(|alarm| alarm.name() == name)
}

#[test]
fn a_launch_under_two_hooks_of_ours_is_held_and_both_actions_kept_alive() {
    for reconciles_only in [false, true] {
        let mut stage = stage(5);
        if reconciles_only {
            stage.retries = false;
        }
        tagged_volume(&stage, ZONE, &[]).unwrap();
        stage.run_for(Duration::from_secs(5)).unwrap();
        let mut both = hooks(Some(POLICY));
        let second = "stateful-asg-launch-2";
        both.push(HookSpecification { name: second.to_owned(), ..both[0].clone() });
        group(&stage, "cassandra", 1, &[ZONE], both).unwrap();
        // Many times the heartbeat timeout; that no action of ours ends by it is asserted all along.
        stage.run_for(Duration::from_mins(25)).unwrap();
        assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 1);
        assert!(stage.slots().is_empty(), "nothing was leased or adopted");
        assert!(alarmed(&stage, "two-launch-hooks"));

        stage.cloud.world().delete_lifecycle_hook("cassandra", second).unwrap();
        stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    }
}

/// Whoever corrects either of them lets it go on.
#[test]
fn a_launch_is_held_while_its_groups_tag_and_policy_name_different_pools_until_they_agree() {
    let mut stage = stage(73);
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(10)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    let tag = |stage: &Stage, value: &str| {
        let tag = GroupTag { value: value.to_owned(), propagate_at_launch: false };
        let changed = vec![("cassandra".to_owned(), "stateful-asg:pool".to_owned(), tag)];
        stage.cloud.world().create_or_update_group_tags(changed).unwrap();
    };
    tag(&stage, "kafka");
    stage.run_for(Duration::from_mins(20)).unwrap();
    assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 1);
    assert!(alarmed(&stage, "pool-tag-differs"));
    tag(&stage, "cassandra");
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
}

#[test]
fn a_replacement_is_served_though_the_policy_was_broken_since() {
    let mut stage = in_service(stage(5), 2, POLICY).unwrap();
    let before = volumes_by_slot(&stage);
    let broken = hooks(Some("pool=cassandra")).remove(0);
    stage.cloud.world().put_lifecycle_hook("cassandra", broken).unwrap();
    replace_one(&mut stage, 2).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
    assert!(alarmed(&stage, "policy-fault"));
}
