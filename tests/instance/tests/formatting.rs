//! What must not be formatted, over real disks: whatever is on them, each is the same to the last bit afterwards. And
//! what may be.

#![cfg(test)]

use std::fs;

use instance_tests::{Disk, MIB, Machine, run};

const VOLUME: &str = "vol-0123456789abcdef0";
const OTHER: &str = "vol-0fedcba9876543210";

/// The volume, with the permission to format it.
fn granted() -> String {
    format!("{VOLUME} blank")
}

/// A machine with a disk of this size that is the volume of its slot, and may be formatted.
fn machine(mib: u64) -> (Machine, Disk) {
    let machine = Machine::with_data("ext4");
    let disk = machine.disk("disk", mib);
    machine.attach(&disk, "nvme1n1", VOLUME);
    machine.metadata.assign(&granted());
    (machine, disk)
}

/// Asserts that the machine's boot stops with these words, and that every bit of the disks is as it was.
#[track_caller]
fn refuses(machine: &Machine, disks: &[&Disk], words: &str) {
    let before: Vec<String> = disks.iter().map(|disk| disk.checksum()).collect();
    let outcome = machine.run("mount");
    assert!(!outcome.success, "{}", outcome.said);
    assert!(outcome.said.contains(words), "{words:?} is not in: {}", outcome.said);
    let after: Vec<String> = disks.iter().map(|disk| disk.checksum()).collect();
    assert_eq!(before, after, "{}", outcome.said);
    assert_eq!(machine.mounted(), None);
    assert!(!machine.root.join("run/env").exists());
}

/// Asserts that the machine waits with these words, and that every bit of the disks is as it was.
#[track_caller]
fn waits(machine: &Machine, disks: &[&Disk], words: &str) {
    let before: Vec<String> = disks.iter().map(|disk| disk.checksum()).collect();
    let (mut child, _) = machine.start_until("mount", words);
    assert_eq!(child.try_wait().unwrap(), None, "it does not wait");
    child.kill().unwrap();
    child.wait().unwrap();
    let after: Vec<String> = disks.iter().map(|disk| disk.checksum()).collect();
    assert_eq!(before, after);
    assert_eq!(machine.mounted(), None);
}

/// A disk of 64 MiB prepared so, with every permission, is left alone.
#[track_caller]
fn kept(prepare: &str, words: &str) {
    let (machine, disk) = machine(64);
    disk.with(prepare);
    refuses(&machine, &[&disk], words);
}

// Whatever is known to be something.

#[test]
fn btrfs_is_not_formatted() {
    let (machine, disk) = machine(128);
    disk.with("mkfs.btrfs -q $DISK");
    refuses(&machine, &[&disk], "it holds btrfs");
}

#[test]
fn ext3_is_not_formatted() {
    kept("mkfs.ext3 -q $DISK", "it holds ext3");
}

#[test]
fn fat_is_not_formatted() {
    kept("mkfs.vfat $DISK", "it holds");
}

#[test]
fn swap_is_not_formatted() {
    kept("mkswap $DISK", "it holds swap");
}

#[test]
fn luks_is_not_formatted() {
    kept(
        "printf secret | cryptsetup luksFormat --type luks1 --batch-mode --pbkdf-force-iterations 1000 $DISK - || \
         printf 'LUKS\\272\\276\\000\\002' | dd of=$DISK conv=notrunc status=none",
        "it holds",
    );
}

#[test]
fn a_physical_volume_of_lvm_is_not_formatted() {
    // The label of lvm2: in the second sector, LABELONE, its sector number, a checksum, an offset, and its type.
    let (machine, disk) = machine(64);
    lvm_label(&disk);
    refuses(&machine, &[&disk], "it holds LVM2_member");
}

#[test]
fn a_member_of_a_raid_is_not_formatted() {
    let (machine, disk) = machine(64);
    raid_superblock(&disk);
    refuses(&machine, &[&disk], "it holds linux_raid_member");
}

#[test]
fn a_gpt_is_not_formatted() {
    kept("echo ',,L' | sfdisk -q --label gpt $DISK", "a partition table (gpt)");
}

#[test]
fn an_empty_gpt_is_not_formatted() {
    kept("echo 'label: gpt' | sfdisk -q $DISK", "a partition table (gpt)");
}

#[test]
fn an_mbr_is_not_formatted() {
    kept("echo ',,L' | sfdisk -q --label dos $DISK", "a partition table (dos)");
}

#[test]
fn a_partition_with_a_filesystem_is_not_formatted() {
    kept(
        "echo '2048,,L' | sfdisk -q --label dos $DISK; \
         P=$(losetup --find --show --offset 1048576 $DISK); mkfs.ext4 -q $P; losetup -d $P",
        "a partition table (dos)",
    );
}

