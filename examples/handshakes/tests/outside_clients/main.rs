//! Clients that are not ours resume, from either TLS library: OpenSSL, Python, curl and tlslite-ng,
//! where they are installed. Each tries what must be resumed and what must not.

mod curl;
mod openssl;
mod python;
mod support;
mod tlslite;
