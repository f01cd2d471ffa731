//! The demo's story, told by the account's own calls: those that the functions would make.

use aws_sdk_autoscaling::types::LifecycleState;

use super::groups::yes;
use crate::probe::Answers;
use crate::scene::{Hook, Scene, said};
use crate::{Failure, LIMIT};

const DEVICE: &str = "/dev/sdf";

pub(super) async fn replacement(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    let volume = scene.volume(scene.zone(), &[]).await?;
    scene.create_group(&[Hook::Launch("join"), Hook::Terminate("leave")]).await?;
    let first = scene.one_is("Pending:Wait").await?;
    equip(scene, &volume, &first).await?;
    let clock = scene.clock();
    scene.becomes(&first, &["InService"]).await?;
    answers.took("from CONTINUE of a launch to InService", clock.shows());

    let fail = scene.account.auto_scaling.set_instance_health().instance_id(&first);
    fail.health_status("Unhealthy").should_respect_grace_period(false).send().await?;
    let clock = scene.clock();
    scene.becomes(&first, &["Terminating:Wait"]).await?;
    answers.took("from unhealthy to Terminating:Wait", clock.shows());
    let second = scene.one_is("Pending:Wait").await?;
    answers.took("from unhealthy to the replacement's Pending:Wait", clock.shows());
    let state = scene.member_state(&first).await?.unwrap_or_else(|| "gone".to_owned());
    answers.say("the replacement waits while the instance that failed is", state);
    let elsewhere = scene.account.ec2.attach_volume().volume_id(&volume).instance_id(&second);
    scene.instance_is(&second, "running").await?;
    answers.say("its volume can't be had yet", said(elsewhere.device(DEVICE).send().await)?);

    let stopping = scene.account.ec2.stop_instances().instance_ids(&first);
    if said(stopping.send().await)? == "accepted" {
        scene.instance_is(&first, "stopped").await?;
    }
    let clock = scene.clock();
    let detach = scene.account.ec2.detach_volume().volume_id(&volume).instance_id(&first);
    answers.say("DetachVolume from the stopped instance", said(detach.send().await)?);
    scene.volume_is(&volume, "available").await?;
    answers.took("from DetachVolume to available, the instance stopped", clock.shows());
    answers.say("CONTINUE of the termination", scene.answer("leave", &first, "CONTINUE").await?);
    equip(scene, &volume, &second).await?;
    let served = scene.becomes(&second, &[LifecycleState::InService.as_str()]).await?.is_some();
    answers.say("the replacement gets into service with the volume", yes(served));
    answers.took("from the volume free to the replacement InService", clock.shows());
    scene.instance_is(&first, "terminated").await?;
    scene.want(0).await?;
    scene.becomes(&second, &["Terminating:Wait"]).await?;
    answers.say(
        "CONTINUE with the volume attached",
        scene.answer("leave", &second, "CONTINUE").await?,
    );
    scene.instance_is(&second, "terminated").await?;
    scene.volume_is(&volume, "available").await?;
    answers.say("the volume outlives both", "yes");
    Ok(())
}

/// Attaches the volume to an instance whose launch waits, and lets it go into service.
async fn equip(scene: &Scene, volume: &str, instance: &str) -> Result<(), Failure> {
    scene.instance_is(instance, "running").await?;
    let attached = scene.until(LIMIT, async || {
        let attach = scene.account.ec2.attach_volume().volume_id(volume).instance_id(instance);
        let answer = said(attach.device(DEVICE).send().await)?;
        Ok((answer == "accepted").then_some(()))
    });
    attached.await?.ok_or("AttachVolume was never accepted")?;
    scene.volume_is(volume, "attached").await?;
    scene.answer("join", instance, "CONTINUE").await?;
    Ok(())
}
