# A Debian system with the instance's side in it, to be changed into, and an image of it to be booted under qemu, which it has
# as well. It is made once, from Debian's packages, and kept below the target directory; nothing is installed on this machine.
# For scripts at the root of the repository to read in (bash).

target=${CARGO_TARGET_DIR:-$PWD/target}
work=$target/instance
root=$work/root
triple=$(uname -m)-unknown-linux-musl
# Everything that an instance has, everything that a disk may hold, and qemu to boot it.
packages=systemd-sysv,udev,kmod,dbus,e2fsprogs,xfsprogs,btrfs-progs,cryptsetup-bin,dosfstools,fdisk
packages+=,linux-image-cloud-amd64,initramfs-tools,qemu-system-x86
# What the examples take, and what reads their scripts.
packages+=,etcd-server,etcd-client,iproute2,hostname,curl,ca-certificates,shellcheck

# Says what is missing here, and ends, where something is; COMMAND is what was asked for, as it should be.
#   can_make_a_system COMMAND
can_make_a_system() {
    if ((EUID != 0)); then
        echo "This needs root: it makes filesystems and changes into a Debian system of its own. Run it with: $1" >&2
        exit 1
    fi
    local tool
    for tool in apt-get dpkg-deb unshare mkfs.ext4 systemctl; do
        command -v "$tool" >/dev/null && continue
        echo "This needs $tool, which is not here: it takes a Debian or Ubuntu with util-linux, e2fsprogs and systemd installed" >&2
        exit 1
    done
}

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

# The program, and what stands around it when it is tested. Static, so that they run in any system.
build_for_the_system() {
    rustup target add "$triple" >/dev/null 2>&1 || true
    CARGO_TARGET_DIR=$work/build cargo build --locked --target "$triple" \
        --package stateful-asg-instance --package instance-tests --bins
}

# The system as it is booted: with the instance's side, a workload, a network, and what a test has it do.
make_image() {
    local tests=$root/usr/local/lib/tests built=$work/build/$triple/debug
    infra/instance/install.sh "$built/stateful-asg-instance" "$root"
    install -D -m 0755 -t "$tests" "$built/guest-metadata" "$built/forward" tests/instance/guest/{workload,act}
    install -m 0644 tests/instance/guest/*.service "$root/etc/systemd/system/"
    # Nothing of an earlier version, which would count as well.
    rm -rf "$root/etc/systemd/network"
    install -D -m 0644 -t "$root/etc/systemd/network" tests/instance/guest/ethernet.network
    install -m 0644 tests/instance/guest/stateful-asg.json "$root/etc/stateful-asg.json"
    systemctl --root="$root" --quiet enable systemd-networkd guest-metadata workload act
    # One of the examples; what is booted is no member of a cluster.
    systemctl --root="$root" --quiet disable etcd
    # Not every system that is booted has a network.
    systemctl --root="$root" --quiet mask systemd-networkd-wait-online
    rm -f "$work/system.img"
    mkfs.ext4 -q -d "$root" "$work/system.img" 2G
}
