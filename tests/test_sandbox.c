/* Section 15.9 and 15.10: right and wrong programs, programs that attack the sandbox, external commands as verifiers; as root
   and as a plain user, with namespaces and without. */
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "work.h"
#include "rlvr.h"
#include "test.h"

#ifdef RLVR__SANDBOX
#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static rlvr_ctx *ctx;
static char canary_path[64], secret_in_memory[64] = "the trainer's weights";
static int trainer_pid, port;
static bool quick;

static void silent(void *user, rlvr_log_level level, const char *text) { (void)user; (void)level; (void)text; }

static rlvr_ctx *open_context(int off)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.log_fn = silent;
    rlvr_ctx *c = rlvr_open(&d);
    if (c) {
        rlvr__sandbox *s = rlvr__sandbox_open(c);
        if (s) s->box->off = off;
    }
    return c;
}

static rlvr_grade_result grade(rlvr_reward_kind kind, const char *json, const char *completion, const char *options)
{
    rlvr_reward_desc d;
    rlvr_task task;
    rlvr_grade_result g;
    memset(&d, 0, sizeof d);
    memset(&task, 0, sizeof task);
    d.kind = kind;
    d.options = options;
    task.json = json;
    memset(&g, 0, sizeof g);
    rlvr_result r = rlvr_grade_task(ctx, &d, completion, strlen(completion), &task, &g);
    CHECK((r == RLVR_OK) == !rlvr__status_is_error(g.status));
    return g;
}

static void put(rlvr__buf *b, const char *key, const char *value)
{
    rlvr__buf_addf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
    rlvr__json_put_string(b, value, strlen(value));
}

/* Grades a Python function; timeout in seconds. */
static rlvr_grade_result code(const char *program, const char *tests, const char *entry, const char *more)
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__buf_add(&b, "{", 1);
    put(&b, "program", program);
    put(&b, "tests", tests);
    if (entry) put(&b, "entry", entry);
    rlvr__buf_addf(&b, "%s}", more);
    rlvr_grade_result g = grade(RLVR_REWARD_CODE, b.data, "", NULL);
    rlvr__buf_free(&b);
    return g;
}

static rlvr_grade_result stdio_case(const char *lang, const char *program, const char *in, const char *out, const char *more)
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__buf_add(&b, "{", 1);
    put(&b, "lang", lang);
    put(&b, "program", program);
    rlvr__buf_addf(&b, ",\"cases\":[{");
    rlvr__buf_addf(&b, "\"in\":");
    rlvr__json_put_string(&b, in, strlen(in));
    put(&b, "out", out);
    rlvr__buf_addf(&b, "}]%s}", more);
    rlvr_grade_result g = grade(RLVR_REWARD_STDIO, b.data, "", NULL);
    rlvr__buf_free(&b);
    return g;
}

static bool is(rlvr_grade_result g, rlvr_status status, float reward)
{
    bool ok = g.status == status && fabsf(g.reward - reward) < 1e-6f;
    if (!ok) printf("    %s %g: %s\n", rlvr_status_text(g.status), (double)g.reward, g.reason);
    return ok;
}
#define RIGHT(g) CHECK(is((g), RLVR_STATUS_EQUAL, 1))
#define WRONG(g) CHECK(is((g), RLVR_STATUS_UNEQUAL, 0))

/* ---- verdicts ---- */

static void test_code(void)
{
    const char *square = "def f(x):\n    return x * x\n";
    RIGHT(code(square, "assert f(2) == 4\nassert f(3) == 9", "f", ""));
    WRONG(code(square, "assert f(2) == 4\nassert f(3) == 8", "f", ""));
    RIGHT(code(square, "assert f(2) == 4", NULL, ""));
    RIGHT(code(square, "import math\nfor i in range(20):\n    assert math.isclose(f(i / 7), (i / 7) ** 2)\n", "f", ""));
    RIGHT(code("def add(a, b=1, *, c=2):\n    return a + b + c", "assert add(1) == 4 and add(1, 2, c=3) == 6", "add", ""));
    /* HumanEval's form */
    const char *check = "METADATA = {'author': 'x'}\n\ndef check(candidate):\n    assert candidate([1.0, 2.0, 3.9], 0.3) == False\n"
                        "    assert candidate([1.0, 2.8, 3.0], 0.3) == True\n";
    const char *close_elements = "from typing import List\n\ndef has_close(numbers: List[float], threshold: float) -> bool:\n"
                                 "    s = sorted(numbers)\n    return any(b - a < threshold for a, b in zip(s, s[1:]))\n";
    RIGHT(code(close_elements, check, "has_close", ""));
    WRONG(code("def has_close(numbers, threshold):\n    return True", check, "has_close", ""));
    CHECK(is(code(close_elements, check, NULL, ""), RLVR_STATUS_BAD_GOLD, 0));
    /* plain data of every type, there and back */
    RIGHT(code("def f(x):\n    return x", "for x in [None, True, 0, -1, 1 << 200, -(1 << 200), 0.1, float('inf'), 1e-300, 2j, '', 'a\\u20ac\\ud800',"
               "b'\\x00\\xff', [], [1, [2]], (), (1,), {}, {'a': (1, 2)}, set(), {1, 2}, frozenset([3]), range(1, 9, 2)]:\n"
               "    y = f(x)\n    assert y == x and type(y) is type(x), x\nassert f(float('nan')) != f(float('nan'))\nassert str(f(-0.0)) == '-0.0'", "f", ""));
    RIGHT(code("import collections\ndef f(x):\n    return collections.Counter(x)", "assert f('aab') == {'a': 2, 'b': 1}", "f", ""));
    RIGHT(code("def f(n):\n    for i in range(n):\n        yield i", "assert list(f(3)) == [0, 1, 2]", "f", ""));
    RIGHT(code("class Solution:\n    def __init__(self):\n        self.n = 3\n    def add(self, a, b):\n        return a + b + self.n",
               "s = Solution()\nassert s.add(1, 2) == 6\nassert s.n == 3", NULL, ""));
    RIGHT(code("def f(x):\n    raise ValueError('no')", "try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'no'", "f", ""));
    WRONG(code("def f(x):\n    raise KeyError('no')", "try:\n    f(1)\nexcept ValueError:\n    pass", "f", ""));
    WRONG(code("def g(x):\n    return x", "assert f(1) == 1", "f", ""));
    WRONG(code("def f(x):\n  return x\n )", "assert f(1) == 1", "f", ""));
    WRONG(code("def f(x):\n    return x", "assert f(1) == 2 or f(1).real == 3", "f", ""));
    RIGHT(code("import threading\ndef f(x):\n    r = []\n    t = threading.Thread(target=lambda: r.append(x))\n    t.start()\n    t.join()\n    return r[0]",
               "assert f(5) == 5", "f", ""));
    RIGHT(code("import asyncio\nasync def g(x):\n    await asyncio.sleep(0)\n    return x\ndef f(x):\n    return asyncio.run(g(x))",
               "assert f(5) == 5", "f", ""));
    /* the task's own faults are errors */
    CHECK(is(code(square, "assert f(2) ==", "f", ""), RLVR_STATUS_BAD_GOLD, 0));
    CHECK(is(code(square, "assert True", "f", ""), RLVR_STATUS_BAD_GOLD, 0));
    CHECK(is(code(square, "import no_such_module\nassert f(2) == 4", "f", ""), RLVR_STATUS_ERROR, 0));
    CHECK(is(code(square, "f(2)\nraise SystemExit", "f", ""), RLVR_STATUS_BAD_GOLD, 0));
    CHECK(is(code(square, "assert f(lambda: 1) == 4", "f", ""), RLVR_STATUS_BAD_GOLD, 0));
    CHECK(is(code(square, "assert f(2) == 4", "f", ",\"timeout\":-1"), RLVR_STATUS_BAD_GOLD, 0));
    CHECK(is(code(" \n", "assert f(2) == 4", "f", ""), RLVR_STATUS_UNPARSED, 0));
    /* lists, shares */
    const char *list = "{\"program\":\"def f(x):\\n    return abs(x)\",\"tests\":[\"assert f(1) == 1\",\"assert f(-1) == -1\",\"assert f(-2) == 2\"],\"entry\":\"f\"";
    char text[512];
    snprintf(text, sizeof text, "%s}", list);
    WRONG(grade(RLVR_REWARD_CODE, text, "", NULL));
    snprintf(text, sizeof text, "%s,\"partial\":true}", list);
    CHECK(is(grade(RLVR_REWARD_CODE, text, "", NULL), RLVR_STATUS_PARTIAL, 2.0f / 3));
    /* out of a completion */
    const char *task = "{\"tests\":\"assert f(2) == 4\",\"entry\":\"f\"}";
    RIGHT(grade(RLVR_REWARD_CODE, task, "First try:\n```python\ndef f(x): return 0\n```\nNo:\n  ```Py\ndef f(x): return 4\n```\nDone.", NULL));
    WRONG(grade(RLVR_REWARD_CODE, task, "```python\ndef f(x): return 4\n```\nBetter:\n```python\ndef f(x): return 0\n```\n", NULL));
    RIGHT(grade(RLVR_REWARD_CODE, task, "```\ndef f(x): return 4\n```\n", NULL));
    RIGHT(grade(RLVR_REWARD_CODE, task, "def f(x): return 4\n", NULL));
    WRONG(grade(RLVR_REWARD_CODE, task, "The answer is 4.", NULL));
    CHECK(is(grade(RLVR_REWARD_CODE, task, "", NULL), RLVR_STATUS_UNPARSED, 0));
    CHECK(is(grade(RLVR_REWARD_CODE, "{\"entry\":\"f\"}", "x", NULL), RLVR_STATUS_BAD_GOLD, 0));
    CHECK(is(grade(RLVR_REWARD_CODE, task, "def f(x): return 4\n", "{\"python\":\"/no/python\"}"), RLVR_STATUS_ERROR, 0));
}

