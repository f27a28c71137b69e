/* SPDX-License-Identifier: ISC */
#include "role/role.h"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "net/tls_config.h"
#include "role/accounts.h"
#include "role/agent.h"
#include "role/anvil.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/sandbox.h"
#include "sys/trail.h"

enum { CROWD = 200, END_WAIT_MS = 4000, KEPT_BYTES = 1 << 20, ARENAS = 16 };

struct str role_socket_path(
	const struct conf *c, const char *name, struct arena *a)
{
	return arena_printf(
		a, "%.*s/run/%s.sock", STR_ARG(c->queue_directory), name);
}

struct str role_showq_path(const struct conf *c, struct arena *a)
{
	return arena_printf(
		a, "%.*s/public/showq", STR_ARG(c->queue_directory));
}

void role_die(const struct role *r, const struct fault *f)
{
	log_error("cannot start", log_z("role", r->name), log_fault(f));
	exit(EX_TEMPFAIL);
}

static void table_notice(struct str name, struct str text, void *ctx UNUSED)
{
	log_warn("table", log_s("table", name), log_s("reason", text));
}

static void add_listener(struct role *r, const char *arg)
{
	char *end;
	unsigned long service = strtoul(arg, &end, 10);

	must(*end == '=' && service < r->services->n);
	must(r->n_listeners < ROLE_LISTENERS_MAX);
	r->listeners[r->n_listeners++] =
		(struct role_listener){&r->services->v[service], atoi(end + 1)};
}

static void *map_shared(int fd, size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	must(memory != MAP_FAILED);
	close(fd);
	return memory;
}

static void map_board(struct role *r, int fd, long slot)
{
	struct board_slot *board = map_shared(fd, BOARD_SLOTS * sizeof(*board));

	must(slot >= 0 && slot < BOARD_SLOTS);
	r->slot = &board[slot];
}

static struct ipc_client *client_of(struct role *r, const char *name)
{
	struct str path = role_socket_path(r->conf, name, r->a);

	role_may_write(r, path);
	return ipc_client_new(path.ptr, strcmp(name, "master") != 0);
}

