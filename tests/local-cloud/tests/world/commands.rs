//! Run Command: what a document does to an instance, how it ends, and what Systems Manager refuses.

use std::time::Duration;

use local_cloud::api::ssm;
use local_cloud::world::{
    Agent, AttachmentState, CommandFilter, CommandStatus, Detachment, Document, DocumentEffect,
    DocumentOutcome, PageRequest, SendCommand, Span, VolumeState, World,
};
use serde_json::{Value, json};

use crate::staging::{new_volume, pass, run, running, until, world};

fn unmounting(outcome: DocumentOutcome) -> Document {
    Document {
        takes: Span::exactly(Duration::from_secs(10)),
        outcome,
        effect: DocumentEffect::Unmounts,
        ..Document::default()
    }
}

fn leave(instance: &str) -> SendCommand {
    SendCommand {
        document: "leave".to_owned(),
        instances: vec![instance.to_owned()],
        ..SendCommand::default()
    }
}

/// Sends `leave`, and waits until describes know of it.
fn sent(world: &mut World, instance: &str) -> String {
    let command = world.send_command(leave(instance)).unwrap().id;
    until(world, "shown", |world| world.command_invocation(&command, instance).is_ok());
    command
}

fn status(world: &World, command: &str, instance: &str) -> CommandStatus {
    world.command_invocation(command, instance).unwrap().status
}

fn code(world: &mut World, request: SendCommand) -> &'static str {
    world.send_command(request).unwrap_err().code()
}

#[test]
fn a_document_that_unmounts_makes_a_detachment_clean() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(&mut world, 5);
    world.mount(&volume);
    world.detach_volume(&volume, Some(&instance), None, Detachment::Clean).unwrap();
    pass(&mut world, 60);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Busy);
    world.put_document("leave", unmounting(DocumentOutcome::Succeeds));
    let command = sent(&mut world, &instance);
    until(&mut world, "in progress", |world| {
        status(world, &command, &instance) == CommandStatus::InProgress
    });
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Busy);
    pass(&mut world, 10);
    let invocation = world.command_invocation(&command, &instance).unwrap();
    assert_eq!((invocation.status, invocation.response_code()), (CommandStatus::Success, 0));
    let took = invocation.ended_at.unwrap().since(invocation.started_at.unwrap());
    assert_eq!(took, Duration::from_secs(10));
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
    let told: Vec<Value> = world
        .drain_events()
        .into_iter()
        .filter(|it| it.source == "aws.ssm")
        .map(|it| it.body["detail"]["status"].clone())
        .collect();
    assert_eq!(told, ["InProgress", "Success"]);
}

#[test]
fn a_document_that_fails_or_hangs_leaves_the_filesystem_mounted() {
    for (outcome, expected) in [
        (DocumentOutcome::Fails, CommandStatus::Failed),
        (DocumentOutcome::NeverEnds, CommandStatus::ExecutionTimedOut),
    ] {
        let mut world = world();
        let volume = new_volume(&mut world, "a");
        let instance = running(&mut world, "a");
        world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
        pass(&mut world, 5);
        world.mount(&volume);
        let execution_timeout = Duration::from_mins(5);
        let document = Document { execution_timeout, ..unmounting(outcome) };
        world.put_document("leave", document);
        let command = sent(&mut world, &instance);
        pass(&mut world, 240);
        let hangs = outcome == DocumentOutcome::NeverEnds;
        assert_eq!(status(&world, &command, &instance) == CommandStatus::InProgress, hangs);
        pass(&mut world, 120);
        assert_eq!(status(&world, &command, &instance), expected);
        world.detach_volume(&volume, Some(&instance), None, Detachment::Clean).unwrap();
        pass(&mut world, 30);
        assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Busy);
    }
    assert_eq!(CommandStatus::ExecutionTimedOut.as_str(), "TimedOut");
}