static bool have(const char *const *names)
{
    char path[512];
    if (rlvr__find_program(path, sizeof path, NULL, names)) return true;
    printf("    skipped: %s is not installed\n", names[0]);
    return false;
}

static void test_stdio(void)
{
    RIGHT(stdio_case("python", "n = int(input())\nprint(n * 2)", "21\n", "42\n", ""));
    WRONG(stdio_case("python", "n = int(input())\nprint(n * 3)", "21\n", "42\n", ""));
    WRONG(stdio_case("python", "print(42)\nraise ValueError", "", "42\n", ""));
    RIGHT(stdio_case("python", "print(42)\nexit(0)", "", "42\n", ""));
    RIGHT(stdio_case("python", "import sys\nd = sys.stdin.read()\nprint(len(d))", "0123456789", "10", ""));
    RIGHT(stdio_case("python", "print(1, 2,\n3)", "", " 1\n2 3\n\n", ""));
    WRONG(stdio_case("python", "print(1, 2)", "", "1\n2\n", ",\"compare\":\"exact\""));
    RIGHT(stdio_case("python", "print(1, 2)", "", "1 2", ",\"compare\":\"exact\""));
    RIGHT(stdio_case("python", "print('x', 1/3)", "", "x 0.33333", ",\"compare\":\"float\",\"tolerance\":1e-4"));
    WRONG(stdio_case("python", "print('x', 1/3)", "", "x 0.33333", ",\"compare\":\"float\",\"tolerance\":1e-7"));
    WRONG(stdio_case("python", "print('nan')", "", "1", ",\"compare\":\"float\",\"tolerance\":1e8"));
    WRONG(stdio_case("python", "print('1.2.3')", "", "1.2", ",\"compare\":\"float\",\"tolerance\":1e8"));
    WRONG(stdio_case("python", "while True: pass", "", "1", ",\"timeout\":0.3"));
    RIGHT(stdio_case("sh", "read a b; echo $((a + b)) | cat", "3 4\n", "7", ""));
    RIGHT(stdio_case("sh", "sort -n | tail -n 1", "3\n14\n9\n", "14", ""));
    WRONG(stdio_case("sh", "echo 7; exit 3", "", "7", ""));
    CHECK(is(stdio_case("perl", "print 7", "", "7", ""), RLVR_STATUS_BAD_GOLD, 0));
    CHECK(is(stdio_case("sh", "", "", "7", ""), RLVR_STATUS_UNPARSED, 0));
    if (have(rlvr__languages[RLVR__LUA].programs)) {
        RIGHT(stdio_case("lua", "local n = io.read('n') print(n * 2)", "21", "42", ""));
        WRONG(stdio_case("lua", "local n = io.read('n') print(n * 3)", "21", "42", ""));
        WRONG(stdio_case("lua", "io.open('/tmp/../etc/passwd'):read('a') print(42)", "21", "42", ""));
    }
    if (have(rlvr__languages[RLVR__C].programs)) {
        RIGHT(stdio_case("c", "#include <math.h>\n#include <stdio.h>\nint main(void) { double x; scanf(\"%lf\", &x); printf(\"%.3f\\n\", sqrt(x)); }", "2", "1.414", ""));
        WRONG(stdio_case("c", "int main(void) { return 0; }", "", "1", ""));
        WRONG(stdio_case("c", "int main(void) { return", "", "1", ""));
    }
    const char *cases = "{\"program\":\"n = int(input())\\nprint(n * 2 if n < 3 else 0)\",\"cases\":[{\"in\":\"1\",\"out\":\"2\"},{\"in\":\"2\",\"out\":\"4\"},{\"in\":\"3\",\"out\":\"6\"}]%s}";
    char text[512];
    snprintf(text, sizeof text, cases, "");
    WRONG(grade(RLVR_REWARD_STDIO, text, "", NULL));
    snprintf(text, sizeof text, cases, ",\"partial\":true");
    CHECK(is(grade(RLVR_REWARD_STDIO, text, "", NULL), RLVR_STATUS_PARTIAL, 2.0f / 3));
    RIGHT(grade(RLVR_REWARD_STDIO, "{\"lang\":\"sh\",\"cases\":[{\"in\":\"\",\"out\":\"7\"}]}", "```bash\necho 7\n```", NULL));
}

/* ---- attacks: $SECRET is what the tests expect, $PID, $PORT and $CANARY are the trainer's ---- */

typedef struct attack { const char *name, *program, *more; } attack;
#define CTYPES "    import ctypes\n    c = ctypes.CDLL(None, use_errno=True)\n"
#define SLOW ",\"timeout\":0.25"

