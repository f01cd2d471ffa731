//! The examples, as far as they go without AWS and without a registry of images: their user data is run, their units are verified, etcd
//! runs with three members, and for Cassandra and Kafka a stand-in for Docker tells what it would have been asked.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use instance_tests::{Disk, Machine, output, run};

const VOLUME: &str = "vol-0123456789abcdef0";
/// Where the installation's archive was unpacked, as the README says.
const INSTALLATION: &str = "/root/instance";

fn example(path: &str) -> String {
    fs::read_to_string(format!("{INSTALLATION}/examples/{path}")).unwrap()
}

/// What a unit has for this key, a word after the other, in one line.
fn setting(unit: &str, key: &str) -> String {
    let joined = unit.replace("\\\n", " ");
    let line = joined.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    line.unwrap().to_owned()
}

fn executable(path: &str, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A machine with the configuration of an example, whose volume is mounted.
fn machine(example_name: &str, slot: &str, disk: Option<&Disk>) -> (Machine, Option<Disk>) {
    let configuration = example(&format!("{example_name}/stateful-asg.json"));
    let path = format!("/var/lib/{example_name}");
    let machine = Machine::new(&configuration.replace(&path, "ROOT/data"));
    // The least that XFS takes, and an ext4 on which etcd has room for its log.
    let new = disk.is_none().then(|| machine.disk("disk", 320));
    machine.attach(disk.or(new.as_ref()).unwrap(), "nvme1n1", VOLUME);
    let permission = if disk.is_none() { " blank" } else { "" };
    machine.metadata.assign(&format!("{VOLUME}{permission}"));
    machine.metadata.tag("stateful-asg:slot", &format!("{example_name}-{slot}"));
    machine.metadata.tag("stateful-asg:index", slot);
    let outcome = machine.run("mount");
    assert!(outcome.success, "{}", outcome.said);
    (machine, new)
}

/// The user data of an example, run to its end in this system, over `/etc` and `/usr/local` as they would become; then `check`. Only what
/// it would be given is another: where the archive is, and the package managers, which do nothing.
#[track_caller]
fn user_data(example_name: &str, check: &str) {
    let script = example(&format!("{example_name}/user-data.sh"));
    let here = format!("/tmp/user-data-{example_name}");
    run(&format!("mkdir -p {here}/bin {here}/etc {here}/etc.work {here}/local {here}/local.work"));
    let lines = script
        .lines()
        .map(|line| if line.starts_with("ARTIFACTS=") { "ARTIFACTS=file:///root" } else { line });
    let script = lines.collect::<Vec<_>>().join("\n");
    fs::write(format!("{here}/script"), script).unwrap();
    for manager in ["dnf", "apt-get"] {
        executable(&format!("{here}/bin/{manager}"), "#!/bin/sh\n");
    }
    let inside = format!(
        "mount -t overlay overlay -o lowerdir=/etc,upperdir={here}/etc,workdir={here}/etc.work /etc; \
         mount -t overlay overlay -o lowerdir=/usr/local,upperdir={here}/local,workdir={here}/local.work /usr/local; \
         rm -f /usr/local/sbin/stateful-asg-instance /etc/systemd/system/multi-user.target.wants/stateful-asg-*; \
         printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/docker.service; \
         echo \"127.0.1.1 $(hostname)\" >>/etc/hosts; \
         PATH={here}/bin:$PATH SYSTEMD_OFFLINE=1 bash {here}/script; \
         /usr/local/sbin/stateful-asg-instance unmount; \
         test -L /etc/systemd/system/multi-user.target.wants/stateful-asg-mount.service; \
         test -L /etc/systemd/system/multi-user.target.wants/stateful-asg-drain.service; \
         test -L /etc/systemd/system/multi-user.target.wants/{example_name}.service; {check}"
    );
    fs::write(format!("{here}/inside"), inside).unwrap();
    run(&format!("unshare --mount --propagation private sh -ec '. {here}/inside'"));
}

#[test]
fn the_user_data_of_each_example_runs_to_its_end() {
    user_data("cassandra", "grep -q '^SEEDS=' /etc/cassandra.env");
    user_data("kafka", "grep -q '^CLUSTER_ID=' /etc/kafka.env");
    user_data("etcd", "grep -q '^ENDPOINTS=' /etc/etcd.env; test -x /usr/local/lib/etcd-member");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    run("mkdir -p /tmp/units");
    run(&format!(
        "cp {INSTALLATION}/units/*.service {INSTALLATION}/examples/*/*.service /tmp/units"
    ));
    // What the units name and this system lacks.
    install_etcd_member();
    executable("/usr/bin/docker", "#!/bin/sh\n");
    fs::write("/tmp/units/docker.service", "[Service]\nExecStart=/bin/true\n").unwrap();
    let verify =
        "SYSTEMD_UNIT_PATH=/tmp/units: systemd-analyze verify --man=no /tmp/units/*.service";
    let (success, said) = output(verify);
    fs::remove_file("/usr/bin/docker").unwrap();
    assert!(success, "{said}");
    assert_eq!(said, "");
}

/// What the unit of an example asks of Docker, once its volume is mounted, with these settings of its user data.
fn asked_of_docker(example_name: &str, settings: &str) -> String {
    let (machine, _disk) = machine(example_name, "7", None);
    machine.stand_in("docker", "for word; do printf '%s\\n' \"$word\"; done");
    let start = setting(&example(&format!("{example_name}/{example_name}.service")), "ExecStart");
    let start = start.replace("/usr/bin/docker", &format!("{}/bin/docker", machine.root.display()));
    run(&format!("set -a; . {}/run/env; {settings}; {start}", machine.root.display()))
}

#[test]
fn cassandra_is_started_on_the_volume_in_the_rack_of_its_zone() {
    let asked = asked_of_docker("cassandra", "CLUSTER=example SEEDS=10.0.0.10 REGION=eu-central-1");
    for words in [
        "--volume\n/var/lib/cassandra:/var/lib/cassandra",
        "--env\nCASSANDRA_RACK=eu-central-1a",
        "--env\nCASSANDRA_DC=eu-central-1",
        "--env\nCASSANDRA_SEEDS=10.0.0.10",
    ] {
        assert!(asked.contains(words), "{words} is not in {asked}");
    }
}

#[test]
fn a_kafka_broker_has_the_index_of_its_slot_for_its_id() {
    let asked = asked_of_docker("kafka", "HOST=h CLUSTER_ID=c CONTROLLERS=d:9093");
    for words in [
        "--volume\n/var/lib/kafka:/var/lib/kafka",
        "--env\nKAFKA_NODE_ID=7",
        "--env\nKAFKA_BROKER_RACK=eu-central-1a",
        "--env\nKAFKA_ADVERTISED_LISTENERS=PLAINTEXT://h:9092",
    ] {
        assert!(asked.contains(words), "{words} is not in {asked}");
    }
}

/// The example's script, where its unit looks for it.
fn install_etcd_member() {
    static DONE: Once = Once::new();
    DONE.call_once(|| executable("/usr/local/lib/etcd-member", &example("etcd/etcd-member")));
}

/// An etcd member on its own host of this network, as its unit starts it.
struct Member {
    etcd: Child,
    machine: Machine,
}

impl Member {
    /// Starts the member of a slot at this address, with the disk that has its data, or a new one.
    fn start(slot: &str, address: &str, disk: Option<&Disk>) -> (Self, Option<Disk>) {
        let (machine, new) = machine("etcd", slot, disk);
        let host = address.replace('.', "-");
        run(&format!(
            "ip netns add {host}; ip link add v{slot}{} type veth peer name eth0 netns {host}; \
             ip link set v{slot}{} master ring up; ip -n {host} addr add {address}/24 dev eth0; \
             ip -n {host} link set eth0 up; ip -n {host} link set lo up",
            u8::from(disk.is_some()),
            u8::from(disk.is_some()),
        ));
        // Its host has no other's disks: what this test has mounted for them it lets go of.
        let unit = example("etcd/etcd.service");
        let (before, start) = (setting(&unit, "ExecStartPre"), setting(&unit, "ExecStart"));
        let inside = format!(
            "set -e; mount --bind {} /var/lib/etcd; umount /tmp/machine-*/data 2>/dev/null || true; set -a; . {}/run/env; . /tmp/etcd.env; set +a\n\
             exec setpriv --reuid=etcd --regid=etcd --clear-groups sh -ec '{before}; . /tmp/etcd-start'\n",
            machine.data().display(),
            machine.root.display(),
        );
        let script = machine.root.join("start");
        fs::write(&script, inside).unwrap();
        fs::write("/tmp/etcd-start", format!("exec {start}\n")).unwrap();
        let log = fs::File::create(format!("/tmp/etcd-{host}.log")).unwrap();
        let etcd = Command::new("ip")
            .args(["netns", "exec", &host, "unshare", "--mount", "--propagation", "private", "sh"])
            .arg(script)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        (Self { etcd, machine }, new)
    }

    /// Its power fails. The kernel takes its mounts down in its own time; then the disk is free.
    fn cut(mut self, disk: &Disk) {
        self.etcd.kill().unwrap();
        self.etcd.wait().unwrap();
        let name = disk.device.trim_start_matches("/dev/");
        let free = format!("while [ -e /sys/fs/ext4/{name} ]; do sleep 0.1; done");
        run(&format!("umount {}; {free}", self.machine.data().display()));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

/// Asks etcd at this address, until it has an answer: members that have just started have no leader yet.
#[track_caller]
fn etcdctl(address: &str, words: &str) -> String {
    const TRIES: usize = 30;
    let line = format!("etcdctl --endpoints http://{address}:2379 --command-timeout 5s {words}");
    let mut said = String::new();
    for _ in 0..TRIES {
        let (success, text) = output(&line);
        if success {
            return text;
        }
        said = text;
        // Where it refuses connections it has said so at once.
        let _ = output("timeout 1 tail -f /dev/null");
    }
    panic!("{line}: {said}; {}", output("tail -n 5 /tmp/etcd-*.log").1)
}

#[test]
fn an_etcd_member_comes_back_at_another_address_with_its_data() {
    install_etcd_member();
    run(
        "ip link set lo up; ip link add ring type bridge; ip addr add 10.77.0.1/24 dev ring; ip link set ring up",
    );
    let settings = "INITIAL_CLUSTER=etcd-0=http://10.77.0.10:2380,etcd-1=http://10.77.0.11:2380,etcd-2=http://10.77.0.12:2380\n\
                    ENDPOINTS=http://10.77.0.10:2379,http://10.77.0.11:2379,http://10.77.0.12:2379\n";
    fs::write("/tmp/etcd.env", settings).unwrap();
    let (first, disk) = Member::start("0", "10.77.0.10", None);
    let others = [Member::start("1", "10.77.0.11", None), Member::start("2", "10.77.0.12", None)];
    assert_eq!(etcdctl("10.77.0.10", "put written before"), "OK");
    etcdctl("10.77.0.11", "endpoint health --cluster");
    let id = |list: &str| {
        let line = list.lines().find(|line| line.contains(", etcd-0, ")).unwrap().to_owned();
        line.split(',').next().unwrap().to_owned()
    };
    let before = id(&etcdctl("10.77.0.11", "member list"));

    let disk = disk.unwrap();
    first.cut(&disk);
    assert_eq!(etcdctl("10.77.0.11", "put written meanwhile"), "OK");
    let (back, _) = Member::start("0", "10.77.0.13", Some(&disk));
    assert_eq!(etcdctl("10.77.0.13", "get --print-value-only written"), "meanwhile");
    let list = etcdctl("10.77.0.11", "member list");
    assert_eq!(list.lines().count(), 3, "{list}");
    assert_eq!(id(&list), before, "it is another member: {list}");
    assert!(list.contains("etcd-0, http://10.77.0.13:2380"), "{list}");
    // All three take part: with one of the others gone, two are still enough.
    let [second, third] = others;
    etcdctl("10.77.0.13", "endpoint health --cluster");
    second.0.cut(second.1.as_ref().unwrap());
    assert_eq!(etcdctl("10.77.0.13", "put written after"), "OK");
    assert_eq!(etcdctl("10.77.0.12", "get --print-value-only written"), "after");
    drop((back, third));
}
