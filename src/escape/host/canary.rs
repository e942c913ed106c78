//! What must not be read, changed, heard of, killed or typed into: secrets,
//! files, sockets, processes and a terminal of the host.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::super::pace;
use super::super::probe::{ARGUMENT, MAGIC};
use crate::error::no_matter;
use crate::image::digest::Hasher;
use crate::sys::probe::Room;
use crate::sys::{self, probe};

/// An id that owns nothing, for what runs beside a box of host root.
pub const NOBODY: u32 = 65534;

type Result<T> = std::io::Result<T>;

/// A directory with everything in it that an attack may be after. The attacks
/// and their controls have one each.
pub struct Den {
    /// Where it is.
    pub dir: PathBuf,
    /// Port of the TCP listener, both families where there are two.
    pub tcp: u16,
    /// Port of the UDP socket.
    pub udp: u16,
    /// Name of the abstract sockets.
    pub abstract_name: String,
    /// A process with a secret.
    pub victim: Victim,
    heard: Arc<AtomicU64>,
    precious: String,
}

/// Makes a directory that everybody may use.
pub fn open_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// Makes a file that everybody may use.
pub fn open_file(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
}

/// SHA-256 of a file.
pub fn digest(path: &Path) -> String {
    let mut hasher = Hasher::new();
    hasher.update(&fs::read(path).unwrap_or_default());
    hasher.finish().to_string()
}

impl Den {
    /// Makes it.
    pub fn new(dir: PathBuf, token: &str, name: &str, exe: &Path) -> Result<Self> {
        open_dir(&dir)?;
        for below in ["scratch", "read-only", "covered", "jail", "jail/below", "bound", "bound/sub"] {
            open_dir(&dir.join(below))?;
        }
        open_file(&dir.join("secret"), format!("{token}-file\n").as_bytes())?;
        open_file(&dir.join("bound/sub/plain"), b"nothing secret\n")?;
        let precious = dir.join("precious");
        open_file(&precious, &[b'p'; 4096])?;
        let heard = Arc::new(AtomicU64::new(0));
        let (tcp, udp) = listen_on_loopback(&heard)?;
        let abstract_name = format!("{token}-{name}");
        listen_on_names(&dir, &abstract_name, &heard)?;
        let victim = Victim::start(exe, token)?;
        let digest = digest(&precious);
        Ok(Self { dir, tcp, udp, abstract_name, victim, heard, precious: digest })
    }

    /// What has been done to it, if anything. Each kind of damage is told once.
    pub fn damage(&mut self) -> Option<String> {
        let precious = self.dir.join("precious");
        let now = digest(&precious);
        if now != self.precious {
            self.precious = now;
            return Some("a file of the host was changed".to_owned());
        }
        // What is on its way arrives within this.
        let heard = self.heard.swap(0, Ordering::Relaxed);
        if heard > 0 {
            return Some(format!("sockets of the host were reached {heard} times"));
        }
        if !self.victim.is_alive() {
            return Some("a process of the host has ended".to_owned());
        }
        None
    }

    /// Forgets what was heard so far.
    pub fn forget(&self) {
        self.heard.store(0, Ordering::Relaxed);
    }
}