#[test]
fn a_command_is_not_found_in_the_moment_after_it_was_sent() {
    let mut world = world();
    let instance = running(&mut world, "a");
    world.put_document("leave", unmounting(DocumentOutcome::Succeeds));
    let command = world.send_command(leave(&instance)).unwrap().id;
    let refused = world.command_invocation(&command, &instance).unwrap_err();
    assert_eq!(refused.code(), "InvocationDoesNotExist");
    let page = PageRequest::default();
    let listed = |world: &World| {
        let filter = CommandFilter { command: Some(&command), ..CommandFilter::default() };
        world.list_command_invocations(&filter, &page).unwrap().items.len()
    };
    assert_eq!(listed(&world), 0);
    pass(&mut world, 1);
    assert_eq!(listed(&world), 1);
    assert!(world.command_invocation(&command, &instance).is_ok());
    let refused = world.command_invocation(&command, "i-0").unwrap_err();
    assert_eq!(refused.code(), "InvocationDoesNotExist");
}

#[test]
fn only_instances_that_run_and_are_managed_are_sent_commands() {
    let mut world = world();
    world.put_document("leave", Document::default());
    let managed = running(&mut world, "a");
    let alone = running(&mut world, "a");
    world.set_agent(&alone, Agent::Unregistered);
    let stopped = running(&mut world, "a");
    world.stop_instances(std::slice::from_ref(&stopped)).unwrap();
    let booting = world.run_instances(run("a")).unwrap().remove(0).id;
    for instance in [&alone, &stopped, &booting, &"i-0123".to_owned()] {
        let both = vec![managed.clone(), instance.clone()];
        let refused =
            world.send_command(SendCommand { instances: both, ..leave(&managed) }).unwrap_err();
        assert_eq!(refused.code(), "InvalidInstanceId");
        assert_eq!(
            refused.message(),
            format!("Instances [[{instance}]] not in a valid state for account 123456789012")
        );
    }
    let twice = vec![managed.clone(), managed.clone()];
    assert_eq!(
        code(&mut world, SendCommand { instances: twice, ..leave(&managed) }),
        "DuplicateInstanceId"
    );
    let other = SendCommand { document: "stay".to_owned(), ..leave(&managed) };
    assert_eq!(code(&mut world, other), "InvalidDocument");
    let parameters = [("force".to_owned(), vec!["yes".to_owned()])].into();
    let odd = SendCommand { parameters, ..leave(&managed) };
    assert_eq!(code(&mut world, odd), "InvalidParameters");
    let short = SendCommand { timeout_seconds: Some(29), ..leave(&managed) };
    assert_eq!(code(&mut world, short), "ValidationException");
}

#[test]
fn a_silent_agent_lets_the_command_wait_until_it_is_given_up() {
    let mut world = world();
    let instance = running(&mut world, "a");
    let execution_timeout = Duration::from_mins(1);
    world.put_document("leave", Document { execution_timeout, ..Document::default() });
    world.set_agent(&instance, Agent::Silent);
    let request = SendCommand { timeout_seconds: Some(30), ..leave(&instance) };
    let given_up = world.send_command(request.clone()).unwrap().id;
    pass(&mut world, 89);
    assert_eq!(status(&world, &given_up, &instance), CommandStatus::Pending);
    pass(&mut world, 1);
    assert_eq!(status(&world, &given_up, &instance), CommandStatus::DeliveryTimedOut);
    let delivered = world.send_command(request).unwrap().id;
    pass(&mut world, 10);
    world.set_agent(&instance, Agent::Online);
    pass(&mut world, 40);
    assert_eq!(status(&world, &delivered, &instance), CommandStatus::Success);
    assert_eq!(status(&world, &given_up, &instance), CommandStatus::DeliveryTimedOut);
}

