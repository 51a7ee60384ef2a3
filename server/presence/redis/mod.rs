//! Presence in Redis: who is in a channel, on whatever node.
//!
//! Each channel has a hash from client to information, and a sorted set of when each client is forgotten unless it
//! is renewed. Optionally a second pair counts the clients of each user, which makes counting cheap; optionally
//! Redis itself forgets fields of the hash. Names and values are those of Centrifugo, whose nodes can share them.

#[cfg(test)]
mod tests;

use super::{PresenceError, PresenceStats, PresenceStore};
use crate::broker::{ClientInfo, MaybeReady};
use crate::seams::Clock;
use crate::stores::redis::{Command, RedisError, Script, Shard, Value, shard_of};
use gyre_proto::client;
use prost::Message;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How presence is kept in Redis.
#[derive(Clone, Debug)]
pub struct RedisPresenceSettings {
    /// Start of all names; nodes of one cluster share it.
    pub prefix: String,
    /// Time after which a client that was not renewed is forgotten. Whole seconds, at least one.
    pub ttl: Duration,
    /// Let Redis forget fields of the hash by itself, which needs Redis 7.4.
    pub field_ttl: bool,
    /// Count the clients of each user.
    pub user_mapping: bool,
}

/// The presence store on Redis.
///
/// Source: `docs/redis.md`.
pub struct RedisPresence {
    shared: Arc<Shared>,
}

struct Shared {
    /// In configured order: the order decides which channel is where.
    shards: Vec<Shard>,
    settings: RedisPresenceSettings,
    clock: Arc<dyn Clock>,
    add: Script,
    remove: Script,
    get: Script,
    stats: Script,
}

