//! Auto Scaling's operations on instance refreshes.

use crate::query::Params;
use crate::world::{ApiError, Exempt, RefreshPreferences, RefreshView};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call, invalid};

pub(super) fn start_instance_refresh(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let name = params.required("AutoScalingGroupName")?;
    if params.get("Strategy") == Some("ReplaceRootVolume") {
        // It takes a group with a mixed instances policy, which no group here has.
        return Err(ApiError::Validation(format!(
            "The ReplaceRootVolume strategy requires a mixed instances policy, which the AutoScalingGroup {name} \
             does not have."
        )));
    }
    params.only("Strategy", &["Rolling"])?;
    let preferences = refresh_preferences(&params.nested("Preferences"))?;
    let id = call.world()?.start_instance_refresh(&name, preferences)?;
    xml.text("InstanceRefreshId", id);
    Ok(())
}

pub(super) fn cancel_instance_refresh(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let name = params.required("AutoScalingGroupName")?;
    params.only("WaitForTransitioningInstances", &["true"])?;
    let id = call.world()?.cancel_instance_refresh(&name)?;
    xml.text("InstanceRefreshId", id);
    Ok(())
}

pub(super) fn describe_instance_refreshes(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let name = params.required("AutoScalingGroupName")?;
    let ids = params.list("InstanceRefreshIds");
    let page = params.scaling_page(50, 100)?;
    let found = call.world()?.describe_instance_refreshes(&name, &ids, &page)?;
    xml.element("InstanceRefreshes", |xml| {
        for view in &found.items {
            xml.element("member", |xml| write_refresh(xml, &name, view));
        }
    });
    xml.optional("NextToken", found.next_token);
    Ok(())
}

/// Checkpoints, alarms, bake times and rollbacks are not modelled: whoever asks for one is refused.
fn refresh_preferences(params: &Params) -> Result<RefreshPreferences, ApiError> {
    params.only("AutoRollback", &["false"])?;
    params.only("BakeTime", &["0"])?;
    Ok(RefreshPreferences {
        min_healthy: params.number("MinHealthyPercentage")?,
        max_healthy: params.number("MaxHealthyPercentage")?,
        warmup: params.number("InstanceWarmup")?,
        skips_matching: params.flag("SkipMatching")?.unwrap_or(false),
        standby: exempt(params, "StandbyInstances", "Terminate")?,
        protected: exempt(params, "ScaleInProtectedInstances", "Refresh")?,
    })
}

/// What is done about exempt instances; each kind has its own word for replacing them.
fn exempt(params: &Params, name: &str, replace: &str) -> Result<Exempt, ApiError> {
    match params.get(name) {
        None | Some("Wait") => Ok(Exempt::Wait),
        Some("Ignore") => Ok(Exempt::Ignore),
        Some(word) if word == replace => Ok(Exempt::Replace),
        Some(other) => Err(invalid(name, other)),
    }
}

fn write_refresh(xml: &mut Xml, group: &str, view: &RefreshView) {
    let refresh = &view.refresh;
    xml.text("InstanceRefreshId", &refresh.id)
        .text("AutoScalingGroupName", group)
        .text("Status", refresh.status.as_str())
        .optional("StatusReason", refresh.reason)
        .text("StartTime", refresh.started_at)
        .optional("EndTime", refresh.ended_at)
        .text("PercentageComplete", view.percentage())
        .text("InstancesToUpdate", view.to_update)
        .text("Strategy", "Rolling");
    xml.element("ProgressDetails", |xml| {
        xml.element("LivePoolProgress", |xml| {
            xml.text("PercentageComplete", view.percentage())
                .text("InstancesToUpdate", view.to_update);
        });
    });
    xml.element("Preferences", |xml| {
        let wanted = refresh.preferences;
        xml.text("MinHealthyPercentage", refresh.pace.min_healthy)
            .text("MaxHealthyPercentage", refresh.pace.max_healthy)
            .text("InstanceWarmup", refresh.warmup)
            .text("SkipMatching", wanted.skips_matching)
            .text("AutoRollback", false)
            .text("StandbyInstances", exemption(wanted.standby, "Terminate"))
            .text("ScaleInProtectedInstances", exemption(wanted.protected, "Refresh"));
    });
}

fn exemption(exempt: Exempt, replace: &'static str) -> &'static str {
    match exempt {
        Exempt::Wait => "Wait",
        Exempt::Ignore => "Ignore",
        Exempt::Replace => replace,
    }
}
