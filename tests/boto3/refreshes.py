"""Instance refreshes and maintenance policies: who goes first, and how far the numbers move meanwhile."""

from harness import equal, eventually, refused, true
from shapes import delete_group, group_of, launch_template, members, wait_for_members

SIZE = 3


def refresh_of(scaling, group, refresh):
    found = scaling.describe_instance_refreshes(AutoScalingGroupName=group, InstanceRefreshIds=[refresh])
    return found["InstanceRefreshes"][0]


def refreshes(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    group = "boto3-refreshed"
    template = launch_template(ec2, group)
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=group, MinSize=0, MaxSize=SIZE, DesiredCapacity=SIZE, LaunchTemplate=template,
        AvailabilityZones=[cloud.zone("a")],
    )  # fmt: skip
    now = wait_for_members(scaling, group, SIZE)

    def ends(refresh, status):
        """Waits for the refresh to end so; the fewest and the most instances in service that were seen meanwhile."""
        serving = []

        def look():
            seen = refresh_of(scaling, group, refresh)
            states = [it["LifecycleState"] for it in members(scaling, group).values()]
            serving.append(states.count("InService"))
            return seen["Status"] == status, seen

        return eventually(f"the refresh is {status}", look, 60), min(serving), max(serving)

    def start(**preferences):
        return scaling.start_instance_refresh(AutoScalingGroupName=group, Preferences=preferences)["InstanceRefreshId"]

    with report.check("CancelInstanceRefresh without one: ActiveInstanceRefreshNotFound"):
        refused("ActiveInstanceRefreshNotFound", scaling.cancel_instance_refresh, AutoScalingGroupName=group)
        equal(
            scaling.describe_instance_refreshes(AutoScalingGroupName=group)["InstanceRefreshes"], [], "the refreshes"
        )
    with report.check("StartInstanceRefresh, at least 0 percent: every instance is terminated, then replaced"):
        refresh = start(MinHealthyPercentage=0, MaxHealthyPercentage=100)
        seen = refresh_of(scaling, group, refresh)
        true(seen["Status"] in ("Pending", "InProgress"), f"its status is {seen['Status']}")
        equal((seen["AutoScalingGroupName"], seen["PercentageComplete"]), (group, 0))
        true("StartTime" in seen and "EndTime" not in seen, f"its times are wrong: {seen}")
        refused("InstanceRefreshInProgress", scaling.start_instance_refresh, AutoScalingGroupName=group)
        seen, fewest, most = ends(refresh, "Successful")
        equal((seen["PercentageComplete"], seen["InstancesToUpdate"]), (100, 0), "its progress")
        wanted = {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100, "SkipMatching": False}
        equal({key: seen["Preferences"].get(key) for key in wanted}, wanted, "its preferences")
        true(fewest < SIZE and most <= SIZE, f"between {fewest} and {most} were in service")
        now = wait_for_members(scaling, group, SIZE, without=now)
    with report.check("StartInstanceRefresh, 100 to 200 percent: never fewer in service than are wanted"):
        refresh = start(MinHealthyPercentage=100, MaxHealthyPercentage=200)
        _, fewest, _ = ends(refresh, "Successful")
        true(fewest >= SIZE, f"only {fewest} were in service")
        now = wait_for_members(scaling, group, SIZE, without=now)
    with report.check("SkipMatching: nothing is replaced where the launch template is the same"):
        ends(start(SkipMatching=True), "Successful")
        equal(set(members(scaling, group)), set(now), "the instances")
    with report.check("CancelInstanceRefresh: Cancelling, then Cancelled; the last ones stay"):
        refresh = start(MinHealthyPercentage=90, InstanceWarmup=600)
        eventually("a replacement comes", lambda: ((set(members(scaling, group)) - set(now)), members(scaling, group)))
        equal(scaling.cancel_instance_refresh(AutoScalingGroupName=group)["InstanceRefreshId"], refresh, "the id")
        true(refresh_of(scaling, group, refresh)["Status"] in ("Cancelling", "Cancelled"), "it goes on")
        seen, _, _ = ends(refresh, "Cancelled")
        true(seen["EndTime"] >= seen["StartTime"], f"its times are wrong: {seen}")
        left = wait_for_members(scaling, group, SIZE)
        equal(len(set(left) & set(now)), SIZE - 1, "how many of the old ones stay")
        now = left
    with report.check("preferences that cannot be, or that this cloud does not model, are refused"):
        for preferences in (
            {"MaxHealthyPercentage": 150},
            {"MinHealthyPercentage": 20, "MaxHealthyPercentage": 150},
            {"AutoRollback": True},
            {"BakeTime": 60},
        ):
            refused(
                "ValidationError", scaling.start_instance_refresh, AutoScalingGroupName=group, Preferences=preferences
            )
        refused(
            "ValidationError", scaling.start_instance_refresh, AutoScalingGroupName=group, Strategy="ReplaceRootVolume"
        )
        refused(
            "UnknownParameter", scaling.start_instance_refresh,
            AutoScalingGroupName=group, Preferences={"CheckpointPercentages": [50, 100]},
        )  # fmt: skip
    with report.check("DescribeInstanceRefreshes: the latest first, in pages of 2 by their token"):
        first = scaling.describe_instance_refreshes(AutoScalingGroupName=group, MaxRecords=2)
        rest = scaling.describe_instance_refreshes(
            AutoScalingGroupName=group, MaxRecords=2, NextToken=first["NextToken"]
        )
        pages = [[it["InstanceRefreshId"] for it in page["InstanceRefreshes"]] for page in (first, rest)]
        equal(([len(page) for page in pages], pages[0][0]), ([2, 2], refresh), "the pages")
        equal((len(set(sum(pages, []))), "NextToken" in rest), (4, False), "what was seen, and more")

    def maintenance():
        return group_of(scaling, group).get("InstanceMaintenancePolicy")

    with report.check("UpdateAutoScalingGroup with an instance maintenance policy: shown; -1 and -1 clear it"):
        equal(maintenance(), None, "the policy")
        for policy in ({"MinHealthyPercentage": 101, "MaxHealthyPercentage": 110}, {"MinHealthyPercentage": 100}):
            refused(
                "ValidationError", scaling.update_auto_scaling_group,
                AutoScalingGroupName=group, InstanceMaintenancePolicy=policy,
            )  # fmt: skip
        policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
        scaling.update_auto_scaling_group(AutoScalingGroupName=group, InstanceMaintenancePolicy=policy)
        equal(maintenance(), policy, "the policy")
    with report.check("with it, an unhealthy instance stays in service until its replacement is"):
        victim = next(iter(now))
        scaling.set_instance_health(InstanceId=victim, HealthStatus="Unhealthy")

        def replaced():
            seen = {it: member["LifecycleState"] for it, member in members(scaling, group).items()}
            serving = list(seen.values()).count("InService")
            true(serving >= SIZE, f"only {serving} are in service: {seen}")
            return victim not in seen, seen

        eventually(f"{victim} is gone", replaced, 60)
        wait_for_members(scaling, group, SIZE, without=[victim])
    with report.check("cleared, and the next refresh has the usual 90 percent"):
        cleared = {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1}
        scaling.update_auto_scaling_group(AutoScalingGroupName=group, InstanceMaintenancePolicy=cleared)
        equal(maintenance(), None, "the policy")
        seen = refresh_of(scaling, group, start(SkipMatching=True))
        equal(seen["Preferences"]["MinHealthyPercentage"], 90, "the minimum")
    delete_group(scaling, group)
