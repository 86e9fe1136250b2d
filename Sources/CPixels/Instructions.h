// One body, compiled for each kind of instructions: FORMS(name, result, (parameters), (arguments)) makes `name` choose among
// compilations of `name_body`, which must be declared FORM_BODY.
#pragma once

#include "CPixels.h"

#define FORM_BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt")))

#define FORMS(name, result, parameters, arguments)                            \
  static result name##_portable parameters { return name##_body arguments; }  \
  AVX2 static result name##_avx2 parameters { return name##_body arguments; } \
  AVX512 static result name##_avx512 parameters { return name##_body arguments; } \
  static result name parameters {                                             \
    switch (cpixels_instructions()) {                                         \
      case CPIXELS_AVX512: return name##_avx512 arguments;                    \
      case CPIXELS_AVX2: return name##_avx2 arguments;                        \
      default: return name##_portable arguments;                              \
    }                                                                         \
  }
#else
#define FORMS(name, result, parameters, arguments) \
  static result name parameters { return name##_body arguments; }
#endif
