#!/bin/bash
# User data for an etcd member, on Debian 12 or Ubuntu; as that of cassandra/, which says where instance.tar is from.
set -euo pipefail
ARTIFACTS=https://example.com/stateful-asg
# The cluster as it starts for the first time: a member is named as its slot. A fixed address for that start, a DNS name say, is best.
INITIAL_CLUSTER=etcd-0=http://10.0.0.10:2380,etcd-1=http://10.0.1.10:2380,etcd-2=http://10.0.2.10:2380
ENDPOINTS=http://etcd.example.internal:2379    # where the members answer clients: a name of all of them, or some addresses

apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y curl e2fsprogs etcd-client etcd-server
# Debian starts a member of its own, on the root volume.
systemctl disable etcd.service
systemctl stop etcd.service
cd "$(mktemp -d)"
curl --fail --silent --show-error "$ARTIFACTS/instance.tar" | tar -x
instance/install.sh "instance/stateful-asg-instance.$(uname -m)"
install -m 0644 instance/examples/etcd/stateful-asg.json /etc/stateful-asg.json
install -D -m 0755 instance/examples/etcd/etcd-member /usr/local/lib/etcd-member
install -m 0644 instance/examples/etcd/etcd.service /etc/systemd/system/etcd.service
printf 'ENDPOINTS=%s\nINITIAL_CLUSTER=%s\n' "$ENDPOINTS" "$INITIAL_CLUSTER" >/etc/etcd.env
systemctl daemon-reload
systemctl enable etcd.service
systemctl start --no-block stateful-asg-mount.service stateful-asg-drain.service etcd.service
