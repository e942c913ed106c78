//! The slots: threads that take a line each, have a worker answer it, and hand that in.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::Pid;

use stockade::error::{Error, Kind, io_text, no_matter};
use stockade::sandbox::Cancel as _;

use super::lines::Lines;
use super::stop::Stop;
use super::worker::{Answer, Worker, lost};

/// With reports in order, how many may wait for one before them: a few kilobytes each.
const MOST_HELD: u64 = 1024;

/// What the threads share.
#[derive(Debug, Default)]
struct Work {
    waiting: VecDeque<(u64, Vec<u8>)>,
    read_all: bool,
    running: usize,
    /// Lines answered, or to be answered in their turn.
    done: u64,
    refused: u64,
    /// With reports in order: those whose turn has not come, and whose it is.
    held: BTreeMap<u64, Vec<u8>>,
    next: u64,
    stopped: bool,
    failure: Option<Error>,
}

/// Where jobs are taken and reports handed in.
#[derive(Debug)]
pub struct Desk {
    /// Asks all jobs to end.
    pub stop: Stop,
    /// Readable when all is done.
    pub done: EventFd,
    in_order: bool,
    slots: usize,
    work: Mutex<Work>,
    changed: Condvar,
}

impl Desk {
    /// # Errors
    /// No descriptor is left.
    pub fn new(stop: Stop, in_order: bool, slots: usize) -> io::Result<Self> {
        Ok(Self {
            stop,
            done: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            in_order,
            slots,
            work: Mutex::new(Work { next: 1, ..Work::default() }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads jobs as they can be taken: no more than a few lie about.
    pub fn read_lines(&self) {
        let mut lines = Lines::default();
        let mut number = 0;
        loop {
            match lines.next(self.stop.fd()) {
                Ok(Some(line)) => {
                    number += 1;
                    if line.iter().all(u8::is_ascii_whitespace) {
                        self.skip(number);
                        continue;
                    }
                    let mut work = self.lock();
                    while work.waiting.len() >= 2 * self.slots && !work.stopped {
                        work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                    }
                    work.waiting.push_back((number, line));
                }
                Ok(None) => break,
                Err(e) => {
                    let message = format!("cannot read standard input: {}", io_text(&e));
                    self.give_up(Error::new(Kind::Host, message));
                    break;
                }
            }
            self.changed.notify_all();
        }
        self.lock().read_all = true;
        self.changed.notify_all();
        self.tell_when_done();
    }

    /// An empty line is nobody's job, and holds nobody up.
    fn skip(&self, number: u64) {
        if self.in_order {
            let mut work = self.lock();
            work.held.insert(number, Vec::new());
            self.write_in_turn(&mut work);
        }
    }

    /// A slot, until there are no more jobs.
    pub fn work(&self, mut worker: Worker) {
        while let Some((number, line)) = self.take() {
            match worker.ask(number, &line) {
                Ok(answer) => self.hand_in(number, answer),
                Err(error) => {
                    self.hand_in(number, lost(number, &line, &error));
                    self.stop_for(&mut self.lock(), error);
                    self.changed.notify_all();
                    break;
                }
            }
        }
        self.tell_when_done();
        worker.end();
    }

    fn take(&self) -> Option<(u64, Vec<u8>)> {
        let mut work = self.lock();
        loop {
            if work.stopped || self.stop.is_said() {
                work.stopped = true;
                self.changed.notify_all();
                return None;
            }
            let far = |number: u64| self.in_order && number >= work.next + MOST_HELD;
            match work.waiting.front() {
                Some((number, _)) if !far(*number) => {
                    work.running += 1;
                    self.changed.notify_all();
                    return work.waiting.pop_front();
                }
                None if work.read_all => return None,
                _ => {
                    let wait = std::time::Duration::from_millis(100);
                    work = self.changed.wait_timeout(work, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn hand_in(&self, number: u64, answer: Answer) {
        let mut work = self.lock();
        work.running -= 1;
        work.done += 1;
        work.refused += u64::from(!answer.ran);
        if self.in_order {
            work.held.insert(number, answer.text);
            self.write_in_turn(&mut work);
        } else {
            self.write(&mut work, &answer.text);
        }
        self.changed.notify_all();
    }

    fn write_in_turn(&self, work: &mut Work) {
        while let Some(bytes) = work.held.remove(&work.next) {
            work.next += 1;
            self.write(work, &bytes);
        }
    }

    /// Under the lock, so that lines stay whole. When nobody reads reports any more, no more jobs are run.
    fn write(&self, work: &mut Work, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        if let Err(e) = out.write_all(bytes).and_then(|()| out.flush())
            && work.failure.is_none()
        {
            self.stop_for(work, Error::new(Kind::Host, format!("cannot write a report: {}", io_text(&e))));
        }
    }

    /// Things cannot go on; the first reason counts.
    fn stop_for(&self, work: &mut Work, error: Error) {
        work.failure.get_or_insert(error);
        work.stopped = true;
        self.stop.now();
    }

    fn give_up(&self, error: Error) {
        let mut work = self.lock();
        work.failure.get_or_insert(error);
    }

    /// The last one tells. What was held for reports that will not come is handed in.
    fn tell_when_done(&self) {
        let mut work = self.lock();
        let over = (work.read_all && work.waiting.is_empty()) || work.stopped;
        if over && work.running == 0 {
            for bytes in std::mem::take(&mut work.held).into_values() {
                self.write(&mut work, &bytes);
            }
            no_matter(self.done.write(1), "a counter that is full is as good as set");
        }
    }

    /// How far things are.
    pub fn progress(&self) -> String {
        let work = self.lock();
        let not = if work.refused > 0 { format!(", {} not started", work.refused) } else { String::new() };
        format!("{} done, {} running{not}", work.done, work.running)
    }

    /// Why not all could be done.
    pub fn failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    /// Whether a line was no job, or a job could not be started.
    pub fn refused(&self) -> bool {
        self.lock().refused > 0
    }
}

/// The CPUs that this process may use: first one of each core, then their siblings, which share its
/// arithmetic and its caches.
pub fn cpus_by_core() -> Vec<usize> {
    let usable = |set: CpuSet| (0..CpuSet::count()).filter(move |cpu| set.is_set(*cpu) == Ok(true));
    let Ok(usable) = sched_getaffinity(Pid::from_raw(0)).map(usable) else { return Vec::new() };
    let core = |cpu: usize| {
        let list = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(list).unwrap_or_else(|_| cpu.to_string())
    };
    order_by_core(&usable.map(|cpu| (cpu, core(cpu))).collect::<Vec<_>>())
}

fn order_by_core(cpus: &[(usize, String)]) -> Vec<usize> {
    let mut ranked: Vec<(usize, usize)> = Vec::new();
    for (i, (cpu, core)) in cpus.iter().enumerate() {
        let before = cpus[..i].iter().filter(|(_, other)| other == core).count();
        ranked.push((before, *cpu));
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, cpu)| cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_takes_each_core_once_before_its_siblings() {
        let of = |list: &[(usize, &str)]| {
            order_by_core(&list.iter().map(|(cpu, core)| (*cpu, (*core).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(of(&[(0, "0,4"), (1, "1,5"), (4, "0,4"), (5, "1,5")]), [0, 1, 4, 5]);
        assert_eq!(of(&[(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")]), [0, 2, 1, 3]);
        assert_eq!(of(&[(3, "3"), (7, "7")]), [3, 7]);
        assert_eq!(of(&[]), Vec::<usize>::new());
    }
}
