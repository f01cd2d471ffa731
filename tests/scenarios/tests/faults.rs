//! Whatever goes wrong with any one call, it changes nothing in the end: a function that dies before it or after it
//! took effect, an answer that is lost, a call that is refused, a call that hangs until the function is ended.

#![cfg(test)]

use std::collections::BTreeMap;

use local_cloud::stage::{Fault, Stage};
use local_cloud::world::{CommandFilter, PageRequest};
use scenarios::{SSM, in_service, replace_one, stage, tagged, volumes_by_slot};

const STOP: &str = r#"{"pool":"cassandra"}"#;
const DETACH: &str = r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#;
const TERMINATE: &str = r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#;

/// Two instances come into service, one fails and is replaced. Which volumes each slot had before, and the stage.
fn story(
    policy: &str,
    fault: Option<(usize, Fault)>,
) -> Result<(Stage, BTreeMap<String, Vec<String>>), String> {
    let mut stage = stage(11);
    stage.fault = fault;
    let mut stage = in_service(stage, 2, policy)?;
    let before = volumes_by_slot(&stage);
    replace_one(&mut stage, 2)?;
    Ok((stage, before))
}

/// Tells the story once for each of these faults at each call, or at each so many-th.
fn goes_wrong_at_every(step: usize, policy: &str, faults: &[Fault]) {
    let (undisturbed, before) = story(policy, None).unwrap();
    assert_eq!(volumes_by_slot(&undisturbed), before);
    for call in (1..=undisturbed.calls).step_by(step) {
        for fault in faults {
            let (stage, before) = story(policy, Some((call, *fault)))
                .unwrap_or_else(|problem| panic!("{fault:?} at call {call}: {problem}"));
            assert_eq!(volumes_by_slot(&stage), before, "{fault:?} at call {call}");
            assert_eq!(tagged(&stage), tagged(&undisturbed), "{fault:?} at call {call}");
            assert_eq!(sent(&stage), sent(&undisturbed), "{fault:?} at call {call}: documents run");
            assert_eq!(
                epochs(&stage),
                epochs(&undisturbed),
                "{fault:?} at call {call}: a slot changed hands more or less often"
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
fn a_function_that_dies_changes_nothing_in_leave_mode_stop() {
    goes_wrong_at_every(1, STOP, &[Fault::DiesBefore, Fault::DiesAfter]);
}

#[test]
fn an_answer_lost_or_a_call_refused_changes_nothing_in_leave_mode_stop() {
    goes_wrong_at_every(1, STOP, &[Fault::LostReply, Fault::Refused]);
}

#[test]
fn a_call_that_outlives_its_function_changes_nothing_in_leave_mode_stop() {
    goes_wrong_at_every(1, STOP, &[Fault::Hangs]);
}

const EVERY: [Fault; 5] =
    [Fault::DiesBefore, Fault::DiesAfter, Fault::LostReply, Fault::Refused, Fault::Hangs];

#[test]
fn no_fault_changes_anything_in_leave_mode_detach() {
    goes_wrong_at_every(1, DETACH, &EVERY);
}

#[test]
fn no_fault_changes_anything_in_leave_mode_terminate() {
    goes_wrong_at_every(1, TERMINATE, &EVERY);
}

/// `SendCommand` has no client token, and yet the document is run once, whatever goes wrong.
#[test]
fn no_fault_changes_anything_in_leave_mode_ssm() {
    goes_wrong_at_every(1, SSM, &EVERY);
}

/// How many commands were sent, to whichever instance.
fn sent(stage: &Stage) -> usize {
    let world = stage.cloud.world();
    let all = world.list_command_invocations(&CommandFilter::default(), &PageRequest::default());
    all.unwrap().items.len()
}
