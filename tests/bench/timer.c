/*
 * Measures the time of programs, one after the other, in each round on fresh copies of a node's root directory.
 * Usage: timer ROUNDS SAMPLE WORK PROGRAM FLOOR
 * For each program, it prints a line: the name, the median of the wall-clock time in microseconds, and the largest
 * resident size in KiB.
 * The timer is small and static, because the resident size of a child includes the pages of its parent after the fork.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FIRST, FLOOR, SECOND, VERSION, TRUE_PROGRAM, KINDS };
static const char *const names[KINDS] = { "first", "floor", "second", "version", "true" };
static double *times[KINDS];
static long resident[KINDS];
static posix_spawn_file_actions_t quiet;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* Runs a program and returns its time in microseconds. If a program fails, the benchmark fails. */
static double run(char *const argv[], long *kib)
{
	char *environment[] = { "PATH=/usr/bin:/bin", NULL };
	struct rusage usage;
	double start = now();
	int status;
	pid_t pid;

	if (posix_spawn(&pid, argv[0], &quiet, NULL, argv, environment) != 0 || wait4(pid, &status, 0, &usage) != pid ||
	    status != 0) {
		fprintf(stderr, "timer: %s failed\n", argv[0]);
		exit(1);
	}
	start = now() - start;
	if (kib && usage.ru_maxrss > *kib)
		*kib = usage.ru_maxrss;
	return start;
}

/* Makes a fresh copy and syncs it, so that no old data slows down the fsync of the measured program. */
static void fresh(char *sample, char *root)
{
	char *remove[] = { "/bin/rm", "-rf", root, NULL };
	char *copy[] = { "/bin/cp", "-a", sample, root, NULL };
	int fd;

	run(remove, NULL);
	run(copy, NULL);
	fd = open(root, O_RDONLY);
	syncfs(fd);
	close(fd);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int rounds = argc == 6 ? atoi(argv[1]) : 0;
	char root[4096];

	if (rounds < 1) {
		fprintf(stderr, "usage: timer ROUNDS SAMPLE WORK PROGRAM FLOOR\n");
		return 2;
	}
	snprintf(root, sizeof root, "%s/root", argv[3]);
	char *apply[] = { argv[4], "--root", root, "apply", NULL };
	char *version[] = { argv[4], "--version", NULL };
	char *floor[] = { argv[5], root, NULL };
	char *nothing[] = { "/bin/true", NULL };

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
	for (int kind = 0; kind < KINDS; kind++)
		times[kind] = calloc(rounds, sizeof(double));

	/* The round before the first round warms up the caches. */
	for (int round = -1; round < rounds; round++) {
		int at = round < 0 ? 0 : round;

		for (int turn = 0; turn < 2; turn++) {
			fresh(argv[2], root);
			if (turn == (round & 1)) {
				times[FLOOR][at] = run(floor, &resident[FLOOR]);
			} else {
				times[FIRST][at] = run(apply, &resident[FIRST]);
				times[SECOND][at] = run(apply, &resident[SECOND]);
			}
		}
		times[VERSION][at] = run(version, &resident[VERSION]);
		times[TRUE_PROGRAM][at] = run(nothing, &resident[TRUE_PROGRAM]);
	}
	for (int kind = 0; kind < KINDS; kind++) {
		qsort(times[kind], rounds, sizeof(double), ascending);
		printf("%s %.1f %ld\n", names[kind], times[kind][rounds / 2], resident[kind]);
	}
	return 0;
}
