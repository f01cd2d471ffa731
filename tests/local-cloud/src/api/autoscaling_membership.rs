//! Auto Scaling's operations that move instances: on standby and back, into a group and out of it.

use crate::query::Params;
use crate::world::{Activity, ApiError};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call};
use super::autoscaling_instances::{desired_capacity, write_activity};

pub(super) fn enter_standby(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let (group, instances) = moved(call.params())?;
    let capacity = desired_capacity(call.params())?;
    let activities = call.world()?.enter_standby(&group, &instances, capacity)?;
    write_activities(xml, &activities);
    Ok(())
}

pub(super) fn exit_standby(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let (group, instances) = moved(call.params())?;
    let activities = call.world()?.exit_standby(&group, &instances)?;
    write_activities(xml, &activities);
    Ok(())
}

pub(super) fn detach_instances(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let (group, instances) = moved(call.params())?;
    let capacity = desired_capacity(call.params())?;
    let activities = call.world()?.detach_instances(&group, &instances, capacity)?;
    write_activities(xml, &activities);
    Ok(())
}

pub(super) fn attach_instances(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let (group, instances) = moved(call.params())?;
    call.world()?.attach_instances(&group, &instances)
}

fn moved(params: &Params) -> Result<(String, Vec<String>), ApiError> {
    Ok((params.required("AutoScalingGroupName")?, params.list("InstanceIds")))
}

fn write_activities(xml: &mut Xml, activities: &[Activity]) {
    xml.element("Activities", |xml| {
        for activity in activities {
            xml.element("member", |xml| write_activity(xml, activity));
        }
    });
}
