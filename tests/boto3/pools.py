"""What this project is for: volumes that stay when instances go."""

import collections
import json
import time

from harness import equal, eventually, refused, true
from shapes import (
    LAUNCHING,
    TERMINATING,
    create_volume,
    delete_group,
    instance_of,
    launch_template,
    members,
    states,
    tag_map,
    wait_for_members,
    with_tag,
)


def enrolled_group(scaling, name, zones, template, pool, desired, largest, **policy):
    """A group with both hooks and the tag of its pool."""
    policy = {"pool": pool} | policy
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=largest, DesiredCapacity=desired, LaunchTemplate=template,
        AvailabilityZones=zones,
        Tags=[
            {
                "ResourceId": name, "ResourceType": "auto-scaling-group",
                "Key": "stateful-asg:pool", "Value": pool, "PropagateAtLaunch": False,
            }
        ],
        LifecycleHookSpecificationList=[
            {
                "LifecycleHookName": "stateful-asg-launch", "LifecycleTransition": LAUNCHING,
                "HeartbeatTimeout": 3600, "DefaultResult": "ABANDON", "NotificationMetadata": json.dumps(policy),
            },
            {
                "LifecycleHookName": "stateful-asg-terminate", "LifecycleTransition": TERMINATING,
                "HeartbeatTimeout": 3600, "DefaultResult": "CONTINUE",
            },
        ],
    )  # fmt: skip


def pool_volumes(ec2, pool):
    return {it["VolumeId"]: it for it in ec2.describe_volumes(Filters=with_tag("stateful-asg:pool", pool))["Volumes"]}


def held(ec2, pool):
    """Which instance each volume of the pool is attached to: `{volume: instance}`."""
    holders = {}
    for volume, it in pool_volumes(ec2, pool).items():
        attached = [a["InstanceId"] for a in it["Attachments"] if a["State"] == "attached"]
        if len(it["Attachments"]) > 1:
            raise AssertionError(f"{volume} has {len(it['Attachments'])} attachments")
        if attached:
            holders[volume] = attached[0]
    return holders


def three_zones(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    zones = [cloud.zone(letter) for letter in "abc"]
    pool = group = "boto3-story"
    template = launch_template(ec2, "boto3-story")
    home = {create_volume(ec2, zone, {"stateful-asg:pool": pool, "Name": f"data-{zone}"}): zone for zone in zones}

    def settled(count=3, seconds=60, without=()):
        """Waits for the group to be in service, and returns `{volume: instance}`: each in its zone, one for one."""
        now = wait_for_members(scaling, group, count, seconds=seconds, without=without)
        holders = held(ec2, pool)
        equal(sorted(holders.values()), sorted(now), "the instances that hold a volume")
        equal({volume: now[instance]["AvailabilityZone"] for volume, instance in holders.items()},
              {volume: home[volume] for volume in holders}, "the zones of the volumes")  # fmt: skip
        equal(set(pool_volumes(ec2, pool)), set(home), "the volumes of the pool")
        return holders

    with report.check("three zones, three tagged volumes, a group of three: each instance gets the volume of its zone"):
        enrolled_group(scaling, group, zones, template, pool, 3, 3)
        holders = settled()
    with report.check("the volumes outlive their instances: DeleteOnTermination is false"):
        for volume, it in pool_volumes(ec2, pool).items():
            equal([a["DeleteOnTermination"] for a in it["Attachments"]], [False], volume)
    with report.check("the instances know who they are: tags stateful-asg:slot, :index, :volume:<name>"):
        slots = {}
        for volume, instance in holders.items():
            labels = tag_map(instance_of(ec2, instance))
            slots[volume] = labels.get("stateful-asg:slot")
            equal(slots[volume], f"{pool}-{labels.get('stateful-asg:index')}", f"the slot of {instance}")
            equal(labels.get("stateful-asg:volume:data"), volume, f"the volume tag of {instance}")
        equal(sorted(slots.values()), [f"{pool}-{i}" for i in range(3)], "the slots")

    def fails(victim, kill):
        """Kills an instance and waits for its replacement, which must hold that very volume."""
        before = settled()
        volume = next(it for it, instance in before.items() if instance == victim)
        kill(victim)
        after = settled(without=[victim])
        equal(
            {it: after[it] for it in after if it != volume},
            {it: before[it] for it in before if it != volume},
            "the others",
        )
        true(after[volume] != victim, f"{volume} is still held by {victim}")
        equal(tag_map(instance_of(ec2, after[volume])).get("stateful-asg:slot"), slots[volume], "its slot")
        return after

    for title, kill in (
        ("an instance turns unhealthy", lambda it: scaling.set_instance_health(InstanceId=it, HealthStatus="Unhealthy")),
        ("TerminateInstanceInAutoScalingGroup", lambda it: scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=it, ShouldDecrementDesiredCapacity=False)),
        ("EC2 TerminateInstances", lambda it: ec2.terminate_instances(InstanceIds=[it])),
        ("EC2 StopInstances", lambda it: ec2.stop_instances(InstanceIds=[it])),
    ):  # fmt: skip
        with report.check(f"{title}: its replacement holds that very volume, the others are untouched"):
            victims = sorted(holders.items(), key=lambda pair: home[pair[0]])
            holders = fails(victims[1][1], kill)
    with report.check("all three fail at once: each zone's replacement holds its zone's volume"):
        victims = list(holders.values())
        for victim in victims:
            scaling.set_instance_health(InstanceId=victim, HealthStatus="Unhealthy")
        holders = settled(seconds=90, without=victims)
    with report.check("capacity 0: all volumes are available; capacity 3: they are held again, in their zones"):
        scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
        wait_for_members(scaling, group, 0, seconds=60)
        equal({it["State"] for it in pool_volumes(ec2, pool).values()}, {"available"}, "the volumes' states")
        scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=3)
        holders = settled()
    with report.check("deleting the group leaves the volumes"):
        delete_group(scaling, group)

        def available():
            seen = {volume: it["State"] for volume, it in pool_volumes(ec2, pool).items()}
            return seen == dict.fromkeys(home, "available"), seen

        eventually("the volumes are available", available)


