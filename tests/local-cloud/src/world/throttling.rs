//! Request limits: one bucket of tokens for an API, or for several, that each request takes one from and that time
//! fills again. The numbers are the account's in one region (Amazon EC2 Developer Guide, "Request throttling for the
//! Amazon EC2 API"). Calls come as fast as they come whatever the world's speed, so buckets fill by its clock.

use volume_pool::Timestamp;

use super::World;
use super::errors::ApiError;

/// How much a bucket holds, and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The most tokens it holds.
    pub size: u32,
    /// Tokens that it gets in a second.
    pub refill_per_second: u32,
}

impl Bucket {
    /// A bucket of so many tokens that gets so many in a second.
    pub const fn new(size: u32, refill_per_second: u32) -> Self {
        Self { size, refill_per_second }
    }
}

/// Whether the mutating APIs that have no bucket of their own take from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MutatingBuckets {
    /// One for all of them, as the EBS CSI driver found it.
    Shared,
    /// One for each, as EC2's documentation has it.
    PerApi,
}

/// The limits of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttling {
    /// Each non-mutating EC2 API.
    pub non_mutating: Bucket,
    /// `DescribeVolumes` and `DescribeInstances` with neither a filter nor a page.
    pub unfiltered: Bucket,
    /// Mutating EC2 APIs, among them `AttachVolume` and `DetachVolume`.
    pub mutating: Bucket,
    /// Whether those share their bucket.
    pub mutating_buckets: MutatingBuckets,
    /// `CreateVolume`, and `DeleteVolume`.
    pub volumes: Bucket,
    /// `CreateTags`, and `DeleteTags`.
    pub tags: Bucket,
    /// Each API of Auto Scaling that only describes. AWS publishes no numbers for Auto Scaling: these are guesses.
    pub auto_scaling_describes: Bucket,
    /// All other APIs of Auto Scaling together; guessed as well.
    pub auto_scaling_changes: Bucket,
}

impl Default for Throttling {
    fn default() -> Self {
        Self {
            non_mutating: Bucket::new(100, 20),
            unfiltered: Bucket::new(50, 10),
            mutating: Bucket::new(50, 5),
            mutating_buckets: MutatingBuckets::Shared,
            volumes: Bucket::new(100, 5),
            tags: Bucket::new(100, 10),
            auto_scaling_describes: Bucket::new(100, 10),
            auto_scaling_changes: Bucket::new(50, 5),
        }
    }
}

/// How much a describe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// It has a filter or a page.
    Narrow,
    /// It has neither. Ids are neither as well.
    Wide,
}

/// What is in a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    thousandths: u64,
    at: Timestamp,
}

const TOKEN: u64 = 1_000;

impl World {
    /// From now on these limits hold, and their buckets are full; or none do.
    pub fn set_throttling(&mut self, throttling: Option<Throttling>) {
        self.config.throttling = throttling;
        self.buckets.clear();
    }

    /// Takes a token for a request to EC2, or refuses the request.
    pub fn admit_ec2(&mut self, action: &str, breadth: Breadth) -> Result<(), ApiError> {
        let Some(limits) = &self.config.throttling else {
            return Ok(());
        };
        let (name, bucket) = match action {
            "DescribeVolumes" | "DescribeInstances" if breadth == Breadth::Wide => {
                (format!("ec2:{action}:unfiltered"), limits.unfiltered)
            }
            _ if action.starts_with("Describe") => (format!("ec2:{action}"), limits.non_mutating),
            "CreateVolume" | "DeleteVolume" => (format!("ec2:{action}"), limits.volumes),
            "CreateTags" | "DeleteTags" => (format!("ec2:{action}"), limits.tags),
            _ => match limits.mutating_buckets {
                MutatingBuckets::Shared => ("ec2:mutating".to_owned(), limits.mutating),
                MutatingBuckets::PerApi => (format!("ec2:{action}"), limits.mutating),
            },
        };
        if self.take_token(name, bucket) { Ok(()) } else { Err(ApiError::RequestLimitExceeded) }
    }

    /// Takes a token for a request to Auto Scaling, or refuses the request.
    pub fn admit_auto_scaling(&mut self, action: &str) -> Result<(), ApiError> {
        let Some(limits) = &self.config.throttling else {
            return Ok(());
        };
        let (name, bucket) = if action.starts_with("Describe") {
            (format!("autoscaling:{action}"), limits.auto_scaling_describes)
        } else {
            ("autoscaling:changes".to_owned(), limits.auto_scaling_changes)
        };
        if self.take_token(name, bucket) { Ok(()) } else { Err(ApiError::Throttling) }
    }

    fn take_token(&mut self, name: String, bucket: Bucket) -> bool {
        let full = u64::from(bucket.size) * TOKEN;
        let now = self.now;
        let level = self.buckets.entry(name).or_insert(Level { thousandths: full, at: now });
        let millis = u64::try_from(now.since(level.at).as_millis()).unwrap_or(u64::MAX);
        // A token in a thousand milliseconds is a thousandth in each.
        let refill = millis.saturating_mul(u64::from(bucket.refill_per_second));
        let thousandths = level.thousandths.saturating_add(refill).min(full);
        let enough = thousandths >= TOKEN;
        *level =
            Level { thousandths: if enough { thousandths - TOKEN } else { thousandths }, at: now };
        enough
    }
}
