#!/usr/bin/env bash
# The tests of the instance's side: over loop devices, in a Debian system of their own, and in that system booted under
# qemu. The system is made once, from Debian's packages, and kept below the target directory; nothing is installed on this
# machine. Needs root, a Rust toolchain, and a Debian or Ubuntu with apt-get and mkfs.ext4.
#
#   run.sh [NAME…]     the tests whose names contain one of these; all of them without
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ((EUID != 0)); then
    echo 'The tests of the instance'\''s side need root: they make loop devices, mount filesystems and change into a Debian' >&2
    echo 'system of their own. Run them with: sudo -E make instance-test' >&2
    exit 1
fi

target=${CARGO_TARGET_DIR:-$PWD/target}
work=$target/instance
root=$work/root
triple=$(uname -m)-unknown-linux-musl
# Everything that an instance has, everything that a disk may hold, and qemu to boot it.
packages=systemd-sysv,udev,kmod,dbus,e2fsprogs,xfsprogs,btrfs-progs,cryptsetup-bin,dosfstools,fdisk
packages+=,linux-image-cloud-amd64,initramfs-tools,qemu-system-x86
# What the examples take, and what reads their scripts.
packages+=,etcd-server,etcd-client,iproute2,hostname,curl,ca-certificates,shellcheck

make_system() {
    [[ $(cat "$root.complete" 2>/dev/null) == "$packages" ]] && return
    rm -rf "$root"
    mkdir -p "$work/packages"
    (cd "$work/packages" && apt-get download debootstrap)
    dpkg-deb -x "$work"/packages/debootstrap_*.deb "$work/debootstrap"
    DEBOOTSTRAP_DIR=$work/debootstrap/usr/share/debootstrap \
        sh "$work/debootstrap/usr/sbin/debootstrap" --variant=minbase --include="$packages" \
        bookworm "$root"
    echo "$packages" >"$root.complete"
}

# Static, so that they run in any system.
build() {
    rustup target add "$triple" >/dev/null 2>&1 || true
    export CARGO_TARGET_DIR=$work/build
    cargo build --locked --target "$triple" --package stateful-asg-instance --package instance-tests --bins
    mapfile -t tests < <(cargo test --locked --target "$triple" --package instance-tests --features root --no-run \
        --tests --message-format json | sed -n 's/.*"executable":"\([^"]*\/deps\/[^"]*\)".*/\1/p')
}

# In mount and network namespaces of its own: whatever a test leaves mounted or connected is gone with it.
within() {
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --mount --net --propagation private -- sh -ec '
        root=$1; shift
        # A mount of its own, so that namespaces can be made in there again.
        mount --bind "$root" "$root"
        for directory in dev proc sys; do mount --rbind "/$directory" "$root/$directory"; done
        mount -t tmpfs -o size=2G tmpfs "$root/run"
        mount -t tmpfs -o size=6G tmpfs "$root/tmp"
        chroot "$root" ip link set lo up
        mkdir "$root/tmp/work"; mount --bind "$WORK" "$root/tmp/work"
        exec env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin RUST_BACKTRACE="${RUST_BACKTRACE:-0}" \
            chroot "$root" "$@"
    ' sh "$root" "$@"
}

# The commands of README's section "On the instance", as they are there, up to the place where the configuration is written.
install_as_the_readme_says() {
    mapfile -t steps < <(sed -n '/^    make instance /,/^$/p' README.md | sed 's/ *#.*//; /^$/d')
    if ((${#steps[@]} != 3)); then
        echo "README's steps are not the three that are run here: ${steps[*]}" >&2
        return 1
    fi
    rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl >/dev/null 2>&1 || true
    CARGO_TARGET_DIR=$work/build bash -ec "${steps[0]}"
    cp "$work/build/instance.tar" "$root/root/"
    sed -n '/^```json$/,/^```$/p' README.md | sed '/^```/d' >"$root/root/readme.json"
    within sh -ec "cd /root; rm -rf instance; ${steps[1]}; ${steps[2]}
        stateful-asg-instance unmount --config readme.json"
}

check_scripts() {
    within sh -ec 'cd /root/instance; shellcheck -x install.sh examples/*/*.sh examples/etcd/etcd-member'
}

export WORK=$work
make_system
build
install_as_the_readme_says
check_scripts
# From here on with the program as the tests have built it.
infra/instance/install.sh "$work/build/$triple/debug/stateful-asg-instance" "$root"

mkdir -p "$root/usr/local/lib/tests"

# The system as it is booted: with a workload, a metadata service, and what a test has it do.
install -D -m 0755 "$work/build/$triple/debug/guest-metadata" "$root/usr/local/lib/tests/guest-metadata"
install -m 0755 tests/instance/guest/{workload,act} "$root/usr/local/lib/tests/"
install -m 0644 tests/instance/guest/*.service "$root/etc/systemd/system/"
install -D -m 0644 tests/instance/guest/loopback.network "$root/etc/systemd/network/loopback.network"
install -m 0644 tests/instance/guest/stateful-asg.json "$root/etc/stateful-asg.json"
systemctl --root="$root" --quiet enable systemd-networkd guest-metadata workload act
systemctl --root="$root" --quiet mask systemd-networkd-wait-online
rm -f "$work/system.img"
mkfs.ext4 -q -d "$root" "$work/system.img" 2G

for test in "${tests[@]}"; do
    name=$(basename "${test%-*}")
    install -m 0755 "$test" "$root/usr/local/lib/tests/$name"
    printf '\n==> %s\n' "$name"
    within timeout --kill-after 10 2400 "/usr/local/lib/tests/$name" "$@"
done
