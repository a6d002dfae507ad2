/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Configurations as the host would give them, defaults filled in. */
#include "tests/support/cmocka.h"
#include "tests/support/fake_host.h"
#include "weir/plugin.h"

#define LEVELS "\"levels\":[\"global\",\"tenant\",\"user\",\"key\",\"model\"]"
#define REST                                                                                       \
    "\"concurrent_ttl\":\"10s\",\"assumed_tokens\":1024,"                                          \
    "\"adaptive\":{\"enabled\":false,\"min\":1,\"max\":256,\"interval\":\"1s\","                   \
    "\"min_samples\":10,\"ttft_max_ms\":{\"interactive_ui\":200,\"critical_api\":150,"             \
    "\"batch\":5000}}"
#define CONFIG(limits, loss)                                                                       \
    "{" LEVELS ",\"limits\":" limits ",\"on_store_loss\":\"" loss "\",\"replicas\":3," REST "}"

static inline const weir_policy *the_policy(void)
{
    return weir_plugin_entry_v1()->get_ext(WEIR_EXT_POLICY);
}
