/* rlvr.h - reinforcement learning with verifiable rewards, in one header

   ============================================================================================
   1. MANUAL                                                                          >>manual
   ============================================================================================

   A small language model tries a problem many times, a program grades every attempt, and the model is trained on the
   grades: sample, grade, advantage, loss, update. All five are here, and what they need: reading and writing weights,
   tokenizer, transformer forward and backward, sampler with KV cache, AdamW, checkpoints, evaluation.

   Synopsis. In ONE file of the program, before the include:

       #define RLVR_IMPLEMENTATION
       #include "rlvr.h"

   elsewhere the include alone, which brings declarations only. Link with -lm -lpthread. The implementation includes
   <stb/stb_ds.h> (Debian: libstb-dev) and compiles as C (gnu99 and later) and C++17 under gcc and clang.

       rlvr_ctx *ctx = rlvr_open(NULL);
       rlvr_model *model = rlvr_model_load(ctx, "model.gguf");
       rlvr_tasks *tasks = rlvr_tasks_load_jsonl(ctx, "tasks.jsonl");     // {"prompt":"...","answer":"..."}
       rlvr_trainer_desc d = {0};
       d.tasks = tasks;
       d.reward.kind = RLVR_REWARD_NUMBER;                                // or .fn, a function of your own
       rlvr_trainer *trainer = rlvr_trainer_open(model, &d);
       rlvr_metrics m;
       for (int step = 0; step < 50 && rlvr_train_step(trainer, &m) == RLVR_OK; step++)
           printf("step %d reward %.3f\n", step, m.reward_mean);
       rlvr_model_save(model, "tuned");
       rlvr_close(ctx);

   Defines
     RLVR_IMPLEMENTATION               this file holds the implementation
     RLVR_NO_STB_DS_IMPLEMENTATION     the program has stb_ds's implementation elsewhere
     RLVR_SELF                         the name under which this file includes itself; default "rlvr.h"
     RLVR_API                          in front of every public function; default extern
     RLVR_NO_BLOCK_REUSE               freed memory goes back at once (for debugging allocators)

   Ownership. Everything hangs off a context; whatever was not freed is freed by rlvr_close(). Who allocates frees:
   a function's comment says what is "allocated from ctx" (rlvr_free) and what "lives in" its object. Descriptors are
   plain data, copied; what they point to stays the caller's and must outlive the object.

   Errors. What can fail returns rlvr_result or NULL, and rlvr_last_error(ctx) names the file, the place and the fix.
   Nothing exits, aborts, or prints, but for errors and warnings on stderr where no log function is set and quiet is off.

   Threads. A context belongs to one thread at a time and runs its own workers; two contexts share nothing.

   Reproducibility. The same binary, seed and machine give the same bits for any number of threads, any batch, with or
   without a kill and a resume in between; AVX-512, AVX2 and NEON kernels do the same additions in the same order.

   What it does not do: other model families, other number formats than f32 in computation, GPUs, several machines.

   Contents (search for the marks)
     2 Public API >>api                3 Platform >>platform            4 Log and error >>error
     5 Allocator >>alloc               6 Random numbers >>rng           7 Thread pool >>threads
     8 SIMD and GEMM >>gemm            9 Ops >>ops                     10 JSON, tasks >>json
    11 GGUF, safetensors >>files      12 Tokenizer, chat >>tokenizer   13 Model >>model
    14 KV cache and sampler >>sampler 15 Rewards >>rewards             16 Advantages >>advantages
    17 Losses >>losses                18 Optimizer >>schedule          19 Trainer >>trainer
    20 Evaluation >>eval              21 Reports >>reports
    Of section 15: 15.1 exact, number >>numbers, 15.2 math >>math (>>arith
    >>math-clean >>math-read >>math-find >>math-equal >>math-meet), 15.5 choice, format, shape >>format,
    15.6 ifcheck >>ifcheck, 15.7 countdown >>countdown, 15.8 procedural tasks >>proc, 15.9 sandbox >>sandbox, 15.10 code,
    stdio, process >>code, 15.11 judge >>judge, 15.12 the table and the public calls >>grading
*/

#ifndef RLVR_H
#define RLVR_H
/* ============================================================================================
   2. PUBLIC API                                                                         >>api
   ============================================================================================ */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RLVR_VERSION "0.1"

#ifndef RLVR_API
#define RLVR_API extern
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- results: one list makes the enum and its texts ---- */

#define RLVR_RESULTS(X)                                                                            \
    X(RLVR_OK,                "ok")                                                                \
    X(RLVR_ERROR_ARGUMENT,    "bad argument")                                                      \
    X(RLVR_ERROR_MEMORY,      "out of memory")                                                     \
    X(RLVR_ERROR_IO,          "input/output error")                                                \
    X(RLVR_ERROR_FORMAT,      "malformed file")                                                    \
    X(RLVR_ERROR_UNSUPPORTED, "not supported")                                                     \
    X(RLVR_ERROR_CONTEXT,     "longer than the model's context")                                   \
    X(RLVR_ERROR_NUMERIC,     "not a finite number")                                               \
    X(RLVR_REWARD_ERROR,      "the verifier could not grade this rollout")                         \
    X(RLVR_STOPPED,           "stopped by the caller")

typedef enum rlvr_result {
#define RLVR__X(name, text) name,
    RLVR_RESULTS(RLVR__X)
#undef RLVR__X
    RLVR_RESULT_COUNT
} rlvr_result;

RLVR_API const char *rlvr_result_text(rlvr_result r);   /* static text, never NULL */

/* ---- context ---- */

typedef struct rlvr_ctx      rlvr_ctx;
typedef struct rlvr_model    rlvr_model;
typedef struct rlvr_tasks    rlvr_tasks;
typedef struct rlvr_rollouts rlvr_rollouts;
typedef struct rlvr_trainer  rlvr_trainer;

typedef enum rlvr_log_level { RLVR_LOG_ERROR = 1, RLVR_LOG_WARN, RLVR_LOG_INFO } rlvr_log_level;

/* A loop body of the thread pool: do items [begin, end) as worker `thread` (0 .. n_threads-1). */
typedef void (*rlvr_loop_fn)(void *arg, int64_t begin, int64_t end, int thread);

typedef struct rlvr_desc {
    int   n_threads;             /* 0: all cores that this process may use */
    const char *cpu;             /* NULL: the best that the CPU has; or "avx512", "avx2", "neon", "portable" */
    /* caller-supplied memory: both or none. realloc_fn(user, NULL, n) allocates n bytes or returns NULL. */
    void *(*realloc_fn)(void *user, void *p, size_t n);
    void  (*free_fn)(void *user, void *p);
    void  *alloc_user;
    /* caller-supplied log; NULL: errors and warnings to stderr, unless quiet */
    void (*log_fn)(void *user, rlvr_log_level level, const char *text);
    void  *log_user;
    bool   quiet;
    /* caller-supplied threads: runs fn over [0, n) in pieces of at most grain items, on workers numbered below
       n_threads, and returns when all are done. NULL: the library's own pool. */
    void (*parallel_for)(void *user, int64_t n, int64_t grain, rlvr_loop_fn fn, void *arg);
    void  *parallel_user;
} rlvr_desc;

/* Opens a context. desc NULL: all defaults. NULL when memory is out or a field is wrong (the reason goes to the log).
   One context belongs to one thread at a time; two contexts share nothing. */
RLVR_API rlvr_ctx   *rlvr_open(const rlvr_desc *desc);
/* Frees the context and whatever still hangs off it (models, tasks, trainers). */
RLVR_API void        rlvr_close(rlvr_ctx *ctx);
/* The last error's full text: file, place and fix. Lives in ctx until the next failing call; "" when none failed. */
RLVR_API const char *rlvr_last_error(const rlvr_ctx *ctx);
/* One line about the machine: compiler, instruction set, threads. Lives in ctx. */
RLVR_API const char *rlvr_describe(rlvr_ctx *ctx);
RLVR_API void        rlvr_free(rlvr_ctx *ctx, void *p);      /* what a function "allocated from ctx"; NULL is fine */

/* ---- random numbers: Philox4x32-10 (Salmon et al., SC 2011). Stateless: the same numbers in give the same bits out. ---- */

RLVR_API void  rlvr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* Uniform in [0, 1) with 24 bits, for the stream (seed, step, prompt, rollout, position). */
RLVR_API float rlvr_uniform(uint64_t seed, uint32_t step, uint32_t prompt, uint32_t rollout, uint32_t position);

/* ---- model ---- */

typedef struct rlvr_model_desc {   /* Llama family (Touvron et al. 2023): GQA, RoPE, RMSNorm, SwiGLU */
    int   n_vocab, n_ctx, d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff;
    float rope_theta, rms_eps;     /* 0: 10000, 1e-5 */
    bool  tied;                    /* the lm-head is the embedding */
    float init_std;                /* rlvr_model_init: 0 means 0.02 */
    uint64_t seed;                 /* rlvr_model_init */
} rlvr_model_desc;

/* Loads a GGUF file, or a folder with config.json, *.safetensors and tokenizer.json. NULL on failure (rlvr_last_error). */
RLVR_API rlvr_model *rlvr_model_load(rlvr_ctx *ctx, const char *path);
/* Makes a model with random weights: normal(0, init_std), output projections divided by sqrt(2 n_layers), norms 1.
   It has no tokenizer until rlvr_model_set_byte_tokenizer(). */
RLVR_API rlvr_model *rlvr_model_init(rlvr_ctx *ctx, const rlvr_model_desc *desc);
/* Gives a model a byte-level tokenizer: ids 0..255 are bytes, then n_special named tokens; the last one ends a text. */
RLVR_API rlvr_result rlvr_model_set_byte_tokenizer(rlvr_model *m, const char *const *special, int n_special);
/* Saves a folder (config.json, model.safetensors f32, tokenizer.json, tokenizer_config.json, generation_config.json) that
   transformers loads. A path ending in ".safetensors" saves the weights alone. Written beside, synced, renamed. */
RLVR_API rlvr_result rlvr_model_save(rlvr_model *m, const char *path);
RLVR_API void        rlvr_model_free(rlvr_model *m);                     /* NULL is fine; so in every _free and _close */
RLVR_API rlvr_ctx   *rlvr_model_ctx(rlvr_model *m);
RLVR_API const rlvr_model_desc *rlvr_model_info(const rlvr_model *m);    /* lives in m */
RLVR_API int64_t     rlvr_model_n_params(const rlvr_model *m);
RLVR_API uint64_t    rlvr_model_hash(const rlvr_model *m);               /* FNV-1a over all weights' bits, tensor by tensor */
/* Copies one parameter tensor by its transformers name ("model.layers.0.self_attn.q_proj.weight"), row-major (rows, cols),
   from the weights or, with grad, from the last backward's gradients. n: numbers in out; must be rows * cols. */
RLVR_API rlvr_result rlvr_model_get(rlvr_model *m, const char *name, bool grad, float *out, int64_t n);
RLVR_API rlvr_result rlvr_model_set(rlvr_model *m, const char *name, const float *in, int64_t n);
/* Name and shape of parameter i (0 ..); false past the end. A vector has cols 1. */
RLVR_API bool        rlvr_model_param(const rlvr_model *m, int i, const char **name, int64_t *rows, int64_t *cols);

/* ---- text ---- */

/* Tokens of a text. With parse_special, special tokens spelt in the text become their ids, as transformers does.
   Returns the count; *tokens is allocated from ctx. -1 on failure. */
RLVR_API int   rlvr_tokenize(rlvr_model *m, const char *text, size_t len, bool parse_special, int **tokens);
/* Text of tokens, allocated from ctx, NUL-terminated, *len bytes. Special tokens are left out unless with_special. */
RLVR_API char *rlvr_detokenize(rlvr_model *m, const int *tokens, int n, bool with_special, size_t *len);
typedef struct rlvr_message { const char *role, *content; } rlvr_message;
/* The prompt text of a conversation by the model's chat template (chatml), ready for the assistant to go on.
   A missing system message becomes the model's default one. Allocated from ctx. */
RLVR_API char *rlvr_chat(rlvr_model *m, const rlvr_message *messages, int n, size_t *len);
RLVR_API int   rlvr_token_eos(const rlvr_model *m);    /* -1: none */

/* ---- tasks: what the model is asked, and what its verifier needs to know ---- */

typedef struct rlvr_task {
    const char *prompt;      /* user text, or the whole prompt text where raw */
    const rlvr_message *messages; int n_messages;    /* a conversation instead of prompt */
    const char *answer;      /* gold answer; NULL if none */
    const char *json;        /* the task's whole JSON line, for verifiers that read other fields; NULL if none */
    bool        raw;         /* prompt is not put through the chat template */
    int64_t     line;        /* where it came from, for messages */
} rlvr_task;

/* Lines {"prompt": "..."} or {"messages": [...]}, with "answer". NULL on the first bad line (its number in the message). */
RLVR_API rlvr_tasks *rlvr_tasks_load_jsonl(rlvr_ctx *ctx, const char *path);
RLVR_API rlvr_tasks *rlvr_tasks_new(rlvr_ctx *ctx);
RLVR_API rlvr_result rlvr_tasks_add(rlvr_tasks *t, const rlvr_task *task);    /* copies the strings */
RLVR_API int64_t     rlvr_tasks_count(const rlvr_tasks *t);
RLVR_API const rlvr_task *rlvr_tasks_get(const rlvr_tasks *t, int64_t i);     /* an array of them from i on; lives in t */
RLVR_API void        rlvr_tasks_free(rlvr_tasks *t);
/* A generator of tasks: fills *task for a running number. Its strings live until the next call. A pure function of index,
   so that a resumed run asks the same. */
typedef rlvr_result (*rlvr_task_fn)(void *user, uint64_t index, rlvr_task *task);

/* ---- sampling ---- */

typedef enum rlvr_finish { RLVR_FINISH_NONE, RLVR_FINISH_STOP, RLVR_FINISH_LENGTH } rlvr_finish;

typedef struct rlvr_sampling {
    float temperature;       /* 0: 1.0 */
    bool  greedy;            /* arg-max; the logprob is then that of temperature 1 */
    int   top_k;             /* 0: off. Ties with the k-th stay in */
    float top_p;             /* 0: off (1.0) */
    float min_p;             /* 0: off; drop tokens less probable than min_p times the most probable */
    int   max_tokens;        /* 0: 256 */
    int   min_tokens;        /* end-of-text and stop tokens are not drawn before */
    const int *stop_tokens;  int n_stop_tokens;          /* besides the model's own end-of-text */
    const char *const *stop; int n_stop;                 /* strings that end a completion; kept in the text */
    bool  ignore_eos;
    int   max_batch;         /* rollouts decoded at once; 0: 256 */
    uint64_t seed;
    uint32_t step, first_prompt;   /* streams: (seed, step, first_prompt + prompt index, rollout index, position) */
    /* called after each token with whole UTF-8 characters only; return false to stop everything */
    bool (*on_text)(void *user, int prompt, int rollout, const char *text, size_t len);
    void  *user;
} rlvr_sampling;

typedef struct rlvr_rollout {
    const rlvr_task *task;           /* what was asked */
    int   prompt_index, index;       /* which prompt, which rollout of its group */
    const int   *prompt_tokens;  int n_prompt;
    const int   *tokens;         int n_tokens;      /* completion, the ending token included */
    const float *logprobs;           /* (n_tokens) under the distribution that each was drawn from */
    const float *entropy;            /* (n_tokens) of that distribution, nats */
    const char  *text;  size_t text_len;            /* completion as text, without special tokens, NUL-terminated */
    rlvr_finish  finish_reason;
    rlvr_result  graded;             /* RLVR_OK, or why there is no reward */
    float reward, advantage;
} rlvr_rollout;

/* Verb 1, sample: group_size rollouts of each task. *out NULL: allocated; else reused. Tasks must outlive the rollouts. */
RLVR_API rlvr_result rlvr_sample(rlvr_model *m, const rlvr_task *tasks, int n_tasks, int group_size,
                                 const rlvr_sampling *s, rlvr_rollouts **out);
RLVR_API int           rlvr_rollouts_count(const rlvr_rollouts *r);
RLVR_API int           rlvr_rollouts_group_size(const rlvr_rollouts *r);
RLVR_API rlvr_rollout *rlvr_rollouts_get(rlvr_rollouts *r, int i);    /* group g's are g*group_size ...; live in r */
RLVR_API void          rlvr_rollouts_free(rlvr_rollouts *r);

/* Log-probabilities of given tokens: out[i] is logprob(tokens[i+1] | tokens[0..i]), i < n-1, under s (NULL: temperature 1,
   nothing truncated). */
RLVR_API rlvr_result rlvr_score(rlvr_model *m, const int *tokens, int n, const rlvr_sampling *s, float *out);
/* Logits after each of n tokens: out is (n, n_vocab). For tests and small models; training never builds this. */
RLVR_API rlvr_result rlvr_logits(rlvr_model *m, const int *tokens, int n, float *out);

/* ---- rewards ---- */

/* Grades one rollout: *reward and RLVR_OK, or RLVR_REWARD_ERROR. NaN counts as an error; an error is never a zero. */
typedef rlvr_result (*rlvr_reward_fn)(const rlvr_rollout *r, void *user, float *reward);

/* The verifiers that come with the library, each described at its section below. One list makes the enum and the names. */
#define RLVR_REWARDS(X)                                                                            \
    X(RLVR_REWARD_EXACT,     "exact")      /* the text is the answer                           */  \
    X(RLVR_REWARD_NUMBER,    "number")     /* the number is the answer's                       */  \
    X(RLVR_REWARD_MATH,      "math")       /* LaTeX or plain mathematics equal to the answer   */  \
    X(RLVR_REWARD_CHOICE,    "choice")     /* multiple choice                                  */  \
    X(RLVR_REWARD_FORMAT,    "format")     /* tags and a small pattern                         */  \
    X(RLVR_REWARD_COUNTDOWN, "countdown")  /* an expression over given numbers                 */  \
    X(RLVR_REWARD_PROC,      "proc")       /* a procedural family's own scorer                 */  \
    X(RLVR_REWARD_CODE,      "code")       /* a Python function against asserts, sandboxed     */  \
    X(RLVR_REWARD_STDIO,     "stdio")      /* a program against input and output, sandboxed    */  \
    X(RLVR_REWARD_IFCHECK,   "ifcheck")    /* verifiable instructions                          */  \
    X(RLVR_REWARD_JUDGE,     "judge")      /* a language model's yes or no, or a rubric of them */ \
    X(RLVR_REWARD_PROCESS,   "process")    /* an external command, line JSON                   */  \
    X(RLVR_REWARD_SHAPE,     "shape")      /* length and repetition                            */  \
    X(RLVR_REWARD_COMPOSE,   "compose")    /* several of these: weights, gates, product, GDPO  */

typedef enum rlvr_reward_kind {
    RLVR_REWARD_NONE,
#define RLVR__X(kind, name) kind,
    RLVR_REWARDS(RLVR__X)
#undef RLVR__X
    RLVR_REWARD_KIND_COUNT
} rlvr_reward_kind;

typedef struct rlvr_reward_desc {
    rlvr_reward_fn fn;  void *user;      /* a function of your own; kind is then not read */
    rlvr_reward_kind kind;
    const char *options;                 /* a JSON object: fields that hold where a task does not carry them itself; NULL: none */
    const char *name;                    /* in metrics, rewards/NAME/mean; NULL: the kind's */
    float weight;                        /* as a part; 0: 1 */
    bool  gate;                          /* as a part: where it earns nothing, the whole earns 0 */
    const struct rlvr_reward_desc *parts; int n_parts;     /* of RLVR_REWARD_COMPOSE */
    rlvr_model *model;                   /* of RLVR_REWARD_JUDGE; NULL: the policy itself */
} rlvr_reward_desc;

#define RLVR_STATUSES(X)                                                                           \
    X(RLVR_STATUS_EQUAL,    "equal")       /* right                                            */  \
    X(RLVR_STATUS_UNEQUAL,  "unequal")     /* wrong                                            */  \
    X(RLVR_STATUS_UNPARSED, "unparsed")    /* nothing that could be an answer was found: a zero */ \
    X(RLVR_STATUS_PARTIAL,  "partial")     /* between: a score, a share of the tests           */  \
    X(RLVR_STATUS_BAD_GOLD, "bad_gold")    /* the task is wrong: an error, no zero             */  \
    X(RLVR_STATUS_LIMIT,    "limit")       /* too large to decide: an error                    */  \
    X(RLVR_STATUS_ERROR,    "error")       /* the verifier itself failed: an error             */  \
    X(RLVR_STATUS_PENDING,  "pending")     /* a verdict that another process still works on    */

typedef enum rlvr_status {
#define RLVR__X(status, name) status,
    RLVR_STATUSES(RLVR__X)
#undef RLVR__X
    RLVR_STATUS_COUNT
} rlvr_status;
RLVR_API const char *rlvr_status_text(rlvr_status s);      /* static text, never NULL */

typedef struct rlvr_grade_result {
    rlvr_status status;
    float reward;                        /* 0 where status is an error */
    char  extracted[256];                /* what was taken for the answer, cut where it is longer */
    char  reason[256];                   /* why the status is what it is; "" where it says all */
} rlvr_grade_result;

/* The kind of a name ("exact", "number", ...); RLVR_REWARD_NONE if there is none. */
RLVR_API rlvr_reward_kind rlvr_reward_find(const char *name);
/* Grades one text against a gold answer (NULL where the kind needs none). RLVR_OK, or RLVR_REWARD_ERROR where there is no
   verdict: a bad gold, a limit, a verifier that failed; out says which. A desc with fn is for rollouts alone. */
RLVR_API rlvr_result rlvr_grade(rlvr_ctx *ctx, const rlvr_reward_desc *desc, const char *completion, const char *gold,
                                rlvr_grade_result *out);
/* The same of any bytes, for a task: its answer is the gold, and the fields of its JSON are the verifier's. */
RLVR_API rlvr_result rlvr_grade_task(rlvr_ctx *ctx, const rlvr_reward_desc *desc, const char *completion, size_t len,
                                     const rlvr_task *task, rlvr_grade_result *out);
/* Refuses tasks that lack what the verifier needs, with the line and the field in the message. */
RLVR_API rlvr_result rlvr_reward_check(rlvr_ctx *ctx, const rlvr_reward_desc *desc, const rlvr_tasks *tasks);
/* Verb 2, grade: fills reward and graded of every rollout. A failure of single rollouts is not a failure of the call. */
RLVR_API rlvr_result rlvr_grade_rollouts(rlvr_rollouts *r, const rlvr_reward_desc *desc);

/* ---- advantages ---- */

typedef enum rlvr_advantage {
    RLVR_ADV_GRPO,           /* (R - mean) / (std + 1e-4), std with N-1 (Shao et al. 2024, as TRL) */
    RLVR_ADV_DR_GRPO         /* R - mean (Liu et al. 2025) */
} rlvr_advantage;

/* One group's advantages from its rewards; valid[i] false leaves i out (advantage 0). Equal rewards give exactly 0. */
RLVR_API void rlvr_advantage_group(rlvr_advantage kind, const float *reward, const bool *valid, int n, float *advantage);
/* Verb 3, advantage: fills advantage of every rollout. Returns the number of groups with signal. */
RLVR_API int  rlvr_advantages(rlvr_rollouts *r, rlvr_advantage kind);

/* ---- losses ---- */

typedef enum rlvr_aggregation {
    RLVR_AGG_TOKEN_MEAN,             /* sum over all tokens / their number (DAPO) */
    RLVR_AGG_SEQ_MEAN_TOKEN_MEAN,    /* mean over sequences of the token mean (GRPO) */
    RLVR_AGG_SEQ_MEAN_TOKEN_SUM_NORM /* sum / (sequences * max_tokens) (Dr. GRPO) */
} rlvr_aggregation;
typedef enum rlvr_kl { RLVR_KL_K3, RLVR_KL_K1, RLVR_KL_K2 } rlvr_kl;   /* Schulman 2020; x = logprob - ref_logprob */

typedef struct rlvr_loss_desc {
    float clip_eps_low, clip_eps_high;   /* 0: 0.2; high 0: the same as low */
    rlvr_aggregation aggregation;
    rlvr_kl kl;
    float kl_coef;                       /* 0: no reference model */
    int   max_tokens;                    /* the constant of seq_mean_token_sum_norm; 0 in a trainer: the sampling's */
} rlvr_loss_desc;

typedef struct rlvr_loss_stats {
    double loss, policy_loss, kl;        /* kl: token mean of the estimator */
    double clip_low, clip_high;          /* fraction of tokens whose gradient the clip has cut, by side */
    double ratio_max;
    int64_t n_tokens;                    /* tokens under the mask */
} rlvr_loss_stats;

/* Verb 4, loss: PPO's clipped surrogate (Schulman et al. 2017) with per-sequence advantages. Sequence s has tokens
   offset[s] .. offset[s+1]-1; arrays of n = offset[n_seq] tokens; mask NULL: every token counts. ref_logprob may be NULL if
   kl_coef is 0. Writes dloss/dlogprob of each token. n_seq_total, n_tokens_total: of the whole batch when this is one
   micro-batch of it (0: of this call). A non-finite input is RLVR_ERROR_NUMERIC and writes zeros. */
RLVR_API rlvr_result rlvr_policy_loss(const rlvr_loss_desc *d, int n_seq, const int *offset, const float *logprob,
                                      const float *old_logprob, const float *ref_logprob, const float *advantage,
                                      const unsigned char *mask, int64_t n_seq_total, int64_t n_tokens_total,
                                      float *dlogprob, rlvr_loss_stats *stats);

/* ---- optimizer ---- */

typedef enum rlvr_schedule { RLVR_LR_CONSTANT, RLVR_LR_COSINE, RLVR_LR_LINEAR } rlvr_schedule;

typedef struct rlvr_optim_desc {     /* AdamW (Loshchilov & Hutter 2019) */
    float lr;                        /* 0: 1e-5 */
    float beta1, beta2, eps;         /* 0: 0.9, 0.999, 1e-8 */
    float weight_decay;              /* on matrices only; 0 is none */
    float max_grad_norm;             /* 0: 1.0; below 0: no clipping */
    int   warmup_steps;
    int   total_steps;               /* of the schedule; cosine and linear end at lr_min there */
    rlvr_schedule schedule;
    float lr_min;
} rlvr_optim_desc;
RLVR_API float rlvr_learning_rate(const rlvr_optim_desc *d, int64_t step);    /* of update number step, from 0 */

/* ---- trainer ---- */

typedef struct rlvr_metrics {        /* names follow TRL's */
    int64_t step;                    /* steps done, this one included */
    double  reward_mean, reward_std; /* reward, reward_std: over rollouts with a reward; std is the mean of the groups' */
    double  frac_reward_zero_std;    /* groups without signal / groups */
    int     n_groups, n_groups_signal, n_rollouts, n_reward_errors;
    double  completion_mean_length, completion_min_length, completion_max_length;
    double  truncated;               /* completions/clipped_ratio: ended by max_tokens */
    double  entropy, kl, loss, clip_low, clip_high, grad_norm, learning_rate;
    double  step_time, sample_time, grade_time, train_time;     /* seconds */
    int64_t num_tokens;              /* prompt and completion tokens so far */
    bool    skipped;                 /* no signal, or a non-finite gradient: nothing was moved */
    int64_t n_skipped;
} rlvr_metrics;

typedef struct rlvr_trainer_desc {
    /* what is asked: a task list, walked in shuffled epochs, or a generator; neither: rlvr_train_tokens() alone */
    rlvr_tasks  *tasks;
    rlvr_task_fn task_fn;  void *task_user;
    rlvr_reward_desc reward;
    int   prompts_per_step;          /* 0: 8 */
    int   group_size;                /* 0: 8 */
    rlvr_sampling sampling;          /* its seed, step and first_prompt are the trainer's */
    rlvr_advantage advantage;
    rlvr_loss_desc loss;
    rlvr_optim_desc optim;
    int   epochs;                    /* passes over each batch of rollouts; 0: 1 */
    int   minibatches;               /* updates in each pass; 0: 1 */
    int   max_prompt_tokens;         /* 0: 256; a longer prompt is refused */
    int   micro_tokens;              /* most token rows in one training forward and backward; 0: as the plan allows */
    bool  two_forwards;              /* do not keep decoding's activations; run the training forward anew */
    uint64_t seed;
    int64_t memory_limit;            /* bytes the plan may use; 0: 90 % of what the machine has free */
    const char *out_dir;             /* NULL: nothing is written. Else metrics.jsonl, completions.jsonl, checkpoint, model/ */
    int   save_every;                /* steps between checkpoints in out_dir; 0: only when asked */
    int   log_completions;           /* rollouts of each step that go to completions.jsonl; 0: none, -1: all */
} rlvr_trainer_desc;

typedef struct rlvr_memory {         /* bytes */
    int64_t weights, gradients, optimizer, reference, kv_cache, activations, scratch, total, limit;
    bool    one_forward;             /* activations of decoding are kept, so training runs no forward */
} rlvr_memory;

RLVR_API rlvr_result   rlvr_memory_plan(rlvr_model *m, const rlvr_trainer_desc *d, rlvr_memory *plan);
/* Opens a trainer. Refuses, with the plan in the message, what would not fit. NULL on failure. desc's tasks, user pointers
   and strings stay the caller's and must outlive it. */
RLVR_API rlvr_trainer *rlvr_trainer_open(rlvr_model *m, const rlvr_trainer_desc *desc);
RLVR_API void          rlvr_trainer_close(rlvr_trainer *t);
/* One step: sample, grade, advantage, loss, update. */
RLVR_API rlvr_result   rlvr_train_step(rlvr_trainer *t, rlvr_metrics *m);
RLVR_API rlvr_rollouts *rlvr_trainer_rollouts(rlvr_trainer *t);      /* of the last step; live until the next */
/* Checkpoint of everything that the next step depends on: one file, written beside, synced, renamed. */
RLVR_API rlvr_result   rlvr_trainer_save(rlvr_trainer *t, const char *path);
RLVR_API rlvr_result   rlvr_trainer_resume(rlvr_trainer *t, const char *path);
RLVR_API int64_t       rlvr_trainer_steps(const rlvr_trainer *t);    /* steps done so far, also after a resume */

/* Cross-entropy on texts (mid-training, SFT): one update on n sequences; tokens[offset[s] .. offset[s+1]-1] is sequence s,
   and token i is learned where mask[i] is set (mask NULL: all but each first). Mean over learned tokens. */
RLVR_API rlvr_result   rlvr_train_tokens(rlvr_trainer *t, const int *tokens, const int *offset, int n_seq,
                                         const unsigned char *mask, rlvr_metrics *m);
/* The gradient alone, for tests and own optimizers: sets the model's gradients to d/dw sum_i weight[i] * logprob(token i)
   (a sequence's first token has none: its weight is ignored) and writes each token's logprob. */
RLVR_API rlvr_result   rlvr_grad_tokens(rlvr_trainer *t, const int *tokens, const int *offset, int n_seq,
                                        const float *weight, float *logprob);

/* ---- evaluation ---- */

/* 1 - C(n-c, k) / C(n, k) (Chen et al. 2021): chance that k of n samples, c of them right, hold a right one. */
RLVR_API double rlvr_pass_at_k(int n, int c, int k);

typedef struct rlvr_eval_desc {
    rlvr_sampling sampling;
    int    n;                    /* samples of each task; 0: 1 */
    rlvr_reward_desc reward;     /* a reward of at least 0.5 is a pass */
    bool   greedy;               /* also one greedy completion of each task */
    int    bootstrap;            /* resamples, by prompt; 0: 1000 */
    uint64_t seed;
} rlvr_eval_desc;

typedef struct rlvr_eval_report {
    int64_t n_tasks; int n;
    double pass_at_1, pass_at_1_low, pass_at_1_high;      /* 95 % bootstrap interval, clustered by prompt */
    double pass_at_n, maj_at_n;
    double greedy, greedy_low, greedy_high;               /* -1 if not asked for */
    double mean_length, truncated, entropy;
    int64_t n_reward_errors, n_tokens;
    double pass_at_k[16]; int k[16]; int n_k;             /* k = 1, 2, 4 ... n */
    double seconds;
} rlvr_eval_report;
RLVR_API rlvr_result rlvr_eval(rlvr_model *m, const rlvr_task *tasks, int64_t n_tasks, const rlvr_eval_desc *d,
                               rlvr_eval_report *report);

/* ---- reports ---- */

typedef struct rlvr_series { const char *name; const double *x, *y; int n; } rlvr_series;
/* A line chart as an SVG file. */
RLVR_API rlvr_result rlvr_write_svg(rlvr_ctx *ctx, const char *path, const char *title, const char *x_label,
                                    const char *y_label, const rlvr_series *series, int n_series);

#ifdef __cplusplus
}
#endif
#endif /* RLVR_H */
#ifdef RLVR_IMPLEMENTATION
#ifndef RLVR__KERNEL_PASS      /* the kernels of sections 8 and 9 are compiled once for each instruction set */
/* ============================================================================================
   3. PLATFORM                                                                      >>platform
   ============================================================================================ */

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef _WIN32
#include <direct.h>
#include <io.h>
#include <windows.h>
#else
#include <dirent.h>
#include <sched.h>
#include <sys/mman.h>
#endif

#ifndef RLVR_NO_STB_DS_IMPLEMENTATION      /* define it where the program already holds stb_ds's implementation */
#define STB_DS_IMPLEMENTATION
#endif
#define STBDS_NO_SHORT_NAMES
#pragma GCC diagnostic push      /* where stb does not lie in a system folder, its warnings are not ours */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_ds.h>
#pragma GCC diagnostic pop

#if defined(__SANITIZE_ADDRESS__)
#define RLVR__SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RLVR__SANITIZED 1
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#ifdef __MINGW32__
#define RLVR__PRINTF(a, b) __attribute__((format(gnu_printf, a, b)))
#else
#define RLVR__PRINTF(a, b) __attribute__((format(printf, a, b)))
#endif
#define RLVR__UNUSED __attribute__((unused))
#else
#error "rlvr.h needs gcc or clang"
#endif

#ifdef _WIN32
#define rlvr__mkdir(path) mkdir(path)
#define rlvr__fsync(fd)   _commit(fd)
#else
#define rlvr__mkdir(path) mkdir(path, 0777)
#define rlvr__fsync(fd)   fsync(fd)
#endif

#define RLVR__MIN(a, b) ((a) < (b) ? (a) : (b))
#define RLVR__MAX(a, b) ((a) > (b) ? (a) : (b))

/* Sizes that come from files or callers are multiplied and added here alone. False on overflow. */
static inline bool rlvr__mul_ok(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool rlvr__add_ok(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

static inline float rlvr__from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline uint32_t rlvr__to_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }

static inline float rlvr__bf16_to_f32(uint16_t h) { return rlvr__from_bits((uint32_t)h << 16); }
static inline float rlvr__f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
    if (exponent == 31) return rlvr__from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return rlvr__from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float subnormal = (float)mantissa * (1.0f / 16777216.0f);
    return sign ? -subnormal : subnormal;
}

static double rlvr__now(void)      /* seconds, monotonic */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int rlvr__cpu_count(void)
{
#ifdef _WIN32
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
#elif defined(__linux__) && defined(_GNU_SOURCE)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
#else
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
}

static int64_t rlvr__free_memory(void)     /* bytes that a process may still take; 0: unknown */
{
#ifdef _WIN32
    MEMORYSTATUSEX s;
    s.dwLength = sizeof s;
    return GlobalMemoryStatusEx(&s) ? (int64_t)s.ullAvailPhys : 0;
#else
    FILE *f = fopen("/proc/meminfo", "r");
    char line[256];
    long long kib = 0;
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1) break;
    fclose(f);
    return (int64_t)kib * 1024;
#endif
}

/* ============================================================================================
   4. LOG AND ERROR                                                                    >>error
   ============================================================================================ */

enum { RLVR__LINE = 64, RLVR__HEADER = 128, RLVR__HUGE = 1 << 21, RLVR__CLASSES = 12, RLVR__CLASS_MIN = 256 };
typedef struct rlvr__block rlvr__block;
typedef struct rlvr__pool rlvr__pool;
typedef struct rlvr__kernels rlvr__kernels;

enum { RLVR__GEMM_ROWS = 1 << 20 };

struct rlvr_ctx {
    rlvr_desc desc;
    char error[2048];
    char describe[256];
    rlvr__block *blocks;             /* every allocation that is alive */
    rlvr__block *spare[RLVR__CLASSES];          /* freed small blocks by size class, taken again before memory is asked for */
    rlvr__pool *pool;
    int n_threads;
    const rlvr__kernels *kernels;    /* of the instruction set that was chosen */
    float *gemm_rows;                /* (RLVR__GEMM_ROWS) rows of a matrix whose own row stride is bad for the cache, section 8 */
};

const char *rlvr_result_text(rlvr_result r)
{
    static const char *const text[] = {
#define RLVR__X(name, text) text,
        RLVR_RESULTS(RLVR__X)
#undef RLVR__X
    };
    return (unsigned)r < RLVR_RESULT_COUNT ? text[r] : "unknown result";
}

RLVR__PRINTF(3, 4) static void rlvr__log(rlvr_ctx *ctx, rlvr_log_level level, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (ctx->desc.log_fn) ctx->desc.log_fn(ctx->desc.log_user, level, text);
    else if (!ctx->desc.quiet && level <= RLVR_LOG_WARN) fprintf(stderr, "rlvr: %s\n", text);
}

/* Records the message for rlvr_last_error(), logs it, and returns r, so that failing code reads `return rlvr__fail(...)`. */
RLVR__PRINTF(3, 4) static rlvr_result rlvr__fail(rlvr_ctx *ctx, rlvr_result r, const char *format, ...)
{
    char text[sizeof ctx->error];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(ctx->error, text, sizeof text);
    rlvr__log(ctx, RLVR_LOG_ERROR, "%s", text);
    return r;
}

const char *rlvr_last_error(const rlvr_ctx *ctx) { return ctx ? ctx->error : "no context"; }

/* ============================================================================================
   5. ALLOCATOR                                                                        >>alloc
   ============================================================================================ */

/* Every allocation starts with this header on a cache line of its own and is zeroed. Blocks hang on the context, so that
   rlvr_close() can free what is left. Small ones are kept when freed and used again: a step after the first asks the system
   for nothing. Large ones are mapped, so that they take huge pages and cost nothing until touched. */
struct rlvr__block {
    rlvr__block *next, *prev;
    void  *base;
    size_t bytes;            /* as allocated at base */
    bool   mapped;
    int    size_class;       /* of a small block; -1: not kept */
};

/* The size class that holds total bytes, which becomes the class's size; -1: too large, or a sanitizer wants to see each free. */
static int rlvr__size_class(size_t *total)
{
#if defined(RLVR__SANITIZED) || defined(RLVR_NO_BLOCK_REUSE)
    (void)total;
#else
    for (int c = 0; c < RLVR__CLASSES; c++)
        if (*total <= (size_t)RLVR__CLASS_MIN << c) { *total = (size_t)RLVR__CLASS_MIN << c; return c; }
#endif
    return -1;
}

static void *rlvr__block_link(rlvr_ctx *ctx, rlvr__block *block)
{
    block->prev = NULL;
    block->next = ctx->blocks;
    if (ctx->blocks) ctx->blocks->prev = block;
    ctx->blocks = block;
    return (char *)block + RLVR__HEADER;
}

static void *rlvr__alloc(rlvr_ctx *ctx, size_t count, size_t size)
{
    size_t bytes, total;
    void *base = NULL;
    bool mapped = false;
    if (!rlvr__mul_ok(count, size, &bytes) || !rlvr__add_ok(bytes, RLVR__HEADER + RLVR__LINE, &total)) {
        rlvr__fail(ctx, RLVR_ERROR_MEMORY, "out of memory: %zu items of %zu bytes overflow a size", count, size);
        return NULL;
    }
    int size_class = rlvr__size_class(&total);
    if (size_class >= 0 && ctx->spare[size_class]) {
        rlvr__block *spare = ctx->spare[size_class];
        ctx->spare[size_class] = spare->next;
        memset((char *)spare + RLVR__HEADER, 0, bytes);
        return rlvr__block_link(ctx, spare);
    }
    if (ctx->desc.realloc_fn) {
        base = ctx->desc.realloc_fn(ctx->desc.alloc_user, NULL, total);
        if (base) memset(base, 0, total);
    }
#ifndef _WIN32
    else if (total >= 2 * RLVR__HUGE) {
        base = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED) base = NULL;
#ifdef MADV_HUGEPAGE
        else madvise(base, total, MADV_HUGEPAGE);
#endif
        mapped = true;
    }
#endif
    else base = calloc(1, total);
    if (!base) {
        rlvr__fail(ctx, RLVR_ERROR_MEMORY, "out of memory: %zu bytes asked for; use a smaller batch or free memory", bytes);
        return NULL;
    }
    char *user = (char *)(((uintptr_t)base + RLVR__HEADER + RLVR__LINE - 1) & ~(uintptr_t)(RLVR__LINE - 1));
    rlvr__block *block = (rlvr__block *)(void *)(user - RLVR__HEADER);
    block->base = base;
    block->bytes = total;
    block->mapped = mapped;
    block->size_class = size_class;
    return rlvr__block_link(ctx, block);
}

#define RLVR__NEW(ctx, type, count) ((type *)rlvr__alloc((ctx), (size_t)(count), sizeof(type)))

static void rlvr__block_release(rlvr_ctx *ctx, rlvr__block *block)
{
    void *base = block->base;
#ifndef _WIN32
    if (block->mapped) { munmap(base, block->bytes); return; }
#endif
    if (ctx->desc.free_fn) ctx->desc.free_fn(ctx->desc.alloc_user, base);
    else free(base);
}

static void rlvr__free(rlvr_ctx *ctx, void *p)
{
    if (!p) return;
    rlvr__block *block = (rlvr__block *)(void *)((char *)p - RLVR__HEADER);
    if (block->prev) block->prev->next = block->next;
    else ctx->blocks = block->next;
    if (block->next) block->next->prev = block->prev;
    if (block->size_class < 0) { rlvr__block_release(ctx, block); return; }
    block->next = ctx->spare[block->size_class];
    ctx->spare[block->size_class] = block;
}

void rlvr_free(rlvr_ctx *ctx, void *p) { if (ctx) rlvr__free(ctx, p); }

static char *rlvr__strndup(rlvr_ctx *ctx, const char *s, size_t n)
{
    char *copy = RLVR__NEW(ctx, char, n + 1);
    if (copy && n) memcpy(copy, s, n);
    return copy;
}

/* Grows an array to at least `need` items, its contents lost: arrays that are filled anew for each batch. */
static bool rlvr__reserve(rlvr_ctx *ctx, void **array, int64_t *cap, int64_t need, size_t size)
{
    if (need <= *cap && *array) return true;
    rlvr__free(ctx, *array);
    *cap = 0;
    *array = need < 0 ? NULL : rlvr__alloc(ctx, (size_t)need, size);
    if (!*array) return false;
    *cap = need;
    return true;
}

/* A growing byte buffer. `failed` sticks, so that a writer checks once at its end. */
typedef struct rlvr__buf { rlvr_ctx *ctx; char *data; size_t len, cap; bool failed; } rlvr__buf;

static bool rlvr__buf_reserve(rlvr__buf *b, size_t more)
{
    size_t need;
    if (b->failed || !rlvr__add_ok(b->len, more, &need) || !rlvr__add_ok(need, 1, &need)) { b->failed = true; return false; }
    if (need <= b->cap) return true;
    size_t cap = RLVR__MAX(need, RLVR__MAX(b->cap + b->cap / 2, (size_t)256));
    char *data = RLVR__NEW(b->ctx, char, cap);
    if (!data) { b->failed = true; return false; }
    if (b->len) memcpy(data, b->data, b->len);
    rlvr__free(b->ctx, b->data);
    b->data = data;
    b->cap = cap;
    return true;
}

static void rlvr__buf_add(rlvr__buf *b, const void *data, size_t n)
{
    if (!rlvr__buf_reserve(b, n)) return;
    if (n) memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = 0;
}

RLVR__PRINTF(2, 3) static void rlvr__buf_addf(rlvr__buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !rlvr__buf_reserve(b, (size_t)n)) return;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)n + 1, format, args);
    va_end(args);
    b->len += (size_t)n;
}

static void rlvr__buf_free(rlvr__buf *b) { rlvr__free(b->ctx, b->data); b->data = NULL; b->len = b->cap = 0; }

/* ---- files ---- */

typedef struct rlvr__file { const unsigned char *data; size_t len; bool mapped; } rlvr__file;

/* Maps a file for reading (reads it into memory where it cannot be mapped). Release with rlvr__file_close(). */
static rlvr_result rlvr__file_open(rlvr_ctx *ctx, const char *path, rlvr__file *out)
{
    struct stat st;
    memset(out, 0, sizeof *out);
    int fd = open(path, O_RDONLY
#ifdef O_BINARY
                  | O_BINARY
#endif
    );
    if (fd < 0) return rlvr__fail(ctx, RLVR_ERROR_IO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return rlvr__fail(ctx, RLVR_ERROR_IO, "%s: not a regular file", path);
    }
    out->len = (size_t)st.st_size;
#ifndef _WIN32
    if (out->len && !ctx->desc.realloc_fn) {
        void *p = mmap(NULL, out->len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            out->data = (const unsigned char *)p;
            out->mapped = true;
            close(fd);
            return RLVR_OK;
        }
    }
#endif
    unsigned char *data = RLVR__NEW(ctx, unsigned char, out->len + 1);
    size_t got = 0;
    while (data && got < out->len) {
        long n = (long)read(fd, data + got, (unsigned)RLVR__MIN(out->len - got, (size_t)1 << 30));
        if (n <= 0) break;
        got += (size_t)n;
    }
    int why = errno;
    close(fd);
    if (!data) return RLVR_ERROR_MEMORY;
    if (got < out->len) {
        rlvr__free(ctx, data);
        return rlvr__fail(ctx, RLVR_ERROR_IO, "%s: read %zu of %zu bytes: %s", path, got, out->len, strerror(why));
    }
    out->data = data;
    return RLVR_OK;
}

static void rlvr__file_close(rlvr_ctx *ctx, rlvr__file *f)
{
    if (!f->data) return;
#ifndef _WIN32
    if (f->mapped) munmap((void *)(uintptr_t)f->data, f->len);
    else
#endif
        rlvr__free(ctx, (void *)(uintptr_t)f->data);
    f->data = NULL;
}

/* A file that is written beside its place, synced, then renamed: after any crash the old or the new one is there, whole. */
typedef struct rlvr__writer { rlvr_ctx *ctx; FILE *f; char path[1024], temp[1040]; bool failed; } rlvr__writer;

static rlvr_result rlvr__writer_open(rlvr_ctx *ctx, rlvr__writer *w, const char *path)
{
    memset(w, 0, sizeof *w);
    w->ctx = ctx;
    if (strlen(path) >= sizeof w->path) return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%.64s...: path too long", path);
    strcpy(w->path, path);
    snprintf(w->temp, sizeof w->temp, "%s.partial", path);
    w->f = fopen(w->temp, "wb");
    if (!w->f) {
        w->failed = true;
        return rlvr__fail(ctx, RLVR_ERROR_IO, "%s: cannot write: %s", w->temp, strerror(errno));
    }
    return RLVR_OK;
}

static void rlvr__write(rlvr__writer *w, const void *data, size_t n)
{
    if (w->failed || !n || fwrite(data, 1, n, w->f) == n) return;
    w->failed = true;
    rlvr__fail(w->ctx, RLVR_ERROR_IO, "%s: cannot write: %s; the file before it is untouched", w->temp, strerror(errno));
}

/* Ends the file. On any failure the temporary is removed and what stood at path is as it was. */
static rlvr_result rlvr__writer_close(rlvr__writer *w)
{
    if (!w->f) return RLVR_ERROR_IO;
    bool ok = !w->failed;
    if (ok && (fflush(w->f) != 0 || rlvr__fsync(fileno(w->f)) != 0)) {
        rlvr__fail(w->ctx, RLVR_ERROR_IO, "%s: cannot write: %s; the file before it is untouched", w->temp, strerror(errno));
        ok = false;
    }
    fclose(w->f);
    w->f = NULL;
#ifdef _WIN32
    if (ok) remove(w->path);
#endif
    if (ok && rename(w->temp, w->path) != 0) {
        rlvr__fail(w->ctx, RLVR_ERROR_IO, "%s: cannot rename to %s: %s", w->temp, w->path, strerror(errno));
        ok = false;
    }
    if (!ok) { remove(w->temp); return RLVR_ERROR_IO; }
#ifndef _WIN32
    char dir[1024];      /* the rename itself is durable once the folder is synced */
    strcpy(dir, w->path);
    char *slash = strrchr(dir, '/');
    if (slash) slash[slash == dir] = 0;
    int fd = open(slash ? dir : ".", O_RDONLY);
    if (fd >= 0) { fsync(fd); close(fd); }
#endif
    return RLVR_OK;
}

static rlvr_result rlvr__make_dir(rlvr_ctx *ctx, const char *path)      /* and its parents */
{
    char part[1024];
    struct stat st;
    size_t n = strlen(path);
    if (n >= sizeof part) return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%.64s...: path too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && path[i] != '/') continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (stat(part, &st) != 0 && rlvr__mkdir(part) != 0 && errno != EEXIST)
            return rlvr__fail(ctx, RLVR_ERROR_IO, "%s: cannot make the folder: %s", part, strerror(errno));
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return rlvr__fail(ctx, RLVR_ERROR_IO, "%s: not a folder", path);
    return RLVR_OK;
}

/* ============================================================================================
   6. RANDOM NUMBERS                                                                     >>rng
   ============================================================================================ */

void rlvr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}

static uint32_t rlvr__random(uint64_t seed, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t counter[4] = {a, b, c, d}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];
    rlvr_philox(counter, key, out);
    return out[0];
}

float rlvr_uniform(uint64_t seed, uint32_t step, uint32_t prompt, uint32_t rollout, uint32_t position)
{
    return (float)(rlvr__random(seed, step, prompt, rollout, position) >> 8) * (1.0f / 16777216.0f);
}

/* ============================================================================================
   7. THREAD POOL                                                                    >>threads
   ============================================================================================ */

/* One loop at a time. The caller works too. Workers spin for a bounded time, then sleep. A worker announces itself in
   `active` before it looks at `open`; the caller clears `open` before it waits for `active` to be zero: so nobody reads a
   loop's fields while they change. Which thread does which piece is left to chance; no result may depend on it. */
struct rlvr__pool {
    int n_workers;
    pthread_t *threads;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int sleepers, quit, open, active, generation;
    bool busy;
    rlvr_loop_fn fn;
    void *arg;
    int64_t n, grain, next;
};
typedef struct rlvr__worker { rlvr__pool *pool; int index; } rlvr__worker;

static inline void rlvr__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void rlvr__pool_work(rlvr__pool *p, int thread)
{
    for (;;) {
        int64_t begin = __atomic_fetch_add(&p->next, p->grain, __ATOMIC_RELAXED);
        if (begin >= p->n) return;
        p->fn(p->arg, begin, RLVR__MIN(begin + p->grain, p->n), thread);
    }
}

enum { RLVR__SPINS = 20000 };

static void *rlvr__pool_thread(void *arg)
{
    rlvr__worker *w = (rlvr__worker *)arg;
    rlvr__pool *p = w->pool;
    int seen = 0, index = w->index;
    for (;;) {
        int spins = 0, now;
        while ((now = __atomic_load_n(&p->generation, __ATOMIC_ACQUIRE)) == seen) {
            if (__atomic_load_n(&p->quit, __ATOMIC_ACQUIRE)) return NULL;
            rlvr__pause();
            if (++spins < RLVR__SPINS) continue;
            pthread_mutex_lock(&p->mutex);
            __atomic_fetch_add(&p->sleepers, 1, __ATOMIC_SEQ_CST);
            while (__atomic_load_n(&p->generation, __ATOMIC_SEQ_CST) == seen && !__atomic_load_n(&p->quit, __ATOMIC_SEQ_CST))
                pthread_cond_wait(&p->wake, &p->mutex);
            __atomic_fetch_sub(&p->sleepers, 1, __ATOMIC_SEQ_CST);
            pthread_mutex_unlock(&p->mutex);
            spins = 0;
        }
        seen = now;
        __atomic_fetch_add(&p->active, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&p->open, __ATOMIC_SEQ_CST)) rlvr__pool_work(p, index);
        __atomic_fetch_sub(&p->active, 1, __ATOMIC_SEQ_CST);
    }
}

static void rlvr__pool_wake(rlvr__pool *p)
{
    if (!__atomic_load_n(&p->sleepers, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

/* Runs fn over [0, n) in pieces of at most grain items. A loop inside a loop runs on its own thread. */
static void rlvr__parallel(rlvr_ctx *ctx, int64_t n, int64_t grain, rlvr_loop_fn fn, void *arg)
{
    rlvr__pool *p = ctx->pool;
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    if (n <= grain) { fn(arg, 0, n, 0); return; }
    if (ctx->desc.parallel_for) { ctx->desc.parallel_for(ctx->desc.parallel_user, n, grain, fn, arg); return; }
    if (!p || p->busy) { fn(arg, 0, n, 0); return; }
    p->busy = true;
    p->fn = fn; p->arg = arg; p->n = n; p->grain = grain;
    __atomic_store_n(&p->next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->open, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&p->generation, 1, __ATOMIC_SEQ_CST);
    rlvr__pool_wake(p);
    rlvr__pool_work(p, 0);
    __atomic_store_n(&p->open, 0, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&p->active, __ATOMIC_SEQ_CST)) rlvr__pause();
    p->busy = false;
}

static rlvr_result rlvr__pool_open(rlvr_ctx *ctx)
{
    int n = ctx->n_threads - 1;
    if (n < 1 || ctx->desc.parallel_for) return RLVR_OK;
    rlvr__pool *p = RLVR__NEW(ctx, rlvr__pool, 1);
    rlvr__worker *workers = RLVR__NEW(ctx, rlvr__worker, n);
    if (p) p->threads = RLVR__NEW(ctx, pthread_t, n);
    if (!p || !workers || !p->threads) return RLVR_ERROR_MEMORY;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (int i = 0; i < n; i++) {
        workers[i].pool = p;
        workers[i].index = i + 1;
        if (pthread_create(&p->threads[i], NULL, rlvr__pool_thread, &workers[i]) != 0) {
            rlvr__log(ctx, RLVR_LOG_WARN, "only %d of %d threads could be started", i + 1, n + 1);
            break;
        }
        p->n_workers++;
    }
    ctx->pool = p;
    return RLVR_OK;
}

static void rlvr__pool_close(rlvr_ctx *ctx)
{
    rlvr__pool *p = ctx->pool;
    if (!p) return;
    pthread_mutex_lock(&p->mutex);
    __atomic_store_n(&p->quit, 1, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < p->n_workers; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    ctx->pool = NULL;
}

/* ---- context ---- */

static const rlvr__kernels *rlvr__kernels_choose(const char *cpu);      /* section 8; NULL: this CPU does not have it */
static const char *rlvr__kernels_name(const rlvr__kernels *k);

rlvr_ctx *rlvr_open(const rlvr_desc *desc)
{
    rlvr_desc zero;
    memset(&zero, 0, sizeof zero);
    if (!desc) desc = &zero;
    size_t bytes = sizeof(rlvr_ctx);
    rlvr_ctx *ctx = (rlvr_ctx *)(desc->realloc_fn ? desc->realloc_fn(desc->alloc_user, NULL, bytes) : malloc(bytes));
    if (!ctx) return NULL;
    memset(ctx, 0, bytes);
    ctx->desc = *desc;
    if (!desc->realloc_fn) ctx->desc.free_fn = NULL;      /* freed as it was taken, also where that is the error */
    ctx->n_threads = desc->n_threads ? desc->n_threads : rlvr__cpu_count();
    ctx->kernels = rlvr__kernels_choose(desc->cpu);
    rlvr_result r = RLVR_OK;
    if (!desc->realloc_fn != !desc->free_fn)
        r = rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_desc: set realloc_fn and free_fn, or neither");
    else if (ctx->n_threads < 1 || ctx->n_threads > 1024)
        r = rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_desc.n_threads: %d is not within 1 .. 1024", ctx->n_threads);
    else if (!ctx->kernels)
        r = rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_desc.cpu: \"%s\" is unknown or not what this CPU has", desc->cpu);
    else if (!(ctx->gemm_rows = RLVR__NEW(ctx, float, RLVR__GEMM_ROWS))) r = RLVR_ERROR_MEMORY;
    else r = rlvr__pool_open(ctx);
    if (r != RLVR_OK) { rlvr_close(ctx); return NULL; }
    return ctx;
}

void rlvr_close(rlvr_ctx *ctx)
{
    if (!ctx) return;
    rlvr__pool_close(ctx);
    while (ctx->blocks) rlvr__free(ctx, (char *)ctx->blocks + RLVR__HEADER);
    for (int c = 0; c < RLVR__CLASSES; c++)
        while (ctx->spare[c]) {
            rlvr__block *block = ctx->spare[c];
            ctx->spare[c] = block->next;
            rlvr__block_release(ctx, block);
        }
    if (ctx->desc.free_fn) ctx->desc.free_fn(ctx->desc.alloc_user, ctx);
    else free(ctx);
}

const char *rlvr_describe(rlvr_ctx *ctx)
{
    snprintf(ctx->describe, sizeof ctx->describe, "rlvr %s   %s %d.%d, %s, %d thread%s", RLVR_VERSION,
#ifdef __clang__
             "clang", __clang_major__, __clang_minor__,
#else
             "gcc", __GNUC__, __GNUC_MINOR__,
#endif
             rlvr__kernels_name(ctx->kernels), ctx->n_threads, ctx->n_threads == 1 ? "" : "s");
    return ctx->describe;
}
/* ============================================================================================
   8. SIMD AND GEMM                                                                     >>gemm
   ============================================================================================ */

/* Kernels are written once, on a virtual vector `vf` of 16 float lanes, and compiled once for each instruction set: this
   file includes itself with RLVR__KERNEL_PASS set to one of the values below, and functions carry target attributes, so
   that a program compiled with a bare `cc -O2` gets them all and the CPU decides at run time. */
#ifndef RLVR_SELF
#define RLVR_SELF "rlvr.h"   /* the name under which this file includes itself */
#endif
#define RLVR__PORTABLE 1     /* vf is float[16] */
#define RLVR__AVX2     2     /* two __m256 */
#define RLVR__AVX512   3     /* one __m512 */
#define RLVR__NEON     4     /* four float32x4_t */

#if defined(__x86_64__) && (!defined(_WIN32) || defined(__clang__))    /* gcc for Windows misaligns vectors on the stack */
#define RLVR__HAS_AVX 1
#include <immintrin.h>
#elif defined(__aarch64__)
#define RLVR__HAS_NEON 1
#include <arm_neon.h>
#endif

/* a * b + c is two roundings unless v_fma says one: the compiler must not contract, or the sets would differ in bits. */
#ifdef __clang__
#pragma clang fp contract(off)
#define RLVR__NO_CONTRACT
#define RLVR__UNROLL _Pragma("clang loop unroll(full)")      /* before a short loop of constant length */
#else
#define RLVR__UNROLL _Pragma("GCC unroll 16")
#define RLVR__NO_CONTRACT , optimize("fp-contract=off")
#endif

/* The vocabulary (undefined again after the last pass). Lane i of a result depends on lane i of the arguments. v_max(a, b)
   is a > b ? a : b, v_min likewise: a NaN in b stays and one in a does not. Sums over lanes are a tree: lanes i and i+8,
   then +4, +2, +1. */
#define vf          RLVR__NAME(rlvr__vf)
#define v_load      RLVR__NAME(rlvr__v_load)         /* (p): 16 floats, any alignment */
#define v_loadn     RLVR__NAME(rlvr__v_loadn)        /* (p, n): n in 0 .. 16 floats, the other lanes zero */
#define v_store     RLVR__NAME(rlvr__v_store)        /* (p, a) */
#define v_storen    RLVR__NAME(rlvr__v_storen)       /* (p, a, n): n floats, nothing else is touched */
#define v_set1      RLVR__NAME(rlvr__v_set1)
#define v_zero      RLVR__NAME(rlvr__v_zero)
#define v_add       RLVR__NAME(rlvr__v_add)
#define v_sub       RLVR__NAME(rlvr__v_sub)
#define v_mul       RLVR__NAME(rlvr__v_mul)
#define v_div       RLVR__NAME(rlvr__v_div)
#define v_max       RLVR__NAME(rlvr__v_max)
#define v_min       RLVR__NAME(rlvr__v_min)
#define v_fma       RLVR__NAME(rlvr__v_fma)          /* (a, b, c): a * b + c, rounded once (portable: where the CPU can) */
#define v_fnma      RLVR__NAME(rlvr__v_fnma)         /* (a, b, c): c - a * b */
#define v_neg       RLVR__NAME(rlvr__v_neg)
#define v_abs       RLVR__NAME(rlvr__v_abs)
#define v_sqrt      RLVR__NAME(rlvr__v_sqrt)
#define v_round     RLVR__NAME(rlvr__v_round)        /* to the nearest integer, ties to even; |a| < 2^22 */
#define v_ldexp     RLVR__NAME(rlvr__v_ldexp)        /* (a, n): a * 2^n for integral n in -250 .. 250, rounded once */
#define v_split     RLVR__NAME(rlvr__v_split)        /* (a, &e): m in [sqrt 1/2, sqrt 2), a = m * 2^e; a normal, > 0 */
#define v_select_ge RLVR__NAME(rlvr__v_select_ge)    /* (a, b, x, y): a >= b ? x : y */
#define v_select_gt RLVR__NAME(rlvr__v_select_gt)    /* (a, b, x, y): a > b ? x : y */
#define v_select_eq RLVR__NAME(rlvr__v_select_eq)    /* (a, b, x, y): a == b ? x : y */
#define v_hsum      RLVR__NAME(rlvr__v_hsum)
#define v_hmax      RLVR__NAME(rlvr__v_hmax)         /* a NaN may get lost */
#define v_exp       RLVR__NAME(rlvr__v_exp)          /* within 1.1 ulp; 0 below -103.98, infinity above 88.72, NaN stays */
#define v_log       RLVR__NAME(rlvr__v_log)          /* within 1 ulp; log 0 = -infinity, below 0 NaN */

/* ---- what each instruction set brings ---- */

/* C (rows, n) (+)= A (rows, k) B. C's and B's columns go in panels of 32; B is packed: panels of [k][32]. */
typedef struct rlvr__gemm {
    float *c;        int64_t ldc, c_panel;       /* a row's 32 columns of panel p begin at c + p * c_panel + row * ldc */
    const float *a;  int64_t lda;                /* row-major */
    const float *b;  int64_t b_panel;            /* panel p begins at b + p * b_panel */
    int64_t rows, n, k;
    bool load;                                   /* chains start from C's old values, not from 0 */
} rlvr__gemm;

typedef struct rlvr__gemm_kernels {      /* its value in a kernel pass is RLVR__GEMM_KERNELS */
    void (*block)(const rlvr__gemm *g, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end);
    void (*transpose)(float *to /* (cols, ldt) */, int64_t ldt, const float *from /* (rows, ldf) */, int64_t ldf,
                      int64_t rows, int64_t cols);
    void (*copy_panel)(float *to /* (rows, 32) */, const float *from /* (rows, ldf) */, int64_t ldf, int64_t rows,
                       int64_t n);
} rlvr__gemm_kernels;

struct rlvr__kernels {
    const char *name;                    /* RLVR__KERNEL_TITLE */
    rlvr__gemm_kernels gemm;
    /* section 9 keeps its own beside these */
};

/* ---- packed matrices ---- */

/* A weight W (N outputs, K inputs) lies as ceil(N / 32) panels of [K][32]: panel p, input k, lane j holds W[32 p + j][k].
   Lanes past N are zero and stay zero. Gradients and the optimizer's moments lie in the same order. */
enum {
    RLVR__PANEL = 32,
    RLVR__CHAIN = 1536,          /* most k in one pass over a panel: its part of B stays in the second-level cache */
    RLVR__DW_ROWS = 1024,        /* most rows of a batch in one pass of gemm_dw */
    RLVR__BAD_STRIDE = 512       /* rows a multiple of so many floats apart fall on the same cache sets */
};

static int64_t rlvr__panels(int64_t N) { return (N + RLVR__PANEL - 1) / RLVR__PANEL; }
static int64_t rlvr__panel_width(int64_t N, int64_t p)      /* columns of panel p that exist */
{
    return RLVR__MIN(N - p * RLVR__PANEL, (int64_t)RLVR__PANEL);
}
static int64_t rlvr__good_stride(int64_t n)      /* for rows of n floats in scratch */
{
    n = (n + 31) / 16 * 16;
    return n % RLVR__BAD_STRIDE ? n : n + 16;
}
static RLVR__UNUSED int64_t rlvr__packed_floats(int64_t N, int64_t K) { return rlvr__panels(N) * RLVR__PANEL * K; }

static RLVR__UNUSED void rlvr__pack(const float *w /* (N, K) */, float *packed, int64_t N, int64_t K)
{
    for (int64_t p = 0; p < rlvr__panels(N); p++) {
        float *to = packed + p * RLVR__PANEL * K;
        int64_t n = rlvr__panel_width(N, p);
        if (n < RLVR__PANEL) memset(to, 0, sizeof(float) * (size_t)(RLVR__PANEL * K));
        for (int64_t k0 = 0; k0 < K; k0 += 16)
            for (int64_t j = 0; j < n; j++) {
                const float *row = w + (p * RLVR__PANEL + j) * K;
                for (int64_t k = k0; k < RLVR__MIN(k0 + 16, K); k++) to[k * RLVR__PANEL + j] = row[k];
            }
    }
}

static RLVR__UNUSED void rlvr__unpack(const float *packed, float *w /* (N, K) */, int64_t N, int64_t K)
{
    for (int64_t p = 0; p < rlvr__panels(N); p++) {
        const float *from = packed + p * RLVR__PANEL * K;
        int64_t n = rlvr__panel_width(N, p);
        for (int64_t k0 = 0; k0 < K; k0 += 16)
            for (int64_t j = 0; j < n; j++) {
                float *row = w + (p * RLVR__PANEL + j) * K;
                for (int64_t k = k0; k < RLVR__MIN(k0 + 16, K); k++) row[k] = from[k * RLVR__PANEL + j];
            }
    }
}

/* ---- drivers ---- */

/* Every element of a product is one chain of fused multiply-adds over k = 0, 1, 2 ..., and a chain that is cut goes on from
   the sum in memory. So no choice below, of blocks, tasks or threads, can change a bit. */

typedef struct rlvr__gemm_job {
    rlvr__gemm g;
    const rlvr__gemm_kernels *kernels;
    int64_t row_blocks, panel_blocks;
} rlvr__gemm_job;

static void rlvr__gemm_task(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__gemm_job *j = (const rlvr__gemm_job *)arg;
    int64_t panels = rlvr__panels(j->g.n);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {      /* neighbours share panels, so that weights come from memory once */
        int64_t r = i % j->row_blocks, p = i / j->row_blocks;
        j->kernels->block(&j->g, j->g.rows * r / j->row_blocks, j->g.rows * (r + 1) / j->row_blocks,
                          panels * p / j->panel_blocks, panels * (p + 1) / j->panel_blocks);
    }
}

static void rlvr__copy_rows_task(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__gemm *g = (const rlvr__gemm *)arg;      /* from a to c */
    (void)thread;
    for (int64_t r = begin; r < end; r++) memcpy(g->c + r * g->ldc, g->a + r * g->lda, sizeof(float) * (size_t)g->k);
}

/* Cuts C into blocks of rows, whose part of A stays in the second-level cache, and of panels: at least 8 tasks a thread. */
static void rlvr__gemm_run(rlvr_ctx *ctx, const rlvr__gemm *g)
{
    rlvr__gemm_job j;
    int64_t panels = rlvr__panels(g->n), tasks = 8 * (int64_t)ctx->n_threads;
    int64_t cached = RLVR__MAX((int64_t)48, (int64_t)100000 / RLVR__MIN(g->k + 1, (int64_t)RLVR__CHAIN));
    int64_t balance = RLVR__MIN((g->rows + 47) / 48, (tasks + panels - 1) / panels);
    j.g = *g;
    j.kernels = &ctx->kernels->gemm;
    j.row_blocks = RLVR__MAX((g->rows + cached - 1) / cached, balance);
    j.panel_blocks = RLVR__MIN(panels, (tasks + j.row_blocks - 1) / j.row_blocks);
    rlvr__parallel(ctx, j.row_blocks * j.panel_blocks, 1, rlvr__gemm_task, &j);
}

/* The same, where A's rows would fall on the same cache sets: by blocks of rows that are copied first. */
static void rlvr__gemm_run_copied(rlvr_ctx *ctx, const rlvr__gemm *g)
{
    int64_t ld = rlvr__good_stride(g->k), most = RLVR__GEMM_ROWS / ld, blocks = (g->rows + most - 1) / most;
    for (int64_t i = 0; i < blocks; i++) {
        int64_t r = g->rows * i / blocks;
        rlvr__gemm part = *g, copy = *g;
        part.rows = g->rows * (i + 1) / blocks - r;
        part.c += r * g->ldc;
        copy.a += r * g->lda;
        part.a = copy.c = ctx->gemm_rows;
        part.lda = copy.ldc = ld;
        rlvr__parallel(ctx, part.rows, 32, rlvr__copy_rows_task, &copy);
        rlvr__gemm_run(ctx, &part);
    }
}

/* y (M, N) (+)= x (M, K) W^T. */
static RLVR__UNUSED void rlvr__gemm_fwd(rlvr_ctx *ctx, float *y, int64_t ldy, const float *x, int64_t ldx, const float *wp,
                                        int64_t M, int64_t N, int64_t K, bool accumulate)
{
    rlvr__gemm g = {y, ldy, RLVR__PANEL, x, ldx, wp, K * RLVR__PANEL, M, N, K, accumulate};
    if (M < 1 || N < 1) return;
    if (ldx % RLVR__BAD_STRIDE == 0 && M > 2 && K < RLVR__GEMM_ROWS / 64) rlvr__gemm_run_copied(ctx, &g);
    else rlvr__gemm_run(ctx, &g);
}

typedef struct rlvr__transpose_job {
    const rlvr__gemm_kernels *kernels;
    float *to;
    const float *from;
    int64_t ldt, ldf, rows, cols;
} rlvr__transpose_job;

/* Panels of W (`rows` outputs of `cols` inputs) into panels of W^T, by blocks of 32 x 32, contiguous on both sides. */
static void rlvr__transpose_w_task(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__transpose_job *t = (const rlvr__transpose_job *)arg;
    (void)thread;
    for (int64_t n0 = begin * RLVR__PANEL; n0 < end * RLVR__PANEL; n0 += RLVR__PANEL)
        for (int64_t k0 = 0; k0 < t->cols; k0 += RLVR__PANEL)
            t->kernels->transpose(t->to + k0 * t->rows + n0 * RLVR__PANEL, RLVR__PANEL,
                                  t->from + n0 * t->cols + k0 * RLVR__PANEL, RLVR__PANEL,
                                  rlvr__panel_width(t->cols, k0 / RLVR__PANEL),
                                  rlvr__panel_width(t->rows, n0 / RLVR__PANEL));
}

/* dx (M, K) (+)= dy (M, N) W, in chunks of N: a chunk of W is transposed into scratch, then it is gemm_fwd again. */
static RLVR__UNUSED void rlvr__gemm_dx(rlvr_ctx *ctx, float *dx, int64_t lddx, const float *dy, int64_t lddy,
                                       const float *wp, int64_t M, int64_t N, int64_t K, bool accumulate, float *scratch)
{
    for (int64_t n0 = 0; n0 < N && M > 0; n0 += RLVR__CHAIN) {
        int64_t n = RLVR__MIN(N - n0, (int64_t)RLVR__CHAIN);
        rlvr__transpose_job t = {&ctx->kernels->gemm, scratch, wp + n0 * K, 0, 0, n, K};
        rlvr__parallel(ctx, rlvr__panels(n), 1, rlvr__transpose_w_task, &t);
        rlvr__gemm_fwd(ctx, dx, lddx, dy + n0, lddy, scratch, M, K, n, accumulate || n0);
    }
}

static void rlvr__transpose_x_task(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__transpose_job *t = (const rlvr__transpose_job *)arg;
    (void)thread;
    for (int64_t k = begin * 64; k < RLVR__MIN(end * 64, t->cols); k += 64)
        for (int64_t m = 0; m < t->rows; m += 64)
            t->kernels->transpose(t->to + k * t->ldt + m, t->ldt, t->from + m * t->ldf + k, t->ldf,
                                  RLVR__MIN(t->rows - m, (int64_t)64), RLVR__MIN(t->cols - k, (int64_t)64));
}

typedef struct rlvr__dw_job {
    rlvr__gemm g;                    /* C: dW's panels, (K, 32) each; A: x^T (K, rows) */
    const rlvr__gemm_kernels *kernels;
    const float *dy;  int64_t lddy;  /* (k of g, n of g) */
    float *panels;                   /* a copy of a panel of dy for each thread */
    int64_t row_blocks;
} rlvr__dw_job;

static void rlvr__dw_task(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__dw_job *j = (const rlvr__dw_job *)arg;
    float *panel = j->panels + (int64_t)thread * RLVR__DW_ROWS * RLVR__PANEL;
    for (int64_t i = begin; i < end; i++) {
        int64_t p = i / j->row_blocks, r = i % j->row_blocks;
        rlvr__gemm g = j->g;
        if (r == 0 || i == begin)
            j->kernels->copy_panel(panel, j->dy + p * RLVR__PANEL, j->lddy, g.k, rlvr__panel_width(g.n, p));
        g.b = panel;
        j->kernels->block(&g, g.rows * r / j->row_blocks, g.rows * (r + 1) / j->row_blocks, p, p + 1);
    }
}

/* dW (packed) += dy^T (N, M) x (M, K). Rows are added in order, so micro-batches chain to the bits of one batch. */
static RLVR__UNUSED void rlvr__gemm_dw(rlvr_ctx *ctx, float *dwp, const float *dy, int64_t lddy, const float *x, int64_t ldx,
                                       int64_t M, int64_t N, int64_t K, float *scratch)
{
    int64_t parts = (M + RLVR__DW_ROWS - 1) / RLVR__DW_ROWS;
    for (int64_t i = 0; i < parts; i++) {
        int64_t m0 = M * i / parts, m = M * (i + 1) / parts - m0, panels = rlvr__panels(N);
        int64_t ld = rlvr__good_stride(m);
        rlvr__transpose_job t = {&ctx->kernels->gemm, scratch, x + m0 * ldx, ld, ldx, m, K};
        rlvr__gemm g = {dwp, RLVR__PANEL, K * RLVR__PANEL, scratch, ld, NULL, 0, K, N, m, true};
        rlvr__dw_job j = {g, t.kernels, dy + m0 * lddy, lddy, scratch + K * ld, 1};
        rlvr__parallel(ctx, (K + 63) / 64, 1, rlvr__transpose_x_task, &t);
        while (panels * j.row_blocks < 8 * (int64_t)ctx->n_threads && K / j.row_blocks > 64) j.row_blocks *= 2;
        rlvr__parallel(ctx, panels * j.row_blocks, 1, rlvr__dw_task, &j);
    }
}

/* Floats of scratch that gemm_dx and gemm_dw want for this shape (or one of fewer rows). */
static RLVR__UNUSED int64_t rlvr__gemm_scratch_floats(rlvr_ctx *ctx, int64_t M, int64_t N, int64_t K)
{
    int64_t dx = rlvr__packed_floats(K, RLVR__MIN(N, (int64_t)RLVR__CHAIN));
    int64_t dw = K * rlvr__good_stride(RLVR__MIN(M, (int64_t)RLVR__DW_ROWS)) +
                 (int64_t)ctx->n_threads * RLVR__DW_ROWS * RLVR__PANEL;
    return RLVR__MAX(dx, dw);
}

#else
/* ---- the kernel pass: from here to the end of section 9's kernels, once for each instruction set ---- */

#undef RLVR__SUFFIX
#undef RLVR__TARGET
#undef RLVR__KERNEL_TITLE      /* the name for people */
#undef RLVR__MR
#undef RLVR__NV
#if RLVR__KERNEL_PASS == RLVR__AVX512
#define RLVR__SUFFIX(x) x##_avx512
#define RLVR__KERNEL_TITLE "AVX-512"
#define RLVR__TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma") RLVR__NO_CONTRACT))
#elif RLVR__KERNEL_PASS == RLVR__AVX2
#define RLVR__SUFFIX(x) x##_avx2
#define RLVR__KERNEL_TITLE "AVX2"
#define RLVR__TARGET __attribute__((target("avx2,fma") RLVR__NO_CONTRACT))
#elif RLVR__KERNEL_PASS == RLVR__NEON
#define RLVR__SUFFIX(x) x##_neon
#define RLVR__KERNEL_TITLE "NEON"
#define RLVR__TARGET __attribute__((unused RLVR__NO_CONTRACT))
#else
#define RLVR__SUFFIX(x) x##_portable
#define RLVR__KERNEL_TITLE "portable"
#define RLVR__TARGET __attribute__((unused RLVR__NO_CONTRACT))
#endif
#undef RLVR__NAME
#undef RLVR__FN
#undef RLVR__INLINE
#define RLVR__NAME(x) RLVR__SUFFIX(x)                               /* the name of x in this instruction set */
#define RLVR__FN      static RLVR__UNUSED RLVR__TARGET              /* begins a kernel */
#define RLVR__INLINE  static inline __attribute__((always_inline)) RLVR__UNUSED RLVR__TARGET    /* begins a helper */

#if RLVR__KERNEL_PASS == RLVR__AVX512

typedef __m512 vf;
RLVR__INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
RLVR__INLINE vf v_loadn(const float *p, int n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
RLVR__INLINE void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
RLVR__INLINE void v_storen(float *p, vf a, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a); }
RLVR__INLINE vf v_set1(float x) { return _mm512_set1_ps(x); }
RLVR__INLINE vf v_zero(void) { return _mm512_setzero_ps(); }
RLVR__INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
RLVR__INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
RLVR__INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
RLVR__INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
RLVR__INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
RLVR__INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
RLVR__INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
RLVR__INLINE vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
RLVR__INLINE vf v_neg(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
RLVR__INLINE vf v_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
RLVR__INLINE vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
RLVR__INLINE vf v_round(vf a) { return _mm512_roundscale_ps(a, 8); }
RLVR__INLINE vf v_ldexp(vf a, vf n) { return _mm512_scalef_ps(a, n); }
RLVR__INLINE vf v_select_ge(vf a, vf b, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), y, x);
}
RLVR__INLINE vf v_select_gt(vf a, vf b, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
RLVR__INLINE vf v_select_eq(vf a, vf b, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), y, x);
}
RLVR__INLINE vf v_split(vf a, vf *e)
{
    __m512i half = _mm512_set1_epi32(0x3f3504f3), i = _mm512_sub_epi32(_mm512_castps_si512(a), half);
    *e = _mm512_cvtepi32_ps(_mm512_srai_epi32(i, 23));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_and_si512(i, _mm512_set1_epi32(0x7fffff)), half));
}
RLVR__INLINE __m128 RLVR__NAME(rlvr__v_quarter)(vf a, bool max)
{
    __m256 lo = _mm512_castps512_ps256(a), hi = _mm512_extractf32x8_ps(a, 1);
    __m256 s = max ? _mm256_max_ps(lo, hi) : _mm256_add_ps(lo, hi);
    __m128 x = _mm256_castps256_ps128(s), y = _mm256_extractf128_ps(s, 1);
    return max ? _mm_max_ps(x, y) : _mm_add_ps(x, y);
}

#elif RLVR__KERNEL_PASS == RLVR__AVX2

typedef struct vf { __m256 a, b; } vf;
RLVR__INLINE vf RLVR__NAME(rlvr__v_make)(__m256 a, __m256 b) { vf r; r.a = a; r.b = b; return r; }
#define RLVR__V(a, b) RLVR__NAME(rlvr__v_make)(a, b)
RLVR__INLINE __m256i RLVR__NAME(rlvr__v_mask)(int n)       /* lanes below n */
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RLVR__INLINE vf v_load(const float *p) { return RLVR__V(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
RLVR__INLINE vf v_loadn(const float *p, int n)
{
    return RLVR__V(_mm256_maskload_ps(p, RLVR__NAME(rlvr__v_mask)(n)),
                   _mm256_maskload_ps(p + 8, RLVR__NAME(rlvr__v_mask)(n - 8)));
}
RLVR__INLINE void v_store(float *p, vf a) { _mm256_storeu_ps(p, a.a); _mm256_storeu_ps(p + 8, a.b); }
RLVR__INLINE void v_storen(float *p, vf a, int n)
{
    _mm256_maskstore_ps(p, RLVR__NAME(rlvr__v_mask)(n), a.a);
    _mm256_maskstore_ps(p + 8, RLVR__NAME(rlvr__v_mask)(n - 8), a.b);
}
RLVR__INLINE vf v_set1(float x) { return RLVR__V(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
RLVR__INLINE vf v_zero(void) { return RLVR__V(_mm256_setzero_ps(), _mm256_setzero_ps()); }
RLVR__INLINE vf v_add(vf a, vf b) { return RLVR__V(_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)); }
RLVR__INLINE vf v_sub(vf a, vf b) { return RLVR__V(_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b)); }
RLVR__INLINE vf v_mul(vf a, vf b) { return RLVR__V(_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b)); }
RLVR__INLINE vf v_div(vf a, vf b) { return RLVR__V(_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b)); }
RLVR__INLINE vf v_max(vf a, vf b) { return RLVR__V(_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b)); }
RLVR__INLINE vf v_min(vf a, vf b) { return RLVR__V(_mm256_min_ps(a.a, b.a), _mm256_min_ps(a.b, b.b)); }
RLVR__INLINE vf v_fma(vf a, vf b, vf c) { return RLVR__V(_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)); }
RLVR__INLINE vf v_fnma(vf a, vf b, vf c)
{
    return RLVR__V(_mm256_fnmadd_ps(a.a, b.a, c.a), _mm256_fnmadd_ps(a.b, b.b, c.b));
}
RLVR__INLINE vf v_neg(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return RLVR__V(_mm256_xor_ps(a.a, sign), _mm256_xor_ps(a.b, sign));
}
RLVR__INLINE vf v_abs(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return RLVR__V(_mm256_andnot_ps(sign, a.a), _mm256_andnot_ps(sign, a.b));
}
RLVR__INLINE vf v_sqrt(vf a) { return RLVR__V(_mm256_sqrt_ps(a.a), _mm256_sqrt_ps(a.b)); }
RLVR__INLINE vf v_round(vf a) { return RLVR__V(_mm256_round_ps(a.a, 8), _mm256_round_ps(a.b, 8)); }
RLVR__INLINE __m256 RLVR__NAME(rlvr__v_ldexp8)(__m256 a, __m256 n)
{
    __m256i i = _mm256_cvtps_epi32(n), low = _mm256_srai_epi32(i, 1), one = _mm256_set1_epi32(127);
    __m256i high = _mm256_add_epi32(_mm256_sub_epi32(i, low), one);
    a = _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(low, one), 23)));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(high, 23)));
}
RLVR__INLINE vf v_ldexp(vf a, vf n)
{
    return RLVR__V(RLVR__NAME(rlvr__v_ldexp8)(a.a, n.a), RLVR__NAME(rlvr__v_ldexp8)(a.b, n.b));
}
RLVR__INLINE vf v_select_ge(vf a, vf b, vf x, vf y)
{
    return RLVR__V(_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_GE_OQ)),
                   _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_GE_OQ)));
}
RLVR__INLINE vf v_select_gt(vf a, vf b, vf x, vf y)
{
    return RLVR__V(_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_GT_OQ)),
                   _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_GT_OQ)));
}
RLVR__INLINE vf v_select_eq(vf a, vf b, vf x, vf y)
{
    return RLVR__V(_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_EQ_OQ)),
                   _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_EQ_OQ)));
}
RLVR__INLINE __m256 RLVR__NAME(rlvr__v_split8)(__m256 a, __m256 *e)
{
    __m256i half = _mm256_set1_epi32(0x3f3504f3), i = _mm256_sub_epi32(_mm256_castps_si256(a), half);
    *e = _mm256_cvtepi32_ps(_mm256_srai_epi32(i, 23));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_and_si256(i, _mm256_set1_epi32(0x7fffff)), half));
}
RLVR__INLINE vf v_split(vf a, vf *e)
{
    return RLVR__V(RLVR__NAME(rlvr__v_split8)(a.a, &e->a), RLVR__NAME(rlvr__v_split8)(a.b, &e->b));
}
RLVR__INLINE __m128 RLVR__NAME(rlvr__v_quarter)(vf a, bool max)
{
    __m256 s = max ? _mm256_max_ps(a.a, a.b) : _mm256_add_ps(a.a, a.b);
    __m128 x = _mm256_castps256_ps128(s), y = _mm256_extractf128_ps(s, 1);
    return max ? _mm_max_ps(x, y) : _mm_add_ps(x, y);
}
#undef RLVR__V

#elif RLVR__KERNEL_PASS == RLVR__NEON

typedef struct vf { float32x4_t q[4]; } vf;
#define RLVR__EACH(e) vf r; for (int i = 0; i < 4; i++) r.q[i] = (e); return r
RLVR__INLINE vf v_load(const float *p) { RLVR__EACH(vld1q_f32(p + 4 * i)); }
RLVR__INLINE void v_store(float *p, vf a) { for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.q[i]); }
RLVR__INLINE vf v_set1(float x) { RLVR__EACH(vdupq_n_f32(x)); }
RLVR__INLINE vf v_zero(void) { RLVR__EACH(vdupq_n_f32(0)); }
RLVR__INLINE vf v_add(vf a, vf b) { RLVR__EACH(vaddq_f32(a.q[i], b.q[i])); }
RLVR__INLINE vf v_sub(vf a, vf b) { RLVR__EACH(vsubq_f32(a.q[i], b.q[i])); }
RLVR__INLINE vf v_mul(vf a, vf b) { RLVR__EACH(vmulq_f32(a.q[i], b.q[i])); }
RLVR__INLINE vf v_div(vf a, vf b) { RLVR__EACH(vdivq_f32(a.q[i], b.q[i])); }
RLVR__INLINE vf v_max(vf a, vf b) { RLVR__EACH(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
RLVR__INLINE vf v_min(vf a, vf b) { RLVR__EACH(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
RLVR__INLINE vf v_fma(vf a, vf b, vf c) { RLVR__EACH(vfmaq_f32(c.q[i], a.q[i], b.q[i])); }
RLVR__INLINE vf v_fnma(vf a, vf b, vf c) { RLVR__EACH(vfmsq_f32(c.q[i], a.q[i], b.q[i])); }
RLVR__INLINE vf v_neg(vf a) { RLVR__EACH(vnegq_f32(a.q[i])); }
RLVR__INLINE vf v_abs(vf a) { RLVR__EACH(vabsq_f32(a.q[i])); }
RLVR__INLINE vf v_sqrt(vf a) { RLVR__EACH(vsqrtq_f32(a.q[i])); }
RLVR__INLINE vf v_round(vf a) { RLVR__EACH(vrndnq_f32(a.q[i])); }
RLVR__INLINE vf v_ldexp(vf a, vf n)
{
    vf r;
    for (int i = 0; i < 4; i++) {
        int32x4_t k = vcvtq_s32_f32(n.q[i]), low = vshrq_n_s32(k, 1), one = vdupq_n_s32(127);
        r.q[i] = vmulq_f32(a.q[i], vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(low, one), 23)));
        r.q[i] = vmulq_f32(r.q[i], vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(k, low), one), 23)));
    }
    return r;
}
RLVR__INLINE vf v_select_ge(vf a, vf b, vf x, vf y) { RLVR__EACH(vbslq_f32(vcgeq_f32(a.q[i], b.q[i]), x.q[i], y.q[i])); }
RLVR__INLINE vf v_select_gt(vf a, vf b, vf x, vf y) { RLVR__EACH(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), x.q[i], y.q[i])); }
RLVR__INLINE vf v_select_eq(vf a, vf b, vf x, vf y) { RLVR__EACH(vbslq_f32(vceqq_f32(a.q[i], b.q[i]), x.q[i], y.q[i])); }
RLVR__INLINE vf v_split(vf a, vf *e)
{
    vf r;
    for (int i = 0; i < 4; i++) {
        int32x4_t half = vdupq_n_s32(0x3f3504f3), k = vsubq_s32(vreinterpretq_s32_f32(a.q[i]), half);
        e->q[i] = vcvtq_f32_s32(vshrq_n_s32(k, 23));
        r.q[i] = vreinterpretq_f32_s32(vaddq_s32(vandq_s32(k, vdupq_n_s32(0x7fffff)), half));
    }
    return r;
}
#undef RLVR__EACH

#else

typedef struct vf { float f[16]; } vf;
#define RLVR__EACH(e) vf r; for (int i = 0; i < 16; i++) r.f[i] = (e); return r
RLVR__INLINE float RLVR__NAME(rlvr__fma1)(float a, float b, float c)
{
#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
RLVR__INLINE vf v_load(const float *p) { RLVR__EACH(p[i]); }
RLVR__INLINE void v_store(float *p, vf a) { for (int i = 0; i < 16; i++) p[i] = a.f[i]; }
RLVR__INLINE vf v_set1(float x) { RLVR__EACH(x); }
RLVR__INLINE vf v_zero(void) { RLVR__EACH(0); }
RLVR__INLINE vf v_add(vf a, vf b) { RLVR__EACH(a.f[i] + b.f[i]); }
RLVR__INLINE vf v_sub(vf a, vf b) { RLVR__EACH(a.f[i] - b.f[i]); }
RLVR__INLINE vf v_mul(vf a, vf b) { RLVR__EACH(a.f[i] * b.f[i]); }
RLVR__INLINE vf v_div(vf a, vf b) { RLVR__EACH(a.f[i] / b.f[i]); }
RLVR__INLINE vf v_max(vf a, vf b) { RLVR__EACH(a.f[i] > b.f[i] ? a.f[i] : b.f[i]); }
RLVR__INLINE vf v_min(vf a, vf b) { RLVR__EACH(a.f[i] < b.f[i] ? a.f[i] : b.f[i]); }
RLVR__INLINE vf v_fma(vf a, vf b, vf c) { RLVR__EACH(RLVR__NAME(rlvr__fma1)(a.f[i], b.f[i], c.f[i])); }
RLVR__INLINE vf v_fnma(vf a, vf b, vf c) { RLVR__EACH(RLVR__NAME(rlvr__fma1)(-a.f[i], b.f[i], c.f[i])); }
RLVR__INLINE vf v_neg(vf a) { RLVR__EACH(-a.f[i]); }
RLVR__INLINE vf v_abs(vf a) { RLVR__EACH(__builtin_fabsf(a.f[i])); }
RLVR__INLINE vf v_sqrt(vf a) { RLVR__EACH(sqrtf(a.f[i])); }
RLVR__INLINE vf v_round(vf a) { RLVR__EACH(__builtin_copysignf(a.f[i] + 12582912.0f - 12582912.0f, a.f[i])); }
RLVR__INLINE vf v_ldexp(vf a, vf n)
{
    vf r;
    for (int i = 0; i < 16; i++) {
        int k = n.f[i] == n.f[i] ? (int)n.f[i] : 0, low = k >> 1;
        r.f[i] = a.f[i] * rlvr__from_bits((uint32_t)(low + 127) << 23) * rlvr__from_bits((uint32_t)(k - low + 127) << 23);
    }
    return r;
}
RLVR__INLINE vf v_select_ge(vf a, vf b, vf x, vf y) { RLVR__EACH(a.f[i] >= b.f[i] ? x.f[i] : y.f[i]); }
RLVR__INLINE vf v_select_gt(vf a, vf b, vf x, vf y) { RLVR__EACH(a.f[i] > b.f[i] ? x.f[i] : y.f[i]); }
RLVR__INLINE vf v_select_eq(vf a, vf b, vf x, vf y) { RLVR__EACH(a.f[i] == b.f[i] ? x.f[i] : y.f[i]); }
RLVR__INLINE vf v_split(vf a, vf *e)
{
    vf r;
    for (int i = 0; i < 16; i++) {
        uint32_t k = rlvr__to_bits(a.f[i]) - 0x3f3504f3u;
        e->f[i] = (float)((int32_t)k >> 23);
        r.f[i] = rlvr__from_bits((k & 0x7fffffu) + 0x3f3504f3u);
    }
    return r;
}
#undef RLVR__EACH

#endif

#if RLVR__KERNEL_PASS == RLVR__AVX512 || RLVR__KERNEL_PASS == RLVR__AVX2
RLVR__INLINE float v_hsum(vf a)
{
    __m128 x = RLVR__NAME(rlvr__v_quarter)(a, false);
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
RLVR__INLINE float v_hmax(vf a)
{
    __m128 x = RLVR__NAME(rlvr__v_quarter)(a, true);
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
#else
RLVR__INLINE float v_hsum(vf a)
{
    float s[16];
    v_store(s, a);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}
RLVR__INLINE float v_hmax(vf a)
{
    float s[16];
    v_store(s, a);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) s[i] = s[i] > s[i + half] ? s[i] : s[i + half];
    return s[0];
}
RLVR__INLINE vf v_loadn(const float *p, int n)
{
    float s[16] = {0};
    for (int i = 0; i < n; i++) s[i] = p[i];
    return v_load(s);
}
RLVR__INLINE void v_storen(float *p, vf a, int n)
{
    float s[16];
    v_store(s, a);
    for (int i = 0; i < n; i++) p[i] = s[i];
}
#endif

/* e^x = 2^n e^r with n = round(x / ln 2); e^r = 1 + r + r^2 q(r), q of degree 4, minimax on |r| <= ln 2 / 2 (3e-9). */
RLVR__INLINE vf v_exp(vf x)
{
    x = v_max(v_set1(-104.0f), v_min(v_set1(89.0f), x));
    vf n = v_round(v_mul(x, v_set1(1.44269504f)));
    vf r = v_fnma(n, v_set1(1.42860677e-6f), v_fnma(n, v_set1(0.693145752f), x));      /* ln 2, the first part of 16 bits */
    vf q = v_fma(v_set1(1.38144648e-3f), r, v_set1(8.36878038e-3f));
    q = v_fma(q, r, v_set1(4.16683942e-2f));
    q = v_fma(q, r, v_set1(1.66665201e-1f));
    q = v_fma(q, r, v_set1(4.99999934e-1f));
    return v_ldexp(v_add(v_fma(q, v_mul(r, r), r), v_set1(1.0f)), n);
}

/* log x = e ln 2 + log(1 + f); log(1 + f) = f - f^2 / 2 + f^3 q(f), q of degree 7, minimax on the mantissa's range (6e-9).
   x below the normal range is scaled by 2^23 first. */
RLVR__INLINE vf v_log(vf x)
{
    vf e, small = v_set1(FLT_MIN), shift = v_select_gt(small, x, v_set1(23.0f), v_zero());
    vf f = v_sub(v_split(v_mul(x, v_select_gt(small, x, v_set1(8388608.0f), v_set1(1.0f))), &e), v_set1(1.0f));
    vf square = v_mul(f, f), q = v_fma(v_set1(-7.63328055e-2f), f, v_set1(1.27620723e-1f));
    e = v_sub(e, shift);
    q = v_fma(q, f, v_set1(-1.31608417e-1f));
    q = v_fma(q, f, v_set1(1.42017360e-1f));
    q = v_fma(q, f, v_set1(-1.66232926e-1f));
    q = v_fma(q, f, v_set1(2.00012256e-1f));
    q = v_fma(q, f, v_set1(-2.50008227e-1f));
    q = v_fma(q, f, v_set1(3.33333317e-1f));
    vf r = v_fma(v_mul(q, f), square, v_mul(e, v_set1(1.42860677e-6f)));
    r = v_fma(v_set1(-0.5f), square, r);
    r = v_fma(e, v_set1(0.693145752f), v_add(r, f));
    r = v_select_gt(x, v_set1(FLT_MAX), x, r);
    r = v_select_eq(x, v_zero(), v_set1(-(float)INFINITY), r);
    return v_select_ge(x, v_zero(), r, v_set1((float)NAN));
}

/* ---- GEMM kernels ---- */

/* The register tile: RLVR__MR rows of RLVR__NV vectors. With one row of B and a broadcast of A it fills the registers. */
#undef RLVR__MR
#undef RLVR__NV
#if RLVR__KERNEL_PASS == RLVR__AVX512
#define RLVR__MR 12
#define RLVR__NV 2
#elif RLVR__KERNEL_PASS == RLVR__PORTABLE
#define RLVR__MR 2
#define RLVR__NV 1
#else
#define RLVR__MR 6
#define RLVR__NV 1
#endif

/* C[r][0 .. 16 NV) = (load ? C : 0) + sum over k of A[r][k] B[k][0 .. 16 NV): one chain of v_fma for each element. rows is a
   constant where this is expanded. What lies at `next` is wanted soon: `step` of its bytes are fetched for each k. */
RLVR__INLINE void RLVR__NAME(rlvr__tile)(const int rows, float *c /* (rows, ldc) */, int64_t ldc,
                                         const float *a /* (rows, lda) */, int64_t lda, const float *b /* (K, 32) */,
                                         int64_t K, bool load, const char *next, int64_t step)
{
    vf acc[RLVR__MR][RLVR__NV];
    const float *row[(RLVR__MR + 2) / 3];      /* each third row: an address reaches one or two lda further */
    float *old = c;
    RLVR__UNROLL
    for (int r = 0; r < rows; r++) {
        if (r % 3 == 0) row[r / 3] = a + r * lda;
        RLVR__UNROLL
        for (int j = 0; j < RLVR__NV; j++) {
            __builtin_prefetch(old + 16 * j, 1);
            acc[r][j] = load ? v_load(old + 16 * j) : v_zero();
        }
        old += ldc;
    }
    for (int64_t k = 0; k < K; k++) {
        vf bk[RLVR__NV];
        RLVR__UNROLL
        for (int j = 0; j < RLVR__NV; j++) bk[j] = v_load(b + 16 * j);
        __builtin_prefetch(next, 0, 2);
        __builtin_prefetch(next + 64, 0, 2);
        RLVR__UNROLL
        for (int r = 0; r < rows; r++) {
            vf x = v_set1(row[r / 3][r % 3 * lda + k]);
            RLVR__UNROLL
            for (int j = 0; j < RLVR__NV; j++) acc[r][j] = v_fma(x, bk[j], acc[r][j]);
        }
        b += RLVR__PANEL;
        next += step;
    }
    RLVR__UNROLL
    for (int r = 0; r < rows; r++) {
        RLVR__UNROLL
        for (int j = 0; j < RLVR__NV; j++) v_store(c + 16 * j, acc[r][j]);
        c += ldc;
    }
}

/* A tile of all 32 columns of a panel. */
RLVR__FN void RLVR__NAME(rlvr__panel_tile)(int64_t rows, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                                           int64_t K, bool load, const char *next, int64_t step)
{
#define RLVR__CASE(n) case n: RLVR__NAME(rlvr__tile)(RLVR__MIN(n, RLVR__MR), c, ldc, a, lda, b, K, load, next, step); break;
    for (int j = 0; j < RLVR__PANEL; j += 16 * RLVR__NV, c += 16 * RLVR__NV, b += 16 * RLVR__NV)
        switch (rows) {
            RLVR__CASE(1) RLVR__CASE(2)
#if RLVR__MR > 2
            RLVR__CASE(3) RLVR__CASE(4) RLVR__CASE(5) RLVR__CASE(6)
#endif
#if RLVR__MR > 6
            RLVR__CASE(7) RLVR__CASE(8) RLVR__CASE(9) RLVR__CASE(10) RLVR__CASE(11) RLVR__CASE(12)
#endif
        }
#undef RLVR__CASE
}

RLVR__FN void RLVR__NAME(rlvr__copy_panel)(float *to /* (rows, 32) */, const float *from /* (rows, ldf) */, int64_t ldf,
                                           int64_t rows, int64_t n)
{
    int n0 = (int)(n < 16 ? n : 16), n1 = (int)n - n0;
    for (int64_t r = 0; r < rows; r++, to += RLVR__PANEL, from += ldf) {
        __builtin_prefetch(from + 16 * ldf);
        __builtin_prefetch(from + 16 * ldf + 16);
        v_store(to, n0 == 16 ? v_load(from) : v_loadn(from, n0));
        v_store(to + 16, n1 == 16 ? v_load(from + 16) : v_loadn(from + 16, n1));
    }
}

/* A tile of the last panel, of which C has n < 32 columns: it is made beside C. */
RLVR__FN void RLVR__NAME(rlvr__edge_tile)(int64_t rows, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                                          int64_t K, bool load, const char *next, int64_t step, int64_t n)
{
    float beside[RLVR__MR * RLVR__PANEL];
    int n0 = (int)(n < 16 ? n : 16), n1 = (int)n - n0;
    if (load) RLVR__NAME(rlvr__copy_panel)(beside, c, ldc, rows, n);
    RLVR__NAME(rlvr__panel_tile)(rows, beside, RLVR__PANEL, a, lda, b, K, load, next, step);
    for (int64_t r = 0; r < rows; r++) {
        v_storen(c + r * ldc, v_load(beside + r * RLVR__PANEL), n0);
        v_storen(c + r * ldc + 16, v_load(beside + r * RLVR__PANEL + 16), n1);
    }
}

/* Rows and panels of C on this thread. Rows go in tiles of even height; a panel's part of B stays in the cache for all of
   them, and meanwhile each tile fetches its share of what comes next. */
RLVR__FN void RLVR__NAME(rlvr__gemm_block)(const rlvr__gemm *g, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                                           int64_t panel_end)
{
    int64_t rows = row_end - row_begin, tiles = (rows + RLVR__MR - 1) / RLVR__MR, parts = g->k / RLVR__CHAIN + 1;
    for (int64_t i = 0; i < (panel_end - panel_begin) * parts; i++) {
        int64_t p = panel_begin + i / parts, part = i % parts, n = g->n - p * RLVR__PANEL;
        int64_t k0 = g->k * part / parts, k = g->k * (part + 1) / parts - k0;
        const float *b = g->b + p * g->b_panel + k0 * RLVR__PANEL;
        for (int64_t t = 0; t < tiles; t++) {
            int64_t row = row_begin + rows * t / tiles, n_rows = row_begin + rows * (t + 1) / tiles - row;
            const float *a = g->a + row * g->lda + k0;
            float *c = g->c + p * g->c_panel + row * g->ldc;
            bool load = g->load || part;
            int64_t step = RLVR__PANEL * (int64_t)sizeof(float) / tiles;
            const char *next = (const char *)(b + k * RLVR__PANEL) + t * step * k;
            if (g->ldc == RLVR__PANEL) {      /* gemm_dw: B is near, what comes from afar is the next tile of C */
                next = (const char *)(c + n_rows * RLVR__PANEL);
                step = RLVR__MIN(128 * n_rows / (k + 1) + 1, (int64_t)128);
            }
            if (n >= RLVR__PANEL) RLVR__NAME(rlvr__panel_tile)(n_rows, c, g->ldc, a, g->lda, b, k, load, next, step);
            else RLVR__NAME(rlvr__edge_tile)(n_rows, c, g->ldc, a, g->lda, b, k, load, next, step, n);
        }
    }
}

#if RLVR__KERNEL_PASS == RLVR__AVX512
RLVR__INLINE void RLVR__NAME(rlvr__transpose16)(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    __m512 a[16], b[16];
    RLVR__UNROLL
    for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_ps(from + i * ldf);
    RLVR__UNROLL
    for (int i = 0; i < 16; i++)      /* pairs of rows: b[i] has columns 0 1 (even i) or 2 3 (odd i) of each four */
        b[i] = i % 2 ? _mm512_unpackhi_ps(a[i - 1], a[i]) : _mm512_unpacklo_ps(a[i], a[i + 1]);
    RLVR__UNROLL
    for (int i = 0; i < 16; i++) {    /* fours of rows: a[4 q + c] has column c of each four, of rows 4 q .. 4 q + 3 */
        __m512 low = b[i / 4 * 4 + i % 4 / 2], high = b[i / 4 * 4 + i % 4 / 2 + 2];
        a[i] = i % 2 ? _mm512_shuffle_ps(low, high, 0xee) : _mm512_shuffle_ps(low, high, 0x44);
    }
    RLVR__UNROLL
    for (int i = 0; i < 16; i++) {    /* eights: b[8 h + 4 s + c] has columns c of fours s and s + 2 */
        __m512 low = a[i / 8 * 8 + i % 4], high = a[i / 8 * 8 + i % 4 + 4];
        b[i] = i % 8 / 4 ? _mm512_shuffle_f32x4(low, high, 0xdd) : _mm512_shuffle_f32x4(low, high, 0x88);
    }
    RLVR__UNROLL
    for (int i = 0; i < 16; i++) {    /* column i: of four i / 4 */
        __m512 low = b[i / 4 % 2 * 4 + i % 4], high = b[8 + i / 4 % 2 * 4 + i % 4];
        _mm512_storeu_ps(to + i * ldt, i / 8 ? _mm512_shuffle_f32x4(low, high, 0xdd) :
                                               _mm512_shuffle_f32x4(low, high, 0x88));
    }
}
#elif RLVR__KERNEL_PASS == RLVR__AVX2
RLVR__INLINE void RLVR__NAME(rlvr__transpose8)(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    __m256 a[8], b[8];
    RLVR__UNROLL
    for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(from + i * ldf);
    RLVR__UNROLL
    for (int i = 0; i < 8; i++) b[i] = i % 2 ? _mm256_unpackhi_ps(a[i - 1], a[i]) : _mm256_unpacklo_ps(a[i], a[i + 1]);
    RLVR__UNROLL
    for (int i = 0; i < 8; i++) {
        __m256 low = b[i / 4 * 4 + i % 4 / 2], high = b[i / 4 * 4 + i % 4 / 2 + 2];
        a[i] = i % 2 ? _mm256_shuffle_ps(low, high, 0xee) : _mm256_shuffle_ps(low, high, 0x44);
    }
    RLVR__UNROLL
    for (int i = 0; i < 8; i++)
        _mm256_storeu_ps(to + i * ldt, i / 4 ? _mm256_permute2f128_ps(a[i % 4], a[i % 4 + 4], 0x31) :
                                               _mm256_permute2f128_ps(a[i % 4], a[i % 4 + 4], 0x20));
}
RLVR__INLINE void RLVR__NAME(rlvr__transpose16)(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 16; j += 8) RLVR__NAME(rlvr__transpose8)(to + j * ldt + i, ldt, from + i * ldf + j, ldf);
}
#elif RLVR__KERNEL_PASS == RLVR__NEON
RLVR__INLINE void RLVR__NAME(rlvr__transpose16)(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 16; j += 4) {
            const float *f = from + i * ldf + j;
            float *t = to + j * ldt + i;
            float32x4x2_t p = vtrnq_f32(vld1q_f32(f), vld1q_f32(f + ldf));
            float32x4x2_t q = vtrnq_f32(vld1q_f32(f + 2 * ldf), vld1q_f32(f + 3 * ldf));
            vst1q_f32(t, vcombine_f32(vget_low_f32(p.val[0]), vget_low_f32(q.val[0])));
            vst1q_f32(t + ldt, vcombine_f32(vget_low_f32(p.val[1]), vget_low_f32(q.val[1])));
            vst1q_f32(t + 2 * ldt, vcombine_f32(vget_high_f32(p.val[0]), vget_high_f32(q.val[0])));
            vst1q_f32(t + 3 * ldt, vcombine_f32(vget_high_f32(p.val[1]), vget_high_f32(q.val[1])));
        }
}
#else
RLVR__INLINE void RLVR__NAME(rlvr__transpose16)(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) to[j * ldt + i] = from[i * ldf + j];
}
#endif

RLVR__FN void RLVR__NAME(rlvr__transpose)(float *to /* (cols, ldt) */, int64_t ldt, const float *from /* (rows, ldf) */,
                                          int64_t ldf, int64_t rows, int64_t cols)
{
    int64_t whole_rows = rows / 16 * 16, whole_cols = cols / 16 * 16;
    for (int64_t i = 0; i < whole_rows; i += 16)
        for (int64_t j = 0; j < whole_cols; j += 16)
            RLVR__NAME(rlvr__transpose16)(to + j * ldt + i, ldt, from + i * ldf + j, ldf);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole_rows ? whole_cols : 0; j < cols; j++) to[j * ldt + i] = from[i * ldf + j];
}

#define RLVR__GEMM_KERNELS {RLVR__NAME(rlvr__gemm_block), RLVR__NAME(rlvr__transpose), RLVR__NAME(rlvr__copy_panel)}
#endif
#ifndef RLVR__KERNEL_PASS
/* ============================================================================================
   9. OPS                                                                               >>ops
   ============================================================================================ */

/* What stands between the matrix products, forward and backward. Rows are row-major. Every op runs threaded, allocates
   nothing, and is batch-invariant: the additions behind one number happen in an order that depends on the model (and, in
   attention, on the number of positions attended to) alone. A kernel is a loop body of the thread pool; this table holds
   those of one instruction set, and rlvr_ctx.kernels points at its first member. */
typedef struct rlvr__op_kernels {
    rlvr__kernels base;
    rlvr_loop_fn rmsnorm_fwd, rmsnorm_dx, rmsnorm_dw, rope_fwd, rope_bwd, attn_fwd, attn_bwd, swiglu_fwd, swiglu_bwd,
                 dist, dist_sample, dist_bwd, argmax, adamw, sum_squares;
} rlvr__op_kernels;

/* Tokens of row v have p_v = exp((z_v - max) * temperature_inv - log_z) where z_v >= threshold, else 0. A row with a NaN or
   +infinity, or of -infinity alone, has log_z and entropy NaN. */
typedef struct rlvr__dist { float temperature_inv, max, threshold, log_z, entropy; } rlvr__dist;

typedef struct rlvr__norm_args {
    float *y, *rstd, *dx, *dw;
    const float *x, *w, *dy, *saved_rstd;
    int64_t M, D;
    float eps;
} rlvr__norm_args;
typedef struct rlvr__rope_args {
    float *q, *kv, *dqkv;
    const int *slot, *pos;
    const float *qkv, *dq, *dkv_heads, *cos_sin;
    int64_t M, H, KV, hd;
} rlvr__rope_args;
typedef struct rlvr__attn_args {
    float *out, *lse, *dq, *dkv_heads;
    const float *q, *kv, *dout, *saved_out, *saved_lse;
    const int *const *context;
    const int *n_context, *tree_begin;
    int64_t M, H, KV, hd, stride;
    float *scratch;
    float scale;
} rlvr__attn_args;
typedef struct rlvr__swiglu_args { float *h, *dgu; const float *dh, *gu; int64_t F; } rlvr__swiglu_args;
typedef struct rlvr__dist_args {
    rlvr__dist *d;
    float *logits;
    const rlvr_sampling *sampling;
    int *token;
    const float *u, *dlogprob, *dentropy;
    const int *target_begin, *target;
    int64_t V, stride;
    float *scratch;
} rlvr__dist_args;
typedef struct rlvr__adamw_args {
    float *w, *m, *v;
    const float *g;
    float keep, mix1, beta2, mix2, eps, step, bias2_inv, grad_scale;
} rlvr__adamw_args;
typedef struct rlvr__squares_args { const float *g; double *partial; int64_t n, piece; } rlvr__squares_args;

enum { RLVR__ATTN_BLOCK = 16,     /* positions whose scores are made together */
       RLVR__ATTN_HEADS = 4,      /* most query heads whose scores a thread's scratch holds */
       RLVR__DIST_BLOCK = 256,    /* tokens whose probabilities are added as floats, before they go to a double */
       RLVR__SQUARES_PIECES = 1024 };

#define v_loadp  RLVR__NAME(rlvr__v_loadp)      /* v_loadn and v_storen that are plain where n is 16 */
#define v_storep RLVR__NAME(rlvr__v_storep)

/* The largest t among z (n, finite) such that the z >= t weigh at least `target` (weight NULL: 1 each); the smallest z of any
   weight if all weigh less; -infinity if there is none. Counts in bins between the least and the largest z, drops what lies
   outside of the one that holds t, and counts again. Destroys z and weight. */
static RLVR__UNUSED float rlvr__select(float *z, float *weight, int64_t n, double target)
{
    enum { BINS = 2048 };
    double mass[BINS];
    for (;;) {
        float low = n > 0 ? z[0] : -(float)INFINITY, high = low;
        for (int64_t i = 1; i < n; i++) {
            low = z[i] < low ? z[i] : low;
            high = z[i] > high ? z[i] : high;
        }
        if (!(high > low)) return high;
        double base = (double)low, scale = (BINS - 1) / ((double)high - base), above = 0, at_lowest = 0;
        int chosen = -1, lowest = BINS - 1;
        memset(mass, 0, sizeof mass);
        for (int64_t i = 0; i < n; i++) mass[(int)(((double)z[i] - base) * scale)] += weight ? (double)weight[i] : 1.0;
        for (int b = BINS - 1; b >= 0 && chosen < 0; b--) {
            if (!(mass[b] > 0)) continue;
            lowest = b;
            at_lowest = above;
            if (above + mass[b] >= target) chosen = b;
            else above += mass[b];
        }
        if (chosen < 0) { chosen = lowest; above = at_lowest; }
        target -= above;
        int64_t kept = 0;
        for (int64_t i = 0; i < n; i++) {
            float x = z[i];
            bool inside = (int)(((double)x - base) * scale) == chosen;
            if (weight) weight[kept] = weight[i];
            z[kept] = x;
            kept += inside;
        }
        n = kept;
    }
}

#else
/* ---- kernels: norm ---- */

#ifndef RLVR__UNROLL
#ifdef __clang__
#define RLVR__UNROLL _Pragma("clang loop unroll(full)")
#else
#define RLVR__UNROLL _Pragma("GCC unroll 16")
#endif
#endif

RLVR__INLINE vf v_loadp(const float *p, int n) { return n == 16 ? v_load(p) : v_loadn(p, n); }
RLVR__INLINE void v_storep(float *p, vf a, int n) { if (n == 16) v_store(p, a); else v_storen(p, a, n); }
RLVR__INLINE float RLVR__NAME(rlvr__lane)(vf a) { float s[16]; v_store(s, a); return s[0]; }

/* Sum of x y (z) over n, lanes and chains in a fixed order; z NULL: 1. */
RLVR__INLINE float RLVR__NAME(rlvr__dot)(const float *x, const float *y, const float *z, int64_t n)
{
    vf s0 = v_zero(), s1 = s0, s2 = s0, s3 = s0;
    int64_t i = 0;
#define RLVR__TERM(at) (z ? v_mul(v_load(y + (at)), v_load(z + (at))) : v_load(y + (at)))
    for (; i + 64 <= n; i += 64) {
        s0 = v_fma(v_load(x + i), RLVR__TERM(i), s0);
        s1 = v_fma(v_load(x + i + 16), RLVR__TERM(i + 16), s1);
        s2 = v_fma(v_load(x + i + 32), RLVR__TERM(i + 32), s2);
        s3 = v_fma(v_load(x + i + 48), RLVR__TERM(i + 48), s3);
    }
    for (; i + 16 <= n; i += 16) s0 = v_fma(v_load(x + i), RLVR__TERM(i), s0);
#undef RLVR__TERM
    if (i < n) {
        int left = (int)(n - i);
        vf t = v_loadp(y + i, left);
        if (z) t = v_mul(t, v_loadp(z + i, left));
        s1 = v_fma(v_loadp(x + i, left), t, s1);
    }
    return v_hsum(v_add(v_add(s0, s1), v_add(s2, s3)));
}

RLVR__FN void RLVR__NAME(rlvr__k_rmsnorm_fwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__norm_args *a = (const rlvr__norm_args *)arg;
    int64_t D = a->D;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *x = a->x + i * D;
        float *y = a->y + i * D, rstd = 1.0f / sqrtf(RLVR__NAME(rlvr__dot)(x, x, NULL, D) / (float)D + a->eps);
        vf r = v_set1(rstd);
        int64_t k = 0;
        for (; k + 16 <= D; k += 16) v_store(y + k, v_mul(v_mul(v_load(x + k), r), v_load(a->w + k)));
        if (k < D) {
            int n = (int)(D - k);
            v_storep(y + k, v_mul(v_mul(v_loadp(x + k, n), r), v_loadp(a->w + k, n)), n);
        }
        if (a->rstd) a->rstd[i] = rstd;
    }
}

RLVR__FN void RLVR__NAME(rlvr__k_rmsnorm_dx)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__norm_args *a = (const rlvr__norm_args *)arg;
    int64_t D = a->D;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *x = a->x + i * D, *dy = a->dy + i * D, *w = a->w;
        float *dx = a->dx + i * D, rstd = a->saved_rstd[i];
        float mean = RLVR__NAME(rlvr__dot)(x, dy, w, D) / (float)D;
        vf r = v_set1(rstd), c = v_set1(rstd * rstd * rstd * mean);
        int64_t k = 0;
        for (; k + 16 <= D; k += 16) {
            vf t = v_fma(v_mul(v_load(dy + k), v_load(w + k)), r, v_load(dx + k));
            v_store(dx + k, v_fnma(v_load(x + k), c, t));
        }
        if (k < D) {
            int n = (int)(D - k);
            vf t = v_fma(v_mul(v_loadp(dy + k, n), v_loadp(w + k, n)), r, v_loadp(dx + k, n));
            v_storep(dx + k, v_fnma(v_loadp(x + k, n), c, t), n);
        }
    }
}

/* dw of columns 16 begin .. 16 end: for each a chain over the rows, so that micro-batches chain too. */
RLVR__FN void RLVR__NAME(rlvr__k_rmsnorm_dw)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__norm_args *a = (const rlvr__norm_args *)arg;
    int64_t D = a->D, k = begin * 16, to = RLVR__MIN(end * 16, D);
    (void)thread;
    for (; k + 64 <= to; k += 64) {
        vf s[4];
        RLVR__UNROLL for (int c = 0; c < 4; c++) s[c] = v_load(a->dw + k + 16 * c);
        for (int64_t i = 0; i < a->M; i++) {
            const float *x = a->x + i * D + k, *dy = a->dy + i * D + k;
            vf r = v_set1(a->saved_rstd[i]);
            RLVR__UNROLL for (int c = 0; c < 4; c++) s[c] = v_fma(v_mul(v_load(x + 16 * c), r), v_load(dy + 16 * c), s[c]);
        }
        RLVR__UNROLL for (int c = 0; c < 4; c++) v_store(a->dw + k + 16 * c, s[c]);
    }
    for (; k < to; k += 16) {
        int n = (int)RLVR__MIN(16, to - k);
        vf s = v_loadp(a->dw + k, n);
        for (int64_t i = 0; i < a->M; i++)
            s = v_fma(v_mul(v_loadp(a->x + i * D + k, n), v_set1(a->saved_rstd[i])), v_loadp(a->dy + i * D + k, n), s);
        v_storep(a->dw + k, s, n);
    }
}

/* ---- kernels: rotary position ---- */

enum { RLVR__NAME(RLVR__ROPE_COLS) = 256 };

/* Turns pairs (i, i + half) by their angles, or back: y_i = x_i cos - x_j sin, y_j = x_j cos + x_i sin. x is (n_heads, hd). */
RLVR__INLINE void RLVR__NAME(rlvr__rotate)(float *y, const float *x, const float *cos_sin, int64_t n_heads, int64_t hd, bool back)
{
    int64_t half = hd / 2;
    float c[RLVR__NAME(RLVR__ROPE_COLS)], s[RLVR__NAME(RLVR__ROPE_COLS)];
    for (int64_t from = 0; from < half; from += RLVR__NAME(RLVR__ROPE_COLS)) {
        int64_t cols = RLVR__MIN(half - from, (int64_t)RLVR__NAME(RLVR__ROPE_COLS));
        for (int64_t k = 0; k < cols; k++) {
            c[k] = cos_sin[2 * (from + k)];
            s[k] = back ? -cos_sin[2 * (from + k) + 1] : cos_sin[2 * (from + k) + 1];
        }
        for (int64_t h = 0; h < n_heads; h++)
            for (int64_t k = 0; k < cols; k += 16) {
                int n = (int)RLVR__MIN(16, cols - k);
                const float *p = x + h * hd + from + k;
                float *o = y + h * hd + from + k;
                vf a = v_loadp(p, n), b = v_loadp(p + half, n), cv = v_loadp(c + k, n), sv = v_loadp(s + k, n);
                v_storep(o, v_fnma(b, sv, v_mul(a, cv)), n);
                v_storep(o + half, v_fma(a, sv, v_mul(b, cv)), n);
            }
    }
}

RLVR__FN void RLVR__NAME(rlvr__k_rope_fwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__rope_args *a = (const rlvr__rope_args *)arg;
    int64_t Q = a->H * a->hd, K = a->KV * a->hd;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *qkv = a->qkv + i * (Q + 2 * K), *cos_sin = a->cos_sin + a->pos[i] * a->hd;
        float *kv = a->kv + a->slot[i] * 2 * K;
        RLVR__NAME(rlvr__rotate)(a->q + i * Q, qkv, cos_sin, a->H, a->hd, false);
        RLVR__NAME(rlvr__rotate)(kv, qkv + Q, cos_sin, a->KV, a->hd, false);
        memcpy(kv + K, qkv + Q + K, (size_t)K * sizeof(float));
    }
}

RLVR__FN void RLVR__NAME(rlvr__k_rope_bwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__rope_args *a = (const rlvr__rope_args *)arg;
    int64_t hd = a->hd, Q = a->H * hd, K = a->KV * hd, group = a->H / a->KV;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        float *dqkv = a->dqkv + i * (Q + 2 * K), *dk = dqkv + Q, *dv = dk + K;
        const float *cos_sin = a->cos_sin + a->pos[i] * hd;
        RLVR__NAME(rlvr__rotate)(dqkv, a->dq + i * Q, cos_sin, a->H, hd, true);
        for (int64_t g = 0; g < a->KV; g++)
            for (int64_t k = 0; k < hd; k += 16) {
                int n = (int)RLVR__MIN(16, hd - k);
                vf sk = v_zero(), sv = sk;
                for (int64_t h = g * group; h < (g + 1) * group; h++) {
                    const float *p = a->dkv_heads + (h * a->M + i) * 2 * hd + k;
                    sk = v_add(sk, v_loadp(p, n));
                    sv = v_add(sv, v_loadp(p + hd, n));
                }
                v_storep(dk + g * hd + k, sk, n);
                v_storep(dv + g * hd + k, sv, n);
            }
        RLVR__NAME(rlvr__rotate)(dk, dk, cos_sin, a->KV, hd, true);
    }
}

/* ---- kernels: attention ---- */

/* Query heads and vectors of 16 columns that a loop holds in registers. Each number's additions are the same for any. */
#undef RLVR__HEADS
#undef RLVR__COLS
#if RLVR__KERNEL_PASS == RLVR__PORTABLE
#define RLVR__HEADS 1
#define RLVR__COLS  1
#elif RLVR__KERNEL_PASS == RLVR__NEON
#define RLVR__HEADS 2
#define RLVR__COLS  2
#else
#define RLVR__HEADS 4
#define RLVR__COLS  4
#endif

/* Lane j of the result is v_hsum of a[j] (16, 16), by the same tree. */
#if RLVR__KERNEL_PASS == RLVR__AVX512
RLVR__INLINE vf RLVR__NAME(rlvr__fold4)(const float *a)      /* quarter j: the four partial sums of a[4 j] */
{
    vf x0 = v_load(a), x1 = v_load(a + 64), x2 = v_load(a + 128), x3 = v_load(a + 192);
    vf x = v_add(_mm512_shuffle_f32x4(x0, x1, 0x44), _mm512_shuffle_f32x4(x0, x1, 0xee));
    vf y = v_add(_mm512_shuffle_f32x4(x2, x3, 0x44), _mm512_shuffle_f32x4(x2, x3, 0xee));
    return v_add(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
}
RLVR__INLINE vf RLVR__NAME(rlvr__hsum16)(const float *a)
{
    vf x = RLVR__NAME(rlvr__fold4)(a), y = RLVR__NAME(rlvr__fold4)(a + 16);
    vf u = v_add(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xee));
    x = RLVR__NAME(rlvr__fold4)(a + 32);
    y = RLVR__NAME(rlvr__fold4)(a + 48);
    vf w = v_add(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xee));
    return v_add(_mm512_shuffle_ps(u, w, 0x88), _mm512_shuffle_ps(u, w, 0xdd));
}
#elif RLVR__KERNEL_PASS == RLVR__AVX2
RLVR__INLINE __m256 RLVR__NAME(rlvr__fold2)(const float *a)      /* half j: the four partial sums of a[4 j] */
{
    __m256 x = _mm256_add_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(a + 8));
    __m256 y = _mm256_add_ps(_mm256_loadu_ps(a + 64), _mm256_loadu_ps(a + 72));
    return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}
RLVR__INLINE __m256 RLVR__NAME(rlvr__hsum8)(const float *a)
{
    __m256 x = RLVR__NAME(rlvr__fold2)(a), y = RLVR__NAME(rlvr__fold2)(a + 16);
    __m256 u = _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x44), _mm256_shuffle_ps(x, y, 0xee));
    x = RLVR__NAME(rlvr__fold2)(a + 32);
    y = RLVR__NAME(rlvr__fold2)(a + 48);
    __m256 w = _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x44), _mm256_shuffle_ps(x, y, 0xee));
    return _mm256_add_ps(_mm256_shuffle_ps(u, w, 0x88), _mm256_shuffle_ps(u, w, 0xdd));
}
RLVR__INLINE vf RLVR__NAME(rlvr__hsum16)(const float *a)
{
    vf r;
    r.a = RLVR__NAME(rlvr__hsum8)(a);
    r.b = RLVR__NAME(rlvr__hsum8)(a + 128);
    return r;
}
#else
RLVR__INLINE vf RLVR__NAME(rlvr__hsum16)(const float *a)
{
    float s[16];
    for (int j = 0; j < 16; j++) s[j] = v_hsum(v_load(a + 16 * j));
    return v_load(s);
}
#endif

/* Products of `heads` queries and n keys over 16 vectors - 1 + last columns, lane by lane, into acc (heads, 16, 16); added to
   what is there where not `first`. vectors is RLVR__COLS (last 16) or 1. */
RLVR__INLINE void RLVR__NAME(rlvr__products)(const int heads, const int vectors, const int last, float *acc, const float *q,
                                             int64_t ldq, const float *const *k, int64_t at, int n, bool first)
{
    vf qv[RLVR__HEADS][RLVR__COLS];
    RLVR__UNROLL for (int h = 0; h < heads; h++)
        RLVR__UNROLL for (int c = 0; c < vectors; c++) qv[h][c] = v_loadp(q + h * ldq + at + 16 * c, last);
    for (int j = 0; j < n; j++) {
        vf kv[RLVR__COLS];
        RLVR__UNROLL for (int c = 0; c < vectors; c++) kv[c] = v_loadp(k[j] + at + 16 * c, last);
        RLVR__UNROLL for (int h = 0; h < heads; h++) {
            float *s = acc + (h * RLVR__ATTN_BLOCK + j) * 16;
            vf t = first ? v_mul(qv[h][0], kv[0]) : v_fma(qv[h][0], kv[0], v_load(s));
            RLVR__UNROLL for (int c = 1; c < vectors; c++) t = v_fma(qv[h][c], kv[c], t);
            v_store(s, t);
        }
    }
}

/* Dot products of queries and keys, (heads, 16) by head; lanes from n on mean nothing. */
RLVR__INLINE void RLVR__NAME(rlvr__dots)(const int heads, vf *out, float *acc, const float *q, int64_t ldq,
                                         const float *const *k, int64_t hd, int n)
{
    int64_t at = 0;
    if (hd == 16 * RLVR__COLS) RLVR__NAME(rlvr__products)(heads, RLVR__COLS, 16, acc, q, ldq, k, 0, n, true);
    else {
        for (; at + 16 * RLVR__COLS <= hd; at += 16 * RLVR__COLS)
            RLVR__NAME(rlvr__products)(heads, RLVR__COLS, 16, acc, q, ldq, k, at, n, at == 0);
        for (; at < hd; at += 16) RLVR__NAME(rlvr__products)(heads, 1, (int)RLVR__MIN(16, hd - at), acc, q, ldq, k, at, n, at == 0);
    }
    RLVR__UNROLL for (int h = 0; h < heads; h++) out[h] = RLVR__NAME(rlvr__hsum16)(acc + h * RLVR__ATTN_BLOCK * 16);
}

/* out[h] = norm[h] * sum over positions of p[h][j] v[j], some columns. */
RLVR__INLINE void RLVR__NAME(rlvr__weighted)(const int heads, const int vectors, const int last, float *out, int64_t ldo,
                                             const float *p, int64_t ldp, const float *norm, const float *v, int64_t stride,
                                             const int *context, int n)
{
    vf s[RLVR__HEADS][RLVR__COLS];
    RLVR__UNROLL for (int h = 0; h < heads; h++)
        RLVR__UNROLL for (int c = 0; c < vectors; c++) s[h][c] = v_zero();
    for (int j = 0; j < n; j++) {
        const float *row = v + context[j] * stride;
        vf x[RLVR__COLS];
        RLVR__UNROLL for (int c = 0; c < vectors; c++) x[c] = v_loadp(row + 16 * c, last);
        RLVR__UNROLL for (int h = 0; h < heads; h++) {
            vf pj = v_set1(p[h * ldp + j]);
            RLVR__UNROLL for (int c = 0; c < vectors; c++) s[h][c] = v_fma(pj, x[c], s[h][c]);
        }
    }
    RLVR__UNROLL for (int h = 0; h < heads; h++)
        RLVR__UNROLL for (int c = 0; c < vectors; c++) v_storep(out + h * ldo + 16 * c, v_mul(s[h][c], v_set1(norm[h])), last);
}

/* `heads` query heads of row i from head h0 on, all of one kv head. p: scratch (heads, a->stride). */
RLVR__INLINE void RLVR__NAME(rlvr__attn_heads)(const int heads, const rlvr__attn_args *a, int64_t i, int64_t h0, float *p)
{
    int64_t hd = a->hd, stride = 2 * a->KV * hd, at = 0;
    int n = a->n_context[i];
    const int *context = a->context[i];
    const float *k = a->kv + h0 / (a->H / a->KV) * hd, *v = k + a->KV * hd, *q = a->q + (i * a->H + h0) * hd;
    const float *row[RLVR__ATTN_BLOCK];
    float acc[RLVR__HEADS * RLVR__ATTN_BLOCK * 16], norm[RLVR__HEADS], *out = a->out + (i * a->H + h0) * hd;
    vf s[RLVR__HEADS], max[RLVR__HEADS];
    RLVR__UNROLL for (int h = 0; h < heads; h++) max[h] = v_set1(-(float)INFINITY);
    memset(acc, 0, (size_t)heads * RLVR__ATTN_BLOCK * 16 * sizeof(float));
    for (int j = 0; j < n; j += RLVR__ATTN_BLOCK) {
        int block = RLVR__MIN(n - j, (int)RLVR__ATTN_BLOCK);
        for (int b = 0; b < block; b++) row[b] = k + context[j + b] * stride;
        RLVR__NAME(rlvr__dots)(heads, s, acc, q, hd, row, hd, block);
        RLVR__UNROLL for (int h = 0; h < heads; h++) {
            float *to = p + h * a->stride + j;
            v_store(to, v_mul(s[h], v_set1(a->scale)));
            for (int b = block; b < RLVR__ATTN_BLOCK; b++) to[b] = -(float)INFINITY;
            max[h] = v_max(max[h], v_load(to));
        }
    }
    RLVR__UNROLL for (int h = 0; h < heads; h++) {
        float top = v_hmax(max[h]), sum;
        vf t = v_set1(top), e = v_zero();
        for (int j = 0; j < n; j += 16) {
            vf x = v_exp(v_sub(v_load(p + h * a->stride + j), t));
            v_store(p + h * a->stride + j, x);
            e = v_add(e, x);
        }
        sum = v_hsum(e);
        norm[h] = 1.0f / sum;
        a->lse[i * a->H + h0 + h] = top + RLVR__NAME(rlvr__lane)(v_log(v_set1(sum)));
    }
    for (; at + 16 * RLVR__COLS <= hd; at += 16 * RLVR__COLS)
        RLVR__NAME(rlvr__weighted)(heads, RLVR__COLS, 16, out + at, hd, p, a->stride, norm, v + at, stride, context, n);
    for (; at < hd; at += 16)
        RLVR__NAME(rlvr__weighted)(heads, 1, (int)RLVR__MIN(16, hd - at), out + at, hd, p, a->stride, norm, v + at, stride, context, n);
}

RLVR__FN void RLVR__NAME(rlvr__k_attn_fwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__attn_args *a = (const rlvr__attn_args *)arg;
    int64_t group = a->H / a->KV;
    float *p = a->scratch + thread * a->stride * RLVR__ATTN_HEADS;
    for (int64_t task = begin; task < end; task++) {
        int64_t i = task / a->KV, first = task % a->KV * group;
        for (int64_t h = 0; h < group; h += RLVR__HEADS)
            switch (RLVR__MIN(group - h, (int64_t)RLVR__HEADS)) {
#if RLVR__HEADS > 1
            case 2: RLVR__NAME(rlvr__attn_heads)(2, a, i, first + h, p); break;
#endif
#if RLVR__HEADS > 2
            case 3: RLVR__NAME(rlvr__attn_heads)(3, a, i, first + h, p); break;
            case 4: RLVR__NAME(rlvr__attn_heads)(4, a, i, first + h, p); break;
#endif
            default: RLVR__NAME(rlvr__attn_heads)(1, a, i, first + h, p);
            }
    }
}

/* dq += ds_j k_j, dk_j += ds_j q, dv_j += p_j dout over n positions, some columns, for `rows` rows of q, dq and dout. */
RLVR__INLINE void RLVR__NAME(rlvr__attn_spread)(const int rows, const int vectors, const int last, float *dq, const float *q,
                                                const float *dout, int64_t ld, const float *const *k, float *const *dk, int64_t hd,
                                                const float *p, const float *ds, int n)
{
    vf qv[2][RLVR__COLS], ov[2][RLVR__COLS], s[2][RLVR__COLS];
    RLVR__UNROLL for (int r = 0; r < rows; r++)
        RLVR__UNROLL for (int c = 0; c < vectors; c++) {
            qv[r][c] = v_loadp(q + r * ld + 16 * c, last);
            ov[r][c] = v_loadp(dout + r * ld + 16 * c, last);
            s[r][c] = v_loadp(dq + r * ld + 16 * c, last);
        }
    for (int j = 0; j < n; j++) {
        const float *kj = k[j];
        float *dkj = dk[j], *dvj = dkj + hd;
        vf pj[2], dj[2];
        RLVR__UNROLL for (int r = 0; r < rows; r++) {
            pj[r] = v_set1(p[r * RLVR__ATTN_BLOCK + j]);
            dj[r] = v_set1(ds[r * RLVR__ATTN_BLOCK + j]);
        }
        RLVR__UNROLL for (int c = 0; c < vectors; c++) {
            vf x = v_loadp(kj + 16 * c, last), y = v_loadp(dkj + 16 * c, last), z = v_loadp(dvj + 16 * c, last);
            RLVR__UNROLL for (int r = 0; r < rows; r++) {
                s[r][c] = v_fma(dj[r], x, s[r][c]);
                y = v_fma(dj[r], qv[r][c], y);
                z = v_fma(pj[r], ov[r][c], z);
            }
            v_storep(dkj + 16 * c, y, last);
            v_storep(dvj + 16 * c, z, last);
        }
    }
    RLVR__UNROLL for (int r = 0; r < rows; r++)
        RLVR__UNROLL for (int c = 0; c < vectors; c++) v_storep(dq + r * ld + 16 * c, s[r][c], last);
}

/* Head h of row i, or of rows i and i + 1 where the second attends to what the first does and itself: one pass over the
   context. dkv: this head's (M, 2 hd), to add to, row by row, so pairing changes no bit. */
RLVR__INLINE void RLVR__NAME(rlvr__attn_back)(const int rows, const rlvr__attn_args *a, int64_t i, int64_t h, float *dkv, float *acc)
{
    int64_t hd = a->hd, ld = a->H * hd, stride = 2 * a->KV * hd, first = (i * a->H + h) * hd;
    const int *context = a->context[i + rows - 1];
    int n = a->n_context[i + rows - 1];
    const float *q = a->q + first, *dout = a->dout + first, *kv = a->kv + h / (a->H / a->KV) * hd;
    const float *k[RLVR__ATTN_BLOCK], *v[RLVR__ATTN_BLOCK];
    float p[2 * RLVR__ATTN_BLOCK], ds[2 * RLVR__ATTN_BLOCK], *dk[RLVR__ATTN_BLOCK], *dq = a->dq + first;
    vf scale = v_set1(a->scale), lse[2], delta[2], s[2], dp[2];
    RLVR__UNROLL for (int r = 0; r < rows; r++) {
        lse[r] = v_set1(a->saved_lse[(i + r) * a->H + h]);
        delta[r] = v_set1(RLVR__NAME(rlvr__dot)(dout + r * ld, a->saved_out + first + r * ld, NULL, hd));
        memset(dq + r * ld, 0, (size_t)hd * sizeof(float));
        for (int64_t c = (r + rows) * ld; c < (r + rows) * ld + hd; c += 16) {      /* a head's rows lie apart: fetch the next ones */
            __builtin_prefetch(q + c);
            __builtin_prefetch(dout + c);
            __builtin_prefetch(a->saved_out + first + c);
            __builtin_prefetch(dq + c, 1);
        }
    }
    for (int j = 0; j < n; j += RLVR__ATTN_BLOCK) {
        int block = RLVR__MIN(n - j, (int)RLVR__ATTN_BLOCK);
        int64_t at = 0;
        for (int b = 0; b < block; b++) {
            k[b] = kv + context[j + b] * stride;
            v[b] = k[b] + a->KV * hd;
            dk[b] = dkv + context[j + b] * 2 * hd;
        }
        RLVR__NAME(rlvr__dots)(rows, s, acc, q, ld, k, hd, block);
        RLVR__NAME(rlvr__dots)(rows, dp, acc, dout, ld, v, hd, block);
        RLVR__UNROLL for (int r = 0; r < rows; r++) {
            vf e = v_exp(v_sub(v_mul(s[r], scale), lse[r]));
            v_store(p + r * RLVR__ATTN_BLOCK, e);
            v_store(ds + r * RLVR__ATTN_BLOCK, v_mul(v_mul(e, v_sub(dp[r], delta[r])), scale));
        }
        if (rows > 1 && j + block == n) p[block - 1] = ds[block - 1] = 0;      /* the first row does not see the second */
        for (int64_t cols; at < hd; at += cols) {
            cols = at + 16 * RLVR__COLS <= hd ? 16 * RLVR__COLS : RLVR__MIN(16, hd - at);
            if (cols == 16 * RLVR__COLS)
                RLVR__NAME(rlvr__attn_spread)(rows, RLVR__COLS, 16, dq + at, q + at, dout + at, ld, k, dk, hd, p, ds, block);
            else RLVR__NAME(rlvr__attn_spread)(rows, 1, (int)cols, dq + at, q + at, dout + at, ld, k, dk, hd, p, ds, block);
            for (int b = 0; b < block && at + cols < hd; b++) { k[b] += cols; dk[b] += cols; }
        }
    }
}

/* Task: one head of one tree. Each walks the tree's rows in order. */
RLVR__FN void RLVR__NAME(rlvr__k_attn_bwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__attn_args *a = (const rlvr__attn_args *)arg;
    float acc[2 * RLVR__ATTN_BLOCK * 16];
    (void)thread;
    memset(acc, 0, sizeof acc);
    for (int64_t task = begin; task < end; task++) {
        int64_t tree = task / a->H, h = task % a->H;
        int64_t from = a->tree_begin ? a->tree_begin[tree] : 0, to = a->tree_begin ? a->tree_begin[tree + 1] : a->M;
        float *dkv = a->dkv_heads + h * a->M * 2 * a->hd;
        memset(dkv + from * 2 * a->hd, 0, (size_t)((to - from) * 2 * a->hd) * sizeof(float));
        for (int64_t i = from; i < to;) {
            int n = a->n_context[i];
#if RLVR__HEADS > 1
            if (i + 1 < to && a->n_context[i + 1] == n + 1 && !memcmp(a->context[i], a->context[i + 1], (size_t)n * sizeof(int))) {
                RLVR__NAME(rlvr__attn_back)(2, a, i, h, dkv, acc);
                i += 2;
                continue;
            }
#endif
            (void)n;
            RLVR__NAME(rlvr__attn_back)(1, a, i++, h, dkv, acc);
        }
    }
}

/* ---- kernels: SwiGLU ---- */

RLVR__INLINE vf RLVR__NAME(rlvr__sigmoid)(vf x) { return v_div(v_set1(1.0f), v_add(v_set1(1.0f), v_exp(v_neg(x)))); }

RLVR__FN void RLVR__NAME(rlvr__k_swiglu_fwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__swiglu_args *a = (const rlvr__swiglu_args *)arg;
    int64_t F = a->F;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *gate = a->gu + i * 2 * F, *up = gate + F;
        float *h = a->h + i * F;
        for (int64_t k = 0; k < F; k += 16) {
            int n = (int)RLVR__MIN(16, F - k);
            vf g = v_loadp(gate + k, n);
            v_storep(h + k, v_mul(v_mul(g, RLVR__NAME(rlvr__sigmoid)(g)), v_loadp(up + k, n)), n);
        }
    }
}

/* d gate = dh u s (1 + g (1 - s)), d up = dh g s, s = sigmoid(g). */
RLVR__INLINE void RLVR__NAME(rlvr__swiglu_back)(float *dgate, float *dup, const float *dh, const float *gate, const float *up, int n)
{
    vf g = v_loadp(gate, n), d = v_loadp(dh, n), one = v_set1(1.0f), s = RLVR__NAME(rlvr__sigmoid)(g), ds = v_mul(d, s);
    v_storep(dgate, v_mul(v_mul(ds, v_loadp(up, n)), v_fma(g, v_sub(one, s), one)), n);
    v_storep(dup, v_mul(ds, g), n);
}

RLVR__FN void RLVR__NAME(rlvr__k_swiglu_bwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__swiglu_args *a = (const rlvr__swiglu_args *)arg;
    int64_t F = a->F;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *gate = a->gu + i * 2 * F, *dh = a->dh + i * F;
        float *d = a->dgu + i * 2 * F;
        int64_t k = 0;
        for (; k + 16 <= F; k += 16) RLVR__NAME(rlvr__swiglu_back)(d + k, d + F + k, dh + k, gate + k, gate + F + k, 16);
        if (k < F) RLVR__NAME(rlvr__swiglu_back)(d + k, d + F + k, dh + k, gate + k, gate + F + k, (int)(F - k));
    }
}

/* ---- kernels: distributions over the vocabulary ---- */

/* Maxima of blocks of tokens, and of the row; NaN when there is a NaN in it. */
RLVR__FN float RLVR__NAME(rlvr__block_maxima)(float *block_max, const float *z, int64_t V)
{
    vf low = v_set1(-(float)INFINITY), bad = v_zero(), nan = v_set1((float)NAN), top = low;
    for (int64_t at = 0; at < V; at += RLVR__DIST_BLOCK) {
        int64_t n = RLVR__MIN(V - at, (int64_t)RLVR__DIST_BLOCK), k = 0;
        vf max = low;
        for (; k + 16 <= n; k += 16) {
            vf x = v_load(z + at + k);
            max = v_max(x, max);
            bad = v_select_ge(x, low, bad, nan);
        }
        for (; k < n; k++) {
            vf x = v_set1(z[at + k]);
            max = v_max(x, max);
            bad = v_select_ge(x, low, bad, nan);
        }
        block_max[at / RLVR__DIST_BLOCK] = v_hmax(max);
        top = v_max(max, top);
    }
    return v_hmax(top) + v_hsum(bad);
}

/* Sums of e = exp(t) and of e t, t = (z - max) / temperature, over the tokens with z >= threshold. (exp(-200) is 0.) */
RLVR__FN double RLVR__NAME(rlvr__exp_sums)(double *weighted, const rlvr__dist *d, const float *block_max, const float *z, int64_t V)
{
    vf max = v_set1(d->max), inv = v_set1(d->temperature_inv), threshold = v_set1(d->threshold), floor_t = v_set1(-200.0f);
    double sum = 0, sum_t = 0;
    for (int64_t at = 0; at < V; at += RLVR__DIST_BLOCK) {
        if (block_max[at / RLVR__DIST_BLOCK] < d->threshold) continue;
        int64_t n = RLVR__MIN(V - at, (int64_t)RLVR__DIST_BLOCK), k = 0;
        vf s0 = v_zero(), s1 = s0, w0 = s0, w1 = s0;
        for (; k + 32 <= n; k += 32) {
            vf x0 = v_load(z + at + k), x1 = v_load(z + at + k + 16);
            vf t0 = v_max(floor_t, v_mul(v_sub(x0, max), inv)), t1 = v_max(floor_t, v_mul(v_sub(x1, max), inv));
            vf e0 = v_select_gt(threshold, x0, v_zero(), v_exp(t0)), e1 = v_select_gt(threshold, x1, v_zero(), v_exp(t1));
            s0 = v_add(s0, e0);
            s1 = v_add(s1, e1);
            w0 = v_fma(e0, t0, w0);
            w1 = v_fma(e1, t1, w1);
        }
        for (; k < n; k += 16) {
            int left = (int)RLVR__MIN(16, n - k);
            float x[16];
            for (int j = 0; j < 16; j++) x[j] = j < left ? z[at + k + j] : -(float)INFINITY;
            vf x0 = v_load(x), t0 = v_max(floor_t, v_mul(v_sub(x0, max), inv));
            vf e0 = v_select_gt(threshold, x0, v_zero(), v_exp(t0));
            s0 = v_add(s0, e0);
            w0 = v_fma(e0, t0, w0);
        }
        sum += (double)v_hsum(v_add(s0, s1));
        sum_t += (double)v_hsum(v_add(w0, w1));
    }
    *weighted = sum_t;
    return sum;
}

/* Copies the logits >= bound, those of -infinity never; returns their number. */
RLVR__FN int64_t RLVR__NAME(rlvr__collect)(float *out, float bound, const float *block_max, const float *z, int64_t V)
{
    int64_t found = 0;
    bound = RLVR__MAX(bound, -FLT_MAX);
    for (int64_t at = 0; at < V; at += RLVR__DIST_BLOCK) {
        if (block_max[at / RLVR__DIST_BLOCK] < bound) continue;
        for (int64_t v = at; v < RLVR__MIN(at + RLVR__DIST_BLOCK, V); v++) {
            out[found] = z[v];
            found += z[v] >= bound;
        }
    }
    return found;
}

/* The k-th largest logit. At least k logits reach the k-th largest of the blocks' maxima, so the others need no look. */
RLVR__FN float RLVR__NAME(rlvr__top_k)(int k, const float *block_max, float *some, const float *z, int64_t V)
{
    int64_t blocks = (V + RLVR__DIST_BLOCK - 1) / RLVR__DIST_BLOCK, n = 0;
    float bound = -(float)INFINITY;
    for (int64_t b = 0; b < blocks; b++)
        if (block_max[b] > bound) some[n++] = block_max[b];
    if (k <= n) bound = rlvr__select(some, NULL, n, (double)k);
    return rlvr__select(some, NULL, RLVR__NAME(rlvr__collect)(some, bound, block_max, z, V), (double)k);
}

/* The smallest logit of the smallest set whose probability, among what d's threshold leaves, reaches top_p. Tokens less
   probable than (1 - top_p) / V together weigh less than 1 - top_p: they are out, and need no look. */
RLVR__FN float RLVR__NAME(rlvr__top_p)(float top_p, const rlvr__dist *d, const float *block_max, float *some, float *weight,
                                       const float *z, int64_t V)
{
    double unused, sum = RLVR__NAME(rlvr__exp_sums)(&unused, d, block_max, z, V);
    float share = (float)((1.0 - (double)top_p) * sum / (double)V * 0.5);
    float bound = d->max + RLVR__NAME(rlvr__lane)(v_log(v_set1(share))) / d->temperature_inv;
    int64_t n = RLVR__NAME(rlvr__collect)(some, RLVR__MAX(bound, d->threshold), block_max, z, V);
    vf max = v_set1(d->max), inv = v_set1(d->temperature_inv);
    for (int64_t k = 0; k < n; k += 16) {
        int left = (int)RLVR__MIN(16, n - k);
        v_storep(weight + k, v_exp(v_mul(v_sub(v_loadp(some + k, left), max), inv)), left);
    }
    return rlvr__select(some, weight, n, (double)top_p * sum);
}

RLVR__FN void RLVR__NAME(rlvr__dist_row)(rlvr__dist *d, const float *z, int64_t V, const rlvr_sampling *s, float *scratch)
{
    float *block_max = scratch, *some = scratch + (V + RLVR__DIST_BLOCK - 1) / RLVR__DIST_BLOCK, *weight = some + V;
    float top = RLVR__NAME(rlvr__block_maxima)(block_max, z, V), temperature = s->temperature;
    if (s->greedy || temperature == 0) temperature = 1.0f;
    d->temperature_inv = RLVR__MIN(1.0f / temperature, 1e30f);
    d->max = top;
    d->threshold = -(float)INFINITY;
    d->log_z = d->entropy = (float)NAN;
    if (!(top >= -FLT_MAX && top <= FLT_MAX)) return;
    if (!s->greedy) {
        if (s->top_k > 0 && s->top_k < V) d->threshold = RLVR__NAME(rlvr__top_k)(s->top_k, block_max, some, z, V);
        if (s->top_p > 0 && s->top_p < 1) {
            float t = RLVR__NAME(rlvr__top_p)(s->top_p, d, block_max, some, weight, z, V);
            d->threshold = RLVR__MAX(d->threshold, t);
        }
        if (s->min_p > 0) {
            float t = top + RLVR__NAME(rlvr__lane)(v_log(v_set1(s->min_p))) / d->temperature_inv;
            d->threshold = RLVR__MAX(d->threshold, RLVR__MIN(t, top));
        }
    }
    double weighted, sum = RLVR__NAME(rlvr__exp_sums)(&weighted, d, block_max, z, V);
    d->log_z = RLVR__NAME(rlvr__lane)(v_log(v_set1((float)sum)));
    d->entropy = (float)((double)d->log_z - weighted / sum);
}

RLVR__FN void RLVR__NAME(rlvr__k_dist)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__dist_args *a = (const rlvr__dist_args *)arg;
    for (int64_t i = begin; i < end; i++)
        RLVR__NAME(rlvr__dist_row)(&a->d[i], a->logits + i * a->V, a->V, a->sampling, a->scratch + thread * a->stride);
}

/* log p (at least -200, whose exp is 0) and p of some tokens. */
RLVR__INLINE vf RLVR__NAME(rlvr__probability)(const rlvr__dist *d, vf z, vf *log_p)
{
    vf t = v_sub(v_mul(v_sub(z, v_set1(d->max)), v_set1(d->temperature_inv)), v_set1(d->log_z));
    *log_p = v_max(v_set1(-200.0f), t);
    return v_select_gt(v_set1(d->threshold), z, v_zero(), v_exp(*log_p));
}
RLVR__INLINE vf RLVR__NAME(rlvr__some_logits)(const float *z, int64_t left)      /* past the row's end: -infinity */
{
    float x[16];
    if (left >= 16) return v_load(z);
    for (int j = 0; j < 16; j++) x[j] = j < left ? z[j] : -(float)INFINITY;
    return v_load(x);
}

/* The first token of z (n) at which `sum` plus the probabilities up to it exceeds u; else the last one with any; else -1. */
RLVR__FN int RLVR__NAME(rlvr__find_token)(const rlvr__dist *d, const float *z, int64_t n, double sum, double u)
{
    int found = -1;
    for (int64_t k = 0; k < n; k += 16) {
        float p[16];
        vf log_p;
        v_store(p, RLVR__NAME(rlvr__probability)(d, RLVR__NAME(rlvr__some_logits)(z + k, n - k), &log_p));
        for (int j = 0; j < 16; j++) {
            if (!(p[j] > 0)) continue;
            sum += (double)p[j];
            found = (int)k + j;
            if (sum > u) return found;
        }
    }
    return found;
}

RLVR__FN int RLVR__NAME(rlvr__sample_row)(const rlvr__dist *d, const float *z, double u, int64_t V)
{
    double sum = 0;
    int64_t last = -1;
    for (int64_t at = 0; at < V; at += RLVR__DIST_BLOCK) {
        int64_t n = RLVR__MIN(V - at, (int64_t)RLVR__DIST_BLOCK);
        vf s = v_zero(), log_p;
        for (int64_t k = 0; k < n; k += 16) s = v_add(s, RLVR__NAME(rlvr__probability)(d, RLVR__NAME(rlvr__some_logits)(z + at + k, n - k), &log_p));
        double block = (double)v_hsum(s);
        if (sum + block > u) return (int)at + RLVR__NAME(rlvr__find_token)(d, z + at, n, sum, u);
        if (block > 0) last = at;
        sum += block;
    }
    if (last < 0) return 0;      /* not a distribution: log_z is NaN */
    return (int)last + RLVR__NAME(rlvr__find_token)(d, z + last, RLVR__MIN(V - last, (int64_t)RLVR__DIST_BLOCK), 0, 2);
}

RLVR__FN void RLVR__NAME(rlvr__k_dist_sample)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__dist_args *a = (const rlvr__dist_args *)arg;
    (void)thread;
    for (int64_t i = begin; i < end; i++) a->token[i] = RLVR__NAME(rlvr__sample_row)(&a->d[i], a->logits + i * a->V, (double)a->u[i], a->V);
}

RLVR__FN void RLVR__NAME(rlvr__k_argmax)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__dist_args *a = (const rlvr__dist_args *)arg;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *z = a->logits + i * a->V;
        vf top = v_set1(-(float)INFINITY);
        int64_t v = 0;
        for (int64_t k = 0; k < a->V; k += 16) top = v_max(RLVR__NAME(rlvr__some_logits)(z + k, a->V - k), top);
        float max = v_hmax(top);
        while (v < a->V && z[v] != max) v++;
        a->token[i] = v < a->V ? (int)v : 0;
    }
}

/* One row's logits become their gradient. */
RLVR__FN void RLVR__NAME(rlvr__dist_back)(const rlvr__dist *d, float *z, const int *target, const float *dlogprob, int n_targets,
                                          float dentropy, int64_t V)
{
    float sum = 0;
    bool any = dentropy != 0;
    for (int t = 0; t < n_targets; t++) {
        sum += dlogprob[t];
        any = any || dlogprob[t] != 0;
    }
    if (!any) { memset(z, 0, (size_t)V * sizeof(float)); return; }
    vf base = v_set1(sum), slope = v_set1(dentropy), entropy = v_set1(d->entropy), minus_inv = v_set1(-d->temperature_inv);
    for (int64_t k = 0; k < V; k += 16) {
        vf log_p, p = RLVR__NAME(rlvr__probability)(d, RLVR__NAME(rlvr__some_logits)(z + k, V - k), &log_p);
        vf g = v_mul(v_mul(p, v_fma(slope, v_add(log_p, entropy), base)), minus_inv);
        v_storep(z + k, g, (int)RLVR__MIN(16, V - k));
    }
    for (int t = 0; t < n_targets; t++) z[target[t]] += d->temperature_inv * dlogprob[t];
}

RLVR__FN void RLVR__NAME(rlvr__k_dist_bwd)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__dist_args *a = (const rlvr__dist_args *)arg;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int from = a->target_begin[i], n = a->target_begin[i + 1] - from;
        RLVR__NAME(rlvr__dist_back)(&a->d[i], a->logits + i * a->V, a->target + from, a->dlogprob + from, n,
                                    a->dentropy ? a->dentropy[i] : 0.0f, a->V);
    }
}

/* ---- kernels: optimizer ---- */

RLVR__INLINE void RLVR__NAME(rlvr__adamw16)(const rlvr__adamw_args *a, int64_t i, int n)
{
    vf w = v_loadp(a->w + i, n), m = v_loadp(a->m + i, n), v = v_loadp(a->v + i, n);
    vf g = v_mul(v_loadp(a->g + i, n), v_set1(a->grad_scale));
    m = v_fma(v_set1(a->mix1), v_sub(g, m), m);
    v = v_fma(v_mul(v_set1(a->mix2), g), g, v_mul(v, v_set1(a->beta2)));
    vf below = v_fma(v_sqrt(v), v_set1(a->bias2_inv), v_set1(a->eps));
    w = v_fnma(v_set1(a->step), v_div(m, below), v_mul(w, v_set1(a->keep)));
    v_storep(a->w + i, w, n);
    v_storep(a->m + i, m, n);
    v_storep(a->v + i, v, n);
}

RLVR__FN void RLVR__NAME(rlvr__k_adamw)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__adamw_args *a = (const rlvr__adamw_args *)arg;
    int64_t i = begin;
    (void)thread;
    for (; i + 16 <= end; i += 16) RLVR__NAME(rlvr__adamw16)(a, i, 16);
    if (i < end) RLVR__NAME(rlvr__adamw16)(a, i, (int)(end - i));
}

RLVR__FN void RLVR__NAME(rlvr__k_sum_squares)(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__squares_args *a = (const rlvr__squares_args *)arg;
    (void)thread;
    for (int64_t piece = begin; piece < end; piece++) {
        double sum = 0;
        int64_t to = RLVR__MIN((piece + 1) * a->piece, a->n);
        for (int64_t i = piece * a->piece; i < to; i += 1024)
            sum += (double)RLVR__NAME(rlvr__dot)(a->g + i, a->g + i, NULL, RLVR__MIN(to - i, (int64_t)1024));
        a->partial[piece] = sum;
    }
}

static const rlvr__op_kernels RLVR__NAME(rlvr__kernels) = {
    {RLVR__KERNEL_TITLE, RLVR__GEMM_KERNELS},
    RLVR__NAME(rlvr__k_rmsnorm_fwd), RLVR__NAME(rlvr__k_rmsnorm_dx), RLVR__NAME(rlvr__k_rmsnorm_dw),
    RLVR__NAME(rlvr__k_rope_fwd), RLVR__NAME(rlvr__k_rope_bwd), RLVR__NAME(rlvr__k_attn_fwd), RLVR__NAME(rlvr__k_attn_bwd),
    RLVR__NAME(rlvr__k_swiglu_fwd), RLVR__NAME(rlvr__k_swiglu_bwd), RLVR__NAME(rlvr__k_dist), RLVR__NAME(rlvr__k_dist_sample),
    RLVR__NAME(rlvr__k_dist_bwd), RLVR__NAME(rlvr__k_argmax), RLVR__NAME(rlvr__k_adamw), RLVR__NAME(rlvr__k_sum_squares)};

#endif
#ifndef RLVR__KERNEL_PASS
/* ---- the ops ---- */

static const rlvr__op_kernels *rlvr__ops(const rlvr_ctx *ctx) { return (const rlvr__op_kernels *)(const void *)ctx->kernels; }
static int64_t rlvr__grain(int64_t width) { return RLVR__MAX(1, 16384 / RLVR__MAX(width, 1)); }      /* rows of a task */

typedef struct rlvr__embed_args { float *x, *dwp; const float *wp, *dx; const int *token; int64_t M, D; } rlvr__embed_args;

static void rlvr__embed_fwd_loop(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__embed_args *a = (const rlvr__embed_args *)arg;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *w = a->wp + (int64_t)(a->token[i] / RLVR__PANEL) * a->D * RLVR__PANEL + a->token[i] % RLVR__PANEL;
        for (int64_t k = 0; k < a->D; k++) a->x[i * a->D + k] = w[k * RLVR__PANEL];
    }
}

/* x (M, D): rows `token` of wp, packed (V, D). */
static RLVR__UNUSED void rlvr__embed_fwd(rlvr_ctx *ctx, float *x, const float *wp, const int *token, int64_t M, int64_t V, int64_t D)
{
    rlvr__embed_args a = {x, NULL, wp, NULL, token, M, D};
    (void)V;
    rlvr__parallel(ctx, M, rlvr__grain(8 * D), rlvr__embed_fwd_loop, &a);
}

static void rlvr__embed_bwd_loop(void *arg, int64_t begin, int64_t end, int thread)
{
    const rlvr__embed_args *a = (const rlvr__embed_args *)arg;
    (void)thread;
    for (int64_t i = 0; i < a->M; i++) {
        float *w = a->dwp + (int64_t)(a->token[i] / RLVR__PANEL) * a->D * RLVR__PANEL + a->token[i] % RLVR__PANEL;
        for (int64_t k = begin; k < end; k++) w[k * RLVR__PANEL] += a->dx[i * a->D + k];
    }
}

/* dwp += dx, row by row; threads split the columns, so the order of additions is that of the rows. */
static RLVR__UNUSED void rlvr__embed_bwd(rlvr_ctx *ctx, float *dwp, const float *dx, const int *token, int64_t M, int64_t V, int64_t D)
{
    rlvr__embed_args a = {NULL, dwp, NULL, dx, token, M, D};
    (void)V;
    rlvr__parallel(ctx, D, RLVR__MAX(16, (D + ctx->n_threads - 1) / ctx->n_threads), rlvr__embed_bwd_loop, &a);
}

/* y = w x / sqrt(mean x^2 + eps); y may be x. rstd (M): 1 / sqrt(...), or NULL. */
static RLVR__UNUSED void rlvr__rmsnorm_fwd(rlvr_ctx *ctx, float *y, float *rstd, const float *x, const float *w, int64_t M, int64_t D, float eps)
{
    rlvr__norm_args a = {y, rstd, NULL, NULL, x, w, NULL, NULL, M, D, eps};
    rlvr__parallel(ctx, M, rlvr__grain(D), rlvr__ops(ctx)->rmsnorm_fwd, &a);
}

/* dx (M, D) += and dw (D) +=; dw's additions are in row order. */
static RLVR__UNUSED void rlvr__rmsnorm_bwd(rlvr_ctx *ctx, float *dx, float *dw, const float *dy, const float *x, const float *w,
                                           const float *rstd, int64_t M, int64_t D)
{
    rlvr__norm_args a = {NULL, NULL, dx, dw, x, w, dy, rstd, M, D, 0};
    int64_t columns = (D + 15) / 16, grain = (columns + 2 * ctx->n_threads - 1) / (2 * ctx->n_threads);
    rlvr__parallel(ctx, M, rlvr__grain(D), rlvr__ops(ctx)->rmsnorm_dx, &a);
    rlvr__parallel(ctx, columns, M * D < 16384 ? columns : (grain + 3) / 4 * 4, rlvr__ops(ctx)->rmsnorm_dw, &a);
}

/* qkv (M, (H + 2 KV) hd) to q (M, H hd) and to keys and values at each row's slot of kv (n_slots, 2 KV hd). Pairs are
   (i, i + hd / 2), as in transformers. cos_sin: (n_ctx, hd / 2, 2). */
static RLVR__UNUSED void rlvr__rope_fwd(rlvr_ctx *ctx, float *q, float *kv, const int *slot, const float *qkv, const float *cos_sin,
                                        const int *pos, int64_t M, int64_t H, int64_t KV, int64_t hd)
{
    rlvr__rope_args a = {q, kv, NULL, slot, pos, qkv, NULL, NULL, cos_sin, M, H, KV, hd};
    rlvr__parallel(ctx, M, rlvr__grain((H + 2 * KV) * hd), rlvr__ops(ctx)->rope_fwd, &a);
}

/* dqkv (M, (H + 2 KV) hd) from dq (M, H hd) and each query head's own dk, dv in dkv_heads (H, M, 2 hd). */
static RLVR__UNUSED void rlvr__rope_bwd(rlvr_ctx *ctx, float *dqkv, const float *dq, const float *dkv_heads, const float *cos_sin,
                                        const int *pos, int64_t M, int64_t H, int64_t KV, int64_t hd)
{
    rlvr__rope_args a = {NULL, NULL, dqkv, NULL, pos, NULL, dq, dkv_heads, cos_sin, M, H, KV, hd};
    rlvr__parallel(ctx, M, rlvr__grain(3 * H * hd), rlvr__ops(ctx)->rope_bwd, &a);
}

static int64_t rlvr__attn_stride(int64_t max_context) { return (max_context + 15) / 16 * 16; }

static RLVR__UNUSED int64_t rlvr__attn_scratch_floats(rlvr_ctx *ctx, int64_t max_context, int64_t H, int64_t KV, int64_t hd)
{
    (void)H; (void)KV; (void)hd;
    return ctx->n_threads * RLVR__ATTN_HEADS * rlvr__attn_stride(max_context);
}

/* Row i attends to the slots context[i][0 .. n_context[i]-1] of kv (n_slots, 2 KV hd), itself last, n_context[i] at most
   max_context. out (M, H hd); lse (M, H): the logs of the softmaxes' denominators. The order of additions depends on
   n_context[i] alone. */
static RLVR__UNUSED void rlvr__attn_fwd(rlvr_ctx *ctx, float *out, float *lse, const float *q, const float *kv, const int *const *context,
                                        const int *n_context, int64_t M, int64_t H, int64_t KV, int64_t hd, float *scratch, int64_t max_context)
{
    rlvr__attn_args a = {out, lse, NULL, NULL, q, kv, NULL, NULL, NULL, context, n_context, NULL, M, H, KV, hd,
                         rlvr__attn_stride(max_context), scratch, 1.0f / sqrtf((float)hd)};
    rlvr__parallel(ctx, M * KV, RLVR__MAX(KV, rlvr__grain(H * hd)), rlvr__ops(ctx)->attn_fwd, &a);
}

/* dq (M, H hd) and each query head's own dk, dv (H, M, 2 hd), both overwritten. Row i of kv belongs to row i of q, and
   context[i] holds rows. tree_begin (n_trees + 1): rows tree_begin[t] .. tree_begin[t+1]-1 attend to one another only;
   NULL: one tree of all. In one pass, with p from lse: ds = p (dout v - dout out). A head walks its tree's rows in order. */
static RLVR__UNUSED void rlvr__attn_bwd(rlvr_ctx *ctx, float *dq, float *dkv_heads, const float *dout, const float *out, const float *lse,
                                        const float *q, const float *kv, const int *const *context, const int *n_context, int64_t M,
                                        int64_t H, int64_t KV, int64_t hd, const int *tree_begin, int n_trees, float *scratch)
{
    rlvr__attn_args a = {NULL, NULL, dq, dkv_heads, q, kv, dout, out, lse, context, n_context, tree_begin, M, H, KV, hd, 0,
                         scratch, 1.0f / sqrtf((float)hd)};
    rlvr__parallel(ctx, (tree_begin ? n_trees : 1) * H, 1, rlvr__ops(ctx)->attn_bwd, &a);
}

/* h (M, F) = silu(gate) up, gu (M, 2 F): gate, then up. */
static RLVR__UNUSED void rlvr__swiglu_fwd(rlvr_ctx *ctx, float *h, const float *gu, int64_t M, int64_t F)
{
    rlvr__swiglu_args a = {h, NULL, NULL, gu, F};
    rlvr__parallel(ctx, M, rlvr__grain(2 * F), rlvr__ops(ctx)->swiglu_fwd, &a);
}

static RLVR__UNUSED void rlvr__swiglu_bwd(rlvr_ctx *ctx, float *dgu, const float *dh, const float *gu, int64_t M, int64_t F)
{
    rlvr__swiglu_args a = {NULL, dgu, dh, gu, F};
    rlvr__parallel(ctx, M, rlvr__grain(2 * F), rlvr__ops(ctx)->swiglu_bwd, &a);
}

static int64_t rlvr__dist_stride(int64_t V) { return 2 * V + (V + RLVR__DIST_BLOCK - 1) / RLVR__DIST_BLOCK + 16; }

static RLVR__UNUSED int64_t rlvr__dist_scratch_floats(rlvr_ctx *ctx, int64_t V) { return ctx->n_threads * rlvr__dist_stride(V); }

/* The distribution that each row of logits (M, V) makes under s: temperature, then top_k, top_p, min_p, as transformers does;
   ties with a threshold stay in. Greedy: temperature 1, nothing truncated. Depends on the row and s alone. */
static RLVR__UNUSED void rlvr__dist_rows(rlvr_ctx *ctx, rlvr__dist *d, const float *logits, int64_t M, int64_t V, const rlvr_sampling *s, float *scratch)
{
    rlvr__dist_args a = {d, (float *)(uintptr_t)logits, s, NULL, NULL, NULL, NULL, NULL, NULL, V, rlvr__dist_stride(V), scratch};
    rlvr__parallel(ctx, M, 1, rlvr__ops(ctx)->dist, &a);
}

/* log p of a token whose logit is z. */
static RLVR__UNUSED __attribute__((noinline RLVR__NO_CONTRACT)) float rlvr__dist_logprob(const rlvr__dist *d, float z)
{
    return z < d->threshold ? -(float)INFINITY : (z - d->max) * d->temperature_inv - d->log_z;
}

/* Draws a token from each row by its u in [0, 1): the first at which the probabilities, added in the vocabulary's order,
   exceed u. Never one without probability. */
static RLVR__UNUSED void rlvr__dist_sample_rows(rlvr_ctx *ctx, int *token, const rlvr__dist *d, const float *logits, const float *u, int64_t M, int64_t V)
{
    rlvr__dist_args a = {(rlvr__dist *)(uintptr_t)d, (float *)(uintptr_t)logits, NULL, token, u, NULL, NULL, NULL, NULL, V, 0, NULL};
    rlvr__parallel(ctx, M, 1, rlvr__ops(ctx)->dist_sample, &a);
}

static RLVR__UNUSED void rlvr__argmax_rows(rlvr_ctx *ctx, int *token, const float *logits, int64_t M, int64_t V)     /* lowest id on ties */
{
    rlvr__dist_args a = {NULL, (float *)(uintptr_t)logits, NULL, token, NULL, NULL, NULL, NULL, NULL, V, 0, NULL};
    rlvr__parallel(ctx, M, rlvr__grain(V), rlvr__ops(ctx)->argmax, &a);
}

/* logits (M, V) become dL/dlogits. Row i has targets target_begin[i] .. target_begin[i+1]-1 with dL/dlogprob of each, and
   dL/dentropy of the row (NULL: 0). dz_v = (sum_t dlogprob_t ([v = t] - p_v) - dentropy p_v (log p_v + entropy)) / temperature */
static RLVR__UNUSED void rlvr__dist_bwd_rows(rlvr_ctx *ctx, float *logits, const rlvr__dist *d, const int *target_begin, const int *target,
                                             const float *dlogprob, const float *dentropy, int64_t M, int64_t V)
{
    rlvr__dist_args a = {(rlvr__dist *)(uintptr_t)d, logits, NULL, NULL, NULL, dlogprob, dentropy, target_begin, target, V, 0, NULL};
    rlvr__parallel(ctx, M, 1, rlvr__ops(ctx)->dist_bwd, &a);
}

/* AdamW as PyTorch's: w (1 - lr wd), then lr / bias1 * m / (sqrt(v) / sqrt(bias2) + eps) off. bias = 1 - beta^t. */
static RLVR__UNUSED void rlvr__adamw(rlvr_ctx *ctx, float *w, const float *g, float *m, float *v, int64_t n, float lr, float beta1, float beta2,
                                     float eps, float weight_decay, float bias1, float bias2, float grad_scale)
{
    rlvr__adamw_args a = {w, m, v, g, (float)(1.0 - (double)lr * (double)weight_decay), (float)(1.0 - (double)beta1), beta2,
                          (float)(1.0 - (double)beta2), eps, (float)((double)lr / (double)bias1), (float)(1.0 / sqrt((double)bias2)), grad_scale};
    rlvr__parallel(ctx, n, 65536, rlvr__ops(ctx)->adamw, &a);
}

/* The pieces depend on n alone, so the sum has the same bits at any number of threads. */
static RLVR__UNUSED double rlvr__sum_squares(rlvr_ctx *ctx, const float *g, int64_t n)
{
    double partial[RLVR__SQUARES_PIECES], sum = 0;
    int64_t piece = RLVR__MAX(65536, (n / RLVR__SQUARES_PIECES + 1024) / 1024 * 1024), pieces = (n + piece - 1) / piece;
    rlvr__squares_args a = {g, partial, n, piece};
    rlvr__parallel(ctx, pieces, 1, rlvr__ops(ctx)->sum_squares, &a);
    for (int64_t i = 0; i < pieces; i++) sum += partial[i];
    return sum;
}

static void rlvr__zero_loop(void *arg, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    memset((float *)arg + begin, 0, (size_t)(end - begin) * sizeof(float));
}
static RLVR__UNUSED void rlvr__zero(rlvr_ctx *ctx, float *p, int64_t n) { rlvr__parallel(ctx, n, 1 << 20, rlvr__zero_loop, p); }

/* ---- one set of kernels for each instruction set, and the choice among them ---- */

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"      /* g++ 12 says it of its own immintrin.h */
#endif
#define RLVR__KERNEL_PASS RLVR__PORTABLE
#include RLVR_SELF
#undef RLVR__KERNEL_PASS
#ifdef RLVR__HAS_AVX
#define RLVR__KERNEL_PASS RLVR__AVX2
#include RLVR_SELF
#undef RLVR__KERNEL_PASS
#define RLVR__KERNEL_PASS RLVR__AVX512
#include RLVR_SELF
#undef RLVR__KERNEL_PASS
#endif
#ifdef RLVR__HAS_NEON
#define RLVR__KERNEL_PASS RLVR__NEON
#include RLVR_SELF
#undef RLVR__KERNEL_PASS
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* The passes are over: the vocabulary's short names must not reach the program. */
#undef vf
#undef v_load
#undef v_loadn
#undef v_store
#undef v_storen
#undef v_set1
#undef v_zero
#undef v_add
#undef v_sub
#undef v_mul
#undef v_div
#undef v_max
#undef v_min
#undef v_fma
#undef v_fnma
#undef v_neg
#undef v_abs
#undef v_sqrt
#undef v_round
#undef v_ldexp
#undef v_split
#undef v_select_ge
#undef v_select_gt
#undef v_select_eq
#undef v_hsum
#undef v_hmax
#undef v_exp
#undef v_log

/* The kernels that `cpu` names, or the best (NULL); NULL if this CPU cannot run them. */
static const rlvr__kernels *rlvr__kernels_choose(const char *cpu)
{
#ifdef RLVR__HAS_AVX
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (avx512 && (!cpu || !strcmp(cpu, "avx512"))) return &rlvr__kernels_avx512.base;
    if (avx2 && (!cpu || !strcmp(cpu, "avx2"))) return &rlvr__kernels_avx2.base;
#endif
#ifdef RLVR__HAS_NEON
    if (!cpu || !strcmp(cpu, "neon")) return &rlvr__kernels_neon.base;
#endif
    return !cpu || !strcmp(cpu, "portable") ? &rlvr__kernels_portable.base : NULL;
}

static const char *rlvr__kernels_name(const rlvr__kernels *k)
{
#ifdef RLVR__HAS_AVX
    if (k == &rlvr__kernels_avx512.base) return __builtin_cpu_supports("avx512bf16") ? "AVX-512 + bf16" : "AVX-512";
    if (k == &rlvr__kernels_avx2.base) return "AVX2 + FMA";
#endif
    return k->name;
}
/* ============================================================================================
   10. JSON AND JSONL                                                                   >>json
   ============================================================================================ */

/* Reads one character. Returns the bytes it takes, at least 1 where n > 0. Where the bytes are not UTF-8 (overlong forms,
   surrogates and values past U+10FFFF included) *code is RLVR__NOT_UTF8 and the length is that of the longest prefix that
   could have begun a character, the piece for which one U+FFFD stands. */
#define RLVR__NOT_UTF8 0xffffffffu

static int rlvr__utf8_read(const char *text, size_t n, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;
    uint32_t c = n ? s[0] : 0;
    *code = RLVR__NOT_UTF8;
    if (n == 0) return 0;
    if (c < 0x80) { *code = c; return 1; }
    if (c < 0xc2 || c > 0xf4) return 1;
    int want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    uint32_t value = c & (0xffu >> (want + 1));
    for (int i = 1; i < want; i++) {
        if ((size_t)i >= n || s[i] < low || s[i] > high) return i;
        value = value << 6 | (s[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *code = value;
    return want;
}

static int rlvr__utf8_write(char *out /* room for 4 */, uint32_t code)
{
    if (code < 0x80) { out[0] = (char)code; return 1; }
    int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(code | (0xf00u >> n & 0xf0u));
    return n;
}

/* ---- the tree ---- */

/* A parsed text is one block: an array of nodes in the order of the text, then the decoded strings. The first node is the
   root, and rlvr__json_free(root) frees all. The first child of a node stands right behind it and a sibling `next` nodes
   further on, so that walking an object of 50,000 keys is a walk along an array. Strings are decoded and end in NUL (they
   may hold others: \u0000); a number keeps its text too. Every getter takes NULL, and a node of another type, for absent. */
typedef enum rlvr__json_type {
    RLVR__JSON_NULL, RLVR__JSON_BOOL, RLVR__JSON_NUMBER, RLVR__JSON_STRING, RLVR__JSON_ARRAY, RLVR__JSON_OBJECT
} rlvr__json_type;

typedef struct rlvr__json {
    rlvr__json_type type;
    uint32_t next;                   /* distance to the next sibling; 0: it is the last */
    uint32_t count;                  /* children */
    uint32_t len, key_len;
    uint32_t line;                   /* in the file, from 1 */
    const char *key;                 /* of a member of an object, else NULL */
    const char *text;                /* a string's bytes, a number as it was written */
    double number;                   /* a number's value; 0 or 1 for a bool */
} rlvr__json;

static const rlvr__json *rlvr__json_first(const rlvr__json *j) { return j && j->count ? j + 1 : NULL; }
static const rlvr__json *rlvr__json_next(const rlvr__json *j) { return j && j->next ? j + j->next : NULL; }
RLVR__UNUSED static int64_t rlvr__json_count(const rlvr__json *j) { return j ? j->count : 0; }

/* RLVR__JSON_EACH(item, list) { ... } walks the items of an array or the members of an object. */
#define RLVR__JSON_EACH(item, list) \
    for (const rlvr__json *item = rlvr__json_first(list); item; item = rlvr__json_next(item))

RLVR__UNUSED static const rlvr__json *rlvr__json_at(const rlvr__json *j, int64_t i)      /* walks: to read all, use EACH */
{
    j = i < 0 ? NULL : rlvr__json_first(j);
    while (j && i-- > 0) j = rlvr__json_next(j);
    return j;
}

static const rlvr__json *rlvr__json_get(const rlvr__json *j, const char *key)      /* of equal keys the last one wins */
{
    const rlvr__json *found = NULL;
    size_t n = strlen(key);
    if (!j || j->type != RLVR__JSON_OBJECT) return NULL;
    RLVR__JSON_EACH(m, j)
        if (m->key_len == n && !memcmp(m->key, key, n)) found = m;
    return found;
}

static bool rlvr__json_is(const rlvr__json *j, rlvr__json_type type) { return j && j->type == type; }

static const char *rlvr__json_str(const rlvr__json *j, size_t *len)      /* NULL where it is no string */
{
    bool is = rlvr__json_is(j, RLVR__JSON_STRING);
    if (len) *len = is ? j->len : 0;
    return is ? j->text : NULL;
}

RLVR__UNUSED static double rlvr__json_num(const rlvr__json *j, double otherwise)
{
    return rlvr__json_is(j, RLVR__JSON_NUMBER) ? j->number : otherwise;
}

/* Exact over all of int64_t where the number is written as an integer; 1e3 and 2.0 are integers too. */
RLVR__UNUSED static int64_t rlvr__json_int(const rlvr__json *j, int64_t otherwise)
{
    if (!rlvr__json_is(j, RLVR__JSON_NUMBER)) return otherwise;
    const char *s = j->text + (j->text[0] == '-');
    int64_t value = 0;
    bool digits = true, fits = true;
    for (; *s; s++) {
        digits = digits && *s >= '0' && *s <= '9';
        if (!digits) break;
        fits = fits && !__builtin_mul_overflow(value, (int64_t)10, &value) &&
               (j->text[0] == '-' ? !__builtin_sub_overflow(value, (int64_t)(*s - '0'), &value)
                                  : !__builtin_add_overflow(value, (int64_t)(*s - '0'), &value));
    }
    if (digits) return fits ? value : otherwise;
    if (!(j->number >= -9e15 && j->number <= 9e15) || (double)(int64_t)j->number != j->number) return otherwise;
    return (int64_t)j->number;
}

static bool rlvr__json_bool(const rlvr__json *j, bool otherwise)
{
    return rlvr__json_is(j, RLVR__JSON_BOOL) ? j->number != 0 : otherwise;
}

static void rlvr__json_free(rlvr_ctx *ctx, const rlvr__json *root) { rlvr__free(ctx, (void *)(uintptr_t)root); }

/* ---- the parser: RFC 8259, nothing more (a byte order mark at the front is passed over) ---- */

enum { RLVR__JSON_DEPTH = 128 };

typedef struct rlvr__json_parser {
    rlvr_ctx *ctx;
    const char *what, *at, *end;
    const char *counted, *line_begin;    /* lines are counted up to here; where the last of them begins */
    int64_t line;
    rlvr__json *nodes;
    size_t n_nodes;
    char *chars;                     /* where the next decoded string goes */
    int depth;
} rlvr__json_parser;

static int64_t rlvr__json_line(rlvr__json_parser *p)      /* of p->at */
{
    for (; p->counted < p->at; p->counted++)
        if (*p->counted == '\n') { p->line++; p->line_begin = p->counted + 1; }
    return p->line;
}

RLVR__PRINTF(2, 3) static bool rlvr__json_error(rlvr__json_parser *p, const char *format, ...)
{
    char text[512];
    int64_t line = rlvr__json_line(p), column = 1;
    for (const char *s = p->line_begin; s < p->at; s++) column += ((unsigned char)*s & 0xc0) != 0x80;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    rlvr__fail(p->ctx, RLVR_ERROR_FORMAT, "%s:%lld:%lld: %s", p->what, (long long)line, (long long)column, text);
    return false;
}

static bool rlvr__json_unexpected(rlvr__json_parser *p, const char *expected)
{
    char found[32];
    unsigned char c = p->at < p->end ? (unsigned char)*p->at : 0;
    if (p->at == p->end) return rlvr__json_error(p, "the text ends where %s should stand; it is cut off", expected);
    if (c == '\'') return rlvr__json_error(p, "expected %s, found '; JSON strings take double quotes", expected);
    if (c < 0x20 || c >= 0x7f) snprintf(found, sizeof found, "byte 0x%02x", c);
    else snprintf(found, sizeof found, "%c", c);
    return rlvr__json_error(p, "expected %s, found %s", expected, found);
}

static void rlvr__json_space(rlvr__json_parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) p->at++;
}

static bool rlvr__json_hex4(rlvr__json_parser *p, uint32_t *out)      /* the four digits behind \u */
{
    static const char digits[] = "0123456789abcdefABCDEF";
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p->at < p->end ? *p->at : 0;
        const char *digit = c ? strchr(digits, c) : NULL;
        if (!digit) return rlvr__json_unexpected(p, "a hexadecimal digit of \\uXXXX");
        int64_t d = digit - digits;
        value = value << 4 | (uint32_t)(d < 16 ? d : d - 6);
        p->at++;
    }
    *out = value;
    return true;
}

static bool rlvr__json_escape(rlvr__json_parser *p)      /* p->at stands behind the backslash */
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->end ? *p->at : 0;
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) { *p->chars++ = to[simple - from]; p->at++; return true; }
    if (c != 'u') return rlvr__json_unexpected(p, "one of \" \\ / b f n r t u behind a backslash");
    const char *start = p->at - 1;
    uint32_t code = 0, low = 0;
    p->at++;
    if (!rlvr__json_hex4(p, &code)) return false;
    if (code >= 0xd800 && code < 0xe000) {
        bool pair = code < 0xdc00 && p->end - p->at >= 2 && p->at[0] == '\\' && p->at[1] == 'u';
        if (pair) {
            p->at += 2;
            if (!rlvr__json_hex4(p, &low)) return false;
            pair = low >= 0xdc00 && low < 0xe000;
        }
        if (!pair) {
            p->at = start;
            return rlvr__json_error(p, "\\u%04x is half of a surrogate pair; write the character itself", code);
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    p->chars += rlvr__utf8_write(p->chars, code);
    return true;
}

/* Decoded text is never longer than what stood between the quotes, and the NUL takes the place of a quote. */
static bool rlvr__json_string(rlvr__json_parser *p, const char **text, uint32_t *len)
{
    char *begin = p->chars;
    p->at++;
    while (p->at < p->end) {
        unsigned char c = (unsigned char)*p->at;
        if (c == '"') {
            p->at++;
            *text = begin;
            *len = (uint32_t)(p->chars - begin);
            *p->chars++ = 0;
            return true;
        }
        if (c == '\\') {
            p->at++;
            if (!rlvr__json_escape(p)) return false;
        } else if (c < 0x20) {
            return rlvr__json_error(p, "byte 0x%02x inside a string; write it as \\u%04x", c, c);
        } else if (c < 0x80) {
            *p->chars++ = (char)c;
            p->at++;
        } else {
            uint32_t code = 0;
            int n = rlvr__utf8_read(p->at, (size_t)(p->end - p->at), &code);
            if (code == RLVR__NOT_UTF8) return rlvr__json_error(p, "byte 0x%02x is not UTF-8; save the file as UTF-8", c);
            memcpy(p->chars, p->at, (size_t)n);
            p->chars += n;
            p->at += n;
        }
    }
    return rlvr__json_unexpected(p, "the end of a string");
}

/* The value of a number's text, whatever the decimal point of the locale is: small ones directly (exact: an integer below
   2^53 times or over a power of ten up to 10^22 is rounded once), others by strtod() on "digits e exponent". Behind 800
   digits only one thing still matters: that something other than zero follows. */
static double rlvr__json_value(const char *s, size_t n)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    char digits[840];
    int n_digits = 0;
    int64_t exponent = 0, written = 0;
    uint64_t mantissa = 0;
    bool negative = n && s[0] == '-', fraction = false, more = false;
    size_t i = negative;
    for (; i < n && s[i] != 'e' && s[i] != 'E'; i++) {
        if (s[i] == '.') { fraction = true; continue; }
        if (fraction) exponent--;
        if (n_digits == 0 && s[i] == '0') continue;
        if (n_digits < 800) {
            digits[n_digits++] = s[i];
            if (n_digits <= 18) mantissa = mantissa * 10 + (uint64_t)(s[i] - '0');
        } else {
            exponent++;
            more = more || s[i] != '0';
        }
    }
    if (i < n) {
        bool minus = s[i + 1] == '-';
        for (i += 1 + (minus || s[i + 1] == '+'); i < n; i++)
            if (written < 1000000000) written = written * 10 + (s[i] - '0');
        exponent += minus ? -written : written;
    }
    double value;
    if (n_digits == 0) value = 0;
    else if (n_digits <= 15 && exponent >= 0 && exponent <= 22) value = (double)mantissa * power[exponent];
    else if (n_digits <= 15 && exponent < 0 && exponent >= -22) value = (double)mantissa / power[-exponent];
    else {
        if (more) { digits[n_digits++] = '1'; exponent--; }
        snprintf(digits + n_digits, sizeof digits - (size_t)n_digits, "e%lld", (long long)exponent);
        value = strtod(digits, NULL);
    }
    return negative ? -value : value;
}

static bool rlvr__json_digits(rlvr__json_parser *p)
{
    if (p->at == p->end || *p->at < '0' || *p->at > '9') return rlvr__json_unexpected(p, "a digit");
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') p->at++;
    return true;
}

static bool rlvr__json_number(rlvr__json_parser *p, rlvr__json *j)
{
    const char *start = p->at;
    if (*p->at == '-') p->at++;
    if (p->at < p->end && *p->at == '0') {
        p->at++;
        if (p->at < p->end && *p->at >= '0' && *p->at <= '9') return rlvr__json_error(p, "a number may not begin with 0");
    } else if (!rlvr__json_digits(p)) return false;
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!rlvr__json_digits(p)) return false;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-')) p->at++;
        if (!rlvr__json_digits(p)) return false;
    }
    size_t n = (size_t)(p->at - start);
    j->number = rlvr__json_value(start, n);
    if (!isfinite(j->number)) { p->at = start; return rlvr__json_error(p, "the number is too large for a double"); }
    j->text = p->chars;
    j->len = (uint32_t)n;
    memcpy(p->chars, start, n);
    p->chars[n] = 0;
    p->chars += n + 1;
    return true;
}

static bool rlvr__json_word(rlvr__json_parser *p, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n)) return rlvr__json_unexpected(p, "a JSON value");
    p->at += n;
    return true;
}

static bool rlvr__json_read(rlvr__json_parser *p, const char *key, uint32_t key_len);

static bool rlvr__json_items(rlvr__json_parser *p, size_t self, char close)      /* p->at stands on [ or { */
{
    size_t last = 0;
    if (++p->depth > RLVR__JSON_DEPTH) return rlvr__json_error(p, "nested deeper than %d levels", (int)RLVR__JSON_DEPTH);
    p->at++;
    rlvr__json_space(p);
    if (p->at < p->end && *p->at == close) { p->at++; p->depth--; return true; }
    for (;;) {
        const char *key = NULL;
        uint32_t key_len = 0;
        rlvr__json_space(p);
        if (close == '}') {
            if (p->at == p->end || *p->at != '"') return rlvr__json_unexpected(p, "a key in double quotes");
            if (!rlvr__json_string(p, &key, &key_len)) return false;
            rlvr__json_space(p);
            if (p->at == p->end || *p->at != ':') return rlvr__json_unexpected(p, "a colon behind the key");
            p->at++;
        }
        if (last) p->nodes[last].next = (uint32_t)(p->n_nodes - last);
        last = p->n_nodes;
        if (!rlvr__json_read(p, key, key_len)) return false;
        p->nodes[self].count++;
        rlvr__json_space(p);
        if (p->at < p->end && *p->at == close) { p->at++; p->depth--; return true; }
        if (p->at == p->end || *p->at != ',')
            return rlvr__json_unexpected(p, close == '}' ? "a comma or } behind a member" : "a comma or ] behind an item");
        p->at++;
    }
}

static bool rlvr__json_read(rlvr__json_parser *p, const char *key, uint32_t key_len)
{
    rlvr__json_space(p);
    size_t self = p->n_nodes++;
    rlvr__json *j = &p->nodes[self];
    j->key = key;
    j->key_len = key_len;
    j->line = (uint32_t)rlvr__json_line(p);
    char c = p->at < p->end ? *p->at : 0;
    if (c == '{') { j->type = RLVR__JSON_OBJECT; return rlvr__json_items(p, self, '}'); }
    if (c == '[') { j->type = RLVR__JSON_ARRAY; return rlvr__json_items(p, self, ']'); }
    if (c == '"') { j->type = RLVR__JSON_STRING; return rlvr__json_string(p, &j->text, &j->len); }
    if (c == '-' || (c >= '0' && c <= '9')) { j->type = RLVR__JSON_NUMBER; return rlvr__json_number(p, j); }
    if (c == 't' || c == 'f') {
        j->type = RLVR__JSON_BOOL;
        j->number = c == 't';
        return rlvr__json_word(p, c == 't' ? "true" : "false");
    }
    if (c == 'n') return rlvr__json_word(p, "null");
    return rlvr__json_unexpected(p, "a JSON value");
}

/* Parses one JSON text. `what` names the file in messages, first_line is the line on which the text stands there. NULL:
   it is malformed or memory ran out, as rlvr_last_error() says. The text may go afterwards. */
static rlvr__json *rlvr__json_parse(rlvr_ctx *ctx, const char *what, const char *text, size_t n, int64_t first_line)
{
    rlvr__json_parser p;
    size_t most = 1;                 /* every value but the root stands behind one of these */
    memset(&p, 0, sizeof p);
    if (n > INT32_MAX) {
        rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s:%lld: %lld bytes of JSON in one text, more than 2 GiB; split it", what,
                   (long long)first_line, (long long)n);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) most += (text[i] == ',') | (text[i] == ':') | (text[i] == '[');
    size_t nodes = most * sizeof(rlvr__json);      /* n < 2^31 and 56 bytes each: no overflow */
    p.nodes = (rlvr__json *)rlvr__alloc(ctx, nodes + n + 1, 1);
    if (!p.nodes) return NULL;
    p.chars = (char *)p.nodes + nodes;
    p.ctx = ctx;
    p.what = what;
    p.at = n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? text + 3 : text;
    p.counted = p.line_begin = p.at;
    p.end = text + n;
    p.line = first_line;
    bool ok = rlvr__json_read(&p, NULL, 0);
    rlvr__json_space(&p);
    if (ok && p.at < p.end) ok = rlvr__json_unexpected(&p, "the end of the text");
    if (ok) return p.nodes;
    rlvr__free(ctx, p.nodes);
    return NULL;
}

RLVR__UNUSED static rlvr__json *rlvr__json_load(rlvr_ctx *ctx, const char *path)
{
    rlvr__file f;
    if (rlvr__file_open(ctx, path, &f) != RLVR_OK) return NULL;
    rlvr__json *root = rlvr__json_parse(ctx, path, (const char *)f.data, f.len, 1);
    rlvr__file_close(ctx, &f);
    return root;
}

/* ---- writing, onto a buffer ---- */

/* A quoted string. What is not UTF-8 becomes U+FFFD, so that the text always parses. */
RLVR__UNUSED static void rlvr__json_put_string(rlvr__buf *b, const char *s, size_t n)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    size_t plain = 0;                /* s[plain .. i) goes out as it is */
    rlvr__buf_add(b, "\"", 1);
    for (size_t i = 0; i < n;) {
        uint32_t code = 0;
        int used = rlvr__utf8_read(s + i, n - i, &code);
        if (code >= 0x20 && code != '"' && code != '\\' && code != RLVR__NOT_UTF8) { i += (size_t)used; continue; }
        const char *simple = code && code < 0x80 ? strchr(from, (int)code) : NULL;
        rlvr__buf_add(b, s + plain, i - plain);
        if (code == RLVR__NOT_UTF8) rlvr__buf_add(b, "\xef\xbf\xbd", 3);
        else if (simple) rlvr__buf_addf(b, "\\%c", to[simple - from]);
        else rlvr__buf_addf(b, "\\u%04x", (unsigned)code);
        i += (size_t)used;
        plain = i;
    }
    rlvr__buf_add(b, s + plain, n - plain);
    rlvr__buf_add(b, "\"", 1);
}

static void rlvr__json_put_digits(rlvr__buf *b, double value, int digits)      /* null where value is not finite */
{
    char text[64], out[64];
    int n = 0;
    if (!isfinite(value)) { rlvr__buf_add(b, "null", 4); return; }
    snprintf(text, sizeof text, "%.*g", digits, value);
    for (const char *s = text; *s; s++) {      /* whatever the locale's decimal point is, a dot goes out */
        bool number = (*s >= '0' && *s <= '9') || *s == '-' || *s == '+' || *s == 'e';
        if (number) out[n++] = *s;
        else if (n && out[n - 1] != '.') out[n++] = '.';
    }
    rlvr__buf_add(b, out, (size_t)n);
}

/* Shortest lengths that always read back as the same bits: 9 digits for a float, 17 for a double. */
RLVR__UNUSED static void rlvr__json_put_float(rlvr__buf *b, float value) { rlvr__json_put_digits(b, (double)value, 9); }
RLVR__UNUSED static void rlvr__json_put_double(rlvr__buf *b, double value) { rlvr__json_put_digits(b, value, 17); }

/* ---- JSONL ---- */

/* Walks the lines of a text: line ends \n or \r\n, lines of white space passed over, the last one may lack its end.
       rlvr__lines it = rlvr__lines_of(data, n);
       while (rlvr__lines_next(&it)) rlvr__json_parse(ctx, path, it.text, it.len, it.line); */
typedef struct rlvr__lines { const char *text; size_t len; int64_t line; const char *at, *end; } rlvr__lines;

static rlvr__lines rlvr__lines_of(const char *data, size_t n)
{
    rlvr__lines it = {NULL, 0, 0, data, data + n};
    if (n >= 3 && !memcmp(data, "\xef\xbb\xbf", 3)) it.at += 3;
    return it;
}

static bool rlvr__lines_next(rlvr__lines *it)
{
    while (it->at < it->end) {
        const char *newline = (const char *)memchr(it->at, '\n', (size_t)(it->end - it->at));
        const char *stop = newline ? newline : it->end, *s = it->at;
        it->text = it->at;
        it->at = newline ? newline + 1 : it->end;
        it->line++;
        if (stop > s && stop[-1] == '\r') stop--;
        it->len = (size_t)(stop - s);
        while (s < stop && (*s == ' ' || *s == '\t' || *s == '\r')) s++;
        if (s < stop) return true;
    }
    return false;
}

/* ---- tasks ---- */

struct rlvr_tasks {
    rlvr_ctx *ctx;
    rlvr_task *items;                /* each task's strings lie in one block, to which `blocks` points */
    void **blocks;
    int64_t count, cap;
};

rlvr_tasks *rlvr_tasks_new(rlvr_ctx *ctx)
{
    rlvr_tasks *t = RLVR__NEW(ctx, rlvr_tasks, 1);
    if (t) t->ctx = ctx;
    return t;
}

static void rlvr__tasks_clear(rlvr_tasks *t)
{
    for (int64_t i = 0; i < t->count; i++) rlvr__free(t->ctx, t->blocks[i]);
    t->count = 0;
}

void rlvr_tasks_free(rlvr_tasks *t)
{
    if (!t) return;
    rlvr__tasks_clear(t);
    rlvr__free(t->ctx, t->items);
    rlvr__free(t->ctx, t->blocks);
    rlvr__free(t->ctx, t);
}

int64_t rlvr_tasks_count(const rlvr_tasks *t) { return t ? t->count : 0; }
const rlvr_task *rlvr_tasks_get(const rlvr_tasks *t, int64_t i) { return t && i >= 0 && i < t->count ? &t->items[i] : NULL; }

static bool rlvr__tasks_grow(rlvr_tasks *t)
{
    if (t->count < t->cap) return true;
    int64_t cap = t->cap ? t->cap * 2 : 64;
    rlvr_task *items = RLVR__NEW(t->ctx, rlvr_task, cap);
    void **blocks = RLVR__NEW(t->ctx, void *, cap);
    if (!items || !blocks) {
        rlvr__free(t->ctx, items);
        rlvr__free(t->ctx, blocks);
        return false;
    }
    if (t->count) {
        memcpy(items, t->items, (size_t)t->count * sizeof *items);
        memcpy(blocks, t->blocks, (size_t)t->count * sizeof *blocks);
    }
    rlvr__free(t->ctx, t->items);
    rlvr__free(t->ctx, t->blocks);
    t->items = items;
    t->blocks = blocks;
    t->cap = cap;
    return true;
}

static const char *rlvr__task_copy(char **at, const char *s)
{
    size_t n = s ? strlen(s) + 1 : 0;
    char *copy = *at;
    if (s) memcpy(copy, s, n);
    *at += n;
    return s ? copy : NULL;
}

rlvr_result rlvr_tasks_add(rlvr_tasks *t, const rlvr_task *task)
{
    int n = task->messages ? task->n_messages : 0;
    if (!task->prompt && n < 1)
        return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "rlvr_task: set prompt, or messages and n_messages");
    size_t bytes = (size_t)n * sizeof(rlvr_message) + 3;
    for (int i = 0; i < n; i++) {
        if (!task->messages[i].role || !task->messages[i].content)
            return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "rlvr_task.messages[%d]: set role and content", i);
        bytes += strlen(task->messages[i].role) + strlen(task->messages[i].content) + 2;
    }
    bytes += (task->prompt ? strlen(task->prompt) : 0) + (task->answer ? strlen(task->answer) : 0) +
             (task->json ? strlen(task->json) : 0);
    void *block = rlvr__tasks_grow(t) ? rlvr__alloc(t->ctx, bytes, 1) : NULL;
    if (!block) return RLVR_ERROR_MEMORY;
    rlvr_message *messages = (rlvr_message *)block;
    char *at = (char *)(messages + n);
    for (int i = 0; i < n; i++) {
        messages[i].role = rlvr__task_copy(&at, task->messages[i].role);
        messages[i].content = rlvr__task_copy(&at, task->messages[i].content);
    }
    rlvr_task *own = &t->items[t->count];
    *own = *task;
    own->messages = n ? messages : NULL;
    own->n_messages = n;
    own->prompt = rlvr__task_copy(&at, task->prompt);
    own->answer = rlvr__task_copy(&at, task->answer);
    own->json = rlvr__task_copy(&at, task->json);
    t->blocks[t->count++] = block;
    return RLVR_OK;
}

typedef struct rlvr__place { const char *path; int64_t line; } rlvr__place;      /* for messages */

static const char *rlvr__json_type_name(const rlvr__json *j)
{
    static const char *const name[] = {"null", "true or false", "a number", "a string", "a list", "an object"};
    return j ? name[j->type] : "absent";
}

RLVR__PRINTF(3, 4) static rlvr_result rlvr__line_error(rlvr_ctx *ctx, const rlvr__place *at, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s:%lld: %s", at->path, (long long)at->line, text);
}

/* A string without NUL inside, as a C program needs it; NULL, with the error recorded, where it is something else. */
static const char *rlvr__task_text(rlvr_ctx *ctx, const rlvr__place *at, const char *name, const rlvr__json *j)
{
    size_t n;
    const char *text = rlvr__json_str(j, &n);
    if (text && !memchr(text, 0, n)) return text;
    if (text) rlvr__line_error(ctx, at, "\"%s\" holds the character \\u0000; leave it out", name);
    else rlvr__line_error(ctx, at, "\"%s\" is %s; write a string", name, rlvr__json_type_name(j));
    return NULL;
}

static rlvr_result rlvr__task_messages(rlvr_ctx *ctx, const rlvr__place *at, const rlvr__json *list, rlvr_task *task)
{
    int n = (int)rlvr__json_count(list), i = 0;
    if (list->type != RLVR__JSON_ARRAY || n == 0)
        return rlvr__line_error(ctx, at, "\"messages\" must be a list like [{\"role\": \"user\", \"content\": \"...\"}] "
                                "with at least one entry");
    rlvr_message *messages = RLVR__NEW(ctx, rlvr_message, n);
    if (!messages) return RLVR_ERROR_MEMORY;
    task->messages = messages;
    task->n_messages = n;
    RLVR__JSON_EACH(item, list) {
        char role[64], content[64];
        snprintf(role, sizeof role, "messages[%d].role", i);
        snprintf(content, sizeof content, "messages[%d].content", i);
        messages[i].role = rlvr__task_text(ctx, at, role, rlvr__json_get(item, "role"));
        if (!messages[i].role) return RLVR_ERROR_FORMAT;
        messages[i].content = rlvr__task_text(ctx, at, content, rlvr__json_get(item, "content"));
        if (!messages[i].content) return RLVR_ERROR_FORMAT;
        i++;
    }
    return RLVR_OK;
}

/* Fills *task from one line. Strings point into the tree; task->messages is for the caller to free. */
static rlvr_result rlvr__task_read(rlvr_ctx *ctx, const rlvr__place *at, const rlvr__json *j, rlvr_task *task)
{
    const rlvr__json *prompt = rlvr__json_get(j, "prompt"), *messages = rlvr__json_get(j, "messages");
    const rlvr__json *answer = rlvr__json_get(j, "answer"), *raw = rlvr__json_get(j, "raw");
    if (j->type != RLVR__JSON_OBJECT)
        return rlvr__line_error(ctx, at, "a task is an object like {\"prompt\": \"...\", \"answer\": \"...\"}, not %s",
                                rlvr__json_type_name(j));
    if (!prompt == !messages)
        return rlvr__line_error(ctx, at, "the task has %s; give it one of \"prompt\" and \"messages\"",
                                prompt ? "both" : "no prompt");
    if (raw && raw->type != RLVR__JSON_BOOL)
        return rlvr__line_error(ctx, at, "\"raw\" is %s; write true or false", rlvr__json_type_name(raw));
    task->line = at->line;
    task->raw = rlvr__json_bool(raw, false);
    if (task->raw && messages)
        return rlvr__line_error(ctx, at, "\"raw\" goes with \"prompt\"; messages need the chat template");
    if (rlvr__json_is(answer, RLVR__JSON_NUMBER)) task->answer = answer->text;
    else if (answer && answer->type != RLVR__JSON_NULL) {
        task->answer = rlvr__task_text(ctx, at, "answer", answer);
        if (!task->answer) return RLVR_ERROR_FORMAT;
    }
    if (messages) return rlvr__task_messages(ctx, at, messages, task);
    task->prompt = rlvr__task_text(ctx, at, "prompt", prompt);
    return task->prompt ? RLVR_OK : RLVR_ERROR_FORMAT;
}

static rlvr_result rlvr__tasks_line(rlvr_tasks *t, const char *path, const rlvr__lines *it)
{
    rlvr_task task;
    memset(&task, 0, sizeof task);
    rlvr__json *j = rlvr__json_parse(t->ctx, path, it->text, it->len, it->line);
    if (!j) return RLVR_ERROR_FORMAT;
    char *json = rlvr__strndup(t->ctx, it->text, it->len);
    rlvr__place at = {path, it->line};
    rlvr_result r = json ? rlvr__task_read(t->ctx, &at, j, &task) : RLVR_ERROR_MEMORY;
    task.json = json;
    if (r == RLVR_OK) r = rlvr_tasks_add(t, &task);
    rlvr__free(t->ctx, (void *)(uintptr_t)task.messages);
    rlvr__free(t->ctx, json);
    rlvr__json_free(t->ctx, j);
    return r;
}

rlvr_tasks *rlvr_tasks_load_jsonl(rlvr_ctx *ctx, const char *path)
{
    rlvr__file f;
    if (rlvr__file_open(ctx, path, &f) != RLVR_OK) return NULL;
    rlvr_tasks *t = rlvr_tasks_new(ctx);
    rlvr_result r = t ? RLVR_OK : RLVR_ERROR_MEMORY;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (r == RLVR_OK && rlvr__lines_next(&it)) r = rlvr__tasks_line(t, path, &it);
    if (r == RLVR_OK && t->count == 0)
        r = rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s: no task; write lines {\"prompt\": \"...\", \"answer\": \"...\"}", path);
    rlvr__file_close(ctx, &f);
    if (r == RLVR_OK) return t;
    rlvr_tasks_free(t);
    return NULL;
}
/* ============================================================================================
   11. GGUF AND SAFETENSORS                                                            >>files
   ============================================================================================ */

/* ---- number formats ---- */

/* A tensor is a row of blocks; each expands to a fixed number of elements. No product below needs rounding before the last
   step, so every compiler, with or without fused multiply-add, gets the bits that gguf-py gets. Files are little-endian, and
   so is every machine that this library is for. */
static uint16_t rlvr__read_u16(const unsigned char *p) { uint16_t v; memcpy(&v, p, sizeof v); return v; }
static uint32_t rlvr__read_u32(const unsigned char *p) { uint32_t v; memcpy(&v, p, sizeof v); return v; }
static uint64_t rlvr__read_u64(const unsigned char *p) { uint64_t v; memcpy(&v, p, sizeof v); return v; }

static void rlvr__expand_f32(const unsigned char *in, int64_t n, float *out) { memcpy(out, in, (size_t)n * 4); }
static void rlvr__expand_f16(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = rlvr__f16_to_f32(rlvr__read_u16(in + 2 * i));
}
static void rlvr__expand_bf16(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = rlvr__bf16_to_f32(rlvr__read_u16(in + 2 * i));
}
static void rlvr__expand_f64(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) { double v; memcpy(&v, in + 8 * i, 8); out[i] = (float)v; }
}
static void rlvr__expand_i8(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)(signed char)in[i];
}
static void rlvr__expand_i32(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)(int32_t)rlvr__read_u32(in + 4 * i);
}
static void rlvr__expand_i64(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)(int64_t)rlvr__read_u64(in + 8 * i);
}
static void rlvr__expand_q8_0(const unsigned char *in, int64_t n, float *out)      /* f16 scale, 32 signed bytes */
{
    for (; n-- > 0; in += 34, out += 32) {
        float scale = rlvr__f16_to_f32(rlvr__read_u16(in));
        for (int j = 0; j < 32; j++) out[j] = scale * (float)(signed char)in[2 + j];
    }
}
static void rlvr__expand_q4_0(const unsigned char *in, int64_t n, float *out)
{                                    /* f16 scale, 16 bytes: element j in the low half, j + 16 in the high half */
    for (; n-- > 0; in += 18, out += 32) {
        float scale = rlvr__f16_to_f32(rlvr__read_u16(in));
        for (int j = 0; j < 16; j++) {
            out[j] = scale * (float)((in[2 + j] & 15) - 8);
            out[j + 16] = scale * (float)((in[2 + j] >> 4) - 8);
        }
    }
}
static void rlvr__expand_q4_1(const unsigned char *in, int64_t n, float *out)      /* f16 scale, f16 minimum, 16 bytes */
{
    for (; n-- > 0; in += 20, out += 32) {
        float scale = rlvr__f16_to_f32(rlvr__read_u16(in)), low = rlvr__f16_to_f32(rlvr__read_u16(in + 2));
        for (int j = 0; j < 16; j++) {
            out[j] = scale * (float)(in[4 + j] & 15) + low;
            out[j + 16] = scale * (float)(in[4 + j] >> 4) + low;
        }
    }
}

/* Here other formats enter: one row and one function above. A row without a function is known by name alone.
    name  GGUF's id  elements and bytes of a block  function; the names of the plain ones are safetensors' too */
#define RLVR__DTYPES(X)                            \
    X(F32,   0,  1,  4, rlvr__expand_f32)          \
    X(F16,   1,  1,  2, rlvr__expand_f16)          \
    X(BF16, 30,  1,  2, rlvr__expand_bf16)         \
    X(F64,  28,  1,  8, rlvr__expand_f64)          \
    X(I8,   24,  1,  1, rlvr__expand_i8)           \
    X(I32,  26,  1,  4, rlvr__expand_i32)          \
    X(I64,  27,  1,  8, rlvr__expand_i64)          \
    X(Q8_0,  8, 32, 34, rlvr__expand_q8_0)         \
    X(Q4_0,  2, 32, 18, rlvr__expand_q4_0)         \
    X(Q4_1,  3, 32, 20, rlvr__expand_q4_1)         \
    X(Q5_0,  6, 32, 22, NULL)                      \
    X(Q5_1,  7, 32, 24, NULL)                      \
    X(Q2_K, 10, 256, 84, NULL)                     \
    X(Q3_K, 11, 256, 110, NULL)                    \
    X(Q4_K, 12, 256, 144, NULL)                    \
    X(Q5_K, 13, 256, 176, NULL)                    \
    X(Q6_K, 14, 256, 210, NULL)                    \
    X(I16,  25,  1,  2, NULL)

typedef enum rlvr__dtype {
#define RLVR__X(name, id, elements, bytes, expand) RLVR__DTYPE_##name,
    RLVR__DTYPES(RLVR__X)
#undef RLVR__X
    RLVR__DTYPE_COUNT,
    RLVR__DTYPE_UNKNOWN = RLVR__DTYPE_COUNT
} rlvr__dtype;

enum { RLVR__BLOCK_MAX = 256 };      /* elements of the longest block */
typedef struct rlvr__dtype_info {
    const char *name;
    uint32_t gguf;
    int64_t elements, bytes;         /* of one block */
    void (*expand)(const unsigned char *in, int64_t n_blocks, float *out);
} rlvr__dtype_info;

static const rlvr__dtype_info *rlvr__dtype_get(rlvr__dtype d)
{
    static const rlvr__dtype_info info[] = {
#define RLVR__X(name, id, elements, bytes, expand) {#name, id, elements, bytes, expand},
        RLVR__DTYPES(RLVR__X)
#undef RLVR__X
        {"unknown", 0, 1, 0, NULL}
    };
    return &info[d];
}

#define RLVR__REFETCH "the file is cut off or damaged, fetch it again"

/* ---- the directory: what a model file holds, whatever its format ---- */

enum { RLVR__MAX_DIMS = 8 };

typedef struct rlvr__tensor {
    const char *name;
    int64_t dims[RLVR__MAX_DIMS];    /* outermost first (rows, columns); GGUF writes them the other way round */
    int n_dims;
    rlvr__dtype dtype;               /* of any type the directory tells; only reading the tensor needs a known one */
    char type_name[12];              /* as the file calls it */
    int source;                      /* which of the files it is in */
    int64_t n;                       /* elements */
    const unsigned char *data;       /* in the mapped file; no alignment is promised */
    size_t bytes;
} rlvr__tensor;

typedef enum rlvr__gguf_type {
    RLVR__GGUF_U8, RLVR__GGUF_I8, RLVR__GGUF_U16, RLVR__GGUF_I16, RLVR__GGUF_U32, RLVR__GGUF_I32, RLVR__GGUF_F32,
    RLVR__GGUF_BOOL, RLVR__GGUF_STRING, RLVR__GGUF_ARRAY, RLVR__GGUF_U64, RLVR__GGUF_I64, RLVR__GGUF_F64, RLVR__GGUF_TYPES
} rlvr__gguf_type;

typedef struct rlvr__str { const char *s; size_t n; } rlvr__str;      /* a view; not NUL-terminated */

typedef struct rlvr__gguf_kv {
    rlvr__str key;
    rlvr__gguf_type type;            /* of the value, or of each item of a list */
    bool list;
    int64_t count;                   /* items; 1 where it is no list */
    const unsigned char *data;       /* checked to lie inside the file, strings included */
} rlvr__gguf_kv;

typedef struct rlvr__source { char *path; rlvr__file file; rlvr__json *header; } rlvr__source;
typedef struct rlvr__name { rlvr__str s; int64_t index; } rlvr__name;

typedef struct rlvr__tensors {
    rlvr_ctx *ctx;
    rlvr__source *sources;  int n_sources;
    rlvr__tensor *list;  int64_t count, cap;
    rlvr__name *by_name;             /* (count) sorted, for lookups that may come from any thread */
    rlvr__gguf_kv *kv;  int64_t n_kv;      /* GGUF's metadata, sorted by key */
    char *names;                     /* GGUF's tensor names, NUL-terminated */
} rlvr__tensors;

static int rlvr__str_compare(rlvr__str a, rlvr__str b)
{
    size_t n = RLVR__MIN(a.n, b.n);
    int c = n ? memcmp(a.s, b.s, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int rlvr__name_compare(const void *a, const void *b)
{
    return rlvr__str_compare(((const rlvr__name *)a)->s, ((const rlvr__name *)b)->s);
}

static int rlvr__kv_compare(const void *a, const void *b)
{
    return rlvr__str_compare(((const rlvr__gguf_kv *)a)->key, ((const rlvr__gguf_kv *)b)->key);
}

static const char *rlvr__tensor_file(const rlvr__tensors *t, const rlvr__tensor *x) { return t->sources[x->source].path; }

static void rlvr__tensors_close(rlvr__tensors *t)
{
    if (!t || !t->ctx) return;
    for (int i = 0; i < t->n_sources; i++) {
        rlvr__json_free(t->ctx, t->sources[i].header);
        rlvr__file_close(t->ctx, &t->sources[i].file);
        rlvr__free(t->ctx, t->sources[i].path);
    }
    rlvr__free(t->ctx, t->sources);
    rlvr__free(t->ctx, t->list);
    rlvr__free(t->ctx, t->by_name);
    rlvr__free(t->ctx, t->kv);
    rlvr__free(t->ctx, t->names);
    memset(t, 0, sizeof *t);
}

static const rlvr__tensor *rlvr__tensor_find(const rlvr__tensors *t, const char *name)      /* NULL: not there */
{
    rlvr__name key = {{name, strlen(name)}, 0};
    const void *found = t->count ? bsearch(&key, t->by_name, (size_t)t->count, sizeof key, rlvr__name_compare) : NULL;
    return found ? &t->list[((const rlvr__name *)found)->index] : NULL;
}

/* Makes room for n more tensors; the old ones stay. */
static rlvr_result rlvr__tensors_reserve(rlvr__tensors *t, int64_t n)
{
    if (t->count + n <= t->cap) return RLVR_OK;
    int64_t cap = RLVR__MAX(t->count + n, t->cap * 2);
    rlvr__tensor *list = RLVR__NEW(t->ctx, rlvr__tensor, cap);
    if (!list) return RLVR_ERROR_MEMORY;
    if (t->count) memcpy(list, t->list, (size_t)t->count * sizeof *list);
    rlvr__free(t->ctx, t->list);
    t->list = list;
    t->cap = cap;
    return RLVR_OK;
}

static rlvr_result rlvr__tensors_index(rlvr__tensors *t)
{
    t->by_name = RLVR__NEW(t->ctx, rlvr__name, t->count + 1);
    if (!t->by_name) return RLVR_ERROR_MEMORY;
    for (int64_t i = 0; i < t->count; i++) {
        t->by_name[i].s.s = t->list[i].name;
        t->by_name[i].s.n = strlen(t->list[i].name);
        t->by_name[i].index = i;
    }
    if (t->count) qsort(t->by_name, (size_t)t->count, sizeof *t->by_name, rlvr__name_compare);
    for (int64_t i = 1; i < t->count; i++)
        if (!rlvr__str_compare(t->by_name[i - 1].s, t->by_name[i].s))
            return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: tensor %.200s is there twice; " RLVR__REFETCH,
                              rlvr__tensor_file(t, &t->list[t->by_name[i].index]), t->by_name[i].s.s);
    return RLVR_OK;
}

/* Elements and bytes from dims and dtype. NULL, or what is wrong. */
static const char *rlvr__tensor_measure(rlvr__tensor *x)
{
    const rlvr__dtype_info *d = rlvr__dtype_get(x->dtype);
    size_t n = 1, bytes;
    bool none = false;               /* a zero anywhere makes all zero, but must not hide an overflow */
    for (int i = 0; i < x->n_dims; i++) {
        if (x->dims[i] < 0) return "has a negative dimension";
        none = none || x->dims[i] == 0;
        if (x->dims[i] && !rlvr__mul_ok(n, (size_t)x->dims[i], &n)) return "has dimensions whose product overflows";
    }
    if (n > INT64_MAX / 16) return "has dimensions whose product overflows";
    n = none ? 0 : n;
    x->n = (int64_t)n;
    if (n && d->elements > 1 && (x->n_dims < 1 || x->dims[x->n_dims - 1] % d->elements))
        return "has rows that are no multiple of its type's block";
    bytes = n / (size_t)d->elements * (size_t)d->bytes;      /* at most 8 bytes an element: no overflow */
    x->bytes = bytes;
    return NULL;
}

static rlvr_result rlvr__tensor_range(const rlvr__tensors *t, const rlvr__tensor *x, int64_t first, int64_t n)
{
    if (first >= 0 && n >= 0 && first <= x->n && n <= x->n - first) return RLVR_OK;
    return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "%s: tensor %.200s has %lld elements, not %lld from the %lldth on",
                      rlvr__tensor_file(t, x), x->name, (long long)x->n, (long long)n, (long long)first);
}

/* Elements [first, first + n) as floats. Any range: blocks that it cuts are expanded aside. */
RLVR__UNUSED
static rlvr_result rlvr__tensor_to_f32(const rlvr__tensors *t, const rlvr__tensor *x, int64_t first, int64_t n, float *out)
{
    const rlvr__dtype_info *d = rlvr__dtype_get(x->dtype);
    float block[RLVR__BLOCK_MAX];
    if (!d->expand)
        return rlvr__fail(t->ctx, RLVR_ERROR_UNSUPPORTED, "%s: tensor %.200s has type %s, which cannot be read; convert "
                          "the model to F32, F16, BF16, Q8_0, Q4_0 or Q4_1", rlvr__tensor_file(t, x), x->name, x->type_name);
    rlvr_result r = rlvr__tensor_range(t, x, first, n);
    if (r != RLVR_OK) return r;
    while (n > 0) {
        int64_t offset = first % d->elements, whole = n / d->elements, take;
        const unsigned char *in = x->data + first / d->elements * d->bytes;
        if (offset == 0 && whole > 0) {
            take = whole * d->elements;
            d->expand(in, whole, out);
        } else {
            take = RLVR__MIN(d->elements - offset, n);
            d->expand(in, 1, block);
            memcpy(out, block + offset, (size_t)take * sizeof(float));
        }
        first += take;
        out += take;
        n -= take;
    }
    return RLVR_OK;
}

/* Integer tensors (token ids in fixtures) as they are. */
RLVR__UNUSED
static rlvr_result rlvr__tensor_to_i64(const rlvr__tensors *t, const rlvr__tensor *x, int64_t first, int64_t n, int64_t *out)
{
    if (x->dtype != RLVR__DTYPE_I32 && x->dtype != RLVR__DTYPE_I64)
        return rlvr__fail(t->ctx, RLVR_ERROR_UNSUPPORTED, "%s: tensor %.200s has type %s; I32 or I64 was expected",
                          rlvr__tensor_file(t, x), x->name, x->type_name);
    rlvr_result r = rlvr__tensor_range(t, x, first, n);
    if (r != RLVR_OK) return r;
    for (int64_t i = 0; i < n; i++)
        out[i] = x->dtype == RLVR__DTYPE_I64 ? (int64_t)rlvr__read_u64(x->data + 8 * (first + i))
                                             : (int32_t)rlvr__read_u32(x->data + 4 * (first + i));
    return RLVR_OK;
}

/* ---- GGUF ---- */

/* The layout of a GGUF file, version 3 (2 reads the same), little-endian, nothing aligned up to step 5:
    1. "GGUF", u32 version, u64 number of tensors, u64 number of metadata entries.
    2. For each entry: a string, the key; u32 type; the value. A string is u64 length and its bytes. A list is u32 type of
       its items, u64 count, the items one behind another.
    3. For each tensor: a string, the name; u32 number of dimensions; u64 for each, innermost first; u32 type; u64 offset of
       its data from the start of step 5, a multiple of the alignment.
    4. Padding up to the alignment: general.alignment of the metadata, else 32.
    5. The tensors' data. */
typedef struct rlvr__gguf_reader {
    rlvr_ctx *ctx;
    const char *path;
    const unsigned char *data;
    size_t len, at;
} rlvr__gguf_reader;

RLVR__PRINTF(2, 3) static rlvr_result rlvr__gguf_error(const rlvr__gguf_reader *r, const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return rlvr__fail(r->ctx, RLVR_ERROR_FORMAT, "%s: byte %llu: %s", r->path, (unsigned long long)r->at, text);
}

/* The next n bytes; NULL, with the error recorded, where the file ends before. */
static const unsigned char *rlvr__gguf_take(rlvr__gguf_reader *r, uint64_t n, const char *what)
{
    const unsigned char *p = r->data + r->at;
    if (n > r->len - r->at) {
        rlvr__gguf_error(r, "%s of %llu bytes goes past the end of the file (%llu bytes); " RLVR__REFETCH, what,
                         (unsigned long long)n, (unsigned long long)r->len);
        return NULL;
    }
    r->at += (size_t)n;
    return p;
}

static bool rlvr__gguf_u32(rlvr__gguf_reader *r, uint32_t *out, const char *what)
{
    const unsigned char *p = rlvr__gguf_take(r, 4, what);
    if (p) *out = rlvr__read_u32(p);
    return p != NULL;
}

static bool rlvr__gguf_u64(rlvr__gguf_reader *r, uint64_t *out, const char *what)
{
    const unsigned char *p = rlvr__gguf_take(r, 8, what);
    if (p) *out = rlvr__read_u64(p);
    return p != NULL;
}

static bool rlvr__gguf_string(rlvr__gguf_reader *r, rlvr__str *out, const char *what)
{
    uint64_t n;
    if (!rlvr__gguf_u64(r, &n, what)) return false;
    out->s = (const char *)rlvr__gguf_take(r, n, what);
    out->n = (size_t)n;
    return out->s != NULL;
}

/* A count from the file, of things that take at least `least` bytes each: so nothing is allocated that the file is too
   short to fill. */
static bool rlvr__gguf_count(rlvr__gguf_reader *r, uint64_t *out, uint64_t least, const char *what)
{
    size_t at = r->at;
    if (!rlvr__gguf_u64(r, out, what)) return false;
    if (*out <= (r->len - r->at) / least) return true;
    r->at = at;
    rlvr__gguf_error(r, "%s is %llu, more than the file's %llu bytes can hold; " RLVR__REFETCH, what,
                     (unsigned long long)*out, (unsigned long long)r->len);
    return false;
}

static bool rlvr__gguf_value(rlvr__gguf_reader *r, rlvr__gguf_kv *kv)
{
    static const unsigned char size[RLVR__GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};      /* at least */
    uint32_t type;
    uint64_t count = 1;
    rlvr__str s;
    if (!rlvr__gguf_u32(r, &type, "the type of a value")) return false;
    kv->list = type == RLVR__GGUF_ARRAY;
    if (kv->list && !rlvr__gguf_u32(r, &type, "the type of a list's items")) return false;
    if (type >= RLVR__GGUF_TYPES || type == RLVR__GGUF_ARRAY) {
        rlvr__gguf_error(r, "the value of %.*s has type %u%s; the file is damaged or of a newer format",
                         (int)RLVR__MIN(kv->key.n, (size_t)100), kv->key.s, type, kv->list ? " in a list" : "");
        return false;
    }
    if (kv->list && !rlvr__gguf_count(r, &count, size[type], "the length of a list")) return false;
    kv->type = (rlvr__gguf_type)type;
    kv->count = (int64_t)count;
    kv->data = r->data + r->at;
    if (type != RLVR__GGUF_STRING) return rlvr__gguf_take(r, count * size[type], "a value") != NULL;
    for (uint64_t i = 0; i < count; i++)
        if (!rlvr__gguf_string(r, &s, "a string")) return false;
    return true;
}

static rlvr_result rlvr__gguf_read_metadata(rlvr__gguf_reader *r, rlvr__tensors *t, uint64_t n)
{
    t->kv = RLVR__NEW(t->ctx, rlvr__gguf_kv, n + 1);
    if (!t->kv) return RLVR_ERROR_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        rlvr__gguf_kv *kv = &t->kv[i];
        if (!rlvr__gguf_string(r, &kv->key, "a key") || !rlvr__gguf_value(r, kv)) return RLVR_ERROR_FORMAT;
        t->n_kv++;
    }
    qsort(t->kv, (size_t)n, sizeof *t->kv, rlvr__kv_compare);
    for (uint64_t i = 1; i < n; i++)
        if (!rlvr__kv_compare(&t->kv[i - 1], &t->kv[i]))
            return rlvr__gguf_error(r, "key %.*s is there twice; " RLVR__REFETCH,
                                    (int)RLVR__MIN(t->kv[i].key.n, (size_t)100), t->kv[i].key.s);
    return RLVR_OK;
}

static const rlvr__gguf_kv *rlvr__gguf_find(const rlvr__tensors *t, const char *key)      /* NULL: not there */
{
    rlvr__gguf_kv want;
    memset(&want, 0, sizeof want);
    want.key.s = key;
    want.key.n = strlen(key);
    if (!t->n_kv) return NULL;
    return (const rlvr__gguf_kv *)bsearch(&want, t->kv, (size_t)t->n_kv, sizeof want, rlvr__kv_compare);
}

/* Item i of an entry, 0 <= i < count. `otherwise` where the entry is absent, is no number, or (int) has a fraction. */
static double rlvr__gguf_num_at(const rlvr__gguf_kv *kv, int64_t i, double otherwise)
{
    if (!kv || i < 0 || i >= kv->count) return otherwise;
    const unsigned char *p = kv->data;
    double v;
    switch (kv->type) {
    case RLVR__GGUF_F32: return (double)rlvr__from_bits(rlvr__read_u32(p + 4 * i));
    case RLVR__GGUF_F64: memcpy(&v, p + 8 * i, 8); return v;
    case RLVR__GGUF_U64: return (double)rlvr__read_u64(p + 8 * i);
    case RLVR__GGUF_I64: return (double)(int64_t)rlvr__read_u64(p + 8 * i);
    case RLVR__GGUF_U32: return rlvr__read_u32(p + 4 * i);
    case RLVR__GGUF_I32: return (int32_t)rlvr__read_u32(p + 4 * i);
    case RLVR__GGUF_U16: return rlvr__read_u16(p + 2 * i);
    case RLVR__GGUF_I16: return (int16_t)rlvr__read_u16(p + 2 * i);
    case RLVR__GGUF_I8:  return (signed char)p[i];
    case RLVR__GGUF_U8:  return p[i];
    case RLVR__GGUF_BOOL: return p[i] != 0;
    default: return otherwise;
    }
}

static int64_t rlvr__gguf_int_at(const rlvr__gguf_kv *kv, int64_t i, int64_t otherwise)
{
    if (kv && i >= 0 && i < kv->count && (kv->type == RLVR__GGUF_U64 || kv->type == RLVR__GGUF_I64)) {
        int64_t v = (int64_t)rlvr__read_u64(kv->data + 8 * i);
        return kv->type == RLVR__GGUF_U64 && v < 0 ? otherwise : v;
    }
    double v = rlvr__gguf_num_at(kv, i, NAN);
    return v >= -9e15 && v <= 9e15 && (double)(int64_t)v == v ? (int64_t)v : otherwise;
}

/* Single values by key. A list, or a value of another kind, is taken for absent. */
static const rlvr__gguf_kv *rlvr__gguf_single(const rlvr__tensors *t, const char *key)
{
    const rlvr__gguf_kv *kv = rlvr__gguf_find(t, key);
    return kv && !kv->list ? kv : NULL;
}

static int64_t rlvr__gguf_int(const rlvr__tensors *t, const char *key, int64_t otherwise)
{
    return rlvr__gguf_int_at(rlvr__gguf_single(t, key), 0, otherwise);
}

RLVR__UNUSED static double rlvr__gguf_num(const rlvr__tensors *t, const char *key, double otherwise)
{
    return rlvr__gguf_num_at(rlvr__gguf_single(t, key), 0, otherwise);
}

RLVR__UNUSED static bool rlvr__gguf_bool(const rlvr__tensors *t, const char *key, bool otherwise)
{
    const rlvr__gguf_kv *kv = rlvr__gguf_single(t, key);
    return kv && kv->type == RLVR__GGUF_BOOL ? kv->data[0] != 0 : otherwise;
}

static rlvr__str rlvr__gguf_next_str(const unsigned char **at)      /* of checked data */
{
    rlvr__str s = {(const char *)*at + 8, (size_t)rlvr__read_u64(*at)};
    *at += 8 + s.n;
    return s;
}

/* .s is NULL where the key is not there or no string. */
RLVR__UNUSED static rlvr__str rlvr__gguf_str(const rlvr__tensors *t, const char *key)
{
    const rlvr__gguf_kv *kv = rlvr__gguf_single(t, key);
    rlvr__str none = {NULL, 0};
    const unsigned char *at = kv ? kv->data : NULL;
    return kv && kv->type == RLVR__GGUF_STRING ? rlvr__gguf_next_str(&at) : none;
}

/* Views of all strings of a list: an array that the caller frees with rlvr__free(), the bytes belong to the file. Count, or
   -1: the key is not a list of strings (nothing recorded) or memory ran out. */
RLVR__UNUSED static int64_t rlvr__gguf_strings(const rlvr__tensors *t, const char *key, rlvr__str **out)
{
    const rlvr__gguf_kv *kv = rlvr__gguf_find(t, key);
    *out = NULL;
    if (!kv || !kv->list || kv->type != RLVR__GGUF_STRING) return -1;
    rlvr__str *list = RLVR__NEW(t->ctx, rlvr__str, kv->count + 1);
    if (!list) return -1;
    const unsigned char *at = kv->data;
    for (int64_t i = 0; i < kv->count; i++) list[i] = rlvr__gguf_next_str(&at);
    *out = list;
    return kv->count;
}

/* A list of numbers, for rlvr__gguf_int_at() and rlvr__gguf_num_at(); NULL where the key is not one. */
RLVR__UNUSED static const rlvr__gguf_kv *rlvr__gguf_numbers(const rlvr__tensors *t, const char *key)
{
    const rlvr__gguf_kv *kv = rlvr__gguf_find(t, key);
    return kv && kv->list && kv->type != RLVR__GGUF_STRING ? kv : NULL;
}

/* Step 3 for one tensor. Where names and data end up is known only when all are read. */
static rlvr_result rlvr__gguf_read_tensor(rlvr__gguf_reader *r, rlvr__tensor *x, rlvr__str *name, uint64_t *offset)
{
    uint32_t n_dims, type;
    uint64_t dim;
    if (!rlvr__gguf_string(r, name, "a tensor's name")) return RLVR_ERROR_FORMAT;
    int shown = (int)RLVR__MIN(name->n, (size_t)100);
    if (name->n == 0 || memchr(name->s, 0, name->n))
        return rlvr__gguf_error(r, "a tensor's name is empty or holds a NUL; " RLVR__REFETCH);
    if (!rlvr__gguf_u32(r, &n_dims, "a number of dimensions")) return RLVR_ERROR_FORMAT;
    if (n_dims > 4)
        return rlvr__gguf_error(r, "tensor %.*s has %u dimensions, more than 4; " RLVR__REFETCH, shown, name->s, n_dims);
    x->n_dims = (int)n_dims;
    for (uint32_t i = 0; i < n_dims; i++) {
        if (!rlvr__gguf_u64(r, &dim, "a dimension")) return RLVR_ERROR_FORMAT;
        x->dims[n_dims - 1 - i] = dim > INT64_MAX ? -1 : (int64_t)dim;
    }
    if (!rlvr__gguf_u32(r, &type, "a tensor's type")) return RLVR_ERROR_FORMAT;
    if (!rlvr__gguf_u64(r, offset, "a tensor's offset")) return RLVR_ERROR_FORMAT;
    x->dtype = RLVR__DTYPE_UNKNOWN;
    for (int d = 0; d < RLVR__DTYPE_COUNT; d++)
        if (rlvr__dtype_get((rlvr__dtype)d)->gguf == type) x->dtype = (rlvr__dtype)d;
    if (x->dtype == RLVR__DTYPE_UNKNOWN) snprintf(x->type_name, sizeof x->type_name, "%u", type);
    else snprintf(x->type_name, sizeof x->type_name, "%s", rlvr__dtype_get(x->dtype)->name);
    const char *wrong = rlvr__tensor_measure(x);
    return wrong ? rlvr__gguf_error(r, "tensor %.*s (%s) %s; " RLVR__REFETCH, shown, name->s, x->type_name, wrong) : RLVR_OK;
}

static rlvr_result rlvr__gguf_read_tensors(rlvr__gguf_reader *r, rlvr__tensors *t, uint64_t n, rlvr__str *name,
                                           uint64_t *offset)
{
    size_t name_bytes = 0;
    for (uint64_t i = 0; i < n; i++) {
        rlvr_result result = rlvr__gguf_read_tensor(r, &t->list[i], &name[i], &offset[i]);
        if (result != RLVR_OK) return result;
        name_bytes += name[i].n + 1;
    }
    int64_t alignment = rlvr__gguf_int(t, "general.alignment", 32);
    if (alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)))
        return rlvr__gguf_error(r, "general.alignment is %lld, not a power of two up to 2^20; " RLVR__REFETCH,
                                (long long)alignment);
    size_t align = (size_t)alignment, begin = (r->at + align - 1) & ~(align - 1);
    char *at = t->names = RLVR__NEW(t->ctx, char, name_bytes + 1);
    if (!at) return RLVR_ERROR_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        rlvr__tensor *x = &t->list[i];
        memcpy(at, name[i].s, name[i].n);
        x->name = at;
        at += name[i].n + 1;
        size_t room = begin < r->len ? r->len - begin : 0;
        if (offset[i] % align || offset[i] > room || x->bytes > room - (size_t)offset[i])
            return rlvr__gguf_error(r, "tensor %.200s: its data, %llu bytes from offset %llu on, %s (%llu bytes); "
                                    RLVR__REFETCH, x->name, (unsigned long long)x->bytes, (unsigned long long)offset[i],
                                    offset[i] % align ? "is not aligned in the file" : "goes past the end of the file",
                                    (unsigned long long)r->len);
        x->data = r->data + (x->bytes ? begin + (size_t)offset[i] : 0);
    }
    t->count = (int64_t)n;
    return RLVR_OK;
}

/* Reads a GGUF file's directory into t, which keeps pointing into data. */
static rlvr_result rlvr__gguf_read(rlvr__tensors *t, const char *path, const unsigned char *data, size_t len)
{
    rlvr__gguf_reader r = {t->ctx, path, data, len, 0};
    uint32_t version;
    uint64_t n_tensors, n_kv;
    const unsigned char *magic = rlvr__gguf_take(&r, 4, "the mark GGUF");
    if (!magic) return RLVR_ERROR_FORMAT;
    if (memcmp(magic, "GGUF", 4)) return rlvr__gguf_error(&r, "not a GGUF file: it does not begin with GGUF");
    if (!rlvr__gguf_u32(&r, &version, "the version")) return RLVR_ERROR_FORMAT;
    if (version != 3 && version != 2) {
        r.at = 4;
        if (version && !(version & 0xffff))
            return rlvr__gguf_error(&r, "a big-endian GGUF file; convert it to little-endian");
        return rlvr__gguf_error(&r, "GGUF version %u; versions 2 and 3 can be read, convert the model anew", version);
    }
    if (!rlvr__gguf_count(&r, &n_tensors, 24, "the number of tensors") ||
        !rlvr__gguf_count(&r, &n_kv, 13, "the number of metadata entries")) return RLVR_ERROR_FORMAT;
    rlvr_result result = rlvr__gguf_read_metadata(&r, t, n_kv);
    if (result == RLVR_OK) result = rlvr__tensors_reserve(t, (int64_t)n_tensors);
    if (result != RLVR_OK) return result;
    rlvr__str *name = RLVR__NEW(t->ctx, rlvr__str, n_tensors + 1);
    uint64_t *offset = RLVR__NEW(t->ctx, uint64_t, n_tensors + 1);
    result = name && offset ? rlvr__gguf_read_tensors(&r, t, n_tensors, name, offset) : RLVR_ERROR_MEMORY;
    rlvr__free(t->ctx, name);
    rlvr__free(t->ctx, offset);
    return result;
}

/* ---- safetensors ---- */

/* The layout of a safetensors file:
    1. u64 length of the header.
    2. The header, JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__":
       {...}}, padded with spaces; offsets count from the start of step 3.
    3. The tensors' data. */
RLVR__PRINTF(3, 4)
static rlvr_result rlvr__safetensors_error(rlvr_ctx *ctx, const char *path, const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s: %s; " RLVR__REFETCH, path, text);
}

/* One entry of the header; data is step 3, len its bytes. */
static rlvr_result rlvr__safetensors_read_tensor(rlvr_ctx *ctx, const char *path, const rlvr__json *j,
                                                 const unsigned char *data, size_t len, rlvr__tensor *x)
{
    const rlvr__json *shape = rlvr__json_get(j, "shape"), *offsets = rlvr__json_get(j, "data_offsets");
    const char *type = rlvr__json_str(rlvr__json_get(j, "dtype"), NULL);
    x->name = j->key;
    if (j->key_len == 0 || strlen(j->key) != j->key_len)
        return rlvr__safetensors_error(ctx, path, "header: a tensor's name is empty or holds a NUL");
    if (!type || !rlvr__json_is(shape, RLVR__JSON_ARRAY) || !rlvr__json_is(offsets, RLVR__JSON_ARRAY) || offsets->count != 2)
        return rlvr__safetensors_error(ctx, path, "header: tensor %.200s lacks dtype, shape or data_offsets", x->name);
    if (shape->count > RLVR__MAX_DIMS)
        return rlvr__safetensors_error(ctx, path, "header: tensor %.200s has %u dimensions, more than %d", x->name,
                                       shape->count, (int)RLVR__MAX_DIMS);
    RLVR__JSON_EACH(dim, shape) x->dims[x->n_dims++] = rlvr__json_int(dim, -1);
    x->dtype = RLVR__DTYPE_UNKNOWN;
    for (int i = 0; i < RLVR__DTYPE_COUNT; i++) {
        const rlvr__dtype_info *d = rlvr__dtype_get((rlvr__dtype)i);
        if (d->elements == 1 && !strcmp(d->name, type)) x->dtype = (rlvr__dtype)i;
    }
    snprintf(x->type_name, sizeof x->type_name, "%.11s", type);
    const char *wrong = rlvr__tensor_measure(x);
    if (wrong) return rlvr__safetensors_error(ctx, path, "header: tensor %.200s %s", x->name, wrong);
    int64_t begin = rlvr__json_int(rlvr__json_first(offsets), -1);
    int64_t end = rlvr__json_int(rlvr__json_next(rlvr__json_first(offsets)), -1);
    if (begin < 0 || end < begin || (uint64_t)end > len)
        return rlvr__safetensors_error(ctx, path, "header: tensor %.200s: data_offsets [%lld, %lld] do not lie within the "
                                       "%llu bytes of data", x->name, (long long)begin, (long long)end,
                                       (unsigned long long)len);
    if (x->dtype == RLVR__DTYPE_UNKNOWN) x->bytes = (size_t)(end - begin);
    if (x->bytes != (size_t)(end - begin))
        return rlvr__safetensors_error(ctx, path, "header: tensor %.200s: %lld elements of %s take %llu bytes, data_offsets "
                                       "span %lld", x->name, (long long)x->n, x->type_name, (unsigned long long)x->bytes,
                                       (long long)(end - begin));
    x->data = data + begin;
    return RLVR_OK;
}

/* Adds the tensors of file number `source` to t. *header keeps their names and is the caller's to free, also on failure. */
static rlvr_result rlvr__safetensors_read(rlvr__tensors *t, int source, const char *path, const unsigned char *data,
                                          size_t len, rlvr__json **header)
{
    uint64_t n = len >= 8 ? rlvr__read_u64(data) : 0;
    if (len < 8)
        return rlvr__safetensors_error(t->ctx, path, "%llu bytes are too few for a model file", (unsigned long long)len);
    if (n > len - 8 || n < 2 || data[8] != '{')
        return rlvr__safetensors_error(t->ctx, path, "byte 0: neither the mark GGUF nor the length of a safetensors header "
                                       "that fits in %llu bytes", (unsigned long long)len);
    *header = rlvr__json_parse(t->ctx, path, (const char *)data + 8, (size_t)n, 1);
    if (!*header) return RLVR_ERROR_FORMAT;
    rlvr_result r = rlvr__tensors_reserve(t, rlvr__json_count(*header));
    if (r != RLVR_OK) return r;
    RLVR__JSON_EACH(j, *header) {
        if (!strcmp(j->key, "__metadata__")) continue;
        rlvr__tensor *x = &t->list[t->count];
        x->source = source;
        r = rlvr__safetensors_read_tensor(t->ctx, path, j, data + 8 + n, len - 8 - (size_t)n, x);
        if (r != RLVR_OK) return r;
        t->count++;
    }
    return RLVR_OK;
}

/* ---- opening a file or a folder ---- */

static bool rlvr__is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool rlvr__is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static char *rlvr__path_join(rlvr_ctx *ctx, const char *folder, const char *name)      /* allocated */
{
    size_t n = strlen(folder), bytes = n + strlen(name) + 2;
    char *path = RLVR__NEW(ctx, char, bytes);
    if (path) snprintf(path, bytes, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
    return path;
}

/* Reads the directory of sources[number], whose path and file are set. */
static rlvr_result rlvr__tensors_read(rlvr__tensors *t, int number)
{
    rlvr__source *s = &t->sources[number];
    if (s->file.len < 4 || memcmp(s->file.data, "GGUF", 4))
        return rlvr__safetensors_read(t, number, s->path, s->file.data, s->file.len, &s->header);
    if (number == 0) return rlvr__gguf_read(t, s->path, s->file.data, s->file.len);
    return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: a GGUF file among safetensors files; load it alone", s->path);
}

/* Opens one more file and reads its directory. Owns path from here on, which is NULL where memory ran out. */
static rlvr_result rlvr__tensors_add_file(rlvr__tensors *t, char *path)
{
    rlvr__source *s = &t->sources[t->n_sources];
    if (!path) return RLVR_ERROR_MEMORY;
    s->path = path;
    t->n_sources++;
    rlvr_result r = rlvr__file_open(t->ctx, path, &s->file);
    return r == RLVR_OK ? rlvr__tensors_read(t, t->n_sources - 1) : r;
}

/* The number of the source with this file name; -1: none yet. Looks at the latest first: an index goes file by file. */
static int rlvr__tensors_source(const rlvr__tensors *t, const char *name)
{
    for (int i = t->n_sources - 1; i >= 0; i--)
        if (!strcmp(strrchr(t->sources[i].path, '/') + 1, name)) return i;
    return -1;
}

/* A folder whose model.safetensors.index.json says which file holds which tensor: {"weight_map": {"name": "file"}}. */
static rlvr_result rlvr__tensors_open_shards(rlvr__tensors *t, const char *folder, const char *index_path,
                                             const rlvr__json *index)
{
    const rlvr__json *map = rlvr__json_get(index, "weight_map");
    int most = (int)RLVR__MIN(rlvr__json_count(map), 10000);
    if (!rlvr__json_is(map, RLVR__JSON_OBJECT) || !most)
        return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: no \"weight_map\" with entries; fetch the file again", index_path);
    t->sources = RLVR__NEW(t->ctx, rlvr__source, most);
    if (!t->sources) return RLVR_ERROR_MEMORY;
    RLVR__JSON_EACH(j, map) {
        size_t n;
        const char *name = rlvr__json_str(j, &n);
        if (!name || strlen(name) != n || n == 0 || strpbrk(name, "/\\:"))
            return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s:%u: the entry of %.200s must be the plain name of a file "
                              "beside the index", index_path, j->line, j->key);
        if (rlvr__tensors_source(t, name) >= 0) continue;
        if (t->n_sources == most) return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: more than %d files", index_path, most);
        rlvr_result r = rlvr__tensors_add_file(t, rlvr__path_join(t->ctx, folder, name));
        if (r != RLVR_OK) return r;
    }
    rlvr_result r = rlvr__tensors_index(t);
    if (r != RLVR_OK) return r;
    RLVR__JSON_EACH(j, map) {
        const rlvr__tensor *x = rlvr__tensor_find(t, j->key);
        if (!x || x->source != rlvr__tensors_source(t, j->text))
            return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s:%u: tensor %.200s is not in %.200s, where the index has it; "
                              "fetch both again", index_path, j->line, j->key, j->text);
    }
    return RLVR_OK;
}

static rlvr_result rlvr__tensors_open_single(rlvr__tensors *t, char *path)      /* owns path */
{
    t->sources = RLVR__NEW(t->ctx, rlvr__source, 1);
    if (!t->sources) { rlvr__free(t->ctx, path); return RLVR_ERROR_MEMORY; }
    rlvr_result r = rlvr__tensors_add_file(t, path);
    return r == RLVR_OK ? rlvr__tensors_index(t) : r;
}

static rlvr_result rlvr__tensors_open_folder(rlvr__tensors *t, const char *folder)
{
    char *single = rlvr__path_join(t->ctx, folder, "model.safetensors");
    char *index = rlvr__path_join(t->ctx, folder, "model.safetensors.index.json");
    rlvr_result r = single && index ? RLVR_OK : RLVR_ERROR_MEMORY;
    if (r == RLVR_OK && rlvr__is_file(single)) {
        r = rlvr__tensors_open_single(t, single);
        single = NULL;
    } else if (r == RLVR_OK && rlvr__is_file(index)) {
        rlvr__json *j = rlvr__json_load(t->ctx, index);
        r = j ? rlvr__tensors_open_shards(t, folder, index, j) : RLVR_ERROR_FORMAT;
        rlvr__json_free(t->ctx, j);
    } else if (r == RLVR_OK) {
        r = rlvr__fail(t->ctx, RLVR_ERROR_IO, "%s: no model.safetensors and no model.safetensors.index.json in this folder",
                       folder);
    }
    rlvr__free(t->ctx, single);
    rlvr__free(t->ctx, index);
    return r;
}

/* Opens a GGUF file, a safetensors file, or a folder of the latter. On success rlvr__tensors_close(t) is the caller's; on
   failure t is empty. is_gguf says which, since names differ. */
RLVR__UNUSED static rlvr_result rlvr__tensors_open(rlvr_ctx *ctx, rlvr__tensors *t, const char *path)
{
    rlvr_result r;
    memset(t, 0, sizeof *t);
    t->ctx = ctx;
    if (rlvr__is_dir(path)) r = rlvr__tensors_open_folder(t, path);
    else r = rlvr__tensors_open_single(t, rlvr__strndup(ctx, path, strlen(path)));
    if (r != RLVR_OK) rlvr__tensors_close(t);
    return r;
}

RLVR__UNUSED static bool rlvr__tensors_is_gguf(const rlvr__tensors *t) { return t->kv != NULL; }

/* ---- writing ---- */

/* Writes the head of a safetensors file; the tensors' bytes follow by rlvr__write(), in the order of the list and without
   gaps. Of each tensor name, dims, n_dims and dtype are read (a plain dtype). metadata: pairs of strings up to NULL, or
   NULL; "format": "pt" is always there, since transformers asks for it. */
RLVR__UNUSED
static rlvr_result rlvr__safetensors_begin(rlvr__writer *w, const rlvr__tensor *list, int64_t n, const char *const *metadata)
{
    rlvr__buf b = {w->ctx, NULL, 0, 0, false};
    unsigned char length[8];
    uint64_t offset = 0;
    rlvr__buf_addf(&b, "{\"__metadata__\":{\"format\":\"pt\"");
    for (; metadata && metadata[0]; metadata += 2) {
        rlvr__buf_add(&b, ",", 1);
        rlvr__json_put_string(&b, metadata[0], strlen(metadata[0]));
        rlvr__buf_add(&b, ":", 1);
        rlvr__json_put_string(&b, metadata[1], strlen(metadata[1]));
    }
    rlvr__buf_add(&b, "}", 1);
    for (int64_t i = 0; i < n; i++) {
        rlvr__tensor x = list[i];
        if (rlvr__tensor_measure(&x) || rlvr__dtype_get(x.dtype)->elements != 1 || x.dtype == RLVR__DTYPE_UNKNOWN) {
            rlvr__buf_free(&b);
            w->failed = true;
            return rlvr__fail(w->ctx, RLVR_ERROR_ARGUMENT, "%s: tensor %.200s cannot be written: its shape or type is not "
                              "one for safetensors", w->path, x.name);
        }
        rlvr__buf_add(&b, ",", 1);
        rlvr__json_put_string(&b, x.name, strlen(x.name));
        rlvr__buf_addf(&b, ":{\"dtype\":\"%s\",\"shape\":[", rlvr__dtype_get(x.dtype)->name);
        for (int k = 0; k < x.n_dims; k++) rlvr__buf_addf(&b, "%s%lld", k ? "," : "", (long long)x.dims[k]);
        rlvr__buf_addf(&b, "],\"data_offsets\":[%llu,", (unsigned long long)offset);
        offset += x.bytes;
        rlvr__buf_addf(&b, "%llu]}", (unsigned long long)offset);
    }
    rlvr__buf_add(&b, "}", 1);
    while (!b.failed && b.len % 8) rlvr__buf_add(&b, " ", 1);
    bool failed = b.failed;
    if (failed) w->failed = true;
    else {
        uint64_t header = b.len;
        memcpy(length, &header, 8);
        rlvr__write(w, length, 8);
        rlvr__write(w, b.data, b.len);
    }
    rlvr__buf_free(&b);
    return failed ? RLVR_ERROR_MEMORY : w->failed ? RLVR_ERROR_IO : RLVR_OK;
}

/* Writes a small file whole: a config, a report. */
RLVR__UNUSED static rlvr_result rlvr__write_file(rlvr_ctx *ctx, const char *path, const rlvr__buf *b)
{
    rlvr__writer w;
    if (b->failed) return RLVR_ERROR_MEMORY;
    rlvr_result r = rlvr__writer_open(ctx, &w, path);
    if (r != RLVR_OK) return r;
    rlvr__write(&w, b->data, b->len);
    return rlvr__writer_close(&w);
}
/* ============================================================================================
   12. TOKENIZER AND CHAT TEMPLATE                                                 >>tokenizer
   ============================================================================================ */

/* Byte-level BPE (Sennrich et al. 2016; GPT-2's bytes-as-letters). A text becomes tokens in four steps:
   1. added tokens ("<|im_end|>") that stand in it are cut out: leftmost first, of several the longest;
   2. Digits, if the model has it: every numeric character stands alone;
   3. GPT-2's regular expression cuts each piece into words: it sees no further than its piece ends;
   4. in each word, bytes are tokens to begin with, and the pair of neighbours with the lowest merge rank is joined, leftmost
      first, until no pair has one. A byte that the vocabulary has no token for is dropped before, as the tokenizers
      library does (SmolLM2 lacks 21 bytes; all but five of them stand in no text that a person writes).

   The tables below are ranges of general categories, inclusive, printed by tests/unicode.py, which measures them in the
   tokenizers library: its regular expression knows Unicode 16, its Digits Unicode 17, which has thirteen numbers more. */
static const uint32_t rlvr__unicode_letter[][2] = {      /* \p{L} */
    {0x41,0x5a}, {0x61,0x7a}, {0xaa,0xaa}, {0xb5,0xb5}, {0xba,0xba}, {0xc0,0xd6}, {0xd8,0xf6}, {0xf8,0x2c1}, {0x2c6,0x2d1},
    {0x2e0,0x2e4}, {0x2ec,0x2ec}, {0x2ee,0x2ee}, {0x370,0x374}, {0x376,0x377}, {0x37a,0x37d}, {0x37f,0x37f}, {0x386,0x386},
    {0x388,0x38a}, {0x38c,0x38c}, {0x38e,0x3a1}, {0x3a3,0x3f5}, {0x3f7,0x481}, {0x48a,0x52f}, {0x531,0x556}, {0x559,0x559},
    {0x560,0x588}, {0x5d0,0x5ea}, {0x5ef,0x5f2}, {0x620,0x64a}, {0x66e,0x66f}, {0x671,0x6d3}, {0x6d5,0x6d5}, {0x6e5,0x6e6},
    {0x6ee,0x6ef}, {0x6fa,0x6fc}, {0x6ff,0x6ff}, {0x710,0x710}, {0x712,0x72f}, {0x74d,0x7a5}, {0x7b1,0x7b1}, {0x7ca,0x7ea},
    {0x7f4,0x7f5}, {0x7fa,0x7fa}, {0x800,0x815}, {0x81a,0x81a}, {0x824,0x824}, {0x828,0x828}, {0x840,0x858}, {0x860,0x86a},
    {0x870,0x887}, {0x889,0x88e}, {0x8a0,0x8c9}, {0x904,0x939}, {0x93d,0x93d}, {0x950,0x950}, {0x958,0x961}, {0x971,0x980},
    {0x985,0x98c}, {0x98f,0x990}, {0x993,0x9a8}, {0x9aa,0x9b0}, {0x9b2,0x9b2}, {0x9b6,0x9b9}, {0x9bd,0x9bd}, {0x9ce,0x9ce},
    {0x9dc,0x9dd}, {0x9df,0x9e1}, {0x9f0,0x9f1}, {0x9fc,0x9fc}, {0xa05,0xa0a}, {0xa0f,0xa10}, {0xa13,0xa28}, {0xa2a,0xa30},
    {0xa32,0xa33}, {0xa35,0xa36}, {0xa38,0xa39}, {0xa59,0xa5c}, {0xa5e,0xa5e}, {0xa72,0xa74}, {0xa85,0xa8d}, {0xa8f,0xa91},
    {0xa93,0xaa8}, {0xaaa,0xab0}, {0xab2,0xab3}, {0xab5,0xab9}, {0xabd,0xabd}, {0xad0,0xad0}, {0xae0,0xae1}, {0xaf9,0xaf9},
    {0xb05,0xb0c}, {0xb0f,0xb10}, {0xb13,0xb28}, {0xb2a,0xb30}, {0xb32,0xb33}, {0xb35,0xb39}, {0xb3d,0xb3d}, {0xb5c,0xb5d},
    {0xb5f,0xb61}, {0xb71,0xb71}, {0xb83,0xb83}, {0xb85,0xb8a}, {0xb8e,0xb90}, {0xb92,0xb95}, {0xb99,0xb9a}, {0xb9c,0xb9c},
    {0xb9e,0xb9f}, {0xba3,0xba4}, {0xba8,0xbaa}, {0xbae,0xbb9}, {0xbd0,0xbd0}, {0xc05,0xc0c}, {0xc0e,0xc10}, {0xc12,0xc28},
    {0xc2a,0xc39}, {0xc3d,0xc3d}, {0xc58,0xc5a}, {0xc5d,0xc5d}, {0xc60,0xc61}, {0xc80,0xc80}, {0xc85,0xc8c}, {0xc8e,0xc90},
    {0xc92,0xca8}, {0xcaa,0xcb3}, {0xcb5,0xcb9}, {0xcbd,0xcbd}, {0xcdd,0xcde}, {0xce0,0xce1}, {0xcf1,0xcf2}, {0xd04,0xd0c},
    {0xd0e,0xd10}, {0xd12,0xd3a}, {0xd3d,0xd3d}, {0xd4e,0xd4e}, {0xd54,0xd56}, {0xd5f,0xd61}, {0xd7a,0xd7f}, {0xd85,0xd96},
    {0xd9a,0xdb1}, {0xdb3,0xdbb}, {0xdbd,0xdbd}, {0xdc0,0xdc6}, {0xe01,0xe30}, {0xe32,0xe33}, {0xe40,0xe46}, {0xe81,0xe82},
    {0xe84,0xe84}, {0xe86,0xe8a}, {0xe8c,0xea3}, {0xea5,0xea5}, {0xea7,0xeb0}, {0xeb2,0xeb3}, {0xebd,0xebd}, {0xec0,0xec4},
    {0xec6,0xec6}, {0xedc,0xedf}, {0xf00,0xf00}, {0xf40,0xf47}, {0xf49,0xf6c}, {0xf88,0xf8c}, {0x1000,0x102a},
    {0x103f,0x103f}, {0x1050,0x1055}, {0x105a,0x105d}, {0x1061,0x1061}, {0x1065,0x1066}, {0x106e,0x1070}, {0x1075,0x1081},
    {0x108e,0x108e}, {0x10a0,0x10c5}, {0x10c7,0x10c7}, {0x10cd,0x10cd}, {0x10d0,0x10fa}, {0x10fc,0x1248}, {0x124a,0x124d},
    {0x1250,0x1256}, {0x1258,0x1258}, {0x125a,0x125d}, {0x1260,0x1288}, {0x128a,0x128d}, {0x1290,0x12b0}, {0x12b2,0x12b5},
    {0x12b8,0x12be}, {0x12c0,0x12c0}, {0x12c2,0x12c5}, {0x12c8,0x12d6}, {0x12d8,0x1310}, {0x1312,0x1315}, {0x1318,0x135a},
    {0x1380,0x138f}, {0x13a0,0x13f5}, {0x13f8,0x13fd}, {0x1401,0x166c}, {0x166f,0x167f}, {0x1681,0x169a}, {0x16a0,0x16ea},
    {0x16f1,0x16f8}, {0x1700,0x1711}, {0x171f,0x1731}, {0x1740,0x1751}, {0x1760,0x176c}, {0x176e,0x1770}, {0x1780,0x17b3},
    {0x17d7,0x17d7}, {0x17dc,0x17dc}, {0x1820,0x1878}, {0x1880,0x1884}, {0x1887,0x18a8}, {0x18aa,0x18aa}, {0x18b0,0x18f5},
    {0x1900,0x191e}, {0x1950,0x196d}, {0x1970,0x1974}, {0x1980,0x19ab}, {0x19b0,0x19c9}, {0x1a00,0x1a16}, {0x1a20,0x1a54},
    {0x1aa7,0x1aa7}, {0x1b05,0x1b33}, {0x1b45,0x1b4c}, {0x1b83,0x1ba0}, {0x1bae,0x1baf}, {0x1bba,0x1be5}, {0x1c00,0x1c23},
    {0x1c4d,0x1c4f}, {0x1c5a,0x1c7d}, {0x1c80,0x1c8a}, {0x1c90,0x1cba}, {0x1cbd,0x1cbf}, {0x1ce9,0x1cec}, {0x1cee,0x1cf3},
    {0x1cf5,0x1cf6}, {0x1cfa,0x1cfa}, {0x1d00,0x1dbf}, {0x1e00,0x1f15}, {0x1f18,0x1f1d}, {0x1f20,0x1f45}, {0x1f48,0x1f4d},
    {0x1f50,0x1f57}, {0x1f59,0x1f59}, {0x1f5b,0x1f5b}, {0x1f5d,0x1f5d}, {0x1f5f,0x1f7d}, {0x1f80,0x1fb4}, {0x1fb6,0x1fbc},
    {0x1fbe,0x1fbe}, {0x1fc2,0x1fc4}, {0x1fc6,0x1fcc}, {0x1fd0,0x1fd3}, {0x1fd6,0x1fdb}, {0x1fe0,0x1fec}, {0x1ff2,0x1ff4},
    {0x1ff6,0x1ffc}, {0x2071,0x2071}, {0x207f,0x207f}, {0x2090,0x209c}, {0x2102,0x2102}, {0x2107,0x2107}, {0x210a,0x2113},
    {0x2115,0x2115}, {0x2119,0x211d}, {0x2124,0x2124}, {0x2126,0x2126}, {0x2128,0x2128}, {0x212a,0x212d}, {0x212f,0x2139},
    {0x213c,0x213f}, {0x2145,0x2149}, {0x214e,0x214e}, {0x2183,0x2184}, {0x2c00,0x2ce4}, {0x2ceb,0x2cee}, {0x2cf2,0x2cf3},
    {0x2d00,0x2d25}, {0x2d27,0x2d27}, {0x2d2d,0x2d2d}, {0x2d30,0x2d67}, {0x2d6f,0x2d6f}, {0x2d80,0x2d96}, {0x2da0,0x2da6},
    {0x2da8,0x2dae}, {0x2db0,0x2db6}, {0x2db8,0x2dbe}, {0x2dc0,0x2dc6}, {0x2dc8,0x2dce}, {0x2dd0,0x2dd6}, {0x2dd8,0x2dde},
    {0x2e2f,0x2e2f}, {0x3005,0x3006}, {0x3031,0x3035}, {0x303b,0x303c}, {0x3041,0x3096}, {0x309d,0x309f}, {0x30a1,0x30fa},
    {0x30fc,0x30ff}, {0x3105,0x312f}, {0x3131,0x318e}, {0x31a0,0x31bf}, {0x31f0,0x31ff}, {0x3400,0x4dbf}, {0x4e00,0xa48c},
    {0xa4d0,0xa4fd}, {0xa500,0xa60c}, {0xa610,0xa61f}, {0xa62a,0xa62b}, {0xa640,0xa66e}, {0xa67f,0xa69d}, {0xa6a0,0xa6e5},
    {0xa717,0xa71f}, {0xa722,0xa788}, {0xa78b,0xa7cd}, {0xa7d0,0xa7d1}, {0xa7d3,0xa7d3}, {0xa7d5,0xa7dc}, {0xa7f2,0xa801},
    {0xa803,0xa805}, {0xa807,0xa80a}, {0xa80c,0xa822}, {0xa840,0xa873}, {0xa882,0xa8b3}, {0xa8f2,0xa8f7}, {0xa8fb,0xa8fb},
    {0xa8fd,0xa8fe}, {0xa90a,0xa925}, {0xa930,0xa946}, {0xa960,0xa97c}, {0xa984,0xa9b2}, {0xa9cf,0xa9cf}, {0xa9e0,0xa9e4},
    {0xa9e6,0xa9ef}, {0xa9fa,0xa9fe}, {0xaa00,0xaa28}, {0xaa40,0xaa42}, {0xaa44,0xaa4b}, {0xaa60,0xaa76}, {0xaa7a,0xaa7a},
    {0xaa7e,0xaaaf}, {0xaab1,0xaab1}, {0xaab5,0xaab6}, {0xaab9,0xaabd}, {0xaac0,0xaac0}, {0xaac2,0xaac2}, {0xaadb,0xaadd},
    {0xaae0,0xaaea}, {0xaaf2,0xaaf4}, {0xab01,0xab06}, {0xab09,0xab0e}, {0xab11,0xab16}, {0xab20,0xab26}, {0xab28,0xab2e},
    {0xab30,0xab5a}, {0xab5c,0xab69}, {0xab70,0xabe2}, {0xac00,0xd7a3}, {0xd7b0,0xd7c6}, {0xd7cb,0xd7fb}, {0xf900,0xfa6d},
    {0xfa70,0xfad9}, {0xfb00,0xfb06}, {0xfb13,0xfb17}, {0xfb1d,0xfb1d}, {0xfb1f,0xfb28}, {0xfb2a,0xfb36}, {0xfb38,0xfb3c},
    {0xfb3e,0xfb3e}, {0xfb40,0xfb41}, {0xfb43,0xfb44}, {0xfb46,0xfbb1}, {0xfbd3,0xfd3d}, {0xfd50,0xfd8f}, {0xfd92,0xfdc7},
    {0xfdf0,0xfdfb}, {0xfe70,0xfe74}, {0xfe76,0xfefc}, {0xff21,0xff3a}, {0xff41,0xff5a}, {0xff66,0xffbe}, {0xffc2,0xffc7},
    {0xffca,0xffcf}, {0xffd2,0xffd7}, {0xffda,0xffdc}, {0x10000,0x1000b}, {0x1000d,0x10026}, {0x10028,0x1003a},
    {0x1003c,0x1003d}, {0x1003f,0x1004d}, {0x10050,0x1005d}, {0x10080,0x100fa}, {0x10280,0x1029c}, {0x102a0,0x102d0},
    {0x10300,0x1031f}, {0x1032d,0x10340}, {0x10342,0x10349}, {0x10350,0x10375}, {0x10380,0x1039d}, {0x103a0,0x103c3},
    {0x103c8,0x103cf}, {0x10400,0x1049d}, {0x104b0,0x104d3}, {0x104d8,0x104fb}, {0x10500,0x10527}, {0x10530,0x10563},
    {0x10570,0x1057a}, {0x1057c,0x1058a}, {0x1058c,0x10592}, {0x10594,0x10595}, {0x10597,0x105a1}, {0x105a3,0x105b1},
    {0x105b3,0x105b9}, {0x105bb,0x105bc}, {0x105c0,0x105f3}, {0x10600,0x10736}, {0x10740,0x10755}, {0x10760,0x10767},
    {0x10780,0x10785}, {0x10787,0x107b0}, {0x107b2,0x107ba}, {0x10800,0x10805}, {0x10808,0x10808}, {0x1080a,0x10835},
    {0x10837,0x10838}, {0x1083c,0x1083c}, {0x1083f,0x10855}, {0x10860,0x10876}, {0x10880,0x1089e}, {0x108e0,0x108f2},
    {0x108f4,0x108f5}, {0x10900,0x10915}, {0x10920,0x10939}, {0x10980,0x109b7}, {0x109be,0x109bf}, {0x10a00,0x10a00},
    {0x10a10,0x10a13}, {0x10a15,0x10a17}, {0x10a19,0x10a35}, {0x10a60,0x10a7c}, {0x10a80,0x10a9c}, {0x10ac0,0x10ac7},
    {0x10ac9,0x10ae4}, {0x10b00,0x10b35}, {0x10b40,0x10b55}, {0x10b60,0x10b72}, {0x10b80,0x10b91}, {0x10c00,0x10c48},
    {0x10c80,0x10cb2}, {0x10cc0,0x10cf2}, {0x10d00,0x10d23}, {0x10d4a,0x10d65}, {0x10d6f,0x10d85}, {0x10e80,0x10ea9},
    {0x10eb0,0x10eb1}, {0x10ec2,0x10ec4}, {0x10f00,0x10f1c}, {0x10f27,0x10f27}, {0x10f30,0x10f45}, {0x10f70,0x10f81},
    {0x10fb0,0x10fc4}, {0x10fe0,0x10ff6}, {0x11003,0x11037}, {0x11071,0x11072}, {0x11075,0x11075}, {0x11083,0x110af},
    {0x110d0,0x110e8}, {0x11103,0x11126}, {0x11144,0x11144}, {0x11147,0x11147}, {0x11150,0x11172}, {0x11176,0x11176},
    {0x11183,0x111b2}, {0x111c1,0x111c4}, {0x111da,0x111da}, {0x111dc,0x111dc}, {0x11200,0x11211}, {0x11213,0x1122b},
    {0x1123f,0x11240}, {0x11280,0x11286}, {0x11288,0x11288}, {0x1128a,0x1128d}, {0x1128f,0x1129d}, {0x1129f,0x112a8},
    {0x112b0,0x112de}, {0x11305,0x1130c}, {0x1130f,0x11310}, {0x11313,0x11328}, {0x1132a,0x11330}, {0x11332,0x11333},
    {0x11335,0x11339}, {0x1133d,0x1133d}, {0x11350,0x11350}, {0x1135d,0x11361}, {0x11380,0x11389}, {0x1138b,0x1138b},
    {0x1138e,0x1138e}, {0x11390,0x113b5}, {0x113b7,0x113b7}, {0x113d1,0x113d1}, {0x113d3,0x113d3}, {0x11400,0x11434},
    {0x11447,0x1144a}, {0x1145f,0x11461}, {0x11480,0x114af}, {0x114c4,0x114c5}, {0x114c7,0x114c7}, {0x11580,0x115ae},
    {0x115d8,0x115db}, {0x11600,0x1162f}, {0x11644,0x11644}, {0x11680,0x116aa}, {0x116b8,0x116b8}, {0x11700,0x1171a},
    {0x11740,0x11746}, {0x11800,0x1182b}, {0x118a0,0x118df}, {0x118ff,0x11906}, {0x11909,0x11909}, {0x1190c,0x11913},
    {0x11915,0x11916}, {0x11918,0x1192f}, {0x1193f,0x1193f}, {0x11941,0x11941}, {0x119a0,0x119a7}, {0x119aa,0x119d0},
    {0x119e1,0x119e1}, {0x119e3,0x119e3}, {0x11a00,0x11a00}, {0x11a0b,0x11a32}, {0x11a3a,0x11a3a}, {0x11a50,0x11a50},
    {0x11a5c,0x11a89}, {0x11a9d,0x11a9d}, {0x11ab0,0x11af8}, {0x11bc0,0x11be0}, {0x11c00,0x11c08}, {0x11c0a,0x11c2e},
    {0x11c40,0x11c40}, {0x11c72,0x11c8f}, {0x11d00,0x11d06}, {0x11d08,0x11d09}, {0x11d0b,0x11d30}, {0x11d46,0x11d46},
    {0x11d60,0x11d65}, {0x11d67,0x11d68}, {0x11d6a,0x11d89}, {0x11d98,0x11d98}, {0x11ee0,0x11ef2}, {0x11f02,0x11f02},
    {0x11f04,0x11f10}, {0x11f12,0x11f33}, {0x11fb0,0x11fb0}, {0x12000,0x12399}, {0x12480,0x12543}, {0x12f90,0x12ff0},
    {0x13000,0x1342f}, {0x13441,0x13446}, {0x13460,0x143fa}, {0x14400,0x14646}, {0x16100,0x1611d}, {0x16800,0x16a38},
    {0x16a40,0x16a5e}, {0x16a70,0x16abe}, {0x16ad0,0x16aed}, {0x16b00,0x16b2f}, {0x16b40,0x16b43}, {0x16b63,0x16b77},
    {0x16b7d,0x16b8f}, {0x16d40,0x16d6c}, {0x16e40,0x16e7f}, {0x16f00,0x16f4a}, {0x16f50,0x16f50}, {0x16f93,0x16f9f},
    {0x16fe0,0x16fe1}, {0x16fe3,0x16fe3}, {0x17000,0x187f7}, {0x18800,0x18cd5}, {0x18cff,0x18d08}, {0x1aff0,0x1aff3},
    {0x1aff5,0x1affb}, {0x1affd,0x1affe}, {0x1b000,0x1b122}, {0x1b132,0x1b132}, {0x1b150,0x1b152}, {0x1b155,0x1b155},
    {0x1b164,0x1b167}, {0x1b170,0x1b2fb}, {0x1bc00,0x1bc6a}, {0x1bc70,0x1bc7c}, {0x1bc80,0x1bc88}, {0x1bc90,0x1bc99},
    {0x1d400,0x1d454}, {0x1d456,0x1d49c}, {0x1d49e,0x1d49f}, {0x1d4a2,0x1d4a2}, {0x1d4a5,0x1d4a6}, {0x1d4a9,0x1d4ac},
    {0x1d4ae,0x1d4b9}, {0x1d4bb,0x1d4bb}, {0x1d4bd,0x1d4c3}, {0x1d4c5,0x1d505}, {0x1d507,0x1d50a}, {0x1d50d,0x1d514},
    {0x1d516,0x1d51c}, {0x1d51e,0x1d539}, {0x1d53b,0x1d53e}, {0x1d540,0x1d544}, {0x1d546,0x1d546}, {0x1d54a,0x1d550},
    {0x1d552,0x1d6a5}, {0x1d6a8,0x1d6c0}, {0x1d6c2,0x1d6da}, {0x1d6dc,0x1d6fa}, {0x1d6fc,0x1d714}, {0x1d716,0x1d734},
    {0x1d736,0x1d74e}, {0x1d750,0x1d76e}, {0x1d770,0x1d788}, {0x1d78a,0x1d7a8}, {0x1d7aa,0x1d7c2}, {0x1d7c4,0x1d7cb},
    {0x1df00,0x1df1e}, {0x1df25,0x1df2a}, {0x1e030,0x1e06d}, {0x1e100,0x1e12c}, {0x1e137,0x1e13d}, {0x1e14e,0x1e14e},
    {0x1e290,0x1e2ad}, {0x1e2c0,0x1e2eb}, {0x1e4d0,0x1e4eb}, {0x1e5d0,0x1e5ed}, {0x1e5f0,0x1e5f0}, {0x1e7e0,0x1e7e6},
    {0x1e7e8,0x1e7eb}, {0x1e7ed,0x1e7ee}, {0x1e7f0,0x1e7fe}, {0x1e800,0x1e8c4}, {0x1e900,0x1e943}, {0x1e94b,0x1e94b},
    {0x1ee00,0x1ee03}, {0x1ee05,0x1ee1f}, {0x1ee21,0x1ee22}, {0x1ee24,0x1ee24}, {0x1ee27,0x1ee27}, {0x1ee29,0x1ee32},
    {0x1ee34,0x1ee37}, {0x1ee39,0x1ee39}, {0x1ee3b,0x1ee3b}, {0x1ee42,0x1ee42}, {0x1ee47,0x1ee47}, {0x1ee49,0x1ee49},
    {0x1ee4b,0x1ee4b}, {0x1ee4d,0x1ee4f}, {0x1ee51,0x1ee52}, {0x1ee54,0x1ee54}, {0x1ee57,0x1ee57}, {0x1ee59,0x1ee59},
    {0x1ee5b,0x1ee5b}, {0x1ee5d,0x1ee5d}, {0x1ee5f,0x1ee5f}, {0x1ee61,0x1ee62}, {0x1ee64,0x1ee64}, {0x1ee67,0x1ee6a},
    {0x1ee6c,0x1ee72}, {0x1ee74,0x1ee77}, {0x1ee79,0x1ee7c}, {0x1ee7e,0x1ee7e}, {0x1ee80,0x1ee89}, {0x1ee8b,0x1ee9b},
    {0x1eea1,0x1eea3}, {0x1eea5,0x1eea9}, {0x1eeab,0x1eebb}, {0x20000,0x2a6df}, {0x2a700,0x2b739}, {0x2b740,0x2b81d},
    {0x2b820,0x2cea1}, {0x2ceb0,0x2ebe0}, {0x2ebf0,0x2ee5d}, {0x2f800,0x2fa1d}, {0x30000,0x3134a}, {0x31350,0x323af},
};
static const uint32_t rlvr__unicode_number[][2] = {      /* what Digits isolates: \p{N} and thirteen numbers more */
    {0x30,0x39}, {0xb2,0xb3}, {0xb9,0xb9}, {0xbc,0xbe}, {0x660,0x669}, {0x6f0,0x6f9}, {0x7c0,0x7c9}, {0x966,0x96f},
    {0x9e6,0x9ef}, {0x9f4,0x9f9}, {0xa66,0xa6f}, {0xae6,0xaef}, {0xb66,0xb6f}, {0xb72,0xb77}, {0xbe6,0xbf2}, {0xc66,0xc6f},
    {0xc78,0xc7e}, {0xce6,0xcef}, {0xd58,0xd5e}, {0xd66,0xd78}, {0xde6,0xdef}, {0xe50,0xe59}, {0xed0,0xed9}, {0xf20,0xf33},
    {0x1040,0x1049}, {0x1090,0x1099}, {0x1369,0x137c}, {0x16ee,0x16f0}, {0x17e0,0x17e9}, {0x17f0,0x17f9}, {0x1810,0x1819},
    {0x1946,0x194f}, {0x19d0,0x19da}, {0x1a80,0x1a89}, {0x1a90,0x1a99}, {0x1b50,0x1b59}, {0x1bb0,0x1bb9}, {0x1c40,0x1c49},
    {0x1c50,0x1c59}, {0x2070,0x2070}, {0x2074,0x2079}, {0x2080,0x2089}, {0x2150,0x2182}, {0x2185,0x2189}, {0x2460,0x249b},
    {0x24ea,0x24ff}, {0x2776,0x2793}, {0x2cfd,0x2cfd}, {0x3007,0x3007}, {0x3021,0x3029}, {0x3038,0x303a}, {0x3192,0x3195},
    {0x3220,0x3229}, {0x3248,0x324f}, {0x3251,0x325f}, {0x3280,0x3289}, {0x32b1,0x32bf}, {0xa620,0xa629}, {0xa6e6,0xa6ef},
    {0xa830,0xa835}, {0xa8d0,0xa8d9}, {0xa900,0xa909}, {0xa9d0,0xa9d9}, {0xa9f0,0xa9f9}, {0xaa50,0xaa59}, {0xabf0,0xabf9},
    {0xff10,0xff19}, {0x10107,0x10133}, {0x10140,0x10178}, {0x1018a,0x1018b}, {0x102e1,0x102fb}, {0x10320,0x10323},
    {0x10341,0x10341}, {0x1034a,0x1034a}, {0x103d1,0x103d5}, {0x104a0,0x104a9}, {0x10858,0x1085f}, {0x10879,0x1087f},
    {0x108a7,0x108af}, {0x108fb,0x108ff}, {0x10916,0x1091b}, {0x109bc,0x109bd}, {0x109c0,0x109cf}, {0x109d2,0x109ff},
    {0x10a40,0x10a48}, {0x10a7d,0x10a7e}, {0x10a9d,0x10a9f}, {0x10aeb,0x10aef}, {0x10b58,0x10b5f}, {0x10b78,0x10b7f},
    {0x10ba9,0x10baf}, {0x10cfa,0x10cff}, {0x10d30,0x10d39}, {0x10d40,0x10d49}, {0x10e60,0x10e7e}, {0x10f1d,0x10f26},
    {0x10f51,0x10f54}, {0x10fc5,0x10fcb}, {0x11052,0x1106f}, {0x110f0,0x110f9}, {0x11136,0x1113f}, {0x111d0,0x111d9},
    {0x111e1,0x111f4}, {0x112f0,0x112f9}, {0x11450,0x11459}, {0x114d0,0x114d9}, {0x11650,0x11659}, {0x116c0,0x116c9},
    {0x116d0,0x116e3}, {0x11730,0x1173b}, {0x118e0,0x118f2}, {0x11950,0x11959}, {0x11bf0,0x11bf9}, {0x11c50,0x11c6c},
    {0x11d50,0x11d59}, {0x11da0,0x11da9}, {0x11de0,0x11de9}, {0x11f50,0x11f59}, {0x11fc0,0x11fd4}, {0x12400,0x1246e},
    {0x16130,0x16139}, {0x16a60,0x16a69}, {0x16ac0,0x16ac9}, {0x16b50,0x16b59}, {0x16b5b,0x16b61}, {0x16d70,0x16d79},
    {0x16e80,0x16e96}, {0x16ff4,0x16ff6}, {0x1ccf0,0x1ccf9}, {0x1d2c0,0x1d2d3}, {0x1d2e0,0x1d2f3}, {0x1d360,0x1d378},
    {0x1d7ce,0x1d7ff}, {0x1e140,0x1e149}, {0x1e2f0,0x1e2f9}, {0x1e4f0,0x1e4f9}, {0x1e5f1,0x1e5fa}, {0x1e8c7,0x1e8cf},
    {0x1e950,0x1e959}, {0x1ec71,0x1ecab}, {0x1ecad,0x1ecaf}, {0x1ecb1,0x1ecb4}, {0x1ed01,0x1ed2d}, {0x1ed2f,0x1ed3d},
    {0x1f100,0x1f10c}, {0x1fbf0,0x1fbf9},
};

static bool rlvr__in_ranges(const uint32_t (*range)[2], size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > range[middle][1]) low = middle + 1;
        else high = middle;
    }
    return low < n && c >= range[low][0];
}

typedef enum rlvr__class { RLVR__OTHER, RLVR__SPACE, RLVR__LETTER, RLVR__NUMBER } rlvr__class;

static bool rlvr__is_numeric(uint32_t c)      /* what Digits isolates */
{
    if (c < 128) return c >= '0' && c <= '9';
    return rlvr__in_ranges(rlvr__unicode_number, sizeof rlvr__unicode_number / sizeof *rlvr__unicode_number, c);
}

/* What the regular expression sees. A piece that is not UTF-8 (RLVR__NOT_UTF8) is "other", like punctuation. */
static rlvr__class rlvr__class_of(uint32_t c)
{
    if (c < 128) {
        if ((c | 32) >= 'a' && (c | 32) <= 'z') return RLVR__LETTER;
        if (c >= '0' && c <= '9') return RLVR__NUMBER;
        return c == ' ' || (c >= 9 && c <= 13) ? RLVR__SPACE : RLVR__OTHER;
    }
    if (c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
        c == 0x205f || c == 0x3000) return RLVR__SPACE;
    if (rlvr__in_ranges(rlvr__unicode_letter, sizeof rlvr__unicode_letter / sizeof *rlvr__unicode_letter, c))
        return RLVR__LETTER;
    bool newer = (c >= 0x11de0 && c <= 0x11de9) || (c >= 0x16ff4 && c <= 0x16ff6);      /* Unicode 17 */
    return !newer && rlvr__is_numeric(c) ? RLVR__NUMBER : RLVR__OTHER;
}

/* ---- bytes as letters: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and on ---- */

static uint32_t rlvr__byte_letter(int byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174) return (uint32_t)byte;
    return (uint32_t)(256 + (byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67));
}

static int rlvr__letter_byte(uint32_t letter)      /* -1: it stands for no byte */
{
    if (letter < 256) return rlvr__byte_letter((int)letter) == letter ? (int)letter : -1;
    if (letter < 256 + 33) return (int)letter - 256;
    if (letter < 256 + 67) return (int)letter - 256 - 33 + 127;
    return letter == 256 + 67 ? 173 : -1;
}

static void rlvr__put_letters(rlvr__buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char out[4];
        rlvr__buf_add(b, out, (size_t)rlvr__utf8_write(out, rlvr__byte_letter((unsigned char)s[i])));
    }
}

/* ---- the tokenizer: built once, then only read, so that any number of threads may ---- */

/* What a token is: 0, spelt in byte letters and reached by merges, or these bits. */
enum {
    RLVR__TOKEN_VERBATIM = 1,        /* spelt as it is, not in byte letters */
    RLVR__TOKEN_ADDED = 2,           /* and cut out of the text */
    RLVR__TOKEN_LATE = 4,            /* behind the others ("normalized") */
    RLVR__TOKEN_SPECIAL = 8          /* not part of what a reader sees */
};

typedef struct rlvr__merge { int left, right, result; } rlvr__merge;
typedef struct rlvr__pair { int left, right, rank, result; } rlvr__pair;      /* rank INT_MAX: a free place */
typedef struct rlvr__node { int child, sibling, token; unsigned char byte; } rlvr__node;      /* of a trie; 0 and -1: none */

typedef struct rlvr__tokenizer {
    rlvr_ctx *ctx;
    int n;                           /* tokens: ids 0 .. n-1 */
    char *text;  uint32_t *begin;    /* token i is bytes begin[i] .. begin[i+1]-1 of text */
    unsigned char *kind;             /* (n) RLVR__TOKEN_ bits */
    int n_added, n_late;             /* tokens that are cut out of the text; those of them that are late */
    int byte_token[256];             /* -1: the vocabulary has none */
    rlvr__merge *merges;  int n_merges;      /* by rank */
    rlvr__pair *pairs;  uint32_t pair_mask;  /* open addressing */
    rlvr__node *trie[2];             /* of added tokens, [1] of the late ones; node 0 is the root */
    bool digits, regex;              /* steps 2 and 3 */
    int bos, eos, pad, unk;          /* -1: none */
    char *chat_template;             /* NULL: none; Jinja, kept for saving */
    char *system;                    /* the template's default system message, or NULL */
    int im_start, im_end;            /* chatml's marks; -1: the vocabulary has none */
    char *json;                      /* tokenizer.json as it was read, or NULL */
} rlvr__tokenizer;

static void rlvr__tokenizer_free(rlvr__tokenizer *t)
{
    if (!t) return;
    void *arrays[] = {t->text, t->begin, t->kind, t->merges, t->pairs, t->trie[0], t->trie[1], t->chat_template, t->system,
                      t->json};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) rlvr__free(t->ctx, arrays[i]);
    rlvr__free(t->ctx, t);
}

static int rlvr__tok_size(const rlvr__tokenizer *t) { return t->n; }
static int rlvr__tok_eos(const rlvr__tokenizer *t) { return t->eos; }
static bool rlvr__tok_is_special(const rlvr__tokenizer *t, int id)
{
    return id < 0 || id >= t->n || (t->kind[id] & RLVR__TOKEN_SPECIAL);
}

static const char *rlvr__tok_bytes(const rlvr__tokenizer *t, int id, size_t *n)      /* none where there is no such id */
{
    *n = id >= 0 && id < t->n ? t->begin[id + 1] - t->begin[id] : 0;
    return *n ? t->text + t->begin[id] : "";
}

static int rlvr__tok_find_added(const rlvr__tokenizer *t, const char *s, size_t len)      /* -1: none */
{
    for (int id = 0; id < t->n; id++) {
        size_t n;
        const char *text = rlvr__tok_bytes(t, id, &n);
        if ((t->kind[id] & RLVR__TOKEN_ADDED) && n == len && !memcmp(text, s, n)) return id;
    }
    return -1;
}

/* The longest added token at the beginning of s: its id and length, or -1. */
static int rlvr__trie_match(const rlvr__node *trie, const char *s, size_t len, size_t *n)
{
    int found = -1, at = 0;
    for (size_t i = 0; i < len && trie[at].child; i++) {
        for (at = trie[at].child; at && trie[at].byte != (unsigned char)s[i]; at = trie[at].sibling) continue;
        if (!at) break;
        if (trie[at].token >= 0) { found = trie[at].token; *n = i + 1; }
    }
    return found;
}

static uint32_t rlvr__pair_hash(int left, int right)
{
    return (uint32_t)((((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u) >> 32);
}

/* A place of the table; where the two do not merge, a free one. */
static const rlvr__pair *rlvr__pair_find(const rlvr__tokenizer *t, int left, int right)
{
    for (uint32_t h = rlvr__pair_hash(left, right) & t->pair_mask;; h = (h + 1) & t->pair_mask) {
        const rlvr__pair *p = &t->pairs[h];
        if (p->rank == INT_MAX || (p->left == left && p->right == right)) return p;
    }
}

/* ---- building ---- */

/* Arguments of a %.*s in a message. */
#define RLVR__SHOWN(str) (int)RLVR__MIN((str).n, (size_t)40), (str).s ? (str).s : ""

/* What both file formats come down to: n tokens as they are spelt in the file, which of them are added, merges as pairs of
   strings. */
typedef struct rlvr__tok_source {
    const char *file;
    rlvr__str *token;  unsigned char *kind;  int n;
    rlvr__str (*merge)[2];  int n_merges;
} rlvr__tok_source;

static bool rlvr__is_utf8_text(rlvr__str s)      /* and without NUL */
{
    uint32_t c = 0;
    for (size_t i = 0; i < s.n; i += (size_t)rlvr__utf8_read(s.s + i, s.n - i, &c))
        if (c == RLVR__NOT_UTF8 || !s.s[i]) return false;
    return c != RLVR__NOT_UTF8;
}

/* Letters to bytes. False, and nothing written, where a character stands for no byte. */
static bool rlvr__letters_to_bytes(char *out, rlvr__str in, size_t *n)
{
    size_t at = 0;
    for (size_t i = 0; i < in.n;) {
        uint32_t c;
        i += (size_t)rlvr__utf8_read(in.s + i, in.n - i, &c);
        int byte = rlvr__letter_byte(c);
        if (byte < 0) return false;
        out[at++] = (char)byte;
    }
    *n = at;
    return true;
}

static rlvr_result rlvr__tok_texts(rlvr__tokenizer *t, const rlvr__tok_source *s)
{
    size_t total = 0, at = 0;
    for (int i = 0; i < s->n; i++) {
        total += s->token[i].n;
        if (!rlvr__is_utf8_text(s->token[i]))
            return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: tokenizer: the text of token %d is not UTF-8, or has a NUL in "
                              "it; fetch the file again", s->file, i);
    }
    if (total > UINT32_MAX / 2)
        return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: tokenizer: the tokens take %zu bytes; too many", s->file, total);
    t->n = s->n;
    t->text = RLVR__NEW(t->ctx, char, total + 1);
    t->begin = RLVR__NEW(t->ctx, uint32_t, s->n + 1);
    t->kind = RLVR__NEW(t->ctx, unsigned char, s->n + 1);
    if (!t->text || !t->begin || !t->kind) return RLVR_ERROR_MEMORY;
    for (int i = 0; i < 256; i++) t->byte_token[i] = -1;
    for (int i = 0; i < s->n; i++) {
        size_t n = 0;
        t->kind[i] = s->kind[i];
        bool letters = rlvr__letters_to_bytes(t->text + at, s->token[i], &n);
        if (letters && n == 1) {      /* a byte's own token, or, where it has none, an added one that is spelt like it */
            int *own = &t->byte_token[(unsigned char)t->text[at]];
            if (*own < 0 || !t->kind[i]) *own = i;
        }
        if (!letters || t->kind[i]) {
            t->kind[i] |= RLVR__TOKEN_VERBATIM;
            n = s->token[i].n;
            if (n) memcpy(t->text + at, s->token[i].s, n);
        }
        at += n;
        t->begin[i + 1] = (uint32_t)at;
    }
    return RLVR_OK;
}

static bool rlvr__is_added(const rlvr__tokenizer *t, int id, bool late)
{
    return (t->kind[id] & RLVR__TOKEN_ADDED) && !(t->kind[id] & RLVR__TOKEN_LATE) != late;
}

static rlvr_result rlvr__tok_trie(rlvr__tokenizer *t, bool late)
{
    size_t nodes = 1, n;
    int used = 1;
    for (int id = 0; id < t->n; id++)
        if (rlvr__is_added(t, id, late)) {
            nodes += t->begin[id + 1] - t->begin[id];
            if (late) t->n_late++;
            t->n_added++;
        }
    rlvr__node *trie = t->trie[late] = RLVR__NEW(t->ctx, rlvr__node, nodes);
    if (!trie) return RLVR_ERROR_MEMORY;
    for (int id = 0; id < t->n; id++) {
        if (!rlvr__is_added(t, id, late)) continue;
        const char *s = rlvr__tok_bytes(t, id, &n);
        int at = 0;
        for (size_t i = 0; i < n; i++) {
            int next = trie[at].child;
            while (next && trie[next].byte != (unsigned char)s[i]) next = trie[next].sibling;
            if (!next) {
                next = used++;
                trie[next].byte = (unsigned char)s[i];
                trie[next].token = -1;
                trie[next].sibling = trie[at].child;
                trie[at].child = next;
            }
            at = next;
        }
        if (n) trie[at].token = id;      /* node 0 keeps no token: an empty one would be everywhere */
    }
    return RLVR_OK;
}

static void rlvr__tok_add_merge(rlvr__tokenizer *t, int left, int right, int result)
{
    int rank = t->n_merges++;
    rlvr__merge *m = &t->merges[rank];
    m->left = left;
    m->right = right;
    m->result = result;
    rlvr__pair *p = (rlvr__pair *)(uintptr_t)rlvr__pair_find(t, left, right);      /* of equal pairs the last one counts */
    p->left = left;
    p->right = right;
    p->rank = rank;
    p->result = result;
}

typedef struct rlvr__vocab_entry { char *key; int value; } rlvr__vocab_entry;

static int rlvr__vocab_id(rlvr__vocab_entry **vocab, rlvr__buf *key, rlvr__str a, rlvr__str b)      /* of ab; -1: none */
{
    key->len = 0;
    rlvr__buf_add(key, a.s, a.n);
    rlvr__buf_add(key, b.s, b.n);
    return key->failed ? -1 : stbds_shget(*vocab, key->data);
}

static rlvr_result rlvr__tok_merges(rlvr__tokenizer *t, const rlvr__tok_source *s)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;      /* stb_ds has one global, which every new map moves */
    rlvr__vocab_entry *vocab = NULL;
    rlvr__buf key = {t->ctx, NULL, 0, 0, false};
    rlvr__str none = {"", 0};
    rlvr_result r = RLVR_OK;
    char *keys, *at;                 /* the map keeps pointers to its keys */
    size_t bytes = 1;
    uint32_t size = 16;
    while (size < 2u * (uint32_t)s->n_merges) size *= 2;
    t->pair_mask = size - 1;
    t->merges = RLVR__NEW(t->ctx, rlvr__merge, s->n_merges + 1);
    t->pairs = RLVR__NEW(t->ctx, rlvr__pair, size);
    for (int i = 0; i < s->n; i++) bytes += s->token[i].n + 1;
    at = keys = RLVR__NEW(t->ctx, char, bytes);
    if (!t->merges || !t->pairs || !keys || !rlvr__buf_reserve(&key, 256)) {
        rlvr__free(t->ctx, keys);
        return RLVR_ERROR_MEMORY;
    }
    for (uint32_t i = 0; i < size; i++) t->pairs[i].rank = INT_MAX;
    pthread_mutex_lock(&turn);
    stbds_shdefault(vocab, -1);
    for (int i = 0; i < s->n && s->n_merges; i++) {
        if (s->token[i].n) memcpy(at, s->token[i].s, s->token[i].n);
        stbds_shput(vocab, at, i);
        at += s->token[i].n + 1;
    }
    for (int i = 0; i < s->n_merges && r == RLVR_OK && !key.failed; i++) {
        rlvr__str a = s->merge[i][0], b = s->merge[i][1];
        int left = rlvr__vocab_id(&vocab, &key, a, none), right = rlvr__vocab_id(&vocab, &key, b, none);
        int result = rlvr__vocab_id(&vocab, &key, a, b);
        if (left >= 0 && right >= 0 && result >= 0) rlvr__tok_add_merge(t, left, right, result);
        else if (!key.failed)
            r = rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: tokenizer: merge %d joins \"%.*s\" and \"%.*s\", which are not "
                           "all tokens; fetch the file again", s->file, i, RLVR__SHOWN(a), RLVR__SHOWN(b));
    }
    stbds_shfree(vocab);
    pthread_mutex_unlock(&turn);
    rlvr__free(t->ctx, keys);
    if (key.failed) r = RLVR_ERROR_MEMORY;
    rlvr__buf_free(&key);
    return r;
}

static rlvr__tokenizer *rlvr__tok_build(rlvr_ctx *ctx, const rlvr__tok_source *s)
{
    rlvr__tokenizer *t = RLVR__NEW(ctx, rlvr__tokenizer, 1);
    if (!t) return NULL;
    t->ctx = ctx;
    t->bos = t->eos = t->pad = t->unk = -1;
    t->regex = true;
    if (rlvr__tok_texts(t, s) != RLVR_OK || rlvr__tok_trie(t, false) != RLVR_OK || rlvr__tok_trie(t, true) != RLVR_OK ||
        rlvr__tok_merges(t, s) != RLVR_OK) {
        rlvr__tokenizer_free(t);
        return NULL;
    }
    t->im_start = rlvr__tok_find_added(t, "<|im_start|>", 12);
    t->im_end = rlvr__tok_find_added(t, "<|im_end|>", 10);
    return t;
}

/* "left right" as both formats write a merge in one string; a space inside a token is written as a letter. */
static void rlvr__split_merge(rlvr__str text, rlvr__str pair[2])
{
    const char *space = text.n ? (const char *)memchr(text.s + 1, ' ', text.n - 1) : NULL;
    pair[0].s = text.s;
    pair[0].n = space ? (size_t)(space - text.s) : text.n;
    pair[1].s = space ? space + 1 : "";
    pair[1].n = space ? text.n - pair[0].n - 1 : 0;
}

/* The default system message of a chatml template: a string in it that reads <|im_start|>system\nTEXT<|im_end|>, which such
   templates put in front where the first message is not a system message. */
static rlvr_result rlvr__tok_set_template(rlvr__tokenizer *t, const char *text, size_t n)
{
    static const char head[] = "<|im_start|>system", tail[] = "<|im_end|>", from[] = "nt\\'\"", to[] = "\n\t\\'\"";
    if (!text || !n || memchr(text, 0, n)) return RLVR_OK;
    t->chat_template = rlvr__strndup(t->ctx, text, n);
    char *system = RLVR__NEW(t->ctx, char, n + 1);
    if (!t->chat_template || !system) { rlvr__free(t->ctx, system); return RLVR_ERROR_MEMORY; }
    for (const char *s = strstr(t->chat_template, head); s && !t->system; s = strstr(s, head)) {
        char quote = s > t->chat_template ? s[-1] : 0;
        size_t len = 0;
        for (s += strlen(head); *s && *s != quote && strncmp(s, tail, strlen(tail)); s++) {
            if (*s == '{' && (s[1] == '{' || s[1] == '%')) break;
            const char *escape = *s == '\\' && s[1] ? strchr(from, s[1]) : NULL;
            system[len++] = escape ? to[escape - from] : *s;
            if (escape) s++;
        }
        if (strncmp(s, tail, strlen(tail)) || len < 1 || system[0] != '\n') continue;
        system[len] = 0;
        t->system = rlvr__strndup(t->ctx, system + 1, len - 1);
        if (!t->system) { rlvr__free(t->ctx, system); return RLVR_ERROR_MEMORY; }
    }
    rlvr__free(t->ctx, system);
    return RLVR_OK;
}

/* Ids 0 .. 255 are the bytes, then come the special tokens, the last of which ends a text. */
static rlvr__tokenizer *rlvr__tokenizer_bytes(rlvr_ctx *ctx, const char *const *special, int n_special)
{
    char letters[256][4];
    rlvr__tok_source s;
    memset(&s, 0, sizeof s);
    for (int i = 0; i < n_special; i++) {
        rlvr__str name = {special && special[i] ? special[i] : "", special && special[i] ? strlen(special[i]) : 0};
        bool twice = name.n < 2;      /* a single character would be taken for a byte */
        for (int k = 0; k < i && !twice; k++) twice = !strcmp(special[k], special[i]);
        if (!twice && rlvr__is_utf8_text(name)) continue;
        rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "byte tokenizer: special token %d is \"%.*s\"; each needs a UTF-8 text of its "
                   "own, of two characters or more", i, RLVR__SHOWN(name));
        return NULL;
    }
    if (n_special < 0 || n_special > 1 << 20) {
        rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "byte tokenizer: n_special is %d", n_special);
        return NULL;
    }
    s.file = "byte tokenizer";
    s.n = 256 + n_special;
    s.token = RLVR__NEW(ctx, rlvr__str, s.n);
    s.kind = RLVR__NEW(ctx, unsigned char, s.n);
    rlvr__tokenizer *t = NULL;
    if (s.token && s.kind) {
        for (int i = 0; i < s.n; i++) {
            s.token[i].s = i < 256 ? letters[i] : special[i - 256];
            s.token[i].n = i < 256 ? (size_t)rlvr__utf8_write(letters[i], rlvr__byte_letter(i)) : strlen(special[i - 256]);
            s.kind[i] = i < 256 ? 0 : RLVR__TOKEN_ADDED | RLVR__TOKEN_SPECIAL;
        }
        t = rlvr__tok_build(ctx, &s);
    }
    rlvr__free(ctx, s.token);
    rlvr__free(ctx, s.kind);
    if (!t) return NULL;
    t->regex = false;
    t->eos = t->pad = n_special ? t->n - 1 : -1;
    return t;
}

/* ---- from GGUF ---- */

static bool rlvr__str_is(rlvr__str s, const char *text) { return s.n == strlen(text) && (!s.n || !memcmp(s.s, text, s.n)); }

/* Which pre-tokeniser a GGUF file names; false with a message where it is none of ours. */
static bool rlvr__gguf_pre(rlvr_ctx *ctx, const rlvr__tensors *g, const char *file, bool *digits)
{
    rlvr__str model = rlvr__gguf_str(g, "tokenizer.ggml.model"), pre = rlvr__gguf_str(g, "tokenizer.ggml.pre");
    *digits = rlvr__str_is(pre, "smollm");
    if (!rlvr__str_is(model, "gpt2"))
        rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: tokenizer.ggml.model is \"%.*s\"; this version knows gpt2 (byte-level "
                   "BPE) alone", file, RLVR__SHOWN(model));
    else if (!*digits && !rlvr__str_is(pre, "gpt-2") && rlvr__gguf_find(g, "tokenizer.ggml.pre"))
        rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: tokenizer.ggml.pre is \"%.*s\"; this version knows smollm and gpt-2",
                   file, RLVR__SHOWN(pre));
    else if (rlvr__gguf_bool(g, "tokenizer.ggml.add_bos_token", false))
        rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: tokenizer.ggml.add_bos_token is true; this version puts no token in "
                   "front of a text", file);
    else return true;
    return false;
}

/* False where memory ran out or the file lacks something, with a message. The arrays are the caller's either way. */
static bool rlvr__gguf_tokens(rlvr_ctx *ctx, const rlvr__tensors *g, rlvr__tok_source *s)
{
    /* 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte */
    const rlvr__gguf_kv *type = rlvr__gguf_numbers(g, "tokenizer.ggml.token_type"), *kv;
    const char *key[2] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"};
    rlvr__str *merges = NULL;
    for (int i = 0; i < 2; i++) {
        kv = rlvr__gguf_find(g, key[i]);
        if (kv && kv->list && kv->type == RLVR__GGUF_STRING && kv->count <= INT_MAX / 4 && (i || kv->count)) continue;
        rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s: %s is missing or no list of strings; fetch the file again", s->file, key[i]);
        return false;
    }
    s->n = (int)rlvr__gguf_strings(g, key[0], &s->token);
    s->n_merges = (int)rlvr__gguf_strings(g, key[1], &merges);
    s->kind = s->token ? RLVR__NEW(ctx, unsigned char, s->n) : NULL;
    s->merge = merges ? (rlvr__str(*)[2])rlvr__alloc(ctx, (size_t)s->n_merges + 1, sizeof *s->merge) : NULL;
    bool ok = s->token && merges && s->kind && s->merge;
    for (int i = 0; ok && i < s->n; i++) {
        int64_t k = type ? rlvr__gguf_int_at(type, i, 1) : 1;
        s->kind[i] = k == 2 || k == 3 ? RLVR__TOKEN_ADDED | RLVR__TOKEN_SPECIAL : k == 4 ? RLVR__TOKEN_ADDED : 0;
    }
    for (int i = 0; ok && i < s->n_merges; i++) rlvr__split_merge(merges[i], s->merge[i]);
    rlvr__free(ctx, merges);
    return ok;
}

static rlvr__tokenizer *rlvr__tokenizer_from_gguf(rlvr_ctx *ctx, const rlvr__tensors *g, const char *file)
{
    rlvr__tok_source s;
    rlvr__tokenizer *t = NULL;
    bool digits;
    memset(&s, 0, sizeof s);
    s.file = file;
    if (!rlvr__gguf_pre(ctx, g, file, &digits)) return NULL;
    if (rlvr__gguf_tokens(ctx, g, &s)) t = rlvr__tok_build(ctx, &s);
    rlvr__free(ctx, s.token);
    rlvr__free(ctx, s.kind);
    rlvr__free(ctx, s.merge);
    if (!t) return NULL;
    t->digits = digits;
    int *field[] = {&t->bos, &t->eos, &t->pad, &t->unk};
    const char *key[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.padding_token_id",
                         "tokenizer.ggml.unknown_token_id"};
    for (int i = 0; i < 4; i++) {
        int64_t id = rlvr__gguf_int(g, key[i], -1);
        *field[i] = id >= 0 && id < t->n ? (int)id : -1;
    }
    rlvr__str chat = rlvr__gguf_str(g, "tokenizer.chat_template");
    if (rlvr__tok_set_template(t, chat.s, chat.n) != RLVR_OK) { rlvr__tokenizer_free(t); return NULL; }
    return t;
}

/* ---- from tokenizer.json ---- */

static bool rlvr__json_is_text(const rlvr__json *j, const char *text)
{
    size_t n;
    const char *s = rlvr__json_str(j, &n);
    return s && n == strlen(text) && !memcmp(s, text, n);
}
static bool rlvr__json_absent(const rlvr__json *j) { return !j || j->type == RLVR__JSON_NULL; }
static bool rlvr__json_blank(const rlvr__json *j) { return rlvr__json_absent(j) || rlvr__json_is_text(j, ""); }

typedef struct rlvr__pre { bool digits, byte_level, regex; } rlvr__pre;

/* Adds what a pre-tokeniser does; the field that this version cannot do, or NULL. ByteLevel must come last: behind it, the
   others would see bytes as letters. */
static const char *rlvr__json_pre(const rlvr__json *j, rlvr__pre *p)
{
    const rlvr__json *type = rlvr__json_get(j, "type");
    if (rlvr__json_is_text(type, "Sequence")) {
        RLVR__JSON_EACH(part, rlvr__json_get(j, "pretokenizers")) {
            const char *why = rlvr__json_pre(part, p);
            if (why) return why;
        }
        return NULL;
    }
    if (p->byte_level) return "pre_tokenizer, something behind ByteLevel";
    if (rlvr__json_is_text(type, "Digits")) {
        p->digits = true;
        if (!rlvr__json_bool(rlvr__json_get(j, "individual_digits"), false)) return "pre_tokenizer.individual_digits, false";
        return NULL;
    }
    if (!rlvr__json_is_text(type, "ByteLevel")) return "pre_tokenizer, not ByteLevel, nor Digits in front of it";
    p->byte_level = true;
    p->regex = rlvr__json_bool(rlvr__json_get(j, "use_regex"), true);
    return rlvr__json_bool(rlvr__json_get(j, "add_prefix_space"), true) ? "pre_tokenizer.add_prefix_space, true" : NULL;
}

/* The field of a tokenizer.json that this version cannot do; NULL: it can do them all. */
static const char *rlvr__json_beyond(const rlvr__json *root, rlvr__pre *p)
{
    const rlvr__json *model = rlvr__json_get(root, "model"), *post = rlvr__json_get(root, "post_processor");
    const rlvr__json *decoder = rlvr__json_get(root, "decoder"), *dropout = rlvr__json_get(model, "dropout");
    const rlvr__json *type = rlvr__json_get(model, "type");
    static const char level[] = "ByteLevel";
    if (type && !rlvr__json_is_text(type, "BPE")) return "model.type, not BPE";
    if (!rlvr__json_absent(rlvr__json_get(root, "normalizer"))) return "normalizer";
    if (rlvr__json_bool(rlvr__json_get(model, "byte_fallback"), false)) return "model.byte_fallback";
    if (rlvr__json_bool(rlvr__json_get(model, "ignore_merges"), false)) return "model.ignore_merges";
    if (!rlvr__json_absent(dropout) && rlvr__json_num(dropout, 1) != 0) return "model.dropout";
    if (!rlvr__json_blank(rlvr__json_get(model, "continuing_subword_prefix"))) return "model.continuing_subword_prefix";
    if (!rlvr__json_blank(rlvr__json_get(model, "end_of_word_suffix"))) return "model.end_of_word_suffix";
    const char *why = rlvr__json_pre(rlvr__json_get(root, "pre_tokenizer"), p);
    if (why) return why;
    if (!p->byte_level) return "pre_tokenizer, no ByteLevel in it";
    if (!rlvr__json_absent(post) && !rlvr__json_is_text(rlvr__json_get(post, "type"), level))
        return "post_processor, not ByteLevel";
    if (!rlvr__json_absent(decoder) && !rlvr__json_is_text(rlvr__json_get(decoder, "type"), level))
        return "decoder, not ByteLevel";
    RLVR__JSON_EACH(added, rlvr__json_get(root, "added_tokens")) {
        if (rlvr__json_bool(rlvr__json_get(added, "lstrip"), false)) return "added_tokens.lstrip";
        if (rlvr__json_bool(rlvr__json_get(added, "rstrip"), false)) return "added_tokens.rstrip";
        if (rlvr__json_bool(rlvr__json_get(added, "single_word"), false)) return "added_tokens.single_word";
    }
    return NULL;
}

static bool rlvr__json_token_at(rlvr_ctx *ctx, const rlvr__json *item, bool added, int64_t most, rlvr__tok_source *s)
{
    int64_t id = rlvr__json_int(added ? rlvr__json_get(item, "id") : item, -1);
    rlvr__str text = {item->key, item->key_len};
    if (added) text.s = rlvr__json_str(rlvr__json_get(item, "content"), &text.n);
    bool fits = id >= 0 && id < most, taken = fits && s->token[id].s;
    const char *why = NULL;
    if (!text.s) why = "has no content";
    else if (!fits) why = "has no id, or one past the number of tokens";
    else if (taken && !added) why = "has an id that another one has too";
    else if (taken && rlvr__str_compare(s->token[id], text)) why = "has the id of a vocabulary token";
    if (why) {
        rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s:%u: token \"%.*s\" %s", s->file, item->line, RLVR__SHOWN(text), why);
        return false;
    }
    s->token[id] = text;
    s->n = (int)RLVR__MAX((int64_t)s->n, id + 1);
    if (added) {
        bool special = rlvr__json_bool(rlvr__json_get(item, "special"), false);
        bool late = rlvr__json_bool(rlvr__json_get(item, "normalized"), !special);
        s->kind[id] = RLVR__TOKEN_ADDED;
        if (special) s->kind[id] |= RLVR__TOKEN_SPECIAL;
        if (late) s->kind[id] |= RLVR__TOKEN_LATE;
    }
    return true;
}

/* Tokens and merges out of the tree; false with a message recorded. The arrays are the caller's either way. */
static bool rlvr__json_tokens(rlvr_ctx *ctx, const rlvr__json *root, rlvr__tok_source *s)
{
    const rlvr__json *model = rlvr__json_get(root, "model"), *added = rlvr__json_get(root, "added_tokens");
    const rlvr__json *vocab = rlvr__json_get(model, "vocab"), *merges = rlvr__json_get(model, "merges");
    int64_t most = rlvr__json_count(vocab) + rlvr__json_count(added);
    if (!rlvr__json_is(vocab, RLVR__JSON_OBJECT) || !rlvr__json_is(merges, RLVR__JSON_ARRAY) || most < 1 ||
        most > INT_MAX / 4) {
        rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s: model.vocab or model.merges is missing; fetch the file again", s->file);
        return false;
    }
    s->token = RLVR__NEW(ctx, rlvr__str, most + 1);
    s->kind = RLVR__NEW(ctx, unsigned char, most + 1);
    s->merge = (rlvr__str(*)[2])rlvr__alloc(ctx, (size_t)rlvr__json_count(merges) + 1, sizeof *s->merge);
    if (!s->token || !s->kind || !s->merge) return false;
    for (int pass = 0; pass < 2; pass++)
        RLVR__JSON_EACH(item, pass ? added : vocab)
            if (!rlvr__json_token_at(ctx, item, pass, most, s)) return false;
    for (int k = 0; k < s->n; k++)
        if (!s->token[k].s) {
            rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: no token has id %d, but later ones are there; this version wants "
                       "no gaps", s->file, k);
            return false;
        }
    RLVR__JSON_EACH(m, merges) {
        rlvr__str *pair = s->merge[s->n_merges++], whole = {m->text, m->len};
        if (m->type == RLVR__JSON_STRING) rlvr__split_merge(whole, pair);
        else for (int k = 0; k < 2; k++) pair[k].s = rlvr__json_str(rlvr__json_at(m, k), &pair[k].n);
        if (!pair[0].s || !pair[1].s || memchr(pair[0].s, 0, pair[0].n) || memchr(pair[1].s, 0, pair[1].n)) {
            rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s:%u: model.merges: item %d is no pair of strings", s->file, m->line,
                       s->n_merges - 1);
            return false;
        }
    }
    return true;
}

/* A named token of a config: "text" or {"content": "text"}. -1: none that this tokenizer has. */
static int rlvr__json_token(const rlvr__tokenizer *t, const rlvr__json *j)
{
    size_t n;
    const char *s = rlvr__json_str(j, &n);
    if (!s) s = rlvr__json_str(rlvr__json_get(j, "content"), &n);
    return s ? rlvr__tok_find_added(t, s, n) : -1;
}

static rlvr__tokenizer *rlvr__tokenizer_from_json(rlvr_ctx *ctx, const char *file, const char *text, size_t n)
{
    rlvr__json *root = rlvr__json_parse(ctx, file, text, n, 1);
    if (!root) return NULL;
    rlvr__tok_source s;
    rlvr__pre pre = {false, false, false};
    rlvr__tokenizer *t = NULL;
    const char *beyond = rlvr__json_beyond(root, &pre);
    memset(&s, 0, sizeof s);
    s.file = file;
    if (beyond) rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: %s: this version cannot do it; take a model whose tokenizer is "
                           "byte-level BPE as GPT-2 and SmolLM2 have it", file, beyond);
    else if (rlvr__json_tokens(ctx, root, &s)) t = rlvr__tok_build(ctx, &s);
    bool unk = !rlvr__json_absent(rlvr__json_get(rlvr__json_get(root, "model"), "unk_token"));
    rlvr__free(ctx, s.token);
    rlvr__free(ctx, s.kind);
    rlvr__free(ctx, s.merge);
    rlvr__json_free(ctx, root);
    for (int i = 0; t && unk && i < 256; i++)      /* where every byte has a token, none is unknown */
        if (t->byte_token[i] < 0) {
            rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: model.unk_token is set and byte %d has no token; set it to null, "
                       "which drops such bytes", file, i);
            rlvr__tokenizer_free(t);
            t = NULL;
        }
    if (!t) return NULL;
    t->digits = pre.digits;
    t->regex = pre.regex;
    t->json = rlvr__strndup(ctx, text, n);
    if (!t->json) { rlvr__tokenizer_free(t); return NULL; }
    return t;
}

/* Named tokens and chat template out of tokenizer_config.json. */
static rlvr_result rlvr__tok_read_config(rlvr__tokenizer *t, const char *path, const rlvr__json *j)
{
    const rlvr__json *chat = rlvr__json_get(j, "chat_template");
    size_t n;
    if (rlvr__json_bool(rlvr__json_get(j, "add_prefix_space"), false))
        return rlvr__fail(t->ctx, RLVR_ERROR_UNSUPPORTED, "%s: add_prefix_space is true; this version puts no space in "
                          "front of a text", path);
    t->bos = rlvr__json_token(t, rlvr__json_get(j, "bos_token"));
    t->eos = rlvr__json_token(t, rlvr__json_get(j, "eos_token"));
    t->pad = rlvr__json_token(t, rlvr__json_get(j, "pad_token"));
    t->unk = rlvr__json_token(t, rlvr__json_get(j, "unk_token"));
    if (rlvr__json_is(chat, RLVR__JSON_ARRAY)) {      /* several, by name */
        const rlvr__json *list = chat;
        chat = NULL;
        RLVR__JSON_EACH(item, list)
            if (rlvr__json_is_text(rlvr__json_get(item, "name"), "default")) chat = rlvr__json_get(item, "template");
    }
    const char *text = rlvr__json_str(chat, &n);
    return rlvr__tok_set_template(t, text, n);
}

/* A folder's tokenizer.json and, where they are there, tokenizer_config.json and chat_template.jinja, in which newer
   versions of transformers keep the template. */
static rlvr__tokenizer *rlvr__tokenizer_load(rlvr_ctx *ctx, const char *folder)
{
    char *path = rlvr__path_join(ctx, folder, "tokenizer.json");
    char *config = rlvr__path_join(ctx, folder, "tokenizer_config.json");
    char *jinja = rlvr__path_join(ctx, folder, "chat_template.jinja");
    rlvr__tokenizer *t = NULL;
    rlvr__file f;
    bool ok = path && config && jinja;
    if (ok && rlvr__file_open(ctx, path, &f) == RLVR_OK) {
        t = rlvr__tokenizer_from_json(ctx, path, (const char *)f.data, f.len);
        rlvr__file_close(ctx, &f);
    }
    if (t && rlvr__is_file(config)) {
        rlvr__json *j = rlvr__json_load(ctx, config);
        ok = j && rlvr__tok_read_config(t, config, j) == RLVR_OK;
        rlvr__json_free(ctx, j);
    }
    if (t && ok && !t->chat_template && rlvr__is_file(jinja)) {
        ok = rlvr__file_open(ctx, jinja, &f) == RLVR_OK;
        if (ok) {
            ok = rlvr__tok_set_template(t, (const char *)f.data, f.len) == RLVR_OK;
            rlvr__file_close(ctx, &f);
        }
    }
    if (t && !ok) { rlvr__tokenizer_free(t); t = NULL; }
    if (t && t->eos < 0) t->eos = t->im_end >= 0 ? t->im_end : rlvr__tok_find_added(t, "<|endoftext|>", 13);
    rlvr__free(ctx, path);
    rlvr__free(ctx, config);
    rlvr__free(ctx, jinja);
    return t;
}

/* ---- encoding ---- */

typedef struct rlvr__symbol { int id, prev, next; } rlvr__symbol;
typedef struct rlvr__open { int rank, at; } rlvr__open;
typedef struct rlvr__encoder {
    const rlvr__tokenizer *t;
    bool parse_special;
    rlvr__symbol *symbols;  int64_t cap_symbols;
    rlvr__open *heap;       int64_t cap_heap;  int n_heap;
    int *ids;  int64_t n, cap;
    bool failed;
} rlvr__encoder;

static void rlvr__encode_ids(rlvr__encoder *e, const int *ids, int n)
{
    if (e->cap - e->n < n) {
        int64_t cap = RLVR__MAX(e->cap + e->cap / 2, e->n + n + 64);
        int *more = RLVR__NEW(e->t->ctx, int, cap);
        if (!more) { e->failed = true; return; }
        if (e->n) memcpy(more, e->ids, (size_t)e->n * sizeof(int));
        rlvr__free(e->t->ctx, e->ids);
        e->ids = more;
        e->cap = cap;
    }
    for (int i = 0; i < n; i++) e->ids[e->n++] = ids[i];
}

enum { RLVR__SHORT_WORD = 32 };

/* A short word: the ranks of all pairs of neighbours in a row, the lowest looked for each time. */
static void rlvr__encode_short(rlvr__encoder *e, const char *s, size_t len)
{
    const rlvr__pair *pair[RLVR__SHORT_WORD];      /* pair[i] joins id[i] and id[i + 1] */
    int id[RLVR__SHORT_WORD], n = 0;
    for (size_t i = 0; i < len; i++) {
        id[n] = e->t->byte_token[(unsigned char)s[i]];
        n += id[n] >= 0;
    }
    for (int i = 0; i + 1 < n; i++) pair[i] = rlvr__pair_find(e->t, id[i], id[i + 1]);
    while (n > 1) {
        int best = 0;
        for (int i = 1; i + 1 < n; i++)
            if (pair[i]->rank < pair[best]->rank) best = i;
        if (pair[best]->rank == INT_MAX) break;
        id[best] = pair[best]->result;
        n--;
        for (int i = best + 1; i < n; i++) id[i] = id[i + 1];
        for (int i = best + 1; i + 1 < n; i++) pair[i] = pair[i + 1];
        if (best + 1 < n) pair[best] = rlvr__pair_find(e->t, id[best], id[best + 1]);
        if (best) pair[best - 1] = rlvr__pair_find(e->t, id[best - 1], id[best]);
    }
    rlvr__encode_ids(e, id, n);
}

static bool rlvr__open_before(rlvr__open a, rlvr__open b) { return a.rank < b.rank || (a.rank == b.rank && a.at < b.at); }

static void rlvr__heap_push(rlvr__encoder *e, int at)
{
    const rlvr__symbol *s = &e->symbols[at];
    if (s->next < 0) return;
    rlvr__open o = {rlvr__pair_find(e->t, s->id, e->symbols[s->next].id)->rank, at};
    if (o.rank == INT_MAX) return;
    int i = e->n_heap++;
    for (; i > 0 && rlvr__open_before(o, e->heap[(i - 1) / 2]); i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = o;
}

static rlvr__open rlvr__heap_pop(rlvr__encoder *e)
{
    rlvr__open top = e->heap[0], last = e->heap[--e->n_heap];
    int i = 0, child;
    while ((child = 2 * i + 1) < e->n_heap) {
        if (child + 1 < e->n_heap && rlvr__open_before(e->heap[child + 1], e->heap[child])) child++;
        if (!rlvr__open_before(e->heap[child], last)) break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

/* A word of any length in n log n: its symbols as a linked list, and a heap of the merges that are open in it, as (rank,
   position). A join leaves stale entries behind, which are known by their symbols having changed. At most len - 1 entries
   to begin with and two for each join, of which there are at most len - 1. */
static void rlvr__encode_long(rlvr__encoder *e, const char *s, size_t len)
{
    int n = 0;
    if (!rlvr__reserve(e->t->ctx, (void **)&e->symbols, &e->cap_symbols, (int64_t)len, sizeof *e->symbols) ||
        !rlvr__reserve(e->t->ctx, (void **)&e->heap, &e->cap_heap, 3 * (int64_t)len, sizeof *e->heap)) {
        e->failed = true;
        return;
    }
    for (size_t i = 0; i < len; i++) {
        int id = e->t->byte_token[(unsigned char)s[i]];
        if (id < 0) continue;
        e->symbols[n].id = id;
        e->symbols[n].prev = n - 1;
        e->symbols[n].next = n + 1;
        n++;
    }
    if (!n) return;
    e->symbols[n - 1].next = -1;
    e->n_heap = 0;
    for (int i = 0; i < n; i++) rlvr__heap_push(e, i);
    while (e->n_heap) {
        rlvr__open o = rlvr__heap_pop(e);
        rlvr__symbol *a = &e->symbols[o.at];
        const rlvr__merge *m = &e->t->merges[o.rank];
        if (a->id != m->left || a->next < 0 || e->symbols[a->next].id != m->right) continue;
        rlvr__symbol *b = &e->symbols[a->next];
        a->id = m->result;
        b->id = -1;
        a->next = b->next;
        if (a->next >= 0) e->symbols[a->next].prev = o.at;
        rlvr__heap_push(e, o.at);
        if (a->prev >= 0) rlvr__heap_push(e, a->prev);
    }
    for (int i = 0; i >= 0 && !e->failed; i = e->symbols[i].next) rlvr__encode_ids(e, &e->symbols[i].id, 1);
}

static void rlvr__encode_word(rlvr__encoder *e, const char *s, size_t len)
{
    if (len > RLVR__SHORT_WORD) rlvr__encode_long(e, s, len);
    else if (len) rlvr__encode_short(e, s, len);
}

static size_t rlvr__run_of(const char *s, size_t len, size_t at, rlvr__class kind)      /* end of the run of a class */
{
    while (at < len) {
        uint32_t c;
        int n = rlvr__utf8_read(s + at, len - at, &c);
        if (rlvr__class_of(c) != kind) break;
        at += (size_t)n;
    }
    return at;
}

/* Where the word at `at` ends: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ . */
static size_t rlvr__word_end(const char *s, size_t len, size_t at)
{
    static const char *const contraction[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    uint32_t c;
    int n = rlvr__utf8_read(s + at, len - at, &c);
    for (size_t i = 0; c == '\'' && i < sizeof contraction / sizeof *contraction; i++) {
        size_t k = strlen(contraction[i]);
        if (len - at >= k && !memcmp(s + at, contraction[i], k)) return at + k;
    }
    size_t word = c == ' ' ? at + 1 : at;
    if (word < len) {
        uint32_t first = c;
        if (word > at) rlvr__utf8_read(s + word, len - word, &first);
        rlvr__class kind = rlvr__class_of(first);
        if (kind != RLVR__SPACE) return rlvr__run_of(s, len, word, kind);
    }
    /* white space: all of it at the end, else all but the last character, which may belong to the next word */
    size_t end = at + (size_t)n, before = at;
    while (end < len) {
        int k = rlvr__utf8_read(s + end, len - end, &c);
        if (rlvr__class_of(c) != RLVR__SPACE) return before > at ? before : end;
        before = end;
        end += (size_t)k;
    }
    return end;
}

static void rlvr__encode_words(rlvr__encoder *e, const char *s, size_t len)      /* step 3 */
{
    if (!e->t->regex) { rlvr__encode_word(e, s, len); return; }
    for (size_t at = 0; at < len && !e->failed;) {
        size_t end = rlvr__word_end(s, len, at);
        rlvr__encode_word(e, s + at, end - at);
        at = end;
    }
}

static void rlvr__encode_plain(rlvr__encoder *e, const char *s, size_t len)      /* step 2 */
{
    size_t from = 0;
    for (size_t at = 0; e->t->digits && at < len;) {
        uint32_t c;
        size_t n = (size_t)rlvr__utf8_read(s + at, len - at, &c);
        if (c != RLVR__NOT_UTF8 && rlvr__is_numeric(c)) {
            rlvr__encode_words(e, s + from, at - from);
            rlvr__encode_words(e, s + at, n);
            from = at + n;
        }
        at += n;
    }
    rlvr__encode_words(e, s + from, len - from);
}

/* Step 1. Where special tokens are not parsed, one that is spelt in the text is plain text, but no other added token is
   looked for inside it: as the tokenizers library has it. */
static void rlvr__encode_text(rlvr__encoder *e, const char *s, size_t len, int late)
{
    const rlvr__tokenizer *t = e->t;
    size_t from = 0;
    for (size_t at = 0; (late ? t->n_late : t->n_added - t->n_late) && at < len && !e->failed;) {
        size_t n = 1;
        int id = rlvr__trie_match(t->trie[late], s + at, len - at, &n);
        if (id >= 0 && (e->parse_special || !(t->kind[id] & RLVR__TOKEN_SPECIAL))) {
            if (late) rlvr__encode_plain(e, s + from, at - from);
            else rlvr__encode_text(e, s + from, at - from, 1);
            rlvr__encode_ids(e, &id, 1);
            from = at + n;
        }
        at += n;
    }
    if (late) rlvr__encode_plain(e, s + from, len - from);
    else rlvr__encode_text(e, s + from, len - from, 1);
}

/* Token ids of a text; *ids is allocated. With parse_special, special tokens that are spelt in the text become their ids.
   Count, or -1 with the error recorded. */
static int rlvr__tok_encode(const rlvr__tokenizer *t, const char *text, size_t len, bool parse_special, int **ids)
{
    rlvr__encoder e;
    memset(&e, 0, sizeof e);
    e.t = t;
    e.parse_special = parse_special;
    *ids = NULL;
    if (!len) text = "";
    if (len > INT_MAX / 4) {
        rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "a text of %zu bytes is too long to tokenise; split it", len);
        return -1;
    }
    e.cap = (int64_t)len / 3 + 16;
    e.ids = RLVR__NEW(t->ctx, int, e.cap);
    e.failed = !e.ids;
    if (!e.failed) rlvr__encode_text(&e, text, len, 0);
    rlvr__free(t->ctx, e.symbols);
    rlvr__free(t->ctx, e.heap);
    if (e.failed) { rlvr__free(t->ctx, e.ids); return -1; }
    *ids = e.ids;
    return (int)e.n;
}

/* ---- decoding ---- */

static void rlvr__tok_decode_into(const rlvr__tokenizer *t, const int *ids, int n, bool with_special, rlvr__buf *out)
{
    for (int i = 0; i < n; i++) {
        size_t len;
        const char *s = rlvr__tok_bytes(t, ids[i], &len);
        if (with_special || !rlvr__tok_is_special(t, ids[i])) rlvr__buf_add(out, s, len);
    }
}

/* The tokens' bytes as they are, NUL-terminated: UTF-8 only if the tokens make it so. */
static char *rlvr__tok_decode(const rlvr__tokenizer *t, const int *ids, int n, bool with_special, size_t *len)
{
    rlvr__buf b = {t->ctx, NULL, 0, 0, false};
    rlvr__tok_decode_into(t, ids, n, with_special, &b);
    rlvr__buf_add(&b, "", 0);
    if (b.failed) { rlvr__buf_free(&b); return NULL; }
    if (len) *len = b.len;
    return b.data;
}

/* Text that comes token by token: bytes wait until their character is whole, so that what goes out is UTF-8 at any moment.
   Bytes that can no longer become a character go out as U+FFFD; a beginning that waits does so only when flushed. */
typedef struct rlvr__tok_stream { unsigned char pending[4]; int n; } rlvr__tok_stream;

static void rlvr__tok_stream_push(const rlvr__tokenizer *t, rlvr__tok_stream *s, int id, rlvr__buf *out)
{
    size_t len;
    const char *text = rlvr__tok_bytes(t, id, &len);
    for (size_t i = 0; i < len; i++) {
        s->pending[s->n++] = (unsigned char)text[i];
        while (s->n) {
            uint32_t c;
            int first = s->pending[0], used = rlvr__utf8_read((const char *)s->pending, (size_t)s->n, &c);
            int whole = first < 0xc2 || first > 0xf4 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
            if (c == RLVR__NOT_UTF8 && used == s->n && s->n < whole) break;
            if (c == RLVR__NOT_UTF8) rlvr__buf_add(out, "\xef\xbf\xbd", 3);
            else rlvr__buf_add(out, s->pending, (size_t)used);
            s->n -= used;
            memmove(s->pending, s->pending + used, (size_t)s->n);
        }
    }
}

RLVR__UNUSED static void rlvr__tok_stream_flush(rlvr__tok_stream *s, rlvr__buf *out)      /* what never became whole */
{
    if (s->n) rlvr__buf_add(out, "\xef\xbf\xbd", 3);
    s->n = 0;
}

/* ---- chat ---- */

/* chatml: <|im_start|>role\ncontent<|im_end|>\n for each message, then the assistant's head: the text that SmolLM2's
   template makes with add_generation_prompt. A model that has neither a template nor chatml's marks (a base model, a byte
   tokenizer) gets the contents alone; one with another template is refused. */
static rlvr_result rlvr__chat_format(const rlvr__tokenizer *t, const rlvr_message *messages, int n, rlvr__buf *out)
{
    bool chatml = t->im_start >= 0 && t->im_end >= 0;
    if (t->chat_template && (!chatml || !strstr(t->chat_template, "<|im_start|>")))
        return rlvr__fail(t->ctx, RLVR_ERROR_UNSUPPORTED, "the model's chat template is not chatml, the one that this "
                          "version knows; format the prompt yourself and pass it raw");
    for (int i = 0; i < n; i++)
        if (!messages[i].role || !messages[i].content)
            return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "message %d: set role and content", i);
    if (chatml && t->system && n && strcmp(messages[0].role, "system"))
        rlvr__buf_addf(out, "<|im_start|>system\n%s<|im_end|>\n", t->system);
    for (int i = 0; i < n; i++) {
        if (chatml) rlvr__buf_addf(out, "<|im_start|>%s\n", messages[i].role);
        rlvr__buf_add(out, messages[i].content, strlen(messages[i].content));
        if (chatml) rlvr__buf_addf(out, "<|im_end|>\n");
    }
    if (chatml) rlvr__buf_addf(out, "<|im_start|>assistant\n");
    rlvr__buf_add(out, "", 0);      /* no message at all is an empty text, not none */
    return out->failed ? RLVR_ERROR_MEMORY : RLVR_OK;
}

/* ---- writing, for transformers ---- */

static void rlvr__put_token(rlvr__buf *b, const rlvr__tokenizer *t, int id)      /* as it is spelt in files, quoted */
{
    size_t n;
    const char *s = rlvr__tok_bytes(t, id, &n);
    if (t->kind[id]) { rlvr__json_put_string(b, s, n); return; }
    rlvr__buf letters = {t->ctx, NULL, 0, 0, false};
    rlvr__put_letters(&letters, s, n);
    rlvr__json_put_string(b, letters.data ? letters.data : "", letters.len);
    if (letters.failed) b->failed = true;
    rlvr__buf_free(&letters);
}

static void rlvr__tok_to_json(const rlvr__tokenizer *t, rlvr__buf *b)      /* tokenizer.json */
{
    static const char yes[] = "true", no[] = "false";
    if (t->json) { rlvr__buf_add(b, t->json, strlen(t->json)); return; }
    rlvr__buf_addf(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    for (int id = 0, first = 1; id < t->n; id++) {
        if (!(t->kind[id] & RLVR__TOKEN_ADDED)) continue;
        rlvr__buf_addf(b, "%s\n    {\"id\": %d, \"content\": ", first ? "" : ",", id);
        rlvr__put_token(b, t, id);
        rlvr__buf_addf(b, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": %s, "
                       "\"special\": %s}",
                       t->kind[id] & RLVR__TOKEN_LATE ? yes : no, t->kind[id] & RLVR__TOKEN_SPECIAL ? yes : no);
        first = 0;
    }
    const char *level = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": ";
    const char *digits = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
                         "\"individual_digits\": true}, ";
    rlvr__buf_addf(b, "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": %s%s%s}%s,\n  \"post_processor\": null,\n",
                   t->digits ? digits : "", level, t->regex ? yes : no, t->digits ? "]}" : "");
    rlvr__buf_addf(b, "  \"decoder\": %strue},\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                   "    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
                   "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
                   "    \"vocab\": {", level);
    for (int id = 0; id < t->n; id++) {
        rlvr__buf_addf(b, "%s\n      ", id ? "," : "");
        rlvr__put_token(b, t, id);
        rlvr__buf_addf(b, ": %d", id);
    }
    rlvr__buf_addf(b, "\n    },\n    \"merges\": [");
    for (int i = 0; i < t->n_merges; i++) {
        rlvr__buf_addf(b, "%s\n      [", i ? "," : "");
        rlvr__put_token(b, t, t->merges[i].left);
        rlvr__buf_addf(b, ", ");
        rlvr__put_token(b, t, t->merges[i].right);
        rlvr__buf_addf(b, "]");
    }
    rlvr__buf_addf(b, "\n    ]\n  }\n}\n");
}

static void rlvr__tok_config_to_json(const rlvr__tokenizer *t, rlvr__buf *b)      /* tokenizer_config.json */
{
    static const char *const name[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    int id[] = {t->bos, t->eos, t->pad, t->unk};
    const char *chat = t->chat_template;
    if (!chat && t->im_start >= 0 && t->im_end >= 0)      /* what rlvr__chat_format() does without one */
        chat = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
               "'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
    rlvr__buf_addf(b, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"add_prefix_space\": false,\n"
                   "  \"clean_up_tokenization_spaces\": false");
    for (int i = 0; i < 4; i++) {
        if (id[i] < 0) continue;
        rlvr__buf_addf(b, ",\n  \"%s\": ", name[i]);
        rlvr__put_token(b, t, id[i]);
    }
    if (chat) {
        rlvr__buf_addf(b, ",\n  \"chat_template\": ");
        rlvr__json_put_string(b, chat, strlen(chat));
    }
    rlvr__buf_addf(b, "\n}\n");
}
/* ============================================================================================
   13. MODEL                                                                           >>model
   ============================================================================================ */

/* Weights lie in one block of floats; so do gradients and the optimizer's moments, at the same offsets. A matrix is packed
   in panels (section 8); q, k, v are one matrix of (n_heads + 2 n_kv_heads) * head_dim rows, gate and up one of 2 d_ff rows.
   What files and rlvr_model_get() call a tensor is a view: some rows of a parameter under its transformers name. */
typedef struct rlvr__param { int64_t offset, floats, rows, cols; bool matrix; } rlvr__param;
typedef struct rlvr__view { char name[80], gguf[48]; int param; int64_t row, rows, cols; int rope_heads; } rlvr__view;
typedef struct rlvr__layer { int norm1, qkv, out, norm2, gate_up, down; } rlvr__layer;     /* parameter numbers */

struct rlvr_model {
    rlvr_ctx *ctx;
    rlvr_model_desc info;
    int64_t n_params;                /* of the model as its file counts them */
    rlvr__param *params;  int n_p;
    rlvr__view  *views;   int n_views;
    rlvr__layer *layers;
    int embed, norm, head;           /* parameter numbers; head == embed where tied */
    float  *weights, *grads;         /* (n_floats); grads NULL until something trains */
    int64_t n_floats;
    float  *cos_sin;                 /* (n_ctx, head_dim / 2, 2) */
    rlvr__tokenizer *tokenizer;      /* NULL: none */
};

static int64_t rlvr__q_dim(const rlvr_model *m)   { return (int64_t)m->info.n_heads * m->info.head_dim; }
static int64_t rlvr__kv_dim(const rlvr_model *m)  { return (int64_t)m->info.n_kv_heads * m->info.head_dim; }
static int64_t rlvr__qkv_dim(const rlvr_model *m) { return rlvr__q_dim(m) + 2 * rlvr__kv_dim(m); }
static float *rlvr__w(rlvr_model *m, int param) { return m->weights + m->params[param].offset; }
static float *rlvr__g(rlvr_model *m, int param) { return m->grads + m->params[param].offset; }

static int rlvr__add_param(rlvr_model *m, int64_t rows, int64_t cols, bool matrix)
{
    rlvr__param *p = &m->params[m->n_p];
    p->rows = rows;
    p->cols = cols;
    p->matrix = matrix;
    p->floats = matrix ? rlvr__packed_floats(rows, cols) : (rows + 15) / 16 * 16;
    p->offset = m->n_floats;
    m->n_floats += p->floats;
    return m->n_p++;
}

RLVR__PRINTF(7, 8)
static void rlvr__add_view(rlvr_model *m, int param, int64_t row, int64_t rows, int rope_heads, const char *gguf,
                           const char *format, ...)
{
    rlvr__view *v = &m->views[m->n_views++];
    va_list args;
    va_start(args, format);
    vsnprintf(v->name, sizeof v->name, format, args);
    va_end(args);
    snprintf(v->gguf, sizeof v->gguf, "%s", gguf);
    v->param = param;
    v->row = row;
    v->rows = rows;
    v->cols = m->params[param].cols;
    v->rope_heads = rope_heads;
    m->n_params += rows * v->cols;
}

static rlvr_result rlvr__model_check(rlvr_ctx *ctx, const char *what, rlvr_model_desc *d)
{
    struct { const char *name; int value, low, high; } field[] = {
        {"n_vocab", d->n_vocab, 2, 1 << 24}, {"n_ctx", d->n_ctx, 1, 1 << 24}, {"d_model", d->d_model, 1, 1 << 20},
        {"n_layers", d->n_layers, 1, 4096}, {"n_heads", d->n_heads, 1, 65536}, {"n_kv_heads", d->n_kv_heads, 1, 65536},
        {"head_dim", d->head_dim, 2, 4096}, {"d_ff", d->d_ff, 1, 1 << 24}};
    if (d->rope_theta == 0) d->rope_theta = 10000.0f;
    if (d->rms_eps == 0) d->rms_eps = 1e-5f;
    if (d->init_std == 0) d->init_std = 0.02f;
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        if (field[i].value < field[i].low || field[i].value > field[i].high)
            return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%s: %s is %d, not within %d .. %d", what, field[i].name,
                              field[i].value, field[i].low, field[i].high);
    if (d->n_heads % d->n_kv_heads || d->head_dim % 2)
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%s: n_heads (%d) must be a multiple of n_kv_heads (%d), head_dim (%d) even",
                          what, d->n_heads, d->n_kv_heads, d->head_dim);
    if (!(d->rope_theta > 0) || !(d->rms_eps > 0) || d->rope_theta > FLT_MAX || d->rms_eps > 1)
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%s: rope_theta %g or rms_eps %g is out of range", what,
                          (double)d->rope_theta, (double)d->rms_eps);
    return RLVR_OK;
}

/* Lays out a model's parameters and allocates its weights, zeroed. */
static rlvr_model *rlvr__model_new(rlvr_ctx *ctx, const char *what, const rlvr_model_desc *desc)
{
    rlvr_model_desc d = *desc;
    if (rlvr__model_check(ctx, what, &d) != RLVR_OK) return NULL;
    rlvr_model *m = RLVR__NEW(ctx, rlvr_model, 1);
    if (!m) return NULL;
    m->ctx = ctx;
    m->info = d;
    m->params = RLVR__NEW(ctx, rlvr__param, 6 * d.n_layers + 3);
    m->views = RLVR__NEW(ctx, rlvr__view, 9 * d.n_layers + 3);
    m->layers = RLVR__NEW(ctx, rlvr__layer, d.n_layers);
    if (!m->params || !m->views || !m->layers) { rlvr_model_free(m); return NULL; }

    int64_t D = d.d_model, Q = rlvr__q_dim(m), KV = rlvr__kv_dim(m), F = d.d_ff;
    m->embed = rlvr__add_param(m, d.n_vocab, D, true);
    rlvr__add_view(m, m->embed, 0, d.n_vocab, 0, "token_embd.weight", "model.embed_tokens.weight");
    for (int i = 0; i < d.n_layers; i++) {
        rlvr__layer *l = &m->layers[i];
        char g[48];
        l->norm1 = rlvr__add_param(m, D, 1, false);
        l->qkv = rlvr__add_param(m, Q + 2 * KV, D, true);
        l->out = rlvr__add_param(m, D, Q, true);
        l->norm2 = rlvr__add_param(m, D, 1, false);
        l->gate_up = rlvr__add_param(m, 2 * F, D, true);
        l->down = rlvr__add_param(m, D, F, true);
#define RLVR__VIEW(param, row, rows, heads, gguf, name) \
        snprintf(g, sizeof g, "blk.%d." gguf ".weight", i); \
        rlvr__add_view(m, param, row, rows, heads, g, "model.layers.%d." name ".weight", i)
        RLVR__VIEW(l->norm1, 0, D, 0, "attn_norm", "input_layernorm");
        RLVR__VIEW(l->qkv, 0, Q, d.n_heads, "attn_q", "self_attn.q_proj");
        RLVR__VIEW(l->qkv, Q, KV, d.n_kv_heads, "attn_k", "self_attn.k_proj");
        RLVR__VIEW(l->qkv, Q + KV, KV, 0, "attn_v", "self_attn.v_proj");
        RLVR__VIEW(l->out, 0, D, 0, "attn_output", "self_attn.o_proj");
        RLVR__VIEW(l->norm2, 0, D, 0, "ffn_norm", "post_attention_layernorm");
        RLVR__VIEW(l->gate_up, 0, F, 0, "ffn_gate", "mlp.gate_proj");
        RLVR__VIEW(l->gate_up, F, F, 0, "ffn_up", "mlp.up_proj");
        RLVR__VIEW(l->down, 0, D, 0, "ffn_down", "mlp.down_proj");
#undef RLVR__VIEW
    }
    m->norm = rlvr__add_param(m, D, 1, false);
    rlvr__add_view(m, m->norm, 0, D, 0, "output_norm.weight", "model.norm.weight");
    m->head = m->embed;
    if (!d.tied) {
        m->head = rlvr__add_param(m, d.n_vocab, D, true);
        rlvr__add_view(m, m->head, 0, d.n_vocab, 0, "output.weight", "lm_head.weight");
    }

    m->weights = RLVR__NEW(ctx, float, m->n_floats);
    m->cos_sin = RLVR__NEW(ctx, float, (int64_t)d.n_ctx * d.head_dim);
    if (!m->weights || !m->cos_sin) { rlvr_model_free(m); return NULL; }
    int half = d.head_dim / 2;
    for (int i = 0; i < half; i++) {
        float frequency = (float)pow((double)d.rope_theta, -2.0 * i / d.head_dim);
        for (int pos = 0; pos < d.n_ctx; pos++) {
            float angle = (float)pos * frequency;
            m->cos_sin[((int64_t)pos * half + i) * 2] = (float)cos((double)angle);
            m->cos_sin[((int64_t)pos * half + i) * 2 + 1] = (float)sin((double)angle);
        }
    }
    return m;
}

void rlvr_model_free(rlvr_model *m)
{
    if (!m) return;
    rlvr_ctx *ctx = m->ctx;
    rlvr__tokenizer_free(m->tokenizer);
    rlvr__free(ctx, m->params);
    rlvr__free(ctx, m->views);
    rlvr__free(ctx, m->layers);
    rlvr__free(ctx, m->weights);
    rlvr__free(ctx, m->grads);
    rlvr__free(ctx, m->cos_sin);
    rlvr__free(ctx, m);
}

rlvr_ctx *rlvr_model_ctx(rlvr_model *m) { return m->ctx; }
const rlvr_model_desc *rlvr_model_info(const rlvr_model *m) { return &m->info; }
int64_t rlvr_model_n_params(const rlvr_model *m) { return m->n_params; }

/* ---- rows of a view, in and out of the layout that the kernels use ---- */

static float *rlvr__view_at(const rlvr_model *m, const rlvr__view *v, float *block, int64_t row, int64_t *stride)
{
    const rlvr__param *p = &m->params[v->param];
    *stride = p->matrix ? 32 : 1;
    row += v->row;
    return block + p->offset + (p->matrix ? row / 32 * p->cols * 32 + row % 32 : row);
}

static void rlvr__view_put(rlvr_model *m, const rlvr__view *v, int64_t row, const float *in)      /* one row (cols) */
{
    int64_t stride;
    float *out = rlvr__view_at(m, v, m->weights, row, &stride);
    for (int64_t k = 0; k < v->cols; k++) out[k * stride] = in[k];
}

static void rlvr__view_get(const rlvr_model *m, const rlvr__view *v, const float *block, int64_t row, float *out)
{
    int64_t stride;
    const float *in = rlvr__view_at(m, v, (float *)(uintptr_t)block, row, &stride);
    for (int64_t k = 0; k < v->cols; k++) out[k] = in[k * stride];
}

static const rlvr__view *rlvr__view_find(rlvr_model *m, const char *name, int64_t n)
{
    for (int i = 0; i < m->n_views; i++) {
        const rlvr__view *v = &m->views[i];
        if (strcmp(v->name, name)) continue;
        if (v->rows * v->cols == n) return v;
        rlvr__fail(m->ctx, RLVR_ERROR_ARGUMENT, "%s has %lld x %lld numbers, not %lld", name, (long long)v->rows,
                   (long long)v->cols, (long long)n);
        return NULL;
    }
    rlvr__fail(m->ctx, RLVR_ERROR_ARGUMENT, "%s: the model has no such tensor; rlvr_model_param() lists them", name);
    return NULL;
}

rlvr_result rlvr_model_get(rlvr_model *m, const char *name, bool grad, float *out, int64_t n)
{
    const rlvr__view *v = rlvr__view_find(m, name, n);
    if (!v) return RLVR_ERROR_ARGUMENT;
    if (grad && !m->grads) return rlvr__fail(m->ctx, RLVR_ERROR_ARGUMENT, "%s: no gradient yet; open a trainer first", name);
    for (int64_t r = 0; r < v->rows; r++) rlvr__view_get(m, v, grad ? m->grads : m->weights, r, out + r * v->cols);
    return RLVR_OK;
}

rlvr_result rlvr_model_set(rlvr_model *m, const char *name, const float *in, int64_t n)
{
    const rlvr__view *v = rlvr__view_find(m, name, n);
    if (!v) return RLVR_ERROR_ARGUMENT;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(in[i])) return rlvr__fail(m->ctx, RLVR_ERROR_NUMERIC, "%s: number %lld is not finite", name, (long long)i);
    for (int64_t r = 0; r < v->rows; r++) rlvr__view_put(m, v, r, in + r * v->cols);
    return RLVR_OK;
}

bool rlvr_model_param(const rlvr_model *m, int i, const char **name, int64_t *rows, int64_t *cols)
{
    if (i < 0 || i >= m->n_views) return false;
    if (name) *name = m->views[i].name;
    if (rows) *rows = m->views[i].rows;
    if (cols) *cols = m->views[i].cols;
    return true;
}

uint64_t rlvr_model_hash(const rlvr_model *m)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < m->n_views; i++)
        for (int64_t r = 0; r < m->views[i].rows; r++) {
            int64_t stride;
            const float *w = rlvr__view_at(m, &m->views[i], m->weights, r, &stride);
            for (int64_t k = 0; k < m->views[i].cols; k++) hash = (hash ^ rlvr__to_bits(w[k * stride])) * 1099511628211u;
        }
    return hash;
}

/* ---- init ---- */

static float rlvr__normal(uint64_t seed, uint32_t a, uint32_t b)      /* Box-Muller */
{
    uint32_t counter[4] = {a, b, 0, 0x6e6f726du}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];
    rlvr_philox(counter, key, out);
    double u = ((double)out[0] + 1.0) / 4294967296.0, v = (double)out[1] / 4294967296.0;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

rlvr_model *rlvr_model_init(rlvr_ctx *ctx, const rlvr_model_desc *desc)
{
    rlvr_model *m = rlvr__model_new(ctx, "rlvr_model_desc", desc);
    if (!m) return NULL;
    for (int i = 0; i < m->n_views; i++) {
        const rlvr__view *v = &m->views[i];
        int64_t stride;
        bool residual = strstr(v->name, "o_proj") || strstr(v->name, "down_proj");
        float std = m->info.init_std / (residual ? sqrtf(2.0f * (float)m->info.n_layers) : 1.0f);
        for (int64_t r = 0; r < v->rows; r++) {
            float *w = rlvr__view_at(m, v, m->weights, r, &stride);
            for (int64_t k = 0; k < v->cols; k++)
                w[k * stride] = m->params[v->param].matrix ? std * rlvr__normal(m->info.seed, (uint32_t)i, (uint32_t)(r * v->cols + k)) : 1.0f;
        }
    }
    return m;
}

/* ---- text ---- */

rlvr_result rlvr_model_set_byte_tokenizer(rlvr_model *m, const char *const *special, int n_special)
{
    if (256 + n_special > m->info.n_vocab)
        return rlvr__fail(m->ctx, RLVR_ERROR_ARGUMENT, "n_vocab is %d: a byte tokenizer with %d special tokens needs %d",
                          m->info.n_vocab, n_special, 256 + n_special);
    rlvr__tokenizer *t = rlvr__tokenizer_bytes(m->ctx, special, n_special);
    if (!t) return RLVR_ERROR_MEMORY;
    rlvr__tokenizer_free(m->tokenizer);
    m->tokenizer = t;
    return RLVR_OK;
}

static rlvr_result rlvr__need_tokenizer(rlvr_model *m)
{
    if (m->tokenizer) return RLVR_OK;
    return rlvr__fail(m->ctx, RLVR_ERROR_ARGUMENT, "the model has no tokenizer; load one with it or call rlvr_model_set_byte_tokenizer()");
}

int rlvr_tokenize(rlvr_model *m, const char *text, size_t len, bool parse_special, int **tokens)
{
    *tokens = NULL;
    if (rlvr__need_tokenizer(m) != RLVR_OK) return -1;
    return rlvr__tok_encode(m->tokenizer, text, len, parse_special, tokens);
}

char *rlvr_detokenize(rlvr_model *m, const int *tokens, int n, bool with_special, size_t *len)
{
    if (rlvr__need_tokenizer(m) != RLVR_OK) return NULL;
    return rlvr__tok_decode(m->tokenizer, tokens, n, with_special, len);
}

char *rlvr_chat(rlvr_model *m, const rlvr_message *messages, int n, size_t *len)
{
    rlvr__buf b = {m->ctx, NULL, 0, 0, false};
    if (rlvr__need_tokenizer(m) != RLVR_OK || rlvr__chat_format(m->tokenizer, messages, n, &b) != RLVR_OK || b.failed) {
        rlvr__buf_free(&b);
        return NULL;
    }
    if (len) *len = b.len;
    return b.data;
}

int rlvr_token_eos(const rlvr_model *m) { return m->tokenizer ? rlvr__tok_eos(m->tokenizer) : -1; }

/* ---- the store: what forward leaves behind ---- */

/* Every token that runs through the model has a slot. Its keys and values lie in kv[layer] at that slot for as long as
   somebody attends to it. With `keep`, all other activations that backward needs lie at the same index, so decoding fills
   what training reads; without it they are shared by all layers and hold one call's rows. A token attends to a list of
   slots, its context, itself last: so a segment's keys need not be neighbours, and children share their parent's. */
typedef struct rlvr__store {
    rlvr_model *m;
    int64_t n_slots, n_rows;         /* slots in all; most rows in one forward call */
    bool keep;
    float **kv;                      /* [layer] (n_slots, 2 kv_dim): keys then values */
    float **x;                       /* [layer 0 .. n_layers] (rows, d_model): the residual stream before each layer, and after the last */
    float **q, **att, **lse;         /* [layer] (rows, q_dim), (rows, q_dim), (rows, n_heads) */
    float **mid, **gate_up;          /* [layer] (rows, d_model), (rows, 2 d_ff) */
    float **rstd1, **rstd2;          /* [layer] (rows) */
    float *norm, *qkv, *hidden;      /* one call's rows: (n_rows, d_model), (n_rows, qkv_dim), (n_rows, d_ff) */
    float *attn_scratch;
    int64_t max_context;
    float *head_x, *logits;          /* (head_rows, d_model), (head_rows, n_vocab) */
    float *dist_scratch;
    int64_t head_rows;
    int64_t bytes_kv, bytes_activations, bytes_scratch;
    void **blocks;  int n_blocks;    /* all allocations of the store, for release */
} rlvr__store;

/* Allocates count floats for the store, or only counts them where `plan` (the memory plan and the allocation cannot differ). */
static float *rlvr__store_floats(rlvr__store *s, bool plan, int64_t count, int64_t *bytes)
{
    *bytes += count * (int64_t)sizeof(float);
    if (plan) return NULL;
    float *p = RLVR__NEW(s->m->ctx, float, count);
    if (p) s->blocks[s->n_blocks++] = p;
    return p;
}

static void rlvr__store_free(rlvr__store *s)
{
    if (!s || !s->m) return;
    rlvr_ctx *ctx = s->m->ctx;
    for (int i = 0; i < s->n_blocks; i++) rlvr__free(ctx, s->blocks[i]);
    rlvr__free(ctx, s->blocks);
    rlvr__free(ctx, s->kv);
    memset(s, 0, sizeof *s);
}

static rlvr_result rlvr__store_init(rlvr__store *s, rlvr_model *m, int64_t n_slots, int64_t n_rows, int64_t max_context,
                                    int64_t head_rows, bool keep, bool plan)
{
    const rlvr_model_desc *d = &m->info;
    int L = d->n_layers;
    memset(s, 0, sizeof *s);
    s->m = m;
    s->n_slots = n_slots;
    s->n_rows = n_rows;
    s->max_context = max_context;
    s->head_rows = head_rows;
    s->keep = keep;
    if (!plan) {
        s->blocks = RLVR__NEW(m->ctx, void *, 9 * L + 16);
        float **table = RLVR__NEW(m->ctx, float *, 9 * L + 1);
        s->kv = table;
        if (!s->blocks || !table) { rlvr__store_free(s); return RLVR_ERROR_MEMORY; }
        s->q = table + L; s->att = table + 2 * L; s->lse = table + 3 * L; s->mid = table + 4 * L;
        s->gate_up = table + 5 * L; s->rstd1 = table + 6 * L; s->rstd2 = table + 7 * L; s->x = table + 8 * L;
    }
    int64_t rows = keep ? n_slots : n_rows, *b = &s->bytes_activations;
    struct { float ***table; int64_t width; int count; } part[] = {
        {&s->q, rlvr__q_dim(m), L}, {&s->att, rlvr__q_dim(m), L}, {&s->lse, d->n_heads, L}, {&s->mid, d->d_model, L},
        {&s->gate_up, 2 * (int64_t)d->d_ff, L}, {&s->rstd1, 1, L}, {&s->rstd2, 1, L}, {&s->x, d->d_model, L + 1}};
    for (int l = 0; l < L; l++) {
        float *p = rlvr__store_floats(s, plan, n_slots * 2 * rlvr__kv_dim(m), &s->bytes_kv);
        if (!plan) s->kv[l] = p;
    }
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        float *shared = NULL;
        for (int l = 0; l < part[i].count; l++) {
            if (keep || l == 0) shared = rlvr__store_floats(s, plan, rows * part[i].width, b);
            if (!plan) (*part[i].table)[l] = shared;
        }
    }
    b = &s->bytes_scratch;
    s->norm = rlvr__store_floats(s, plan, n_rows * d->d_model, b);
    s->qkv = rlvr__store_floats(s, plan, n_rows * rlvr__qkv_dim(m), b);
    s->hidden = rlvr__store_floats(s, plan, n_rows * d->d_ff, b);
    s->head_x = rlvr__store_floats(s, plan, head_rows * d->d_model, b);
    s->logits = rlvr__store_floats(s, plan, head_rows * d->n_vocab, b);
    s->attn_scratch = rlvr__store_floats(s, plan, rlvr__attn_scratch_floats(m->ctx, max_context, d->n_heads, d->n_kv_heads, d->head_dim), b);
    s->dist_scratch = rlvr__store_floats(s, plan, rlvr__dist_scratch_floats(m->ctx, d->n_vocab), b);
    if (plan) return RLVR_OK;
    bool ok = s->norm && s->qkv && s->hidden && s->head_x && s->logits && s->attn_scratch && s->dist_scratch && s->x[L];
    for (int l = 0; ok && l < L; l++)
        ok = s->kv[l] && s->q[l] && s->att[l] && s->lse[l] && s->mid[l] && s->gate_up[l] && s->rstd1[l] && s->rstd2[l] && s->x[l];
    if (!ok) { rlvr__store_free(s); return RLVR_ERROR_MEMORY; }
    return RLVR_OK;
}

typedef struct rlvr__copy_args { float *out; const float *in; const int *row; int64_t width; } rlvr__copy_args;
static void rlvr__copy_loop(void *arg, int64_t begin, int64_t end, int thread)
{
    rlvr__copy_args *a = (rlvr__copy_args *)arg;
    (void)thread;
    if (!a->row) { memcpy(a->out + begin * a->width, a->in + begin * a->width, (size_t)((end - begin) * a->width) * sizeof(float)); return; }
    for (int64_t i = begin; i < end; i++)
        memcpy(a->out + i * a->width, a->in + a->row[i] * a->width, (size_t)a->width * sizeof(float));
}

/* out[i] = in[row[i]], rows of `width` floats; row NULL: in order. */
static void rlvr__gather(rlvr_ctx *ctx, float *out, const float *in, const int *row, int64_t n, int64_t width)
{
    rlvr__copy_args a = {out, in, row, width};
    rlvr__parallel(ctx, n, RLVR__MAX(1, 65536 / width), rlvr__copy_loop, &a);
}

/* ---- forward ---- */

/* Rows that run through the model together. Row i is a token at a position, writes its keys and values to its slot and
   attends to context[i][0 .. n_context[i]-1], slots filled earlier or in this call, its own last. */
typedef struct rlvr__rows {
    int64_t n;
    const int *token, *pos, *slot;
    const int *const *context;
    const int *n_context;
} rlvr__rows;

/* Runs rows through all layers. Their activations go to rows first_row .. of the store: with `keep` that must be the rows'
   slots, which then follow one another. */
static void rlvr__forward(rlvr__store *s, const rlvr__rows *r, int64_t first_row)
{
    rlvr_model *m = s->m;
    rlvr_ctx *ctx = m->ctx;
    const rlvr_model_desc *d = &m->info;
    int64_t n = r->n, D = d->d_model, Q = rlvr__q_dim(m), QKV = rlvr__qkv_dim(m), F = d->d_ff, H = d->n_heads, at = first_row;
    rlvr__embed_fwd(ctx, s->x[0] + at * D, rlvr__w(m, m->embed), r->token, n, d->n_vocab, D);
    for (int l = 0; l < d->n_layers; l++) {
        const rlvr__layer *w = &m->layers[l];
        float *x = s->x[l] + at * D, *mid = s->mid[l] + at * D, *out = s->x[l + 1] + at * D;
        float *q = s->q[l] + at * Q, *att = s->att[l] + at * Q, *gate_up = s->gate_up[l] + at * 2 * F;

        rlvr__rmsnorm_fwd(ctx, s->norm, s->rstd1[l] + at, x, rlvr__w(m, w->norm1), n, D, d->rms_eps);
        rlvr__gemm_fwd(ctx, s->qkv, QKV, s->norm, D, rlvr__w(m, w->qkv), n, QKV, D, false);
        rlvr__rope_fwd(ctx, q, s->kv[l], r->slot, s->qkv, m->cos_sin, r->pos, n, H, d->n_kv_heads, d->head_dim);
        rlvr__attn_fwd(ctx, att, s->lse[l] + at * H, q, s->kv[l], r->context, r->n_context, n, H, d->n_kv_heads, d->head_dim,
                       s->attn_scratch, s->max_context);
        rlvr__gather(ctx, mid, x, NULL, n, D);
        rlvr__gemm_fwd(ctx, mid, D, att, Q, rlvr__w(m, w->out), n, D, Q, true);

        rlvr__rmsnorm_fwd(ctx, s->norm, s->rstd2[l] + at, mid, rlvr__w(m, w->norm2), n, D, d->rms_eps);
        rlvr__gemm_fwd(ctx, gate_up, 2 * F, s->norm, D, rlvr__w(m, w->gate_up), n, 2 * F, D, false);
        rlvr__swiglu_fwd(ctx, s->hidden, gate_up, n, F);
        rlvr__gather(ctx, out, mid, NULL, n, D);
        rlvr__gemm_fwd(ctx, out, D, s->hidden, F, rlvr__w(m, w->down), n, D, F, true);
    }
}

/* Logits of up to head_rows rows of the store into s->logits (n, n_vocab). */
static void rlvr__head_logits(rlvr__store *s, const int *row, int64_t n)
{
    rlvr_model *m = s->m;
    int64_t D = m->info.d_model;
    rlvr__gather(m->ctx, s->head_x, s->x[m->info.n_layers], row, n, D);
    rlvr__rmsnorm_fwd(m->ctx, s->head_x, NULL, s->head_x, rlvr__w(m, m->norm), n, D, m->info.rms_eps);
    rlvr__gemm_fwd(m->ctx, s->logits, m->info.n_vocab, s->head_x, D, rlvr__w(m, m->head), n, m->info.n_vocab, D, false);
}

/* ---- the head's rows: where logits are wanted, and which tokens were drawn there ---- */

/* Row i of the head is row[i] of the store. Targets target_begin[i] .. target_begin[i+1]-1 were drawn from it: one, or a
   whole group's first tokens. position[i] is the completion position, for min_tokens. */
typedef struct rlvr__head {
    int64_t n;                       /* rows */
    const int *row, *target_begin, *position;
    const int *target;               /* (target_begin[n]) token ids */
} rlvr__head;

/* What makes the distribution that a token is drawn from. `banned` tokens have no probability before min_tokens. */
typedef struct rlvr__policy { rlvr_sampling sampling; const int *banned; int n_banned; } rlvr__policy;

static void rlvr__ban(const rlvr__policy *p, float *logits, int64_t n_vocab, int64_t n, const int *position)
{
    if (!p->sampling.min_tokens || !position) return;
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; position[i] < p->sampling.min_tokens && b < p->n_banned; b++)
            logits[i * n_vocab + p->banned[b]] = -INFINITY;
}

/* Log-probabilities (n targets) and entropies (n rows; NULL: not wanted) of the head's rows, in chunks of head_rows. */
static void rlvr__head_logprobs(rlvr__store *s, const rlvr__head *h, const rlvr__policy *policy, rlvr__dist *dist,
                                float *logprob, float *entropy)
{
    int64_t V = s->m->info.n_vocab;
    for (int64_t at = 0; at < h->n; at += s->head_rows) {
        int64_t n = RLVR__MIN(s->head_rows, h->n - at);
        rlvr__head_logits(s, h->row + at, n);
        rlvr__ban(policy, s->logits, V, n, h->position ? h->position + at : NULL);
        rlvr__dist_rows(s->m->ctx, dist, s->logits, n, V, &policy->sampling, s->dist_scratch);
        for (int64_t i = 0; i < n; i++) {
            if (entropy) entropy[at + i] = dist[i].entropy;
            for (int t = h->target_begin[at + i]; t < h->target_begin[at + i + 1]; t++)
                logprob[t] = rlvr__dist_logprob(&dist[i], s->logits[i * V + h->target[t]]);
        }
    }
}

/* ---- backward ---- */

/* Scratch of a backward pass over up to n_rows rows; and, where the rows are not the store's first ones in order, copies of
   their activations. */
typedef struct rlvr__grads {
    rlvr_model *m;
    int64_t n_rows;
    float *dx, *dnorm, *dhidden, *dgate_up, *hidden, *norm, *dqkv, *dq, *datt, *dkv;      /* (n_rows, ...); dkv (heads, n_rows, 2 head_dim) */
    float *head_dx, *head_x, *head_rstd;                                                   /* (head_rows, ...) */
    float *gemm, *attn;
    float *c_x, *c_mid, *c_gate_up, *c_att, *c_lse, *c_q, *c_kv, *c_rstd1, *c_rstd2;       /* gathered copies */
    int64_t bytes;
    void **blocks;  int n_blocks;
} rlvr__grads;

static void rlvr__grads_free(rlvr__grads *g)
{
    if (!g || !g->m) return;
    for (int i = 0; i < g->n_blocks; i++) rlvr__free(g->m->ctx, g->blocks[i]);
    rlvr__free(g->m->ctx, g->blocks);
    memset(g, 0, sizeof *g);
}

static rlvr_result rlvr__grads_init(rlvr__grads *g, rlvr_model *m, int64_t n_rows, int64_t head_rows, int64_t max_context,
                                    bool copies, bool plan)
{
    const rlvr_model_desc *d = &m->info;
    int64_t D = d->d_model, F = d->d_ff, Q = rlvr__q_dim(m), QKV = rlvr__qkv_dim(m), R = n_rows, C = copies ? n_rows : 0;
    memset(g, 0, sizeof *g);
    g->m = m;
    g->n_rows = n_rows;
    int64_t gemm = 0, shape[][3] = {{R, QKV, D}, {R, D, Q}, {R, 2 * F, D}, {R, D, F}, {head_rows, d->n_vocab, D}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        gemm = RLVR__MAX(gemm, rlvr__gemm_scratch_floats(m->ctx, shape[i][0], shape[i][1], shape[i][2]));
    struct { float **p; int64_t count; } part[] = {
        {&g->dx, R * D}, {&g->dnorm, R * D}, {&g->dhidden, R * F}, {&g->dgate_up, R * 2 * F}, {&g->hidden, R * F},
        {&g->norm, R * D}, {&g->dqkv, R * QKV}, {&g->dq, R * Q}, {&g->datt, R * Q}, {&g->dkv, R * 2 * Q},
        {&g->head_dx, head_rows * D}, {&g->head_x, head_rows * D}, {&g->head_rstd, head_rows}, {&g->gemm, gemm},
        {&g->attn, rlvr__attn_scratch_floats(m->ctx, max_context, d->n_heads, d->n_kv_heads, d->head_dim)},
        {&g->c_x, C * D}, {&g->c_mid, C * D}, {&g->c_gate_up, C * 2 * F}, {&g->c_att, C * Q}, {&g->c_lse, C * d->n_heads},
        {&g->c_q, C * Q}, {&g->c_kv, C * 2 * rlvr__kv_dim(m)}, {&g->c_rstd1, C}, {&g->c_rstd2, C}};
    int n = (int)(sizeof part / sizeof *part);
    if (!plan && !(g->blocks = RLVR__NEW(m->ctx, void *, n))) return RLVR_ERROR_MEMORY;
    for (int i = 0; i < n; i++) {
        g->bytes += part[i].count * (int64_t)sizeof(float);
        if (plan || !part[i].count) continue;
        *part[i].p = RLVR__NEW(m->ctx, float, part[i].count);
        if (!*part[i].p) { rlvr__grads_free(g); return RLVR_ERROR_MEMORY; }
        g->blocks[g->n_blocks++] = *part[i].p;
    }
    return RLVR_OK;
}

/* The head's part of backward: logits again, in chunks, turned into their own gradient in place. Adds to the gradients of the
   head and the last norm; adds dx of the head's rows into g->dx at compact row at[i]. dlogprob: per target; dentropy: per
   row or NULL; logprob: receives the targets' log-probabilities, or NULL. */
static void rlvr__head_backward(rlvr__store *s, rlvr__grads *g, const rlvr__head *h, const int *at, const rlvr__policy *policy,
                                rlvr__dist *dist, const float *dlogprob, const float *dentropy, float *logprob)
{
    rlvr_model *m = s->m;
    rlvr_ctx *ctx = m->ctx;
    int64_t V = m->info.n_vocab, D = m->info.d_model;
    const float *x = s->x[m->info.n_layers];
    for (int64_t from = 0; from < h->n; from += s->head_rows) {
        int64_t n = RLVR__MIN(s->head_rows, h->n - from);
        rlvr__gather(ctx, g->head_x, x, h->row + from, n, D);
        rlvr__rmsnorm_fwd(ctx, s->head_x, g->head_rstd, g->head_x, rlvr__w(m, m->norm), n, D, m->info.rms_eps);
        rlvr__gemm_fwd(ctx, s->logits, V, s->head_x, D, rlvr__w(m, m->head), n, V, D, false);
        rlvr__ban(policy, s->logits, V, n, h->position ? h->position + from : NULL);
        rlvr__dist_rows(ctx, dist, s->logits, n, V, &policy->sampling, s->dist_scratch);
        for (int64_t i = 0; logprob && i < n; i++)
            for (int t = h->target_begin[from + i]; t < h->target_begin[from + i + 1]; t++)
                logprob[t] = rlvr__dist_logprob(&dist[i], s->logits[i * V + h->target[t]]);
        rlvr__dist_bwd_rows(ctx, s->logits, dist, h->target_begin + from, h->target, dlogprob, dentropy ? dentropy + from : NULL, n, V);
        rlvr__gemm_dw(ctx, rlvr__g(m, m->head), s->logits, V, s->head_x, D, n, V, D, g->gemm);
        rlvr__gemm_dx(ctx, s->head_x, D, s->logits, V, rlvr__w(m, m->head), n, V, D, false, g->gemm);
        memset(g->head_dx, 0, (size_t)(n * D) * sizeof(float));
        rlvr__rmsnorm_bwd(ctx, g->head_dx, rlvr__g(m, m->norm), s->head_x, g->head_x, rlvr__w(m, m->norm), g->head_rstd, n, D);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < D; k++) g->dx[at[from + i] * D + k] += g->head_dx[i * D + k];
    }
}

/* Backward through all layers for r->n rows whose activations are rows act[i] of the store (act NULL: 0 .. n-1, in order),
   g->dx holding the gradient after the last layer. r->context holds compact row numbers here. tree_begin (n_trees + 1):
   rows of different trees do not attend to one another. Adds to the model's gradients. */
static void rlvr__backward(rlvr__store *s, rlvr__grads *g, const rlvr__rows *r, const int *act, const int *tree_begin, int n_trees)
{
    rlvr_model *m = s->m;
    rlvr_ctx *ctx = m->ctx;
    const rlvr_model_desc *d = &m->info;
    int64_t n = r->n, D = d->d_model, Q = rlvr__q_dim(m), KV2 = 2 * rlvr__kv_dim(m), QKV = rlvr__qkv_dim(m), F = d->d_ff, H = d->n_heads;
    for (int l = d->n_layers - 1; l >= 0; l--) {
        const rlvr__layer *w = &m->layers[l];
        const float *x = s->x[l], *mid = s->mid[l], *gate_up = s->gate_up[l], *att = s->att[l], *lse = s->lse[l], *q = s->q[l];
        const float *kv = s->kv[l], *rstd1 = s->rstd1[l], *rstd2 = s->rstd2[l];
        if (act) {
            struct { const float **p; float *copy; int64_t width; } part[] = {
                {&x, g->c_x, D}, {&mid, g->c_mid, D}, {&gate_up, g->c_gate_up, 2 * F}, {&att, g->c_att, Q}, {&lse, g->c_lse, H},
                {&q, g->c_q, Q}, {&kv, g->c_kv, KV2}, {&rstd1, g->c_rstd1, 1}, {&rstd2, g->c_rstd2, 1}};
            for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
                rlvr__gather(ctx, part[i].copy, *part[i].p, act, n, part[i].width);
                *part[i].p = part[i].copy;
            }
        }
        /* out = mid + down(swiglu(gate_up(norm2(mid)))) */
        rlvr__swiglu_fwd(ctx, g->hidden, gate_up, n, F);
        rlvr__gemm_dw(ctx, rlvr__g(m, w->down), g->dx, D, g->hidden, F, n, D, F, g->gemm);
        rlvr__gemm_dx(ctx, g->dhidden, F, g->dx, D, rlvr__w(m, w->down), n, D, F, false, g->gemm);
        rlvr__swiglu_bwd(ctx, g->dgate_up, g->dhidden, gate_up, n, F);
        rlvr__rmsnorm_fwd(ctx, g->norm, NULL, mid, rlvr__w(m, w->norm2), n, D, d->rms_eps);
        rlvr__gemm_dw(ctx, rlvr__g(m, w->gate_up), g->dgate_up, 2 * F, g->norm, D, n, 2 * F, D, g->gemm);
        rlvr__gemm_dx(ctx, g->dnorm, D, g->dgate_up, 2 * F, rlvr__w(m, w->gate_up), n, 2 * F, D, false, g->gemm);
        rlvr__rmsnorm_bwd(ctx, g->dx, rlvr__g(m, w->norm2), g->dnorm, mid, rlvr__w(m, w->norm2), rstd2, n, D);
        /* mid = x + out(attention(qkv(norm1(x)))) */
        rlvr__gemm_dw(ctx, rlvr__g(m, w->out), g->dx, D, att, Q, n, D, Q, g->gemm);
        rlvr__gemm_dx(ctx, g->datt, Q, g->dx, D, rlvr__w(m, w->out), n, D, Q, false, g->gemm);
        rlvr__attn_bwd(ctx, g->dq, g->dkv, g->datt, att, lse, q, kv, r->context, r->n_context, n, H, d->n_kv_heads, d->head_dim,
                       tree_begin, n_trees, g->attn);
        rlvr__rope_bwd(ctx, g->dqkv, g->dq, g->dkv, m->cos_sin, r->pos, n, H, d->n_kv_heads, d->head_dim);
        rlvr__rmsnorm_fwd(ctx, g->norm, NULL, x, rlvr__w(m, w->norm1), n, D, d->rms_eps);
        rlvr__gemm_dw(ctx, rlvr__g(m, w->qkv), g->dqkv, QKV, g->norm, D, n, QKV, D, g->gemm);
        rlvr__gemm_dx(ctx, g->dnorm, D, g->dqkv, QKV, rlvr__w(m, w->qkv), n, QKV, D, false, g->gemm);
        rlvr__rmsnorm_bwd(ctx, g->dx, rlvr__g(m, w->norm1), g->dnorm, x, rlvr__w(m, w->norm1), rstd1, n, D);
    }
    rlvr__embed_bwd(ctx, rlvr__g(m, m->embed), g->dx, r->token, n, d->n_vocab, D);
}

/* ---- loading ---- */

static rlvr_result rlvr__desc_from_gguf(const rlvr__tensors *t, const char *path, rlvr_model_desc *d)
{
    const rlvr__gguf_kv *arch = rlvr__gguf_single(t, "general.architecture");
    const unsigned char *at = arch && arch->type == RLVR__GGUF_STRING ? arch->data : NULL;
    rlvr__str name = {"", 0};
    if (at) name = rlvr__gguf_next_str(&at);
    if (name.n != 5 || memcmp(name.s, "llama", 5))
        return rlvr__fail(t->ctx, RLVR_ERROR_UNSUPPORTED, "%s: general.architecture is \"%.*s\"; this version runs \"llama\" models", path,
                          (int)RLVR__MIN(name.n, (size_t)64), name.s);
    const rlvr__tensor *embed = rlvr__tensor_find(t, "token_embd.weight");
    if (!embed || embed->n_dims != 2)
        return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: tensor token_embd.weight (vocabulary, width) is missing; fetch the file again", path);
    int64_t heads = rlvr__gguf_int(t, "llama.attention.head_count", 0), width = rlvr__gguf_int(t, "llama.embedding_length", 0);
    struct { int *field; const char *key; int64_t otherwise; } field[] = {
        {&d->d_model, "llama.embedding_length", 0}, {&d->n_layers, "llama.block_count", 0}, {&d->n_heads, "llama.attention.head_count", 0},
        {&d->n_kv_heads, "llama.attention.head_count_kv", heads}, {&d->d_ff, "llama.feed_forward_length", 0},
        {&d->head_dim, "llama.attention.key_length", heads > 0 ? width / heads : 0}, {&d->n_ctx, "llama.context_length", 0}};
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        int64_t value = rlvr__gguf_int(t, field[i].key, field[i].otherwise);
        if (value < 1 || value > INT_MAX)
            return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: %s is missing or out of range; fetch the file again", path, field[i].key);
        *field[i].field = (int)value;
    }
    d->n_vocab = (int)RLVR__MIN(embed->dims[0], (int64_t)INT_MAX);
    d->rope_theta = (float)rlvr__gguf_num(t, "llama.rope.freq_base", 10000.0);
    d->rms_eps = (float)rlvr__gguf_num(t, "llama.attention.layer_norm_rms_epsilon", 1e-5);
    d->tied = !rlvr__tensor_find(t, "output.weight");
    if (rlvr__gguf_int(t, "llama.rope.dimension_count", d->head_dim) != d->head_dim || rlvr__tensor_find(t, "rope_freqs.weight"))
        return rlvr__fail(t->ctx, RLVR_ERROR_UNSUPPORTED, "%s: partial or scaled rotary positions; this version runs plain ones", path);
    return RLVR_OK;
}

static rlvr_result rlvr__desc_from_config(rlvr_ctx *ctx, const char *path, const rlvr__json *j, bool has_head, rlvr_model_desc *d)
{
    const char *type = rlvr__json_str(rlvr__json_get(j, "model_type"), NULL), *act = rlvr__json_str(rlvr__json_get(j, "hidden_act"), NULL);
    if (!type || strcmp(type, "llama"))
        return rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: model_type is \"%.64s\"; this version runs \"llama\" models", path, type ? type : "");
    const rlvr__json *rope = rlvr__json_get(j, "rope_parameters"), *scaling = rlvr__json_get(j, "rope_scaling");
    const char *rope_type = rlvr__json_str(rlvr__json_get(rope, "rope_type"), NULL);
    if ((act && strcmp(act, "silu")) || rlvr__json_bool(rlvr__json_get(j, "attention_bias"), false) ||
        rlvr__json_bool(rlvr__json_get(j, "mlp_bias"), false) || (scaling && scaling->type != RLVR__JSON_NULL) ||
        (rope_type && strcmp(rope_type, "default")))
        return rlvr__fail(ctx, RLVR_ERROR_UNSUPPORTED, "%s: biases, scaled rotary positions, or an activation other than silu; "
                          "this version runs plain llama models", path);
    int64_t heads = rlvr__json_int(rlvr__json_get(j, "num_attention_heads"), 0), width = rlvr__json_int(rlvr__json_get(j, "hidden_size"), 0);
    struct { int *field; const char *key; int64_t otherwise; } field[] = {
        {&d->n_vocab, "vocab_size", 0}, {&d->d_model, "hidden_size", 0}, {&d->n_layers, "num_hidden_layers", 0},
        {&d->n_heads, "num_attention_heads", 0}, {&d->n_kv_heads, "num_key_value_heads", heads},
        {&d->head_dim, "head_dim", heads > 0 ? width / heads : 0}, {&d->d_ff, "intermediate_size", 0},
        {&d->n_ctx, "max_position_embeddings", 2048}};
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        int64_t value = rlvr__json_int(rlvr__json_get(j, field[i].key), field[i].otherwise);
        if (value < 1 || value > INT_MAX)
            return rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s: %s is missing or out of range", path, field[i].key);
        *field[i].field = (int)value;
    }
    d->rope_theta = (float)rlvr__json_num(rlvr__json_get(j, "rope_theta"), rlvr__json_num(rlvr__json_get(rope, "rope_theta"), 10000.0));
    d->rms_eps = (float)rlvr__json_num(rlvr__json_get(j, "rms_norm_eps"), 1e-6);
    d->tied = rlvr__json_bool(rlvr__json_get(j, "tie_word_embeddings"), !has_head);
    return RLVR_OK;
}

/* Row of a llama.cpp query or key matrix that holds our row: it keeps the two halves of a rotated pair side by side. */
static int64_t rlvr__gguf_row(const rlvr_model *m, const rlvr__view *v, int64_t row)
{
    int64_t dim = m->info.head_dim, within = row % dim;
    return v->rope_heads ? row - within + within % (dim / 2) * 2 + within / (dim / 2) : row;
}

/* Rows of a tensor into a view, in pieces: by a panel's 32 rows, so that what is written stays in the cache. */
typedef struct rlvr__load_args { rlvr_model *m; const rlvr__tensors *t; const rlvr__tensor *x; const rlvr__view *v; bool gguf; int64_t bad; } rlvr__load_args;
static void rlvr__load_loop(void *arg, int64_t begin, int64_t end, int thread)
{
    rlvr__load_args *a = (rlvr__load_args *)arg;
    float part[256];
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t stride, from = (a->gguf ? rlvr__gguf_row(a->m, a->v, i) : i) * a->v->cols;
        float *out = rlvr__view_at(a->m, a->v, a->m->weights, i, &stride);
        for (int64_t k = 0; k < a->v->cols; k += 256) {
            int64_t n = RLVR__MIN(a->v->cols - k, (int64_t)256);
            rlvr__tensor_to_f32(a->t, a->x, from + k, n, part);
            for (int64_t j = 0; j < n; j++) {
                int64_t bad = __atomic_load_n(&a->bad, __ATOMIC_RELAXED);
                while (!isfinite(part[j]) && from + k + j < bad &&
                       !__atomic_compare_exchange_n(&a->bad, &bad, from + k + j, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
                out[(k + j) * stride] = part[j];
            }
        }
    }
}

static rlvr_result rlvr__load_view(rlvr_model *m, const rlvr__tensors *t, const rlvr__view *v)
{
    bool gguf = rlvr__tensors_is_gguf(t);
    const char *name = gguf ? v->gguf : v->name, *path = t->sources[0].path;
    const rlvr__tensor *x = rlvr__tensor_find(t, name);
    bool vector = !m->params[v->param].matrix;
    if (!x) return rlvr__fail(m->ctx, RLVR_ERROR_FORMAT, "%s: tensor %s is missing; fetch the model again", path, name);
    if (x->n_dims != (vector ? 1 : 2) || x->dims[0] != v->rows || (!vector && x->dims[1] != v->cols))
        return rlvr__fail(m->ctx, RLVR_ERROR_FORMAT, "%s: tensor %s is not (%lld, %lld), as the configuration says", path, name,
                          (long long)v->rows, (long long)v->cols);
    rlvr_result r = rlvr__tensor_to_f32(t, x, 0, 0, NULL);      /* whether it can be read at all */
    if (r != RLVR_OK) return r;
    rlvr__load_args a = {m, t, x, v, gguf, x->n};
    rlvr__parallel(m->ctx, v->rows, 32, rlvr__load_loop, &a);
    if (a.bad < x->n)
        return rlvr__fail(m->ctx, RLVR_ERROR_NUMERIC, "%s: tensor %s: element %lld is not finite; the file is damaged or was saved from a run "
                          "that diverged", path, name, (long long)a.bad);
    return RLVR_OK;
}

static rlvr_model *rlvr__model_from(rlvr_ctx *ctx, const char *path, const rlvr__tensors *t)
{
    rlvr_model_desc desc;
    rlvr_result r;
    bool gguf = rlvr__tensors_is_gguf(t);
    memset(&desc, 0, sizeof desc);
    if (gguf) r = rlvr__desc_from_gguf(t, path, &desc);
    else {
        if (!rlvr__is_dir(path)) {
            rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%s: give the folder, so that config.json is found too", path);
            return NULL;
        }
        char *config = rlvr__path_join(ctx, path, "config.json");
        rlvr__json *j = config ? rlvr__json_load(ctx, config) : NULL;
        r = j ? rlvr__desc_from_config(ctx, config, j, rlvr__tensor_find(t, "lm_head.weight") != NULL, &desc) : RLVR_ERROR_FORMAT;
        rlvr__json_free(ctx, j);
        rlvr__free(ctx, config);
    }
    rlvr_model *m = r == RLVR_OK ? rlvr__model_new(ctx, path, &desc) : NULL;
    for (int i = 0; m && i < m->n_views; i++)
        if (rlvr__load_view(m, t, &m->views[i]) != RLVR_OK) { rlvr_model_free(m); m = NULL; }
    if (!m) return NULL;
    bool has_tokenizer = true;
    if (gguf) {
        has_tokenizer = rlvr__gguf_find(t, "tokenizer.ggml.tokens") != NULL;
        if (has_tokenizer) m->tokenizer = rlvr__tokenizer_from_gguf(ctx, t, path);
    } else {
        char *file = rlvr__path_join(ctx, path, "tokenizer.json");
        has_tokenizer = !file || rlvr__is_file(file);      /* without memory for its name, it is as good as broken */
        if (file && has_tokenizer) m->tokenizer = rlvr__tokenizer_load(ctx, path);
        rlvr__free(ctx, file);
    }
    if (has_tokenizer && !m->tokenizer) { rlvr_model_free(m); return NULL; }
    if (m->tokenizer && rlvr__tok_size(m->tokenizer) > m->info.n_vocab) {
        rlvr__fail(ctx, RLVR_ERROR_FORMAT, "%s: the tokenizer has %d tokens, the model %d", path, rlvr__tok_size(m->tokenizer), m->info.n_vocab);
        rlvr_model_free(m);
        return NULL;
    }
    return m;
}

rlvr_model *rlvr_model_load(rlvr_ctx *ctx, const char *path)
{
    rlvr__tensors t;
    if (rlvr__tensors_open(ctx, &t, path) != RLVR_OK) return NULL;
    rlvr_model *m = rlvr__model_from(ctx, path, &t);
    rlvr__tensors_close(&t);
    return m;
}

/* ---- saving ---- */

static rlvr_result rlvr__save_weights(rlvr_model *m, const char *path)
{
    rlvr_ctx *ctx = m->ctx;
    rlvr__writer w;
    rlvr__tensor *list = RLVR__NEW(ctx, rlvr__tensor, m->n_views);
    float *row = RLVR__NEW(ctx, float, RLVR__MAX(m->info.d_ff, RLVR__MAX(m->info.d_model, rlvr__q_dim(m))));
    rlvr_result r = list && row ? rlvr__writer_open(ctx, &w, path) : RLVR_ERROR_MEMORY;
    if (r == RLVR_OK) {
        for (int i = 0; i < m->n_views; i++) {
            const rlvr__view *v = &m->views[i];
            list[i].name = v->name;
            list[i].dtype = RLVR__DTYPE_F32;
            list[i].n_dims = m->params[v->param].matrix ? 2 : 1;
            list[i].dims[0] = v->rows;
            list[i].dims[1] = v->cols;
        }
        r = rlvr__safetensors_begin(&w, list, m->n_views, NULL);
        for (int i = 0; r == RLVR_OK && i < m->n_views; i++)
            for (int64_t k = 0; k < m->views[i].rows && !w.failed; k++) {
                rlvr__view_get(m, &m->views[i], m->weights, k, row);
                rlvr__write(&w, row, (size_t)m->views[i].cols * sizeof(float));
            }
        rlvr_result closed = rlvr__writer_close(&w);
        if (r == RLVR_OK) r = closed;
    }
    rlvr__free(ctx, list);
    rlvr__free(ctx, row);
    return r;
}

static void rlvr__put_config(const rlvr_model *m, rlvr__buf *b)
{
    const rlvr_model_desc *d = &m->info;
    int eos = rlvr_token_eos(m);
    rlvr__buf_addf(b, "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n"
                   "  \"intermediate_size\": %d,\n  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n"
                   "  \"head_dim\": %d,\n  \"max_position_embeddings\": %d,\n  \"hidden_act\": \"silu\",\n  \"attention_bias\": false,\n"
                   "  \"mlp_bias\": false,\n  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"float32\",\n", d->n_vocab, d->d_model, d->d_ff,
                   d->n_layers, d->n_heads, d->n_kv_heads, d->head_dim, d->n_ctx, d->tied ? "true" : "false");
    if (eos >= 0) rlvr__buf_addf(b, "  \"eos_token_id\": %d,\n  \"pad_token_id\": %d,\n", eos, eos);
    rlvr__buf_addf(b, "  \"bos_token_id\": null,\n  \"rope_theta\": ");
    rlvr__json_put_double(b, (double)d->rope_theta);
    rlvr__buf_addf(b, ",\n  \"rms_norm_eps\": ");
    rlvr__json_put_digits(b, (double)d->rms_eps, 7);
    rlvr__buf_addf(b, "\n}\n");
}

static rlvr_result rlvr__save_text(rlvr_model *m, const char *folder, const char *name, void (*put)(const rlvr_model *, rlvr__buf *))
{
    rlvr__buf b = {m->ctx, NULL, 0, 0, false};
    char *path = rlvr__path_join(m->ctx, folder, name);
    put(m, &b);
    rlvr_result r = path ? rlvr__write_file(m->ctx, path, &b) : RLVR_ERROR_MEMORY;
    rlvr__free(m->ctx, path);
    rlvr__buf_free(&b);
    return r;
}

static void rlvr__put_generation_config(const rlvr_model *m, rlvr__buf *b)
{
    rlvr__buf_addf(b, "{\n  \"_from_model_config\": true,\n  \"eos_token_id\": %d,\n  \"pad_token_id\": %d\n}\n", rlvr_token_eos(m), rlvr_token_eos(m));
}
static void rlvr__put_tokenizer(const rlvr_model *m, rlvr__buf *b) { rlvr__tok_to_json(m->tokenizer, b); }
static void rlvr__put_tokenizer_config(const rlvr_model *m, rlvr__buf *b) { rlvr__tok_config_to_json(m->tokenizer, b); }

rlvr_result rlvr_model_save(rlvr_model *m, const char *path)
{
    size_t n = strlen(path), suffix = strlen(".safetensors");
    if (n > suffix && !strcmp(path + n - suffix, ".safetensors")) return rlvr__save_weights(m, path);
    rlvr_result r = rlvr__make_dir(m->ctx, path);
    char *weights = r == RLVR_OK ? rlvr__path_join(m->ctx, path, "model.safetensors") : NULL;
    if (r == RLVR_OK) r = weights ? rlvr__save_weights(m, weights) : RLVR_ERROR_MEMORY;
    rlvr__free(m->ctx, weights);
    if (r == RLVR_OK) r = rlvr__save_text(m, path, "config.json", rlvr__put_config);
    if (r == RLVR_OK && rlvr_token_eos(m) >= 0) r = rlvr__save_text(m, path, "generation_config.json", rlvr__put_generation_config);
    if (r == RLVR_OK && m->tokenizer) r = rlvr__save_text(m, path, "tokenizer.json", rlvr__put_tokenizer);
    if (r == RLVR_OK && m->tokenizer) r = rlvr__save_text(m, path, "tokenizer_config.json", rlvr__put_tokenizer_config);
    return r;
}
/* ============================================================================================
   14. KV CACHE AND SAMPLER                                                          >>sampler
   ============================================================================================ */

/* The rollouts of one call and all that is needed to make them; reused from call to call. A prompt's tokens run once and its
   rollouts attend to the same slots; what all prompts begin with (the chat template's head) runs once for all of them.
   lists holds, for every prompt and every rollout, the slots of its tokens from the first on: those are the contexts. */
struct rlvr_rollouts {
    rlvr_ctx *ctx;
    rlvr_model *m;
    int n_tasks, group_size, n, max_tokens, shared;    /* shared: tokens that all prompts begin with */
    rlvr_rollout *items;             int64_t cap_items;
    int *prompt_tokens;              int64_t cap_prompt;      /* all prompts' tokens, one after the other */
    int *prompt_begin;               int64_t cap_begin;       /* (n_tasks + 1) */
    int *tokens;                     int64_t cap_tokens;      /* (n, max_tokens) */
    float *logprobs, *entropy;       int64_t cap_logprobs, cap_entropy;
    int *prompt_slots;               int64_t cap_prompt_slots;    /* as prompt_tokens */
    int *lists;                      int64_t cap_lists, list_stride;    /* (n, list_stride): each rollout's context */
    rlvr__buf text;                  /* all completions' text */
    size_t *text_begin;              int64_t cap_text;        /* (n + 1) */
    /* decoding: one call's rows, its head, and who is active */
    int *active;                     int64_t cap_active;
    int *call;                       int64_t cap_call;        /* 3 n_rows ints: token, pos, slot; then n_context */
    const int **context;             int64_t cap_context;
    int *head;                       int64_t cap_head;        /* row, rollout and logits row of each wanted token */
    rlvr__dist *dist;                int64_t cap_dist;
    int *drawn;                      int64_t cap_drawn;
    int *free_slots;                 int64_t cap_free, n_free;
    int64_t next_slot;               /* with keep: slots are handed out in order, so a call's rows are neighbours */
    rlvr__policy policy;
    int *banned;                     int64_t cap_banned;
    rlvr__tok_stream *streams;       int64_t cap_streams;     /* where text is watched while it grows */
    rlvr__buf *grown;                int64_t cap_grown;
    rlvr__store store;               /* its own, unless the trainer lends one */
};

int rlvr_rollouts_count(const rlvr_rollouts *r) { return r->n; }
int rlvr_rollouts_group_size(const rlvr_rollouts *r) { return r->group_size; }
rlvr_rollout *rlvr_rollouts_get(rlvr_rollouts *r, int i) { return i >= 0 && i < r->n ? &r->items[i] : NULL; }

static rlvr_rollouts *rlvr__rollouts_new(rlvr_model *m)
{
    rlvr_rollouts *r = RLVR__NEW(m->ctx, rlvr_rollouts, 1);
    if (!r) return NULL;
    r->ctx = r->text.ctx = m->ctx;
    r->m = m;
    return r;
}

void rlvr_rollouts_free(rlvr_rollouts *r)
{
    if (!r) return;
    void *arrays[] = {r->items, r->prompt_tokens, r->prompt_begin, r->tokens, r->logprobs, r->entropy, r->prompt_slots, r->lists,
                      r->text_begin, r->active, r->call, (void *)r->context, r->head, r->dist, r->drawn,
                      r->free_slots, r->banned, r->streams};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) rlvr__free(r->ctx, arrays[i]);
    for (int64_t i = 0; i < r->cap_grown; i++) rlvr__buf_free(&r->grown[i]);
    rlvr__free(r->ctx, r->grown);
    rlvr__buf_free(&r->text);
    rlvr__store_free(&r->store);
    rlvr__free(r->ctx, r);
}

#define RLVR__RESERVE(r, array, cap, need) \
    rlvr__reserve((r)->ctx, (void **)(uintptr_t)&(r)->array, &(r)->cap, (need), sizeof *(r)->array)

/* ---- settings ---- */

static void rlvr__sampling_defaults(rlvr_sampling *s)
{
    if (s->temperature == 0) s->temperature = 1.0f;
    if (s->top_p == 0) s->top_p = 1.0f;
    if (s->max_tokens == 0) s->max_tokens = 256;
    if (s->max_batch == 0) s->max_batch = 256;
}

static rlvr_result rlvr__sampling_check(rlvr_ctx *ctx, const rlvr_sampling *s)
{
    const char *field = NULL;
    double value = 0;
    if (!(s->temperature > 0) || s->temperature > 1e6f) { field = "temperature"; value = s->temperature; }
    else if (s->top_k < 0) { field = "top_k"; value = s->top_k; }
    else if (!(s->top_p > 0 && s->top_p <= 1)) { field = "top_p"; value = s->top_p; }
    else if (!(s->min_p >= 0 && s->min_p <= 1)) { field = "min_p"; value = s->min_p; }
    else if (s->max_tokens < 1) { field = "max_tokens"; value = s->max_tokens; }
    else if (s->min_tokens < 0 || s->min_tokens > s->max_tokens) { field = "min_tokens"; value = s->min_tokens; }
    else if (s->max_batch < 1) { field = "max_batch"; value = s->max_batch; }
    else if (s->n_stop < 0 || s->n_stop_tokens < 0) field = "n_stop";
    if (field) return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_sampling.%s: %g is out of range", field, value);
    return RLVR_OK;
}

static bool rlvr__is_stop(const rlvr_rollouts *r, int token)
{
    for (int i = 0; i < r->policy.n_banned; i++)
        if (r->policy.banned[i] == token) return true;
    return false;
}

/* Room for n_tasks prompts of prompt_tokens in all and list_stride - max_tokens at most, their rollouts, and the calls of
   `store`. A trainer asks once for the most that a step can need; otherwise each call asks for what it needs. */
static rlvr_result rlvr__rollouts_reserve(rlvr_rollouts *r, int64_t n_tasks, int64_t group_size, int64_t prompt_tokens, int64_t list_stride,
                                          int64_t max_tokens)
{
    int64_t n = n_tasks * group_size;
    bool ok = RLVR__RESERVE(r, items, cap_items, n) && RLVR__RESERVE(r, prompt_begin, cap_begin, n_tasks + 1) &&
              RLVR__RESERVE(r, text_begin, cap_text, n + 1) && RLVR__RESERVE(r, prompt_slots, cap_prompt_slots, prompt_tokens) &&
              RLVR__RESERVE(r, tokens, cap_tokens, n * max_tokens) && RLVR__RESERVE(r, logprobs, cap_logprobs, n * max_tokens) &&
              RLVR__RESERVE(r, entropy, cap_entropy, n * max_tokens) && RLVR__RESERVE(r, lists, cap_lists, n * list_stride) &&
              RLVR__RESERVE(r, active, cap_active, n) && rlvr__buf_reserve(&r->text, (size_t)(n * (max_tokens * 8 + 1)));
    return ok ? RLVR_OK : RLVR_ERROR_MEMORY;
}

static rlvr_result rlvr__calls_reserve(rlvr_rollouts *r, const rlvr__store *s, int64_t heads)
{
    bool ok = RLVR__RESERVE(r, call, cap_call, 2 * s->head_rows + 4 * s->n_rows) && RLVR__RESERVE(r, context, cap_context, s->n_rows) &&
              RLVR__RESERVE(r, head, cap_head, 3 * heads) && RLVR__RESERVE(r, dist, cap_dist, s->head_rows) &&
              RLVR__RESERVE(r, drawn, cap_drawn, s->head_rows) && RLVR__RESERVE(r, free_slots, cap_free, s->n_slots);
    return ok ? RLVR_OK : RLVR_ERROR_MEMORY;
}

/* Head entries that one call can collect: each of its rows, or a group's first tokens behind one. */
static int64_t rlvr__heads_most(const rlvr__store *s, int64_t group_size, int64_t max_batch)
{
    return RLVR__MAX(RLVR__MAX(s->n_rows, group_size), RLVR__MAX(max_batch, group_size));
}

/* ---- prompts ---- */

static rlvr_result rlvr__prompt_tokens(rlvr_rollouts *r, const rlvr_task *task, int **tokens, int *n)
{
    const rlvr_message user = {"user", task->prompt};
    const rlvr_message *messages = task->messages ? task->messages : &user;
    int n_messages = task->messages ? task->n_messages : 1;
    if (!task->prompt && !task->messages)
        return rlvr__fail(r->ctx, RLVR_ERROR_ARGUMENT, "task of line %lld: it has neither prompt nor messages", (long long)task->line);
    if (task->raw && task->prompt) *n = rlvr_tokenize(r->m, task->prompt, strlen(task->prompt), true, tokens);
    else {
        size_t len;
        char *text = rlvr_chat(r->m, messages, n_messages, &len);
        if (!text) return RLVR_ERROR_ARGUMENT;
        *n = rlvr_tokenize(r->m, text, len, true, tokens);
        rlvr__free(r->ctx, text);
    }
    if (*n < 0) return RLVR_ERROR_ARGUMENT;
    if (*n == 0 || *n >= r->m->info.n_ctx) {
        rlvr__free(r->ctx, *tokens);
        *tokens = NULL;
        return rlvr__fail(r->ctx, *n ? RLVR_ERROR_CONTEXT : RLVR_ERROR_ARGUMENT,
                          "task of line %lld: its prompt has %d tokens; the model takes 1 .. %d; shorten it", (long long)task->line,
                          *n, r->m->info.n_ctx - 1);
    }
    return RLVR_OK;
}

/* Tokenises the prompts and lays out the rollouts. max_prompt: refuse longer ones; 0: what the context takes. */
static rlvr_result rlvr__rollouts_layout(rlvr_rollouts *r, const rlvr_task *tasks, int n_tasks, int group_size,
                                         const rlvr_sampling *s, int max_prompt)
{
    rlvr_result result = RLVR_OK;
    int n = n_tasks * group_size, longest = 0, eos = rlvr_token_eos(r->m);
    if (n_tasks < 1 || group_size < 1 || (int64_t)n_tasks * group_size > INT_MAX / 2)
        return rlvr__fail(r->ctx, RLVR_ERROR_ARGUMENT, "rlvr_sample: %d tasks of %d rollouts each", n_tasks, group_size);
    r->policy.sampling = *s;
    rlvr__sampling_defaults(&r->policy.sampling);
    if (rlvr__sampling_check(r->ctx, &r->policy.sampling) != RLVR_OK) return RLVR_ERROR_ARGUMENT;
    s = &r->policy.sampling;
    r->n = 0;
    r->text.len = 0;
    if (!RLVR__RESERVE(r, prompt_begin, cap_begin, n_tasks + 1) || !RLVR__RESERVE(r, banned, cap_banned, s->n_stop_tokens + 1))
        return RLVR_ERROR_MEMORY;
    r->policy.banned = r->banned;
    r->policy.n_banned = 0;
    if (eos >= 0 && !s->ignore_eos) r->banned[r->policy.n_banned++] = eos;
    for (int i = 0; i < s->n_stop_tokens; i++) {
        if (s->stop_tokens[i] < 0 || s->stop_tokens[i] >= r->m->info.n_vocab)
            return rlvr__fail(r->ctx, RLVR_ERROR_ARGUMENT, "rlvr_sampling.stop_tokens[%d]: %d is not a token", i, s->stop_tokens[i]);
        r->banned[r->policy.n_banned++] = s->stop_tokens[i];
    }

    int used = 0;
    r->prompt_begin[0] = 0;
    for (int t = 0; t < n_tasks && result == RLVR_OK; t++) {
        int *tokens = NULL, count = 0;
        result = rlvr__prompt_tokens(r, &tasks[t], &tokens, &count);
        if (result == RLVR_OK && max_prompt && count > max_prompt)
            result = rlvr__fail(r->ctx, RLVR_ERROR_CONTEXT, "task of line %lld: its prompt has %d tokens, more than max_prompt_tokens = %d; "
                                "raise that", (long long)tasks[t].line, count, max_prompt);
        if (result == RLVR_OK && used + (int64_t)count > r->cap_prompt) {      /* grow, keeping what is there */
            int64_t cap = RLVR__MAX((int64_t)(used + count), (int64_t)(used + count) * n_tasks / (t + 1) + 256);
            int *more = RLVR__NEW(r->ctx, int, cap);
            if (more) {
                if (used) memcpy(more, r->prompt_tokens, (size_t)used * sizeof(int));
                rlvr__free(r->ctx, r->prompt_tokens);
                r->prompt_tokens = more;
                r->cap_prompt = cap;
            } else result = RLVR_ERROR_MEMORY;
        }
        if (result == RLVR_OK) memcpy(r->prompt_tokens + used, tokens, (size_t)count * sizeof(int));
        rlvr__free(r->ctx, tokens);
        used += count;
        longest = RLVR__MAX(longest, count);
        r->prompt_begin[t + 1] = used;
    }
    if (result != RLVR_OK) return result;

    r->max_tokens = s->max_tokens;
    r->list_stride = longest + s->max_tokens;
    result = rlvr__rollouts_reserve(r, n_tasks, group_size, used, r->list_stride, s->max_tokens);
    if (result != RLVR_OK) return result;
    r->n_tasks = n_tasks;
    r->group_size = group_size;
    r->n = n;
    r->shared = 0;
    if (n_tasks > 1) {      /* what all prompts begin with, leaving each a token of its own */
        r->shared = longest;
        for (int t = 0; t < n_tasks; t++) {
            const int *p = r->prompt_tokens + r->prompt_begin[t];
            int count = r->prompt_begin[t + 1] - r->prompt_begin[t], same = 0;
            while (same < r->shared && same < count - 1 && p[same] == r->prompt_tokens[same]) same++;
            r->shared = same;
        }
    }
    memset(r->items, 0, (size_t)n * sizeof *r->items);
    for (int i = 0; i < n; i++) {
        rlvr_rollout *o = &r->items[i];
        int t = i / group_size;
        o->task = &tasks[t];
        o->prompt_index = t;
        o->index = i % group_size;
        o->prompt_tokens = r->prompt_tokens + r->prompt_begin[t];
        o->n_prompt = r->prompt_begin[t + 1] - r->prompt_begin[t];
        o->tokens = r->tokens + (int64_t)i * s->max_tokens;
        o->logprobs = r->logprobs + (int64_t)i * s->max_tokens;
        o->entropy = r->entropy + (int64_t)i * s->max_tokens;
    }
    return RLVR_OK;
}

/* ---- decoding ---- */

/* One call of the model: rows gathered by rlvr__call_row(), and the rollouts that want a token from row's logits. */
typedef struct rlvr__call { int n, n_head; int *token, *pos, *slot, *n_context, *head_row, *head_rollout, *logits_row; const int **context; } rlvr__call;

static void rlvr__call_row(rlvr__call *c, int token, int pos, int slot, const int *context)
{
    c->token[c->n] = token;
    c->pos[c->n] = pos;
    c->slot[c->n] = slot;
    c->context[c->n] = context;
    c->n_context[c->n++] = pos + 1;
}

static int rlvr__slot_take(rlvr_rollouts *r, const rlvr__store *s)
{
    return s->keep ? (int)r->next_slot++ : r->free_slots[--r->n_free];
}

/* The completion's text so far, where somebody watches it. True: a stop string is complete, or the caller says stop. */
static bool rlvr__watch_text(rlvr_rollouts *r, rlvr_rollout *o, int token, bool *stop_all)
{
    const rlvr_sampling *s = &r->policy.sampling;
    rlvr__buf *b = &r->grown[o - r->items];
    size_t before = b->len;
    if (!rlvr__tok_is_special(r->m->tokenizer, token)) rlvr__tok_stream_push(r->m->tokenizer, &r->streams[o - r->items], token, b);
    if (s->on_text && b->len > before &&
        !s->on_text(s->user, o->prompt_index, o->index, b->data + before, b->len - before)) *stop_all = true;
    for (int i = 0; i < s->n_stop; i++) {
        size_t n = strlen(s->stop[i]), from = before > n ? before - n : 0;
        if (n && b->len >= n && b->data && strstr(b->data + from, s->stop[i])) return true;
    }
    return false;
}

/* Draws the next token of each head entry from `at` on; every rollout has a random stream of its own. */
typedef struct rlvr__draw_args { rlvr_rollouts *r; rlvr__store *s; rlvr__call *c; int at; bool greedy; } rlvr__draw_args;
static void rlvr__draw_loop(void *arg, int64_t begin, int64_t end, int thread)
{
    rlvr__draw_args *a = (rlvr__draw_args *)arg;
    rlvr_rollouts *r = a->r;
    const rlvr_sampling *s = &r->policy.sampling;
    int64_t V = r->m->info.n_vocab;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int row = a->c->logits_row[a->at + i], token;
        const rlvr_rollout *o = &r->items[a->c->head_rollout[a->at + i]];
        const float *logits = a->s->logits + row * V;
        if (a->greedy) token = r->drawn[row];
        else {
            float u = rlvr_uniform(s->seed, s->step, s->first_prompt + (uint32_t)o->prompt_index, (uint32_t)o->index, (uint32_t)o->n_tokens);
            rlvr__dist_sample_rows(r->ctx, &token, &r->dist[row], logits, &u, 1, V);
        }
        int64_t k = (o - r->items) * (int64_t)r->max_tokens + o->n_tokens;
        r->tokens[k] = token;
        r->logprobs[k] = rlvr__dist_logprob(&r->dist[row], logits[token]);
        r->entropy[k] = r->dist[row].entropy;
    }
}

/* Runs the call's rows, draws a token for each of its head's rollouts, and ends those that are done. */
static void rlvr__call_run(rlvr_rollouts *r, rlvr__store *s, rlvr__call *c, bool *stop_all)
{
    rlvr_ctx *ctx = r->ctx;
    const rlvr_sampling *sampling = &r->policy.sampling;
    int64_t V = r->m->info.n_vocab, first = s->keep ? c->slot[0] : 0;
    bool watch = sampling->n_stop > 0 || sampling->on_text;
    rlvr__rows rows = {c->n, c->token, c->pos, c->slot, c->context, c->n_context};
    rlvr__forward(s, &rows, first);
    for (int at = 0; at < c->n_head;) {
        /* a chunk of logits rows: consecutive rollouts of a group share one at their first token */
        int n_rows = 0, end = at;
        while (end < c->n_head) {
            bool same = end > at && c->head_row[end] == c->head_row[end - 1];
            if (!same && n_rows == s->head_rows) break;
            if (!same) {
                r->call[n_rows] = (int)first + c->head_row[end];      /* the call's own arrays start after these */
                r->call[s->head_rows + n_rows++] = r->items[c->head_rollout[end]].n_tokens;
            }
            end++;
        }
        rlvr__head_logits(s, r->call, n_rows);
        rlvr__ban(&r->policy, s->logits, V, n_rows, r->call + s->head_rows);
        rlvr__dist_rows(ctx, r->dist, s->logits, n_rows, V, sampling, s->dist_scratch);
        if (sampling->greedy) rlvr__argmax_rows(ctx, r->drawn, s->logits, n_rows, V);
        rlvr__draw_args draw = {r, s, c, at, sampling->greedy};
        for (int k = at, row = -1; k < end; k++) {
            if (row < 0 || c->head_row[k] != c->head_row[k - 1]) row++;
            c->logits_row[k] = row;
        }
        rlvr__parallel(ctx, end - at, 1, rlvr__draw_loop, &draw);
        for (; at < end; at++) {
            rlvr_rollout *o = &r->items[c->head_rollout[at]];
            int token = o->tokens[o->n_tokens++];
            bool stopped = rlvr__is_stop(r, token);
            if (watch && rlvr__watch_text(r, o, token, stop_all)) stopped = true;
            if (stopped) o->finish_reason = RLVR_FINISH_STOP;
            else if (o->n_tokens == r->max_tokens || o->n_prompt + o->n_tokens >= r->m->info.n_ctx) o->finish_reason = RLVR_FINISH_LENGTH;
        }
    }
    c->n = c->n_head = 0;
}

static void rlvr__slots_release(rlvr_rollouts *r, const rlvr__store *s, const int *slot, int n)
{
    if (s->keep) return;
    for (int i = 0; i < n; i++) r->free_slots[r->n_free++] = slot[i];
}

/* Decodes all rollouts. Groups enter as slots and max_batch allow, rollouts leave as they end: which others run beside one
   changes no bit of it. */
static rlvr_result rlvr__rollouts_decode(rlvr_rollouts *r, rlvr__store *s)
{
    const rlvr_sampling *sampling = &r->policy.sampling;
    int64_t heads = rlvr__heads_most(s, r->group_size, sampling->max_batch);
    bool watch = sampling->n_stop > 0 || sampling->on_text, stop_all = false;
    if (rlvr__calls_reserve(r, s, heads) != RLVR_OK) return RLVR_ERROR_MEMORY;
    if (watch) {
        if (r->cap_grown < r->n)
            for (int64_t i = 0; i < r->cap_grown; i++) rlvr__buf_free(&r->grown[i]);
        if (!RLVR__RESERVE(r, streams, cap_streams, r->n) || !RLVR__RESERVE(r, grown, cap_grown, r->n)) return RLVR_ERROR_MEMORY;
        memset(r->streams, 0, (size_t)r->n * sizeof *r->streams);
        for (int i = 0; i < r->n; i++) { r->grown[i].ctx = r->ctx; r->grown[i].len = 0; }
    }
    rlvr__call c;
    memset(&c, 0, sizeof c);
    c.token = r->call + 2 * s->head_rows;
    c.pos = c.token + s->n_rows;
    c.slot = c.pos + s->n_rows;
    c.n_context = c.slot + s->n_rows;
    c.head_row = r->head;
    c.head_rollout = r->head + heads;
    c.logits_row = r->head + 2 * heads;
    c.context = r->context;
    r->next_slot = 0;
    r->n_free = 0;
    for (int64_t i = s->n_slots; i-- > 0;) r->free_slots[r->n_free++] = (int)i;

    for (int k = 0; k < r->shared; k++) {      /* the prompts' common beginning */
        int slot = rlvr__slot_take(r, s);
        for (int t = 0; t < r->n_tasks; t++) r->prompt_slots[r->prompt_begin[t] + k] = slot;
        rlvr__call_row(&c, r->prompt_tokens[k], k, slot, r->prompt_slots);
        if (c.n == s->n_rows) rlvr__call_run(r, s, &c, &stop_all);
    }
    int next = 0, n_active = 0;
    int64_t reserved = r->shared;      /* slots that are taken or promised */
    while ((next < r->n_tasks || n_active) && !stop_all) {
        /* groups that fit enter: their prompts run, and their first tokens are drawn from the prompts' last rows */
        while (next < r->n_tasks) {
            const int *tokens = r->prompt_tokens + r->prompt_begin[next];
            int *slots = r->prompt_slots + r->prompt_begin[next], count = r->prompt_begin[next + 1] - r->prompt_begin[next];
            int64_t need = count - r->shared + (int64_t)r->group_size * (r->max_tokens - 1);
            if (n_active && (n_active + r->group_size > sampling->max_batch || reserved + need > s->n_slots)) break;
            if (reserved + need > s->n_slots || r->group_size > s->n_rows)
                return rlvr__fail(r->ctx, RLVR_ERROR_MEMORY, "a group of %d rollouts of %d tokens needs %lld token slots, the cache has %lld",
                                  r->group_size, r->max_tokens, (long long)need, (long long)(s->n_slots - reserved));
            reserved += need;
            if (c.n_head + r->group_size > heads) rlvr__call_run(r, s, &c, &stop_all);
            for (int k = r->shared; k < count; k++) {
                slots[k] = rlvr__slot_take(r, s);
                rlvr__call_row(&c, tokens[k], k, slots[k], slots);
                for (int g = 0; k == count - 1 && g < r->group_size; g++) {
                    int i = next * r->group_size + g;
                    memcpy(r->lists + i * r->list_stride, slots, (size_t)count * sizeof(int));
                    c.head_row[c.n_head] = c.n - 1;
                    c.head_rollout[c.n_head++] = i;
                    r->active[n_active++] = i;
                }
                if (c.n == s->n_rows) rlvr__call_run(r, s, &c, &stop_all);
            }
            next++;
        }
        if (c.n) rlvr__call_run(r, s, &c, &stop_all);

        /* who is done leaves; the last of a group gives its prompt's slots back too */
        int still = 0;
        for (int a = 0; a < n_active; a++) {
            rlvr_rollout *o = &r->items[r->active[a]];
            if (!o->finish_reason) { r->active[still++] = r->active[a]; continue; }
            rlvr__slots_release(r, s, r->lists + r->active[a] * r->list_stride + o->n_prompt, o->n_tokens - 1);
            if (!s->keep) reserved -= r->max_tokens - 1;
            int left = 0, group = o->prompt_index * r->group_size;
            for (int g = 0; g < r->group_size; g++) left += r->items[group + g].finish_reason == RLVR_FINISH_NONE;
            bool last = !left;
            for (int b = a + 1; last && b < n_active; b++)
                if (r->items[r->active[b]].prompt_index == o->prompt_index) last = false;
            if (last) {
                int own = o->n_prompt - r->shared;
                rlvr__slots_release(r, s, r->prompt_slots + r->prompt_begin[o->prompt_index] + r->shared, own);
                if (!s->keep) reserved -= own;
            }
        }
        n_active = still;

        /* everybody else feeds the token drawn last and draws the next */
        for (int a = 0; a < n_active && !stop_all; a++) {
            int i = r->active[a], pos = r->items[i].n_prompt + r->items[i].n_tokens - 1, *list = r->lists + i * r->list_stride;
            list[pos] = rlvr__slot_take(r, s);
            rlvr__call_row(&c, r->items[i].tokens[r->items[i].n_tokens - 1], pos, list[pos], list);
            c.head_row[c.n_head] = c.n - 1;
            c.head_rollout[c.n_head++] = i;
            if (c.n == s->n_rows) rlvr__call_run(r, s, &c, &stop_all);
        }
        if (c.n) rlvr__call_run(r, s, &c, &stop_all);
        /* those whom this call has ended leave at the next turn */
    }

    r->text.len = 0;
    for (int i = 0; i < r->n; i++) {
        r->text_begin[i] = r->text.len;
        if (r->m->tokenizer) rlvr__tok_decode_into(r->m->tokenizer, r->items[i].tokens, r->items[i].n_tokens, false, &r->text);
        rlvr__buf_add(&r->text, "", 1);
    }
    if (r->text.failed) { r->text.failed = false; return RLVR_ERROR_MEMORY; }
    for (int i = 0; i < r->n; i++) {
        r->items[i].text = r->text.data + r->text_begin[i];
        r->items[i].text_len = (i + 1 < r->n ? r->text_begin[i + 1] : r->text.len) - 1 - r->text_begin[i];
    }
    return stop_all ? RLVR_STOPPED : RLVR_OK;
}

enum { RLVR__PREFILL_ROWS = 512, RLVR__HEAD_ROWS = 64 };

rlvr_result rlvr_sample(rlvr_model *m, const rlvr_task *tasks, int n_tasks, int group_size, const rlvr_sampling *s, rlvr_rollouts **out)
{
    rlvr_sampling zero;
    memset(&zero, 0, sizeof zero);
    if (!s) s = &zero;
    rlvr_rollouts *r = *out ? *out : rlvr__rollouts_new(m);
    if (!r) return RLVR_ERROR_MEMORY;
    *out = r;
    rlvr_result result = rlvr__rollouts_layout(r, tasks, n_tasks, group_size, s, 0);
    if (result != RLVR_OK) return result;
    /* a cache for the groups that run at once */
    const rlvr_sampling *set = &r->policy.sampling;
    int64_t together = RLVR__MIN((int64_t)n_tasks, RLVR__MAX((int64_t)1, (int64_t)set->max_batch / group_size));
    int64_t slots = r->shared + together * (r->list_stride - set->max_tokens + (int64_t)group_size * (set->max_tokens - 1));
    int64_t rows = RLVR__MIN(RLVR__MAX((int64_t)RLVR__PREFILL_ROWS, (int64_t)group_size), RLVR__MAX(slots, (int64_t)group_size));
    rlvr__store *store = &r->store;
    if (store->n_slots < slots || store->n_rows < rows || store->max_context < r->list_stride) {
        rlvr__store_free(store);
        result = rlvr__store_init(store, m, slots, rows, r->list_stride, RLVR__HEAD_ROWS, false, false);
        if (result != RLVR_OK) return result;
    }
    return rlvr__rollouts_decode(r, store);
}

/* ---- scoring given tokens ---- */

/* Runs tokens through the model in calls of at most n_rows and hands each call's last hidden states on: `each` gets the
   store, the number of the call's first token and its length. */
typedef void (*rlvr__each_fn)(void *arg, rlvr__store *s, int64_t first, int64_t n);
static rlvr_result rlvr__run_tokens(rlvr_model *m, const int *tokens, int n, rlvr__each_fn each, void *arg)
{
    rlvr__store s;
    if (n < 1 || n > m->info.n_ctx)
        return rlvr__fail(m->ctx, RLVR_ERROR_CONTEXT, "%d tokens; the model takes 1 .. %d", n, m->info.n_ctx);
    for (int i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= m->info.n_vocab)
            return rlvr__fail(m->ctx, RLVR_ERROR_ARGUMENT, "token %d is %d; the vocabulary has %d", i, tokens[i], m->info.n_vocab);
    int64_t rows = RLVR__MIN(n, (int64_t)RLVR__PREFILL_ROWS);
    rlvr_result result = rlvr__store_init(&s, m, n, rows, n, RLVR__HEAD_ROWS, false, false);
    if (result != RLVR_OK) return result;
    int *pos = RLVR__NEW(m->ctx, int, n), *n_context = RLVR__NEW(m->ctx, int, n);
    const int **context = RLVR__NEW(m->ctx, const int *, n);
    if (pos && n_context && context)
        for (int i = 0; i < n; i++) { pos[i] = i; n_context[i] = i + 1; context[i] = pos; }
    else result = RLVR_ERROR_MEMORY;
    for (int64_t at = 0; result == RLVR_OK && at < n; at += rows) {
        int64_t count = RLVR__MIN(rows, n - at);
        rlvr__rows r = {count, tokens + at, pos + at, pos + at, context, n_context + at};
        rlvr__forward(&s, &r, 0);
        each(arg, &s, at, count);
    }
    rlvr__free(m->ctx, pos);
    rlvr__free(m->ctx, n_context);
    rlvr__free(m->ctx, (void *)context);
    rlvr__store_free(&s);
    return result;
}

typedef struct rlvr__score_args { const int *tokens; int n; const rlvr_sampling *sampling; float *out; bool logits; } rlvr__score_args;
static void rlvr__score_each(void *arg, rlvr__store *s, int64_t first, int64_t n)
{
    rlvr__score_args *a = (rlvr__score_args *)arg;
    int64_t V = s->m->info.n_vocab;
    rlvr__dist dist[RLVR__HEAD_ROWS];
    int row[RLVR__HEAD_ROWS];
    for (int64_t at = 0; at < n; at += RLVR__HEAD_ROWS) {
        int64_t count = RLVR__MIN(n - at, (int64_t)RLVR__HEAD_ROWS);
        for (int64_t i = 0; i < count; i++) row[i] = (int)(at + i);
        rlvr__head_logits(s, row, count);
        if (a->logits) { memcpy(a->out + (first + at) * V, s->logits, (size_t)(count * V) * sizeof(float)); continue; }
        rlvr__dist_rows(s->m->ctx, dist, s->logits, count, V, a->sampling, s->dist_scratch);
        for (int64_t i = 0; i < count && first + at + i + 1 < a->n; i++)
            a->out[first + at + i] = rlvr__dist_logprob(&dist[i], s->logits[i * V + a->tokens[first + at + i + 1]]);
    }
}

rlvr_result rlvr_score(rlvr_model *m, const int *tokens, int n, const rlvr_sampling *s, float *out)
{
    rlvr_sampling set;
    if (s) set = *s; else memset(&set, 0, sizeof set);
    rlvr__sampling_defaults(&set);
    if (rlvr__sampling_check(m->ctx, &set) != RLVR_OK) return RLVR_ERROR_ARGUMENT;
    rlvr__score_args a = {tokens, n, &set, out, false};
    return rlvr__run_tokens(m, tokens, n, rlvr__score_each, &a);
}

rlvr_result rlvr_logits(rlvr_model *m, const int *tokens, int n, float *out)
{
    rlvr__score_args a = {tokens, n, NULL, out, true};
    return rlvr__run_tokens(m, tokens, n, rlvr__score_each, &a);
}
/* ============================================================================================
   15. REWARDS                                                                       >>rewards
   ============================================================================================ */

/* A verifier looks at one case and gives its verdict. Section 15 is what they share; 15.1 and on are the verifiers, one family
   each; 15.12 holds their table and the public calls. */

typedef struct rlvr__case {
    rlvr_ctx *ctx;
    const rlvr_reward_desc *desc;
    const rlvr__json *task, *options;    /* objects: the task's own line, the desc's options; NULL: none */
    const char *text;  size_t len;       /* the completion, any bytes */
    const char *gold;  size_t gold_len;  /* NULL: none */
    const rlvr_rollout *rollout;         /* NULL: a text without a model behind it */
    rlvr_model *policy;                  /* NULL likewise */
    rlvr_grade_result *out;              /* the verdict */
    void *job;                           /* of a pending verdict, its verifier's */
} rlvr__case;

/* A field of the task, or where it has none of the options; NULL: neither has it. */
RLVR__UNUSED static const rlvr__json *rlvr__field(const rlvr__case *c, const char *name)
{
    const rlvr__json *j = rlvr__json_get(c->task, name);
    return j ? j : rlvr__json_get(c->options, name);
}

/* Verdicts: each sets the case's status, reward and reason, so that verifiers read `return rlvr__unequal(c, ...)`. */
RLVR__PRINTF(4, 5) static void rlvr__verdict(rlvr__case *c, rlvr_status status, float reward, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->out->reason, sizeof c->out->reason, format, args);
    va_end(args);
    c->out->status = status;
    c->out->reward = reward;
}

static void rlvr__extracted(rlvr__case *c, const char *text, size_t n)      /* notes what was taken for the answer */
{
    size_t most = sizeof c->out->extracted - 1;
    if (n > most)
        for (n = most; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;) n--;      /* no half characters */
    for (size_t i = 0; i < n; i++) c->out->extracted[i] = text[i] ? text[i] : ' ';
    c->out->extracted[n] = 0;
}

static bool rlvr__status_is_error(rlvr_status s) { return s == RLVR_STATUS_BAD_GOLD || s == RLVR_STATUS_LIMIT || s == RLVR_STATUS_ERROR; }

const char *rlvr_status_text(rlvr_status s)
{
    static const char *const text[] = {
#define RLVR__X(status, name) name,
        RLVR_STATUSES(RLVR__X)
#undef RLVR__X
    };
    return (unsigned)s < RLVR_STATUS_COUNT ? text[s] : "unknown status";
}

/* ============================================================================================
   15.1 EXACT, NUMBER                                                               >>numbers
   ============================================================================================ */

/* `exact` compares text, `number` compares numbers as the decimal strings that they are, of any length, never through a float.

   What `number` takes for the number of a text, in this order:
     1. the number that stands right behind the last "####" that has one (so "#### Step 2" is only a heading),
     2. the one number in the last balanced \boxed{...}: a box without one, or with several, is an answer that is no number,
     3. the last number of the text.
   In a "####" line and in a box an equation counts by its right side: \boxed{6 \cdot 7 = 42} is 42.

   A number: digits, with a point before, within or after them (".5", "3.50", "5."), perhaps with thousands separators in
   valid groups of three ("1,234,567", "1{,}234", "1,\!234", "1\,234", "1'234", thin spaces; "1,2" and "1234,567" are two
   numbers), perhaps with a power of ten ("1e5", "2.5E-3"), perhaps signed (+, -, U+2212, U+FF0D, and an en dash that is no
   range). Currency, percent, degrees, units and mark-up around it do not count: "$5", "**5**", "50%" is 50. "GPT-3" is 3,
   "A1" and "x_1" are names. An operand is no number: "3/4", "10 - 3", "2^3", "5:30", "2\pi", "\sqrt{2}", "1.2.3" stand for
   something that is not written there, so a text that ends in one has no number, and as gold it is an error. */

typedef struct rlvr__number {
    const char *begin, *end;      /* digits, separators and at most one point; without sign and exponent */
    int64_t exponent;             /* of ten */
    bool negative;
    bool plain;                   /* it stands alone; false: an operand, a version, a fraction */
} rlvr__number;

/* What stands left of the place that is being read, as far as a number there may depend on it. */
typedef enum rlvr__left { RLVR__LEFT_NONE, RLVR__LEFT_NUMBER, RLVR__LEFT_LETTER, RLVR__LEFT_OPERATOR } rlvr__left;

typedef struct rlvr__number_scan {
    const char *begin, *p, *end;
    const char *apart;            /* up to here commas part numbers: a list, not thousands */
    rlvr__left left;
    const char *sign;             /* a sign that awaits its number */
    bool negative, spaced;        /* ... which it is, and whether space follows it */
    int depth;                    /* of open brackets */
    bool field;                   /* a box or a "####" line: the beginning is the beginning of an answer */
} rlvr__number_scan;

static inline bool rlvr__is_digit(int c) { return c >= '0' && c <= '9'; }
static inline bool rlvr__is_alpha(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool rlvr__is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static inline bool rlvr__finite(double x)      /* by its bits: true also of a program compiled with -ffast-math */
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

static bool rlvr__starts(const char *p, const char *end, const char *with)
{
    size_t n = strlen(with);
    return (size_t)(end - p) >= n && memcmp(p, with, n) == 0;
}

/* Length of the first string of a list (ended by NULL) that stands at p; 0: none does. */
static int rlvr__starts_any(const char *p, const char *end, const char *const *list)
{
    for (; *list; list++)
        if (rlvr__starts(p, end, *list)) return (int)strlen(*list);
    return 0;
}

static int rlvr__sign_at(const char *p, const char *end, bool *negative)
{
    static const char *const minus[] = {"-", "\xe2\x88\x92", "\xe2\x80\x93", "\xef\xbc\x8d", NULL};
    int n = rlvr__starts_any(p, end, minus);
    *negative = n > 0;
    return n ? n : p < end && *p == '+';
}

static int rlvr__operator_at(const char *p, const char *end)      /* besides signs and ^ */
{
    static const char *const signs[] = {"*", "/", "\xc3\x97", "\xc3\xb7", "\xc2\xb7", "\xe2\x8b\x85", "\xe2\x88\x97",
                                        "\\times", "\\cdot", "\\div", "\\pm", "\\over", NULL};
    return rlvr__starts_any(p, end, signs);
}

static int rlvr__currency_at(const char *p, const char *end)
{
    static const char *const signs[] = {"$", "\\$", "\xc2\xa3", "\xc2\xa5", "\xe2\x82\xac", "\xe2\x82\xb9", NULL};
    return rlvr__starts_any(p, end, signs);
}

/* A thing that multiplies the number before it, or is itself no plain number. */
static int rlvr__factor_at(const char *p, const char *end)
{
    static const char *const list[] = {"\\frac", "\\dfrac", "\\tfrac", "\\cfrac", "\\sqrt", "\\binom", "\\pi",
                                       "\xcf\x80", "\xe2\x88\x9a", NULL};
    return rlvr__starts_any(p, end, list);
}

static int rlvr__degree_at(const char *p, const char *end)        /* ^\circ, ^{\circ} */
{
    static const char *const list[] = {"^\\circ", "^{\\circ}", NULL};
    return rlvr__starts_any(p, end, list);
}

static int rlvr__separator_at(const char *p, const char *end)     /* between groups of three digits */
{
    static const char *const list[] = {",\\!", ",", "{,}", "\\,", "'", "\xe2\x80\xaf", "\xe2\x80\x89", NULL};
    int n = rlvr__starts_any(p, end, list);
    return n && p + n < end && rlvr__is_digit(p[n]) ? n : 0;
}

/* End of a {...} group that opens at p, behind its closing brace; NULL if it does not close. \{ and \} are no braces. */
static const char *rlvr__group_end(const char *p, const char *end)
{
    int depth = 0;
    for (; p < end; p++) {
        if (*p == '\\' && p + 1 < end) p++;
        else if (*p == '{') depth++;
        else if (*p == '}' && --depth == 0) return p + 1;
    }
    return NULL;
}

/* Passes the argument of a command or of ^: a group, or one character (all of a number's digits behind a ^). */
static const char *rlvr__argument_end(const char *p, const char *end)
{
    while (p < end && *p == ' ') p++;
    if (p < end && *p == '[')
        while (p < end && *p++ != ']') {}
    if (p < end && *p == '{') {
        const char *close = rlvr__group_end(p, end);
        return close ? close : end;
    }
    return p < end ? p + 1 : end;
}

/* True if what follows a number makes it an operand. */
static bool rlvr__number_applied(const char *p, const char *end)
{
    bool negative;
    int n;
    if (p + 1 < end && (*p == '_' || *p == ':') && rlvr__is_digit(p[1])) return true;
    while (p < end && (*p == ' ' || *p == '$' || *p == ')' || *p == '}' || *p == '%' || rlvr__starts(p, end, "\\%"))) p++;
    if (rlvr__degree_at(p, end)) return false;
    if (p == end) return false;
    if (*p == '^' || rlvr__factor_at(p, end)) return true;
    if ((*p == 'x' || *p == 'X') && p + 1 < end && (p[1] == ' ' || rlvr__is_digit(p[1]))) n = 1;
    else if (!(n = rlvr__operator_at(p, end))) n = rlvr__sign_at(p, end, &negative);
    if (!n) return false;
    for (p += n; p < end; p += n) {
        n = rlvr__currency_at(p, end);
        if (!n) n = rlvr__sign_at(p, end, &negative);
        if (!n && (*p == ' ' || *p == '*' || *p == '{' || *p == '(')) n = 1;
        if (!n) break;
    }
    return p < end && (rlvr__is_digit(*p) || rlvr__factor_at(p, end) || (*p == '.' && p + 1 < end && rlvr__is_digit(p[1])));
}

/* Reads digits with thousands separators from s->p on. A chain of commas that is not all groups of three is a list. */
static const char *rlvr__number_groups(rlvr__number_scan *s)
{
    const char *p = s->p;
    while (p < s->end && rlvr__is_digit(*p)) p++;
    const char *first = p, *chain = p;
    int kind = rlvr__separator_at(p, s->end);
    bool valid = first - s->p >= 1 && first - s->p <= 3 && *s->p != '0';
    if (!kind || s->p < s->apart) return first;
    char mark = *p;
    for (int n; (n = rlvr__separator_at(chain, s->end)) > 0 && n == kind && *chain == mark;) {
        const char *digits = chain + n;
        for (chain = digits; chain < s->end && rlvr__is_digit(*chain);) chain++;
        if (chain - digits != 3) valid = false;
    }
    if (valid) return chain;
    s->apart = chain;
    return first;
}

/* Reads the number at s->p and passes it. */
static void rlvr__number_read(rlvr__number_scan *s, rlvr__number *out)
{
    const char *end = s->end, *p = rlvr__number_groups(s);
    out->begin = s->p;
    out->exponent = 0;
    out->plain = s->left != RLVR__LEFT_OPERATOR;
    bool point = false;
    if (p + 1 < end && *p == '.' && rlvr__is_digit(p[1])) {
        point = true;
        for (p++; p < end && rlvr__is_digit(*p);) p++;
    }
    out->end = p;
    while (point && p + 1 < end && (*p == '.' || *p == ',') && rlvr__is_digit(p[1])) {      /* 1.2.3, 1.234,56 */
        out->plain = false;
        for (p++; p < end && rlvr__is_digit(*p);) p++;
    }
    if (p + 1 < end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1, *digits;
        bool minus = *q == '-';
        int64_t value = 0;
        if (*q == '-' || *q == '+') q++;
        for (digits = q; q < end && rlvr__is_digit(*q); q++)
            if (value < (int64_t)1 << 56) value = value * 10 + (*q - '0');
        if (q > digits && !(q < end && (rlvr__is_alpha(*q) || *q == '_'))) {
            if (value >= (int64_t)1 << 56) out->plain = false;      /* more than could be told apart */
            out->exponent = minus ? -value : value;
            p = q;
        }
    }
    bool direct = s->sign && !s->spaced;
    if (s->sign && s->spaced) {      /* "= - 5" is minus five, "- 5" at a line's start an item of a list */
        const char *q = s->sign;
        while (q > s->begin && q[-1] == ' ') q--;
        direct = q > s->begin ? strchr("={([", q[-1]) != NULL : s->field;
    }
    out->negative = direct && s->negative;
    if (rlvr__number_applied(p, end)) out->plain = false;
    s->sign = NULL;
    s->left = RLVR__LEFT_NUMBER;
    s->p = p;
}

/* Passes a word, or the subscript of one. A single letter may be a variable; an x between numbers multiplies them. */
static void rlvr__scan_word(rlvr__number_scan *s)
{
    const char *word = s->p, *end = s->end;
    if ((*word == 'x' || *word == 'X') && s->left == RLVR__LEFT_NUMBER &&
        (word + 1 == end || word[1] == ' ' || rlvr__is_digit(word[1]))) {
        s->left = RLVR__LEFT_OPERATOR;
        s->p++;
        return;
    }
    while (s->p < end && (rlvr__is_alpha(*s->p) || rlvr__is_digit(*s->p) || *s->p == '_' ||
                          (*s->p == '.' && rlvr__is_digit(s->p[-1]) && s->p + 1 < end && rlvr__is_digit(s->p[1])))) s->p++;
    if (s->p < end && *s->p == '{' && s->p[-1] == '_') s->p = rlvr__argument_end(s->p, end);
    s->left = s->p - word == 1 && !strchr("aAI", *word) ? RLVR__LEFT_LETTER : RLVR__LEFT_NONE;
}

/* Passes a backslash and what belongs to it. True: it was a fraction, a root or the like, which *out then is. */
static bool rlvr__scan_command(rlvr__number_scan *s, rlvr__number *out)
{
    const char *begin = s->p, *end = s->end;
    int n = rlvr__factor_at(begin, end);
    if (n) {
        bool constant = begin[1] == 'p';      /* \pi has no arguments, \sqrt one, the others two */
        s->p = begin + n;
        for (int i = constant ? 2 : begin[1] == 's'; i < 2; i++) s->p = rlvr__argument_end(s->p, end);
        memset(out, 0, sizeof *out);
        s->left = RLVR__LEFT_NUMBER;
        return !constant;
    }
    for (s->p = begin + 1; s->p < end && rlvr__is_alpha(*s->p);) s->p++;
    if (s->p == begin + 1 && s->p < end) s->p++;      /* one sign: a space, a bracket, a percent sign */
    bool bracket = s->p - begin == 2 || rlvr__starts(begin, end, "\\left") || rlvr__starts(begin, end, "\\right");
    if (begin[1] == '\\' || !bracket) {
        s->left = RLVR__LEFT_NONE;
        s->sign = NULL;
    }
    s->spaced = true;
    return false;
}

static void rlvr__scan_sign(rlvr__number_scan *s, int n, bool negative)
{
    const char *p = s->p;
    bool hyphen = p > s->begin && (rlvr__is_alpha(p[-1]) || p[-1] == ')');      /* GPT-3 */
    if (s->left == RLVR__LEFT_NUMBER || s->left == RLVR__LEFT_LETTER) s->left = RLVR__LEFT_OPERATOR;
    s->sign = hyphen ? NULL : p;
    s->negative = negative;
    s->spaced = false;
    s->p += n;
}

/* Passes a ^: behind a number it makes operands; the power of a unit or a variable is passed too. */
static void rlvr__scan_power(rlvr__number_scan *s)
{
    bool group = s->p + 1 < s->end && s->p[1] == '{';
    if (s->left == RLVR__LEFT_NUMBER) { s->left = RLVR__LEFT_OPERATOR; s->p++; return; }
    s->p = rlvr__argument_end(s->p + 1, s->end);
    while (!group && s->p < s->end && rlvr__is_digit(*s->p)) s->p++;
}

/* Passes one byte of punctuation, mark-up or another script. */
static void rlvr__scan_mark(rlvr__number_scan *s)
{
    const char *p = s->p++;
    switch (*p) {
    case ' ': case '\t': s->spaced = true; return;
    case '_': case '%': return;
    case '(': case '[': case '{':
        s->depth++;
        if (s->left != RLVR__LEFT_OPERATOR) s->left = RLVR__LEFT_NONE;
        return;
    case ')': case ']': case '}':
        s->sign = NULL;
        if (s->depth > 0) s->depth--;
        else s->left = RLVR__LEFT_NONE;      /* "1) 42" */
        return;
    case ':':
        s->sign = NULL;
        s->left = s->left == RLVR__LEFT_NUMBER && rlvr__is_digit(p[-1]) && s->p < s->end && rlvr__is_digit(*s->p)
                ? RLVR__LEFT_OPERATOR : RLVR__LEFT_NONE;
        return;
    case '\n': s->depth = 0; break;
    default: break;
    }
    s->sign = NULL;
    s->left = RLVR__LEFT_NONE;
}

static bool rlvr__number_starts(const rlvr__number_scan *s)
{
    const char *p = s->p;
    if (*p != '.') return rlvr__is_digit(*p);
    if (p + 1 == s->end || !rlvr__is_digit(p[1])) return false;
    return p == s->begin || !(p[-1] == '.' || rlvr__is_digit(p[-1]) || rlvr__is_alpha(p[-1]));
}

/* The next number of the text, plain or not; false: there is no more. */
static bool rlvr__number_next(rlvr__number_scan *s, rlvr__number *out)
{
    const char *end = s->end;
    while (s->p < end) {
        const char *p = s->p;
        int n, before = p > s->begin ? p[-1] : ' ';
        bool negative;
        if (rlvr__number_starts(s)) { rlvr__number_read(s, out); return true; }
        bool subscript = *p == '_' && (rlvr__is_alpha(before) || rlvr__is_digit(before) || before == ')' || before == '}');
        if (rlvr__is_alpha(*p) || subscript) {
            s->sign = NULL;
            rlvr__scan_word(s);
        } else if ((n = rlvr__currency_at(p, end)) > 0 || (n = rlvr__degree_at(p, end)) > 0) s->p += n;
        else if (*p == '^') rlvr__scan_power(s);
        else if ((n = rlvr__operator_at(p, end)) > 0) {
            s->sign = NULL;
            if (s->left != RLVR__LEFT_NONE || (*p == '/' && rlvr__is_alpha(before))) s->left = RLVR__LEFT_OPERATOR;
            s->p += n;
        } else if ((n = rlvr__sign_at(p, end, &negative)) > 0) rlvr__scan_sign(s, n, negative);
        else if (*p == '\\') {
            if (rlvr__scan_command(s, out)) return true;
        } else if ((n = rlvr__factor_at(p, end)) > 0) {      /* the characters pi and root */
            s->left = n == 2 ? RLVR__LEFT_NUMBER : RLVR__LEFT_OPERATOR;
            s->p += n;
        } else rlvr__scan_mark(s);
    }
    return false;
}

static rlvr__number_scan rlvr__number_scan_of(const char *begin, const char *end, bool field)
{
    rlvr__number_scan s;
    memset(&s, 0, sizeof s);
    for (const char *p = end; field && p > begin; p--)      /* of an equation the right side */
        if (p[-1] == '=') { begin = p; break; }
    s.begin = s.p = s.apart = begin;
    s.end = end;
    s.field = field;
    return s;
}

/* The number of the "####" line that begins at p, behind the mark; false: no number stands right behind it. */
static bool rlvr__number_marked(const char *p, const char *end, rlvr__number *out)
{
    const char *q = p, *line;
    bool negative;
    int n;
    for (; q < end; q += n) {
        n = rlvr__currency_at(q, end);
        if (!n) n = rlvr__sign_at(q, end, &negative);
        if (!n) n = *q && strchr(" \t*:({[\"'`", *q);
        if (!n) break;
    }
    if (q < end && *q == '.') n = q + 1 < end && rlvr__is_digit(q[1]);
    else n = q < end && (rlvr__is_digit(*q) || rlvr__factor_at(q, end));
    if (!n) return false;
    line = (const char *)memchr(q, '\n', (size_t)(end - q));
    rlvr__number_scan s = rlvr__number_scan_of(p, line ? line : end, true);
    return rlvr__number_next(&s, out);
}

/* The number of a text; false: it has none. */
static bool rlvr__number_of(const char *text, size_t len, rlvr__number *out)
{
    const char *end = text + len;
    rlvr__number number;
    for (const char *p = end; p - text >= 4; p--)
        if (p[-1] == '#' && memcmp(p - 4, "####", 4) == 0 && rlvr__number_marked(p, end, out)) return out->plain;
    for (const char *p = end; p-- > text;)
        if (*p == '\\' && rlvr__starts(p, end, "\\boxed{")) {
            const char *close = rlvr__group_end(p + 6, end);
            if (!close) continue;
            rlvr__number_scan s = rlvr__number_scan_of(p + 7, close - 1, true);
            return rlvr__number_next(&s, out) && out->plain && !rlvr__number_next(&s, &number);
        }
    bool found = false;
    rlvr__number_scan s = rlvr__number_scan_of(text, end, false);
    while (rlvr__number_next(&s, out)) found = true;
    return found && out->plain;
}

/* Walks a number's digits from its first that is not 0. */
static const char *rlvr__digit_from(const char *p, const char *end, bool leading)
{
    while (p < end && (!rlvr__is_digit(*p) || (leading && *p == '0'))) p++;
    return p;
}

/* Power of ten of a number's first digit that is not 0 (first). */
static int64_t rlvr__number_magnitude(const rlvr__number *n, const char *first)
{
    int64_t whole = 0;
    const char *p = first;
    bool below = false;      /* the first digit stands behind the point */
    for (const char *q = n->begin; q < first; q++) below |= *q == '.';
    if (below) {
        for (p = n->begin; *p != '.';) p++;
        return n->exponent - (first - p);
    }
    for (; p < n->end && *p != '.'; p++) whole += rlvr__is_digit(*p);
    return n->exponent + whole - 1;
}

static bool rlvr__number_equal(const rlvr__number *a, const rlvr__number *b)
{
    const char *p = rlvr__digit_from(a->begin, a->end, true), *q = rlvr__digit_from(b->begin, b->end, true);
    if (p == a->end || q == b->end) return p == a->end && q == b->end;      /* zero has no sign and no size */
    if (a->negative != b->negative || rlvr__number_magnitude(a, p) != rlvr__number_magnitude(b, q)) return false;
    while (p < a->end || q < b->end) {
        if ((p < a->end ? *p : '0') != (q < b->end ? *q : '0')) return false;
        if (p < a->end) p = rlvr__digit_from(p + 1, a->end, false);
        if (q < b->end) q = rlvr__digit_from(q + 1, b->end, false);
    }
    return true;
}

static void rlvr__grade_number(rlvr__case *c)
{
    rlvr__number gold, given;
    if (!rlvr__number_of(c->gold, c->gold_len, &gold)) { rlvr__verdict(c, RLVR_STATUS_BAD_GOLD, 0, "no number can be read from the answer"); return; }
    if (!rlvr__number_of(c->text, c->len, &given)) { rlvr__verdict(c, RLVR_STATUS_UNPARSED, 0, "there is no number"); return; }
    rlvr__extracted(c, given.begin, (size_t)(given.end - given.begin));
    bool equal = rlvr__number_equal(&given, &gold);
    rlvr__verdict(c, equal ? RLVR_STATUS_EQUAL : RLVR_STATUS_UNEQUAL, equal, "%s", "");
}

static void rlvr__trim(const char **text, size_t *len)      /* of white space, on both sides */
{
    while (*len && rlvr__is_space((*text)[*len - 1])) --*len;
    while (*len && rlvr__is_space(**text)) { ++*text; --*len; }
}

/* An empty answer is an error: it would reward silence. */
static void rlvr__grade_exact(rlvr__case *c)
{
    const char *gold = c->gold, *given = c->text;
    size_t n_gold = c->gold_len, n_given = c->len;
    rlvr__trim(&gold, &n_gold);
    rlvr__trim(&given, &n_given);
    if (!n_gold) { rlvr__verdict(c, RLVR_STATUS_BAD_GOLD, 0, "the answer is empty"); return; }
    rlvr__extracted(c, given, n_given);
    bool equal = n_given == n_gold && memcmp(given, gold, n_gold) == 0;
    rlvr__verdict(c, equal ? RLVR_STATUS_EQUAL : RLVR_STATUS_UNEQUAL, equal, "%s", "");
}
/* ============================================================================================
   15.2 MATH: EXACT ARITHMETIC                                                          >>arith
   ============================================================================================ */

/* What `math` computes with: memory that is given back at once, whole numbers of up to RLVR__BIG_LIMBS limbs, and fractions
   of them. Everything counts its steps against one budget for a case, so that no input takes long; what would be larger or
   take longer is "not exact" for its caller, which then keeps the expression as it is written. */

#define RLVR__BIG_LIMBS   256                     /* of 32 bits: about 2,466 decimal digits */
#ifndef RLVR__MATH_WORK
#define RLVR__MATH_WORK   ((int64_t)8000000)      /* steps of one case */
#endif
#define RLVR__MATH_BYTES  ((size_t)24 << 20)      /* memory of one case */
#define RLVR__MATH_DEPTH  150                     /* of nesting */
#define RLVR__MATH_CHUNK  ((size_t)16384)

typedef struct rlvr__math_chunk { struct rlvr__math_chunk *next; size_t used, cap; } rlvr__math_chunk;

typedef struct rlvr__math {
    rlvr_ctx *ctx;
    rlvr__math_chunk *chunks;
    size_t bytes;
    int64_t work;        /* steps that are left */
    bool limit;          /* the budget or the memory ran out, or it nests too deep */
    int precision;       /* decimals at which a decimal is compared */
    bool set_relations;  /* a relation may answer a set */
    int n_bound;         /* variables of sums that are being evaluated */
    struct { uint64_t name; long double value; } bound[8];
} rlvr__math;

static bool rlvr__math_spend(rlvr__math *m, int64_t steps)
{
    m->work -= steps;
    if (m->work < 0) m->limit = true;
    return !m->limit;
}

/* Zeroed memory that lives as long as m; NULL (and m->limit) where there is no more. */
static void *rlvr__math_alloc(rlvr__math *m, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    rlvr__math_chunk *c = m->chunks;
    if (!c || c->cap - c->used < n) {
        size_t cap = RLVR__MAX(RLVR__MATH_CHUNK, n);
        if (m->limit || n > RLVR__MATH_BYTES || m->bytes + cap > RLVR__MATH_BYTES) { m->limit = true; return NULL; }
        c = (rlvr__math_chunk *)rlvr__alloc(m->ctx, 1, 64 + cap);
        if (!c) { m->limit = true; return NULL; }
        c->next = m->chunks;
        c->cap = cap;
        m->bytes += cap;
        m->chunks = c;
    }
    char *p = (char *)c + 64 + c->used;
    c->used += n;
    return p;
}

#define RLVR__MATH_NEW(m, type, count) ((type *)rlvr__math_alloc((m), (size_t)(count) * sizeof(type)))

static void rlvr__math_free(rlvr__math *m)
{
    while (m->chunks) {
        rlvr__math_chunk *next = m->chunks->next;
        rlvr__free(m->ctx, m->chunks);
        m->chunks = next;
    }
}

/* ---- natural numbers: limbs, lowest first, none of them zero at the top; n = 0 is zero, n = -1 is no number ---- */

typedef struct rlvr__big { const uint32_t *d; int n; } rlvr__big;

static rlvr__big rlvr__big_none(void) { rlvr__big b = {NULL, -1}; return b; }

static rlvr__big rlvr__big_trim(uint32_t *d, int n)
{
    while (n > 0 && d[n - 1] == 0) n--;
    rlvr__big b = {d, n};
    return n > RLVR__BIG_LIMBS ? rlvr__big_none() : b;
}

static rlvr__big rlvr__big_of(rlvr__math *m, uint64_t value)
{
    uint32_t *d = RLVR__MATH_NEW(m, uint32_t, 2);
    if (!d) return rlvr__big_none();
    d[0] = (uint32_t)value;
    d[1] = (uint32_t)(value >> 32);
    return rlvr__big_trim(d, 2);
}

static int rlvr__big_cmp(rlvr__big a, rlvr__big b)
{
    if (a.n != b.n) return a.n < b.n ? -1 : 1;
    for (int i = a.n - 1; i >= 0; i--)
        if (a.d[i] != b.d[i]) return a.d[i] < b.d[i] ? -1 : 1;
    return 0;
}

static bool rlvr__big_is(rlvr__big a, uint32_t value) { return value ? a.n == 1 && a.d[0] == value : a.n == 0; }

static rlvr__big rlvr__big_add(rlvr__math *m, rlvr__big a, rlvr__big b)
{
    if (a.n < 0 || b.n < 0) return rlvr__big_none();
    int n = RLVR__MAX(a.n, b.n);
    uint32_t *d = rlvr__math_spend(m, n + 1) ? RLVR__MATH_NEW(m, uint32_t, n + 1) : NULL;
    if (!d) return rlvr__big_none();
    uint64_t carry = 0;
    for (int i = 0; i < n; i++, carry >>= 32) {
        carry += (uint64_t)(i < a.n ? a.d[i] : 0) + (i < b.n ? b.d[i] : 0);
        d[i] = (uint32_t)carry;
    }
    d[n] = (uint32_t)carry;
    return rlvr__big_trim(d, n + 1);
}

static rlvr__big rlvr__big_sub(rlvr__math *m, rlvr__big a, rlvr__big b)      /* a >= b */
{
    if (a.n < 0 || b.n < 0) return rlvr__big_none();
    uint32_t *d = rlvr__math_spend(m, a.n + 1) ? RLVR__MATH_NEW(m, uint32_t, a.n + 1) : NULL;
    if (!d) return rlvr__big_none();
    uint64_t borrow = 0;
    for (int i = 0; i < a.n; i++) {
        uint64_t v = (uint64_t)a.d[i] - (i < b.n ? b.d[i] : 0) - borrow;
        d[i] = (uint32_t)v;
        borrow = v >> 63;
    }
    return rlvr__big_trim(d, a.n);
}

static rlvr__big rlvr__big_mul(rlvr__math *m, rlvr__big a, rlvr__big b)
{
    if (a.n < 0 || b.n < 0 || a.n + b.n > RLVR__BIG_LIMBS + 1) return rlvr__big_none();
    uint32_t *d = rlvr__math_spend(m, (int64_t)a.n * b.n + 1) ? RLVR__MATH_NEW(m, uint32_t, a.n + b.n + 1) : NULL;
    if (!d) return rlvr__big_none();
    for (int i = 0; i < a.n; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < b.n; j++, carry >>= 32) {
            carry += (uint64_t)a.d[i] * b.d[j] + d[i + j];
            d[i + j] = (uint32_t)carry;
        }
        d[i + b.n] = (uint32_t)carry;
    }
    return rlvr__big_trim(d, a.n + b.n);
}

/* Quotient and, where rest is not NULL, what is left; b is not zero. Schoolbook division on normalised limbs. */
static rlvr__big rlvr__big_div(rlvr__math *m, rlvr__big a, rlvr__big b, rlvr__big *rest)
{
    if (a.n < 0 || b.n < 1) { if (rest) *rest = rlvr__big_none(); return rlvr__big_none(); }
    if (rlvr__big_cmp(a, b) < 0) { if (rest) *rest = a; return rlvr__big_of(m, 0); }
    uint32_t *u = rlvr__math_spend(m, (int64_t)(a.n - b.n + 1) * b.n + a.n) ? RLVR__MATH_NEW(m, uint32_t, a.n + 1) : NULL;
    uint32_t *v = RLVR__MATH_NEW(m, uint32_t, b.n), *q = RLVR__MATH_NEW(m, uint32_t, a.n - b.n + 1);
    if (!u || !v || !q) { if (rest) *rest = rlvr__big_none(); return rlvr__big_none(); }
    int shift = 0, n = b.n;
    while (!(b.d[n - 1] << shift & 0x80000000u)) shift++;
    for (int i = 0; i < n; i++) v[i] = b.d[i] << shift | (shift && i ? b.d[i - 1] >> (32 - shift) : 0);
    for (int i = 0; i <= a.n; i++)
        u[i] = (i < a.n ? a.d[i] << shift : 0) | (shift && i ? a.d[i - 1] >> (32 - shift) : 0);
    for (int j = a.n - n; j >= 0; j--) {
        uint64_t top = (uint64_t)u[j + n] << 32 | u[j + n - 1], guess = top / v[n - 1], left = top % v[n - 1];
        while (guess >> 32 || (n > 1 && guess * v[n - 2] > (left << 32 | u[j + n - 2]))) {
            guess--;
            left += v[n - 1];
            if (left >> 32) break;
        }
        int64_t borrow = 0, t;
        for (int i = 0; i < n; i++) {
            uint64_t p = guess * v[i];
            t = (int64_t)u[i + j] - borrow - (int64_t)(p & 0xffffffffu);
            u[i + j] = (uint32_t)t;
            borrow = (int64_t)(p >> 32) - (t >> 32);
        }
        t = (int64_t)u[j + n] - borrow;
        u[j + n] = (uint32_t)t;
        if (t < 0) {
            uint64_t carry = 0;
            guess--;
            for (int i = 0; i < n; i++, carry >>= 32) {
                carry += (uint64_t)u[i + j] + v[i];
                u[i + j] = (uint32_t)carry;
            }
            u[j + n] += (uint32_t)carry;
        }
        q[j] = (uint32_t)guess;
    }
    if (rest) {
        for (int i = 0; i < n; i++) u[i] = u[i] >> shift | (shift ? (uint32_t)((uint64_t)u[i + 1] << (32 - shift)) : 0);
        *rest = rlvr__big_trim(u, n);
    }
    return rlvr__big_trim(q, a.n - n + 1);
}

static rlvr__big rlvr__big_gcd(rlvr__math *m, rlvr__big a, rlvr__big b)
{
    while (b.n > 0) {
        if (a.n <= 2 && b.n <= 2) {
            uint64_t x = a.n ? a.d[0] | (a.n > 1 ? (uint64_t)a.d[1] << 32 : 0) : 0;
            uint64_t y = b.d[0] | (b.n > 1 ? (uint64_t)b.d[1] << 32 : 0);
            while (y) { uint64_t t = x % y; x = y; y = t; }
            return rlvr__big_of(m, x);
        }
        rlvr__big rest;
        rlvr__big_div(m, a, b, &rest);
        a = b;
        b = rest;
    }
    return b.n < 0 ? b : a;
}

static rlvr__big rlvr__big_pow(rlvr__math *m, rlvr__big a, uint32_t exponent)
{
    rlvr__big r = rlvr__big_of(m, 1);
    if (a.n > 0 && !rlvr__big_is(a, 1) && (int64_t)(a.n - 1) * exponent > RLVR__BIG_LIMBS) return rlvr__big_none();
    if (a.n == 1 && a.d[0] > 1 && exponent > 32u * RLVR__BIG_LIMBS) return rlvr__big_none();
    for (; exponent && r.n >= 0; exponent >>= 1) {
        if (exponent & 1) r = rlvr__big_mul(m, r, a);
        if (exponent > 1) a = rlvr__big_mul(m, a, a);
    }
    return r;
}

/* The whole k-th root of a where it has one, by bisection on bits; none otherwise. */
static rlvr__big rlvr__big_root(rlvr__math *m, rlvr__big a, uint32_t k)
{
    if (a.n <= 0 || rlvr__big_is(a, 1)) return a;
    if (k == 0 || k > 64 || a.n > 32) return rlvr__big_none();
    int bits = 32 * a.n / (int)k + 1, n = bits / 32 + 1;
    uint32_t *d = RLVR__MATH_NEW(m, uint32_t, n);
    if (!d) return rlvr__big_none();
    for (int bit = bits; bit >= 0; bit--) {
        d[bit / 32] |= 1u << (bit % 32);
        rlvr__big p = rlvr__big_pow(m, rlvr__big_trim(d, n), k);
        int order = p.n < 0 ? 1 : rlvr__big_cmp(p, a);
        if (order == 0) return rlvr__big_trim(d, n);
        if (order > 0) d[bit / 32] &= ~(1u << (bit % 32));
    }
    return rlvr__big_none();
}

static long double rlvr__big_value(rlvr__big a)
{
    long double v = 0;
    for (int i = a.n - 1; i >= 0 && i >= a.n - 4; i--) v = v * 4294967296.0L + (long double)a.d[i];
    return ldexpl(v, 32 * RLVR__MAX(a.n - 4, 0));
}

static uint32_t rlvr__big_mod(rlvr__big a, uint32_t p)
{
    uint64_t r = 0;
    for (int i = a.n - 1; i >= 0; i--) r = (r << 32 | a.d[i]) % p;
    return (uint32_t)r;
}

/* ---- fractions: p/q in lowest terms; q.n <= 0 is no fraction ---- */

typedef struct rlvr__rat { rlvr__big p, q; bool negative; } rlvr__rat;

static bool rlvr__rat_ok(rlvr__rat r) { return r.p.n >= 0 && r.q.n > 0; }

static rlvr__rat rlvr__rat_make(rlvr__math *m, rlvr__big p, rlvr__big q, bool negative)
{
    rlvr__rat r = {p, q, negative};
    if (p.n < 0 || q.n <= 0) { r.q = rlvr__big_none(); return r; }
    if (!rlvr__big_is(q, 1)) {
        rlvr__big g = rlvr__big_gcd(m, p, q);
        if (!rlvr__big_is(g, 1)) {
            r.p = rlvr__big_div(m, p, g, NULL);
            r.q = rlvr__big_div(m, q, g, NULL);
        }
    }
    if (r.p.n == 0) r.negative = false;
    return r;
}

static rlvr__rat rlvr__rat_of(rlvr__math *m, int64_t value)
{
    uint64_t size = value < 0 ? (uint64_t)-(value + 1) + 1 : (uint64_t)value;
    rlvr__rat r = {rlvr__big_of(m, size), rlvr__big_of(m, 1), value < 0};
    return r;
}

static rlvr__rat rlvr__rat_add(rlvr__math *m, rlvr__rat a, rlvr__rat b)
{
    bool whole = a.q.n == 1 && b.q.n == 1 && a.q.d[0] == 1 && b.q.d[0] == 1;
    rlvr__big x = whole ? a.p : rlvr__big_mul(m, a.p, b.q), y = whole ? b.p : rlvr__big_mul(m, b.p, a.q);
    rlvr__big q = whole ? a.q : rlvr__big_mul(m, a.q, b.q);
    if (x.n < 0 || y.n < 0) return rlvr__rat_make(m, x, rlvr__big_none(), false);
    if (a.negative == b.negative) return rlvr__rat_make(m, rlvr__big_add(m, x, y), q, a.negative);
    bool less = rlvr__big_cmp(x, y) < 0;
    return rlvr__rat_make(m, less ? rlvr__big_sub(m, y, x) : rlvr__big_sub(m, x, y), q, less ? b.negative : a.negative);
}

static rlvr__rat rlvr__rat_neg(rlvr__rat a) { a.negative = a.p.n > 0 && !a.negative; return a; }

static rlvr__rat rlvr__rat_mul(rlvr__math *m, rlvr__rat a, rlvr__rat b)
{
    return rlvr__rat_make(m, rlvr__big_mul(m, a.p, b.p), rlvr__big_mul(m, a.q, b.q), a.negative != b.negative);
}

static bool rlvr__rat_equal(rlvr__rat a, rlvr__rat b)
{
    return a.negative == b.negative && rlvr__big_cmp(a.p, b.p) == 0 && rlvr__big_cmp(a.q, b.q) == 0;
}

static bool rlvr__rat_whole(rlvr__rat a) { return rlvr__big_is(a.q, 1); }

/* A whole number that fits in 31 bits. */
static bool rlvr__rat_int(rlvr__rat a, int32_t *out)
{
    if (!rlvr__rat_whole(a) || a.p.n > 1 || (a.p.n == 1 && a.p.d[0] > 0x7fffffffu)) return false;
    *out = a.p.n ? (int32_t)a.p.d[0] : 0;
    if (a.negative) *out = -*out;
    return true;
}

static long double rlvr__rat_value(rlvr__rat a)
{
    int down = RLVR__MAX(0, RLVR__MIN(a.p.n, a.q.n) - 8);      /* both so far down that neither overflows */
    rlvr__big p = {a.p.d + down, a.p.n - down}, q = {a.q.d + down, a.q.n - down};
    long double v = rlvr__big_value(p) / rlvr__big_value(q);
    return a.negative ? -v : v;
}

/* a to a whole power; not a fraction where that is too large or 1/0. */
static rlvr__rat rlvr__rat_pow(rlvr__math *m, rlvr__rat a, int32_t exponent)
{
    uint32_t size = (uint32_t)(exponent < 0 ? -(int64_t)exponent : exponent);
    rlvr__rat r = {rlvr__big_pow(m, a.p, size), rlvr__big_pow(m, a.q, size), a.negative && (size & 1)};
    if (exponent < 0) { rlvr__big t = r.p; r.p = r.q; r.q = t; }
    return r;
}

/* a rounded to a number of decimals, half away from zero. */
static rlvr__rat rlvr__rat_round(rlvr__math *m, rlvr__rat a, int decimals)
{
    rlvr__big ten = rlvr__big_pow(m, rlvr__big_of(m, 10), (uint32_t)decimals), two = rlvr__big_of(m, 2);
    rlvr__big twice = rlvr__big_add(m, rlvr__big_mul(m, rlvr__big_mul(m, a.p, ten), two), a.q);
    rlvr__big whole = rlvr__big_div(m, twice, rlvr__big_mul(m, a.q, two), NULL);
    return rlvr__rat_make(m, whole, ten, a.negative);
}

/* The value of decimal digits with separators and at most one point; not a fraction where it has too many digits. */
static rlvr__rat rlvr__rat_read(rlvr__math *m, const char *s, size_t n)
{
    rlvr__rat none = {{NULL, -1}, {NULL, -1}, false};
    int limbs = 0, decimals = 0;
    bool point = false;
    size_t digits = 0;
    for (size_t i = 0; i < n; i++) digits += rlvr__is_digit(s[i]);
    if (digits > 2400) return none;
    uint32_t *d = RLVR__MATH_NEW(m, uint32_t, digits / 9 + 2);
    if (!d || !rlvr__math_spend(m, (int64_t)digits * (int64_t)(digits / 18 + 1))) return none;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '.') point = true;
        if (!rlvr__is_digit(s[i])) continue;
        uint64_t carry = (uint64_t)(s[i] - '0');
        for (int k = 0; k < limbs; k++, carry >>= 32) {
            carry += (uint64_t)d[k] * 10;
            d[k] = (uint32_t)carry;
        }
        if (carry) d[limbs++] = (uint32_t)carry;
        decimals += point;
    }
    rlvr__big ten = rlvr__big_pow(m, rlvr__big_of(m, 10), (uint32_t)decimals);
    return rlvr__rat_make(m, rlvr__big_trim(d, limbs), ten, false);
}

/* ---- expressions: trees that never change once made; whoever gets a NULL argument gives NULL ---- */

typedef enum rlvr__mop {
    RLVR__M_NUM, RLVR__M_SYM, RLVR__M_PI, RLVR__M_E, RLVR__M_INF,
    RLVR__M_ADD, RLVR__M_MUL, RLVR__M_POW, RLVR__M_PCT, RLVR__M_FN, RLVR__M_CALL,
    RLVR__M_SUM, RLVR__M_PROD, RLVR__M_OPAQUE,                        /* opaque: an integral, a limit, a derivative */
    RLVR__M_TUPLE, RLVR__M_SET, RLVR__M_INTERVAL, RLVR__M_NAMED, RLVR__M_UNION, RLVR__M_MEET, RLVR__M_MINUS,
    RLVR__M_MATRIX, RLVR__M_REL, RLVR__M_CHAIN
} rlvr__mop;

#define RLVR__MATH_FNS(X)                                                                                      \
    X(SIN, "sin") X(COS, "cos") X(TAN, "tan") X(CSC, "csc") X(SEC, "sec") X(COT, "cot")                        \
    X(ASIN, "arcsin") X(ACOS, "arccos") X(ATAN, "arctan") X(ACSC, "arccsc") X(ASEC, "arcsec") X(ACOT, "arccot") \
    X(SINH, "sinh") X(COSH, "cosh") X(TANH, "tanh") X(ASINH, "arsinh") X(ACOSH, "arcosh") X(ATANH, "artanh")   \
    X(LOG, "log") X(EXP, "exp") X(ABS, "abs") X(FLOOR, "floor") X(CEIL, "ceil") X(FACT, "fact")                \
    X(BINOM, "binom") X(MOD, "mod") X(GCD, "gcd") X(LCM, "lcm") X(MAX, "max") X(MIN, "min") X(DET, "det")      \
    X(SIGN, "sgn") X(RE, "Re") X(IM, "Im") X(CONJ, "conj") X(ARG, "arg") X(TRANSPOSE, "T")

typedef enum rlvr__mfn {
#define RLVR__X(id, name) RLVR__F_##id,
    RLVR__MATH_FNS(RLVR__X)
#undef RLVR__X
    RLVR__F_COUNT
} rlvr__mfn;

enum { RLVR__REL_EQ, RLVR__REL_NE, RLVR__REL_LT, RLVR__REL_GT, RLVR__REL_LE, RLVR__REL_GE };

typedef struct rlvr__mx {
    rlvr__mop op;
    int id;
        /* FN: which; REL: which; MATRIX: its columns; NAMED: its letter; INTERVAL: 1 left open, 2 right open */
    bool decimal, literal;     /* NUM: a decimal went into it; it stands there as one numeral */
    int n;
    const struct rlvr__mx **arg;
    rlvr__rat rat;             /* NUM */
    const char *name;          /* SYM, CALL, OPAQUE: lower case, without spaces */
    int name_len;
    uint64_t hash;             /* equal for what differs only in the order of sums, products and sets */
} rlvr__mx;

static uint64_t rlvr__math_mix(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ (b + 0x9e3779b97f4a7c15u + (a << 6) + (a >> 2))) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

static uint64_t rlvr__math_hash_bytes(const void *data, size_t n, uint64_t h)
{
    const unsigned char *p = (const unsigned char *)data;
    for (size_t i = 0; i < n; i++) h = rlvr__math_mix(h, p[i]);
    return h;
}

static uint64_t rlvr__math_hash(const rlvr__mx *x)
{
    bool free_order = x->op == RLVR__M_ADD || x->op == RLVR__M_MUL || x->op == RLVR__M_SET || x->op == RLVR__M_UNION ||
                      x->op == RLVR__M_MEET;
    uint64_t h = rlvr__math_mix((uint64_t)x->op + 1, (uint64_t)x->id), sum = 0;
    if (x->op == RLVR__M_NUM) {
        h = rlvr__math_mix(h, x->rat.negative);
        h = rlvr__math_hash_bytes(x->rat.p.d, (size_t)x->rat.p.n * 4, h);
        return rlvr__math_hash_bytes(x->rat.q.d, (size_t)x->rat.q.n * 4, h + 1);
    }
    if (x->name) h = rlvr__math_hash_bytes(x->name, (size_t)x->name_len, h);
    for (int i = 0; i < x->n; i++) {
        if (free_order) sum += rlvr__math_mix(0x5bd1e995u, x->arg[i]->hash);
        else h = rlvr__math_mix(h, x->arg[i]->hash);
    }
    return rlvr__math_mix(h + sum, (uint64_t)x->n);
}

static rlvr__mx *rlvr__mx_new(rlvr__math *m, rlvr__mop op, int id, int n)
{
    rlvr__mx *x = rlvr__math_spend(m, 4 + n) ? RLVR__MATH_NEW(m, rlvr__mx, 1) : NULL;
    if (!x) return NULL;
    x->op = op;
    x->id = id;
    x->n = n;
    if (n && !(x->arg = RLVR__MATH_NEW(m, const rlvr__mx *, n))) return NULL;
    return x;
}

static const rlvr__mx *rlvr__mx_done(rlvr__mx *x)      /* NULL where an argument is missing */
{
    if (!x) return NULL;
    for (int i = 0; i < x->n; i++)
        if (!x->arg[i]) return NULL;
    x->hash = rlvr__math_hash(x);
    return x;
}

static const rlvr__mx *rlvr__mx_many(rlvr__math *m, rlvr__mop op, int id, const rlvr__mx *const *arg, int n)
{
    rlvr__mx *x = rlvr__mx_new(m, op, id, n);
    for (int i = 0; x && i < n; i++) x->arg[i] = arg[i];
    return rlvr__mx_done(x);
}

static const rlvr__mx *rlvr__mx_one(rlvr__math *m, rlvr__mop op, int id, const rlvr__mx *a) { return rlvr__mx_many(m, op, id, &a,
    1); }

static const rlvr__mx *rlvr__mx_two(rlvr__math *m, rlvr__mop op, int id, const rlvr__mx *a, const rlvr__mx *b)
{
    const rlvr__mx *arg[2] = {a, b};
    return rlvr__mx_many(m, op, id, arg, 2);
}

static const rlvr__mx *rlvr__mx_num(rlvr__math *m, rlvr__rat r, bool decimal, bool literal)
{
    rlvr__mx *x = rlvr__rat_ok(r) ? rlvr__mx_new(m, RLVR__M_NUM, 0, 0) : NULL;
    if (!x) return NULL;
    x->rat = r;
    x->decimal = decimal;
    x->literal = literal;
    return rlvr__mx_done(x);
}

static const rlvr__mx *rlvr__mx_int(rlvr__math *m, int64_t value) { return rlvr__mx_num(m, rlvr__rat_of(m, value), false, true); }

static const rlvr__mx *rlvr__mx_name(rlvr__math *m, rlvr__mop op, const char *name, size_t n)      /* lower case, no spaces */
{
    rlvr__mx *x = rlvr__mx_new(m, op, 0, 0);
    char *copy = x && n < 4096 ? RLVR__MATH_NEW(m, char, n + 1) : NULL;
    if (!copy) return NULL;
    for (size_t i = 0; i < n; i++)
        if (!rlvr__is_space(name[i])) copy[x->name_len++] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    x->name = copy;
    return rlvr__mx_done(x);
}

static bool rlvr__mx_is_int(const rlvr__mx *x, int32_t value)
{
    int32_t v;
    return x->op == RLVR__M_NUM && rlvr__rat_int(x->rat, &v) && v == value;
}

/* A sum or a product: nested ones opened, its numbers made one. */
static const rlvr__mx *rlvr__mx_fold(rlvr__math *m, rlvr__mop op, const rlvr__mx *const *arg, int n)
{
    bool sum = op == RLVR__M_ADD, any = false, decimal = false;
    int total = 0, rest = 0;
    rlvr__rat number = rlvr__rat_of(m, sum ? 0 : 1);
    for (int i = 0; i < n; i++) {
        if (!arg[i]) return NULL;
        total += arg[i]->op == op ? arg[i]->n : 1;
    }
    const rlvr__mx **list = rlvr__math_spend(m, total) ? RLVR__MATH_NEW(m, const rlvr__mx *, total + 1) : NULL;
    if (!list) return NULL;
    for (int i = 0; i < n; i++) {
        bool open = arg[i]->op == op;
        for (int k = 0; k < (open ? arg[i]->n : 1); k++) {
            const rlvr__mx *x = open ? arg[i]->arg[k] : arg[i];
            rlvr__rat next;
            if (x->op == RLVR__M_NUM) next = sum ? rlvr__rat_add(m, number, x->rat) : rlvr__rat_mul(m, number, x->rat);
            if (x->op == RLVR__M_NUM && rlvr__rat_ok(next)) {
                number = next;
                decimal |= x->decimal;
                any = true;
            } else list[++rest] = x;
        }
    }
    bool neutral = rlvr__rat_ok(number) && rlvr__rat_whole(number) && !decimal && (sum ? number.p.n == 0 : number.p.n == 1 &&
        number.p.d[0] == 1 && !number.negative);
    if (any && (!neutral || !rest)) {
        list[0] = rlvr__mx_num(m, number, decimal, false);
        return rest ? rlvr__mx_many(m, op, 0, list, rest + 1) : list[0];
    }
    return rest == 1 ? list[1] : rlvr__mx_many(m, op, 0, list + 1, rest);
}

static const rlvr__mx *rlvr__mx_add(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    const rlvr__mx *arg[2] = {a, b};
    return rlvr__mx_fold(m, RLVR__M_ADD, arg, 2);
}

static const rlvr__mx *rlvr__mx_mul(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    const rlvr__mx *arg[2] = {a, b};
    return rlvr__mx_fold(m, RLVR__M_MUL, arg, 2);
}

static const rlvr__mx *rlvr__mx_neg(rlvr__math *m, const rlvr__mx *a)
{
    if (!a) return NULL;
    if (a->op == RLVR__M_NUM) return rlvr__mx_num(m, rlvr__rat_neg(a->rat), a->decimal, a->literal);
    if (a->op == RLVR__M_PCT && a->arg[0]->op == RLVR__M_NUM) return rlvr__mx_one(m, RLVR__M_PCT, 0, rlvr__mx_neg(m, a->arg[0]));
    return rlvr__mx_mul(m, rlvr__mx_int(m, -1), a);
}

/* A power: of fractions exact where it is a fraction of bearable size. */
static const rlvr__mx *rlvr__mx_pow(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    int32_t e, k;
    if (!a || !b) return NULL;
    if (rlvr__mx_is_int(b, 1)) return a;
    if (a->op == RLVR__M_NUM && b->op == RLVR__M_NUM && rlvr__rat_int(b->rat, &e) && (a->rat.p.n || e >= 0)) {
        rlvr__rat r = rlvr__rat_pow(m, a->rat, e);
        if (rlvr__rat_ok(r)) return rlvr__mx_num(m, r, a->decimal || b->decimal, false);
    } else if (a->op == RLVR__M_NUM && b->op == RLVR__M_NUM && !a->rat.negative && a->rat.p.n && !b->decimal) {
        rlvr__rat whole = b->rat, r = a->rat, of = b->rat;
        whole.q = of.q = rlvr__big_of(m, 1);
        of.p = b->rat.q;
        of.negative = false;
        if (rlvr__rat_int(whole, &e) && rlvr__rat_int(of, &k)) {
            r.p = rlvr__big_root(m, r.p, (uint32_t)k);
            r.q = r.p.n >= 0 ? rlvr__big_root(m, r.q, (uint32_t)k) : r.p;
            if (rlvr__rat_ok(r)) r = rlvr__rat_pow(m, r, e);
            if (rlvr__rat_ok(r)) return rlvr__mx_num(m, r, a->decimal, false);
        }
    }
    return rlvr__mx_two(m, RLVR__M_POW, 0, a, b);
}

/* n! and n over k of whole numbers, exact where they are of bearable size; otherwise they stay as they stand. */
static const rlvr__mx *rlvr__mx_factorial(rlvr__math *m, const rlvr__mx *x)
{
    int32_t n;
    rlvr__big r = rlvr__big_of(m, 1);
    if (!x || x->op != RLVR__M_NUM || x->decimal || !rlvr__rat_int(x->rat, &n) || n < 0 || n > 1000) return rlvr__mx_one(m,
        RLVR__M_FN, RLVR__F_FACT, x);
    for (int32_t i = 2; i <= n && r.n >= 0; i++) r = rlvr__big_mul(m, r, rlvr__big_of(m, (uint64_t)i));
    rlvr__rat value = {r, rlvr__big_of(m, 1), false};
    return r.n < 0 ? rlvr__mx_one(m, RLVR__M_FN, RLVR__F_FACT, x) : rlvr__mx_num(m, value, false, false);
}

static const rlvr__mx *rlvr__mx_binomial(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    int32_t n, k;
    bool whole = a && b && a->op == RLVR__M_NUM && b->op == RLVR__M_NUM && rlvr__rat_int(a->rat, &n) && rlvr__rat_int(b->rat, &k);
    if (!whole || k < 0 || n < k || n > 4000) return rlvr__mx_two(m, RLVR__M_FN, RLVR__F_BINOM, a, b);
    rlvr__big r = rlvr__big_of(m, 1);
    k = RLVR__MIN(k, n - k);
    for (int32_t i = 1; i <= k && r.n >= 0; i++)
        r = rlvr__big_div(m, rlvr__big_mul(m, r, rlvr__big_of(m, (uint64_t)(n - k + i))), rlvr__big_of(m, (uint64_t)i), NULL);
    rlvr__rat value = {r, rlvr__big_of(m, 1), false};
    return r.n < 0 ? rlvr__mx_two(m, RLVR__M_FN, RLVR__F_BINOM, a, b) : rlvr__mx_num(m, value, false, false);
}

static const rlvr__mx *rlvr__mx_div(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    if (!a || !b) return NULL;
    bool plain = a->op == RLVR__M_NUM && b->op == RLVR__M_NUM && a->literal && b->literal && rlvr__rat_whole(a->rat) &&
                 rlvr__rat_whole(b->rat) && b->rat.p.n && !a->decimal && !b->decimal;
    if (plain) return rlvr__mx_num(m, rlvr__rat_make(m, a->rat.p, b->rat.p, a->rat.negative != b->rat.negative), false, true);
    return rlvr__mx_mul(m, a, rlvr__mx_pow(m, b, rlvr__mx_int(m, -1)));
}

static const rlvr__mx *rlvr__mx_sub(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b) { return rlvr__mx_add(m, a,
    rlvr__mx_neg(m, b)); }

static bool rlvr__mx_set_like(const rlvr__mx *x) { return x->op >= RLVR__M_TUPLE && x->op <= RLVR__M_MINUS; }

/* ============================================================================================
   15.3 MATH: CLEANING                                                             >>math-clean
   ============================================================================================ */

/* A candidate for an answer is cleaned before it is read, in one pass, into a copy. Cleaning drops what does not matter (\left,
   \right, \displaystyle, LaTeX's spaces, dollar signs, quotes, punctuation at the end), writes signs of Unicode as commands,
   makes `and` and `or` a comma and the word percent a sign, and takes a unit off the end: \text{...} behind something, or words
   behind a numeral. */

#define RLVR__MATH_TEXT ((size_t)8192)      /* the longest answer that is read */

typedef struct rlvr__mtext {      /* a cleaned candidate */
    char *s;
    size_t n;
    const char *unit;             /* taken off its end; NULL: none */
    size_t n_unit;
} rlvr__mtext;

typedef struct rlvr__mclean { const char *p, *end; char *out; size_t n, cap; bool matrix; } rlvr__mclean;

static bool rlvr__mclean_put(rlvr__mclean *c, const char *s)
{
    size_t n = strlen(s);
    if (c->n + n + 1 > c->cap) return false;
    memcpy(c->out + c->n, s, n);
    c->n += n;
    return true;
}

/* Length of the command's name behind a backslash at p. */
static int rlvr__command_len(const char *p, const char *end)
{
    const char *q = p + 1;
    while (q < end && rlvr__is_alpha(*q)) q++;
    return (int)(q - p - 1);
}

static bool rlvr__word_is(const char *p, int n, const char *word) { return (int)strlen(word) == n && memcmp(p, word,
    (size_t)n) == 0; }

static bool rlvr__word_in(const char *p, int n, const char *const *list)
{
    for (; *list; list++)
        if (rlvr__word_is(p, n, *list)) return true;
    return false;
}

/* Signs of Unicode and the commands that stand for them. */
static int rlvr__clean_unicode(const char *p, const char *end, const char **to)
{
    static const char *const sign[][2] = {
        {"\xe2\x88\x92", "-"}, {"\xe2\x80\x93", "-"}, {"\xef\xbc\x8d", "-"}, {"\xc3\x97", "\\times "}, {"\xc2\xb7", "\\cdot "},
        {"\xe2\x8b\x85", "\\cdot "}, {"\xe2\x88\x97", "*"}, {"\xc3\xb7", "\\div "}, {"\xcf\x80", "\\pi "}, {"\xe2\x88\x9e",
            "\\infty "},
        {"\xe2\x89\xa4", "\\le "}, {"\xe2\x89\xa5", "\\ge "}, {"\xe2\x89\xa0", "\\ne "}, {"\xe2\x89\x88", "\\approx "},
            {"\xc2\xb1", "\\pm "},
        {"\xc2\xb0", "^\\circ "}, {"\xe2\x88\xaa", "\\cup "}, {"\xe2\x88\xa9", "\\cap "}, {"\xe2\x88\x88", "\\in "},
            {"\xe2\x88\x85", "\\emptyset "},
        {"\xc2\xb2", "^2"}, {"\xc2\xb3", "^3"}, {"\xc2\xbd", "\\frac{1}{2}"}, {"\xc2\xbc", "\\frac{1}{4}"}, {"\xc2\xbe",
            "\\frac{3}{4}"},
        {"\xe2\x88\x9a", "\\sqrt "}, {"\xe2\x84\x9d", "\\mathbb{R}"}, {"\xe2\x84\xa4", "\\mathbb{Z}"}, {"\xce\xb1", "\\alpha "},
        {"\xce\xb2", "\\beta "}, {"\xce\xb3", "\\gamma "}, {"\xce\xb4", "\\delta "}, {"\xce\xb8", "\\theta "}, {"\xce\xbb",
            "\\lambda "},
        {"\xce\xbc", "\\mu "}, {"\xcf\x81", "\\rho "}, {"\xcf\x83", "\\sigma "}, {"\xcf\x84", "\\tau "}, {"\xcf\x86", "\\phi "},
        {"\xcf\x89", "\\omega "}, {"\xe2\x80\x89", " "}, {"\xe2\x80\xaf", " "}, {"\xc2\xa0", " "}, {"\xe2\x82\xac", ""},
            {"\xc2\xa3", ""},
        {"\xe2\x80\xa6", " "}, {"\xe2\x80\x99", ""}, {NULL, NULL}};
    for (int i = 0; sign[i][0]; i++)
        if (rlvr__starts(p, end, sign[i][0])) { *to = sign[i][1]; return (int)strlen(sign[i][0]); }
    return 0;
}

/* Three digits and no fourth at p, behind a digit: a group of thousands. */
static bool rlvr__thousands_at(const rlvr__mclean *c, const char *p)
{
    return c->n && rlvr__is_digit(c->out[c->n - 1]) && c->end - p >= 3 && rlvr__is_digit(p[0]) && rlvr__is_digit(p[1]) &&
           rlvr__is_digit(p[2]) && (c->end - p == 3 || !rlvr__is_digit(p[3]));
}

/* One command; what is not changed is copied. */
static bool rlvr__clean_command(rlvr__mclean *c)
{
    static const char *const text[] = {"mathrm", "mathit", "mathbf", "mathsf", "textnormal", "textbf", "textit", "textrm", "mbox",
                                       "boldsymbol", "bm", "textsf", "emph", NULL};
    static const char *const drop[] = {"displaystyle", "textstyle", "limits", "big", "Big", "bigg", "Bigg", "bigl", "bigr",
        "Bigl", "Bigr",
                                       "biggl", "biggr", "left", "right", "mleft", "mright", "middle", "rm", "bf", "it", NULL};
    static const char *const space[] = {"quad", "qquad", "enspace", "thinspace", "ldots", "dots", "cdots", "hfill", NULL};
    const char *p = c->p, *end = c->end;
    int n = rlvr__command_len(p, end);
    if (n == 0) {
        char next = p + 1 < end ? p[1] : 0;
        c->p += next ? 2 : 1;
        if (next == '\\') {      /* a row's end, or a command whose backslash was doubled */
            if (!c->matrix && c->p < end && rlvr__is_alpha(*c->p)) { c->p--; return true; }
            return rlvr__mclean_put(c, c->matrix ? "\\\\" : " ");
        }
        if (next == '!') { while (c->p < end && *c->p == ' ') c->p++; return true; }
        if (next == ',' && rlvr__thousands_at(c, c->p)) return rlvr__mclean_put(c, ",");
        if (next == '$' || next == '(' || next == ')') return true;
        if (next && strchr(" ,;:>/", next)) return rlvr__mclean_put(c, " ");
        char pair[3] = {'\\', next, 0};
        return next && next != '\n' ? rlvr__mclean_put(c, next == '[' ? "[" : next == ']' ? "]" : pair) : true;
    }
    c->p += n + 1;
    if (rlvr__word_in(p + 1, n, drop)) {
        if ((n >= 4) && c->p < end && *c->p == '.') c->p++;
        return true;
    }
    if (rlvr__word_in(p + 1, n, space)) {
        while (c->n && p[1] != 'q' && (c->out[c->n - 1] == ' ' || c->out[c->n - 1] == ',')) c->n--;
        return rlvr__mclean_put(c, " ");
    }
    if (rlvr__word_in(p + 1, n, text) && c->p < end && (*c->p == '{' || *c->p == ' ')) return rlvr__mclean_put(c, "\\text");
    if (n == 5 && memcmp(p + 2, "frac", 4) == 0) return rlvr__mclean_put(c, "\\frac");
    if (rlvr__word_is(p + 1, n, "text")) {      /* \text{ and } */
        const char *q = c->p, *w;
        while (q < end && *q == ' ') q++;
        if (q < end && *q == '{') {
            for (q++; q < end && *q == ' ';) q++;
            for (w = q; q < end && rlvr__is_alpha(*q);) q++;
            const char *close = q;
            while (close < end && *close == ' ') close++;
            if (close < end && *close == '}' && (rlvr__word_is(w, (int)(q - w), "and") || rlvr__word_is(w, (int)(q - w), "or"))) {
                c->p = close + 1;
                while (c->n && (c->out[c->n - 1] == ' ' || c->out[c->n - 1] == ',')) c->n--;
                return rlvr__mclean_put(c, ", ");
            }
            if (close < end && *close == '}' && rlvr__word_is(w, (int)(q - w), "percent")) { c->p = close + 1;
                return rlvr__mclean_put(c, "\\%"); }
        }
    }
    if (c->n + (size_t)n + 2 > c->cap) return false;
    memcpy(c->out + c->n, p, (size_t)n + 1);
    c->n += (size_t)n + 1;
    return true;
}

/* A word of letters: `and` and `or` part, `percent` and `infinity` are signs; any other is copied. */
static bool rlvr__clean_word(rlvr__mclean *c)
{
    const char *p = c->p;
    while (c->p < c->end && rlvr__is_alpha(*c->p)) c->p++;
    int n = (int)(c->p - p);
    if (rlvr__word_is(p, n, "and") || rlvr__word_is(p, n, "or")) {
        while (c->n && (c->out[c->n - 1] == ' ' || c->out[c->n - 1] == ',')) c->n--;
        return rlvr__mclean_put(c, ", ");
    }
    if (rlvr__word_is(p, n, "percent") || rlvr__word_is(p, n, "percentage") || rlvr__word_is(p, n,
        "pct")) return rlvr__mclean_put(c, "\\%");
    if (rlvr__word_is(p, n, "infinity") || rlvr__word_is(p, n, "inf")) return rlvr__mclean_put(c, "\\infty ");
    if (n == 4 && memcmp(p, "sqrt", 4) == 0) return rlvr__mclean_put(c, "\\sqrt");
    if (c->n + (size_t)n + 1 > c->cap) return false;
    memcpy(c->out + c->n, p, (size_t)n);
    c->n += (size_t)n;
    return true;
}

static bool rlvr__is_unit_word(const char *p, int n)
{
    static const char *const list[] = {"cm", "mm", "km", "m", "kg", "mg", "g", "lb", "lbs", "oz", "ft", "feet", "foot", "inch",
        "inches", "yd",
        "mile", "miles", "mph", "kmh", "kmph", "sec", "second", "seconds", "min", "mins", "minute", "minutes", "hr", "hrs",
            "hour", "hours", "day",
        "days", "week", "weeks", "month", "months", "year", "years", "yr", "yrs", "cent", "cents", "dollar", "dollars", "rupee",
            "rupees", "euro",
        "euros", "pound", "pounds", "gallon", "gallons", "liter", "liters", "litre", "litres", "meter", "meters", "metre",
            "metres", "degree",
        "degrees", "deg", "unit", "units", "square", "cubic", "sq", "cu", "point", "points", "student", "students", "apple",
            "apples", "coin",
        "coins", "men", "women", "acre", "acres", "ohm", "ohms", "ml", "s", "h", "l", "yard", "yards", "digit", "digits", "per",
            "rad", NULL};
    return rlvr__word_in(p, n, list);
}

/* A numeral and nothing else: digits, separators, \frac{1}{2}, a sign, a percent sign. */
static bool rlvr__is_numeral_text(const char *s, size_t n)
{
    bool digit = false;
    for (size_t i = 0; i < n; i++) {
        if (rlvr__is_digit(s[i])) digit = true;
        else if (s[i] == '\\' && n - i >= 5 && memcmp(s + i, "\\frac", 5) == 0) i += 4;
        else if (!strchr("+-.,/{} ", s[i]) || !s[i]) return false;
    }
    return digit;
}

static void rlvr__clean_tail(rlvr__mtext *t)
{
    while (t->n && (rlvr__is_space(t->s[t->n - 1]) || (strchr(".,;:*?", t->s[t->n - 1]) && !(t->n > 1 &&
        t->s[t->n - 2] == '\\')))) t->n--;
    t->s[t->n] = 0;
}

/* Takes a unit off the end. */
static void rlvr__clean_unit(rlvr__mtext *t)
{
    char *s = t->s;
    size_t n = t->n, last = n;
    if (n > 2 && rlvr__is_digit(s[n - 1]) && s[n - 2] == '^') n -= 2;
    else if (n > 4 && s[n - 1] == '}' && rlvr__is_digit(s[n - 2]) && (s[n - 3] == '{' || s[n - 3] == '^')) n -= s[n - 3] == '{'
        ? 4 : 4;
    if (n > 7 && s[n - 1] == '}') {      /* the last \text{...} */
        size_t at = n - 1;
        while (at > 0 && s[at] != '{') at--;
        size_t name = at;
        while (name > 0 && s[name - 1] == ' ') name--;
        if (name >= 5 && memcmp(s + name - 5, "\\text", 5) == 0) {
            size_t cut = name - 5;
            while (cut && s[cut - 1] == ' ') cut--;
            if (cut && !strchr("=,<>+-*/(^_{&[;:", s[cut - 1]) && !(cut > 2 && memcmp(s + cut - 3, "\\in", 3) == 0)) {
                t->unit = s + at + 1;
                t->n_unit = last - at - 1;
                t->n = cut;
                return;
            }
        }
    }
    size_t words = t->n;      /* words behind a numeral, or known units behind anything */
    while (words && (rlvr__is_alpha(s[words - 1]) || s[words - 1] == ' ' || (s[words - 1] == '/' && words > 1 &&
        rlvr__is_alpha(s[words - 2])) ||
                     (words + 1 < t->n && s[words - 1] == '^' && words > 1 && rlvr__is_alpha(s[words - 2])) ||
                     (words > 1 && rlvr__is_digit(s[words - 1]) && s[words - 2] == '^'))) words--;
    if (!words || words == t->n || s[words - 1] == '\\' || strchr("=,<>+-*/(^_&[;:", s[words - 1])) return;
    size_t first = words, end;
    while (first < t->n && s[first] == ' ') first++;
    for (end = first; end < t->n && rlvr__is_alpha(s[end]);) end++;
    bool numeral = rlvr__is_numeral_text(s, words), spaced = first > words, known = rlvr__is_unit_word(s + first,
        (int)(end - first));
    if (first >= t->n || (numeral ? !(known || (spaced && end - first >= 3)) : !(known && (spaced || end - first >= 2)))) return;
    if (!numeral && end < t->n) return;
    if (!numeral && !spaced && end - first < 3 && s[words - 1] != '}') return;
    t->unit = s + first;
    t->n_unit = t->n - first;
    t->n = words;
}

/* Cleans a candidate into memory of m; false where it is too long. The unit's text stays behind the NUL. */
static bool rlvr__math_clean(rlvr__math *m, const char *s, size_t n, rlvr__mtext *out)
{
    memset(out, 0, sizeof *out);
    if (n > RLVR__MATH_TEXT) { m->limit = true; return false; }
    size_t cap = 4 * n + 64;
    rlvr__mclean c = {s, s + n, RLVR__MATH_NEW(m, char, cap), 0, cap, false};
    if (!c.out) return false;
    for (size_t i = 0; i + 6 <= n && !c.matrix; i++) c.matrix = s[i] == '\\' && memcmp(s + i, "\\begin", 6) == 0;
    while (c.p < c.end) {
        const char *to = NULL;
        int k;
        bool ok = true;
        char ch = *c.p;
        if (ch == '\\') ok = rlvr__clean_command(&c);
        else if (rlvr__is_alpha(ch)) ok = rlvr__clean_word(&c);
        else if (ch == '$' || ch == '"' || ch == '\'' || ch == '`') c.p++;
        else if (ch == '{' && rlvr__starts(c.p, c.end, "{,}")) { c.p += 3; ok = rlvr__mclean_put(&c, ","); }
        else if (ch == '~' || (unsigned char)ch < 32) { c.p++; ok = rlvr__mclean_put(&c, " "); }
        else if (ch == '*' && c.p + 1 < c.end && c.p[1] == '*') c.p += 2;
        else if ((unsigned char)ch >= 0x80 && (k = rlvr__clean_unicode(c.p, c.end, &to)) > 0) { c.p += k;
            ok = rlvr__mclean_put(&c, to); }
        else { c.p++; ok = c.n + 2 <= c.cap; if (ok) c.out[c.n++] = ch; }
        if (!ok) { m->limit = true; return false; }
    }
    size_t lead = 0;
    while (lead < c.n && rlvr__is_space(c.out[lead])) lead++;
    out->s = c.out + lead;
    out->n = c.n - lead;
    rlvr__clean_tail(out);
    rlvr__clean_unit(out);
    if (out->unit) {      /* apart from what is left, so that a NUL may end it */
        char *copy = RLVR__MATH_NEW(m, char, out->n_unit + 1);
        if (!copy) return false;
        memcpy(copy, out->unit, out->n_unit);
        out->unit = copy;
        rlvr__clean_tail(out);
    }
    return true;
}

/* ============================================================================================
   15.3a MATH: READING                                                              >>math-read
   ============================================================================================ */

/* Recursive descent over a cleaned text. From loose to tight: `,` and `;` make a list; relations, chained ones too; \cup \cap
   \setminus; + -; * / : \div \cdot \times \mod; a sign; factors side by side (so 1/2x is 1/(2x)); ^ and !. \pm gives both
   values. A whole number before a \frac of whole numbers is a mixed number. Letters are single variables, capitals are as small
   ones; e is Euler's number, i the imaginary unit. \text{...} is one name. (a,b) and [a,b] are an interval or a pair, more
   elements are a tuple, \{...\} is a set. 1,234 is a number where it is the whole answer, or where a group starts with 0. */

typedef struct rlvr__mread {
    rlvr__math *m;
    const char *begin, *p, *end;
    int depth, bars;
    bool minus;          /* which value of \pm is read */
    bool both;           /* there was a \pm */
    bool no_function;    /* an argument without brackets ends at the next function */
    bool integral;       /* ... and at the next dx */
} rlvr__mread;

static const rlvr__mx *rlvr__read_list(rlvr__mread *r, bool set);
static const rlvr__mx *rlvr__read_relation(rlvr__mread *r);
static const rlvr__mx *rlvr__read_add(rlvr__mread *r);
static const rlvr__mx *rlvr__read_mul(rlvr__mread *r);
static const rlvr__mx *rlvr__read_unary(rlvr__mread *r);
static const rlvr__mx *rlvr__read_power(rlvr__mread *r);

static void rlvr__read_skip(rlvr__mread *r) { while (r->p < r->end && *r->p == ' ') r->p++; }

static bool rlvr__read_char(rlvr__mread *r, char c)
{
    rlvr__read_skip(r);
    if (r->p >= r->end || *r->p != c) return false;
    r->p++;
    return true;
}

static bool rlvr__read_is(rlvr__mread *r, const char *command)      /* a command with its backslash, not passed */
{
    rlvr__read_skip(r);
    size_t n = strlen(command);
    return rlvr__starts(r->p, r->end, command) && (!rlvr__is_alpha(command[n - 1]) || r->p + n == r->end ||
        !rlvr__is_alpha(r->p[n]));
}

static bool rlvr__read_command(rlvr__mread *r, const char *command)
{
    if (!rlvr__read_is(r, command)) return false;
    r->p += strlen(command);
    return true;
}

static int rlvr__read_any(rlvr__mread *r, const char *const *list)      /* index of the command that was passed; -1 */
{
    for (int i = 0; list[i]; i++)
        if (rlvr__read_command(r, list[i])) return i;
    return -1;
}

static bool rlvr__read_deeper(rlvr__mread *r)
{
    if (++r->depth <= RLVR__MATH_DEPTH && rlvr__math_spend(r->m, 20)) return true;
    r->m->limit = true;
    return false;
}

/* {expression} */
static const rlvr__mx *rlvr__read_braces(rlvr__mread *r)
{
    bool no_function = r->no_function;
    if (!rlvr__read_char(r, '{')) return NULL;
    r->no_function = false;
    const rlvr__mx *x = rlvr__read_list(r, false);
    r->no_function = no_function;
    return x && rlvr__read_char(r, '}') ? x : NULL;
}

/* An argument of \frac and the like: a group, one digit, or one atom. */
static const rlvr__mx *rlvr__read_argument(rlvr__mread *r)
{
    rlvr__read_skip(r);
    if (r->p < r->end && *r->p == '{') return rlvr__read_braces(r);
    if (r->p < r->end && rlvr__is_digit(*r->p)) return rlvr__mx_int(r->m, *r->p++ - '0');
    return rlvr__read_power(r);
}

/* An exponent or an index: a group, a signed number, or one atom. */
static const rlvr__mx *rlvr__read_script(rlvr__mread *r)
{
    if (!rlvr__read_deeper(r)) return NULL;
    const rlvr__mx *x;
    if (rlvr__read_char(r, '-')) x = rlvr__mx_neg(r->m, rlvr__read_script(r));
    else if (r->p < r->end && rlvr__is_digit(*r->p)) {
        const char *s = r->p;
        while (r->p < r->end && (rlvr__is_digit(*r->p) || (*r->p == '.' && r->p + 1 < r->end && rlvr__is_digit(r->p[1])))) r->p++;
        x = rlvr__mx_num(r->m, rlvr__rat_read(r->m, s, (size_t)(r->p - s)), memchr(s, '.', (size_t)(r->p - s)) != NULL, true);
    } else {
        rlvr__read_skip(r);
        x = r->p < r->end && *r->p == '{' ? rlvr__read_braces(r) : r->p < r->end && *r->p == '^' ? NULL : rlvr__read_power(r);
    }
    r->depth--;
    return x;
}

/* A numeral: digits, groups of thousands where they make up the whole answer, a point, an exponent, a period under a bar. */
static const rlvr__mx *rlvr__read_number(rlvr__mread *r)
{
    const char *s = r->p, *p = s, *end = r->end;
    bool point = false;
    while (p < end && rlvr__is_digit(*p)) p++;
    if (p - s >= 1 && p - s <= 3 && *s != '0' && p < end && *p == ',') {
        const char *q = p, *before = s;
        bool zero = false;      /* a group that no element of a list would start with */
        for (; end - q >= 4 && *q == ',' && rlvr__is_digit(q[1]) && rlvr__is_digit(q[2]) && rlvr__is_digit(q[3]) &&
               (end - q == 4 || !rlvr__is_digit(q[4])); q += 4) zero |= q[1] == '0';
        while (before > r->begin && strchr(" +-", before[-1])) before--;
        const char *after = q;
        if (after + 1 < end && *after == '.' && rlvr__is_digit(after[1]))
            for (after++; after < end && rlvr__is_digit(*after);) after++;
        while (after < end && (*after == ' ' || *after == '\\' || *after == '%')) after++;
        if (zero || (before == r->begin && after == end)) p = q;
    }
    if (p < end && *p == '.' && !(p + 1 < end && p[1] == '.')) {
        if (p + 1 < end && rlvr__is_digit(p[1])) {
            point = true;
            for (p++; p < end && rlvr__is_digit(*p);) p++;
        } else if (rlvr__starts(p, end, ".\\overline{") || rlvr__starts(p, end, ".\\bar{")) { point = true; p++; }
        else if (p > s) { r->p = p + 1; return rlvr__mx_num(r->m, rlvr__rat_read(r->m, s, (size_t)(p - s)), false, true); }
    }
    if (point && p + 1 < end && *p == '.' && rlvr__is_digit(p[1])) return NULL;      /* 1.2.3 */
    rlvr__rat v = rlvr__rat_read(r->m, s, (size_t)(p - s));
    r->p = p;
    if (point && (rlvr__starts(p, end, "\\overline{") || rlvr__starts(p, end, "\\bar{"))) {      /* 0.1\overline{6} */
        const char *digits = p + (p[1] == 'o' ? 10 : 5), *q = digits;
        while (q < end && rlvr__is_digit(*q)) q++;
        if (q > digits && q < end && *q == '}' && q - digits < 60) {
            const char *dot = (const char *)memchr(s, '.', (size_t)(p - s));
            rlvr__big ten = rlvr__big_of(r->m, 10);
            rlvr__big nines = rlvr__big_sub(r->m, rlvr__big_pow(r->m, ten, (uint32_t)(q - digits)), rlvr__big_of(r->m, 1));
            rlvr__big scale = rlvr__big_pow(r->m, ten, (uint32_t)(p - dot - 1));
            rlvr__rat period = rlvr__rat_read(r->m, digits, (size_t)(q - digits));
            r->p = q + 1;
            v = rlvr__rat_add(r->m, v, rlvr__rat_make(r->m, period.p, rlvr__big_mul(r->m, nines, scale), false));
            return rlvr__mx_num(r->m, v, false, true);
        }
    }
    if (p + 1 < end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        bool minus = *q == '-';
        int32_t e = 0;
        if (*q == '-' || *q == '+') q++;
        const char *digits = q;
        for (; q < end && rlvr__is_digit(*q) && e < 100000; q++) e = e * 10 + (*q - '0');
        if (q > digits && !(q < end && (rlvr__is_alpha(*q) || rlvr__is_digit(*q)))) {
            r->p = q;
            v = rlvr__rat_mul(r->m, v, rlvr__rat_pow(r->m, rlvr__rat_of(r->m, 10), minus ? -e : e));
            if (!rlvr__rat_ok(v)) r->m->limit = true;
        }
    }
    if (!rlvr__rat_ok(v)) { r->m->limit = true; return NULL; }
    return rlvr__mx_num(r->m, v, point, true);
}

/* The raw text of an index or a group, as a part of a name: without braces and spaces. */
static void rlvr__read_name_part(rlvr__mread *r, char *name, size_t *n, size_t cap)
{
    rlvr__read_skip(r);
    const char *s = r->p, *e = s < r->end ? s + 1 : s;
    if (s < r->end && *s == '{') e = rlvr__group_end(s, r->end);
    else if (s < r->end && *s == '\\') e = s + 1 + rlvr__command_len(s, r->end);
    else while (s < r->end && rlvr__is_digit(*s) && e < r->end && rlvr__is_digit(*e)) e++;
    if (!e) e = r->end;
    r->p = e;
    for (; s < e && *n + 1 < cap; s++)
        if (!strchr("{} ()", *s) || !*s) name[(*n)++] = *s;
}

/* A name and its index; arguments in brackets where it is a function's. */
static const rlvr__mx *rlvr__read_symbol(rlvr__mread *r, const char *base, size_t n_base, bool function)
{
    char name[160];
    size_t n = RLVR__MIN(n_base, sizeof name - 2);
    memcpy(name, base, n);
    rlvr__read_skip(r);
    if (r->p < r->end && *r->p == '_') {
        r->p++;
        name[n++] = '_';
        rlvr__read_name_part(r, name, &n, sizeof name);
    }
    if (function && r->p < r->end && *r->p == '(') {
        const char *begin = r->p;
        r->p++;
        const rlvr__mx *arg = rlvr__read_list(r, false);
        if (!arg || !rlvr__read_char(r, ')')) return NULL;
        rlvr__mx *x = rlvr__mx_new(r->m, RLVR__M_CALL, 0, arg->op == RLVR__M_SET ? arg->n : 1);
        char *copy = x && r->p > begin ? RLVR__MATH_NEW(r->m, char, n + 1) : NULL;
        if (!copy) return NULL;
        memcpy(copy, name, n);
        x->name = copy;
        x->name_len = (int)n;
        for (int i = 0; i < x->n; i++) x->arg[i] = arg->op == RLVR__M_SET ? arg->arg[i] : arg;
        return rlvr__mx_done(x);
    }
    return n ? rlvr__mx_name(r->m, RLVR__M_SYM, name, n) : NULL;
}

/* Brackets: ( [ \{ with what stands in them. */
static const rlvr__mx *rlvr__read_brackets(rlvr__mread *r)
{
    bool no_function = r->no_function, set = false, open = *r->p == '(';
    if (*r->p == '\\') { set = true; r->p += *(r->p + 1) == '{' ? 2 : 7; }
    else r->p++;
    r->no_function = false;
    int bars = r->bars;
    r->bars = 0;
    if (set && (rlvr__read_command(r, "\\}") || rlvr__read_command(r, "\\rbrace"))) {
        r->no_function = no_function;
        return rlvr__mx_many(r->m, RLVR__M_SET, 0, NULL, 0);
    }
    const rlvr__mx *x = rlvr__read_list(r, set);
    r->bars = bars;
    r->no_function = no_function;
    rlvr__read_skip(r);
    if (!x || r->p >= r->end) return NULL;
    if (set) return rlvr__read_command(r, "\\}") || rlvr__read_command(r, "\\rbrace") ? x : NULL;
    char close = *r->p++;
    if (close != ')' && close != ']') return NULL;
    bool list = x->op == RLVR__M_SET && x->id == 1;
    if (!list) return open == (close == ')') ? x : NULL;
    if (x->n == 2) return rlvr__mx_many(r->m, RLVR__M_INTERVAL, (open ? 1 : 0) | (close == ')' ? 2 : 0), x->arg, 2);
    return rlvr__mx_many(r->m, RLVR__M_TUPLE, 0, x->arg, x->n);
}

/* \begin{pmatrix}a&b\\c&d\end{pmatrix}; vmatrix is its determinant. */
static const rlvr__mx *rlvr__read_matrix(rlvr__mread *r)
{
    char name[24], skipped[8];
    size_t len = 0, none = 0;
    int n = 0, cap = 16, columns = 0, row = 0;
    rlvr__read_name_part(r, name, &len, sizeof name);
    name[len] = 0;
    if (!strstr(name, "matrix") && strcmp(name, "array")) return NULL;
    if (!strcmp(name, "array")) rlvr__read_name_part(r, skipped, &none, sizeof skipped);
    const rlvr__mx **list = RLVR__MATH_NEW(r->m, const rlvr__mx *, cap);
    bool no_function = r->no_function;
    r->no_function = false;
    for (;;) {
        if (rlvr__read_is(r, "\\end")) break;
        const rlvr__mx *x = rlvr__read_relation(r);
        if (!x || !list) return NULL;
        if (n == cap) {
            const rlvr__mx **more = RLVR__MATH_NEW(r->m, const rlvr__mx *, cap *= 2);
            if (!more) return NULL;
            memcpy(more, list, (size_t)n * sizeof *list);
            list = more;
        }
        list[n++] = x;
        row++;
        if (rlvr__read_char(r, '&')) continue;
        if (columns && row != columns) return NULL;
        columns = row;
        row = 0;
        if (rlvr__starts(r->p, r->end, "\\\\")) r->p += 2;
        else if (!rlvr__read_is(r, "\\end")) return NULL;
    }
    r->no_function = no_function;
    if (row || !n || !rlvr__read_command(r, "\\end")) return NULL;
    rlvr__read_skip(r);
    if (r->end - r->p < (ptrdiff_t)len + 2 || *r->p != '{' || memcmp(r->p + 1, name, len) != 0 ||
        r->p[len + 1] != '}') return NULL;
    r->p += len + 2;
    const rlvr__mx *x = rlvr__mx_many(r->m, RLVR__M_MATRIX, columns, list, n);
    return x && name[0] == 'v' ? rlvr__mx_one(r->m, RLVR__M_FN, RLVR__F_DET, x) : x;
}

/* Behind a function's name: its exponent, then its argument. */
static const rlvr__mx *rlvr__read_function(rlvr__mread *r, int fn)
{
    const rlvr__mx *power = NULL, *arg, *x;
    if (rlvr__read_char(r, '^') && !(power = rlvr__read_script(r))) return NULL;
    if (power && rlvr__mx_is_int(power, -1)) {
        if (fn <= RLVR__F_COT) fn += RLVR__F_ASIN - RLVR__F_SIN;
        else if (fn >= RLVR__F_SINH && fn <= RLVR__F_TANH) fn += RLVR__F_ASINH - RLVR__F_SINH;
        else return NULL;
        power = NULL;
    }
    rlvr__read_skip(r);
    bool several = fn == RLVR__F_GCD || fn == RLVR__F_LCM || fn == RLVR__F_MAX || fn == RLVR__F_MIN;
    if (r->p < r->end && (*r->p == '(' || *r->p == '{' || (several && *r->p == '['))) {
        char close = *r->p == '(' ? ')' : *r->p == '{' ? '}' : ']';
        bool no_function = r->no_function;
        r->p++;
        r->no_function = false;
        arg = rlvr__read_list(r, false);
        r->no_function = no_function;
        if (!arg || !rlvr__read_char(r, close)) return NULL;
    } else if (several && rlvr__starts(r->p, r->end, "\\{")) arg = rlvr__read_brackets(r);
    else {
        bool no_function = r->no_function;
        r->no_function = true;
        arg = rlvr__read_mul(r);
        r->no_function = no_function;
    }
    if (!arg) return NULL;
    if (several && arg->op == RLVR__M_SET) x = rlvr__mx_many(r->m, RLVR__M_FN, fn, arg->arg, arg->n);
    else x = arg->op == RLVR__M_SET ? NULL : rlvr__mx_one(r->m, RLVR__M_FN, fn, arg);
    return power ? rlvr__mx_pow(r->m, x, power) : x;
}

/* \log, \ln, \lg with their base. */
static const rlvr__mx *rlvr__read_log(rlvr__mread *r, const rlvr__mx *base)
{
    if (rlvr__read_char(r, '_')) {
        rlvr__read_skip(r);
        base = r->p < r->end && rlvr__is_digit(*r->p) ? rlvr__read_argument(r) : rlvr__read_script(r);
    }
    const rlvr__mx *log = rlvr__read_function(r, RLVR__F_LOG), *power = NULL, *one;
    if (log && log->op == RLVR__M_POW) { power = log->arg[1]; log = log->arg[0]; }
    if (!log || !base) return NULL;
    one = base->op == RLVR__M_E ? log : rlvr__mx_div(r->m, log, rlvr__mx_one(r->m, RLVR__M_FN, RLVR__F_LOG, base));
    return power ? rlvr__mx_pow(r->m, one, power) : one;
}

/* \sum and \prod with bounds; \int and \lim are kept as they stand. */
static const rlvr__mx *rlvr__read_big_operator(rlvr__mread *r, const char *name)
{
    const rlvr__mx *low = NULL, *high = NULL, *body;
    bool sum = name[0] == 's' || name[0] == 'p', limit = name[0] == 'l';
    for (int i = 0; i < 2; i++) {
        if (rlvr__read_char(r, '_')) {
            if (limit) {
                char raw[120];
                size_t n = 0;
                rlvr__read_name_part(r, raw, &n, sizeof raw);
                low = n ? rlvr__mx_name(r->m, RLVR__M_SYM, raw, n) : NULL;
            } else if (sum) {
                if (!rlvr__read_char(r, '{') || !(low = rlvr__read_relation(r)) || !rlvr__read_char(r, '}')) return NULL;
            } else low = rlvr__read_script(r);
            if (!low) return NULL;
        }
        if (rlvr__read_char(r, '^') && !(high = rlvr__read_script(r))) return NULL;
    }
    bool integral = r->integral;
    r->integral = !limit && !sum;
    body = limit || sum ? rlvr__read_mul(r) : rlvr__read_add(r);
    r->integral = integral;
    if (sum && low && high && low->op == RLVR__M_REL && low->id == RLVR__REL_EQ && low->arg[0]->op == RLVR__M_SYM) {
        const rlvr__mx *arg[4] = {low->arg[0], low->arg[1], high, body};
        return rlvr__mx_many(r->m, name[0] == 's' ? RLVR__M_SUM : RLVR__M_PROD, 0, arg, 4);
    }
    rlvr__mx *x = rlvr__mx_new(r->m, RLVR__M_OPAQUE, 0, 1 + (low != NULL) + (high != NULL));
    if (!x) return NULL;
    x->name = name;
    x->name_len = (int)strlen(name);
    int n = 0;
    x->arg[n++] = body;
    if (low) x->arg[n++] = low;
    if (high) x->arg[n++] = high;
    return rlvr__mx_done(x);
}

static const rlvr__mx *rlvr__read_frac(rlvr__mread *r)
{
    const char *top = r->p, *bottom;
    const rlvr__mx *a = rlvr__read_argument(r);
    rlvr__read_skip(r);
    bottom = r->p;
    const rlvr__mx *b = a ? rlvr__read_argument(r) : NULL;
    if (!b) return NULL;
    bool derivative = r->p - bottom >= 4 && bottom[0] == '{' && bottom[1] == 'd' && rlvr__is_alpha(bottom[2]) &&
        bottom[3] == '}' && top[0] == '{' && top[1] == 'd';
    if (!derivative) return rlvr__mx_div(r->m, a, b);
    rlvr__mx *x = rlvr__mx_new(r->m, RLVR__M_OPAQUE, 0, 2);
    if (!x) return NULL;
    x->name = "d/dx";
    x->name_len = 4;
    x->arg[0] = a;
    x->arg[1] = b;
    return rlvr__mx_done(x);
}

/* An atom that opens with a command that is not a function. */
static const rlvr__mx *rlvr__read_named(rlvr__mread *r)
{
    static const char *const letters[] = {"alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta",
        "vartheta", "iota",
        "kappa", "lambda", "mu", "nu", "xi", "omicron", "rho", "varrho", "sigma", "varsigma", "tau", "upsilon", "phi", "varphi",
            "chi", "psi",
        "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "hbar", "ell", "triangle",
            "angle",
        "square", "partial", "nabla", "imath", "aleph", "perp", "parallel", NULL};
    static const char *const accents[] = {"overline", "bar", "vec", "overrightarrow", "hat", "widehat", "tilde", "widetilde",
        "mathcal", "mathfrak",
        "mathscr", "dot", "ddot", "underline", "overleftrightarrow", NULL};
    const char *p = r->p;
    int n = rlvr__command_len(p, r->end);
    char name[160];
    size_t len = 0;
    if (rlvr__word_is(p + 1, n, "pi") || rlvr__word_is(p + 1, n, "Pi")) { r->p += 3; return rlvr__mx_many(r->m, RLVR__M_PI, 0,
        NULL, 0); }
    if (rlvr__word_is(p + 1, n, "infty")) { r->p += 6; return rlvr__mx_many(r->m, RLVR__M_INF, 0, NULL, 0); }
    if (rlvr__word_is(p + 1, n, "emptyset") || rlvr__word_is(p + 1, n, "varnothing")) {
        r->p += n + 1;
        return rlvr__mx_many(r->m, RLVR__M_SET, 0, NULL, 0);
    }
    if (rlvr__word_in(p + 1, n, letters)) {
        r->p += n + 1;
        if (rlvr__word_is(p + 1, n, "imath")) return rlvr__mx_name(r->m, RLVR__M_SYM, "i", 1);
        return rlvr__read_symbol(r, p + 1, (size_t)n, false);
    }
    if (rlvr__word_is(p + 1, n, "mathbb")) {
        r->p += n + 1;
        rlvr__read_name_part(r, name, &len, sizeof name);
        return len == 1 && strchr("RZNQC", name[0]) && name[0] ? rlvr__mx_many(r->m, RLVR__M_NAMED, name[0], NULL, 0) : NULL;
    }
    if (rlvr__word_in(p + 1, n, accents)) {
        r->p += n + 1;
        const char *as = rlvr__word_is(p + 1, n, "overline") ? "bar" : rlvr__word_is(p + 1, n, "overrightarrow") ? "vec" : NULL;
        len = as ? strlen(as) : (size_t)n;
        memcpy(name, as ? as : p + 1, len);
        name[len++] = '{';
        rlvr__read_name_part(r, name, &len, sizeof name - 2);
        name[len++] = '}';
        return rlvr__read_symbol(r, name, len, false);
    }
    if (rlvr__word_is(p + 1, n, "text")) {
        r->p += n + 1;
        rlvr__read_skip(r);
        const char *close = r->p < r->end && *r->p == '{' ? rlvr__group_end(r->p, r->end) : NULL;
        if (!close) return NULL;
        const char *s = r->p + 1, *e = close - 1;
        r->p = close;
        while (s < e && *s == ' ') s++;
        while (s < e && e[-1] == ' ') e--;
        const char *q = s;
        while (q < e && (rlvr__is_digit(*q) || *q == '.')) q++;
        if (q == e && s < e && rlvr__is_digit(*s)) return rlvr__mx_num(r->m, rlvr__rat_read(r->m, s, (size_t)(e - s)), memchr(s,
            '.', (size_t)(e - s)) != NULL, true);
        for (; s < e && len + 1 < sizeof name; s++)
            if (*s != '(' && *s != ')' && *s != ' ') name[len++] = *s;
        if (len && name[len - 1] == '.') len--;
        return len ? rlvr__read_symbol(r, name, len, false) : NULL;
    }
    return NULL;
}

static const rlvr__mx *rlvr__read_sqrt(rlvr__mread *r)
{
    const rlvr__mx *k = rlvr__mx_int(r->m, 2), *x;
    if (rlvr__read_char(r, '[') && (!(k = rlvr__read_add(r)) || !rlvr__read_char(r, ']'))) return NULL;
    rlvr__read_skip(r);
    if (r->p < r->end && *r->p == '(') x = rlvr__read_brackets(r);
    else x = rlvr__read_argument(r);
    return x && x->op != RLVR__M_SET ? rlvr__mx_pow(r->m, x, rlvr__mx_div(r->m, rlvr__mx_int(r->m, 1), k)) : NULL;
}

/* Index of the function that stands at r->p; -1: none. n: the length with its backslash. */
static int rlvr__function_at(rlvr__mread *r, int *n)
{
    static const char *const names[] = {
#define RLVR__X(id, name) name,
        RLVR__MATH_FNS(RLVR__X)
#undef RLVR__X
        NULL};
    static const struct { const char *name; int fn; } more[] = {
        {"arcsinh", RLVR__F_ASINH}, {"arccosh", RLVR__F_ACOSH}, {"arctanh", RLVR__F_ATANH}, {"cosec", RLVR__F_CSC}, {"ln", -2},
            {"lg", -3}, {NULL, 0}};
    const char *p = r->p;
    if (p >= r->end || *p != '\\') return -1;
    int len = rlvr__command_len(p, r->end);
    *n = len + 1;
    const char *word = p + 1;
    if (rlvr__word_is(word, len, "operatorname") || rlvr__word_is(word, len, "text")) {      /* \operatorname{lcm} */
        const char *open = word + len, *close;
        while (open < r->end && *open == ' ') open++;
        if (open >= r->end || *open != '{') return -1;
        for (close = ++open; close < r->end && rlvr__is_alpha(*close);) close++;
        if (close >= r->end || *close != '}') return -1;
        if (word[0] == 't' && !(close + 1 < r->end && close[1] == '(')) return -1;
        word = open;
        len = (int)(close - open);
        *n = (int)(close + 1 - p);
    }
    if (rlvr__word_is(word, len, "log")) return RLVR__F_LOG;
    for (int i = 0; names[i]; i++)
        if (i != RLVR__F_ABS && i != RLVR__F_FACT && i != RLVR__F_BINOM && i != RLVR__F_MOD && i != RLVR__F_FLOOR &&
            i != RLVR__F_CEIL &&
            i != RLVR__F_TRANSPOSE && rlvr__word_is(word, len, names[i])) return i;
    for (int i = 0; more[i].name; i++)
        if (rlvr__word_is(word, len, more[i].name)) return more[i].fn;
    return -1;
}

static const rlvr__mx *rlvr__read_command_atom(rlvr__mread *r)
{
    static const char *const open[] = {"\\lvert", "\\vert", "\\lfloor", "\\lceil", "\\langle", "\\|", NULL};
    static const char *const close[] = {"\\rvert", "\\vert", "\\rfloor", "\\rceil", "\\rangle", "\\|", NULL};
    static const char *const big[] = {"\\sum", "\\prod", "\\int", "\\lim", NULL};
    int n = 0, k, fn = rlvr__function_at(r, &n);
    if (fn != -1) {
        r->p += n;
        if (fn == -2) return rlvr__read_log(r, rlvr__mx_many(r->m, RLVR__M_E, 0, NULL, 0));
        if (fn == -3 || fn == RLVR__F_LOG) return rlvr__read_log(r, rlvr__mx_int(r->m, 10));
        return rlvr__read_function(r, fn);
    }
    if (rlvr__starts(r->p, r->end, "\\{") || rlvr__read_is(r, "\\lbrace")) return rlvr__read_brackets(r);
    if (rlvr__read_command(r, "\\frac")) return rlvr__read_frac(r);
    if (rlvr__read_command(r, "\\sqrt")) return rlvr__read_sqrt(r);
    if (rlvr__read_command(r, "\\binom") || rlvr__read_command(r, "\\dbinom") || rlvr__read_command(r, "\\tbinom")) {
        const rlvr__mx *a = rlvr__read_argument(r), *b = a ? rlvr__read_argument(r) : NULL;
        return rlvr__mx_binomial(r->m, a, b);
    }
    if (rlvr__read_command(r, "\\begin")) return rlvr__read_matrix(r);
    if ((k = rlvr__read_any(r, big)) >= 0) return rlvr__read_big_operator(r, big[k] + 1);
    if ((k = rlvr__read_any(r, open)) >= 0) {
        bool no_function = r->no_function;
        r->no_function = false;
        const rlvr__mx *x = rlvr__read_list(r, false);
        r->no_function = no_function;
        if (!x || !rlvr__read_command(r, close[k])) return NULL;
        if (k == 4) return x->op == RLVR__M_SET ? rlvr__mx_many(r->m, RLVR__M_TUPLE, 0, x->arg, x->n) : x;
        return rlvr__mx_one(r->m, RLVR__M_FN, k == 2 ? RLVR__F_FLOOR : k == 3 ? RLVR__F_CEIL : RLVR__F_ABS, x);
    }
    return rlvr__read_named(r);
}

static const rlvr__mx *rlvr__read_atom(rlvr__mread *r)
{
    rlvr__read_skip(r);
    if (r->p >= r->end) return NULL;
    char c = *r->p;
    if (rlvr__is_digit(c) || (c == '.' && r->p + 1 < r->end && rlvr__is_digit(r->p[1]))) return rlvr__read_number(r);
    if (rlvr__is_alpha(c)) {
        bool index = r->p + 1 < r->end && r->p[1] == '_';
        if ((c == 'e' || c == 'E') && !index) { r->p++; return rlvr__mx_many(r->m, RLVR__M_E, 0, NULL, 0); }
        r->p++;
        return rlvr__read_symbol(r, r->p - 1, 1, strchr("fghFGHP", c) != NULL);
    }
    if (c == '(' || c == '[') return rlvr__read_brackets(r);
    if (c == '{') return rlvr__read_braces(r);
    if (c == '|' && r->bars < 8) {
        bool no_function = r->no_function;
        r->p++;
        r->bars++;
        r->no_function = false;
        const rlvr__mx *x = rlvr__read_add(r);
        r->bars--;
        r->no_function = no_function;
        return x && rlvr__read_char(r, '|') ? rlvr__mx_one(r->m, RLVR__M_FN, RLVR__F_ABS, x) : NULL;
    }
    return c == '\\' ? rlvr__read_command_atom(r) : NULL;
}

/* Passes ^\circ, ^{\circ}, an ordinal's \text{th}: what an answer's number does not depend on. */
static bool rlvr__read_idle_power(rlvr__mread *r)
{
    static const char *const idle[] = {"^\\circ", "^{\\circ}", "^\\prime", "^{\\prime}", "^{\\text{th}}", "^{\\text{st}}",
        "^{\\text{nd}}",
                                       "^{\\text{rd}}", "^\\text{th}", "^\\text{st}", "^\\text{nd}", "^\\text{rd}", NULL};
    rlvr__read_skip(r);
    int n = rlvr__starts_any(r->p, r->end, idle);
    r->p += n;
    return n > 0;
}

static const rlvr__mx *rlvr__read_power(rlvr__mread *r)
{
    if (!rlvr__read_deeper(r)) return NULL;
    const rlvr__mx *x = rlvr__read_atom(r);
    bool plain = x && x->op == RLVR__M_NUM;
    while (x) {
        if (!rlvr__mx_set_like(x) && rlvr__read_idle_power(r)) continue;
        if (rlvr__read_char(r, '^')) {
            rlvr__read_skip(r);
            bool transpose = rlvr__starts(r->p, r->end, "{T}") || rlvr__starts(r->p, r->end, "T") || rlvr__starts(r->p, r->end,
                "\\top");
            const rlvr__mx *e = rlvr__read_script(r);
            if (transpose && x->op == RLVR__M_MATRIX) x = rlvr__mx_one(r->m, RLVR__M_FN, RLVR__F_TRANSPOSE, x);
            else x = rlvr__mx_pow(r->m, x, e);
        } else if (rlvr__read_char(r, '!')) x = rlvr__mx_factorial(r->m, x);
        else if (rlvr__read_command(r, "\\%") || rlvr__read_char(r, '%')) x = rlvr__mx_one(r->m, RLVR__M_PCT, 0, x);
        else if (plain && r->p < r->end && *r->p == '_') {      /* the base of a numeral: not read */
            char base[32];
            size_t n = 0;
            r->p++;
            rlvr__read_name_part(r, base, &n, sizeof base);
        } else break;
    }
    r->depth--;
    return x;
}

/* Whether another factor stands right behind. */
static bool rlvr__factor_follows(rlvr__mread *r)
{
    static const char *const no[] = {"\\}", "\\rbrace", "\\cup", "\\cap", "\\setminus", "\\backslash", "\\times", "\\cdot",
        "\\ast", "\\div", "\\pm",
        "\\mp", "\\le", "\\leq", "\\leqslant", "\\ge", "\\geq", "\\geqslant", "\\ne", "\\neq", "\\lt", "\\gt", "\\in", "\\approx",
            "\\mod", "\\bmod",
        "\\pmod", "\\end", "\\rvert", "\\vert", "\\rfloor", "\\rceil", "\\rangle", "\\|", "\\\\", "\\%", "\\equiv", "\\mid",
            "\\to", "\\sim", NULL};
    int n;
    rlvr__read_skip(r);
    if (r->p >= r->end) return false;
    char c = *r->p;
    if (r->integral && r->no_function && c == 'd' && r->p + 1 < r->end && rlvr__is_alpha(r->p[1])) return false;
    if (c == '|') return r->bars == 0;
    if (c != '\\') return rlvr__is_digit(c) || rlvr__is_alpha(c) || c == '(' || c == '[' || c == '{' || (c == '.' &&
        r->p + 1 < r->end && rlvr__is_digit(r->p[1]));
    for (int i = 0; no[i]; i++)
        if (rlvr__read_is(r, no[i])) return false;
    return !r->no_function || rlvr__function_at(r, &n) == -1;
}

static const rlvr__mx *rlvr__read_factors(rlvr__mread *r)
{
    const rlvr__mx *small[16], **list = small;
    int n = 0, cap = 16;
    do {
        const char *at = r->p;
        bool frac = rlvr__read_is(r, "\\frac");
        rlvr__read_skip(r);
        const rlvr__mx *x = rlvr__read_power(r);
        if (!x) return NULL;
        const rlvr__mx *before = n ? list[n - 1] : NULL;
        bool mixed = before && before->op == RLVR__M_NUM && before->literal && rlvr__rat_whole(before->rat) && !before->decimal &&
                     x->literal && !x->rat.negative && x->op == RLVR__M_NUM;
        if (mixed && !frac) {      /* 2 1/2 */
            const char *q = r->p;
            while (q < r->end && *q == ' ') q++;
            if (n == 1 && r->p - at <= 5 && *at == ' ' && q + 1 < r->end && *q == '/' && rlvr__is_digit(q[1]) &&
                rlvr__rat_whole(x->rat)) {
                r->p = q + 1;
                const rlvr__mx *down = rlvr__read_number(r);
                if (down) x = rlvr__mx_div(r->m, x, down);
                frac = x && x->op == RLVR__M_NUM;
            }
        }
        if (mixed && frac && x && !rlvr__rat_whole(x->rat)) {
            list[n - 1] = rlvr__mx_num(r->m, rlvr__rat_add(r->m, before->rat, x->rat), false, true);
            continue;
        }
        if (before && before->op == RLVR__M_SYM && (x->op == RLVR__M_INTERVAL || x->op == RLVR__M_TUPLE)) {      /* C(5,2) */
            rlvr__mx *call = rlvr__mx_new(r->m, RLVR__M_CALL, 0, x->n);
            if (!call) return NULL;
            for (int i = 0; i < x->n; i++) call->arg[i] = x->arg[i];
            call->name = before->name;
            call->name_len = before->name_len;
            list[n - 1] = rlvr__mx_done(call);
            continue;
        }
        if (n == cap) {
            const rlvr__mx **more = RLVR__MATH_NEW(r->m, const rlvr__mx *, cap * 2);
            if (!more) return NULL;
            memcpy(more, list, (size_t)n * sizeof *list);
            list = more;
            cap *= 2;
        }
        list[n++] = x;
    } while (rlvr__factor_follows(r));
    for (int i = 0; n > 1 && i < n; i++)
        if (rlvr__mx_set_like(list[i])) return NULL;
    return n == 1 ? list[0] : rlvr__mx_fold(r->m, RLVR__M_MUL, list, n);
}

static const rlvr__mx *rlvr__read_unary(rlvr__mread *r)
{
    bool minus = false;
    for (;;) {
        if (rlvr__read_char(r, '-')) minus = !minus;
        else if (rlvr__read_command(r, "\\pm")) { r->both = true; minus ^= r->minus; }
        else if (rlvr__read_command(r, "\\mp")) { r->both = true; minus ^= !r->minus; }
        else if (!rlvr__read_char(r, '+')) break;
    }
    const rlvr__mx *x = rlvr__read_factors(r);
    return minus ? rlvr__mx_neg(r->m, x) : x;
}

static const rlvr__mx *rlvr__read_mul(rlvr__mread *r)
{
    static const char *const times[] = {"\\times", "\\cdot", "\\ast", NULL}, *const mod[] = {"\\bmod", "\\mod", NULL};
    const rlvr__mx *x = rlvr__read_unary(r);
    while (x) {
        rlvr__read_skip(r);
        if (rlvr__read_any(r, times) >= 0 || rlvr__read_char(r, '*')) x = rlvr__mx_mul(r->m, x, rlvr__read_unary(r));
        else if (rlvr__read_any(r, mod) >= 0) x = rlvr__mx_two(r->m, RLVR__M_FN, RLVR__F_MOD, x, rlvr__read_unary(r));
        else if (rlvr__read_command(r, "\\div") || rlvr__read_char(r, '/') || rlvr__read_char(r, ':')) x = rlvr__mx_div(r->m, x,
            rlvr__read_unary(r));
        else break;
    }
    return x;
}

static const rlvr__mx *rlvr__read_add(rlvr__mread *r)
{
    const rlvr__mx *small[16], **list = small;
    int n = 0, cap = 16;
    for (;;) {
        bool minus = false;
        if (n) {
            if (rlvr__read_char(r, '-')) minus = true;
            else if (rlvr__read_command(r, "\\pm")) { r->both = true; minus = r->minus; }
            else if (rlvr__read_command(r, "\\mp")) { r->both = true; minus = !r->minus; }
            else if (!rlvr__read_char(r, '+')) break;
        }
        const rlvr__mx *x = rlvr__read_mul(r);
        if (minus) x = rlvr__mx_neg(r->m, x);
        if (!x) return NULL;
        if (n == cap) {
            const rlvr__mx **more = RLVR__MATH_NEW(r->m, const rlvr__mx *, cap * 2);
            if (!more) return NULL;
            memcpy(more, list, (size_t)n * sizeof *list);
            list = more;
            cap *= 2;
        }
        list[n++] = x;
    }
    for (int i = 0; n > 1 && i < n; i++)
        if (rlvr__mx_set_like(list[i])) return NULL;
    return n == 1 ? list[0] : rlvr__mx_fold(r->m, RLVR__M_ADD, list, n);
}

static const rlvr__mx *rlvr__read_set(rlvr__mread *r)
{
    static const char *const names[] = {"\\cup", "\\cap", "\\setminus", "\\backslash", NULL};
    const rlvr__mx *x = rlvr__read_add(r);
    for (int k; x && (k = rlvr__read_any(r, names)) >= 0;) {
        const rlvr__mx *y = rlvr__read_add(r);
        x = rlvr__mx_two(r->m, k == 0 ? RLVR__M_UNION : k == 1 ? RLVR__M_MEET : RLVR__M_MINUS, 0, x, y);
    }
    return x;
}

static int rlvr__read_rel(rlvr__mread *r)      /* which relation; -1: none; -2: approximately */
{
    static const char *const names[] = {"\\leqslant", "\\geqslant", "\\leq", "\\geq", "\\le", "\\ge", "\\neq", "\\ne", "\\lt",
        "\\gt", "\\in",
                                        "<=", ">=", "!=", "<", ">", "=", "\\approx", NULL};
    static const signed char which[] = {RLVR__REL_LE, RLVR__REL_GE, RLVR__REL_LE, RLVR__REL_GE, RLVR__REL_LE, RLVR__REL_GE,
        RLVR__REL_NE, RLVR__REL_NE,
                                        RLVR__REL_LT, RLVR__REL_GT, RLVR__REL_EQ, RLVR__REL_LE, RLVR__REL_GE, RLVR__REL_NE,
                                            RLVR__REL_LT,
                                        RLVR__REL_GT, RLVR__REL_EQ, -2};
    int k = rlvr__read_any(r, names);
    return k < 0 ? -1 : which[k];
}

static bool rlvr__mx_only_symbols(const rlvr__mx *x)
{
    if (x->op == RLVR__M_SYM || x->op == RLVR__M_CALL) return true;
    if (x->op != RLVR__M_MUL && x->op != RLVR__M_TUPLE && x->op != RLVR__M_INTERVAL && x->op != RLVR__M_POW &&
        x->op != RLVR__M_ADD) return false;
    if (x->op == RLVR__M_POW) return rlvr__mx_is_int(x->arg[1], -1) && rlvr__mx_only_symbols(x->arg[0]);
    for (int i = 0; i < x->n; i++)
        if (!rlvr__mx_only_symbols(x->arg[i])) return false;
    return x->n > 0;
}

/* One relation, a chain of them (a list of relations in the order written), or what stands there alone. */
static const rlvr__mx *rlvr__read_relation(rlvr__mread *r)
{
    const rlvr__mx *chain[32], *left, *right;
    int n = 0, rel;
    if (!rlvr__read_deeper(r)) return NULL;
    rlvr__read_skip(r);
    const char *start = r->p;
    if (r->depth == 1 && start < r->end && (*start == '=' || rlvr__read_is(r, "\\approx"))) rlvr__read_rel(r);      /* "= 5" */
    left = rlvr__read_set(r);
    while (left && (rel = rlvr__read_rel(r)) != -1) {
        rlvr__read_skip(r);
        if (r->p == r->end && n == 0 && rel == RLVR__REL_EQ) break;      /* "5 =" */
        right = rlvr__read_set(r);
        if (!right) { left = NULL; break; }
        if (rel == -2) {
            if (n == 0 && rlvr__mx_only_symbols(left)) left = right;
            continue;
        }
        if (n == 32) { r->m->limit = true; left = NULL; break; }
        chain[n++] = rlvr__mx_two(r->m, RLVR__M_REL, rel, left, right);
        left = right;
    }
    r->depth--;
    if (!left) return NULL;
    return n == 0 ? left : n == 1 ? chain[0] : rlvr__mx_many(r->m, RLVR__M_CHAIN, 0, chain, n);
}

/* Elements apart by commas; one alone is itself where no set is asked for. A list's id is 1 where it has no braces. */
static const rlvr__mx *rlvr__read_list(rlvr__mread *r, bool set)
{
    const rlvr__mx *small[16], **list = small;
    int n = 0, cap = 16;
    do {
        if (n && r->depth == 0) {
            rlvr__read_skip(r);
            if (r->p == r->end) break;      /* a comma at the end */
        }
        const rlvr__mx *x = rlvr__read_relation(r);
        if (!x) return NULL;
        if (n == cap) {
            const rlvr__mx **more = RLVR__MATH_NEW(r->m, const rlvr__mx *, cap * 2);
            if (!more) return NULL;
            memcpy(more, list, (size_t)n * sizeof *list);
            list = more;
            cap *= 2;
        }
        list[n++] = x;
    } while (rlvr__read_char(r, ',') || rlvr__read_char(r, ';'));
    return n == 1 && !set ? list[0] : rlvr__mx_many(r->m, RLVR__M_SET, set ? 0 : 1, list, n);
}

/* ]a,b[ as some write an open interval */
static const rlvr__mx *rlvr__read_french(rlvr__mread *r)
{
    int left = *r->p == ']' ? 1 : 0;
    r->p++;
    const rlvr__mx *x = rlvr__read_list(r, false);
    rlvr__read_skip(r);
    if (!x || x->op != RLVR__M_SET || x->n != 2 || r->p + 1 != r->end || (*r->p != '[' && *r->p != ']')) return NULL;
    return rlvr__mx_many(r->m, RLVR__M_INTERVAL, left | (*r->p++ == '[' ? 2 : 0), x->arg, 2);
}

static const rlvr__mx *rlvr__read_whole(rlvr__mread *r)
{
    rlvr__read_skip(r);
    bool french = r->p < r->end && (*r->p == ']' || (*r->p == '[' && r->end[-1] == '['));
    const rlvr__mx *x = french ? rlvr__read_french(r) : rlvr__read_list(r, false);
    rlvr__read_skip(r);
    return x && r->p == r->end ? x : NULL;
}

/* Both values of a \pm, as a set; of an equation the set is its right side. */
static const rlvr__mx *rlvr__read_join(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    if (a->op == RLVR__M_REL && b->op == RLVR__M_REL && a->id == b->id && a->arg[0]->hash == b->arg[0]->hash)
        return rlvr__mx_two(m, RLVR__M_REL, a->id, a->arg[0], rlvr__read_join(m, a->arg[1], b->arg[1]));
    if (a->op == RLVR__M_SET && b->op == RLVR__M_SET && a->n == b->n) {
        rlvr__mx *x = rlvr__mx_new(m, RLVR__M_SET, a->id, 2 * a->n);
        int n = 0;
        if (!x) return NULL;
        for (int i = 0; i < a->n; i++) {
            x->arg[n++] = a->arg[i];
            if (a->arg[i]->hash != b->arg[i]->hash) x->arg[n++] = b->arg[i];
        }
        x->n = n;
        return rlvr__mx_done(x);
    }
    return rlvr__mx_two(m, RLVR__M_SET, 1, a, b);
}

/* Reads a whole cleaned answer; NULL: it is not one expression. */
static const rlvr__mx *rlvr__math_read(rlvr__math *m, const char *s, size_t n)
{
    rlvr__mread r;
    memset(&r, 0, sizeof r);
    r.m = m;
    r.begin = r.p = s;
    r.end = s + n;
    const rlvr__mx *x = n ? rlvr__read_whole(&r) : NULL;
    if (x && r.both) {
        rlvr__mread again;
        memset(&again, 0, sizeof again);
        again.m = m;
        again.begin = again.p = s;
        again.end = s + n;
        again.minus = true;
        const rlvr__mx *y = rlvr__read_whole(&again);
        x = y ? rlvr__read_join(m, x, y) : NULL;
    }
    return x;
}

/* ============================================================================================
   15.3b MATH: WHERE THE ANSWER STANDS                                              >>math-find
   ============================================================================================ */

/* Where the answer of a text stands. From strong to weak, in each class the last one that can be read:

     1. \boxed{...} (or \fbox): the last one, with those before it that stand close by or are joined to it by "and", "or" or a
        comma; and what directly follows "final answer is"
     2. what follows "answer:" or stands behind "####" to the line's end
     3. what follows "answer" within 50 characters
     4. the whole text where it is nothing but mathematics
     5. the last formula in $...$, $$...$$, \(...\), \[...\], several joined by "and", "or" or a comma are one list; the last
        \frac{1}{2}; the last number or expression of numbers

   A box that cannot be read is still the answer: then only its text can be equal. Found in one pass that keeps the last eight
   of each class. The gold is read likewise, but a gold without signs of a formula is first read as a whole. */

enum { RLVR__MC_FORMULA, RLVR__MC_NUMBER, RLVR__MC_BOX };
#define RLVR__MC_KEEP  8
#define RLVR__MC_PARTS 6

typedef struct rlvr__mcand {
    int kind, n;                                   /* n parts, joined to a list */
    struct { const char *s; size_t n; bool percent; } part[RLVR__MC_PARTS];
    const char *begin, *end, *unit;                /* unit: the word behind a number */
    size_t n_unit;
} rlvr__mcand;

typedef struct rlvr__mring { rlvr__mcand c[RLVR__MC_KEEP]; int64_t n; } rlvr__mring;

typedef struct rlvr__mscan {
    const char *begin, *end, *p;
    rlvr__mring ring[4];                           /* classes 1, 2, 3, 5 */
    const char *final_is, *colon, *answer, *hashes; /* ends of the last such words */
    bool used[3][2];                               /* colon, answer, hashes: has its formula, its number */
    rlvr__mcand last;                              /* the last formula, to which others may be joined */
    const char *no_bracket, *no_paren, *no_display; /* from here on none of these closes */
    const char *no_expression;                     /* up to here none starts */
} rlvr__mscan;

static bool rlvr__words_at(const char *p, const char *end, const char *words)      /* of any case */
{
    for (; *words; words++, p++)
        if (p >= end || (*p | 32) != (*words | 32)) return false;
    return true;
}

static void rlvr__ring_add(rlvr__mring *r, const rlvr__mcand *c) { r->c[r->n++ % RLVR__MC_KEEP] = *c; }

static bool rlvr__only_spaces(const char *p, const char *end)
{
    if (end - p > 64) return false;
    for (; p < end; p++)
        if (!rlvr__is_space(*p) && *p != '*' && *p != ':') return false;
    return true;
}

/* Puts a candidate in its classes. */
static void rlvr__scan_found(rlvr__mscan *s, const rlvr__mcand *c)
{
    int type = c->kind == RLVR__MC_NUMBER;
    const char *const from[3] = {s->colon, s->answer, s->hashes};
    rlvr__ring_add(&s->ring[3], c);
    if (s->final_is && c->begin >= s->final_is && rlvr__only_spaces(s->final_is, c->begin)) rlvr__ring_add(&s->ring[0], c);
    const char *after = c->end;
    while (after < s->end && *after == ' ') after++;
    for (int i = 0; i < 3; i++) {
        rlvr__mring *ring = &s->ring[i == 1 ? 2 : 1];
        if (!from[i] || c->begin < from[i] || c->begin - from[i] > 100) continue;
        if (type && (memchr(from[i], '\n', (size_t)(c->begin - from[i])) || (after < s->end && *after == '='))) continue;
        if (i == 2 && after < s->end && *after != '\n' && *after != '\r' && *after != '.') continue;
        const char *before = c->begin;
        while (type && before > from[i] && before[-1] == ' ') before--;
        bool equated = type && before > from[i] && before[-1] == '=';
        if (s->used[i][type] ? !equated : c->begin - from[i] > 50 && !equated) continue;
        if (s->used[i][type]) ring->n--;
        s->used[i][type] = true;
        rlvr__ring_add(ring, c);
    }
}

static void rlvr__scan_flush(rlvr__mscan *s)      /* the last formula is complete */
{
    if (s->last.n) rlvr__scan_found(s, &s->last);
    s->last.n = 0;
}

/* Whether what stands between two formulas joins them: a comma, and, or. */
static bool rlvr__joins(const char *p, const char *end)
{
    if (end - p > 16) return false;
    while (p < end && rlvr__is_space(*p)) p++;
    bool comma = p < end && *p == ',';
    p += comma;
    const char *word = p;
    while (p < end && rlvr__is_space(*p)) p++;
    if (p == end) return comma;
    if (comma && word != p && !rlvr__words_at(p, end, "and") && !rlvr__words_at(p, end, "or")) return false;
    if (rlvr__starts(p, end, "and")) p += 3;
    else if (rlvr__starts(p, end, "or")) p += 2;
    else return false;
    while (p < end && rlvr__is_space(*p)) p++;
    return p == end;
}

static const char *rlvr__percent_behind(const char *p, const char *end, bool *percent)
{
    const char *q = p;
    while (q < end && q - p < 4 && *q == ' ') q++;
    *percent = true;
    if (q < end && *q == '%') return q + 1;
    if (rlvr__starts(q, end, "\\%")) return q + 2;
    if (rlvr__words_at(q, end, "percentage")) return q + 10;
    if (rlvr__words_at(q, end, "percent")) return q + 7;
    if (rlvr__words_at(q, end, "pct")) return q + 3;
    *percent = false;
    return p;
}

static void rlvr__scan_formula(rlvr__mscan *s, const char *open, const char *in, const char *close, size_t n_close)
{
    bool percent, join = s->last.n && s->last.n < RLVR__MC_PARTS && rlvr__joins(s->last.end, open);
    s->p = rlvr__percent_behind(close + n_close, s->end, &percent);
    if (!join) rlvr__scan_flush(s);
    rlvr__mcand *c = &s->last;
    if (!join) { memset(c, 0, sizeof *c); c->kind = RLVR__MC_FORMULA; c->begin = open; }
    c->part[c->n].s = in;
    c->part[c->n].n = (size_t)(close - in);
    c->part[c->n++].percent = percent;
    c->end = s->p;
}

/* The next place of a two-character sign behind p; NULL. *none remembers that there is none. */
static const char *rlvr__find_pair(const char *p, const char *end, const char *pair, const char **none)
{
    if (*none && p >= *none) return NULL;
    for (const char *q = p; q + 1 < end; q++) {
        q = (const char *)memchr(q, pair[0], (size_t)(end - 1 - q));
        if (!q) break;
        if (q[1] == pair[1] && (pair[0] == '\\' || q[-1] != '\\')) return q;
    }
    *none = p;
    return NULL;
}

/* A formula that opens at s->p; false: none does. */
static bool rlvr__scan_open(rlvr__mscan *s)
{
    const char *p = s->p, *end = s->end, *q;
    if (*p == '\\') {
        if (p + 1 >= end || (p > s->begin && p[-1] == '\\') || (p[1] != '[' && p[1] != '(')) return false;
        q = p[1] == '[' ? rlvr__find_pair(p + 2, end, "\\]", &s->no_bracket) : rlvr__find_pair(p + 2, end, "\\)", &s->no_paren);
        if (!q || q == p + 2) return false;
        rlvr__scan_formula(s, p, p + 2, q, 2);
        return true;
    }
    if (*p != '$' || (p > s->begin && p[-1] == '\\')) return false;
    if (p + 1 < end && p[1] == '$') {
        q = rlvr__find_pair(p + 2, end, "$$", &s->no_display);
        if (!q || q == p + 2) return false;
        rlvr__scan_formula(s, p, p + 2, q, 2);
        return true;
    }
    if (p > s->begin && rlvr__is_digit(p[-1])) return false;
    for (q = p + 1; q < end && *q != '\n' && !(*q == '$' && q[-1] != '\\');) q++;
    if (q >= end || *q != '$' || q == p + 1) return false;
    if (rlvr__is_space(q[-1]) && q + 1 < end && rlvr__is_digit(q[1])) return false;      /* $5 and $6: money */
    rlvr__scan_formula(s, p, p + 1, q, 1);
    return true;
}

/* Length of a number at p with its groups, decimals; 0: none. *digits gets what it is without groups' separators checked. */
static const char *rlvr__plain_number(const char *p, const char *end)
{
    const char *first = p, *q;
    if (p < end && *p == '-') p++;
    else if (rlvr__starts(p, end, "\xe2\x88\x92")) p += 3;
    const char *digits = p;
    while (p < end && rlvr__is_digit(*p)) p++;
    if (p > digits && p - digits <= 3 && *digits != '0') {
        for (q = p; end - q >= 4 && (*q == ',' || *q == ' ') && rlvr__is_digit(q[1]) && rlvr__is_digit(q[2]) &&
            rlvr__is_digit(q[3]) &&
                    (end - q == 4 || !rlvr__is_digit(q[4])); q += 4) p = q + 4;
    }
    if (end - p >= 2 && (*p == '.' || (*p == ',' && p - digits > 0)) && rlvr__is_digit(p[1]))
        for (p++; p < end && rlvr__is_digit(*p);) p++;
    if (p > digits && p + 1 < end && (*p == 'e' || *p == 'E')) {
        q = p + 1;
        if (*q == '-' || *q == '+') q++;
        const char *e = q;
        while (q < end && rlvr__is_digit(*q)) q++;
        if (q > e && !(q < end && rlvr__is_alpha(*q))) p = q;
    }
    return p > digits ? p : first;
}

/* An expression of numbers and signs at p, as far as it goes; NULL: a number alone or nothing. *none: up to here there is none. */
static const char *rlvr__plain_expression(const char *p, const char *end, const char **none)
{
    const char *q = p, *last = NULL;
    if (*none && p < *none) return NULL;
    if (q < end && *q == '-') q++;
    if (q < end && *q == '(') q++;
    if (q < end && *q == '-') q++;
    if (q >= end || !rlvr__is_digit(*q)) return NULL;
    bool sign = false;
    for (; q < end && q - p < 2000; q++) {
        int k = rlvr__starts(q, end, "\xc3\x97") || rlvr__starts(q, end, "\xc3\xb7") ? 2 : rlvr__starts(q, end, "\xe2\x88\x92")
            ? 3 : 1;
        if (k == 1 && !(*q && strchr("0123456789. +-*/^()", *q))) break;
        if (k > 1 || strchr("+-*/^(", *q)) sign = true;
        if (rlvr__is_digit(*q) || *q == ')') last = sign ? q + 1 : last;
        q += k - 1;
    }
    bool stops = last && (last == end || rlvr__is_space(*last) || strchr(".,:)$*;?!%", *last) != NULL);
    if (!stops) *none = q;
    return stops ? last : NULL;
}

/* A number or an expression that starts at s->p, behind space, "=" or the text's beginning. */
static bool rlvr__scan_number(rlvr__mscan *s)
{
    const char *p = s->p, *end = s->end, *q, *number;
    rlvr__mcand c;
    memset(&c, 0, sizeof c);
    c.kind = RLVR__MC_NUMBER;
    c.begin = p;
    if (rlvr__starts(p, end, "**")) p += 2;
    q = rlvr__plain_expression(p, end, &s->no_expression);
    int money = q ? 0 : rlvr__currency_at(p, end);
    p += money;
    number = rlvr__plain_number(p, end);
    if (!q && number == p) return false;
    c.n = 1;
    c.part[0].s = p;
    if (q && q > number) number = q;
    c.part[0].n = (size_t)(number - p);
    c.end = rlvr__percent_behind(number, end, &c.part[0].percent);
    const char *unit = c.end;
    while (unit < end && *unit == ' ') unit++;
    for (q = unit; q < end && (rlvr__is_alpha(*q) || (*q == '/' && q > unit) || (*q == '^' && q > unit)) && q - unit < 32;) q++;
    c.unit = money ? s->p : unit;
    c.n_unit = money ? (size_t)money : (size_t)(q - unit);
    rlvr__scan_flush(s);
    rlvr__scan_found(s, &c);
    s->p = c.end;
    return true;
}

static void rlvr__scan_words(rlvr__mscan *s)      /* final answer ... is, answer, answer:, #### */
{
    const char *p = s->p, *end = s->end;
    if (*p == '#' && rlvr__starts(p, end, "####")) {
        rlvr__scan_flush(s);
        s->hashes = p + 4;
        s->used[2][0] = s->used[2][1] = false;
        s->p += 3;
    } else if ((*p | 32) == 'f' && rlvr__words_at(p, end, "final answer")) {
        const char *q = p + 12, *stop = end - q > 110 ? q + 110 : end;
        for (; q + 3 <= stop; q++)
            if (rlvr__is_space(*q) && (q[1] | 32) == 'i' && (q[2] | 32) == 's' && (q + 3 == end || !rlvr__is_alpha(q[3]))) {
                rlvr__scan_flush(s);
                s->final_is = q + 3;
                break;
            }
    } else if ((*p | 32) == 'a' && rlvr__words_at(p, end, "answer")) {
        rlvr__scan_flush(s);
        s->p += 5;
        s->answer = p + 6;
        s->used[1][0] = s->used[1][1] = false;
        const char *q = p + 6;
        while (q < end && *q == '*') q++;
        if (q < end && *q == ':') {
            s->colon = q + 1;
            s->used[0][0] = s->used[0][1] = false;
        }
    }
}

/* [1, 2] between spaces */
static bool rlvr__scan_square(rlvr__mscan *s)
{
    const char *p = s->p, *q;
    if (p == s->begin || !rlvr__is_space(p[-1])) return false;
    for (q = p + 1; q < s->end && q - p < 200 && *q != ']' && *q != '[' && *q != '\n';) q++;
    if (q + 1 >= s->end || *q != ']' || !rlvr__is_space(q[1]) || q == p + 1) return false;
    rlvr__scan_formula(s, p, p + 1, q, 1);
    return true;
}

static bool rlvr__scan_fraction(rlvr__mscan *s)      /* \frac{1}{2}, bare */
{
    const char *p = s->p, *end = s->end, *q = p;
    if (!rlvr__starts(p, end, "\\frac{")) return false;
    for (int i = 0; i < 2; i++) {
        for (q += i ? 1 : 6; q < end && (rlvr__is_digit(*q) || strchr("-.,", *q)) && *q;) q++;
        if (q >= end || *q != '}') return false;
        q++;
        if (i == 0 && (q >= end || *q != '{')) return false;
    }
    const char *open = p > s->begin && p[-1] == '-' ? p - 1 : p;
    rlvr__scan_formula(s, open, open, q, 0);
    return true;
}

static void rlvr__scan_text(rlvr__mscan *s, const char *text, size_t n)
{
    memset(s, 0, sizeof *s);
    s->begin = s->p = text;
    s->end = text + n;
    while (s->p < s->end) {
        char c = *s->p;
        bool start = s->p == s->begin || rlvr__is_space(s->p[-1]) || s->p[-1] == '=';
        if ((c == '$' || c == '\\') && rlvr__scan_open(s)) continue;
        if (c == '[' && rlvr__scan_square(s)) continue;
        if (c == '\\' && rlvr__scan_fraction(s)) continue;
        if (start && !rlvr__is_alpha(c) && !rlvr__is_space(c) && rlvr__scan_number(s)) continue;
        rlvr__scan_words(s);
        s->p++;
    }
    rlvr__scan_flush(s);
}

/* ---- boxes ---- */

/* The last "\boxed" or "\fbox" before end; NULL. *body is where its name ends. */
static const char *rlvr__box_before(const char *begin, const char *end, const char **body)
{
    for (const char *p = end - 1; p >= begin; p--) {
        if (*p != '\\') continue;
        if (rlvr__starts(p, end, "\\boxed")) { *body = p + 6; return p; }
        if (rlvr__starts(p, end, "\\fbox")) { *body = p + 5; return p; }
    }
    return NULL;
}

static const char *rlvr__box_close(const char *p, const char *end)      /* of the brace at p; backslashes do not matter */
{
    int depth = 0;
    for (; p < end; p++) {
        if (*p == '{') depth++;
        else if (*p == '}' && --depth == 0) return p;
    }
    return NULL;
}

static bool rlvr__between_boxes(const char *p, const char *end)      /* what joins two boxes */
{
    if (end - p < 10) return true;
    if (end - p >= 70) return false;
    for (; p < end; p++) {
        if (*p == ',' || *p == ';') return true;
        if (p > end - 3 || rlvr__is_alpha(p[-1])) continue;
        int n = rlvr__starts(p, end, "and") ? 3 : rlvr__starts(p, end, "or") ? 2 : 0;
        if (n && (p + n >= end || !rlvr__is_alpha(p[n]))) return true;
    }
    return false;
}

/* The boxes of a text as one candidate, the first box first; false: it has none. */
static bool rlvr__scan_boxes(const char *text, size_t n, rlvr__mcand *c)
{
    const char *limit = text + n, *body = NULL, *later = NULL;
    memset(c, 0, sizeof *c);
    c->kind = RLVR__MC_BOX;
    while (c->n < RLVR__MC_PARTS) {
        const char *at = n ? rlvr__box_before(text, limit, &body) : NULL;
        if (!at) break;
        while (body < limit && rlvr__is_space(*body)) body++;
        const char *close = body < limit && *body == '{' ? rlvr__box_close(body, limit) : NULL;
        if (!close) {
            if (c->n) break;
            c->part[0].s = body + (body < limit && *body == '{');      /* it does not close: to the end of the line */
            const char *line = (const char *)memchr(c->part[0].s, '\n', (size_t)(limit - c->part[0].s));
            c->part[0].n = (size_t)((line ? line : limit) - c->part[0].s);
            c->n = 1;
            break;
        }
        const char *s = body + 1;
        size_t len = (size_t)(close - s);
        rlvr__trim(&s, &len);
        bool same = c->n && c->part[c->n - 1].n == len && memcmp(c->part[c->n - 1].s, s, len) == 0;
        if (later && !(rlvr__between_boxes(close + 1, later) && (!same || later - close < 11))) break;
        if (!same) {
            c->part[c->n].s = s;
            c->part[c->n].n = len;
            bool percent;
            rlvr__percent_behind(close + 1, text + n, &percent);
            c->part[c->n++].percent = percent;
        }
        if (!c->end) c->end = close + 1;
        c->begin = later = limit = at;
    }
    for (int i = 0; i < c->n / 2; i++) {
        const char *s = c->part[i].s;
        size_t len = c->part[i].n;
        bool percent = c->part[i].percent;
        c->part[i] = c->part[c->n - 1 - i];
        c->part[c->n - 1 - i].s = s;
        c->part[c->n - 1 - i].n = len;
        c->part[c->n - 1 - i].percent = percent;
    }
    if (c->n && !c->end) c->end = limit;
    return c->n > 0;
}

/* ---- answers ---- */

typedef struct rlvr__manswer {
    const rlvr__mx *x;               /* NULL: it cannot be read */
    const char *s, *unit;            /* as cleaned, without its unit */
    size_t n, n_unit;
} rlvr__manswer;

static const rlvr__mx *rlvr__answer_part(rlvr__math *m, const rlvr__mcand *c, int i, rlvr__manswer *out)
{
    rlvr__mtext t;
    const char *s = c->part[i].s;
    size_t n = c->part[i].n;
    rlvr__mcand inner;
    const rlvr__mx *x = NULL;
    if (c->kind == RLVR__MC_FORMULA && rlvr__scan_boxes(s, n, &inner)) { s = inner.part[inner.n - 1].s;
        n = inner.part[inner.n - 1].n; }
    if (!rlvr__math_clean(m, s, n, &t)) return NULL;
    if (c->kind == RLVR__MC_NUMBER) {
        const char *end = rlvr__plain_number(t.s, t.s + t.n), *comma = (const char *)memchr(t.s, ',', t.n);
        const char *digits = t.s + (t.n && *t.s == '-');
        if (end == t.s + t.n && end > t.s) {      /* 1,234 and 1 234 are groups, 1,5 is a decimal */
            bool groups = comma && comma - digits <= 3 && end - comma >= 4 && (end - comma == 4 || !rlvr__is_digit(comma[4]) ) &&
                *digits != '0';
            if (comma && !groups) *(char *)(uintptr_t)comma = '.';
            char *to = t.s;
            for (const char *p = t.s; p < end; p++)
                if (*p != ',' && *p != ' ') *to++ = *p;
            t.n = (size_t)(to - t.s);
        }
    }
    if (i == 0) {
        out->s = t.s;
        out->n = t.n;
        out->unit = t.unit ? t.unit : c->unit;
        out->n_unit = t.unit ? t.n_unit : c->n_unit;
    }
    x = rlvr__math_read(m, t.s, t.n);
    return x && c->part[i].percent ? rlvr__mx_one(m, RLVR__M_PCT, 0, x) : x;
}

/* The text of several parts. */
static void rlvr__answer_joined(rlvr__math *m, const rlvr__mcand *c, rlvr__manswer *out)
{
    size_t n = 0;
    for (int i = 0; i < c->n; i++) n += c->part[i].n + 1;
    char *s = RLVR__MATH_NEW(m, char, n + 1);
    out->s = s;
    out->n = 0;
    for (int i = 0; s && i < c->n; i++) {
        memcpy(s + out->n, c->part[i].s, c->part[i].n);
        out->n += c->part[i].n;
        if (i + 1 < c->n) s[out->n++] = ',';
    }
}

/* Reads a candidate; false: it cannot be read, out then has its text only. */
static bool rlvr__answer_read(rlvr__math *m, const rlvr__mcand *c, rlvr__manswer *out)
{
    const rlvr__mx *part[RLVR__MC_PARTS], *list[64];
    int n = 0;
    memset(out, 0, sizeof *out);
    bool all = true;
    part[0] = NULL;
    for (int i = 0; i < c->n; i++) {
        part[i] = rlvr__answer_part(m, c, i, out);
        all &= part[i] != NULL;
    }
    out->x = part[0];
    if (c->n == 1) return out->x != NULL;
    if (!all) {      /* of several boxes each must be read, of formulas the first one then counts */
        if (c->kind == RLVR__MC_BOX) { out->x = NULL; rlvr__answer_joined(m, c, out); }
        return out->x != NULL;
    }
    for (int i = 0; i < c->n; i++) {
        bool open = part[i]->op == RLVR__M_SET;
        for (int k = 0; k < (open ? part[i]->n : 1) && n < 64; k++) list[n++] = open ? part[i]->arg[k] : part[i];
    }
    out->x = rlvr__mx_many(m, RLVR__M_SET, 1, list, n);
    rlvr__answer_joined(m, c, out);
    return out->x != NULL;
}

/* Whether a text has words: letters in a row outside of commands and \text{...}. */
static bool rlvr__has_words(const char *p, size_t n)
{
    const char *end = p + n;
    while (p < end) {
        if (*p == '\\') {
            int k = rlvr__command_len(p, end);
            bool text = k >= 4 && (memcmp(p + 1, "text", 4) == 0 || memcmp(p + 1, "math", 4) == 0);
            p += RLVR__MAX(k, 1) + 1;
            if (p > end) p = end;
            if (text || (k == 12 && rlvr__starts(p - 12, end, "operatorname")) || (k == 5 && rlvr__starts(p - 5, end, "begin")) ||
                (k == 3 && rlvr__starts(p - 3, end, "end"))) {
                const char *close = p < end && *p == '{' ? rlvr__group_end(p, end) : NULL;
                if (close) p = close;
            }
            continue;
        }
        const char *word = p;
        while (p < end && (rlvr__is_alpha(*p) || (unsigned char)*p >= 0xc3)) p += rlvr__is_alpha(*p) ? 1 : RLVR__MIN(2, end - p);
        if (p - word >= 3 && !rlvr__word_is(word, (int)(p - word), "and") && !rlvr__word_is(word, (int)(p - word), "sqrt") &&
            rlvr__is_alpha(*word)) return true;
        if (p == word) p++;
    }
    return false;
}

/* The whole text as an answer. */
static bool rlvr__answer_whole(rlvr__math *m, const char *text, size_t n, rlvr__manswer *out)
{
    rlvr__mcand c;
    memset(&c, 0, sizeof c);
    rlvr__trim(&text, &n);
    if (!n || n > 512 || rlvr__has_words(text, n) || memchr(text, '#', n)) return false;
    c.kind = rlvr__plain_number(text, text + n) == text + n ? RLVR__MC_NUMBER : RLVR__MC_FORMULA;
    c.n = 1;
    c.part[0].s = text;
    c.part[0].n = n;
    bool limit = m->limit, ok = rlvr__answer_read(m, &c, out);
    if (!ok) m->limit = limit && m->limit;
    return ok;
}

/* A place of a formula or a box, or a word that announces an answer. */
static bool rlvr__has_marks(const char *text, size_t n)
{
    const char *end = text + n;
    for (const char *p = text; p < end; p++)
        if (*p == '$' || (*p == '\\' && (rlvr__starts(p, end, "\\(") || rlvr__starts(p, end, "\\[") || rlvr__starts(p, end,
            "\\boxed") ||
                                         rlvr__starts(p, end, "\\fbox")))) return true;
    return false;
}

/* The answer of a text. false: there is none; out->n then tells whether there is text for it all the same. */
static bool rlvr__math_answer(rlvr__math *m, const char *text, size_t n, bool gold, rlvr__manswer *out)
{
    rlvr__manswer first, one;
    rlvr__mcand box;
    memset(out, 0, sizeof *out);
    memset(&first, 0, sizeof first);
    bool boxed = rlvr__scan_boxes(text, n, &box), marks = rlvr__has_marks(text, n);
    if (!marks && gold && rlvr__answer_whole(m, text, n, out)) return true;
    rlvr__mscan *s = (rlvr__mscan *)rlvr__math_alloc(m, sizeof *s);
    if (!s) return false;
    rlvr__scan_text(s, text, n);
    for (int class_ = 0; class_ < 4; class_++) {
        rlvr__mring *ring = &s->ring[class_];
        bool box_left = boxed && class_ == 0;
        if (class_ == 3 && !gold && !marks && rlvr__answer_whole(m, text, n, out)) return true;
        for (int64_t i = ring->n - 1; (i >= 0 && i > ring->n - 1 - RLVR__MC_KEEP) || box_left; i--) {
            bool have = i >= 0 && i > ring->n - 1 - RLVR__MC_KEEP;
            const rlvr__mcand *c = have ? &ring->c[i % RLVR__MC_KEEP] : NULL;
            bool use_box = box_left && (!c || c->end <= box.end + 64 || (c->begin <= box.begin && c->end >= box.end));
            if (use_box) { c = &box; box_left = false; i++; }
            if (rlvr__answer_read(m, c, &one)) { *out = one; return true; }
            if (m->limit) { *out = one; return false; }
            if (!first.n) first = one;
            if (use_box) { *out = one; return false; }
        }
    }
    *out = first;
    rlvr__trim(&text, &n);
    if (!out->n && n && n <= 200 && !marks) {      /* words alone: a name */
        char name[256];
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
            if (!strchr(" ().*", text[i]) || !text[i]) name[k++] = text[i];
        out->x = k && gold ? rlvr__mx_name(m, RLVR__M_SYM, name, k) : NULL;
        out->s = text;
        out->n = n;
    }
    return out->x != NULL;
}

/* ============================================================================================
   15.4 MATH: EQUAL VALUES                                                         >>math-equal
   ============================================================================================ */

/* Two expressions are equal, as far as one can tell without a computer algebra system:

     numbers     exactly, as fractions. A decimal against what is no whole number: both rounded to `precision` decimals.
     sums        terms that are alike cancel exactly first; if nothing or only a number is left, that decides.
     quotients   of polynomials (also in pi, e and i): by their values modulo two primes at random places, which is exact up to
                 a chance below 2^-50; large coefficients hide nothing.
     the rest    by values in long double at random places, complex, each with a bound of its error. Places where a value is
                 undefined do not count; at least one (of constants) or three (of the others) must, and all that count must
                 agree within their bounds.

   Variables are real, positive and negative. Definite integrals are carried out by quadrature; other
   integrals, limits and derivatives equal only themselves. */

typedef struct rlvr__cx { long double re, im, err; int bad; } rlvr__cx;      /* bad: 1 undefined, 2 too large */

#define RLVR__CX_EPS   LDBL_EPSILON

static long double rlvr__cx_abs(rlvr__cx a) { return a.im == 0 ? fabsl(a.re) : a.re == 0 ? fabsl(a.im) : hypotl(a.re, a.im); }

static rlvr__cx rlvr__cx_make(long double re, long double im, long double err)
{
    rlvr__cx r = {re, im, err, 0};
    long double most = LDBL_MAX / 1e8L;
    if (!(re < most && re > -most && im < most && im > -most && err < most)) { r.re = r.im = r.err = 0; r.bad = 2; }
    return r;
}

static rlvr__cx rlvr__cx_bad(int why) { rlvr__cx r = {0, 0, 0, why}; return r; }

static rlvr__cx rlvr__cx_real(long double v, long double err) { return rlvr__cx_make(v, 0, err + RLVR__CX_EPS * fabsl(v)); }

static rlvr__cx rlvr__cx_add(rlvr__cx a, rlvr__cx b)
{
    if (a.bad || b.bad) return rlvr__cx_bad(a.bad ? a.bad : b.bad);
    rlvr__cx r = rlvr__cx_make(a.re + b.re, a.im + b.im, a.err + b.err);
    r.err += RLVR__CX_EPS * rlvr__cx_abs(r);
    return r;
}

static rlvr__cx rlvr__cx_mul(rlvr__cx a, rlvr__cx b)
{
    if (a.bad || b.bad) return rlvr__cx_bad(a.bad ? a.bad : b.bad);
    long double x = rlvr__cx_abs(a), y = rlvr__cx_abs(b);
    return rlvr__cx_make(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re, x * b.err + y * a.err + 3 * RLVR__CX_EPS * x * y);
}

static rlvr__cx rlvr__cx_inv(rlvr__cx a)
{
    long double size = rlvr__cx_abs(a);
    if (a.bad) return a;
    if (!(size > 4 * a.err) || size < LDBL_MIN * 16) return rlvr__cx_bad(1);
    long double re = a.re / size / size, im = -a.im / size / size;
    return rlvr__cx_make(re, im, a.err / size / size + 4 * RLVR__CX_EPS / size);
}

static rlvr__cx rlvr__cx_scale(rlvr__cx a, long double f) { return rlvr__cx_mul(a, rlvr__cx_real(f, 0)); }
static rlvr__cx rlvr__cx_neg(rlvr__cx a) { a.re = -a.re; a.im = -a.im; return a; }
static rlvr__cx rlvr__cx_turn(rlvr__cx a) { rlvr__cx r = a; r.re = -a.im; r.im = a.re; return r; }      /* times i */

static rlvr__cx rlvr__cx_exp(rlvr__cx a)
{
    if (a.bad) return a;
    if (a.re > 11000) return rlvr__cx_bad(2);
    long double e = expl(a.re);
    if (a.im == 0) return rlvr__cx_make(e, 0, e * (a.err + 2 * RLVR__CX_EPS));
    return rlvr__cx_make(e * cosl(a.im), e * sinl(a.im), e * (a.err + (4 + fabsl(a.im)) * RLVR__CX_EPS));
}

static rlvr__cx rlvr__cx_log(rlvr__cx a)
{
    long double size = rlvr__cx_abs(a);
    if (a.bad) return a;
    if (!(size > 4 * a.err) || size == 0) return rlvr__cx_bad(1);
    long double im = a.im == 0 && a.re > 0 ? 0 : atan2l(fabsl(a.im) <= a.err ? 0.0L : a.im, a.re);
        /* on the cut: from above */
    return rlvr__cx_make(logl(size), im, a.err / size + RLVR__CX_EPS * (4 + fabsl(logl(size))));
}

static rlvr__cx rlvr__cx_sqrt(rlvr__cx a)
{
    if (a.bad || (a.re == 0 && a.im == 0)) return a;
    if (a.im == 0 || fabsl(a.im) <= a.err) {
        long double s = sqrtl(fabsl(a.re)), err = (s > 0 ? a.err / (2 * s) : sqrtl(a.err)) + 2 * RLVR__CX_EPS * s;
        return a.re < 0 ? rlvr__cx_make(0, s, err) : rlvr__cx_make(s, 0, err);
    }
    return rlvr__cx_exp(rlvr__cx_scale(rlvr__cx_log(a), 0.5L));
}

static rlvr__cx rlvr__cx_pow_int(rlvr__cx a, uint32_t n)
{
    rlvr__cx r = {1, 0, 0, 0};
    for (; n; n >>= 1) {
        if (n & 1) r = rlvr__cx_mul(r, a);
        if (n > 1) a = rlvr__cx_mul(a, a);
    }
    return r;
}

static rlvr__cx rlvr__cx_pow(rlvr__cx a, rlvr__cx b)
{
    if (a.bad || b.bad) return rlvr__cx_bad(a.bad ? a.bad : b.bad);
    if (b.im == 0 && b.err <= 1e-15L && b.re == floorl(b.re) && fabsl(b.re) <= 4096) {
        if (a.re == 0 && a.im == 0 && b.re <= 0) return b.re < 0 ? rlvr__cx_bad(1) : rlvr__cx_real(1, 0);
        rlvr__cx r = rlvr__cx_pow_int(a, (uint32_t)fabsl(b.re));
        return b.re < 0 ? rlvr__cx_inv(r) : r;
    }
    if (a.re == 0 && a.im == 0) return b.re > 0 ? a : rlvr__cx_bad(1);
    if (b.im == 0 && b.re == 0.5L) return rlvr__cx_sqrt(a);
    return rlvr__cx_exp(rlvr__cx_mul(rlvr__cx_log(a), b));
}

static rlvr__cx rlvr__cx_near(long double re, rlvr__cx a)      /* of a real function that is not steep */
{
    return rlvr__cx_make(re, 0, 4 * RLVR__CX_EPS * (1 + fabsl(re)) + 2 * a.err * (1 + re * re));
}

static rlvr__cx rlvr__cx_sin(rlvr__cx a, bool cosine)
{
    if (a.bad) return a;
    if (a.im == 0) return rlvr__cx_make(cosine ? cosl(a.re) : sinl(a.re), 0, a.err + RLVR__CX_EPS * (2 + fabsl(a.re)));
    if (fabsl(a.im) > 10000) return rlvr__cx_bad(2);
    rlvr__cx up = rlvr__cx_exp(rlvr__cx_turn(a)), down = rlvr__cx_exp(rlvr__cx_neg(rlvr__cx_turn(a)));
    if (cosine) return rlvr__cx_scale(rlvr__cx_add(up, down), 0.5L);
    return rlvr__cx_neg(rlvr__cx_turn(rlvr__cx_scale(rlvr__cx_add(up, rlvr__cx_neg(down)), 0.5L)));
}

static rlvr__cx rlvr__cx_sinh(rlvr__cx a, bool cosine)
{
    rlvr__cx up = rlvr__cx_exp(a), down = rlvr__cx_exp(rlvr__cx_neg(a));
    return rlvr__cx_scale(rlvr__cx_add(up, cosine ? down : rlvr__cx_neg(down)), 0.5L);
}

static rlvr__cx rlvr__cx_asin(rlvr__cx a)
{
    if (a.bad) return a;
    if (a.im == 0 && fabsl(a.re) <= 1) return rlvr__cx_near(asinl(a.re), a);
    rlvr__cx root = rlvr__cx_sqrt(rlvr__cx_add(rlvr__cx_real(1, 0), rlvr__cx_neg(rlvr__cx_mul(a, a))));
    return rlvr__cx_neg(rlvr__cx_turn(rlvr__cx_log(rlvr__cx_add(rlvr__cx_turn(a), root))));
}

static rlvr__cx rlvr__cx_atan(rlvr__cx a)
{
    if (a.bad) return a;
    if (a.im == 0) return rlvr__cx_near(atanl(a.re), a);
    rlvr__cx one = rlvr__cx_real(1, 0), t = rlvr__cx_turn(a);
    rlvr__cx d = rlvr__cx_add(rlvr__cx_log(rlvr__cx_add(one, rlvr__cx_neg(t))), rlvr__cx_neg(rlvr__cx_log(rlvr__cx_add(one, t))));
    return rlvr__cx_scale(rlvr__cx_turn(d), 0.5L);
}

static rlvr__cx rlvr__cx_gamma(rlvr__cx a)      /* of a + 1 */
{
    if (a.bad) return a;
    if (a.im != 0 || a.re > 1700 || a.re < -170) return rlvr__cx_bad(a.re > 1700 ? 2 : 1);
    if (a.re < 0 && fabsl(a.re - rintl(a.re)) <= 1e-12L) return rlvr__cx_bad(1);
    long double g = tgammal(a.re + 1);
    return rlvr__cx_make(g, 0, fabsl(g) * (64 * RLVR__CX_EPS + a.err * 10));
}

/* A real number that is nearly whole, as that; false: it is not. */
static bool rlvr__cx_whole(rlvr__cx a, long double *out)
{
    *out = rintl(a.re);
    return !a.bad && fabsl(a.im) <= 1e-12L && fabsl(a.re - *out) <= 1e-12L * (1 + fabsl(a.re)) && fabsl(a.re) < 1e15L;
}

static rlvr__cx rlvr__mx_value(rlvr__math *m, const rlvr__mx *x, int place);

/* Some smooth function of a name: equal where the arguments are. */
static rlvr__cx rlvr__call_value(rlvr__math *m, const rlvr__mx *x, int place)
{
    uint64_t h = rlvr__math_hash_bytes(x->name, (size_t)x->name_len, 77 + (uint64_t)x->n);
    rlvr__cx t = rlvr__cx_real((long double)(h >> 40) * 0x1p-24L, 0);
    for (int i = 0; i < x->n; i++) {
        h = rlvr__math_mix(h, 5);
        t = rlvr__cx_add(t, rlvr__cx_scale(rlvr__mx_value(m, x->arg[i], place), 0.5L + (long double)(h >> 40) * 0x1p-24L));
    }
    return rlvr__cx_add(rlvr__cx_mul(t, t), rlvr__cx_scale(t, (long double)(h >> 44) * 0x1p-20L));
}

static const rlvr__mx *rlvr__mx_matrix(rlvr__math *m, const rlvr__mx *x);

static rlvr__cx rlvr__det_value(rlvr__math *m, const rlvr__mx *arg, int place)      /* by elimination */
{
    rlvr__cx a[8][8], det = rlvr__cx_real(1, 0);
    const rlvr__mx *x = rlvr__mx_matrix(m, arg);
    int n = x ? x->id : 0;
    if (!x || n < 1 || n > 8 || x->n != n * n) return rlvr__cx_bad(1);
    for (int i = 0; i < x->n; i++) a[i / n][i % n] = rlvr__mx_value(m, x->arg[i], place);
    for (int c = 0; c < n; c++) {
        int best = c;
        for (int i = c; i < n; i++) {
            if (a[i][c].bad) return a[i][c];
            if (rlvr__cx_abs(a[i][c]) > rlvr__cx_abs(a[best][c])) best = i;
        }
        if (rlvr__cx_abs(a[best][c]) <= 4 * a[best][c].err) return rlvr__cx_make(0, 0, RLVR__CX_EPS);
        for (int j = 0; j < n; j++) { rlvr__cx t = a[c][j]; a[c][j] = a[best][j]; a[best][j] = t; }
        det = rlvr__cx_mul(det, best == c ? a[c][c] : rlvr__cx_neg(a[c][c]));
        rlvr__cx inverse = rlvr__cx_inv(a[c][c]);
        for (int i = c + 1; i < n; i++) {
            rlvr__cx f = rlvr__cx_neg(rlvr__cx_mul(a[i][c], inverse));
            for (int j = c; j < n; j++) a[i][j] = rlvr__cx_add(a[i][j], rlvr__cx_mul(f, a[c][j]));
        }
    }
    return det;
}

/* gcd, lcm, max, min, mod, binom */
static rlvr__cx rlvr__several_value(rlvr__math *m, const rlvr__mx *x, int place)
{
    rlvr__cx r = rlvr__mx_value(m, x->arg[0], place);
    if (x->id == RLVR__F_BINOM) {
        rlvr__cx k = rlvr__mx_value(m, x->arg[1], place), left = rlvr__cx_add(r, rlvr__cx_neg(k));
        long double n, whole, v = 1;
        if (rlvr__cx_whole(r, &n) && rlvr__cx_whole(k, &whole)) {
            if (whole < 0 || (n >= 0 && whole > n)) return rlvr__cx_real(0, 0);
            if (n >= 0 && n - whole < whole) whole = n - whole;
            if (whole > 5000) return rlvr__cx_bad(2);
            for (long double i = 1; i <= whole; i++) v = v * (n - whole + i) / i;
            return rlvr__cx_make(v, 0, fabsl(v) * RLVR__CX_EPS * (2 * whole + 1));
        }
        return rlvr__cx_mul(rlvr__cx_gamma(r), rlvr__cx_inv(rlvr__cx_mul(rlvr__cx_gamma(k), rlvr__cx_gamma(left))));
    }
    for (int i = 1; i < x->n && !r.bad; i++) {
        rlvr__cx b = rlvr__mx_value(m, x->arg[i], place);
        long double p, q;
        if (b.bad) return b;
        if (x->id == RLVR__F_MAX || x->id == RLVR__F_MIN) {
            if (r.im != 0 || b.im != 0) return rlvr__cx_bad(1);
            if ((b.re > r.re) == (x->id == RLVR__F_MAX)) r = b;
        } else if (x->id == RLVR__F_MOD) {
            if (r.im != 0 || b.im != 0 || b.re == 0) return rlvr__cx_bad(1);
            long double k = floorl(r.re / b.re + 1e-15L);
            r = rlvr__cx_make(r.re - k * b.re, 0, r.err + fabsl(k) * b.err + RLVR__CX_EPS * fabsl(r.re));
        } else {
            if (!rlvr__cx_whole(r, &p) || !rlvr__cx_whole(b, &q)) return rlvr__cx_bad(1);
            long double u = fabsl(p), v = fabsl(q);
            while (v > 0) { long double t = fmodl(u, v); u = v; v = t; }
            r = rlvr__cx_real(x->id == RLVR__F_GCD ? u : u > 0 ? fabsl(p) / u * fabsl(q) : 0, 0);
        }
    }
    return r;
}

static rlvr__cx rlvr__function_value(rlvr__math *m, const rlvr__mx *x, int place)
{
    if (x->id == RLVR__F_DET) return rlvr__det_value(m, x->arg[0], place);
    if (x->n != 1 || (x->id >= RLVR__F_BINOM && x->id <= RLVR__F_MIN)) return rlvr__several_value(m, x, place);
    rlvr__cx a = rlvr__mx_value(m, x->arg[0], place), one = rlvr__cx_real(1, 0), half = rlvr__cx_real(1.57079632679489661923132L,
        0);
    if (a.bad || !rlvr__math_spend(m, 60)) return a;
    long double v;
    switch (x->id) {
    case RLVR__F_SIN: return rlvr__cx_sin(a, false);
    case RLVR__F_COS: return rlvr__cx_sin(a, true);
    case RLVR__F_TAN: return rlvr__cx_mul(rlvr__cx_sin(a, false), rlvr__cx_inv(rlvr__cx_sin(a, true)));
    case RLVR__F_COT: return rlvr__cx_mul(rlvr__cx_sin(a, true), rlvr__cx_inv(rlvr__cx_sin(a, false)));
    case RLVR__F_CSC: return rlvr__cx_inv(rlvr__cx_sin(a, false));
    case RLVR__F_SEC: return rlvr__cx_inv(rlvr__cx_sin(a, true));
    case RLVR__F_ASIN: return rlvr__cx_asin(a);
    case RLVR__F_ACOS: return rlvr__cx_add(half, rlvr__cx_neg(rlvr__cx_asin(a)));
    case RLVR__F_ATAN: return rlvr__cx_atan(a);
    case RLVR__F_ACSC: return rlvr__cx_asin(rlvr__cx_inv(a));
    case RLVR__F_ASEC: return rlvr__cx_add(half, rlvr__cx_neg(rlvr__cx_asin(rlvr__cx_inv(a))));
    case RLVR__F_ACOT: return a.re == 0 && a.im == 0 ? half : rlvr__cx_atan(rlvr__cx_inv(a));
    case RLVR__F_SINH: return rlvr__cx_sinh(a, false);
    case RLVR__F_COSH: return rlvr__cx_sinh(a, true);
    case RLVR__F_TANH: return rlvr__cx_mul(rlvr__cx_sinh(a, false), rlvr__cx_inv(rlvr__cx_sinh(a, true)));
    case RLVR__F_ASINH: return rlvr__cx_log(rlvr__cx_add(a, rlvr__cx_sqrt(rlvr__cx_add(rlvr__cx_mul(a, a), one))));
    case RLVR__F_ACOSH:
        return rlvr__cx_log(rlvr__cx_add(a, rlvr__cx_mul(rlvr__cx_sqrt(rlvr__cx_add(a, one)), rlvr__cx_sqrt(rlvr__cx_add(a,
            rlvr__cx_neg(one))))));
    case RLVR__F_ATANH: return rlvr__cx_scale(rlvr__cx_add(rlvr__cx_log(rlvr__cx_add(one, a)),
        rlvr__cx_neg(rlvr__cx_log(rlvr__cx_add(one, rlvr__cx_neg(a))))), 0.5L);
    case RLVR__F_LOG: return rlvr__cx_log(a);
    case RLVR__F_EXP: return rlvr__cx_exp(a);
    case RLVR__F_ABS: return rlvr__cx_make(rlvr__cx_abs(a), 0, a.err + RLVR__CX_EPS * rlvr__cx_abs(a));
    case RLVR__F_FLOOR: case RLVR__F_CEIL:
        if (a.im != 0) return rlvr__cx_bad(1);
        if (rlvr__cx_whole(a, &v)) return rlvr__cx_real(v, 0);
        return rlvr__cx_real(x->id == RLVR__F_FLOOR ? floorl(a.re) : ceill(a.re), 0);
    case RLVR__F_FACT: return rlvr__cx_gamma(a);
    case RLVR__F_SIGN: return a.im != 0 ? rlvr__cx_bad(1) : rlvr__cx_real(a.re > a.err ? 1 : a.re < -a.err ? -1 : 0, 0);
    case RLVR__F_RE: return rlvr__cx_make(a.re, 0, a.err);
    case RLVR__F_IM: return rlvr__cx_make(a.im, 0, a.err);
    case RLVR__F_CONJ: a.im = -a.im; return a;
    case RLVR__F_ARG: a = rlvr__cx_log(a); return rlvr__cx_make(a.im, 0, a.err);
    default: return rlvr__cx_bad(1);
    }
}

static rlvr__cx rlvr__sum_value(rlvr__math *m, const rlvr__mx *x, int place)
{
    bool sum = x->op == RLVR__M_SUM;
    long double from, to;
    rlvr__cx r = rlvr__cx_real(sum ? 0 : 1, 0);
    if (!rlvr__cx_whole(rlvr__mx_value(m, x->arg[1], place), &from) || !rlvr__cx_whole(rlvr__mx_value(m, x->arg[2], place),
        &to)) return rlvr__cx_bad(1);
    if (to - from > 20000 || m->n_bound == 8) return rlvr__cx_bad(2);
    m->bound[m->n_bound].name = x->arg[0]->hash;
    m->n_bound++;
    for (long double k = from; k <= to && !r.bad && rlvr__math_spend(m, 10); k++) {
        m->bound[m->n_bound - 1].value = k;
        rlvr__cx v = rlvr__mx_value(m, x->arg[3], place);
        r = sum ? rlvr__cx_add(r, v) : rlvr__cx_mul(r, v);
    }
    m->n_bound--;
    return m->limit ? rlvr__cx_bad(2) : r;
}

/* The variable behind the d of an integral: of "x dx" the last x; NULL: there is no such pair. */
static const rlvr__mx *rlvr__integral_variable(const rlvr__mx *x)
{
    const rlvr__mx *found = NULL;
    for (int i = 0; i < x->n && !found; i++) {
        const rlvr__mx *a = x->arg[i], *b = i + 1 < x->n ? x->arg[i + 1] : NULL;
        bool d = x->op == RLVR__M_MUL && b && a->op == RLVR__M_SYM && a->name_len == 1 && a->name[0] == 'd';
        found = d && b->op == RLVR__M_SYM ? b : rlvr__integral_variable(a);
    }
    return found;
}

/* A definite integral by Gauss's rule on 8 and on 16 parts; the difference is its error. Its body was read as a product or a
   sum with d and the variable as factors: with b(d) its value, the integrand is b(0) + (b(1) - b(0)) / variable. */
static rlvr__cx rlvr__integral_value(rlvr__math *m, const rlvr__mx *x, int place)
{
    static const long double node[5] = {0.1488743389816312108848260L, 0.4333953941292471907992659L, 0.6794095682990244062343274L,
                                        0.8650633666889845107320967L, 0.9739065285171717200779640L};
    static const long double weight[5] = {0.2955242247147528701738930L, 0.2692667193099963550912269L, 0.2190863625159820439955349L,
                                          0.1494513491505805931457763L, 0.0666713443086881375935688L};
    const rlvr__mx *v = x->n == 3 ? rlvr__integral_variable(x->arg[0]) : NULL, *d = v ? rlvr__mx_name(m, RLVR__M_SYM, "d", 1) : NULL;
    if (!d || m->n_bound > 0) return rlvr__cx_bad(1);
    rlvr__cx low = rlvr__mx_value(m, x->arg[1], place), high = rlvr__mx_value(m, x->arg[2], place), total[2];
    if (low.bad || high.bad || low.im != 0 || high.im != 0) return rlvr__cx_bad(1);
    m->n_bound = 2;
    m->bound[0].name = d->hash;
    m->bound[1].name = v->hash;
    for (int k = 0; k < 2; k++) {
        int parts = 8 << k;
        long double half = (high.re - low.re) / (2 * parts);
        total[k] = rlvr__cx_make(0, 0, 0);
        for (int i = 0; i < 10 * parts && !total[k].bad; i++) {
            long double at = low.re + half * (2 * (i / 10) + 1 + (i & 1 ? node[i % 10 / 2] : -node[i % 10 / 2]));
            m->bound[1].value = at;
            m->bound[0].value = 0;
            rlvr__cx none = rlvr__mx_value(m, x->arg[0], place);
            m->bound[0].value = 1;
            rlvr__cx slope = rlvr__cx_add(rlvr__mx_value(m, x->arg[0], place), rlvr__cx_neg(none));
            rlvr__cx f = rlvr__cx_add(none, rlvr__cx_mul(slope, rlvr__cx_inv(rlvr__cx_real(at, 0))));
            total[k] = rlvr__cx_add(total[k], rlvr__cx_scale(f, half * weight[i % 10 / 2]));
        }
    }
    m->n_bound = 0;
    if (total[0].bad || total[1].bad) return rlvr__cx_bad(1);
    total[1].err += rlvr__cx_abs(rlvr__cx_add(total[1], rlvr__cx_neg(total[0]))) + fabsl(high.err) + fabsl(low.err);
    return total[1];
}

static rlvr__cx rlvr__symbol_value(rlvr__math *m, const rlvr__mx *x, int place)
{
    for (int i = m->n_bound - 1; i >= 0; i--)
        if (m->bound[i].name == x->hash) return rlvr__cx_make(m->bound[i].value, 0, 0);
    if (x->name_len == 1 && x->name[0] == 'i') return rlvr__cx_make(0, 1, 0);
    uint64_t h = rlvr__math_mix(x->hash, (uint64_t)place + 1);
    long double v = 0.25L + 2.5L * (long double)(h >> 24) * 0x1p-40L;
    return rlvr__cx_make(place > 1 && (h & 1) ? -v : v, 0, 0);
}

/* The value of x at a random place; places 0 and 1 have positive variables only. */
static rlvr__cx rlvr__mx_value(rlvr__math *m, const rlvr__mx *x, int place)
{
    if (!rlvr__math_spend(m, 12)) return rlvr__cx_bad(2);
    rlvr__cx r;
    switch (x->op) {
    case RLVR__M_NUM: return rlvr__cx_real(rlvr__rat_value(x->rat), 0);
    case RLVR__M_SYM: return rlvr__symbol_value(m, x, place);
    case RLVR__M_PI: return rlvr__cx_real(3.14159265358979323846264L, 0);
    case RLVR__M_E: return rlvr__cx_real(2.71828182845904523536029L, 0);
    case RLVR__M_ADD:
        r = rlvr__mx_value(m, x->arg[0], place);
        for (int i = 1; i < x->n && !r.bad; i++) r = rlvr__cx_add(r, rlvr__mx_value(m, x->arg[i], place));
        return r;
    case RLVR__M_MUL:
        r = rlvr__mx_value(m, x->arg[0], place);
        for (int i = 1; i < x->n && !r.bad; i++) r = rlvr__cx_mul(r, rlvr__mx_value(m, x->arg[i], place));
        return r;
    case RLVR__M_POW: return rlvr__cx_pow(rlvr__mx_value(m, x->arg[0], place), rlvr__mx_value(m, x->arg[1], place));
    case RLVR__M_PCT: return rlvr__cx_scale(rlvr__mx_value(m, x->arg[0], place), 0.01L);
    case RLVR__M_FN: return rlvr__function_value(m, x, place);
    case RLVR__M_CALL: return rlvr__call_value(m, x, place);
    case RLVR__M_SUM: case RLVR__M_PROD: return rlvr__sum_value(m, x, place);
    case RLVR__M_OPAQUE:
        if (x->name[0] == 'i') {
            r = rlvr__integral_value(m, x, place);
            if (!r.bad) return r;
        }
        return rlvr__cx_real((long double)(rlvr__math_mix(x->hash, (uint64_t)place) >> 24) * 0x1p-40L + 0.1L, 0);
    default: return rlvr__cx_bad(1);
    }
}

static bool rlvr__mx_any(const rlvr__mx *x, bool (*is)(const rlvr__mx *))
{
    if (is(x)) return true;
    for (int i = 0; i < x->n; i++)
        if (rlvr__mx_any(x->arg[i], is)) return true;
    return false;
}

static bool rlvr__mx_is_variable(const rlvr__mx *x)
{
    return (x->op == RLVR__M_SYM && !(x->name_len == 1 && x->name[0] == 'i')) || x->op == RLVR__M_CALL || x->op == RLVR__M_OPAQUE;
}
static bool rlvr__mx_is_endless(const rlvr__mx *x) { return x->op == RLVR__M_INF || x->op == RLVR__M_OPAQUE; }
static bool rlvr__mx_constant(const rlvr__mx *x) { return !rlvr__mx_any(x, rlvr__mx_is_variable); }

/* ---- values modulo a prime p = 1 mod 4, below 2^31: sums, products and whole powers; others are not `ok` ---- */

static uint32_t rlvr__mod_pow(uint32_t a, uint32_t n, uint32_t p)
{
    uint64_t r = 1, b = a % p;
    for (; n; n >>= 1, b = b * b % p)
        if (n & 1) r = r * b % p;
    return (uint32_t)r;
}

static uint32_t rlvr__mx_mod(rlvr__math *m, const rlvr__mx *x, uint32_t p, int place, bool *ok)
{
    uint64_t r = x->op == RLVR__M_MUL;
    int32_t e;
    if (!*ok || !rlvr__math_spend(m, 6)) { *ok = false; return 0; }
    if (x->op == RLVR__M_NUM) {
        uint32_t top = rlvr__big_mod(x->rat.p, p), down = rlvr__big_mod(x->rat.q, p);
        rlvr__math_spend(m, 40 + x->rat.p.n + x->rat.q.n);
        if (!down) *ok = false;
        r = (uint64_t)top * (down == 1 ? 1 : rlvr__mod_pow(down, p - 2, p)) % p;
        return x->rat.negative && r ? p - (uint32_t)r : (uint32_t)r;
    }
    if (x->op == RLVR__M_SYM && x->name_len == 1 && x->name[0] == 'i') {      /* a root of -1 */
        for (uint32_t g = 2; g < 100; g++) {
            r = rlvr__mod_pow(g, (p - 1) / 4, p);
            if (r * r % p == p - 1) return (uint32_t)r;
        }
    }
    if (x->op == RLVR__M_SYM || x->op == RLVR__M_PI || x->op == RLVR__M_E) return (uint32_t)(rlvr__math_mix(x->hash,
        p + (uint64_t)place) % (p - 2)) + 1;
    if (x->op == RLVR__M_PCT) return (uint32_t)((uint64_t)rlvr__mx_mod(m, x->arg[0], p, place, ok) * rlvr__mod_pow(100, p - 2,
        p) % p);
    if (x->op == RLVR__M_POW && x->arg[1]->op == RLVR__M_NUM && rlvr__rat_int(x->arg[1]->rat, &e)) {
        uint32_t b = rlvr__mx_mod(m, x->arg[0], p, place, ok);
        if (x->arg[0]->op == RLVR__M_E) *ok = false;      /* e^2 e^x: e is a number there, not a name alone */
        if (e < 0 && !b) *ok = false;
        rlvr__math_spend(m, 60);
        b = rlvr__mod_pow(b, (uint32_t)(e < 0 ? -(int64_t)e : e), p);
        return e < 0 ? rlvr__mod_pow(b, p - 2, p) : b;
    }
    if (x->op != RLVR__M_ADD && x->op != RLVR__M_MUL) { *ok = false; return 0; }
    for (int i = 0; i < x->n && *ok; i++) {
        uint64_t v = rlvr__mx_mod(m, x->arg[i], p, place, ok);
        r = x->op == RLVR__M_ADD ? (r + v) % p : r * v % p;
    }
    return (uint32_t)r;
}

/* ---- differences ---- */

typedef struct rlvr__mterm { uint64_t key; rlvr__rat factor; const rlvr__mx *rest; } rlvr__mterm;      /* rest NULL: a number */
typedef struct rlvr__mterms { rlvr__mterm *t; int n, cap; } rlvr__mterms;

/* Adds factor * x to a list of terms: sums opened, numbers taken out of products. */
static void rlvr__terms_of(rlvr__math *m, const rlvr__mx *x, rlvr__rat factor, rlvr__mterms *out)
{
    if (!x || !rlvr__rat_ok(factor) || !rlvr__math_spend(m, 4)) { m->limit |= !x; return; }
    if (x->op == RLVR__M_PCT) { rlvr__terms_of(m, x->arg[0], rlvr__rat_mul(m, factor, rlvr__rat_make(m, rlvr__big_of(m, 1),
        rlvr__big_of(m, 100), false)), out); return; }
    if (x->op == RLVR__M_ADD) { for (int i = 0; i < x->n; i++) rlvr__terms_of(m, x->arg[i], factor, out); return; }
    if (x->op == RLVR__M_MUL && x->arg[0]->op == RLVR__M_NUM) {
        rlvr__terms_of(m, rlvr__mx_fold(m, RLVR__M_MUL, x->arg + 1, x->n - 1), rlvr__rat_mul(m, factor, x->arg[0]->rat), out);
        return;
    }
    if (out->n == out->cap) {
        int cap = out->cap ? 2 * out->cap : 32;
        rlvr__mterm *more = RLVR__MATH_NEW(m, rlvr__mterm, cap);
        if (!more) return;
        if (out->n) memcpy(more, out->t, (size_t)out->n * sizeof *more);
        out->t = more;
        out->cap = cap;
    }
    rlvr__mterm *t = &out->t[out->n++];
    bool number = x->op == RLVR__M_NUM;
    t->key = number ? 0 : x->hash;
    t->factor = number ? rlvr__rat_mul(m, factor, x->rat) : factor;
    t->rest = number ? NULL : x;
}

static int rlvr__terms_order(const void *a, const void *b)
{
    uint64_t x = ((const rlvr__mterm *)a)->key, y = ((const rlvr__mterm *)b)->key;
    return x < y ? -1 : x > y;
}

/* Joins terms that are alike; those that cancel go. */
static void rlvr__terms_join(rlvr__math *m, rlvr__mterms *s)
{
    int n = 0;
    if (s->n) qsort(s->t, (size_t)s->n, sizeof *s->t, rlvr__terms_order);
    for (int i = 0; i < s->n; i++) {
        if (n && s->t[n - 1].key == s->t[i].key) s->t[n - 1].factor = rlvr__rat_add(m, s->t[n - 1].factor, s->t[i].factor);
        else s->t[n++] = s->t[i];
        if (!rlvr__rat_ok(s->t[n - 1].factor)) { m->limit = true; return; }
        if (s->t[n - 1].factor.p.n == 0) n--;
    }
    s->n = n;
}

static rlvr__cx rlvr__terms_value(rlvr__math *m, const rlvr__mterms *s, int place, long double *scale)
{
    rlvr__cx sum = rlvr__cx_make(0, 0, 0);
    *scale = 0;
    for (int i = 0; i < s->n; i++) {
        rlvr__cx v = rlvr__cx_real(rlvr__rat_value(s->t[i].factor), 0);
        if (s->t[i].rest) v = rlvr__cx_mul(v, rlvr__mx_value(m, s->t[i].rest, place));
        sum = rlvr__cx_add(sum, v);
        if (sum.bad) return sum;
        *scale = RLVR__MAX(*scale, rlvr__cx_abs(v));
    }
    return sum;
}

/* 1: zero, 0: not, -1: cannot be told this way. */
static int rlvr__terms_mod(rlvr__math *m, const rlvr__mterms *s)
{
    static const uint32_t prime[2] = {2147483629u, 2147483549u};
    for (int k = 0; k < 4; k++) {
        uint32_t p = prime[k % 2];
        uint64_t sum = 0;
        bool ok = true;
        for (int i = 0; i < s->n && ok; i++) {
            const rlvr__mx *factor = rlvr__mx_num(m, s->t[i].factor, false, false);
            if (!factor) return -1;
            uint64_t v = rlvr__mx_mod(m, factor, p, k, &ok);
            if (s->t[i].rest) v = v * rlvr__mx_mod(m, s->t[i].rest, p, k, &ok) % p;
            sum = (sum + v) % p;
        }
        if (!ok) return -1;
        if (sum) return 0;
    }
    return 1;
}

/* Whether the sum of the terms is zero everywhere. A number among them is the first: beside it an error must stay below one. */
static bool rlvr__terms_zero(rlvr__math *m, const rlvr__mterms *s)
{
    bool constant = true;
    if (m->limit) return false;
    if (!s->n) return true;
    if (s->n == 1 && !s->t[0].rest) return false;
    int exact = rlvr__terms_mod(m, s), agreed = 0;
    if (exact >= 0) return exact == 1;
    for (int i = 0; i < s->n; i++) constant &= !s->t[i].rest || rlvr__mx_constant(s->t[i].rest);
    for (int place = 0; place < (constant ? 1 : 8); place++) {
        long double scale;
        rlvr__cx v = rlvr__terms_value(m, s, place, &scale);
        if (m->limit) return false;
        if (v.bad) continue;
        if (rlvr__cx_abs(v) > 16 * v.err) return false;
        if (16 * v.err > 1e-9L * scale || (!s->t[0].rest && 16 * v.err > 0.01L)) continue;      /* nothing can be told here */
        agreed++;
    }
    return agreed >= (constant ? 1 : 3);
}

static bool rlvr__mx_zero_difference(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    rlvr__mterms s = {NULL, 0, 0};
    if (a->hash == b->hash) return true;
    rlvr__terms_of(m, a, rlvr__rat_of(m, 1), &s);
    rlvr__terms_of(m, b, rlvr__rat_of(m, -1), &s);
    rlvr__terms_join(m, &s);
    return rlvr__terms_zero(m, &s);
}

/* ============================================================================================
   15.4a MATH: GOLD AND PREDICTION                                                  >>math-meet
   ============================================================================================ */

/* How gold and prediction meet, and which side may say more, is as Math-Verify's, from where the field's golds come: an
   equation answers a bare gold by its right side; a bare prediction answers an assignment (x = 5); two assignments need the
   same variable; a relation as gold may be answered by its set, the other way round only with allow_set_relation_comp. Lists
   and sets have no order; a tuple has one, and a list or a set that answers it is taken in the order written; an open
   interval (a,b) is also a pair. n% is n or n/100. */

/* ---- matrices ---- */

/* x as a matrix, its sums, multiples, products and transposes carried out; NULL: it is none. */
static const rlvr__mx *rlvr__mx_matrix(rlvr__math *m, const rlvr__mx *x)
{
    if (!x || x->op == RLVR__M_MATRIX) return x;
    if (!rlvr__math_spend(m, 10)) return NULL;
    if (x->op == RLVR__M_FN && x->id == RLVR__F_TRANSPOSE) {
        const rlvr__mx *a = rlvr__mx_matrix(m, x->arg[0]);
        int rows = a ? a->n / a->id : 0;
        rlvr__mx *t = a ? rlvr__mx_new(m, RLVR__M_MATRIX, rows, a->n) : NULL;
        for (int i = 0; t && i < a->n; i++) t->arg[i % a->id * rows + i / a->id] = a->arg[i];
        return rlvr__mx_done(t);
    }
    if (x->op != RLVR__M_ADD && x->op != RLVR__M_MUL) return NULL;
    const rlvr__mx *r = NULL, *scalar = rlvr__mx_int(m, 1);
    for (int i = 0; i < x->n; i++) {
        const rlvr__mx *a = rlvr__mx_matrix(m, x->arg[i]);
        if (!a && x->op == RLVR__M_ADD) return NULL;
        if (!a) { scalar = rlvr__mx_mul(m, scalar, x->arg[i]); continue; }
        if (!r) { r = a; continue; }
        bool sum = x->op == RLVR__M_ADD;
        int rows = r->n / r->id, inner = r->id, columns = a->id;
        if (sum ? r->id != a->id || r->n != a->n : inner != a->n / a->id) return NULL;
        if ((int64_t)rows * columns * inner > 20000) { m->limit = true; return NULL; }
        rlvr__mx *t = rlvr__mx_new(m, RLVR__M_MATRIX, columns, rows * columns);
        for (int k = 0; t && k < t->n; k++) {
            t->arg[k] = sum ? rlvr__mx_add(m, r->arg[k], a->arg[k]) : rlvr__mx_int(m, 0);
            for (int j = 0; !sum && j < inner; j++)
                t->arg[k] = rlvr__mx_add(m, t->arg[k], rlvr__mx_mul(m, r->arg[k / columns * inner + j],
                    a->arg[j * columns + k % columns]));
        }
        r = rlvr__mx_done(t);
        if (!r) return NULL;
    }
    if (!r || !scalar || rlvr__mx_is_int(scalar, 1)) return r;
    rlvr__mx *t = rlvr__mx_new(m, RLVR__M_MATRIX, r->id, r->n);
    for (int i = 0; t && i < r->n; i++) t->arg[i] = rlvr__mx_mul(m, scalar, r->arg[i]);
    return rlvr__mx_done(t);
}

/* ---- sets of real numbers: sorted pieces that do not touch ---- */

#define RLVR__PIECES 64
typedef struct rlvr__piece { long double a, b; bool a_open, b_open; } rlvr__piece;
typedef struct rlvr__pieces { rlvr__piece p[RLVR__PIECES]; int n; } rlvr__pieces;

#define RLVR__ENDLESS 1e300L

static int rlvr__end_order(long double a, long double b)
{
    if (fabsl(a - b) <= 1e-15L * (1 + fabsl(a))) return 0;
    return a < b ? -1 : 1;
}

static int rlvr__endless_sign(const rlvr__mx *x)      /* of infinity; 0: it is something else */
{
    if (x->op == RLVR__M_INF) return 1;
    bool times = x->op == RLVR__M_MUL && x->n == 2 && x->arg[0]->op == RLVR__M_NUM && x->arg[1]->op == RLVR__M_INF;
    return times ? x->arg[0]->rat.negative ? -1 : 1 : 0;
}

static bool rlvr__end_value(rlvr__math *m, const rlvr__mx *x, long double *out)
{
    int endless = rlvr__endless_sign(x);
    if (endless) { *out = endless < 0 ? -RLVR__ENDLESS : RLVR__ENDLESS; return true; }
    if (!rlvr__mx_constant(x)) return false;
    rlvr__cx v = rlvr__mx_value(m, x, 0);
    *out = v.re;
    return !v.bad && v.im == 0 && fabsl(v.re) < RLVR__ENDLESS;
}

static bool rlvr__pieces_add(rlvr__pieces *s, long double a, long double b, bool a_open, bool b_open)
{
    int order = rlvr__end_order(a, b);
    if (order > 0 || (order == 0 && (a_open || b_open))) return true;
    if (s->n == RLVR__PIECES) return false;
    rlvr__piece p = {a, b, a_open, b_open};
    int i = s->n++;
    for (; i > 0 && (rlvr__end_order(s->p[i - 1].a, a) > 0 || (rlvr__end_order(s->p[i - 1].a, a) == 0 && s->p[i - 1].a_open &&
        !a_open)); i--) s->p[i] = s->p[i - 1];
    s->p[i] = p;
    int n = 0;      /* joins those that touch */
    for (i = 0; i < s->n; i++) {
        rlvr__piece *last = n ? &s->p[n - 1] : NULL;
        int gap = last ? rlvr__end_order(s->p[i].a, last->b) : 1;
        if (last && (gap < 0 || (gap == 0 && !(last->b_open && s->p[i].a_open)))) {
            int ends = rlvr__end_order(s->p[i].b, last->b);
            if (ends > 0) { last->b = s->p[i].b; last->b_open = s->p[i].b_open; }
            else if (ends == 0) last->b_open = last->b_open && s->p[i].b_open;
        } else s->p[n++] = s->p[i];
    }
    s->n = n;
    return true;
}

static bool rlvr__pieces_not(const rlvr__pieces *a, rlvr__pieces *out)      /* all that is not in a */
{
    long double from = -RLVR__ENDLESS;
    bool open = true, ok = true;
    out->n = 0;
    for (int i = 0; i < a->n; i++) {
        if (rlvr__end_order(from, a->p[i].a) < 0 || !open) ok &= rlvr__pieces_add(out, from, a->p[i].a, open, !a->p[i].a_open);
        from = a->p[i].b;
        open = !a->p[i].b_open;
    }
    return ok && (from >= RLVR__ENDLESS || rlvr__pieces_add(out, from, RLVR__ENDLESS, open, true));
}

static bool rlvr__pieces_and(const rlvr__pieces *a, const rlvr__pieces *b, rlvr__pieces *out)
{
    out->n = 0;
    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < b->n; j++) {
            const rlvr__piece *p = &a->p[i], *q = &b->p[j];
            int low = rlvr__end_order(p->a, q->a), high = rlvr__end_order(p->b, q->b);
            bool a_open = low > 0 ? p->a_open : low < 0 ? q->a_open : p->a_open || q->a_open;
            bool b_open = high < 0 ? p->b_open : high > 0 ? q->b_open : p->b_open || q->b_open;
            if (!rlvr__pieces_add(out, low > 0 ? p->a : q->a, high < 0 ? p->b : q->b, a_open, b_open)) return false;
        }
    return true;
}

static bool rlvr__pieces_of(rlvr__math *m, const rlvr__mx *x, rlvr__pieces *out, int depth)
{
    long double a, b;
    out->n = 0;
    if (depth > 12 || !rlvr__math_spend(m, 2000)) return false;      /* the frames are large */
    if (x->op == RLVR__M_NAMED && x->id == 'R') return rlvr__pieces_add(out, -RLVR__ENDLESS, RLVR__ENDLESS, true, true);
    if (x->op == RLVR__M_INTERVAL) {
        if (!rlvr__end_value(m, x->arg[0], &a) || !rlvr__end_value(m, x->arg[1], &b)) return false;
        return rlvr__pieces_add(out, a, b, (x->id & 1) || a <= -RLVR__ENDLESS, (x->id & 2) || b >= RLVR__ENDLESS);
    }
    if (x->op == RLVR__M_SET) {
        for (int i = 0; i < x->n; i++)
            if (!rlvr__end_value(m, x->arg[i], &a) || fabsl(a) >= RLVR__ENDLESS || !rlvr__pieces_add(out, a, a, false,
                false)) return false;
        return true;
    }
    if (x->op != RLVR__M_UNION && x->op != RLVR__M_MEET && x->op != RLVR__M_MINUS) return false;
    rlvr__pieces *one = RLVR__MATH_NEW(m, rlvr__pieces, 3);
    if (!one || !rlvr__pieces_of(m, x->arg[0], one, depth + 1) || !rlvr__pieces_of(m, x->arg[1], one + 1,
        depth + 1)) return false;
    if (x->op == RLVR__M_UNION) {
        *out = one[0];
        for (int i = 0; i < one[1].n; i++)
            if (!rlvr__pieces_add(out, one[1].p[i].a, one[1].p[i].b, one[1].p[i].a_open, one[1].p[i].b_open)) return false;
        return true;
    }
    if (x->op == RLVR__M_MINUS) { if (!rlvr__pieces_not(&one[1], &one[2])) return false; }
    else one[2] = one[1];
    return rlvr__pieces_and(&one[0], &one[2], out);
}

static bool rlvr__pieces_equal(const rlvr__pieces *a, const rlvr__pieces *b)
{
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++)
        if (rlvr__end_order(a->p[i].a, b->p[i].a) || rlvr__end_order(a->p[i].b, b->p[i].b) || a->p[i].a_open != b->p[i].a_open ||
            a->p[i].b_open != b->p[i].b_open) return false;
    return true;
}

/* ---- gold and prediction ---- */

static bool rlvr__math_equal(rlvr__math *m, const rlvr__mx *gold, const rlvr__mx *given);

static bool rlvr__is_relation(const rlvr__mx *x) { return x->op == RLVR__M_REL || x->op == RLVR__M_CHAIN; }

static bool rlvr__is_equation(const rlvr__mx *x)
{
    if (x->op == RLVR__M_REL) return x->id == RLVR__REL_EQ;
    for (int i = 0; x->op == RLVR__M_CHAIN && i < x->n; i++)
        if (x->arg[i]->id != RLVR__REL_EQ) return false;
    return x->op == RLVR__M_CHAIN;
}

static const rlvr__mx *rlvr__left_of(const rlvr__mx *x) { return x->op == RLVR__M_CHAIN ? x->arg[0]->arg[0] : x->arg[0]; }
static const rlvr__mx *rlvr__right_of(const rlvr__mx *x) { return x->op == RLVR__M_CHAIN ? x->arg[x->n - 1]->arg[1] : x->arg[1]; }
static bool rlvr__is_assignment(const rlvr__mx *x) { return rlvr__is_equation(x) && rlvr__mx_only_symbols(rlvr__left_of(x)); }

/* The set of a relation in one variable: x > 1, 1 < x <= 2, x = 3, x != 4; NULL: it is another. */
static const rlvr__mx *rlvr__relation_set(rlvr__math *m, const rlvr__mx *x)
{
    static const int flipped[] = {RLVR__REL_EQ, RLVR__REL_NE, RLVR__REL_GT, RLVR__REL_LT, RLVR__REL_GE, RLVR__REL_LE};
    const rlvr__mx *inf = rlvr__mx_many(m, RLVR__M_INF, 0, NULL, 0);
    if (x->op == RLVR__M_CHAIN) {
        const rlvr__mx *a = x->n == 2 ? rlvr__relation_set(m, x->arg[0]) : NULL, *b = x->n == 2 ? rlvr__relation_set(m,
            x->arg[1]) : NULL;
        if (!a || !b || x->arg[0]->arg[1]->hash != x->arg[1]->arg[0]->hash ||
            !rlvr__mx_only_symbols(x->arg[0]->arg[1])) return NULL;
        if (a->op != RLVR__M_INTERVAL || b->op != RLVR__M_INTERVAL) return NULL;
        bool up = x->arg[0]->id == RLVR__REL_LT || x->arg[0]->id == RLVR__REL_LE, too = x->arg[1]->id == RLVR__REL_LT ||
            x->arg[1]->id == RLVR__REL_LE;
        const rlvr__mx *low = up ? a : b, *high = up ? b : a;
        return up == too ? rlvr__mx_two(m, RLVR__M_INTERVAL, (low->id & 1) | (high->id & 2), low->arg[0], high->arg[1]) : NULL;
    }
    const rlvr__mx *v = x->arg[0], *k = x->arg[1];
    int rel = x->id;
    if (!rlvr__mx_only_symbols(v)) { v = x->arg[1]; k = x->arg[0]; rel = flipped[rel]; }
    if ((v->op != RLVR__M_SYM && v->op != RLVR__M_CALL) || !rlvr__mx_constant(k) || rlvr__mx_set_like(k)) return NULL;
    if (rel == RLVR__REL_EQ) return rlvr__mx_one(m, RLVR__M_SET, 0, k);
    if (rel == RLVR__REL_NE) return rlvr__mx_two(m, RLVR__M_MINUS, 0, rlvr__mx_many(m, RLVR__M_NAMED, 'R', NULL, 0),
        rlvr__mx_one(m, RLVR__M_SET, 0, k));
    if (rel == RLVR__REL_GT || rel == RLVR__REL_GE) return rlvr__mx_two(m, RLVR__M_INTERVAL, (rel == RLVR__REL_GT) | 2, k, inf);
    return rlvr__mx_two(m, RLVR__M_INTERVAL, 1 | (rel == RLVR__REL_LT ? 2 : 0), rlvr__mx_neg(m, inf), k);
}

/* Whether a is b times one number other than zero: two equations a = 0 and b = 0 are then the same. */
static bool rlvr__proportional(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    if (rlvr__mx_constant(a) || rlvr__mx_constant(b)) return false;
    rlvr__cx ratio = rlvr__cx_bad(1);
    int agreed = 0;
    for (int place = 0; place < 8; place++) {
        rlvr__cx x = rlvr__mx_value(m, a, place), y = rlvr__mx_value(m, b, place), q = rlvr__cx_mul(x, rlvr__cx_inv(y));
        if (q.bad || rlvr__cx_abs(x) <= 16 * x.err) continue;
        if (ratio.bad) { ratio = q; continue; }
        if (rlvr__cx_abs(rlvr__cx_add(q, rlvr__cx_neg(ratio))) > 16 * (q.err + ratio.err)) return false;
        if (16 * q.err > 1e-9L * rlvr__cx_abs(q)) continue;
        agreed++;
    }
    return agreed >= 3 && !m->limit;
}

static bool rlvr__relations_equal(rlvr__math *m, const rlvr__mx *gold, const rlvr__mx *given)
{
    static const int flipped[] = {RLVR__REL_EQ, RLVR__REL_NE, RLVR__REL_GT, RLVR__REL_LT, RLVR__REL_GE, RLVR__REL_LE};
    if (gold->op != given->op) return false;
    if (gold->op == RLVR__M_CHAIN) {
        bool same = gold->n == given->n, back = same;
        for (int i = 0; same && i < gold->n; i++) same = rlvr__relations_equal(m, gold->arg[i], given->arg[i]);
        for (int i = 0; !same && back && i < gold->n; i++) back = rlvr__relations_equal(m, gold->arg[i],
            given->arg[gold->n - 1 - i]);
        return same || back;
    }
    const rlvr__mx *a = gold->arg[0], *b = gold->arg[1], *x = given->arg[0], *y = given->arg[1];
    if (rlvr__mx_set_like(a) || rlvr__mx_set_like(b) || rlvr__mx_set_like(x) || rlvr__mx_set_like(y)) {      /* (x,y) = (1,2) */
        if (gold->id == given->id && a->hash == x->hash && rlvr__math_equal(m, b, y)) return true;
        return flipped[gold->id] == given->id && a->hash == y->hash && rlvr__math_equal(m, b, x);
    }
    const rlvr__mx *left = rlvr__mx_sub(m, a, b), *right = rlvr__mx_sub(m, x, y), *back = rlvr__mx_sub(m, y, x);
    if (!left || !right || !back) return false;
    if (gold->id == given->id && rlvr__mx_zero_difference(m, left, right)) return true;
    if (flipped[gold->id] == given->id && rlvr__mx_zero_difference(m, left, back)) return true;
    return gold->id == RLVR__REL_EQ && given->id == RLVR__REL_EQ && rlvr__proportional(m, left, right);
}

/* The elements of a set without those that are written twice. */
static const rlvr__mx *rlvr__set_once(rlvr__math *m, const rlvr__mx *x)
{
    if (x->op != RLVR__M_SET || x->n < 2) return x;
    rlvr__mx *r = rlvr__mx_new(m, RLVR__M_SET, x->id, x->n);
    int n = 0;
    for (int i = 0; r && i < x->n; i++) {
        bool seen = false;
        for (int k = 0; k < n && !seen && rlvr__math_spend(m, 1); k++) seen = r->arg[k]->hash == x->arg[i]->hash;
        if (!seen) r->arg[n++] = x->arg[i];
    }
    if (r) r->n = n;
    return rlvr__mx_done(r);
}

static bool rlvr__elements_equal(rlvr__math *m, const rlvr__mx *gold, const rlvr__mx *given, bool ordered)
{
    int n = gold->n;
    if (n != given->n) return false;
    for (int i = 0; ordered && i < n; i++)
        if (!rlvr__math_equal(m, gold->arg[i], given->arg[i])) return false;
    if (ordered) return true;
    bool *used = RLVR__MATH_NEW(m, bool, n + 1);
    for (int i = 0; used && i < n; i++) {
        int k = 0, at = -1;
        for (; k < n && at < 0 && !m->limit; k++) {      /* from the same place on: mostly they are in one order */
            int j = (i + k) % n;
            if (!used[j] && rlvr__math_equal(m, gold->arg[i], given->arg[j])) at = j;
        }
        if (at < 0) return false;
        used[at] = true;
    }
    return used != NULL;
}

static bool rlvr__sets_equal(rlvr__math *m, const rlvr__mx *gold, const rlvr__mx *given)
{
    if (!rlvr__mx_set_like(gold)) gold = rlvr__mx_one(m, RLVR__M_SET, 0, gold);
    if (!rlvr__mx_set_like(given)) given = rlvr__mx_one(m, RLVR__M_SET, 0, given);
    gold = gold ? rlvr__set_once(m, gold) : NULL;
    given = given ? rlvr__set_once(m, given) : NULL;
    if (!gold || !given) return false;
    if (gold->hash == given->hash) return true;
    bool pair = (gold->op == RLVR__M_INTERVAL && gold->id == 3) || gold->op == RLVR__M_TUPLE;
    bool pair_given = (given->op == RLVR__M_INTERVAL && given->id == 3) || given->op == RLVR__M_TUPLE;
    if (gold->op == RLVR__M_INTERVAL && given->op == RLVR__M_INTERVAL)
        return gold->id == given->id && rlvr__elements_equal(m, gold, given, true);
    if ((pair || gold->op == RLVR__M_SET) && (pair_given || given->op == RLVR__M_SET) && rlvr__elements_equal(m, gold, given,
        pair)) return true;
    rlvr__pieces *p = RLVR__MATH_NEW(m, rlvr__pieces, 2);
    if (gold->op == RLVR__M_TUPLE || given->op == RLVR__M_TUPLE || !p) return false;
    if (rlvr__pieces_of(m, gold, &p[0], 0) && rlvr__pieces_of(m, given, &p[1], 0)) return rlvr__pieces_equal(&p[0], &p[1]);
    if (gold->op != given->op || gold->op == RLVR__M_NAMED || gold->op == RLVR__M_SET || gold->n != given->n) return false;
    return rlvr__elements_equal(m, gold, given, gold->op == RLVR__M_MINUS);
}

/* The letters of a product of names, joined: abc for a b c. 0: it is something else. */
static size_t rlvr__mx_letters(const rlvr__mx *x, char *out, size_t cap)
{
    size_t n = 0;
    if (x->op == RLVR__M_E && cap > 1) { out[0] = 'e'; return 1; }
    if (x->op == RLVR__M_SYM && (size_t)x->name_len < cap) { memcpy(out, x->name, (size_t)x->name_len);
        return (size_t)x->name_len; }
    if (x->op != RLVR__M_MUL) return 0;
    for (int i = 0; i < x->n; i++) {
        size_t k = x->arg[i]->op == RLVR__M_MUL ? 0 : rlvr__mx_letters(x->arg[i], out + n, cap - n);
        if (!k) return 0;
        n += k;
    }
    return n;
}

static const rlvr__mx *rlvr__percent_of(const rlvr__mx *x) { return x->op == RLVR__M_PCT ? x->arg[0] : x; }

/* The exact value of a number or a percentage of one; NULL: neither. */
static const rlvr__mx *rlvr__number_of_pct(rlvr__math *m, const rlvr__mx *x)
{
    if (x->op == RLVR__M_NUM) return x;
    if (x->op != RLVR__M_PCT || x->arg[0]->op != RLVR__M_NUM) return NULL;
    rlvr__rat r = rlvr__rat_mul(m, x->arg[0]->rat, rlvr__rat_make(m, rlvr__big_of(m, 1), rlvr__big_of(m, 100), false));
    return rlvr__mx_num(m, r, x->arg[0]->decimal, x->arg[0]->literal);
}

/* A decimal against another constant: rounded, but a whole number only to itself. */
static bool rlvr__decimal_equal(rlvr__math *m, const rlvr__mx *a, const rlvr__mx *b)
{
    if (a->op == RLVR__M_NUM && b->op == RLVR__M_NUM) {
        if (rlvr__rat_equal(a->rat, b->rat)) return true;
        if ((!a->decimal && rlvr__rat_whole(a->rat)) || (!b->decimal && rlvr__rat_whole(b->rat))) return false;
        rlvr__rat x = rlvr__rat_round(m, a->rat, m->precision), y = rlvr__rat_round(m, b->rat, m->precision);
        return rlvr__rat_ok(x) && rlvr__rat_ok(y) && rlvr__rat_equal(x, y);
    }
    const rlvr__mx *other = a->op == RLVR__M_NUM ? b : a, *number = a->op == RLVR__M_NUM ? a : b;
    rlvr__cx v = rlvr__mx_value(m, other, 0);
    if (v.bad || fabsl(v.im) > 4 * v.err || fabsl(v.re) > 1e9L) return false;
    rlvr__rat r = rlvr__rat_round(m, number->rat, m->precision);
    long double unit = powl(10, m->precision), whole = floorl(fabsl(v.re) * unit + 0.5L);
    return rlvr__rat_ok(r) && fabsl((v.re < 0 ? -whole : whole) - rlvr__rat_value(r) * unit) < 0.25L;
}

static bool rlvr__scalars_equal(rlvr__math *m, const rlvr__mx *gold, const rlvr__mx *given)
{
    const rlvr__mx *a = rlvr__number_of_pct(m, gold), *b = rlvr__number_of_pct(m, given);
    if (a && b && !a->decimal && !b->decimal && (gold->op == RLVR__M_PCT || given->op == RLVR__M_PCT)) {      /* 9% is also 9 */
        const rlvr__mx *x = rlvr__percent_of(gold), *y = rlvr__percent_of(given);
        if (x->literal && y->literal && !x->rat.negative && rlvr__rat_whole(x->rat) && rlvr__rat_equal(x->rat,
            y->rat)) return true;
    }
    bool decimal = (a && a->decimal && a->literal) || (b && b->decimal && b->literal);
    if (decimal && (a || rlvr__mx_constant(gold)) && (b || rlvr__mx_constant(given)) && rlvr__decimal_equal(m, a ? a : gold, b
        ? b : given)) return true;
    if (a && b) return rlvr__rat_equal(a->rat, b->rat);
    int endless = rlvr__endless_sign(gold), too = rlvr__endless_sign(given);
    if (endless || too) return endless == too;
    return rlvr__mx_zero_difference(m, gold, given);
}

static bool rlvr__math_equal(rlvr__math *m, const rlvr__mx *gold, const rlvr__mx *given)
{
    if (!gold || !given || !rlvr__math_spend(m, 30)) return false;
    bool gold_equation = rlvr__is_equation(gold), given_equation = rlvr__is_equation(given);
    if (rlvr__is_assignment(gold) && gold->op == RLVR__M_CHAIN)
        gold = rlvr__mx_two(m, RLVR__M_REL, RLVR__REL_EQ, rlvr__left_of(gold), rlvr__right_of(gold));
    if (rlvr__is_assignment(given) && given->op == RLVR__M_CHAIN)
        given = rlvr__mx_two(m, RLVR__M_REL, RLVR__REL_EQ, rlvr__left_of(given), rlvr__right_of(given));
    if (!gold || !given) return false;
    if (given_equation && !gold_equation) given = rlvr__right_of(given);
    else if (!given_equation && rlvr__is_assignment(gold)) gold = rlvr__right_of(gold);
    if (rlvr__is_relation(gold) && rlvr__mx_set_like(given)) {
        const rlvr__mx *set = rlvr__relation_set(m, gold);
        if (set) gold = set;
    } else if (m->set_relations && rlvr__is_relation(given) && rlvr__mx_set_like(gold)) {
        const rlvr__mx *set = rlvr__relation_set(m, given);
        if (set) given = set;
    }
    if (gold->hash == given->hash) return true;
    if (rlvr__is_relation(gold) && rlvr__is_relation(given)) return rlvr__relations_equal(m, gold, given);
    if (rlvr__mx_set_like(gold) || rlvr__mx_set_like(given)) return rlvr__sets_equal(m, gold, given);
    if (rlvr__is_relation(gold) || rlvr__is_relation(given)) return false;
    if (gold->op == RLVR__M_SYM || given->op == RLVR__M_SYM) {
        char a[256], b[256];
        size_t n = rlvr__mx_letters(gold, a, sizeof a), k = rlvr__mx_letters(given, b, sizeof b);
        if (n && n == k && memcmp(a, b, n) == 0) return true;
    }
    const rlvr__mx *a = rlvr__mx_matrix(m, gold), *b = rlvr__mx_matrix(m, given);
    if (a || b) return a && b && a->id == b->id && rlvr__elements_equal(m, a, b, true);
    return rlvr__scalars_equal(m, gold, given);
}

/* ============================================================================================
   15.4b MATH: VERDICT                                                                   >>math
   ============================================================================================ */

/* ---- the verifier ----

   Options: "mode" ("default"; "strict": a final answer only, so no \sum, \prod, \int, \lim, \det that is not carried out, no
   chain of equalities, no answer from inside <think> or from an echo of the task's "prompt"; "literal": the answer is one
   numeral, as 3, -0.5, 1/2, 2\frac{1}{2}, 50\%; "units": the gold's unit, or its lack, must be met), "precision" (decimals at
   which a decimal is compared, 0 to 18, default 6), "allow_set_relation_comp" (false). A case of which the gold cannot be
   read is bad_gold, a gold that is too large to decide anything by is a limit; of a prediction either is a zero. */

static bool rlvr__mx_is_unfinished(const rlvr__mx *x)
{
    return x->op == RLVR__M_SUM || x->op == RLVR__M_PROD || x->op == RLVR__M_OPAQUE || (x->op == RLVR__M_FN &&
        x->id == RLVR__F_DET) ||
           (x->op == RLVR__M_CHAIN && rlvr__is_equation(x));
}

static bool rlvr__mx_is_matrix(const rlvr__mx *x) { return x->op == RLVR__M_MATRIX; }

static bool rlvr__mx_is_numeral(const rlvr__mx *x) { return rlvr__percent_of(x)->op == RLVR__M_NUM &&
    rlvr__percent_of(x)->literal; }

/* The name of a unit in one spelling: small letters, no spaces, braces, plural; its power stays. */
static size_t rlvr__unit_name(const char *s, size_t n, char *out, size_t cap)
{
    static const char *const same[][2] = {{"centimeter", "cm"}, {"centimetre", "cm"}, {"millimeter", "mm"}, {"kilometer", "km"},
        {"kilometre", "km"},
        {"meter", "m"}, {"metre", "m"}, {"gram", "g"}, {"kilogram", "kg"}, {"second", "s"}, {"sec", "s"}, {"minute", "min"},
            {"hour", "h"}, {"hr", "h"},
        {"inche", "in"}, {"inch", "in"}, {"feet", "ft"}, {"foot", "ft"}, {"liter", "l"}, {"litre", "l"}, {"dollar", "$"}, {"\\$",
            "$"}, {"degree", "deg"},
        {"yard", "yd"}, {"pound", "lb"}, {"year", "yr"}, {"squarecm", "cm^2"}, {"sqcm", "cm^2"}, {"squareunit", "unit^2"},
            {"squaremeter", "m^2"}, {NULL, NULL}};
    size_t k = 0;
    for (size_t i = 0; i < n && k + 1 < cap; i++)
        if (s[i] && !strchr(" {}.\t\n", s[i])) out[k++] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
    if (k > 1 && out[k - 1] == 's') k--;
    out[k] = 0;
    for (int i = 0; same[i][0]; i++)
        if (!strcmp(out, same[i][0])) { k = strlen(same[i][1]); memcpy(out, same[i][1], k + 1); break; }
    return k;
}

static bool rlvr__units_equal(const rlvr__manswer *a, const rlvr__manswer *b)
{
    char x[80], y[80];
    size_t n = rlvr__unit_name(a->unit, a->unit ? a->n_unit : 0, x, sizeof x), k = rlvr__unit_name(b->unit, b->unit ? b->n_unit
        : 0, y, sizeof y);
    return n == k && memcmp(x, y, n) == 0;
}

/* In strict mode: what is left of a completion behind its thoughts and an echo of the prompt. */
static void rlvr__math_strict_text(const rlvr__case *c, const char **text, size_t *n)
{
    size_t len = 0;
    const char *prompt = rlvr__json_str(rlvr__json_get(c->task, "prompt"), &len);
    if (prompt && len) {
        rlvr__trim(&prompt, &len);
        while (*n && rlvr__is_space(**text)) { ++*text; --*n; }
        if (len && *n >= len && memcmp(*text, prompt, len) == 0) { *text += len; *n -= len; }
    }
    const char *end = *text + *n, *from = *text;
    bool inside = false;
    for (const char *p = *text; p < end; p++) {
        if (*p != '<') continue;
        if (rlvr__starts(p, end, "<think>")) inside = true;
        else if (rlvr__starts(p, end, "</think>")) { inside = false; from = p + 8; }
    }
    *text = from;
    *n = inside ? 0 : (size_t)(end - from);
}

/* Why a gold has no value at all; NULL: it has one, or needs none. */
static rlvr_status rlvr__gold_status(rlvr__math *m, const rlvr__mx *x)
{
    if (x->op >= RLVR__M_TUPLE || !rlvr__mx_constant(x) || rlvr__mx_any(x, rlvr__mx_is_endless) || rlvr__mx_any(x,
        rlvr__mx_is_matrix)) return RLVR_STATUS_EQUAL;
    rlvr__cx v = rlvr__mx_value(m, x, 0);
    return !v.bad ? RLVR_STATUS_EQUAL : v.bad == 2 ? RLVR_STATUS_LIMIT : RLVR_STATUS_BAD_GOLD;
}

static void rlvr__math_verdict(rlvr__math *m, rlvr__case *c, int mode)
{
    rlvr__manswer gold, given;
    const char *text = c->text;
    size_t n = c->len;
    int64_t all = m->work;
    if (mode == 1) rlvr__math_strict_text(c, &text, &n);
    bool read = rlvr__math_answer(m, c->gold, c->gold_len, true, &gold);
    if (m->limit) { rlvr__verdict(c, RLVR_STATUS_LIMIT, 0, "the answer is too large to be read"); return; }
    if (!read && !gold.n) { rlvr__verdict(c, RLVR_STATUS_BAD_GOLD, 0, "no answer can be read from the gold"); return; }
    rlvr_status status = gold.x ? rlvr__gold_status(m, gold.x) : RLVR_STATUS_EQUAL;
    if (status == RLVR_STATUS_BAD_GOLD) { rlvr__verdict(c, status, 0, "the answer is undefined"); return; }
    if (m->limit) { rlvr__verdict(c, RLVR_STATUS_LIMIT, 0, "the answer is too large to decide"); return; }
    m->work = all;
    bool found = rlvr__math_answer(m, text, n, false, &given);
    if (given.n) rlvr__extracted(c, given.s, given.n);
    if (!given.n && !found) { rlvr__verdict(c, RLVR_STATUS_UNPARSED, 0, m->limit ? "the answer is too large"
        : "no answer was found"); return; }
    bool same_text = given.n && given.n == gold.n && memcmp(given.s, gold.s, gold.n) == 0;
    bool equal = same_text;
    if (!equal && found && gold.x && !m->limit) {
        m->work = all;
        equal = rlvr__math_equal(m, gold.x, given.x);
    }
    if (!equal && m->limit && gold.n > 2048) { rlvr__verdict(c, RLVR_STATUS_LIMIT, 0, "the answer is too large to decide");
        return; }
    if (!equal && status == RLVR_STATUS_LIMIT) { rlvr__verdict(c, status, 0, "the answer's value is too large to decide"); return;
        }
    const char *why = !equal ? (m->limit ? "too large to be equal" : "") : mode == 1 && (!given.x || rlvr__mx_any(given.x,
        rlvr__mx_is_unfinished)) ? "not a final answer"
                      : mode == 2 && (!given.x || !rlvr__mx_is_numeral(given.x)) ? "not a numeral" : mode == 3 &&
                          !rlvr__units_equal(&gold, &given) ? "another unit" : NULL;
    if (!found && !equal) rlvr__verdict(c, RLVR_STATUS_UNPARSED, 0, "%s", "the answer cannot be read");
    else rlvr__verdict(c, why ? RLVR_STATUS_UNEQUAL : RLVR_STATUS_EQUAL, why ? 0.0f : 1.0f, "%s", why ? why : "");
}

static void rlvr__grade_math(rlvr__case *c)
{
    static const char *const modes[] = {"default", "strict", "literal", "units"};
    const char *mode = rlvr__json_str(rlvr__field(c, "mode"), NULL);
    int64_t precision = rlvr__json_int(rlvr__field(c, "precision"), 6);
    int which = mode ? -1 : 0;
    for (int i = 0; mode && i < 4; i++)
        if (!strcmp(mode, modes[i])) which = i;
    if (which < 0) { rlvr__verdict(c, RLVR_STATUS_ERROR, 0, "mode is \"%.40s\", not default, strict, literal or units", mode);
        return; }
    if (precision < 0 || precision > 18) { rlvr__verdict(c, RLVR_STATUS_ERROR, 0, "precision is %lld, not 0 to 18",
        (long long)precision); return; }
    rlvr__math m;
    memset(&m, 0, sizeof m);
    m.ctx = c->ctx;
    m.work = RLVR__MATH_WORK;
    m.precision = (int)precision;
    m.set_relations = rlvr__json_bool(rlvr__field(c, "allow_set_relation_comp"), false);
    rlvr__math_verdict(&m, c, which);
    rlvr__math_free(&m);
}

/* ============================================================================================
   15.5 CHOICE, FORMAT, SHAPE                                                        >>format
   ============================================================================================ */

/* ============================================================================================
   15.6 IFCHECK                                                                     >>ifcheck
   ============================================================================================ */

/* ============================================================================================
   15.7 COUNTDOWN                                                                 >>countdown
   ============================================================================================ */

/* ============================================================================================
   15.8 PROCEDURAL TASKS                                                               >>proc
   ============================================================================================ */

/* ============================================================================================
   15.9 SANDBOX                                                                     >>sandbox
   ============================================================================================ */

/* ============================================================================================
   15.10 CODE, STDIO, PROCESS                                                          >>code
   ============================================================================================ */

/* ============================================================================================
   15.11 JUDGE                                                                        >>judge
   ============================================================================================ */

/* ============================================================================================
   15.12 GRADING                                                                    >>grading
   ============================================================================================ */

/* The table of the verifiers. To add one: its row in RLVR_REWARDS, its function in a section above, its row here. */
typedef struct rlvr__verifier {
    rlvr_reward_kind kind;
    bool needs_gold;
    void (*grade)(rlvr__case *c);        /* the verdict, or RLVR_STATUS_PENDING with c->job set */
    bool (*poll)(rlvr__case *c, int ms); /* of a pending verdict: waits at most ms for it; true: it is there. NULL: never pending */
    const char *(*lacks)(rlvr__case *c); /* the field without which no completion can be graded; NULL: none is missing */
} rlvr__verifier;

static const rlvr__verifier rlvr__verifiers[] = {
    {RLVR_REWARD_EXACT, true, rlvr__grade_exact, NULL, NULL},
    {RLVR_REWARD_NUMBER, true, rlvr__grade_number, NULL, NULL},
    {RLVR_REWARD_MATH, true, rlvr__grade_math, NULL, NULL},
};

static const rlvr__verifier *rlvr__verifier_of(rlvr_reward_kind kind)
{
    for (size_t i = 0; i < sizeof rlvr__verifiers / sizeof rlvr__verifiers[0]; i++)
        if (rlvr__verifiers[i].kind == kind) return &rlvr__verifiers[i];
    return NULL;
}

static const char *rlvr__reward_name(rlvr_reward_kind kind)
{
    static const char *const name[] = {
        "none",
#define RLVR__X(kind, name) name,
        RLVR_REWARDS(RLVR__X)
#undef RLVR__X
    };
    return (unsigned)kind < RLVR_REWARD_KIND_COUNT ? name[kind] : "unknown";
}

rlvr_reward_kind rlvr_reward_find(const char *name)
{
    for (int k = RLVR_REWARD_NONE + 1; name && k < RLVR_REWARD_KIND_COUNT; k++)
        if (strcmp(name, rlvr__reward_name((rlvr_reward_kind)k)) == 0) return (rlvr_reward_kind)k;
    return RLVR_REWARD_NONE;
}

/* Starts a case: at once, or pending. */
static void rlvr__case_begin(rlvr__case *c)
{
    const rlvr__verifier *v = rlvr__verifier_of(c->desc->kind);
    memset(c->out, 0, sizeof *c->out);
    if (c->desc->fn) {
        float value = NAN;      /* what a callback that forgets to write leaves */
        rlvr_result r = c->rollout ? c->desc->fn(c->rollout, c->desc->user, &value) : RLVR_REWARD_ERROR;
        bool ok = r == RLVR_OK && rlvr__finite((double)value);
        rlvr__verdict(c, !ok ? RLVR_STATUS_ERROR : value >= 1 ? RLVR_STATUS_EQUAL : value > 0 ? RLVR_STATUS_PARTIAL : RLVR_STATUS_UNEQUAL,
                      ok ? value : 0, "%s", ok ? "" : "the verifier failed or gave no finite number");
    } else if (!v) rlvr__verdict(c, RLVR_STATUS_ERROR, 0, "there is no verifier \"%s\"", rlvr__reward_name(c->desc->kind));
    else if (v->needs_gold && !c->gold) rlvr__verdict(c, RLVR_STATUS_BAD_GOLD, 0, "the task has no answer");
    else v->grade(c);
}

static void rlvr__case_wait(rlvr__case *c)
{
    while (c->out->status == RLVR_STATUS_PENDING && !rlvr__verifier_of(c->desc->kind)->poll(c, 1000)) {}
}

static rlvr__json *rlvr__reward_options(rlvr_ctx *ctx, const rlvr_reward_desc *desc, rlvr_result *r)
{
    rlvr__json *options = desc->options ? rlvr__json_parse(ctx, "rlvr_reward_desc.options", desc->options, strlen(desc->options), 1) : NULL;
    if (desc->options && !options) *r = RLVR_ERROR_ARGUMENT;
    return options;
}

static rlvr_result rlvr__reward_desc_check(rlvr_ctx *ctx, const char *what, const rlvr_reward_desc *desc)
{
    if (!desc || (!desc->fn && desc->kind == RLVR_REWARD_NONE))
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%s: neither reward.fn nor reward.kind is set", what);
    if (!desc->fn && !rlvr__verifier_of(desc->kind))
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "%s: reward.kind is %d, which is no verifier", what, (int)desc->kind);
    return RLVR_OK;
}

rlvr_result rlvr_grade_task(rlvr_ctx *ctx, const rlvr_reward_desc *desc, const char *completion, size_t len, const rlvr_task *task,
                            rlvr_grade_result *out)
{
    rlvr_result r = rlvr__reward_desc_check(ctx, "rlvr_grade", desc);
    rlvr__json *options = r == RLVR_OK ? rlvr__reward_options(ctx, desc, &r) : NULL, *fields = NULL;
    if (r == RLVR_OK && task && task->json && !(fields = rlvr__json_parse(ctx, "rlvr_task.json", task->json, strlen(task->json), task->line)))
        r = RLVR_ERROR_FORMAT;
    const char *gold = task ? task->answer : NULL;
    rlvr__case c = {ctx, desc, fields, options, completion, len, gold, gold ? strlen(gold) : 0, NULL, NULL, out, NULL};
    if (r == RLVR_OK) {
        rlvr__case_begin(&c);
        rlvr__case_wait(&c);
        if (rlvr__status_is_error(out->status)) r = rlvr__fail(ctx, RLVR_REWARD_ERROR, "%s: %s", rlvr__reward_name(desc->kind), out->reason);
    }
    rlvr__json_free(ctx, fields);
    rlvr__json_free(ctx, options);
    return r;
}

rlvr_result rlvr_grade(rlvr_ctx *ctx, const rlvr_reward_desc *desc, const char *completion, const char *gold, rlvr_grade_result *out)
{
    rlvr_task task;
    memset(&task, 0, sizeof task);
    task.answer = gold;
    return rlvr_grade_task(ctx, desc, completion, strlen(completion), &task, out);
}

rlvr_result rlvr_reward_check(rlvr_ctx *ctx, const rlvr_reward_desc *desc, const rlvr_tasks *tasks)
{
    rlvr_result r = rlvr__reward_desc_check(ctx, "rlvr_reward_check", desc);
    if (r != RLVR_OK || desc->fn) return r;
    const rlvr__verifier *v = rlvr__verifier_of(desc->kind);
    rlvr__json *options = rlvr__reward_options(ctx, desc, &r);
    for (int64_t i = 0; r == RLVR_OK && i < rlvr_tasks_count(tasks); i++) {
        const rlvr_task *task = rlvr_tasks_get(tasks, i);
        rlvr_grade_result out;
        rlvr__json *fields = task->json ? rlvr__json_parse(ctx, "rlvr_task.json", task->json, strlen(task->json), task->line) : NULL;
        rlvr__case c = {ctx, desc, fields, options, "", 0, task->answer, task->answer ? strlen(task->answer) : 0, NULL, NULL, &out, NULL};
        const char *lacks = v->needs_gold && !c.gold ? "answer" : v->lacks ? v->lacks(&c) : NULL;
        if (lacks) r = rlvr__fail(ctx, RLVR_ERROR_FORMAT, "the task of line %lld cannot be graded by %s: it needs the field \"%s\"",
                                  (long long)task->line, rlvr__reward_name(desc->kind), lacks);
        rlvr__json_free(ctx, fields);
    }
    rlvr__json_free(ctx, options);
    return r;
}

static void rlvr__grade_warn(rlvr_rollouts *r, const rlvr__case *c, int n_errors)
{
    const rlvr_task *task = c->rollout->task;
    rlvr__log(r->ctx, RLVR_LOG_WARN, "%d of %d rollouts could not be graded and are left out; the first is of the task of "
              "line %lld: %s%s%.200s", n_errors, rlvr_rollouts_count(r), task ? (long long)task->line : 0LL, c->out->reason,
              c->gold ? ": " : "", c->gold ? c->gold : "");
}

/* Rollouts are graded in order on the calling thread; verdicts of other processes are waited for at the end, together. Those
   that cannot be graded keep reward 0 and say so in `graded`; one warning for the call names the first of them. */
rlvr_result rlvr_grade_rollouts(rlvr_rollouts *r, const rlvr_reward_desc *desc)
{
    int n = rlvr_rollouts_count(r), n_errors = 0, first = 0, n_fields = 0;
    rlvr_result result = rlvr__reward_desc_check(r->ctx, "rlvr_grade_rollouts", desc);
    if (result != RLVR_OK) return result;
    rlvr__json *options = rlvr__reward_options(r->ctx, desc, &result);
    rlvr__case *cases = RLVR__NEW(r->ctx, rlvr__case, n);
    rlvr_grade_result *out = RLVR__NEW(r->ctx, rlvr_grade_result, n);
    rlvr__json **fields = RLVR__NEW(r->ctx, rlvr__json *, n);      /* parsed once where neighbours share a task */
    if (result == RLVR_OK && (!cases || !out || !fields)) result = RLVR_ERROR_MEMORY;
    for (int i = 0; result == RLVR_OK && i < n; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        const rlvr_task *task = o->task;
        const char *gold = task ? task->answer : NULL;
        bool shared = i > 0 && o[-1].task == task;
        if (!shared && task && task->json && !desc->fn)
            fields[n_fields++] = rlvr__json_parse(r->ctx, "rlvr_task.json", task->json, strlen(task->json), task->line);
        rlvr__case c = {r->ctx, desc, shared ? cases[i - 1].task : task && task->json && n_fields ? fields[n_fields - 1] : NULL, options,
                        o->text, o->text_len, gold, gold ? strlen(gold) : 0, o, r->m, &out[i], NULL};
        cases[i] = c;
        rlvr__case_begin(&cases[i]);
    }
    for (int i = 0; result == RLVR_OK && i < n; i++) {
        rlvr_rollout *o = rlvr_rollouts_get(r, i);
        rlvr__case_wait(&cases[i]);
        o->graded = rlvr__status_is_error(out[i].status) ? RLVR_REWARD_ERROR : RLVR_OK;
        o->reward = o->graded == RLVR_OK ? out[i].reward : 0.0f;
        o->advantage = 0.0f;
        if (o->graded != RLVR_OK && n_errors++ == 0) first = i;
    }
    if (n_errors) rlvr__grade_warn(r, &cases[first], n_errors);
    for (int i = 0; i < n_fields; i++) rlvr__json_free(r->ctx, fields[i]);
    rlvr__free(r->ctx, fields);
    rlvr__free(r->ctx, out);
    rlvr__free(r->ctx, cases);
    rlvr__json_free(r->ctx, options);
    return result;
}
/* ============================================================================================
   16. ADVANTAGES                                                                 >>advantages
   ============================================================================================ */

/* Rewards are compared for equality before anything is computed, so that rounding never becomes signal: a group of equal
   rewards has advantage exactly 0, and so has a group with fewer than two rewards. A reward that is not finite is left out.
   A group is walked twice, for the mean and for the squares, and then once to write. */
typedef struct rlvr__group { int n; bool equal; float first; double sum, square; } rlvr__group;

static void rlvr__group_add(rlvr__group *g, float reward)
{
    if (!g->n++) { g->first = reward; g->equal = true; }
    if (reward != g->first) g->equal = false;
    g->sum += (double)reward;
}

static void rlvr__group_square(rlvr__group *g, float reward)
{
    double d = (double)reward - g->sum / g->n;
    g->square += d * d;
}

static float rlvr__group_advantage(const rlvr__group *g, rlvr_advantage kind, float reward)
{
    if (g->n < 2 || g->equal) return 0;
    double a = (double)reward - g->sum / g->n;
    if (kind == RLVR_ADV_GRPO) a /= sqrt(g->square / (g->n - 1)) + 1e-4;
    return (float)RLVR__MIN(RLVR__MAX(a, -(double)FLT_MAX), (double)FLT_MAX);
}

void rlvr_advantage_group(rlvr_advantage kind, const float *reward, const bool *valid, int n, float *advantage)
{
    rlvr__group g;
    memset(&g, 0, sizeof g);
    for (int i = 0; i < n; i++)
        if ((!valid || valid[i]) && rlvr__finite((double)reward[i])) rlvr__group_add(&g, reward[i]);
    for (int i = 0; i < n; i++)
        if ((!valid || valid[i]) && rlvr__finite((double)reward[i])) rlvr__group_square(&g, reward[i]);
    for (int i = 0; i < n; i++) {
        bool in = (!valid || valid[i]) && rlvr__finite((double)reward[i]);
        advantage[i] = in ? rlvr__group_advantage(&g, kind, reward[i]) : 0;
    }
}

static bool rlvr__has_reward(const rlvr_rollout *o) { return o->graded == RLVR_OK && rlvr__finite((double)o->reward); }

/* A group has signal if an advantage in it is not 0. */
int rlvr_advantages(rlvr_rollouts *r, rlvr_advantage kind)
{
    int size = rlvr_rollouts_group_size(r), n = rlvr_rollouts_count(r), n_signal = 0;
    for (int first = 0; first < n; first += size) {
        rlvr_rollout *o = rlvr_rollouts_get(r, first);
        bool signal = false;
        rlvr__group g;
        memset(&g, 0, sizeof g);
        for (int i = 0; i < size; i++)
            if (rlvr__has_reward(&o[i])) rlvr__group_add(&g, o[i].reward);
        for (int i = 0; i < size; i++)
            if (rlvr__has_reward(&o[i])) rlvr__group_square(&g, o[i].reward);
        for (int i = 0; i < size; i++) {
            o[i].advantage = rlvr__has_reward(&o[i]) ? rlvr__group_advantage(&g, kind, o[i].reward) : 0;
            signal |= o[i].advantage != 0;
        }
        n_signal += signal;
    }
    return n_signal;
}

/* ============================================================================================
   17. LOSSES                                                                         >>losses
   ============================================================================================ */

/* One token of the policy loss. With r = exp(logprob - old), which is exactly 1 where both have the same bits:
     surrogate = -min(r A, clip(r, 1 - low, 1 + high) A);   slope in logprob -r A, or 0 where the clip is the smaller one.
   A tie at the clip's border belongs to the unclipped side. With x = logprob - ref:
     k1 = x, slope 1;   k2 = x^2/2, slope x;   k3 = exp(-x) - 1 + x, slope 1 - exp(-x). */
typedef struct rlvr__token_loss {
    double surrogate, slope, kl, kl_slope, ratio;
    int clipped;                     /* -1 below, 1 above */
} rlvr__token_loss;

/* A call's settings, and its sums: the losses with each token's weight, kl as a plain sum. */
typedef struct rlvr__loss {
    const rlvr_loss_desc *d;
    double low, high, coef, policy, penalty, kl;
    int64_t n_seq, n_tokens, n_low, n_high;      /* of the whole batch; clipped in this call */
} rlvr__loss;

static rlvr__token_loss rlvr__loss_of_token(const rlvr__loss *l, double logprob, double old, double ref, double A)
{
    rlvr__token_loss t;
    double x = logprob - ref;
    t.ratio = exp(logprob - old);
    t.clipped = A > 0 && t.ratio > 1 + l->high ? 1 : A < 0 && t.ratio < 1 - l->low ? -1 : 0;
    t.surrogate = A == 0 ? 0 : -A * (t.clipped > 0 ? 1 + l->high : t.clipped < 0 ? 1 - l->low : t.ratio);
    t.slope = t.clipped || A == 0 ? 0 : -A * t.ratio;
    t.kl = t.kl_slope = 0;
    if (l->coef == 0) return t;
    t.kl = l->d->kl == RLVR_KL_K1 ? x : l->d->kl == RLVR_KL_K2 ? 0.5 * x * x : expm1(-x) + x;
    t.kl_slope = l->d->kl == RLVR_KL_K1 ? 1 : l->d->kl == RLVR_KL_K2 ? x : -expm1(-x);
    return t;
}

static int64_t rlvr__count_masked(const unsigned char *mask, int from, int to)
{
    int64_t n = 0;
    if (!mask) return to - from;
    for (int i = from; i < to; i++) n += mask[i] != 0;
    return n;
}

/* Tokens from .. to of one sequence. False: something in them is not finite. */
static bool rlvr__loss_of_sequence(rlvr__loss *l, int from, int to, const float *logprob, const float *old_logprob,
                                   const float *ref_logprob, double A, const unsigned char *mask, float *dlogprob,
                                   rlvr_loss_stats *stats)
{
    int64_t tokens = rlvr__count_masked(mask, from, to);
    double weight = 1.0 / ((double)l->n_seq * (double)l->d->max_tokens);
    if (l->d->aggregation == RLVR_AGG_TOKEN_MEAN) weight = 1.0 / (double)l->n_tokens;
    if (l->d->aggregation == RLVR_AGG_SEQ_MEAN_TOKEN_MEAN) weight = 1.0 / ((double)l->n_seq * (double)tokens);
    for (int i = from; i < to; i++) {
        if (mask && !mask[i]) continue;
        double now = (double)logprob[i], old = (double)old_logprob[i], ref = l->coef != 0 ? (double)ref_logprob[i] : 0;
        rlvr__token_loss t = rlvr__loss_of_token(l, now, old, ref, A);
        dlogprob[i] = (float)(weight * (t.slope + l->coef * t.kl_slope));
        if (!rlvr__finite(now) || !rlvr__finite(old) || !rlvr__finite(ref) || !rlvr__finite(A)) return false;
        if (!rlvr__finite(t.surrogate) || !rlvr__finite(t.kl) || !rlvr__finite((double)dlogprob[i])) return false;
        l->policy += weight * t.surrogate;
        l->penalty += weight * t.kl;
        l->kl += t.kl;
        l->n_low += t.clipped < 0;
        l->n_high += t.clipped > 0;
        stats->ratio_max = RLVR__MAX(stats->ratio_max, t.ratio);
    }
    return true;
}

static bool rlvr__loss_check(const rlvr__loss *l, int n_seq, const float *ref_logprob)
{
    const rlvr_loss_desc *d = l->d;
    if (d->aggregation == RLVR_AGG_SEQ_MEAN_TOKEN_SUM_NORM && d->max_tokens < 1) return false;
    return n_seq >= 0 && l->low > 0 && l->high > 0 && rlvr__finite(l->coef) && (l->coef == 0 || ref_logprob) &&
           (unsigned)d->aggregation <= RLVR_AGG_SEQ_MEAN_TOKEN_SUM_NORM && (unsigned)d->kl <= RLVR_KL_K2;
}

/* The mask is the only source of every denominator: a token outside it is not looked at, a sequence without a token inside
   it is not counted. Each token's gradient depends on its own values and the totals alone, so that micro-batches with the
   whole batch's totals give the same bits as one call, and their losses add up to its loss. Fractions and means in stats are
   over this call's tokens; kl is measured where kl_coef is not 0. Only dlogprob[offset[0] .. offset[n_seq]-1] is written. */
rlvr_result rlvr_policy_loss(const rlvr_loss_desc *d, int n_seq, const int *offset, const float *logprob,
                             const float *old_logprob, const float *ref_logprob, const float *advantage,
                             const unsigned char *mask, int64_t n_seq_total, int64_t n_tokens_total, float *dlogprob,
                             rlvr_loss_stats *stats)
{
    rlvr_loss_stats local, *out = stats ? stats : &local;
    rlvr__loss l;
    memset(&l, 0, sizeof l);
    memset(out, 0, sizeof *out);
    l.d = d;
    l.low = d->clip_eps_low == 0 ? (double)0.2f : (double)d->clip_eps_low;
    l.high = d->clip_eps_high == 0 ? l.low : (double)d->clip_eps_high;
    l.coef = (double)d->kl_coef;
    for (int s = 0; s < n_seq; s++) {
        if (offset[s] < 0 || offset[s + 1] < offset[s]) return RLVR_ERROR_ARGUMENT;
        int64_t tokens = rlvr__count_masked(mask, offset[s], offset[s + 1]);
        l.n_tokens += tokens;
        l.n_seq += tokens > 0;
    }
    int64_t n_tokens = l.n_tokens;
    size_t bytes = n_seq > 0 ? (size_t)(offset[n_seq] - offset[0]) * sizeof(float) : 0;
    if (bytes) memset(dlogprob + offset[0], 0, bytes);
    if (!rlvr__loss_check(&l, n_seq, ref_logprob)) return RLVR_ERROR_ARGUMENT;
    if (!n_tokens) return RLVR_OK;
    if (n_seq_total > 0) l.n_seq = n_seq_total;
    if (n_tokens_total > 0) l.n_tokens = n_tokens_total;
    for (int s = 0; s < n_seq; s++)
        if (!rlvr__loss_of_sequence(&l, offset[s], offset[s + 1], logprob, old_logprob, ref_logprob, (double)advantage[s],
                                    mask, dlogprob, out)) {
            memset(dlogprob + offset[0], 0, bytes);
            memset(out, 0, sizeof *out);
            return RLVR_ERROR_NUMERIC;
        }
    out->n_tokens = n_tokens;
    out->policy_loss = l.policy;
    out->loss = l.policy + l.coef * l.penalty;
    out->kl = l.kl / (double)n_tokens;
    out->clip_low = (double)l.n_low / (double)n_tokens;
    out->clip_high = (double)l.n_high / (double)n_tokens;
    return RLVR_OK;
}

/* ============================================================================================
   18. OPTIMIZER SCHEDULE                                                           >>schedule
   ============================================================================================ */

/* Warm-up goes lr/warmup, 2 lr/warmup ... lr: the first update already moves (transformers starts at 0, which wastes it).
   Behind it the schedule runs from lr towards lr_min, which it would reach at update total_steps and then keeps. */
float rlvr_learning_rate(const rlvr_optim_desc *d, int64_t step)
{
    double lr = d->lr == 0 ? 1e-5 : (double)d->lr, low = (double)d->lr_min, done = 1;
    int64_t span = (int64_t)d->total_steps - d->warmup_steps;
    if (step < 0) step = 0;
    if (step < d->warmup_steps) return (float)(lr * (double)(step + 1) / (double)d->warmup_steps);
    if (d->schedule == RLVR_LR_CONSTANT || d->total_steps <= 0) return (float)lr;
    if (span > 0) done = (double)(step - d->warmup_steps) / (double)span;
    if (done >= 1) return (float)low;
    if (d->schedule == RLVR_LR_LINEAR) return (float)(low + (lr - low) * (1 - done));
    return (float)(low + (lr - low) * 0.5 * (1 + cos(3.14159265358979323846 * done)));
}
/* ============================================================================================
   19. TRAINER AND CHECKPOINTS                                                       >>trainer
   ============================================================================================ */

/* The rows of one training pass, packed: each prompt once, its rollouts behind it, no padding. The same rows in the same
   order whether their activations come from decoding (act: where they lie in the store) or from a forward pass of its own
   (act[i] == i): so both give the same bits. */
typedef struct rlvr__forest {
    int64_t cap_rows, cap_lists, cap_targets;
    int64_t n_rows, n_lists;
    int *token, *pos, *slot, *act, *n_context;     /* (cap_rows) */
    const int **context;                           /* (cap_rows) into lists: compact rows */
    int *lists;
    /* head: rows whose logits are wanted and the tokens that were drawn there */
    int64_t n_head, n_targets;
    int *head_at;                                  /* (cap_rows) compact row */
    int *head_row;                                 /* (cap_rows) row of the store */
    int *target_begin, *position;                  /* (cap_rows + 1) */
    int *target, *source;                          /* (cap_targets) token; its index in the trainer's flat token arrays */
    int *tree_begin;  int64_t n_trees;             /* (cap_rows + 1) */
} rlvr__forest;

struct rlvr_trainer {
    rlvr_ctx *ctx;
    rlvr_model *m;
    rlvr_trainer_desc desc;                        /* defaults filled in */
    rlvr_memory plan;
    rlvr_tasks *asked;                             /* copies of this step's tasks, where a generator made them */
    rlvr_task *batch;                              /* (prompts_per_step) */
    rlvr_rollouts *rollouts;
    rlvr__store store;                             /* decoding's; with one_forward also training's */
    rlvr__store train;                             /* training's own, otherwise */
    rlvr__grads grads;
    rlvr__forest forest;
    float *moment1, *moment2;                      /* (n_floats) AdamW */
    float *reference;                              /* (n_floats) weights at the start; NULL without KL */
    rlvr__dist *dist;                              /* (head_rows) */
    /* flat arrays over all completion tokens of a step */
    int   *offset;                                 /* (rollouts + 1) */
    float *logprob, *old_logprob, *ref_logprob, *dlogprob, *advantage;
    float *target_value, *target_logprob;          /* (cap_targets) */
    unsigned char *mask;
    float *token_weight, *token_logprob;           /* of rlvr_train_tokens() */
    int64_t cap_token_weight, cap_token_logprob;
    /* everything that a checkpoint holds besides weights and moments */
    int64_t step, updates, num_tokens, n_skipped, cursor;
    int64_t log_bytes[2];                          /* lengths of metrics.jsonl and completions.jsonl at the last step's end */
    FILE *log[2];
};

static rlvr__store *rlvr__train_store(rlvr_trainer *t) { return t->plan.one_forward ? &t->store : &t->train; }

/* ---- packing ---- */

static void rlvr__forest_reset(rlvr__forest *p)
{
    p->n_rows = p->n_lists = p->n_head = p->n_targets = p->n_trees = 0;
    p->target_begin[0] = 0;
}

/* Starts a context of `parent` rows (n of them); rlvr__forest_row() appends to it. Returns its list. */
static int *rlvr__forest_list(rlvr__forest *p, const int *parent, int n, int more)
{
    int *list = p->lists + p->n_lists;
    if (n) memcpy(list, parent, (size_t)n * sizeof(int));
    p->n_lists += n + more;
    return list;
}

/* A row that attends to list[0 .. pos], itself last; act: where its activations lie, -1: at its own number. */
static void rlvr__forest_row(rlvr__forest *p, int *list, int pos, int token, int act)
{
    int row = (int)p->n_rows++;
    list[pos] = row;
    p->token[row] = token;
    p->pos[row] = pos;
    p->slot[row] = row;
    p->act[row] = act < 0 ? row : act;
    p->context[row] = list;
    p->n_context[row] = pos + 1;
}

/* A token that was drawn from the logits of compact row `row`; targets of one row come one after the other. */
static void rlvr__forest_target(rlvr__forest *p, int row, int position, int token, int source)
{
    if (!p->n_head || p->head_at[p->n_head - 1] != row) {
        p->head_at[p->n_head] = row;
        p->head_row[p->n_head] = p->act[row];
        p->position[p->n_head++] = position;
    }
    p->target[p->n_targets] = token;
    p->source[p->n_targets++] = source;
    p->target_begin[p->n_head] = (int)p->n_targets;
}

/* Does rollout i of the batch take part in this step's gradient? */
static bool rlvr__takes_part(const rlvr_trainer *t, int i)
{
    const rlvr_rollout *o = &t->rollouts->items[i];
    return o->graded == RLVR_OK && (o->advantage != 0 || t->desc.loss.kl_coef != 0);
}

/* Token rows of one group: its prompt (without the shared beginning) and its rollouts' tokens but the last. 0: no part. */
static int64_t rlvr__group_rows(const rlvr_trainer *t, int group)
{
    const rlvr_rollouts *r = t->rollouts;
    int64_t rows = 0;
    for (int g = 0; g < r->group_size; g++) {
        int i = group * r->group_size + g;
        if (!rlvr__takes_part(t, i)) continue;
        if (!rows) rows = r->items[i].n_prompt - r->shared;
        rows += r->items[i].n_tokens - 1;
    }
    return rows;
}

/* Packs groups [first, end). decoded: take the activations that decoding left at the rollouts' slots. */
static void rlvr__forest_groups(rlvr_trainer *t, int first, int end, bool decoded)
{
    rlvr__forest *p = &t->forest;
    rlvr_rollouts *r = t->rollouts;
    int shared_rows[1], *common = shared_rows;
    rlvr__forest_reset(p);
    if (r->shared) {
        common = rlvr__forest_list(p, NULL, 0, r->shared);
        for (int k = 0; k < r->shared; k++) rlvr__forest_row(p, common, k, r->prompt_tokens[k], decoded ? r->prompt_slots[k] : -1);
    }
    for (int group = first; group < end; group++) {
        if (!rlvr__group_rows(t, group)) continue;
        int from = r->prompt_begin[group], n_prompt = r->prompt_begin[group + 1] - from;
        if (!r->shared) p->tree_begin[p->n_trees++] = (int)p->n_rows;
        int *prompt = rlvr__forest_list(p, common, r->shared, n_prompt - r->shared);
        for (int k = r->shared; k < n_prompt; k++)
            rlvr__forest_row(p, prompt, k, r->prompt_tokens[from + k], decoded ? r->prompt_slots[from + k] : -1);
        for (int g = 0, i = group * r->group_size; g < r->group_size; g++, i++)
            if (rlvr__takes_part(t, i)) rlvr__forest_target(p, prompt[n_prompt - 1], 0, r->items[i].tokens[0], t->offset[i]);
        for (int g = 0, i = group * r->group_size; g < r->group_size; g++, i++) {
            const rlvr_rollout *o = &r->items[i];
            const int *slots = r->lists + i * r->list_stride;
            if (!rlvr__takes_part(t, i) || o->n_tokens < 2) continue;
            int *list = rlvr__forest_list(p, prompt, n_prompt, o->n_tokens - 1);
            for (int k = 0; k + 1 < o->n_tokens; k++) {
                rlvr__forest_row(p, list, n_prompt + k, o->tokens[k], decoded ? slots[n_prompt + k] : -1);
                rlvr__forest_target(p, list[n_prompt + k], k + 1, o->tokens[k + 1], t->offset[i] + k + 1);
            }
        }
    }
    if (r->shared) { p->tree_begin[0] = 0; p->n_trees = 1; }
    p->tree_begin[p->n_trees] = (int)p->n_rows;
}

static rlvr__rows rlvr__forest_rows(const rlvr__forest *p)
{
    rlvr__rows r = {p->n_rows, p->token, p->pos, p->slot, p->context, p->n_context};
    return r;
}

static rlvr__head rlvr__forest_head(const rlvr__forest *p)
{
    rlvr__head h = {p->n_head, p->head_row, p->target_begin, p->position, p->target};
    return h;
}

/* ---- passes over a pack ---- */

static void rlvr__forest_forward(rlvr_trainer *t)
{
    rlvr__store *s = rlvr__train_store(t);
    const rlvr__forest *p = &t->forest;
    for (int64_t at = 0; at < p->n_rows; at += s->n_rows) {
        rlvr__rows r = {RLVR__MIN(s->n_rows, p->n_rows - at), p->token + at, p->pos + at, p->slot + at, p->context + at, p->n_context + at};
        rlvr__forward(s, &r, at);
    }
}

static void rlvr__forest_logprobs(rlvr_trainer *t, const rlvr__policy *policy, float *out)
{
    rlvr__head h = rlvr__forest_head(&t->forest);
    rlvr__head_logprobs(rlvr__train_store(t), &h, policy, t->dist, t->target_value, NULL);
    for (int64_t i = 0; i < t->forest.n_targets; i++) out[t->forest.source[i]] = t->target_value[i];
}

/* Adds the gradient of a loss whose derivative by each token's log-probability is dlogprob (flat); logprob (flat) receives
   the log-probabilities themselves, where not NULL. */
static void rlvr__forest_backward(rlvr_trainer *t, const rlvr__policy *policy, const float *dlogprob, bool decoded, float *logprob)
{
    rlvr__forest *p = &t->forest;
    rlvr__store *s = rlvr__train_store(t);
    rlvr__head h = rlvr__forest_head(p);
    rlvr__rows r = rlvr__forest_rows(p);
    for (int64_t i = 0; i < p->n_targets; i++) t->target_value[i] = dlogprob[p->source[i]];
    memset(t->grads.dx, 0, (size_t)(p->n_rows * t->m->info.d_model) * sizeof(float));
    rlvr__head_backward(s, &t->grads, &h, p->head_at, policy, t->dist, t->target_value, NULL, logprob ? t->target_logprob : NULL);
    for (int64_t i = 0; logprob && i < p->n_targets; i++) logprob[p->source[i]] = t->target_logprob[i];
    rlvr__backward(s, &t->grads, &r, decoded ? p->act : NULL, p->tree_begin, (int)p->n_trees);
}

/* ---- the optimizer's step ---- */

static void rlvr__zero_gradients(rlvr_trainer *t) { rlvr__zero(t->ctx, t->m->grads, t->m->n_floats); }

/* Clips and applies what lies in the gradients. A gradient that is not finite moves nothing. */
static void rlvr__apply(rlvr_trainer *t, rlvr_metrics *metrics)
{
    rlvr_model *m = t->m;
    const rlvr_optim_desc *o = &t->desc.optim;
    double norm = sqrt(rlvr__sum_squares(t->ctx, m->grads, m->n_floats));
    metrics->grad_norm = norm;
    metrics->learning_rate = (double)rlvr_learning_rate(o, t->updates);
    if (!isfinite(norm)) {
        metrics->skipped = true;
        t->n_skipped++;
        rlvr__log(t->ctx, RLVR_LOG_WARN, "step %lld: the gradient is not finite; nothing was moved", (long long)t->step + 1);
        return;
    }
    float scale = o->max_grad_norm > 0 && norm > (double)o->max_grad_norm ? (float)((double)o->max_grad_norm / (norm + 1e-6)) : 1.0f;
    t->updates++;
    float bias1 = (float)(1.0 - pow((double)o->beta1, (double)t->updates)), bias2 = (float)(1.0 - pow((double)o->beta2, (double)t->updates));
    for (int i = 0; i < m->n_p; i++) {
        const rlvr__param *p = &m->params[i];
        rlvr__adamw(t->ctx, m->weights + p->offset, m->grads + p->offset, t->moment1 + p->offset, t->moment2 + p->offset, p->floats,
                    (float)metrics->learning_rate, o->beta1, o->beta2, o->eps, p->matrix ? o->weight_decay : 0.0f, bias1, bias2, scale);
    }
}

/* ---- the five verbs ---- */

/* The next prompts_per_step tasks: from a list in an order shuffled anew each epoch, or from the generator. */
static int64_t rlvr__shuffled(uint64_t seed, int64_t epoch, int64_t i, int64_t n)
{
    /* a permutation of 0 .. n-1 without storing it: a 4-round Feistel network over the next power of four, walked until inside */
    int half = 1;
    while ((int64_t)1 << (2 * half) < n) half++;
    uint32_t low = (1u << half) - 1;
    do {
        uint32_t a = (uint32_t)(i >> half) & low, b = (uint32_t)i & low;
        for (uint32_t round = 0; round < 4; round++) {
            uint32_t next = a ^ (rlvr__random(seed, (uint32_t)epoch, round, b, 0x73687566u) & low);
            a = b;
            b = next;
        }
        i = (int64_t)a << half | b;
    } while (i >= n);
    return i;
}

static rlvr_result rlvr__next_tasks(rlvr_trainer *t)
{
    rlvr_ctx *ctx = t->ctx;
    int n = t->desc.prompts_per_step;
    if (t->desc.task_fn) rlvr__tasks_clear(t->asked);
    for (int i = 0; i < n; i++) {
        int64_t index = t->cursor + i;
        if (t->desc.tasks) {
            int64_t count = rlvr_tasks_count(t->desc.tasks);
            t->batch[i] = *rlvr_tasks_get(t->desc.tasks, rlvr__shuffled(t->desc.seed, index / count, index % count, count));
            continue;
        }
        rlvr_task task;
        memset(&task, 0, sizeof task);
        rlvr_result r = t->desc.task_fn(t->desc.task_user, (uint64_t)index, &task);
        if (r != RLVR_OK) return rlvr__fail(ctx, r, "task_fn: task %lld: %s", (long long)index, rlvr_result_text(r));
        if (!task.line) task.line = index + 1;
        if (rlvr_tasks_add(t->asked, &task) != RLVR_OK) return RLVR_ERROR_MEMORY;
    }
    if (t->desc.task_fn) memcpy(t->batch, rlvr_tasks_get(t->asked, 0), (size_t)n * sizeof *t->batch);
    return RLVR_OK;
}

static rlvr_result rlvr__step_sample(rlvr_trainer *t)
{
    rlvr_sampling s = t->desc.sampling;
    s.seed = t->desc.seed;
    s.step = (uint32_t)t->step;
    rlvr_result r = rlvr__rollouts_layout(t->rollouts, t->batch, t->desc.prompts_per_step, t->desc.group_size, &s, t->desc.max_prompt_tokens);
    return r == RLVR_OK ? rlvr__rollouts_decode(t->rollouts, &t->store) : r;
}

/* Flat arrays over the step's completion tokens, the mask among them: a rollout without a reward has no part in anything. */
static void rlvr__flatten(rlvr_trainer *t)
{
    rlvr_rollouts *r = t->rollouts;
    t->offset[0] = 0;
    for (int i = 0; i < r->n; i++) {
        const rlvr_rollout *o = &r->items[i];
        int at = t->offset[i];
        t->offset[i + 1] = at + o->n_tokens;
        t->advantage[i] = o->advantage;
        memcpy(t->old_logprob + at, o->logprobs, (size_t)o->n_tokens * sizeof(float));
        memset(t->mask + at, o->graded == RLVR_OK, (size_t)o->n_tokens);
    }
    memcpy(t->logprob + 0, t->old_logprob, (size_t)t->offset[r->n] * sizeof(float));
    memcpy(t->ref_logprob, t->old_logprob, (size_t)t->offset[r->n] * sizeof(float));
}

/* Groups [first, *end) whose rows fit one pass. */
static int rlvr__micro_end(const rlvr_trainer *t, int first, int last)
{
    int64_t rows = t->rollouts->shared;
    int end = first;
    while (end < last && (end == first || rows + rlvr__group_rows(t, end) <= t->train.n_slots)) rows += rlvr__group_rows(t, end++);
    return end;
}

/* One update on groups [first, last): log-probabilities, loss, backward, optimizer. decoded: the policy is still the one that
   sampled, so its log-probabilities are known and, where the store kept them, its activations too. */
static rlvr_result rlvr__update(rlvr_trainer *t, int first, int last, bool decoded, rlvr_metrics *metrics, double *weight)
{
    rlvr_rollouts *r = t->rollouts;
    int G = r->group_size, n_seq = 0, end;
    int64_t n_tokens = 0;
    bool whole = t->plan.one_forward;
    for (int i = first * G; i < last * G; i++)
        if (r->items[i].graded == RLVR_OK) { n_seq++; n_tokens += r->items[i].n_tokens; }
    rlvr__zero_gradients(t);
    rlvr_loss_stats sum;
    memset(&sum, 0, sizeof sum);
    for (int from = first; from < last; from = end) {
        end = whole ? last : rlvr__micro_end(t, from, last);
        rlvr__forest_groups(t, from, end, decoded && whole);
        if (!t->forest.n_targets) continue;
        if (t->reference) {
            float *policy_weights = t->m->weights;
            t->m->weights = t->reference;
            rlvr__forest_forward(t);
            rlvr__forest_logprobs(t, &r->policy, t->ref_logprob);
            t->m->weights = policy_weights;
        }
        if (!decoded || !whole) rlvr__forest_forward(t);
        if (!decoded) rlvr__forest_logprobs(t, &r->policy, t->logprob);
        rlvr_loss_stats stats;
        int seq = from * G, base = t->offset[seq];
        for (int i = seq; i <= end * G; i++) t->offset[i] -= base;
        rlvr_result result = rlvr_policy_loss(&t->desc.loss, (end - from) * G, t->offset + seq, t->logprob + base, t->old_logprob + base,
                                              t->ref_logprob + base, t->advantage + seq, t->mask + base, n_seq, n_tokens,
                                              t->dlogprob + base, &stats);
        for (int i = seq; i <= end * G; i++) t->offset[i] += base;
        if (result != RLVR_OK) {
            metrics->skipped = true;
            t->n_skipped++;
            rlvr__log(t->ctx, RLVR_LOG_WARN, "step %lld: a log-probability is not finite; nothing was moved", (long long)t->step + 1);
            return RLVR_OK;
        }
        sum.loss += stats.loss;
        sum.kl += stats.kl * (double)stats.n_tokens;
        sum.clip_low += stats.clip_low * (double)stats.n_tokens;
        sum.clip_high += stats.clip_high * (double)stats.n_tokens;
        rlvr__forest_backward(t, &r->policy, t->dlogprob, decoded && whole, NULL);
    }
    rlvr__apply(t, metrics);
    double share = n_tokens ? 1.0 / (double)n_tokens : 0;
    metrics->loss += sum.loss;
    metrics->kl += sum.kl * share;
    metrics->clip_low += sum.clip_low * share;
    metrics->clip_high += sum.clip_high * share;
    *weight += 1;
    return RLVR_OK;
}

static rlvr_result rlvr__step_learn(rlvr_trainer *t, int n_signal, rlvr_metrics *metrics)
{
    int n = t->rollouts->n_tasks, parts = t->desc.minibatches;
    double updates = 0;
    rlvr__flatten(t);
    if (!n_signal && t->desc.loss.kl_coef == 0) {
        metrics->skipped = true;
        t->n_skipped++;
        return RLVR_OK;
    }
    for (int epoch = 0; epoch < t->desc.epochs; epoch++)
        for (int part = 0; part < parts; part++) {
            rlvr_result r = rlvr__update(t, n * part / parts, n * (part + 1) / parts, epoch == 0 && part == 0, metrics, &updates);
            if (r != RLVR_OK) return r;
        }
    metrics->loss /= updates;
    metrics->kl /= updates;
    metrics->clip_low /= updates;
    metrics->clip_high /= updates;
    return RLVR_OK;
}

static void rlvr__measure(rlvr_trainer *t, int n_signal, rlvr_metrics *m)
{
    const rlvr_rollouts *r = t->rollouts;
    double sum = 0, std_sum = 0, length = 0, entropy = 0;
    int graded = 0, with_std = 0, truncated = 0;
    m->n_groups = r->n_tasks;
    m->n_groups_signal = n_signal;
    m->frac_reward_zero_std = 1.0 - (double)n_signal / r->n_tasks;
    m->n_rollouts = r->n;
    m->completion_min_length = 1e30;
    for (int g = 0; g < r->n_tasks; g++) {
        double group = 0, square = 0;
        int n = 0;
        for (int i = g * r->group_size; i < (g + 1) * r->group_size; i++) {
            const rlvr_rollout *o = &r->items[i];
            length += o->n_tokens;
            truncated += o->finish_reason == RLVR_FINISH_LENGTH;
            m->completion_min_length = RLVR__MIN(m->completion_min_length, (double)o->n_tokens);
            m->completion_max_length = RLVR__MAX(m->completion_max_length, (double)o->n_tokens);
            for (int k = 0; k < o->n_tokens; k++) entropy += (double)o->entropy[k];
            if (o->graded == RLVR_OK) { group += (double)o->reward; n++; }
        }
        for (int i = g * r->group_size; i < (g + 1) * r->group_size; i++)
            if (r->items[i].graded == RLVR_OK) square += ((double)r->items[i].reward - group / n) * ((double)r->items[i].reward - group / n);
        if (n > 1) { std_sum += sqrt(square / (n - 1)); with_std++; }
        sum += group;
        graded += n;
        t->num_tokens += r->prompt_begin[g + 1] - r->prompt_begin[g];
    }
    t->num_tokens += (int64_t)length;
    m->n_reward_errors = r->n - graded;
    m->reward_mean = graded ? sum / graded : 0;
    m->reward_std = with_std ? std_sum / with_std : 0;
    m->completion_mean_length = length / r->n;
    m->truncated = (double)truncated / r->n;
    m->entropy = length > 0 ? entropy / length : 0;
}

static rlvr_result rlvr__log_step(rlvr_trainer *t, const rlvr_metrics *m);

rlvr_result rlvr_train_step(rlvr_trainer *t, rlvr_metrics *metrics)
{
    rlvr_metrics local, *m = metrics ? metrics : &local;
    memset(m, 0, sizeof *m);
    double start = rlvr__now();
    if (!t->batch) return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "rlvr_train_step: the trainer was opened without tasks and task_fn");
    rlvr_result r = rlvr__next_tasks(t);
    if (r == RLVR_OK) r = rlvr__step_sample(t);
    double sampled = rlvr__now();
    if (r == RLVR_OK) r = rlvr_grade_rollouts(t->rollouts, &t->desc.reward);
    double graded = rlvr__now();
    if (r != RLVR_OK) return r;
    int n_signal = rlvr_advantages(t->rollouts, t->desc.advantage);
    rlvr__measure(t, n_signal, m);
    r = rlvr__step_learn(t, n_signal, m);
    if (r != RLVR_OK) return r;

    t->cursor += t->desc.prompts_per_step;
    m->step = ++t->step;
    m->num_tokens = t->num_tokens;
    m->n_skipped = t->n_skipped;
    if (m->skipped) m->learning_rate = (double)rlvr_learning_rate(&t->desc.optim, t->updates);
    m->sample_time = sampled - start;
    m->grade_time = graded - sampled;
    m->train_time = rlvr__now() - graded;
    m->step_time = rlvr__now() - start;
    r = rlvr__log_step(t, m);
    if (r == RLVR_OK && t->desc.out_dir && t->desc.save_every && t->step % t->desc.save_every == 0) {
        char path[1024];
        snprintf(path, sizeof path, "%s/checkpoint", t->desc.out_dir);
        r = rlvr_trainer_save(t, path);
    }
    return r;
}

rlvr_rollouts *rlvr_trainer_rollouts(rlvr_trainer *t) { return t->rollouts; }
int64_t rlvr_trainer_steps(const rlvr_trainer *t) { return t->step; }

/* ---- training on given tokens ---- */

/* Packs sequences from `first` on while they fit one pass; returns the next one. */
static int rlvr__forest_sequences(rlvr_trainer *t, const int *tokens, const int *offset, int first, int n_seq, const float *weight)
{
    rlvr__forest *p = &t->forest;
    int64_t room = rlvr__train_store(t)->n_slots;
    int seq = first;
    rlvr__forest_reset(p);
    for (; seq < n_seq; seq++) {
        int from = offset[seq], n = offset[seq + 1] - from;
        if (p->n_rows + n - 1 > room) break;
        if (n < 2) continue;
        p->tree_begin[p->n_trees++] = (int)p->n_rows;
        int *list = rlvr__forest_list(p, NULL, 0, n - 1);
        for (int k = 0; k + 1 < n; k++) {
            rlvr__forest_row(p, list, k, tokens[from + k], -1);
            if (weight[from + k + 1] != 0) rlvr__forest_target(p, list[k], k, tokens[from + k + 1], from + k + 1);
        }
    }
    p->tree_begin[p->n_trees] = (int)p->n_rows;
    return seq;
}

static rlvr_result rlvr__check_sequences(rlvr_trainer *t, const int *tokens, const int *offset, int n_seq)
{
    int64_t longest = RLVR__MIN((int64_t)t->m->info.n_ctx, rlvr__train_store(t)->n_slots) + 1;
    for (int s = 0; s < n_seq; s++) {
        if (offset[s + 1] < offset[s] || offset[s + 1] - offset[s] > longest)
            return rlvr__fail(t->ctx, RLVR_ERROR_CONTEXT, "sequence %d has %d tokens; one pass takes 0 .. %lld (micro_tokens, n_ctx)", s,
                              offset[s + 1] - offset[s], (long long)longest);
        for (int i = offset[s]; i < offset[s + 1]; i++)
            if (tokens[i] < 0 || tokens[i] >= t->m->info.n_vocab)
                return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "sequence %d: token %d is not in the vocabulary", s, tokens[i]);
    }
    return RLVR_OK;
}

rlvr_result rlvr_grad_tokens(rlvr_trainer *t, const int *tokens, const int *offset, int n_seq, const float *weight, float *logprob)
{
    rlvr__policy policy;
    memset(&policy, 0, sizeof policy);
    rlvr__sampling_defaults(&policy.sampling);
    rlvr_result r = rlvr__check_sequences(t, tokens, offset, n_seq);
    if (r != RLVR_OK) return r;
    rlvr__zero_gradients(t);
    for (int i = 0; i < offset[n_seq]; i++) logprob[i] = 0;
    for (int seq = 0; seq < n_seq;) {
        seq = rlvr__forest_sequences(t, tokens, offset, seq, n_seq, weight);
        if (!t->forest.n_targets) continue;
        rlvr__forest_forward(t);
        rlvr__forest_backward(t, &policy, weight, false, logprob);
    }
    return RLVR_OK;
}

rlvr_result rlvr_train_tokens(rlvr_trainer *t, const int *tokens, const int *offset, int n_seq, const unsigned char *mask, rlvr_metrics *metrics)
{
    rlvr_metrics local, *m = metrics ? metrics : &local;
    double start = rlvr__now(), loss = 0;
    int64_t learned = 0, n = n_seq > 0 ? offset[n_seq] : 0;
    memset(m, 0, sizeof *m);
    if (!RLVR__RESERVE(t, token_weight, cap_token_weight, n + 1) || !RLVR__RESERVE(t, token_logprob, cap_token_logprob, n + 1))
        return RLVR_ERROR_MEMORY;
    for (int s = 0; s < n_seq; s++)
        for (int i = offset[s]; i < offset[s + 1]; i++) {
            bool learn = i > offset[s] && (!mask || mask[i]);
            t->token_weight[i] = learn ? 1.0f : 0.0f;
            learned += learn;
        }
    if (!learned) return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "rlvr_train_tokens: no token to learn from");
    for (int64_t i = 0; i < n; i++) t->token_weight[i] *= -1.0f / (float)learned;
    rlvr_result r = rlvr_grad_tokens(t, tokens, offset, n_seq, t->token_weight, t->token_logprob);
    if (r != RLVR_OK) return r;
    for (int64_t i = 0; i < n; i++)
        if (t->token_weight[i] != 0) loss -= (double)t->token_logprob[i];
    m->loss = loss / (double)learned;
    rlvr__apply(t, m);
    m->step = ++t->step;
    m->num_tokens = t->num_tokens += n;
    m->n_skipped = t->n_skipped;
    m->step_time = m->train_time = rlvr__now() - start;
    return rlvr__log_step(t, m);
}

/* ---- opening: defaults, plan, allocation ---- */

static rlvr_result rlvr__trainer_defaults(rlvr_ctx *ctx, rlvr_trainer_desc *d)
{
    rlvr__sampling_defaults(&d->sampling);
    if (d->prompts_per_step == 0) d->prompts_per_step = 8;
    if (d->group_size == 0) d->group_size = 8;
    if (d->epochs == 0) d->epochs = 1;
    if (d->minibatches == 0) d->minibatches = 1;
    if (d->max_prompt_tokens == 0) d->max_prompt_tokens = 256;
    if (d->loss.clip_eps_low == 0) d->loss.clip_eps_low = 0.2f;
    if (d->loss.clip_eps_high == 0) d->loss.clip_eps_high = d->loss.clip_eps_low;
    if (d->loss.max_tokens == 0) d->loss.max_tokens = d->sampling.max_tokens;
    if (d->optim.lr == 0) d->optim.lr = 1e-5f;
    if (d->optim.beta1 == 0) d->optim.beta1 = 0.9f;
    if (d->optim.beta2 == 0) d->optim.beta2 = 0.999f;
    if (d->optim.eps == 0) d->optim.eps = 1e-8f;
    if (d->optim.max_grad_norm == 0) d->optim.max_grad_norm = 1.0f;
    if (d->memory_limit == 0) d->memory_limit = rlvr__free_memory() / 10 * 9;
    if (d->memory_limit <= 0) d->memory_limit = INT64_MAX;
    if (rlvr__sampling_check(ctx, &d->sampling) != RLVR_OK) return RLVR_ERROR_ARGUMENT;
    struct { const char *name; double value, low, high; } field[] = {
        {"prompts_per_step", (double)d->prompts_per_step, 1, 65536}, {"group_size", (double)d->group_size, 1, 65536},
        {"epochs", (double)d->epochs, 1, 1000}, {"minibatches", (double)d->minibatches, 1, (double)d->prompts_per_step},
        {"max_prompt_tokens", (double)d->max_prompt_tokens, 1, 1 << 24}, {"micro_tokens", (double)d->micro_tokens, 0, 1 << 28},
        {"advantage", (double)d->advantage, 0, RLVR_ADV_DR_GRPO}, {"loss.aggregation", (double)d->loss.aggregation, 0, RLVR_AGG_SEQ_MEAN_TOKEN_SUM_NORM},
        {"loss.kl", (double)d->loss.kl, 0, RLVR_KL_K2}, {"loss.clip_eps_low", (double)d->loss.clip_eps_low, 1e-6, 1},
        {"loss.clip_eps_high", (double)d->loss.clip_eps_high, 1e-6, 1e6}, {"loss.kl_coef", (double)d->loss.kl_coef, 0, 1e6},
        {"optim.lr", (double)d->optim.lr, 0, 1e3}, {"optim.beta1", (double)d->optim.beta1, 0, 0.999999}, {"optim.beta2", (double)d->optim.beta2, 0, 0.9999999},
        {"optim.eps", (double)d->optim.eps, 1e-30, 1}, {"optim.weight_decay", (double)d->optim.weight_decay, 0, 1e3},
        {"optim.schedule", (double)d->optim.schedule, 0, RLVR_LR_LINEAR}, {"optim.warmup_steps", (double)d->optim.warmup_steps, 0, INT_MAX},
        {"save_every", (double)d->save_every, 0, INT_MAX}};
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        if (!(field[i].value >= field[i].low && field[i].value <= field[i].high))
            return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_trainer_desc.%s: %g is not within %g .. %g", field[i].name, field[i].value,
                              field[i].low, field[i].high);
    if (d->tasks && d->task_fn) return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_trainer_desc: set tasks or task_fn, not both");
    if (d->tasks && rlvr_tasks_count(d->tasks) == 0) return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_trainer_desc.tasks: the list is empty");
    if ((d->tasks || d->task_fn) && rlvr__reward_desc_check(ctx, "rlvr_trainer_desc", &d->reward) != RLVR_OK) return RLVR_ERROR_ARGUMENT;
    if (d->tasks && rlvr_reward_check(ctx, &d->reward, d->tasks) != RLVR_OK) return RLVR_ERROR_FORMAT;
    if (d->optim.schedule != RLVR_LR_CONSTANT && d->optim.total_steps <= d->optim.warmup_steps)
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_trainer_desc.optim.total_steps: the schedule needs more than %d", d->optim.warmup_steps);
    return RLVR_OK;
}

enum { RLVR__TRAIN_HEAD_ROWS = 256, RLVR__TRAIN_ROWS = 2048 };

/* What a trainer of this description will hold. */
typedef struct rlvr__sizes {
    bool sampling;                        /* it samples at all */
    int64_t decode_slots, decode_rows, train_slots, train_rows, max_context, head_rows, rollouts, tokens, group_rows;
} rlvr__sizes;

static rlvr_result rlvr__plan_with(rlvr_trainer *t, rlvr__sizes *z, rlvr_memory *p)
{
    rlvr_model *m = t->m;
    rlvr__store s;
    rlvr__grads g;
    int64_t floats = m->n_floats * (int64_t)sizeof(float), kv = 0, act = 0, scratch = 0;
    if (z->sampling) {
        rlvr__store_init(&s, m, z->decode_slots, z->decode_rows, z->max_context, z->head_rows, p->one_forward, true);
        kv += s.bytes_kv; act += s.bytes_activations; scratch += s.bytes_scratch;
    }
    if (!p->one_forward) {
        rlvr__store_init(&s, m, z->train_slots, z->train_rows, z->max_context, z->head_rows, true, true);
        kv += s.bytes_kv; act += s.bytes_activations; scratch += s.bytes_scratch;
    }
    rlvr__grads_init(&g, m, p->one_forward ? z->decode_slots : z->train_slots, z->head_rows, z->max_context, p->one_forward, true);
    p->weights = floats + (int64_t)m->info.n_ctx * m->info.head_dim * (int64_t)sizeof(float);
    p->gradients = floats;
    p->optimizer = 2 * floats;
    p->reference = t->desc.loss.kl_coef != 0 ? floats : 0;
    p->kv_cache = kv;
    p->activations = act;
    p->scratch = scratch + g.bytes + z->tokens * 40 + (z->rollouts + 64) * (z->max_context * 8 + 256);
    p->total = p->weights + p->gradients + p->optimizer + p->reference + p->kv_cache + p->activations + p->scratch;
    p->limit = t->desc.memory_limit;
    return p->total <= p->limit ? RLVR_OK : RLVR_ERROR_MEMORY;
}

/* Chooses how to run within the memory limit: all activations of decoding kept; else passes of as many rows as fit. */
static rlvr_result rlvr__plan(rlvr_trainer *t, rlvr__sizes *z, rlvr_memory *p)
{
    const rlvr_trainer_desc *d = &t->desc;
    int64_t P = d->prompts_per_step, G = d->group_size, prompt = RLVR__MIN(d->max_prompt_tokens, t->m->info.n_ctx - 1);
    memset(z, 0, sizeof *z);
    memset(p, 0, sizeof *p);
    z->sampling = d->tasks || d->task_fn;
    z->head_rows = RLVR__TRAIN_HEAD_ROWS;
    z->max_context = t->m->info.n_ctx;
    if (!z->sampling) {
        z->train_slots = d->micro_tokens ? d->micro_tokens : RLVR__TRAIN_ROWS;
        z->train_rows = RLVR__MIN(z->train_slots, (int64_t)RLVR__TRAIN_ROWS);
        return rlvr__plan_with(t, z, p);
    }
    int64_t all = P * prompt + P * G * (d->sampling.max_tokens - 1);
    z->max_context = RLVR__MIN((int64_t)t->m->info.n_ctx, prompt + d->sampling.max_tokens);
    z->rollouts = P * G;
    z->tokens = z->rollouts * d->sampling.max_tokens;
    z->group_rows = 2 * prompt + G * (d->sampling.max_tokens - 1);
    z->decode_slots = all;
    z->decode_rows = RLVR__MIN(RLVR__MAX((int64_t)RLVR__PREFILL_ROWS, G), RLVR__MAX(all, G));
    p->one_forward = !d->two_forwards && d->loss.kl_coef == 0 && (!d->micro_tokens || d->micro_tokens >= all);
    z->train_slots = all;
    if (p->one_forward && rlvr__plan_with(t, z, p) == RLVR_OK) return RLVR_OK;
    p->one_forward = false;
    z->train_slots = RLVR__MAX(d->micro_tokens ? RLVR__MIN((int64_t)d->micro_tokens, all) : all, z->group_rows);
    for (;; z->train_slots = RLVR__MAX(z->train_slots / 2, z->group_rows)) {
        z->train_rows = RLVR__MIN(z->train_slots, (int64_t)RLVR__TRAIN_ROWS);
        if (rlvr__plan_with(t, z, p) == RLVR_OK) return RLVR_OK;
        if (z->train_slots == z->group_rows) return RLVR_ERROR_MEMORY;
    }
}

static void rlvr__plan_refused(rlvr_trainer *t, const rlvr_memory *p)
{
    rlvr__fail(t->ctx, RLVR_ERROR_MEMORY, "the trainer needs %.2f GB (weights %.2f, gradients %.2f, AdamW %.2f, reference %.2f, KV cache %.2f, "
               "activations %.2f, scratch %.2f), memory_limit is %.2f GB; lower prompts_per_step, group_size or max_tokens",
               (double)p->total * 1e-9, (double)p->weights * 1e-9, (double)p->gradients * 1e-9, (double)p->optimizer * 1e-9,
               (double)p->reference * 1e-9, (double)p->kv_cache * 1e-9, (double)p->activations * 1e-9,
               (double)p->scratch * 1e-9, (double)p->limit * 1e-9);
}

rlvr_result rlvr_memory_plan(rlvr_model *m, const rlvr_trainer_desc *d, rlvr_memory *plan)
{
    rlvr_trainer t;
    rlvr__sizes sizes;
    memset(&t, 0, sizeof t);
    t.ctx = m->ctx;
    t.m = m;
    t.desc = *d;
    rlvr_result r = rlvr__trainer_defaults(m->ctx, &t.desc);
    if (r != RLVR_OK) return r;
    r = rlvr__plan(&t, &sizes, plan);
    if (r != RLVR_OK) rlvr__plan_refused(&t, plan);
    return r;
}

static rlvr_result rlvr__forest_init(rlvr_ctx *ctx, rlvr__forest *p, int64_t rows, int64_t lists, int64_t targets)
{
    struct { int **array; int64_t n; } part[] = {
        {&p->token, rows}, {&p->pos, rows}, {&p->slot, rows}, {&p->act, rows}, {&p->n_context, rows}, {&p->lists, lists},
        {&p->head_at, rows}, {&p->head_row, rows}, {&p->target_begin, rows + 1}, {&p->position, rows + 1}, {&p->target, targets},
        {&p->source, targets}, {&p->tree_begin, rows + 1}};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (!(*part[i].array = RLVR__NEW(ctx, int, part[i].n + 1))) return RLVR_ERROR_MEMORY;
    p->context = RLVR__NEW(ctx, const int *, rows + 1);
    p->cap_rows = rows;
    p->cap_lists = lists;
    p->cap_targets = targets;
    return p->context ? RLVR_OK : RLVR_ERROR_MEMORY;
}

static void rlvr__forest_free(rlvr_ctx *ctx, rlvr__forest *p)
{
    void *arrays[] = {p->token, p->pos, p->slot, p->act, p->n_context, p->lists, p->head_at, p->head_row, p->target_begin, p->position,
                      p->target, p->source, p->tree_begin, (void *)p->context};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) rlvr__free(ctx, arrays[i]);
}

static rlvr_result rlvr__trainer_alloc(rlvr_trainer *t, const rlvr__sizes *z)
{
    rlvr_ctx *ctx = t->ctx;
    rlvr_model *m = t->m;
    int64_t rows = t->plan.one_forward ? z->decode_slots : z->train_slots;
    int64_t targets = RLVR__MAX(z->tokens, rows), lists = (z->rollouts + t->desc.prompts_per_step + 1) * z->max_context;
    rlvr_result r = RLVR_OK;
    if (!z->sampling) lists = rows;
    if (z->sampling) r = rlvr__store_init(&t->store, m, z->decode_slots, z->decode_rows, z->max_context, z->head_rows, t->plan.one_forward, false);
    if (r == RLVR_OK && !t->plan.one_forward)
        r = rlvr__store_init(&t->train, m, z->train_slots, z->train_rows, z->max_context, z->head_rows, true, false);
    if (r == RLVR_OK) r = rlvr__grads_init(&t->grads, m, rows, z->head_rows, z->max_context, t->plan.one_forward, false);
    if (r == RLVR_OK) r = rlvr__forest_init(ctx, &t->forest, rows, lists, targets);
    if (r != RLVR_OK) return r;
    if (!m->grads) m->grads = RLVR__NEW(ctx, float, m->n_floats);
    t->moment1 = RLVR__NEW(ctx, float, m->n_floats);
    t->moment2 = RLVR__NEW(ctx, float, m->n_floats);
    t->dist = RLVR__NEW(ctx, rlvr__dist, z->head_rows);
    t->target_value = RLVR__NEW(ctx, float, targets);
    t->target_logprob = RLVR__NEW(ctx, float, targets);
    if (!m->grads || !t->moment1 || !t->moment2 || !t->dist || !t->target_value || !t->target_logprob) return RLVR_ERROR_MEMORY;
    if (t->desc.loss.kl_coef != 0) {
        if (!(t->reference = RLVR__NEW(ctx, float, m->n_floats))) return RLVR_ERROR_MEMORY;
        memcpy(t->reference, m->weights, (size_t)m->n_floats * sizeof(float));
    }
    if (!z->sampling) return RLVR_OK;
    float **flat[] = {&t->logprob, &t->old_logprob, &t->ref_logprob, &t->dlogprob};
    for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
        if (!(*flat[i] = RLVR__NEW(ctx, float, z->tokens))) return RLVR_ERROR_MEMORY;
    t->advantage = RLVR__NEW(ctx, float, z->rollouts);
    t->offset = RLVR__NEW(ctx, int, z->rollouts + 1);
    t->mask = RLVR__NEW(ctx, unsigned char, z->tokens);
    t->batch = RLVR__NEW(ctx, rlvr_task, t->desc.prompts_per_step);
    t->rollouts = rlvr__rollouts_new(m);
    if (t->desc.task_fn) t->asked = rlvr_tasks_new(ctx);
    if (!t->rollouts) return RLVR_ERROR_MEMORY;
    int64_t P = t->desc.prompts_per_step, G = t->desc.group_size, prompt = RLVR__MIN(t->desc.max_prompt_tokens, m->info.n_ctx - 1);
    if (rlvr__rollouts_reserve(t->rollouts, P, G, P * prompt, prompt + t->desc.sampling.max_tokens, t->desc.sampling.max_tokens) != RLVR_OK ||
        rlvr__calls_reserve(t->rollouts, &t->store, rlvr__heads_most(&t->store, G, t->desc.sampling.max_batch)) != RLVR_OK ||
        !RLVR__RESERVE(t->rollouts, prompt_tokens, cap_prompt, P * prompt) ||
        !RLVR__RESERVE(t->rollouts, banned, cap_banned, t->desc.sampling.n_stop_tokens + 1)) return RLVR_ERROR_MEMORY;
    return t->advantage && t->offset && t->mask && t->batch && (t->asked || !t->desc.task_fn) ? RLVR_OK : RLVR_ERROR_MEMORY;
}

static rlvr_result rlvr__logs_open(rlvr_trainer *t);

rlvr_trainer *rlvr_trainer_open(rlvr_model *m, const rlvr_trainer_desc *desc)
{
    rlvr_ctx *ctx = m->ctx;
    rlvr__sizes sizes;
    rlvr_trainer *t = RLVR__NEW(ctx, rlvr_trainer, 1);
    if (!t) return NULL;
    t->ctx = ctx;
    t->m = m;
    t->desc = *desc;
    rlvr_result r = rlvr__trainer_defaults(ctx, &t->desc);
    if (r == RLVR_OK) {
        r = rlvr__plan(t, &sizes, &t->plan);
        if (r != RLVR_OK) rlvr__plan_refused(t, &t->plan);
    }
    if (r == RLVR_OK) r = rlvr__trainer_alloc(t, &sizes);
    if (r == RLVR_OK && t->desc.out_dir) r = rlvr__logs_open(t);
    if (r != RLVR_OK) { rlvr_trainer_close(t); return NULL; }
    return t;
}

void rlvr_trainer_close(rlvr_trainer *t)
{
    if (!t) return;
    rlvr_ctx *ctx = t->ctx;
    for (int i = 0; i < 2; i++)
        if (t->log[i]) fclose(t->log[i]);
    rlvr__store_free(&t->store);
    rlvr__store_free(&t->train);
    rlvr__grads_free(&t->grads);
    rlvr__forest_free(ctx, &t->forest);
    rlvr_rollouts_free(t->rollouts);
    rlvr_tasks_free(t->asked);
    void *arrays[] = {t->moment1, t->moment2, t->reference, t->dist, t->target_value, t->target_logprob, t->logprob, t->old_logprob,
                      t->ref_logprob, t->dlogprob, t->advantage, t->offset, t->mask, t->batch, t->token_weight, t->token_logprob};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) rlvr__free(ctx, arrays[i]);
    rlvr__free(ctx, t);
}

/* ---- logs ---- */

static const char *const rlvr__log_names[2] = {"metrics.jsonl", "completions.jsonl"};

static rlvr_result rlvr__logs_open(rlvr_trainer *t)
{
    rlvr_result r = rlvr__make_dir(t->ctx, t->desc.out_dir);
    for (int i = 0; r == RLVR_OK && i < (t->desc.log_completions ? 2 : 1); i++) {
        char *path = rlvr__path_join(t->ctx, t->desc.out_dir, rlvr__log_names[i]);
        if (!path) return RLVR_ERROR_MEMORY;
        t->log[i] = fopen(path, "ab");
        if (!t->log[i]) r = rlvr__fail(t->ctx, RLVR_ERROR_IO, "%s: cannot write: %s", path, strerror(errno));
        else { fseek(t->log[i], 0, SEEK_END); t->log_bytes[i] = ftell(t->log[i]); }
        rlvr__free(t->ctx, path);
    }
    return r;
}

static rlvr_result rlvr__log_write(rlvr_trainer *t, int i, const rlvr__buf *b)
{
    if (b->failed) return RLVR_ERROR_MEMORY;
    if (fwrite(b->data, 1, b->len, t->log[i]) != b->len || fflush(t->log[i]) != 0)
        return rlvr__fail(t->ctx, RLVR_ERROR_IO, "%s/%s: cannot write: %s; the step itself is done", t->desc.out_dir, rlvr__log_names[i],
                          strerror(errno));
    t->log_bytes[i] += (int64_t)b->len;
    return RLVR_OK;
}

static void rlvr__put_metrics(rlvr__buf *b, const rlvr_metrics *m, bool rollouts)
{
    struct { const char *name; double value; } field[] = {
        {"loss", m->loss}, {"grad_norm", m->grad_norm}, {"learning_rate", m->learning_rate}, {"step_time", m->step_time},
        {"train_time", m->train_time}, {"skipped", (double)m->skipped}, {"reward", m->reward_mean}, {"reward_std", m->reward_std},
        {"frac_reward_zero_std", m->frac_reward_zero_std}, {"reward_errors", (double)m->n_reward_errors},
        {"completions/mean_length", m->completion_mean_length}, {"completions/min_length", m->completion_min_length},
        {"completions/max_length", m->completion_max_length}, {"completions/clipped_ratio", m->truncated}, {"entropy", m->entropy},
        {"kl", m->kl}, {"clip_ratio/low_mean", m->clip_low}, {"clip_ratio/high_mean", m->clip_high},
        {"clip_ratio/region_mean", m->clip_low + m->clip_high}, {"sample_time", m->sample_time}, {"grade_time", m->grade_time}};
    size_t n = rollouts ? sizeof field / sizeof *field : 6;      /* the rest is of rollouts */
    rlvr__buf_addf(b, "{\"step\":%lld,\"num_tokens\":%lld", (long long)m->step, (long long)m->num_tokens);
    for (size_t i = 0; i < n; i++) {
        rlvr__buf_addf(b, ",\"%s\":", field[i].name);
        rlvr__json_put_digits(b, field[i].value, 9);
    }
    rlvr__buf_addf(b, "}\n");
}

static void rlvr__put_completion(rlvr__buf *b, int64_t step, const rlvr_rollout *o)
{
    static const char *const finish[] = {"none", "stop", "length"};
    const rlvr_task *task = o->task;
    const char *prompt = task->prompt ? task->prompt : task->messages[task->n_messages - 1].content;
    struct { const char *name, *text; size_t len; } field[] = {
        {"prompt", prompt, strlen(prompt)}, {"completion", o->text, o->text_len}, {"answer", task->answer, task->answer ? strlen(task->answer) : 0}};
    rlvr__buf_addf(b, "{\"step\":%lld", (long long)step);
    for (size_t i = 0; i < 3; i++) {
        if (!field[i].text) continue;
        rlvr__buf_addf(b, ",\"%s\":", field[i].name);
        rlvr__json_put_string(b, field[i].text, field[i].len);
    }
    rlvr__buf_addf(b, ",\"reward\":");
    rlvr__json_put_float(b, o->graded == RLVR_OK ? o->reward : NAN);
    rlvr__buf_addf(b, ",\"advantage\":");
    rlvr__json_put_float(b, o->advantage);
    rlvr__buf_addf(b, ",\"n_tokens\":%d,\"finish_reason\":\"%s\"}\n", o->n_tokens, finish[o->finish_reason]);
}

static rlvr_result rlvr__log_step(rlvr_trainer *t, const rlvr_metrics *m)
{
    rlvr__buf b = {t->ctx, NULL, 0, 0, false};
    rlvr_result r = RLVR_OK;
    if (t->log[0]) {
        rlvr__put_metrics(&b, m, m->n_rollouts > 0);
        r = rlvr__log_write(t, 0, &b);
    }
    if (r == RLVR_OK && t->log[1] && m->n_rollouts) {
        int n = t->desc.log_completions < 0 ? m->n_rollouts : RLVR__MIN(t->desc.log_completions, m->n_rollouts);
        b.len = 0;
        for (int i = 0; i < n; i++) rlvr__put_completion(&b, m->step, &t->rollouts->items[i]);
        r = rlvr__log_write(t, 1, &b);
    }
    rlvr__buf_free(&b);
    return r;
}

/* ---- checkpoints ---- */

/* A safetensors file: the weights and both moments as they lie in memory, and `state`: these numbers, in this order. All
   else that a step depends on is in the descriptor or computed from step and cursor. */
enum { RLVR__STATE_VERSION = 1, RLVR__STATE_SHAPE = 10, RLVR__STATE = 20 };

static void rlvr__state_shape(const rlvr_trainer *t, int64_t *s)      /* what must be the same in the run that resumes */
{
    const rlvr_model_desc *d = &t->m->info;
    int64_t shape[RLVR__STATE_SHAPE] = {RLVR__STATE_VERSION, d->n_vocab, d->d_model, d->n_layers, d->n_heads, d->n_kv_heads, d->head_dim,
                                        d->d_ff, d->tied, (int64_t)t->desc.seed};
    memcpy(s, shape, sizeof shape);
}

static int64_t *rlvr__state_field(rlvr_trainer *t, int i)
{
    int64_t *field[] = {&t->step, &t->updates, &t->num_tokens, &t->n_skipped, &t->cursor, &t->log_bytes[0], &t->log_bytes[1]};
    return i < (int)(sizeof field / sizeof *field) ? field[i] : NULL;
}

static int rlvr__state_blocks(rlvr_trainer *t, const char **name, float **block)
{
    const char *names[] = {"weights", "moment1", "moment2", "reference"};
    float *blocks[] = {t->m->weights, t->moment1, t->moment2, t->reference};
    memcpy((void *)name, names, sizeof names);
    memcpy(block, blocks, sizeof blocks);
    return t->reference ? 4 : 3;
}

rlvr_result rlvr_trainer_save(rlvr_trainer *t, const char *path)
{
    const char *name[4];
    float *block[4];
    int64_t state[RLVR__STATE] = {0}, *field;
    int n = rlvr__state_blocks(t, name, block);
    rlvr__tensor list[5];
    rlvr__writer w;
    memset(list, 0, sizeof list);
    rlvr__state_shape(t, state);
    for (int i = 0; (field = rlvr__state_field(t, i)) != NULL; i++) state[RLVR__STATE_SHAPE + i] = *field;
    for (int i = 0; i <= n; i++) {
        list[i].name = i ? name[i - 1] : "state";
        list[i].dtype = i ? RLVR__DTYPE_F32 : RLVR__DTYPE_I64;
        list[i].n_dims = 1;
        list[i].dims[0] = i ? t->m->n_floats : (int64_t)RLVR__STATE;
    }
    rlvr_result r = rlvr__writer_open(t->ctx, &w, path);
    if (r != RLVR_OK) return r;
    r = rlvr__safetensors_begin(&w, list, n + 1, NULL);
    rlvr__write(&w, state, sizeof state);
    for (int i = 0; i < n && !w.failed; i++) rlvr__write(&w, block[i], (size_t)t->m->n_floats * sizeof(float));
    rlvr_result closed = rlvr__writer_close(&w);
    return r == RLVR_OK ? closed : r;
}

static rlvr_result rlvr__checkpoint_read(rlvr_trainer *t, const rlvr__tensors *file, const char *path)
{
    const char *name[4];
    float *block[4];
    int64_t state[RLVR__STATE], shape[RLVR__STATE_SHAPE], *field;
    int n = rlvr__state_blocks(t, name, block);
    const rlvr__tensor *x = rlvr__tensor_find(file, "state"), *part[4];
    if (!x || x->dtype != RLVR__DTYPE_I64 || x->n != RLVR__STATE)
        return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: not a checkpoint of this version", path);
    memcpy(state, x->data, sizeof state);
    rlvr__state_shape(t, shape);
    if (memcmp(state, shape, sizeof shape))
        return rlvr__fail(t->ctx, RLVR_ERROR_ARGUMENT, "%s: the checkpoint is of another model, seed or version; resume with those of its run", path);
    for (int i = 0; i < n; i++) {
        part[i] = rlvr__tensor_find(file, name[i]);
        if (!part[i] || part[i]->dtype != RLVR__DTYPE_F32 || part[i]->n != t->m->n_floats)
            return rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: tensor %s is missing or has another size", path, name[i]);
    }
    for (int i = 0; i < n; i++) memcpy(block[i], part[i]->data, (size_t)t->m->n_floats * sizeof(float));
    for (int i = 0; (field = rlvr__state_field(t, i)) != NULL; i++) *field = state[RLVR__STATE_SHAPE + i];
    return RLVR_OK;
}

rlvr_result rlvr_trainer_resume(rlvr_trainer *t, const char *path)
{
    rlvr__tensors file;
    rlvr_result r = rlvr__tensors_open(t->ctx, &file, path);
    if (r != RLVR_OK) return r;
    r = rlvr__tensors_is_gguf(&file) ? rlvr__fail(t->ctx, RLVR_ERROR_FORMAT, "%s: a GGUF file, not a checkpoint", path)
                                     : rlvr__checkpoint_read(t, &file, path);
    rlvr__tensors_close(&file);
    /* what the killed run logged after its last checkpoint will be logged again */
    for (int i = 0; r == RLVR_OK && i < 2; i++)
        if (t->log[i] && ftruncate(fileno(t->log[i]), (off_t)t->log_bytes[i]) != 0)
            r = rlvr__fail(t->ctx, RLVR_ERROR_IO, "%s/%s: cannot cut it back to the checkpoint: %s", t->desc.out_dir, rlvr__log_names[i],
                           strerror(errno));
    return r;
}
/* ============================================================================================
   20. EVALUATION                                                                       >>eval
   ============================================================================================ */

/* 1 - C(n-c, k) / C(n, k) as the product of (1 - k/i) over i = n-c+1 .. n: no binomial is ever formed. */
double rlvr_pass_at_k(int n, int c, int k)
{
    double miss = 1;
    if (k < 1 || c < 1 || n < 1) return 0;
    if (n - c < k) return 1;
    for (int i = n - c + 1; i <= n; i++) miss *= 1 - (double)k / (double)i;
    return 1 - miss;
}

enum { RLVR__EVAL_ROLLOUTS = 1024, RLVR__EVAL_STREAM = 0x65766c21 };      /* held at once; the bootstrap's random stream */

/* What an evaluation gathers: for each task its share of passes, or -1 where none of its rollouts has a reward. */
typedef struct rlvr__eval {
    rlvr_eval_report *report;
    double *passed, *greedy;         /* (n_tasks) */
    double maj;                      /* tasks whose majority answer passes */
    int64_t n_graded, n_rollouts, n_truncated, n_tokens;
    double entropy;
} rlvr__eval;

/* Do two completions give the same answer? With the number verifier by number, else by trimmed text. */
static bool rlvr__same_answer(const rlvr_rollout *a, const rlvr_rollout *b, bool by_number)
{
    const char *s = a->text, *t = b->text;
    size_t n = s ? a->text_len : 0, m = t ? b->text_len : 0;
    if (by_number) {
        rlvr__number x, y;
        return rlvr__number_of(s, n, &x) && rlvr__number_of(t, m, &y) && rlvr__number_equal(&x, &y);
    }
    rlvr__trim(&s, &n);
    rlvr__trim(&t, &m);
    return n == m && (n == 0 || memcmp(s, t, n) == 0);
}

/* Does the most frequent answer pass? Among equals the one given first wins; a completion without a number does not vote. */
static bool rlvr__majority_passes(const rlvr_rollout *group, int n, bool by_number)
{
    int best = -1, most = 0;
    for (int i = 0; i < n; i++) {
        int votes = 0;
        if (group[i].graded != RLVR_OK) continue;
        for (int j = 0; j < n; j++) {
            if (group[j].graded != RLVR_OK || !rlvr__same_answer(&group[i], &group[j], by_number)) continue;
            if (j < i) { votes = 0; break; }      /* counted where it was given first */
            votes++;
        }
        if (votes > most) { most = votes; best = i; }
    }
    return best >= 0 && group[best].reward >= 0.5f;
}

static void rlvr__eval_task(rlvr__eval *e, const rlvr_eval_desc *d, const rlvr_rollout *group, int64_t task)
{
    rlvr_eval_report *report = e->report;
    int graded = 0, right = 0;
    for (int i = 0; i < report->n; i++) {
        const rlvr_rollout *o = &group[i];
        e->n_rollouts++;
        e->n_tokens += o->n_tokens;
        e->n_truncated += o->finish_reason == RLVR_FINISH_LENGTH;
        for (int k = 0; k < o->n_tokens; k++) e->entropy += (double)o->entropy[k];
        if (o->graded != RLVR_OK) { report->n_reward_errors++; continue; }
        graded++;
        right += o->reward >= 0.5f;
    }
    e->passed[task] = graded ? (double)right / graded : -1;
    if (!graded) return;
    e->n_graded++;
    for (int i = 0; i < report->n_k; i++)
        report->pass_at_k[i] += rlvr_pass_at_k(graded, right, RLVR__MIN(report->k[i], graded));
    e->maj += rlvr__majority_passes(group, report->n, d->reward.kind == RLVR_REWARD_NUMBER && !d->reward.fn);
}

static void rlvr__eval_greedy(rlvr__eval *e, const rlvr_rollout *o, int64_t task)
{
    bool graded = o->graded == RLVR_OK;
    e->greedy[task] = !graded ? -1 : o->reward >= 0.5f;
    e->report->n_reward_errors += !graded;
    e->report->n_tokens += o->n_tokens;
}

/* Samples and grades all tasks, a number of them at a time, so that memory does not grow with the task list. The random
   streams are those of the tasks' own numbers, so that the pieces' size changes nothing. */
static rlvr_result rlvr__eval_pass(rlvr_model *m, const rlvr_task *tasks, int64_t n_tasks, const rlvr_eval_desc *d,
                                   bool greedy, rlvr__eval *e)
{
    rlvr_rollouts *rollouts = NULL;
    rlvr_sampling s = d->sampling;
    rlvr_result r = RLVR_OK;
    int n = greedy ? 1 : e->report->n;
    int64_t piece = RLVR__MAX(1, RLVR__EVAL_ROLLOUTS / n);
    if (!s.seed) s.seed = d->seed;
    s.greedy |= greedy;
    for (int64_t at = 0; at < n_tasks && r == RLVR_OK; at += piece) {
        int count = (int)RLVR__MIN(piece, n_tasks - at);
        s.first_prompt = d->sampling.first_prompt + (uint32_t)at;
        r = rlvr_sample(m, tasks + at, count, n, &s, &rollouts);
        if (r == RLVR_OK) r = rlvr_grade_rollouts(rollouts, &d->reward);
        for (int t = 0; t < count && r == RLVR_OK; t++) {
            const rlvr_rollout *group = rlvr_rollouts_get(rollouts, t * n);
            if (greedy) rlvr__eval_greedy(e, group, at + t);
            else rlvr__eval_task(e, d, group, at + t);
        }
    }
    rlvr_rollouts_free(rollouts);
    return r;
}

static int rlvr__compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rlvr__percentile(const double *sorted, int n, double q)      /* between neighbours in proportion */
{
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* Mean of the tasks' values and its 95 % percentile interval over resamples of whole tasks: the rollouts of one prompt are
   not independent of each other. Values below 0 are absent. False: all are. */
static bool rlvr__bootstrap(const double *value, int64_t n, double *packed /* (n) */, double *means /* (resamples) */,
                            int resamples, uint64_t seed, double *mean, double *low, double *high)
{
    int64_t count = 0;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (value[i] >= 0) { packed[count++] = value[i]; sum += value[i]; }
    if (!count) return false;
    *mean = sum / (double)count;
    for (int b = 0; b < resamples; b++) {
        sum = 0;
        for (int64_t i = 0; i < count; i++) {
            uint32_t random = rlvr__random(seed, RLVR__EVAL_STREAM, (uint32_t)b, (uint32_t)i, 0);
            sum += packed[(int64_t)((uint64_t)random * (uint64_t)count >> 32)];
        }
        means[b] = sum / (double)count;
    }
    qsort(means, (size_t)resamples, sizeof *means, rlvr__compare_doubles);
    *low = rlvr__percentile(means, resamples, 0.025);
    *high = rlvr__percentile(means, resamples, 0.975);
    return true;
}

static rlvr_result rlvr__eval_run(rlvr_model *m, const rlvr_task *tasks, int64_t n_tasks, const rlvr_eval_desc *d,
                                  rlvr__eval *e, double *packed, double *means, int resamples)
{
    rlvr_eval_report *report = e->report;
    rlvr_result r = rlvr__eval_pass(m, tasks, n_tasks, d, false, e);
    if (r == RLVR_OK && d->greedy) r = rlvr__eval_pass(m, tasks, n_tasks, d, true, e);
    if (r != RLVR_OK) return r;
    if (!rlvr__bootstrap(e->passed, n_tasks, packed, means, resamples, d->seed, &report->pass_at_1, &report->pass_at_1_low,
                         &report->pass_at_1_high))
        return rlvr__fail(rlvr_model_ctx(m), RLVR_REWARD_ERROR, "rlvr_eval: not one of %lld rollouts could be graded; check "
                          "the verifier and the tasks' answers (the first is of line %lld)", (long long)e->n_rollouts,
                          (long long)tasks[0].line);
    if (d->greedy) rlvr__bootstrap(e->greedy, n_tasks, packed, means, resamples, d->seed, &report->greedy,
                                   &report->greedy_low, &report->greedy_high);
    for (int i = 0; i < report->n_k; i++) report->pass_at_k[i] /= (double)e->n_graded;
    report->pass_at_n = report->pass_at_k[report->n_k - 1];
    report->maj_at_n = e->maj / (double)e->n_graded;
    report->mean_length = (double)e->n_tokens / (double)e->n_rollouts;
    report->truncated = (double)e->n_truncated / (double)e->n_rollouts;
    report->entropy = e->n_tokens ? e->entropy / (double)e->n_tokens : 0;
    report->n_tokens += e->n_tokens;
    return RLVR_OK;
}

/* A rollout without a reward is in neither n nor c of its task; where that leaves fewer than k, pass@k is that of all that
   are left. A task without any graded rollout is in no mean. Lengths, entropy and truncation are of the sampled completions;
   n_tokens counts the greedy ones too. */
rlvr_result rlvr_eval(rlvr_model *m, const rlvr_task *tasks, int64_t n_tasks, const rlvr_eval_desc *d,
                      rlvr_eval_report *report)
{
    rlvr_ctx *ctx = rlvr_model_ctx(m);
    double start = rlvr__now();
    int resamples = d->bootstrap ? d->bootstrap : 1000;
    rlvr__eval e;
    memset(report, 0, sizeof *report);
    memset(&e, 0, sizeof e);
    e.report = report;
    report->n_tasks = n_tasks;
    report->n = d->n ? d->n : 1;
    report->greedy = report->greedy_low = report->greedy_high = -1;
    if (!tasks || n_tasks < 1) return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_eval: there are no tasks");
    if (rlvr__reward_desc_check(rlvr_model_ctx(m), "rlvr_eval_desc", &d->reward) != RLVR_OK) return RLVR_ERROR_ARGUMENT;
    if (d->n < 0 || d->n > 32768)
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_eval_desc.n: %d is not within 0 .. 32768", d->n);
    if (d->bootstrap < 0)
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_eval_desc.bootstrap: %d is below 0", d->bootstrap);
    for (int k = 1; k < report->n; k *= 2) report->k[report->n_k++] = k;
    report->k[report->n_k++] = report->n;

    double *packed = RLVR__NEW(ctx, double, n_tasks), *means = RLVR__NEW(ctx, double, resamples);
    e.passed = RLVR__NEW(ctx, double, n_tasks);
    e.greedy = RLVR__NEW(ctx, double, n_tasks);
    rlvr_result r = RLVR_ERROR_MEMORY;
    if (packed && means && e.passed && e.greedy) r = rlvr__eval_run(m, tasks, n_tasks, d, &e, packed, means, resamples);
    rlvr__free(ctx, packed);
    rlvr__free(ctx, means);
    rlvr__free(ctx, e.passed);
    rlvr__free(ctx, e.greedy);
    report->seconds = rlvr__now() - start;
    return r;
}

/* ============================================================================================
   21. REPORTS                                                                       >>reports
   ============================================================================================ */

/* ---- the line chart: fixed frame, ticks on round numbers, names at the right ---- */

enum {
    RLVR__SVG_LEFT = 72, RLVR__SVG_TOP = 56, RLVR__SVG_WIDTH = 640, RLVR__SVG_HEIGHT = 340, RLVR__SVG_BOTTOM = 60,
    RLVR__SVG_TICKS = 6, RLVR__SVG_KEY = 22      /* height of a line's name */
};

/* One axis from low to high, with ticks at first .. last times mantissa * 10^exponent. */
typedef struct rlvr__axis { double low, high; int64_t first, last; int mantissa, exponent; } rlvr__axis;

/* Ticks at the smallest step of 1, 2 or 5 times a power of ten that gives few of them. round: the ends move out to ticks. */
static rlvr__axis rlvr__axis_of(double low, double high, bool round)
{
    static const int mantissas[] = {1, 2, 5, 10};
    rlvr__axis a;
    int i = 0;
    if (!(low <= high)) { low = 0; high = 1; }
    double size = RLVR__MAX(fabs(low), fabs(high));
    if (high - low <= 1e-9 * size || high - low < 1e-280) {      /* one value: a window around it */
        double room = size > 1e-270 ? 0.5 * size : 1;
        low -= room;
        high += room;
    }
    double rough = (high - low) / RLVR__SVG_TICKS, power;
    a.exponent = (int)floor(log10(rough));
    power = pow(10, a.exponent);
    while (i < 3 && mantissas[i] * power < rough * (1 - 1e-9)) i++;
    double step = mantissas[i] * power;
    a.mantissa = i < 3 ? mantissas[i] : 1;
    a.exponent += i == 3;
    a.first = (int64_t)(round ? floor(low / step + 1e-9) : ceil(low / step - 1e-9));
    a.last = (int64_t)(round ? ceil(high / step - 1e-9) : floor(high / step + 1e-9));
    a.low = round ? (double)a.first * step : low;
    a.high = round ? (double)a.last * step : high;
    return a;
}

/* A coordinate, whatever the program's locale says about decimal points. */
static void rlvr__svg_number(rlvr__buf *b, const char *before, double x)
{
    int64_t hundredths = (int64_t)floor(x * 100 + 0.5), size = hundredths < 0 ? -hundredths : hundredths;
    rlvr__buf_addf(b, "%s%s%lld.%02d", before, hundredths < 0 ? "-" : "", (long long)(size / 100), (int)(size % 100));
}

/* Tick k of an axis in exact decimals, with a power of ten where that would be long. */
static void rlvr__svg_tick(rlvr__buf *b, const rlvr__axis *a, int64_t k)
{
    int64_t value = k * a->mantissa, size = value < 0 ? -value : value, scale = 1;
    const char *sign = value < 0 ? "\xe2\x88\x92" : "";
    if (value == 0) { rlvr__buf_addf(b, "0"); return; }
    if (a->exponent < -5 || a->exponent > 5) { rlvr__buf_addf(b, "%s%llde%d", sign, (long long)size, a->exponent); return; }
    for (int i = 0; i < abs(a->exponent); i++) scale *= 10;
    if (a->exponent >= 0) rlvr__buf_addf(b, "%s%lld", sign, (long long)(size * scale));
    else rlvr__buf_addf(b, "%s%lld.%0*lld", sign, (long long)(size / scale), -a->exponent, (long long)(size % scale));
}

/* Text between tags or in quotes; what is not UTF-8, and control characters, which XML has not, become U+FFFD. */
static void rlvr__svg_text(rlvr__buf *b, const char *text)
{
    size_t left = text ? strlen(text) : 0;
    while (left) {
        uint32_t code;
        size_t n = (size_t)rlvr__utf8_read(text, left, &code);
        if (code == '<') rlvr__buf_addf(b, "&lt;");
        else if (code == '>') rlvr__buf_addf(b, "&gt;");
        else if (code == '&') rlvr__buf_addf(b, "&amp;");
        else if (code == '"') rlvr__buf_addf(b, "&quot;");
        else if (code == RLVR__NOT_UTF8 || (code < 32 && code != '\n' && code != '\t') || code == 0xfffe || code == 0xffff)
            rlvr__buf_addf(b, "\xef\xbf\xbd");
        else rlvr__buf_add(b, text, n);
        text += n;
        left -= n;
    }
}

static void rlvr__svg_label(rlvr__buf *b, double x, double y, const char *rest, const char *text)
{
    rlvr__svg_number(b, "<text x=\"", x);
    rlvr__svg_number(b, "\" y=\"", y);
    rlvr__buf_addf(b, "\"%s>", rest);
    rlvr__svg_text(b, text);
    rlvr__buf_addf(b, "</text>\n");
}

typedef struct rlvr__chart { rlvr__buf b; rlvr__axis x, y; } rlvr__chart;

static double rlvr__chart_x(const rlvr__chart *c, double x)
{
    return RLVR__SVG_LEFT + (x - c->x.low) / (c->x.high - c->x.low) * RLVR__SVG_WIDTH;
}

static double rlvr__chart_y(const rlvr__chart *c, double y)
{
    return RLVR__SVG_TOP + (c->y.high - y) / (c->y.high - c->y.low) * RLVR__SVG_HEIGHT;
}

static bool rlvr__chart_has(const rlvr_series *s, int i)      /* a point that can be drawn; else the line has a gap */
{
    if (i < 0 || i >= s->n || !rlvr__finite(s->x[i]) || !rlvr__finite(s->y[i])) return false;
    return fabs(s->x[i]) < 1e300 && fabs(s->y[i]) < 1e300;
}

/* Steps between ticks on both axes, from the range of all points. A range that comes near 0 starts there. */
static void rlvr__chart_range(rlvr__chart *c, const rlvr_series *series, int n_series)
{
    double x[2] = {1, 0}, y[2] = {1, 0};
    bool any = false;
    for (int s = 0; s < n_series; s++)
        for (int i = 0; i < series[s].n; i++) {
            if (!rlvr__chart_has(&series[s], i)) continue;
            double px = series[s].x[i], py = series[s].y[i];
            x[0] = any ? RLVR__MIN(x[0], px) : px;
            x[1] = any ? RLVR__MAX(x[1], px) : px;
            y[0] = any ? RLVR__MIN(y[0], py) : py;
            y[1] = any ? RLVR__MAX(y[1], py) : py;
            any = true;
        }
    if (any && x[0] > 0 && x[0] < 0.1 * x[1]) x[0] = 0;
    if (any && y[0] > 0 && y[0] < 0.5 * y[1]) y[0] = 0;
    c->x = rlvr__axis_of(x[0], x[1], false);
    c->y = rlvr__axis_of(y[0], y[1], true);
}

static void rlvr__chart_frame(rlvr__chart *c, const char *x_label, const char *y_label)
{
    rlvr__buf *b = &c->b;
    double bottom = RLVR__SVG_TOP + RLVR__SVG_HEIGHT, right = RLVR__SVG_LEFT + RLVR__SVG_WIDTH;
    for (int64_t k = c->y.first; k <= c->y.last; k++) {
        double y = RLVR__SVG_TOP + (double)(c->y.last - k) / (double)(c->y.last - c->y.first) * RLVR__SVG_HEIGHT;
        rlvr__svg_number(b, k == c->y.first ? "<path class=\"axis\" d=\"M" : "<path class=\"grid\" d=\"M", RLVR__SVG_LEFT);
        rlvr__svg_number(b, " ", y);
        rlvr__svg_number(b, "H", right);
        rlvr__svg_number(b, "\"/>\n<text class=\"tick\" text-anchor=\"end\" x=\"", RLVR__SVG_LEFT - 10);
        rlvr__svg_number(b, "\" y=\"", y + 4);
        rlvr__buf_addf(b, "\">");
        rlvr__svg_tick(b, &c->y, k);
        rlvr__buf_addf(b, "</text>\n");
    }
    for (int64_t k = c->x.first; k <= c->x.last; k++) {
        double x = rlvr__chart_x(c, (double)k * c->x.mantissa * pow(10, c->x.exponent));
        rlvr__svg_number(b, "<path class=\"axis\" d=\"M", x);
        rlvr__svg_number(b, " ", bottom);
        rlvr__svg_number(b, "v5\"/>\n<text class=\"tick\" text-anchor=\"middle\" x=\"", x);
        rlvr__svg_number(b, "\" y=\"", bottom + 20);
        rlvr__buf_addf(b, "\">");
        rlvr__svg_tick(b, &c->x, k);
        rlvr__buf_addf(b, "</text>\n");
    }
    rlvr__svg_label(b, RLVR__SVG_LEFT + RLVR__SVG_WIDTH / 2.0, bottom + 44, " class=\"name\" text-anchor=\"middle\"",
                    x_label);
    rlvr__svg_label(b, -(RLVR__SVG_TOP + RLVR__SVG_HEIGHT / 2.0), 20,
                    " class=\"name\" text-anchor=\"middle\" transform=\"rotate(-90)\"", y_label);
}

/* Eight colours that also the colour-blind tell apart (Okabe and Ito, the yellow replaced), then the same dashed. */
static void rlvr__chart_style(rlvr__buf *b, int s)
{
    static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                          "#e69f00", "#56b4e9", "#4d4d4d", "#8c564b"};
    static const char *const dashes[] = {"", " stroke-dasharray=\"7 5\"", " stroke-dasharray=\"1 5\""};
    rlvr__buf_addf(b, " stroke=\"%s\"%s", colours[s % 8], dashes[s / 8 % 3]);
}

static void rlvr__chart_line(rlvr__chart *c, const rlvr_series *s, int number)
{
    rlvr__buf *b = &c->b;
    rlvr__buf_addf(b, "<path class=\"line\"");
    rlvr__chart_style(b, number);
    rlvr__buf_addf(b, " d=\"");
    for (int i = 0; i < s->n; i++) {
        if (!rlvr__chart_has(s, i)) continue;
        bool joined = rlvr__chart_has(s, i - 1);
        rlvr__svg_number(b, joined ? "L" : "M", rlvr__chart_x(c, s->x[i]));
        rlvr__svg_number(b, " ", rlvr__chart_y(c, s->y[i]));
        if (!joined && !rlvr__chart_has(s, i + 1))      /* alone: a dot */
            rlvr__buf_addf(b, "m-1.5 0a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0 -3 0");
    }
    rlvr__buf_addf(b, "\"/>\n");
}

static void rlvr__chart_names(rlvr__chart *c, const rlvr_series *series, int n_series)
{
    double x = RLVR__SVG_LEFT + RLVR__SVG_WIDTH + 24;
    for (int s = 0; s < n_series && n_series > 1; s++) {
        double y = RLVR__SVG_TOP + 10 + RLVR__SVG_KEY * s;
        rlvr__buf_addf(&c->b, "<path class=\"line\"");
        rlvr__chart_style(&c->b, s);
        rlvr__svg_number(&c->b, " d=\"M", x);
        rlvr__svg_number(&c->b, " ", y);
        rlvr__buf_addf(&c->b, "h26\"/>\n");
        rlvr__svg_label(&c->b, x + 36, y + 4, " class=\"key\"", series[s].name);
    }
}

static void rlvr__chart_draw(rlvr__chart *c, const char *title, const char *x_label, const char *y_label,
                             const rlvr_series *series, int n_series)
{
    rlvr__buf *b = &c->b;
    size_t longest = 0;
    for (int s = 0; s < n_series && n_series > 1; s++)
        if (series[s].name) longest = RLVR__MAX(longest, strlen(series[s].name));
    int width = RLVR__SVG_LEFT + RLVR__SVG_WIDTH + 24 + (longest ? 52 + (int)RLVR__MIN(longest, (size_t)60) * 8 : 0);
    int height = RLVR__SVG_TOP + RLVR__SVG_HEIGHT + RLVR__SVG_BOTTOM;
    if (n_series > 1) height = RLVR__MAX(height, RLVR__SVG_TOP + RLVR__SVG_KEY * (n_series + 1));
    rlvr__buf_addf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
                      "role=\"img\">\n<title>", width, height, width, height);
    rlvr__svg_text(b, title);
    rlvr__buf_addf(b, "</title>\n<style>\n"
                      "text{font-family:system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,sans-serif;fill:#333}\n"
                      ".title{font-size:17px;font-weight:600;fill:#111}.name{font-size:13px}.key{font-size:13px}\n"
                      ".tick{font-size:12px;fill:#666}.grid{stroke:#e6e6e6;fill:none}.axis{stroke:#888;fill:none}\n"
                      ".line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}\n"
                      "</style>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height);
    rlvr__svg_label(b, RLVR__SVG_LEFT, 32, " class=\"title\"", title);
    rlvr__chart_range(c, series, n_series);
    rlvr__chart_frame(c, x_label, y_label);
    for (int s = n_series - 1; s >= 0; s--) rlvr__chart_line(c, &series[s], s);      /* the first lies on top */
    rlvr__chart_names(c, series, n_series);
    rlvr__buf_addf(b, "</svg>\n");
}

/* A value that is not finite is a gap in its line. */
rlvr_result rlvr_write_svg(rlvr_ctx *ctx, const char *path, const char *title, const char *x_label, const char *y_label,
                           const rlvr_series *series, int n_series)
{
    rlvr__chart c;
    rlvr__writer w;
    memset(&c, 0, sizeof c);
    c.b.ctx = ctx;
    if (!path || n_series < 0 || n_series > 1000 || (n_series && !series))
        return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_write_svg: no path, or %d series", n_series);
    for (int s = 0; s < n_series; s++)
        if (series[s].n < 0 || (series[s].n && (!series[s].x || !series[s].y)))
            return rlvr__fail(ctx, RLVR_ERROR_ARGUMENT, "rlvr_write_svg: %s: series %d has %d points and no x or y", path, s,
                              series[s].n);
    rlvr__chart_draw(&c, title, x_label, y_label, series, n_series);
    rlvr_result r = c.b.failed ? RLVR_ERROR_MEMORY : rlvr__writer_open(ctx, &w, path);
    if (r == RLVR_OK) {
        rlvr__write(&w, c.b.data, c.b.len);
        r = rlvr__writer_close(&w);
    }
    rlvr__buf_free(&c.b);
    return r;
}
#endif /* !RLVR__KERNEL_PASS */
#endif /* RLVR_IMPLEMENTATION */

/* ============================================================================================
   LICENSE                                                                          >>license
   ============================================================================================
   This software is available under 2 licenses -- choose whichever you prefer.
   --------------------------------------------------------------------------------------------
   ALTERNATIVE A - MIT License
   Copyright (c) 2026 the rlvr.h authors
   Permission is hereby granted, free of charge, to any person obtaining a copy of this software
   and associated documentation files (the "Software"), to deal in the Software without
   restriction, including without limitation the rights to use, copy, modify, merge, publish,
   distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
   Software is furnished to do so, subject to the following conditions:
   The above copyright notice and this permission notice shall be included in all copies or
   substantial portions of the Software.
   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
   BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
   DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
   --------------------------------------------------------------------------------------------
   ALTERNATIVE B - Public Domain (www.unlicense.org)
   This is free and unencumbered software released into the public domain.
   Anyone is free to copy, modify, publish, use, compile, sell, or distribute this software,
   either in source code form or as a compiled binary, for any purpose, commercial or
   non-commercial, and by any means.
   In jurisdictions that recognize copyright laws, the author or authors of this software
   dedicate any and all copyright interest in the software to the public domain. We make this
   dedication for the benefit of the public at large and to the detriment of our heirs and
   successors. We intend this dedication to be an overt act of relinquishment in perpetuity of
   all present and future rights to this software under copyright law.
   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
   BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
   LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
   CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
   ============================================================================================ */
