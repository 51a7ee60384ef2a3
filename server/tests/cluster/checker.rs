//! Judges a log after the run: was anything acknowledged and then lost, doubled, reordered or made up?
//!
//! Knows nothing of servers or faults. A subscriber may miss something only if it is told so: by `recovered: false`,
//! or by a subscription that ends as out of position and starts anew. Everything else is a verdict.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use crate::log::{Event, Line, Micros};
use crate::measures::Measures;
use crate::names::Names;
use crate::verdict::{Kind, Verdict};

/// The server says that the client must start over from what it has.
const INSUFFICIENT_STATE: u32 = 2500;

/// Reads a log and judges it.
///
/// # Errors
/// When the log cannot be read or holds a line that is none.
pub fn judge(log: impl BufRead) -> Result<(Verdict, Measures), String> {
    let (mut checker, mut measures) = (Checker::default(), Measures::default());
    for line in log.lines() {
        let line = line.map_err(|error| format!("read the log: {error}"))?;
        let line: Line = serde_json::from_str(&line).map_err(|error| format!("{error} in {line}"))?;
        measures.take(&line);
        checker.take(line);
    }
    Ok((checker.finish(), measures.finish()))
}

/// A word of the log: id of a message, channel or epoch. Zero is the empty one.
type Word = u32;

/// A place of a stream: channel, epoch and offset.
type Place = (Word, Word, u64);

/// An acknowledged message.
struct Acked {
    epoch: Word,
    offset: u64,
    at: Micros,
}

/// What one client knows of one channel.
#[derive(Default)]
struct Subscription {
    /// Epoch and offset up to which the client has everything, or was told that it has not.
    epoch: Word,
    offset: u64,
    /// Ended as out of position and not subscribed again yet.
    out_of_position: bool,
    /// Ids handed to the application and when; with the epoch they came in.
    got: HashMap<Word, (Word, Micros)>,
    /// Parts of streams the client was told it misses.
    told: Vec<Told>,
}

/// `epoch` from after `from` to `to`.
struct Told {
    epoch: Word,
    from: u64,
    to: u64,
}

struct Checker {
    names: Names,
    /// Channels of messages that were sent.
    tried: HashMap<Word, Word>,
    /// By channel; of a message that was acknowledged several times the last one.
    acked: HashMap<Word, HashMap<Word, Acked>>,
    subscriptions: HashMap<(u32, Word), Subscription>,
    /// The id at each place of each stream, as anybody saw it.
    places: HashMap<Place, Word>,
    /// Places at which there were several.
    forks: HashSet<Place>,
    /// Times between which something was broken.
    faults: Vec<(Micros, Micros)>,
    broken: usize,
    verdict: Verdict,
}

impl Default for Checker {
    fn default() -> Self {
        let mut names = Names::default();
        names.number("");
        Self {
            names,
            tried: HashMap::default(),
            acked: HashMap::default(),
            subscriptions: HashMap::default(),
            places: HashMap::default(),
            forks: HashSet::default(),
            faults: Vec::new(),
            broken: 0,
            verdict: Verdict::default(),
        }
    }
}

impl Checker {
    fn take(&mut self, Line { t, event }: Line) {
        match event {
            Event::Try { id, ch } => {
                let (id, channel) = (self.names.number(&id), self.names.number(&ch));
                self.tried.insert(id, channel);
                self.verdict.attempted += 1;
            }
            Event::Ack { id, ch, epoch, offset } => {
                let (id, channel) = (self.names.number(&id), self.names.number(&ch));
                let epoch = self.names.number(&epoch);
                self.verdict.acked += 1;
                self.place(id, (channel, epoch, offset));
                self.acked.entry(channel).or_default().insert(id, Acked { epoch, offset, at: t });
            }
            Event::Subscribed { who, ch, epoch, offset, recovering, recovered } => {
                let (channel, epoch) = (self.names.number(&ch), self.names.number(&epoch));
                self.subscribed((who, channel), epoch, offset, recovering.then_some(recovered));
            }
            Event::Got { who, ch, id, offset } => {
                let (id, channel) = (self.names.number(&id), self.names.number(&ch));
                self.got(t, (who, channel), id, offset);
            }
            Event::Left { who, ch, code } => {
                let channel = self.names.number(&ch);
                let subscription = self.subscriptions.entry((who, channel)).or_default();
                subscription.out_of_position = code == INSUFFICIENT_STATE;
            }
            Event::Closed { .. } => self.verdict.disconnects += 1,
            Event::Fault { .. } => {
                if self.broken == 0 {
                    self.faults.push((t, Micros::MAX));
                }
                self.broken += 1;
            }
            Event::Healed { .. } => {
                self.broken = self.broken.saturating_sub(1);
                if let (0, Some(last)) = (self.broken, self.faults.last_mut()) {
                    last.1 = t;
                }
            }
            // What is measured beside.
            _ => {}
        }
    }

    /// Everybody must see the same message at the same place of a stream.
    fn place(&mut self, id: Word, place: Place) {
        let (channel, epoch, offset) = place;
        if epoch == 0 || offset == 0 {
            return;
        }
        let known = *self.places.entry(place).or_insert(id);
        if known != id {
            self.forks.insert(place);
            let [channel, epoch, known, id] = [channel, epoch, known, id].map(|word| self.names.word(word));
            let text = format!("{channel} {epoch}:{offset} is {known} for one and {id} for another");
            self.verdict.found(Kind::Fork, text);
        }
    }

