//! Which channels are wanted, and how much of that the server has confirmed. Pure: commands come out as bytes, and
//! confirmations go in.

use super::resp::Command;
use bytes::Bytes;
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Channels in one command.
const BATCH: usize = 512;

/// The state of all channels of one listening connection.
pub(super) struct Wanted {
    sharded: bool,
    connected: bool,
    entries: HashMap<Bytes, Entry, RandomState>,
    /// Channels to subscribe to with the next command.
    joining: Vec<Bytes>,
    /// Channels to unsubscribe from with the next command.
    leaving: Vec<Bytes>,
    /// When to let go of channels that nobody wants, oldest first.
    lingering: VecDeque<(Instant, Bytes)>,
    /// What else is to be said.
    other: Vec<u8>,
}

struct Entry {
    name: Arc<str>,
    wanted: bool,
    /// What the server was told last, or will be with the next command.
    told: Told,
    /// Commands about this channel the server has not confirmed.
    unconfirmed: u32,
    /// Messages may have been missed since the last confirmation.
    lost: bool,
    waiting: SmallVec<[oneshot::Sender<()>; 1]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Subscribe,
    Unsubscribe,
}

/// What a confirmation means.
pub(super) enum Confirmed {
    /// Nothing that anybody has to know.
    Quietly,
    /// The channel was subscribed before the connection was lost.
    AfterLoss(Arc<str>),
}

impl Entry {
    fn is_subscribed(&self) -> bool {
        self.told == Told::Subscribe && self.unconfirmed == 0
    }
}

