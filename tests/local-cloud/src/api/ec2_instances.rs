//! EC2's instance operations.

use crate::world::{
    ApiError, Attachment, DEFAULT_VPC, Instance, InstanceState, InstanceView, Market, RunInstances,
    StateChange, StatusScope, World,
};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call, invalid};
use super::ec2_tags::write_tags;
use super::ec2_templates::{launch_specification, template_reference};

pub(super) fn run_instances(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let count = |name: &str| {
        params.number(name)?.ok_or_else(|| ApiError::MissingParameter(name.to_owned()))
    };
    let template = params.nested("LaunchTemplate");
    let request = RunInstances {
        template: if template.is_empty() { None } else { Some(template_reference(&template)) },
        specification: launch_specification(params)?,
        min_count: count("MinCount")?,
        max_count: count("MaxCount")?,
        zone: params.nested("Placement").optional("AvailabilityZone"),
        subnet: params.optional("SubnetId"),
        client_token: params.optional("ClientToken"),
    };
    let protected = params.flag("DisableApiTermination")?;
    let world = call.world()?;
    let launched = world.run_instances(request)?;
    for instance in &launched {
        if let Some(protected) = protected {
            world.set_termination_protection(&instance.id, protected)?;
        }
    }
    let ids: Vec<String> = launched.iter().map(|it| it.id.clone()).collect();
    let account = world.config().account.clone();
    xml.optional("reservationId", launched.first().map(|it| &it.reservation));
    xml.text("ownerId", &account);
    xml.element("groupSet", |_| {});
    xml.element("instancesSet", |xml| {
        for instance in ids.iter().filter_map(|id| world.instance(id).ok()) {
            let attachments = world.attachments_of(&instance.id).into_iter().cloned().collect();
            let view = InstanceView { instance: instance.clone(), attachments };
            xml.element("item", |xml| write_instance(xml, &view, &account));
        }
    });
    Ok(())
}

