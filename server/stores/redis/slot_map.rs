//! Which node of a Redis Cluster has which slot.

use super::place::SLOTS;
use super::resp::Value;
use super::settings::Address;
use super::turns::Slots;

/// Which node has which slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMap {
    primaries: Vec<Address>,
    /// For each primary.
    replicas: Vec<Vec<Address>>,
    /// Places in `primaries`, plus one; zero means nobody. Empty when nothing is known.
    owners: Vec<u16>,
}

impl SlotMap {
    pub(super) fn is_empty(&self) -> bool {
        self.primaries.is_empty()
    }

    pub(super) fn primaries(&self) -> &[Address] {
        &self.primaries
    }

    pub(super) fn replicas(&self) -> impl Iterator<Item = &Address> {
        self.replicas.iter().flatten()
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Address> {
        let place = self.owners.get(usize::from(slot)).copied().unwrap_or(0);
        self.primaries.get(usize::from(place).checked_sub(1)?)
    }

    /// All slots of one node.
    pub(super) fn slots_of(&self, address: &Address) -> Slots {
        (0..SLOTS).filter(|slot| self.owner(*slot) == Some(address)).collect()
    }

    /// Slots that had an owner and have another one in `next`. What nobody has there keeps its owner in what is
    /// returned with them, to be compared with whoever comes after.
    pub(super) fn turned(&self, next: &Self) -> (Slots, Self) {
        let mut known = next.clone();
        let mut turned = Vec::new();
        for slot in 0..SLOTS {
            let Some(before) = self.owner(slot) else { continue };
            match next.owner(slot) {
                Some(now) if now == before => {}
                Some(_) => turned.push(slot),
                None => known.set_owner(slot, before),
            }
        }
        (turned.into_iter().collect(), known)
    }

    pub(super) fn replicas_of(&self, slot: u16) -> &[Address] {
        let place = self.owners.get(usize::from(slot)).copied().unwrap_or(0);
        usize::from(place).checked_sub(1).and_then(|at| self.replicas.get(at)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn knows(&self, address: &Address) -> bool {
        self.primaries.contains(address) || self.replicas().any(|replica| replica == address)
    }

    fn place(&mut self, address: &Address) -> u16 {
        let at = self.primaries.iter().position(|known| known == address).unwrap_or_else(|| {
            self.primaries.push(address.clone());
            self.replicas.push(Vec::new());
            self.primaries.len() - 1
        });
        at as u16 + 1
    }

    pub(super) fn set_owner(&mut self, slot: u16, address: &Address) {
        let place = self.place(address);
        self.owners.resize(usize::from(SLOTS), 0);
        if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
            *owner = place;
        }
    }

    /// Reads the answer to CLUSTER SLOTS; `asked` stands in for a host the node does not know of itself.
    pub(super) fn read(answer: Value, asked: &Address) -> Option<Self> {
        let mut map = Self { owners: vec![0; usize::from(SLOTS)], ..Self::default() };
        for range in answer.into_list()? {
            let mut fields = range.into_list()?.into_iter();
            let first = usize::try_from(fields.next()?.as_integer()?).ok()?;
            let last = usize::try_from(fields.next()?.as_integer()?).ok()?;
            let Some(primary) = node(fields.next()?, asked) else { continue };
            let place = map.place(&primary);
            map.owners.get_mut(first..=last)?.fill(place);
            let replicas = &mut map.replicas[usize::from(place) - 1];
            for replica in fields.filter_map(|field| node(field, asked)) {
                if !replicas.contains(&replica) {
                    replicas.push(replica);
                }
            }
        }
        Some(map)
    }
}

fn node(fields: Value, asked: &Address) -> Option<Address> {
    let mut fields = fields.into_list()?.into_iter();
    let (host, port) = (fields.next()?, u16::try_from(fields.next()?.as_integer()?).ok()?);
    match host.as_str() {
        Some("?") => None,
        Some("") | None => {
            let host = asked.as_str().rsplit_once(':').map_or("", |(host, _)| host);
            Some(Address::tcp(format!("{host}:{port}")))
        }
        Some(host) => Some(Address::of(host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    fn range(first: i64, last: i64, nodes: &[(&'static str, i64)]) -> Value {
        let nodes = nodes.iter().map(|(host, port)| Value::List(vec![text(host), Value::Integer(*port)]));
        Value::List([Value::Integer(first), Value::Integer(last)].into_iter().chain(nodes).collect())
    }

    #[test]
    fn the_map_knows_owners_and_replicas() {
        let answer = Value::List(vec![
            range(0, 100, &[("10.0.0.1", 1), ("10.0.0.2", 2)]),
            range(101, 16_383, &[("", 3)]),
        ]);
        let map = SlotMap::read(answer, &Address::tcp("h:9")).expect("is a map");
        assert_eq!(map.owner(100), Some(&Address::tcp("10.0.0.1:1")));
        assert_eq!(map.owner(101), Some(&Address::tcp("h:3")));
        assert_eq!(map.replicas_of(7), [Address::tcp("10.0.0.2:2")]);
        let mut moved = map.clone();
        moved.set_owner(7, &Address::tcp("new:1"));
        assert_eq!(moved.owner(7), Some(&Address::tcp("new:1")));
        assert_eq!(moved.owner(8), map.owner(8));
    }

    #[test]
    fn slots_turn_when_their_owner_becomes_another() {
        let map = |owners: &[(i64, i64, &'static str)]| {
            let ranges = owners.iter().map(|(first, last, host)| range(*first, *last, &[(host, 1)]));
            SlotMap::read(Value::List(ranges.collect()), &Address::tcp("h:9")).expect("is a map")
        };
        let before = map(&[(0, 9, "a"), (10, 19, "b")]);
        assert!(SlotMap::default().turned(&before).0.is_empty(), "nobody had them");
        assert!(before.turned(&before).0.is_empty());
        let (turned, known) = before.turned(&map(&[(0, 9, "a"), (10, 14, "c")]));
        assert_eq!(turned, (10..15).collect());
        let (turned, _) = known.turned(&map(&[(0, 9, "a"), (10, 19, "c")]));
        assert_eq!(turned, (15..20).collect(), "what nobody had for a while has another owner now");
        assert_eq!(before.slots_of(&Address::tcp("b:1")), (10..20).collect());
    }

    #[test]
    fn ranges_beyond_the_slots_are_refused() {
        let answer = Value::List(vec![range(0, 16_384, &[("h", 1)])]);
        assert_eq!(SlotMap::read(answer, &Address::tcp("h:9")), None);
    }
}
