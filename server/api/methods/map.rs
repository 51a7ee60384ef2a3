//! Commands for map and shared poll channels. Namespaces of these kinds cannot be configured yet,
//! so every command ends in the refusal that a channel of another kind gets.

use super::super::errors::Refusal;
use super::super::service::Service;
use crate::node::ChannelKind;
use gyre_proto::codes::ApiErrorCode;

impl Service {
    /// Judges a command for a map channel; `fields_set` says whether the other required fields are set.
    pub(in crate::api) fn refuse_map(&self, channel: &str, fields_set: bool) -> Refusal {
        self.refuse_kind(channel, fields_set, ChannelKind::Map)
    }

    /// As [`Service::refuse_map`] for shared poll channels.
    pub(in crate::api) fn refuse_shared_poll(&self, channel: &str, fields_set: bool) -> Refusal {
        self.refuse_kind(channel, fields_set, ChannelKind::SharedPoll)
    }

    fn refuse_kind(&self, channel: &str, fields_set: bool, kind: ChannelKind) -> Refusal {
        if channel.is_empty() || !fields_set {
            return Refusal::bad_request("a required field is empty");
        }
        match self.node.kind(channel) {
            Err(error) => error.into(),
            Ok(found) if found == kind => Refusal::code(ApiErrorCode::NotAvailable),
            Ok(_) => Refusal::bad_request("channel is of another kind"),
        }
    }
}
