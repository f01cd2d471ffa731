//! The world by itself, in virtual time: what EC2, EBS and Auto Scaling promise, and what they refuse.

#[cfg(test)]
mod attachments;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod creation;
#[cfg(test)]
mod describes;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod modifications;
#[cfg(test)]
mod query;
#[cfg(test)]
mod refreshes;
#[cfg(test)]
mod replacements;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod root_replacements;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod spot;
#[cfg(test)]
mod staging;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod throttling;
#[cfg(test)]
mod volumes;
#[cfg(test)]
mod warm_pools;
