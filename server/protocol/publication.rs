//! The forms a publication's payload takes.

use super::delta;
use crate::broker::{ClientInfo, Epoch, Publication};
use bytes::Bytes;
use gyre_proto::client;
use gyre_proto::json::write_string;

/// How one publication is written for a subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// The payload as it is.
    #[default]
    Plain,
    /// The payload for a subscriber with deltas; a JSON string in JSON.
    Full,
    /// What changed since the publication before.
    Patch,
}

impl From<&ClientInfo> for client::ClientInfo {
    fn from(info: &ClientInfo) -> Self {
        Self {
            user: info.user.clone(),
            client: info.client.clone(),
            conn_info: info.conn_info.clone(),
            chan_info: info.chan_info.clone(),
        }
    }
}

/// Writes a publication for a client. The first of a stream carries the epoch, which tells clients that had no
/// position yet what their position belongs to.
pub fn client_publication(publication: &Publication, epoch: &Epoch) -> client::Publication {
    client::Publication {
        data: publication.data.clone(),
        info: publication.info.as_deref().map(Into::into),
        offset: publication.offset,
        tags: publication.tags.as_deref().cloned().unwrap_or_default(),
        version: publication.version,
        channel: publication.channel.as_deref().unwrap_or_default().to_owned(),
        epoch: if publication.offset == 1 { epoch.as_str().to_owned() } else { String::new() },
        ..Default::default()
    }
}

/// Writes a payload as text: in JSON, subscribers with deltas get a string that holds the payload or a patch.
pub fn text_payload(data: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(data.len() + data.len() / 8 + 2);
    write_string(&mut text, &String::from_utf8_lossy(data));
    Bytes::from(text)
}

/// The patch from one payload to the next, if it is shorter than the payload itself.
pub fn patch(previous: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let patch = delta::create(previous, data);
    (patch.len() < data.len()).then_some(patch)
}

/// Rewrites recovered publications for a subscriber with deltas: the first in full, each other as a patch to
/// the one before.
pub fn delta_publications(publications: Vec<client::Publication>, text: bool) -> Vec<client::Publication> {
    let wrap = |data: Bytes| if text { text_payload(&data) } else { data };
    let mut previous: Option<Bytes> = None;
    publications
        .into_iter()
        .map(|publication| {
            let data = publication.data.clone();
            let patch = previous.replace(data.clone()).and_then(|previous| patch(&previous, &data));
            client::Publication {
                delta: patch.is_some(),
                data: wrap(patch.map(Bytes::from).unwrap_or(data)),
                offset: publication.offset,
                info: publication.info,
                tags: publication.tags,
                ..Default::default()
            }
        })
        .collect()
}
