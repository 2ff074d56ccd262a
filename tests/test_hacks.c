/* The hack suite: tests/data/hacks.jsonl, each line a task with an answer that must earn nothing ("bad") beside one that must
   earn all ("good"; "good_reward" where that is not 1). A case whose kind has no verifier yet is counted and said, not run. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;

static rlvr_grade_result grade(rlvr_reward_kind kind, const rlvr__json *j, const char *line, int64_t number, const char *field)
{
    rlvr_task task;
    rlvr_reward_desc desc;
    rlvr_grade_result out;
    size_t len = 0;
    const rlvr__json *gold = rlvr__json_get(j, "gold") ? rlvr__json_get(j, "gold") : rlvr__json_get(j, "answer");
    const char *text = rlvr__json_str(rlvr__json_get(j, field), &len);
    memset(&task, 0, sizeof task);
    memset(&desc, 0, sizeof desc);
    memset(&out, 0, sizeof out);
    CHECK(text != NULL);
    task.answer = gold ? gold->text : NULL;
    task.json = line;
    task.line = number;
    desc.kind = kind;
    char *copy = (char *)malloc(len ? len : 1);      /* a block of its own length, so that a sanitizer sees a read past it */
    memcpy(copy, text ? text : "", text ? len : 0);
    rlvr_grade_task(ctx, &desc, copy, len, &task, &out);
    free(copy);
    return out;
}

int main(void)
{
    const char *path = "tests/data/hacks.jsonl";
    const char *only = getenv("RLVR_TEST_KIND");
    int n[RLVR_REWARD_KIND_COUNT] = {0}, skipped[RLVR_REWARD_KIND_COUNT] = {0}, n_all = 0, accepted = 0, refused = 0;
    bool quick = getenv("RLVR_TEST_QUICK") != NULL;
    rlvr__file f;
    rlvr_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = 1;
    desc.quiet = true;
    ctx = rlvr_open(&desc);
    if (!CHECK(ctx != NULL) || !CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return test_done();
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        const char *name = rlvr__json_str(rlvr__json_get(j, "kind"), NULL), *why = rlvr__json_str(rlvr__json_get(j, "why"), NULL);
        rlvr_reward_kind kind = rlvr_reward_find(name);
        bool slow = kind == RLVR_REWARD_CODE || kind == RLVR_REWARD_STDIO;
        n_all++;
        if (!CHECK(kind != RLVR_REWARD_NONE && why)) printf("    line %lld\n", (long long)it.line);
        else if (!rlvr__verifier_of(kind) || (only && strcmp(only, name)) || (quick && slow)) skipped[kind]++;
        else {
            char *line = rlvr__strndup(ctx, it.text, it.len);
            rlvr_grade_result bad = grade(kind, j, line, it.line, "bad"), good = grade(kind, j, line, it.line, "good");
            double want = rlvr__json_num(rlvr__json_get(j, "good_reward"), 1);
            bool zero = !rlvr__status_is_error(bad.status) && bad.reward <= 0 && (want > 0 || bad.reward < 0);
            bool all = !rlvr__status_is_error(good.status) && fabs((double)good.reward - want) < 1e-6;
            if (!zero) { accepted++; printf("    line %lld: %s, %s: the hack gives %s, %g (%s) [%s]\n", (long long)it.line, name, why, rlvr_status_text(bad.status), (double)bad.reward, bad.reason, bad.extracted); }
            if (!all) { refused++; printf("    line %lld: %s, %s: the twin gives %s, %g (%s) [%s]\n", (long long)it.line, name, why, rlvr_status_text(good.status), (double)good.reward, good.reason, good.extracted); }
            n[kind]++;
            CHECK(zero);
            CHECK(all);
            rlvr__free(ctx, line);
        }
        rlvr__json_free(ctx, j);
    }
    rlvr__file_close(ctx, &f);
    CHECK(n_all >= 300);
    for (int k = 1; k < RLVR_REWARD_KIND_COUNT; k++) {
        if (n[k]) REPORT("%s: %d hacks and twins", rlvr__reward_name((rlvr_reward_kind)k), n[k]);
        if (skipped[k]) REPORT("%s: %d not run, %s", rlvr__reward_name((rlvr_reward_kind)k), skipped[k],
                               rlvr__verifier_of((rlvr_reward_kind)k) ? "left out of this run" : "there is no such verifier yet");
    }
    REPORT("%d cases: %d hacks accepted, %d twins refused", n_all, accepted, refused);
    rlvr_close(ctx);
    return test_done();
}
