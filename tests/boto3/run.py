"""Checks `local-cloud serve` with boto3 and the AWS CLI.

Written from AWS's documentation and botocore's service models alone, not from the server's source: a server and a
client from one hand can share one misunderstanding. It starts the server with both functions on a free port of
the loopback address, and stops it.

    python tests/boto3/run.py [--binaries target/debug] [--speed 20] [--only SECTION]
"""

import argparse
import os
import pathlib
import sys
import time

sys.dont_write_bytecode = True  # a run leaves nothing in the source tree

from changes import commands, modifications, root_volumes
from cloud import Cloud, check_that_it_stops, without_aws
from command_line import command_line
from harness import Report
from hooks import hooks
from instances import instances
from moving import moving, warm_pools
from pools import answered_by_token, crowd, three_zones
from refreshes import refreshes
from scaling import groups
from tables import tables
from volumes import volumes
from wire import wire

SECTIONS = {
    "volumes": ("EC2: volumes", volumes),
    "instances": ("EC2: instances and attachments", instances),
    "modifications": ("EC2: volumes that are modified", modifications),
    "roots": ("EC2: root volumes that are replaced", root_volumes),
    "commands": ("Systems Manager: commands", commands),
    "wire": ("The wire: what does not exist is refused", wire),
    "tables": ("DynamoDB at the same address", tables),
    "groups": ("Auto Scaling: groups", groups),
    "moving": ("Auto Scaling: standby, detached and attached instances", moving),
    "warm": ("Auto Scaling: warm pools", warm_pools),
    "refreshes": ("Auto Scaling: instance refreshes and maintenance policies", refreshes),
    "hooks": ("Auto Scaling: hooks answered by a person", hooks),
    "story": ("Three zones, three volumes: instances fail, their volumes stay", three_zones),
    "crowd": ("Twenty launches at once", crowd),
    "token": ("A launch that waits, answered by its token", answered_by_token),
    "cli": ("The AWS CLI", command_line),
}


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or root / "target")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--binaries", type=pathlib.Path, default=target / "debug", help="where local-cloud and the functions are"
    )
    parser.add_argument("--speed", type=int, default=20, help="how many times faster than AWS the cloud is")
    parser.add_argument("--log", type=pathlib.Path, default=target / "boto3.log", help="where the server's log goes")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="run this section only; may be repeated")
    options = parser.parse_args()

    environment = without_aws(os.environ)
    os.environ.clear()
    os.environ.update(environment)

    started = time.monotonic()
    report = Report()
    cloud = Cloud(options.binaries, options.speed, options.log)
    try:
        cloud.wait_until_ready()
        print(
            f"local-cloud serves at {cloud.variables['AWS_ENDPOINT_URL']}, {options.speed} times faster than AWS; log: {options.log}"
        )
        for name in options.only or SECTIONS:
            report.run(*SECTIONS[name], cloud)
        report.run("Stopping", check_that_it_stops, cloud)
    finally:
        cloud.discard()
    print(f"\nin {time.monotonic() - started:.0f} s; the server's log is {options.log}")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