static void common_paths(struct role *r)
{
	static const char *const paths[] = {"/etc", "/dev/log", "/dev/urandom",
		"/dev/null", "/proc/self", "/run/systemd/journal", "/usr/share",
		"/usr/lib", "/lib", "/proc/sys/vm/overcommit_memory",
		"/sys/devices/system/cpu"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		role_may_read(r, str_from(paths[i]));
	role_may_read(r, r->conf->dir);
	role_may_write(r, STR("/dev/log"));
}

/* Lives as long as the process; absent when master gave none. */
static struct str inherited_text(int fd)
{
	struct file_map map = {0};
	struct fault f;

	if (fd < 0)
		return STR_NONE;
	must(file_map_fd(fd, &map, &f));
	close(fd);
	return map.map != NULL ? map.bytes : STR("");
}

static void open_trail(struct role *r)
{
	struct str dir = arena_printf(
		r->a, "%.*s/trail", STR_ARG(r->conf->queue_directory));
	struct trail_limits limits = {
		r->conf->trail_size_limit, r->conf->trail_lifetime};

	role_may_write(r, dir);
	trail_open(dir.ptr, arena_printf(r->a, "%s.%u", r->name, r->index).ptr,
		&limits);
}

static void open_log(const struct role *r)
{
	char ident[96];
	bool to_syslog = getenv("POSTERN_LOG_SYSLOG") != NULL;

	snprintf(ident, sizeof(ident), "%.*s/%s", STR_ARG(r->conf->syslog_name),
		r->name);
	log_open(ident, str_eqc(r->conf->maillog_format, "json"),
		to_syslog ? arena_cstr(r->a, r->conf->syslog_facility) : NULL);
}

/* What a crowd of mails takes is kept for the next one, of each arena not more
 * than this; the allocator would hand it back, and take it again, page by page,
 * with each.  When a crowd of sessions has left, give_back() does so.
 *
 * A worker for each CPU is busy at a time, whoever of many it is: more arenas
 * would each keep what one of them once had. */
static void keep_memory(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	mallopt(M_ARENA_MAX, cpus < 2 ? 2 : cpus > ARENAS ? ARENAS : (int)cpus);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	mallopt(M_TOP_PAD, KEPT_BYTES / 8);
	mallopt(M_MMAP_THRESHOLD, KEPT_BYTES / 2);
}

/* For ps and top: all roles are one program. */
static void name_process(const char *role)
{
	char name[16];

	snprintf(name, sizeof(name), "postern/%s", role);
	prctl(PR_SET_NAME, name);
}

void role_begin(struct role *r, int argc, char **argv)
{
	struct problems problems = {.a = arena_new(SIZE_MAX)};
	int board = -1, anvil = -1, main_cf = -1, master_cf = -1;
	long slot = 0;
	struct fault f;

	must(argc >= 3);
	*r = (struct role){.name = argv[1],
		.index = (unsigned)atoi(argv[2]),
		.a = arena_new(SIZE_MAX),
		.control = -1,
		.ipc_fd = -1};
	for (int i = 3; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];

		if (strcmp(argv[i], "--control") == 0)
			r->control = atoi(value);
		else if (strcmp(argv[i], "--board") == 0)
			board = atoi(value);
		else if (strcmp(argv[i], "--anvil") == 0)
			anvil = atoi(value);
		else if (strcmp(argv[i], "--slot") == 0)
			slot = atol(value);
		else if (strcmp(argv[i], "--ipc") == 0)
			r->ipc_fd = atoi(value);
		else if (strcmp(argv[i], "--main-cf") == 0)
			main_cf = atoi(value);
		else if (strcmp(argv[i], "--master-cf") == 0)
			master_cf = atoi(value);
	}
	name_process(r->name);
	keep_memory();
	r->conf = conf_load_texts(argv[0], inherited_text(main_cf),
		inherited_text(master_cf), NULL, 0, &problems);
	open_log(r);
	open_trail(r);
	if (!tls_config_load(
		    r->conf->tls_config_file, r->conf->tls_config_name, &f))
		role_die(r, &f);
	r->services = services_load(r->conf, &problems);
	for (int i = 3; i + 1 < argc; i += 2)
		if (strcmp(argv[i], "--listen") == 0)
			add_listener(r, argv[i + 1]);
	map_board(r, board, slot);
	id_lane((unsigned)slot);
	if (anvil >= 0)
		r->anvil = anvil_attach(
			map_shared(anvil, anvil_bytes()), (unsigned)slot);
	r->auth = client_of(r, "auth");
	r->queue = client_of(r, "queue");
	r->mailbox = client_of(r, "mailbox");
	r->report = client_of(r, "report");
	r->master = client_of(r, "master");
	r->accounts = arena_make(r->a, struct accounts_directory);
	r->accounts->auth = r->auth;
	r->accounts->cache =
		accounts_cache_new(arena_cstr(r->a, r->conf->data_directory));
	struct table_env env = {.account = accounts_table_lookup,
		.notice = table_notice,
		.ctx = r->accounts};
	r->tables = tables_new(&env);
	common_paths(r);
}

void role_may_read(struct role *r, struct str path)
{
	if (path.len == 0 || path.ptr[0] != '/')
		return;
	for (size_t i = 0; i < r->n_read; i++)
		if (str_eqc(path, r->read_paths[i]))
			return;
	must(r->n_read + 1 < ROLE_PATHS_MAX);
	r->read_paths[r->n_read++] = arena_cstr(r->a, path);
}

void role_may_write(struct role *r, struct str path)
{
	if (path.len > 0 && path.ptr[0] == '/' &&
		r->n_write + 1 < ROLE_PATHS_MAX)
		r->write_paths[r->n_write++] = arena_cstr(r->a, path);
}

