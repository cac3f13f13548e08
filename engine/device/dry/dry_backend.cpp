#include "engine/device/dry/dry_backend.h"

#include <cstring>

#include "engine/device/expect_tensor.h"
#include "engine/device/weight_gradient.h"

namespace swath {

namespace dry {

namespace {

constexpr std::uintptr_t kAlignment = 256;

std::string text_of(const ConvGeometry& g) {
  return fmt::format("{}×{}×{}×{} > {}, {}×{}/{} {}", g.n, g.h, g.w, g.c, g.k, g.r, g.s, g.stride, kernels::name_of(g.dtype));
}

/// Separate kernels convert every gradient of weights to float32.
double unfused_conversion(const ConvGeometry& g, const Tensor& dw) {
  const auto bytes = static_cast<double>(kernels::size_of(g.dtype) + sizeof(float));
  return dw.dtype() == DType::f32 ? 0 : bytes * static_cast<double>(dw.numel());
}

/// Copies from page-locked memory on a stream of their own.
class DryCopies final : public HostCopies {
 public:
  explicit DryCopies(DryBackend& backend) : backend_(backend) {}
  void copy(void* to, const void* from, std::size_t bytes) override { backend_.copy_from_host(to, from, bytes); }
  void acquire() override {}
  void release() override {}
  bool done() override { return true; }

 private:
  DryBackend& backend_;
};

}  // namespace

void* AddressAllocator::allocate(std::size_t bytes) {
  const std::uintptr_t given = next_;
  next_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return reinterpret_cast<void*>(given);
}

// Each of the three arrays goes through memory once, and so does what is fused.
void DryBackend::convolve(ConvProblem problem, const Fused& fused) {
  problem.math = math_;
  const ConvGeometry& g = problem.geometry;
  const double element = static_cast<double>(kernels::size_of(g.dtype));
  const double x = element * static_cast<double>(g.input_shape().numel());
  const double w = element * static_cast<double>(g.weight_shape().numel());
  const double y = element * static_cast<double>(g.output_shape().numel());
  const double flops = 2 * static_cast<double>(g.output_shape().numel()) * static_cast<double>(g.r * g.s * g.c);
  const kernels::Math exact = math_ == Float32Math::tf32 ? kernels::Math::tf32 : kernels::Math::f32;
  const kernels::Math half = g.dtype == DType::bf16 ? kernels::Math::bf16 : kernels::Math::f16;
  const kernels::Math math = g.dtype == DType::f32 ? exact : half;
  const double written = problem.pass == ConvPass::forward ? y : problem.pass == ConvPass::backward_data ? x : w;
  constexpr const char* kNames[] = {"conv_forward", "conv_backward_data", "conv_backward_weight"};
  ledger_.record(fused.name ? fused.name : kNames[static_cast<int>(problem.pass)], text_of(g),
                 {.read = x + w + y - written + fused.read,
                  .written = written + fused.written,
                  .flops = flops,
                  .math = math,
                  .unfused = x + w + y + fused.unfused});
  if (engines_) ledger_.name_engine(engines_(problem));
}

void DryBackend::conv_forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& y) {
  expect_arrays(ConvPass::forward, geometry, x, w, y, geometry.dtype);
  if (geometry.n) convolve({.geometry = geometry, .pass = ConvPass::forward});
}

void DryBackend::conv_backward_data(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const Tensor& dx) {
  expect_arrays(ConvPass::backward_data, geometry, dx, w, dy, geometry.dtype);
  if (geometry.n) convolve({.geometry = geometry, .pass = ConvPass::backward_data});
}

void DryBackend::conv_backward_weight(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy, const Tensor& dw,
                                      GradMode mode) {
  expect_arrays(ConvPass::backward_weight, geometry, x, dw, dy, geometry.dtype);
  if (geometry.n == 0) return;
  weight_gradient(geometry.dtype, dw, mode, pool_, kernels::DryRun{&ledger_}, [&](void*) {
    convolve({.geometry = geometry, .pass = ConvPass::backward_weight}, {.unfused = unfused_conversion(geometry, dw)});
  });
}

// Separate kernels: the result is read for its statistics; x is read and normalised, a residual is added (and normalised as
// well, where it is a shortcut's), the sum rectified.
void DryBackend::conv_forward_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm, const Tensor& w,
                                     const Tensor& y, const Tensor& sums) {
  expect_arrays(ConvPass::forward, geometry, x, w, y, geometry.dtype);
  expect_norm(norm, geometry);
  expect_tensor("sums", sums, {2, geometry.k}, DType::f32);
  if (geometry.n == 0) return;
  const double in = static_cast<double>(x.bytes()), normal = norm.scale.defined(), residual = norm.residual.defined();
  const double shortcut = norm.residual_scale.defined();
  convolve({.geometry = geometry, .pass = ConvPass::forward, .fusion = fusion_of(norm, ConvFusion::sums)},
           {.name = residual > 0 ? "conv_forward_joined"
                    : normal > 0 ? "conv_forward_normal"
                                 : "conv_forward_sums",
            .read = in * residual,
            .written = in * residual,
            .unfused = static_cast<double>(y.bytes()) + (norm.counted ? 0 : in * (4 * normal + 3 * residual + 2 * shortcut))});
}

