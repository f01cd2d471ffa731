//! The AWS Query protocol over a [`World`], and AWS JSON where a service has that: which operation a request asks for, and the answer as the SDKs, the AWS
//! CLI and boto3 read it. What an operation does is the world's business; here it is only named and worded.

mod arguments;
mod autoscaling_groups;
mod autoscaling_hooks;
mod autoscaling_instances;
mod autoscaling_membership;
mod autoscaling_refreshes;
mod autoscaling_warm_pools;
mod ec2_instances;
mod ec2_modifications;
mod ec2_places;
mod ec2_root_volumes;
mod ec2_snapshots;
mod ec2_tags;
mod ec2_templates;
mod ec2_volumes;
pub mod ssm;

use crate::query::Params;
use crate::world::{ApiError, Breadth, World};
use crate::xml::Xml;

use arguments::{Arguments as _, Call};

/// A service of this cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// EC2 with EBS, API version 2016-11-15.
    Ec2,
    /// EC2 Auto Scaling, API version 2011-01-01.
    AutoScaling,
}

/// An answer: an HTTP status and a body, in XML or JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// What an operation is here: it reads its parameters, asks the world, and writes what its answer holds.
type Operation = fn(&mut Call<'_>, &mut Xml) -> Result<(), ApiError>;

const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const AUTO_SCALING_NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";

/// Carries out one request.
pub fn handle(
    world: &mut World,
    service: Service,
    action: &str,
    params: &Params,
    request_id: &str,
) -> Response {
    let outcome = match service {
        Service::Ec2 => ec2(world, action, params, request_id),
        Service::AutoScaling => auto_scaling(world, action, params, request_id),
    };
    match outcome {
        Ok(body) => Response { status: 200, body },
        Err(error) => refuse(service, &error, request_id),
    }
}

/// The answer that refuses a request, in the service's own shape.
pub fn refuse(service: Service, error: &ApiError, request_id: &str) -> Response {
    let mut xml = Xml::new();
    match service {
        Service::Ec2 => xml.element("Response", |xml| {
            xml.element("Errors", |xml| {
                xml.element("Error", |xml| {
                    xml.text("Code", error.code()).text("Message", error.message());
                });
            });
            xml.text("RequestID", request_id);
        }),
        Service::AutoScaling => xml.root("ErrorResponse", AUTO_SCALING_NAMESPACE, |xml| {
            xml.element("Error", |xml| {
                xml.text("Type", "Sender");
                xml.text("Code", error.code()).text("Message", error.message());
            });
            xml.text("RequestId", request_id);
        }),
    };
    Response { status: error.status(), body: xml.finish() }
}

fn ec2(
    world: &mut World,
    action: &str,
    params: &Params,
    request_id: &str,
) -> Result<String, ApiError> {
    let operation =
        ec2_operation(action).ok_or_else(|| ApiError::InvalidAction(action.to_owned()))?;
    world.admit_ec2(action, breadth(action, params))?;
    if params.flag("DryRun")? == Some(true) {
        let mut fork = world.clone();
        operation(&mut Call::new(params, &mut fork), &mut Xml::new())?;
        return Err(ApiError::DryRunOperation);
    }
    let mut xml = Xml::new();
    let mut outcome = Ok(());
    xml.root(&format!("{action}Response"), EC2_NAMESPACE, |xml| {
        xml.text("requestId", request_id);
        outcome = operation(&mut Call::new(params, world), xml);
    });
    outcome.map(|()| xml.finish())
}

fn auto_scaling(
    world: &mut World,
    action: &str,
    params: &Params,
    request_id: &str,
) -> Result<String, ApiError> {
    let operation =
        auto_scaling_operation(action).ok_or_else(|| ApiError::InvalidAction(action.to_owned()))?;
    world.admit_auto_scaling(action)?;
    let mut xml = Xml::new();
    let mut outcome = Ok(());
    xml.root(&format!("{action}Response"), AUTO_SCALING_NAMESPACE, |xml| {
        xml.element(&format!("{action}Result"), |xml| {
            outcome = operation(&mut Call::new(params, world), xml);
        });
        xml.element("ResponseMetadata", |xml| {
            xml.text("RequestId", request_id);
        });
    });
    outcome.map(|()| xml.finish()).map_err(|error| match error {
        // Auto Scaling has one code for all of these.
        ApiError::MissingParameter(name) => ApiError::Validation(format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must \
             not be null"
        )),
        ApiError::InvalidParameterValue(message)
        | ApiError::InvalidParameterCombination(message) => ApiError::Validation(message),
        other => other,
    })
}

/// How much a request asks for, where EC2's limits depend on it.
fn breadth(action: &str, params: &Params) -> Breadth {
    let wide = matches!(action, "DescribeVolumes" | "DescribeInstances")
        && params.structs("Filter").is_empty()
        && params.get("MaxResults").is_none()
        && params.get("NextToken").is_none();
    if wide { Breadth::Wide } else { Breadth::Narrow }
}

