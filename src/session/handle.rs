//! The counted handle.
//!
//! A session is one allocation with its own count. Handles raise it by cloning; a table owns one
//! count for each slot that names the session, and gives that count up only through
//! deferred destruction. A reader that is pinned may therefore raise the count of any session it
//! reached through a table under that same guard.

use super::block::{Block, Draft};
use super::{Context, Generation, Protocol, Secret, SessionBuilder, SessionId, memory};
use crate::slab::{Bytes, SizeClass};
use crate::sync::{Ordering, acquire_count};
use crate::timestamp::{Timestamp, timeout_seconds};
use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::time::Duration;

/// A counted reference to one session: its key, its dates and the payload `T`.
///
/// `Clone` raises the count ("the reference count for session c is incremented by 1",
/// `SSL_CTX_add_session(3)`), `Drop` lowers it, and the last handle drops the payload. Id, context,
/// protocol and payload cannot change after construction; dates and resumability can.
///
/// ```
/// use sessile::{Session, SessionId};
///
/// let session = Session::new(SessionId::from([9; 32]), String::from("state"));
/// let other = session.clone();
/// assert!(Session::ptr_eq(&session, &other));
/// assert_eq!(Session::handle_count(&session), 2);
/// assert_eq!(session.len(), 5); // derefs to the payload
/// ```
pub struct Session<T> {
    block: NonNull<Block<T>>,
    owns: PhantomData<Block<T>>,
}

// SAFETY: A handle gives shared access to `T` from the thread that holds it and may drop `T` there,
// which is what `Arc<T>` gives and needs: `T: Send + Sync`. Everything else in the block is atomic
// or frozen.
unsafe impl<T: Send + Sync> Send for Session<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Session<T> {}

impl<T> Session<T> {
    /// Makes a session without context, protocol or dates. The first cache that stores it dates it.
    ///
    /// Aborts when memory is exhausted; [`SessionBuilder::try_build`] does not.
    pub fn new(id: SessionId, payload: T) -> Self {
        Self::builder(id).build(payload)
    }

    /// The same as [`SessionBuilder::new`], which is shorter: here the type of the payload must be
    /// named, `Session::<T>::builder(id)`.
    pub fn builder(id: SessionId) -> SessionBuilder {
        SessionBuilder::new(id)
    }

    /// Whether both handles are of the same object. This, not an equal id, is what "identical"
    /// means to [`SessionCache::add`](crate::SessionCache::add) and
    /// [`SessionCache::remove`](crate::SessionCache::remove).
    #[inline]
    pub fn ptr_eq(a: &Self, b: &Self) -> bool {
        a.block == b.block
    }

    /// The number of handles, plus one for each cache that holds the session. A cache that removed
    /// it gives its count back by deferred destruction, so a while later. Other threads may change
    /// the number at any time.
    pub fn handle_count(this: &Self) -> usize {
        // ORDERING: Relaxed: an observation, out of date when it is returned.
        this.block().count.load(Ordering::Relaxed)
    }

    /// The session id.
    pub fn id(&self) -> SessionId {
        *self.block().id()
    }

    /// The isolation domain.
    pub fn context(&self) -> Context {
        *self.block().context()
    }

    /// The protocol tag.
    pub fn protocol(&self) -> Protocol {
        *self.block().protocol()
    }

    /// Whether the session may still be resumed (`SSL_SESSION_is_resumable`).
    pub fn is_resumable(&self) -> bool {
        self.block().is_resumable()
    }

    /// Forbids resumption, in every cache that holds the session. It cannot be allowed again.
    pub fn set_not_resumable(&self) {
        self.block().set_not_resumable();
    }

