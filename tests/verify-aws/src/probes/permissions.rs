//! Whether the policy of the functions is read by AWS as local-cloud reads it: `DryRun` says whether a call would be allowed,
//! and nothing is done.

use infra::permissions::of_the_functions;
use serde_json::{Value, json};

use crate::Failure;
use crate::probe::Answers;
use crate::scene::{POOL_TAG, Scene, said};

/// The statements in question. A session's policy may not be longer than these.
const STATEMENTS: [&str; 3] = ["VolumesOfPools", "InstancesOfGroups", "WhatBelongsToSlots"];
const DEVICES: [&str; 4] = ["/dev/sdf", "/dev/sdg", "/dev/sdh", "/dev/sdi"];

pub(super) async fn condition_keys(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    let session = match scene.account.session(scene.role.as_deref(), &policy()?).await? {
        Ok(session) => session.ec2,
        Err(refused) => {
            answers.not_asked(format!(
                "GetFederationToken was refused ({refused}): give a role that you may assume with --role, or the keys of a user"
            ));
            return Ok(());
        }
    };
    scene.create_group(&[]).await?;
    let ours = scene.one_is("InService").await?;
    let others = scene.run_instance().await?;
    scene.instance_is(&others, "running").await?;
    let tagged = [(POOL_TAG, "verify")];
    let (free, stranger) =
        (scene.volume(scene.zone(), &tagged).await?, scene.volume(scene.zone(), &[]).await?);
    let mut attached = Vec::new();
    for (tags, instance, device) in
        [(&tagged[..], &ours, DEVICES[0]), (&[], &ours, DEVICES[1]), (&tagged, &others, DEVICES[0])]
    {
        let volume = scene.volume(scene.zone(), tags).await?;
        let attach = scene.account.ec2.attach_volume().volume_id(&volume).instance_id(instance);
        attach.device(device).send().await?;
        scene.volume_is(&volume, "attached").await?;
        attached.push(volume);
    }

    for (question, volume, instance) in [
        ("attach a pool's volume to a group's instance", &free, &ours),
        ("attach a stranger's volume to a group's instance", &stranger, &ours),
        ("attach a pool's volume to a stranger's instance", &free, &others),
    ] {
        let attach = session.attach_volume().dry_run(true).volume_id(volume).instance_id(instance);
        answers.say(question, said(attach.device(DEVICES[3]).send().await)?);
    }
    for (question, volume, instance) in [
        ("detach a pool's volume from a group's instance", &attached[0], &ours),
        ("detach a stranger's volume from a group's instance", &attached[1], &ours),
        ("detach a pool's volume from a stranger's instance", &attached[2], &others),
    ] {
        let detach = session.detach_volume().dry_run(true).volume_id(volume).instance_id(instance);
        answers.say(question, said(detach.send().await)?);
    }
    for (question, instance, device) in [
        ("keep a pool's volume on a group's instance", &ours, DEVICES[0]),
        ("keep a stranger's volume on a group's instance", &ours, DEVICES[1]),
        ("keep a pool's volume on a stranger's instance", &others, DEVICES[0]),
    ] {
        let keep = aws_sdk_ec2::types::EbsInstanceBlockDeviceSpecification::builder()
            .delete_on_termination(false)
            .build();
        let mapping = aws_sdk_ec2::types::InstanceBlockDeviceMappingSpecification::builder()
            .device_name(device)
            .ebs(keep)
            .build();
        let modify = session.modify_instance_attribute().dry_run(true).instance_id(instance);
        answers.say(question, said(modify.block_device_mappings(mapping).send().await)?);
    }
    Ok(())
}

/// The statements as a session's policy, for any account and region.
fn policy() -> Result<String, Failure> {
    let wanted =
        |statement: &Value| statement["Sid"].as_str().is_some_and(|sid| STATEMENTS.contains(&sid));
    let statements: Vec<Value> = of_the_functions()?.into_iter().filter(wanted).collect();
    if statements.len() != STATEMENTS.len() {
        return Err(format!("infra/foundation.yaml has not all of {STATEMENTS:?}").into());
    }
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Ok(policy
        .to_string()
        .replace(":eu-central-1:123456789012:", ":*:*:")
        .replace("arn:aws:", "arn:*:"))
}
