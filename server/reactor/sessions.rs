//! Where commands go in that a peer sends by separate requests, by the session it names.
//!
//! Only connections with emulation are here: nobody can steer another connection by its session.

use super::body::Input;
use crate::node::EmulationError;
use crate::protocol::Encoding;
use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use uuid::Uuid;

/// Sessions with emulation. One mutex, because it is touched twice in the life of a connection and once for each
/// request, never for a delivery.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Uuid, WayIn, RandomState>>);

/// How commands reach a connection.
#[derive(Clone)]
pub(super) struct WayIn {
    pub(super) input: Input,
    pub(super) encoding: Encoding,
}

impl Sessions {
    pub(super) fn enter(&self, session: Uuid, way: WayIn) {
        self.0.lock().insert(session, way);
    }

    pub(super) fn leave(&self, session: Uuid) {
        self.0.lock().remove(&session);
    }

    /// The way into the connection with this session.
    pub(super) fn find(&self, session: &str) -> Option<WayIn> {
        let session = Uuid::try_parse(session).ok()?;
        self.0.lock().get(&session).cloned()
    }
}

impl WayIn {
    /// Hands over commands and waits until they were handled.
    pub(super) async fn take(self, commands: Bytes) -> Result<(), EmulationError> {
        let commands = match self.encoding {
            Encoding::Json => text(&commands).ok_or(EmulationError::Malformed)?,
            Encoding::Protobuf => commands,
        };
        self.input.send_and_wait(commands).await.map_err(|_| EmulationError::NoSession)
    }
}

/// Commands in JSON travel as one JSON string.
fn text(commands: &[u8]) -> Option<Bytes> {
    serde_json::from_slice::<String>(commands).ok().map(Bytes::from)
}
