//! The rebuilding itself goes wrong, or is not alone.

use std::time::Duration;

use futures_util::FutureExt;
use local_cloud::stage::{Fault, Stage};
use scenarios::{LONG, in_service, stage, tagged, volumes_by_slot};
use volume_pool::decide::Alarm;
use volume_pool::ports::{Commit, LeaseStore};
use volume_pool::record::Record;
use volume_pool::request::Ending;
use volume_pool::transition::{self, Rest, Transaction};

use super::{STOP, alarms, all_have, fail_one, hands, pool, rebuild, replace, three};

/// A table that was lost while a replacement waits; its rebuilding goes wrong at one call, and is run again where it died.
fn disturbed(fault: Option<(usize, Fault)>) -> Result<(Stage, usize), String> {
    let mut stage = in_service(stage(11), 2, STOP)?;
    let before = volumes_by_slot(&stage);
    stage.lose_records();
    fail_one(&stage);
    stage.run_for(Duration::from_mins(2))?;
    let calls = stage.calls;
    stage.fault = fault.map(|(call, fault)| (calls + call, fault));
    stage.rebuild(&pool())?;
    stage.run_until(LONG, |stage| stage.rebuilding() == 0)?;
    let made = stage.calls - calls;
    if stage.rebuilt.is_empty() {
        stage.run_for(Duration::from_secs(20))?;
        stage.rebuild(&pool())?;
        stage.run_until(LONG, |stage| stage.rebuilding() == 0)?;
    }
    all_have(&mut stage, &before)?;
    Ok((stage, made))
}

#[test]
fn whatever_goes_wrong_at_any_call_of_a_rebuild_it_ends_the_same_when_run_again() {
    let faults =
        [Fault::DiesBefore, Fault::DiesAfter, Fault::LostReply, Fault::Refused, Fault::Hangs];
    let (_, calls) = disturbed(None).unwrap();
    for call in 1..=calls {
        for fault in faults {
            let (mut stage, _) = disturbed(Some((call, fault)))
                .unwrap_or_else(|problem| panic!("{fault:?} at call {call}: {problem}"));
            assert_eq!(tagged(&stage).len(), 2, "{fault:?} at call {call}");
            // What hung takes effect an hour later.
            stage.run_for(Duration::from_mins(70)).unwrap();
            assert_eq!(stage.volumes_in_service().len(), 2, "{fault:?} at call {call}");
        }
    }
}

#[test]
fn two_rebuilds_at_once_do_no_harm() {
    for seed in 0..8 {
        let mut stage = three(seed, STOP);
        let before = stage.volumes_in_service();
        stage.lose_records();
        stage.rebuild(&pool()).unwrap();
        stage.run_for(Duration::from_millis(seed * 30)).unwrap();
        stage.rebuild(&pool()).unwrap();
        stage.run_until(LONG, |stage| stage.rebuilt.len() == 2).unwrap();
        let ended = |(ending, _): &(Ending, Vec<Alarm>)| *ending == Ending::Settled;
        assert!(stage.rebuilt.iter().all(ended), "seed {seed}");
        assert_eq!(stage.volumes_in_service(), before, "seed {seed}");
        let by_slot = volumes_by_slot(&stage);
        replace(&mut stage);
        assert_eq!(volumes_by_slot(&stage), by_slot, "seed {seed}");
    }
}

/// Writes that invocations decided on before the table was lost, and that come when it is rebuilt.
#[test]
fn no_write_of_before_the_loss_succeeds_against_what_was_rebuilt() {
    let mut stage = in_service(stage(12), 2, STOP).unwrap();
    let now = stage.cloud.world().now();
    let mut late: Vec<Transaction> = Vec::new();
    for claim in stage.claims() {
        let slot = stage.slots().into_iter().find(|slot| Some(&slot.id) == claim.slot()).unwrap();
        late.extend(transition::begin_release(&claim, &slot, None, now, "late"));
        late.extend(transition::quarantine(&claim, &slot, now, "late"));
        let rest = Rest { reason: "late".to_owned(), answered: None, work_left: false };
        late.push(transition::rest(&claim, &rest));
    }
    let known = stage.leases.records().into_iter().find_map(|record| match record {
        Record::Pool(pool) => Some(pool),
        _ => None,
    });
    late.extend(transition::pause(&known.unwrap()));
    assert_eq!(late.len(), 7);
    stage.lose_records();
    rebuild(&mut stage);
    let records = stage.leases.records();
    for write in &late {
        let committed = stage.leases.commit(write).now_or_never().unwrap().unwrap();
        assert_eq!(committed, Commit::Conflict, "{}", write.name);
    }
    assert_eq!(stage.leases.records(), records);
}

#[test]
fn a_pool_that_is_being_rebuilt_does_nothing_until_it_is_opened() {
    let mut stage = three(8, STOP);
    let before = volumes_by_slot(&stage);
    stage.rebuild(&pool()).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    let calls = hands(&stage);
    fail_one(&stage);
    stage.run_until(LONG, |stage| stage.rebuilt.len() == 1).unwrap();
    assert_eq!(hands(&stage), calls);
    assert!(alarms(&stage).contains("rebuilding"));
    all_have(&mut stage, &before).unwrap();
}
