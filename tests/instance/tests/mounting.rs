//! Mounting what is there, over real disks, and letting go of it.

#![cfg(test)]

use std::fs;

use instance_tests::{Machine, Metadata, run};

const VOLUME: &str = "vol-0123456789abcdef0";
const OTHER: &str = "vol-0fedcba9876543210";

fn with_filesystem(make: &str, mib: u64) -> (Machine, instance_tests::Disk) {
    let machine = Machine::with_data("ext4");
    let disk = machine.disk("disk", mib);
    disk.with(make);
    machine.attach(&disk, "nvme1n1", VOLUME);
    machine.metadata.assign(VOLUME);
    (machine, disk)
}

#[test]
fn a_volume_with_data_is_mounted_as_what_it_is_and_units_are_told() {
    let (machine, _disk) = with_filesystem("mkfs.xfs -q $DISK", 512);
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(machine.mounted().unwrap().0, "xfs", "though the configuration says ext4");
    let data = machine.data();
    assert_eq!(
        fs::read_to_string(machine.root.join("run/env")).unwrap(),
        format!(
            "STATEFUL_ASG_ZONE=eu-central-1a\nSTATEFUL_ASG_SLOT=cassandra-0\nSTATEFUL_ASG_INDEX=0\n\
             STATEFUL_ASG_VOLUME_DATA={VOLUME}\nSTATEFUL_ASG_MOUNT_DATA={}\n",
            data.display()
        )
    );
}

#[test]
fn a_second_run_finds_everything_done() {
    let (machine, disk) = with_filesystem("mkfs.ext4 -q $DISK", 64);
    assert!(machine.run("mount").success);
    let mounts = run("cat /proc/mounts");
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(run("cat /proc/mounts"), mounts);
    drop(disk);
}

#[test]
fn another_disk_at_the_path_stops_the_boot() {
    let (machine, _disk) = with_filesystem("mkfs.ext4 -q $DISK", 64);
    let other = machine.disk("other", 64);
    other.with("mkfs.ext4 -q $DISK");
    run(&format!("mkdir -p {0}; mount {1} {0}", machine.data().display(), other.device));
    let outcome = machine.run("mount");
    assert!(!outcome.success);
    assert!(outcome.said.contains("is the mount point of device"), "{}", outcome.said);
}

#[test]
fn an_ext4_that_was_not_unmounted_is_repaired_and_loses_nothing() {
    let (machine, disk) = with_filesystem("mkfs.ext4 -q $DISK", 64);
    assert!(machine.run("mount").success);
    fs::write(machine.data().join("kept"), "data").unwrap();
    run("sync");
    // The disk as a power cut leaves it, with one more inode count wrong.
    let copy = machine.disk("copy", 64);
    run(&format!("dd if={} of={} bs=1M conv=notrunc status=none", disk.device, copy.device));
    run(&format!("umount {}", machine.data().display()));
    machine.attach(&copy, "nvme1n1", VOLUME);
    let (clean, _) =
        instance_tests::output(&format!("e2fsck -n {} | grep -q 'not contain'", copy.device));
    assert!(!clean);
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(fs::read_to_string(machine.data().join("kept")).unwrap(), "data");
}

// The kernel grows an ext4 only for who has CAP_SYS_RESOURCE, which root in a container lacks: that is in `booted.rs`.
#[test]
fn an_xfs_takes_up_a_volume_that_grew() {
    let (machine, disk) = with_filesystem("mkfs.xfs -q $DISK", 512);
    assert!(machine.run("mount").success);
    let before = machine.mounted().unwrap().1;
    fs::write(machine.data().join("kept"), "data").unwrap();
    run(&format!("umount {}", machine.data().display()));
    run(&format!(
        "truncate -s 1024M {}; losetup --set-capacity {}",
        disk.file.display(),
        disk.device
    ));
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    let after = machine.mounted().unwrap().1;
    assert!(after > before + 400, "{before} {after} {}", outcome.said);
    assert_eq!(fs::read_to_string(machine.data().join("kept")).unwrap(), "data");
}

#[test]
fn a_disk_that_appears_late_is_waited_for() {
    let machine = Machine::with_data("ext4");
    let disk = machine.disk("disk", 64);
    disk.with("mkfs.ext4 -q $DISK");
    let (mut child, _) = machine.start_until("mount", "has not given this instance a slot yet");
    machine.metadata.assign(VOLUME);
    machine.attach(&disk, "nvme1n1", VOLUME);
    assert!(child.wait().unwrap().success());
    assert_eq!(machine.mounted().unwrap().0, "ext4");
}

