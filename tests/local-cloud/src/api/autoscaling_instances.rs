//! Auto Scaling's operations on the instances of groups, and what groups have done.

use crate::query::Params;
use crate::world::{Activity, ApiError, DesiredCapacity, GracePeriod, Health, Member, ScaleIn};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call, invalid};
use super::autoscaling_groups::write_template;

pub(super) fn describe_auto_scaling_instances(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let ids = call.params().list("InstanceIds");
    let page = call.params().scaling_page(50, 50)?;
    let found = call.world()?.describe_group_instances(&ids, &page)?;
    xml.element("AutoScalingInstances", |xml| {
        for view in &found.items {
            xml.element("member", |xml| {
                xml.text("AutoScalingGroupName", &view.group);
                write_member(xml, &view.member);
            });
        }
    });
    xml.optional("NextToken", found.next_token);
    Ok(())
}

pub(super) fn describe_scaling_activities(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let group = params.optional("AutoScalingGroupName");
    let ids = params.list("ActivityIds");
    let page = params.scaling_page(100, 100)?;
    params.only("IncludeDeletedGroups", &["false"])?;
    let found = call.world()?.describe_activities(group.as_deref(), &ids, &page)?;
    xml.element("Activities", |xml| {
        for activity in &found.items {
            xml.element("member", |xml| write_activity(xml, activity));
        }
    });
    xml.optional("NextToken", found.next_token);
    Ok(())
}

pub(super) fn set_instance_health(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let instance = params.required("InstanceId")?;
    let status = params.required("HealthStatus")?;
    let health = match status.as_str() {
        "Healthy" => Health::Healthy,
        "Unhealthy" => Health::Unhealthy,
        other => return Err(invalid("HealthStatus", other)),
    };
    let grace = match params.flag("ShouldRespectGracePeriod")? {
        Some(true) | None => GracePeriod::Respected,
        Some(false) => GracePeriod::Ignored,
    };
    call.world()?.set_instance_health(&instance, health, grace)
}

pub(super) fn terminate_instance_in_auto_scaling_group(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let instance = params.required("InstanceId")?;
    let capacity = desired_capacity(params)?;
    let activity = call.world()?.terminate_instance_in_group(&instance, capacity)?;
    xml.element("Activity", |xml| write_activity(xml, &activity));
    Ok(())
}

/// What is to become of the capacity, which callers have to say.
pub(super) fn desired_capacity(params: &Params) -> Result<DesiredCapacity, ApiError> {
    let name = "ShouldDecrementDesiredCapacity";
    match params.flag(name)? {
        Some(true) => Ok(DesiredCapacity::Decremented),
        Some(false) => Ok(DesiredCapacity::Kept),
        None => Err(ApiError::MissingParameter(name.to_owned())),
    }
}

/// An instance, as groups and `DescribeAutoScalingInstances` list it.
pub(super) fn write_member(xml: &mut Xml, member: &Member) {
    xml.text("InstanceId", &member.instance)
        .text("InstanceType", &member.instance_type)
        .text("AvailabilityZone", &member.zone)
        .text("LifecycleState", member.state.as_str())
        .text("HealthStatus", member.health.as_str());
    // An instance that was attached has none.
    if member.template.id.is_some() {
        write_template(xml, &member.template);
    }
    xml.text("ImageId", &member.image_id)
        .text("ProtectedFromScaleIn", member.scale_in == ScaleIn::Protected);
}

pub(super) fn write_activity(xml: &mut Xml, activity: &Activity) {
    xml.text("ActivityId", &activity.id)
        .text("AutoScalingGroupName", &activity.group)
        .text("AutoScalingGroupARN", &activity.group_arn)
        .text("Description", &activity.description)
        .text("Cause", &activity.cause)
        .text("StartTime", activity.started_at)
        .optional("EndTime", activity.ended_at)
        .text("StatusCode", activity.status.as_str())
        .optional("StatusMessage", activity.status_message.as_ref())
        .text("Progress", if activity.status.is_over() { 100 } else { 50 })
        .text("Details", &activity.details);
}
