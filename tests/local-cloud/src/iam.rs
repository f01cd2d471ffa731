//! IAM policies, as far as those of the functions go: what AWS would make of a request (IAM User Guide, "Policy evaluation
//! logic"). What is not known here is refused when a policy is read: a condition that is passed over would allow too much.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a role may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// Something that AWS asks of a policy: may this be done to that? A call may make several of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The action, as in `ec2:AttachVolume`.
    pub action: String,
    /// The resource's ARN; `*` where the action knows no resources.
    pub resource: String,
    /// The condition keys that the request has, with their values.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// What a policy says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed, by these statements.
    Allowed(Vec<String>),
    /// This statement denies it, whatever others allow.
    Denied(String),
    /// No statement allows it.
    NotAllowed,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A part is missing, or not of the form that is known here.
    #[error("statement {statement}: {part} is not of a form that is known here")]
    Unknown {
        /// The statement's `Sid`, as far as it has one.
        statement: String,
        /// The part.
        part: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    sid: String,
    allows: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// One value, and it is one of these.
    Equals,
    /// One value, and it matches one of these patterns.
    Like,
    /// Every value matches one of these patterns; also where there is none.
    AllLike,
}

impl Policy {
    /// Reads the statements of a policy.
    pub fn parse(statements: &[Value]) -> Result<Self, PolicyError> {
        let statements = statements.iter().map(Statement::parse);
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }

    /// What it says of a request.
    pub fn judge(&self, request: &Request) -> Verdict {
        let matching = self.statements.iter().filter(|it| it.matches(request));
        let (allowing, denying): (Vec<_>, Vec<_>) = matching.partition(|it| it.allows);
        match (denying.first(), allowing.is_empty()) {
            (Some(statement), _) => Verdict::Denied(statement.sid.clone()),
            (None, true) => Verdict::NotAllowed,
            (None, false) => {
                Verdict::Allowed(allowing.into_iter().map(|it| it.sid.clone()).collect())
            }
        }
    }
}

impl Statement {
    fn parse(statement: &Value) -> Result<Self, PolicyError> {
        const KNOWN: [&str; 5] = ["Sid", "Effect", "Action", "Resource", "Condition"];
        let sid = statement["Sid"].as_str().unwrap_or_default().to_owned();
        let unknown =
            |part: &str| PolicyError::Unknown { statement: sid.clone(), part: part.into() };
        let parts = statement.as_object().ok_or_else(|| unknown("it"))?;
        if let Some(other) = parts.keys().find(|part| !KNOWN.contains(&part.as_str())) {
            return Err(unknown(other));
        }
        let allows = match statement["Effect"].as_str() {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(unknown("Effect")),
        };
        let mut conditions = Vec::new();
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            let known = match operator.as_str() {
                "StringEquals" | "Bool" => Operator::Equals,
                "StringLike" => Operator::Like,
                "ForAllValues:StringLike" => Operator::AllLike,
                other => return Err(unknown(other)),
            };
            for (key, values) in keys.as_object().ok_or_else(|| unknown(operator))? {
                let values = texts(values).ok_or_else(|| unknown(key))?;
                conditions.push(Condition { operator: known, key: key.clone(), values });
            }
        }
        let actions = texts(&statement["Action"]).ok_or_else(|| unknown("Action"))?;
        let resources = texts(&statement["Resource"]).ok_or_else(|| unknown("Resource"))?;
        Ok(Self { sid, allows, actions, resources, conditions })
    }

    fn matches(&self, request: &Request) -> bool {
        let action = request.action.to_ascii_lowercase();
        self.actions.iter().any(|it| matches(&it.to_ascii_lowercase(), &action))
            && self.resources.iter().any(|it| matches(it, &request.resource))
            && self.conditions.iter().all(|it| it.holds(request))
    }
}

impl Condition {
    fn holds(&self, request: &Request) -> bool {
        let values = request.keys.get(&self.key).map(Vec::as_slice).unwrap_or_default();
        let like = |value: &String| self.values.iter().any(|it| matches(it, value));
        match (self.operator, values) {
            (Operator::Equals, [value]) => self.values.contains(value),
            (Operator::Like, [value]) => like(value),
            (Operator::Equals | Operator::Like, _) => false,
            (Operator::AllLike, values) => values.iter().all(like),
        }
    }
}

/// One text or several; a switch counts as its name.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Bool(switch) => Some(vec![switch.to_string()]),
        Value::Array(values) => values.iter().map(|it| it.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Whether a text matches a pattern, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first: Vec<char> = parts.next().unwrap_or_default().chars().collect();
    let text: Vec<char> = text.chars().collect();
    let Some(mut rest) = strip(&text, &first) else {
        return false;
    };
    let mut parts = parts.map(|part| part.chars().collect::<Vec<char>>()).peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            let from = rest.len().checked_sub(part.len());
            return from.and_then(|from| strip(&rest[from..], &part)).is_some();
        }
        let found = (0..=rest.len()).find_map(|from| strip(&rest[from..], &part));
        match found {
            Some(found) => rest = found,
            None => return false,
        }
    }
    true
}

