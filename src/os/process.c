/* process.c - figures of /proc/self, and of calls where they are finer. */
#include "os/process.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FDS_MAX 1048576

/* Fields of /proc/self/stat, counted from 1 as proc(5) does. */
enum {
    FIELD_STATE = 3,
    FIELD_THREADS = 20,
    FIELD_START = 22,
    FIELD_VIRTUAL = 23,
    FIELD_RESIDENT = 24
};
enum { N_FIELDS = FIELD_RESIDENT + 1 };

static double seconds(clockid_t clock)
{
    struct timespec t;

    return clock_gettime(clock, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9 : -1;
}

/* The numbers from FIELD_STATE + 1 on. The second field is the program's name in parentheses and
 * may hold anything, parentheses too: so begin behind the last one. */
static void read_stat(int64_t fields[N_FIELDS])
{
    char  line[1024];
    FILE *f = fopen("/proc/self/stat", "re");

    for (int i = 0; i < N_FIELDS; i++) fields[i] = -1;
    if (!f) return;
    const size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    char *p = strrchr(line, ')');
    if (!p || strlen(p) < sizeof ") S " - 1) return;
    p += sizeof ") S" - 1;
    for (int i = FIELD_STATE + 1; i < N_FIELDS; i++) {
        char      *end;
        const long x = strtol(p, &end, 10);
        if (end == p) return;
        fields[i] = x;
        p = end;
    }
}

/* Linux 6.2 and later tell the count as the folder's size; before, it is 0 and we count names. */
static int64_t count_fds(void)
{
    struct stat st;
    int64_t     n = 0;

    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) return st.st_size;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return -1;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) n += e->d_name[0] != '.';
    closedir(dir);
    return n - 1; /* the folder's own descriptor */
}

/* The system tells the start in ticks since boot. Boot, as wall time, wanders with every correction
 * of the clock: look once. */
static double         start_unix_s = -1;
static pthread_once_t start_once = PTHREAD_ONCE_INIT;

static void find_start(void)
{
    int64_t fields[N_FIELDS];

    read_stat(fields);
    const int64_t start_ticks = fields[FIELD_START];
    const long    hz = sysconf(_SC_CLK_TCK);
    if (start_ticks < 0 || hz <= 0) return;
    start_unix_s =
        seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME) + (double)start_ticks / (double)hz;
}

void nx_process_read(nx_process *out)
{
    int64_t       fields[N_FIELDS];
    struct rlimit limit;
    const long    page = sysconf(_SC_PAGESIZE);

    pthread_once(&start_once, find_start);
    read_stat(fields);
    *out = (nx_process){
        .resident_bytes = fields[FIELD_RESIDENT] < 0 ? -1 : fields[FIELD_RESIDENT] * page,
        .virtual_bytes = fields[FIELD_VIRTUAL],
        .n_threads = fields[FIELD_THREADS],
        .n_fds = count_fds(),
        .n_fds_max = -1,
        .cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID),
        .start_unix_s = start_unix_s,
    };
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        out->n_fds_max = (int64_t)limit.rlim_cur;
}

int64_t nx_process_allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
    rlim_t most = limit.rlim_max < FDS_MAX ? limit.rlim_max : FDS_MAX; /* infinity is above all */
    if (limit.rlim_cur < most) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = most;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
    }
    return limit.rlim_cur == RLIM_INFINITY ? -1 : (int64_t)limit.rlim_cur;
}
