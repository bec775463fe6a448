//! Hooks in C: an external tier behind a store.

use std::ffi::{c_int, c_uchar, c_void};
use std::mem::{offset_of, size_of};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use foreign_types::ForeignType;
use openssl_sys::SSL_SESSION;
use sessile_openssl::openssl::ssl::SslSession;
use sessile_openssl::sessile::{self, Query, RemovalCause, Session};

use crate::border::{guarded, shared};
use crate::error::Error;
use crate::store::Store;

/// Why a session left a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Cause {
    /// Another one with its id replaced it.
    Replaced = 0,
    /// It was removed by call, or found not to be resumable.
    Removed = 1,
    /// It was taken for its single use.
    Taken = 2,
    /// There was no room.
    Evicted = 3,
    /// It was found to be expired.
    Expired = 4,
    /// By `sessile_flush`.
    Flushed = 5,
}

/// What a session is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Operation {
    /// It may be used again: it stays where it is found.
    Get = 0,
    /// It is for one use: a tier must give it to one caller only, and forget it.
    Take = 1,
    /// It is to be removed.
    Remove = 2,
}

/// What a store does not have. Lent for the call.
#[derive(Debug)]
#[repr(C)]
pub struct Question {
    /// The session id.
    pub id: *const c_uchar,
    /// The length of the id, 1 to 32.
    pub id_length: usize,
    /// 32 bytes that stand for the name that the context was attached under.
    pub context: *const c_uchar,
    /// The version on the wire, such as `TLS1_3_VERSION`.
    pub protocol: c_int,
    /// What is to be done with it.
    pub operation: Operation,
}

/// The functions of an external tier. Each may be null. They are called by the thread whose
/// operation caused it, after it took effect, and by any number of threads at a time; they may use
/// the store.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Hooks {
    /// `sizeof(sessile_hooks)`, so that later versions can add to it.
    pub size: usize,
    /// Given to each function.
    pub user: *mut c_void,
    /// A session was stored. It is lent for the call.
    pub on_added: Option<unsafe extern "C" fn(user: *mut c_void, session: *mut SSL_SESSION)>,
    /// A session left. It is lent for the call.
    pub on_removed:
        Option<unsafe extern "C" fn(user: *mut c_void, session: *mut SSL_SESSION, cause: Cause)>,
    /// Nothing is stored under an id that a client offers: the answer is a session of the tier, of
    /// which one reference is given away, or null.
    pub on_miss:
        Option<unsafe extern "C" fn(user: *mut c_void, query: *const Question) -> *mut SSL_SESSION>,
    /// Nothing is stored under an id that is to be removed.
    pub on_absent: Option<unsafe extern "C" fn(user: *mut c_void, query: *const Question)>,
    /// No function will be called any more: `user` may be freed.
    pub release: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

/// The functions as long as something can call them.
struct Table(Hooks);

// SAFETY: the functions may be called by any thread with `user`, as `sessile_set_hooks` demands.
unsafe impl Send for Table {}
// SAFETY: as above, by several at a time.
unsafe impl Sync for Table {}

impl Drop for Table {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: this is the last holder, and the only call.
            unsafe { release(self.0.user) };
        }
    }
}

impl Table {
    /// # Safety
    ///
    /// Hooks of the size that they say.
    unsafe fn read(hooks: *const Hooks) -> Result<Self, Error> {
        let mut read = Hooks {
            size: 0,
            user: ptr::null_mut(),
            on_added: None,
            on_removed: None,
            on_miss: None,
            on_absent: None,
            release: None,
        };
        // SAFETY: the first field is there whatever the version. The others are read as far as the
        // caller has them and this version knows them: what is missing stays null.
        unsafe {
            let size = (&raw const (*hooks).size).read();
            if size < offset_of!(Hooks, on_added) {
                return Err(Error::Argument);
            }
            let known = size.min(size_of::<Hooks>());
            ptr::copy_nonoverlapping(hooks.cast::<u8>(), (&raw mut read).cast(), known);
        }
        Ok(Self(read))
    }

    fn ask(&self, query: &Query<'_>) -> Option<Session<SslSession>> {
        let on_miss = self.0.on_miss?;
        let question = Question::of(query);
        // SAFETY: the question lives for the call. The answer is null or a reference that is ours.
        let session = unsafe {
            let session = on_miss(self.0.user, &question);
            (!session.is_null()).then(|| SslSession::from_ptr(session))
        }?;
        let timeout = u64::try_from(session.timeout()).unwrap_or(0);
        let created = u64::try_from(session.time()).unwrap_or(0);
        let builder = Session::<SslSession>::builder(*query.id())
            .context(*query.context())
            .protocol(query.protocol())
            .created_at(created)
            .timeout(Duration::from_secs(timeout));
        builder.try_build(session).ok()
    }
}

impl Question {
    fn of(query: &Query<'_>) -> Self {
        Self {
            id: query.id().as_bytes().as_ptr(),
            id_length: query.id().len(),
            context: query.context().as_bytes().as_ptr(),
            protocol: c_int::from(query.protocol().0),
            operation: match query.operation() {
                sessile::Operation::Get => Operation::Get,
                sessile::Operation::Take => Operation::Take,
                _ => Operation::Remove,
            },
        }
    }
}

impl From<RemovalCause> for Cause {
    fn from(cause: RemovalCause) -> Self {
        match cause {
            RemovalCause::Replaced => Self::Replaced,
            RemovalCause::Removed => Self::Removed,
            RemovalCause::Taken => Self::Taken,
            RemovalCause::Evicted => Self::Evicted,
            RemovalCause::Expired => Self::Expired,
            RemovalCause::Flushed => Self::Flushed,
        }
    }
}

/// The store's hooks that call those of C.
fn hooks_of(table: Table) -> sessile::Hooks<SslSession> {
    let (table, mut hooks) = (Arc::new(table), sessile::Hooks::<SslSession>::new());
    if let Some(on_added) = table.0.on_added {
        let table = Arc::clone(&table);
        hooks = hooks.on_added(move |session| {
            // SAFETY: the session is alive for the call; `user` is what the function wants.
            unsafe { on_added(table.0.user, session.as_ptr()) };
        });
    }
    if let Some(on_removed) = table.0.on_removed {
        let table = Arc::clone(&table);
        hooks = hooks.on_removed(move |session, cause| {
            // SAFETY: as above.
            unsafe { on_removed(table.0.user, session.as_ptr(), cause.into()) };
        });
    }
    if let Some(on_absent) = table.0.on_absent {
        let table = Arc::clone(&table);
        hooks = hooks.on_absent(move |query| {
            // SAFETY: the question lives for the call.
            unsafe { on_absent(table.0.user, &Question::of(query)) };
        });
    }
    if table.0.on_miss.is_some() {
        hooks = hooks.on_query(move |query| table.ask(query));
    }
    hooks
}

/// Sets the hooks of a store in place of those that it has; null removes them. The structure is
/// copied. Operations under way may still call the former ones, until their `release` is called.
///
/// A function that adds to the store is called again for what it adds. Sixteen calls deep, the add
/// is refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sessile_set_hooks(store: *const Store, hooks: *const Hooks) -> Error {
    guarded(|| {
        // SAFETY: the caller gives a store or null.
        let store = unsafe { shared(store)? };
        let hooks = match hooks.is_null() {
            true => sessile::Hooks::new(),
            // SAFETY: not null, and of the size that it says.
            false => hooks_of(unsafe { Table::read(hooks)? }),
        };
        store.0.cache().set_hooks(hooks);
        Ok(())
    })
}
