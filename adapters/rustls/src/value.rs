//! The value that rustls stores for a session, as far as this crate must understand it.
//!
//! rustls accepts early data only with a session that is fresh: the ticket age that the client
//! states must be that of the session, give or take a minute. rustls also wants the ALPN protocol
//! of the session, if any, to be the one negotiated. It checks neither for a resumption without
//! early data. A copy that fails both checks therefore resumes, and never with early data.
//!
//! The format is rustls's own and may change with it. A value that does not parse to its last byte
//! is not made unfit but refused, which costs a full handshake. Tests with real handshakes fail if
//! that happens to every value.

const TLS1_2: u16 = 0x0303;
const TLS1_3: u16 = 0x0304;

/// The longest ticket age, 2^31 ms: added to an age it makes the difference the largest there is.
const HALF_OF_ALL_AGES: u32 = 1 << 31;

/// `Some("")`: no ALPN protocol has an empty name, RFC 7301 3.1.
const ALPN_OF_NOBODY: [u8; 2] = [1, 0];

/// A value taken apart.
struct Parsed<'v> {
    version: u16,
    /// Everything before the ALPN protocol.
    head: &'v [u8],
    /// What lies between the ALPN protocol and the age offset.
    middle: &'v [u8],
    created_at: u64,
    age_offset: u32,
}

impl<'v> Parsed<'v> {
    /// `None` unless every byte of `value` has its place.
    fn new(value: &'v [u8]) -> Option<Self> {
        let mut reader = Reader { value, position: 0 };
        if reader.flag()? {
            reader.vector::<1>()?; // server name
        }
        let version = u16::from_be_bytes(reader.array()?);
        reader.bytes(2)?; // cipher suite
        reader.vector::<1>()?; // secret
        reader.flag()?; // extended master secret
        if reader.flag()? {
            reader.vector::<3>()?; // client certificates
        }
        let head = reader.position;
        if reader.flag()? {
            reader.vector::<1>()?; // ALPN protocol
        }
        let middle = reader.position;
        reader.vector::<2>()?; // application data
        let created_at = u64::from_be_bytes(reader.array()?);
        let end = reader.position;
        let age_offset = u32::from_be_bytes(reader.array()?);
        let is_whole = reader.position == value.len();
        let (head, middle) = (&value[..head], &value[middle..end]);
        is_whole.then_some(Self { version, head, middle, created_at, age_offset })
    }

    fn without_early_data(&self) -> Vec<u8> {
        let age_offset = self.age_offset ^ HALF_OF_ALL_AGES;
        // One allocation: the value is secret, and a vector that grows leaves copies behind.
        [self.head, &ALPN_OF_NOBODY, self.middle, &age_offset.to_be_bytes()].concat()
    }
}

/// Whether a value is that of a TLS 1.2 session.
pub(crate) fn is_tls12(value: &[u8]) -> bool {
    Parsed::new(value).is_some_and(|parsed| parsed.version == TLS1_2)
}

/// Whether a value is that of a TLS 1.3 session.
pub(crate) fn is_tls13(value: &[u8]) -> bool {
    Parsed::new(value).is_some_and(|parsed| parsed.version == TLS1_3)
}

/// When rustls made a session, in Unix seconds by its clock.
pub(crate) fn created_at(value: &[u8]) -> Option<u64> {
    Some(Parsed::new(value)?.created_at)
}

/// A copy that resumes as the original does, but not with early data; `None` if the value does not
/// parse. A TLS 1.2 session is copied as it is.
pub(crate) fn without_early_data(value: &[u8]) -> Option<Vec<u8>> {
    let parsed = Parsed::new(value)?;
    match parsed.version {
        TLS1_2 => Some(value.to_vec()),
        TLS1_3 => Some(parsed.without_early_data()),
        _ => None,
    }
}

/// Reads a value from the front.
struct Reader<'v> {
    value: &'v [u8],
    position: usize,
}

