//! Policies, drawn at random, and as the JSON that a launch hook carries.

use serde_json::{Value, json};

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPlan {
    /// The pool.
    pub pool: String,
    /// `mode`
    pub observe: bool,
    /// `whenEmpty`
    pub creates: bool,
    /// `maxSlotsPerZone`
    pub most: Option<u32>,
    /// `waitSeconds`
    pub wait_seconds: u32,
    /// `onTimeout`
    pub on_timeout: &'static str,
    /// `staleAfterHours`
    pub stale_after: Option<u32>,
    /// `leave.mode`
    pub leave: &'static str,
    /// `leave.seconds`
    pub leave_seconds: u32,
    /// How many volumes a slot has.
    pub volumes: usize,
    /// The key that new volumes are encrypted with.
    pub key: bool,
}

/// The key that policies name.
pub(crate) const KEY: &str = "alias/db";
/// The names and devices of a slot's volumes.
pub(crate) const VOLUMES: [(&str, &str); 3] =
    [("data", "/dev/sdf"), ("log", "/dev/sdg"), ("wal", "/dev/sdh")];

impl PolicyPlan {
    pub(crate) fn drawn(rng: &mut fastrand::Rng, pool: &str, sets: bool) -> Self {
        let several = rng.usize(2..=3);
        Self {
            pool: pool.to_owned(),
            observe: rng.u32(0..20) == 0,
            creates: rng.bool(),
            most: (rng.u32(0..3) == 0).then_some(rng.u32(1..=6)),
            wait_seconds: [30, 120, 600, 3_600][rng.usize(0..4)],
            on_timeout: ["hold", "abandon", "create"][rng.usize(0..3)],
            stale_after: (rng.u32(0..6) == 0).then_some(1),
            leave: ["stop", "stop", "detach", "terminate", "guest"][rng.usize(0..5)],
            leave_seconds: [20, 120, 300][rng.usize(0..3)],
            volumes: if sets { several } else { 1 },
            key: rng.u32(0..4) == 0,
        }
    }

    /// Another one for the same pool, as a deploy brings it. What a slot consists of stays.
    pub(crate) fn changed(&self, rng: &mut fastrand::Rng) -> Self {
        Self { volumes: self.volumes, ..Self::drawn(rng, &self.pool, false) }
    }

    /// As the launch hook carries it.
    pub(crate) fn json(&self) -> String {
        let volumes: Vec<Value> =
            VOLUMES.iter().take(self.volumes).map(|it| self.volume(*it)).collect();
        let mut policy = json!({
            "pool": self.pool,
            "mode": if self.observe { "observe" } else { "enforce" },
            "whenEmpty": if self.creates { "create" } else { "wait" },
            "waitSeconds": self.wait_seconds,
            "onTimeout": self.on_timeout,
            "leave": {"mode": self.leave, "seconds": self.leave_seconds},
            "volumes": volumes,
        });
        if let Some(most) = self.most {
            policy["maxSlotsPerZone"] = json!(most);
        }
        if let Some(hours) = self.stale_after {
            policy["staleAfterHours"] = json!(hours);
        }
        policy.to_string()
    }

    fn volume(&self, (name, device): (&str, &str)) -> Value {
        let mut template = json!({"sizeGiB": 10});
        if self.key {
            template["kmsKeyId"] = json!(KEY);
        }
        json!({"name": name, "device": device, "template": template})
    }
}
