//! The table is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{LifecycleState, Pace, Step};
use scenarios::{
    LONG, ZONE, group, hooks, in_service, instances, settle, stage, tagged, tagged_volume,
    volumes_by_slot,
};
use volume_pool::decide::Alarm;
use volume_pool::record::{Claim, Phase, Slot, SlotState};

use super::{
    DETACH, STOP, alarms, all_have, fail_one, hands, rebuild, replace, slot, three, two_free,
};

const SETS: &str = r#"{"pool":"cassandra","whenEmpty":"wait","volumes":[
    {"name":"data","device":"/dev/sdf"},{"name":"log","device":"/dev/sdg"}]}"#;

#[test]
fn after_a_lost_table_every_instance_has_what_it_had_and_a_replacement_the_very_volume() {
    for seed in 0..4 {
        let mut stage = three(seed, STOP);
        let (before, volumes) = (stage.volumes_in_service(), tagged(&stage));
        let epoch = stage.slots().iter().map(|slot| slot.epoch).max().unwrap();
        stage.lose_records();
        let calls = hands(&stage);
        stage.run_for(Duration::from_mins(5)).unwrap();
        assert_eq!(rebuild(&mut stage), Vec::new());
        assert_eq!(stage.volumes_in_service(), before);
        assert!(stage.slots().iter().all(|slot| slot.epoch > epoch + 1_000_000));
        assert_eq!(hands(&stage), calls, "nothing is attached or detached by it");
        stage.run_for(Duration::from_mins(3)).unwrap();
        let by_slot = volumes_by_slot(&stage);
        replace(&mut stage);
        assert_eq!(volumes_by_slot(&stage), by_slot);
        assert_eq!(tagged(&stage), volumes, "none was created");
    }
}

#[test]
fn while_the_table_is_lost_launches_and_terminations_are_held_and_kept_alive() {
    for policy in [STOP, DETACH] {
        let mut stage = three(7, policy);
        let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
        stage.lose_records();
        let calls = hands(&stage);
        let failed = fail_one(&stage);
        // Far longer than the hooks' heartbeat timeout; the stage lets no action time out.
        stage.run_for(Duration::from_mins(40)).unwrap();
        let waiting = |state| instances(&stage, "cassandra", state);
        assert_eq!(waiting(LifecycleState::TerminatingWait), [failed]);
        assert_eq!(waiting(LifecycleState::PendingWait).len(), 1);
        assert_eq!(hands(&stage), calls, "nothing was stopped, detached, attached or created");
        assert_eq!(stage.slots(), Vec::new(), "nothing was adopted");
        assert!(alarms(&stage).is_superset(&["pool-unknown", "records-outdated"].into()));
        rebuild(&mut stage);
        all_have(&mut stage, &before).unwrap();
        assert_eq!(tagged(&stage), volumes);
    }
}

/// At whichever call of a replacement the table is lost: what the functions under way do to the end, what is rebuilt, and
/// what follows, never takes a volume from its slot.
#[test]
fn a_table_lost_at_any_call_of_a_replacement_is_rebuilt_and_the_replacement_ends_the_same() {
    for policy in [STOP, DETACH] {
        let begun = || {
            let stage = in_service(stage(9), 2, policy).unwrap();
            let before = volumes_by_slot(&stage);
            fail_one(&stage);
            (stage, before)
        };
        let (mut undisturbed, before) = begun();
        let first = undisturbed.calls;
        all_have(&mut undisturbed, &before).unwrap();
        for call in (first..undisturbed.calls).step_by(3) {
            let (mut stage, before) = begun();
            stage.run_until(LONG, |stage| stage.calls > call).unwrap();
            stage.lose_records();
            stage.run_for(Duration::from_mins(3)).unwrap();
            rebuild(&mut stage);
            all_have(&mut stage, &before).unwrap_or_else(|it| panic!("call {call}: {it}"));
            assert_eq!(tagged(&stage).len(), 2, "call {call}");
        }
    }
}

