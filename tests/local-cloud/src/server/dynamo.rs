//! DynamoDB: dynoxide's own server, in this process, on an address of its own behind our door.
//!
//! Its server rather than its library calls, because DynamoDB's checks of a request's JSON live there. It blocks
//! while it works, so it has a thread and a runtime to itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use dynoxide::Database;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::Answer;
use super::body::Body;

/// What DynamoDB looks at.
const PASSED_ON: [HeaderName; 4] = [
    CONTENT_TYPE,
    AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-target"),
];

/// DynamoDB could not be started, set up or reached.
#[derive(Debug, thiserror::Error)]
pub enum DynamoError {
    /// The database itself, or a request to it.
    #[error("dynoxide refused")]
    Database(#[from] dynoxide::DynoxideError),
    /// Its thread or its listener.
    #[error("DynamoDB's server could not be started")]
    Start(#[source] std::io::Error),
    /// The table's definition is no `CreateTable` request.
    #[error("the lease table's definition is no CreateTable request")]
    Definition(#[from] serde_json::Error),
    /// A connection to it.
    #[error("DynamoDB's server could not be reached")]
    Connect(#[source] std::io::Error),
    /// A request over such a connection.
    #[error("DynamoDB's server did not answer")]
    Exchange(#[from] hyper::Error),
}

/// A running DynamoDB.
#[derive(Debug)]
pub(crate) struct Dynamo {
    address: SocketAddr,
    delay: Duration,
    connections: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    stop: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Dynamo {
    /// Serves this database; each request is kept waiting for so long first.
    pub(crate) fn start(database: Database, delay: Duration) -> Result<Self, DynamoError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(DynamoError::Start)?;
        listener.set_nonblocking(true).map_err(DynamoError::Start)?;
        let address = listener.local_addr().map_err(DynamoError::Start)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DynamoError::Start)?;
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let served = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => {
                    let stopped = async {
                        // A sender that is gone means the same as one that speaks: stop.
                        let _ = stopped.await;
                    };
                    dynoxide::server::serve_with_shutdown(listener, database, stopped).await
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = served {
                tracing::error!(reason, "DynamoDB's server failed");
            }
        };
        let thread = Builder::new()
            .name("dynamodb".to_owned())
            .spawn(move || runtime.block_on(serve))
            .map_err(DynamoError::Start)?;
        let stop = Mutex::new(Some((stop, thread)));
        Ok(Self { address, delay, connections: Mutex::default(), stop })
    }

    /// Passes a request on, and its answer back.
    pub(super) async fn exchange(
        &self,
        headers: &HeaderMap,
        content: Bytes,
    ) -> Result<Answer, DynamoError> {
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
        let mut connection = self.connection().await?;
        let mut request = Request::post("/").body(Full::new(content)).unwrap_or_default();
        for name in &PASSED_ON {
            if let Some(value) = headers.get(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(HOST, HeaderValue::from_static("dynamodb.local"));
        let (parts, answered) = connection.send_request(request).await?.into_parts();
        let answered = answered.collect().await?.to_bytes();
        self.idle().push(connection);
        Ok(Response::from_parts(parts, Body::whole(answered)))
    }

    /// Stops the server and its thread.
    pub(crate) async fn shut_down(&self) {
        self.idle().clear();
        let running = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((stop, thread)) = running else {
            return;
        };
        // A receiver that is gone means that the server has ended already.
        let _ = stop.send(());
        if tokio::task::spawn_blocking(move || thread.join()).await.is_err() {
            tracing::error!("DynamoDB's thread was lost");
        }
    }

    /// An idle connection that is still open, or a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, DynamoError> {
        let idle = {
            let mut connections = self.idle();
            connections.retain(SendRequest::is_ready);
            connections.pop()
        };
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let stream = TcpStream::connect(self.address).await.map_err(DynamoError::Connect)?;
        stream.set_nodelay(true).map_err(DynamoError::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends when its sender is dropped; what goes wrong on it, the sender's requests report.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
