//! Snapshots: all sessions of a cache as one sealed stream, for a restart.
//!
//! ```text
//! "SESSILE" 1 · number of the file 16 · frames
//! frame: length 4 · sealed ( kind 1 · record, or the count of records 8 )
//! ```
//!
//! Each frame is bound to the number of the file, which is random, and to its own place in it. So a
//! frame cannot be changed, moved, repeated or taken from another file, and the last one, which
//! holds the count, cannot be left out unnoticed.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use sessile::SessionCache;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::error::TierError;
use crate::keys::{KeyRing, OVERHEAD, fill};
use crate::payload::Payload;
use crate::record::{RECORD_MAX, Record};
use crate::refusal::Refusal;

const MAGIC: [u8; 8] = *b"SESSILE\x01";
const SESSION: u8 = 0;
const END: u8 = 1;
const FRAME_MAX: usize = 1 + RECORD_MAX + OVERHEAD;

/// What was made of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Sessions that are in the cache now.
    pub restored: u64,
    /// Sessions that expired meanwhile.
    pub expired: u64,
    /// Frames that were changed, or that no key of the ring opens, or that cannot be decoded.
    pub refused: u64,
    /// Sessions that the cache refused: see [`sessile::Rejection`].
    pub rejected: u64,
    /// Whether the end of the snapshot was found, with the count of what was before it.
    pub is_complete: bool,
}

/// Names a frame: no two frames of any files have one name.
struct Frames {
    name: [u8; 8 + 16 + 8],
    number: u64,
}

impl Frames {
    fn new(file: [u8; 16]) -> Self {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&MAGIC);
        name[8..24].copy_from_slice(&file);
        Self { name, number: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.name[24..].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        &self.name
    }
}

/// Writes all sessions of a cache. How many were written; those whose payload cannot be encoded are
/// left out.
///
/// Sessions that come or go meanwhile may or may not be in it. Nothing waits for it. The caller
/// buffers `writer`.
///
/// # Errors
/// Those of `writer`, and [`TierError::Random`].
///
/// ```
/// use sessile::{Secret, Session, SessionCache, SessionId};
/// use sessile_redis::{KeyRing, SealingKey, restore, snapshot};
///
/// let ring = KeyRing::new(SealingKey::generate()?);
/// let before = SessionCache::new(100)?;
/// before.add(Session::new(SessionId::from([1; 32]), Secret::from(&b"state"[..])))?;
/// let mut file = Vec::new();
/// assert_eq!(snapshot(&before, &ring, &mut file)?, 1);
///
/// let after = SessionCache::<Secret>::new(100)?;
/// let restored = restore(&after, &ring, &mut file.as_slice())?;
/// assert!(restored.is_complete && restored.restored == 1 && after.len() == 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn snapshot<T: Payload>(
    cache: &SessionCache<T>,
    ring: &KeyRing,
    writer: &mut impl Write,
) -> Result<u64, TierError> {
    let mut file = [0; 16];
    fill(&mut file)?;
    let mut frames = Frames::new(file);
    writer.write_all(&MAGIC)?;
    writer.write_all(&file)?;
    let mut count: u64 = 0;
    for record in cache.iter().filter_map(|session| Record::of(&session)) {
        let mut plain = Zeroizing::new(vec![SESSION]);
        record.write_to(&mut plain);
        write_frame(writer, &ring.seal(frames.next(), &plain)?)?;
        count += 1;
    }
    let end = [&[END][..], &count.to_be_bytes()].concat();
    write_frame(writer, &ring.seal(frames.next(), &end)?)?;
    Ok(count)
}

fn write_frame(writer: &mut impl Write, sealed: &[u8]) -> Result<(), TierError> {
    let length = u32::try_from(sealed.len()).map_err(|_| TierError::Length)?;
    writer.write_all(&length.to_be_bytes())?;
    Ok(writer.write_all(sealed)?)
}

