//! Why bytes from outside are not taken for a session.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

/// Why a stored value was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is too short or too long, or of another version.
    Malformed,
    /// No key of the ring has sealed it.
    UnknownKey,
    /// It was changed, or sealed for another place.
    Forged,
    /// Its session has expired.
    Expired,
    /// Its session is dated in the future.
    Future,
    /// The payload cannot be decoded.
    Payload,
}

impl Refusal {
    /// All of them, in the order of their counters.
    pub(crate) const ALL: [Self; 6] = [
        Self::Malformed,
        Self::UnknownKey,
        Self::Forged,
        Self::Expired,
        Self::Future,
        Self::Payload,
    ];
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a sealed session of this version",
            Self::UnknownKey => "sealed by a key that the ring does not have",
            Self::Forged => "changed, or sealed for another place",
            Self::Expired => "expired",
            Self::Future => "dated in the future",
            Self::Payload => "the payload cannot be decoded",
        })
    }
}

impl Error for Refusal {}
