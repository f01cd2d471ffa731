//! The body of a reply: all at once, or its second half late, as over a bad line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A body in one part or two.
#[derive(Debug)]
pub(crate) struct Body {
    parts: VecDeque<Bytes>,
    between: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body {
    /// All of it at once.
    pub(super) fn whole(content: impl Into<Bytes>) -> Self {
        Self { parts: [content.into()].into(), between: Duration::ZERO, pause: None }
    }

    /// The same in two halves, the second one this much later.
    pub(super) fn in_halves(self, between: Duration) -> Self {
        let halves = self.parts.into_iter().flat_map(|mut part| {
            let second = part.split_off(part.len() / 2);
            [part, second]
        });
        Self { parts: halves.filter(|part| !part.is_empty()).collect(), between, pause: None }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        let next = this.parts.pop_front();
        if !this.parts.is_empty() {
            this.pause = Some(Box::pin(sleep(this.between)));
        }
        Poll::Ready(next.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.parts.iter().map(Bytes::len).sum::<usize>();
        SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
    }
}
