//! The AWS Query protocol over the world: names, shapes and refusals as they stand on the wire.

use local_cloud::api::{Response, Service, handle};
use local_cloud::query::Params;
use local_cloud::world::World;

use crate::staging::{group, new_volume, pass, running, world};

fn ec2(world: &mut World, action: &str, body: &str) -> Response {
    handle(world, Service::Ec2, action, &Params::parse(body).unwrap(), "req-1")
}

fn scaling(world: &mut World, action: &str, body: &str) -> Response {
    handle(world, Service::AutoScaling, action, &Params::parse(body).unwrap(), "req-1")
}

/// The text of the first element of that name.
fn text<'a>(body: &'a str, name: &str) -> &'a str {
    let start = body.find(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {body}"));
    let rest = &body[start + name.len() + 2..];
    &rest[..rest.find('<').unwrap()]
}

fn refused(response: &Response) -> (u16, &str) {
    (response.status, text(&response.body, "Code"))
}

#[test]
fn volumes_are_created_and_described_in_ec2s_shape() {
    let mut world = world();
    let created = ec2(
        &mut world,
        "CreateVolume",
        "Action=CreateVolume&Version=2016-11-15&AvailabilityZone=eu-central-1a&Size=10&VolumeType=gp3\
         &TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=pool\
         &TagSpecification.1.Tag.1.Value=a%26b",
    );
    assert_eq!(created.status, 200, "{}", created.body);
    assert_eq!(text(&created.body, "status"), "creating");
    let found = ec2(
        &mut world,
        "DescribeVolumes",
        "Filter.1.Name=tag%3Apool&Filter.1.Value.1=a%26*&MaxResults=5",
    );
    assert_eq!(text(&found.body, "volumeId"), text(&created.body, "volumeId"));
    assert!(found.body.contains("<item><key>pool</key><value>a&amp;b</value></item>"));
}

#[test]
fn unknown_operations_and_parameters_are_refused_and_change_nothing() {
    let mut world = world();
    let unknown = ec2(&mut world, "CopySnapshot", "");
    assert_eq!(refused(&unknown), (400, "InvalidAction"));
    let unknown = scaling(&mut world, "PutScalingPolicy", "");
    assert_eq!(refused(&unknown), (400, "InvalidAction"));
    let body = "AvailabilityZone=eu-central-1a&Size=10&OutpostArn=arn";
    let extra = ec2(&mut world, "CreateVolume", body);
    assert_eq!(refused(&extra), (400, "UnknownParameter"));
    assert_eq!(text(&extra.body, "Message"), "The parameter OutpostArn is not recognized");
    assert_eq!(world.volumes().count(), 0);
}

#[test]
fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let mut world = world();
    let good = "AvailabilityZone=eu-central-1a&Size=10&DryRun=true";
    assert_eq!(refused(&ec2(&mut world, "CreateVolume", good)), (412, "DryRunOperation"));
    let bad = "AvailabilityZone=mars&Size=10&DryRun=true";
    assert_eq!(refused(&ec2(&mut world, "CreateVolume", bad)), (400, "InvalidZone.NotFound"));
    assert_eq!(world.volumes().count(), 0);
}

#[test]
fn errors_have_the_shape_of_their_service() {
    let mut world = world();
    let ec2 = ec2(&mut world, "DeleteVolume", "VolumeId=vol-0123");
    assert!(ec2.body.contains("<Response><Errors><Error><Code>InvalidVolume.NotFound</Code>"));
    assert!(ec2.body.ends_with("<RequestID>req-1</RequestID></Response>"));
    let scaling = scaling(&mut world, "DeleteAutoScalingGroup", "AutoScalingGroupName=none");
    assert_eq!(refused(&scaling), (400, "ValidationError"));
    assert!(scaling.body.contains("<Error><Type>Sender</Type>"));
}

#[test]
fn pages_are_checked_as_ec2_checks_them() {
    let mut world = world();
    let ids: Vec<String> = (0..7).map(|_| new_volume(&mut world, "a")).collect();
    let mut seen = 0;
    let mut token = String::new();
    loop {
        let body = format!("MaxResults=5&NextToken={token}");
        let page = ec2(&mut world, "DescribeVolumes", &body).body;
        seen += page.matches("<volumeId>").count();
        if !page.contains("<nextToken>") {
            break;
        }
        token = text(&page, "nextToken").to_owned();
    }
    assert_eq!(seen, 7);
    for (body, code) in [
        ("MaxResults=2".to_owned(), "InvalidParameterValue"),
        (format!("MaxResults=5&VolumeId.1={}", ids[0]), "InvalidParameterCombination"),
        ("NextToken=mine".to_owned(), "InvalidNextToken"),
    ] {
        assert_eq!(refused(&ec2(&mut world, "DescribeVolumes", &body)), (400, code), "{body}");
    }
}

