/* map_file: a file as a buffer that any number of posts can share. */
#ifndef MAPPED_FILE_H
#define MAPPED_FILE_H

#include <fcntl.h>
#include <iouringnet.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void unmap_file(void *user, void *data, size_t size) {
    (void)user;
    munmap(data, size);
}

/* Maps the file and gives the mapping to a buffer, which unmaps it once nobody needs it any more: neither the caller, who
 * releases the buffer, nor a post. An empty file cannot be mapped. */
static inline bool map_file(const char *path, iouringnet_buffer **buffer, size_t *size) {
    struct stat about;
    void *data = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &about) == 0 && about.st_size > 0) {
        *size = (size_t)about.st_size;
        data = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0)
        close(fd);
    if (data == MAP_FAILED)
        return false;
    if (iouringnet_buffer_adopt(data, *size, unmap_file, NULL, buffer) == IOURINGNET_OK)
        return true;
    munmap(data, *size); /* not adopted: still ours */
    return false;
}

#endif
