//! What a case does: a short list of operations on few keys, decoded from small numbers so that it
//! shrinks.
#![forbid(unsafe_code)]

use sessile::{Context, Protocol, SessionId};

/// One of two dozen keys: ids with zero-padded twins, in two contexts, under two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u8);

const IDS: u8 = 6;

impl Key {
    /// A key by a number.
    pub fn decode(byte: u8) -> Self {
        Self(byte % (IDS * 4))
    }

    /// Its id.
    pub fn id(self) -> SessionId {
        let padded = [7; 32];
        let bytes: &[u8] = match self.0 % IDS {
            0 => &[1],
            1 => &[1, 0],
            2 => &[0],
            3 => &padded[..31],
            4 => &padded,
            _ => &[0; 32],
        };
        SessionId::new(bytes).unwrap()
    }

    /// Its context.
    pub fn context(self) -> Context {
        if (self.0 / IDS).is_multiple_of(2) { Context::NONE } else { Context::from_bytes([9; 32]) }
    }

    /// Its protocol.
    pub fn protocol(self) -> Protocol {
        if self.0 / IDS < 2 { Protocol::UNSPECIFIED } else { Protocol::TLS1_3 }
    }

    /// The same id under the same protocol, wherever.
    pub(crate) fn names_like(self, other: Self) -> bool {
        self.id() == other.id() && self.protocol() == other.protocol()
    }
}

/// When a session is created and how long it lives, relative to the moment it is made.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub(crate) created: Option<i64>,
    pub(crate) timeout: Option<u64>,
    pub(crate) deadline: Option<u64>,
    pub(crate) resumable: bool,
}

impl Terms {
    fn decode(byte: u8) -> Self {
        Self {
            created: [None, None, Some(-10), Some(6)][usize::from(byte % 4)],
            timeout: [None, None, Some(0), Some(10), Some(30), Some(u64::MAX)]
                [usize::from(byte / 4 % 6)],
            deadline: [None, None, Some(20)][usize::from(byte / 24 % 3)],
            resumable: byte < 250,
        }
    }
}

/// One operation, on a key or on one of the objects that were made.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is called as what it does")]
pub enum Operation {
    Nothing,
    AddNew(Key, Terms),
    /// Adds an object that was made before: stored, replaced, removed, whatever became of it.
    AddAgain(usize),
    /// Offers an object to a view of another context.
    AddMisplaced(usize),
    Get(Key),
    Read(Key),
    Take(Key),
    Remove(usize),
    RemoveId(Key),
    Forbid(usize),
    SetTimeout(usize, u64),
    SetCreated(usize, i64),
    Flush(u64),
    FlushView(Key, u64),
    Clear,
    ClearView(Key),
    SetCapacity(u8),
    Advance(u64),
    GoBack(u64),
    SetCacheTimeout(u64),
    Collect,
}

impl Operation {
    /// How many kinds there are.
    pub const KINDS: u8 = 100;

    /// One operation of three numbers, the first below [`KINDS`](Self::KINDS).
    pub fn decode((kind, a, b): (u8, u8, u8)) -> Self {
        let (key, object, seconds) = (Key::decode(a), usize::from(a), u64::from(b % 40));
        match kind {
            0 => Self::Nothing,
            1..=14 => Self::Get(key),
            15..=20 => Self::Read(key),
            21..=55 => Self::AddNew(key, Terms::decode(b)),
            56..=65 => Self::AddAgain(object),
            66 => Self::AddMisplaced(object),
            67..=72 => Self::Take(key),
            73..=75 => Self::Remove(object),
            76..=79 => Self::RemoveId(key),
            80 => Self::Forbid(object),
            81..=82 => Self::SetTimeout(object, seconds),
            83 => Self::SetCreated(object, i64::from(b as i8 / 4)),
            84 => Self::Flush(seconds),
            85 => Self::FlushView(key, seconds),
            86 if b < 64 => Self::Clear,
            86 | 87 => Self::ClearView(key),
            88..=90 => Self::SetCapacity(a),
            91..=95 => Self::Advance(seconds / 2),
            96 => Self::GoBack(seconds / 2),
            97 => Self::SetCacheTimeout(seconds),
            _ => Self::Collect,
        }
    }
}

/// What differs from case to case beside the operations.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Which of the capacities.
    pub capacity: u8,
    /// [`sessile::Mode::auto_flush`].
    pub auto_flush: bool,
    /// [`sessile::Mode::update_time`].
    pub update_time: bool,
}