#[test]
fn a_gpt_of_which_only_the_copy_at_the_end_is_left_is_not_formatted() {
    kept(
        "echo ',,L' | sfdisk -q --label gpt $DISK; dd if=/dev/zero of=$DISK bs=1M count=1 conv=notrunc status=none",
        "it holds",
    );
}

#[test]
fn a_member_of_a_zpool_is_not_formatted() {
    let (machine, disk) = machine(64);
    // Uberblocks: in each of the four labels, 128 KiB into it, 1 KiB apart; libblkid wants some of them.
    for label in [0, 256 * 1024] {
        for uberblock in 0..16 {
            let offset = label + 128 * 1024 + uberblock * 1024;
            disk.write(offset, &0x00ba_b10c_u64.to_le_bytes());
        }
    }
    refuses(&machine, &[&disk], "it holds");
}

#[test]
fn two_signatures_at_once_are_not_formatted() {
    kept(
        "mkswap $DISK; mkfs.xfs -q -f $DISK 2>/dev/null || mkfs.ext4 -q -F $DISK; \
          printf 'SWAPSPACE2' | dd of=$DISK bs=1 seek=4086 conv=notrunc status=none; \
          printf '\\125\\252' | dd of=$DISK bs=1 seek=510 conv=notrunc status=none",
        "it holds",
    );
}

// Whatever nobody knows.

#[test]
fn garbage_in_the_first_megabyte_is_not_formatted() {
    let (machine, disk) = machine(64);
    disk.write(700_001, b"x");
    refuses(&machine, &[&disk], "data that nothing here knows, at byte 700001");
}

#[test]
fn garbage_in_the_last_megabyte_is_not_formatted() {
    let (machine, disk) = machine(64);
    disk.write(-17, b"x");
    refuses(&machine, &[&disk], &format!("at byte {}", 64 * MIB - 17));
}

#[test]
fn a_single_byte_in_the_middle_is_not_formatted() {
    let (machine, disk) = machine(64);
    disk.write(33_000_000, b"x");
    refuses(&machine, &[&disk], "at byte 33000000");
}

#[test]
fn garbage_all_over_is_not_formatted() {
    kept("dd if=/dev/urandom of=$DISK bs=1M count=64 conv=notrunc status=none", "it holds");
}

// Filesystems that are not whole.

#[test]
fn a_filesystem_whose_first_megabyte_was_wiped_is_not_formatted() {
    kept(
        "mkfs.ext4 -q $DISK; dd if=/dev/zero of=$DISK bs=1M count=1 conv=notrunc status=none",
        "data that nothing here knows",
    );
}

#[test]
fn a_filesystem_whose_superblock_was_zeroed_is_not_formatted() {
    kept(
        "mkfs.ext4 -q $DISK; dd if=/dev/zero of=$DISK bs=1024 seek=1 count=1 conv=notrunc status=none",
        "data that nothing here knows",
    );
}

#[test]
fn a_large_filesystem_of_which_only_copies_of_the_superblock_are_left_is_not_formatted() {
    // 1 GiB in blocks of 4 KiB: a copy at 128 MiB, and the disk is sampled.
    let (machine, disk) = machine(1024);
    disk.with("mkfs.ext4 -q -b 4096 $DISK; dd if=$DISK of=/tmp/copy bs=4096 skip=32768 count=1 status=none; \
               truncate -s 0 $(losetup --noheadings --output BACK-FILE $DISK); \
               truncate -s 1G $(losetup --noheadings --output BACK-FILE $DISK); \
               blockdev --flushbufs $DISK; dd if=/tmp/copy of=$DISK bs=4096 seek=32768 conv=notrunc status=none");
    refuses(&machine, &[&disk], "data that nothing here knows, at byte 134217");
}

#[test]
fn an_xfs_whose_first_superblock_was_wiped_is_not_formatted() {
    let (machine, disk) = machine(512);
    disk.with("mkfs.xfs -q $DISK; dd if=/dev/zero of=$DISK bs=1M count=1 conv=notrunc status=none");
    refuses(&machine, &[&disk], "data that nothing here knows");
}

#[test]
fn a_half_made_filesystem_is_not_formatted() {
    // mke2fs writes its superblock last: what a crash in the middle of it leaves.
    kept(
        "mkfs.ext4 -q $DISK; dd if=/dev/zero of=$DISK bs=1024 seek=1 count=1 conv=notrunc status=none; \
         dd if=/dev/zero of=$DISK bs=1M seek=32 count=32 conv=notrunc status=none",
        "data that nothing here knows",
    );
}

