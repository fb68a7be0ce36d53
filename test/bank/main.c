/*-------------------------------------------------------------------------
 *
 * main.c
 *		The bank simulator: command line, start and end.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bank.h"

#define MAX_CONNECTIONS 10000

static void
usage(FILE *f)
{
	fputs("usage: pgw-bank --port N (0 = any free port) [--port-file FILE] [--seed N]\n"
		  "       [--no-idempotency] [--no-lookup] [--delay-ms N]\n"
		  "       [--key-lifetime SECONDS] [--livemode true|false] [--secret TOKEN]\n"
		  "       [--threads N] [--tls FOLDER]\n",
		  f);
}

static long
number(const char *name, const char *text, long max)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n < 0 || n > max)
	{
		fprintf(stderr, "pgw-bank: --%s needs a number from 0 to %ld\n", name, max);
		exit(2);
	}
	return n;
}

/* Raise the limit of open files; answers how many connections it allows. */
static unsigned int
raise_limits(void)
{
	struct rlimit limit;
	rlim_t want = MAX_CONNECTIONS + 100;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 900;
	if (limit.rlim_cur < want)
	{
		limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
		(void) getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= want)
		return MAX_CONNECTIONS;
	return limit.rlim_cur > 200 ? (unsigned int) limit.rlim_cur - 100 : 100;
}

/* The file appears with its whole content or not at all. */
static bool
write_port_file(const char *name, int port)
{
	char *temp;
	FILE *f;
	bool good;

	if (asprintf(&temp, "%s.%ld.tmp", name, (long) getpid()) < 0)
		return false;
	f = fopen(temp, "w");
	good = f != NULL && fprintf(f, "%d\n", port) > 0;
	if (f != NULL && fclose(f) != 0)
		good = false;
	if (good && rename(temp, name) != 0)
		good = false;
	free(temp);
	return good;
}

/* A file of a folder as text; NULL: it cannot be read, or is too large. */
static char *
slurp(const char *folder, const char *name)
{
	static char texts[2][16384];
	static int next = 0;
	char *text = texts[next++ % 2];
	char path[1024];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "r");
	if (f == NULL)
		return NULL;
	n = fread(text, 1, sizeof(texts[0]) - 1, f);
	fclose(f);
	text[n] = '\0';
	return n > 0 && n < sizeof(texts[0]) - 1 ? text : NULL;
}

/* The same bank at a second port, which FOLDER/port names; control and ledger are there, too. */
static struct MHD_Daemon *
start_tls(const char *folder)
{
	char *key = slurp(folder, "key");
	char *certificate = slurp(folder, "cert");
	struct MHD_Daemon *daemon;
	char path[1024];

	if (key == NULL || certificate == NULL)
		return NULL;
	daemon = http_start(0, 2, 1000, key, certificate);
	snprintf(path, sizeof(path), "%s/port", folder);
	if (daemon == NULL ||
		!write_port_file(path, MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port))
		return NULL;
	return daemon;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
											{"port-file", required_argument, NULL, 'f'},
											{"seed", required_argument, NULL, 's'},
											{"no-idempotency", no_argument, NULL, 'i'},
											{"no-lookup", no_argument, NULL, 'l'},
											{"delay-ms", required_argument, NULL, 'd'},
											{"key-lifetime", required_argument, NULL, 'k'},
											{"livemode", required_argument, NULL, 'm'},
											{"secret", required_argument, NULL, 'S'},
											{"threads", required_argument, NULL, 't'},
											{"tls", required_argument, NULL, 'T'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	Settings *s = &settings_at_start;
	const char *port_file = NULL;
	const char *tls = NULL;
	long port = -1;
	long threads = 2;
	struct MHD_Daemon *daemon;
	struct MHD_Daemon *tls_daemon = NULL;
	sigset_t signals;
	int c;

	s->idempotency = true;
	s->lookup_amounts = true;
	s->lookup = true;
	s->key_lifetime = INT64_C(86400) * 1000;
	s->secret = "test-secret";
	s->seed = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (c)
		{
			case 'p':
				port = number("port", optarg, 65535);
				break;
			case 'f':
				port_file = optarg;
				break;
			case 's':
				s->seed = (uint64_t) number("seed", optarg, 2000000000L);
				break;
			case 'i':
				s->idempotency = false;
				break;
			case 'l':
				s->lookup = false;
				break;
			case 'd':
				s->delay_min = s->delay_max = number("delay-ms", optarg, 3600000L);
				break;
			case 'k':
				s->key_lifetime = (int64_t) number("key-lifetime", optarg, 100000000L) * 1000;
				break;
			case 'm':
				if (strcmp(optarg, "true") != 0 && strcmp(optarg, "false") != 0)
				{
					fputs("pgw-bank: --livemode is true or false\n", stderr);
					return 2;
				}
				s->livemode = optarg;
				break;
			case 'S':
				s->secret = optarg;
				break;
			case 't':
				threads = number("threads", optarg, 64);
				break;
			case 'T':
				tls = optarg;
				break;
			case 'h':
				usage(stdout);
				return 0;
			default:
				usage(stderr);
				return 2;
		}
	}
	if (port < 0 || optind != argc)
	{
		usage(stderr);
		return 2;
	}
	dialects_load();
	state_reset();

	/* every thread inherits the mask, so that only sigwait() sees these */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);

	daemon = http_start((int) port, threads < 2 ? 2 : (int) threads, raise_limits(), NULL, NULL);
	if (daemon == NULL || !timer_start())
	{
		fprintf(stderr, "pgw-bank: could not listen on port %ld\n", port);
		return 1;
	}
	port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
	if (port_file != NULL && !write_port_file(port_file, (int) port))
	{
		fprintf(stderr, "pgw-bank: could not write the port file\n");
		return 1;
	}
	if (tls != NULL && (tls_daemon = start_tls(tls)) == NULL)
	{
		fprintf(stderr, "pgw-bank: could not speak TLS with %s/cert and %s/key\n", tls, tls);
		return 1;
	}
	printf("pgw-bank: listening on 127.0.0.1:%ld\n", port);
	fflush(stdout);

	(void) sigwait(&signals, &c);
	timer_stop();
	if (tls_daemon != NULL)
		MHD_stop_daemon(tls_daemon);
	MHD_stop_daemon(daemon);
	state_reset();
	return 0;
}
