//! System calls, by seccomp: a list of what a running server never needs. Everything else stays allowed, so that a new version of the
//! C library or of the kernel breaks nothing.

use std::collections::BTreeMap;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use libc::SYS_kexec_file_load;
use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, CLONE_THREAD, ENOSYS, EPERM, SYS_acct, SYS_add_key,
    SYS_bpf, SYS_chroot, SYS_clone, SYS_clone3, SYS_connect, SYS_delete_module, SYS_execve,
    SYS_execveat, SYS_fanotify_init, SYS_finit_module, SYS_fsconfig, SYS_fsmount, SYS_fsopen,
    SYS_fspick, SYS_init_module, SYS_io_uring_setup, SYS_kexec_load, SYS_keyctl, SYS_mount,
    SYS_mount_setattr, SYS_move_mount, SYS_open_by_handle_at, SYS_open_tree, SYS_perf_event_open,
    SYS_personality, SYS_pidfd_getfd, SYS_pivot_root, SYS_process_vm_readv, SYS_process_vm_writev,
    SYS_ptrace, SYS_quotactl, SYS_reboot, SYS_request_key, SYS_setns, SYS_socket, SYS_swapoff,
    SYS_swapon, SYS_umount2, SYS_unshare, SYS_userfaultfd,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads, sock_filter,
};

use crate::Enforcement;
use crate::error::ConfineError;

/// Programs; other processes; connections; what only administration needs; what has been the way out of many a sandbox.
const NEVER: &[i64] = &[
    SYS_execve,
    SYS_execveat,
    SYS_connect,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_open_by_handle_at,
    SYS_mount,
    SYS_umount2,
    SYS_move_mount,
    SYS_mount_setattr,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fspick,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_fanotify_init,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_personality,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
];

/// For a process that listens for another one: owners, modes, times and attributes of files, which Landlock does not restrict, and signals.
const NEVER_LISTENING: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_setpriority,
];

/// The same on every architecture; not every C library names it.
const SYS_FCHMODAT2: i64 = 452;

/// Those of them that not every architecture has.
#[cfg(target_arch = "x86_64")]
const NEVER_LISTENING_HERE: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_LISTENING_HERE: &[i64] = &[];

/// Those that not every architecture has.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    SYS_kexec_file_load,
];
#[cfg(target_arch = "aarch64")]
const NEVER_HERE: &[i64] = &[SYS_kexec_file_load];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const NEVER_HERE: &[i64] = &[];

/// On x86-64, numbers from here on are those of x32: the same calls by other numbers, which the rules do not name.
const X32: u32 = 0x4000_0000;

/// The bits of a socket's type that are no flags (`SOCK_TYPE_MASK`).
const TYPES: u32 = 0xf;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// `listens`: stream sockets may be made.
pub(crate) fn restrict(listens: bool) -> Result<Enforcement, ConfineError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(Enforcement::Unsupported);
    };
    let programs = programs(arch, listens);
    let programs = programs.map_err(|error| ConfineError::SystemCalls(error.to_string()))?;
    for program in programs {
        match apply_filter_all_threads(&program) {
            Ok(()) => {}
            // A kernel without it, or something outside that forbids it.
            Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error))
                if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOSYS)) =>
            {
                return Ok(Enforcement::Unsupported);
            }
            Err(error) => return Err(ConfineError::SystemCalls(error.to_string())),
        }
    }
    Ok(Enforcement::Full)
}

