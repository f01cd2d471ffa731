//! The instance metadata service, version 2: tokens first, then answers; what it has none for is 404.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A metadata service on loopback.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Its URL.
    pub address: String,
    answers: Arc<Mutex<BTreeMap<String, String>>>,
    asked: Arc<(Mutex<Vec<String>>, Condvar)>,
}

const TOKEN: &str = "a-token-of-this-service";
const TAGS: &str = "tags/instance";

impl Metadata {
    /// One on a free port, for an instance that is launching, in `eu-central-1a`.
    pub fn start() -> Self {
        let metadata = Self::serve(TcpListener::bind("127.0.0.1:0").unwrap());
        metadata.launching();
        metadata
    }

    /// Is that of an instance that is launching, in `eu-central-1a`, and has no tags.
    pub fn launching(&self) {
        self.say("autoscaling/target-lifecycle-state", "InService");
        self.say("placement/availability-zone", "eu-central-1a");
        self.say(TAGS, "");
    }

    /// One that answers on this listener, and has nothing to say yet.
    pub fn serve(listener: TcpListener) -> Self {
        let address = format!("http://{}", listener.local_addr().unwrap());
        let metadata = Self { address, answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (Arc::clone(&metadata.answers), Arc::clone(&metadata.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up has heard enough.
                let Ok(path) = answer(stream, &answers) else { continue };
                asked.0.lock().unwrap_or_else(PoisonError::into_inner).push(path);
                asked.1.notify_all();
            }
        });
        metadata
    }

    /// Answers so below `/latest/meta-data/` from now on.
    pub fn say(&self, path: &str, text: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), text.to_owned());
    }

    /// Waits until a task has ended, or has asked for this so often by now, by which it shows that it goes on; whether it has ended.
    pub fn ends_before_asking(&self, task: &mut Child, path: &str, times: usize) -> bool {
        /// How often the task is looked at meanwhile.
        const LOOK: Duration = Duration::from_millis(50);
        let (asked, more) = &*self.asked;
        let fewer = |asked: &mut Vec<String>| asked.iter().filter(|it| *it == path).count() < times;
        while task.try_wait().unwrap().is_none() {
            let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = more.wait_timeout_while(asked, LOOK, fewer);
            if !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
                return false;
            }
        }
        true
    }

    /// Has no such thing any more.
    pub fn forget(&self, path: &str) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Gives the instance a tag.
    pub fn tag(&self, key: &str, value: &str) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(format!("{TAGS}/{key}"), value.to_owned());
        let keys = answers.entry(TAGS.to_owned()).or_default();
        if !keys.lines().any(|known| known == key) {
            let _ = writeln!(keys, "{key}");
        }
    }

    /// Gives the instance the tags that the control plane gives a holder of slot `cassandra-0`, with the volume `data`.
    pub fn assign(&self, volume: &str) {
        self.tag("stateful-asg:slot", "cassandra-0");
        self.tag("stateful-asg:index", "0");
        self.tag("stateful-asg:volume:data", volume);
    }
}

/// Answers one request, and gives what was asked for.
fn answer(stream: TcpStream, answers: &Mutex<BTreeMap<String, String>>) -> std::io::Result<String> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, text) = match (method, path.strip_prefix("/latest/meta-data/")) {
        ("PUT", _) if path == "/latest/api/token" => {
            match headers.get("x-aws-ec2-metadata-token-ttl-seconds") {
                Some(_) => ("200 OK", Some(TOKEN.to_owned())),
                None => ("400 Bad Request", None),
            }
        }
        ("GET", Some(path))
            if headers.get("x-aws-ec2-metadata-token").map(String::as_str) == Some(TOKEN) =>
        {
            let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            match answers.get(path) {
                Some(text) => ("200 OK", Some(text.clone())),
                None => ("404 Not Found", None),
            }
        }
        ("GET", _) => ("401 Unauthorized", None),
        _ => ("405 Method Not Allowed", None),
    };
    let text = text.unwrap_or_default();
    let length = text.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )?;
    Ok(path.trim_start_matches("/latest/meta-data/").to_owned())
}
