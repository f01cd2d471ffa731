//! Exploring a configuration to its last state, and what is said of it.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::protocol::{ALL_DONE, LIVENESS, Protocol, SAFETY, WAKE_UPS};
use crate::state::State;
use crate::step::Step;

/// What exploring a configuration has shown.
#[derive(Debug)]
pub struct Verdict {
    /// How many states there are, as far as they were looked at.
    pub states: usize,
    /// How many steps led to them.
    pub steps: usize,
    /// How many steps the last of them is away.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The way to a state that breaks a rule, if there is one.
    pub found: Option<Counterexample>,
}

/// A way to a state that breaks a rule.
#[derive(Debug)]
pub struct Counterexample {
    /// What breaks.
    pub problem: String,
    /// What happens, in order.
    pub trace: Vec<String>,
}

/// Explores everything that can happen, nearest first, until a rule breaks or nothing is left.
pub fn explore(protocol: &Protocol) -> Verdict {
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker = protocol.clone().checker().threads(cores);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let mut discoveries = checker.discoveries();
    let broken = [SAFETY, WAKE_UPS, LIVENESS].iter().find_map(|rule| discoveries.remove(rule));
    let found = match broken {
        Some(path) => Some(told(protocol, path)),
        None if discoveries.contains_key(ALL_DONE) => None,
        None => {
            let problem = format!("never: {ALL_DONE}");
            Some(Counterexample { problem, trace: Vec::new() })
        }
    };
    Verdict {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        found,
    }
}

fn told(protocol: &Protocol, path: Path<State, Step>) -> Counterexample {
    let mut trace = Vec::new();
    let mut problem = None;
    for (state, step) in path.into_vec() {
        let Some(step) = step else {
            let unserved = || protocol.forgotten(&state);
            problem = state.broken.clone().or_else(unserved);
            problem = problem.or_else(|| protocol.comes_right(&state).err());
            break;
        };
        trace.push(state.tell(&step));
    }
    Counterexample { problem: problem.unwrap_or_default(), trace }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.trace.iter().enumerate() {
            writeln!(f, "  {:3}. {step}", number + 1)?;
        }
        write!(f, "  then {}", self.problem)
    }
}
