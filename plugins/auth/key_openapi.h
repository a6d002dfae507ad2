/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the routes of keys say of themselves in OpenAPI 3.1. A key's fields are those of `keys:` in
 * the configuration; its schema is the host's "key". */

#define KEY_ERROR(status) "\"" status "\":{\"$ref\":\"#/components/responses/Error\"}"
#define KEY_SHOWN                                                                                  \
    "{\"type\":\"object\",\"required\":[\"id\",\"tenant\",\"source\",\"name\"],"                   \
    "\"properties\":{\"id\":{\"type\":\"string\"},\"tenant\":{\"type\":\"string\"},"               \
    "\"source\":{\"enum\":[\"api\",\"config\"]},\"name\":{\"type\":\"string\"},"                   \
    "\"key\":{\"type\":\"string\",\"description\":\"the key itself: only here, only once\"},"      \
    "\"created\":{\"type\":\"string\"},\"created_by\":{\"type\":\"string\"},"                      \
    "\"rotated\":{\"type\":\"string\"},\"previous_until\":{\"type\":\"string\"}}}"
#define KEY_WANTED(more_required, more_properties)                                                 \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\"" more_required     \
    "],\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":64},"           \
    "\"user\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128},"                            \
    "\"scopes\":{\"$ref\":\"#/components/schemas/key/properties/scopes\"},"                        \
    "\"models\":{\"$ref\":\"#/components/schemas/key/properties/models\"},"                        \
    "\"expires\":{\"$ref\":\"#/components/schemas/key/properties/expires\"},"                      \
    "\"limits\":{\"$ref\":\"#/components/schemas/tenant_limits\"},"                                \
    "\"quota\":{\"$ref\":\"#/components/schemas/tenant_quota\"}" more_properties "}}"
#define KEY_JSON(status, description, schema)                                                      \
    "\"" status "\":{\"description\":\"" description "\",\"content\":{\"application/json\":{"      \
    "\"schema\":" schema "}}}"
#define KEY_ANSWER(status)                                                                         \
    "\"" status "\":{\"description\":\"the key\",\"headers\":{\"ETag\":{\"description\":"          \
    "\"for If-Match\",\"schema\":{\"type\":\"string\"}}},\"content\":{\"application/json\":{"      \
    "\"schema\":" KEY_SHOWN "}}}"
#define KEY_BODY(required, schema)                                                                 \
    "\"requestBody\":{\"required\":" required ",\"content\":{\"application/json\":{"               \
    "\"schema\":" schema "}}}"
#define KEY_IF_MATCH "\"parameters\":[{\"$ref\":\"#/components/parameters/IfMatch\"}]"
#define KEY_CHANGE_ERRORS                                                                          \
    KEY_ERROR("404") "," KEY_ERROR("409") "," KEY_ERROR("412") "," KEY_ERROR("428")

#define KEY_OPENAPI_LIST                                                                           \
    "{\"parameters\":[{\"$ref\":\"#/components/parameters/Limit\"},"                               \
    "{\"$ref\":\"#/components/parameters/After\"}],\"responses\":{" KEY_JSON(                      \
        "200", "a page of keys",                                                                   \
        "{\"type\":\"object\",\"required\":[\"object\",\"data\",\"has_more\",\"next\"],"           \
        "\"properties\":{\"data\":{\"type\":\"array\",\"items\":" KEY_SHOWN "},"                   \
        "\"has_more\":{\"type\":\"boolean\"},\"next\":{\"type\":[\"string\",\"null\"]}}}") "," KEY_ERROR("400") "," KEY_ERROR("404") "}}"
#define KEY_CREATE_ANSWERS                                                                         \
    "\"responses\":{" KEY_ANSWER("201") "," KEY_ERROR("400") "," KEY_ERROR("403") "," KEY_ERROR(   \
        "404") "," KEY_ERROR("415") "}}"
#define KEY_OPENAPI_CREATE "{" KEY_BODY("true", KEY_WANTED("", "")) "," KEY_CREATE_ANSWERS
#define KEY_OPENAPI_CREATE_FOR                                                                     \
    "{" KEY_BODY("true", KEY_WANTED(",\"tenant\"",                                                 \
                                    ",\"tenant\":{\"type\":\"string\"}")) "," KEY_CREATE_ANSWERS
#define KEY_OPENAPI_READ "{\"responses\":{" KEY_ANSWER("200") "," KEY_ERROR("404") "}}"
#define KEY_OPENAPI_PATCH                                                                           \
    "{" KEY_IF_MATCH "," KEY_BODY("true", "{\"type\":\"object\"}") ",\"responses\":{" KEY_ANSWER(   \
        "200") "," KEY_ERROR("400") "," KEY_ERROR("403") "," KEY_ERROR("415") "," KEY_CHANGE_ERRORS \
                                                                              "}}"
#define KEY_OPENAPI_REVOKE                                                                         \
    "{" KEY_IF_MATCH                                                                               \
    ",\"responses\":{\"204\":{\"description\":\"it is revoked\"}," KEY_CHANGE_ERRORS "}}"
#define KEY_OPENAPI_ROTATE                                                                                              \
    "{" KEY_IF_MATCH "," KEY_BODY(                                                                                      \
        "false",                                                                                                        \
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"                                          \
        "\"grace_seconds\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":7776000,"                                    \
        "\"default\":86400,\"description\":\"how long the old secret is good as "                                       \
        "well\"}}}") ",\"responses\":{" KEY_ANSWER("200") "," KEY_ERROR("400") "," KEY_ERROR("41"                       \
                                                                                             "5") "," KEY_CHANGE_ERRORS \
                                                                                                  "}}"
