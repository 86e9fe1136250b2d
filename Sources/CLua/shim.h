#ifndef INSITU_CLUA_H
#define INSITU_CLUA_H
#include <lua5.1/lauxlib.h>
#include <lua5.1/lua.h>
#include <lua5.1/lualib.h>

/* Interrupts a script that computes without end. Within the functions that stand for the instrument, which Lua calls as
   metamethods, it cannot; it tries again a few instructions later. Where Lua cannot yield it leaves the hook by a jump,
   which must not pass frames of Swift: that is why it is here. */
#define INSITU_INSTRUMENT "=instrument"

static void insitu_interrupt(lua_State *state, lua_Debug *record) {
  lua_getinfo(state, "S", record);
  if (record->source && !__builtin_strcmp(record->source, INSITU_INSTRUMENT)) {
    lua_sethook(state, insitu_interrupt, LUA_MASKCOUNT, 10);
    return;
  }
  lua_yield(state, 0);
}

static inline void insitu_limit(lua_State *state, int instructions) {
  lua_sethook(state, insitu_interrupt, LUA_MASKCOUNT, instructions);
}
#endif
