//! A function whose process only tells what it finds in its environment and then waits: the test itself speaks the
//! Runtime API in its stead, and so decides what the function does, and when.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hyper::Request;
use local_cloud::cloud::{Cloud, Notice, Options};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::LIMIT;
use crate::client::{Reply, send};

/// A process of the function, as it told of itself.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: String,
    pub(crate) access_key: String,
    pub(crate) env: Vec<String>,
    runtime_api: String,
}

/// The cloud with the waiting function as its `lifecycle` function, and what it says.
pub(crate) struct Deployment {
    pub(crate) cloud: Cloud,
    notices: Receiver<Notice>,
    /// What each sandbox has told so far.
    told: BTreeMap<String, Vec<String>>,
}

/// The script that tells its environment and waits to be killed.
fn waiting_function() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve_doors/waiting-function.sh")
}

/// Options under which nothing happens by itself, and retries come at once.
pub(crate) fn quiet() -> Options {
    Options {
        schedule: None,
        retry_delays: vec![LIMIT / 60_000; 2],
        timeout: LIMIT,
        ..Options::default()
    }
}

impl Deployment {
    pub(crate) async fn start(options: Options) -> Self {
        let lifecycle = Some(waiting_function());
        let cloud = Cloud::start(Options { lifecycle, ..options }).await.unwrap();
        let notices = cloud.subscribe();
        Self { cloud, notices, told: BTreeMap::new() }
    }

    /// Waits for the next process to start, and to tell of itself.
    pub(crate) async fn process(&mut self) -> Process {
        let told = async {
            loop {
                let Notice::Log(line) = self.notices.recv().await.unwrap() else {
                    continue;
                };
                let is_last = line.text.starts_with("PID=");
                self.told.entry(line.sandbox.clone()).or_default().push(line.text);
                if is_last {
                    return self.told.remove(&line.sandbox).unwrap();
                }
            }
        };
        let env = timeout(LIMIT, told).await.unwrap();
        let value = |name: &str| {
            let found = env.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("no {name} in {env:?}")).to_owned()
        };
        Process {
            pid: value("PID"),
            access_key: value("AWS_ACCESS_KEY_ID"),
            runtime_api: value("AWS_LAMBDA_RUNTIME_API"),
            env,
        }
    }

    pub(crate) async fn shutdown(self) {
        self.cloud.shutdown().await;
    }
}

impl Process {
    /// Polls for an event, as the process would.
    pub(crate) async fn next(&self) -> Reply {
        let request = Request::get(format!("{}/invocation/next", self.path()));
        timeout(LIMIT, send(&self.endpoint(), request, String::new())).await.unwrap().unwrap()
    }

    /// Answers an event, as the process would: `kind` is `response` or `error`.
    pub(crate) async fn answer(&self, event: &Reply, kind: &str, content: &Value) -> Reply {
        let request_id = event.header("lambda-runtime-aws-request-id");
        self.post(&format!("/invocation/{request_id}/{kind}"), content).await
    }

    pub(crate) async fn post(&self, operation: &str, content: &Value) -> Reply {
        let request = Request::post(format!("{}{operation}", self.path()));
        timeout(LIMIT, send(&self.endpoint(), request, content.to_string())).await.unwrap().unwrap()
    }

    pub(crate) fn endpoint(&self) -> String {
        let rest = self.runtime_api.strip_prefix("http://").unwrap();
        format!("http://{}", rest.split('/').next().unwrap())
    }

    pub(crate) fn is_running(&self) -> bool {
        fs::exists(format!("/proc/{}", self.pid)).unwrap()
    }

    fn path(&self) -> String {
        let rest = self.runtime_api.strip_prefix("http://").unwrap();
        format!("/{}/2018-06-01/runtime", rest.split_once('/').unwrap().1)
    }
}
