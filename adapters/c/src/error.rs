//! Error codes and their messages.

use std::ffi::{CStr, c_char, c_int};

use sessile_openssl::ReattachError;
use sessile_openssl::openssl::error::ErrorStack;
use sessile_openssl::sessile::{BuildError, Rejection};

/// What a function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Error {
    /// Done.
    Ok = 0,
    /// An argument is a null pointer.
    Null = 1,
    /// An argument is out of range.
    Argument = 2,
    /// More sessions than a table can hold.
    Capacity = 3,
    /// A limit in bytes of 0, or one of a session above that of all together.
    Weight = 4,
    /// There is no memory.
    Memory = 5,
    /// The context was attached under another name.
    Name = 6,
    /// The context has no store.
    NotAttached = 7,
    /// libssl failed; its queue of errors says why.
    Libssl = 8,
    /// A defect of the library: the operation was given up, what was said is on standard error.
    Panic = 9,
    /// The session is expired.
    Expired = 32,
    /// The session is larger than a session may be.
    OverWeight = 33,
    /// The session has no id, or is marked not resumable.
    NotResumable = 34,
    /// Too much memory of removed sessions waits for an operation that was interrupted.
    Garbage = 35,
    /// The session was not made in an attached context.
    Context = 36,
    /// The mode says that nothing is stored.
    StoreDisabled = 37,
    /// Other threads in the middle of an add held every place that the session could have.
    Contention = 38,
    /// The session lies at an address that the table cannot hold.
    Address = 39,
    /// The name was revoked after the session was made.
    Revoked = 40,
    /// Hooks that add sessions are nested too deep.
    Recursion = 41,
    /// The session is refused for a reason that this version of the interface does not name.
    Refused = 63,
}

impl Error {
    const ALL: [Self; 21] = [
        Self::Ok,
        Self::Null,
        Self::Argument,
        Self::Capacity,
        Self::Weight,
        Self::Memory,
        Self::Name,
        Self::NotAttached,
        Self::Libssl,
        Self::Panic,
        Self::Expired,
        Self::OverWeight,
        Self::NotResumable,
        Self::Garbage,
        Self::Context,
        Self::StoreDisabled,
        Self::Contention,
        Self::Address,
        Self::Revoked,
        Self::Recursion,
        Self::Refused,
    ];

    /// The code of a number from C.
    fn from_number(number: c_int) -> Option<Self> {
        Self::ALL.into_iter().find(|error| *error as c_int == number)
    }

    fn message(self) -> &'static CStr {
        match self {
            Self::Ok => c"no error",
            Self::Null => c"an argument is a null pointer",
            Self::Argument => c"an argument is out of range",
            Self::Capacity => c"the capacity exceeds what one table can hold",
            Self::Weight => c"a limit in bytes is 0, or that of a session exceeds that of all",
            Self::Memory => c"not enough memory",
            Self::Name => c"the context was attached under another name",
            Self::NotAttached => c"the context has no store",
            Self::Libssl => c"libssl failed; see its queue of errors",
            Self::Panic => c"a defect of the library; see standard error",
            Self::Expired => c"the session is expired",
            Self::OverWeight => c"the session is too large",
            Self::NotResumable => c"the session is not resumable",
            Self::Garbage => c"too much retired memory waits for an operation",
            Self::Context => c"the session was not made in an attached context",
            Self::StoreDisabled => c"storing is switched off",
            Self::Contention => c"every possible place is in use by concurrent adds",
            Self::Address => c"the session lies at an address that the table cannot hold",
            Self::Revoked => c"the name of the session was revoked",
            Self::Recursion => c"hooks that add sessions are nested too deep",
            Self::Refused => c"the session was refused",
        }
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::CapacityTooLarge => Self::Capacity,
            BuildError::EntryWeightAboveTotal
            | BuildError::WeightWithoutWeigher
            | BuildError::ZeroWeight => Self::Weight,
            BuildError::OutOfMemory | BuildError::MemoryLock => Self::Memory,
            _ => Self::Argument,
        }
    }
}

impl From<Rejection> for Error {
    fn from(reason: Rejection) -> Self {
        match reason {
            Rejection::Expired => Self::Expired,
            Rejection::OverWeight => Self::OverWeight,
            Rejection::NotResumable => Self::NotResumable,
            Rejection::Garbage => Self::Garbage,
            Rejection::Context => Self::Context,
            Rejection::StoreDisabled => Self::StoreDisabled,
            Rejection::Contention => Self::Contention,
            Rejection::Allocation => Self::Memory,
            Rejection::Address => Self::Address,
            Rejection::Revoked => Self::Revoked,
            Rejection::Recursion => Self::Recursion,
            _ => Self::Refused,
        }
    }
}

impl From<ReattachError> for Error {
    fn from(error: ReattachError) -> Self {
        match error {
            ReattachError::OtherName => Self::Name,
            _ => Self::NotAttached,
        }
    }
}

impl From<ErrorStack> for Error {
    /// Puts the errors back where C looks for them.
    fn from(errors: ErrorStack) -> Self {
        errors.put();
        Self::Libssl
    }
}

/// The message of an error code: a string that lives for ever and is not to be freed. Never null.
#[unsafe(no_mangle)]
pub extern "C" fn sessile_strerror(error: c_int) -> *const c_char {
    Error::from_number(error).map_or(c"no code of this version", Error::message).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::Error;
    use sessile_openssl::sessile::Stats;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_a_code() {
        let stats = Stats::default();
        let codes: Vec<_> =
            stats.rejections.iter().map(|(reason, _)| Error::from(reason)).collect();
        assert!(codes.len() > 10 && !codes.contains(&Error::Refused));
        let numbers: BTreeSet<_> = codes.iter().map(|code| *code as i32).collect();
        assert_eq!(numbers.len(), codes.len(), "{codes:?}");
        let all: Vec<_> = Error::ALL.into_iter().filter(|code| codes.contains(code)).collect();
        assert_eq!(all.len(), codes.len(), "{codes:?}");
    }
}
