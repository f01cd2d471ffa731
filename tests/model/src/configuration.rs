//! The named configurations: what there is, what happens, and what may go wrong how often.

use crate::cloud::Pace;

/// A world to explore to its last state.
#[derive(Debug, Clone, Copy)]
pub struct Configuration {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// How many slots the pool has.
    pub slots: u32,
    /// The volumes of each, by name.
    pub volumes: &'static [&'static str],
    /// The policy.
    pub policy: &'static str,
    /// How many instances are in service with a slot each at the beginning.
    pub in_service: u8,
    /// How many wait for one at the beginning.
    pub waiting: u8,
    /// How many there can be in all.
    pub instances: u8,
    /// Whether the pool's volumes are still to be adopted.
    pub unknown: bool,
    /// How many invocations are alive at once, at most.
    pub hands: usize,
    /// How many begin before all have ended or died, at most.
    pub begins: u8,
    /// How quickly EC2 attaches, detaches and stops.
    pub pace: Pace,
    /// The most instances that the group may have.
    pub most: u32,
    /// Whether nothing goes wrong, so that the events alone must bring everything right.
    pub unaided: bool,
    /// What happens, and how often at most.
    pub faults: Faults,
}

/// How often each thing may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// The group launches an instance into service.
    pub launches: u8,
    /// The group launches an instance into its warm pool.
    pub warm_launches: u8,
    /// The group takes an instance from its warm pool.
    pub warm_starts: u8,
    /// The group puts an instance back into its warm pool.
    pub returns: u8,
    /// The group terminates an instance.
    pub terminations: u8,
    /// A person terminates an instance in EC2.
    pub kills: u8,
    /// A hook times out.
    pub timeouts: u8,
    /// An event is delivered and will be once more.
    pub duplicates: u8,
    /// An EC2 event brings an instance up.
    pub notices: u8,
    /// Reconcile brings an instance up.
    pub sweeps: u8,
    /// An invocation dies.
    pub crashes: u8,
    /// A call takes effect and its answer is lost.
    pub lost_replies: u8,
    /// Describes begin to lag.
    pub lags: u8,
    /// Most of a function's time passes, with invocations alive.
    pub ticks: u8,
    /// Six minutes pass, with none alive.
    pub waits: u8,
}

const WAIT: &str = r#"{"pool":"p","whenEmpty":"wait"}"#;
const DETACH: &str = r#"{"pool":"p","whenEmpty":"wait","leave":{"mode":"detach"}}"#;

const CREATE: &str = r#"{"pool":"p","leave":{"mode":"detach"}}"#;

const TWO_VOLUMES: &str = r#"{"pool":"p","whenEmpty":"wait","leave":{"mode":"detach"},
    "volumes":[{"name":"data","device":"/dev/sdf"},{"name":"log","device":"/dev/sdg"}]}"#;

/// Nothing happens and nothing goes wrong.
const NOTHING: Faults = Faults {
    launches: 0,
    warm_launches: 0,
    warm_starts: 0,
    returns: 0,
    terminations: 0,
    kills: 0,
    timeouts: 0,
    duplicates: 0,
    notices: 0,
    sweeps: 0,
    crashes: 0,
    lost_replies: 0,
    lags: 0,
    ticks: 0,
    waits: 0,
};

const ONE: Configuration = Configuration {
    name: "one-instance",
    about: "one instance launches, serves and is terminated; its functions die anywhere",
    slots: 1,
    volumes: &["data"],
    policy: DETACH,
    in_service: 0,
    waiting: 0,
    instances: 1,
    unknown: false,
    hands: 1,
    begins: 1,
    pace: Pace::AtOnce,
    most: 2,
    unaided: false,
    faults: Faults { launches: 1, terminations: 1, sweeps: 1, crashes: 1, waits: 1, ..NOTHING },
};

