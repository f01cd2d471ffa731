//! The Lambda Runtime API for one process and one event, with a stopwatch.

use std::fs::read_to_string;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::Failure;

/// Far longer than anything takes here.
const LIMIT: Duration = Duration::from_mins(1);

/// One cold start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// From the start of the process to its first poll.
    pub(crate) first_poll: Duration,
    /// From there to the answer to its first event.
    pub(crate) first_event: Duration,
    /// The most memory it had by then, in bytes.
    pub(crate) peak: u64,
    /// How many bytes it has logged.
    pub(crate) logged: usize,
}

/// When something happened, and the most memory that the process had until then.
struct Mark(Instant, u64);

/// Starts the process, gives it the event, and ends it once it has answered.
pub(crate) fn start(command: &mut Command, event: &Value) -> Result<Start, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    command
        .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let watched = watch(&mut child, listener, event.to_string());
    child.kill()?;
    child.wait()?;
    let (Mark(polled, _), Mark(answered, peak), logged) = watched?;
    Ok(Start {
        first_poll: polled.saturating_duration_since(began),
        first_event: answered.saturating_duration_since(polled),
        peak,
        logged,
    })
}

fn watch(
    child: &mut Child,
    listener: TcpListener,
    event: String,
) -> Result<(Mark, Mark, usize), Failure> {
    let process = child.id();
    let (sender, marks) = mpsc::channel();
    let lines = child.stdout.take().ok_or("the process has no standard output")?;
    let (logged, log) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            // Whoever listens may have heard enough.
            let _ = logged.send(line.len() + 1);
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sender, event) = (sender.clone(), event.clone());
            std::thread::spawn(move || converse(stream, process, &event, &sender));
        }
    });
    let late = |_| format!("process {process} did not come to it within {LIMIT:?}");
    let polled = marks.recv_timeout(LIMIT).map_err(late)?;
    let answered = marks.recv_timeout(LIMIT).map_err(late)?;
    Ok((polled, answered, log.try_iter().sum()))
}

/// Answers the requests of one connection: the first poll with the event, its answer with thanks, the rest not at all.
fn converse(
    stream: TcpStream,
    process: u32,
    event: &str,
    marks: &mpsc::Sender<Mark>,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if header.is_empty() {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        marks.send(Mark(now, peak(process)))?;
        if !line.starts_with("GET") {
            write!(writer, "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        }
        #[expect(clippy::disallowed_methods, reason = "a deadline is told by the wall clock")]
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + LIMIT;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nlambda-runtime-aws-request-id: 1\r\n\
             lambda-runtime-deadline-ms: {}\r\nlambda-runtime-trace-id: Root=1\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:1:function:bench\r\n\
             content-length: {}\r\n\r\n{event}",
            deadline.as_millis(),
            event.len(),
        )?;
    }
}

/// The most memory that a process has had, in bytes.
fn peak(process: u32) -> u64 {
    let status = read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}