/* Each f(x) returns x + 1 where the attack has worked (the tests want that), something else where it has not. */
static const attack attacks[] = {
    {"fork", "import os\ndef f(x):\n    p = os.fork()\n    if p == 0: os._exit(0)\n    return x + 1", ""},
    {"fork bomb", "import os\ndef f(x):\n    while True:\n        try: os.fork()\n        except OSError: return 0", ""},
    {"vfork by ctypes", "def f(x):\n" CTYPES "    return x + 1 if c.syscall(58) >= 0 else 0", ""},
    {"subprocess", "import subprocess\ndef f(x):\n    subprocess.run(['/bin/true'])\n    return x + 1", ""},
    {"os.system", "import os\ndef f(x):\n    return x + 1 if os.system('true') == 0 else 0", ""},
    {"multiprocessing", "import multiprocessing as m\ndef f(x):\n    p = m.Process(target=print)\n    p.start()\n    p.join()\n    return x + 1", ""},
    {"exec of a shell", "import os\ndef f(x):\n    os.execv('/bin/sh', ['sh', '-c', 'echo passed; echo passed >&4'])", ""},
    {"memory bomb", "def f(x):\n    a = bytearray(4 << 30)\n    return x + 1", ""},
    {"memory bomb by pieces", "def f(x):\n    a = []\n    for i in range(1 << 12): a.append(bytearray(1 << 20))\n    return x + 1", ""},
    {"shared memory", "import mmap\ndef f(x):\n    a = [mmap.mmap(-1, 1 << 26) for i in range(64)]\n    return x + 1", ""},
    {"memfd", "import os\ndef f(x):\n    os.memfd_create('a')\n    return x + 1", ""},
    {"infinite output", "def f(x):\n    while True: print('passed' * 1000)", SLOW},
    {"infinite output into the protocol", "import os\ndef f(x):\n    while True: os.write(4, b'x' * 4096)", SLOW},
    {"infinite output at import", "import os\nwhile True: os.write(4, b'x' * 4096)", SLOW},
    {"endless answer", "import sys\ndef f(x):\n    n = sys._getframe(1).f_globals\n    import os\n    h = None\n    for i in range(9):\n"
     "        try: h = h or sys._getframe(i).f_locals.get('nonce')\n        except ValueError: pass\n    os.write(4, (h or b'0' * 16) + b'v7fffffff')\n    return x + 1", SLOW},
    {"symlink", "import os\ndef f(x):\n    os.symlink('/etc/passwd', '/tmp/a')\n    return x + 1 if 'root' in open('/tmp/a').read() else 0", ""},
    {"symlink to the canary", "import os\ndef f(x):\n    os.symlink('$CANARY', '/tmp/a')\n    open('/tmp/a', 'w').write('gone')\n    return x + 1", ""},
    {"hard link", "import os\ndef f(x):\n    os.link('$CANARY', '/tmp/a')\n    return x + 1", ""},
    {"/proc/self/mem", "def f(x):\n    open('/proc/self/mem', 'rb')\n    return x + 1", ""},
    {"/proc of the trainer", "def f(x):\n    open('/proc/$PID/mem', 'rb')\n    return x + 1", ""},
    {"/proc/1/environ", "def f(x):\n    return x + 1 if open('/proc/1/environ').read() is not None else 0", ""},
    {"/proc/self/fd", "import os\ndef f(x):\n    return x + 1 if os.listdir('/proc/self/fd') else 0", ""},
    {"/proc/self/root", "import os\ndef f(x):\n    return x + 1 if os.listdir('/proc/self/root/etc') else 0", ""},
    {"tcp", "import socket\ndef f(x):\n    s = socket.create_connection(('127.0.0.1', $PORT), 1)\n    return x + 1", ""},
    {"udp", "import socket\ndef f(x):\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n    s.sendto(b'x', ('127.0.0.1', $PORT))\n    return x + 1", ""},
    {"abstract unix socket", "import socket\ndef f(x):\n    s = socket.socket(socket.AF_UNIX)\n    s.connect('\\0rlvr-$PID')\n    return x + 1", ""},
    {"datagram pair with an address", "import socket\ndef f(x):\n    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n    a.sendto(b'x', '\\0rlvr-$PID')\n    return x + 1", ""},
    {"netlink", "import socket\ndef f(x):\n    s = socket.socket(16, socket.SOCK_RAW)\n    return x + 1", ""},
    {"ptrace the parent", "import os\ndef f(x):\n" CTYPES "    return x + 1 if c.ptrace(16, os.getppid(), 0, 0) == 0 else 0", ""},
    {"ptrace the trainer", "def f(x):\n" CTYPES "    return x + 1 if c.ptrace(0x4206, $PID, 0, 0) == 0 else 0", ""},
    {"process_vm_readv", "import os\ndef f(x):\n" CTYPES "    b = ctypes.create_string_buffer(8)\n    v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8)\n"
     "    return x + 1 if any(c.process_vm_readv(p, v, 1, v, 1, 0) > 0 for p in (os.getppid(), 1, $PID)) else 0", ""},
    {"kill the parent", "import os\ndef f(x):\n    os.kill(os.getppid(), 9)\n    return x + 1", ""},
    {"kill the trainer", "import os\ndef f(x):\n    os.kill($PID, 9)\n    return x + 1", ""},
    {"kill everyone", "import os\ndef f(x):\n    os.kill(-1, 9)\n    return x + 1", ""},
    {"kill the group", "import os\ndef f(x):\n    os.killpg(0, 19)\n    return x + 1", ""},
    {"tgkill", "def f(x):\n" CTYPES "    return x + 1 if c.syscall(234, $PID, $PID, 10) == 0 else 0", ""},
    {"signal by a descriptor's owner", "import fcntl\ndef f(x):\n    fcntl.fcntl(3, fcntl.F_SETOWN, $PID)\n    return x + 1", ""},
    {"the expected by gc", "import gc\ndef f(x):\n    for o in gc.get_objects():\n        if isinstance(o, dict):\n            for v in list(o.values()):\n"
     "                if isinstance(v, (str, bytes)) and ('assert' in str(v)) and 'x +' not in str(v) and 'program' not in str(v): return x + 1", ""},
    {"the expected by frames", "import sys\ndef f(x):\n    g = sys._getframe()\n    while g:\n        if 'tests' in g.f_locals or 'tests' in g.f_globals: return x + 1\n        g = g.f_back\n    return 0", ""},
    {"the tests' file", "import os, glob\ndef f(x):\n    for p in glob.glob('/tmp/**', recursive=True) + glob.glob('/dev/shm/*'):\n"
     "        if os.path.isfile(p) and 'assert' in open(p).read(): return x + 1\n    return 0", ""},
    {"os._exit(0) in the call", "import os\ndef f(x):\n    print('passed')\n    os._exit(0)", ""},
    {"os._exit(0) at import", "import os\nos._exit(0)\ndef f(x): return x + 2", ""},
    {"sys.exit in the call", "import sys\ndef f(x):\n    sys.exit(0)", ""},
    {"sys.exit at import", "import sys\ndef f(x): return x + 2\nsys.exit(0)", ""},
    {"SystemExit raised as a class", "def f(x):\n    raise SystemExit", ""},
    {"KeyboardInterrupt", "def f(x):\n    raise KeyboardInterrupt", ""},
    {"GeneratorExit", "def f(x):\n    raise GeneratorExit", ""},
    {"atexit", "import atexit, os\ndef f(x): return x + 2\natexit.register(lambda: os.write(4, b'passed'))\natexit.register(os._exit, 0)", ""},
    {"print passed", "def f(x):\n    import sys\n    print('passed', 'OK', '1 passed, 0 failed')\n    sys.stderr.write('OK')\n    return x + 2", ""},
    {"__eq__", "class A:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n    def __hash__(self): return 1\ndef f(x): return A()", ""},
    {"__eq__ of an int", "class A(int):\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n    __hash__ = int.__hash__\ndef f(x): return A(x + 2)", ""},
    {"__eq__ of a str", "class A(str):\n    def __eq__(self, o): return True\ndef f(x): return A('a')", ""},
    {"__bool__ and __class__", "class A:\n    def __bool__(self): return True\n    __class__ = property(lambda s: int)\n    def __index__(self): return 1\ndef f(x): return A()", ""},
    {"list of liars", "class A:\n    def __eq__(self, o): return True\ndef f(x): return [A(), {1: A()}]", ""},
    {"patched builtins", "import builtins\nbuiltins.AssertionError = Exception\nbuiltins.len = lambda *a: 0\nbuiltins.isinstance = lambda *a: True\nbuiltins.int = bool\ndef f(x): return x + 2", ""},
    {"patched json, math, os", "import math, os, time\nmath.isclose = lambda *a, **k: True\ntime.monotonic = lambda: 0\nos._exit = lambda c: None\ndef f(x): return x + 2", ""},
    {"patched driver", "import sys, os\ndef f(x):\n    g = sys._getframe()\n    while g:\n        if 'reply' in g.f_locals:\n            n = g.f_locals['nonce']\n"
     "            for k in b'VveSERYK': os.write(4, n + bytes([k]) + b'00000000')\n        g = g.f_back\n    return x + 2", ""},
    {"forged verdict on every descriptor", "import os\ndef f(x):\n    for d in range(64):\n        try: os.write(d, b'Ve000000010000000100000000R')\n        except OSError: pass\n    return x + 2", ""},
    {"forged verdict at import", "import os\nfor d in range(64):\n    try: os.write(d, b'SVe000000010000000100000000ERR')\n    except OSError: pass\ndef f(x): return x + 2", ""},
    {"stdin theft", "import os\nfor d in (0, 3, 5, 6, 7):\n    try:\n        os.set_blocking(d, False)\n        os.read(d, 1 << 20)\n    except OSError: pass\ndef f(x): return x + 2", SLOW},
    {"pickled object", "class A:\n    def __reduce__(self): return (exec, ('import os; os._exit(0)',))\ndef f(x): return A()", ""},
    {"huge int", "def f(x):\n    return 1 << (1 << 28)", ""},
    {"huger int", "def f(x):\n    return 10 ** (10 ** 9)", SLOW},
    {"deep recursion", "import sys\nsys.setrecursionlimit(1 << 30)\ndef g(n): return g(n + 1) + 1\ndef f(x): return g(0)", SLOW},
    {"deep list", "def f(x):\n    a = []\n    for i in range(10 ** 5): a = [a]\n    return a", ""},
    {"list that holds itself", "def f(x):\n    a = []\n    a.append(a)\n    return a", ""},
    {"infinite generator", "def f(x):\n    while True: yield x", ""},
    {"generator that sleeps", "import time\ndef f(x):\n    while True:\n        time.sleep(1)\n        yield x", SLOW},
    {"long answer", "def f(x):\n    return 'a' * (64 << 20)", ""},
    {"closed descriptors", "import os\ndef f(x):\n    os.closerange(0, 64)\n    return x + 1", ""},
    {"descriptors exchanged", "import os\ndef f(x):\n    os.dup2(3, 4)\n    return x + 1", SLOW},
    {"nonblocking descriptors", "import os\nos.set_blocking(3, False)\nos.set_blocking(4, False)\ndef f(x): return x + 2", ""},
    {"chdir up", "import os\ndef f(x):\n    for i in range(30): os.chdir('..')\n    return x + 1 if os.path.exists('etc/passwd') and open('etc/passwd').read() else 0", ""},
    {"chroot", "import os\ndef f(x):\n    os.mkdir('/tmp/r')\n    os.chroot('/tmp/r')\n    return x + 1", ""},
    {"mount", "def f(x):\n" CTYPES "    return x + 1 if c.mount(b'proc', b'/tmp', b'proc', 0, None) == 0 else 0", ""},
    {"unshare", "def f(x):\n" CTYPES "    return x + 1 if c.unshare(0x10000000) == 0 else 0", ""},
    {"setns, bpf, keyctl, io_uring, userfaultfd, perf", "def f(x):\n" CTYPES
     "    return x + 1 if any(c.syscall(n, 0, 0, 0, 0, 0) >= 0 for n in (308, 321, 250, 425, 323, 298, 304, 272, 435, 424, 434, 438)) else 0", ""},
    {"setuid", "import os\ndef f(x):\n    os.setuid(0)\n    return x + 1", ""},
    {"rlimit raised", "import resource as r\ndef f(x):\n    r.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))\n    return x + 1", ""},
    {"rlimit of the trainer", "import resource as r\ndef f(x):\n    r.prlimit($PID, r.RLIMIT_CPU, (1, 1))\n    return x + 1", ""},
    {"nice and affinity", "import os\ndef f(x):\n    os.sched_setaffinity($PID, [0])\n    return x + 1", ""},
    {"sleep", "import time\ndef f(x):\n    time.sleep(1000)\n    return x + 1", SLOW},
    {"busy loop", "def f(x):\n    while True: pass", SLOW},
    {"SIGSTOP to itself", "import os, signal\ndef f(x):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    return x + 1", ""},
    {"ignored alarm", "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\ndef f(x):\n    while True: pass", SLOW},
    {"disk filled", "import os\ndef f(x):\n    n = 0\n    for i in range(64):\n        d = os.open('/tmp/%d' % i, os.O_CREAT | os.O_RDWR)\n        for k in range(15): n += os.write(d, b'x' * (1 << 20))\n        os.close(d)\n"
     "    return x + 1 if n > 20 << 20 else 0", ""},
    {"inodes filled", "import os\ndef f(x):\n    for i in range(5000): os.mkdir('/tmp/d%d' % i)\n    return x + 1", ""},
    {"folder that cannot be listed", "import os\ndef f(x):\n    os.makedirs('/tmp/a/b/c')\n    open('/tmp/a/b/c/d', 'w').close()\n    os.umask(0o777)\n    os.mkdir('/tmp/e')\n    return x + 2", ""},
    {"something left in /tmp", "import os\ndef f(x):\n    if os.path.exists('/tmp/left'): return x + 1\n    open('/tmp/left', 'w').write('x')\n    return 0", ""},
    {"something found in /tmp", "import os\ndef f(x):\n    return x + 1 if os.listdir('/tmp') else 0", ""},
    {"/etc/passwd", "def f(x):\n    return x + 1 if open('/etc/passwd').read() else 0", ""},
    {"the canary read", "def f(x):\n    return x + 1 if open('$CANARY').read() else 0", ""},
    {"the canary written", "def f(x):\n    open('$CANARY', 'a').write('x')\n    return x + 1", ""},
    {"the canary truncated", "import os\ndef f(x):\n    os.truncate('$CANARY', 0)\n    return x + 1", ""},
    {"the canary removed", "import os\ndef f(x):\n    os.unlink('$CANARY')\n    return x + 1", ""},
    {"the canary's mode", "import os\ndef f(x):\n    os.chmod('$CANARY', 0)\n    return x + 1", ""},
    {"the canary's time", "import os\ndef f(x):\n    os.utime('$CANARY', (1, 1))\n    return x + 1", ""},
    {"written under /usr", "def f(x):\n    open('/usr/lib/python3/x.py', 'w').write('x')\n    return x + 1", ""},
    {"device files", "import os\ndef f(x):\n    for p in ('/dev/kmsg', '/dev/mem', '/dev/tty', '/dev/vda', '/dev/sda'):\n        try: os.open(p, os.O_RDONLY)\n        except OSError: continue\n        return x + 1\n    return 0", ""},
    {"mknod", "import os\ndef f(x):\n    os.mknod('/tmp/n', 0o20666, 0x103)\n    return x + 1", ""},
    {"environment", "import os\ndef f(x):\n    return x + 1 if any('RLVR' in k for k in os.environ) else 0", ""},
    {"environment by ctypes", "def f(x):\n" CTYPES "    c.getenv.restype = ctypes.c_char_p\n    return x + 1 if c.getenv(b'RLVR_SECRET') else 0", ""},
    {"thread left behind", "import threading\ndef g():\n    while True: pass\nthreading.Thread(target=g).start()\ndef f(x): return x + 2", ""},
    {"trace of the driver", "import sys\ndef t(frame, event, arg):\n    if event == 'return' and frame.f_code.co_name == 'answer': frame.f_locals['x'] = 1\n    return t\nsys.settrace(t)\ndef f(x): return x + 2", ""},
    {"exception whose text never ends", "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(x): raise E", SLOW},
    {"exception named as a builtin", "class AssertionError(BaseException): pass\nAssertionError.__name__ = '__import__'\ndef f(x): raise AssertionError('os')", ""},
    {"ioctl on the pipes", "import fcntl\ndef f(x):\n    fcntl.ioctl(3, 0x5412, b'x')\n    return x + 1", ""},
    {"pipe grown", "import fcntl\ndef f(x):\n    fcntl.fcntl(4, 1031, 1 << 20)\n    return x + 1", ""},
    {"System V memory", "def f(x):\n" CTYPES "    return x + 1 if c.shmget(4711, 1 << 20, 0o1777) >= 0 else 0", ""},
    {"POSIX queue", "def f(x):\n" CTYPES "    return x + 1 if c.syscall(240, b'q', 0o102, 0o666, 0) >= 0 else 0", ""},
    {"inotify, fanotify, name_to_handle_at", "def f(x):\n" CTYPES "    return x + 1 if any(c.syscall(n, 0, 0, 0, 0, 0) >= 0 for n in (253, 294, 300, 303)) else 0", ""},
    {"surrogates and NUL in names", "def f(x): raise type('A\\ud800\\0', (Exception,), {})('\\udfff')", ""},
};

