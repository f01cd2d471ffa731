//! Tasks that somebody waits for, or ends, when the cloud is shut down. Nothing here runs unobserved.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// A set of tasks of one kind, which can be started from any thread.
#[derive(Debug)]
pub(crate) struct Tasks {
    set: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl Tasks {
    /// An empty set. Must be called within a tokio runtime: the tasks will run on it.
    pub(crate) fn new() -> Self {
        Self { set: Mutex::default(), runtime: Handle::current() }
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn_on(task, &self.runtime);
    }

    /// Ends all tasks wherever they are.
    pub(crate) async fn abort(&self) {
        self.take().shutdown().await;
    }

    /// Waits until all tasks have ended by themselves.
    pub(crate) async fn finish(&self) {
        let mut set = self.take();
        while set.join_next().await.is_some() {}
    }

    fn take(&self) -> JoinSet<()> {
        std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
