//! .
pub mod api;
pub mod cloud;
mod lambda;
pub mod query;
mod server;
pub mod world;
pub mod xml;
pub mod in_process;
pub mod leases;
pub mod stage;
