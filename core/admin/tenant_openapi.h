/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the routes of /admin/v1/tenants say of themselves in OpenAPI 3.1. */

#define WEIR_OPENAPI_ERROR(status) "\"" status "\":{\"$ref\":\"#/components/responses/Error\"}"

#define WEIR_OPENAPI_JSON(status, description, schema)                                             \
    "\"" status "\":{\"description\":\"" description "\",\"content\":{"                            \
    "\"application/json\":{\"schema\":" schema "}}}"

#define WEIR_OPENAPI_REF(schema) "{\"$ref\":\"#/components/schemas/" schema "\"}"

/* One tenant with its ETag. */
#define WEIR_OPENAPI_TENANT_ANSWER(status)                                                         \
    "\"" status "\":{\"description\":\"the tenant\",\"headers\":{\"ETag\":{"                       \
    "\"description\":\"for If-Match\",\"schema\":{\"type\":\"string\"}}},\"content\":{"            \
    "\"application/json\":{\"schema\":" WEIR_OPENAPI_REF("Tenant") "}}}"

#define WEIR_OPENAPI_TENANT_LIST                                                                   \
    "{\"parameters\":[{\"$ref\":\"#/components/parameters/Limit\"},"                               \
    "{\"$ref\":\"#/components/parameters/After\"}],\"responses\":{" WEIR_OPENAPI_JSON(             \
        "200", "a page of tenants, by name",                                                       \
        WEIR_OPENAPI_REF("TenantList")) "," WEIR_OPENAPI_ERROR("400") "}}"

#define WEIR_OPENAPI_TENANT_CREATE                                                                 \
    "{\"requestBody\":{\"required\":true,\"content\":{\"application/"                              \
    "json\":{\"schema\":" WEIR_OPENAPI_REF(                                                        \
        "NewTenant") "}}},\"responses\":"                                                          \
                     "{" WEIR_OPENAPI_TENANT_ANSWER("201") "," WEIR_OPENAPI_ERROR(                 \
                         "400") "," WEIR_OPENAPI_ERROR("409") "," WEIR_OPENAPI_ERROR("415") "}}"

#define WEIR_OPENAPI_TENANT_READ                                                                   \
    "{\"responses\":{" WEIR_OPENAPI_TENANT_ANSWER("200") "," WEIR_OPENAPI_ERROR("404") "}}"

#define WEIR_OPENAPI_IF_MATCH "{\"$ref\":\"#/components/parameters/IfMatch\"}"

#define WEIR_OPENAPI_CHANGE_ERRORS                                                                 \
    WEIR_OPENAPI_ERROR("404")                                                                      \
    "," WEIR_OPENAPI_ERROR("409") "," WEIR_OPENAPI_ERROR("412") "," WEIR_OPENAPI_ERROR("428")

#define WEIR_OPENAPI_TENANT_REPLACE                                                                \
    "{\"parameters\":[" WEIR_OPENAPI_IF_MATCH "],\"requestBody\":{\"required\":true,"              \
    "\"content\":{\"application/json\":{\"schema\":" WEIR_OPENAPI_REF(                             \
        "TenantEntry") "}}},"                                                                      \
                       "\"responses\":{" WEIR_OPENAPI_TENANT_ANSWER("200") "," WEIR_OPENAPI_ERROR( \
                           "400") "," WEIR_OPENAPI_ERROR("415") "," WEIR_OPENAPI_CHANGE_ERRORS     \
                                                                "}}"

#define WEIR_OPENAPI_TENANT_PATCH                                                                         \
    "{\"parameters\":[" WEIR_OPENAPI_IF_MATCH "],\"requestBody\":{\"required\":true,"                     \
    "\"content\":{\"application/merge-patch+json\":{\"schema\":{\"type\":\"object\"}},"                   \
    "\"application/"                                                                                      \
    "json\":{\"schema\":{\"type\":\"object\"}}}},\"responses\":{" WEIR_OPENAPI_TENANT_ANSWER(             \
        "200") "," WEIR_OPENAPI_ERROR("400") "," WEIR_OPENAPI_ERROR("415") "," WEIR_OPENAPI_CHANGE_ERRORS \
                                                                           "}}"

#define WEIR_OPENAPI_TENANT_DELETE                                                                 \
    "{\"parameters\":[" WEIR_OPENAPI_IF_MATCH "],\"responses\":{\"204\":{"                         \
    "\"description\":\"it is gone\"}," WEIR_OPENAPI_CHANGE_ERRORS "}}"

#define WEIR_OPENAPI_TENANT_STATE                                                                  \
    "{\"parameters\":[" WEIR_OPENAPI_IF_MATCH                                                      \
    "],\"responses\":{" WEIR_OPENAPI_TENANT_ANSWER("200") "," WEIR_OPENAPI_CHANGE_ERRORS "}}"

#define WEIR_OPENAPI_TENANT_EXPORT                                                                 \
    "{\"responses\":{" WEIR_OPENAPI_JSON(                                                          \
        "200", "the tenant and its records",                                                       \
        WEIR_OPENAPI_REF("TenantExport")) "," WEIR_OPENAPI_ERROR("404") "}}"
