// Options of SNDL (methods.md §7).
#pragma once
#include "engine/core/config.h"

namespace swath {

struct SndlOptions {
  float nca = 1;
  float bce = 1;

  template <class V>
  void fields(V& v) {
    v("nca", nca, "weight of NCA against the memory bank", Range{0, 1e6});
    v("bce", bce, "weight of the binary cross-entropy", Range{0, 1e6});
  }
};

}  // namespace swath