impl Wanted {
    pub(super) fn new(sharded: bool) -> Self {
        Self {
            sharded,
            connected: false,
            entries: HashMap::default(),
            joining: Vec::new(),
            leaving: Vec::new(),
            lingering: VecDeque::new(),
            other: Vec::new(),
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Wants a channel; true when it is subscribed already, else `waiting` is told when it is.
    pub(super) fn want(&mut self, channel: Bytes, name: Arc<str>, waiting: oneshot::Sender<()>) -> bool {
        let entry = self.entries.entry(channel.clone()).or_insert_with(|| Entry {
            name,
            wanted: true,
            told: Told::Nothing,
            unconfirmed: 0,
            lost: false,
            waiting: SmallVec::new(),
        });
        entry.wanted = true;
        if entry.is_subscribed() {
            return true;
        }
        entry.waiting.push(waiting);
        if self.connected && entry.told != Told::Subscribe {
            entry.told = Told::Subscribe;
            entry.unconfirmed += 1;
            self.joining.push(channel);
        }
        false
    }

    /// Whoever waited does not any more; without anybody else the channel is not wanted.
    pub(super) fn give_up(&mut self, channel: &Bytes, until: Instant) {
        let Some(entry) = self.entries.get_mut(channel) else { return };
        entry.waiting.retain(|waiting| !waiting.is_closed());
        if entry.waiting.is_empty() && !entry.is_subscribed() && !entry.lost {
            self.drop_later(channel, until);
        }
    }

    /// Does not want a channel any more; it is kept until `until`, in case somebody wants it again.
    pub(super) fn drop_later(&mut self, channel: &Bytes, until: Instant) {
        if let Some(entry) = self.entries.get_mut(channel)
            && entry.wanted
        {
            entry.wanted = false;
            self.lingering.push_back((until, channel.clone()));
        }
    }

    /// Lets go of what lingered long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        let mut still = Vec::new();
        while self.lingering.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, channel)) = self.lingering.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&channel) else { continue };
            if entry.wanted {
                continue;
            }
            if !self.connected || entry.told == Told::Nothing {
                self.entries.remove(&channel);
            } else if entry.is_subscribed() {
                entry.told = Told::Unsubscribe;
                entry.unconfirmed = 1;
                self.leaving.push(channel);
            } else if entry.told == Told::Subscribe {
                // Unsubscribing must not overtake it.
                still.push(channel);
            }
        }
        self.lingering.extend(still.into_iter().map(|channel| (now, channel)));
    }

    /// A new connection stands: everything that is wanted is asked for again.
    pub(super) fn connect(&mut self) {
        self.connected = true;
        for (channel, entry) in &mut self.entries {
            entry.told = Told::Subscribe;
            entry.unconfirmed = 1;
            self.joining.push(channel.clone());
        }
    }

    /// The connection is gone, and with it all subscriptions.
    pub(super) fn lose(&mut self) {
        self.connected = false;
        self.joining = Vec::new();
        self.leaving = Vec::new();
        self.other = Vec::new();
        self.entries.retain(|_, entry| {
            // What nobody wants may go now; a channel that was confirmed once may miss something.
            entry.lost |= entry.is_subscribed();
            (entry.told, entry.unconfirmed) = (Told::Nothing, 0);
            entry.wanted
        });
    }

    /// The server subscribed to a channel.
    pub(super) fn subscribed(&mut self, channel: &[u8]) -> Confirmed {
        let Some(entry) = self.entries.get_mut(channel) else { return Confirmed::Quietly };
        entry.unconfirmed = entry.unconfirmed.saturating_sub(1);
        if !entry.is_subscribed() {
            return Confirmed::Quietly;
        }
        for waiting in entry.waiting.drain(..) {
            // Whoever waited may have given up.
            let _ = waiting.send(());
        }
        if std::mem::take(&mut entry.lost) {
            Confirmed::AfterLoss(entry.name.clone())
        } else {
            Confirmed::Quietly
        }
    }

    /// The server unsubscribed from a channel; false when nobody had asked it to.
    pub(super) fn unsubscribed(&mut self, channel: &[u8]) -> bool {
        let Some(entry) = self.entries.get_mut(channel) else { return true };
        if entry.unconfirmed == 0 {
            return false;
        }
        entry.unconfirmed -= 1;
        if entry.unconfirmed == 0 && entry.told == Told::Unsubscribe {
            self.entries.remove(channel);
        }
        true
    }

    /// The name of a channel that is wanted.
    pub(super) fn name(&self, channel: &[u8]) -> Option<Arc<str>> {
        self.entries.get(channel).map(|entry| entry.name.clone())
    }

    /// Names of channels among `some` that are subscribed.
    pub(super) fn confirmed(&self, some: impl Fn(&[u8]) -> bool) -> Vec<Arc<str>> {
        let all = self.entries.iter().filter(|(channel, entry)| entry.is_subscribed() && some(channel));
        all.map(|(_, entry)| entry.name.clone()).collect()
    }

    /// Says something else.
    pub(super) fn say(&mut self, command: &Command) {
        self.other.extend_from_slice(command.bytes());
    }

    pub(super) fn has_commands(&self) -> bool {
        !(self.joining.is_empty() && self.leaving.is_empty() && self.other.is_empty())
    }

    /// Takes some of what is to be written; empty when there is nothing.
    ///
    /// Order: only a channel that was left and wanted again can be in both lists, so leaving goes first.
    pub(super) fn take_commands(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.other);
        let (join, leave): (&[u8], &[u8]) =
            if self.sharded { (b"SSUBSCRIBE", b"SUNSUBSCRIBE") } else { (b"SUBSCRIBE", b"UNSUBSCRIBE") };
        let batches = [(leave, std::mem::take(&mut self.leaving)), (join, std::mem::take(&mut self.joining))];
        for (verb, channels) in batches {
            for batch in channels.chunks(BATCH) {
                let parts = std::iter::once(verb).chain(batch.iter().map(|channel| &channel[..]));
                bytes.extend_from_slice(Command::new(parts).bytes());
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn channel() -> Bytes {
        Bytes::from_static(b"p.client.c")
    }

    fn want(wanted: &mut Wanted) -> Option<oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        (!wanted.want(channel(), "c".into(), sender)).then_some(receiver)
    }

    fn said(wanted: &mut Wanted) -> Vec<String> {
        let bytes = String::from_utf8(wanted.take_commands()).expect("is text");
        let verbs = bytes.split("\r\n").filter(|word| word.ends_with("SUBSCRIBE"));
        verbs.map(str::to_owned).collect()
    }

    fn connected() -> Wanted {
        let mut wanted = Wanted::new(false);
        wanted.connect();
        wanted
    }

    #[test]
    fn who_waits_is_told_when_the_server_confirms() {
        let mut wanted = connected();
        let mut first = want(&mut wanted).expect("has to wait");
        let mut second = want(&mut wanted).expect("has to wait");
        assert_eq!(said(&mut wanted), ["SUBSCRIBE"], "one command for both");
        assert!(first.try_recv().is_err());
        assert!(matches!(wanted.subscribed(&channel()), Confirmed::Quietly));
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(want(&mut wanted).is_none(), "what is subscribed is there at once");
    }

    #[test]
    fn a_channel_wanted_again_in_time_is_never_left() {
        let mut wanted = connected();
        let now = Instant::now();
        let _waiting = want(&mut wanted);
        wanted.subscribed(&channel());
        said(&mut wanted);
        wanted.drop_later(&channel(), now);
        assert!(want(&mut wanted).is_none());
        wanted.expire(now);
        assert!(said(&mut wanted).is_empty());
    }

    #[test]
    fn wanting_while_it_is_being_left_waits_for_a_new_confirmation() {
        let mut wanted = connected();
        let now = Instant::now();
        let _waiting = want(&mut wanted);
        wanted.subscribed(&channel());
        said(&mut wanted);
        wanted.drop_later(&channel(), now);
        wanted.expire(now);
        let mut waiting = want(&mut wanted).expect("has to wait");
        assert_eq!(said(&mut wanted), ["UNSUBSCRIBE", "SUBSCRIBE"]);
        assert!(wanted.unsubscribed(&channel()));
        assert!(waiting.try_recv().is_err());
        wanted.subscribed(&channel());
        assert!(waiting.try_recv().is_ok());
    }

    #[test]
    fn leaving_does_not_overtake_joining() {
        let mut wanted = connected();
        let now = Instant::now();
        let _waiting = want(&mut wanted);
        wanted.drop_later(&channel(), now);
        wanted.expire(now);
        assert_eq!(said(&mut wanted), ["SUBSCRIBE"]);
        wanted.subscribed(&channel());
        wanted.expire(now + Duration::from_secs(1));
        assert_eq!(said(&mut wanted), ["UNSUBSCRIBE"]);
        assert!(wanted.unsubscribed(&channel()));
        assert_eq!(wanted.len(), 0);
    }

    #[test]
    fn after_a_loss_all_is_asked_for_again_and_what_was_confirmed_has_a_gap() {
        let mut wanted = connected();
        let _waiting = want(&mut wanted);
        wanted.subscribed(&channel());
        said(&mut wanted);
        wanted.lose();
        let mut waiting = want(&mut wanted).expect("has to wait");
        assert!(said(&mut wanted).is_empty(), "nothing is said without a connection");
        wanted.connect();
        assert_eq!(said(&mut wanted), ["SUBSCRIBE"]);
        assert!(matches!(wanted.subscribed(&channel()), Confirmed::AfterLoss(name) if &*name == "c"));
        assert!(waiting.try_recv().is_ok());
    }

    #[test]
    fn what_was_never_confirmed_has_no_gap() {
        let mut wanted = connected();
        let _waiting = want(&mut wanted);
        wanted.lose();
        wanted.connect();
        assert!(matches!(wanted.subscribed(&channel()), Confirmed::Quietly));
    }

    #[test]
    fn a_wish_given_up_goes_away() {
        let mut wanted = Wanted::new(false);
        drop(want(&mut wanted));
        let now = Instant::now();
        wanted.give_up(&channel(), now);
        wanted.expire(now);
        assert_eq!(wanted.len(), 0);
    }

    #[test]
    fn a_subscription_the_server_ends_is_noticed() {
        let mut wanted = connected();
        let _waiting = want(&mut wanted);
        wanted.subscribed(&channel());
        assert!(!wanted.unsubscribed(&channel()));
    }
}
