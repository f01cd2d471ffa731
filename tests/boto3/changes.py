"""What changes while an instance runs: its volumes' shape, its root volume, and what Systems Manager does on it."""

from harness import equal, eventually, quickly, refused, true
from instances import attached
from shapes import IMAGE, create_volume, instance_of, run_instance, tagged, volume_of, where


def modifications(report, cloud):
    ec2 = cloud.client("ec2")
    volume = create_volume(ec2, cloud.zone("a"))

    def modification():
        return ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"][0]

    with report.check("ModifyVolume: modifying, with what the volume was and what it is to be"):
        made = ec2.modify_volume(VolumeId=volume, Size=20, Iops=4000)["VolumeModification"]
        equal((made["VolumeId"], made["ModificationState"], made["Progress"]), (volume, "modifying", 0))
        equal((made["OriginalSize"], made["TargetSize"], made["TargetIops"]), (10, 20, 4000))
    with report.check("a second one before the first is done: IncorrectModificationState"):
        refused("IncorrectModificationState", ec2.modify_volume, VolumeId=volume, Size=30)
    with report.check("optimizing: the volume has its new size, and can be attached"):
        eventually(
            "it is optimizing",
            lambda: ((seen := modification()["ModificationState"]) in ("optimizing", "completed"), seen),
        )
        now = volume_of(ec2, volume)
        equal((now["Size"], now["Iops"], now["State"]), (20, 4000, "available"), "the volume")
    with report.check("found by its state; paginator describe_volumes_modifications"):
        pages = ec2.get_paginator("describe_volumes_modifications").paginate(
            Filters=where(modification_state=["optimizing", "completed"], volume_id=volume)
        )
        found = [(it["VolumeId"], it["TargetSize"]) for page in pages for it in page["VolumesModifications"]]
        equal(found, [(volume, 20)], "what was found")
    with report.check("smaller, beyond its type, or of nothing: refused"):
        volume = create_volume(ec2, cloud.zone("a"))
        refused("InvalidParameterValue", ec2.modify_volume, VolumeId=volume, Size=9)
        refused("InvalidParameterValue", ec2.modify_volume, VolumeId=volume, Iops=1)
        refused("InvalidVolume.NotFound", ec2.modify_volume, VolumeId="vol-0ffffffffffffffff", Size=10)


def root_volumes(report, cloud):
    ec2 = cloud.client("ec2")
    zone = cloud.zone("a")
    instance, data = run_instance(ec2, zone), create_volume(ec2, zone)
    ec2.attach_volume(VolumeId=data, InstanceId=instance, Device="/dev/sdf")
    attached(ec2, data, instance)
    since = volume_of(ec2, data)["Attachments"][0]["AttachTime"]

    def devices():
        return {it["DeviceName"]: it["Ebs"]["VolumeId"] for it in instance_of(ec2, instance)["BlockDeviceMappings"]}

    root = instance_of(ec2, instance)["RootDeviceName"]
    before = devices()

    def succeeds(task):
        def look():
            found = ec2.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=[task])
            seen = found["ReplaceRootVolumeTasks"][0]
            equal(instance_of(ec2, instance)["State"]["Name"], "running", "the instance")
            return seen["TaskState"] == "succeeded", seen

        return eventually(f"{task} has succeeded", look)

    with report.check("CreateReplaceRootVolumeTask: pending; one at a time; one token, one task"):
        request = {
            "InstanceId": instance, "ImageId": IMAGE, "ClientToken": "boto3-root-1",
            "TagSpecifications": tagged("replace-root-volume-task", {"why": "patch"}),
        }  # fmt: skip
        made = ec2.create_replace_root_volume_task(**request)["ReplaceRootVolumeTask"]
        equal((made["InstanceId"], made["TaskState"], made["ImageId"]), (instance, "pending", IMAGE))
        again = ec2.create_replace_root_volume_task(**request)["ReplaceRootVolumeTask"]
        equal(again["ReplaceRootVolumeTaskId"], made["ReplaceRootVolumeTaskId"], "the task")
    with report.check("succeeded: another root volume; the old one is available, the data volume attached as it was"):
        seen = succeeds(made["ReplaceRootVolumeTaskId"])
        equal((seen["Tags"], seen["DeleteReplacedRootVolume"]), ([{"Key": "why", "Value": "patch"}], False))
        after = devices()
        true(after[root] != before[root], "it is the same root volume")
        equal(after["/dev/sdf"], data, "the data volume")
        equal(volume_of(ec2, before[root])["State"], "available", "the old root volume")
        attachment = volume_of(ec2, data)["Attachments"][0]
        equal((attachment["State"], attachment["AttachTime"]), ("attached", since), "the data volume's attachment")
    with report.check("DeleteReplacedRootVolume: the old one is deleted; paginator describe_replace_root_volume_tasks"):
        made = ec2.create_replace_root_volume_task(InstanceId=instance, DeleteReplacedRootVolume=True)
        succeeds(made["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"])
        ec2.get_waiter("volume_deleted").wait(VolumeIds=[after[root]], WaiterConfig=quickly())
        pages = ec2.get_paginator("describe_replace_root_volume_tasks").paginate(
            Filters=where(instance_id=instance), PaginationConfig={"PageSize": 1}
        )
        equal([len(page["ReplaceRootVolumeTasks"]) for page in pages], [1, 1], "the pages")
    with report.check("of an instance that is unknown or does not run, or from a snapshot: refused"):
        refused("InvalidInstanceID.NotFound", ec2.create_replace_root_volume_task, InstanceId="i-0ffffffffffffffff")
        refused(
            "InvalidSnapshot.NotFound", ec2.create_replace_root_volume_task,
            InstanceId=instance, SnapshotId="snap-0123456789abcdef0",
        )  # fmt: skip
        ec2.terminate_instances(InstanceIds=[instance])
        refused(
            ("IncorrectState", "IncorrectInstanceState"), ec2.create_replace_root_volume_task, InstanceId=instance
        )


