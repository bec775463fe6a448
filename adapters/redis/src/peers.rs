//! Publication: nodes tell each other of sessions for many uses, and of their removal.
//!
//! ```text
//! node 8 · length of the name 2 · name · sealed value, or nothing for a removal
//! ```
//!
//! A session for one use is not published. Who holds it may not use it before the tier has given it
//! up (`GETDEL`), and the answer to that brings the session.
//!
//! A node that listens stores what it hears in its cache. It does not own it: what is evicted there
//! is not deleted from the tier, and is fetched again.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::Client;
use sessile::Rejection;

use crate::desk::{Desk, Mark, quietly};
use crate::keys::OVERHEAD;
use crate::link::{Command, jittered};
use crate::payload::Payload;
use crate::place::{TierKey, Uses};
use crate::record::RECORD_MAX;
use crate::stats::Counter;

/// What follows the prefix in the name of the channel.
const CHANNEL: &[u8] = b"published";

impl<T: Payload> Desk<T> {
    fn channel(&self) -> Vec<u8> {
        [&*self.options.prefix, CHANNEL].concat()
    }

    /// The message to all other nodes that a value was written, or with an empty one that it was
    /// deleted; none unless the program wants it.
    pub(crate) fn publication(&self, key: &TierKey, sealed: &[u8]) -> Option<Command> {
        if !self.options.is_published {
            return None;
        }
        let name = key.name(&self.options.prefix);
        let length = u16::try_from(name.len()).ok()?.to_be_bytes();
        let message = [&self.node.to_be_bytes()[..], &length, &name, sealed].concat();
        Some(Command::Publish { channel: self.channel(), message })
    }

    /// A message of some node.
    fn heard(&self, message: &[u8]) -> Option<()> {
        let (node, rest) = message.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (name, sealed) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let key = TierKey::named(name, &self.options.prefix)?;
        let is_foreign = u64::from_be_bytes(*node) != self.node && key.uses == Uses::Many;
        if !is_foreign || sealed.len() > RECORD_MAX + OVERHEAD {
            return None;
        }
        if sealed.is_empty() { self.withdraw(&key) } else { self.receive(&key, sealed) }
    }

    fn receive(&self, key: &TierKey, sealed: &[u8]) -> Option<()> {
        let cache = self.cache()?;
        // First: a removal that is over by now has left its mark.
        let watch = cache.view(key.place.context).protocol(key.place.protocol).watch(&key.place.id);
        if self.is_mine(&key.place) || self.holds(&key.place) {
            return None;
        }
        let session = self.opened(key, sealed)?;
        // A session that the cache refuses is fetched when a client offers it.
        let added = quietly(key.place, || cache.add_from_tier_unless_removed(session, watch));
        if added.as_ref().is_err_and(|refused| refused.reason() == Rejection::NotResumable) {
            // Removed meanwhile; the writer may have been told before.
            self.mark(key.place, Mark::Changed);
        }
        added.ok()?;
        self.counters.count(Counter::Received);
        Some(())
    }

    fn withdraw(&self, key: &TierKey) -> Option<()> {
        let cache = self.cache()?;
        let view = cache.view(key.place.context).protocol(key.place.protocol);
        // First: what is handed out from now on is not kept, and what was is on its way.
        self.spoil(&key.place);
        // What this node wrote it must forget as well, which its hooks see to.
        let is_removed = match self.is_mine(&key.place) {
            true => view.peek(&key.place.id).is_some_and(|session| view.remove(&session)),
            // Also what is on its way to the cache.
            false => quietly(key.place, || view.remove_id(&key.place.id)),
        };
        self.counters.add(Counter::Withdrawn, u64::from(is_removed));
        Some(())
    }
}

/// Listens until the tier is dropped, on a connection of its own: what others publish does not
/// delay an answer. Servers that hold the same channel are tried in turn.
pub(crate) async fn listen<T: Payload>(desk: Arc<Desk<T>>, clients: Vec<Client>) {
    let (shortest, longest) = desk.options.backoff;
    let mut pause = shortest;
    for client in clients.iter().cycle() {
        if hear_all(&desk, client).await.is_ok() {
            pause = shortest;
        }
        if desk.cache().is_none() {
            return;
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = pause.saturating_mul(2).min(longest);
    }
}

/// Listens on one connection until it ends.
async fn hear_all<T: Payload>(desk: &Desk<T>, client: &Client) -> Result<(), Duration> {
    let limit = desk.options.response.saturating_mul(2);
    let connect = async {
        let mut connection = client.get_async_pubsub().await?;
        connection.subscribe(desk.channel()).await?;
        Ok::<_, redis::RedisError>(connection)
    };
    let connection = tokio::time::timeout(limit, connect).await;
    let Ok(Ok(mut connection)) = connection else { return Err(limit) };
    desk.set_listening(true);
    let mut messages = connection.on_message();
    while let Some(message) = messages.next().await {
        // What is no message of this version is nothing.
        let _ = desk.heard(message.get_payload_bytes());
    }
    desk.set_listening(false);
    Ok(())
}
