"""CreateVolume, DescribeVolumes, tags and DeleteVolume."""

import datetime

from harness import equal, quickly, refused, true
from shapes import INVALID_PARAMETER, create_volume, tag_map, tagged, tags, volume_of, where, with_tag


def volumes(report, cloud):
    ec2 = cloud.client("ec2")
    zone, other_zone = cloud.zone("a"), cloud.zone("b")

    with report.check("CreateVolume answers what was asked for, in state creating"):
        made = ec2.create_volume(
            AvailabilityZone=zone,
            Size=20,
            VolumeType="gp3",
            Iops=4000,
            Throughput=250,
            Encrypted=True,
            TagSpecifications=tagged("volume", {"Name": "first", "owner": "boto3 & <friends>"}),
        )
        true(made["VolumeId"].startswith("vol-"), f"its id is {made['VolumeId']}")
        wanted = {
            "State": "creating", "Size": 20, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "Encrypted": True,
            "AvailabilityZone": zone, "MultiAttachEnabled": False, "SnapshotId": "",
        }  # fmt: skip
        equal({key: made.get(key) for key in wanted}, wanted)
        equal(tag_map(made), {"Name": "first", "owner": "boto3 & <friends>"}, "its tags")
        age = datetime.datetime.now(datetime.timezone.utc) - made["CreateTime"]
        true(abs(age.total_seconds()) < 60, f"its CreateTime is {made['CreateTime']}")
    first = made["VolumeId"]

    with report.check("waiter volume_available"):
        ec2.get_waiter("volume_available").wait(VolumeIds=[first], WaiterConfig=quickly())
        seen = volume_of(ec2, first)
        equal((seen["State"], seen["Attachments"]), ("available", []))

    with report.check("a gp3 volume has 3,000 IOPS and 125 MiB/s unless told otherwise, and the default type is gp2"):
        seen = volume_of(ec2, create_volume(ec2, zone, {"set": "defaults"}))
        equal((seen["Iops"], seen["Throughput"], seen["Encrypted"]), (3000, 125, False))
        made = ec2.create_volume(AvailabilityZone=zone, Size=10)
        equal(made["VolumeType"], "gp2", "VolumeType")
        ec2.get_waiter("volume_available").wait(VolumeIds=[made["VolumeId"]], WaiterConfig=quickly())
        ec2.delete_volume(VolumeId=made["VolumeId"])

    with report.check("one client token and the same parameters: the same volume"):
        request = {
            "AvailabilityZone": zone, "Size": 10, "VolumeType": "gp3", "ClientToken": "boto3-token-1",
            "TagSpecifications": tagged("volume", {"set": "token"}),
        }  # fmt: skip
        made = {ec2.create_volume(**request)["VolumeId"] for _ in range(3)}
        equal(len(made), 1, "the number of ids")
        equal(len(ec2.describe_volumes(Filters=with_tag("set", "token"))["Volumes"]), 1, "the number of volumes")
    with report.check("one client token and other parameters: IdempotentParameterMismatch"):
        for change in ({"Size": 11}, {"AvailabilityZone": other_zone}, {"VolumeType": "gp2"}):
            refused("IdempotentParameterMismatch", ec2.create_volume, **(request | change))
    with report.check("another client token: another volume"):
        true(ec2.create_volume(**(request | {"ClientToken": "boto3-token-2"}))["VolumeId"] not in made, "the same id")

    with report.check("parameters out of range are refused"):
        base = {"AvailabilityZone": zone, "Size": 10, "VolumeType": "gp3"}
        for change in ({"Iops": 2000}, {"Iops": 90000}, {"Throughput": 5000}, {"Size": 0}, {"Size": 70000}):
            refused(INVALID_PARAMETER, ec2.create_volume, **(base | change))
        refused(
            INVALID_PARAMETER + ("InvalidParameterDependency",),
            ec2.create_volume,
            **(base | {"VolumeType": "gp2", "Throughput": 200}),
        )
        refused(INVALID_PARAMETER + ("UnknownVolumeType",), ec2.create_volume, **(base | {"VolumeType": "gp9"}))
    with report.check("a snapshot of it, and a volume in another zone from that, once it is completed"):
        taken = ec2.create_snapshot(
            VolumeId=first, Description="boto3", TagSpecifications=tagged("snapshot", {"set": "taken"})
        )
        equal((taken["State"], taken["VolumeId"], taken["VolumeSize"]), ("pending", first, 20))
        ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[taken["SnapshotId"]], WaiterConfig=quickly())
        [seen] = ec2.describe_snapshots(OwnerIds=["self"], Filters=with_tag("set", "taken"))["Snapshots"]
        equal((seen["SnapshotId"], seen["Progress"], tag_map(seen)), (taken["SnapshotId"], "100%", {"set": "taken"}))
        made = ec2.create_volume(AvailabilityZone=other_zone, SnapshotId=taken["SnapshotId"], VolumeType="gp3")
        equal((made["Size"], made["Encrypted"], made["SnapshotId"]), (20, True, taken["SnapshotId"]))
        ec2.get_waiter("volume_available").wait(VolumeIds=[made["VolumeId"]], WaiterConfig=quickly())
        ec2.delete_volume(VolumeId=made["VolumeId"])
    with report.check("neither a size nor a snapshot: MissingParameter"):
        refused("MissingParameter", ec2.create_volume, AvailabilityZone=zone, VolumeType="gp3")
    with report.check("a zone that does not exist: InvalidZone.NotFound"):
        refused("InvalidZone.NotFound", ec2.create_volume, AvailabilityZone=cloud.zone("z"), Size=10)

    with report.check("DryRun: DryRunOperation with status 412, and nothing is made"):
        refusal = refused(
            "DryRunOperation", ec2.create_volume,
            AvailabilityZone=zone, Size=10, DryRun=True, TagSpecifications=tagged("volume", {"set": "dry"}),
        )  # fmt: skip
        equal(refusal.status, 412, "the status")
        equal(ec2.describe_volumes(Filters=with_tag("set", "dry"))["Volumes"], [], "what was made")
        refused("DryRunOperation", ec2.delete_volume, VolumeId=first, DryRun=True)
        equal(volume_of(ec2, first)["State"], "available", "the state after a dry delete")

    with report.check("a volume that does not exist: InvalidVolume.NotFound, naming it"):
        missing = "vol-0ffffffffffffffff"
        refusal = refused("InvalidVolume.NotFound", ec2.describe_volumes, VolumeIds=[first, missing])
        true(missing in refusal.message, f"the message is {refusal.message!r}")
        refused("InvalidVolume.NotFound", ec2.delete_volume, VolumeId=missing)
    with report.check("something that is no volume id is refused"):
        refused(("InvalidParameterValue", "InvalidVolumeID.Malformed"), ec2.describe_volumes, VolumeIds=["nonsense"])

    crowd = [
        create_volume(ec2, cloud.zone("ab"[i % 2]), {"set": "crowd", "number": f"n{i}"}, wait=False) for i in range(12)
    ]
    ec2.get_waiter("volume_available").wait(VolumeIds=crowd, WaiterConfig=quickly())

    def ids(*filters):
        return {volume["VolumeId"] for volume in ec2.describe_volumes(Filters=sum(filters, []))["Volumes"]}

    with report.check(
        "filters: tag, tag-key, zone, status, type, size; wildcards; several values or, several filters and"
    ):
        crowd_tag = with_tag("set", "crowd")
        equal(ids(crowd_tag), set(crowd), "tag:set")
        equal(ids(where(tag_key="number")), set(crowd), "tag-key")
        equal(ids(crowd_tag, where(availability_zone=zone)), set(crowd[::2]), "tag and zone")
        equal(ids(with_tag("number", "n1", "n3")), {crowd[1], crowd[3]}, "two values")
        equal(ids(with_tag("number", "n1*")), {crowd[1], crowd[10], crowd[11]}, "n1*")
        equal(ids(with_tag("number", "n1?")), {crowd[10], crowd[11]}, "n1?")
        equal(ids(crowd_tag, where(status="available", volume_type="gp3", size="10")), set(crowd), "status, type, size")
        equal(ids(crowd_tag, where(status="in-use")), set(), "status in-use")
        equal(ids(where(volume_id=crowd[:2])), set(crowd[:2]), "volume-id")
        equal(ids(where(encrypted="true"), with_tag("Name", "first")), {first}, "encrypted")
    with report.check("a filter that does not exist: InvalidParameterValue"):
        refused("InvalidParameterValue", ec2.describe_volumes, Filters=where(colour="green"))

    with report.check("paginator describe_volumes: pages of 5, nothing twice, nothing left out"):
        pages = list(
            ec2.get_paginator("describe_volumes").paginate(Filters=crowd_tag, PaginationConfig={"PageSize": 5})
        )
        sizes = [len(page["Volumes"]) for page in pages]
        true(max(sizes) <= 5 and len(pages) >= 3, f"the pages hold {sizes}")
        seen = [volume["VolumeId"] for page in pages for volume in page["Volumes"]]
        equal((len(seen), set(seen)), (12, set(crowd)), "what was seen")
    with report.check("MaxResults together with ids is refused, and so is a token that nobody gave out"):
        refused("InvalidParameterCombination", ec2.describe_volumes, VolumeIds=crowd[:1], MaxResults=5)
        refused(
            INVALID_PARAMETER + ("InvalidNextToken", "InvalidPaginationToken", "InvalidNextToken.Malformed"),
            ec2.describe_volumes, MaxResults=5, NextToken="nonsense",
        )  # fmt: skip

    with report.check("CreateTags replaces, DeleteTags removes, DescribeTags shows"):
        ec2.create_tags(Resources=crowd[:2], Tags=tags(number="new", extra="ü"))
        equal(tag_map(volume_of(ec2, crowd[0])), {"set": "crowd", "number": "new", "extra": "ü"}, "the tags")
        ec2.delete_tags(Resources=[crowd[0]], Tags=[{"Key": "extra"}])
        ec2.delete_tags(Resources=[crowd[1]], Tags=tags(extra="another value, so it stays"))
        equal(tag_map(volume_of(ec2, crowd[0])), {"set": "crowd", "number": "new"}, "the tags")
        shown = ec2.describe_tags(Filters=where(resource_id=crowd[1], key="extra"))["Tags"]
        wanted = [{"Key": "extra", "Value": "ü", "ResourceId": crowd[1], "ResourceType": "volume"}]
        equal(shown, wanted, "DescribeTags")
    with report.check("tags of a volume that does not exist, and tags that begin with aws:, are refused"):
        refused("InvalidVolume.NotFound", ec2.create_tags, Resources=["vol-0ffffffffffffffff"], Tags=tags(a="b"))
        refused(
            ("InvalidParameterValue", "TagPolicyViolation"),
            ec2.create_tags,
            Resources=crowd[:1],
            Tags=tags(**{"aws:mine": "b"}),
        )

    with report.check("DeleteVolume, and waiter volume_deleted"):
        for volume in crowd:
            ec2.delete_volume(VolumeId=volume)
        for volume in crowd[:2]:
            ec2.get_waiter("volume_deleted").wait(VolumeIds=[volume], WaiterConfig=quickly())
        true(not ids(crowd_tag, where(status="available")), "some are still available")
