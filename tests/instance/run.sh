#!/usr/bin/env bash
# The tests of the instance's side: over loop devices, in a Debian system of their own, and in that system booted under
# qemu. Needs root, a Rust toolchain, and a Debian or Ubuntu with apt-get and mkfs.ext4.
#
#   run.sh [NAME…]     the tests whose names contain one of these; all of them without
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/instance/system.sh
. tests/instance/system.sh

build_tests() {
    mapfile -t tests < <(CARGO_TARGET_DIR=$work/build cargo test --locked --target "$triple" --package instance-tests \
        --features root --no-run --tests --message-format json | sed -n 's/.*"executable":"\([^"]*\/deps\/[^"]*\)".*/\1/p')
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
can_make_a_system 'sudo -E make instance-test'
make_system
build_for_the_system
build_tests
install_as_the_readme_says
check_scripts
# From here on with the program as it was built for the tests.
make_image

for test in "${tests[@]}"; do
    name=$(basename "${test%-*}")
    install -m 0755 "$test" "$root/usr/local/lib/tests/$name"
    printf '\n==> %s\n' "$name"
    within timeout --kill-after 10 2400 "/usr/local/lib/tests/$name" "$@"
done