#[test]
fn an_ext4_beyond_repair_is_neither_mounted_nor_formatted() {
    let (machine, disk) = machine(64);
    // A superblock whose checksum is wrong, and whose state is wrong as well.
    disk.with("mkfs.ext4 -q $DISK");
    disk.write(1024 + 4, &[0xff, 0xff, 0xff, 0x7f]);
    refuses(&machine, &[&disk], "is not mounted");
}

#[test]
fn an_xfs_that_can_not_be_mounted_is_not_formatted() {
    let (machine, disk) = machine(512);
    disk.with("mkfs.xfs -q $DISK");
    // Its log, and the root inode's allocation group, are rubbish.
    disk.write(4096, &vec![0xa5; 65536]);
    refuses(&machine, &[&disk], "is not mounted");
}

// Disks that fail.

#[test]
fn a_disk_that_can_not_be_read_to_its_end_is_not_formatted() {
    let (machine, disk) = machine(64);
    // The file ends before the disk does: reads beyond fail.
    run(&format!("truncate -s 40M {}", disk.file.display()));
    refuses(&machine, &[&disk], "is not mounted, and nothing was changed");
}

#[test]
fn a_disk_that_is_in_use_is_not_formatted() {
    let (machine, disk) = machine(64);
    disk.with("mkfs.ext4 -q $DISK");
    let elsewhere = machine.root.join("log");
    run(&format!("mkdir {0}; mount -o ro {1} {0}", elsewhere.display(), disk.device));
    refuses(&machine, &[&disk], "it can't be read: ");
    run(&format!("umount {}", elsewhere.display()));
}

// Permission.

#[test]
fn a_blank_volume_without_the_permission_is_not_formatted() {
    // Adopted, from a snapshot, or released before: the control plane says nothing more than the volume's id.
    let (machine, disk) = machine(64);
    machine.metadata.assign(VOLUME);
    refuses(&machine, &[&disk], "the control plane does not say that it may be formatted");
}

#[test]
fn a_permission_for_another_volume_is_none_for_this_one() {
    let (machine, disk) = machine(64);
    machine.metadata.assign(&format!("{OTHER} blank"));
    waits(&machine, &[&disk], "volume vol-0fedcba9876543210 (data) is not attached yet");
}

#[test]
fn a_word_that_is_no_permission_is_none() {
    let (machine, disk) = machine(64);
    machine.metadata.assign(&format!("{VOLUME} BLANK"));
    waits(&machine, &[&disk], "has no volume data by the instance's tags");
}

#[test]
fn with_tags_off_in_the_metadata_nothing_is_formatted() {
    let (machine, disk) = machine(64);
    machine.metadata.forget("tags/instance");
    refuses(&machine, &[&disk], "instance tags are off in the metadata");
}

#[test]
fn what_is_known_by_its_device_name_only_is_not_formatted() {
    let configuration = r#"{"volumes":{"data":{"path":"ROOT/data","device":"/dev/sdf"}}}"#;
    let machine = Machine::new(configuration);
    let disk = machine.disk("disk", 64);
    machine.attach_xen(&disk, "xvdf");
    machine.metadata.assign(&granted());
    refuses(&machine, &[&disk], "what is known by a device name only is never formatted");
}

#[test]
fn while_the_metadata_service_is_silent_nothing_is_formatted() {
    let (mut machine, disk) = machine(64);
    // Nobody listens there.
    machine.metadata.address = "http://127.0.0.1:1".to_owned();
    waits(&machine, &[&disk], "waiting: the instance metadata service does not answer");
}

#[test]
fn an_instance_that_is_to_be_terminated_formats_nothing_any_more() {
    let (machine, disk) = machine(64);
    machine.metadata.say("autoscaling/target-lifecycle-state", "Terminated");
    refuses(&machine, &[&disk], "the instance is to be terminated");
}

#[test]
fn an_instance_without_a_slot_formats_nothing() {
    let machine = Machine::with_data("ext4");
    let disk = machine.disk("disk", 64);
    machine.attach(&disk, "nvme1n1", VOLUME);
    waits(&machine, &[&disk], "the control plane has not given this instance a slot yet");
}

// The wrong disk.

#[test]
fn a_disk_with_another_serial_number_is_not_touched() {
    let machine = Machine::with_data("ext4");
    let disk = machine.disk("disk", 64);
    machine.attach(&disk, "nvme1n1", OTHER);
    machine.metadata.assign(&granted());
    waits(&machine, &[&disk], "volume vol-0123456789abcdef0 (data) is not attached yet");
}

