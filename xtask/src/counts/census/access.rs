//! What an instruction touches: the lines of its own bytes, and those of its operands in memory.

use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, InstructionInfoOptions, OpAccess,
    Register,
};

/// Bytes of a line.
const LINE: u64 = 64;

/// Bytes of the longest instruction.
pub(super) const LONGEST: usize = 15;

/// An operand in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Access {
    pub(super) address: u64,
    bytes: u64,
    pub(super) is_write: bool,
}

impl Access {
    /// The numbers of the lines that it touches.
    pub(super) fn lines(&self) -> impl Iterator<Item = u64> + use<> {
        lines(self.address, self.bytes)
    }
}

/// The numbers of the lines in which these bytes lie.
pub(super) fn lines(address: u64, bytes: u64) -> impl Iterator<Item = u64> {
    address / LINE..=(address + bytes.max(1) - 1) / LINE
}

/// The instruction at `address`.
pub(super) fn decode(bytes: &[u8], address: u64) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// The operands of an instruction in memory, by the values that the registers have before it. A
/// prefetch and an address that is computed only are none. `None` where an address cannot be told.
pub(super) fn accesses(
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
    register: impl Fn(Register) -> Option<u64>,
) -> Option<Vec<Access>> {
    let info = factory.info_options(instruction, InstructionInfoOptions::NONE);
    let mut accesses = Vec::new();
    for memory in info.used_memory() {
        let is_write = match memory.access() {
            OpAccess::None | OpAccess::NoMemAccess => continue,
            OpAccess::Read | OpAccess::CondRead => false,
            _ => true,
        };
        let address = memory.virtual_address(0, |name, _, _| register(name))?;
        accesses.push(Access { address, bytes: memory.memory_size().size() as u64, is_write });
    }
    Some(accesses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Vec<Access> {
        let instruction = decode(bytes, 0x1000).unwrap();
        let register = |name| match name {
            Register::RSP => Some(0x8000),
            Register::RDI => Some(0x2030),
            Register::FS => Some(0x7000),
            Register::DS | Register::SS | Register::ES | Register::CS => Some(0),
            _ => None,
        };
        accesses(&mut InstructionInfoFactory::new(), &instruction, register).unwrap()
    }

    fn access(address: u64, bytes: u64, is_write: bool) -> Vec<Access> {
        vec![Access { address, bytes, is_write }]
    }

    #[test]
    fn operands_in_memory_are_found() {
        assert_eq!(of(&[0x48, 0x8b, 0x07]), access(0x2030, 8, false), "mov rax, [rdi]");
        assert_eq!(of(&[0x48, 0x89, 0x07]), access(0x2030, 8, true), "mov [rdi], rax");
        assert_eq!(
            of(&[0xf0, 0x48, 0x0f, 0xb1, 0x37]),
            access(0x2030, 8, true),
            "lock cmpxchg [rdi], rsi"
        );
        assert_eq!(of(&[0x50]), access(0x7ff8, 8, true), "push rax");
        assert_eq!(of(&[0xc3]), access(0x8000, 8, false), "ret");
        assert_eq!(
            of(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0]),
            access(0x1017, 8, false),
            "mov rax, [rip + 0x10]"
        );
        assert_eq!(
            of(&[0x64, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0]),
            access(0x7008, 8, false),
            "mov rax, fs:[8]"
        );
    }

    #[test]
    fn what_only_names_memory_touches_none() {
        assert_eq!(of(&[0x48, 0x8d, 0x07]), [], "lea rax, [rdi]");
        assert_eq!(of(&[0x0f, 0x18, 0x0f]), [], "prefetcht0 [rdi]");
        assert_eq!(of(&[0x0f, 0x1f, 0x07]), [], "nop [rdi]");
    }

    #[test]
    fn what_crosses_a_line_touches_two() {
        let crossing = Access { address: 0x203e, bytes: 8, is_write: false };
        assert_eq!(crossing.lines().collect::<Vec<_>>(), [0x80, 0x81]);
        assert_eq!(lines(0x1000, LONGEST as u64).collect::<Vec<_>>(), [0x40]);
    }
}