/// The filters, all of which have to allow a call. Each one ends the process at a call of another architecture, such as those of
/// 32-bit programs, whose numbers mean something else.
fn programs(arch: TargetArch, listens: bool) -> Result<Vec<BpfProgram>, BackendError> {
    // Its flags are in memory, where a filter cannot read them. The C library then uses `clone`.
    let clone3 = Rules::from([(SYS_clone3, Vec::new())]);
    let mut programs = Vec::new();
    let mut never = never()?;
    if listens {
        never.insert(SYS_socket, other_than_streams()?);
        // Whether a process listens at a Unix socket is found out by connecting; TCP is refused by Landlock.
        never.remove(&SYS_connect);
        let more = NEVER_LISTENING.iter().chain(NEVER_LISTENING_HERE);
        never.extend(more.map(|call| (*call, Vec::new())));
        // Of this process alone, as the C library needs it.
        let other = argument(0, SeccompCmpOp::Ne, std::process::id().into())?;
        never.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![other])?]);
        let other = argument(0, SeccompCmpOp::Ne, 0)?;
        never.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![other])?]);
    }
    for (rules, error) in [(never, EPERM), (clone3, ENOSYS)] {
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(error.unsigned_abs()),
            arch,
        )?;
        programs.push(filter.try_into()?);
    }
    if matches!(arch, TargetArch::x86_64) {
        programs.push(without_x32());
    }
    Ok(programs)
}

/// Refuses every call of x32. Other architectures are the business of the other filters.
fn without_x32() -> BpfProgram {
    // As in the kernel's `linux/bpf_common.h` and `linux/seccomp.h`.
    const LOAD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const NUMBER_AT: u32 = 0;
    let instruction = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    vec![
        instruction(LOAD, 0, NUMBER_AT),
        instruction(JUMP_IF_AT_LEAST, 1, X32),
        instruction(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        instruction(RETURN, 0, libc::SECCOMP_RET_ERRNO | EPERM.unsigned_abs()),
    ]
}

/// The argument of a call, of 32 bits.
fn argument(index: u8, test: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, test, value)
}

/// All sockets but streams of TCP and Unix.
fn other_than_streams() -> Result<Vec<SeccompRule>, BackendError> {
    let families = [AF_UNIX, AF_INET, AF_INET6].into_iter();
    let other = |family: i32| argument(0, SeccompCmpOp::Ne, family.unsigned_abs().into());
    let other_family = SeccompRule::new(families.map(other).collect::<Result<_, _>>()?)?;
    let mut rules = vec![other_family];
    // By type, without its flags.
    for kind in 0..=TYPES {
        if kind != libc::SOCK_STREAM.unsigned_abs() {
            let kind = argument(1, SeccompCmpOp::MaskedEq(TYPES.into()), kind.into())?;
            rules.push(SeccompRule::new(vec![kind])?);
        }
    }
    Ok(rules)
}

