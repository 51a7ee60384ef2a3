//! What Sentinels name: the primary, and a replica to read from.

use super::link::Link;
use super::resp::{Command, Value};
use super::route::Route;
use super::settings::{Address, Dial};
use super::socket::Purpose;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How often Sentinels are asked. Cheaper than it sounds: one small request on a connection that stands.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Asks a set of Sentinels again and again.
pub(super) struct Sentinels {
    primary: watch::Receiver<Option<Address>>,
    replica: watch::Receiver<Option<Address>>,
    asker: AbortHandle,
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        self.asker.abort();
    }
}

impl Sentinels {
    pub(super) fn start(addresses: &[Address], name: &str, dial: &Dial, with_replicas: bool) -> Self {
        let links: Vec<Link> = addresses
            .iter()
            .map(|address| {
                let route = Route::Fixed(vec![address.clone()]);
                let title = format!("sentinel {}", address.as_str());
                Link::start(&title, route, dial.clone(), Purpose::Sentinel)
            })
            .collect();
        let (to_primary, primary) = watch::channel(None);
        let (to_replica, replica) = watch::channel(None);
        let name = name.to_owned();
        let asker = tokio::spawn(async move {
            loop {
                update(&to_primary, vote(primaries(&links, &name).await, &to_primary));
                if with_replicas {
                    let healthy = replicas(&links, &name).await;
                    let now = to_replica.borrow().clone().filter(|now| healthy.contains(now));
                    let next =
                        now.or_else(|| healthy.first().cloned()).or_else(|| to_primary.borrow().clone());
                    update(&to_replica, next);
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        })
        .abort_handle();
        Self { primary, replica, asker }
    }

    /// The way to the primary.
    pub(super) fn primary(&self) -> Route {
        Route::Named(self.primary.clone())
    }

    /// The way to a replica, or to the primary when there is none.
    pub(super) fn replica(&self) -> Route {
        Route::Named(self.replica.clone())
    }
}

/// Tells a new address; that nobody answered does not make the old one wrong.
fn update(to: &watch::Sender<Option<Address>>, address: Option<Address>) {
    if address.is_some() {
        to.send_if_modified(|now| {
            let changed = *now != address;
            *now = address;
            changed
        });
    }
}

async fn primaries(links: &[Link], name: &str) -> Vec<Address> {
    let command = Command::new([&b"SENTINEL"[..], b"GET-MASTER-ADDR-BY-NAME", name.as_bytes()]);
    let commands = [&command];
    let answers = join_all(links.iter().map(|link| link.request(&commands))).await;
    answers.into_iter().filter_map(|answer| address(answer.ok()?)).collect()
}

fn address(answer: Value) -> Option<Address> {
    let [host, port] = <[Value; 2]>::try_from(answer.into_list()?).ok()?;
    Some(Address::of(host.as_str()?, u16::try_from(port.as_integer()?).ok()?))
}

/// What most say; among equals what was said before.
fn vote(answers: Vec<Address>, before: &watch::Sender<Option<Address>>) -> Option<Address> {
    let before = before.borrow();
    let votes = |address: &Address| {
        let count = answers.iter().filter(|other| *other == address).count();
        (count, Some(address) == before.as_ref())
    };
    answers.iter().max_by_key(|address| votes(address)).cloned()
}

/// Replicas that are up and follow their primary, as the first Sentinel that knows some says.
async fn replicas(links: &[Link], name: &str) -> Vec<Address> {
    let command = Command::new([&b"SENTINEL"[..], b"REPLICAS", name.as_bytes()]);
    let commands = [&command];
    let answers = join_all(links.iter().map(|link| link.request(&commands))).await;
    let lists = answers.into_iter().filter_map(|answer| answer.ok()?.into_list());
    let mut healthy = lists.map(|list| list.into_iter().filter_map(replica).collect::<Vec<_>>());
    healthy.find(|replicas| !replicas.is_empty()).unwrap_or_default()
}

fn replica(fields: Value) -> Option<Address> {
    let fields = fields.into_list()?;
    let field = |name: &str| {
        let pair = fields.chunks_exact(2).find(|pair| pair[0].as_str() == Some(name))?;
        pair[1].as_str()
    };
    let follows = field("flags") == Some("slave") && field("master-link-status") == Some("ok");
    follows.then(|| Some(Address::of(field("ip")?, field("port")?.parse().ok()?))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_names_the_primary_and_a_tie_changes_nothing() {
        let [a, b] = ["a:1", "b:1"].map(Address::tcp);
        let (before, _receiver) = watch::channel(Some(b.clone()));
        assert_eq!(vote(vec![a.clone(), b.clone()], &before), Some(b.clone()));
        assert_eq!(vote(vec![a.clone(), a.clone(), b], &before), Some(a));
        assert_eq!(vote(Vec::new(), &before), None);
    }
}
