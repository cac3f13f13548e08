// Arrays of f32 or bf16 elements in the memory of a case, seen as floats, and the tolerance of each type.
#pragma once
#include "kernels/half.h"
#include "tests/kernels/kernel_case.h"

namespace swath::kernels::test {

inline std::vector<bf16> to_bf16(const std::vector<float>& values) {
  std::vector<bf16> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](float v) { return from_float<bf16>(v); });
  return out;
}

/// The values as the type stores them.
inline std::vector<float> rounded(std::vector<float> values, DType type) {
  if (type == DType::bf16)
    for (float& v : values) v = to_float(from_float<bf16>(v));
  return values;
}

inline void* put_elements(CaseMemory& memory, const std::vector<float>& values, DType type, std::size_t misalign = 0) {
  if (type == DType::f32) return memory.put(values, misalign);
  return memory.put(to_bf16(values), misalign);
}

inline void* make_elements(CaseMemory& memory, std::int64_t count, DType type, std::size_t misalign = 0) {
  if (type == DType::f32) return memory.make_output<float>(count, misalign);
  return memory.make_output<bf16>(count, misalign);
}

inline std::vector<float> get_elements(const CaseMemory& memory, const void* p, std::int64_t count, DType type) {
  if (type == DType::f32) return memory.get(static_cast<const float*>(p), count);
  const std::vector<bf16> raw = memory.get(static_cast<const bf16*>(p), count);
  std::vector<float> values(raw.size());
  std::transform(raw.begin(), raw.end(), values.begin(), [](bf16 v) { return to_float(v); });
  return values;
}

/// expect_close for either type: a bf16 result may also be off by one rounding to 8 bits of its own value.
inline void expect_elements_close(const std::vector<float>& got, const std::vector<double>& reference,
                                  const std::vector<float>& naive, DType type, double scale = 0) {
  if (type == DType::f32) return expect_close(got, reference, naive, scale);
  ASSERT_EQ(got.size(), reference.size());
  for (const double r : reference) scale = std::max(scale, std::abs(r));
  const double shared = 4 * largest_error(naive, reference) + 1e-7 * scale;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - reference[i]);
    ASSERT_TRUE(error <= shared + std::abs(reference[i]) / 256) << "element " << i << ": " << got[i] << ", " << reference[i];
  }
}

}  // namespace swath::kernels::test
