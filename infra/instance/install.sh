#!/bin/sh
# Installs the instance's side into this machine, or into the root directory of an image:
#
#   install.sh PROGRAM [ROOT]
#
# PROGRAM is the stateful-asg-instance that `make instance` has built for the machine's architecture. The configuration is
# /etc/stateful-asg.json, and is yours to write; nothing starts before the next boot.
set -eu
program=${1:?'usage: install.sh PROGRAM [ROOT]'}
root=${2:-}
here=$(cd "$(dirname "$0")" && pwd)

install -D -m 0755 "$program" "$root/usr/local/sbin/stateful-asg-instance"
for unit in stateful-asg-mount.service stateful-asg-drain.service docker.service.d/stateful-asg.conf; do
    install -D -m 0644 "$here/units/$unit" "$root/etc/systemd/system/$unit"
done
systemctl --root="${root:-/}" --quiet enable stateful-asg-mount.service stateful-asg-drain.service

for tool in blkid wipefs mount umount mkfs.ext4 e2fsck resize2fs; do
    [ -x "$root/usr/sbin/$tool" ] || [ -x "$root/sbin/$tool" ] || [ -x "$root/usr/bin/$tool" ] || [ -x "$root/bin/$tool" ] ||
        { echo "install.sh: $tool is missing: install util-linux and e2fsprogs" >&2; exit 1; }
done
[ -x "$root/usr/sbin/mkfs.xfs" ] || [ -x "$root/sbin/mkfs.xfs" ] ||
    echo 'install.sh: mkfs.xfs is missing: for XFS install xfsprogs' >&2
