"""A launch hook's handler as the Python tools of the field are built, on a Runtime API loop of its own.

It creates three clients and takes their steps: describe the instance, its group and the volumes, wait for each with a
waiter, attach, wait again, complete. There is no lease. AWS's own runtime would come on top.
"""

import http.client
import json
import os
import sys

import boto3

ec2 = boto3.client("ec2")
auto_scaling = boto3.client("autoscaling")
dynamodb = boto3.client("dynamodb")
WAITER = {"Delay": 1, "MaxAttempts": 60}


def handle(event):
    detail = event["detail"]
    instance_id = detail["EC2InstanceId"]
    reservation = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]
    zone = reservation["Instances"][0]["Placement"]["AvailabilityZone"]
    groups = auto_scaling.describe_auto_scaling_groups(
        AutoScalingGroupNames=[detail["AutoScalingGroupName"]]
    )["AutoScalingGroups"]
    pool = next(tag["Value"] for tag in groups[0]["Tags"] if tag["Key"] == "stateful-asg:pool")
    volumes = ec2.describe_volumes(
        Filters=[
            {"Name": "tag:stateful-asg:pool", "Values": [pool]},
            {"Name": "availability-zone", "Values": [zone]},
            {"Name": "status", "Values": ["available"]},
        ]
    )["Volumes"]
    volume_id = volumes[0]["VolumeId"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance_id], WaiterConfig=WAITER)
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig=WAITER)
    ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume_id], WaiterConfig=WAITER)
    auto_scaling.complete_lifecycle_action(
        LifecycleHookName=detail["LifecycleHookName"],
        AutoScalingGroupName=detail["AutoScalingGroupName"],
        LifecycleActionToken=detail["LifecycleActionToken"],
        LifecycleActionResult="CONTINUE",
    )
    print(json.dumps({"instance": instance_id, "volume": volume_id}), flush=True)


def main():
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        answer = api.getresponse()
        request_id = answer.headers["lambda-runtime-aws-request-id"]
        event = json.loads(answer.read())
        handle(event)
        api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", body="null")
        api.getresponse().read()


if __name__ == "__main__":
    sys.exit(main())
