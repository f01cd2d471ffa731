//! Asking before something is changed.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use clap::Args;

use crate::failure::Failure;
use crate::output;

/// The consent to a change.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do it without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl Consent {
    /// Says what will be done, and asks whether it should. Without a terminal nobody can answer: then --yes is needed.
    pub(crate) fn ask(&self, what: &str) -> Result<(), Failure> {
        self.confirm(what, "Do it? [y/N] ", is_yes)
    }

    /// The same where a slip would be dear: the name must be typed.
    pub(crate) fn ask_by_name(&self, what: &str, name: &str) -> Result<(), Failure> {
        let question = format!("Type {name} to have it done: ");
        self.confirm(what, &question, |answer| answer.trim() == name)
    }

    fn confirm(
        &self,
        what: &str,
        question: &str,
        agreed: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        output::say(&format!("{what}\n"))?;
        if self.yes {
            return Ok(());
        }
        if !stdin().is_terminal() {
            return Err(Failure::NotConfirmed(
                "nothing was changed: there is no terminal to ask on; give --yes to have it done",
            ));
        }
        let mut terminal = stderr().lock();
        terminal
            .write_all(question.as_bytes())
            .and_then(|()| terminal.flush())
            .map_err(Failure::Output)?;
        let mut answer = String::new();
        stdin().read_line(&mut answer).map_err(Failure::Input)?;
        if agreed(&answer) { Ok(()) } else { Err(Failure::NotConfirmed("nothing was changed")) }
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(["y\n", "Y", "yes\n", " YES "].into_iter().all(is_yes));
        assert!(!["", "\n", "n", "no", "yep", "y y"].into_iter().any(is_yes));
    }
}
