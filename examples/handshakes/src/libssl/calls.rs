//! What libssl asks of a session cache in a handshake, without the handshake.
//!
//! - Sessile: the new and get callbacks that the adapter has set, called as libssl calls them.
//! - libssl: `SSL_CTX_add_session`, which is what a handshake calls; and
//!   `SSL_has_matching_session_id`, which takes the lock and searches as a lookup does, with the
//!   reference that a lookup takes besides.

use std::ffi::{c_int, c_uchar, c_uint};
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context, Result, anyhow};
use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslSession, SslSessionRef, SslStream,
};
use openssl_sys as sys;

type NewCallback = unsafe extern "C" fn(*mut sys::SSL, *mut sys::SSL_SESSION) -> c_int;
type GetCallback =
    unsafe extern "C" fn(*mut sys::SSL, *const c_uchar, c_int, *mut c_int) -> *mut sys::SSL_SESSION;

unsafe extern "C" {
    fn SSL_CTX_sess_get_new_cb(context: *mut sys::SSL_CTX) -> Option<NewCallback>;
    fn SSL_CTX_sess_get_get_cb(context: *mut sys::SSL_CTX) -> Option<GetCallback>;
    fn SSL_CTX_add_session(context: *mut sys::SSL_CTX, session: *mut sys::SSL_SESSION) -> c_int;
    fn SSL_has_matching_session_id(
        ssl: *const sys::SSL,
        id: *const c_uchar,
        length: c_uint,
    ) -> c_int;
    fn SSL_SESSION_dup(session: *const sys::SSL_SESSION) -> *mut sys::SSL_SESSION;
    fn SSL_SESSION_set1_id(
        session: *mut sys::SSL_SESSION,
        id: *const c_uchar,
        length: c_uint,
    ) -> c_int;
}

/// As long as those that libssl makes.
pub(super) type Id = [u8; 32];

/// A connection that has shaken hands, and what its context's cache is asked by.
pub(super) struct Caller {
    context: SslContext,
    connection: SslStream<UnixStream>,
    made: SslSession,
    cache: Cache,
}

#[derive(Clone, Copy)]
enum Cache {
    External(NewCallback, GetCallback),
    Internal,
}

impl Caller {
    pub(super) fn new(context: &SslContext) -> Result<Self> {
        let connection = connect(context)?;
        let made = connection.ssl().session().context("no session")?.to_owned();
        // SAFETY: the context is alive.
        let callbacks = unsafe {
            (SSL_CTX_sess_get_new_cb(context.as_ptr()), SSL_CTX_sess_get_get_cb(context.as_ptr()))
        };
        let cache = match callbacks {
            (Some(new), Some(get)) => Cache::External(new, get),
            _ => Cache::Internal,
        };
        Ok(Self { context: context.clone(), connection, made, cache })
    }

    /// A session as a handshake makes it.
    pub(super) fn make(&self, id: &Id) -> Result<SslSession> {
        // SAFETY: the session is alive; the copy has one count, which `SslSession` takes over; 32
        // bytes are read.
        unsafe {
            let copy = SSL_SESSION_dup(self.made.as_ptr());
            anyhow::ensure!(!copy.is_null(), "out of memory");
            let copy = SslSession::from_ptr(copy);
            SSL_SESSION_set1_id(copy.as_ptr(), id.as_ptr(), id.len() as c_uint);
            Ok(copy)
        }
    }

    /// What a handshake does with a session that it made.
    pub(super) fn store(&self, session: &SslSessionRef) {
        let ssl = self.connection.ssl().as_ptr();
        // SAFETY: all are alive; the callback takes one reference over.
        unsafe {
            match self.cache {
                Cache::External(new, _) => {
                    sys::SSL_SESSION_up_ref(session.as_ptr());
                    if new(ssl, session.as_ptr()) == 0 {
                        sys::SSL_SESSION_free(session.as_ptr());
                    }
                }
                Cache::Internal => {
                    SSL_CTX_add_session(self.context.as_ptr(), session.as_ptr());
                }
            }
        }
    }

    /// What a handshake does with an id that a client offers: the session, if it is stored.
    pub(super) fn find(&self, id: &Id) -> Option<SslSession> {
        let ssl = self.connection.ssl().as_ptr();
        let mut copy = 1;
        // SAFETY: the connection is alive; 32 bytes are read; what the callback answers has one
        // count for the caller, unless it asks for one to be taken.
        unsafe {
            match self.cache {
                Cache::External(_, get) => {
                    let found = get(ssl, id.as_ptr(), id.len() as c_int, &mut copy);
                    if found.is_null() {
                        return None;
                    }
                    if copy != 0 {
                        sys::SSL_SESSION_up_ref(found);
                    }
                    Some(SslSession::from_ptr(found))
                }
                Cache::Internal => {
                    let found =
                        SSL_has_matching_session_id(ssl, id.as_ptr(), id.len() as c_uint) == 1;
                    found.then(|| self.made.clone())
                }
            }
        }
    }
}

/// A handshake over a pair of sockets; the server's end.
fn connect(context: &SslContext) -> Result<SslStream<UnixStream>> {
    let (near, far) = UnixStream::pair()?;
    let client = SslContextBuilder::new(SslMethod::tls_client())?.build();
    let (client, server) = (Ssl::new(&client)?, Ssl::new(context)?);
    thread::scope(|scope| {
        let client =
            scope.spawn(move || client.connect(far).map(drop).map_err(|error| anyhow!("{error}")));
        let server = server.accept(near).map_err(|error| anyhow!("{error}"));
        client.join().map_err(|_| anyhow!("the client panicked"))??;
        server
    })
}
