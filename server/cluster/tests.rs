//! Several nodes on one bus.

use super::*;
use crate::observability::MetricsSettings;
use crate::seams::VirtualClock;

/// A controller that reaches nodes of this process, after a trip through the encoding. It keeps the contract, too.
#[derive(Default)]
pub(super) struct Bus(Mutex<Vec<Passenger>>);

/// A node that listens, by its identifier.
type Passenger = (Arc<str>, Arc<dyn Listener>);

impl Bus {
    pub(super) fn join(&self, uid: &str, listener: Arc<dyn Listener>) {
        self.0.lock().push((uid.into(), listener));
    }
}

impl Controller for Bus {
    fn publish(&self, to: To, message: Bytes) -> MaybeReady<Result<(), ControllerError>> {
        let nodes = self.0.lock().clone();
        for (uid, listener) in nodes {
            if to == To::All || to == To::Node(uid) {
                listener.heard(&message);
            }
        }
        MaybeReady::ready(Ok(()))
    }
}

/// A node that answers surveys with its own name and remembers what it was told.
struct Named {
    name: &'static str,
    told: Mutex<Vec<String>>,
}

impl Handler for Named {
    fn describe(&self) -> control::Node {
        control::Node { name: self.name.to_owned(), ..Default::default() }
    }
    fn subscribe(&self, request: control::Subscribe) {
        self.told.lock().push(format!("subscribe {} to {}", request.user, request.channel));
    }
    fn unsubscribe(&self, request: control::Unsubscribe) {
        self.told.lock().push(format!("unsubscribe {} from {}", request.user, request.channel));
    }
    fn disconnect(&self, request: control::Disconnect) {
        self.told.lock().push(format!("disconnect {} with {}", request.user, request.code));
    }
    fn refresh(&self, request: control::Refresh) {
        self.told.lock().push(format!("refresh {}", request.user));
    }
    fn answer(&self, operation: &str, data: Bytes) -> MaybeReady<Reply> {
        let name = self.name;
        match operation {
            "name" => MaybeReady::ready(Reply::data(name)),
            "slow" => MaybeReady::later(async move {
                tokio::task::yield_now().await;
                Reply::data([name.as_bytes(), &data].concat())
            }),
            "never" if name != "a" => MaybeReady::later(std::future::pending()),
            "never" => MaybeReady::ready(Reply::data(name)),
            _ => MaybeReady::ready(Reply::code(ReplyCode::UNKNOWN)),
        }
    }
}

struct Nodes {
    clock: Arc<VirtualClock>,
    bus: Arc<Bus>,
    clusters: Vec<Arc<Cluster>>,
    handlers: Vec<Arc<Named>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Nodes {
    /// Starts nodes and waits until each knows all others.
    async fn start(names: &[&'static str]) -> Self {
        let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
        let mut nodes = Self {
            clock,
            bus: Arc::default(),
            clusters: Vec::new(),
            handlers: Vec::new(),
            tasks: Vec::new(),
        };
        for name in names {
            let settings = MetricsSettings {
                version: String::new(),
                native_histograms: false,
                recovered_publications: false,
            };
            let metrics = Arc::new(Metrics::new(settings, nodes.clock.now().instant));
            let cluster = Cluster::joined(nodes.clock.clone(), metrics);
            let handler = Arc::new(Named { name, told: Mutex::default() });
            let weak: Weak<Named> = Arc::downgrade(&handler);
            cluster.set_handler(weak);
            nodes.bus.join(cluster.uid(), Arc::new(cluster.clone()));
            nodes.clusters.push(cluster.clone());
            nodes.handlers.push(handler);
            let bus = nodes.bus.clone();
            nodes.tasks.push(tokio::spawn(async move { cluster.run(bus).await }));
        }
        while nodes.clusters.iter().any(|cluster| cluster.size() < names.len()) {
            tokio::task::yield_now().await;
        }
        nodes
    }

    async fn told(&self, at: usize, count: usize) -> Vec<String> {
        while self.handlers[at].told.lock().len() < count {
            tokio::task::yield_now().await;
        }
        self.handlers[at].told.lock().clone()
    }
}

#[tokio::test]
async fn nodes_find_each_other_with_what_they_say_of_themselves() {
    let nodes = Nodes::start(&["a", "b", "c"]).await;
    let names: Vec<_> = nodes.clusters[0].others().into_iter().map(|member| member.info.name).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"b".to_owned()) && names.contains(&"c".to_owned()));
}

