/*
 * The floor of a first apply: a program that only does the writes, fsyncs, renames and links of the apply.
 * operations.awk makes operations.h from a trace of the apply. Usage: floor ROOT
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int files[64];
static char bytes[1 << 16];

static void check(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

static void create(int file, const char *path, int mode)
{
	files[file] = open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
	check(files[file], path);
}

static void put(int file, long size)
{
	while (size > 0) {
		long part = size < (long)sizeof bytes ? size : (long)sizeof bytes;

		part = write(files[file], bytes, part);
		check(part, "write");
		size -= part;
	}
}

static void sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	check(fd, path);
	check(fsync(fd), path);
	close(fd);
}

int main(int argc, char **argv)
{
	umask(0);
	check(argc == 2 ? chdir(argv[1]) : -1, "usage: floor ROOT");
#include "operations.h"
	return 0;
}
