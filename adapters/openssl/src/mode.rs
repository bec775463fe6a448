//! `SSL_SESS_CACHE_*`, said with flags, and Sessile's [`Mode`], said positively.
#![forbid(unsafe_code)]

use openssl::ssl::SslSessionCacheMode as Flags;
use sessile::Mode;

/// `SSL_SESS_CACHE_UPDATE_TIME`, which the `openssl` crate does not name: a hit and an `add` date
/// the session anew.
pub const UPDATE_TIME: Flags = Flags::from_bits_retain(0x400);

/// What the flags ask of a server's store. Without `SERVER` it neither stores nor looks up.
pub(crate) fn mode_of(flags: Flags, former: Mode) -> Mode {
    let serves = flags.contains(Flags::SERVER);
    Mode {
        store: serves && !flags.contains(Flags::NO_INTERNAL_STORE),
        lookup: serves && !flags.contains(Flags::NO_INTERNAL_LOOKUP),
        auto_flush: !flags.contains(Flags::NO_AUTO_CLEAR),
        update_time: flags.contains(UPDATE_TIME),
        ..former
    }
}

/// The flags that stand for a mode.
pub(crate) fn flags_of(mode: Mode) -> Flags {
    let mut flags = Flags::SERVER;
    flags.set(Flags::NO_INTERNAL_STORE, !mode.store);
    flags.set(Flags::NO_INTERNAL_LOOKUP, !mode.lookup);
    flags.set(Flags::NO_AUTO_CLEAR, !mode.auto_flush);
    flags.set(UPDATE_TIME, mode.update_time);
    flags
}
