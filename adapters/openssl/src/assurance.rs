//! How a client's connection verifies its server, as one digest.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::ssl::{SslRef, SslVerifyMode};
use openssl::x509::X509VerifyResult;
use openssl_sys as sys;
use sha2::{Digest, Sha256};

use crate::ffi;

unsafe extern "C" {
    fn SSL_get_verify_callback(ssl: *const sys::SSL) -> Option<VerifyCallback>;
    fn X509_VERIFY_PARAM_get0_host(param: *mut sys::X509_VERIFY_PARAM, index: c_int)
    -> *mut c_char;
    fn X509_VERIFY_PARAM_get_hostflags(param: *const sys::X509_VERIFY_PARAM) -> c_uint;
    fn X509_VERIFY_PARAM_get0_email(param: *mut sys::X509_VERIFY_PARAM) -> *mut c_char;
    fn X509_VERIFY_PARAM_get1_ip_asc(param: *mut sys::X509_VERIFY_PARAM) -> *mut c_char;
    fn X509_VERIFY_PARAM_get_depth(param: *const sys::X509_VERIFY_PARAM) -> c_int;
    fn X509_VERIFY_PARAM_get_time(param: *const sys::X509_VERIFY_PARAM) -> libc::time_t;
}

type VerifyCallback = unsafe extern "C" fn(c_int, *mut sys::X509_STORE_CTX) -> c_int;

/// What a connection demands of its server's certificate. Equal for two connections only if they
/// demand the same, or both nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assurance([u8; 32]);

impl Assurance {
    /// That of connections that verify nothing, and of those whose verification failed and that
    /// went on nevertheless.
    pub(crate) const NONE: Self = Self([0; 32]);

    /// What the settings of a connection demand at this moment. `None` if it trusts a set of
    /// authorities of its own, which no other connection can be known to have.
    pub(crate) fn demanded(ssl: &SslRef) -> Option<Self> {
        if !ssl.verify_mode().contains(SslVerifyMode::PEER) {
            return Some(Self::NONE);
        }
        // That there is no address is an error.
        shares_authorities(ssl).then(|| ffi::without_errors(|| Self::digest(ssl)))
    }

    fn digest(ssl: &SslRef) -> Self {
        let mut digest = Sha256::new();
        // SAFETY: the connection and its parameters are alive, and nothing changes them meanwhile;
        // the strings are copied before that ends.
        unsafe {
            let param = sys::SSL_get0_param(ssl.as_ptr());
            let callback = SSL_get_verify_callback(ssl.as_ptr());
            let numbers: [u64; 6] = [
                callback.map_or(0, |callback| callback as usize as u64),
                u64::from(X509_VERIFY_PARAM_get_hostflags(param)),
                c_ulong::from(sys::X509_VERIFY_PARAM_get_flags(param)) as u64,
                sys::X509_VERIFY_PARAM_get_auth_level(param) as u64,
                X509_VERIFY_PARAM_get_depth(param) as u64,
                X509_VERIFY_PARAM_get_time(param) as u64,
            ];
            numbers.iter().for_each(|number| digest.update(number.to_le_bytes()));
            let ip = X509_VERIFY_PARAM_get1_ip_asc(param);
            update_with_string(&mut digest, ip);
            sys::OPENSSL_free(ip.cast::<c_void>());
            update_with_string(&mut digest, X509_VERIFY_PARAM_get0_email(param));
            // Ends with the list, whose last element is null.
            for index in 0.. {
                let host = X509_VERIFY_PARAM_get0_host(param, index);
                update_with_string(&mut digest, host);
                if host.is_null() {
                    break;
                }
            }
        }
        Self(digest.finalize().into())
    }

    /// What is known of the server of a connection that has authenticated it.
    pub(crate) fn attained(ssl: &SslRef) -> Option<Self> {
        match ssl.verify_result() {
            X509VerifyResult::OK => Self::demanded(ssl),
            _ => Some(Self::NONE),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn verifies(&self) -> bool {
        *self != Self::NONE
    }
}

/// Whether a connection trusts what its context trusts.
fn shares_authorities(ssl: &SslRef) -> bool {
    const GET_VERIFY_CERT_STORE: c_int = 137;
    let (mut own, mut common) = (ptr::null_mut::<c_void>(), ptr::null_mut::<c_void>());
    // SAFETY: the connection and its context are alive; each call writes one pointer.
    unsafe {
        sys::SSL_ctrl(ssl.as_ptr(), GET_VERIFY_CERT_STORE, 0, (&raw mut own).cast());
        let context = sys::SSL_get_SSL_CTX(ssl.as_ptr());
        sys::SSL_CTX_ctrl(context, GET_VERIFY_CERT_STORE, 0, (&raw mut common).cast());
    }
    own == common
}

/// Updates with a length and as many bytes; with a length that no string has, if there is none.
///
/// # Safety
///
/// A null pointer, or a string that ends with a zero and is not changed meanwhile.
unsafe fn update_with_string(digest: &mut Sha256, string: *const c_char) {
    if string.is_null() {
        return digest.update(u64::MAX.to_le_bytes());
    }
    // SAFETY: not null, and as the caller says.
    let bytes = unsafe { CStr::from_ptr(string) }.to_bytes();
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}
