/* The one file of a program that holds the library. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
