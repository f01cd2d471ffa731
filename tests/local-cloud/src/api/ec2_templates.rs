//! EC2's launch template operations, and launch specifications as templates and `RunInstances` share them.

use crate::query::Params;
use crate::world::{
    ApiError, BlockDevice, LaunchSpecification, LaunchTemplate, Market, MetadataTags, Tags,
    TemplateReference, TemplateVersion, World,
};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call, invalid};
use super::ec2_tags::{specified_tags, write_tags};
use super::ec2_volumes::mapped_volume;

pub(super) fn create_launch_template(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let name = params.required("LaunchTemplateName")?;
    let description = params.optional("VersionDescription");
    let specification = launch_specification(&params.nested("LaunchTemplateData"))?;
    let tags = specified_tags(params, &["launch-template"])?.remove("launch-template");
    let tags = tags.unwrap_or_default();
    let (template, _) = once(call, |world| {
        let template = world.create_launch_template(&name, description, specification, tags)?;
        let version = template.version(None)?.clone();
        Ok((template, version))
    })?;
    xml.element("launchTemplate", |xml| write_template(xml, &template));
    Ok(())
}

pub(super) fn create_launch_template_version(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let reference = template_reference(params);
    let description = params.optional("VersionDescription");
    let specification = launch_specification(&params.nested("LaunchTemplateData"))?;
    let (template, version) = once(call, |world| {
        world.create_launch_template_version(&reference, description, specification)
    })?;
    xml.element("launchTemplateVersion", |xml| {
        write_version(xml, &template, &version);
    });
    Ok(())
}

pub(super) fn delete_launch_template(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let reference = template_reference(call.params());
    let template = call.world()?.delete_launch_template(&reference)?;
    xml.element("launchTemplate", |xml| write_template(xml, &template));
    Ok(())
}

