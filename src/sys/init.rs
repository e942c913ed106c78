//! What is left of pid 1 of a box once the payload runs: one page of code.
//!
//! [`become_minimal`] takes away every mapping of the calling process but the
//! page it runs on, then sleeps for good. So pid 1 holds no byte of the
//! supervisor's memory, environment or arguments, needs no stack, and its only
//! system call is `pause(2)`. Orphans need no reaping: with `SIGCHLD` ignored
//! the kernel releases them.

// The code is position-independent, uses registers only, and fills exactly one page.
core::arch::global_asm!(
    ".pushsection .text.stockade_init, \"ax\", @progbits",
    ".balign 4096",
    ".global stockade_init_page",
    ".type stockade_init_page, @function",
    "stockade_init_page:",
    // rbx: this page. munmap(0, page)
    "lea rbx, [rip + stockade_init_page]",
    "xor edi, edi",
    "mov rsi, rbx",
    "mov eax, 11",
    "syscall",
    // munmap(page + 4096, end of the address space - (page + 4096))
    "lea rdi, [rbx + 4096]",
    "movabs rsi, 0x7ffffffff000",
    "sub rsi, rdi",
    "mov eax, 11",
    "syscall",
    "2:",
    "mov eax, 34",
    "syscall",
    "jmp 2b",
    ".balign 4096, 0xcc",
    ".size stockade_init_page, . - stockade_init_page",
    ".popsection",
);

unsafe extern "C" {
    fn stockade_init_page() -> !;
}

/// The calls that [`become_minimal`] makes from then on: `munmap` and `pause`.
pub const CALLS: [u32; 2] = [11, 34];

/// Unmaps everything but one page of code, and sleeps until killed.
pub fn become_minimal() -> ! {
    // SAFETY: the code uses no memory but its own page and never returns, so that nothing that is
    // unmapped is used again. It is only called by a process that shares its memory with no other.
    unsafe { stockade_init_page() }
}
