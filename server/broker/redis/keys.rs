//! Names in Redis. Nodes of one cluster have to agree on every byte of them.

use crate::stores::redis::shard_of;
use bytes::Bytes;

/// How names are made on one shard.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    layout: Layout,
}

/// What else a name has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Nothing.
    Plain,
    /// All names of a channel are in one slot of a Redis Cluster.
    Cluster,
    /// All names of a partition of channels are in one slot, whose node carries their messages.
    Partitions(usize),
}

impl Keys {
    pub(super) fn new(prefix: &str, layout: Layout) -> Self {
        Self { prefix: prefix.to_owned(), layout }
    }

    /// The partition of a channel; zero without partitions.
    pub(super) fn partition(&self, channel: &str) -> usize {
        match self.layout {
            Layout::Partitions(partitions) => shard_of(channel, partitions),
            _ => 0,
        }
    }

    /// Where messages of a channel are published.
    pub(super) fn channel(&self, channel: &str) -> Bytes {
        self.name(".client.", channel, "").into()
    }

    /// History as a stream.
    pub(super) fn stream(&self, channel: &str) -> Vec<u8> {
        self.name(".stream.", channel, "")
    }

    /// Offset, epoch and version of history as a stream.
    pub(super) fn stream_meta(&self, channel: &str) -> Vec<u8> {
        self.name(".stream.meta.", channel, "")
    }

    /// History as a list.
    pub(super) fn list(&self, channel: &str) -> Vec<u8> {
        self.name(".list.", channel, "")
    }

    /// Offset, epoch and version of history as a list.
    pub(super) fn list_meta(&self, channel: &str) -> Vec<u8> {
        self.name(".list.meta.", channel, "")
    }

    /// What a publish with an idempotency key came to.
    pub(super) fn result(&self, channel: &str, key: &str) -> Vec<u8> {
        let mut name = self.name(".result.", channel, key);
        // A dot stands between channel and key.
        name.insert(name.len() - key.len(), b'.');
        name
    }

    /// The channel of canaries of this node.
    pub(super) fn canary(&self, node: &str, partition: usize) -> Bytes {
        let prefix = &self.prefix;
        match self.layout {
            Layout::Partitions(_) => format!("{prefix}.canary.{node}.{{{partition}}}").into(),
            _ => format!("{prefix}.canary.{node}").into(),
        }
    }

    fn name(&self, kind: &str, channel: &str, more: &str) -> Vec<u8> {
        let mut name = Vec::with_capacity(self.prefix.len() + kind.len() + channel.len() + more.len() + 8);
        name.extend_from_slice(self.prefix.as_bytes());
        name.extend_from_slice(kind.as_bytes());
        match self.layout {
            Layout::Plain => name.extend_from_slice(channel.as_bytes()),
            Layout::Cluster => {
                name.push(b'{');
                name.extend_from_slice(channel.as_bytes());
                name.push(b'}');
            }
            Layout::Partitions(partitions) => {
                name.push(b'{');
                let partition = shard_of(channel, partitions);
                name.extend_from_slice(itoa::Buffer::new().format(partition).as_bytes());
                name.extend_from_slice(b"}.");
                name.extend_from_slice(channel.as_bytes());
            }
        }
        name.extend_from_slice(more.as_bytes());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: impl AsRef<[u8]>) -> String {
        String::from_utf8_lossy(name.as_ref()).into_owned()
    }

    fn names(layout: Layout) -> [String; 6] {
        let keys = Keys::new("p", layout);
        [
            text(keys.channel("ns:c")),
            text(keys.stream("ns:c")),
            text(keys.stream_meta("ns:c")),
            text(keys.list("ns:c")),
            text(keys.list_meta("ns:c")),
            text(keys.result("ns:c", "key")),
        ]
    }

    #[test]
    fn names_are_those_other_nodes_use() {
        assert_eq!(
            names(Layout::Plain),
            [
                "p.client.ns:c",
                "p.stream.ns:c",
                "p.stream.meta.ns:c",
                "p.list.ns:c",
                "p.list.meta.ns:c",
                "p.result.ns:c.key"
            ]
        );
        assert_eq!(
            names(Layout::Cluster),
            [
                "p.client.{ns:c}",
                "p.stream.{ns:c}",
                "p.stream.meta.{ns:c}",
                "p.list.{ns:c}",
                "p.list.meta.{ns:c}",
                "p.result.{ns:c}.key"
            ]
        );
        let partition = shard_of("ns:c", 16);
        let [channel, stream, _, _, _, result] = names(Layout::Partitions(16));
        assert_eq!(channel, format!("p.client.{{{partition}}}.ns:c"));
        assert_eq!(stream, format!("p.stream.{{{partition}}}.ns:c"));
        assert_eq!(result, format!("p.result.{{{partition}}}.ns:c.key"));
    }
}
