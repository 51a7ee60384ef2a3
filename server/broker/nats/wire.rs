//! What travels over NATS: a `Push` of the client protocol, as Centrifugo v6.9.1 writes it.

use crate::broker::{ClientInfo, Epoch, Publication, PublishOptions, StreamPosition, Tags};
use bytes::Bytes;
use gyre_proto::client;
use prost::Message;
use std::sync::Arc;

/// The tag that carries the epoch when history is kept elsewhere; taken off before delivery.
const EPOCH_TAG: &str = "__centrifugo_epoch";

/// What one message says.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Publication {
        publication: Arc<Publication>,
        position: StreamPosition,
        delta: bool,
    },
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
    /// Something newer than this program.
    Other,
}

pub(super) fn publication(
    channel: &str,
    data: Bytes,
    options: PublishOptions,
    position: &StreamPosition,
    time: i64,
) -> Bytes {
    let mut tags = options.tags.as_deref().cloned().unwrap_or_default();
    if position.offset > 0 {
        tags.insert(EPOCH_TAG.to_owned(), position.epoch.as_str().to_owned());
    }
    let publication = client::Publication {
        offset: position.offset,
        // Without a stream there is nothing to compare a version with.
        version: if position.offset > 0 { options.version } else { 0 },
        data,
        info: options.info.as_deref().map(Into::into),
        tags,
        delta: options.delta,
        time,
        ..Default::default()
    };
    push(channel, |push| push.r#pub = Some(Box::new(publication)))
}

pub(super) fn join(channel: &str, info: &ClientInfo) -> Bytes {
    push(channel, |push| push.join = Some(Box::new(client::Join { info: Some(info.into()) })))
}

pub(super) fn leave(channel: &str, info: &ClientInfo) -> Bytes {
    push(channel, |push| push.leave = Some(Box::new(client::Leave { info: Some(info.into()) })))
}

fn push(channel: &str, fill: impl FnOnce(&mut client::Push)) -> Bytes {
    let mut push = client::Push { channel: channel.to_owned(), ..Default::default() };
    fill(&mut push);
    push.encode_to_vec().into()
}

/// Reads a message, and the channel it names.
pub(super) fn read(message: Bytes) -> Result<(String, Heard), prost::DecodeError> {
    let push = client::Push::decode(message)?;
    let heard = if let Some(publication) = push.r#pub {
        let (publication, position, delta) = read_publication(*publication);
        Heard::Publication { publication: Arc::new(publication), position, delta }
    } else if let Some(info) = push.join.and_then(|join| join.info) {
        Heard::Join(Arc::new(client_info(info)))
    } else if let Some(info) = push.leave.and_then(|leave| leave.info) {
        Heard::Leave(Arc::new(client_info(info)))
    } else {
        Heard::Other
    };
    Ok((push.channel, heard))
}

fn read_publication(message: client::Publication) -> (Publication, StreamPosition, bool) {
    let mut tags: Tags = message.tags.into_iter().collect();
    let epoch = tags.remove(EPOCH_TAG);
    let position = match epoch {
        Some(epoch) if message.offset > 0 => {
            StreamPosition { offset: message.offset, epoch: Epoch::from(epoch) }
        }
        _ => StreamPosition::default(),
    };
    let publication = Publication {
        offset: position.offset,
        data: message.data,
        info: message.info.map(|info| Arc::new(client_info(info))),
        tags: (!tags.is_empty()).then(|| Arc::new(tags)),
        time: message.time,
        version: message.version,
        ..Default::default()
    };
    (publication, position, message.delta)
}

fn client_info(info: impl Into<client::ClientInfo>) -> ClientInfo {
    let client::ClientInfo { user, client, conn_info, chan_info, .. } = info.into();
    ClientInfo { user, client, conn_info, chan_info }
}
