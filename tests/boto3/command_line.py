"""The AWS CLI, with the variables that the server prints pasted into its environment."""

import json
import os
import pathlib
import subprocess
import sys

from cloud import without_aws
from harness import equal, true


class Failed(AssertionError):
    """The command's exit code was not the wanted one."""


def command_line(report, cloud):
    aws = pathlib.Path(sys.executable).with_name("aws")
    environment = (
        without_aws(os.environ)
        | cloud.variables
        | {"AWS_PAGER": "", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    )

    def run(*arguments, refused=False):
        """Runs `aws`, and returns what it printed: parsed if it is JSON, the error text if it was to be refused."""
        done = subprocess.run(
            [sys.executable, str(aws), *arguments], env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        # Refused by the service: 255 from version 1, which is what PyPI has, and 254 from version 2.
        if done.returncode not in ((254, 255) if refused else (0,)):
            raise Failed(f"aws {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        if refused:
            return done.stderr.strip()
        try:
            return json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError:
            return done.stdout.strip()

    zone = cloud.zone("c")
    with report.check("aws ec2 create-volume, wait volume-available, describe-volumes with a filter and a query"):
        made = run(
            "ec2", "create-volume", "--availability-zone", zone, "--size", "10", "--volume-type", "gp3",
            "--tag-specifications", "ResourceType=volume,Tags=[{Key=set,Value=cli}]",
        )  # fmt: skip
        volume = made["VolumeId"]
        run("ec2", "wait", "volume-available", "--volume-ids", volume)
        found = run(
            "ec2", "describe-volumes", "--filters", "Name=tag:set,Values=cli", "--query", "Volumes[].[VolumeId,State]",
        )  # fmt: skip
        equal(found, [[volume, "available"]], "what it shows")
    with report.check("aws ec2 describe-volumes in pages"):
        found = run("ec2", "describe-volumes", "--page-size", "5", "--query", "Volumes[].VolumeId")
        true(volume in found and len(found) == len(set(found)), f"it shows {found}")
    with report.check("aws says what was refused: a failing exit code, the error's code, the operation"):
        said = run("ec2", "describe-volumes", "--volume-ids", "vol-0ffffffffffffffff", refused=True)
        true("InvalidVolume.NotFound" in said and "DescribeVolumes" in said, said)
    with report.check("aws ec2 create-launch-template; aws autoscaling create-auto-scaling-group, put-lifecycle-hook"):
        run(
            "ec2", "create-launch-template", "--launch-template-name", "cli-template",
            "--launch-template-data", '{"ImageId":"ami-0123456789abcdef0","InstanceType":"m7g.large"}',
        )  # fmt: skip
        run(
            "autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", "cli-group",
            "--launch-template", "LaunchTemplateName=cli-template,Version=$Latest", "--min-size", "0",
            "--max-size", "1", "--desired-capacity", "0", "--availability-zones", zone,
        )  # fmt: skip
        run(
            "autoscaling", "put-lifecycle-hook", "--auto-scaling-group-name", "cli-group",
            "--lifecycle-hook-name", "cli-hook", "--lifecycle-transition", "autoscaling:EC2_INSTANCE_LAUNCHING",
            "--heartbeat-timeout", "300", "--notification-metadata", '{"pool":"cli"}',
        )  # fmt: skip
        found = run(
            "autoscaling", "describe-lifecycle-hooks", "--auto-scaling-group-name", "cli-group",
            "--query", "LifecycleHooks[].[LifecycleHookName,HeartbeatTimeout,NotificationMetadata]",
        )  # fmt: skip
        equal(found, [["cli-hook", 300, '{"pool":"cli"}']], "what it shows")
    with report.check("aws autoscaling complete-lifecycle-action with nothing active"):
        said = run(
            "autoscaling", "complete-lifecycle-action", "--auto-scaling-group-name", "cli-group",
            "--lifecycle-hook-name", "cli-hook", "--instance-id", "i-0ffffffffffffffff",
            "--lifecycle-action-result", "CONTINUE", refused=True,
        )  # fmt: skip
        true("ValidationError" in said and "No active Lifecycle Action found" in said, said)
    with report.check("aws autoscaling describe-auto-scaling-groups as text; aws dynamodb list-tables"):
        found = run(
            "autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", "cli-group",
            "--query", "AutoScalingGroups[].[AutoScalingGroupName,MaxSize]", "--output", "text",
        )  # fmt: skip
        equal(found.split(), ["cli-group", "1"], "what it shows")
        true(cloud.variables["STATEFUL_ASG_TABLE"] in run("dynamodb", "list-tables")["TableNames"], "no table")
    with report.check("aws ec2 delete-volume; aws autoscaling delete-auto-scaling-group"):
        run("ec2", "delete-volume", "--volume-id", volume)
        run("autoscaling", "delete-auto-scaling-group", "--auto-scaling-group-name", "cli-group")
