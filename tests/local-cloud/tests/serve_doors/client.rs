//! A small HTTP client, which speaks to a cloud as the AWS SDKs do.

use std::fmt::Write as _;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::http::request::Builder;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Anybody's access key.
pub(crate) const PERSON: &str = "AKIAPERSON";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect(&self.text)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name}: {self:?}"))
            .to_str()
            .unwrap()
    }
}

/// Sends a request to a URL whose path is added to `request`, on a connection of its own.
pub(crate) async fn send(
    endpoint: &str,
    request: Builder,
    content: String,
) -> Result<Reply, hyper::Error> {
    let address = endpoint.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = request.header("host", address).body(Full::new(Bytes::from(content))).unwrap();
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let text = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
    Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, text })
}

/// A signature by this access key, for this service.
pub(crate) fn signature(access_key: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/20261123/eu-central-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=0"
    )
}

/// Calls an operation of EC2.
pub(crate) async fn ec2(
    endpoint: &str,
    action: &str,
    parameters: &[(&str, &str)],
) -> Result<Reply, hyper::Error> {
    query(endpoint, ("ec2", "2016-11-15"), action, parameters).await
}

/// Calls an operation of Auto Scaling.
pub(crate) async fn auto_scaling(
    endpoint: &str,
    action: &str,
    parameters: &[(&str, &str)],
) -> Result<Reply, hyper::Error> {
    query(endpoint, ("autoscaling", "2011-01-01"), action, parameters).await
}

async fn query(
    endpoint: &str,
    (service, version): (&str, &str),
    action: &str,
    parameters: &[(&str, &str)],
) -> Result<Reply, hyper::Error> {
    let mut form = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        write!(form, "&{name}={value}").unwrap();
    }
    let request = Request::post("/").header("authorization", signature(PERSON, service));
    send(endpoint, request, form).await
}

/// Calls an operation of DynamoDB.
pub(crate) async fn dynamodb(
    endpoint: &str,
    access_key: &str,
    operation: &str,
    request: &Value,
) -> Result<Reply, hyper::Error> {
    let head = Request::post("/")
        .header("authorization", signature(access_key, "dynamodb"))
        .header("x-amz-date", "20261123T000000Z")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"));
    send(endpoint, head, request.to_string()).await
}
