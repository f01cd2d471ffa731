//! The AWS Query protocol, read: a form body becomes [`Params`], in either dialect (`EC2` numbers its lists
//! `Filter.1.Value.1`, Auto Scaling `Filters.member.1.Values.member.1`).
//!
//! Every read of a parameter is remembered, so that what no operation ever looked at can be refused. A
//! parameter that is accepted and ignored would let a test pass that fails on AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Names that the doors read themselves, before any operation does.
const ENVELOPE: [&str; 2] = ["Action", "Version"];

/// The parameters of one request, or those below one of its prefixes. Clones share what was read.
#[derive(Debug, Clone)]
pub struct Params {
    entries: Arc<BTreeMap<String, Entry>>,
    /// What every name of this view starts with: empty at the root, else ending in a dot.
    prefix: String,
}

/// A form body that is no list of parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// One name, two values: AWS refuses that too.
    #[error("parameter {0} is given twice")]
    Duplicate(String),
    /// A value without a name, as in `=1`.
    #[error("a parameter has no name")]
    Unnamed,
}

#[derive(Debug)]
struct Entry {
    value: String,
    read: AtomicBool,
}

impl Params {
    /// Reads an `application/x-www-form-urlencoded` body.
    pub fn parse(form_body: &str) -> Result<Self, QueryError> {
        let mut entries = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(form_body.as_bytes()) {
            if name.is_empty() {
                return Err(QueryError::Unnamed);
            }
            let read = AtomicBool::new(ENVELOPE.contains(&name.as_ref()));
            let entry = Entry { value: value.into_owned(), read };
            if entries.insert(name.to_string(), entry).is_some() {
                return Err(QueryError::Duplicate(name.into_owned()));
            }
        }
        Ok(Self { entries: Arc::new(entries), prefix: String::new() })
    }

    /// The value of `name` below this view's prefix.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.read(&self.full(name))
    }

    /// A list of plain values: `Prefix.1`, `Prefix.2` or `Prefix.member.1`, …, in the order of their numbers.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        self.items(prefix).iter().filter_map(|item| self.read(item)).map(str::to_owned).collect()
    }

    /// A list of structures: one view for each of `Prefix.1.Foo`, `Prefix.2.Foo` or `Prefix.member.1.Foo`, ….
    pub fn structs(&self, prefix: &str) -> Vec<Self> {
        self.items(prefix).into_iter().map(|item| self.view(item)).collect()
    }

    /// The view of one structure: `Prefix.Foo`. It is empty when no such parameter was given.
    #[must_use]
    pub fn nested(&self, prefix: &str) -> Self {
        self.view(self.full(prefix))
    }

    /// Whether no parameter was given below this view's prefix.
    pub fn is_empty(&self) -> bool {
        self.below().next().is_none()
    }

    /// The full names, below this view's prefix, of the parameters that nobody has read.
    pub fn unread(&self) -> Vec<String> {
        self.below()
            .filter(|(_, entry)| !entry.read.load(Ordering::Relaxed))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The full name of each item of a list, in the order of their numbers. A list given as empty (`Prefix=`,
    /// which is how the Auto Scaling dialect writes one) counts as read.
    fn items(&self, prefix: &str) -> Vec<String> {
        let list = self.full(prefix);
        if self.entries.get(&list).is_some_and(|entry| entry.value.is_empty()) {
            self.read(&list);
        }
        let start = format!("{list}.");
        let numbered = |name: &String| -> Option<(u32, String)> {
            let rest = name.strip_prefix(&start)?;
            let (stem, rest) = match rest.strip_prefix("member.") {
                Some(rest) => (format!("{start}member."), rest),
                None => (start.clone(), rest),
            };
            let digits = rest.split('.').next()?;
            Some((digits.parse().ok()?, format!("{stem}{digits}")))
        };
        let found: BTreeSet<_> = self
            .entries
            .range(start.clone()..)
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(&start))
            .filter_map(numbered)
            .collect();
        found.into_iter().map(|(_, item)| item).collect()
    }

    fn below(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries
            .range(self.prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&self.prefix))
    }

    fn read(&self, full_name: &str) -> Option<&str> {
        let entry = self.entries.get(full_name)?;
        entry.read.store(true, Ordering::Relaxed);
        Some(&entry.value)
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn view(&self, full_name: String) -> Self {
        Self { entries: Arc::clone(&self.entries), prefix: full_name + "." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(body: &str) -> Params {
        Params::parse(body).unwrap()
    }

    #[test]
    fn both_dialects_read_the_same() {
        let ec2 = params("Filter.1.Name=tag%3Apool&Filter.1.Value.1=a&Filter.1.Value.2=b+c");
        let filters = ec2.structs("Filter");
        assert_eq!(filters.len(), 1);
        assert_eq!(filters[0].get("Name"), Some("tag:pool"));
        assert_eq!(filters[0].list("Value"), ["a", "b c"]);

        let scaling = params(
            "Filters.member.1.Name=tag-key&Filters.member.1.Values.member.1=x&Filters.member.2.Name=y",
        );
        let filters = scaling.structs("Filters");
        assert_eq!(filters.len(), 2);
        assert_eq!(filters[0].list("Values"), ["x"]);
        assert_eq!(filters[1].get("Name"), Some("y"));
    }

    #[test]
    fn the_tenth_item_of_a_list_comes_after_the_ninth() {
        let body: Vec<_> = (1..=12).map(|n| format!("VolumeId.{n}=vol-{n}")).collect();
        let expected: Vec<_> = (1..=12).map(|n| format!("vol-{n}")).collect();
        assert_eq!(params(&body.join("&")).list("VolumeId"), expected);
    }

    #[test]
    fn what_nobody_read_is_named_in_full() {
        let params =
            params("Action=A&Version=V&Ebs.Size=1&Ebs.Extra=2&Tag.1.Key=k&Tag.1.Value=v&Odd=3");
        let ebs = params.nested("Ebs");
        assert_eq!(ebs.get("Size"), Some("1"));
        assert_eq!(params.structs("Tag")[0].get("Key"), Some("k"));
        assert_eq!(params.unread(), ["Ebs.Extra", "Odd", "Tag.1.Value"]);
        assert_eq!(ebs.unread(), ["Ebs.Extra"]);
    }

    #[test]
    fn a_name_that_only_starts_alike_is_no_item_of_the_list() {
        let params = params("VolumeIds.1=other&VolumeId.1=vol-1&VolumeId.x=odd");
        assert_eq!(params.list("VolumeId"), ["vol-1"]);
        assert_eq!(params.unread(), ["VolumeId.x", "VolumeIds.1"]);
    }

    #[test]
    fn an_empty_list_is_read_as_one() {
        let params = params("Names=");
        assert!(params.list("Names").is_empty());
        assert!(params.unread().is_empty());
        assert!(params.nested("Names").is_empty());
    }

    #[test]
    fn a_name_given_twice_or_not_at_all_is_refused() {
        assert_eq!(Params::parse("A=1&A=2").unwrap_err(), QueryError::Duplicate("A".into()));
        assert_eq!(Params::parse("=2").unwrap_err(), QueryError::Unnamed);
    }
}
