/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The OpenAPI 3.1 description of the admin listener, as JSON text. Threads: any; constant. */
extern const char weir_openapi_json[];
