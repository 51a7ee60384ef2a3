//! Messages of gRPC take room before they are read.

use super::allowance::{Crowded, Room, SMALL};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::Status;

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Largest message that is read; its reader refuses larger ones by their prefix.
const LARGEST: usize = 4 << 20;

/// A body of messages, of which one is read at a time. It takes room for a message when its prefix has come, and
/// gives it back when the message is there.
pub(super) struct Counted<B> {
    body: B,
    place: Place,
    /// None while one is being made.
    room: Option<Room>,
    making: Option<Making>,
}

type Made = (Room, Result<(), Crowded>);

/// Data that is held back until there is room for the message it begins.
struct Making {
    room: Pin<Box<dyn Future<Output = Made> + Send>>,
    data: Bytes,
}

/// Where in the sequence of messages a body is.
enum Place {
    /// Within a prefix, of which this much has come.
    Prefix([u8; PREFIX], usize),
    /// Within a message of which so much is missing.
    Message(usize),
}

impl Place {
    const START: Self = Self::Prefix([0; PREFIX], 0);

    /// Goes over what has come; the length of the message it ends in, when that began here.
    fn advance(&mut self, mut data: &[u8]) -> Option<usize> {
        let mut began = None;
        while !data.is_empty() {
            match self {
                Self::Message(missing) => {
                    let taken = data.len().min(*missing);
                    *missing -= taken;
                    data = &data[taken..];
                }
                Self::Prefix(prefix, come) => {
                    let taken = data.len().min(PREFIX - *come);
                    prefix[*come..*come + taken].copy_from_slice(&data[..taken]);
                    *come += taken;
                    data = &data[taken..];
                    if *come == PREFIX {
                        let [_, length @ ..] = *prefix;
                        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                        began = Some(length);
                        *self = Self::Message(length);
                    }
                }
            }
            if let Self::Message(0) = self {
                began = None;
                *self = Self::START;
            }
        }
        began
    }

    fn is_within_message(&self) -> bool {
        matches!(self, Self::Message(_))
    }
}

impl<B> Counted<B> {
    pub fn new(body: B, room: Option<Room>) -> Self {
        Self { body, place: Place::START, room, making: None }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let Some(making) = &mut self.making else { return Poll::Ready(None) };
        let (room, made) = ready!(making.room.as_mut().poll(cx));
        self.room = Some(room);
        let making = self.making.take();
        Poll::Ready(making.map(|making| match made {
            Ok(()) => Ok(making.data),
            Err(crowded) => Err(refused(crowded)),
        }))
    }

    /// Makes room for what this data begins; gives the data back when it can be read at once.
    fn admit(&mut self, data: Bytes) -> Option<Bytes> {
        let began = self.place.advance(&data);
        let Some(mut room) = self.room.take() else { return Some(data) };
        if began.is_some() || !self.place.is_within_message() {
            room.clear();
        }
        match began {
            Some(length) if (SMALL + 1..=LARGEST).contains(&length) => {
                let making = async move {
                    let made = room.fit(length).await;
                    (room, made)
                };
                self.making = Some(Making { room: Box::pin(making), data });
                None
            }
            _ => {
                self.room = Some(room);
                Some(data)
            }
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(data) = ready!(self.poll_room(cx)) {
                return Poll::Ready(Some(data.map(Frame::data).map_err(Into::into)));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            if let Some(data) = self.admit(data) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.making.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The end of a call whose answer is not read.
fn refused(crowded: Crowded) -> Status {
    let mut status = Status::resource_exhausted(crowded.to_string());
    status.set_source(std::sync::Arc::new(crowded));
    status
}

/// Whether it was us who refused to read an answer.
pub(super) fn is_refused(status: &Status) -> bool {
    use std::error::Error as _;
    status.source().is_some_and(|source| source.is::<Crowded>())
}

#[cfg(test)]
mod tests {
    use super::super::allowance::{Allowance, COMMON};
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};
    use std::time::Duration;

    fn message(length: usize) -> Vec<u8> {
        let told = u32::try_from(length).unwrap().to_be_bytes();
        [&[0], &told[..], &vec![7; length]].concat()
    }

    /// A body of this data, in frames as they come.
    fn body(
        frames: Vec<Vec<u8>>,
        allowance: &Allowance,
    ) -> Counted<impl Body<Data = Bytes, Error = h2::Error> + Unpin> {
        let frames = stream::iter(frames).map(|data| Ok(Frame::data(Bytes::from(data))));
        Counted::new(StreamBody::new(frames), Some(allowance.room(Duration::from_secs(1))))
    }

    #[test]
    fn prefixes_are_found_wherever_data_is_cut() {
        let data = [message(3), message(0), message(40), message(9)].concat();
        for cut in 1..data.len() {
            let mut place = Place::START;
            for part in data.chunks(cut) {
                place.advance(part);
            }
            assert!(matches!(place, Place::Prefix(_, 0)), "cut at {cut}");
        }
        let mut place = Place::START;
        assert_eq!(place.advance(&data[..20]), Some(40));
        assert_eq!(place.advance(&data[20..30]), None);
        assert!(place.is_within_message());
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_message_holds_room_until_it_is_there() {
        let allowance = Allowance::new();
        let large = message(SMALL + 1);
        let (begin, end) = large.split_at(100);
        let mut body = body(vec![message(SMALL), begin.to_vec(), end.to_vec()], &allowance);
        let mut held = Vec::new();
        while let Some(frame) = body.frame().now_or_never().unwrap() {
            assert!(frame.unwrap().is_data());
            held.push(COMMON - allowance.free());
        }
        assert_eq!(held, [0, SMALL + 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_message_waits_and_is_refused_when_there_is_no_room() {
        let allowance = Allowance::new();
        let (mut all, mut last) = (allowance.room(Duration::ZERO), allowance.room(Duration::ZERO));
        all.fit(COMMON).await.unwrap();
        last.fit(SMALL + 1).await.unwrap();
        let begin = message(SMALL + 1)[..100].to_vec();
        let mut waits = body(vec![begin.clone()], &allowance);
        assert!(waits.frame().now_or_never().is_none());
        drop(last);
        assert_eq!(waits.frame().await.unwrap().unwrap().into_data().unwrap(), begin);

        let mut refused = body(vec![begin], &allowance);
        let error = refused.frame().await.unwrap().unwrap_err();
        assert!(is_refused(&Status::from_error(error)));
    }
}
