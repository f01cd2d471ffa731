//! Systems Manager documents: what a command does on an instance, and how long it takes over it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::World;
use super::config::Span;

/// How a document ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentOutcome {
    /// All of it worked.
    Succeeds,
    /// A step of it failed.
    Fails,
    /// It hangs, until its execution timeout.
    NeverEnds,
}

/// What a document that succeeds has done to its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentEffect {
    /// Nothing that shows here.
    Nothing,
    /// Every filesystem on a volume is unmounted, so that a detachment is clean.
    Unmounts,
}

/// A command document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// How long it takes on an instance.
    pub takes: Span,
    /// How it ends.
    pub outcome: DocumentOutcome,
    /// What it has done when it succeeded.
    pub effect: DocumentEffect,
    /// The names of the parameters that it takes.
    pub parameters: BTreeSet<String>,
    /// How long it may take. A parameter `executionTimeout`, in seconds, goes before it.
    pub execution_timeout: Duration,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            takes: Span::millis(500, 2_000),
            outcome: DocumentOutcome::Succeeds,
            effect: DocumentEffect::Nothing,
            parameters: BTreeSet::new(),
            // The default of `aws:runShellScript` (Systems Manager User Guide, "Command document plugin reference").
            execution_timeout: Duration::from_hours(1),
        }
    }
}

/// The document that every account has. What its commands say is not looked at: they succeed.
pub(super) const RUN_SHELL_SCRIPT: &str = "AWS-RunShellScript";

impl World {
    /// A document of this name is there from now on, or is another one than before.
    pub fn put_document(&mut self, name: &str, document: Document) {
        self.documents.insert(name.to_owned(), document);
    }

    /// The document of that name, if there is one.
    pub fn document(&self, name: &str) -> Option<Document> {
        if let Some(document) = self.documents.get(name) {
            return Some(document.clone());
        }
        let parameters = ["commands", "executionTimeout", "workingDirectory"];
        let parameters = parameters.into_iter().map(str::to_owned).collect();
        (name == RUN_SHELL_SCRIPT).then(|| Document { parameters, ..Document::default() })
    }
}
