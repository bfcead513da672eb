/* quantise_fit_avx2.c - the same steps, compiled for AVX2. */
#define FIT nx_fit_avx2
#include "num/quantise_fit_body.h"