impl<'v> Reader<'v> {
    fn bytes(&mut self, length: usize) -> Option<&'v [u8]> {
        let bytes = self.value.get(self.position..)?.get(..length)?;
        self.position += length;
        Some(bytes)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        self.bytes(LENGTH)?.try_into().ok()
    }

    /// A byte that says whether the next field is there. rustls writes 0 or 1.
    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }

    /// Bytes behind their length, which takes `SIZE` bytes.
    fn vector<const SIZE: usize>(&mut self) -> Option<&'v [u8]> {
        let size: [u8; SIZE] = self.array()?;
        let length = size.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.bytes(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Server name, two certificates, ALPN, application data: everything that is optional.
    fn full(version: u16) -> Vec<u8> {
        let mut value = vec![1, 1, b'a'];
        value.extend(version.to_be_bytes());
        value.extend([0x13, 0x02, 3, 9, 9, 9, 0]);
        value.extend([1, 0, 0, 9, 0, 0, 2, 7, 7, 0, 0, 1, 8]);
        value.extend([1, 2, b'h', b'2', 0, 3, 4, 5, 6]);
        value.extend([0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x0f, 0xed, 0xcb, 0xa9]);
        value
    }

    /// Nothing that is optional.
    fn bare(version: u16) -> Vec<u8> {
        let [high, low] = version.to_be_bytes();
        let mut value = vec![0, high, low, 0xc0, 0x23, 3, 1, 2, 3, 0, 0, 0, 0, 0];
        value.extend([0x12, 0x23, 0x34, 0x45, 0x56, 0x67, 0x78, 0x89, 0xfe, 0xed, 0xf0, 0x0d]);
        value
    }

    #[test]
    fn a_copy_of_a_tls13_value_differs_in_alpn_and_age_only() {
        let (full, copy) = (full(TLS1_3), without_early_data(&full(TLS1_3)).unwrap());
        let alpn = full.len() - 12 - 5 - 4;
        assert_eq!(copy[..alpn], full[..alpn]);
        assert_eq!(copy[alpn..alpn + 2], ALPN_OF_NOBODY);
        assert_eq!(copy[alpn + 2..copy.len() - 4], full[alpn + 4..full.len() - 4]);
        assert_eq!(copy[copy.len() - 4..], [0x8f, 0xed, 0xcb, 0xa9]);

        let bare = without_early_data(&bare(TLS1_3)).unwrap();
        assert_eq!(bare[11..13], ALPN_OF_NOBODY);
        assert_eq!(bare[bare.len() - 4..], [0x7e, 0xed, 0xf0, 0x0d]);
    }

    #[test]
    fn a_copy_of_a_copy_is_still_unfit() {
        let once = without_early_data(&bare(TLS1_3)).unwrap();
        let twice = without_early_data(&once).unwrap();
        assert_eq!(twice[11..13], ALPN_OF_NOBODY, "although the age is right again");
    }

    #[test]
    fn tls12_values_are_copied_as_they_are() {
        for value in [full(TLS1_2), bare(TLS1_2)] {
            assert!(is_tls12(&value) && !is_tls13(&value));
            assert_eq!(without_early_data(&value), Some(value));
        }
    }

    #[test]
    fn the_creation_time_is_read() {
        assert_eq!(created_at(&full(TLS1_3)), Some(0x1234_5678));
        assert_eq!(created_at(&bare(TLS1_2)), Some(0x1223_3445_5667_7889));
        assert_eq!(created_at(b"not a session"), None);
    }

    #[test]
    fn what_does_not_parse_is_refused() {
        for value in [full(TLS1_3), bare(TLS1_3)] {
            assert!(is_tls13(&value) && !is_tls12(&value));
            for length in 0..value.len() {
                assert_eq!(without_early_data(&value[..length]), None, "cut to {length}");
            }
            assert_eq!(without_early_data(&[value.as_slice(), &[0]].concat()), None, "too long");
            assert_eq!(without_early_data(&[&[2], &value[1..]].concat()), None, "a flag of 2");
        }
        assert_eq!(without_early_data(&bare(0x0305)), None, "a version that nobody knows");
    }
}
