//! People's doings with volumes of the pool: they delete, attach, detach and retag them by hand. Nothing of that is
//! undone, nothing destructive follows from it, and a person is told.

#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::stage::{Fault, Stage};
use local_cloud::world::{Detachment, LifecycleState};
use scenarios::{
    LONG, in_service, instances, replace_one, settle, stage, stranger, tagged, volumes_by_slot,
};
use volume_pool::decide::Alarm;
use volume_pool::record::{HeldMark, Record, Slot, SlotState};

const POLICY: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;

/// A group whose instances have gone, and `count` slots that are free since.
fn free_slots(count: u32, seed: u64) -> Stage {
    let mut stage = in_service(stage(seed), count, POLICY).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    let free = |stage: &Stage| stage.slots().iter().all(|slot| slot.state == SlotState::Free);
    stage.run_until(LONG, free).unwrap();
    settle(&mut stage).unwrap();
    stage
}

fn slot(stage: &Stage, name: &str) -> Slot {
    stage.slots().into_iter().find(|slot| slot.id.to_string() == name).unwrap()
}

fn volume_of(slot: &Slot) -> String {
    slot.volumes[0].volume.to_string()
}

fn held_mark(stage: &Stage, name: &str) -> HeldMark {
    let marks = stage.leases.records().into_iter().filter_map(|record| match record {
        Record::Held(mark) => Some(mark),
        _ => None,
    });
    marks.into_iter().find(|mark| mark.slot.to_string() == name).unwrap()
}

/// The alarms of the loops and looks so far.
fn alarms(stage: &Stage) -> Vec<Alarm> {
    let loops = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    loops.chain(&stage.alarms).cloned().collect()
}

/// Takes a volume off its instance as a careful person does: unmounted first.
fn take_off(stage: &mut Stage, volume: &str) {
    stage.taken.insert(volume.to_owned());
    let mut world = stage.cloud.world();
    world.unmount(volume);
    world.detach_volume(volume, None, None, Detachment::Clean).unwrap();
}

#[test]
fn a_free_slot_whose_volume_a_person_attached_is_set_apart_and_the_others_serve() {
    for lag in [0, 3, 8] {
        let mut stage = free_slots(2, 3);
        stage.cloud.world().set_stale_describe(Some(Duration::from_secs(lag)));
        let person = stranger(&mut stage).unwrap();
        let volume = volume_of(&slot(&stage, "cassandra-0"));
        stage.cloud.world().attach_volume(&volume, &person, "/dev/sdf").unwrap();
        let apart = |stage: &Stage| slot(stage, "cassandra-0").state == SlotState::Quarantined;
        stage.run_until(Duration::from_mins(3), apart).unwrap();
        stage.run_for(Duration::from_secs(1)).unwrap();
        let reason = slot(&stage, "cassandra-0").reason;
        assert!(reason.contains(&format!("attached to {person}, which never held")), "{reason}");
        assert!(alarms(&stage).iter().any(|alarm| alarm.name() == "quarantined"));

        stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
        stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
        assert!(volumes_by_slot(&stage).contains_key("cassandra-1"));
        let world = stage.cloud.world();
        assert!(world.attachment(&volume, &person).is_some(), "the person's doing was undone");
    }
}

/// It is set apart, and nobody says so; nor does the launch that dies of it, as often as it is tried.
#[test]
fn a_function_that_dies_of_setting_a_slot_apart_is_made_up_for_by_the_next_sweep() {
    let dies_at = |call: Option<usize>| {
        let mut stage = free_slots(1, 3);
        stage.fault = call.map(|call| (call, Fault::DiesAfter));
        let person = stranger(&mut stage).unwrap();
        let volume = volume_of(&slot(&stage, "cassandra-0"));
        stage.cloud.world().attach_volume(&volume, &person, "/dev/sdf").unwrap();
        let apart = |stage: &Stage| slot(stage, "cassandra-0").state == SlotState::Quarantined;
        stage.run_until(Duration::from_mins(3), apart).unwrap();
        stage
    };
    let undisturbed = dies_at(None);
    let call = 1 + undisturbed.asked.iter().position(|call| *call == "set apart").unwrap();
    let mut stage = dies_at(Some(call));
    assert_eq!(alarms(&stage), [], "told by whoever has died");
    stage.run_for(Duration::from_mins(1)).unwrap();
    let told = alarms(&stage);
    let named =
        |alarm: &Alarm| alarm.name() == "quarantined" && alarm.to_string().contains("never");
    assert!(told.iter().any(named), "{told:?}");
}

