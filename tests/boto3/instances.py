"""RunInstances to TerminateInstances, and attaching volumes to what lives in between."""

from harness import equal, eventually, quickly, refused, true
from shapes import (
    IMAGE,
    INSTANCE_TYPE,
    create_volume,
    instance_of,
    run_instance,
    tag_map,
    tagged,
    volume_of,
    where,
    with_tag,
)


def attached(ec2, volume, instance):
    """Waits until the volume is attached to this instance."""

    def look():
        attachments = [(it["InstanceId"], it["State"]) for it in volume_of(ec2, volume)["Attachments"]]
        return attachments == [(instance, "attached")], attachments

    eventually(f"{volume} is attached to {instance}", look)


def instances(report, cloud):
    ec2 = cloud.client("ec2")
    zone, other_zone = cloud.zone("a"), cloud.zone("b")

    with report.check("RunInstances: pending in the zone asked for, with tags; waiter instance_running"):
        made = ec2.run_instances(
            ImageId=IMAGE, InstanceType=INSTANCE_TYPE, MinCount=1, MaxCount=1, ClientToken="boto3-run-1",
            Placement={"AvailabilityZone": zone}, TagSpecifications=tagged("instance", {"Name": "one"}),
        )["Instances"][0]  # fmt: skip
        one = made["InstanceId"]
        equal((made["State"]["Name"], made["State"]["Code"]), ("pending", 0), "the state")
        equal((made["Placement"]["AvailabilityZone"], tag_map(made)), (zone, {"Name": "one"}))
        ec2.get_waiter("instance_running").wait(InstanceIds=[one], WaiterConfig=quickly())
        equal(instance_of(ec2, one)["State"], {"Code": 16, "Name": "running"}, "the state")
    with report.check("RunInstances again with the same client token: the same instance; other parameters: refused"):
        request = {
            "ImageId": IMAGE, "InstanceType": INSTANCE_TYPE, "MinCount": 1, "MaxCount": 1, "ClientToken": "boto3-run-1",
            "Placement": {"AvailabilityZone": zone}, "TagSpecifications": tagged("instance", {"Name": "one"}),
        }  # fmt: skip
        equal(ec2.run_instances(**request)["Instances"][0]["InstanceId"], one, "the id")
        refused("IdempotentParameterMismatch", ec2.run_instances, **(request | {"InstanceType": "m7g.xlarge"}))

    volume = create_volume(ec2, zone, {"set": "instances"})
    with report.check("a volume is not attached to an instance that is pending: IncorrectState"):
        two = run_instance(ec2, zone, wait=False)
        refused("IncorrectState", ec2.attach_volume, VolumeId=volume, InstanceId=two, Device="/dev/sdf")
        ec2.get_waiter("instance_running").wait(InstanceIds=[two], WaiterConfig=quickly())

    with report.check("AttachVolume answers attaching; waiter volume_in_use; both sides show it attached"):
        made = ec2.attach_volume(VolumeId=volume, InstanceId=one, Device="/dev/sdf")
        equal(
            (made["State"], made["Device"], made["InstanceId"], made["VolumeId"]),
            ("attaching", "/dev/sdf", one, volume),
        )
        ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume], WaiterConfig=quickly())
        attached(ec2, volume, one)
        seen = volume_of(ec2, volume)
        equal(seen["State"], "in-use", "the volume's state")
        equal(seen["Attachments"][0]["DeleteOnTermination"], False, "DeleteOnTermination")
        mappings = {it["DeviceName"]: it["Ebs"] for it in instance_of(ec2, one)["BlockDeviceMappings"]}
        equal((mappings["/dev/sdf"]["VolumeId"], mappings["/dev/sdf"]["Status"]), (volume, "attached"), "the mapping")
    with report.check(
        "filters attachment.instance-id, attachment.device, attachment.status, attachment.delete-on-termination"
    ):
        for name, value in {
            "attachment.instance-id": one,
            "attachment.device": "/dev/sdf",
            "attachment.status": "attached",
            "attachment.delete-on-termination": "false",
        }.items():
            found = ec2.describe_volumes(Filters=[{"Name": name, "Values": [value]}] + with_tag("set", "instances"))[
                "Volumes"
            ]
            equal([it["VolumeId"] for it in found], [volume], name)
        found = ec2.describe_instances(Filters=[{"Name": "block-device-mapping.volume-id", "Values": [volume]}])
        equal(
            [it["InstanceId"] for r in found["Reservations"] for it in r["Instances"]], [one], "the instance by volume"
        )

    spare, elsewhere = create_volume(ec2, zone), create_volume(ec2, other_zone)
    with report.check("attached already: VolumeInUse, here and elsewhere"):
        refusal = refused("VolumeInUse", ec2.attach_volume, VolumeId=volume, InstanceId=two, Device="/dev/sdf")
        true(volume in refusal.message, f"the message is {refusal.message!r}")
        refused("VolumeInUse", ec2.attach_volume, VolumeId=volume, InstanceId=one, Device="/dev/sdg")
        refused("VolumeInUse", ec2.delete_volume, VolumeId=volume)
    with report.check("another zone: InvalidVolume.ZoneMismatch"):
        refused("InvalidVolume.ZoneMismatch", ec2.attach_volume, VolumeId=elsewhere, InstanceId=one, Device="/dev/sdg")
    with report.check("a device in use: InvalidParameterValue, naming it"):
        refusal = refused("InvalidParameterValue", ec2.attach_volume, VolumeId=spare, InstanceId=one, Device="/dev/sdf")
        true("/dev/sdf" in refusal.message, f"the message is {refusal.message!r}")
    with report.check(
        "attaching what does not exist, or to what does not exist: InvalidVolume.NotFound, InvalidInstanceID.NotFound"
    ):
        missing = {"VolumeId": "vol-0ffffffffffffffff", "InstanceId": "i-0ffffffffffffffff"}
        refused(
            "InvalidVolume.NotFound", ec2.attach_volume, VolumeId=missing["VolumeId"], InstanceId=one, Device="/dev/sdg"
        )
        refused(
            "InvalidInstanceID.NotFound",
            ec2.attach_volume,
            VolumeId=spare,
            InstanceId=missing["InstanceId"],
            Device="/dev/sdg",
        )
        refused("InvalidInstanceID.NotFound", ec2.describe_instances, InstanceIds=[missing["InstanceId"]])
        refused("InvalidVolume.NotFound", ec2.detach_volume, VolumeId=missing["VolumeId"])
    with report.check("attach and detach honour DryRun"):
        refused("DryRunOperation", ec2.attach_volume, VolumeId=spare, InstanceId=one, Device="/dev/sdg", DryRun=True)
        refused("DryRunOperation", ec2.detach_volume, VolumeId=volume, InstanceId=one, DryRun=True)
        equal(volume_of(ec2, spare)["State"], "available", "the state of what was attached dryly")

    with report.check(
        "detaching from the wrong instance: InvalidAttachment.NotFound; what is not attached: IncorrectState"
    ):
        refused("InvalidAttachment.NotFound", ec2.detach_volume, VolumeId=volume, InstanceId=two)
        refused("IncorrectState", ec2.detach_volume, VolumeId=spare)
        refused(("IncorrectState", "InvalidAttachment.NotFound"), ec2.detach_volume, VolumeId=spare, InstanceId=one)
        attached(ec2, volume, one)
    with report.check("DetachVolume answers detaching; then the volume is available, and may go to another instance"):
        made = ec2.detach_volume(VolumeId=volume, InstanceId=one)
        equal((made["State"], made["VolumeId"], made["InstanceId"]), ("detaching", volume, one))
        ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=quickly())
        equal(volume_of(ec2, volume)["Attachments"], [], "the attachments")
        ec2.attach_volume(VolumeId=volume, InstanceId=two, Device="/dev/sdf")
        attached(ec2, volume, two)

    with report.check("StopInstances: stopping, waiter instance_stopped; the volume stays attached; StartInstances"):
        change = ec2.stop_instances(InstanceIds=[two])["StoppingInstances"][0]
        equal((change["PreviousState"]["Name"], change["CurrentState"]["Name"]), ("running", "stopping"), "the change")
        ec2.get_waiter("instance_stopped").wait(InstanceIds=[two], WaiterConfig=quickly())
        equal(instance_of(ec2, two)["State"]["Code"], 80, "the state's code")
        attached(ec2, volume, two)
        change = ec2.start_instances(InstanceIds=[two])["StartingInstances"][0]
        equal((change["PreviousState"]["Name"], change["CurrentState"]["Name"]), ("stopped", "pending"), "the change")
        ec2.get_waiter("instance_running").wait(InstanceIds=[two], WaiterConfig=quickly())
        refused("InvalidInstanceID.NotFound", ec2.stop_instances, InstanceIds=["i-0ffffffffffffffff"])

    with report.check(
        "TerminateInstances: shutting-down, waiter instance_terminated; the volume attached later survives"
    ):
        change = ec2.terminate_instances(InstanceIds=[two])["TerminatingInstances"][0]
        equal(
            (change["PreviousState"]["Name"], change["CurrentState"]["Name"]),
            ("running", "shutting-down"),
            "the change",
        )
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[two], WaiterConfig=quickly())
        ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=quickly())
        equal(instance_of(ec2, two)["State"], {"Code": 48, "Name": "terminated"}, "the state")
    with report.check("terminating once more is no error; starting or attaching to it is"):
        change = ec2.terminate_instances(InstanceIds=[two])["TerminatingInstances"][0]
        equal(change["CurrentState"]["Name"], "terminated", "the state")
        refused(("IncorrectInstanceState", "IncorrectState"), ec2.start_instances, InstanceIds=[two])
        refused(
            ("IncorrectState", "IncorrectInstanceState"),
            ec2.attach_volume,
            VolumeId=volume,
            InstanceId=two,
            Device="/dev/sdf",
        )

    with report.check("ModifyInstanceAttribute sets DeleteOnTermination, and termination then deletes the volume"):
        ec2.attach_volume(VolumeId=spare, InstanceId=one, Device="/dev/sdg")
        attached(ec2, spare, one)
        ec2.modify_instance_attribute(
            InstanceId=one, BlockDeviceMappings=[{"DeviceName": "/dev/sdg", "Ebs": {"DeleteOnTermination": True}}]
        )
        equal(volume_of(ec2, spare)["Attachments"][0]["DeleteOnTermination"], True, "DeleteOnTermination")
        ec2.terminate_instances(InstanceIds=[one])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[one], WaiterConfig=quickly())
        ec2.get_waiter("volume_deleted").wait(VolumeIds=[spare], WaiterConfig=quickly())

    crowd = [
        run_instance(ec2, zone, wait=False, TagSpecifications=tagged("instance", {"set": "crowd"})) for _ in range(12)
    ]
    with report.check("paginator describe_instances: pages of 5, nothing twice, nothing left out"):
        pages = list(
            ec2.get_paginator("describe_instances").paginate(
                Filters=with_tag("set", "crowd"), PaginationConfig={"PageSize": 5}
            )
        )
        found = [[it["InstanceId"] for r in page["Reservations"] for it in r["Instances"]] for page in pages]
        sizes = [len(page) for page in found]
        true(max(sizes) <= 5 and len(pages) >= 3, f"the pages hold {sizes}")
        equal(sorted(sum(found, [])), sorted(crowd), "what was seen")
    with report.check("filters instance-state-name, availability-zone, instance-type, instance-id"):
        ec2.get_waiter("instance_running").wait(InstanceIds=crowd, WaiterConfig=quickly())
        ec2.terminate_instances(InstanceIds=crowd[:6])

        def found(**filters):
            answer = ec2.describe_instances(Filters=where(**filters) + with_tag("set", "crowd"))
            return {it["InstanceId"] for r in answer["Reservations"] for it in r["Instances"]}

        equal(found(instance_state_name=["pending", "running"]), set(crowd[6:]), "by state")
        equal(found(availability_zone=zone, instance_type=INSTANCE_TYPE), set(crowd), "by zone and type")
        equal(found(instance_id=crowd[3]), {crowd[3]}, "by id")
        refused("InvalidParameterValue", ec2.describe_instances, Filters=where(colour="green"))
    ec2.terminate_instances(InstanceIds=crowd)
    for leftover in (volume, elsewhere):
        ec2.delete_volume(VolumeId=leftover)
