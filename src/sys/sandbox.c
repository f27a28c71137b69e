/* SPDX-License-Identifier: ISC */
#include "sys/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/file.h"
#include "sys/landlock.h"

/* ---- files and TCP ---- */

static bool allow_path(
	int ruleset, const char *path, uint64_t access, struct fault *f)
{
	struct stat st;
	int fd CLEANUP(fd_close) = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return true; /* what is not there needs no right */
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		access &= LANDLOCK_FILE_RIGHTS;
	struct landlock_path rule = {.allowed_access = access, .parent_fd = fd};
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH, &rule,
		    0) != 0)
		return fault_sys(f, "landlock rule for %s", path);
	return true;
}

static bool allow_paths(
	int ruleset, const char *const *paths, uint64_t access, struct fault *f)
{
	for (; paths != NULL && *paths != NULL; paths++)
		if (!allow_path(ruleset, *paths, access, f))
			return false;
	return true;
}

/* smtp_bind_address: an address of ours, at a port that the kernel chooses. */
static bool allow_source_address(int ruleset, struct fault *f)
{
	struct landlock_port rule = {.allowed_access = LANDLOCK_TCP_BIND};

	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PORT,
		       &rule, 0) == 0 ||
	       fault_sys(f, "landlock rule for source addresses");
}

static bool enter_landlock(
	const struct sandbox *s, const char **missing_r, struct fault *f)
{
	long abi = syscall(
		SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_VERSION);

	if (abi < 1) {
		*missing_r = "Landlock";
		return true;
	}
	uint64_t handled = LANDLOCK_ALL_V1;
	if (abi >= 2)
		handled |= LANDLOCK_REFER;
	if (abi >= 3)
		handled |= LANDLOCK_TRUNCATE;
	struct landlock_ruleset attr = {.handled_fs = handled};
	/* Nobody may listen anew: sockets come from master, already bound. */
	if (abi >= 4)
		attr.handled_net = LANDLOCK_TCP_BIND |
				   (s->inet ? 0 : LANDLOCK_TCP_CONNECT);
	int ruleset CLEANUP(fd_close) =
		(int)syscall(SYS_landlock_create_ruleset, &attr,
			abi >= 4 ? sizeof(attr) : sizeof(attr.handled_fs), 0);
	if (ruleset < 0)
		return fault_sys(f, "landlock");
	if (!allow_paths(ruleset, s->read, LANDLOCK_READ & handled, f) ||
		!allow_paths(ruleset, s->write, handled & ~LANDLOCK_NEVER, f) ||
		(abi >= 4 && s->inet && !allow_source_address(ruleset, f)))
		return false;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		return fault_sys(f, "landlock");
	return true;
}

/* ---- system calls ---- */

