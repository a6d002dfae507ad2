/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Configurations as the host would give them, defaults filled in. */
#include "tests/support/cmocka.h"
#include "tests/support/fake_host.h"
#include "weir/plugin.h"

#define CONFIG_WITH(budgets, loss, more)                                                           \
    "{\"levels\":[\"global\",\"tenant\",\"user\",\"key\",\"model\"],\"budgets\":" budgets          \
    ",\"on_store_loss\":\"" loss "\",\"replicas\":4,\"without_price\":\"deny\",\"timezone\":"      \
    "\"UTC\",\"warn_at\":[80,90],\"assumed_tokens\":1024" more "}"
#define CONFIG(budgets, loss) CONFIG_WITH(budgets, loss, "")
#define PRICED(budgets, loss)                                                                      \
    CONFIG_WITH(budgets, loss,                                                                     \
                ",\"price_book\":\"" GOLDEN_DIR "/../unit/plugins/quota/prices.yaml\"")

static inline const weir_policy *the_policy(void)
{
    return weir_plugin_entry_v1()->get_ext(WEIR_EXT_POLICY);
}
