/* The host program is the judge: the model goes on with a query, this program runs it with SQLite on a table of its own and compares what
   comes back with what should. No answer text is compared anywhere, so any query that gives the right rows is right. The
   model's SQL is run on a database in memory, may only read, and is stopped when it takes long. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "common.h"
#include <sqlite3.h>

typedef struct settings {
    const char *model, *out;
    int steps, eval, samples, threads;
    float lr;
    long long seed;
    sqlite3 *db;
    char prompt[256], answer[128];      /* of the last task; the answer is a query too, which only the judge sees */
} settings;

static const option options[] = {RUN_OPTIONS(settings, "build/sqlite")};

/* Questions: the fruit whose price, weight or stock compares with a number. One number in five is held out. */
static void ask_about(settings *s, uint64_t seed, uint64_t index, bool held_out, rlvr_task *task)
{
    static const char *const column[] = {"price", "weight", "stock"};
    static const char *const words[] = {"above", "below", "at least", "at most"}, *const signs[] = {">", "<", ">=", "<="};
    uint32_t at = (uint32_t)index, attempt = 0;
    int number, c = (int)(3 * rlvr_uniform(seed, at, 0, 0, 0)), k = (int)(4 * rlvr_uniform(seed, at, 0, 1, 0));
    do number = 2 + (int)(48 * rlvr_uniform(seed, at, ++attempt, 2, 0));
    while ((number % 5 == 0) != held_out);
    snprintf(s->prompt, sizeof s->prompt, "-- SQLite. Table fruit(name TEXT, price INT, weight INT, stock INT)\n"
             "-- names of all fruit with %s %s %d:\nSELECT name FROM fruit WHERE", column[c], words[k], number);
    snprintf(s->answer, sizeof s->answer, "SELECT name FROM fruit WHERE %s %s %d", column[c], signs[k], number);
    memset(task, 0, sizeof *task);
    task->prompt = s->prompt;
    task->answer = s->answer;
    task->raw = true;      /* the model goes on writing; no chat */
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    settings *s = (settings *)user;
    ask_about(s, (uint64_t)s->seed << 8 | 3, index, false, task);
    return RLVR_OK;
}

/* ---- the judge ---- */

static int read_only(void *user, int action, const char *a, const char *b, const char *c, const char *d)
{
    (void)user; (void)a; (void)b; (void)c; (void)d;
    return action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION ? SQLITE_OK : SQLITE_DENY;
}

static int too_long(void *calls) { return ++*(int *)calls > 100; }      /* asked every 1000 steps of SQLite's machine */

/* Runs one query; its rows become text. False: it is no query, or fails. */
static bool run_query(sqlite3 *db, const char *sql, char *rows, size_t size)
{
    sqlite3_stmt *query = NULL;
    const char *rest = NULL;
    int calls = 0, code = sqlite3_prepare_v2(db, sql, -1, &query, &rest);
    size_t used = 0;
    bool ok = code == SQLITE_OK && query && rest[strspn(rest, " \t\r\n;")] == 0;
    sqlite3_progress_handler(db, 1000, too_long, &calls);
    while (ok && (code = sqlite3_step(query)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(query) && used < size; i++) {
            const unsigned char *text = sqlite3_column_text(query, i);
            used += (size_t)snprintf(rows + used, size - used, "%s%c", text ? (const char *)text : "NULL", i + 1 < sqlite3_column_count(query) ? '|' : '\n');
        }
    sqlite3_finalize(query);
    return ok && code == SQLITE_DONE && used < size;
}

static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    const settings *s = (const settings *)user;
    char want[1024] = "", got[1024] = "", sql[512];
    snprintf(sql, sizeof sql, "SELECT name FROM fruit WHERE%s", r->text);
    if (!run_query(s->db, r->task->answer, want, sizeof want)) return RLVR_REWARD_ERROR;      /* our fault, not the model's */
    *reward = run_query(s->db, sql, got, sizeof got) && !strcmp(want, got);
    return RLVR_OK;
}

static sqlite3 *make_table(void)      /* 40 rows: a wrong comparison gives other rows */
{
    sqlite3 *db = NULL;
    bool ok = sqlite3_open(":memory:", &db) == SQLITE_OK &&
              sqlite3_exec(db, "CREATE TABLE fruit(name TEXT, price INT, weight INT, stock INT)", NULL, NULL, NULL) == SQLITE_OK;
    for (uint32_t i = 0; i < 40 && ok; i++) {
        char sql[128];
        int n[3];
        for (uint32_t k = 0; k < 3; k++) n[k] = 1 + (int)(50 * rlvr_uniform(7, i, k, 0, 0));
        snprintf(sql, sizeof sql, "INSERT INTO fruit VALUES('f%u', %d, %d, %d)", i, n[0], n[1], n[2]);
        ok = sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    }
    if (ok) sqlite3_set_authorizer(db, read_only, NULL);
    return ok ? db : NULL;
}

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    static const char *const stop = ";";
    const rlvr_reward_desc reward = {.fn = judge, .user = s};
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;  d.task_user = s;  d.reward = reward;  d.max_prompt_tokens = 64;  d.sampling.max_tokens = 16;
    d.sampling.stop = &stop;  d.sampling.n_stop = 1;
    d.optim.lr = s->lr;  d.seed = (uint64_t)s->seed;  d.out_dir = s->out;  d.log_completions = 8;
    rlvr_model *m = rlvr_model_load(ctx, s->model);
    rlvr_tasks *held_out = rlvr_tasks_new(ctx);
    if (!m || !held_out) return RLVR_ERROR_IO;
    for (int i = 0; i < s->eval; i++) {
        rlvr_task task;
        ask_about(s, 1, (uint64_t)i, true, &task);
        if (rlvr_tasks_add(held_out, &task) != RLVR_OK) return RLVR_ERROR_MEMORY;
    }
    rlvr_result r = print_head(s->model, m, &d);
    if (r == RLVR_OK) printf("task       an SQL query, judged by the rows that SQLite gives for it; %d held out\n", s->eval);
    return r == RLVR_OK ? run_example(m, &d, held_out, s->steps, s->samples, "rows") : r;
}

int main(int argc, char **argv)
{
    settings s = {"SmolLM2-135M-Instruct.Q4_1.gguf", "build/sqlite", 40, 64, 8, 0, 0, 0, NULL, "", ""};
    options_read(argc, argv, "build/04_sqlite [options]", options, COUNT(options), &s, NULL, 0);
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx && (s.db = make_table()) != NULL ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    sqlite3_close(s.db);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
