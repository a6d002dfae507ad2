/* SPDX-License-Identifier: Apache-2.0 */
/* weir.time: whole seconds, and what the clock shows somewhere. */
#include <lauxlib.h>

#include "api.h"
#include "zone.h"

static void set_integer(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

/* time(): seconds since 1970; time(zone [, seconds]): a table. */
static int time_function(lua_State *L)
{
    const struct lua_call *call = lua_api_call(L, "weir.time", LUA_IN_ALL);
    const weir_host *h = call->services->host;
    int64_t now = (int64_t)(h->wall_us(h) / 1000000);
    if (lua_isnoneornil(L, 1)) {
        lua_pushinteger(L, now);
        return 1;
    }
    weir_str zone;
    struct zone_time t;
    zone.p = luaL_checklstring(L, 1, &zone.n);
    now = luaL_optinteger(L, 2, now);
    lua_sandbox_charge(L, 50);
    int rc = zones_local_time(call->services->zones, zone, now, &t);
    if (rc < 0) {
        return luaL_error(L,
                          rc == WEIR_E_ARG ? "weir.time: a time of the years 1 to 9999"
                                           : "weir.time: there is no time zone '%s'",
                          zone.p);
    }
    lua_createtable(L, 0, 10);
    set_integer(L, "year", t.year);
    set_integer(L, "month", t.month);
    set_integer(L, "day", t.day);
    set_integer(L, "hour", t.hour);
    set_integer(L, "min", t.minute);
    set_integer(L, "sec", t.second);
    set_integer(L, "weekday", t.weekday);
    set_integer(L, "yday", t.year_day);
    set_integer(L, "offset", t.offset_s);
    lua_pushboolean(L, t.is_dst);
    lua_setfield(L, -2, "is_dst");
    return 1;
}

void lua_api_setup_time(lua_State *L, int weir)
{
    lua_pushcfunction(L, time_function);
    lua_setfield(L, weir, "time");
}