void role_may_read_dir(struct role *r, struct str files)
{
	struct str item;

	while (str_present(item = list_item(&files))) {
		ptrdiff_t slash = str_rfind(item, '/');

		/* The directory: a new file takes the old one's name. */
		role_may_read(
			r, str_sub(item, 0, slash > 0 ? (size_t)slash : 1));
	}
}

/* What the client libraries of databases look names and plugins up in. */
static const char *const network_files[] = {"/etc/hosts", "/etc/host.conf",
	"/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
	"/etc/services", "/etc/ssl", "/usr/lib"};

void role_may_read_tables(struct role *r, struct str list)
{
	struct strs paths = {0};

	maps_paths(list, r->a, &paths);
	for (size_t i = 0; i < paths.n; i++)
		role_may_read_dir(r, paths.v[i]);
	if (!maps_need_network(list) || r->tables_need_network)
		return;
	r->tables_need_network = true;
	for (size_t i = 0; i < ARRAY_LEN(network_files); i++)
		role_may_read(r, str_from(network_files[i]));
}

struct maps *role_sni_maps(struct role *r, const struct conf *c)
{
	struct problems ignored = {.a = r->a};
	struct strs chains = {0};
	struct maps *m = maps_open(r->tables, c, "tls_server_sni_maps",
		c->tls_server_sni_maps, 0, &ignored);

	role_may_read_tables(r, c->tls_server_sni_maps);
	maps_values(m, r->a, &chains);
	for (size_t i = 0; i < chains.n; i++)
		role_may_read_dir(r, chains.v[i]);
	return m;
}

void role_sandbox(struct role *r, bool inet)
{
	struct sandbox s = {.read = r->read_paths,
		.write = r->write_paths,
		.inet = inet || r->tables_need_network};
	const char *missing;
	struct fault f;

	if (geteuid() == 0 && !sandbox_drop_capabilities(&f))
		role_die(r, &f);
	if (!sandbox_enter(&s, &missing, &f))
		role_die(r, &f);
	log_gather();
	if (missing != NULL)
		log_warn("sandbox is incomplete", log_z("missing", missing));
}

void role_resolver(struct role *r)
{
	struct resolver_options o = {
		r->conf->dns_resolvers, r->conf->dns_trust_anchor_file};
	struct fault f;

	role_may_read(r, r->conf->dns_trust_anchor_file);
	if (r->conf->disable_dns_lookups)
		return;
	r->resolver = resolver_new(&o, &f);
	if (r->resolver == NULL)
		role_die(r, &f);
}

/* When a crowd has left, its memory goes back to the system: the allocator
 * would keep it.  Returns the peak since. */
static uint32_t give_back(uint32_t peak, uint32_t sessions)
{
	if (sessions > peak)
		return sessions;
	if (peak < CROWD || sessions > peak / 2)
		return peak;
	malloc_trim(0);
	return sessions;
}

int role_wait(struct role *r, unsigned session_count_ms)
{
	uint32_t peak = 0;

	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	int sig = signalfd(-1, &set, SFD_CLOEXEC);
	must(sig >= 0);
	if (write(r->control, "R", 1) != 1)
		return EX_TEMPFAIL;
	for (;;) {
		struct pollfd p[2] = {{.fd = sig, .events = POLLIN},
			{.fd = r->control, .events = POLLIN}};
		int n = poll(p, 2, (int)session_count_ms);

		if (r->crew != NULL)
			r->slot->sessions = crew_sessions(r->crew);
		peak = give_back(peak, r->slot->sessions);
		if (n > 0 && p[1].revents != 0)
			_exit(0); /* master is gone: so are we */
		if (n > 0 && p[0].revents != 0)
			return 0;
	}
}

void role_end(struct role *r)
{
	if (r->agent != NULL)
		agent_end(r->agent);
	if (r->crew != NULL) {
		unsigned left = crew_end(r->crew, END_WAIT_MS);

		if (left > 0)
			log_warn("ending with sessions", log_n("left", left));
	}
}

int role_run(struct role *r, unsigned session_count_ms)
{
	int rc = role_wait(r, session_count_ms);

	role_end(r);
	return rc;
}
