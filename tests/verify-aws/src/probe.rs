//! A probe: what is asked, what local-cloud claims, and who says so.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::Failure;
use crate::scene::Scene;

/// How well founded a claim of local-cloud is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// No source settles it: only AWS can.
    Doubt,
    /// A source says so.
    Sourced,
}

/// Something that is asked of AWS and of local-cloud.
#[derive(Clone, Copy)]
pub struct Probe {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// How well founded it is.
    pub claim: Claim,
    /// What is asked, in a sentence.
    pub asks: &'static str,
    /// What rests on the answer.
    pub matters: &'static str,
    /// Where local-cloud's answer comes from.
    pub source: &'static str,
    /// Asks it.
    pub ask: for<'a> fn(&'a Scene, &'a mut Answers) -> LocalBoxFuture<'a, Result<(), Failure>>,
}

/// An answer in words; without ids, so that those of two clouds can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// How long something took, in AWS's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    /// What.
    pub what: String,
    /// How long.
    pub time: Duration,
}

/// What a probe has brought to light.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The answers, in order.
    pub said: Vec<Said>,
    /// The times, in order.
    pub took: Vec<Took>,
    /// Why nothing could be asked, where that is so, and what to do.
    pub not_asked: Option<String>,
}

impl Answers {
    /// Records an answer.
    pub fn say(&mut self, question: &str, answer: impl Into<String>) {
        self.said.push(Said { question: question.to_owned(), answer: answer.into() });
    }

    /// Records that nothing can be asked.
    pub fn not_asked(&mut self, why: impl Into<String>) {
        self.not_asked = Some(why.into());
    }

    /// Records how long something took.
    pub fn took(&mut self, what: &str, time: Duration) {
        self.took.push(Took { what: what.to_owned(), time });
    }
}
