//! What a function's process writes, line by line.

use std::sync::{Arc, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::actor::Current;
use super::report::{LogLine, Notice, Reporter, Stream};

/// Listens to one process.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) function: String,
    pub(super) sandbox: String,
    pub(super) current: Current,
    pub(super) reporter: Arc<Reporter>,
}

impl Listener {
    /// Passes on what the process writes until it closes the stream.
    pub(super) async fn follow(self, source: impl AsyncRead + Unpin, stream: Stream) {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while matches!(source.read_until(b'\n', &mut line).await, Ok(length) if length > 0) {
            let running = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.reporter.tell(Notice::Log(LogLine {
                at: self.reporter.clock.now(),
                function: self.function.clone(),
                sandbox: self.sandbox.clone(),
                request_id: running.map(|id| id.to_string()),
                stream,
                text: String::from_utf8_lossy(&line).trim_end().to_owned(),
            }));
            line.clear();
        }
    }
}
