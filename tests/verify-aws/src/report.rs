//! What a probe came to, side by side.

use std::fmt;

use crate::probe::{Answers, Claim, Probe, Took};

/// What stands where one side has no answer.
const NOTHING: &str = "-";

/// An answer that the account gives otherwise than local-cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The probe's name.
    pub probe: &'static str,
    /// What was asked.
    pub question: String,
    /// What local-cloud claims.
    pub claimed: String,
    /// What the account answered.
    pub seen: String,
}

/// What a probe came to.
#[derive(Debug, Clone)]
pub struct Report {
    name: &'static str,
    claim: Claim,
    asks: &'static str,
    matters: &'static str,
    source: &'static str,
    not_asked: Option<String>,
    lines: Vec<(String, String, String)>,
    times: Vec<(String, Option<Took>, Option<Took>)>,
}

impl Report {
    /// Puts the answers of local-cloud and of the account side by side. Times are shown and not judged: AWS's vary. Where the
    /// account could not be asked there is nothing to compare.
    pub fn new(probe: &Probe, claimed: &Answers, seen: &Answers) -> Self {
        let nothing = Answers::default();
        let claimed = if seen.not_asked.is_some() { &nothing } else { claimed };
        let answer = |answers: &Answers, question: &str| {
            let mut found = answers.said.iter().filter(|said| said.question == question);
            found.next().map_or_else(|| NOTHING.to_owned(), |said| said.answer.clone())
        };
        let mut questions: Vec<&str> = Vec::new();
        for said in claimed.said.iter().chain(&seen.said) {
            if !questions.contains(&said.question.as_str()) {
                questions.push(&said.question);
            }
        }
        let lines = questions.into_iter().map(|question| {
            (question.to_owned(), answer(claimed, question), answer(seen, question))
        });
        let time = |answers: &Answers, what: &str| {
            answers.took.iter().find(|took| took.what == what).cloned()
        };
        let mut steps: Vec<&str> = Vec::new();
        for took in claimed.took.iter().chain(&seen.took) {
            if !steps.contains(&took.what.as_str()) {
                steps.push(&took.what);
            }
        }
        let times =
            steps.into_iter().map(|what| (what.to_owned(), time(claimed, what), time(seen, what)));
        let Probe { name, claim, asks, matters, source, .. } = *probe;
        let not_asked = seen.not_asked.clone();
        let (lines, times) = (lines.collect(), times.collect());
        Self { name, claim, asks, matters, source, not_asked, lines, times }
    }

    /// The probe's name, and why it could not be asked, where that is so.
    pub fn not_asked(&self) -> Option<(&'static str, &str)> {
        self.not_asked.as_deref().map(|why| (self.name, why))
    }

    /// Where the two differ.
    pub fn differences(&self) -> Vec<Difference> {
        let differing = self.lines.iter().filter(|(_, claimed, seen)| claimed != seen);
        let differences = differing.map(|(question, claimed, seen)| Difference {
            probe: self.name,
            question: question.clone(),
            claimed: claimed.clone(),
            seen: seen.clone(),
        });
        differences.collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doubt = match self.claim {
            Claim::Doubt => " (a standing doubt)",
            Claim::Sourced => "",
        };
        writeln!(f, "{}{doubt}: {}", self.name, self.asks)?;
        if let Some(why) = &self.not_asked {
            writeln!(f, "  NOT ASKED   {why}")?;
        }
        for (question, claimed, seen) in &self.lines {
            if claimed == seen {
                writeln!(f, "  as claimed  {question}: {seen}")?;
            } else {
                writeln!(
                    f,
                    "  DIFFERENT   {question}: {seen}, where local-cloud claims {claimed}"
                )?;
            }
        }
        for (what, claimed, seen) in &self.times {
            let shown = |took: &Option<Took>| {
                took.as_ref()
                    .map_or(NOTHING.to_owned(), |it| format!("{:.1} s", it.time.as_secs_f64()))
            };
            writeln!(
                f,
                "  time        {what}: {}, on local-cloud {}",
                shown(seen),
                shown(claimed)
            )?;
        }
        if !self.differences().is_empty() {
            writeln!(f, "  local-cloud goes by: {}", self.source)?;
            writeln!(f, "  on it rests: {}", self.matters)?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { probe, question, claimed, seen } = self;
        write!(f, "{probe}: {question}: {seen}, where local-cloud claims {claimed}")
    }
}