def commands(report, cloud):
    ec2, ssm = cloud.client("ec2"), cloud.client("ssm")
    instance = run_instance(ec2, cloud.zone("a"))
    request = {
        "DocumentName": "AWS-RunShellScript", "InstanceIds": [instance],
        "Parameters": {"commands": ["systemctl stop cassandra"]},
    }  # fmt: skip

    with report.check("SendCommand: pending; waiter command_executed; GetCommandInvocation shows success"):
        made = ssm.send_command(**request, Comment="drain")["Command"]
        command = made["CommandId"]
        equal((made["Status"], made["InstanceIds"], made["Comment"]), ("Pending", [instance], "drain"))

        # A waiter gives up on InvocationDoesNotExist, which a command that is quite new answers with.
        def shown():
            found = ssm.list_command_invocations(CommandId=command)["CommandInvocations"]
            return found, found

        eventually("the invocation is shown", shown)
        ssm.get_waiter("command_executed").wait(CommandId=command, InstanceId=instance, WaiterConfig=quickly())
        seen = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        equal((seen["Status"], seen["StatusDetails"], seen["ResponseCode"]), ("Success", "Success", 0))
        equal((seen["DocumentName"], seen["Comment"]), ("AWS-RunShellScript", "drain"))
    with report.check("ListCommandInvocations with details; paginator list_command_invocations"):
        pages = list(ssm.get_paginator("list_command_invocations").paginate(InstanceId=instance, Details=True))
        found = [it for page in pages for it in page["CommandInvocations"]]
        equal([it["CommandId"] for it in found], [command], "the commands")
        plugin = found[0]["CommandPlugins"][0]
        equal((plugin["Name"], plugin["Status"], plugin["ResponseCode"]), ("aws:runShellScript", "Success", 0))
        true(plugin["ResponseFinishDateTime"] >= plugin["ResponseStartDateTime"], f"its times are wrong: {plugin}")
    with report.check("CancelCommand of one that is over changes nothing"):
        ssm.cancel_command(CommandId=command)
        seen = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        equal(seen["Status"], "Success", "its status")
    with report.check("what is unknown is refused: document, parameter, command, instance"):
        refused("InvalidDocument", ssm.send_command, **(request | {"DocumentName": "boto3-missing"}))
        refused("InvalidParameters", ssm.send_command, **(request | {"Parameters": {"wrong": ["x"]}}))
        missing = "i-0ffffffffffffffff"
        refused("InvalidInstanceId", ssm.send_command, **(request | {"InstanceIds": [missing]}))
        refused("InvocationDoesNotExist", ssm.get_command_invocation, CommandId=command, InstanceId=missing)
        unknown = "00000000-0000-4000-8000-000000000000"
        refused(
            ("InvalidCommandId", "InvocationDoesNotExist"), ssm.get_command_invocation,
            CommandId=unknown, InstanceId=instance,
        )  # fmt: skip
        refused("InvalidCommandId", ssm.cancel_command, CommandId=unknown)
    with report.check("an instance that is stopped takes no commands: InvalidInstanceId"):
        ec2.stop_instances(InstanceIds=[instance])
        refused("InvalidInstanceId", ssm.send_command, **request)
        ec2.terminate_instances(InstanceIds=[instance])
