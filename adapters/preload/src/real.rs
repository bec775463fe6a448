//! libssl's own functions, behind those of this library that have their names.

use std::ffi::{CStr, c_int, c_long, c_uchar, c_uint, c_void};
use std::marker::PhantomData;
use std::mem::{size_of, transmute_copy};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{c_char, time_t};
use openssl_sys::{SSL, SSL_CTX, SSL_METHOD, SSL_SESSION};

use crate::owner::{self, Library};

pub(crate) type NewCallback = unsafe extern "C" fn(*mut SSL, *mut SSL_SESSION) -> c_int;
pub(crate) type GetCallback =
    unsafe extern "C" fn(*mut SSL, *const c_uchar, c_int, *mut c_int) -> *mut SSL_SESSION;
pub(crate) type EarlyDataCallback = unsafe extern "C" fn(*mut SSL, *mut c_void) -> c_int;
pub(crate) type InfoCallback = unsafe extern "C" fn(*const SSL, c_int, c_int);
pub(crate) type RemoveCallback = unsafe extern "C" fn(*mut SSL_CTX, *mut SSL_SESSION);

/// A function of the libssl behind this library, looked up at its first call.
pub(crate) struct Real<F> {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
    kind: PhantomData<F>,
}

impl<F: Copy> Real<F> {
    /// # Safety
    ///
    /// The function of this name is of the type `F`, a pointer to a function.
    const unsafe fn new(name: &'static CStr) -> Self {
        assert!(size_of::<F>() == size_of::<*mut c_void>());
        Self { name, found: AtomicPtr::new(ptr::null_mut()), kind: PhantomData }
    }

    /// The function; `None` if this libssl has none of the name.
    pub(crate) fn get(&self) -> Option<F> {
        // ORDERING: Relaxed: the address is all there is to see, and it is the same each time.
        let mut found = self.found.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: a name that ends with a zero; the next library after this one is asked.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.found.store(found, Ordering::Relaxed);
        }
        // SAFETY: the address of a function of this name, or null.
        unsafe { Self::as_function(found) }
    }

    /// The function of the libssl that a context or connection belongs to.
    pub(crate) fn of<T>(&self, object: *const T) -> Option<F> {
        self.in_library(owner::of(object))
    }

    /// The function of another library; `None` is the one behind this library.
    pub(crate) fn in_library(&self, library: Option<Library>) -> Option<F> {
        match library {
            // SAFETY: the address of a function of this name, or null.
            Some(library) => unsafe { Self::as_function(library.find(self.name)) },
            None => self.get(),
        }
    }

    /// # Safety
    ///
    /// Null, or the address of a function of the type that `new` was promised.
    unsafe fn as_function(address: *mut c_void) -> Option<F> {
        // SAFETY: as the caller says.
        (!address.is_null()).then(|| unsafe { transmute_copy(&address) })
    }
}

macro_rules! real {
    ($($name:ident: $type:ty;)*) => { $(
        #[expect(non_upper_case_globals, reason = "libssl's names")]
        // SAFETY: the type is that of libssl's header.
        pub(crate) static $name: Real<$type> = unsafe {
            match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => Real::new(name),
                Err(_) => panic!("a name ends with a zero"),
            }
        };
    )* };
}

real! {
    TLS_method: unsafe extern "C" fn() -> *const SSL_METHOD;
    SSL_CTX_new: unsafe extern "C" fn(*const SSL_METHOD) -> *mut SSL_CTX;
    SSL_CTX_new_ex: unsafe extern "C" fn(
        *mut c_void, *const c_char, *const SSL_METHOD,
    ) -> *mut SSL_CTX;
    SSL_CTX_free: unsafe extern "C" fn(*mut SSL_CTX);
    SSL_new: unsafe extern "C" fn(*mut SSL_CTX) -> *mut SSL;
    SSL_set_SSL_CTX: unsafe extern "C" fn(*mut SSL, *mut SSL_CTX) -> *mut SSL_CTX;
    SSL_CTX_ctrl: unsafe extern "C" fn(*mut SSL_CTX, c_int, c_long, *mut c_void) -> c_long;
    SSL_CTX_add_session: unsafe extern "C" fn(*mut SSL_CTX, *mut SSL_SESSION) -> c_int;
    SSL_CTX_remove_session: unsafe extern "C" fn(*mut SSL_CTX, *mut SSL_SESSION) -> c_int;
    SSL_CTX_flush_sessions: unsafe extern "C" fn(*mut SSL_CTX, c_long);
    SSL_CTX_flush_sessions_ex: unsafe extern "C" fn(*mut SSL_CTX, time_t);
    SSL_CTX_set_timeout: unsafe extern "C" fn(*mut SSL_CTX, c_long) -> c_long;
    SSL_CTX_set_session_id_context: unsafe extern "C" fn(
        *mut SSL_CTX, *const c_uchar, c_uint,
    ) -> c_int;
    SSL_set_session_id_context: unsafe extern "C" fn(*mut SSL, *const c_uchar, c_uint) -> c_int;
    SSL_CTX_set_allow_early_data_cb: unsafe extern "C" fn(
        *mut SSL_CTX, Option<EarlyDataCallback>, *mut c_void,
    );
    SSL_set_allow_early_data_cb: unsafe extern "C" fn(
        *mut SSL, Option<EarlyDataCallback>, *mut c_void,
    );
    SSL_CTX_set_info_callback: unsafe extern "C" fn(*mut SSL_CTX, Option<InfoCallback>);
    SSL_set_info_callback: unsafe extern "C" fn(*mut SSL, Option<InfoCallback>);
    SSL_CTX_sess_set_new_cb: unsafe extern "C" fn(*mut SSL_CTX, Option<NewCallback>);
    SSL_CTX_sess_set_get_cb: unsafe extern "C" fn(*mut SSL_CTX, Option<GetCallback>);
    SSL_CTX_sess_set_remove_cb: unsafe extern "C" fn(*mut SSL_CTX, Option<RemoveCallback>);
    SSL_CTX_sess_get_new_cb: unsafe extern "C" fn(*mut SSL_CTX) -> Option<NewCallback>;
    SSL_CTX_sess_get_get_cb: unsafe extern "C" fn(*mut SSL_CTX) -> Option<GetCallback>;
    SSL_CTX_sess_get_remove_cb: unsafe extern "C" fn(*mut SSL_CTX) -> Option<RemoveCallback>;
}

unsafe extern "C" {
    fn SSL_CTX_sessions(context: *mut SSL_CTX) -> *mut c_void;
}

/// Whether the program's libssl is the one that this library is linked with. A process can have
/// two, of different versions, whose contexts must not be mixed.
pub(crate) fn is_one_libssl() -> bool {
    let ours = SSL_CTX_sessions as *const c_void;
    // SAFETY: a name that ends with a zero; the next library after this one is asked.
    let program_s = unsafe { libc::dlsym(libc::RTLD_NEXT, c"SSL_CTX_sessions".as_ptr()) };
    ours == program_s.cast_const()
}

/// `SSL_CTX_ctrl`, as it is.
///
/// # Safety
///
/// As libssl says.
pub(crate) unsafe fn control(
    context: *mut SSL_CTX,
    command: c_int,
    number: c_long,
    pointer: *mut c_void,
) -> c_long {
    // SAFETY: as the caller says.
    SSL_CTX_ctrl.of(context).map_or(0, |real| unsafe { real(context, command, number, pointer) })
}