#[test]
fn a_free_slot_whose_volume_was_deleted_is_set_apart_once_that_is_certain() {
    let mut stage = free_slots(2, 4);
    let volume = volume_of(&slot(&stage, "cassandra-1"));
    stage.cloud.world().delete_volume(&volume).unwrap();
    stage.run_for(Duration::from_mins(5)).unwrap();
    assert_eq!(slot(&stage, "cassandra-1").state, SlotState::Free, "too soon");
    stage
        .run_until(Duration::from_mins(10), |stage| {
            slot(stage, "cassandra-1").state == SlotState::Quarantined
        })
        .unwrap();
    assert!(slot(&stage, "cassandra-1").reason.contains("deleted"));
    assert_eq!(slot(&stage, "cassandra-0").state, SlotState::Free);
}

#[test]
fn a_launch_that_was_given_a_deleted_volume_gets_another_slot_in_the_end() {
    let mut stage = free_slots(2, 4);
    let best = slot(&stage, "cassandra-0").released_at > slot(&stage, "cassandra-1").released_at;
    let (chosen, other) =
        if best { ("cassandra-0", "cassandra-1") } else { ("cassandra-1", "cassandra-0") };
    let volume = volume_of(&slot(&stage, chosen));
    stage.cloud.world().delete_volume(&volume).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage
        .run_until(Duration::from_mins(20), |stage| !stage.volumes_in_service().is_empty())
        .unwrap();
    assert!(volumes_by_slot(&stage).contains_key(other));
    assert_eq!(slot(&stage, chosen).state, SlotState::Quarantined);
}

#[test]
fn a_free_slot_on_an_earlier_holder_or_seen_in_a_stale_describe_stays_free() {
    let mut stage = in_service(stage(6), 2, POLICY).unwrap();
    stage.cloud.world().set_stale_describe(Some(Duration::from_secs(9)));
    for _ in 0..3 {
        replace_one(&mut stage, 2).unwrap();
        stage.run_for(Duration::from_mins(3)).unwrap();
    }
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage.run_for(Duration::from_mins(20)).unwrap();
    let states: Vec<SlotState> = stage.slots().into_iter().map(|slot| slot.state).collect();
    assert_eq!(states, [SlotState::Free, SlotState::Free]);
    assert_eq!(alarms(&stage), Vec::new());
}

#[test]
fn a_volume_taken_from_an_instance_in_service_is_told_of_and_not_put_back() {
    let mut stage = in_service(stage(7), 2, POLICY).unwrap();
    let before = volumes_by_slot(&stage);
    let volume = volume_of(&slot(&stage, "cassandra-0"));
    let holder = slot(&stage, "cassandra-0").holder().unwrap().to_string();
    take_off(&mut stage, &volume);
    stage.run_until(Duration::from_mins(3), |stage| held_mark(stage, "cassandra-0").amiss).unwrap();
    let reason = slot(&stage, "cassandra-0").reason;
    assert!(reason.contains("detached by a person"), "{reason}");
    let version = slot(&stage, "cassandra-0").version;
    stage.run_for(Duration::from_mins(5)).unwrap();
    assert_eq!(slot(&stage, "cassandra-0").version, version, "it is written down once");
    assert!(stage.cloud.world().attachment(&volume, &holder).is_none(), "it was put back");
    let told = alarms(&stage).into_iter().filter(|alarm| alarm.name() == "volume-astray").count();
    assert!((4..=8).contains(&told), "told {told} times");

    // Put back by hand, the record says so.
    stage.cloud.world().attach_volume(&volume, &holder, "/dev/sdf").unwrap();
    stage
        .run_until(Duration::from_mins(3), |stage| !held_mark(stage, "cassandra-0").amiss)
        .unwrap();
    stage.run_for(Duration::from_mins(2)).unwrap();
    let reason = slot(&stage, "cassandra-0").reason;
    assert_eq!(reason, "slot cassandra-0 is attached whole again");
    assert_eq!(volumes_by_slot(&stage), before);
}

