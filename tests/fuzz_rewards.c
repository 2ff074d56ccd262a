/* Fuzz driver for the verifiers of section 15 that start no process and ask no model. The bytes: which kind; which fields; how long the
   gold and a text for the fields are; the gold; that text; and the rest is the completion.
       clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz_rewards.c -lm -lpthread -o build/fuzz_rewards
       build/fuzz_rewards -max_total_time=60 build/corpus/fuzz_rewards      (from the repository's root) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_BLOCK_REUSE      /* so that AddressSanitizer sees each free */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Fields; @ is the text from the input, as a JSON string. */
static const char *const fields[] = {
    "{}", "@",      /* the whole object from the input */
    "{\"answers\":[@,7],\"ignore_case\":true,\"nfc\":true}", "{\"ignore_space\":true,\"ignore_punctuation\":true,\"nfc\":true,\"ignore_case\":true}",
    "{\"abs_tol\":0.25,\"rel_tol\":1e-3,\"range\":[-1,1e3]}", "{\"unit\":@}", "{\"unit\":\"m/s^2\",\"answers\":[@]}",
    "{\"choices\":[\"London\",@,\"Rome\",\"a\"]}", "{\"choices\":{\"B\":@,\"A\":\"the answer\",\"C\":\"is\"}}",
    "{\"tags\":[\"think\",\"answer\"]}", "{\"tags\":[\"a\",\"ab\"],\"outside\":true,\"min_chars\":2,\"max_chars\":{\"ab\":9},\"pattern\":{\"a\":@}}", "{\"pattern\":@}",
    "{\"max_tokens\":9,\"cache\":3,\"ngram\":2,\"target_tokens\":4,\"count\":\"words\",\"cosine\":{\"max_tokens\":20,\"kind\":\"number\"}}",
    "{\"ngram\":1,\"cosine\":{\"max_tokens\":20,\"kind\":@}}",
    "{\"loose\":true,\"partial\":true,\"instructions\":[{\"id\":\"keywords:existence\",\"keywords\":[@]},{\"id\":\"frequency\",\"keyword\":@,\"frequency\":2,\"relation\":\"at least\"},"
        "{\"id\":\"forbidden_words\",\"forbidden_words\":[@,\"bad\"]},{\"id\":\"letter_frequency\",\"letter\":@,\"let_frequency\":1},{\"id\":\"postscript\",\"postscript_marker\":@},"
        "{\"id\":\"multiple_sections\",\"section_spliter\":@,\"num_sections\":1},{\"id\":\"repeat_prompt\",\"prompt_to_repeat\":@},{\"id\":\"end_checker\",\"end_phrase\":@}]}",
    "{\"partial\":true,\"instructions\":[{\"id\":\"number_words\",\"num_words\":3},{\"id\":\"number_sentences\",\"num_sentences\":2},{\"id\":\"number_paragraphs\",\"num_paragraphs\":2},"
        "{\"id\":\"nth_paragraph_first_word\",\"num_paragraphs\":2,\"nth_paragraph\":1,\"first_word\":\"a\"},{\"id\":\"number_placeholders\",\"num_placeholders\":1},"
        "{\"id\":\"number_bullet_lists\",\"num_bullets\":1},{\"id\":\"constrained_response\"},{\"id\":\"number_highlighted_sections\",\"num_highlights\":1},{\"id\":\"json_format\"},"
        "{\"id\":\"title\"},{\"id\":\"two_responses\"},{\"id\":\"quotation\"},{\"id\":\"capital_word_frequency\",\"capital_frequency\":1},{\"id\":\"english_capital\"},"
        "{\"id\":\"english_lowercase\"},{\"id\":\"no_comma\"}]}",
    "{\"numbers\":[3,4,2,25],\"target\":24}", "{\"numbers\":[1,5,7],\"target\":\"7/2\",\"use\":\"exactly\",\"division\":\"integer\"}",
    "{\"family\":\"chain_sum\",\"params\":{\"terms\":[56,-37]}}", "{\"family\":\"word_sorting\",\"params\":{\"descending\":false,\"words\":[\"b\",@]}}",
    "{\"mode\":\"strict\"}", "{\"mode\":\"units\"}", "{\"mode\":\"literal\",\"precision\":3}", "{\"allow_set_relation_comp\":true}",
};
enum { FIELDS = (int)(sizeof fields / sizeof *fields) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static rlvr_ctx *ctx;
    static rlvr_reward_kind kinds[RLVR_REWARD_KIND_COUNT];
    static int n_kinds;
    if (!ctx) {
        rlvr_desc d;
        memset(&d, 0, sizeof d);
        d.quiet = true;
        d.n_threads = 1;
        ctx = rlvr_open(&d);
        if (!ctx) __builtin_trap();
        for (int k = 1; k < RLVR_REWARD_KIND_COUNT; k++) {
            rlvr_reward_kind kind = (rlvr_reward_kind)k;
            if (rlvr__verifier_of(kind) && !rlvr__verifier_of(kind)->poll && kind != RLVR_REWARD_CODE && kind != RLVR_REWARD_STDIO && kind != RLVR_REWARD_JUDGE &&
                kind != RLVR_REWARD_PROCESS && kind != RLVR_REWARD_COMPOSE && kind != RLVR_REWARD_MODEL) kinds[n_kinds++] = kind;
        }
    }
    if (n < 4) return 0;
    rlvr_reward_kind kind = kinds[data[0] % n_kinds];
    const char *form = fields[data[1] % FIELDS], *p = (const char *)data + 4, *end = (const char *)data + n;
    size_t n_gold = RLVR__MIN((size_t)(end - p), (size_t)(data[2] % 64)), n_text;
    char *gold = data[2] == 255 ? NULL : rlvr__strndup(ctx, p, n_gold);
    p += n_gold;
    n_text = RLVR__MIN((size_t)(end - p), (size_t)(data[3] % 96));
    rlvr__buf json = {ctx, NULL, 0, 0, false};
    for (; *form; form++) {
        if (*form != '@') rlvr__buf_add(&json, form, 1);
        else if (form == fields[1]) rlvr__buf_add(&json, p, n_text);
        else rlvr__json_put_string(&json, p, n_text);
    }
    p += n_text;
    rlvr_task task;
    rlvr_reward_desc desc;
    rlvr_grade_result out[2];
    memset(&task, 0, sizeof task);
    memset(&desc, 0, sizeof desc);
    memset(out, 0, sizeof out);
    task.answer = gold;
    task.json = json.len ? json.data : NULL;
    desc.kind = kind;
    size_t len = (size_t)(end - p);
    char *copy = (char *)malloc(len ? len : 1);      /* a block of its own length */
    if (!copy) __builtin_trap();
    if (len) memcpy(copy, p, len);
    rlvr_result r = rlvr_grade_task(ctx, &desc, copy, len, &task, &out[0]);
    if (r == RLVR_OK || r == RLVR_REWARD_ERROR) {
        float reward = out[0].reward;
        bool error = rlvr__status_is_error(out[0].status);
        if ((r == RLVR_REWARD_ERROR) != error || (error && reward != 0) || out[0].status == RLVR_STATUS_PENDING) __builtin_trap();
        if (kind != RLVR_REWARD_SHAPE && !(reward >= 0 && reward <= 1)) __builtin_trap();
        if (out[0].status == RLVR_STATUS_EQUAL && reward != 1) __builtin_trap();
        if ((out[0].status == RLVR_STATUS_UNEQUAL || out[0].status == RLVR_STATUS_UNPARSED) && reward != 0) __builtin_trap();
        if (data[0] & 0x80) {      /* the same again */
            rlvr_grade_task(ctx, &desc, copy, len, &task, &out[1]);
            if (memcmp(&out[0].reward, &out[1].reward, sizeof reward) || out[0].status != out[1].status) __builtin_trap();
        }
    } else if (r != RLVR_ERROR_FORMAT && r != RLVR_ERROR_ARGUMENT) __builtin_trap();
    free(copy);
    rlvr__buf_free(&json);
    rlvr__free(ctx, gold);
    if (ctx->blocks) {      /* nothing is left behind but what was there before */
        static rlvr__block *first;
        if (!first) first = ctx->blocks;
        if (ctx->blocks != first) __builtin_trap();
    }
    return 0;
}