/// What follows these characters at the beginning of a text.
fn strip<'a>(text: &'a [char], beginning: &[char]) -> Option<&'a [char]> {
    let (begins, rest) = text.split_at_checked(beginning.len())?;
    begins.iter().zip(beginning).all(|(a, b)| *b == '?' || a == b).then_some(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(resource: &str, keys: &[(&str, &[&str])]) -> Request {
        let values = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect();
        Request {
            action: "ec2:AttachVolume".to_owned(),
            resource: resource.to_owned(),
            keys: keys.iter().map(|(key, it)| ((*key).to_owned(), values(it))).collect(),
        }
    }

    fn statement(sid: &str, parts: &Value) -> Value {
        let mut statement =
            json!({ "Sid": sid, "Effect": "Allow", "Action": "ec2:AttachVolume", "Resource": "*" });
        for (name, part) in parts.as_object().into_iter().flatten() {
            statement[name] = part.clone();
        }
        statement
    }

    fn allows(parts: &Value, request: &Request) -> bool {
        let policy = Policy::parse(&[statement("It", parts)]).unwrap();
        policy.judge(request) == Verdict::Allowed(vec!["It".to_owned()])
    }

    #[test]
    fn what_no_statement_allows_is_not_allowed_and_a_denial_goes_before_everything() {
        let volume = request("arn:aws:ec2:here:1:volume/vol-1", &[]);
        let allow = statement("Allow", &json!({ "Action": ["ec2:Detach*", "EC2:attachvolume"] }));
        let deny = statement("Deny", &json!({ "Effect": "Deny", "Resource": "*volume/*" }));
        let judged = |statements: &[&Value]| {
            let statements: Vec<Value> = statements.iter().map(|it| (*it).clone()).collect();
            Policy::parse(&statements).unwrap().judge(&volume)
        };
        assert_eq!(judged(&[]), Verdict::NotAllowed);
        assert_eq!(judged(&[&allow]), Verdict::Allowed(vec!["Allow".to_owned()]));
        assert_eq!(judged(&[&allow, &deny]), Verdict::Denied("Deny".to_owned()));
    }

    #[test]
    fn resources_are_matched_by_patterns() {
        for (pattern, expected) in [
            ("*", true),
            ("arn:aws:ec2:here:1:volume/*", true),
            ("arn:aws:ec2:*:volume/vol-?", true),
            ("arn:*:volume/*1", true),
            ("arn:aws:ec2:here:1:instance/*", false),
            ("arn:aws:ec2:here:1:volume", false),
            ("*:volume/vol-", false),
            ("arn:aws:ec2:here:1:volume/vol-1?", false),
            ("arn:*:volume/*vol-1*1", false),
        ] {
            let volume = request("arn:aws:ec2:here:1:volume/vol-1", &[]);
            assert_eq!(allows(&json!({ "Resource": pattern }), &volume), expected, "{pattern}");
        }
    }

    #[test]
    fn every_condition_must_hold_and_a_missing_key_does_not() {
        let like = json!({ "Condition": { "StringLike": { "aws:ResourceTag/pool": "?*" }, "StringEquals": { "a": ["x", "y"] } } });
        assert!(allows(&like, &request("r", &[("aws:ResourceTag/pool", &["p"]), ("a", &["y"])])));
        assert!(!allows(&like, &request("r", &[("aws:ResourceTag/pool", &[""]), ("a", &["y"])])));
        assert!(!allows(&like, &request("r", &[("aws:ResourceTag/pool", &["p"]), ("a", &["z"])])));
        assert!(!allows(&like, &request("r", &[("a", &["y"])])));
        let each =
            json!({ "Condition": { "ForAllValues:StringLike": { "aws:TagKeys": "ours:*" } } });
        assert!(allows(&each, &request("r", &[("aws:TagKeys", &["ours:a", "ours:b"])])));
        assert!(!allows(&each, &request("r", &[("aws:TagKeys", &["ours:a", "theirs"])])));
        assert!(allows(&each, &request("r", &[])));
    }

    #[test]
    fn what_is_not_known_here_is_refused() {
        for parts in [
            json!({ "Condition": { "StringNotLike": { "a": "b" } } }),
            json!({ "NotAction": "ec2:*" }),
            json!({ "Effect": "Perhaps" }),
            json!({ "Resource": { "Ref": "Table" } }),
        ] {
            assert!(Policy::parse(&[statement("It", &parts)]).is_err(), "{parts}");
        }
    }
}
