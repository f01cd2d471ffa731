"""What the sections have in common: requests, filters and looks at the cloud."""

from harness import eventually, quickly

IMAGE = "ami-0123456789abcdef0"
INSTANCE_TYPE = "m7g.large"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
INVALID_PARAMETER = ("InvalidParameterValue", "InvalidParameterCombination", "InvalidParameter")


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def tag_map(resource):
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


def tagged(kind, pairs):
    """A TagSpecifications that tags this kind of resource."""
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in pairs.items()]}]


def where(**filters):
    """Filters by name; an underscore stands for the dash."""
    return [
        {"Name": name.replace("_", "-"), "Values": values if isinstance(values, list) else [values]}
        for name, values in filters.items()
    ]


def with_tag(key, *values):
    return [{"Name": f"tag:{key}", "Values": list(values)}]


def create_volume(ec2, zone, pairs=None, wait=True, **parameters):
    """A gp3 volume of 10 GiB, available; returns its id."""
    request = {"AvailabilityZone": zone, "Size": 10, "VolumeType": "gp3"} | parameters
    if pairs:
        request["TagSpecifications"] = tagged("volume", pairs)
    volume = ec2.create_volume(**request)["VolumeId"]
    if wait:
        ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=quickly())
    return volume


def run_instance(ec2, zone, wait=True, **parameters):
    """One instance in this zone, running; returns its id."""
    request = {
        "ImageId": IMAGE,
        "InstanceType": INSTANCE_TYPE,
        "MinCount": 1,
        "MaxCount": 1,
        "Placement": {"AvailabilityZone": zone},
    } | parameters
    instance = ec2.run_instances(**request)["Instances"][0]["InstanceId"]
    if wait:
        ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=quickly())
    return instance


def volume_of(ec2, volume):
    return ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]


def instance_of(ec2, instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]


def launch_template(ec2, name):
    """A launch template by this name; returns it as a group wants it."""
    ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": IMAGE, "InstanceType": INSTANCE_TYPE}
    )
    return {"LaunchTemplateName": name, "Version": "$Latest"}


def group_of(scaling, name):
    groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return groups[0] if groups else None


def members(scaling, name):
    """The instances of a group: `{id: member}`."""
    group = group_of(scaling, name)
    return {member["InstanceId"]: member for member in group["Instances"]} if group else {}


def states(instances):
    return {instance: f"{it['LifecycleState']} {it['AvailabilityZone']}" for instance, it in instances.items()}


def wait_for_members(scaling, name, count, state="InService", seconds=30, without=()):
    """Waits until the group is exactly this many instances, all in this state, none of them of `without`."""

    def look():
        now = members(scaling, name)
        reached = (
            len(now) == count
            and all(member["LifecycleState"] == state for member in now.values())
            and not set(now) & set(without)
        )
        return reached, now if reached else states(now)

    return eventually(f"{count} of group {name} in {state}", look, seconds)


def delete_group(scaling, name, seconds=60):
    """Deletes a group with its instances, and waits until it is gone."""
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)

    def gone():
        group = group_of(scaling, name)
        return group is None, group and (group.get("Status"), states(members(scaling, name)))

    eventually(f"group {name} is deleted", gone, seconds)
