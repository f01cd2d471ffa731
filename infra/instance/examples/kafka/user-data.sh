#!/bin/bash
# User data for a Kafka broker, on Amazon Linux 2023; as that of cassandra/, which says where instance.tar is from.
set -euo pipefail
ARTIFACTS=https://example.com/stateful-asg
CLUSTER_ID=5L6g3nShT-eMCtK--X86sw CONTROLLERS=controller.example.internal:9093

dnf install -y docker xfsprogs
cd "$(mktemp -d)"
curl --fail --silent --show-error "$ARTIFACTS/instance.tar" | tar -x
instance/install.sh "instance/stateful-asg-instance.$(uname -m)"
install -m 0644 instance/examples/kafka/stateful-asg.json /etc/stateful-asg.json
install -m 0644 instance/examples/kafka/kafka.service /etc/systemd/system/kafka.service
printf 'HOST=%s\nCLUSTER_ID=%s\nCONTROLLERS=%s\n' "$(hostname -f)" "$CLUSTER_ID" "$CONTROLLERS" >/etc/kafka.env
systemctl daemon-reload
systemctl enable docker.service kafka.service
systemctl start --no-block stateful-asg-mount.service stateful-asg-drain.service docker.service kafka.service
