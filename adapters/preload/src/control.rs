//! `SSL_CTX_ctrl`, which the `SSL_CTX_sess_*` macros of libssl's header call.

use std::ffi::{c_int, c_long, c_void};

use openssl_sys::SSL_CTX;
use sessile_openssl::ServerStore;
use sessile_openssl::openssl::ssl::SslSessionCacheMode;

use crate::chain::contained;
use crate::decision::{size_of, store_of, supplied};
use crate::real;
use crate::record;
use crate::scope::{about, is_ours};
use crate::size::Size;

const NUMBER: c_int = 20;
const CB_HITS: c_int = 28;
const MISSES: c_int = 29;
const TIMEOUTS: c_int = 30;
const CACHE_FULL: c_int = 31;
const SET_CACHE_SIZE: c_int = 42;
pub(crate) const GET_CACHE_SIZE: c_int = 43;
const SET_CACHE_MODE: c_int = 44;
pub(crate) const GET_CACHE_MODE: c_int = 45;

/// Acts on the store of a context that has one. libssl counts handshakes and resumptions by itself:
/// those commands stay its own, as all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_ctrl(
    context: *mut SSL_CTX,
    command: c_int,
    number: c_long,
    pointer: *mut c_void,
) -> c_long {
    let is_for_store = matches!(command, NUMBER | CB_HITS..=CACHE_FULL)
        || matches!(command, SET_CACHE_SIZE..=GET_CACHE_MODE);
    // SAFETY: the program gives what libssl wants.
    let otherwise = || unsafe { real::control(context, command, number, pointer) };
    if !is_for_store || is_ours() {
        return otherwise();
    }
    // SAFETY: the program's context is alive.
    contained(0, || unsafe {
        match store_of(context) {
            Some(store) => about(context, || command_store(context, &store, command, number)),
            None => otherwise(),
        }
    })
}

/// # Safety
///
/// A context that is alive.
unsafe fn command_store(
    context: *mut SSL_CTX,
    store: &ServerStore,
    command: c_int,
    number: c_long,
) -> c_long {
    let stats = || store.stats();
    // SAFETY: as the caller says.
    let size = || unsafe { size_of(context, store) };
    let answer = match command {
        NUMBER => stats().number,
        // SAFETY: as the caller says.
        CB_HITS => stats().tier_hits + unsafe { record::of(context) }.map_or(0, supplied),
        MISSES => stats().misses + stats().context_misses,
        TIMEOUTS => stats().timeouts,
        CACHE_FULL => stats().cache_full,
        SET_CACHE_SIZE => {
            // libssl answers 0 to a size below 0, and to nothing else that is wrong.
            let asked = usize::try_from(number).ok();
            let former = asked.and_then(|asked| match size() {
                Some(size) => size.ask(store, asked),
                None => store.set_cache_size(asked).ok(),
            });
            former.unwrap_or(0) as u64
        }
        GET_CACHE_SIZE => size().map_or_else(|| store.cache_size(), Size::asked) as u64,
        SET_CACHE_MODE => {
            let flags = SslSessionCacheMode::from_bits_retain(number);
            return store.set_session_cache_mode(flags).bits();
        }
        GET_CACHE_MODE => return store.session_cache_mode().bits(),
        _ => 0,
    };
    c_long::try_from(answer).unwrap_or(c_long::MAX)
}
