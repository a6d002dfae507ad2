/* SPDX-License-Identifier: Apache-2.0 */
/* gpu_check [--emulator] [--no-speed] [--only NAME]: the ops on a GPU against their references,
 * then their speed beside the device's own limits; tables last. Exit 1 when a result is wrong.
 * Needs nothing but the driver; see README.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/gguf/tensor_type.h"
#include "kernels/linear/pack.h"
#include "tests/kernels/check.h"
#include "tests/kernels/gpu_device.h"
#include "tests/kernels/linear_case.h"

enum { MAX_REPLICAS = 64, ROTATE_BYTES = 600 << 20 };

static const uint32_t all_types[] = {WEIR_TENSOR_F32,  WEIR_TENSOR_F16,  WEIR_TENSOR_BF16,
                                     WEIR_TENSOR_Q4_0, WEIR_TENSOR_Q4_1, WEIR_TENSOR_Q5_0,
                                     WEIR_TENSOR_Q5_1, WEIR_TENSOR_Q8_0, WEIR_TENSOR_Q4_K,
                                     WEIR_TENSOR_Q5_K, WEIR_TENSOR_Q6_K};
enum { N_TYPES = sizeof(all_types) / sizeof(all_types[0]) };

static int n_wrong;

static void check_case(struct weir_test_device *device, const struct weir_linear_case *c)
{
    double error = weir_test_linear(device, c);
    int wrong = !(error < (c->f16_out ? 2e-6 : 1e-6));
    n_wrong += wrong;
    if (wrong) {
        printf("WRONG linear %s %u x %u, %u tokens, glu %d, add %d: NMSE %g\n",
               weir_tensor_type_info(c->types[0])->name, c->n_rows[0], c->n_cols, c->n_tokens,
               c->glu, c->add, error);
    }
}

static void check_linear(struct weir_test_device *device)
{
    static const uint32_t tokens[] = {1, 3, 8, 9, 17, 40, 64, 100, 300};
    int n = 0;
    for (uint32_t i = 0; i < N_TYPES; i++) {
        for (uint32_t t = 0; t < sizeof(tokens) / sizeof(tokens[0]); t++) {
            struct weir_linear_case c = {.types = {all_types[i], all_types[i]},
                                         .n_rows = {304, 304},
                                         .n_w = 1,
                                         .n_cols = 1024,
                                         .n_tokens = tokens[t],
                                         .has_bias = t % 2,
                                         .add = t % 3 == 0,
                                         .seed = i * 100 + t};
            check_case(device, &c);
            c.n_w = 2;
            c.add = 0;
            c.f16_out = 1;
            c.glu = t % 2 ? WEIR_GLU_SILU : WEIR_GLU_GELU;
            check_case(device, &c);
            n += 2;
        }
    }
    printf("linear: %d cases, %d wrong\n", n, n_wrong);
}

/* One matrix many times over, so that no cache holds them all. */
struct replicas {
    struct weir_linear_args args[MAX_REPLICAS];
    struct weir_linear_plan plans[MAX_REPLICAS];
    struct weir_gpu_launch launches[MAX_REPLICAS * 8];
    int n, n_launches;
    size_t bytes;
};

static void make_replicas(struct weir_test_device *device, uint32_t type, uint32_t n_rows,
                          uint32_t n_cols, uint32_t max_tokens, struct replicas *to)
{
    struct weir_pack_plan plan;
    size_t tensor_bytes;
    if (weir_pack_plan(type, device->info.props.lanes, n_rows, n_cols, &plan) < 0) {
        abort();
    }
    void *tensor = weir_test_tensor(type, n_rows, n_cols, 1, &tensor_bytes);
    void *packed = malloc(plan.n_bytes);
    float *x_f32 = malloc((size_t)max_tokens * n_cols * sizeof(float));
    uint16_t *x = malloc((size_t)max_tokens * n_cols * sizeof(uint16_t));
    size_t workspace_bytes = weir_linear_workspace_bytes(&device->info.props);
    void *zeros = calloc(1, workspace_bytes);
    if (!packed || !x_f32 || !x || !zeros) {
        abort();
    }
    weir_pack_matrix(&plan, tensor, packed);
    weir_test_random(x_f32, (size_t)max_tokens * n_cols, 3);
    weir_test_to_f16(x_f32, x, (size_t)max_tokens * n_cols);
    struct weir_linear_args args = {
        .n_w = 1,
        .x = weir_test_array(device, x, (size_t)max_tokens * n_cols * sizeof(uint16_t)),
        .x_stride = n_cols,
        .y = weir_test_array(device, NULL, (size_t)max_tokens * n_rows * sizeof(float)),
        .y_stride = n_rows,
        .workspace = weir_test_array(device, zeros, workspace_bytes)};
    to->bytes = plan.n_bytes;
    to->n = (int)(ROTATE_BYTES / plan.n_bytes) + 1;
    to->n = to->n > MAX_REPLICAS ? MAX_REPLICAS : to->n;
    for (int i = 0; i < to->n; i++) {
        to->args[i] = args;
        void *bytes = weir_test_array(device, packed, plan.n_bytes);
        to->args[i].w[0] = weir_pack_matrix_at(&plan, bytes);
    }
    free(zeros);
    free(x);
    free(x_f32);
    free(packed);
    free(tensor);
}

