//! What this library knows of a context: it lies in the context's extra data.

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, size_of, transmute_copy};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foreign_types::ForeignTypeRef;
use libc::c_void;
use openssl_sys::SSL_CTX;
use sessile_openssl::openssl::ex_data::Index;
use sessile_openssl::openssl::ssl::{SslContext, SslContextBuilder, SslContextRef};

use crate::early_data::Judge;
use crate::owner;
use crate::real::{GetCallback, InfoCallback, NewCallback, RemoveCallback};
use crate::report::Counted;

/// What was decided for a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Decision {
    /// Nothing yet: its first connection decides.
    Open = 0,
    /// It is none of ours.
    Left = 1,
    /// A store was attached to it.
    Attached = 2,
}

#[derive(Debug)]
pub(crate) struct Record {
    decision: AtomicU8,
    /// Held while it is decided.
    deciding: Mutex<()>,
    /// What the program has set as the id context.
    id_context: Mutex<Vec<u8>>,
    /// It has set one, before the context was attached.
    has_id_context: AtomicBool,
    has_joined: AtomicBool,
    pub(crate) callbacks: Callbacks,
    /// Sessions that the program's get callback supplied.
    pub(crate) supplied: AtomicU64,
    /// What the program has set to allow early data.
    judge: Mutex<Option<Judge>>,
    store: OnceLock<Arc<Counted>>,
}

/// The callbacks of the program, which libssl would call.
#[derive(Debug, Default)]
pub(crate) struct Callbacks {
    pub(crate) new: Callback<NewCallback>,
    pub(crate) get: Callback<GetCallback>,
    pub(crate) remove: Callback<RemoveCallback>,
    pub(crate) info: Callback<InfoCallback>,
}

/// A pointer to a function, or none. It can be changed while others call it. `F` is a pointer to a
/// function.
#[derive(Debug)]
pub(crate) struct Callback<F>(AtomicPtr<c_void>, PhantomData<F>);

impl<F> Default for Callback<F> {
    fn default() -> Self {
        Self::none()
    }
}

impl<F> Callback<F> {
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }
}

impl<F: Copy> Callback<F> {
    // ORDERING: Relaxed: a function is there whatever else is seen.

    pub(crate) fn set(&self, callback: Option<F>) {
        const { assert!(size_of::<Option<F>>() == size_of::<*mut c_void>()) };
        // SAFETY: no function is a null pointer; both have one size.
        let address = unsafe { transmute_copy::<Option<F>, *mut c_void>(&callback) };
        self.0.store(address, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<F> {
        let address = self.0.load(Ordering::Relaxed);
        // SAFETY: null, or what `set` was given.
        unsafe { transmute_copy::<*mut c_void, Option<F>>(&address) }
    }
}

impl Record {
    fn new() -> Self {
        Self {
            decision: AtomicU8::new(Decision::Open as u8),
            deciding: Mutex::new(()),
            id_context: Mutex::new(Vec::new()),
            has_id_context: AtomicBool::new(false),
            has_joined: AtomicBool::new(false),
            callbacks: Callbacks::default(),
            supplied: AtomicU64::new(0),
            judge: Mutex::new(None),
            store: OnceLock::new(),
        }
    }

    pub(crate) fn decision(&self) -> Decision {
        // ORDERING: Acquire: what was set on the context before it was decided is seen; pairs with
        // the Release in `decide`.
        match self.decision.load(Ordering::Acquire) {
            0 => Decision::Open,
            1 => Decision::Left,
            _ => Decision::Attached,
        }
    }

    /// Decides, unless it was done: one thread does, others wait for it.
    pub(crate) fn decide(&self, judge: impl FnOnce() -> Decision) {
        if self.decision() != Decision::Open {
            return;
        }
        let _deciding = lock(&self.deciding);
        if self.decision() == Decision::Open {
            // ORDERING: Release: see `decision`.
            self.decision.store(judge() as u8, Ordering::Release);
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.decision() == Decision::Attached
    }

    pub(crate) fn id_context(&self) -> MutexGuard<'_, Vec<u8>> {
        lock(&self.id_context)
    }

    pub(crate) fn set_id_context(&self, bytes: &[u8]) {
        *self.id_context() = bytes.to_vec();
        // ORDERING: Relaxed: libssl has no lock for an id context either.
        self.has_id_context.store(!bytes.is_empty(), Ordering::Relaxed);
    }

    /// Whether libssl would let sessions be resumed where clients are verified.
    pub(crate) fn has_id_context(&self) -> bool {
        // ORDERING: Relaxed, as in `set_id_context`.
        self.has_id_context.load(Ordering::Relaxed)
    }

    /// Whether the store is that of a context whose connections came to this one.
    pub(crate) fn has_joined(&self) -> bool {
        // ORDERING: Relaxed: it is set while the context is decided, which is seen by then.
        self.has_joined.load(Ordering::Relaxed)
    }

    pub(crate) fn judge(&self) -> Option<Judge> {
        *lock(&self.judge)
    }

    pub(crate) fn set_judge(&self, judge: Option<Judge>) {
        *lock(&self.judge) = judge;
    }

    /// The store that was attached.
    pub(crate) fn store(&self) -> Option<&Arc<Counted>> {
        self.store.get()
    }

    pub(crate) fn keep(&self, store: Arc<Counted>) {
        let _is_first = self.store.set(store);
    }

    /// The store that is kept here is that of the context that connections come from.
    pub(crate) fn join(&self, from: &Self) {
        // ORDERING: Relaxed, as in `has_joined`.
        self.has_joined.store(from.is_attached(), Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the records lie, from the first one on; `None` without memory for it.
static INDEX: OnceLock<Option<Index<SslContext, Record>>> = OnceLock::new();

/// Whether contexts have records: not where the program has another libssl than this library.
pub(crate) fn are_kept() -> bool {
    INDEX.get().copied().flatten().is_some()
}

/// Begins a record at a new context.
///
/// # Safety
///
/// A context that is alive and that nobody else knows.
pub(crate) unsafe fn begin(context: *mut SSL_CTX) {
    let Some(index) = *INDEX.get_or_init(|| SslContext::new_ex_index().ok()) else { return };
    // SAFETY: as the caller says. The reference is the caller's: it is not given up.
    let mut fresh = unsafe { ManuallyDrop::new(SslContextBuilder::from_ptr(context)) };
    fresh.set_ex_data(index, Record::new());
}

/// The record of a context; `None` for one of another libssl.
///
/// # Safety
///
/// Null, or a context that lives for `'c`.
pub(crate) unsafe fn of<'c>(context: *mut SSL_CTX) -> Option<&'c Record> {
    let is_ours = !context.is_null() && owner::of(context).is_none();
    let index = INDEX.get().copied().flatten().filter(|_| is_ours)?;
    // SAFETY: as the caller says; the context keeps the record.
    unsafe { SslContextRef::from_ptr(context) }.ex_data(index)
}