    /// When the session was created; `None` while undated.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.block().created().map(Timestamp::from)
    }

    /// The generation in which the peer was authenticated.
    pub fn generation(&self) -> Generation {
        self.block().generation()
    }

    /// The renewable timeout, in whole seconds; `None` until given or set by the first cache.
    pub fn timeout(&self) -> Option<Duration> {
        self.block().timeout().map(Duration::from_secs)
    }

    /// The last second of validity, which no renewal moves.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.block().deadline().map(Timestamp::from)
    }

    /// The last second in which the session is valid: `created_at + timeout`, saturating, but never
    /// after the deadline. `None` while nothing bounds it.
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.block().expires()).filter(|&seconds| seconds != u64::MAX).map(Timestamp::from)
    }

    /// Changes the timeout (`SSL_SESSION_set_timeout`), also of a stored session. Rounded up to
    /// whole seconds.
    pub fn set_timeout(&self, timeout: Duration) {
        self.block().set_timeout(timeout_seconds(timeout));
    }

    /// Changes the date (`SSL_SESSION_set_time`), also of a stored session.
    pub fn set_created_at(&self, time: impl Into<Timestamp>) {
        self.block().set_created(time.into().as_secs());
    }

    pub(super) fn from_draft(draft: Draft, payload: T) -> Result<Self, T> {
        let class = const { memory::class_of::<T>(0) };
        let Some(block) = memory::allocate(class) else { return Err(payload) };
        // SAFETY: the memory is for such a block, and nobody else's.
        unsafe { block.write(Block::new(draft, payload, class)) };
        Ok(Self { block, owns: PhantomData })
    }

    pub(super) fn out_of_memory() -> ! {
        std::alloc::handle_alloc_error(Layout::new::<Block<T>>())
    }

    #[inline]
    pub(crate) fn block(&self) -> &Block<T> {
        // SAFETY: this handle owns a count, so the block is alive; blocks are only ever shared.
        unsafe { self.block.as_ref() }
    }

    /// The address of the block, which is the identity of the session.
    #[inline]
    pub(crate) fn address(&self) -> NonNull<Block<T>> {
        self.block
    }

    /// Gives the handle's count away as a bare address.
    #[inline]
    pub(crate) fn into_address(self) -> NonNull<Block<T>> {
        ManuallyDrop::new(self).block
    }

    /// Takes a count over from a bare address.
    ///
    /// # Safety
    /// The caller owns one count of the live block at `block` and gives it up.
    #[inline]
    pub(crate) unsafe fn from_address(block: NonNull<Block<T>>) -> Self {
        Self { block, owns: PhantomData }
    }

    /// Gives up the count that a table owned, after the grace period. It is nearly always the last
    /// one, and then there is nothing to subtract it from.
    ///
    /// # Safety
    /// As for [`from_address`](Self::from_address), and nobody reaches the block through a table
    /// any more.
    #[inline]
    pub(crate) unsafe fn release(block: NonNull<Block<T>>) {
        // SAFETY: passed on.
        let last = unsafe { Self::from_address(block) };
        last.block().lifetime.touch();
        // ORDERING: Acquire: sees what former holders did; pairs with the Release in `drop`. Model:
        // `count_of_a_table`.
        if last.block().count.load(Ordering::Acquire) == 1 {
            // SAFETY: there is no other handle to clone, and no table to find the block in.
            unsafe { ManuallyDrop::new(last).free() };
        }
    }

    /// Drops the payload and frees the block, even when the payload's drop panics.
    ///
    /// # Safety
    /// Nobody else holds or reaches the block, and this handle is not used again.
    #[inline(always)]
    unsafe fn free(&self) {
        self.block().lifetime.end();
        let _memory = Memory { block: self.block, class: self.block().class };
        // SAFETY: by the caller's promise nobody sees the block any more.
        unsafe { self.block.drop_in_place() };
    }

    /// [`free`](Self::free) after the count went to zero. Out of line, so that the drop of a handle
    /// is a few instructions wherever there is one.
    ///
    /// # Safety
    /// As for `free`.
    #[cold]
    #[inline(never)]
    unsafe fn free_last(&self) {
        acquire_count(&self.block().count);
        // SAFETY: passed on.
        unsafe { self.free() };
    }

    /// Lends a handle without touching the count.
    ///
    /// # Safety
    /// The block at `block` stays alive while the returned value is used.
    #[inline]
    pub(crate) unsafe fn lend(block: NonNull<Block<T>>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self { block, owns: PhantomData })
    }
}

/// The memory of a block whose content is dropped, or is being.
struct Memory<T> {
    block: NonNull<Block<T>>,
    class: Option<SizeClass>,
}

impl<T> Drop for Memory<T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: every block came from there (`from_draft`, `of_bytes`), and this is its end.
        unsafe { memory::free(self.block, self.class) };
    }
}

impl Session<Secret> {
    /// A session with the bytes in the same block, or in memory of their own if no block is so
    /// large. `None` when memory is exhausted.
    pub(super) fn of_bytes(draft: Draft, bytes: &[u8]) -> Option<Self> {
        let Some(class) = memory::class_of::<Secret>(bytes.len()) else {
            return Self::from_draft(draft, Secret::try_copy_of(bytes)?).ok();
        };
        let block: NonNull<Block<Secret>> = memory::allocate(Some(class))?;
        // SAFETY: the class has room for a block and so many bytes behind it, and nobody else has
        // the memory. The payload is never moved, and is gone before the memory is given back.
        let payload = unsafe { Bytes::copy_to(block.add(1).cast(), bytes) };
        // SAFETY: as above.
        unsafe { block.write(Block::new(draft, Secret::new(payload), Some(class))) };
        Some(Self { block, owns: PhantomData })
    }
}

impl<T> Clone for Session<T> {
    /// Raises the count by one.
    ///
    /// Aborts the process when the count passes `isize::MAX`, as `Arc` does.
    #[inline]
    fn clone(&self) -> Self {
        // ORDERING: Relaxed: whoever clones already holds a count or a guard under which the block
        // was reached, so the block is visible and cannot go. Model: `replace_and_get` shows that a
        // guard is enough.
        self.block().lifetime.touch();
        let before = self.block().count.fetch_add(1, Ordering::Relaxed);
        if before > isize::MAX as usize {
            std::process::abort();
        }
        Self { block: self.block, owns: PhantomData }
    }
}

impl<T> Drop for Session<T> {
    #[inline]
    fn drop(&mut self) {
        self.block().lifetime.touch();
        // ORDERING: Release: what this holder did with the session happens before its destruction;
        // pairs with `acquire_count` of the last holder, and with `release`. Model:
        // `count_last_drop`.
        if self.block().count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // SAFETY: the count went from one to zero, so nobody else holds the block, and no table
        // does.
        unsafe { self.free_last() };
    }
}

impl<T> Deref for Session<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.block().lifetime.touch();
        &self.block().payload
    }
}

/// Never shows the payload.
impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("context", &self.context())
            .field("protocol", &self.protocol())
            .field("resumable", &self.is_resumable())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