#[test]
fn an_instance_that_goes_reports_nothing_and_a_command_can_be_taken_back() {
    let mut world = world();
    let going = running(&mut world, "a");
    let staying = running(&mut world, "a");
    world.put_document("leave", unmounting(DocumentOutcome::Succeeds));
    let lost = sent(&mut world, &going);
    let taken_back = sent(&mut world, &staying);
    pass(&mut world, 3);
    world.terminate_instances(std::slice::from_ref(&going)).unwrap();
    world.cancel_command(&taken_back).unwrap();
    pass(&mut world, 600);
    assert_eq!(status(&world, &lost, &going), CommandStatus::InProgress);
    assert_eq!(status(&world, &taken_back, &staying), CommandStatus::Cancelled);
    pass(&mut world, 3_600);
    assert_eq!(status(&world, &lost, &going), CommandStatus::ExecutionTimedOut);
    assert_eq!(world.cancel_command("no-such").unwrap_err().code(), "InvalidCommandId");
}

#[test]
fn commands_are_answered_in_systems_managers_shape() {
    let mut world = world();
    let instance = running(&mut world, "a");
    let ask = |world: &mut World, operation: &str, input: &Value| -> (u16, Value) {
        let response = ssm::handle(world, operation, input.to_string().as_bytes());
        (response.status, serde_json::from_str(&response.body).unwrap())
    };
    let input = json!({
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": [instance],
        "Parameters": { "commands": ["umount /data"], "executionTimeout": ["60"] },
        "TimeoutSeconds": 30,
    });
    let (http, sent) = ask(&mut world, "SendCommand", &input);
    assert_eq!((http, &sent["Command"]["Status"]), (200, &json!("Pending")));
    let seconds = |name: &str| sent["Command"][name].as_f64().map(Duration::from_secs_f64).unwrap();
    let both_timeouts = Duration::from_secs(90);
    assert_eq!(seconds("RequestedDateTime") + both_timeouts, seconds("ExpiresAfter"));
    let id = sent["Command"]["CommandId"].clone();
    let named = json!({ "CommandId": id, "InstanceId": instance });
    let (http, early) = ask(&mut world, "GetCommandInvocation", &named);
    assert_eq!((http, &early["__type"]), (400, &json!("InvocationDoesNotExist")));
    pass(&mut world, 10);
    let (_, found) = ask(&mut world, "GetCommandInvocation", &named);
    assert_eq!((&found["Status"], &found["ResponseCode"]), (&json!("Success"), &json!(0)));
    assert!(found["ExecutionStartDateTime"].as_str().unwrap().starts_with("2026-11-23T"));
    let (_, listed) = ask(&mut world, "ListCommandInvocations", &json!({ "Details": true }));
    let listed = &listed["CommandInvocations"][0];
    assert_eq!((&listed["CommandId"], &listed["StatusDetails"]), (&id, &json!("Success")));
    assert_eq!(listed["CommandPlugins"][0]["ResponseCode"], 0);
    for (time, expected) in [("2020-01-01T00:00:00Z", 1), ("2027-01-01T00:00:00Z", 0)] {
        let since = json!({ "Filters": [{ "key": "InvokedAfter", "value": time }] });
        let (_, listed) = ask(&mut world, "ListCommandInvocations", &since);
        assert_eq!(listed["CommandInvocations"].as_array().unwrap().len(), expected, "{time}");
    }
    let odd_filter = json!({ "Filters": [{ "key": "InvokedAfter", "value": "yesterday" }] });
    for (operation, input, code) in [
        ("DescribeInstanceInformation", json!({}), "UnknownOperationException"),
        ("SendCommand", json!({ "DocumentName": "a", "Targets": [] }), "ValidationException"),
        ("SendCommand", json!({}), "ValidationException"),
        ("ListCommandInvocations", json!({ "MaxResults": 51 }), "ValidationException"),
        ("ListCommandInvocations", json!({ "NextToken": "mine" }), "InvalidNextToken"),
        ("ListCommandInvocations", odd_filter, "ValidationException"),
        ("CancelCommand", json!({ "CommandId": "none" }), "InvalidCommandId"),
    ] {
        let (http, refused) = ask(&mut world, operation, &input);
        assert_eq!((http, refused["__type"].as_str().unwrap()), (400, code), "{operation} {input}");
    }
}