#[test]
fn a_group_is_made_with_its_hooks_and_answered_over_the_wire() {
    let mut world = world();
    let template = ec2(
        &mut world,
        "CreateLaunchTemplate",
        "LaunchTemplateName=node&LaunchTemplateData.ImageId=ami-0123456789abcdef0\
         &LaunchTemplateData.InstanceType=m7i.large&LaunchTemplateData.BlockDeviceMapping.1.DeviceName=/dev/sdz\
         &LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeSize=5",
    );
    let template = text(&template.body, "launchTemplateId").to_owned();
    let body = format!(
        "AutoScalingGroupName=web&MinSize=0&MaxSize=3&DesiredCapacity=1&LaunchTemplate.LaunchTemplateId={template}\
         &LaunchTemplate.Version=%24Latest&AvailabilityZones.member.1=eu-central-1b\
         &Tags.member.1.Key=stateful-asg%3Apool&Tags.member.1.Value=db&Tags.member.1.PropagateAtLaunch=true\
         &LifecycleHookSpecificationList.member.1.LifecycleHookName=join\
         &LifecycleHookSpecificationList.member.1.LifecycleTransition=autoscaling%3AEC2_INSTANCE_LAUNCHING"
    );
    let made = scaling(&mut world, "CreateAutoScalingGroup", &body);
    assert_eq!(made.status, 200, "{}", made.body);
    pass(&mut world, 10);
    let found = scaling(
        &mut world,
        "DescribeAutoScalingGroups",
        "Filters.member.1.Name=tag-key&Filters.member.1.Values.member.1=stateful-asg%3Apool",
    );
    assert_eq!(text(&found.body, "LifecycleState"), "Pending:Wait");
    let instance = text(&found.body, "InstanceId").to_owned();
    assert_eq!(world.attachments_of(&instance).len(), 2);
    assert_eq!(world.instance(&instance).unwrap().tags["stateful-asg:pool"], "db");
    let answer = format!(
        "AutoScalingGroupName=web&LifecycleHookName=join&InstanceId={instance}&LifecycleActionResult=CONTINUE"
    );
    assert_eq!(scaling(&mut world, "CompleteLifecycleAction", &answer).status, 200);
    pass(&mut world, 15);
    let body = format!("InstanceIds.member.1={instance}");
    let found = scaling(&mut world, "DescribeAutoScalingInstances", &body);
    assert_eq!(text(&found.body, "LifecycleState"), "InService");
    let again = scaling(&mut world, "CompleteLifecycleAction", &answer);
    assert_eq!(refused(&again), (400, "ValidationError"));
    let missing = scaling(&mut world, "CompleteLifecycleAction", "AutoScalingGroupName=web");
    assert_eq!(refused(&missing), (400, "ValidationError"));
}

#[test]
fn a_template_shows_its_metadata_tags_and_with_them_a_tag_that_is_no_path_launches_nothing() {
    let mut world = world();
    for (name, key, status) in [("plain", "cost.centre", 200), ("path", "cost%2Fcentre", 400)] {
        let body = format!(
            "LaunchTemplateName={name}&LaunchTemplateData.ImageId=ami-0123456789abcdef0\
             &LaunchTemplateData.MetadataOptions.InstanceMetadataTags=enabled\
             &LaunchTemplateData.TagSpecification.1.ResourceType=instance\
             &LaunchTemplateData.TagSpecification.1.Tag.1.Key={key}"
        );
        assert_eq!(ec2(&mut world, "CreateLaunchTemplate", &body).status, 200);
        let body = format!("LaunchTemplateName={name}&LaunchTemplateVersion.1=%24Default");
        let shown = ec2(&mut world, "DescribeLaunchTemplateVersions", &body);
        assert_eq!(text(&shown.body, "instanceMetadataTags"), "enabled");
        let body = format!("LaunchTemplate.LaunchTemplateName={name}&MinCount=1&MaxCount=1");
        let launched = ec2(&mut world, "RunInstances", &body);
        assert_eq!(launched.status, status, "{}", launched.body);
    }
    let plain = world.volumes().count();
    assert_eq!(plain, 1, "only the root volume of the one that was launched");
}