    fn subscribed(&mut self, key: (u32, Word), epoch: Word, offset: u64, recovered: Option<bool>) {
        let subscription = self.subscriptions.entry(key).or_default();
        let out_of_position = std::mem::take(&mut subscription.out_of_position);
        let told = recovered == Some(false) || (recovered.is_none() && out_of_position);
        if told {
            self.verdict.honest_gaps += 1;
            let before = std::mem::replace(&mut subscription.epoch, epoch);
            let from = std::mem::replace(&mut subscription.offset, offset);
            if before == epoch {
                subscription.told.push(Told { epoch, from, to: offset });
            } else {
                subscription.told.push(Told { epoch: before, from, to: u64::MAX });
                subscription.told.push(Told { epoch, from: 0, to: offset });
            }
        } else if subscription.epoch == 0 && subscription.offset == 0 {
            // The first subscription: its position is where the client begins.
            subscription.epoch = epoch;
            subscription.offset = offset;
        }
        // In all other cases the client believes that it has everything: its position stays what it was.
    }

    fn got(&mut self, t: Micros, key: (u32, Word), id: Word, offset: u64) {
        self.verdict.delivered += 1;
        let (who, channel) = key;
        let (word, name) = (self.names.word(id), self.names.word(channel));
        if self.tried.get(&id) != Some(&channel) {
            self.verdict.found(Kind::Phantom, format!("client {who} got {word} in {name}, nobody sent it"));
            return;
        }
        let subscription = self.subscriptions.entry(key).or_default();
        let (epoch, last) = (subscription.epoch, subscription.offset);
        let again = subscription.got.get(&id).is_some_and(|(before, _)| *before == epoch);
        if again {
            subscription.offset = last.max(offset);
            let text = format!("client {who} got {word} in {name} twice, now at {offset}");
            self.verdict.found(Kind::Duplicate, text);
            return;
        }
        subscription.got.insert(id, (epoch, t));
        if offset == 0 {
            return;
        }
        if offset <= last {
            let text = format!("client {who} got {name}:{offset} after {last}");
            self.verdict.found(Kind::Reorder, text);
            return;
        }
        subscription.offset = offset;
        if offset > last + 1 {
            let text = format!("client {who} got {name}:{offset} after {last} and was told nothing");
            self.verdict.found(Kind::SilentGap, text);
        }
        self.place(id, (channel, epoch, offset));
    }

    fn finish(mut self) -> Verdict {
        self.doubled();
        self.out_of_turn();
        for ((who, channel), subscription) in &self.subscriptions {
            let epochs: HashSet<Word> = subscription.told.iter().map(|told| told.epoch).collect();
            for (id, acked) in self.acked.get(channel).into_iter().flatten() {
                if let Some((_, at)) = subscription.got.get(id) {
                    self.verdict.worst_delay = self.verdict.worst_delay.max(self.delay(acked.at, *at));
                    continue;
                }
                let covers = |told: &Told| {
                    told.epoch == acked.epoch && told.from < acked.offset && acked.offset <= told.to
                };
                // A stream that came and went while the client was away; it was told that streams changed.
                let unseen = acked.epoch != subscription.epoch && !epochs.contains(&acked.epoch);
                // A stream that went back and took other messages at the same places; whoever was told that it is
                // over was told of all of them.
                let forked = self.forks.contains(&(*channel, acked.epoch, acked.offset))
                    && subscription.told.iter().any(|told| told.epoch == acked.epoch && told.to == u64::MAX);
                let told = subscription.told.iter().any(covers) || (unseen && !epochs.is_empty()) || forked;
                if !told {
                    let [id, channel, epoch] = [*id, *channel, acked.epoch].map(|word| self.names.word(word));
                    let text = format!("client {who} never got {id}, {channel} {epoch}:{}", acked.offset);
                    self.verdict.found(Kind::Lost, text);
                }
            }
        }
        self.verdict
    }

    /// The same message at two places of one stream.
    fn doubled(&mut self) {
        let mut seen: HashMap<(Word, Word, Word), u64> = HashMap::new();
        for ((channel, epoch, offset), id) in &self.places {
            if let Some(other) = seen.insert((*channel, *epoch, *id), *offset) {
                let [id, channel, epoch] = [*id, *channel, *epoch].map(|word| self.names.word(word));
                let text = format!("{id} is at {other} and at {offset} of {channel} {epoch}");
                self.verdict.found(Kind::Duplicate, text);
            }
        }
    }

    /// Messages of one publisher stand in a stream in the order it sent them. Ids end in `-<number>`.
    fn out_of_turn(&mut self) {
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_unstable();
        let mut last: HashMap<(Word, Word, &str), (u64, u64)> = HashMap::new();
        for ((channel, epoch, offset), id) in places {
            let Some((publisher, number)) = self.names.word(*id).rsplit_once('-') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            let before = last.insert((*channel, *epoch, publisher), (number, *offset));
            if let Some((before, at)) = before.filter(|(before, _)| *before > number) {
                let channel = self.names.word(*channel);
                let text = format!(
                    "{publisher} sent {number} before {before}, in {channel} they are at {offset} and {at}"
                );
                self.verdict.found(Kind::Reorder, text);
            }
        }
    }

    /// How long a message was on its way while nothing was broken.
    fn delay(&self, acked: Micros, got: Micros) -> Micros {
        let broken = self.faults.iter().map(|(from, to)| got.min(*to).saturating_sub(acked.max(*from)));
        got.saturating_sub(acked).saturating_sub(broken.sum())
    }
}
