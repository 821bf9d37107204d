//! System calls, by seccomp: a list of what a running server never needs. Everything else stays allowed, so that a new version of the
//! C library or of the kernel breaks nothing.

use std::collections::BTreeMap;

use libc::{
    AF_NETLINK, AF_UNIX, CLONE_THREAD, ENOSYS, EPERM, SYS_add_key, SYS_bpf, SYS_chroot, SYS_clone,
    SYS_clone3, SYS_connect, SYS_delete_module, SYS_execve, SYS_execveat, SYS_finit_module,
    SYS_fsconfig, SYS_fsmount, SYS_fsopen, SYS_init_module, SYS_io_uring_setup, SYS_kexec_load,
    SYS_keyctl, SYS_mount, SYS_move_mount, SYS_open_by_handle_at, SYS_open_tree,
    SYS_perf_event_open, SYS_personality, SYS_pidfd_getfd, SYS_pivot_root, SYS_process_vm_readv,
    SYS_process_vm_writev, SYS_ptrace, SYS_reboot, SYS_request_key, SYS_setns, SYS_socket,
    SYS_swapoff, SYS_swapon, SYS_umount2, SYS_unshare, SYS_userfaultfd,
};
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
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
    SYS_open_tree,
    SYS_fsopen,
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
    SYS_bpf,
    SYS_perf_event_open,
    SYS_personality,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

pub(crate) fn restrict() -> Result<Enforcement, ConfineError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(Enforcement::Unsupported);
    };
    let refused = |error: &dyn std::fmt::Display| ConfineError::SystemCalls(error.to_string());
    let rules = never().map_err(|error| refused(&error))?;
    // Its flags are in memory, where a filter cannot read them. The C library then uses `clone`.
    let clone3 = Rules::from([(SYS_clone3, Vec::new())]);
    for (rules, error) in [(rules, EPERM), (clone3, ENOSYS)] {
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(error.unsigned_abs()),
            arch,
        );
        let program: Result<seccompiler::BpfProgram, _> = filter.and_then(TryInto::try_into);
        let program = program.map_err(|error| refused(&error))?;
        match apply_filter_all_threads(&program) {
            Ok(()) => {}
            // A kernel without it, or something outside that forbids it.
            Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error))
                if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOSYS)) =>
            {
                return Ok(Enforcement::Unsupported);
            }
            Err(error) => return Err(refused(&error)),
        }
    }
    Ok(Enforcement::Full)
}

fn never() -> Result<Rules, BackendError> {
    let argument = |index, test, value: u64| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, test, value)
    };
    let mut rules: Rules = NEVER.iter().map(|call| (*call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_fork, libc::SYS_vfork] {
        rules.insert(call, Vec::new());
    }
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
            argument(1, SeccompCmpOp::MaskedEq(0xf), kind.unsigned_abs().into())?,
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