#[test]
fn a_warm_pool_is_put_and_described_and_its_instances_are_not_the_groups() {
    let mut world = world();
    group(&mut world, 1, &["a"], Vec::new());
    let put = "AutoScalingGroupName=web&MaxGroupPreparedCapacity=3&MinSize=1&PoolState=Stopped\
               &InstanceReusePolicy.ReuseOnScaleIn=true";
    assert_eq!(scaling(&mut world, "PutWarmPool", put).status, 200);
    pass(&mut world, 180);
    let pool = scaling(&mut world, "DescribeWarmPool", "AutoScalingGroupName=web");
    assert!(
        pool.body.contains(
            "<WarmPoolConfiguration><MaxGroupPreparedCapacity>3</MaxGroupPreparedCapacity>\
             <MinSize>1</MinSize><PoolState>Stopped</PoolState><InstanceReusePolicy>\
             <ReuseOnScaleIn>true</ReuseOnScaleIn></InstanceReusePolicy></WarmPoolConfiguration>"
        ),
        "{}",
        pool.body
    );
    assert_eq!(pool.body.matches("<LifecycleState>Warmed:Stopped</LifecycleState>").count(), 2);
    let groups = scaling(&mut world, "DescribeAutoScalingGroups", "").body;
    assert_eq!(text(&groups, "WarmPoolSize"), "2");
    assert_eq!(groups.matches("<InstanceId>").count(), 1);
    let instances = scaling(&mut world, "DescribeAutoScalingInstances", "").body;
    assert_eq!(instances.matches("<InstanceId>").count(), 3);
    let hibernated = "AutoScalingGroupName=web&PoolState=Hibernated";
    let refused_pool = scaling(&mut world, "PutWarmPool", hibernated);
    assert_eq!(refused(&refused_pool), (400, "ValidationError"));
    let force = "AutoScalingGroupName=web&ForceDelete=true";
    assert_eq!(scaling(&mut world, "DeleteWarmPool", force).status, 200);
    let going = scaling(&mut world, "DescribeWarmPool", "AutoScalingGroupName=web");
    assert_eq!(text(&going.body, "Status"), "PendingDelete");
}

#[test]
fn instances_are_moved_over_the_wire_and_activities_come_back() {
    let mut world = world();
    group(&mut world, 1, &["a"], Vec::new());
    pass(&mut world, 60);
    let instance = world.instances().next().unwrap().id.clone();
    let ids = format!("AutoScalingGroupName=web&InstanceIds.member.1={instance}");
    let missing = scaling(&mut world, "EnterStandby", &ids);
    assert_eq!(refused(&missing), (400, "ValidationError"));
    let lowered = format!("{ids}&ShouldDecrementDesiredCapacity=true");
    let entered = scaling(&mut world, "EnterStandby", &lowered);
    assert_eq!(entered.status, 200, "{}", entered.body);
    assert!(entered.body.contains("<Activities><member><ActivityId>"));
    pass(&mut world, 5);
    let groups = scaling(&mut world, "DescribeAutoScalingGroups", "").body;
    assert_eq!(text(&groups, "LifecycleState"), "Standby");
    assert_eq!(scaling(&mut world, "ExitStandby", &ids).status, 200);
    pass(&mut world, 60);
    assert_eq!(scaling(&mut world, "DetachInstances", &lowered).status, 200);
    pass(&mut world, 5);
    assert_eq!(scaling(&mut world, "AttachInstances", &ids).status, 200);
    pass(&mut world, 60);
    let found = scaling(&mut world, "DescribeAutoScalingInstances", "").body;
    assert_eq!(text(&found, "LifecycleState"), "InService");
    assert!(!found.contains("LaunchTemplate"), "it was not launched from one");
}

#[test]
fn the_instance_lifecycle_policy_is_set_shown_and_checked() {
    let mut world = world();
    group(&mut world, 0, &["a"], Vec::new());
    let policy = "AutoScalingGroupName=web\
                  &InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon=";
    let set = scaling(&mut world, "UpdateAutoScalingGroup", &format!("{policy}retain"));
    assert_eq!(set.status, 200, "{}", set.body);
    let bad = scaling(&mut world, "UpdateAutoScalingGroup", &format!("{policy}keep"));
    assert_eq!(refused(&bad), (400, "ValidationError"));
    let groups = scaling(&mut world, "DescribeAutoScalingGroups", "").body;
    assert!(groups.contains(
        "<InstanceLifecyclePolicy><RetentionTriggers><TerminateHookAbandon>retain\
         </TerminateHookAbandon></RetentionTriggers></InstanceLifecyclePolicy>"
    ));
}

