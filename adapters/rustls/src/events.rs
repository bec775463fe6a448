//! What is told to the `tracing` crate, where the feature of that name is on.
#![forbid(unsafe_code)]

use sessile::Rejection;

/// The cache refused a session: its client will have to make a full handshake.
pub(crate) fn refused(reason: Rejection) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%reason, "session refused");
    #[cfg(not(feature = "tracing"))]
    let _ = reason;
}

/// All sessions of a context ended.
pub(crate) fn revoked() {
    #[cfg(feature = "tracing")]
    tracing::info!("context revoked");
}
