//! What EC2 says of volumes.

use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use aws_sdk_ec2::types::{ResourceType, VolumeType};

use super::groups::yes;
use crate::Failure;
use crate::probe::Answers;
use crate::scene::{Scene, said};

const DEVICE: &str = "/dev/sdf";
const OTHER_DEVICE: &str = "/dev/sdg";

async fn attach(
    scene: &Scene,
    volume: &str,
    instance: &str,
    device: &str,
) -> Result<String, Failure> {
    let attach = scene.account.ec2.attach_volume().volume_id(volume).instance_id(instance);
    said(attach.device(device).send().await)
}

async fn detach(scene: &Scene, volume: &str, instance: &str) -> Result<String, Failure> {
    let detach = scene.account.ec2.detach_volume().volume_id(volume).instance_id(instance);
    said(detach.send().await)
}

pub(super) async fn detach_answers(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    let volume = scene.volume(scene.zone(), &[]).await?;
    let instance = scene.run_instance().await?;
    let other = scene.run_instance().await?;
    for instance in [&instance, &other] {
        scene.instance_is(instance, "running").await?;
    }
    let free = scene.account.ec2.detach_volume().volume_id(&volume).instance_id(&instance);
    let free = free.send().await;
    let message = free.as_ref().err().and_then(|error| error.message()).unwrap_or_default();
    answers.say("its message names the state available", yes(message.contains("'available'")));
    answers.say("DetachVolume of a free volume", said(free)?);

    attach(scene, &volume, &instance, DEVICE).await?;
    let clock = scene.clock();
    scene.volume_is(&volume, "attached").await?;
    answers.took("from AttachVolume to attached", clock.shows());
    let elsewhere = detach(scene, &volume, &other).await?;
    answers.say("DetachVolume from an instance that it is not on", elsewhere);
    let device = scene.account.ec2.detach_volume().volume_id(&volume).instance_id(&instance);
    let device = said(device.device(OTHER_DEVICE).send().await)?;
    answers.say("DetachVolume from a device that it is not on", device);
    answers.say("DetachVolume as it is attached", detach(scene, &volume, &instance).await?);
    let clock = scene.clock();
    scene.volume_is(&volume, "available").await?;
    answers.took("from DetachVolume to available, nothing mounted", clock.shows());
    Ok(())
}

pub(super) async fn attach_answers(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    let volume = scene.volume(scene.zone(), &[]).await?;
    let second = scene.volume(scene.zone(), &[]).await?;
    let far = scene.volume(scene.zones.last().ok_or("no zone")?, &[]).await?;
    let instance = scene.run_instance().await?;
    let other = scene.run_instance().await?;
    for instance in [&instance, &other] {
        scene.instance_is(instance, "running").await?;
    }
    answers.say("of another zone", attach(scene, &far, &instance, DEVICE).await?);
    answers.say("as it should be", attach(scene, &volume, &instance, DEVICE).await?);
    scene.volume_is(&volume, "attached").await?;
    let shown = scene.account.ec2.describe_volumes().volume_ids(&volume).send().await?;
    let shown = shown.volumes.unwrap_or_default().into_iter().next();
    let kept = shown.and_then(|it| it.attachments.unwrap_or_default().into_iter().next());
    let deleted = kept.and_then(|it| it.delete_on_termination).unwrap_or_default();
    answers.say("it would be deleted with its instance", yes(deleted));
    answers.say("again to the same instance", attach(scene, &volume, &instance, DEVICE).await?);
    answers.say("to a second instance", attach(scene, &volume, &other, DEVICE).await?);
    answers.say("at a device in use", attach(scene, &second, &instance, DEVICE).await?);

    scene.account.ec2.terminate_instances().instance_ids(&instance).send().await?;
    answers.say(
        "to an instance that shuts down",
        attach(scene, &second, &instance, OTHER_DEVICE).await?,
    );
    let clock = scene.clock();
    scene.instance_is(&instance, "terminated").await?;
    answers.took("from TerminateInstances to terminated", clock.shows());
    scene.volume_is(&volume, "available").await?;
    answers.say("the volume of the terminated instance", "available");
    answers.say("to a terminated instance", attach(scene, &volume, &instance, DEVICE).await?);
    Ok(())
}

pub(super) async fn client_tokens(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    let token = format!("{}-token", scene.group());
    let create = async |size: i32| {
        scene
            .account
            .ec2
            .create_volume()
            .availability_zone(scene.zone())
            .size(size)
            .volume_type(VolumeType::Gp3)
            .client_token(&token)
            .tag_specifications(scene.tags(ResourceType::Volume, &[]))
            .send()
            .await
    };
    let clock = scene.clock();
    let first = create(1).await?.volume_id.ok_or("CreateVolume gave no id")?;
    let again = create(1).await?.volume_id.ok_or("CreateVolume gave no id")?;
    answers.say("the same again gives the same volume", yes(first == again));
    answers.say("the same token, another size", said(create(2).await)?);
    scene.volume_is(&first, "available").await?;
    answers.took("from CreateVolume to available", clock.shows());
    Ok(())
}
