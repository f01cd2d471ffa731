//! What a group does with its hooks.

use aws_sdk_autoscaling::types::{InstanceReusePolicy, WarmPoolState};

use crate::probe::Answers;
use crate::scene::{Hook, Scene, said};
use crate::{Failure, LIMIT};

const WAITING: &str = "Terminating:Wait";

pub(super) async fn stop_while_terminating(
    scene: &Scene,
    answers: &mut Answers,
) -> Result<(), Failure> {
    scene.create_group(&[Hook::Terminate("leave")]).await?;
    let instance = scene.one_is("InService").await?;
    scene.take_out(&instance).await?;
    scene.one_is(WAITING).await?;
    let clock = scene.clock();
    let stopped = said(scene.account.ec2.stop_instances().instance_ids(&instance).send().await)?;
    answers.say("StopInstances in Terminating:Wait", stopped.clone());
    if stopped == "accepted" {
        let stopped = scene.instance_is(&instance, "stopped").await?;
        answers.say("the instance gets to be stopped", yes(stopped));
        answers.took("from StopInstances to stopped", clock.shows());
        let state = scene.member_state(&instance).await?.unwrap_or_else(|| "gone".to_owned());
        answers.say("its lifecycle state meanwhile", state);
    }
    answers.say("CONTINUE after that", scene.answer("leave", &instance, "CONTINUE").await?);
    let clock = scene.clock();
    let terminated = scene.instance_is(&instance, "terminated").await?;
    answers.say("the instance gets to be terminated", yes(terminated));
    answers.took("from CONTINUE to terminated", clock.shows());
    Ok(())
}

pub(super) async fn several_hooks(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    scene.create_group(&[Hook::Terminate("a-first"), Hook::Terminate("b-second")]).await?;
    let instance = scene.one_is("InService").await?;
    scene.take_out(&instance).await?;
    scene.one_is(WAITING).await?;
    answers.say("the second of two hooks answered first", second(scene, &instance).await?);
    answers.say("the state after that", state(scene, &instance).await?);
    answers.say("the first one answered", scene.answer("a-first", &instance, "CONTINUE").await?);
    if state(scene, &instance).await? == WAITING {
        // Where they wait one by one, it is the second's turn now.
        second(scene, &instance).await?;
    }
    let terminated = scene.instance_is(&instance, "terminated").await?;
    answers.say("the instance gets to be terminated once both are answered", yes(terminated));
    Ok(())
}

async fn second(scene: &Scene, instance: &str) -> Result<String, Failure> {
    scene.answer("b-second", instance, "CONTINUE").await
}

async fn state(scene: &Scene, instance: &str) -> Result<String, Failure> {
    Ok(scene.member_state(instance).await?.unwrap_or_else(|| "gone".to_owned()))
}

pub(super) async fn forced_deletion(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    scene.create_group(&[Hook::Terminate("leave")]).await?;
    let instance = scene.one_is("InService").await?;
    let delete = scene.account.auto_scaling.delete_auto_scaling_group();
    let delete = delete.auto_scaling_group_name(scene.group()).force_delete(true);
    answers.say("DeleteAutoScalingGroup by force", said(delete.send().await)?);
    answers.say("its terminate hook is waited for", yes(waits(scene, &instance).await?));
    Ok(())
}

pub(super) async fn abandoned_launch(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    scene.create_group(&[Hook::Launch("join"), Hook::Terminate("leave")]).await?;
    let instance = scene.one_is("Pending:Wait").await?;
    let suspend = scene.account.auto_scaling.suspend_processes();
    let suspend = suspend.auto_scaling_group_name(scene.group()).scaling_processes("Launch");
    suspend.send().await?;
    answers.say("ABANDON of a launch", scene.answer("join", &instance, "ABANDON").await?);
    answers.say("its terminate hook is waited for", yes(waits(scene, &instance).await?));
    Ok(())
}

/// Whether an instance that is on its way out waits for its terminate hook; if so, it is let go.
async fn waits(scene: &Scene, instance: &str) -> Result<bool, Failure> {
    let seen = scene.until(LIMIT, async || {
        let waits = scene.member_state(instance).await?.as_deref() == Some(WAITING);
        let state = scene.instance_state(instance).await?;
        let going = state == "shutting-down" || state == "terminated";
        Ok((waits || going).then_some(waits))
    });
    let waits = seen.await?.ok_or("the instance did not go")?;
    if waits {
        scene.answer("leave", instance, "CONTINUE").await?;
    }
    Ok(waits)
}

pub(super) async fn abandoned_return(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    scene.create_group(&[Hook::Terminate("leave")]).await?;
    let instance = scene.one_is("InService").await?;
    scene
        .account
        .auto_scaling
        .put_warm_pool()
        .auto_scaling_group_name(scene.group())
        .pool_state(WarmPoolState::Running)
        .min_size(0)
        .max_group_prepared_capacity(1)
        .instance_reuse_policy(InstanceReusePolicy::builder().reuse_on_scale_in(true).build())
        .send()
        .await?;
    scene.want(0).await?;
    let waiting = ["Warmed:Pending:Wait", WAITING];
    let state = scene.becomes(&instance, &waiting).await?;
    answers.say("scale-in with reuse waits in", state.unwrap_or_else(|| "nothing".to_owned()));
    answers.say("ABANDON of the return", scene.answer("leave", &instance, "ABANDON").await?);
    let ended = scene.until(LIMIT, async || {
        let state = scene.member_state(&instance).await?;
        let state = state.filter(|it| it.starts_with("Warmed:R") || it.starts_with("Warmed:S"));
        let terminated = scene.instance_state(&instance).await? == "terminated";
        Ok(state.or_else(|| terminated.then(|| "terminated".to_owned())))
    });
    answers.say("the instance ends", ended.await?.unwrap_or_else(|| "nowhere".to_owned()));
    Ok(())
}

pub(super) async fn answered_actions(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    scene.create_group(&[Hook::Launch("join")]).await?;
    let instance = scene.one_is("Pending:Wait").await?;
    let nobodys = "00000000-0000-4000-8000-000000000000";
    let other = scene.account.auto_scaling.complete_lifecycle_action();
    let other = other.auto_scaling_group_name(scene.group()).lifecycle_hook_name("join");
    let other = other.lifecycle_action_token(nobodys).lifecycle_action_result("CONTINUE");
    answers.say("a token that no action has", said(other.send().await)?);
    let beat = scene.account.auto_scaling.record_lifecycle_action_heartbeat();
    let beat = beat.auto_scaling_group_name(scene.group()).lifecycle_hook_name("join");
    answers.say("a heartbeat", said(beat.instance_id(&instance).send().await)?);
    answers.say(
        "CONTINUE at once in Pending:Wait",
        scene.answer("join", &instance, "CONTINUE").await?,
    );
    answers.say("CONTINUE again", scene.answer("join", &instance, "CONTINUE").await?);
    let in_service = scene.becomes(&instance, &["InService"]).await?.is_some();
    answers.say("the instance gets into service", yes(in_service));
    Ok(())
}

pub(super) fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}
