//! A process that is run instruction by instruction between two marks, and at full speed elsewhere.

use super::access::{LONGEST, accesses, decode, lines};
use super::lines::Lines;
use anyhow::{Context, Result, bail, ensure};
use iced_x86::{Instruction, InstructionInfoFactory, Register};
use nix::libc::user_regs_struct;
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

/// Instructions between two marks; more would be a mark that was missed.
const MOST: u64 = 1_000_000;
const BREAKPOINT: u8 = 0xcc;

/// Whether a child may be traced here.
pub(super) fn is_permitted() -> bool {
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    child.is_ok_and(|mut child| {
        let pid = Pid::from_raw(child.id() as i32);
        let is_traced = ptrace::attach(pid).is_ok() && waitpid(pid, None).is_ok();
        let _ = child.kill();
        let _ = child.wait();
        is_traced
    })
}

/// Lets this thread, and what it starts, run on one of its processors, counted round: how many
/// there are shows in what a cache does.
pub(super) fn keep_to(nth: usize) -> Result<()> {
    let processors = core_affinity::get_core_ids().unwrap_or_default();
    let processor =
        processors.get(nth % processors.len().max(1)).context("no processor is known")?;
    ensure!(core_affinity::set_for_current(*processor), "the processor cannot be chosen");
    Ok(())
}

/// Runs a program that prints the addresses of its two marks and then waits for a line; what
/// happened from each first mark to the second one.
pub(super) fn trace(command: &mut Command) -> Result<Vec<Lines>> {
    let mut tracee = Tracee::start(command)?;
    let mut runs = Vec::new();
    while tracee.reach_begin()? {
        runs.push(tracee.follow()?);
    }
    Ok(runs)
}

/// The process, stopped.
struct Tracee {
    child: Child,
    pid: Pid,
    memory: File,
    stack: Range<u64>,
    begin: u64,
    end: u64,
    /// The first byte of `begin`, in whose place the breakpoint is.
    replaced: u8,
    factory: InstructionInfoFactory,
    decoded: HashMap<u64, Instruction>,
}

impl Tracee {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = spawn_in_place(command)?;
        let started = Self::attach(&mut child);
        let (pid, memory, stack, begin, end) = match started {
            Ok(started) => started,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut replaced = [0];
        memory.read_exact_at(&mut replaced, begin)?;
        let (factory, decoded) = (InstructionInfoFactory::new(), HashMap::new());
        let [replaced] = replaced;
        let tracee = Self { child, pid, memory, stack, begin, end, replaced, factory, decoded };
        tracee.put_breakpoint(BREAKPOINT)?;
        // Lets it begin, once it goes on.
        let mut stdin = tracee.child.stdin.as_ref().context("it has an input")?;
        stdin.write_all(b"\n")?;
        Ok(tracee)
    }

    /// Waits until the program is ready, and stops it.
    fn attach(child: &mut Child) -> Result<(Pid, File, Range<u64>, u64, u64)> {
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it has an output")?).read_line(&mut line)?;
        let marks = line.trim().split_once(' ').context("the program told no marks")?;
        let address = |text| u64::from_str_radix(text, 16).context("a mark is no address");
        let pid = Pid::from_raw(child.id() as i32);
        ptrace::attach(pid).context("the program cannot be traced")?;
        waitpid(pid, None)?;
        let path = |name| format!("/proc/{pid}/{name}");
        let memory = OpenOptions::new().read(true).write(true).open(path("mem"))?;
        let maps = fs::read_to_string(path("maps"))?;
        Ok((pid, memory, stack_of(&maps)?, address(marks.0)?, address(marks.1)?))
    }

    fn put_breakpoint(&self, byte: u8) -> Result<()> {
        self.memory.write_all_at(&[byte], self.begin).context("no breakpoint can be set")
    }

    /// Goes on to the first mark, or to the end of the program.
    fn reach_begin(&self) -> Result<bool> {
        let mut signal = None;
        loop {
            ptrace::cont(self.pid, signal)?;
            match waitpid(self.pid, None)? {
                WaitStatus::Exited(_, 0) => return Ok(false),
                WaitStatus::Stopped(_, Signal::SIGTRAP) => break,
                WaitStatus::Stopped(_, other) => signal = Some(other),
                status => bail!("the traced program ended: {status:?}"),
            }
        }
        let mut registers = ptrace::getregs(self.pid)?;
        ensure!(registers.rip == self.begin + 1, "a trap at {:#x}", registers.rip);
        registers.rip = self.begin;
        ptrace::setregs(self.pid, registers)?;
        Ok(true)
    }

