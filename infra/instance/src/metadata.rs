//! The instance metadata service, version 2: every question carries a token that was asked for first.

use std::time::Duration;

/// The service.
pub(crate) struct Metadata {
    address: String,
    agent: ureq::Agent,
}

/// It gave no answer that says anything.
#[derive(Debug, thiserror::Error)]
#[error("the instance metadata service does not answer {path}: {problem}")]
pub(crate) struct NoAnswer {
    path: String,
    problem: String,
}

/// No instance has more to say than this about one thing.
const MOST: u64 = 64 * 1024;

impl Metadata {
    pub(crate) fn at(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Self { address: address.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// What it says at `path`, below `/latest/meta-data/`; nothing where it has no such thing.
    pub(crate) fn get(&self, path: &str) -> Result<Option<String>, NoAnswer> {
        let failed = |problem: String| NoAnswer { path: path.to_owned(), problem };
        // A token each time: they are cheap, and none is ever too old.
        let token = self
            .agent
            .put(format!("{}/latest/api/token", self.address))
            .header("X-aws-ec2-metadata-token-ttl-seconds", "60")
            .send_empty()
            .map_err(|error| failed(error.to_string()))?;
        let token = text(token).map_err(failed)?.ok_or_else(|| {
            failed("it gives no tokens (IMDSv2), or is off for this instance".to_owned())
        })?;
        let answer = self
            .agent
            .get(format!("{}/latest/meta-data/{path}", self.address))
            .header("X-aws-ec2-metadata-token", &token)
            .call()
            .map_err(|error| failed(error.to_string()))?;
        text(answer).map_err(failed)
    }
}

/// The answer's text; nothing where there is no such thing (404). Any other answer says nothing about that.
fn text(answer: ureq::http::Response<ureq::Body>) -> Result<Option<String>, String> {
    match answer.status().as_u16() {
        200 => {
            let text = answer.into_body().into_with_config().limit(MOST).read_to_string();
            text.map(Some).map_err(|error| error.to_string())
        }
        404 => Ok(None),
        status => Err(format!("HTTP {status}")),
    }
}
