//! Leave mode `ssm`: a document makes the instance let go of its volumes; whatever keeps it from that leaves them to the
//! termination.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::{Fault, Stage};
use local_cloud::world::{
    Agent, AttachmentState, CommandStatus, Document, DocumentEffect, DocumentOutcome,
    InstanceState, LifecycleState, Span,
};
use scenarios::{LONG, SSM, commands, in_service, instances, settle, stage, volumes_by_slot};
use volume_pool::record::SlotState;

/// `drain` from now on.
fn drain(stage: &Stage, document: Document) {
    stage.cloud.world().put_document("drain", document);
}

fn unmounting() -> Document {
    Document { effect: DocumentEffect::Unmounts, ..Document::default() }
}

/// One instance in service with its volume mounted.
fn one_in_service(seed: u64, policy: &str) -> (Stage, String) {
    let mut stage = in_service(stage(seed), 1, policy).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    let instance = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    (stage, instance)
}

fn state(stage: &Stage, instance: &str) -> InstanceState {
    stage.cloud.world().instance(instance).unwrap().state
}

/// Whether the replacement of this instance is in service.
fn replaced(stage: &Stage, instance: &str) -> bool {
    let served = stage.volumes_in_service();
    served.len() == 1 && served.values().all(|(holder, _)| holder != instance)
}

/// Lets the instance fail and be replaced; its volume must come back, and nobody may take it off before the instance is on
/// its way to be terminated.
fn falls_through(stage: &mut Stage, instance: &str) {
    let before = volumes_by_slot(stage);
    stage.cloud.world().fail_instance(instance).unwrap();
    falls_through_from(stage, instance);
    stage.run_until(LONG, |stage| replaced(stage, instance)).unwrap();
    assert_eq!(volumes_by_slot(stage), before);
    settle(stage).unwrap();
}

fn falls_through_from(stage: &mut Stage, instance: &str) {
    let volume = stage.slots().remove(0).volumes.remove(0).volume.to_string();
    stage.run_until(LONG, |stage| state(stage, instance) == InstanceState::ShuttingDown).unwrap();
    let world = stage.cloud.world();
    let attachment = world.attachment(&volume, instance).unwrap();
    assert_eq!(attachment.state, AttachmentState::Attached, "it was taken off before");
}

/// What the alarms said of the document.
fn told(stage: &Stage) -> String {
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    let of_documents = alarms.filter(|alarm| alarm.name() == "document-failed");
    of_documents.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn once_the_document_has_succeeded_the_volume_is_taken_off_the_running_instance() {
    for seed in 0..8 {
        let (mut stage, instance) = one_in_service(seed, SSM);
        stage.cloud.world().fail_instance(&instance).unwrap();
        stage.run_until(LONG, |stage| stage.slots()[0].state == SlotState::Free).unwrap();
        assert_eq!(state(&stage, &instance), InstanceState::Running);
        let sent = commands(&stage, &instance);
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].document.as_str(), sent[0].status), ("drain", CommandStatus::Success));
        stage.run_until(LONG, |stage| replaced(stage, &instance)).unwrap();
        assert_eq!(told(&stage), "");
    }
}

#[test]
fn a_document_that_takes_minutes_costs_no_idle_function_and_its_end_is_heard_of_without_the_schedule()
 {
    let (mut stage, instance) = one_in_service(3, SSM);
    drain(&stage, Document { takes: Span::exactly(Duration::from_mins(4)), ..unmounting() });
    stage.reconciles = false;
    stage.cloud.world().fail_instance(&instance).unwrap();
    stage.run_until(LONG, |stage| commands(stage, &instance).len() == 1).unwrap();
    let calls = stage.calls;
    stage.run_for(Duration::from_mins(3)).unwrap();
    assert!(stage.calls - calls < 100, "{} calls in three minutes", stage.calls - calls);
    stage.run_until(Duration::from_mins(3), |stage| replaced(stage, &instance)).unwrap();
}

#[test]
fn a_document_that_does_not_exist_leaves_the_volume_to_the_termination() {
    let policy = r#"{"pool":"cassandra","leave":{"mode":"ssm","document":"nowhere"}}"#;
    let (mut stage, instance) = one_in_service(1, policy);
    falls_through(&mut stage, &instance);
    assert!(told(&stage).contains("document nowhere"), "{}", told(&stage));
}

