//! What a connection has taken, for its second ClientHello.
//!
//! A server that answers HelloRetryRequest looks the client's ticket up twice, and the first look takes it. So the session
//! waits at the connection until the handshake is over, for that connection alone.
#![forbid(unsafe_code)]

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslRef, SslSession};
use sessile::SessionId;

type Taken = Option<(SessionId, SslSession)>;

/// The place among the extra data of connections.
fn index() -> Result<Index<Ssl, Taken>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Taken>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => {
            let made = Ssl::new_ex_index()?;
            Ok(*INDEX.get_or_init(|| made))
        }
    }
}

/// Keeps what was taken. Without memory for it, a retry costs a full handshake.
pub(crate) fn remember(ssl: &mut SslRef, id: SessionId, session: &SslSession) {
    if let Ok(index) = index() {
        ssl.set_ex_data(index, Some((id, session.clone())));
    }
}

/// What this connection took under the id.
pub(crate) fn recall(ssl: &SslRef, id: &SessionId) -> Option<SslSession> {
    let (taken, session) = ssl.ex_data(index().ok()?)?.as_ref()?;
    (taken == id).then(|| session.clone())
}

/// A handshake starts or is over: the next one, on a connection that is used again, is another.
pub(crate) fn forget(ssl: &mut SslRef) {
    if let Some(taken) = index().ok().and_then(|index| ssl.ex_data_mut(index)) {
        *taken = None;
    }
}
