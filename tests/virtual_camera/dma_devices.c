/* Preloaded into a process: the kernel's DMA-buffer devices, made of ordinary shared memory.
 *
 * libcamera's virtual pipeline takes its frame buffers from /dev/udmabuf, Picamera2 from /dev/dma_heap/NAME. Kernels of
 * servers and containers have neither. A memfd is all that is needed where no device reads the memory: opening one of
 * these names gives a placeholder, asking it for a buffer gives a memfd, and cache synchronisation has nothing to do.
 * Sources: Linux Documentation/userspace-api/dma-buf-heaps.rst, include/uapi/linux/{udmabuf,dma-heap,dma-buf}.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char HEAPS[] = "/dev/dma_heap/";
static const char UDMABUF[] = "/dev/udmabuf";

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    bool stand_in = path && (strncmp(path, HEAPS, sizeof HEAPS - 1) == 0 || strcmp(path, UDMABUF) == 0);
    if (stand_in)
        return memfd_create("dma-device", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    return syscall(SYS_openat, folder, path, flags, mode);
}

/* The mode is passed only where a file may be made (open(2)). */
#define MODE_AFTER(flags)                              \
    mode_t mode = 0;                                   \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode = va_arg(rest, mode_t);                   \
        va_end(rest);                                  \
    }

int open(const char *path, int flags, ...)
{
    MODE_AFTER(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_AFTER(flags)
    return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_AFTER(flags)
    return open_any(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE_AFTER(flags)
    return open_any(folder, path, flags | O_LARGEFILE, mode);
}

static int heap_alloc(struct dma_heap_allocation_data *wanted)
{
    int buffer = memfd_create("dma-buffer", MFD_CLOEXEC);
    if (buffer < 0)
        return -1;
    if (ftruncate(buffer, wanted->len) < 0) {
        close(buffer);
        return -1;
    }
    wanted->fd = buffer;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    switch ((unsigned int)request) {
    case DMA_HEAP_IOCTL_ALLOC:
        return heap_alloc(argument);
    case UDMABUF_CREATE: {
        const struct udmabuf_create *wanted = argument;
        return fcntl(wanted->memfd, F_DUPFD_CLOEXEC, 0);
    }
    case DMA_BUF_IOCTL_SYNC:
    case DMA_BUF_SET_NAME_A:
    case DMA_BUF_SET_NAME_B:
        return 0;
    default:
        return syscall(SYS_ioctl, fd, request, argument);
    }
}
