//! The table is restored from a backup: its records say what was true then.

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::Detachment;
use scenarios::{LONG, in_service, stage, tagged, volumes_by_slot};
use volume_pool::record::SlotState;

use super::{
    DETACH, STOP, alarms, all_have, fail_one, hands, rebuild, replace, slot, three, two_free,
};

/// Two instances are replaced after the backup, one of them has failed when the table is restored, or fails then.
#[test]
fn a_table_restored_from_an_hour_ago_is_rebuilt_to_what_is_true_now() {
    for seed in 0..4 {
        let mut stage = three(seed, STOP);
        let backup = stage.leases.backup();
        for _ in 0..2 {
            replace(&mut stage);
        }
        stage.run_for(Duration::from_hours(1)).unwrap();
        let (before, volumes) = (stage.volumes_in_service(), tagged(&stage));
        stage.restore_records(&backup);
        let calls = hands(&stage);
        stage.run_for(Duration::from_mins(20)).unwrap();
        assert_eq!(hands(&stage), calls, "seed {seed}: acted by old records");
        assert!(alarms(&stage).contains("records-outdated"), "seed {seed}");
        assert_eq!(rebuild(&mut stage), Vec::new());
        assert_eq!(stage.volumes_in_service(), before, "seed {seed}");
        let by_slot = volumes_by_slot(&stage);
        for _ in 0..2 {
            replace(&mut stage);
            assert_eq!(volumes_by_slot(&stage), by_slot, "seed {seed}");
        }
        assert_eq!(tagged(&stage), volumes, "none was created");
    }
}

#[test]
fn instances_that_fail_while_the_restored_table_lies_get_replacements_with_the_very_volumes() {
    for seed in 0..6 {
        let mut stage = three(seed, STOP);
        let backup = stage.leases.backup();
        for _ in 0..3 {
            replace(&mut stage);
        }
        stage.run_for(Duration::from_hours(1)).unwrap();
        let before = volumes_by_slot(&stage);
        stage.restore_records(&backup);
        stage.run_for(Duration::from_secs(seed * 20)).unwrap();
        fail_one(&stage);
        stage.run_for(Duration::from_mins(12)).unwrap();
        rebuild(&mut stage);
        all_have(&mut stage, &before).unwrap_or_else(|it| panic!("seed {seed}: {it}"));
        assert_eq!(tagged(&stage).len(), 3, "seed {seed}");
    }
}

/// What a restored record says of a slot that was set apart counts, though its volume is free by now.
#[test]
fn a_slot_that_was_set_apart_stays_so_where_the_backup_tells_of_it() {
    let (mut stage, person) = two_free(6);
    let volume = slot(&stage, "cassandra-0").volumes[0].volume.to_string();
    stage.cloud.world().attach_volume(&volume, &person, "/dev/sdf").unwrap();
    let apart = |stage: &Stage| slot(stage, "cassandra-0").state == SlotState::Quarantined;
    stage.run_until(Duration::from_mins(3), apart).unwrap();
    let backup = stage.leases.backup();
    stage.cloud.world().detach_volume(&volume, None, None, Detachment::Clean).unwrap();
    stage.run_for(Duration::from_mins(2)).unwrap();
    stage.restore_records(&backup);
    rebuild(&mut stage);
    assert_eq!(slot(&stage, "cassandra-0").state, SlotState::Quarantined);
    assert_eq!(slot(&stage, "cassandra-1").state, SlotState::Free);
}

/// Whatever was under way when the backup was made, and what failed between then, the restoring and the rebuilding.
#[test]
fn a_backup_made_at_any_call_of_a_replacement_is_rebuilt_to_what_is_true_now() {
    for policy in [STOP, DETACH] {
        let begun = || {
            let stage = in_service(stage(15), 2, policy).unwrap();
            let before = volumes_by_slot(&stage);
            fail_one(&stage);
            (stage, before)
        };
        let (mut undisturbed, before) = begun();
        let first = undisturbed.calls;
        all_have(&mut undisturbed, &before).unwrap();
        for call in (first..undisturbed.calls).step_by(4) {
            let (mut stage, before) = begun();
            stage.run_until(LONG, |stage: &Stage| stage.calls > call).unwrap();
            let backup = stage.leases.backup();
            all_have(&mut stage, &before).unwrap();
            // An hour is long enough for EC2 to forget who has gone; a minute is not.
            stage.run_for(Duration::from_mins(if call % 8 < 4 { 1 } else { 70 })).unwrap();
            stage.restore_records(&backup);
            fail_one(&stage);
            stage.run_for(Duration::from_mins(4)).unwrap();
            rebuild(&mut stage);
            all_have(&mut stage, &before).unwrap_or_else(|it| panic!("call {call}: {it}"));
            assert_eq!(tagged(&stage).len(), 2, "call {call}");
        }
    }
}
