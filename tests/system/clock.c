/* A machine's clock that is an hour ahead while the file named by CLOCK_AHEAD_WHILE exists. For LD_PRELOAD. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    const char *flag = getenv("CLOCK_AHEAD_WHILE");
    if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, time);
    if (failed == 0 && clock == CLOCK_REALTIME && flag != NULL && access(flag, F_OK) == 0) time->tv_sec += 3600;
    return failed;
}