#[test]
fn an_instance_whose_volume_was_deleted_stays_in_service_and_its_slot_is_kept() {
    let mut stage = in_service(stage(8), 2, POLICY).unwrap();
    let volume = volume_of(&slot(&stage, "cassandra-1"));
    take_off(&mut stage, &volume);
    stage.run_for(Duration::from_secs(20)).unwrap();
    stage.cloud.world().delete_volume(&volume).unwrap();
    stage.run_for(Duration::from_mins(15)).unwrap();
    let kept = slot(&stage, "cassandra-1");
    assert!(matches!(kept.state, SlotState::Leased { .. }), "{:?}", kept.state);
    assert!(kept.reason.contains("it was deleted"), "{}", kept.reason);
    assert_eq!(instances(&stage, "cassandra", LifecycleState::InService).len(), 2);
}

#[test]
fn tags_that_people_change_are_set_again_and_a_lost_pool_tag_is_told_of() {
    let mut stage = in_service(stage(9), 2, POLICY).unwrap();
    let before = volumes_by_slot(&stage);
    let (first, second) =
        (volume_of(&slot(&stage, "cassandra-0")), volume_of(&slot(&stage, "cassandra-1")));
    {
        let mut world = stage.cloud.world();
        let wrong = BTreeMap::from([("stateful-asg:slot".to_owned(), "cassandra-7".to_owned())]);
        world.create_tags(std::slice::from_ref(&first), &wrong).unwrap();
        let wrong = BTreeMap::from([("stateful-asg:pool".to_owned(), "mine".to_owned())]);
        world.create_tags(&[second], &wrong).unwrap();
    }
    stage.run_for(Duration::from_mins(3)).unwrap();
    let tags = stage.cloud.world().volume(&first).unwrap().tags.clone();
    assert_eq!(tags["stateful-asg:slot"], "cassandra-0");
    assert!(alarms(&stage).iter().any(|alarm| alarm.name() == "pool-tag-lost"));
    assert_eq!(volumes_by_slot(&stage), before);

    // Nor does a slot that comes free lose its volume by it.
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage.run_for(Duration::from_mins(20)).unwrap();
    assert!(stage.slots().iter().all(|slot| slot.state == SlotState::Free));
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_until(LONG, |stage| volumes_by_slot(stage) == before).unwrap();
}

#[test]
fn a_volume_set_to_go_with_its_instance_is_set_to_stay_again() {
    let mut stage = in_service(stage(10), 1, POLICY).unwrap();
    let volume = volume_of(&slot(&stage, "cassandra-0"));
    let holder = slot(&stage, "cassandra-0").holder().unwrap().to_string();
    stage.taken.insert(volume.clone());
    stage
        .cloud
        .world()
        .set_delete_on_termination(&holder, &[("/dev/sdf".to_owned(), None, true)])
        .unwrap();
    stage
        .run_until(Duration::from_mins(2), |stage| {
            let world = stage.cloud.world();
            world.attachment(&volume, &holder).is_some_and(|it| !it.delete_on_termination)
        })
        .unwrap();
}

#[test]
fn a_person_who_makes_off_with_a_free_volume_and_deletes_it_costs_one_slot_only() {
    let mut stage = free_slots(3, 11);
    let person = stranger(&mut stage).unwrap();
    let volume = volume_of(&slot(&stage, "cassandra-2"));
    stage.cloud.world().attach_volume(&volume, &person, "/dev/sdf").unwrap();
    stage.run_for(Duration::from_mins(2)).unwrap();
    {
        let mut world = stage.cloud.world();
        world.detach_volume(&volume, None, None, Detachment::Clean).unwrap();
    }
    stage.run_for(Duration::from_mins(1)).unwrap();
    stage.cloud.world().delete_volume(&volume).unwrap();
    stage.run_for(Duration::from_mins(15)).unwrap();
    let states: Vec<SlotState> = stage.slots().into_iter().map(|slot| slot.state).collect();
    assert_eq!(states, [SlotState::Free, SlotState::Free, SlotState::Quarantined]);
    assert_eq!(tagged(&stage).len(), 2);
}
