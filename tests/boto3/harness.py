"""Checks that print a line each, bounded waits, and what a refusal looked like.

No check sleeps for a fixed time: it polls for what it wants to see and, when the time is up, says what it saw instead.
"""

import contextlib
import time

from botocore.exceptions import ClientError

POLL_SECONDS = 0.1


class Unmet(AssertionError):
    """What a check wanted did not come about."""


class Refusal:
    """The error a call was answered with."""

    def __init__(self, error):
        self.code = error.response["Error"]["Code"]
        self.message = error.response["Error"]["Message"]
        self.status = error.response["ResponseMetadata"]["HTTPStatusCode"]

    def __str__(self):
        return f"{self.status} {self.code}: {self.message}"


class Report:
    """Counts the checks and prints a line for each."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def section(self, title):
        print(f"\n{title}", flush=True)

    @contextlib.contextmanager
    def check(self, name):
        """One check: passes unless its body raises. The next check runs either way."""
        started = time.monotonic()
        try:
            yield
        except Exception as error:  # a check that breaks is a check that failed
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            self._failed(name, f"{kind}{error}")
        else:
            self.passed += 1
            print(f"  ok    {name} ({time.monotonic() - started:.1f} s)", flush=True)

    def _failed(self, name, why):
        self.failed += 1
        print(f"  FAIL  {name}\n          {why}", flush=True)

    def run(self, title, section, *arguments):
        """A section: a function of checks. What it could not go on from is one failure more."""
        self.section(title)
        try:
            section(self, *arguments)
        except Exception as error:
            self._failed(f"the rest of: {title}", f"{type(error).__name__}: {error}")


def equal(seen, wanted, what="it"):
    if seen != wanted:
        raise Unmet(f"{what} is {seen!r}, not {wanted!r}")


def true(condition, otherwise):
    if not condition:
        raise Unmet(otherwise)


def eventually(what, look, seconds=30):
    """Poll `look` until its first value is true, and return its second. It returns (reached, seen)."""
    deadline = time.monotonic() + seconds
    while True:
        reached, seen = look()
        if reached:
            return seen
        if time.monotonic() > deadline:
            raise Unmet(f"{what}: not within {seconds} s; last seen: {seen}")
        time.sleep(POLL_SECONDS)


def meanwhile(what, look, seconds):
    """Poll `look` for so long; it must stay true. It returns (holds, seen)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        holds, seen = look()
        true(holds, f"{what}: {seen}")
        time.sleep(POLL_SECONDS)


def refused(codes, call, **parameters):
    """The refusal of this call, which must carry one of these codes."""
    codes = [codes] if isinstance(codes, str) else codes
    try:
        answer = call(**parameters)
    except ClientError as error:
        refusal = Refusal(error)
        true(refusal.code in codes, f"refused with {refusal}, not with {' or '.join(codes)}")
        return refusal
    answer.pop("ResponseMetadata", None)
    raise Unmet(f"not refused with {' or '.join(codes)}, but answered {answer}")


def quickly():
    """A waiter's settings: boto3's own wait is made for the real cloud's pace (15 s between looks)."""
    return {"Delay": POLL_SECONDS, "MaxAttempts": 600}
