//! Which instructions of a program lock: they take a line for themselves and wait until it is
//! theirs.

use anyhow::{Context, Result};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};
use object::{File, Object, ObjectSection, SectionKind};
use std::fs;
use std::path::Path;

/// The code of a program.
pub(super) struct Code {
    sections: Vec<Section>,
}

struct Section {
    address: u64,
    bytes: Vec<u8>,
}

impl Code {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file =
            File::parse(&*bytes).with_context(|| format!("{} is no program", path.display()))?;
        let mut sections = Vec::new();
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            sections.push(Section { address: section.address(), bytes: section.data()?.to_vec() });
        }
        Ok(Self { sections })
    }

    /// Whether the instruction at `address` locks.
    pub(super) fn is_locked(&self, address: u64) -> Result<bool> {
        let instruction =
            self.instruction(address).with_context(|| format!("no code at {address:#x}"))?;
        Ok(locks(&instruction))
    }

    fn instruction(&self, address: u64) -> Option<Instruction> {
        let bytes = self.sections.iter().find_map(|section| {
            let offset = usize::try_from(address.checked_sub(section.address)?).ok()?;
            section.bytes.get(offset..).filter(|bytes| !bytes.is_empty())
        })?;
        let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }
}

/// A lock prefix, an exchange with memory, which needs none, or the full fence, which costs the
/// same.
fn locks(instruction: &Instruction) -> bool {
    let has_memory =
        || (0..instruction.op_count()).any(|nth| instruction.op_kind(nth) == OpKind::Memory);
    match instruction.mnemonic() {
        Mnemonic::Mfence => true,
        Mnemonic::Xchg => has_memory(),
        _ => instruction.has_lock_prefix(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_locked(bytes: &[u8]) -> bool {
        Code { sections: vec![Section { address: 0x1000, bytes: bytes.to_vec() }] }
            .is_locked(0x1000)
            .unwrap()
    }

    #[test]
    fn locked_instructions_are_known() {
        assert!(is_locked(&[0xf0, 0x48, 0xff, 0x07]), "lock inc qword [rdi]");
        assert!(is_locked(&[0xf0, 0x48, 0x0f, 0xb1, 0x37]), "lock cmpxchg [rdi], rsi");
        assert!(is_locked(&[0x48, 0x87, 0x07]), "xchg [rdi], rax");
        assert!(is_locked(&[0x0f, 0xae, 0xf0]), "mfence");
    }

    #[test]
    fn others_are_not() {
        assert!(!is_locked(&[0x48, 0x89, 0x07]), "mov [rdi], rax");
        assert!(!is_locked(&[0x48, 0xff, 0x07]), "inc qword [rdi]");
        assert!(!is_locked(&[0x48, 0x87, 0xf8]), "xchg rax, rdi");
    }

    #[test]
    fn an_address_without_code_is_an_error() {
        let code = Code { sections: vec![Section { address: 0x1000, bytes: vec![0x90] }] };
        assert!(code.is_locked(0x1000).is_ok_and(|locked| !locked));
        assert!(code.is_locked(0x1001).is_err() && code.is_locked(0xfff).is_err());
    }
}