#[test]
fn the_volumes_of_a_slot_are_mounted_one_below_the_other() {
    let machine = Machine::new(
        r#"{"volumes":{
            "commit-log":{"path":"ROOT/data/log","filesystem":"xfs","owner":"7:8","mode":"0700","directories":["a/b"]},
            "data":{"path":"ROOT/data"}}}"#,
    );
    let (data, log) = (machine.disk("data-disk", 64), machine.disk("log-disk", 512));
    machine.attach(&data, "nvme2n1", VOLUME);
    machine.attach(&log, "nvme1n1", OTHER);
    machine.metadata.assign(&format!("{VOLUME} blank"));
    machine.metadata.tag("stateful-asg:volume:commit-log", &format!("{OTHER} blank"));
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    let path = machine.data().join("log");
    assert_eq!(run(&format!("findmnt -no FSTYPE --mountpoint {}", path.display())), "xfs");
    assert_eq!(run(&format!("stat -c '%u:%g %a' {0} {0}/a/b", path.display())), "7:8 700\n7:8 700");
    let outcome = machine.run("unmount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(machine.mounted(), None);
}

#[test]
fn on_xen_the_device_name_finds_what_has_a_filesystem() {
    let machine = Machine::new(r#"{"volumes":{"data":{"path":"ROOT/data","device":"/dev/sdf"}}}"#);
    let disk = machine.disk("disk", 64);
    disk.with("mkfs.ext4 -q $DISK");
    machine.attach_xen(&disk, "xvdf");
    machine.metadata.assign(VOLUME);
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(machine.mounted().unwrap().0, "ext4");
}

/// A machine whose tags are off in the metadata, with two NVMe disks, whose EBS device names Amazon's `ebsnvme-id` reads: `nvme1n1` is
/// /dev/sdg there, and `nvme2n1` /dev/sdf.
fn without_tags() -> (Machine, instance_tests::Disk, instance_tests::Disk) {
    let machine = Machine::new(r#"{"volumes":{"data":{"path":"ROOT/data","device":"/dev/sdf"}}}"#);
    let (other, own) = (machine.disk("other", 64), machine.disk("own", 64));
    machine.attach(&other, "nvme1n1", OTHER);
    machine.attach(&own, "nvme2n1", VOLUME);
    machine.metadata.forget("tags/instance");
    machine.stand_in(
        "ebsnvme-id",
        "[ \"$1\" = -b ] || exit 1; case $2 in */nvme1n1) echo sdg;; */nvme2n1) echo sdf;; *) exit 1;; esac",
    );
    (machine, other, own)
}

#[test]
fn with_tags_off_the_name_that_ebs_left_in_the_nvme_disk_finds_what_has_a_filesystem() {
    let (machine, other, own) = without_tags();
    own.with("mkfs.ext4 -q $DISK");
    let before = other.checksum();
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(machine.mounted().unwrap().0, "ext4");
    let mounted = format!("findmnt -no MAJ:MIN --mountpoint {}", machine.data().display());
    assert_eq!(run(&mounted).trim(), own.number());
    assert_eq!(other.checksum(), before);
    // Nothing says which slot it has.
    let environment = fs::read_to_string(machine.root.join("run/env")).unwrap();
    assert!(!environment.contains("STATEFUL_ASG_SLOT"), "{environment}");
}

#[test]
fn with_tags_off_a_blank_disk_is_not_formatted_whatever_it_is_called() {
    let (machine, other, own) = without_tags();
    let before = (own.checksum(), other.checksum());
    let outcome = machine.run("mount");
    assert!(!outcome.success);
    let words = "what is known by a device name only is never formatted";
    assert!(outcome.said.contains(words), "{}", outcome.said);
    assert_eq!((own.checksum(), other.checksum()), before);
}

#[test]
fn with_tags_off_and_no_means_to_read_its_name_a_disk_is_waited_for_and_not_guessed() {
    let (machine, _other, own) = without_tags();
    own.with("mkfs.ext4 -q $DISK");
    machine.stand_in("ebsnvme-id", "exit 1");
    let (mut child, _) = machine.start_until("mount", "volume /dev/sdf (data) is not attached yet");
    assert_eq!(child.try_wait().unwrap(), None, "it does not wait");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(machine.mounted(), None);
}

/// A machine with its volume mounted, and this for its `leave`. What is asked of `systemctl` and `docker` is written down.
fn leaving(leave: &str) -> (Machine, instance_tests::Disk) {
    let configuration =
        format!(r#"{{"volumes":{{"data":{{"path":"ROOT/data"}}}},"leave":{leave}}}"#);
    let machine = Machine::new(&configuration);
    let disk = machine.disk("disk", 64);
    disk.with("mkfs.ext4 -q $DISK");
    machine.attach(&disk, "nvme1n1", VOLUME);
    machine.metadata.assign(VOLUME);
    // With each call whether the volume is still there: what uses it is stopped before it is unmounted.
    let asked = "mountpoint -q $HERE/data && at=mounted || at=unmounted; echo \"$at: ${0##*/} $*\" >>$HERE/asked";
    machine.stand_in("systemctl", asked);
    machine.stand_in("docker", &format!("{asked}; [ \"$1\" != ps ] || printf 'c1\\nc2\\n'"));
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    (machine, disk)
}

fn asked(machine: &Machine) -> String {
    fs::read_to_string(machine.root.join("asked")).unwrap_or_default()
}

#[test]
fn units_and_containers_are_stopped_then_it_unmounts_and_then_it_powers_off() {
    let leave =
        r#"{"units":["a.service","b.service"],"containers":true,"seconds":30,"powerOff":true}"#;
    let (machine, _disk) = leaving(leave);
    machine.metadata.say("autoscaling/target-lifecycle-state", "Terminated");
    let outcome = machine.drain();
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(machine.mounted(), None);
    assert_eq!(
        asked(&machine),
        "mounted: systemctl stop a.service b.service\nmounted: docker ps --quiet\n\
         mounted: docker stop --time 30 c1 c2\nunmounted: systemctl poweroff --no-block\n"
    );
}

#[test]
fn units_that_do_not_stop_in_time_are_killed() {
    let (machine, _disk) = leaving(r#"{"units":["a.service"],"seconds":1}"#);
    let script = "echo \"$*\" >>$HERE/asked; [ \"$1\" != stop ] || exec sleep 60";
    machine.stand_in("systemctl", script);
    machine.metadata.say("autoscaling/target-lifecycle-state", "Terminated");
    let outcome = machine.drain();
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(asked(&machine), "stop a.service\nkill --signal=KILL a.service\n");
    assert_eq!(machine.mounted(), None);
}

#[test]
fn what_can_not_be_unmounted_is_not_powered_off_under() {
    let (machine, _disk) = leaving(r#"{"powerOff":true}"#);
    let held = fs::File::create(machine.data().join("open")).unwrap();
    machine.metadata.say("autoscaling/target-lifecycle-state", "Terminated");
    let outcome = machine.drain();
    assert!(!outcome.success);
    assert_eq!(asked(&machine), "");
    assert!(machine.mounted().is_some());
    drop(held);
}

#[test]
fn a_rebalance_recommendation_counts_only_where_it_is_to() {
    let notice = r#"{"noticeTime":"2026-11-28T00:00:00Z"}"#;
    let (machine, _disk) = leaving(r#"{"onRebalance":true}"#);
    machine.metadata.say("events/recommendations/rebalance", notice);
    let outcome = machine.drain();
    assert!(outcome.said.contains("rebalance recommendation"), "{}", outcome.said);
    assert_eq!(machine.mounted(), None);

    // Elsewhere it goes on waiting: a second question after the end comes only after a whole look.
    let (machine, _disk) = leaving("{}");
    machine.metadata.say("events/recommendations/rebalance", notice);
    let (mut child, said) = machine.start("drain");
    let ended = machine.metadata.ends_before_asking(&mut child, "spot/instance-action", 2);
    assert!(!ended, "it lets go: {}", std::io::read_to_string(said).unwrap());
    assert!(machine.mounted().is_some());
    machine.metadata.say("autoscaling/target-lifecycle-state", "Terminated");
    assert!(child.wait().unwrap().success());
    let said = std::io::read_to_string(said).unwrap();
    assert!(said.contains("Auto Scaling wants it Terminated"), "{said}");
    assert!(!said.contains("rebalance"), "{said}");
}

#[track_caller]
fn drains_at(announce: impl Fn(&Metadata), words: &str) {
    let (machine, _disk) = with_filesystem("mkfs.ext4 -q $DISK", 64);
    assert!(machine.run("mount").success);
    announce(&machine.metadata);
    let outcome = machine.drain();
    assert!(outcome.success, "{}", outcome.said);
    assert!(outcome.said.contains(words), "{}", outcome.said);
    assert_eq!(machine.mounted(), None);
}

#[test]
fn a_termination_that_is_announced_unmounts() {
    let announce = |it: &Metadata| it.say("autoscaling/target-lifecycle-state", "Terminated");
    drains_at(announce, "Auto Scaling wants it Terminated");
}

#[test]
fn a_return_to_the_warm_pool_unmounts() {
    let announce = |it: &Metadata| it.say("autoscaling/target-lifecycle-state", "Warmed:Stopped");
    drains_at(announce, "Auto Scaling wants it Warmed:Stopped");
}

#[test]
fn a_spot_interruption_unmounts() {
    let announce = |it: &Metadata| it.say("spot/instance-action", r#"{"action":"terminate"}"#);
    drains_at(announce, "Spot interruption");
}

#[test]
fn what_is_still_in_use_is_named_and_stays_mounted() {
    let (machine, _disk) = with_filesystem("mkfs.ext4 -q $DISK", 64);
    assert!(machine.run("mount").success);
    let held = fs::File::create(machine.data().join("open")).unwrap();
    let outcome = machine.run("unmount");
    assert!(!outcome.success);
    assert!(outcome.said.contains("could not be unmounted"), "{}", outcome.said);
    assert!(machine.mounted().is_some());
    drop(held);
}
