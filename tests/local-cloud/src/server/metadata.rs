//! The instance metadata service (version 2) of one instance: a token first, then answers; what there is none for is 404. It
//! shows the world as it is at each question. Everything that an instance asks of it here; Spot notices are not among it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::body::Body;
use super::{Answer, Doors, Hangup};
use crate::world::{MetadataTags, World};

/// Amazon EC2 User Guide, "Use the Instance Metadata Service": the headers, and how long a token may live at most.
const TOKEN: &str = "x-aws-ec2-metadata-token";
const LIFETIME: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const LONGEST: u32 = 21_600;

/// Starts the service of an instance on a free loopback port. It ends with the doors.
pub(crate) async fn start(doors: &Arc<Doors>, instance: &str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let token = HeaderValue::from_str(&doors.lambda.unique_id()).map_err(io::Error::other)?;
    let service = Arc::new(Service { instance: instance.to_owned(), token });
    let behind = Arc::clone(doors);
    doors.metadata.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            let (service, doors) = (Arc::clone(&service), Arc::clone(&behind));
            let answers = service_fn(move |request: Request<Incoming>| {
                let answer = doors.engine.inspect(|world| service.answer(&request, world));
                std::future::ready(Ok::<_, Hangup>(answer))
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answers);
            connections.spawn(async move {
                // Whoever hangs up has heard enough.
                let _ = connection.await;
            });
        }
    });
    Ok(address)
}

struct Service {
    instance: String,
    token: HeaderValue,
}

impl Service {
    fn answer(&self, request: &Request<Incoming>, world: &World) -> Answer {
        let headers = request.headers();
        let lifetime = headers.get(LIFETIME).and_then(|it| it.to_str().ok()?.parse::<u32>().ok());
        match (request.method(), request.uri().path()) {
            (&Method::PUT, "/latest/api/token") => match lifetime {
                Some(1..=LONGEST) => reply(StatusCode::OK, self.token.as_bytes().to_vec()),
                Some(_) | None => reply(StatusCode::BAD_REQUEST, Vec::new()),
            },
            (&Method::GET, _) if headers.get(TOKEN) != Some(&self.token) => {
                reply(StatusCode::UNAUTHORIZED, Vec::new())
            }
            (&Method::GET, path) => {
                let path = path.strip_prefix("/latest/meta-data/");
                match path.and_then(|path| told(world, &self.instance, path)) {
                    Some(text) => reply(StatusCode::OK, text.into_bytes()),
                    None => reply(StatusCode::NOT_FOUND, Vec::new()),
                }
            }
            _ => reply(StatusCode::METHOD_NOT_ALLOWED, Vec::new()),
        }
    }
}

/// What an instance is told at a path below `/latest/meta-data/`.
fn told(world: &World, instance: &str, path: &str) -> Option<String> {
    let shown = world.instance(instance).ok()?;
    match path {
        "instance-id" => Some(shown.id.clone()),
        "local-ipv4" => Some(shown.private_ip.clone()),
        "placement/availability-zone" => Some(shown.zone.clone()),
        "autoscaling/target-lifecycle-state" => {
            let (group, member) = world.member(instance)?;
            let pool = world.group(group).ok()?.warm_pool.map(|pool| pool.state);
            Some(member.state.target(pool.unwrap_or_default()).to_owned())
        }
        _ if shown.metadata_tags == MetadataTags::Disabled => None,
        "tags/instance" => {
            Some(shown.tags.keys().map(String::as_str).collect::<Vec<_>>().join("\n"))
        }
        _ => shown.tags.get(path.strip_prefix("tags/instance/")?).cloned(),
    }
}

fn reply(status: StatusCode, text: Vec<u8>) -> Answer {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    answer
}
