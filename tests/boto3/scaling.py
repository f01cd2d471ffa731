"""Auto Scaling groups: what they are made of, capacity up and down, and instances that die in every way."""

import collections

from harness import equal, eventually, refused, true
from shapes import (
    IMAGE,
    INSTANCE_TYPE,
    delete_group,
    group_of,
    instance_of,
    launch_template,
    members,
    tag_map,
    wait_for_members,
    with_tag,
)

HOOK = {
    "LifecycleHookName": "someone-else",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "HeartbeatTimeout": 60,
    "DefaultResult": "CONTINUE",
    "NotificationMetadata": 'a note: "<&>"',
}


def group_tag(group, key, value, propagate):
    return {
        "ResourceId": group, "ResourceType": "auto-scaling-group",
        "Key": key, "Value": value, "PropagateAtLaunch": propagate,
    }  # fmt: skip


def groups(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    zones = [cloud.zone(letter) for letter in "abc"]

    with report.check("CreateLaunchTemplate; its name is taken afterwards; it is described and deleted by name"):
        made = ec2.create_launch_template(
            LaunchTemplateName="boto3-passing", LaunchTemplateData={"ImageId": IMAGE, "InstanceType": INSTANCE_TYPE}
        )["LaunchTemplate"]
        true(made["LaunchTemplateId"].startswith("lt-"), f"its id is {made['LaunchTemplateId']}")
        equal((made["LaunchTemplateName"], made["LatestVersionNumber"]), ("boto3-passing", 1))
        refused(
            "InvalidLaunchTemplateName.AlreadyExistsException", ec2.create_launch_template,
            LaunchTemplateName="boto3-passing", LaunchTemplateData={"ImageId": IMAGE},
        )  # fmt: skip
        found = ec2.describe_launch_templates(LaunchTemplateNames=["boto3-passing"])["LaunchTemplates"]
        equal([it["LaunchTemplateId"] for it in found], [made["LaunchTemplateId"]])
        ec2.delete_launch_template(LaunchTemplateName="boto3-passing")
        refused(
            "InvalidLaunchTemplateName.NotFoundException", ec2.describe_launch_templates,
            LaunchTemplateNames=["boto3-passing"],
        )  # fmt: skip

    template = launch_template(ec2, "boto3-groups")
    with report.check("CreateAutoScalingGroup with hooks and tags; DescribeAutoScalingGroups shows it"):
        scaling.create_auto_scaling_group(
            AutoScalingGroupName="boto3-plain", MinSize=0, MaxSize=6, DesiredCapacity=0, LaunchTemplate=template,
            AvailabilityZones=zones, LifecycleHookSpecificationList=[HOOK],
            Tags=[group_tag("boto3-plain", "team", "data", True), group_tag("boto3-plain", "private", "yes", False)],
        )  # fmt: skip
        group = group_of(scaling, "boto3-plain")
        wanted = {
            "MinSize": 0, "MaxSize": 6, "DesiredCapacity": 0, "Instances": [], "DefaultCooldown": 300,
            "HealthCheckType": "EC2",
        }  # fmt: skip
        equal({key: group.get(key) for key in wanted}, wanted)
        equal(sorted(group["AvailabilityZones"]), zones, "its zones")
        true(group["AutoScalingGroupARN"].endswith("autoScalingGroupName/boto3-plain"), group["AutoScalingGroupARN"])
        equal(tag_map(group), {"team": "data", "private": "yes"}, "its tags")
    with report.check("its hook came with it"):
        hook = scaling.describe_lifecycle_hooks(AutoScalingGroupName="boto3-plain")["LifecycleHooks"][0]
        equal({key: hook.get(key) for key in HOOK}, HOOK)
        equal((hook["GlobalTimeout"], hook["AutoScalingGroupName"]), (6000, "boto3-plain"))
        scaling.delete_lifecycle_hook(AutoScalingGroupName="boto3-plain", LifecycleHookName="someone-else")
        equal(scaling.describe_lifecycle_hooks(AutoScalingGroupName="boto3-plain")["LifecycleHooks"], [], "the hooks")
    with report.check("a group's name is taken once: AlreadyExists"):
        refused(
            "AlreadyExists", scaling.create_auto_scaling_group,
            AutoScalingGroupName="boto3-plain", MinSize=0, MaxSize=1, LaunchTemplate=template, AvailabilityZones=zones,
        )  # fmt: skip
    with report.check("what cannot be is refused: ValidationError"):
        base = {
            "AutoScalingGroupName": "boto3-wrong", "MinSize": 0, "MaxSize": 1,
            "LaunchTemplate": template, "AvailabilityZones": zones,
        }  # fmt: skip
        for change in (
            {"MinSize": 2},
            {"DesiredCapacity": 2},
            {"AvailabilityZones": [cloud.zone("z")]},
            {"LaunchTemplate": {"LaunchTemplateName": "boto3-missing", "Version": "1"}},
            {"LifecycleHookSpecificationList": [HOOK | {"HeartbeatTimeout": 10}]},
        ):
            refused("ValidationError", scaling.create_auto_scaling_group, **(base | change))
        equal(group_of(scaling, "boto3-wrong"), None, "what was made")
        refused("ValidationError", scaling.set_desired_capacity, AutoScalingGroupName="boto3-plain", DesiredCapacity=7)
        refused(
            "ValidationError", scaling.set_desired_capacity, AutoScalingGroupName="boto3-missing", DesiredCapacity=1
        )
        refused("ValidationError", scaling.update_auto_scaling_group, AutoScalingGroupName="boto3-plain", MinSize=7)
    with report.check("groups are found by tag: filters tag:, tag-key, tag-value"):
        for filters in (
            with_tag("team", "data"),
            [{"Name": "tag-key", "Values": ["team"]}],
            [{"Name": "tag-value", "Values": ["data"]}],
        ):
            found = scaling.describe_auto_scaling_groups(Filters=filters)["AutoScalingGroups"]
            equal([it["AutoScalingGroupName"] for it in found], ["boto3-plain"], str(filters))
        scaling.create_or_update_tags(Tags=[group_tag("boto3-plain", "team", "storage", True)])
        equal(
            scaling.describe_auto_scaling_groups(Filters=with_tag("team", "data"))["AutoScalingGroups"],
            [],
            "by the old tag",
        )

    with report.check("SetDesiredCapacity 6: two instances in each of three zones, in service, with the group's tags"):
        scaling.set_desired_capacity(AutoScalingGroupName="boto3-plain", DesiredCapacity=6)
        now = wait_for_members(scaling, "boto3-plain", 6)
        equal(collections.Counter(it["AvailabilityZone"] for it in now.values()), dict.fromkeys(zones, 2), "the zones")
        for instance, member in now.items():
            seen = instance_of(ec2, instance)
            equal(seen["Placement"]["AvailabilityZone"], member["AvailabilityZone"], f"the zone of {instance}")
            labels = {"aws:autoscaling:groupName": "boto3-plain", "team": "storage"}
            equal({key: tag_map(seen).get(key) for key in (*labels, "private")}, labels | {"private": None}, "its tags")

    def paged(operation, result, size, **parameters):
        pages = scaling.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **parameters)
        return [page[result] for page in pages]

    with report.check("paginator describe_auto_scaling_instances: pages of 2"):
        pages = paged("describe_auto_scaling_instances", "AutoScalingInstances", 2, InstanceIds=list(now))
        equal(([len(page) for page in pages], {it["InstanceId"] for it in sum(pages, [])}), ([2, 2, 2], set(now)))
    with report.check("paginator describe_auto_scaling_groups: pages of 2"):
        names = [f"boto3-empty-{i}" for i in range(5)]
        for name in names:
            scaling.create_auto_scaling_group(
                AutoScalingGroupName=name, MinSize=0, MaxSize=1, LaunchTemplate=template, AvailabilityZones=zones[:1],
                Tags=[group_tag(name, "set", "empty", False)],
            )  # fmt: skip
        pages = paged("describe_auto_scaling_groups", "AutoScalingGroups", 2, Filters=with_tag("set", "empty"))
        equal([len(page) for page in pages], [2, 2, 1], "the pages")
        equal(sorted(it["AutoScalingGroupName"] for it in sum(pages, [])), names, "what was seen")
        for name in names:
            scaling.delete_auto_scaling_group(AutoScalingGroupName=name)
    with report.check("paginator describe_scaling_activities: six launches, successful"):
        pages = paged("describe_scaling_activities", "Activities", 4, AutoScalingGroupName="boto3-plain")
        activities = sum(pages, [])
        equal([it["StatusCode"] for it in activities], ["Successful"] * 6, "the activities")
        true(all(len(page) <= 4 for page in pages), f"the pages hold {[len(page) for page in pages]}")

    with report.check("SetDesiredCapacity 3: one instance stays in each zone, the others terminate"):
        scaling.set_desired_capacity(AutoScalingGroupName="boto3-plain", DesiredCapacity=3)
        before, now = now, wait_for_members(scaling, "boto3-plain", 3)
        true(set(now) < set(before), "other instances than before")
        equal(sorted(it["AvailabilityZone"] for it in now.values()), zones, "the zones")
        for instance in set(before) - set(now):
            eventually(
                f"{instance} is terminated",
                lambda: ((state := instance_of(ec2, instance)["State"]["Name"]) == "terminated", state),
            )

    def replaced(victim, seconds=60):
        """Waits until another instance is in service in the victim's place, in its zone."""
        now = wait_for_members(scaling, "boto3-plain", 3, seconds=seconds, without=[victim])
        equal(sorted(it["AvailabilityZone"] for it in now.values()), zones, "the zones")
        return now

    with report.check("SetInstanceHealth Unhealthy: replaced, in its zone"):
        victim = next(iter(now))
        scaling.set_instance_health(InstanceId=victim, HealthStatus="Unhealthy")
        now = replaced(victim)
    with report.check("TerminateInstanceInAutoScalingGroup, capacity kept: an activity, and a replacement"):
        victim = next(iter(now))
        activity = scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=victim, ShouldDecrementDesiredCapacity=False
        )["Activity"]
        equal(activity["AutoScalingGroupName"], "boto3-plain", "the activity's group")
        now = replaced(victim)
    with report.check("EC2 TerminateInstances behind its back: the group notices, and replaces it"):
        victim = next(iter(now))
        ec2.terminate_instances(InstanceIds=[victim])
        now = replaced(victim)
    with report.check("EC2 StopInstances behind its back: unhealthy as well"):
        victim = next(iter(now))
        ec2.stop_instances(InstanceIds=[victim])
        now = replaced(victim)
    with report.check("TerminateInstanceInAutoScalingGroup, capacity lowered: not replaced"):
        victim = next(iter(now))
        scaling.terminate_instance_in_auto_scaling_group(InstanceId=victim, ShouldDecrementDesiredCapacity=True)
        now = wait_for_members(scaling, "boto3-plain", 2, without=[victim])
        equal(group_of(scaling, "boto3-plain")["DesiredCapacity"], 2, "the desired capacity")
    with report.check("an instance that no group knows: ValidationError"):
        missing = "i-0ffffffffffffffff"
        refused("ValidationError", scaling.set_instance_health, InstanceId=missing, HealthStatus="Unhealthy")
        refused(
            "ValidationError", scaling.terminate_instance_in_auto_scaling_group,
            InstanceId=missing, ShouldDecrementDesiredCapacity=False,
        )  # fmt: skip
        equal(
            scaling.describe_auto_scaling_instances(InstanceIds=[missing])["AutoScalingInstances"], [], "the instances"
        )

    with report.check("SuspendProcesses Launch: nothing is launched until ResumeProcesses"):
        scaling.suspend_processes(AutoScalingGroupName="boto3-plain", ScalingProcesses=["Launch"])
        scaling.set_desired_capacity(AutoScalingGroupName="boto3-plain", DesiredCapacity=3)
        suspended = group_of(scaling, "boto3-plain")["SuspendedProcesses"]
        equal([it["ProcessName"] for it in suspended], ["Launch"], "the suspended processes")
        equal(set(members(scaling, "boto3-plain")), set(now), "the members")
        scaling.resume_processes(AutoScalingGroupName="boto3-plain", ScalingProcesses=["Launch"])
        now = wait_for_members(scaling, "boto3-plain", 3)

    with report.check("a group with instances is deleted by force only: ResourceInUse"):
        refused(
            ("ResourceInUse", "ScalingActivityInProgress"), scaling.delete_auto_scaling_group,
            AutoScalingGroupName="boto3-plain",
        )  # fmt: skip
        delete_group(scaling, "boto3-plain")
