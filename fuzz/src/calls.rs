//! Programs of random system calls, in real boxes: nothing on the host changes,
//! the supervisor always knows what happened, and nothing is left.
//!
//! The input becomes machine code: numbers and arguments as the bytes say, among
//! them addresses of its own memory, of paths and of code, and the answer of the
//! call before.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use stockade::Layer;
use stockade::policy::model::Policy;
use stockade::policy::{Overrides, load_builtin};
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Input, Output, Sandbox, StoreChoice};

use super::bytes::Bytes;

/// Calls of one program.
const CALLS: usize = 24;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x60_0000;
const DATA_BYTES: u64 = 0x1_0000;
/// Where the code begins, and the texts behind it.
const ENTRY: usize = 0x100;
const TEXTS: usize = 0x1000;

/// Another box of the same length each time: what follows is a path on the host that everybody may write.
const PATHS: [&str; 8] =
    ["/", ".", "/tmp/x", "/proc/self/mem", "/box/program", "/dev/null", "/proc/1/root", "/../../etc/passwd"];

/// What must not change, and must not be reached.
struct World {
    policy: Policy,
    dir: PathBuf,
    listener: TcpListener,
    is_root: bool,
}

const PRECIOUS: &[u8] = b"precious\n";

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("stockade-calls-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let precious = dir.join("precious");
        fs::write(&precious, PRECIOUS).unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o666)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let limits = Overrides {
            wall_ns: Some(300_000_000),
            cpu_ns: Some(200_000_000),
            memory: Some(64 << 20),
            processes: Some(8),
            output: Some(64 << 10),
            ..Overrides::default()
        };
        let policy = load_builtin("native").unwrap().with_overrides(&limits).unwrap();
        let is_root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        World { policy, dir, listener, is_root }
    })
}

/// One argument: the register's number in a `mov r, imm64`, and what goes there.
fn argument(code: &mut Vec<u8>, register: usize, bytes: &mut Bytes<'_>, texts: &[u64]) {
    // mov rdi, rsi, rdx, r10, r8, r9
    const MOV: [[u8; 2]; 6] =
        [[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba], [0x49, 0xba], [0x49, 0xb8], [0x49, 0xb9]];
    // The same from r12, where the last answer is.
    const FROM_LAST: [[u8; 3]; 6] = [
        [0x4c, 0x89, 0xe7],
        [0x4c, 0x89, 0xe6],
        [0x4c, 0x89, 0xe2],
        [0x4d, 0x89, 0xe2],
        [0x4d, 0x89, 0xe0],
        [0x4d, 0x89, 0xe1],
    ];
    const INTERESTING: [u64; 20] = [
        0,
        1,
        2,
        3,
        7,
        0x10,
        0x100,
        0x1000,
        0xffff_ffff_ffff_ff9c,
        u64::MAX,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 32,
        1 << 63,
        0x1000_0000,
        0x2_0000,
        0x5412,
        DATA + 0x8000,
        CODE,
    ];
    let value = match bytes.below(8) {
        0 | 1 => bytes.pick(&INTERESTING),
        2 => bytes.pick(texts),
        3 => DATA + u64::from(bytes.byte()) * 8,
        4 => u64::from(bytes.byte()),
        5 => 1 << bytes.below(64),
        6 => bytes.word(),
        _ => {
            code.extend(FROM_LAST[register]);
            return;
        }
    };
    code.extend(MOV[register]);
    code.extend(value.to_le_bytes());
}

/// The machine code of the calls that the bytes name.
fn code(bytes: &mut Bytes<'_>, texts: &[u64]) -> Vec<u8> {
    let mut code = Vec::new();
    for _ in 0..CALLS {
        if bytes.is_empty() {
            break;
        }
        let high = bytes.byte();
        let number = u64::from(high % 2) << 8 | u64::from(bytes.byte());
        let number = if high > 250 { number | 0x4000_0000 } else { number };
        for register in 0..6 {
            argument(&mut code, register, bytes, texts);
        }
        // mov rax, number
        code.extend([0x48, 0xb8]);
        code.extend(number.to_le_bytes());
        // syscall, or the entry for 32-bit programs; mov r12, rax
        code.extend(if high == 250 { [0xcd, 0x80] } else { [0x0f, 0x05] });
        code.extend([0x49, 0x89, 0xc4]);
    }
    // mov eax, 231; mov edi, 7; syscall
    code.extend([0xb8, 231, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05]);
    code
}

/// A static program without anything but this code, the paths and room to write.
fn program(code: &[u8], paths: &[String]) -> (Vec<u8>, Vec<u64>) {
    let mut elf = vec![0u8; TEXTS];
    elf[..20].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0]);
    let mut put = |at: usize, value: &[u8]| elf[at..at + value.len()].copy_from_slice(value);
    put(20, &1u32.to_le_bytes());
    put(24, &(CODE + ENTRY as u64).to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &64u16.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &2u16.to_le_bytes());
    put(ENTRY, code);
    let mut texts = Vec::new();
    for path in paths {
        texts.push(CODE + elf.len() as u64);
        elf.extend(path.as_bytes());
        elf.push(0);
    }
    let length = elf.len() as u64;
    let mut segment = |at: usize, flags: u32, address: u64, filled: u64, room: u64| {
        elf[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        elf[at + 4..at + 8].copy_from_slice(&flags.to_le_bytes());
        for (n, word) in [0, address, address, filled, room, 0x1000].into_iter().enumerate() {
            let place = at + 8 + n * 8;
            elf[place..place + 8].copy_from_slice(&u64::to_le_bytes(word));
        }
    };
    segment(64, 5, CODE, length, length);
    segment(120, 6, DATA, 0, DATA_BYTES);
    (elf, texts)
}

pub fn check(data: &[u8]) {
    let world = world();
    let precious = world.dir.join("precious");
    let paths: Vec<String> =
        PATHS.iter().map(|p| (*p).to_owned()).chain([precious.display().to_string()]).collect();
    let (_, texts) = program(&[], &paths);
    let (elf, _) = program(&code(&mut Bytes(data), &texts), &paths);
    let file = world.dir.join("program");
    fs::write(&file, elf).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let mut sandbox = Sandbox::builder(world.policy.clone(), &file)
        .store(StoreChoice::At(world.dir.join("store")))
        .stdin(Input::Null)
        .stdout(Output::Capture)
        .stderr(Output::Capture);
    if !world.is_root {
        sandbox = sandbox.degrade(Layer::Cgroup);
    }
    let report = sandbox.run().unwrap().report;
    // Everything that a program can bring about; never that stockade itself failed.
    const ALLOWED: [Verdict; 8] = [
        Verdict::Ok,
        Verdict::NonzeroExit,
        Verdict::Signaled,
        Verdict::Violation,
        Verdict::MemoryLimit,
        Verdict::OutputLimit,
        Verdict::CpuLimit,
        Verdict::WallLimit,
    ];
    assert!(ALLOWED.contains(&report.verdict), "{:?}: {}", report.verdict, report.reason);
    assert!(report.cleanup.ok, "{:?}", report.cleanup);
    assert_eq!(fs::read(&precious).unwrap(), PRECIOUS);
    let came = world.listener.accept().map(drop).map_err(|e| e.kind());
    assert_eq!(came, Err(ErrorKind::WouldBlock));
}