fn listen_on_loopback(heard: &Arc<AtomicU64>) -> Result<(u16, u16)> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let port = tcp.local_addr()?.port();
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let udp_port = udp.local_addr()?.port();
    // A host without the second family has nothing to be reached by it.
    let tcp6 = TcpListener::bind(("::1", port)).ok();
    let udp6 = UdpSocket::bind(("::1", udp_port)).ok();
    for listener in std::iter::once(tcp).chain(tcp6) {
        let heard = heard.clone();
        std::thread::spawn(move || {
            for _ in listener.incoming().flatten() {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for socket in std::iter::once(udp).chain(udp6) {
        let heard = heard.clone();
        std::thread::spawn(move || {
            let mut bytes = [0u8; 512];
            while socket.recv(&mut bytes).is_ok() {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    Ok((port, udp_port))
}

/// Stream, datagram and sequenced sockets, with abstract names and as files.
fn listen_on_names(dir: &Path, name: &str, heard: &Arc<AtomicU64>) -> Result<()> {
    for (suffix, kind) in
        [("stream", SockType::Stream), ("dgram", SockType::Datagram), ("seqpacket", SockType::SeqPacket)]
    {
        let path = dir.join(suffix);
        for address in [UnixAddr::new_abstract(format!("{name}-{suffix}").as_bytes())?, UnixAddr::new(&path)?]
        {
            let made = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
            bind(made.as_raw_fd(), &address)?;
            if kind != SockType::Datagram {
                listen(&made, Backlog::new(16)?)?;
            }
            let heard = heard.clone();
            std::thread::spawn(move || hear(&made, kind == SockType::Datagram, &heard));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    }
    Ok(())
}

fn hear(socket: &OwnedFd, datagrams: bool, heard: &AtomicU64) {
    let mut bytes = [0u8; 512];
    loop {
        let came = if datagrams {
            sys::fd::read(socket.as_raw_fd(), &mut bytes).is_ok()
        } else {
            match nix::sys::socket::accept(socket.as_raw_fd()) {
                Ok(number) => {
                    no_matter(nix::unistd::close(number), "it is ours and open");
                    true
                }
                Err(_) => false,
            }
        };
        if !came {
            return;
        }
        heard.fetch_add(1, Ordering::Relaxed);
    }
}

/// A process of the host that is to live.
pub struct Victim {
    child: Child,
    /// Where its secret lies.
    pub address: u64,
}

impl Victim {
    fn start(exe: &Path, token: &str) -> Result<Self> {
        let mut command = Command::new(exe);
        command.arg(ARGUMENT).arg("victim").stdin(Stdio::piped()).stdout(Stdio::piped());
        as_nobody(&mut command);
        let mut child = command.spawn()?;
        let mut order = MAGIC.to_vec();
        let secret = format!("{token}-memory");
        order.push(u8::try_from(secret.len()).unwrap_or(u8::MAX));
        order.extend(secret.bytes().map(|b| !b));
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(&order)?;
        }
        let mut line = Vec::new();
        let mut byte = [0u8];
        if let Some(stdout) = &mut child.stdout {
            while stdout.read(&mut byte)? == 1 && byte != *b"\n" {
                line.push(byte[0]);
            }
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let address = text.split(' ').nth(2).and_then(|a| a.parse().ok());
        match address {
            Some(address) => Ok(Self { child, address }),
            None => Err(std::io::Error::other("a process of the control did not start")),
        }
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        no_matter(self.child.kill(), "it has ended already");
        no_matter(self.child.wait(), "somebody has reaped it");
    }
}

/// As host root: under an id that owns nothing, without groups.
pub fn as_nobody(command: &mut Command) {
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// Descriptors that the caller has forgotten about: open through every exec.
pub struct Forgotten(Vec<i32>);

/// Numbers that nobody else uses this early.
const FORGOTTEN: [i32; 7] = [100, 101, 102, 103, 104, 105, 900];

impl Forgotten {
    /// A directory, a file, a pipe, a listening socket, a file in memory, the
    /// terminal, and the directory once more far above.
    pub fn leave(dir: &Path, terminal: &OwnedFd) -> Result<Self> {
        let directory = fs::File::open(dir)?;
        let forgotten = dir.join("forgotten");
        open_file(&forgotten, b"forgotten\n")?;
        let file = fs::File::options().read(true).write(true).open(&forgotten)?;
        let (read, write) = sys::fd::pipe()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // Nobody calls: a control that accepts must not wait.
        listener.set_nonblocking(true)?;
        let made = probe::call(libc::SYS_memfd_create, &[c"forgotten".into(), 1.into()])?;
        let memory = i32::try_from(made).unwrap_or(-1);
        let sources = [
            directory.as_raw_fd(),
            file.as_raw_fd(),
            write.as_raw_fd(),
            listener.as_raw_fd(),
            memory,
            terminal.as_raw_fd(),
            directory.as_raw_fd(),
        ];
        for (source, number) in sources.into_iter().zip(FORGOTTEN) {
            sys::fd::dup_onto(source, number)?;
        }
        no_matter(sys::fd::close(memory), "its copy stays");
        // The reading end must live, or a write would be answered with a signal.
        std::mem::forget(read);
        Ok(Self(FORGOTTEN.to_vec()))
    }
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        for number in &self.0 {
            no_matter(sys::fd::close(*number), "it is ours and open");
        }
    }
}

/// A terminal of the caller's, raw, with this process as its session's leader.
pub struct Terminal {
    _master: nix::pty::PtyMaster,
    slave: OwnedFd,
    /// Its path.
    pub path: String,
    settings: nix::sys::termios::Termios,
}

impl Terminal {
    /// Opens one; it becomes the terminal of this process's session.
    pub fn open() -> Result<Self> {
        use nix::fcntl::OFlag;
        no_matter(nix::unistd::setsid(), "it is a leader already");
        let master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        nix::pty::grantpt(&master)?;
        nix::pty::unlockpt(&master)?;
        let path = nix::pty::ptsname_r(&master)?;
        // Without O_NOCTTY: a leader without a terminal gets this one.
        let slave: OwnedFd = fs::File::options().read(true).write(true).open(&path)?.into();
        let mut raw = nix::sys::termios::tcgetattr(&slave)?;
        nix::sys::termios::cfmakeraw(&mut raw);
        nix::sys::termios::tcsetattr(&slave, nix::sys::termios::SetArg::TCSANOW, &raw)?;
        let settings = nix::sys::termios::tcgetattr(&slave)?;
        Ok(Self { _master: master, slave, path, settings })
    }

    /// For descriptors that are left open.
    pub const fn descriptor(&self) -> &OwnedFd {
        &self.slave
    }

    /// What has been done to it, if anything; undone as well.
    pub fn damage(&self) -> Option<String> {
        let waiting = Room::default();
        let asked = probe::call(
            libc::SYS_ioctl,
            &[self.slave.as_raw_fd().into(), libc::FIONREAD.into(), (&waiting).into()],
        );
        let typed = u32::from_le_bytes(waiting.bytes()[..4].try_into().unwrap_or_default());
        let now = nix::sys::termios::tcgetattr(&self.slave).ok();
        let changed = now.is_none_or(|now| now != self.settings);
        self.restore();
        if asked.is_ok() && typed > 0 {
            return Some(format!("{typed} bytes were typed into the caller's terminal"));
        }
        changed.then(|| "the caller's terminal was changed".to_owned())
    }

    /// As it was: nothing typed, the same settings.
    pub fn restore(&self) {
        use nix::sys::termios::{FlushArg, SetArg, tcflush, tcsetattr};
        no_matter(tcflush(self.slave.as_fd(), FlushArg::TCIOFLUSH), "it is gone then");
        no_matter(tcsetattr(self.slave.as_fd(), SetArg::TCSANOW, &self.settings), "it is gone then");
    }
}

/// A secret in a session keyring of this process's own. Answers why there is
/// none, where there is none.
pub fn keep_key(description: &str, secret: &str) -> std::result::Result<(), String> {
    const SESSION: i32 = -3;
    let failed = |what: &str, e: sys::Errno| format!("{what}: {}", crate::error::errno_text(e as i32));
    sys::process::join_fresh_session_keyring().map_err(|e| failed("a keyring", e))?;
    let name = super::super::probe::c(description);
    let added = probe::call(
        libc::SYS_add_key,
        &[
            c"user".into(),
            name.as_c_str().into(),
            secret.as_bytes().into(),
            secret.len().into(),
            SESSION.into(),
        ],
    );
    added.map(drop).map_err(|e| failed("a key", e))
}

/// Waits until something holds, at most this long where nothing is slow.
pub fn wait_until(most: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begin = std::time::Instant::now();
    while begin.elapsed() < pace::stretched(most) {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    holds()
}