impl RedisPresence {
    /// Uses `shards`.
    ///
    /// # Errors
    /// `Settings` when a server does not know what the settings need.
    pub async fn new(
        shards: Vec<Shard>,
        settings: RedisPresenceSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RedisError> {
        if settings.field_ttl {
            for shard in &shards {
                let known = shard.request(b"", &Command::new([&b"COMMAND"[..], b"INFO", b"HEXPIRE"])).await?;
                if known.into_list().is_none_or(|commands| commands.iter().all(|known| *known == Value::Nil))
                {
                    let text =
                        format!("presence_hash_field_ttl needs redis 7.4 or newer at {}", shard.name());
                    return Err(RedisError::Settings(text.into()));
                }
            }
        }
        let shared = Shared {
            shards,
            settings,
            clock,
            add: Script::new(include_str!("scripts/add.lua")),
            remove: Script::new(include_str!("scripts/remove.lua")),
            get: Script::new(include_str!("scripts/get.lua")),
            stats: Script::new(include_str!("scripts/stats.lua")),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

/// Names of one channel.
struct Keys {
    expire: String,
    data: String,
    user_expire: String,
    user_clients: String,
}

impl Keys {
    fn all(&self) -> [&[u8]; 4] {
        [&self.expire, &self.data, &self.user_expire, &self.user_clients].map(|key| key.as_bytes())
    }
}

fn flag(on: bool) -> &'static [u8] {
    if on { b"1" } else { b"0" }
}

impl Shared {
    fn of(&self, channel: &str) -> (&Shard, Keys) {
        let shard = &self.shards[shard_of(channel, self.shards.len())];
        let (open, close) = if shard.is_cluster() { ("{", "}") } else { ("", "") };
        let name = |kind| format!("{}.presence.{kind}.{open}{channel}{close}", self.settings.prefix);
        let keys = Keys {
            expire: name("expire"),
            data: name("data"),
            user_expire: name("user.expire"),
            user_clients: name("user.clients"),
        };
        (shard, keys)
    }

    fn now(&self) -> i64 {
        self.clock.now().unix.seconds()
    }

    async fn add(&self, channel: &str, info: &ClientInfo) -> Result<(), RedisError> {
        let (shard, keys) = self.of(channel);
        let ttl = self.settings.ttl.as_secs().max(1);
        let [mut ttl_text, mut expires_at] = std::array::from_fn(|_| itoa::Buffer::new());
        let body = client::ClientInfo::from(info).encode_to_vec();
        let arguments = [
            ttl_text.format(ttl).as_bytes(),
            expires_at.format(self.now().saturating_add_unsigned(ttl)).as_bytes(),
            info.client.as_bytes(),
            &body,
            info.user.as_bytes(),
            flag(self.settings.user_mapping),
            flag(self.settings.field_ttl),
        ];
        shard.run(&self.add, &keys.all(), &arguments).await.map(drop)
    }

    async fn remove(&self, channel: &str, client: &str, user: &str) -> Result<(), RedisError> {
        let (shard, keys) = self.of(channel);
        let (mapping, field_ttl) = (flag(self.settings.user_mapping), flag(self.settings.field_ttl));
        let arguments = [client.as_bytes(), user.as_bytes(), mapping, field_ttl];
        shard.run(&self.remove, &keys.all(), &arguments).await.map(drop)
    }

    async fn get(&self, channel: &str) -> Result<BTreeMap<String, Arc<ClientInfo>>, RedisError> {
        let (shard, keys) = self.of(channel);
        let reply = if self.settings.field_ttl {
            // Nothing is forgotten by reading, so a replica may answer.
            let command = Command::new([&b"HGETALL"[..], keys.data.as_bytes()]);
            shard.request_lagging(keys.data.as_bytes(), &command).await?
        } else {
            let mut now = itoa::Buffer::new();
            let keys = [keys.expire.as_bytes(), keys.data.as_bytes()];
            shard.run(&self.get, &keys, &[now.format(self.now()).as_bytes()]).await?
        };
        everyone(reply).ok_or(RedisError::Unexpected("presence"))
    }

    async fn stats(&self, channel: &str) -> Result<PresenceStats, RedisError> {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        if !self.settings.user_mapping {
            let everyone = self.get(channel).await?;
            let users: HashSet<&str> = everyone.values().map(|info| info.user.as_str()).collect();
            return Ok(PresenceStats { clients: count(everyone.len()), users: count(users.len()) });
        }
        let (shard, keys) = self.of(channel);
        let mut now = itoa::Buffer::new();
        let arguments = [now.format(self.now()).as_bytes(), flag(self.settings.field_ttl)];
        let reply = shard.run(&self.stats, &keys.all(), &arguments).await?;
        let counts: Option<Vec<usize>> = reply.into_list().and_then(|counts| {
            counts
                .iter()
                .map(|count| count.as_integer().and_then(|count| usize::try_from(count).ok()))
                .collect()
        });
        match counts.as_deref() {
            Some([clients, users]) => Ok(PresenceStats { clients: count(*clients), users: count(*users) }),
            _ => Err(RedisError::Unexpected("presence counts")),
        }
    }
}

fn everyone(reply: Value) -> Option<BTreeMap<String, Arc<ClientInfo>>> {
    let mut fields = reply.into_list()?.into_iter();
    let mut everyone = BTreeMap::new();
    while let (Some(client), Some(info)) = (fields.next(), fields.next()) {
        let info = client::ClientInfo::decode(info.into_text()?).ok()?;
        let info = ClientInfo {
            user: info.user,
            client: info.client,
            conn_info: info.conn_info,
            chan_info: info.chan_info,
        };
        everyone.insert(client.as_str()?.to_owned(), Arc::new(info));
    }
    Some(everyone)
}

fn unavailable(error: RedisError) -> PresenceError {
    PresenceError::Unavailable(Box::new(error))
}

impl PresenceStore for RedisPresence {
    fn add(&self, channel: &Arc<str>, info: Arc<ClientInfo>) -> MaybeReady<Result<(), PresenceError>> {
        let (shared, channel) = (self.shared.clone(), channel.clone());
        MaybeReady::later(async move { shared.add(&channel, &info).await.map_err(unavailable) })
    }

    fn remove(&self, channel: &Arc<str>, client: &str, user: &str) -> MaybeReady<Result<(), PresenceError>> {
        let (shared, channel) = (self.shared.clone(), channel.clone());
        let (client, user) = (client.to_owned(), user.to_owned());
        MaybeReady::later(async move { shared.remove(&channel, &client, &user).await.map_err(unavailable) })
    }

    fn get(
        &self,
        channel: &Arc<str>,
    ) -> MaybeReady<Result<BTreeMap<String, Arc<ClientInfo>>, PresenceError>> {
        let (shared, channel) = (self.shared.clone(), channel.clone());
        MaybeReady::later(async move { shared.get(&channel).await.map_err(unavailable) })
    }

    fn stats(&self, channel: &Arc<str>) -> MaybeReady<Result<PresenceStats, PresenceError>> {
        let (shared, channel) = (self.shared.clone(), channel.clone());
        MaybeReady::later(async move { shared.stats(&channel).await.map_err(unavailable) })
    }
}
