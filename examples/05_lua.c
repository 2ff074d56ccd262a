/* The host program is the judge: the model goes on with a Lua program, an interpreter in this process runs it, and what it prints
   must be what it should. Any program that prints the right thing is right. It gets a few harmless functions and no other, 100,000
   instructions and a megabyte. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "common.h"
#include <lua5.4/lauxlib.h>
#include <lua5.4/lua.h>
#include <lua5.4/lualib.h>

typedef struct settings {
    const char *model, *out;
    int steps, eval, samples, threads;
    float lr;
    long long seed;
    char prompt[256], answer[64];      /* of the last task; the answer is what the program must print */
} settings;

static const option options[] = {RUN_OPTIONS(settings, "build/lua")};

/* Questions: print what comes of two numbers. One first number in five is held out. */
static void ask_about(settings *s, uint64_t seed, uint64_t index, bool held_out, rlvr_task *task)
{
    static const char *const words[] = {"the sum", "the product", "the larger", "the smaller"};
    uint32_t at = (uint32_t)index, attempt = 0;
    int a, b = 1 + (int)(99 * rlvr_uniform(seed, at, 0, 1, 0)), k = (int)(4 * rlvr_uniform(seed, at, 0, 2, 0));
    do a = 1 + (int)(99 * rlvr_uniform(seed, at, ++attempt, 0, 0));
    while ((a % 5 == 0) != held_out);
    snprintf(s->prompt, sizeof s->prompt, "-- Lua 5.4\n-- print the difference of 9 and 4\nprint(9 - 4)\n-- print %s of %d and %d\nprint(", words[k], a, b);
    snprintf(s->answer, sizeof s->answer, "%d\n", k == 0 ? a + b : k == 1 ? a * b : (k == 2) == (a > b) ? a : b);
    memset(task, 0, sizeof *task);
    task->prompt = s->prompt;
    task->answer = s->answer;
    task->raw = true;      /* the model goes on writing; no chat */
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    ask_about((settings *)user, (uint64_t)((settings *)user)->seed << 8 | 3, index, false, task);
    return RLVR_OK;
}

/* ---- the judge ---- */
typedef struct machine { size_t used; char out[1024]; size_t n_out; } machine;      /* one program's memory and output */

static void *allocate(void *user, void *p, size_t old, size_t size)      /* a megabyte, then Lua is out of memory */
{
    machine *m = (machine *)user;
    if (!p) old = 0;
    if (size == 0) { free(p); m->used -= old; }
    if (size == 0 || (size > old && m->used + (size - old) > 1 << 20)) return NULL;
    void *q = realloc(p, size);
    if (q) m->used += size - old;
    return q;
}

static int print(lua_State *L)
{
    void *user;
    lua_getallocf(L, &user);
    machine *m = (machine *)user;
    for (int i = 1, n = lua_gettop(L); i <= n; i++) {
        size_t len;
        const char *text = luaL_tolstring(L, i, &len);
        if (m->n_out + len + 2 > sizeof m->out) return luaL_error(L, "too much output");
        memcpy(m->out + m->n_out, text, len);
        m->n_out += len;
        m->out[m->n_out++] = i < n ? '\t' : '\n';
        lua_pop(L, 1);
    }
    return 0;
}

static void too_long(lua_State *L, lua_Debug *at) { (void)at; luaL_error(L, "too long"); }

/* What a program may call. Nothing that catches errors, runs behind the hook's back (finalizers, patterns) or leaves the process. */
static int prepare(lua_State *L)
{
    static const char *const kept[] = {"tostring", "tonumber", "type", "ipairs", "select"};
    luaL_requiref(L, "_G", luaopen_base, 0);
    luaL_requiref(L, "math", luaopen_math, 0);
    lua_newtable(L);
    for (int i = 0; i < COUNT(kept); i++) { lua_getfield(L, 1, kept[i]); lua_setfield(L, -2, kept[i]); }
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "math");
    lua_pushcfunction(L, print);
    lua_setfield(L, -2, "print");
    return 1;
}

/* Runs one program; its output becomes text. False: it is no program, or fails. */
static bool run_program(const char *text, machine *m)
{
    memset(m, 0, sizeof *m);
    lua_State *L = lua_newstate(allocate, m);
    if (!L) return false;
    lua_pushcfunction(L, prepare);
    bool ok = lua_pcall(L, 0, 1, 0) == LUA_OK && luaL_loadbufferx(L, text, strlen(text), "program", "t") == LUA_OK;
    if (ok) lua_pushvalue(L, -2);
    ok = ok && lua_setupvalue(L, -2, 1);      /* its globals are what prepare() made */
    lua_sethook(L, too_long, LUA_MASKCOUNT, 100000);
    ok = ok && lua_pcall(L, 0, 0, 0) == LUA_OK;
    lua_close(L);
    m->out[m->n_out] = 0;      /* print() has left room */
    return ok;
}

static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    char program[512];
    machine m;
    (void)user;
    snprintf(program, sizeof program, "print(%s", r->text);
    *reward = run_program(program, &m) && !strcmp(m.out, r->task->answer);
    return RLVR_OK;
}

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    static const char *const stop = "\n";
    const rlvr_reward_desc reward = {.fn = judge, .user = s, .name = "lua"};
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;  d.task_user = s;  d.reward = reward;  d.max_prompt_tokens = 80;  d.sampling.max_tokens = 16;
    d.sampling.stop = &stop;  d.sampling.n_stop = 1;  d.optim.lr = s->lr;  d.seed = (uint64_t)s->seed;  d.out_dir = s->out;  d.log_completions = 8;
    rlvr_model *m = rlvr_model_load(ctx, s->model);
    rlvr_tasks *held_out = rlvr_tasks_new(ctx);
    if (!m || !held_out) return RLVR_ERROR_IO;
    for (int i = 0; i < s->eval; i++) {
        rlvr_task task;
        ask_about(s, 1, (uint64_t)i, true, &task);
        if (rlvr_tasks_add(held_out, &task) != RLVR_OK) return RLVR_ERROR_MEMORY;
    }
    rlvr_result r = print_head(s->model, m, &d);
    if (r == RLVR_OK) printf("task       a Lua program, judged by what it prints; %d held out\n", s->eval);
    return r == RLVR_OK ? run_example(m, &d, held_out, s->steps, s->samples, "lua") : r;
}

int main(int argc, char **argv)
{
    settings s = {"SmolLM2-135M-Instruct.Q4_1.gguf", "build/lua", 40, 64, 8, 0, 0, 0, "", ""};
    options_read(argc, argv, "build/05_lua [options]", options, COUNT(options), &s, NULL, 0);
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
