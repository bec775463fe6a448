//! Payloads that can leave the process.
#![forbid(unsafe_code)]

use sessile::Secret;

/// A session's state that can be written as bytes and read back.
///
/// [`Secret`] is what sessile-rustls stores, `openssl::ssl::SslSession` (with the feature
/// `openssl`) what sessile-openssl stores.
///
/// ```
/// use sessile::Secret;
/// use sessile_redis::Payload;
///
/// struct State(u64);
///
/// impl Payload for State {
///     fn encode(&self) -> Option<Secret> {
///         Some(Secret::from(&self.0.to_be_bytes()[..]))
///     }
///
///     fn decode(bytes: &[u8]) -> Option<Self> {
///         Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
///     }
/// }
/// ```
pub trait Payload: Send + Sync + Sized + 'static {
    /// The bytes; `None` if this payload cannot leave the process.
    fn encode(&self) -> Option<Secret>;

    /// Reads back what [`encode`](Self::encode) wrote, possibly that of another version of the
    /// program; `None` if it cannot.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Payload for Secret {
    fn encode(&self) -> Option<Secret> {
        Some(self.clone())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self::from(bytes))
    }
}

/// DER, as `i2d_SSL_SESSION(3)` writes it.
#[cfg(feature = "openssl")]
#[cfg_attr(docsrs, doc(cfg(feature = "openssl")))]
impl Payload for openssl::ssl::SslSession {
    fn encode(&self) -> Option<Secret> {
        self.to_der().ok().map(Secret::from)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_der(bytes).ok()
    }
}