/// Every configuration.
pub const ALL: &[Configuration] = &[
    ONE,
    Configuration {
        name: "one-instance-stopped",
        about: "the same, stopped before its volume is detached, and EC2 takes its time",
        policy: WAIT,
        pace: Pace::Slow,
        ..ONE
    },
    Configuration {
        name: "set-of-two-volumes",
        about: "the same with two volumes in the slot",
        volumes: &["data", "log"],
        policy: TWO_VOLUMES,
        pace: Pace::Slow,
        ..ONE
    },
    Configuration {
        name: "duplicate-events",
        about: "events come twice, and functions die and leave their guards behind",
        hands: 2,
        begins: 3,
        faults: Faults {
            launches: 1,
            terminations: 1,
            duplicates: 1,
            crashes: 1,
            ticks: 2,
            ..NOTHING
        },
        ..ONE
    },
    Configuration {
        name: "lost-replies",
        about: "a call takes effect and is not answered, and another function is there",
        hands: 2,
        begins: 2,
        faults: Faults { launches: 1, terminations: 1, sweeps: 1, lost_replies: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "two-instances-one-slot",
        about: "an instance leaves while its replacement waits for the slot; one of two functions dies",
        in_service: 1,
        instances: 2,
        hands: 2,
        begins: 2,
        faults: Faults { launches: 1, terminations: 1, sweeps: 1, crashes: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "wake-ups",
        about: "the same without a fault and without reconcile: whoever waits is served by the events alone",
        in_service: 1,
        instances: 2,
        hands: 2,
        begins: 2,
        unaided: true,
        faults: Faults { launches: 1, terminations: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "two-waiters-two-slots",
        about: "two instances leave at once while two wait: each is served, though both slots come free for the first",
        slots: 2,
        in_service: 2,
        waiting: 2,
        instances: 4,
        hands: 2,
        begins: 2,
        most: 4,
        unaided: true,
        faults: Faults { terminations: 2, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "killed-by-hand",
        about: "the same, and either instance may be terminated by a person",
        in_service: 1,
        instances: 2,
        hands: 2,
        begins: 2,
        faults: Faults { launches: 1, kills: 1, sweeps: 1, notices: 1, crashes: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "two-lives-through-a-warm-pool",
        about: "an instance in service goes back to the warm pool and comes again",
        in_service: 1,
        hands: 2,
        begins: 2,
        faults: Faults { sweeps: 1, returns: 1, warm_starts: 1, crashes: 1, waits: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "stale-describes",
        about: "an instance in service goes, and its replacement comes, while describes show what was",
        in_service: 1,
        instances: 2,
        hands: 2,
        begins: 2,
        faults: Faults { launches: 1, terminations: 1, sweeps: 1, lags: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "hook-timeouts",
        about: "an instance comes and goes, and hooks time out at any moment",
        hands: 2,
        begins: 2,
        faults: Faults {
            launches: 1,
            terminations: 1,
            sweeps: 1,
            timeouts: 1,
            waits: 1,
            ..NOTHING
        },
        ..ONE
    },
    Configuration {
        name: "adoption",
        about: "two instances launch over two volumes that no record knows",
        slots: 2,
        unknown: true,
        instances: 2,
        hands: 2,
        begins: 2,
        faults: Faults { launches: 2, crashes: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "growth-and-adoption",
        about: "two instances launch over one volume that no record knows, and the pool may grow",
        policy: CREATE,
        unknown: true,
        instances: 2,
        hands: 2,
        begins: 2,
        faults: Faults { launches: 2, crashes: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "three-instances-two-slots",
        about: "two instances hold both slots; one or both leave while a third waits",
        slots: 2,
        in_service: 2,
        instances: 3,
        hands: 2,
        begins: 2,
        most: 3,
        faults: Faults { launches: 1, terminations: 2, sweeps: 1, ..NOTHING },
        ..ONE
    },
    Configuration {
        name: "three-functions",
        about: "three functions at once on an instance that comes and goes",
        hands: 3,
        begins: 3,
        faults: Faults { launches: 1, terminations: 1, sweeps: 1, duplicates: 1, ..NOTHING },
        ..ONE
    },
];

/// The configuration of that name.
pub fn named(name: &str) -> Option<Configuration> {
    ALL.iter().find(|configuration| configuration.name == name).copied()
}
