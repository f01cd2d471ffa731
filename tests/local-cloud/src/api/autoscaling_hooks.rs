//! Auto Scaling's operations on lifecycle hooks and their actions.

use crate::query::Params;
use crate::world::{ActionName, ApiError, HookSpecification, LifecycleResult, Transition};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call};

pub(super) fn put_lifecycle_hook(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let group = call.params().required("AutoScalingGroupName")?;
    let specification = hook_specification(call.params())?;
    call.world()?.put_lifecycle_hook(&group, specification)
}

pub(super) fn delete_lifecycle_hook(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let group = call.params().required("AutoScalingGroupName")?;
    let hook = call.params().required("LifecycleHookName")?;
    call.world()?.delete_lifecycle_hook(&group, &hook)
}

pub(super) fn describe_lifecycle_hooks(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let group = call.params().required("AutoScalingGroupName")?;
    let names = call.params().list("LifecycleHookNames");
    let hooks = call.world()?.describe_lifecycle_hooks(&group, &names)?;
    xml.element("LifecycleHooks", |xml| {
        for hook in &hooks {
            xml.element("member", |xml| {
                xml.text("LifecycleHookName", &hook.name)
                    .text("AutoScalingGroupName", &group)
                    .text("LifecycleTransition", hook.transition.as_str())
                    .optional("NotificationMetadata", hook.metadata.as_ref())
                    .text("HeartbeatTimeout", hook.heartbeat_timeout)
                    .text("GlobalTimeout", hook.global_timeout())
                    .text("DefaultResult", hook.default_result.as_str());
            });
        }
    });
    Ok(())
}

pub(super) fn describe_lifecycle_hook_types(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    call.world()?;
    xml.element("LifecycleHookTypes", |xml| {
        for transition in Transition::ALL {
            xml.text("member", transition.as_str());
        }
    });
    Ok(())
}

pub(super) fn complete_lifecycle_action(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let (group, hook) = named_hook(params)?;
    let result = LifecycleResult::parse(&params.required("LifecycleActionResult")?)?;
    let name = action_name(params);
    call.world()?.complete_lifecycle_action(&group, &hook, name, result)
}

pub(super) fn record_lifecycle_action_heartbeat(
    call: &mut Call<'_>,
    _: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let (group, hook) = named_hook(params)?;
    let name = action_name(params);
    call.world()?.record_lifecycle_action_heartbeat(&group, &hook, name)
}

/// A hook as `PutLifecycleHook` and `CreateAutoScalingGroup` write it. Notification targets are not modelled, so
/// they are refused with all else that nobody reads.
pub(super) fn hook_specification(params: &Params) -> Result<HookSpecification, ApiError> {
    let transition = params.optional("LifecycleTransition");
    let result = params.optional("DefaultResult");
    Ok(HookSpecification {
        name: params.required("LifecycleHookName")?,
        transition: transition.map(|it| Transition::parse(&it)).transpose()?,
        metadata: params.optional("NotificationMetadata"),
        heartbeat_timeout: params.number("HeartbeatTimeout")?,
        default_result: result.map(|it| LifecycleResult::parse(&it)).transpose()?,
    })
}

fn named_hook(params: &Params) -> Result<(String, String), ApiError> {
    Ok((params.required("AutoScalingGroupName")?, params.required("LifecycleHookName")?))
}

fn action_name(params: &Params) -> ActionName<'_> {
    ActionName { token: params.get("LifecycleActionToken"), instance: params.get("InstanceId") }
}
