// A place where tensors live and kernels run, passed explicitly everywhere; there is no current device.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "engine/core/tensor.h"
#include "engine/device/backend.h"
#include "kernels/dry_run.h"
#include "kernels/exec.h"

#ifndef SWATH_WITH_CUDA
#define SWATH_WITH_CUDA 0
#endif

namespace swath {

class StepLedger;
struct ConvProblem;
/// A library's name of the engine that it chooses for a convolution (conv_problem.h).
using EngineOf = std::function<std::string(const ConvProblem&)>;

/// dry: as CUDA, but calls are taken down in a ledger instead of being run (open_dry).
enum class DeviceKind : std::uint8_t { cpu, cuda, dry };

/// How a GPU multiplies float32 activations: exactly, or with inputs rounded to TF32 on tensor cores (faster). Sums are
/// float32 in both cases.
enum class Float32Math : std::uint8_t { full, tf32 };

struct DeviceOptions {
  /// Source of memory; the device's own when null.
  std::shared_ptr<Allocator> allocator = nullptr;
  /// A cudaStream_t that all work is queued on; the device makes one when null. Ignored on the CPU.
  void* stream = nullptr;
  /// For convolutions only: products of matrices stay full float32. Ignored on the CPU.
  Float32Math conv_math = Float32Math::full;
  /// JSON file of the fastest engine of cuDNN for each convolution of each kind of device: those that it lacks are timed when
  /// they are first used, and added. Empty: cuDNN's own first choice, untimed. Refused on the CPU.
  std::string autotune = {};
  /// Convolutions of f16 activations normalise their inputs and gather sums (Backend::fuses_norms). Takes a GPU of compute
  /// capability 9.0 or later.
  bool conv_pipeline = false;
};

/// Not copyable; must outlive its tensors. One thread at a time may use a device; several devices are independent.
class Device {
 public:
  /// `name` is "cpu", "cuda" or "cuda:N". Throws UserError for another name or an option that the device cannot have,
  /// DeviceError when it is absent or when this build has no CUDA.
  static std::unique_ptr<Device> open(const std::string& name, DeviceOptions options = {});
  /// Whether this build and this machine have a CUDA device.
  static bool cuda_available();

  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  DeviceKind kind() const { return kind_; }
  bool is_cuda() const { return kind_ == DeviceKind::cuda; }
  /// "cpu", "cuda:N" or "dry".
  const std::string& name() const { return name_; }
  Backend& backend() const { return *backend_; }
  const std::shared_ptr<StoragePool>& pool() const { return pool_; }
  void* stream() const { return stream_; }
  /// Of a dry run; null on other devices.
  StepLedger* ledger() const { return ledger_; }
  void synchronize() const { backend_->synchronize(); }
  /// At least `count` zeros, which the kernels of the stream that use them leave as zeros; null on the CPU.
  std::uint32_t* counters(std::int64_t count) const;

  /// Calls f with this device's executor: `device.run([&](auto exec) { margin_loss(args, exec); })`.
  template <class F>
  void run(F&& f) const {
#if SWATH_WITH_CUDA
    if (kind_ == DeviceKind::cuda) return run_cuda([&] { f(kernels::CudaStream{stream_}); });
#endif
    if (ledger_) return f(dry_executor());
    f(kernels::Cpu{});
  }

 private:
  Device() = default;
  template <class F>
  void run_cuda(F&& f) const {
    make_current();
    f();
    after_launch();
  }
  void make_current() const;
  void after_launch() const;
  kernels::DryRun dry_executor() const;

  DeviceKind kind_ = DeviceKind::cpu;
  std::string name_;
  std::shared_ptr<StoragePool> pool_;
  std::unique_ptr<Backend> backend_;
  void* stream_ = nullptr;
  std::unique_ptr<Storage> counters_;
  StepLedger* ledger_ = nullptr;

  friend std::unique_ptr<Device> open_cpu(DeviceOptions options);
  friend std::unique_ptr<Device> open_cuda(int index, DeviceOptions options);
  friend std::unique_ptr<Device> open_dry(StepLedger& ledger, const DeviceOptions& options, EngineOf engines);
};

/// A device that runs nothing and has no memory: whatever is queued on it is taken down in `ledger`, which outlives it, as the
/// work of a GPU; addresses are never followed, and copies to the host give zeros. Its pool counts memory as a GPU's does.
/// Takes of the options those that change what is queued: conv_math and conv_pipeline. `engines`: names the ledger's
/// convolutions are to have; none without it.
std::unique_ptr<Device> open_dry(StepLedger& ledger, const DeviceOptions& options = {}, EngineOf engines = {});

/// What Device::open calls. The CUDA ones, Device::make_current and Device::after_launch exist in builds with CUDA only,
/// under device/cuda/.
std::unique_ptr<Device> open_cpu(DeviceOptions options);
std::unique_ptr<Device> open_cuda(int index, DeviceOptions options);
/// CUDA devices this process can use; 0 when there is no driver.
int cuda_device_count();

}  // namespace swath
