//! Auto Scaling's operations on warm pools.

use crate::world::{ApiError, PoolState, ScaledIn, WarmPool, WarmPoolChange, WarmPoolStatus};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call};
use super::autoscaling_instances::write_member;

pub(super) fn put_warm_pool(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let name = params.required("AutoScalingGroupName")?;
    let state = params.optional("PoolState");
    let reuse = params.nested("InstanceReusePolicy").flag("ReuseOnScaleIn")?;
    let change = WarmPoolChange {
        max_prepared: params.number("MaxGroupPreparedCapacity")?,
        min_size: params.number("MinSize")?,
        state: state.map(|it| PoolState::parse(&it)).transpose()?,
        scaled_in: reuse.map(|it| if it { ScaledIn::Reused } else { ScaledIn::Terminated }),
    };
    call.world()?.put_warm_pool(&name, change)
}

pub(super) fn delete_warm_pool(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let name = call.params().required("AutoScalingGroupName")?;
    let force = call.params().flag("ForceDelete")?.unwrap_or(false);
    call.world()?.delete_warm_pool(&name, force)
}

pub(super) fn describe_warm_pool(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let name = call.params().required("AutoScalingGroupName")?;
    let page = call.params().scaling_page(50, 50)?;
    let found = call.world()?.describe_warm_pool(&name, &page)?;
    if let Some(pool) = &found.pool {
        write_warm_pool(xml, pool);
    }
    xml.element("Instances", |xml| {
        for member in &found.instances.items {
            xml.element("member", |xml| write_member(xml, member));
        }
    });
    xml.optional("NextToken", found.instances.next_token);
    Ok(())
}

/// `<WarmPoolConfiguration>` of a group or of a description of the pool itself.
pub(super) fn write_warm_pool(xml: &mut Xml, pool: &WarmPool) {
    xml.element("WarmPoolConfiguration", |xml| {
        xml.optional("MaxGroupPreparedCapacity", pool.max_prepared)
            .text("MinSize", pool.min_size)
            .text("PoolState", pool.state.as_str());
        if pool.status == WarmPoolStatus::PendingDelete {
            xml.text("Status", "PendingDelete");
        }
        xml.element("InstanceReusePolicy", |xml| {
            xml.text("ReuseOnScaleIn", pool.scaled_in == ScaledIn::Reused);
        });
    });
}
