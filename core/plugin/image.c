/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#else
enum { MACHINE = EM_NONE };
#endif

static int check_header(const char *path, const unsigned char *bytes, size_t n,
                        struct weir_error *err)
{
    if (n < sizeof(Elf64_Ehdr) || memcmp(bytes, ELFMAG, SELFMAG) != 0) {
        return weir_error_set(err, WEIR_E_FORMAT, "%s is not a shared object (no ELF header)",
                              path);
    }
    Elf64_Ehdr head;
    memcpy(&head, bytes, sizeof(head));
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_type != ET_DYN) {
        return weir_error_set(err, WEIR_E_FORMAT, "%s is not a 64-bit shared object", path);
    }
    if (MACHINE != EM_NONE && head.e_machine != MACHINE) {
        return weir_error_set(
            err, WEIR_E_UNSUPPORTED,
            "%s was built for another processor (ELF machine %u, this host is %u)", path,
            head.e_machine, (unsigned)MACHINE);
    }
    return 0;
}

static int write_all(int fd, const unsigned char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return WEIR_E_IO;
        }
        bytes += done;
        n -= (size_t)done;
    }
    return 0;
}

static bool hash_into(const unsigned char *bytes, size_t n, char hex[65])
{
    unsigned char digest[32];
    if (EVP_Digest(bytes, n, digest, NULL, EVP_sha256(), NULL) != 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(digest); i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    return true;
}

static int copy_bytes(const char *path, const unsigned char *bytes, size_t n,
                      struct weir_plugin_image *ret_image, struct weir_error *err)
{
    int rc = check_header(path, bytes, n, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_plugin_image image = {.fd = -1};
    if (!hash_into(bytes, n, image.sha256)) {
        return weir_error_set(err, WEIR_E_INTERNAL, "%s: hashing failed", path);
    }
    image.fd = memfd_create("weir-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (image.fd < 0) {
        return weir_error_set(err, WEIR_E_IO, "%s: memfd_create: %s", path, strerror(errno));
    }
    if (write_all(image.fd, bytes, n) < 0) {
        rc = weir_error_set(err, WEIR_E_IO, "%s: copying: %s", path, strerror(errno));
        close(image.fd);
        return rc;
    }
    (void)fcntl(image.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW); /* extra care only */
    *ret_image = image;
    return 0;
}

int weir_plugin_image_read(const char *path, struct weir_plugin_image *ret_image,
                           struct weir_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return weir_error_set(err, errno == ENOENT ? WEIR_E_NOTFOUND : WEIR_E_IO, "%s: %s", path,
                              strerror(errno));
    }
    struct stat st;
    void *map = MAP_FAILED;
    int rc = 0;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        rc = weir_error_set(err, WEIR_E_IO, "%s is not a regular file", path);
    } else if (st.st_size <= 0 || st.st_size > WEIR_PLUGIN_MAX_FILE_BYTES) {
        rc = weir_error_set(err, WEIR_E_TOOBIG, "%s: %lld bytes; a plugin has 1 to %d", path,
                            (long long)st.st_size, WEIR_PLUGIN_MAX_FILE_BYTES);
    } else {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED) {
            rc = weir_error_set(err, WEIR_E_IO, "%s: mmap: %s", path, strerror(errno));
        } else {
            rc = copy_bytes(path, map, (size_t)st.st_size, ret_image, err);
            (void)munmap(map, (size_t)st.st_size);
        }
    }
    close(fd);
    return rc;
}