pub(super) fn describe_launch_templates(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let (ids, names) = (params.list("LaunchTemplateId"), params.list("LaunchTemplateName"));
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(1, &ids)?;
    let found = call.world()?.describe_launch_templates(&ids, &names, &filters, &page)?;
    xml.element("launchTemplates", |xml| {
        for template in &found.items {
            xml.element("item", |xml| write_template(xml, template));
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

/// All versions are on one page: a template has few.
pub(super) fn describe_launch_template_versions(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let reference = template_reference(params);
    let wanted = params.list("LaunchTemplateVersion");
    let template = call.world()?.template(&reference)?;
    let mut versions = Vec::new();
    for name in &wanted {
        versions.push(template.version(Some(name))?);
    }
    if wanted.is_empty() {
        versions = template.versions.iter().rev().collect();
    }
    xml.element("launchTemplateVersionSet", |xml| {
        for version in versions {
            xml.element("item", |xml| write_version(xml, template, version));
        }
    });
    Ok(())
}

/// `LaunchTemplateId`, `LaunchTemplateName` and `Version`, wherever a template is named.
pub(super) fn template_reference(params: &Params) -> TemplateReference {
    TemplateReference {
        id: params.optional("LaunchTemplateId"),
        name: params.optional("LaunchTemplateName"),
        version: params.optional("Version"),
    }
}

/// What an instance is to be made from. Settings that change nothing that is modelled are accepted by name.
pub(super) fn launch_specification(params: &Params) -> Result<LaunchSpecification, ApiError> {
    let mut tags = specified_tags(params, &["instance", "volume"])?;
    let profile = params.nested("IamInstanceProfile");
    let mut security_groups = params.list("SecurityGroupId");
    security_groups.extend(params.list("SecurityGroup"));
    params.flag("EbsOptimized")?;
    params.nested("Monitoring").flag("Enabled")?;
    let metadata = params.nested("MetadataOptions");
    for option in ["HttpEndpoint", "HttpProtocolIpv6", "HttpPutResponseHopLimit", "HttpTokens"] {
        metadata.get(option);
    }
    let metadata_tags = metadata.optional("InstanceMetadataTags");
    Ok(LaunchSpecification {
        image_id: params.optional("ImageId"),
        instance_type: params.optional("InstanceType"),
        key_name: params.optional("KeyName"),
        user_data: params.optional("UserData"),
        instance_profile: profile.optional("Arn").or_else(|| profile.optional("Name")),
        security_groups,
        block_devices: block_devices(params)?,
        instance_tags: tags.remove("instance").unwrap_or_default(),
        volume_tags: tags.remove("volume").unwrap_or_default(),
        market: market(&params.nested("InstanceMarketOptions"))?,
        metadata_tags: metadata_tags.map(|it| MetadataTags::parse(&it)).transpose()?,
    })
}

/// Creates a version unless the client token of the call has created one already: SDKs send a token always, and
/// send it again with a retry.
fn once(
    call: &mut Call<'_>,
    create: impl FnOnce(&mut World) -> Result<(LaunchTemplate, TemplateVersion), ApiError>,
) -> Result<(LaunchTemplate, TemplateVersion), ApiError> {
    let token = call.params().optional("ClientToken");
    let world = call.world()?;
    if let Some(known) = token.as_deref().and_then(|token| world.template_version_of_token(token)) {
        return Ok(known);
    }
    let (template, version) = create(world)?;
    if let Some(token) = token {
        world.remember_template_token(token, &template.id, version.number);
    }
    Ok((template, version))
}

fn block_devices(params: &Params) -> Result<Vec<BlockDevice>, ApiError> {
    let mut devices = Vec::new();
    for mapping in params.structs("BlockDeviceMapping") {
        let (specification, delete) = mapped_volume(&mapping.nested("Ebs"))?;
        devices.push(BlockDevice {
            device: mapping.required("DeviceName")?,
            specification,
            delete_on_termination: delete.unwrap_or(true),
        });
    }
    Ok(devices)
}

fn market(options: &Params) -> Result<Market, ApiError> {
    let spot = options.nested("SpotOptions");
    spot.only("SpotInstanceType", &["one-time"])?;
    spot.only("InstanceInterruptionBehavior", &["terminate"])?;
    match options.get("MarketType") {
        None => Ok(Market::OnDemand),
        Some("spot") => Ok(Market::Spot),
        Some(other) => Err(invalid("MarketType", other)),
    }
}

fn write_template(xml: &mut Xml, template: &LaunchTemplate) {
    xml.text("launchTemplateId", &template.id)
        .text("launchTemplateName", &template.name)
        .text("createTime", template.created_at)
        .text("defaultVersionNumber", template.default_version)
        .text("latestVersionNumber", template.latest_version());
    if !template.tags.is_empty() {
        write_tags(xml, &template.tags);
    }
}

fn write_version(xml: &mut Xml, template: &LaunchTemplate, version: &TemplateVersion) {
    xml.text("launchTemplateId", &template.id)
        .text("launchTemplateName", &template.name)
        .text("versionNumber", version.number)
        .optional("versionDescription", version.description.as_ref())
        .text("createTime", version.created_at)
        .text("defaultVersion", version.number == template.default_version)
        .element("launchTemplateData", |xml| {
            write_data(xml, &version.specification);
        });
}

fn write_data(xml: &mut Xml, data: &LaunchSpecification) {
    xml.optional("imageId", data.image_id.as_ref())
        .optional("instanceType", data.instance_type.as_ref())
        .optional("keyName", data.key_name.as_ref())
        .optional("userData", data.user_data.as_ref());
    xml.element("blockDeviceMappingSet", |xml| {
        for device in &data.block_devices {
            let volume = &device.specification;
            xml.element("item", |xml| {
                xml.text("deviceName", &device.device);
                xml.element("ebs", |xml| {
                    xml.text("deleteOnTermination", device.delete_on_termination)
                        .optional("encrypted", volume.encrypted)
                        .optional("iops", volume.iops)
                        .optional("kmsKeyId", volume.kms_key_id.as_ref())
                        .optional("throughput", volume.throughput)
                        .optional("volumeSize", volume.size_gib)
                        .optional("volumeType", volume.volume_type.as_ref());
                });
            });
        }
    });
    xml.element("securityGroupIdSet", |xml| {
        for group in &data.security_groups {
            xml.text("item", group);
        }
    });
    if let Some(metadata_tags) = data.metadata_tags {
        xml.element("metadataOptions", |xml| {
            xml.text("instanceMetadataTags", metadata_tags.as_str());
        });
    }
    xml.element("tagSpecificationSet", |xml| {
        write_tag_specification(xml, "instance", &data.instance_tags);
        write_tag_specification(xml, "volume", &data.volume_tags);
    });
}

fn write_tag_specification(xml: &mut Xml, resource_type: &str, tags: &Tags) {
    if !tags.is_empty() {
        xml.element("item", |xml| {
            xml.text("resourceType", resource_type);
            write_tags(xml, tags);
        });
    }
}
