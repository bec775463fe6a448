//! A lock-free TLS session cache.
