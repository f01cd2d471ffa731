//! EC2's descriptions of zones, subnets, the VPC and images: as much as a script needs to find its way.

use crate::world::{ApiError, DEFAULT_VPC, Filter, IMAGE, Place};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call};

pub(super) fn describe_availability_zones(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let (names, ids) = (params.list("ZoneName"), params.list("ZoneId"));
    let filters = params.ec2_filters()?;
    params.flag("AllAvailabilityZones")?;
    let world = call.world()?;
    let region = world.config().region.clone();
    let places = world.describe_zones(&names, &ids, &filters)?;
    xml.element("availabilityZoneInfo", |xml| {
        for place in &places {
            xml.element("item", |xml| {
                xml.text("zoneName", &place.zone)
                    .text("zoneId", &place.zone_id)
                    .text("zoneState", "available")
                    .text("regionName", &region)
                    .text("groupName", &region)
                    .text("networkBorderGroup", &region)
                    .text("zoneType", "availability-zone")
                    .text("optInStatus", "opt-in-not-required");
            });
        }
    });
    Ok(())
}

pub(super) fn describe_subnets(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let ids = params.list("SubnetId");
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(5, &ids)?;
    let world = call.world()?;
    let account = world.config().account.clone();
    let found = world.describe_subnets(&ids, &filters, &page)?;
    xml.element("subnetSet", |xml| {
        for place in &found.items {
            xml.element("item", |xml| write_subnet(xml, place, &account));
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

pub(super) fn describe_vpcs(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let ids = params.list("VpcId");
    let filters = params.ec2_filters()?;
    params.ec2_page(5, &ids)?;
    let mut shown = true;
    for Filter { name, values } in &filters {
        let actual = match name.as_str() {
            "is-default" | "isDefault" => "true",
            "vpc-id" => DEFAULT_VPC,
            "state" => "available",
            "cidr" => "172.31.0.0/16",
            other => {
                return Err(ApiError::InvalidParameterValue(format!(
                    "The filter '{other}' is invalid"
                )));
            }
        };
        shown = shown && values.iter().any(|value| value == actual);
    }
    if let Some(unknown) = ids.iter().find(|id| *id != DEFAULT_VPC) {
        return Err(ApiError::VpcNotFound(unknown.clone()));
    }
    let account = call.world()?.config().account.clone();
    xml.element("vpcSet", |xml| {
        if shown {
            xml.element("item", |xml| {
                xml.text("vpcId", DEFAULT_VPC)
                    .text("ownerId", &account)
                    .text("state", "available")
                    .text("cidrBlock", "172.31.0.0/16")
                    .text("instanceTenancy", "default")
                    .text("isDefault", true);
            });
        }
    });
    Ok(())
}

/// Every `ami-…` can be launched; asked for none in particular, one is shown, whatever the owners and filters.
pub(super) fn describe_images(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let mut ids = params.list("ImageId");
    params.ec2_filters()?;
    params.list("Owner");
    params.list("ExecutableBy");
    params.flag("IncludeDeprecated")?;
    params.ec2_page(1, &ids)?;
    if ids.is_empty() {
        ids.push(IMAGE.to_owned());
    }
    let account = call.world()?.config().account.clone();
    xml.element("imagesSet", |xml| {
        for id in &ids {
            xml.element("item", |xml| {
                xml.text("imageId", id)
                    .text("imageState", "available")
                    .text("imageOwnerId", &account)
                    .text("isPublic", true)
                    .text("architecture", "x86_64")
                    .text("imageType", "machine")
                    .text("name", "local-cloud")
                    .text("creationDate", "2026-01-01T00:00:00.000Z")
                    .text("rootDeviceType", "ebs")
                    .text("rootDeviceName", "/dev/xvda")
                    .text("virtualizationType", "hvm");
            });
        }
    });
    Ok(())
}

fn write_subnet(xml: &mut Xml, place: &Place, account: &str) {
    xml.text("subnetId", &place.subnet)
        .text("state", "available")
        .text("ownerId", account)
        .text("vpcId", DEFAULT_VPC)
        .text("cidrBlock", &place.cidr)
        .text("availableIpAddressCount", 4_091)
        .text("availabilityZone", &place.zone)
        .text("availabilityZoneId", &place.zone_id)
        .text("defaultForAz", true)
        .text("mapPublicIpOnLaunch", true);
}