pub(super) fn describe_instances(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let ids = params.list("InstanceId");
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(5, &ids)?;
    let world = call.world()?;
    let account = world.config().account.clone();
    let found = world.describe_instances(&ids, &filters, &page)?;
    xml.element("reservationSet", |xml| {
        // A reservation is shown once for each of its instances: callers walk both levels anyway.
        for view in &found.items {
            xml.element("item", |xml| {
                xml.text("reservationId", &view.instance.reservation).text("ownerId", &account);
                xml.element("groupSet", |_| {});
                xml.element("instancesSet", |xml| {
                    xml.element("item", |xml| write_instance(xml, view, &account));
                });
            });
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

pub(super) fn describe_instance_status(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let ids = params.list("InstanceId");
    let filters = params.ec2_filters()?;
    let page = params.ec2_page(5, &ids)?;
    let scope = match params.flag("IncludeAllInstances")? {
        Some(true) => StatusScope::All,
        Some(false) | None => StatusScope::Running,
    };
    let found = call.world()?.describe_instance_status(&ids, &filters, scope, &page)?;
    xml.element("instanceStatusSet", |xml| {
        for status in &found.items {
            let instance = &status.instance;
            let summary = status.summary();
            xml.element("item", |xml| {
                xml.text("instanceId", &instance.id).text("availabilityZone", &instance.zone);
                write_state(xml, "instanceState", instance.state);
                write_summary(xml, "systemStatus", summary);
                write_summary(xml, "instanceStatus", summary);
            });
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

pub(super) fn start_instances(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    change_states(call, xml, World::start_instances)
}

/// `Force` stops without waiting for the operating system; here it makes no difference.
pub(super) fn stop_instances(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    call.params().flag("Force")?;
    call.params().only("Hibernate", &["false"])?;
    change_states(call, xml, World::stop_instances)
}

pub(super) fn terminate_instances(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    change_states(call, xml, World::terminate_instances)
}

pub(super) fn modify_instance_attribute(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let instance = params.required("InstanceId")?;
    let mut mappings = Vec::new();
    for mapping in params.structs("BlockDeviceMapping") {
        let ebs = mapping.nested("Ebs");
        let delete = ebs
            .flag("DeleteOnTermination")?
            .ok_or_else(|| ApiError::MissingParameter("Ebs.DeleteOnTermination".to_owned()))?;
        mappings.push((mapping.required("DeviceName")?, ebs.optional("VolumeId"), delete));
    }
    params.only("Attribute", &["blockDeviceMapping", "disableApiTermination"])?;
    let mut protection = params.nested("DisableApiTermination").flag("Value")?;
    if params.get("Attribute") == Some("disableApiTermination") {
        protection = params.flag("Value")?.or(protection);
    }
    if mappings.is_empty() && protection.is_none() {
        return Err(ApiError::InvalidParameterCombination("No attributes specified.".to_owned()));
    }
    let world = call.world()?;
    world.set_delete_on_termination(&instance, &mappings)?;
    if let Some(protected) = protection {
        world.set_termination_protection(&instance, protected)?;
    }
    xml.text("return", true);
    Ok(())
}

pub(super) fn describe_instance_attribute(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let id = call.params().required("InstanceId")?;
    let attribute = call.params().required("Attribute")?;
    let world = call.world()?;
    let instance = world.instance(&id)?;
    let value = |xml: &mut Xml, text: String| {
        xml.element(&attribute, |xml| {
            xml.text("value", text);
        });
    };
    xml.text("instanceId", &id);
    match attribute.as_str() {
        "blockDeviceMapping" => write_mappings(xml, instance, &world.attachments_of(&id)),
        "disableApiTermination" => value(xml, instance.termination_protected.to_string()),
        "instanceInitiatedShutdownBehavior" => value(xml, "stop".to_owned()),
        "instanceType" => value(xml, instance.instance_type.clone()),
        "rootDeviceName" => value(xml, instance.root_device.clone()),
        "userData" => value(xml, instance.user_data.clone().unwrap_or_default()),
        other => return Err(invalid("attribute", other)),
    }
    Ok(())
}

fn change_states(
    call: &mut Call<'_>,
    xml: &mut Xml,
    change: fn(&mut World, &[String]) -> Result<Vec<StateChange>, ApiError>,
) -> Result<(), ApiError> {
    let ids = call.params().list("InstanceId");
    if ids.is_empty() {
        return Err(ApiError::MissingParameter("InstanceId".to_owned()));
    }
    let changes = change(call.world()?, &ids)?;
    xml.element("instancesSet", |xml| {
        for change in &changes {
            xml.element("item", |xml| {
                xml.text("instanceId", &change.instance);
                write_state(xml, "currentState", change.current);
                write_state(xml, "previousState", change.previous);
            });
        }
    });
    Ok(())
}

fn write_instance(xml: &mut Xml, view: &InstanceView, account: &str) {
    let instance = &view.instance;
    xml.text("instanceId", &instance.id).text("imageId", &instance.image_id);
    write_state(xml, "instanceState", instance.state);
    xml.text("privateDnsName", private_name(instance))
        .text("dnsName", "")
        .text("reason", instance.state_reason.map(|_| "User initiated").unwrap_or_default())
        .optional("keyName", instance.key_name.as_ref())
        .text("amiLaunchIndex", instance.launch_index)
        .text("instanceType", &instance.instance_type)
        .text("launchTime", instance.launched_at)
        .element("placement", |xml| {
            xml.text("availabilityZone", &instance.zone)
                .text("groupName", "")
                .text("tenancy", "default");
        })
        .element("monitoring", |xml| {
            xml.text("state", "disabled");
        })
        .text("subnetId", &instance.subnet)
        .text("vpcId", DEFAULT_VPC)
        .text("privateIpAddress", &instance.private_ip)
        .text("sourceDestCheck", true)
        .element("groupSet", |xml| {
            for group in &instance.security_groups {
                xml.element("item", |xml| {
                    xml.text("groupId", group).text("groupName", group);
                });
            }
        });
    if let Some((code, message)) = instance.state_reason {
        xml.element("stateReason", |xml| {
            xml.text("code", code).text("message", message);
        });
    }
    xml.text("architecture", "x86_64")
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &instance.root_device);
    write_mappings(xml, instance, &view.attachments.iter().collect::<Vec<_>>());
    xml.text("virtualizationType", "hvm");
    if instance.market == Market::Spot {
        xml.text("instanceLifecycle", "spot");
    }
    xml.optional("clientToken", instance.client_token.as_ref());
    if !instance.tags.is_empty() {
        write_tags(xml, &instance.tags);
    }
    xml.text("hypervisor", "xen").text("enaSupport", true).text("ebsOptimized", false);
    if let Some(profile) = &instance.instance_profile {
        let arn = if profile.starts_with("arn:") {
            profile.clone()
        } else {
            format!("arn:aws:iam::{account}:instance-profile/{profile}")
        };
        xml.element("iamInstanceProfile", |xml| {
            xml.text("arn", arn);
        });
    }
}

fn write_mappings(xml: &mut Xml, instance: &Instance, attachments: &[&Attachment]) {
    xml.element("blockDeviceMapping", |xml| {
        if instance.state == InstanceState::Terminated {
            return;
        }
        for attachment in attachments {
            xml.element("item", |xml| {
                xml.text("deviceName", &attachment.device);
                xml.element("ebs", |xml| {
                    // DescribeInstances knows no `busy`: EbsInstanceBlockDevice has the four other states.
                    let state = match attachment.state.as_str() {
                        "busy" => "detaching",
                        other => other,
                    };
                    xml.text("volumeId", &attachment.volume)
                        .text("status", state)
                        .text("attachTime", attachment.attached_at)
                        .text("deleteOnTermination", attachment.delete_on_termination);
                });
            });
        }
    });
}

fn write_state(xml: &mut Xml, name: &str, state: InstanceState) {
    xml.element(name, |xml| {
        xml.text("code", state.number()).text("name", state.as_str());
    });
}

fn write_summary(xml: &mut Xml, name: &str, summary: &str) {
    xml.element(name, |xml| {
        xml.text("status", summary);
        xml.element("details", |xml| {
            xml.element("item", |xml| {
                let status = match summary {
                    "ok" => "passed",
                    "impaired" => "failed",
                    other => other,
                };
                xml.text("name", "reachability").text("status", status);
            });
        });
    });
}

fn private_name(instance: &Instance) -> String {
    let region = instance.zone.trim_end_matches(|it: char| it.is_ascii_lowercase());
    format!("ip-{}.{region}.compute.internal", instance.private_ip.replace('.', "-"))
}