#[test]
fn a_slot_that_is_being_released_goes_on_to_the_replacement_that_waits() {
    for (seed, policy) in [(1, STOP), (2, DETACH)] {
        let mut stage = in_service(stage(seed), 2, policy).unwrap();
        let before = volumes_by_slot(&stage);
        for volumes in before.values() {
            let hangs = Pace::Takes(Duration::from_mins(12));
            stage.cloud.world().set_pace(&volumes[0], Step::Detach, hangs);
        }
        let failed = fail_one(&stage);
        let releasing = |stage: &Stage| {
            let leaves = |slot: &Slot| matches!(slot.state, SlotState::Releasing { .. });
            let waits = |claim: &Claim| matches!(claim.phase, Phase::Waiting { .. });
            stage.slots().iter().any(leaves) && stage.claims().iter().any(waits)
        };
        stage.run_until(LONG, releasing).unwrap();
        stage.run_for(Duration::from_mins(1)).unwrap();
        stage.lose_records();
        stage.run_for(Duration::from_mins(1)).unwrap();
        rebuild(&mut stage);
        let held = stage
            .slots()
            .into_iter()
            .find(|slot| slot.holder().is_some_and(|holder| holder.as_str() == failed));
        assert!(matches!(held.unwrap().state, SlotState::Releasing { .. }));
        all_have(&mut stage, &before).unwrap();
    }
}

/// The volumes of so many slots of two.
fn sets(seed: u64, count: u32) -> Stage {
    let mut stage = stage(seed);
    for index in 0..count {
        let slot = format!("cassandra-{index}");
        for name in ["data", "log"] {
            let tags = [("stateful-asg:slot", slot.as_str()), ("stateful-asg:volume", name)];
            tagged_volume(&stage, ZONE, &tags).unwrap();
        }
    }
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "cassandra", count, &[ZONE], hooks(Some(SETS))).unwrap();
    let all = |stage: &Stage| stage.volumes_in_service().len() == count as usize;
    stage.run_until(LONG, all).unwrap();
    settle(&mut stage).unwrap();
    stage
}

#[test]
fn slots_of_several_volumes_are_put_together_again_as_they_were() {
    let mut stage = sets(3, 2);
    let before = stage.volumes_in_service();
    let devices = |stage: &Stage| -> Vec<String> {
        let volumes = stage.slots().into_iter().flat_map(|slot| slot.volumes);
        volumes.map(|it| format!("{} {} {}", it.name, it.volume, it.device)).collect()
    };
    let at = devices(&stage);
    stage.lose_records();
    assert_eq!(rebuild(&mut stage), Vec::new());
    assert_eq!(stage.volumes_in_service(), before);
    assert_eq!(devices(&stage), at);
    let by_slot = volumes_by_slot(&stage);
    replace(&mut stage);
    assert_eq!(volumes_by_slot(&stage), by_slot);
}

/// Half a set is no use to anybody, and no other volume is taken for the half that is gone.
#[test]
fn a_free_set_of_which_a_volume_is_gone_is_set_apart() {
    let mut stage = sets(4, 2);
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    let free = |stage: &Stage| stage.slots().iter().all(|slot| slot.state == SlotState::Free);
    stage.run_until(LONG, free).unwrap();
    settle(&mut stage).unwrap();
    let log = slot(&stage, "cassandra-1").volumes[1].volume.to_string();
    stage.lose_records();
    stage.cloud.world().delete_volume(&log).unwrap();
    stage.run_for(Duration::from_mins(1)).unwrap();
    let told: Vec<&str> = rebuild(&mut stage).iter().map(Alarm::name).collect();
    assert_eq!(told, ["quarantined"]);
    assert_eq!(slot(&stage, "cassandra-0").state, SlotState::Free);
    let apart = slot(&stage, "cassandra-1");
    assert_eq!((apart.state, apart.volumes.len()), (SlotState::Quarantined, 1));
    assert!(apart.reason.contains("1 of its 2 volumes"), "{}", apart.reason);
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert!(volumes_by_slot(&stage).contains_key("cassandra-0"));
}

