//! A function that dies at any call, before it is made or after it took effect, changes nothing in the end.

use std::collections::BTreeMap;

use local_cloud::stage::{Crash, Stage};
use scenarios::{in_service, replace_one, stage, tagged, volumes_by_slot};

/// Two instances come into service, one fails and is replaced.
fn story(
    policy: &str,
    crash: Option<Crash>,
) -> Result<(Stage, BTreeMap<String, Vec<String>>), String> {
    let mut stage = stage(11);
    stage.crash = crash;
    let mut stage = in_service(stage, 2, policy)?;
    let before = volumes_by_slot(&stage);
    replace_one(&mut stage, 2)?;
    Ok((stage, before))
}

fn dies_at_every_call(policy: &str) {
    let (undisturbed, before) = story(policy, None).unwrap();
    assert_eq!(volumes_by_slot(&undisturbed), before);
    let epochs = epochs(&undisturbed);
    for call in 1..=undisturbed.calls {
        for crash in [Crash::Before(call), Crash::After(call)] {
            let (stage, before) =
                story(policy, Some(crash)).unwrap_or_else(|problem| panic!("{crash:?}: {problem}"));
            assert_eq!(volumes_by_slot(&stage), before, "{crash:?}");
            assert_eq!(tagged(&stage), tagged(&undisturbed), "{crash:?}");
            assert_eq!(
                self::epochs(&stage),
                epochs,
                "{crash:?}: a slot changed hands more or less often"
            );
        }
    }
}

fn epochs(stage: &Stage) -> Vec<u64> {
    let mut epochs: Vec<u64> = stage.slots().iter().map(|slot| slot.epoch).collect();
    epochs.sort_unstable();
    epochs
}

#[test]
fn in_leave_mode_stop() {
    dies_at_every_call(r#"{"pool":"cassandra"}"#);
}

#[test]
fn in_leave_mode_detach() {
    dies_at_every_call(r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#);
}

#[test]
fn in_leave_mode_terminate() {
    dies_at_every_call(r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#);
}
