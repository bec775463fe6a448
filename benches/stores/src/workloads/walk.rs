//! What a thread runs through between two operations, as a handshake does: lines of data, which it
//! writes, and lines of code.

use memmap2::Mmap;
use std::fs;
use std::hint::black_box;

/// A handshake's part of the nearest caches, at least.
const DATA_BYTES_MIN: usize = 256 * 1024;
/// Several times the caches of instructions.
const CODE_BYTES: usize = 256 * 1024;

/// A line of memory.
#[repr(align(64))]
pub(super) struct Line(u64);

/// Data as large as the second cache, and code. The caches of one processor then hold nothing else;
/// those of several, and the translations of pages, keep what they had.
pub(super) struct Walk {
    data: Box<[Line]>,
    code: Option<Code>,
}

impl Walk {
    pub(super) fn new() -> Self {
        let lines = data_bytes() / size_of::<Line>();
        Self { data: (0..lines).map(|_| Line(0)).collect(), code: Code::new(CODE_BYTES) }
    }

    pub(super) fn data_bytes(&self) -> usize {
        size_of_val(&*self.data)
    }

    pub(super) fn code_bytes(&self) -> usize {
        self.code.as_ref().map_or(0, |code| code.0.len())
    }

    pub(super) fn run(&mut self) {
        for line in black_box(&mut self.data) {
            line.0 = line.0.wrapping_add(1);
        }
        if let Some(code) = &self.code {
            code.run();
        }
    }
}

/// The size of the second cache, where the system tells.
fn data_bytes() -> usize {
    let text = fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size");
    let kibibytes: Option<usize> =
        text.ok().and_then(|text| text.trim().strip_suffix('K')?.parse().ok());
    kibibytes.map_or(1 << 20, |kibibytes| kibibytes * 1024).max(DATA_BYTES_MIN)
}

/// A function of one jump a line.
pub(super) struct Code(Mmap);

impl Code {
    /// `None` where no code can be made.
    pub(super) fn new(bytes: usize) -> Option<Self> {
        const JUMP_TO_NEXT_LINE: [u8; 2] = [0xeb, 62];
        const RETURN: u8 = 0xc3;
        if !cfg!(all(target_arch = "x86_64", unix)) {
            return None;
        }
        let mut map = memmap2::MmapMut::map_anon(bytes).ok()?;
        for line in map.chunks_exact_mut(64) {
            line[..2].copy_from_slice(&JUMP_TO_NEXT_LINE);
        }
        *map.chunks_exact_mut(64).last()?.first_mut()? = RETURN;
        map.make_exec().ok().map(Self)
    }

    #[inline(always)]
    pub(super) fn run(&self) {
        // SAFETY: the map can be executed and holds what `new` wrote: jumps, each to the next, and
        // a return. It touches no register and no memory.
        let function: extern "C" fn() = unsafe { std::mem::transmute(self.0.as_ptr()) };
        function();
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Walk};

    #[test]
    fn a_walk_writes_every_line() {
        let mut walk = Walk::new();
        walk.run();
        walk.run();
        assert!(walk.data.iter().all(|line| line.0 == 2));
        assert!(walk.data_bytes() >= super::DATA_BYTES_MIN);
    }

    #[test]
    fn code_returns_from_its_last_line() {
        for bytes in [64, 4096] {
            if let Some(code) = Code::new(bytes) {
                assert_eq!(code.0.len(), bytes);
                code.run();
            }
        }
    }
}