    /// From the return of the first mark to the call of the second one.
    fn follow(&mut self) -> Result<Lines> {
        self.put_breakpoint(self.replaced)?;
        let mut registers = ptrace::getregs(self.pid)?;
        let mut back = [0; 8];
        self.memory.read_exact_at(&mut back, registers.rsp)?;
        while registers.rip != u64::from_le_bytes(back) {
            registers = self.step()?;
        }
        let mut lines = Lines::default();
        while registers.rip != self.end {
            self.note(&registers, &mut lines)?;
            ensure!(lines.instructions < MOST, "the second mark was not reached");
            registers = self.step()?;
        }
        self.put_breakpoint(BREAKPOINT)?;
        Ok(lines)
    }

    fn step(&self) -> Result<user_regs_struct> {
        ptrace::step(self.pid, None)?;
        match waitpid(self.pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Ok(ptrace::getregs(self.pid)?),
            status => bail!("the traced program ended between its marks: {status:?}"),
        }
    }

    /// Adds what the next instruction touches.
    fn note(&mut self, registers: &user_regs_struct, all: &mut Lines) -> Result<()> {
        let instruction = self.instruction(registers.rip)?;
        all.instructions += 1;
        all.code.extend(lines(registers.rip, instruction.len() as u64));
        let touched = accesses(&mut self.factory, &instruction, |name| value(registers, name));
        let touched = touched.with_context(|| format!("where is an operand of {instruction:?}"))?;
        for access in touched {
            if self.stack.contains(&access.address) {
                all.stack.extend(access.lines());
                continue;
            }
            all.data.extend(access.lines());
            if access.is_write {
                all.written.extend(access.lines());
            }
        }
        Ok(())
    }

    fn instruction(&mut self, address: u64) -> Result<Instruction> {
        if let Some(known) = self.decoded.get(&address) {
            return Ok(*known);
        }
        let mut bytes = [0; LONGEST];
        // Fewer at the end of a mapping.
        let length = self.memory.read_at(&mut bytes, address)?;
        let instruction = decode(&bytes[..length], address)
            .with_context(|| format!("no instruction at {address:#x}"))?;
        self.decoded.insert(address, instruction);
        Ok(instruction)
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // It has ended, or is not needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the program at the same addresses in every run, with a stack that does not depend on the
/// environment.
fn spawn_in_place(command: &mut Command) -> Result<Child> {
    let before = personality::get()?;
    // Not everywhere permitted; without it, only where the stack begins is another in each run.
    let is_set = personality::set(before | Persona::ADDR_NO_RANDOMIZE).is_ok();
    let child = command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    if is_set {
        personality::set(before)?;
    }
    child.context("the traced program cannot be started")
}

/// Where the stack of the first thread lies.
fn stack_of(maps: &str) -> Result<Range<u64>> {
    let line = maps.lines().find(|line| line.ends_with("[stack]")).context("it has no stack")?;
    let ends = line.split_whitespace().next().and_then(|range| range.split_once('-'));
    let (first, last) = ends.context("a mapping has two ends")?;
    // It grows downwards by as much as a thread may have.
    const GROWTH: u64 = 8 << 20;
    let last = u64::from_str_radix(last, 16)?;
    Ok(u64::from_str_radix(first, 16)?.min(last.saturating_sub(GROWTH))..last)
}

/// The value of a register that is part of an address.
fn value(registers: &user_regs_struct, name: Register) -> Option<u64> {
    Some(match name {
        Register::RAX => registers.rax,
        Register::RBX => registers.rbx,
        Register::RCX => registers.rcx,
        Register::RDX => registers.rdx,
        Register::RSI => registers.rsi,
        Register::RDI => registers.rdi,
        Register::RBP => registers.rbp,
        Register::RSP => registers.rsp,
        Register::R8 => registers.r8,
        Register::R9 => registers.r9,
        Register::R10 => registers.r10,
        Register::R11 => registers.r11,
        Register::R12 => registers.r12,
        Register::R13 => registers.r13,
        Register::R14 => registers.r14,
        Register::R15 => registers.r15,
        Register::FS => registers.fs_base,
        Register::GS => registers.gs_base,
        Register::CS | Register::DS | Register::ES | Register::SS => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::stack_of;

    #[test]
    fn the_stack_is_found() {
        let maps = "7f00-7f10 r-xp 0 0:0 1 /p\n7ff000-1000000 rw-p 0 0:0 0 [stack]\n";
        assert_eq!(stack_of(maps).unwrap(), 0x7f_f000..0x100_0000);
        assert!(stack_of("7f00-7f10 r-xp 0 0:0 1 /p\n").is_err());
    }
}
