/*
 * main.c - the peer's payments: as many at a time as there are clients, each followed by the next
 *
 *	peer --clients N --seconds S|--payments N --connections N --batch N --prefix TEXT
 *		--bank URL --secret TEXT --intent SQL --result SQL --log FILE
 *
 * The database is the one that libpq's environment names. A payment that fails ends the program:
 * what it prints then is the reason. The log has a line for each payment in the form of pgbench's,
 * whose third field is the time from the beginning of the payment until its result is committed.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "peer.h"

#define MAX_FDS 65536
#define MAX_EVENTS 512

/* Whom to tell that a descriptor is ready; ready is NULL where nobody watches it. */
typedef struct Watch
{
	Ready ready;
	void *arg;
} Watch;

Options options;

static Watch watches[MAX_FDS];
static int epoll_fd;
static FILE *log_file;
static int64_t stop_at;
static long begun;
static int in_flight;

void
fatal(const char *format, ...)
{
	va_list args;

	fputs("peer: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Have ready() called when fd is; without events not any more. */
void
watch(int fd, uint32_t events, Ready ready, void *arg)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	int op;

	if (fd < 0 || fd >= MAX_FDS)
		fatal("descriptor %d is beyond what is watched", fd);
	op = events == 0 ? EPOLL_CTL_DEL : watches[fd].ready != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	watches[fd].ready = events == 0 ? NULL : ready;
	watches[fd].arg = arg;
	if (epoll_ctl(epoll_fd, op, fd, &event) != 0 && op != EPOLL_CTL_DEL)
		fatal("epoll_ctl: %m");
}

/* The next payment of a slot, unless it is time to stop. */
static void
payment_begin(Payment *payment)
{
	if (options.payments > 0 ? begun >= options.payments : now_us() >= stop_at)
		return;
	begun++;
	in_flight++;
	snprintf(payment->id, sizeof(payment->id), "%s-%d-%ld", options.prefix, payment->slot,
			 ++payment->number);
	payment->attempt[0] = '\0';
	payment->began = now_us();
	database_queue(STEP_INTENT, payment);
}

/* The intent is committed: only now may the bank be asked. */
void
payment_intended(Payment *payment)
{
	bank_charge(payment);
}

void
payment_charged(Payment *payment)
{
	database_queue(STEP_RESULT, payment);
}

/* The result is committed. */
void
payment_completed(Payment *payment)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	fprintf(log_file, "%d %ld %" PRId64 " 0 %ld %ld\n", payment->slot, payment->number,
			now_us() - payment->began, (long) t.tv_sec, t.tv_nsec / 1000);
	in_flight--;
	payment_begin(payment);
}

static void
run(void)
{
	struct epoll_event events[MAX_EVENTS];

	while (in_flight > 0)
	{
		int n;

		database_send();
		n = epoll_wait(epoll_fd, events, MAX_EVENTS, bank_timeout_ms());
		for (int i = 0; i < n; i++)
		{
			int fd = events[i].data.fd;

			/* what came before it in the same round may have ended the watch */
			if (watches[fd].ready != NULL)
				watches[fd].ready(fd, events[i].events, watches[fd].arg);
		}
		bank_tick();
	}
}

static void
parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{"clients", required_argument, NULL, 'c'},  {"seconds", required_argument, NULL, 's'},
		{"payments", required_argument, NULL, 'n'}, {"connections", required_argument, NULL, 'd'},
		{"batch", required_argument, NULL, 'g'},    {"prefix", required_argument, NULL, 'p'},
		{"bank", required_argument, NULL, 'b'},     {"secret", required_argument, NULL, 'k'},
		{"intent", required_argument, NULL, 'i'},   {"result", required_argument, NULL, 'r'},
		{"log", required_argument, NULL, 'l'},      {NULL, 0, NULL, 0}};
	int name;

	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (name)
		{
			case 'c':
				options.clients = atoi(optarg);
				break;
			case 's':
				options.seconds = atof(optarg);
				break;
			case 'n':
				options.payments = atol(optarg);
				break;
			case 'd':
				options.connections = atoi(optarg);
				break;
			case 'g':
				options.batch = atoi(optarg);
				break;
			case 'p':
				options.prefix = optarg;
				break;
			case 'b':
				options.bank = optarg;
				break;
			case 'k':
				options.secret = optarg;
				break;
			case 'i':
				options.statement[STEP_INTENT] = optarg;
				break;
			case 'r':
				options.statement[STEP_RESULT] = optarg;
				break;
			case 'l':
				options.log = optarg;
				break;
			default:
				exit(2);
		}
	if (options.clients < 1 || options.connections < 1 || options.batch < 1 ||
		options.prefix == NULL || options.bank == NULL || options.secret == NULL ||
		options.statement[STEP_INTENT] == NULL || options.statement[STEP_RESULT] == NULL ||
		options.log == NULL)
		fatal("an option is missing, see the head of main.c");
}

int
main(int argc, char **argv)
{
	Payment *payments;

	parse_options(argc, argv);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	log_file = fopen(options.log, "w");
	payments = calloc(options.clients, sizeof(*payments));
	if (epoll_fd < 0 || log_file == NULL || payments == NULL)
		fatal("it cannot begin: %m");
	database_connect();
	bank_init();

	stop_at = now_us() + (int64_t) (options.seconds * 1e6);
	for (int i = 0; i < options.clients; i++)
	{
		payments[i].slot = i;
		payment_begin(&payments[i]);
	}
	run();
	if (fclose(log_file) != 0)
		fatal("%s: %m", options.log);
	return 0;
}
