"""Instances that people move: on standby and back, out of a group, into one, and into and out of its warm pool."""

from harness import equal, eventually, refused, true
from shapes import (
    delete_group,
    group_of,
    instance_of,
    launch_template,
    members,
    run_instance,
    states,
    tag_map,
    wait_for_members,
)


def plain_group(ec2, scaling, name, zone, desired, largest):
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=largest, DesiredCapacity=desired,
        LaunchTemplate=launch_template(ec2, name), AvailabilityZones=[zone],
    )  # fmt: skip
    return wait_for_members(scaling, name, desired)


def moving(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    group, zone = "boto3-moved", cloud.zone("a")
    now = plain_group(ec2, scaling, group, zone, 2, 3)
    one, two = now
    named = {"AutoScalingGroupName": group}

    def in_state(instance, state):
        def look():
            seen = members(scaling, group).get(instance, {}).get("LifecycleState")
            return seen == state, seen

        eventually(f"{instance} is {state}", look)

    def desired():
        return group_of(scaling, group)["DesiredCapacity"]

    with report.check("EnterStandby, capacity lowered: an activity; it runs on, and nobody takes its place"):
        activities = scaling.enter_standby(**named, InstanceIds=[one], ShouldDecrementDesiredCapacity=True)
        true(one in activities["Activities"][0]["Description"], f"the activity is {activities['Activities'][0]}")
        in_state(one, "Standby")
        equal((desired(), set(members(scaling, group))), (1, {one, two}), "capacity and members")
        equal(instance_of(ec2, one)["State"]["Name"], "running", "its state")
    with report.check("what is on standby is not put there again, and what is in service is not brought back"):
        refused(
            "ValidationError", scaling.enter_standby, **named, InstanceIds=[one], ShouldDecrementDesiredCapacity=True
        )
        refused("ValidationError", scaling.exit_standby, **named, InstanceIds=[two])
    with report.check("ExitStandby: in service again, capacity raised"):
        scaling.exit_standby(**named, InstanceIds=[one])
        in_state(one, "InService")
        equal(desired(), 2, "the desired capacity")
    with report.check("DetachInstances, capacity lowered: it lives on outside the group, without the group's tag"):
        equal(tag_map(instance_of(ec2, one)).get("aws:autoscaling:groupName"), group, "the tag")
        scaling.detach_instances(**named, InstanceIds=[one], ShouldDecrementDesiredCapacity=True)
        eventually(f"{one} is no member", lambda: (one not in (it := members(scaling, group)), states(it)))
        equal((instance_of(ec2, one)["State"]["Name"], desired()), ("running", 1), "its state and the capacity")
        equal(tag_map(instance_of(ec2, one)).get("aws:autoscaling:groupName"), None, "the tag")
        refused(
            "ValidationError", scaling.detach_instances, **named, InstanceIds=[one], ShouldDecrementDesiredCapacity=True
        )
    with report.check("AttachInstances: in service, capacity raised; a member of a group is not attached again"):
        scaling.attach_instances(**named, InstanceIds=[one])
        in_state(one, "InService")
        equal(desired(), 2, "the desired capacity")
        refused("ValidationError", scaling.attach_instances, **named, InstanceIds=[one])
    with report.check("AttachInstances past the maximum, or from another zone: ValidationError"):
        strangers = [run_instance(ec2, zone), run_instance(ec2, zone)]
        refused("ValidationError", scaling.attach_instances, **named, InstanceIds=strangers)
        elsewhere = run_instance(ec2, cloud.zone("b"))
        refused("ValidationError", scaling.attach_instances, **named, InstanceIds=[elsewhere])
        ec2.terminate_instances(InstanceIds=[*strangers, elsewhere])
    delete_group(scaling, group)


def warm_pools(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    group = "boto3-warm"
    plain_group(ec2, scaling, group, cloud.zone("a"), 1, 3)
    named = {"AutoScalingGroupName": group}

    def pooled(count, state):
        """Waits until the pool is exactly this many instances, all in this state."""

        def look():
            found = {it["InstanceId"]: it for it in scaling.describe_warm_pool(**named)["Instances"]}
            reached = len(found) == count and all(it["LifecycleState"] == state for it in found.values())
            return reached, found if reached else states(found)

        return eventually(f"{count} in the warm pool, {state}", look, 60)

    with report.check("DescribeWarmPool of a group without one: nothing"):
        found = scaling.describe_warm_pool(**named)
        equal((found["Instances"], found.get("WarmPoolConfiguration")), ([], None), "the pool")
        refused("ValidationError", scaling.delete_warm_pool, **named)
    with report.check("PutWarmPool: filled beside the group, its instances stopped; its configuration is shown"):
        scaling.put_warm_pool(**named, MaxGroupPreparedCapacity=2, InstanceReusePolicy={"ReuseOnScaleIn": True})
        warm = next(iter(pooled(1, "Warmed:Stopped")))
        equal(instance_of(ec2, warm)["State"]["Name"], "stopped", "its state")
        configuration = scaling.describe_warm_pool(**named)["WarmPoolConfiguration"]
        wanted = {
            "MaxGroupPreparedCapacity": 2, "MinSize": 0, "PoolState": "Stopped",
            "InstanceReusePolicy": {"ReuseOnScaleIn": True},
        }  # fmt: skip
        equal(configuration, wanted, "the configuration")
        shown = group_of(scaling, group)
        equal((shown["WarmPoolConfiguration"], shown["WarmPoolSize"]), (wanted, 1), "what the group shows")
        true(warm not in members(scaling, group), "it is listed in the group")
    with report.check("SetDesiredCapacity 2: the instance comes out of the pool, started"):
        scaling.set_desired_capacity(**named, DesiredCapacity=2)
        now = wait_for_members(scaling, group, 2)
        true(warm in now, f"another one came: {states(now)}")
        equal(instance_of(ec2, warm)["State"]["Name"], "running", "its state")
    with report.check("SetDesiredCapacity 1, reused on scale-in: one goes back to the pool and is stopped"):
        scaling.set_desired_capacity(**named, DesiredCapacity=1)
        back = next(iter(pooled(1, "Warmed:Stopped")))
        true(back in now, f"{back} has never been in service")
        wait_for_members(scaling, group, 1)
    with report.check("a pool with instances is deleted by force only: ResourceInUse; the group stays"):
        refused(("ResourceInUse", "ScalingActivityInProgress"), scaling.delete_warm_pool, **named)
        scaling.delete_warm_pool(**named, ForceDelete=True)
        eventually(
            "the pool is gone",
            lambda: ("WarmPoolConfiguration" not in (it := scaling.describe_warm_pool(**named)), it),
            60,
        )
        wait_for_members(scaling, group, 1)
    delete_group(scaling, group)
