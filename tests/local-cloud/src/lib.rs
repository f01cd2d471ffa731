//! .
pub mod api;
pub mod cloud;
pub mod embedded_metrics;
pub mod gate;
pub mod iam;
pub mod in_process;
mod lambda;
pub mod leases;
pub mod query;
pub mod records;
mod server;
pub mod stage;
pub mod world;
pub mod xml;
