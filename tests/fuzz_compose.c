/* libFuzzer on composed rewards and judges: options and tasks as bytes choose them, or as raw JSON; every text, gold and prompt.
   Whatever comes in, there is a verdict, a reward that is finite, and nothing left behind.
     clang -O1 -g -std=gnu11 -I. -Ibuild/include -fsanitize=fuzzer,address,undefined tests/fuzz_compose.c -lm -lpthread */
#define RLVR_IMPLEMENTATION
#define RLVR_NO_BLOCK_REUSE
#include "rlvr.h"

static rlvr_ctx *ctx;
static rlvr_model *judge;

typedef struct input { const unsigned char *at, *end; } input;
static int byte(input *in) { return in->at < in->end ? *in->at++ : 0; }

/* Text up to a byte 0xfe; NUL-terminated, from malloc, so that a read past its end is seen. */
static char *piece(input *in, size_t *len)
{
    const unsigned char *begin = in->at;
    while (in->at < in->end && *in->at != 0xfe) in->at++;
    *len = (size_t)(in->at - begin);
    if (in->at < in->end) in->at++;
    char *text = (char *)malloc(*len + 1);
    memcpy(text, begin, *len);
    text[*len] = 0;
    return text;
}

/* left: parts that may still come, of all depths together; without an end a case would ask its judge thousands of times. */
static void put_parts(rlvr__buf *b, input *in, int depth, int *left)
{
    static const char *const kind[] = {"number", "exact", "compose", "judge", "fame", "code"};
    static const char *const rest[] = {"", ",\"gate\":true", ",\"gate\":false", ",\"name\":\"x\"", ",\"weight\":0", ",\"weight\":-2.5", ",\"weight\":1e38",
                                       ",\"gate\":1", ",\"weight\":null", ",\"name\":\"a very long name that is cut where it no longer fits in\""};
    static const char *const rule[] = {"", ",\"combine\":\"product\"", ",\"clip\":[0,1]", ",\"clip\":[1]", ",\"normalize\":\"gdpo\"", ",\"combine\":3", ",\"clip\":null"};
    int n = byte(in) % 20;
    rlvr__buf_addf(b, "\"parts\":[");
    for (int i = 0; i < n && (*left)-- > 0; i++) {
        int k = byte(in);
        if (depth > 2 && k % 6 == 2) k++;
        rlvr__buf_addf(b, "%s{\"kind\":\"%s\"%s", i ? "," : "", kind[k % 6], rest[byte(in) % 10]);
        if (k % 6 == 2) { rlvr__buf_addf(b, ","); put_parts(b, in, depth + 1, left); }
        rlvr__buf_addf(b, "}");
    }
    rlvr__buf_addf(b, "]%s", rule[byte(in) % 7]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    input in = {data, data + size};
    rlvr_grade_result out;
    rlvr_reward_desc d;
    rlvr_task task;
    size_t len, ignored;
    if (!ctx) {
        rlvr_desc desc;
        rlvr_model_desc m;
        memset(&desc, 0, sizeof desc);
        memset(&m, 0, sizeof m);
        desc.n_threads = 1;
        desc.quiet = true;
        ctx = rlvr_open(&desc);
        m.n_vocab = 259; m.n_ctx = 512; m.d_model = 8; m.n_layers = 1; m.n_heads = 1; m.n_kv_heads = 1; m.head_dim = 8; m.d_ff = 8;
        judge = rlvr_model_init(ctx, &m);
        rlvr_model_set_byte_tokenizer(judge, special, 2);
    }
    memset(&d, 0, sizeof d);
    memset(&task, 0, sizeof task);
    int mode = byte(&in), only_judge = byte(&in) == 0, parts_left = 60;
    uint32_t hash = 2166136261u;      /* a judge's model is slow: one input in 256 has it, the others' judges say that there is none */
    for (size_t i = 0; i < size; i++) hash = (hash ^ data[i]) * 16777619u;
    rlvr__buf options = {ctx, NULL, 0, 0, false};
    char *raw = NULL, *text, *gold, *json = NULL;
    d.kind = only_judge ? RLVR_REWARD_JUDGE : RLVR_REWARD_COMPOSE;
    d.model = hash >> 24 ? NULL : judge;
    if (mode & 1) { rlvr__buf_addf(&options, "{"); put_parts(&options, &in, 0, &parts_left); rlvr__buf_addf(&options, "}"); d.options = options.data; }
    else if (mode & 2) d.options = raw = piece(&in, &ignored);
    if (mode & 4) task.json = json = piece(&in, &ignored);
    gold = piece(&in, &ignored);
    text = piece(&in, &len);
    if (mode & 8) task.answer = gold;
    rlvr_result r = rlvr_grade_task(ctx, &d, text, len, &task, &out);
    bool error = rlvr__status_is_error(out.status);
    if ((r == RLVR_OK) == error || !isfinite(out.reward) || (error && out.reward != 0) || (unsigned)out.status >= RLVR_STATUS_PENDING) abort();
    if (strlen(out.reason) >= sizeof out.reason || strlen(out.extracted) >= sizeof out.extracted) abort();
    rlvr__buf_free(&options);
    free(raw);
    free(json);
    free(gold);
    free(text);
    return 0;
}