#[test]
fn an_instance_that_systems_manager_does_not_know_leaves_its_volume_to_the_termination() {
    let (mut stage, instance) = one_in_service(1, SSM);
    stage.cloud.world().set_agent(&instance, Agent::Unregistered);
    falls_through(&mut stage, &instance);
    assert!(told(&stage).contains(&instance), "{}", told(&stage));
}

#[test]
fn a_role_that_may_not_send_commands_or_read_of_them_leaves_the_volume_to_the_termination() {
    let mut seen = 0;
    for call in ["ssm:SendCommand", "ssm:ListCommandInvocations"] {
        let (mut stage, instance) = one_in_service(1, SSM);
        let mut undisturbed = one_in_service(1, SSM).0;
        undisturbed.cloud.world().fail_instance(&instance).unwrap();
        undisturbed.run_until(LONG, |stage| replaced(stage, &instance)).unwrap();
        let number = undisturbed.asked.iter().position(|asked| *asked == call).unwrap() + 1;
        stage.fault = Some((number, Fault::Denied));
        falls_through(&mut stage, &instance);
        assert!(told(&stage).contains(call), "{}", told(&stage));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn a_document_that_fails_or_runs_out_of_its_time_leaves_the_volume_to_the_termination() {
    for (outcome, details) in
        [(DocumentOutcome::Fails, "Failed"), (DocumentOutcome::NeverEnds, "ExecutionTimedOut")]
    {
        let (mut stage, instance) = one_in_service(2, SSM);
        let execution_timeout = Duration::from_mins(1);
        drain(&stage, Document { outcome, execution_timeout, ..unmounting() });
        falls_through(&mut stage, &instance);
        assert!(told(&stage).contains(details), "{}", told(&stage));
        assert_eq!(commands(&stage, &instance).len(), 1);
    }
}

#[test]
fn a_command_that_a_person_cancels_leaves_the_volume_to_the_termination() {
    let (mut stage, instance) = one_in_service(2, SSM);
    drain(&stage, Document { takes: Span::exactly(Duration::from_mins(2)), ..unmounting() });
    stage.cloud.world().fail_instance(&instance).unwrap();
    stage.run_until(LONG, |stage| commands(stage, &instance).len() == 1).unwrap();
    let command = commands(&stage, &instance).remove(0).command;
    stage.cloud.world().cancel_command(&command).unwrap();
    falls_through_from(&mut stage, &instance);
    assert!(told(&stage).contains("Cancelled"), "{}", told(&stage));
}

#[test]
fn an_agent_that_never_answers_holds_the_termination_up_for_leave_seconds_and_no_longer() {
    let policy = r#"{"pool":"cassandra","leave":{"mode":"ssm","document":"drain","seconds":120}}"#;
    let (mut stage, instance) = one_in_service(4, policy);
    stage.cloud.world().set_agent(&instance, Agent::Silent);
    stage.cloud.world().fail_instance(&instance).unwrap();
    let waits = |stage: &Stage| {
        instances(stage, "cassandra", LifecycleState::TerminatingWait).contains(&instance)
    };
    stage.run_until(LONG, waits).unwrap();
    let began = stage.cloud.world().now();
    falls_through_from(&mut stage, &instance);
    let held_up = stage.cloud.world().now().since(began);
    let seconds = held_up.as_secs();
    assert!((120..200).contains(&seconds), "{seconds} s");
    assert!(told(&stage).contains("leave.seconds"), "{}", told(&stage));
    stage.run_until(LONG, |stage| replaced(stage, &instance)).unwrap();
}

/// The document has succeeded and unmounted nothing: EC2 shows the detachment busy.
#[test]
fn a_document_that_lies_leaves_a_detachment_that_hangs_to_the_termination() {
    let policy = r#"{"pool":"cassandra","leave":{"mode":"ssm","document":"drain","seconds":120}}"#;
    let (mut stage, instance) = one_in_service(5, policy);
    drain(&stage, Document::default());
    let before = volumes_by_slot(&stage);
    let volume = before.values().next().unwrap()[0].clone();
    stage.cloud.world().fail_instance(&instance).unwrap();
    stage
        .run_until(LONG, |stage| {
            let attachment = stage.cloud.world().attachment(&volume, &instance).cloned();
            attachment.is_some_and(|attachment| attachment.state == AttachmentState::Busy)
        })
        .unwrap();
    stage.run_until(LONG, |stage| state(stage, &instance) == InstanceState::ShuttingDown).unwrap();
    let holder = instance.parse().unwrap();
    assert_eq!(stage.slots()[0].state, SlotState::Releasing { holder });
    stage.run_until(LONG, |stage| replaced(stage, &instance)).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
}