static const int allowed[] = {SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(access), SCMP_SYS(arch_prctl), SCMP_SYS(bind), SCMP_SYS(brk),
	SCMP_SYS(capget), SCMP_SYS(clock_getres), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(close), SCMP_SYS(close_range),
	SCMP_SYS(connect), SCMP_SYS(copy_file_range), SCMP_SYS(dup),
	SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(fadvise64),
	SCMP_SYS(fallocate), SCMP_SYS(fchmod), SCMP_SYS(fchown),
	SCMP_SYS(fcntl), SCMP_SYS(fdatasync), SCMP_SYS(flock), SCMP_SYS(fstat),
	SCMP_SYS(fstatfs), SCMP_SYS(fsync), SCMP_SYS(ftruncate),
	SCMP_SYS(futex), SCMP_SYS(getcwd), SCMP_SYS(getdents64),
	SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getgroups), SCMP_SYS(getpeername), SCMP_SYS(getpgrp),
	SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getrandom),
	SCMP_SYS(getresgid), SCMP_SYS(getresuid), SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage), SCMP_SYS(getsockname), SCMP_SYS(getsockopt),
	SCMP_SYS(gettid), SCMP_SYS(gettimeofday), SCMP_SYS(getuid),
	SCMP_SYS(ioctl), SCMP_SYS(kill), SCMP_SYS(link), SCMP_SYS(linkat),
	SCMP_SYS(listen), SCMP_SYS(lseek), SCMP_SYS(lstat), SCMP_SYS(madvise),
	SCMP_SYS(membarrier), SCMP_SYS(memfd_create), SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap),
	SCMP_SYS(msync), SCMP_SYS(munmap), SCMP_SYS(nanosleep),
	SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(pipe2),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(prctl), SCMP_SYS(pread64),
	SCMP_SYS(preadv), SCMP_SYS(prlimit64), SCMP_SYS(pselect6),
	SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(read),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(readv),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmmsg), SCMP_SYS(recvmsg),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
	SCMP_SYS(restart_syscall), SCMP_SYS(rmdir), SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_yield), SCMP_SYS(select),
	SCMP_SYS(sendfile), SCMP_SYS(sendmmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(sendto), SCMP_SYS(set_robust_list), SCMP_SYS(set_tid_address),
	SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(sigaltstack),
	SCMP_SYS(signalfd), SCMP_SYS(signalfd4), SCMP_SYS(socketpair),
	SCMP_SYS(splice), SCMP_SYS(stat), SCMP_SYS(statfs), SCMP_SYS(statx),
	SCMP_SYS(sysinfo), SCMP_SYS(tgkill), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(umask), SCMP_SYS(uname),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(utimensat),
	SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(write), SCMP_SYS(writev),
	/* Threads; processes only with .child, see below. */
	SCMP_SYS(clone3)};

static bool add(scmp_filter_ctx ctx, int call)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0) == 0;
}

static bool add_calls(scmp_filter_ctx ctx, const struct sandbox *s)
{
	enum { CLONE_THREAD_FLAG = 0x10000 };
	bool ok = true;

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (allowed[i] != SCMP_SYS(clone3))
			ok = ok && add(ctx, allowed[i]);
	/* glibc falls back to clone when clone3 is "not there"; clone shows
	 * its flags in a register, so that a fork can be told from a thread. */
	ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
			   SCMP_SYS(clone3), 0) == 0;
	if (s->child)
		ok = ok && add(ctx, SCMP_SYS(clone)) &&
		     add(ctx, SCMP_SYS(fork)) && add(ctx, SCMP_SYS(vfork));
	else
		ok = ok &&
		     seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD_FLAG,
				     CLONE_THREAD_FLAG)) == 0;
	if (s->inet)
		return ok && add(ctx, SCMP_SYS(socket));
	return ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
			     SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) == 0;
}

static bool enter_seccomp(const struct sandbox *s, struct fault *f)
{
	/* Everything else "is not permitted": a library that probes goes on,
	 * an intruder gets nowhere. */
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	static const int deadly[] = {SCMP_SYS(ptrace), SCMP_SYS(execve),
		SCMP_SYS(execveat), SCMP_SYS(process_vm_readv),
		SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(bpf),
		SCMP_SYS(kexec_load), SCMP_SYS(init_module),
		SCMP_SYS(finit_module), SCMP_SYS(setuid), SCMP_SYS(unshare)};

	if (ctx == NULL)
		return fault_set(
			f, FAULT_TEMP, 451, 3, 0, "seccomp: no memory");
	bool ok = add_calls(ctx, s);
	for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
		ok = ok && seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS,
				   deadly[i], 0) == 0;
	int error = ok ? seccomp_load(ctx) : -EINVAL;
	seccomp_release(ctx);
	if (error != 0) {
		errno = -error;
		return fault_sys(f, "seccomp");
	}
	return true;
}

bool sandbox_enter(
	const struct sandbox *s, const char **missing_r, struct fault *f)
{
	*missing_r = NULL;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fault_sys(f, "no_new_privs");
	return enter_landlock(s, missing_r, f) && enter_seccomp(s, f);
}

bool sandbox_drop_capabilities(struct fault *f)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	for (int cap = 0; cap <= 63; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) != 0)
		return fault_sys(f, "capset");
	return true;
}
