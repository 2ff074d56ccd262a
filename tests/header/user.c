/* A file that includes the declarations alone, as strict C99. */
#include "rlvr.h"

const char *user_text(void);
const char *user_text(void) { return rlvr_result_text(RLVR_REWARD_ERROR); }
