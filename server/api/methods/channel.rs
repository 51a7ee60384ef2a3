//! Looking at channels.

use super::super::errors::Refusal;
use super::super::service::Service;
use super::users::position;
use crate::broker::{ClientInfo, HistoryFilter, Publication};
use gyre_proto::api;

impl Service {
    pub(in crate::api) async fn read_presence(
        &self,
        request: api::PresenceRequest,
    ) -> Result<api::PresenceResult, Refusal> {
        let present = self.node.presence(&request.channel).await?;
        let presence = present.into_iter().map(|(client, info)| (client, client_info(&info))).collect();
        Ok(api::PresenceResult { presence })
    }

    pub(in crate::api) async fn count_presence(
        &self,
        request: api::PresenceStatsRequest,
    ) -> Result<api::PresenceStatsResult, Refusal> {
        let stats = self.node.presence_stats(&request.channel).await?;
        Ok(api::PresenceStatsResult { num_clients: stats.clients, num_users: stats.users })
    }

    pub(in crate::api) async fn read_history(
        &self,
        request: api::HistoryRequest,
    ) -> Result<api::HistoryResult, Refusal> {
        let filter = HistoryFilter {
            // Any negative number asks for all.
            limit: u64::try_from(request.limit).ok(),
            since: request.since.map(position),
            reverse: request.reverse,
        };
        let page = self.node.history(&request.channel, filter).await?;
        Ok(api::HistoryResult {
            publications: page.publications.iter().map(|publication| history_item(publication)).collect(),
            epoch: page.position.epoch.as_str().to_owned(),
            offset: page.position.offset,
        })
    }

    pub(in crate::api) async fn drop_history(
        &self,
        request: api::HistoryRemoveRequest,
    ) -> Result<api::HistoryRemoveResult, Refusal> {
        self.node.remove_history(&request.channel).await?;
        Ok(api::HistoryRemoveResult {})
    }

    pub(in crate::api) async fn list_channels(
        &self,
        request: api::ChannelsRequest,
    ) -> Result<api::ChannelsResult, Refusal> {
        let page = self.node.channels(&request.pattern).await?;
        let channels = page
            .channels
            .into_iter()
            .map(|(channel, num_clients)| (channel, api::ChannelInfo { num_clients }))
            .collect();
        Ok(api::ChannelsResult { channels })
    }
}

fn history_item(publication: &Publication) -> api::Publication {
    api::Publication {
        data: publication.data.clone(),
        info: publication.info.as_deref().map(client_info),
        offset: publication.offset,
        tags: publication.tags.as_deref().cloned().unwrap_or_default(),
    }
}

fn client_info(info: &ClientInfo) -> api::ClientInfo {
    api::ClientInfo {
        user: info.user.clone(),
        client: info.client.clone(),
        conn_info: info.conn_info.clone(),
        chan_info: info.chan_info.clone(),
    }
}
