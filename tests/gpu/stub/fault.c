/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gpu/stub/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *read_text(char *buffer, size_t n)
{
    const char *path = getenv("WEIR_GPU_FAULT_FILE");
    FILE *f = path ? fopen(path, "re") : NULL;
    if (f) {
        size_t len = fread(buffer, 1, n - 1, f);
        buffer[len] = '\0';
        fclose(f);
        return buffer;
    }
    return getenv("WEIR_GPU_FAULT");
}

int64_t fault_value(const char *word, int64_t fallback)
{
    char buffer[256];
    const char *text = read_text(buffer, sizeof(buffer));
    const size_t n = strlen(word);
    while (text && *text) {
        text += strspn(text, " \n");
        size_t len = strcspn(text, " \n");
        if (len >= n && strncmp(text, word, n) == 0 && (len == n || text[n] == '=')) {
            return len == n ? 1 : strtoll(text + n + 1, NULL, 10);
        }
        text += len;
    }
    return fallback;
}
