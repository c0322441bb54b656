/* fib(n) by naive recursion, both calls kept: calls. */
#include "run.h"

__attribute__((noinline, disable_tail_calls)) static u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

RUN(n) { return fib(n); }