typedef struct stdio_attack { const char *name, *lang, *program, *more; } stdio_attack;

/* Each prints 7, which is right, where it has worked. */
static const stdio_attack stdio_attacks[] = {
    {"sh: fork bomb", "sh", "f() { f | f & }; f; sleep 9; echo 7", SLOW},
    {"sh: daemon that holds the output", "sh", "(sleep 60 &) ; echo 8", ""},
    {"sh: daemon that prints later", "sh", "(sleep 0.2; echo 7) & exit 0", ""},
    {"sh: endless output", "sh", "yes 7", SLOW},
    {"sh: kill all", "sh", "kill -9 -1; kill -9 $PPID; kill -9 $PID && echo 7", ""},
    {"sh: passwd", "sh", "grep -q root /etc/passwd && echo 7", ""},
    {"sh: canary", "sh", "rm -f $CANARY; echo x > $CANARY && echo 7", ""},
    {"sh: the trainer's environment", "sh", "test -n \"$RLVR_SECRET\" && echo 7; cat /proc/1/environ && echo 7", ""},
    {"sh: new session", "sh", "setsid sleep 60 && echo 7", SLOW},
    {"sh: nohup", "sh", "nohup sleep 60 >/dev/null 2>&1 & exit 1", ""},
    {"sh: unshare, su, mount", "sh", "unshare -r true && echo 7; su -c true && echo 7; mount -t tmpfs x /tmp && echo 7", ""},
    {"python: socket", "python", "import socket\ns = socket.create_connection(('127.0.0.1', $PORT), 1)\nprint(7)", ""},
    {"python: fork", "python", "import os\nif os.fork() == 0:\n    print(7)\n", ""},
    {"python: expected output searched for", "python", "import os\nfor p in os.listdir('/proc'): print(7); break", ""},
    {"python: closes its output and stays", "python", "import os, time\nprint(7, flush=True)\nos.close(1)\ntime.sleep(60)", SLOW},
    {"c: ptrace, socket, signals", "c", "#include <signal.h>\n#include <stdio.h>\n#include <sys/ptrace.h>\n#include <sys/socket.h>\nint main(void) {\n"
     "    if (ptrace(PTRACE_SEIZE, $PID, 0, 0) == 0 || socket(AF_INET, SOCK_STREAM, 0) >= 0 || kill($PID, SIGKILL) == 0) puts(\"7\");\n}", ""},
    {"c: fork", "c", "#include <stdio.h>\n#include <unistd.h>\nint main(void) { int p = fork(); if (p > 0) puts(\"7\"); }", ""},
    {"c: memory", "c", "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { char *p = malloc(2ul << 30); if (p) { memset(p, 1, 2ul << 30); puts(\"7\"); } }", ""},
    {"c: endless recursion", "c", "#include <stdio.h>\nint f(volatile int *p) { volatile int a[99]; a[0] = *p; return f(a) + a[0]; }\nint main(void) { int a = 1; printf(\"7%d\", f(&a)); }", ""},
    {"c: includes the canary", "c", "#include <stdio.h>\nint main(void) { puts(\"7\"); }\n#include \"$CANARY\"\n", ""},
    {"c: incbin of passwd", "c", "#include <stdio.h>\n__asm__(\".incbin \\\"/etc/passwd\\\"\");\nint main(void) { puts(\"7\"); }", ""},
    {"c: endless compilation", "c", "#include __FILE__\n#define A(x) x x x x x x x x\nint main(void) { A(A(A(A(A(A(A(A(A(A(A(A(;)))))))))))) }", SLOW},
};

