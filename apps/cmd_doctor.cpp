// swath doctor: what this build and this machine offer, what is missing, and the remedy; with --step, what a training step
// costs.
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/step_table.h"
#include "data/geotiff.h"
#include "engine/device/conv_problem.h"
#include "engine/dist/ranks.h"
#include "recipes/version.h"
#include "retrieval/retriever.h"

namespace swath::app {

namespace {

struct Finding {
  std::string name, found;
  bool present = true;
  std::string remedy;
};

std::string simd() {
  std::string list;
#if defined(__x86_64__)
  const std::pair<const char*, bool> sets[] = {{"AVX2", __builtin_cpu_supports("avx2") != 0},
                                               {"FMA", __builtin_cpu_supports("fma") != 0},
                                               {"AVX-512", __builtin_cpu_supports("avx512f") != 0},
                                               {"AVX-512 BF16", __builtin_cpu_supports("avx512bf16") != 0}};
  for (const auto& [name, there] : sets)
    if (there) list += (list.empty() ? "" : ", ") + std::string(name);
#endif
  return list.empty() ? "none that matters" : list;
}

bool on_path(const char* program) {
  const char* path = std::getenv("PATH");
  for (std::string rest = path ? path : ""; !rest.empty();) {
    const std::size_t colon = rest.find(':');
    if (access((rest.substr(0, colon) + "/" + program).c_str(), X_OK) == 0) return true;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return false;
}

void add_device(const std::string& name, std::vector<Finding>& findings) {
  try {
    const std::unique_ptr<Device> device = Device::open(name);
    const MemoryInfo memory = device->backend().memory_info();
    findings.push_back({"device " + name,
                        fmt::format("{}; {} of {} free", fmt::join(device->backend().versions(), ", "),
                                    bytes(static_cast<double>(memory.free)), bytes(static_cast<double>(memory.total))),
                        true, ""});
  } catch (const Error& problem) {
    findings.push_back({"device " + name, problem.what(), false, ""});
  }
}

void add_cuda(std::vector<Finding>& findings) {
#if SWATH_WITH_CUDA
  const int count = cuda_device_count();
  for (int i = 0; i < count; ++i) add_device(fmt::format("cuda:{}", i), findings);
  if (count == 0) add_device("cuda", findings);  // which says why
#else
  findings.push_back({"CUDA", "not in this build", false, "configure with --preset cuda (needs the CUDA Toolkit and cuDNN)"});
#endif
}

void add_retrieval(std::vector<Finding>& findings) {
  try {
    findings.push_back({"retrieval", make_retriever({})->name(), true, ""});
  } catch (const Error& problem) {
    findings.push_back({"retrieval", problem.what(), false, ""});
  }
}

std::vector<Finding> examine() {
  std::vector<Finding> findings;
  findings.push_back({"swath", fmt::format("{}, {}, {}", kVersion, SWATH_BUILD_TYPE, SWATH_COMPILER), true, ""});
  const bool optimised = std::string(SWATH_BUILD_TYPE) == "Release" || std::string(SWATH_BUILD_TYPE) == "RelWithDebInfo";
  if (!optimised) findings.push_back({"optimisation", "off", false, "configure with --preset cpu or cuda to train"});
  findings.push_back({"processor", fmt::format("{} threads, {}", std::thread::hardware_concurrency(), simd()), true, ""});
#ifdef _OPENMP
  findings.push_back({"OpenMP", fmt::format("{} threads", omp_get_max_threads()), true, ""});
#else
  const bool parallel = SWATH_OPENMP_ON != 0;
  findings.push_back({"OpenMP", parallel ? "on" : "off", parallel, parallel ? "" : "configure with SWATH_OPENMP=ON"});
#endif
  add_device("cpu", findings);
  add_cuda(findings);
  add_retrieval(findings);
  const bool geotiff = geotiff_supported();
  findings.push_back({"GeoTIFF", geotiff ? "GDAL" : "not in this build", geotiff,
                      geotiff ? "" : "install libgdal-dev and configure again; packed data need no GDAL"});
  const bool ranks = ranks_available();
  findings.push_back({"several ranks", ranks ? "MPI" : "not in this build", ranks,
                      ranks ? "" : "install libopenmpi-dev and openmpi-bin, and configure again"});
#if SWATH_WITH_CUDA
  const std::string nccl = joins_devices_by();
  findings.push_back({"several GPUs", nccl.empty() ? "NCCL is not in this build" : "NCCL " + nccl, !nccl.empty(),
                      nccl.empty() ? "install NCCL and MPI, and configure again with SWATH_NCCL=ON" : ""});
#endif
  const bool converter = on_path("rsvg-convert");
  findings.push_back({"pictures", converter ? "SVG, and PNG through rsvg-convert" : "SVG only", converter,
                      converter ? "" : "install librsvg2-bin for PNG"});
  struct statvfs disk {};
  if (statvfs(".", &disk) == 0)
    findings.push_back(
        {"disk here", bytes(static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize)) + " free", true, ""});
  return findings;
}

struct DoctorArgs {
  bool step = false;
  ConfigArgs config;
  StepSizes sizes;
  std::string precision;
  std::int64_t crop = -1;
  std::uint64_t memory = 0;
  std::string engines;
};

void show_step(const DoctorArgs& args, Output& output) {
  Json config = config_of(args.config);
  if (!args.precision.empty()) config["precision"] = args.precision;
  if (args.crop >= 0) config["crop"] = args.crop;
  const TrainOptions options = options_of(config);
  const StepPlan plan = plan_step(options, args.sizes, args.engines.empty() ? EngineOf() : engines_of(args.engines));
  output.text(step_text(options, plan));
  output.json() = step_json(options, plan);
  if (args.memory == 0) return;
  const std::int64_t largest = largest_batch(options, args.sizes, args.memory);
  output.json()["memory_limit_bytes"] = args.memory;
  output.json()["largest_batch"] = largest;
  output.text(fmt::format("in {}, the libraries' workspaces apart: {}\n", bytes(static_cast<double>(args.memory)),
                          largest == 0 ? remedy_of(0) : fmt::format("batches of at most {} images", largest)));
}

void run_doctor(const DoctorArgs& args, Output& output) {
  if (args.step) return show_step(args, output);
  Json list = Json::array();
  for (const Finding& f : examine()) {
    list.push_back({{"name", f.name}, {"found", f.found}, {"present", f.present}, {"remedy", f.remedy}});
    output.text(fmt::format("{} {:<14}{}\n", f.present ? "+" : "-", f.name, f.found));
    if (!f.remedy.empty()) output.text(fmt::format("  {:<14}remedy: {}\n", "", f.remedy));
  }
  output.json()["findings"] = list;
}

}  // namespace

void add_doctor(CLI::App& app, Request& request) {
  CLI::App* command = add_command(app, request, "doctor", "Say what this build and this machine offer, and what is missing",
                                  "  swath doctor\n"
                                  "  swath doctor --json\n"
                                  "  swath doctor --step --config configs/mlrsnet.json --precision bf16 --rows 128\n"
                                  "  swath doctor --step --set recipe=sndl --set precision=bf16 --memory 80GB\n");
  auto args = std::make_shared<DoctorArgs>();
  CLI::Option* const step = command->add_flag(
      "--step", args->step, "Plan one training step without a device: bytes, operations and lower bounds of every operation");
  add_config_args(command, args->config, Shorthands::none);
  std::vector<CLI::Option*> options{command->get_option("--config"), command->get_option("--set")};
  const auto size = [&](const char* name, std::int64_t& value, const char* help, std::int64_t high) {
    options.push_back(command->add_option(name, value, help)->check(CLI::Range(std::int64_t{1}, high)));
  };
  size("--rows", args->sizes.rows, "Images of the batch; as the sampler makes it where not given", 1 << 20);
  size("--size", args->sizes.image_side, "Height and width of the images; data.image_size, or 120 for BigEarthNet, else 256",
       4096);
  size("--bands", args->sizes.bands, "Channels of the images; 12 for BigEarthNet, else 3", 4096);
  size("--classes", args->sizes.classes, "Classes; 43 or 19 for BigEarthNet, else 60", 65536);
  size("--images", args->sizes.images, "Images of the training split, which a memory bank holds; 10000", 1 << 28);
  size("--crop", args->crop, "Side of the crop (short for --set crop=…)", 4096);
  options.push_back(
      command->add_option("--precision", args->precision, "fp32, tf32, bf16 or fp16 (short for --set precision=…)"));
  options.push_back(
      command->add_option("--engines", args->engines, "Name the engines that cuDNN chooses on a device: h100 or a100"));
  options.push_back(command->add_option("--memory", args->memory, "Also say which batch is the largest in so much memory: 80GB")
                        ->transform(CLI::AsSizeValue(true)));
  for (CLI::Option* option : options) option->needs(step);
  set_action(command, request, args, run_doctor);
}

}  // namespace swath::app
