//! What can be changed while a store is in use.

use std::time::Duration;

use crate::border::{answer, guarded, shared};
use crate::config::flags_of;
use crate::error::Error;
use crate::store::Store;

/// Changes the largest number of sessions; 0 is any number. A smaller store evicts before the call
/// returns. `*former` becomes the number before; it may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_resize(
    store: *const Store,
    sessions: usize,
    former: *mut usize,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store and memory for a number, or null.
        unsafe { answer(former, shared(store)?.0.set_cache_size(sessions)?) };
        Ok(())
    })
}

/// The largest number of sessions, in `*sessions`; 0 is any number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_capacity(store: *const Store, sessions: *mut usize) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store and memory for a number, or null.
        unsafe {
            let store = shared(store)?;
            shared(sessions)?;
            answer(sessions, store.0.cache_size());
        }
        Ok(())
    })
}

/// Changes the timeout, in seconds, of contexts that are attached from now on, and the longest time
/// that sessions of those attached before are stored for. `*former` becomes the one before; it may
/// be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_set_timeout(
    store: *const Store,
    seconds: u64,
    former: *mut u64,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store and memory for a number, or null.
        unsafe {
            let before = shared(store)?.0.set_timeout(Duration::from_secs(seconds));
            answer(former, before.as_secs());
        }
        Ok(())
    })
}

/// Changes the mode, in the flags of `SSL_CTX_set_session_cache_mode(3)`, for all contexts of the
/// store; theirs stays. `*former` becomes the one before; it may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_set_mode(
    store: *const Store,
    flags: u64,
    former: *mut u64,
) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store and memory for a number, or null.
        unsafe {
            let before = shared(store)?.0.set_session_cache_mode(flags_of(flags)?);
            answer(former, u64::try_from(before.bits()).unwrap_or(0));
        }
        Ok(())
    })
}