#[tokio::test]
async fn a_node_that_leaves_is_forgotten_at_once() {
    let nodes = Nodes::start(&["a", "b"]).await;
    nodes.clusters[1].leave(&*nodes.bus).await;
    assert_eq!(nodes.clusters[0].size(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_forgotten() {
    let nodes = Nodes::start(&["a", "b"]).await;
    nodes.tasks[1].abort();
    nodes.clock.advance(SILENCE + Duration::from_secs(1));
    while nodes.clusters[0].size() > 1 {
        tokio::time::advance(ANNOUNCE_INTERVAL).await;
    }
}

#[tokio::test]
async fn others_are_told_and_the_teller_is_not() {
    let nodes = Nodes::start(&["a", "b"]).await;
    let cluster = &nodes.clusters[0];
    let user = || "42".to_owned();
    let channel = || "news".to_owned();
    cluster
        .tell(|c| {
            c.subscribe =
                Some(control::Subscribe { user: user(), channel: channel(), ..Default::default() }.into())
        })
        .unwrap();
    cluster
        .tell(|c| {
            c.unsubscribe =
                Some(control::Unsubscribe { user: user(), channel: channel(), ..Default::default() }.into())
        })
        .unwrap();
    cluster
        .tell(|c| c.refresh = Some(control::Refresh { user: user(), ..Default::default() }.into()))
        .unwrap();
    cluster
        .tell(|c| {
            c.disconnect = Some(control::Disconnect { user: user(), code: 3503, ..Default::default() }.into())
        })
        .unwrap();
    let told = nodes.told(1, 4).await;
    assert_eq!(
        told,
        ["subscribe 42 to news", "unsubscribe 42 from news", "refresh 42", "disconnect 42 with 3503"]
    );
    assert!(nodes.handlers[0].told.lock().is_empty());
}

#[tokio::test]
async fn a_survey_collects_every_answer() {
    let nodes = Nodes::start(&["a", "b", "c"]).await;
    for (operation, data, expected) in [("name", "", ["a", "b", "c"]), ("slow", "!", ["a!", "b!", "c!"])] {
        let answers = nodes.clusters[1].survey(operation, Bytes::from(data), None).await.unwrap();
        let mut texts: Vec<_> =
            answers.values().map(|reply| String::from_utf8_lossy(&reply.data).into_owned()).collect();
        texts.sort();
        assert_eq!(texts, expected);
    }
}

#[tokio::test]
async fn one_node_can_be_asked() {
    let nodes = Nodes::start(&["a", "b"]).await;
    for (at, name) in [(0, "a"), (1, "b")] {
        let uid = nodes.clusters[at].uid().to_string();
        let answers = nodes.clusters[0].survey("name", Bytes::new(), Some(&uid)).await.unwrap();
        assert_eq!(answers, Answers::from([(uid, Reply::data(name))]));
    }
    let unknown = nodes.clusters[0].survey("name", Bytes::new(), Some("nobody")).await;
    assert!(matches!(unknown, Err(SurveyError::UnknownNode(uid)) if uid == "nobody"));
}

#[tokio::test]
async fn an_unknown_operation_is_answered() {
    let nodes = Nodes::start(&["a", "b"]).await;
    let answers = nodes.clusters[0].survey("no such thing", Bytes::new(), None).await.unwrap();
    assert!(answers.len() == 2 && answers.values().all(|reply| reply.code == ReplyCode::UNKNOWN));
}

#[tokio::test]
async fn a_node_that_leaves_during_a_survey_holds_nobody_up() {
    let nodes = Nodes::start(&["a", "b"]).await;
    let survey = nodes.clusters[0].survey("never", Bytes::new(), None);
    nodes.clusters[1].leave(&*nodes.bus).await;
    assert_eq!(survey.await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_survey_names_those_that_did_not_answer() {
    let nodes = Nodes::start(&["a", "b"]).await;
    let survey = nodes.clusters[0].survey("never", Bytes::new(), None).await;
    let silent = nodes.clusters[1].uid().to_string();
    assert!(matches!(survey, Err(SurveyError::Timeout(missing)) if missing == [silent]));
}

#[tokio::test]
async fn a_node_that_is_alone_answers_itself_without_waiting() {
    let clock = Arc::new(VirtualClock::new(0));
    let settings =
        MetricsSettings { version: String::new(), native_histograms: false, recovered_publications: false };
    let cluster = Cluster::alone(clock.clone(), Arc::new(Metrics::new(settings, clock.now().instant)));
    let handler = Arc::new(Named { name: "a", told: Mutex::default() });
    let weak: Weak<Named> = Arc::downgrade(&handler);
    cluster.set_handler(weak);
    assert!(
        matches!(cluster.survey("name", Bytes::new(), None), MaybeReady::Ready(Some(Ok(answers))) if answers.len() == 1)
    );
}

#[tokio::test]
async fn what_cannot_be_read_or_understood_changes_nothing() {
    let nodes = Nodes::start(&["a", "b"]).await;
    let newer = control::Command {
        uid: "x".to_owned(),
        notification: Some(control::Notification::default().into()),
        ..Default::default()
    };
    nodes.clusters[0].heard(b"\xff\xff");
    nodes.clusters[0].heard(&newer.encode_to_vec());
    nodes.clusters[0].heard(b"");
    assert_eq!(nodes.clusters[0].size(), 2);
    assert!(nodes.handlers[0].told.lock().is_empty());
}
