//! Every piece of memory that a plan consists of, for a process that has nothing
//! else of its maker's. Whatever gets a new field has to say here what it holds.

use std::ffi::CString;

use super::{
    BindFrom, Device, LandlockPlan, LandlockRule, Late, MountKind, MountPlan, Place, Plan, PrivateEntry,
    PrivateKind, RootPlan,
};
use crate::sys::template::Pieces;

impl Plan {
    /// All that the children read or write.
    pub fn pieces(&self, to: &mut Pieces) {
        let Self {
            supervisor: _,
            as_root: _,
            uid: _,
            gid: _,
            uid_text,
            gid_text,
            hostname,
            own_network: _,
            cpus: _,
            loopback: _,
            control: _,
            gate_read: _,
            gate_write: _,
            stdio: _,
            keep,
            payload: _,
            payload_size: _,
            root,
            mounts,
            proc_at,
            proc_optional: _,
            entry: _,
            entry_fds: _,
            cwd,
            inner_maps,
            rlimits,
            last_cap: _,
            landlock,
            listener,
            filter,
            init_filter,
            program,
            late,
            argv,
            envp,
            nonce: _,
            init_stack,
            payload_stack,
            built: _,
            init_fd: _,
            has_fs_ids: _,
            init_has_namespaces: _,
            payload_has_joined: _,
            init_has_ids: _,
            root_fd: _,
            host_proc: _,
            #[cfg(feature = "fault-injection")]
            inject,
            #[cfg(feature = "ablation")]
                spoilt: _,
        } = self;
        to.value(self);
        strings(to, [uid_text, gid_text, cwd, program]);
        strings(to, proc_at);
        to.content(hostname);
        to.content(keep);
        root_pieces(root, to);
        each(to, mounts, mount_pieces);
        inner_maps.iter().for_each(|map| to.content(map));
        to.content(rlimits);
        if let Some(LandlockPlan { attr: _, rules, flags: _ }) = landlock {
            each(to, rules, |LandlockRule { path, rights: _ }, to| strings(to, [path]));
        }
        if let Some(listener) = listener {
            to.content(listener);
        }
        to.content(filter);
        to.content(init_filter);
        if let Some(Late { job: _, place: _, words }) = late {
            words.pieces(to);
        }
        argv.pieces(to);
        envp.pieces(to);
        init_stack.pieces(to);
        payload_stack.pieces(to);
        #[cfg(feature = "fault-injection")]
        to.content(inject);
    }
}

fn each<T>(to: &mut Pieces, all: &[T], pieces: impl Fn(&T, &mut Pieces)) {
    to.content(all);
    all.iter().for_each(|one| pieces(one, to));
}

fn strings<'a>(to: &mut Pieces, all: impl IntoIterator<Item = &'a CString>) {
    all.into_iter().for_each(|text| to.content(text.as_bytes_with_nul()));
}

fn root_pieces(root: &RootPlan, to: &mut Pieces) {
    match root {
        RootPlan::Tree { path, dev: _, ino: _, back_end: _ } => strings(to, [path]),
        RootPlan::Private { size, inodes, entries } => {
            strings(to, [size, inodes]);
            each(to, entries, entry_pieces);
        }
    }
}

fn entry_pieces(PrivateEntry { path, kind, mode: _, mtime: _, nanos: _ }: &PrivateEntry, to: &mut Pieces) {
    strings(to, [path]);
    match kind {
        PrivateKind::Dir | PrivateKind::Copy { from: _, offset: _, size: _ } => {}
        PrivateKind::Bytes(bytes) => to.content(bytes),
        PrivateKind::Link(target) => strings(to, [target]),
    }
}

fn mount_pieces(MountPlan { at, kind, attr: _ }: &MountPlan, to: &mut Pieces) {
    let place = |Place { path, dir: _ }: &Place, to: &mut Pieces| strings(to, [path]);
    strings(to, [at]);
    match kind {
        MountKind::Tmpfs { size, inodes, mode, places, tree } => {
            strings(to, [size, inodes, mode]);
            each(to, places, place);
            each(to, tree, entry_pieces);
        }
        MountKind::Payload { size, inodes, name, mode: _, places } => {
            strings(to, [size, inodes, name]);
            each(to, places, place);
        }
        MountKind::Devices { devices, streams: _, places } => {
            each(to, devices, |Device { name, host, rdev: _ }, to| strings(to, [name, host]));
            each(to, places, place);
        }
        MountKind::Bind { from: BindFrom::Path { path, dev: _, ino: _ } } => strings(to, [path]),
        MountKind::Bind { from: BindFrom::Mount(_) } => {}
    }
}
