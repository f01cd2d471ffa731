//! The calls that the functions make, as recorded, against `infra/iam.md` and the policies of `infra/foundation.yaml`: nothing is
//! missing, and nothing is unused.
//!
//! All trials of all end-to-end tests run under the policy as it is deployed (`local_cloud::iam`), conditions included, and fail
//! at a call that it does not allow. Here are the stories that together take everything that is allowed.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Tag;
use infra::permissions::{rows, statements};
use local_cloud::cloud::{Call, Door, Fault, FaultAction, LIFECYCLE};
use local_cloud::iam::Verdict;
use local_cloud::world::{
    DesiredCapacity, Document, DocumentEffect, InstanceState, LifecycleState, World,
};

use shared::group::{POOL, ZONE, leaving_by, members};
use shared::trial::{Trial, options};
use shared::{Failure, checks, same};

/// What no story here can show: AWS asks it of the role on its own behalf, and local-cloud does not play those services.
const NOT_ASKED_HERE: [(&str, &str); 6] = [
    ("Log", "Lambda writes the function's lines"),
    ("GiveUp", "Lambda puts an event aside that failed to the end"),
    ("RecordsUnderOwnKey", "DynamoDB opens the table's key"),
    ("GrantVolumeKeys", "EC2 makes a grant on a volume's key"),
    ("OpenVolumeKeys", "EC2 opens a volume's key"),
    ("CreateUnderVolumeKeys", "EC2 makes a volume's data key"),
];

/// Tells a story under the deployed policy; gives what the functions called.
async fn told(
    story: impl AsyncFnOnce(&Trial) -> Result<(), Failure>,
) -> Result<Vec<Call>, Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        story(trial).await?;
        Ok(trial.cloud.calls().into_iter().filter(|call| call.caller.is_some()).collect())
    })
    .await
}

/// An empty pool gets its volume, its instance is stopped and replaced, and a heartbeat keeps a launch that waits.
async fn a_pool_that_grows(trial: &Trial) -> Result<(), Failure> {
    let policy = format!(
        r#"{{"pool":"{POOL}","volumes":[{{"name":"data","device":"/dev/sdf","template":{{"type":"gp3","sizeGiB":1}}}}]}}"#
    );
    trial.group(1, &[ZONE], &policy).await?;
    trial.in_service(1, None).await?;
    trial.replace_one().await?;
    Ok(())
}