#[test]
fn the_maintenance_policy_is_set_shown_checked_and_cleared() {
    let mut world = world();
    group(&mut world, 0, &["a"], Vec::new());
    let mut update = |min: &str, max: &str| {
        let body = format!(
            "AutoScalingGroupName=web&InstanceMaintenancePolicy.MinHealthyPercentage={min}\
             &InstanceMaintenancePolicy.MaxHealthyPercentage={max}"
        );
        let answer = scaling(&mut world, "UpdateAutoScalingGroup", &body);
        (answer.status, scaling(&mut world, "DescribeAutoScalingGroups", "").body)
    };
    let (status, shown) = update("100", "150");
    assert_eq!(status, 200);
    assert!(shown.contains(
        "<InstanceMaintenancePolicy><MinHealthyPercentage>100</MinHealthyPercentage>\
         <MaxHealthyPercentage>150</MaxHealthyPercentage></InstanceMaintenancePolicy>"
    ));
    assert_eq!(update("10", "150").0, 400);
    let (status, shown) = update("-1", "-1");
    assert_eq!(status, 200);
    assert!(!shown.contains("InstanceMaintenancePolicy"));
}

#[test]
fn instance_refreshes_are_described_in_auto_scalings_shape_and_what_is_not_modelled_is_refused() {
    let mut world = world();
    group(&mut world, 1, &["a"], Vec::new());
    pass(&mut world, 60);
    let start = "AutoScalingGroupName=web&Preferences.MinHealthyPercentage=100\
                 &Preferences.MaxHealthyPercentage=200&Preferences.StandbyInstances=Terminate";
    for (extra, code) in [
        ("&Strategy=ReplaceRootVolume", "ValidationError"),
        ("&Preferences.AutoRollback=true", "ValidationError"),
        ("&Preferences.BakeTime=60", "ValidationError"),
        ("&Preferences.ScaleInProtectedInstances=Terminate", "ValidationError"),
        ("&Preferences.CheckpointPercentages.member.1=50", "UnknownParameter"),
        ("&DesiredConfiguration.LaunchTemplate.Version=2", "UnknownParameter"),
    ] {
        let response = scaling(&mut world, "StartInstanceRefresh", &format!("{start}{extra}"));
        assert_eq!(refused(&response), (400, code), "{extra}");
    }
    let started = scaling(&mut world, "StartInstanceRefresh", start);
    assert_eq!(started.status, 200, "{}", started.body);
    let id = text(&started.body, "InstanceRefreshId").to_owned();
    let again = scaling(&mut world, "StartInstanceRefresh", start);
    assert_eq!(refused(&again), (400, "InstanceRefreshInProgress"));
    let ids = format!("AutoScalingGroupName=web&InstanceRefreshIds.member.1={id}");
    let found = scaling(&mut world, "DescribeInstanceRefreshes", &ids);
    for (name, value) in [
        ("InstanceRefreshId", id.as_str()),
        ("Status", "Pending"),
        ("PercentageComplete", "0"),
        ("InstancesToUpdate", "1"),
        ("MaxHealthyPercentage", "200"),
        ("StandbyInstances", "Terminate"),
        ("ScaleInProtectedInstances", "Wait"),
    ] {
        assert_eq!(text(&found.body, name), value, "{name}");
    }
    let cancel = "AutoScalingGroupName=web";
    let cancelled = scaling(&mut world, "CancelInstanceRefresh", cancel);
    assert_eq!(text(&cancelled.body, "InstanceRefreshId"), id);
    pass(&mut world, 60);
    let cancelled = scaling(&mut world, "CancelInstanceRefresh", cancel);
    assert_eq!(refused(&cancelled), (400, "ActiveInstanceRefreshNotFound"));
}

#[test]
fn root_volumes_are_replaced_in_ec2s_shape() {
    let mut world = world();
    let instance = running(&mut world, "a");
    let create = format!(
        "InstanceId={instance}&DeleteReplacedRootVolume=true\
         &TagSpecification.1.ResourceType=replace-root-volume-task\
         &TagSpecification.1.Tag.1.Key=why&TagSpecification.1.Tag.1.Value=patch"
    );
    let from_snapshot = format!("{create}&SnapshotId=snap-1");
    let response = ec2(&mut world, "CreateReplaceRootVolumeTask", &from_snapshot);
    assert_eq!(refused(&response), (400, "InvalidSnapshot.NotFound"));
    let created = ec2(&mut world, "CreateReplaceRootVolumeTask", &create);
    assert_eq!(created.status, 200, "{}", created.body);
    assert_eq!(text(&created.body, "taskState"), "pending");
    pass(&mut world, 60);
    let filtered = format!("Filter.1.Name=instance-id&Filter.1.Value.1={instance}");
    let found = ec2(&mut world, "DescribeReplaceRootVolumeTasks", &filtered);
    let id = text(&created.body, "replaceRootVolumeTaskId");
    assert_eq!(text(&found.body, "replaceRootVolumeTaskId"), id);
    assert_eq!(text(&found.body, "taskState"), "succeeded");
    assert_eq!(text(&found.body, "deleteReplacedRootVolume"), "true");
    assert!(found.body.contains("<item><key>why</key><value>patch</value></item>"));
}
