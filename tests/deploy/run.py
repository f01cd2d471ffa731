"""The proof of a deployment without an account: `make deploy` into ministack, a story on what was deployed, `make destroy`.

The templates, `cargo lambda deploy` and the scripts are the very ones of a deployment. ministack plays CloudFormation, Lambda,
EventBridge and DynamoDB; EC2 and Auto Scaling are local-cloud. What differs from a deployment on AWS, and why:

- The zips hold the binaries that the other tests use (x86_64, dev profile): ministack runs them on this machine, and a
  release build for arm64 takes ten minutes. `make -o build deploy` leaves `make build` out.
- PutEvents takes no source that begins with `aws.`, so the deployed rules are given one more source, and local-cloud's events are put
  under that. Everything else in their patterns stays: detail-types, the hooks' prefix, the instances' states.
- The functions get the endpoints in their environment.
- WATCH=no: ministack's CloudFormation knows neither alarms over queries nor saved log queries.

    run.py --ministack PATH --binaries target/debug --log FILE -- COMMAND THAT TELLS A STORY
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

import boto3

STACK = "stateful-asg-proof"
SOURCE = "local-cloud"
START_SECONDS = 60
STOP_SECONDS = 30
FUNCTIONS = ("lifecycle", "reconcile")


class Failed(Exception):
    """What should be so is not."""


def check(holds, otherwise):
    if not holds:
        raise Failed(otherwise)


def say(text):
    print(f"deploy: {text}", flush=True)


class Server:
    """A process of this script's own, ended with it."""

    def __init__(self, command, log, environment=None, **pipes):
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=log, env={**os.environ, **(environment or {})}, text=True, **pipes
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_ministack(binary, log):
    port = free_port()
    # It binds every interface unless told otherwise.
    server = Server([binary], log, {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}, stdout=log)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server, f"http://127.0.0.1:{port}"
        except OSError:
            check(server.process.poll() is None and time.monotonic() < deadline, "ministack does not start; see the log")
            time.sleep(0.1)


def start_local_cloud(binary, log):
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--speed", "10", "--print-events"]
    server = Server(command, log, stdout=subprocess.PIPE)
    for line in server.process.stdout:
        name, _, value = line.removeprefix("export ").strip().partition("=")
        if name == "AWS_ENDPOINT_URL":
            return server, value
    raise Failed("local-cloud does not start; see the log")


def forward(lines, bus, log):
    """Puts what happens on the deployed bus."""
    for line in lines:
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        answer = bus.put_events(
            Entries=[
                {
                    "Source": SOURCE,
                    "DetailType": event["detail-type"],
                    "Detail": json.dumps(event["detail"]),
                    "Resources": event["resources"],
                }
            ]
        )
        print(f"put {event['detail-type']}: {answer['FailedEntryCount']} failed", file=log, flush=True)


def zip_functions(binaries, folder):
    for name in FUNCTIONS:
        target = folder / name
        target.mkdir()
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        bootstrap.compress_type = zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(target / "bootstrap.zip", "w", compresslevel=1) as archive:
            archive.writestr(bootstrap, (binaries / name).read_bytes())