static char *fill_in(const char *program)      /* the names of the trainer */
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    for (const char *p = program; *p;) {
        if (!strncmp(p, "$PID", 4)) { rlvr__buf_addf(&b, "%d", trainer_pid); p += 4; }
        else if (!strncmp(p, "$PORT", 5)) { rlvr__buf_addf(&b, "%d", port); p += 5; }
        else if (!strncmp(p, "$CANARY", 7)) { rlvr__buf_addf(&b, "%s", canary_path); p += 7; }
        else rlvr__buf_add(&b, p++, 1);
    }
    return b.data;
}

static bool canary_well(void)
{
    rlvr__file f;
    struct stat st;
    if (stat(canary_path, &st) != 0 || (st.st_mode & 0777) != 0666 || st.st_mtime < 1000) return false;
    if (rlvr__file_open(ctx, canary_path, &f) != RLVR_OK) return false;
    bool ok = f.len == 6 && !memcmp(f.data, "canary", 6);
    rlvr__file_close(ctx, &f);
    return ok && !strcmp(secret_in_memory, "the trainer's weights");
}

static void test_attacks(const char *where)
{
    const char *tests = "for x in (41, 1234567, -3):\n    assert f(x) == x + 1\n", *right = "def f(x):\n    return x + 1\n";
    int n = (int)(sizeof attacks / sizeof attacks[0]), n_stdio = (int)(sizeof stdio_attacks / sizeof stdio_attacks[0]);
    int earned = 0, errors = 0, twins = 0, skipped = 0;
    char *last = NULL;
    bool gcc = have(rlvr__languages[RLVR__C].programs);
    for (int i = 0; i < n; i++) {
        char *program = fill_in(attacks[i].program);
        rlvr_grade_result g = code(program, tests, "f", attacks[i].more), twin = code(right, tests, "f", "");
        if (g.reward > 0) { earned++; printf("    attack \"%s\" earned %g\n", attacks[i].name, (double)g.reward); }
        if (g.status != RLVR_STATUS_UNEQUAL && g.reward <= 0) { errors++; printf("    attack \"%s\": %s: %s\n", attacks[i].name, rlvr_status_text(g.status), g.reason); }
        if (twin.status == RLVR_STATUS_EQUAL) twins++;
        else printf("    the right program after \"%s\": %s: %s\n", attacks[i].name, rlvr_status_text(twin.status), twin.reason);
        if (getenv("RLVR_TEST_VERBOSE")) printf("    %-40s %s\n", attacks[i].name, g.reason);
        rlvr__free(ctx, last);
        last = program;
    }
    rlvr__free(ctx, last);
    for (int i = 0; i < n_stdio; i++) {
        bool c = !strcmp(stdio_attacks[i].lang, "c");
        if (c && !gcc) { skipped++; continue; }
        char *program = fill_in(stdio_attacks[i].program);
        rlvr_grade_result g = stdio_case(stdio_attacks[i].lang, program, "", "7", stdio_attacks[i].more);
        rlvr_grade_result twin = stdio_case(c ? "sh" : stdio_attacks[i].lang, !strcmp(stdio_attacks[i].lang, "python") ? "print(7)" : "echo 7", "", "7", "");
        if (g.reward > 0) { earned++; printf("    attack \"%s\" earned %g\n", stdio_attacks[i].name, (double)g.reward); }
        if (g.status != RLVR_STATUS_UNEQUAL && g.reward <= 0) { errors++; printf("    attack \"%s\": %s: %s\n", stdio_attacks[i].name, rlvr_status_text(g.status), g.reason); }
        twins += twin.status == RLVR_STATUS_EQUAL;
        if (getenv("RLVR_TEST_VERBOSE")) printf("    %-40s %s\n", stdio_attacks[i].name, g.reason);
        rlvr__free(ctx, program);
    }
    CHECK(earned == 0);
    CHECK(errors == 0);
    CHECK(twins == n + n_stdio - skipped);
    CHECK(canary_well());
    REPORT("%s: %d attacks, %d earned something, %d were errors; %d of %d right twins earned 1", where, n + n_stdio - skipped, earned, errors,
           twins, n + n_stdio - skipped);
}

