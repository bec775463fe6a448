//! Which libssl made a context or connection, where a process has several.
//!
//! A library that is loaded with `RTLD_LOCAL` can bring a libssl of its own, whose functions have
//! the names of this library's. The dynamic linker gives it this library's, which it meets first.
//! The method of a new context lies in the libssl that the caller is bound to: if that is not the
//! one behind this library, the context is noted here, and so are its connections. Calls about
//! them go to the libssl that made them.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::real;

/// Another libssl: a handle of the dynamic linker, which is never given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Library(usize);

/// Contexts and connections of other libraries, by address. One that was freed stays until the
/// address is used again: libssl does not say which call frees it.
static OTHERS: RwLock<BTreeMap<usize, Library>> = RwLock::new(BTreeMap::new());

/// Something was noted. Most processes never note anything, and pay one load a call.
static HAS_OTHERS: AtomicBool = AtomicBool::new(false);

impl Library {
    /// The library that a method lies in; `None` if that is the one behind this library, or none
    /// that makes contexts.
    pub(crate) fn of_method<T>(method: *const T) -> Option<Self> {
        // Other libraries that are preloaded can stand before functions that work on contexts.
        let ours = real::TLS_method.get()?;
        let (theirs, path) = object_at(method.cast())?;
        if theirs == object_at(ours as *const c_void)?.0 {
            return None;
        }
        // SAFETY: a path that ends with a zero. What is loaded already is loaded no further.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        let library = Self(handle as usize);
        let maker = library.find(c"SSL_CTX_new");
        (!maker.is_null() && object_at(maker)?.0 == theirs).then_some(library)
    }

    /// A function of this library; null if it has none of the name.
    pub(crate) fn find(self, name: &CStr) -> *mut c_void {
        if self.0 == 0 {
            return std::ptr::null_mut();
        }
        // SAFETY: a handle that was never given up, and a name that ends with a zero.
        unsafe { libc::dlsym(self.0 as *mut c_void, name.as_ptr()) }
    }
}

/// Where the object file begins that an address lies in, and its path, which lives as long as the
/// object file is loaded.
fn object_at<'p>(address: *const c_void) -> Option<(*mut c_void, &'p CStr)> {
    let mut found = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: whatever the address is, it is only compared. An answer other than 0 has filled the
    // structure in, with a path that ends with a zero.
    unsafe {
        if libc::dladdr(address, found.as_mut_ptr()) == 0 {
            return None;
        }
        let found = found.assume_init();
        (!found.dli_fname.is_null()).then(|| (found.dli_fbase, CStr::from_ptr(found.dli_fname)))
    }
}

/// A library has made a context or connection; `None` is the one behind this library.
pub(crate) fn note<T>(made: *mut T, library: Option<Library>) {
    // ORDERING: Relaxed: whoever is told of an object afterwards knows of it by more than time.
    if made.is_null() || (library.is_none() && of(made).is_none()) {
        return;
    }
    let mut others = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    match library {
        Some(library) => others.insert(made as usize, library),
        None => others.remove(&(made as usize)),
    };
    // ORDERING: Relaxed, as above.
    HAS_OTHERS.store(!others.is_empty(), Ordering::Relaxed);
}

/// The library that made a context or connection; `None` is the one behind this library.
pub(crate) fn of<T>(object: *const T) -> Option<Library> {
    // ORDERING: Relaxed, as in `note`.
    if !HAS_OTHERS.load(Ordering::Relaxed) {
        return None;
    }
    let others = OTHERS.read().unwrap_or_else(PoisonError::into_inner);
    others.get(&(object as usize)).copied()
}