fn never() -> Result<Rules, BackendError> {
    let never = NEVER.iter().chain(NEVER_HERE);
    let mut rules: Rules = never.map(|call| (*call, Vec::new())).collect();
    // A thread is no new process.
    let thread = CLONE_THREAD.unsigned_abs().into();
    let process = argument(0, SeccompCmpOp::MaskedEq(thread), 0)?;
    rules.insert(SYS_clone, vec![SeccompRule::new(vec![process])?]);
    // Local datagrams reach the journal and the service manager; netlink reports what clients have acknowledged.
    let (unix, netlink) = (
        AF_UNIX.unsigned_abs().into(),
        AF_NETLINK.unsigned_abs().into(),
    );
    let other_family = SeccompRule::new(vec![
        argument(0, SeccompCmpOp::Ne, unix)?,
        argument(0, SeccompCmpOp::Ne, netlink)?,
    ])?;
    // By type, without its flags.
    let other_type = |kind: i32| {
        SeccompRule::new(vec![
            argument(0, SeccompCmpOp::Eq, unix)?,
            argument(
                1,
                SeccompCmpOp::MaskedEq(TYPES.into()),
                kind.unsigned_abs().into(),
            )?,
        ])
    };
    rules.insert(
        SYS_socket,
        vec![
            other_family,
            other_type(libc::SOCK_STREAM)?,
            other_type(libc::SOCK_SEQPACKET)?,
        ],
    );
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would decide about a call with this number and these arguments.
    #[derive(Debug, PartialEq, Eq)]
    enum Verdict {
        Allowed,
        Refused(i32),
        Ended,
    }

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    fn verdict(architecture: u32, number: u32, arguments: [u32; 2]) -> Verdict {
        let data = |at: u32| match at {
            0 => number,
            4 => architecture,
            16 => arguments[0],
            24 => arguments[1],
            _ => 0,
        };
        let mut strictest = Verdict::Allowed;
        for program in programs(TargetArch::x86_64, false).unwrap() {
            match run(&program, data) {
                0x7fff_0000 => {}
                0x8000_0000 => return Verdict::Ended,
                other if other & 0xffff_0000 == 0x0005_0000 => {
                    strictest = Verdict::Refused(i32::try_from(other & 0xffff).unwrap());
                }
                other => panic!("{other:x}"),
            }
        }
        strictest
    }

    /// As the kernel runs it: the instructions that these programs have.
    fn run(program: &[sock_filter], data: impl Fn(u32) -> u32) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let one = &program[at];
            let jump = |taken: bool| usize::from(if taken { one.jt } else { one.jf });
            at += 1;
            match one.code {
                0x20 => accumulator = data(one.k),
                0x54 => accumulator &= one.k,
                0x05 => at += usize::try_from(one.k).unwrap(),
                0x15 => at += jump(accumulator == one.k),
                0x25 => at += jump(accumulator > one.k),
                0x35 => at += jump(accumulator >= one.k),
                0x06 => return one.k,
                other => panic!("{other:x}"),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn calls_that_a_server_never_needs_are_refused_by_every_number_that_they_have() {
        let number = |call: i64| u32::try_from(call).unwrap();
        for call in NEVER.iter().chain(NEVER_HERE) {
            let refused = verdict(X86_64, number(*call), [0, 0]);
            assert_eq!(refused, Verdict::Refused(EPERM), "{call}");
        }
        // Of x32: numbers that it shares, and numbers of its own (execve, ptrace, process_vm_readv, io_setup).
        for call in [SYS_connect, SYS_mount, libc::SYS_read, 520, 521, 539, 543] {
            let refused = verdict(X86_64, X32 | number(call), [0, 0]);
            assert_eq!(refused, Verdict::Refused(EPERM), "{call}");
        }
        // 11 is munmap here, and execve there.
        assert_eq!(verdict(I386, 11, [0, 0]), Verdict::Ended);
        assert_eq!(verdict(X86_64, 11, [0, 0]), Verdict::Allowed);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn what_serving_needs_is_allowed() {
        let number = |call: i64| u32::try_from(call).unwrap();
        for call in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_openat2,
            libc::SYS_accept4,
            libc::SYS_sendmsg,
            libc::SYS_futex,
            libc::SYS_renameat2,
            libc::SYS_mmap,
        ] {
            assert_eq!(verdict(X86_64, number(call), [0, 0]), Verdict::Allowed);
        }
        let (unix, netlink, inet) = (AF_UNIX, AF_NETLINK, AF_INET);
        for (call, arguments, expected) in [
            (SYS_clone, [CLONE_THREAD, 0], Verdict::Allowed),
            (SYS_clone, [0, 0], Verdict::Refused(EPERM)),
            (SYS_clone3, [0, 0], Verdict::Refused(ENOSYS)),
            (SYS_socket, [unix, libc::SOCK_DGRAM], Verdict::Allowed),
            (SYS_socket, [netlink, libc::SOCK_RAW], Verdict::Allowed),
            (
                SYS_socket,
                [unix, libc::SOCK_STREAM],
                Verdict::Refused(EPERM),
            ),
            (
                SYS_socket,
                [inet, libc::SOCK_DGRAM],
                Verdict::Refused(EPERM),
            ),
        ] {
            let arguments = arguments.map(i32::unsigned_abs);
            let found = verdict(X86_64, number(call), arguments);
            assert_eq!(found, expected, "{call} {arguments:?}");
        }
    }
}