/* ---- many at once, time, commands, refusals ---- */

static void test_pending(void)
{
    enum { MANY = 64 };
    static rlvr__case cases[MANY];
    static rlvr_grade_result out[MANY];
    rlvr_reward_desc d[2];
    memset(d, 0, sizeof d);
    d[0].kind = RLVR_REWARD_CODE;
    d[1].kind = RLVR_REWARD_STDIO;
    int right = 0, pending = 0;
    rlvr__json *tasks[4];
    const char *text[4] = {"{\"program\":\"def f(x): return x\",\"tests\":\"assert f(1) == 1\"}", "{\"program\":\"print(1)\",\"cases\":[{\"in\":\"\",\"out\":\"1\"}]}",
                           "{\"program\":\"def f(x): return 0\",\"tests\":\"assert f(1) == 1\"}", "{\"program\":\"def f(x):\\n while 1: pass\",\"tests\":\"assert f(1) == 1\",\"timeout\":0.1}"};
    for (int k = 0; k < 4; k++) tasks[k] = rlvr__json_parse(ctx, "test", text[k], strlen(text[k]), 1);
    double start = rlvr__now();
    for (int i = 0; i < MANY; i++) {
        rlvr__case c = {ctx, &d[i % 4 == 1], tasks[i % 4], NULL, "", 0, NULL, 0, NULL, NULL, &out[i], NULL, NULL};
        cases[i] = c;
        rlvr__case_begin(&cases[i]);
        pending += out[i].status == RLVR_STATUS_PENDING;
    }
    for (int i = MANY - 1; i >= 0; i--) rlvr__case_wait(&cases[i]);
    for (int i = 0; i < MANY; i++) right += i % 4 < 2 ? out[i].status == RLVR_STATUS_EQUAL : out[i].status == RLVR_STATUS_UNEQUAL;
    CHECK(pending >= MANY - 4);
    CHECK(right == MANY);
    REPORT("%d verdicts at once, %d of them right: %.0f ms", MANY, right, 1e3 * (rlvr__now() - start));
    for (int k = 0; k < 4; k++) rlvr__json_free(ctx, tasks[k]);
}

static int bytes_in(int fd)
{
    int n = 0;
    return ioctl(fd, FIONREAD, &n) ? 0 : n;
}

/* The candidate's side says that its first fork waits after that fork may have run a program, and we may read it after the
   verdict: it must not count as the cleaning that follows. The side is held, so that it cannot clean: what the first program
   left behind is still there, and no other program may meet it. */
static void test_overtaken(void)
{
    rlvr_ctx *own = ctx;
    ctx = open_context(own->sandbox->box->off);
    const char *leaves = "{\"program\":\"import sys\\nsys.left = 1\\ndef f(): return hasattr(sys, 'left')\",\"tests\":\"assert f()\",\"timeout\":60}";
    const char *finds_none = "import sys\ndef f(): return not hasattr(sys, 'left')";
    rlvr__json *task = rlvr__json_parse(ctx, "test", leaves, strlen(leaves), 1);
    rlvr_reward_desc d;
    rlvr_grade_result g;
    memset(&d, 0, sizeof d);
    memset(&g, 0, sizeof g);
    d.kind = RLVR_REWARD_CODE;
    rlvr__case c = {ctx, &d, task, NULL, "", 0, NULL, 0, NULL, NULL, &g, NULL, NULL};
    rlvr__sandbox *s = ctx->sandbox;
    int n_workers = s->n_workers;
    s->n_workers = 0;      /* the job is queued alone; dispatched by hand, nothing of its pair is read before the verdict is there */
    rlvr__case_begin(&c);
    s->n_workers = n_workers;
    rlvr__job *j = s->first;
    s->first = s->last = NULL;
    rlvr__duo *p = &s->pairs[0];
    if (!CHECK(j && rlvr__sandbox_dispatch(s, j) && p->state == RLVR__DUO_BUSY)) return;
    for (int ms = 0; ms < 60000 && (bytes_in(p->from[0]) < 29 || bytes_in(p->from[1]) < 2); ms++) usleep(1000);
    CHECK(bytes_in(p->from[0]) >= 29 && bytes_in(p->from[1]) == 2);      /* Y, R, S and V with its 26 bytes; Y, R */
    int pid = p->pid[1];
    CHECK(kill(pid, SIGSTOP) == 0);
    rlvr__case_wait(&c);
    RIGHT(g);
    p->deadline = rlvr__now() + 60;
    while (p->state == RLVR__DUO_CLEANING && p->due[0]) rlvr__sandbox_pump(s, 1);
    p->deadline = rlvr__now() + 5;
    CHECK(p->state == RLVR__DUO_CLEANING && p->due[0] == 0 && p->due[1] == 1);
    RIGHT(code(finds_none, "assert f()", "f", ",\"timeout\":60"));
    if (p->pid[1] == pid) kill(pid, SIGCONT);
    while (p->state == RLVR__DUO_CLEANING) rlvr__sandbox_pump(s, 1);
    RIGHT(code(finds_none, "assert f()", "f", ",\"timeout\":60"));
    rlvr__json_free(ctx, task);
    rlvr_close(ctx);
    ctx = own;
    rlvr__duo owes;
    memset(&owes, 0, sizeof owes);
    owes.due[1] = 1;      /* an R that is not owed breaks the protocol */
    CHECK(rlvr__duo_message(&owes, 1, "R", 1) == 1 && rlvr__duo_message(&owes, 1, "R", 1) == -1 && rlvr__duo_message(&owes, 0, "R", 1) == -1);
}

static int by_value(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return x < y ? -1 : x > y; }

static void test_time(void)
{
    enum { COLD = 11, WARM = 100 };
    double t[WARM];
    rlvr_ctx *own = ctx;
    for (int i = 0; i < COLD; i++) {
        ctx = open_context(0);
        double start = rlvr__now();
        RIGHT(code("def f(x): return x * x", "assert f(3) == 9", "f", ""));
        t[i] = rlvr__now() - start;
        rlvr_close(ctx);
    }
    qsort(t, COLD, sizeof t[0], by_value);
    REPORT("verdict of a trivial Python function, cold: median %.1f ms, least %.1f ms", 1e3 * t[COLD / 2], 1e3 * t[0]);
    ctx = own;
    double began = rlvr__now();
    for (int i = 0; i < WARM; i++) RIGHT(code("def f(x): return x * x", "assert f(3) == 9", "f", ""));
    double each = (rlvr__now() - began) / WARM;
    for (int i = 0; i < WARM; i++) {
        usleep(5000);
        double start = rlvr__now();
        RIGHT(code("def f(x): return x * x", "assert f(3) == 9", "f", ""));
        t[i] = rlvr__now() - start;
    }
    qsort(t, WARM, sizeof t[0], by_value);
    REPORT("and from the warm pool: median %.2f ms, least %.2f ms, 90 %% within %.2f ms; one behind the other without a pause: %.2f ms each",
           1e3 * t[WARM / 2], 1e3 * t[0], 1e3 * t[WARM * 9 / 10], 1e3 * each);
}