// Separate kernels: the gradients are added, masked by the rectified sum, and read with what was normalised for the sums.
void DryBackend::conv_backward_data_masked(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w,
                                           const OutputMask& mask, const Tensor& dx) {
  expect_arrays(ConvPass::backward_data, geometry, dx, w, dy, geometry.dtype);
  expect_mask(mask, geometry);
  if (geometry.n == 0) return;
  const double in = static_cast<double>(dx.bytes()), skip = mask.skip.defined(), shortcut = mask.shortcut.x.defined();
  const double residual = mask.residual.defined();
  convolve({.geometry = geometry, .pass = ConvPass::backward_data, .fusion = fusion_of(mask), .skip = mask.skip.defined()},
           {.name = shortcut + residual > 0 ? "conv_backward_data_joined" : "conv_backward_data_masked",
            .read = in * (1 + skip + residual + shortcut),
            .unfused = in * (3 * skip + (mask.counted ? 0 : 3 + 2 * (1 + shortcut)))});
}

void DryBackend::conv_backward_weight_normal(const ConvGeometry& geometry, const Tensor& x, const InputNorm& norm,
                                             const Tensor& dy, const Tensor& dw, GradMode mode) {
  expect_arrays(ConvPass::backward_weight, geometry, x, dw, dy, geometry.dtype);
  expect_norm(norm, geometry);
  if (geometry.n == 0) return;
  weight_gradient(geometry.dtype, dw, mode, pool_, kernels::DryRun{&ledger_}, [&](void*) {
    convolve({.geometry = geometry, .pass = ConvPass::backward_weight, .fusion = fusion_of(norm, ConvFusion::none)},
             {.name = "conv_backward_weight_normal", .unfused = unfused_conversion(geometry, dw)});
  });
}

void DryBackend::record_gemm(const Gemm& g, std::int64_t count) {
  const double m = static_cast<double>(g.m), n = static_cast<double>(g.n), k = static_cast<double>(g.k);
  const double products = static_cast<double>(count), old = g.beta == 0.0f ? 0 : m * n;
  ledger_.record("gemm", fmt::format("{}{}×{}×{} f32", count > 1 ? fmt::format("{} · ", count) : "", g.m, g.n, g.k),
                 {.read = 4 * products * (m * k + k * n + old + (g.bias ? n : 0)),
                  .written = 4 * products * m * n,
                  .flops = 2 * products * m * n * k});
}

void DryBackend::gemm(const Gemm& gemm) {
  if (gemm.m && gemm.n) record_gemm(gemm, 1);
}

void DryBackend::gemm_strided_batched(const Gemm& first, std::int64_t count, std::int64_t, std::int64_t, std::int64_t) {
  if (first.m && first.n && count > 0) record_gemm(first, count);
}

void DryBackend::copy(void*, const void*, std::size_t bytes) {
  const double n = static_cast<double>(bytes);
  ledger_.record("copy", fmt::format("{} bytes", bytes), {.read = n, .written = n, .launches = 0});
}

void DryBackend::fill_zero(void*, std::size_t bytes) {
  ledger_.record("fill_zero", fmt::format("{} bytes", bytes), {.written = static_cast<double>(bytes), .launches = 0});
}

void DryBackend::copy_from_host(void*, const void*, std::size_t bytes) {
  ledger_.record("copy_from_host", fmt::format("{} bytes", bytes), {.written = static_cast<double>(bytes), .launches = 0});
}

void DryBackend::copy_to_host(void* to, const void*, std::size_t bytes) {
  std::memset(to, 0, bytes);
  ledger_.record("copy_to_host", fmt::format("{} bytes", bytes), {.read = static_cast<double>(bytes), .launches = 0});
}

std::unique_ptr<HostCopies> DryBackend::host_copies() { return std::make_unique<DryCopies>(*this); }

}  // namespace dry

std::unique_ptr<Device> open_dry(StepLedger& ledger, const DeviceOptions& options, EngineOf engines) {
  std::unique_ptr<Device> device(new Device);
  device->kind_ = DeviceKind::dry;
  device->name_ = "dry";
  device->ledger_ = &ledger;
  device->pool_ = std::make_shared<StoragePool>(std::make_shared<dry::AddressAllocator>());
  device->backend_ = std::make_unique<dry::DryBackend>(device->pool_, options, ledger, std::move(engines));
  return device;
}

}  // namespace swath
