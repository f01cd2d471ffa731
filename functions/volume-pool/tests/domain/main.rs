//! What the domain promises, tested from outside it. One binary: each more would be linked anew upon every change.

#![cfg(test)]

mod situation;

mod decide_give_up;
mod decide_grow;
mod decide_held_back;
mod decide_hold;
mod decide_launch;
mod decide_leave;
mod decide_paused;
mod decide_properties;
mod decide_review;
mod decide_ssm;
mod decide_timeout;
mod drift;
mod evidence;
mod failure_modes;
mod format_permission;
mod journal;
mod loop_order;
mod loop_ssm;
mod moving;
mod parsing;
mod rebuild;
mod rebuild_order;
mod rehearsal;
mod sweep;
mod transitions;
mod transitions_by_person;
mod turns;