def crowd(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    zone, pool, size = cloud.zone("b"), "boto3-crowd", 20
    template = launch_template(ec2, "boto3-crowd")
    volumes = {create_volume(ec2, zone, {"stateful-asg:pool": pool}, wait=False) for _ in range(size)}

    def all_in_service():
        now = wait_for_members(scaling, pool, size, seconds=60)
        holders = held(ec2, pool)
        equal(set(holders), volumes, "the volumes that are held")
        equal(sorted(holders.values()), sorted(now), "the instances that hold one")
        equal(set(pool_volumes(ec2, pool)), volumes, "the volumes of the pool")
        counts = collections.Counter(tag_map(instance_of(ec2, it)).get("stateful-asg:slot") for it in now)
        equal(len(counts), size, "the number of distinct slots")
        return now

    with report.check(f"{size} launches at once onto {size} volumes of one zone: {size} distinct volumes, none made"):
        enrolled_group(scaling, pool, [zone], template, pool, 0, size)
        eventually(
            "the volumes are available",
            lambda: ((seen := {it["State"] for it in pool_volumes(ec2, pool).values()}) == {"available"}, seen),
        )
        started = time.monotonic()
        scaling.set_desired_capacity(AutoScalingGroupName=pool, DesiredCapacity=size)
        now = all_in_service()
        took = time.monotonic() - started
    print(f"        (in service after {took:.1f} s)", flush=True)
    with report.check("five of them fail at once: the five volumes find five new instances"):
        victims = list(now)[:5]
        for victim in victims:
            scaling.set_instance_health(InstanceId=victim, HealthStatus="Unhealthy")
        eventually("the five are gone", lambda: (not (left := set(victims) & set(members(scaling, pool))), left), 60)
        all_in_service()
    delete_group(scaling, pool)


def answered_by_token(report, cloud):
    ec2, scaling, dynamodb = cloud.client("ec2"), cloud.client("autoscaling"), cloud.client("dynamodb")
    pool = group = "boto3-empty"
    template = launch_template(ec2, "boto3-empty")

    with report.check("a pool without volumes that must not grow: the launch waits"):
        enrolled_group(scaling, group, [cloud.zone("a")], template, pool, 1, 1, whenEmpty="wait")
        instance = next(iter(wait_for_members(scaling, group, 1, "Pending:Wait")))

        def claimed():
            found = [
                it for page in dynamodb.get_paginator("scan").paginate(TableName=cloud.variables["STATEFUL_ASG_TABLE"])
                for it in page["Items"] if it["pk"].get("S") == f"INSTANCE#{instance}"
            ]  # fmt: skip
            return found, found

        claim = eventually("its claim is on record", claimed)[0]
        equal(states(members(scaling, group)), {instance: f"Pending:Wait {cloud.zone('a')}"})
    with report.check("CompleteLifecycleAction by the token that its event carried: in service; once more: refused"):
        token = token_of(claim)
        answer = {
            "AutoScalingGroupName": group, "LifecycleHookName": "stateful-asg-launch",
            "LifecycleActionResult": "CONTINUE", "LifecycleActionToken": token,
        }  # fmt: skip
        scaling.record_lifecycle_action_heartbeat(
            AutoScalingGroupName=group, LifecycleHookName="stateful-asg-launch", LifecycleActionToken=token
        )
        scaling.complete_lifecycle_action(**answer)
        wait_for_members(scaling, group, 1)
        refusal = refused("ValidationError", scaling.complete_lifecycle_action, **answer)
        true(token in refusal.message, f"the message is {refusal.message!r}")
    delete_group(scaling, group)


def token_of(value):
    """The lifecycle action's token, wherever in this item it is."""
    if "M" in value:
        value = value["M"]
    if not isinstance(value, dict):
        return None
    for name, inner in value.items():
        if name == "token" and isinstance(inner, dict) and "S" in inner:
            return inner["S"]
        if isinstance(inner, dict) and (found := token_of(inner)):
            return found
    return None
