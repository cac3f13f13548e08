// Arrays of f32, bf16 or f16 elements in the memory of a case, seen as floats, and the tolerance of each type.
#pragma once
#include "tests/half_arrays.h"
#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {

using testing::narrowed;
using testing::widened;

/// The values as the type stores them.
inline std::vector<float> rounded(std::vector<float> values, DType type) {
  if (type == DType::bf16) return widened(narrowed<bf16>(values));
  if (type == DType::f16) return widened(narrowed<f16>(values));
  return values;
}

inline void* put_elements(CaseMemory& memory, const std::vector<float>& values, DType type, std::size_t misalign = 0) {
  if (type == DType::f32) return memory.put(values, misalign);
  if (type == DType::f16) return memory.put(narrowed<f16>(values), misalign);
  return memory.put(narrowed<bf16>(values), misalign);
}

inline void* make_elements(CaseMemory& memory, std::int64_t count, DType type, std::size_t misalign = 0) {
  if (type == DType::f32) return memory.make_output<float>(count, misalign);
  return memory.make_output<bf16>(count, misalign);
}

inline std::vector<float> get_elements(const CaseMemory& memory, const void* p, std::int64_t count, DType type) {
  if (type == DType::f32) return memory.get(static_cast<const float*>(p), count);
  if (type == DType::f16) return widened(memory.get(static_cast<const f16*>(p), count));
  return widened(memory.get(static_cast<const bf16*>(p), count));
}

/// expect_close for any type: a 16-bit result may also be off by one rounding of its own value, to 8 bits (bf16) or to 11 (f16,
/// whose subnormals are 2^-24 apart).
inline void expect_elements_close(const std::vector<float>& got, const std::vector<double>& reference,
                                  const std::vector<float>& naive, DType type, double scale = 0) {
  if (type == DType::f32) return expect_close(got, reference, naive, scale);
  ASSERT_EQ(got.size(), reference.size());
  for (const double r : reference) scale = std::max(scale, std::abs(r));
  const double shared = 4 * largest_error(naive, reference) + 1e-7 * scale;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - reference[i]);
    const double rounding = type == DType::bf16 ? std::abs(reference[i]) / 256 : std::abs(reference[i]) / 2048 + 0x1p-25;
    ASSERT_TRUE(error <= shared + rounding) << "element " << i << ": " << got[i] << ", " << reference[i];
  }
}

}  // namespace swath::kernels::test
