//! How long the peer's certificates vouch for it.
#![forbid(unsafe_code)]

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::ssl::SslRef;
use sessile::Timestamp;

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// The last second of validity of the certificate that the peer showed, and of those that vouched
/// for it; the latest time if it showed none.
pub(crate) fn expiry(ssl: &SslRef) -> Timestamp {
    let Some(leaf) = ssl.peer_certificate() else { return Timestamp::MAX };
    let chain = ssl.verified_chain().into_iter().flatten().map(|one| one.not_after());
    let ends = chain.chain([leaf.not_after()]).map(seconds);
    ends.min().unwrap_or(Timestamp::MAX)
}

/// A time that cannot be read is long past.
fn seconds(time: &Asn1TimeRef) -> Timestamp {
    let since_epoch = Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(time));
    let seconds = since_epoch
        .map_or(0, |since| i64::from(since.days) * SECONDS_PER_DAY + i64::from(since.secs));
    Timestamp::from(u64::try_from(seconds).unwrap_or(0))
}