#define COMMAND(body) COMMAND_FOR("60", body)
#define COMMAND_FOR(seconds, body) "{\"timeout\":" seconds ",\"command\":[\"/usr/bin/python3\",\"-c\",\"import sys, json, os, time\\nfor l in sys.stdin:\\n    j = json.loads(l)\\n" body "\"]}"
#define ANSWER "    print(json.dumps(a), flush=True)\\n"

static void test_process(void)
{
    const char *length = COMMAND("    a = {'id': j['id'], 'reward': len(j['completion']) / 10, 'reason': str(j['task'])}\\n" ANSWER);
    RIGHT(grade(RLVR_REWARD_PROCESS, "{\"a\":[1,\"x\",null,true,{}]}", "0123456789", length));
    rlvr_grade_result g = grade(RLVR_REWARD_PROCESS, "{\"a\":[1,\"x\",null,true,{}]}", "01234", length);
    CHECK(is(g, RLVR_STATUS_PARTIAL, 0.5f));
    CHECK_STR(g.reason, "{'a': [1, 'x', None, True, {}]}");
    WRONG(grade(RLVR_REWARD_PROCESS, "{}", "", length));
    CHECK(ctx->sandbox->commands->n_started == 1);
    const char *error = COMMAND("    a = {'id': j['id'], 'error': 'no'}\\n" ANSWER);
    g = grade(RLVR_REWARD_PROCESS, "{}", "x", error);
    CHECK(is(g, RLVR_STATUS_ERROR, 0));
    CHECK_STR(g.reason, "no");
    /* ends at every third request: asked again */
    const char *crash = COMMAND("    a = {'id': j['id'], 'reward': 1}\\n    if j['id'] % 3 == 0 and not os.path.exists('/tmp/rlvr-crash-%d' % os.getppid()):\\n"
                                "        open('/tmp/rlvr-crash-%d' % os.getppid(), 'w').close()\\n        os._exit(1)\\n" ANSWER);
    for (int i = 0; i < 7; i++) RIGHT(grade(RLVR_REWARD_PROCESS, "{}", "x", crash));
    char path[64];
    snprintf(path, sizeof path, "/tmp/rlvr-crash-%d", (int)getpid());
    CHECK(unlink(path) == 0);
    CHECK(is(grade(RLVR_REWARD_PROCESS, "{}", "x", COMMAND("    os._exit(1)\\n")), RLVR_STATUS_ERROR, 0));
    CHECK(is(grade(RLVR_REWARD_PROCESS, "{}", "x", COMMAND_FOR("1", "    print('hello', flush=True)\\n")), RLVR_STATUS_ERROR, 0));
    CHECK(is(grade(RLVR_REWARD_PROCESS, "{}", "x", COMMAND_FOR("1", "    time.sleep(9)\\n")), RLVR_STATUS_ERROR, 0));
    CHECK(is(grade(RLVR_REWARD_PROCESS, "{}", "x", COMMAND("    print('{\\\"id\\\":%d,\\\"reward\\\":1e39}' % j['id'], flush=True)\\n")), RLVR_STATUS_ERROR, 0));
    CHECK(is(grade(RLVR_REWARD_PROCESS, "{}", "x", "{\"command\":[\"/no/such/program\"]}"), RLVR_STATUS_ERROR, 0));
    CHECK(is(grade(RLVR_REWARD_PROCESS, "{\"command\":[\"/bin/true\"]}", "x", NULL), RLVR_STATUS_ERROR, 0));      /* never from a task */
    /* more than both pipes hold, answered out of order */
    enum { MANY = 100, BIG = 20000 };
    static rlvr__case cases[MANY];
    static rlvr_grade_result out[MANY];
    static char text[BIG];
    memset(text, 'x', sizeof text);
    rlvr_reward_desc d;
    memset(&d, 0, sizeof d);
    d.kind = RLVR_REWARD_PROCESS;
    const char *late = COMMAND("    a = {'id': j['id'], 'reward': 1 if len(j['completion']) == 20000 else 0, 'reason': 'y' * 2000}\\n" ANSWER);
    rlvr__json *options = rlvr__json_parse(ctx, "options", late, strlen(late), 1);
    int right = 0;
    for (int i = 0; i < MANY; i++) {
        rlvr__case c = {ctx, &d, NULL, options, text, sizeof text, NULL, 0, NULL, NULL, &out[i], NULL, NULL};
        cases[i] = c;
        rlvr__case_begin(&cases[i]);
    }
    for (int i = 0; i < MANY; i++) { rlvr__case_wait(&cases[i]); right += out[i].status == RLVR_STATUS_EQUAL; }
    CHECK(right == MANY);
    rlvr__json_free(ctx, options);
}

static void test_fuzz(void)      /* whatever a completion or an output is made of */
{
    static const char *const piece[] = {"```", "```python", "\n", " ", "x", "1", ".", "e", "-", "+", "\t```c", "````", "\0", "\xff", "1e9", "0.5", "~~~", "{"};
    uint64_t seed = 1;
    int n = quick ? 20000 : 200000;
    for (int i = 0; i < n; i++) {
        char text[2][96], *copy[2];
        size_t len[2] = {0, 0};
        for (int k = 0; k < 2; k++) {
            for (int m = (int)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 60); m > 0; m--) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                const char *s = piece[(seed >> 33) % (sizeof piece / sizeof piece[0])];
                size_t add = *s ? strlen(s) : 1;
                if (len[k] + add > sizeof text[k]) break;
                memcpy(text[k] + len[k], s, add);
                len[k] += add;
            }
            copy[k] = (char *)malloc(len[k] ? len[k] : 1);
            memcpy(copy[k], text[k], len[k]);
        }
        const char *out;
        size_t n_out;
        rlvr__code_block(copy[0], len[0], &rlvr__languages[i % 4], &out, &n_out);
        if (out < copy[0] || out + n_out > copy[0] + len[0]) CHECK(!"a block lies in its text");
        for (int compare = 0; compare < 3; compare++) {
            bool same = rlvr__stdio_equal(copy[0], len[0], copy[1], len[1], compare, 1e-6);
            if (same != rlvr__stdio_equal(copy[1], len[1], copy[0], len[0], compare, 1e-6) ||
                !rlvr__stdio_equal(copy[1], len[1], copy[1], len[1], compare, 0)) CHECK(!"equality is reflexive and symmetric");
        }
        free(copy[0]);
        free(copy[1]);
    }
    REPORT("%d random texts: code blocks and output comparison", n);
    size_t big = 1 << 19;
    double worst = 0;
    char *text = (char *)malloc(2 * big);
    for (int kind = 0; kind < 4; kind++) {
        static const char *const unit[] = {"```py\n", "`", "1.5 ", "\n\t"};
        for (size_t i = 0; i < 2 * big; i++) text[i] = unit[kind][i % strlen(unit[kind])];
        double work[2];
        for (int k = 0; k < 2; k++) {
            const char *out;
            size_t n_out;
            uint64_t before = test_work;
            rlvr__code_block(text, big << k, &rlvr__languages[0], &out, &n_out);
            CHECK(rlvr__stdio_equal(text, big << k, text, big << k, RLVR__BY_FLOAT, 1e-6));
            work[k] = (double)(test_work - before);
        }
        worst = fmax(worst, work[1] / work[0]);
    }
    free(text);
    CHECK_LE(worst, 2.3);
    REPORT("twice the input, 1 MiB: at most %.2f times the work", worst);
}