/// A document makes the instance let go.
async fn a_document(trial: &Trial) -> Result<(), Failure> {
    let drain = Document { effect: DocumentEffect::Unmounts, ..Document::default() };
    trial.cloud.with_world(|world| world.put_document("drain", drain));
    let policy = format!(r#"{{"pool":"{POOL}","leave":{{"mode":"ssm","document":"drain"}}}}"#);
    trial.stateful(&[ZONE], &policy).await?;
    trial.replace_one().await?;
    Ok(())
}

/// A person has a volume deleted with its instance, which is undone; takes the pool's tag off a volume, and an instance out of
/// its group: both are let go of all the same. The tag is put
/// back in the end.
async fn what_a_person_has_changed(trial: &Trial) -> Result<(), Failure> {
    trial.stateful(&[ZONE], &leaving_by("stop")).await?;
    let held = trial.account.pool(POOL).await?.remove(0);
    let (volume, holder) = (held.volume, held.instance.unwrap_or_default());
    let mapping = vec![("/dev/sdf".to_owned(), None, true)];
    trial.cloud.with_world(|world| world.set_delete_on_termination(&holder, &mapping))?;
    trial
        .wait("the volume to be kept again", |world| {
            world.attachment(&volume, &holder).is_some_and(|it| !it.delete_on_termination)
        })
        .await?;
    let untag = trial.account.ec2.delete_tags().resources(&volume);
    untag.tags(Tag::builder().key("stateful-asg:pool").build()).send().await?;
    trial.replace_one().await?;
    let instance = trial.cloud.inspect(checks::serving).remove(0);
    let one = [instance.clone()];
    trial
        .cloud
        .with_world(|world| world.detach_instances(POOL, &one, DesiredCapacity::Decremented))?;
    trial.cloud.with_world(|world| world.terminate_instances(&one))?;
    trial
        .wait("the instance to be gone", |world| {
            world.instance(&instance).is_ok_and(|it| it.state == InstanceState::Terminated)
        })
        .await?;
    trial.settle().await?;
    let tag = Tag::builder().key("stateful-asg:pool").value(POOL).build();
    trial.account.ec2.create_tags().resources(&volume).tags(tag).send().await?;
    Ok(())
}

/// An event that comes twice, and meets its own guard: the second asks the first to look again.
async fn an_event_that_comes_twice(trial: &Trial) -> Result<(), Failure> {
    trial.volumes(&[ZONE]).await?;
    trial.cloud.duplicate_events(2);
    let slow = FaultAction::Delay(std::time::Duration::from_millis(700));
    let operation = Some("DescribeInstances".to_owned());
    trial.cloud.arm(Fault {
        function: Some(LIFECYCLE.to_owned()),
        operation,
        nth: 1,
        action: slow,
    });
    trial.group(1, &[ZONE], &leaving_by("stop")).await?;
    trial.in_service(1, None).await
}

/// A launch that waits for a slot is kept alive.
async fn a_launch_that_waits(trial: &Trial) -> Result<(), Failure> {
    trial.volumes(&[ZONE]).await?;
    let policy = format!(r#"{{"pool":"{POOL}","whenEmpty":"wait"}}"#);
    trial.group(2, &[ZONE], &policy).await?;
    let kept_alive = |_: &World| {
        let mut calls = trial.cloud.calls().into_iter();
        calls.any(|call| call.operation == "RecordLifecycleActionHeartbeat")
    };
    trial.wait("a heartbeat", kept_alive).await?;
    trial
        .wait("one in service and one waiting", |world| {
            let states: BTreeSet<_> =
                members(world).into_iter().map(|(_, state)| state.as_str()).collect();
            states
                == [LifecycleState::InService.as_str(), LifecycleState::PendingWait.as_str()].into()
        })
        .await
}

/// A call as the table has it.
fn name(call: &Call) -> String {
    let service = match call.door {
        Door::Ec2 => "ec2",
        Door::AutoScaling => "autoscaling",
        Door::Ssm => "ssm",
        Door::DynamoDb => "dynamodb",
        Door::Sts => "sts",
        Door::EventBridge => "events",
        Door::Sqs => "sqs",
        Door::Kms => "kms",
        Door::ServiceQuotas => "servicequotas",
    };
    format!("{service}:{}", call.operation)
}

#[tokio::test]
async fn every_call_is_in_the_table_and_every_permission_is_used() -> Result<(), Failure> {
    let mut calls = told(a_pool_that_grows).await?;
    calls.extend(told(a_document).await?);
    calls.extend(told(what_a_person_has_changed).await?);
    calls.extend(told(an_event_that_comes_twice).await?);
    calls.extend(told(a_launch_that_waits).await?);

    let rows = rows()?;
    let listed = rows.iter().filter_map(|row| row.call.clone());
    let called: BTreeSet<String> = calls.iter().map(name).collect();
    same("calls", &called, &listed.collect())?;

    // What each call was authorised as is what its row says.
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for call in &calls {
        let actions = taken.entry(name(call)).or_default();
        for permission in &call.permissions {
            actions.insert(permission.action.clone());
            if let Verdict::Allowed(by) = &permission.verdict
                && let [only] = by.as_slice()
            {
                used.insert(only.clone());
            }
        }
    }
    for row in rows {
        let Some(call) = row.call else { continue };
        let asked: BTreeSet<String> =
            row.permissions.into_iter().map(|(action, _)| action).collect();
        same(&format!("actions of {call}"), &taken.remove(&call).unwrap_or_default(), &asked)?;
    }

    // A statement is used where it alone allows something.
    let allowing = statements()?.into_iter().filter(|it| it.text("Effect") == "Allow");
    let expected: BTreeSet<String> = allowing.map(|it| it.text("Sid").to_owned()).collect();
    let not_asked = NOT_ASKED_HERE.iter().map(|(statement, _)| (*statement).to_owned());
    let not_asked: BTreeSet<String> = not_asked.collect();
    same("statements that are not asked here but are", &used.intersection(&not_asked).count(), &0)?;
    used.extend(not_asked);
    same("statements that something needs", &used, &expected)
}