#[test]
fn of_two_disks_with_one_serial_number_neither_is_touched() {
    let (machine, disk) = machine(64);
    let copy = machine.disk("copy", 64);
    machine.attach(&copy, "nvme2n1", VOLUME);
    refuses(&machine, &[&disk, &copy], "two disks");
}

#[test]
fn a_node_that_is_another_device_than_sysfs_says_is_not_touched() {
    let (machine, disk) = machine(64);
    let other = machine.disk("other", 64);
    machine.node(&other, "nvme1n1");
    refuses(&machine, &[&disk, &other], "is not the device");
}

#[test]
fn two_disks_that_are_swapped_go_by_their_serial_numbers() {
    let machine = Machine::with_data("ext4");
    let (own, other) = (machine.disk("own", 64), machine.disk("other", 64));
    other.with("mkfs.ext4 -q -L other $DISK");
    // The names are the other way round than they were when the volume was attached.
    machine.attach(&other, "nvme1n1", OTHER);
    machine.attach(&own, "nvme2n1", VOLUME);
    machine.metadata.assign(&granted());
    let before = other.checksum();
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(other.checksum(), before);
    assert!(run("cat /proc/mounts").contains(machine.data().to_str().unwrap()));
    assert_eq!(run(&format!("blkid -p -s TYPE -o value {}", own.device)), "ext4");
}

#[test]
fn with_one_of_two_volumes_refused_the_other_is_not_touched_either() {
    let machine =
        Machine::new(r#"{"volumes":{"data":{"path":"ROOT/data"},"log":{"path":"ROOT/log"}}}"#);
    let (data, log) = (machine.disk("data-disk", 64), machine.disk("log-disk", 64));
    machine.attach(&data, "nvme1n1", VOLUME);
    machine.attach(&log, "nvme2n1", OTHER);
    log.write(5_000_000, b"x");
    machine.metadata.assign(&granted());
    machine.metadata.tag("stateful-asg:volume:log", &format!("{OTHER} blank"));
    refuses(&machine, &[&data, &log], "volume vol-0fedcba9876543210 (log) is not mounted");
}

// What may be formatted.

#[track_caller]
fn formats(filesystem: &str, mib: u64) {
    let machine = Machine::with_data(filesystem);
    let disk = machine.disk("disk", mib);
    machine.attach(&disk, "nvme1n1", VOLUME);
    machine.metadata.assign(&granted());
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(machine.mounted().unwrap().0, filesystem);
    fs::write(machine.data().join("kept"), "data").unwrap();
    run(&format!("umount {}", machine.data().display()));
    // The permission still stands, as it does until the slot's first release: the data is mounted, not formatted.
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    assert_eq!(fs::read_to_string(machine.data().join("kept")).unwrap(), "data");
    assert!(!outcome.said.contains("mkfs"), "{}", outcome.said);
}

#[test]
fn a_blank_volume_with_the_permission_is_formatted_as_ext4_once() {
    formats("ext4", 64);
}

#[test]
fn a_blank_volume_with_the_permission_is_formatted_as_xfs_once() {
    formats("xfs", 512);
}

#[test]
fn a_large_blank_volume_is_formatted_though_it_is_only_sampled() {
    formats("ext4", 2048);
}

/// The label of an LVM2 physical volume, with the checksum that libblkid asks for.
fn lvm_label(disk: &Disk) {
    let mut sector = [0_u8; 512];
    sector[..8].copy_from_slice(b"LABELONE");
    sector[8..16].copy_from_slice(&1_u64.to_le_bytes());
    sector[20..24].copy_from_slice(&32_u32.to_le_bytes());
    sector[24..32].copy_from_slice(b"LVM2 001");
    sector[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyzABCDEF");
    // A CRC-32 from another start, over what follows it.
    let mut sum = 0xf597_a6cf_u32;
    for byte in &sector[20..] {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    sector[16..20].copy_from_slice(&sum.to_le_bytes());
    disk.write(512, &sector);
}

/// A superblock of Linux software RAID, version 1.2, with its checksum.
fn raid_superblock(disk: &Disk) {
    let mut block = [0_u8; 256];
    block[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    block[4..8].copy_from_slice(&1_u32.to_le_bytes());
    block[16..32].copy_from_slice(&[7; 16]);
    block[144..152].copy_from_slice(&8_u64.to_le_bytes());
    let words = block
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
    let sum: u64 = words.sum();
    let sum = u32::try_from((sum & 0xffff_ffff) + (sum >> 32)).unwrap();
    block[216..220].copy_from_slice(&sum.to_le_bytes());
    disk.write(4096, &block);
}
