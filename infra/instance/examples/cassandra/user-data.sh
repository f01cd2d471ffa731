#!/bin/bash
# User data for a node of a Cassandra ring, on Amazon Linux 2023. It expects instance.tar, which `make instance` has built, at
# an address of yours; better still is an AMI that has all of this in it already.
set -euo pipefail
ARTIFACTS=https://example.com/stateful-asg     # where instance.tar is
SEEDS=cassandra.example.internal               # names or addresses of some nodes
CLUSTER=example REGION=eu-central-1

dnf install -y docker xfsprogs
cd "$(mktemp -d)"
curl --fail --silent --show-error "$ARTIFACTS/instance.tar" | tar -x
instance/install.sh "instance/stateful-asg-instance.$(uname -m)"
install -m 0644 instance/examples/cassandra/stateful-asg.json /etc/stateful-asg.json
install -m 0644 instance/examples/cassandra/cassandra.service /etc/systemd/system/cassandra.service
printf 'CLUSTER=%s\nSEEDS=%s\nREGION=%s\n' "$CLUSTER" "$SEEDS" "$REGION" >/etc/cassandra.env
systemctl daemon-reload
systemctl enable docker.service cassandra.service
# Not waited for: user data ends while the units wait for the volume, in the order that they name.
systemctl start --no-block stateful-asg-mount.service stateful-asg-drain.service docker.service cassandra.service
