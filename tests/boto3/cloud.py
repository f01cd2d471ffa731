"""`local-cloud serve`, started and stopped by this script, and the clients that talk to it.

What is known of the server here is its command line; everything else is AWS's documentation.
"""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

import boto3
from botocore.config import Config

from harness import Unmet, eventually, true

START_SECONDS = 30
STOP_SECONDS = 30


class Cloud:
    """One running server with both functions."""

    def __init__(self, binaries, speed, log):
        self.speed = speed
        self.log_path = pathlib.Path(log)
        self._directory = tempfile.TemporaryDirectory(prefix="local-cloud-")
        # The functions are started under names of this run's own: so that one left behind is known for ours.
        functions = {}
        for name in ("lifecycle", "reconcile"):
            functions[name] = pathlib.Path(self._directory.name, name)
            functions[name].symlink_to(pathlib.Path(binaries, name).resolve(strict=True))
        self._log = open(self.log_path, "wb")
        self._server = subprocess.Popen(
            [
                str(pathlib.Path(binaries, "local-cloud").resolve(strict=True)),
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--lifecycle",
                str(functions["lifecycle"]),
                "--reconcile",
                str(functions["reconcile"]),
                "--speed",
                str(speed),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=without_aws(os.environ),
        )
        self.variables = {}
        self._reader = threading.Thread(target=self._read_variables, daemon=True)
        self._reader.start()

    def _read_variables(self):
        """The `export NAME=value` lines that the server prints to be pasted into a shell."""
        for line in self._server.stdout:
            exported = re.fullmatch(r"export (\w+)=(.*)\n?", line)
            if exported:
                self.variables[exported[1]] = exported[2].strip("'\"")

    def wait_until_ready(self):
        """Polls until the server has said where it is and answers there."""

        def announced():
            if self._server.poll() is not None:
                raise Unmet(f"the server ended with {self._server.returncode}; see {self.log_path}")
            wanted = {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
            return wanted <= set(self.variables), dict(self.variables)

        eventually("the server prints its variables", announced, START_SECONDS)

        def answers():
            try:
                self.client("ec2").describe_volumes()
                return True, "an answer"
            except Exception as error:
                return False, error

        eventually("the server answers", answers, START_SECONDS)

    def client(self, service, **config):
        """A client of this server, as the printed variables describe it."""
        return boto3.session.Session().client(
            service,
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            region_name=self.variables["AWS_REGION"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=32, **config),
        )

    @property
    def region(self):
        return self.variables["AWS_REGION"]

    def zone(self, letter):
        return f"{self.region}{letter}"

    def seconds(self, cloud_seconds):
        """How long this much of the cloud's time takes here."""
        return cloud_seconds / self.speed

    def functions_running(self):
        """The processes of this run's functions: `(pid, command)`."""
        listing = subprocess.run(["ps", "-A", "-o", "pid=,args="], check=True, capture_output=True, text=True).stdout
        rows = (line.split(None, 1) for line in listing.splitlines())
        return [(int(row[0]), row[1]) for row in rows if len(row) == 2 and row[1].startswith(self._directory.name)]

    def stop(self):
        """SIGTERM, by the pid this script started; returns the exit code."""
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
        try:
            return self._server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Unmet(
                f"the server (pid {self._server.pid}) did not stop within {STOP_SECONDS} s of SIGTERM"
            ) from None

    def discard(self):
        """Whatever happened, nothing of this run stays behind."""
        if self._server.poll() is None:
            self._server.kill()
            self._server.wait()
        for pid, _ in self.functions_running():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._reader.join(1)
        self._log.close()
        self._directory.cleanup()


def without_aws(environment):
    """The environment without anybody's AWS settings or proxies: this run talks to loopback only."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("AWS_") and name.lower() not in proxies
    }


def check_that_it_stops(report, cloud):
    with report.check("function processes are running now"):
        # At least the one that the schedule starts each minute; without any the last check would say nothing.
        eventually("a function runs", lambda: (bool(cloud.functions_running()), "none"), cloud.seconds(120) + 5)
    with report.check("SIGTERM ends the server with exit code 0"):
        started = time.monotonic()
        code = cloud.stop()
        true(code == 0, f"exit code {code} after {time.monotonic() - started:.1f} s; see {cloud.log_path}")
    with report.check("no function process stays behind"):
        eventually("the functions are gone", lambda: (not (left := cloud.functions_running()), left), 5)
