//! Who may do what: the statements of the policies in `foundation.yaml`, and the rows of `infra/iam.md`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::template::{self, resources};
use crate::{Failure, text};

/// An IAM action, and the condition of the template under which it is allowed, if there is one.
pub type Permission = (String, Option<String>);

/// A statement of a policy.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The role or policy that it is in.
    pub of: String,
    /// The condition of the template under which it is there.
    pub only_with: Option<String>,
    /// The statement itself.
    pub text: Value,
}

/// A row of `infra/iam.md`.
#[derive(Debug, Clone)]
pub struct Row {
    /// The call, or `None` where it is Lambda or KMS that needs something on our behalf.
    pub call: Option<String>,
    /// What it needs.
    pub permissions: Vec<Permission>,
}

impl Statement {
    /// A field of it that is a text, as `Effect` is.
    pub fn text(&self, field: &str) -> &str {
        self.text.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its actions.
    pub fn actions(&self) -> Vec<&str> {
        match self.text.get("Action") {
            Some(Value::String(action)) => vec![action],
            Some(Value::Array(actions)) => actions.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The keys of its conditions.
    pub fn condition_keys(&self) -> BTreeSet<&str> {
        let operators = self.text.get("Condition").and_then(Value::as_object).into_iter().flatten();
        let keys = operators.filter_map(|(_, keys)| keys.as_object());
        keys.flat_map(|keys| keys.keys().map(String::as_str)).collect()
    }
}

/// Every statement that says what the functions may do.
pub fn statements() -> Result<Vec<Statement>, Failure> {
    let template = template::load("foundation.yaml")?;
    let mut statements = Vec::new();
    for (name, properties) in resources(&template, "AWS::IAM::ManagedPolicy") {
        collect(name, properties.get("PolicyDocument"), &mut statements);
    }
    for (name, properties) in resources(&template, "AWS::IAM::Role") {
        let inline = properties.get("Policies").and_then(Value::as_array);
        for policy in inline.into_iter().flatten() {
            collect(name, policy.get("PolicyDocument"), &mut statements);
        }
    }
    Ok(statements)
}

/// The statements of the policy that both functions have beside that for their own logs, for a deployment of no particular account.
pub fn of_the_functions() -> Result<Vec<Value>, Failure> {
    let statements = statements()?.into_iter().filter(|statement| statement.of == "LoopPolicy");
    Ok(statements.map(|statement| as_deployed(&statement.text)).collect())
}

/// A part of a policy with the template's functions carried out, for a deployment of no particular account.
pub fn as_deployed(part: &Value) -> Value {
    const KEY: &str =
        "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const DOCUMENT: &str = "arn:aws:ssm:eu-central-1:123456789012:document/drain";
    const QUEUE: &str = "arn:aws:sqs:eu-central-1:123456789012:stateful-asg-failed";
    const LOGS: &str =
        "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/stateful-asg:*";
    match part {
        Value::Array(parts) => parts.iter().map(as_deployed).collect(),
        Value::Object(fields) => {
            let called = |name: &str| fields.get(name).map(ToString::to_string);
            if let Some(Value::String(text)) = fields.get("Fn::Sub") {
                let values = [
                    ("${AWS::Partition}", "aws"),
                    ("${AWS::Region}", "eu-central-1"),
                    ("${AWS::AccountId}", "123456789012"),
                    ("${Name}", "stateful-asg"),
                ];
                let replaced = |text: String, (name, value)| text.replace(name, value);
                return values.into_iter().fold(text.clone(), replaced).into();
            }
            match (called("Ref"), called("Fn::GetAtt")) {
                (Some(name), _) if name.contains("Key") => KEY.into(),
                (Some(_), _) => DOCUMENT.into(),
                (_, Some(name)) if name.contains("Queue") => QUEUE.into(),
                (_, Some(_)) => LOGS.into(),
                (None, None) => {
                    fields.iter().map(|(name, value)| (name.clone(), as_deployed(value))).collect()
                }
            }
        }
        plain => plain.clone(),
    }
}

fn collect(of: &str, document: Option<&Value>, statements: &mut Vec<Statement>) {
    let listed = document.and_then(|it| it.get("Statement")).and_then(Value::as_array);
    for listed in listed.into_iter().flatten() {
        let (only_with, text) =
            match listed.get("Fn::If").and_then(Value::as_array).map(Vec::as_slice) {
                Some([condition, statement, ..]) => {
                    (condition.as_str().map(str::to_owned), statement)
                }
                _ => (None, listed),
            };
        statements.push(Statement { of: of.to_owned(), only_with, text: text.clone() });
    }
}

/// The rows of `infra/iam.md`.
pub fn rows() -> Result<Vec<Row>, Failure> {
    let text = text("infra/iam.md")?;
    let lines = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    lines.map(row).collect()
}

fn row(line: &str) -> Result<Row, Failure> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [call, actions, only_with, _] = cells.as_slice() else {
        return Err(format!("infra/iam.md: not four cells: {line}").into());
    };
    let only_with = quoted(only_with).into_iter().next();
    let permissions = quoted(actions).into_iter().map(|action| (action, only_with.clone()));
    Ok(Row { call: quoted(call).into_iter().next(), permissions: permissions.collect() })
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
