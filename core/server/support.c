/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

void weir_support_check(const struct weir_config *config, struct weir_findings *findings)
{
    const struct weir_doc_node *tls = weir_doc_find(weir_doc_root(config->doc), "server.tls");
    if (tls) {
        weir_doc_complain_key(findings, tls, NULL,
                              "this build cannot serve TLS; put a TLS proxy in front and leave the "
                              "key out");
    }
}