class Deployment:
    """What `make deploy` and `make destroy` do, and what is there then."""

    def __init__(self, environment, ministack, local_cloud):
        self.environment = environment
        self.ministack = ministack
        self.local_cloud = local_cloud

    def client(self, service):
        endpoint = self.local_cloud if service in ("ec2", "autoscaling") else self.ministack
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=self.environment["AWS_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def make(self, *arguments, fails=False):
        say(f"make {' '.join(arguments)}")
        done = subprocess.run(
            ["make", "--no-print-directory", *arguments],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        print(done.stdout, flush=True)
        check((done.returncode != 0) == fails, f"make {' '.join(arguments)} ended with {done.returncode}")
        return done.stdout

    def overlay(self):
        """The endpoints for the functions, and the source that events may be put under."""
        functions = self.client("lambda")
        for name in FUNCTIONS:
            name = f"{STACK}-{name}"
            variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            check(variables["STATEFUL_ASG_TABLE"] == STACK, f"{name} has {variables}")
            variables["AWS_ENDPOINT_URL"] = self.ministack
            for service in ("EC2", "AUTO_SCALING", "SSM"):
                variables[f"AWS_ENDPOINT_URL_{service}"] = self.local_cloud
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        rules = self.client("events")
        for name in ("lifecycle-actions", "instance-states"):
            rule = rules.describe_rule(Name=f"{STACK}-{name}")
            pattern = json.loads(rule["EventPattern"])
            pattern["source"].append(SOURCE)
            rules.put_rule(Name=rule["Name"], EventPattern=json.dumps(pattern), State="ENABLED")

    def lines(self, function):
        """What a function has logged."""
        logs, group = self.client("logs"), f"/aws/lambda/{STACK}-{function}"
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
            name = stream["logStreamName"]
            for event in logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)["events"]:
                yield event["message"]

    def functions(self):
        listed = self.client("lambda").list_functions()["Functions"]
        return sorted(function["FunctionName"] for function in listed if function["FunctionName"].startswith(STACK))

    def tables(self):
        return self.client("dynamodb").list_tables()["TableNames"]


def refuses_while_a_group_is_enrolled(deployment):
    groups, computers = deployment.client("autoscaling"), deployment.client("ec2")
    image = computers.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    computers.create_launch_template(
        LaunchTemplateName="enrolled", LaunchTemplateData={"ImageId": image, "InstanceType": "m7i.large"}
    )
    groups.create_auto_scaling_group(
        AutoScalingGroupName="enrolled", MinSize=0, MaxSize=1, DesiredCapacity=0, AvailabilityZones=["eu-central-1a"],
        LaunchTemplate={"LaunchTemplateName": "enrolled"},
        Tags=[{"Key": "stateful-asg:pool", "Value": "enrolled", "PropagateAtLaunch": False}],
    )
    told = deployment.make("destroy", "YES=yes", fails=True)
    check("  enrolled" in told, "the refusal does not name the group")
    check(len(deployment.functions()) == 2, "something was removed all the same")
    groups.delete_auto_scaling_group(AutoScalingGroupName="enrolled")
    computers.delete_launch_template(LaunchTemplateName="enrolled")


def events_did_it(deployment):
    """The rules carried both kinds of action to the one function and the instances' states to the other; they attached and detached."""
    lifecycle, reconcile = (list(deployment.lines(name)) for name in FUNCTIONS)
    for told, lines in (
        (("lifecycle event", "Launching"), lifecycle),
        (("lifecycle event", "Terminating"), lifecycle),
        (("instance state event",), reconcile),
        (("AttachVolume",), lifecycle + reconcile),
        (("DetachVolume",), lifecycle + reconcile),
    ):
        check(any(all(text in line for text in told) for line in lines), f"no function has a line with {told}")


def prove(deployment, story, cloud, log):
    deployment.make("-o", "build", "deploy")
    again = deployment.make("-o", "build", "deploy")
    check(again.count("No changes to deploy") == 3, "the second deployment changed a stack")
    check(deployment.functions() == [f"{STACK}-{name}" for name in FUNCTIONS], "not both functions are there")

    deployment.overlay()
    threading.Thread(
        target=forward, args=(cloud.process.stdout, deployment.client("events"), log), daemon=True
    ).start()
    refuses_while_a_group_is_enrolled(deployment)
    say(f"{' '.join(story)}")
    told = subprocess.run(story, env=deployment.environment, stdin=subprocess.DEVNULL)
    check(told.returncode == 0, "the story on the deployed functions did not end well")
    events_did_it(deployment)

    volume = deployment.client("ec2").create_volume(
        AvailabilityZone="eu-central-1a", Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "stateful-asg:pool", "Value": "kept"}]}],
    )["VolumeId"]
    deployment.make("destroy", fails=True)
    deployment.make("destroy", "YES=yes")
    check(deployment.functions() == [], "a function is left")
    check(STACK in deployment.tables(), "the table is gone, and nobody asked for it")
    deployment.make("destroy", "YES=yes", "DELETE_TABLE=yes")
    check(STACK not in deployment.tables(), "the table is still there")
    deployment.make("destroy", "YES=yes", "DELETE_TABLE=yes")
    kept = deployment.client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"]
    check(len(kept) == 1, "a volume is gone")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ministack", required=True)
    parser.add_argument("--binaries", required=True, type=pathlib.Path)
    parser.add_argument("--log", required=True)
    parser.add_argument("story", nargs="+")
    arguments = parser.parse_args()
    servers = []
    with open(arguments.log, "w") as log, tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        try:
            ministack, ministack_url = start_ministack(arguments.ministack, log)
            servers.append(ministack)
            cloud, cloud_url = start_local_cloud(arguments.binaries / "local-cloud", log)
            servers.append(cloud)
            zip_functions(arguments.binaries, pathlib.Path(folder))
            environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            environment |= {
                "AWS_ACCESS_KEY_ID": "proof", "AWS_SECRET_ACCESS_KEY": "proof", "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL": ministack_url,
                "AWS_ENDPOINT_URL_EC2": cloud_url, "AWS_ENDPOINT_URL_AUTO_SCALING": cloud_url,
                "STACK": STACK, "STATEFUL_ASG_TABLE": STACK, "WATCH": "no", "LAMBDA_DIR": folder,
            }
            prove(Deployment(environment, ministack_url, cloud_url), arguments.story, cloud, log)
        except Failed as failure:
            say(f"FAILED: {failure}; the log is {arguments.log}")
            sys.exit(1)
        finally:
            for server in reversed(servers):
                server.stop()
    say("deployed, told a story, and taken away again")


main()