/* Milliseconds of one product with n_tokens. */
static float time_replicas(struct weir_test_device *device, struct replicas *r, uint32_t n_tokens)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        r->args[i].n_tokens = n_tokens;
        int k = weir_linear_launch(&r->args[i], &device->info.props, &r->plans[i]);
        if (k < 0) {
            abort();
        }
        for (int j = 0; j < k; j++) {
            r->launches[n++] = r->plans[i].launches[j];
        }
    }
    return weir_test_time(device, r->launches, n, 5) / (float)r->n;
}

static double copy_bandwidth(struct weir_test_device *device)
{
    size_t n = (size_t)1 << 30;
    char *from = weir_test_array(device, NULL, n), *to = weir_test_array(device, NULL, n);
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double ms = weir_test_time_copy(device, to, from, n);
        double rate = 2.0 * (double)n / ms * 1e-9;
        best = rate > best ? rate : best;
    }
    weir_test_device_reset(device);
    return best;
}

struct shape {
    uint32_t n_rows, n_cols;
};

static const struct shape shapes[] = {{4096, 4096}, {14336, 4096}, {4096, 14336},
                                      {1024, 4096}, {6144, 4096},  {28672, 4096}};
enum { N_SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

/* Everything but the linear ops. */
static void check_others(struct weir_test_device *device, const char *only)
{
    static const struct {
        const char *name;
        int (*check)(struct weir_test_device *device);
    } checks[] = {
        {"rows", weir_check_rows},
        {"rope_kv", weir_check_rope_kv},
        {"attn_decode", weir_check_attn_decode},
        {"attn_prefill", weir_check_attn_prefill},
        {"sampling", weir_check_sampling},
    };
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (only && strcmp(only, checks[i].name) != 0) {
            continue;
        }
        const int wrong = checks[i].check(device);
        printf("%s: %d wrong\n", checks[i].name, wrong);
        fflush(stdout);
        n_wrong += wrong;
    }
}

static void measure(struct weir_test_device *device)
{
    static const uint32_t types[] = {WEIR_TENSOR_F16, WEIR_TENSOR_Q8_0, WEIR_TENSOR_Q4_0,
                                     WEIR_TENSOR_Q4_K, WEIR_TENSOR_Q6_K};
    static const uint32_t tokens[] = {1, 4, 8, 16, 32, 64, 128, 512, 4096};
    static struct replicas r;
    double copy = copy_bandwidth(device);
    printf("device: %s, arch %u, %u SMs, L2 %llu MiB\ncopy: %.0f GB/s\n", device->info.name,
           device->info.props.arch, device->info.props.n_sm,
           (unsigned long long)device->info.props.l2_bytes >> 20, copy * 1e3);
    printf("%-5s %6s %6s %6s %9s %8s %7s %8s\n", "type", "rows", "cols", "tokens", "us", "GB/s",
           "of copy", "TFLOP/s");
    for (uint32_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        for (uint32_t s = 0; s < N_SHAPES; s++) {
            make_replicas(device, types[t], shapes[s].n_rows, shapes[s].n_cols, 4096, &r);
            for (uint32_t m = 0; m < sizeof(tokens) / sizeof(tokens[0]); m++) {
                if ((tokens[m] > 64 && s > 2) || (tokens[m] > 8 && s == 3)) {
                    continue;
                }
                double ms = (double)time_replicas(device, &r, tokens[m]);
                double flop = 2.0 * shapes[s].n_rows * shapes[s].n_cols * tokens[m];
                double rate = (double)r.bytes / ms * 1e-9;
                printf("%-5s %6u %6u %6u %9.2f %8.0f %6.0f%% %8.1f\n",
                       weir_tensor_type_info(types[t])->name, shapes[s].n_rows, shapes[s].n_cols,
                       tokens[m], ms * 1e3, rate * 1e3, 100 * rate / copy, flop / ms * 1e-9);
            }
            fflush(stdout);
            weir_test_device_reset(device);
        }
    }
}

int main(int argc, char **argv)
{
    int emulator = 0, speed = 1;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        emulator |= strcmp(argv[i], "--emulator") == 0;
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
            continue;
        }
        speed &= strcmp(argv[i], "--no-speed") != 0;
    }
    static struct weir_test_device device;
    if (weir_test_gpu_open(&device, emulator) < 0) {
        return 1;
    }
    if (!only || strcmp(only, "linear") == 0) {
        check_linear(&device);
    }
    check_others(&device, only);
    fflush(stdout);
    if (speed && (!only || strcmp(only, "attention_speed") == 0)) {
        weir_time_attention(&device, copy_bandwidth(&device) * 1e12);
    }
    if (speed && (!only || strcmp(only, "linear_speed") == 0)) {
        measure(&device);
    }
    printf("%d wrong\n", n_wrong);
    weir_test_device_close(&device);
    return n_wrong > 0;
}
