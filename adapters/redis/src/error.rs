//! What can go wrong while a tier is built, or a snapshot is written or read.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io;

/// Why a tier was not attached, or a snapshot was not written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum TierError {
    /// The address is not one of a Redis or Valkey server.
    Address(redis::RedisError),
    /// The operating system refused a thread, or a file.
    Io(io::Error),
    /// The operating system has no random numbers.
    Random,
    /// The bytes to be sealed are too many for the cipher.
    Length,
    /// The session has no dates yet, or its payload no bytes or too many.
    Payload,
    /// The bytes do not begin as a snapshot does.
    NotASnapshot,
}

impl fmt::Display for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => write!(f, "not the address of a server: {error}"),
            Self::Io(error) => error.fmt(f),
            Self::Random => f.write_str("the operating system has no random numbers"),
            Self::Length => f.write_str("too long to be sealed"),
            Self::Payload => f.write_str("a session that cannot be written as bytes"),
            Self::NotASnapshot => f.write_str("not a snapshot"),
        }
    }
}

impl Error for TierError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Address(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Random | Self::Length | Self::Payload | Self::NotASnapshot => None,
        }
    }
}

impl From<io::Error> for TierError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