fn ec2_operation(action: &str) -> Option<Operation> {
    Some(match action {
        "AttachVolume" => ec2_volumes::attach_volume,
        "CreateLaunchTemplate" => ec2_templates::create_launch_template,
        "CreateLaunchTemplateVersion" => ec2_templates::create_launch_template_version,
        "CreateReplaceRootVolumeTask" => ec2_root_volumes::create_replace_root_volume_task,
        "CreateSnapshot" => ec2_snapshots::create_snapshot,
        "CreateTags" => ec2_tags::create_tags,
        "CreateVolume" => ec2_volumes::create_volume,
        "DeleteLaunchTemplate" => ec2_templates::delete_launch_template,
        "DeleteTags" => ec2_tags::delete_tags,
        "DeleteVolume" => ec2_volumes::delete_volume,
        "DescribeAvailabilityZones" => ec2_places::describe_availability_zones,
        "DescribeImages" => ec2_places::describe_images,
        "DescribeInstanceAttribute" => ec2_instances::describe_instance_attribute,
        "DescribeInstanceStatus" => ec2_instances::describe_instance_status,
        "DescribeInstances" => ec2_instances::describe_instances,
        "DescribeLaunchTemplateVersions" => ec2_templates::describe_launch_template_versions,
        "DescribeLaunchTemplates" => ec2_templates::describe_launch_templates,
        "DescribeReplaceRootVolumeTasks" => ec2_root_volumes::describe_replace_root_volume_tasks,
        "DescribeSnapshots" => ec2_snapshots::describe_snapshots,
        "DescribeSubnets" => ec2_places::describe_subnets,
        "DescribeTags" => ec2_tags::describe_tags,
        "DescribeVolumes" => ec2_volumes::describe_volumes,
        "DescribeVolumesModifications" => ec2_modifications::describe_volumes_modifications,
        "DescribeVpcs" => ec2_places::describe_vpcs,
        "DetachVolume" => ec2_volumes::detach_volume,
        "ModifyInstanceAttribute" => ec2_instances::modify_instance_attribute,
        "ModifyVolume" => ec2_modifications::modify_volume,
        "RunInstances" => ec2_instances::run_instances,
        "StartInstances" => ec2_instances::start_instances,
        "StopInstances" => ec2_instances::stop_instances,
        "TerminateInstances" => ec2_instances::terminate_instances,
        _ => return None,
    })
}

fn auto_scaling_operation(action: &str) -> Option<Operation> {
    Some(match action {
        "AttachInstances" => autoscaling_membership::attach_instances,
        "CancelInstanceRefresh" => autoscaling_refreshes::cancel_instance_refresh,
        "CompleteLifecycleAction" => autoscaling_hooks::complete_lifecycle_action,
        "CreateAutoScalingGroup" => autoscaling_groups::create_auto_scaling_group,
        "CreateOrUpdateTags" => autoscaling_groups::create_or_update_tags,
        "DeleteAutoScalingGroup" => autoscaling_groups::delete_auto_scaling_group,
        "DeleteLifecycleHook" => autoscaling_hooks::delete_lifecycle_hook,
        "DeleteTags" => autoscaling_groups::delete_tags,
        "DeleteWarmPool" => autoscaling_warm_pools::delete_warm_pool,
        "DescribeAutoScalingGroups" => autoscaling_groups::describe_auto_scaling_groups,
        "DescribeAutoScalingInstances" => autoscaling_instances::describe_auto_scaling_instances,
        "DescribeInstanceRefreshes" => autoscaling_refreshes::describe_instance_refreshes,
        "DescribeLifecycleHookTypes" => autoscaling_hooks::describe_lifecycle_hook_types,
        "DescribeLifecycleHooks" => autoscaling_hooks::describe_lifecycle_hooks,
        "DescribeScalingActivities" => autoscaling_instances::describe_scaling_activities,
        "DescribeTags" => autoscaling_groups::describe_tags,
        "DescribeWarmPool" => autoscaling_warm_pools::describe_warm_pool,
        "DetachInstances" => autoscaling_membership::detach_instances,
        "EnterStandby" => autoscaling_membership::enter_standby,
        "ExitStandby" => autoscaling_membership::exit_standby,
        "PutLifecycleHook" => autoscaling_hooks::put_lifecycle_hook,
        "PutWarmPool" => autoscaling_warm_pools::put_warm_pool,
        "RecordLifecycleActionHeartbeat" => autoscaling_hooks::record_lifecycle_action_heartbeat,
        "ResumeProcesses" => autoscaling_groups::resume_processes,
        "SetDesiredCapacity" => autoscaling_groups::set_desired_capacity,
        "SetInstanceHealth" => autoscaling_instances::set_instance_health,
        "StartInstanceRefresh" => autoscaling_refreshes::start_instance_refresh,
        "SuspendProcesses" => autoscaling_groups::suspend_processes,
        "TerminateInstanceInAutoScalingGroup" => {
            autoscaling_instances::terminate_instance_in_auto_scaling_group
        }
        "UpdateAutoScalingGroup" => autoscaling_groups::update_auto_scaling_group,
        _ => return None,
    })
}