#[test]
fn a_slot_whose_volume_a_person_has_is_set_apart_again() {
    let (mut stage, person) = two_free(5);
    let volume = slot(&stage, "cassandra-0").volumes[0].volume.to_string();
    stage.cloud.world().attach_volume(&volume, &person, "/dev/sdf").unwrap();
    let apart = |stage: &Stage| slot(stage, "cassandra-0").state == SlotState::Quarantined;
    stage.run_until(Duration::from_mins(3), apart).unwrap();
    stage.run_for(Duration::from_secs(30)).unwrap();
    stage.lose_records();
    let told: Vec<&str> = rebuild(&mut stage).iter().map(Alarm::name).collect();
    assert_eq!(told, ["quarantined"]);
    let apart = slot(&stage, "cassandra-0");
    assert_eq!(apart.state, SlotState::Quarantined);
    assert!(apart.reason.contains(&format!("attached to {person}")), "{}", apart.reason);
    assert_eq!(slot(&stage, "cassandra-1").state, SlotState::Free);
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert!(stage.cloud.world().attachment(&volume, &person).is_some());
}

/// A copy of a volume with all its tags, as backup tools restore it.
fn copy_of(stage: &mut Stage, volume: &str) -> String {
    let tags = stage.cloud.world().volume(volume).unwrap().tags.clone();
    let tags: Vec<(&str, &str)> =
        tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let copy = tagged_volume(stage, ZONE, &tags).unwrap();
    stage.run_for(Duration::from_secs(10)).unwrap();
    copy
}

#[test]
fn a_restored_copy_with_copied_tags_is_never_taken_for_the_original() {
    let mut stage = in_service(stage(10), 2, STOP).unwrap();
    let before = volumes_by_slot(&stage);
    let in_use = copy_of(&mut stage, &before["cassandra-0"][0]);
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    let one = |stage: &Stage| stage.slots().iter().any(|slot| slot.state == SlotState::Free);
    stage.run_until(LONG, one).unwrap();
    settle(&mut stage).unwrap();
    let free = stage.slots().into_iter().find(|slot| slot.state == SlotState::Free).unwrap();
    let idle = copy_of(&mut stage, free.volumes[0].volume.as_str());
    stage.lose_records();
    let told = rebuild(&mut stage);
    let copies: BTreeSet<String> = told
        .iter()
        .filter_map(|alarm| match alarm {
            Alarm::NotAdopted { volume, .. } => Some(volume.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(copies, BTreeSet::from([in_use, idle]));
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    all_have(&mut stage, &before).unwrap();
}

/// What a lost table said of a waiter is lost; it joins the queue again, and is served.
#[test]
fn a_pool_with_free_slots_only_is_rebuilt_before_anything_of_it_is_handed_out() {
    let (mut stage, _) = two_free(13);
    let mut before: Vec<Slot> = stage.slots();
    stage.lose_records();
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage.run_for(Duration::from_mins(10)).unwrap();
    assert_eq!(stage.slots(), Vec::new(), "nothing was adopted");
    rebuild(&mut stage);
    let latest = before.iter().max_by_key(|slot| slot.released_at).unwrap().id.to_string();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert!(volumes_by_slot(&stage).contains_key(&latest), "the most recently released one");
    let mut after = stage.slots();
    for slots in [&mut before, &mut after] {
        slots.sort_by(|a, b| a.id.cmp(&b.id));
    }
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.id, before.released_at), (&after.id, after.released_at));
        assert_eq!(before.volumes, after.volumes);
    }
}

/// A person took the pool's tag away; its instance's own tags still say whose it is.
#[test]
fn a_volume_without_its_pools_tag_is_found_by_what_its_instance_was_told() {
    let mut stage = in_service(stage(14), 2, STOP).unwrap();
    let before = volumes_by_slot(&stage);
    let other = [("stateful-asg:pool".to_owned(), "mine".to_owned())].into();
    stage.cloud.world().create_tags(&before["cassandra-1"], &other).unwrap();
    stage.run_for(Duration::from_mins(1)).unwrap();
    stage.lose_records();
    rebuild(&mut stage);
    assert_eq!(volumes_by_slot(&stage), before);
}

#[test]
fn describes_that_are_seconds_old_change_nothing() {
    for seed in 0..3 {
        let mut stage = in_service(stage(seed), 3, STOP).unwrap();
        let before = volumes_by_slot(&stage);
        stage.cloud.world().set_stale_describe(Some(Duration::from_secs(9)));
        fail_one(&stage);
        stage.run_for(Duration::from_secs(seed * 9)).unwrap();
        stage.lose_records();
        rebuild(&mut stage);
        all_have(&mut stage, &before).unwrap_or_else(|it| panic!("seed {seed}: {it}"));
        assert_eq!(tagged(&stage).len(), 3, "seed {seed}");
    }
}
