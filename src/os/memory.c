/* memory.c - anonymous mappings and /proc on Linux. */
#include "os/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

nx_status nx_memory_map(nx_memory *out, size_t bytes, nx_error *err)
{
    *out = (nx_memory){0};
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return nx_fail(err, NX_ENOMEM, "no room for %zu MiB of memory", bytes >> 20);
    (void)madvise(p, bytes, MADV_HUGEPAGE); /* advice: small pages work too */
    *out = (nx_memory){.data = p, .bytes = bytes};
    return NX_OK;
}

void nx_memory_unmap(nx_memory *m)
{
    if (m->data) munmap(m->data, m->bytes);
    *m = (nx_memory){0};
}

/* The beginning of a small text file of the kernel's; empty when it can't be read. */
static void read_text(char *out, size_t cap, const char *path)
{
    ssize_t n = -1;
    int     fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        n = read(fd, out, cap - 1);
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
}

/* The number of kB after "Key:" in the style of /proc/meminfo, as bytes; or `missing`. */
static uint64_t field_kb(const char *path, const char *key, uint64_t missing)
{
    char        text[8192];
    const char *at;

    read_text(text, sizeof text, path);
    at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : missing;
}

/* A file that holds one number, or the word "max". */
static uint64_t number(const char *path)
{
    char text[64], *end;

    read_text(text, sizeof text, path);
    uint64_t n = strtoull(text, &end, 10);
    return end == text ? UINT64_MAX : n;
}

/* Bytes after "key" in the style of a cgroup's memory.stat. */
static uint64_t stat_bytes(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* In a container the root of the cgroup file system is our own group. Its use counts the page cache
 * of files, a mapped model among them, which gives way before anybody is killed. */
static uint64_t cgroup_left(void)
{
    char     stat[8192];
    uint64_t max = number("/sys/fs/cgroup/memory.max");
    uint64_t now = number("/sys/fs/cgroup/memory.current");

    if (max == UINT64_MAX || now == UINT64_MAX) return UINT64_MAX;
    read_text(stat, sizeof stat, "/sys/fs/cgroup/memory.stat");
    uint64_t cache = stat_bytes(stat, "\ninactive_file ") + stat_bytes(stat, "\nactive_file ");
    now = now > cache ? now - cache : 0;
    return max > now ? max - now : 0;
}

uint64_t nx_memory_available(void)
{
    uint64_t machine = field_kb("/proc/meminfo", "MemAvailable:", UINT64_MAX);
    uint64_t group = cgroup_left();

    return machine < group ? machine : group;
}

uint64_t nx_memory_peak(void)
{
    return field_kb("/proc/self/status", "VmHWM:", 0);
}