static void test_lacks(void)
{
    static const struct { rlvr_reward_kind kind; const char *json, *options, *field; } bad[] = {
        {RLVR_REWARD_CODE, "{\"prompt\":\"p\"}", NULL, "\"tests\""}, {RLVR_REWARD_CODE, "{\"tests\":[]}", NULL, "\"tests\""},
        {RLVR_REWARD_CODE, "{\"tests\":[1]}", NULL, "\"tests\""}, {RLVR_REWARD_CODE, "{\"tests\":\"assert f(1)\"}", NULL, NULL},
        {RLVR_REWARD_STDIO, "{\"cases\":[]}", NULL, "\"cases\""}, {RLVR_REWARD_STDIO, "{\"cases\":[{\"in\":\"\"}]}", NULL, "\"cases\""},
        {RLVR_REWARD_STDIO, "{\"cases\":[{\"in\":\"\",\"out\":\"\"}]}", NULL, NULL}, {RLVR_REWARD_PROCESS, "{\"command\":[\"x\"]}", NULL, "\"command\""},
        {RLVR_REWARD_PROCESS, "{}", "{\"command\":[\"x\"]}", NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rlvr_tasks *tasks = rlvr_tasks_new(ctx);
        rlvr_task task;
        rlvr_reward_desc d;
        memset(&task, 0, sizeof task);
        memset(&d, 0, sizeof d);
        task.prompt = "p";
        task.json = bad[i].json;
        task.line = 7;
        d.kind = bad[i].kind;
        d.options = bad[i].options;
        CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK);
        rlvr_result r = rlvr_reward_check(ctx, &d, tasks);
        CHECK((r == RLVR_OK) == !bad[i].field);
        if (bad[i].field) CHECK(strstr(rlvr_last_error(ctx), bad[i].field) && strstr(rlvr_last_error(ctx), "line 7"));
        rlvr_tasks_free(tasks);
    }
}

static void test_layers(void)      /* without a mandatory layer there is no run */
{
    static const struct { int off; bool runs; } layers[] = {
        {0, true}, {RLVR__NO_NAMESPACES, true}, {RLVR__NO_LANDLOCK, true}, {RLVR__NO_NAMESPACES | RLVR__NO_LANDLOCK, false}, {RLVR__NO_SECCOMP, false},
    };
    rlvr_ctx *own = ctx;
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        ctx = open_context(layers[i].off);
        bool can = layers[i].runs && (layers[i].off & RLVR__NO_NAMESPACES ? ctx->sandbox->box->landlock > 0 : true);
        rlvr_grade_result g = code("def f(x): return x", "assert f(1) == 1", NULL, ""), h = stdio_case("sh", "echo 1", "", "1", "");
        CHECK(is(g, can ? RLVR_STATUS_EQUAL : RLVR_STATUS_ERROR, can));
        CHECK(is(h, can ? RLVR_STATUS_EQUAL : RLVR_STATUS_ERROR, can));
        CHECK(can || strstr(g.reason, "the sandbox cannot be set up: "));
        if (!can) {
            const char *unsafe = "{\"program\":\"def f(x): return x\",\"tests\":\"assert f(1) == 1\",\"unsafe\":true}";
            CHECK(is(grade(RLVR_REWARD_CODE, unsafe, "", NULL), RLVR_STATUS_ERROR, 0));      /* a task cannot ask for it */
            RIGHT(grade(RLVR_REWARD_CODE, unsafe, "", "{\"unsafe\":true}"));
        }
        if (i == 0) REPORT("namespaces: %s%s; landlock version %d", ctx->sandbox->box->namespaces ? "yes" : "no, ", ctx->sandbox->box->namespaces_why,
                           ctx->sandbox->box->landlock);
        rlvr_close(ctx);
    }
    ctx = own;
}

static bool nobody_left(void)      /* no child lives; the dead ones of a killed group, whom nobody else buries, are buried here */
{
    int pid = 1;
    for (int i = 0; i < 200 && pid >= 0; i++) {
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {}
        if (pid == 0) usleep(5000);
    }
    return pid < 0 && errno == ECHILD;
}

static void body(const char *where, int off, bool first)
{
    ctx = open_context(off);
    if (first) { test_code(); test_stdio(); test_fuzz(); test_lacks(); test_layers(); test_process(); test_pending(); }
    test_overtaken();
    test_attacks(where);
    if (first && !quick) test_time();
    CHECK(canary_well());
    rlvr_close(ctx);
    CHECK(nobody_left());
}

static void as_plain_user(void (*run)(void))      /* what setpriv --reuid=65534 --regid=65534 --clear-groups does */
{
    int fd[2], count[2] = {0, 0}, status = 0;
    fflush(stdout);
    if (!CHECK(pipe(fd) == 0)) return;
    int pid = fork();
    if (pid == 0) {
        bool dropped = setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0;
        test_passed = test_failed = 0;
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);      /* an exec would do that; else /proc/self is root's */
        if (CHECK(dropped)) run();
        count[0] = test_passed;
        count[1] = test_failed;
        fflush(stdout);
        bool told = write(fd[1], count, sizeof count) == (ssize_t)sizeof count;
        _exit(told ? 0 : 1);
    }
    close(fd[1]);
    CHECK(read(fd[0], count, sizeof count) == (ssize_t)sizeof count);
    close(fd[0]);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    test_passed += count[0];
    test_failed += count[1];
}

static void plain(void)
{
    trainer_pid = getpid();
    body("plain user", 0, true);
    body("plain user, no namespaces", RLVR__NO_NAMESPACES, false);
}

int main(void)
{
    struct sockaddr_in in;
    struct sockaddr_un un;
    socklen_t n = sizeof in;
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    trainer_pid = getpid();
    setenv("RLVR_SECRET", "x", 1);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);      /* whoever escapes becomes a child of this process */
    snprintf(canary_path, sizeof canary_path, "/var/tmp/rlvr-canary-%d", trainer_pid);
    FILE *f = fopen(canary_path, "wb");
    if (!CHECK(f != NULL)) return test_done();
    fputs("canary", f);
    fclose(f);
    chmod(canary_path, 0666);
    int tcp = socket(AF_INET, SOCK_STREAM, 0), abstract = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&in, 0, sizeof in);
    memset(&un, 0, sizeof un);
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    un.sun_family = AF_UNIX;
    int len = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "rlvr-%d", trainer_pid);
    CHECK(bind(tcp, (struct sockaddr *)&in, sizeof in) == 0 && listen(tcp, 4) == 0 && getsockname(tcp, (struct sockaddr *)&in, &n) == 0);
    CHECK(bind(abstract, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0 && listen(abstract, 4) == 0);
    port = ntohs(in.sin_port);
    if (geteuid() == 0) {
        body("root", 0, true);
        if (!quick) body("root, no namespaces", RLVR__NO_NAMESPACES, false);
        as_plain_user(plain);
    } else plain();
    fcntl(tcp, F_SETFL, O_NONBLOCK);
    fcntl(abstract, F_SETFL, O_NONBLOCK);
    CHECK(accept(tcp, NULL, NULL) < 0 && accept(abstract, NULL, NULL) < 0);      /* nobody came */
    close(tcp);
    close(abstract);
    unlink(canary_path);
    return test_done();
}
#else
int main(void) { printf("    skipped: the sandbox is for Linux on x86-64 and aarch64\n"); return test_done(); }
#endif
