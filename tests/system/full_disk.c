/* A disk that is full while the file named by FULL_WHILE exists: writing to a database fails then. For LD_PRELOAD. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_full(int file) {
    const char *flag = getenv("FULL_WHILE");
    char link[64], path[4096];
    if (flag == NULL || access(flag, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, ".db") != NULL;
}

#define ON_A_DISK(name, parameters, ...)                                                       \
    ssize_t name parameters {                                                                  \
        static ssize_t(*real) parameters;                                                      \
        if (real == NULL) real = (ssize_t(*) parameters)dlsym(RTLD_NEXT, #name);               \
        if (is_full(file)) {                                                                   \
            errno = ENOSPC;                                                                    \
            return -1;                                                                         \
        }                                                                                      \
        return real(__VA_ARGS__);                                                              \
    }

ON_A_DISK(write, (int file, const void *bytes, size_t count), file, bytes, count)
ON_A_DISK(pwrite, (int file, const void *bytes, size_t count, off_t at), file, bytes, count, at)
ON_A_DISK(pwrite64, (int file, const void *bytes, size_t count, off64_t at), file, bytes, count, at)