/// Adds the sessions of a snapshot to a cache: those that can be trusted, and that have not
/// expired. Whatever else the bytes are, it is counted and left out.
///
/// The sessions are added by [`SessionCache::add_from_tier`]: they bring no early data, since the
/// process that wrote the snapshot, or another that reads it, may have used them. For the same
/// reason a session for one use may be used again, once by each process that restores it.
///
/// # Errors
/// [`TierError::NotASnapshot`] if the bytes do not begin as one, and the errors of `reader`. What
/// was restored before that stays.
pub fn restore<T: Payload>(
    cache: &SessionCache<T>,
    ring: &KeyRing,
    reader: &mut impl Read,
) -> Result<Restored, TierError> {
    let mut head = [0; MAGIC.len() + 16];
    match reader.read_exact(&mut head) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(TierError::NotASnapshot);
        }
        read => read?,
    }
    let (magic, file) = head.split_at(MAGIC.len());
    let (true, Ok(file)) = (magic == MAGIC, file.try_into()) else {
        return Err(TierError::NotASnapshot);
    };
    let (mut frames, mut restored) = (Frames::new(file), Restored::default());
    let mut sealed = Vec::new();
    // Ends with the bytes: each turn reads a frame of them.
    while read_frame(reader, &mut sealed)? {
        match ring.open(frames.next(), &sealed) {
            Ok(plain) if plain.first() == Some(&END) => {
                let expected = (frames.number - 1).to_be_bytes();
                restored.is_complete = plain[1..] == expected;
                break;
            }
            Ok(plain) => take_in(cache, &plain, &mut restored),
            Err(_) => restored.refused += 1,
        }
    }
    Ok(restored)
}

/// Reads the next frame. False at the end, and where the bytes are cut or the length is nonsense.
fn read_frame(reader: &mut impl Read, sealed: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_MAX {
        return Ok(false);
    }
    sealed.clear();
    // Allocates by what there is, not by what the length says.
    Ok(reader.take(length as u64).read_to_end(sealed)? == length)
}

fn take_in<T: Payload>(cache: &SessionCache<T>, plain: &[u8], restored: &mut Restored) {
    /// As that of a tier.
    const TOLERANCE: Duration = Duration::from_secs(2);
    let record = match plain.split_first() {
        Some((&SESSION, record)) => Record::from_bytes(record),
        _ => Err(Refusal::Malformed),
    };
    let checked = record.and_then(|record| record.checked(cache.now(), TOLERANCE));
    match checked.and_then(|record| record.to_session::<T>()).map(|one| cache.add_from_tier(one)) {
        Ok(Ok(_)) => restored.restored += 1,
        Ok(Err(_)) => restored.rejected += 1,
        Err(Refusal::Expired) => restored.expired += 1,
        Err(_) => restored.refused += 1,
    }
}

/// [`snapshot`] to a file, which is replaced as a whole.
///
/// A process that ends meanwhile, however it does, leaves the old file, and beside it perhaps a
/// part of the new one under a name that begins with `.tmp`. The file is readable for its owner
/// only.
///
/// # Errors
/// Those of the file system, and [`TierError::Random`].
pub fn snapshot_to_file<T: Payload>(
    cache: &SessionCache<T>,
    ring: &KeyRing,
    path: impl AsRef<Path>,
) -> Result<u64, TierError> {
    let path = path.as_ref();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut writer = BufWriter::new(NamedTempFile::new_in(folder)?);
    let count = snapshot(cache, ring, &mut writer)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    // The new name is kept only with its folder. Elsewhere folders cannot be opened.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(count)
}

/// [`restore`] from a file.
///
/// # Errors
/// As [`restore`].
pub fn restore_from_file<T: Payload>(
    cache: &SessionCache<T>,
    ring: &KeyRing,
    path: impl AsRef<Path>,
) -> Result<Restored, TierError> {
    restore(cache, ring, &mut BufReader::new(File::open(path)?))
}
