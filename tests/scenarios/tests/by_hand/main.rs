//! One invocation, driven by hand over the reference store: what EC2 and Auto Scaling answer is set by each test, call
//! by call. For answers that the world of the stage would never give, or not at that moment.

#![cfg(test)]

mod launching;
mod leaving;
mod rig;
