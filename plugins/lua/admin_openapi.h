/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the routes of policies say of themselves in OpenAPI 3.1. */

#define POLICY_ERROR(status) "\"" status "\":{\"$ref\":\"#/components/responses/Error\"}"
#define POLICY_HEAD_SCHEMA                                                                         \
    "{\"type\":\"object\",\"properties\":{\"tenant\":{\"type\":\"string\"},"                       \
    "\"active\":{\"type\":[\"integer\",\"null\"]},\"canary\":{\"type\":[\"integer\",\"null\"]},"   \
    "\"percent\":{\"type\":\"number\"},\"shadow\":{\"type\":[\"integer\",\"null\"]},"              \
    "\"history\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}}}"
#define POLICY_VERSION_SCHEMA                                                                      \
    "{\"type\":\"object\",\"required\":[\"version\"],\"properties\":{"                             \
    "\"version\":{\"type\":\"integer\"},\"comment\":{\"type\":\"string\"},"                        \
    "\"created\":{\"type\":\"integer\",\"description\":\"seconds since 1970\"},"                   \
    "\"created_by\":{\"type\":\"string\"},\"bytes\":{\"type\":\"integer\"},"                       \
    "\"source\":{\"type\":\"string\"}}}"
#define POLICY_ANSWER(status, words, schema)                                                       \
    "\"" status "\":{\"description\":\"" words "\",\"headers\":{\"ETag\":{\"description\":"        \
    "\"for If-Match\",\"schema\":{\"type\":\"string\"}}},\"content\":{\"application/json\":{"      \
    "\"schema\":" schema "}}}"
#define POLICY_IF_MATCH "\"parameters\":[{\"$ref\":\"#/components/parameters/IfMatch\"}]"
#define POLICY_CHANGE_ANSWERS                                                                      \
    "\"responses\":{" POLICY_ANSWER("200", "what runs now", POLICY_HEAD_SCHEMA) "," POLICY_ERROR(  \
        "400") "," POLICY_ERROR("404") "," POLICY_ERROR("409") "," POLICY_ERROR("412") "," POLICY_ERROR("428") "}}"

#define POLICY_OPENAPI_LIST                                                                        \
    "{\"responses\":{" POLICY_ANSWER("200", "versions, and which of them run",                     \
                                     "{\"type\":\"object\",\"properties\":{\"data\":{\"type\":"    \
                                     "\"array\",\"items\":" POLICY_VERSION_SCHEMA                  \
                                     "}}}") "," POLICY_ERROR("404") "}}"
#define POLICY_OPENAPI_UPLOAD                                                                      \
    "{\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":{"          \
    "\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"source\"],"                \
    "\"properties\":{\"source\":{\"type\":\"string\",\"maxLength\":65536},"                        \
    "\"comment\":{\"type\":\"string\",\"maxLength\":200}}}}}},\"responses\":{" POLICY_ANSWER(      \
        "201", "the new version",                                                                  \
        POLICY_VERSION_SCHEMA) "," POLICY_ERROR("400") "," POLICY_ERROR("404") "}}"
#define POLICY_OPENAPI_SHOW                                                                        \
    "{\"responses\":{" POLICY_ANSWER("200", "the version with its source",                         \
                                     POLICY_VERSION_SCHEMA) "," POLICY_ERROR("404") "}}"
#define POLICY_OPENAPI_CHANGE "{" POLICY_IF_MATCH "," POLICY_CHANGE_ANSWERS
#define POLICY_OPENAPI_CANARY                                                                      \
    "{" POLICY_IF_MATCH ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{"  \
    "\"schema\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"percent\"],"   \
    "\"properties\":{\"percent\":{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":100}}}}}" \
    "}," POLICY_CHANGE_ANSWERS
