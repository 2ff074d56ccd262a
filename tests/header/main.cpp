// A C++ file of the same program.
#include "rlvr.h"
#include "rlvr.h"
#include <cstring>

extern "C" const char *user_text(void);

int main()
{
    rlvr_desc desc{};
    desc.n_threads = 2;
    rlvr_ctx *ctx = rlvr_open(&desc);
    bool ok = ctx && std::strcmp(user_text(), rlvr_result_text(RLVR_REWARD_ERROR)) == 0 && std::strstr(rlvr_describe(ctx), "2 threads");
    rlvr_close(ctx);
    return ok ? 0 : 1;
}
