"""Lifecycle hooks that are not ours: configured, and their actions answered, by a person."""

import contextlib
import time

from harness import equal, eventually, meanwhile, quickly, refused, true
from shapes import LAUNCHING, TERMINATING, delete_group, instance_of, launch_template, members, states, wait_for_members


def hooks(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    template = launch_template(ec2, "boto3-hooks")
    name = "boto3-manual"
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=3, DesiredCapacity=0, LaunchTemplate=template,
        AvailabilityZones=[cloud.zone("a")],
    )  # fmt: skip

    def put(hook, **parameters):
        scaling.put_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName=hook, **parameters)

    def described(**parameters):
        found = scaling.describe_lifecycle_hooks(AutoScalingGroupName=name, **parameters)["LifecycleHooks"]
        return {hook["LifecycleHookName"]: hook for hook in found}

    def desired(count):
        scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=count)

    def only(state, seconds=30, without=()):
        """Waits for the group's one instance to be in this state; returns its id."""
        return next(iter(wait_for_members(scaling, name, 1, state, seconds, without)))

    def in_state(instance, state, seconds=30):
        def look():
            member = members(scaling, name).get(instance)
            return member and member["LifecycleState"] == state, member and member["LifecycleState"]

        eventually(f"{instance} is {state}", look, seconds)

    def complete(result="CONTINUE", hook="person", **target):
        return scaling.complete_lifecycle_action(
            AutoScalingGroupName=name, LifecycleHookName=hook, LifecycleActionResult=result, **target
        )

    with report.check("PutLifecycleHook with nothing but a transition: 3,600 s, ABANDON, 48 h at most"):
        put("person", LifecycleTransition=LAUNCHING)
        hook = described()["person"]
        seen = (hook["LifecycleTransition"], hook["HeartbeatTimeout"], hook["DefaultResult"], hook["GlobalTimeout"])
        equal(seen, (LAUNCHING, 3600, "ABANDON", 172800))
    with report.check("PutLifecycleHook again changes it"):
        put("person", LifecycleTransition=LAUNCHING, HeartbeatTimeout=300, NotificationMetadata="x" * 4000)
        hook = described(LifecycleHookNames=["person"])["person"]
        equal((hook["HeartbeatTimeout"], hook["GlobalTimeout"], len(hook["NotificationMetadata"])), (300, 30000, 4000))
    with report.check("hooks out of range are refused: ValidationError"):
        base = {
            "AutoScalingGroupName": name, "LifecycleHookName": "wrong",
            "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 300,
        }  # fmt: skip
        for change in (
            {"HeartbeatTimeout": 29},
            {"HeartbeatTimeout": 7201},
            {"LifecycleTransition": "autoscaling:EC2_INSTANCE_DREAMING"},
            {"DefaultResult": "MAYBE"},
            {"NotificationMetadata": "x" * 4001},
            {"NotificationMetadata": "naïve"},
            {"LifecycleHookName": "a name with spaces"},
            {"AutoScalingGroupName": "boto3-missing"},
        ):
            refused("ValidationError", scaling.put_lifecycle_hook, **(base | change))
        del base["LifecycleTransition"]
        refused("ValidationError", scaling.put_lifecycle_hook, **base)
        equal(set(described()), {"person"}, "the hooks")
        refused("ValidationError", scaling.describe_lifecycle_hooks, AutoScalingGroupName="boto3-missing")

    with report.check("a launching instance waits for its hook in Pending:Wait, running meanwhile"):
        desired(1)
        instance = only("Pending:Wait")
        ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=quickly())
        in_state(instance, "Pending:Wait")
    with report.check("answers that name nothing that waits: ValidationError, No active Lifecycle Action found"):
        for target in (
            {"InstanceId": "i-0ffffffffffffffff"},
            {"LifecycleActionToken": "0" * 8 + "-0000-4000-8000-" + "0" * 12},
        ):
            refusal = refused("ValidationError", complete, **target)
            true("No active Lifecycle Action found" in refusal.message, f"the message is {refusal.message!r}")
            refusal = refused(
                "ValidationError", scaling.record_lifecycle_action_heartbeat,
                AutoScalingGroupName=name, LifecycleHookName="person", **target,
            )  # fmt: skip
            true("No active Lifecycle Action found" in refusal.message, f"the message is {refusal.message!r}")
    with report.check("answers that are none: ValidationError"):
        refused("ValidationError", complete, result="MAYBE", InstanceId=instance)
        refused("ValidationError", complete)
        refused("ValidationError", complete, hook="wrong", InstanceId=instance)
        in_state(instance, "Pending:Wait")
    with report.check("CompleteLifecycleAction CONTINUE by instance id: in service; once more: no active action"):
        complete(InstanceId=instance)
        in_state(instance, "InService")
        refusal = refused("ValidationError", complete, InstanceId=instance)
        true(instance in refusal.message, f"the message is {refusal.message!r}")

    with report.check("a terminate hook holds the instance in Terminating:Wait, running; CONTINUE lets it go"):
        put("farewell", LifecycleTransition=TERMINATING, HeartbeatTimeout=300, DefaultResult="CONTINUE")
        desired(0)
        in_state(instance, "Terminating:Wait")
        equal(instance_of(ec2, instance)["State"]["Name"], "running", "its state in EC2")
        complete(hook="farewell", InstanceId=instance)
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig=quickly())
        wait_for_members(scaling, name, 0)
        scaling.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName="farewell")

    with report.check("ABANDON on launch terminates the instance, and another is launched"):
        desired(1)
        abandoned = only("Pending:Wait")
        complete("ABANDON", InstanceId=abandoned)
        instance = only("Pending:Wait", 60, without=[abandoned])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[abandoned], WaiterConfig=quickly())
        complete(InstanceId=instance)
        in_state(instance, "InService")
    with report.check("two hooks: both must be answered"):
        put("second", LifecycleTransition=LAUNCHING, HeartbeatTimeout=300)
        desired(2)

        def waiting():
            found = [it for it, member in members(scaling, name).items() if member["LifecycleState"] == "Pending:Wait"]
            return len(found) == 1, states(members(scaling, name))

        eventually("one instance waits", waiting)
        other = next(it for it in members(scaling, name) if it != instance)
        complete(InstanceId=other)
        in_state(other, "Pending:Wait")
        complete(hook="second", InstanceId=other)
        in_state(other, "InService")
        scaling.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName="second")
        desired(0)
        wait_for_members(scaling, name, 0)

    heartbeat = 60
    with report.check(
        f"heartbeats keep an action of {heartbeat} s alive for twice its timeout; without them DefaultResult CONTINUE applies"
    ):
        put("person", LifecycleTransition=LAUNCHING, HeartbeatTimeout=heartbeat, DefaultResult="CONTINUE")
        desired(1)
        instance = only("Pending:Wait")

        def alive():
            scaling.record_lifecycle_action_heartbeat(
                AutoScalingGroupName=name, LifecycleHookName="person", InstanceId=instance
            )
            state = members(scaling, name)[instance]["LifecycleState"]
            return state == "Pending:Wait", state

        meanwhile("with heartbeats", alive, 2 * cloud.seconds(heartbeat))
        last = time.monotonic()
        in_state(instance, "InService", cloud.seconds(3 * heartbeat) + 10)
        waited = time.monotonic() - last
        true(waited > 0.8 * cloud.seconds(heartbeat), f"in service already {waited:.1f} s after the last heartbeat")
    with report.check("unanswered, DefaultResult ABANDON replaces the instance"):
        put("person", LifecycleTransition=LAUNCHING, HeartbeatTimeout=30, DefaultResult="ABANDON")
        desired(2)

        def abandoned_one():
            now = members(scaling, name)
            return any(it != instance for it in now), states(now)

        eventually("a second instance", abandoned_one)
        first = next(it for it in members(scaling, name) if it != instance)
        eventually(
            f"{first} is replaced",
            lambda: (first not in (it := members(scaling, name)) and len(it) == 2, states(it)),
            60,
        )
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[first], WaiterConfig=quickly())
    with contextlib.suppress(Exception):
        scaling.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName="person")
    with report.check("DeleteAutoScalingGroup by force takes what waits along"):
        delete_group(scaling, name)
