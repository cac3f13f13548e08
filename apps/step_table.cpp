#include "apps/step_table.h"

#include <algorithm>
#include <vector>

#include "apps/progress.h"

namespace swath::app {

namespace {

constexpr double kMega = 1e6, kGiga = 1e9;

struct Sum {
  std::string pass, part;
  std::int64_t launches = 0;
  double read = 0, written = 0, unfused = 0, flops = 0;
  std::array<double, 2> seconds{};  // the bound on each accelerator

  void add(const StepLine& line) {
    launches += line.cost.launches;
    read += line.cost.read;
    written += line.cost.written;
    unfused += line.cost.unfused_bytes();
    flops += line.cost.flops;
    for (std::size_t i = 0; i < seconds.size(); ++i) seconds[i] += accelerators()[i].bound(line.cost);
  }
  double bytes() const { return read + written; }
};

std::vector<Sum> groups_of(const StepPlan& plan) {
  std::vector<Sum> groups;
  for (const StepLine& line : plan.lines) {
    const auto same = std::find_if(groups.begin(), groups.end(),
                                   [&](const Sum& group) { return group.pass == line.pass && group.part == line.part; });
    Sum& group = same == groups.end() ? groups.emplace_back() : *same;
    group.pass = line.pass;
    group.part = line.part;
    group.add(line);
  }
  return groups;
}

Sum total_of(const StepPlan& plan) {
  Sum total;
  for (const StepLine& line : plan.lines) total.add(line);
  return total;
}

/// Both ways of the network's trunk, nearly all of a step.
Sum trunk_of(const StepPlan& plan) {
  Sum trunk;
  for (const StepLine& line : plan.lines)
    if (line.part == "trunk") trunk.add(line);
  return trunk;
}

/// Who runs a call.
const char* library_of(const std::string& kernel) {
  if (kernel.starts_with("conv_")) return "cuDNN";
  if (kernel == "gemm") return "cuBLASLt";
  return kernel.starts_with("copy_from") || kernel == "copy" || kernel == "fill_zero" ? "driver" : "swath";
}

bool names_engines(const StepPlan& plan) {
  return std::any_of(plan.lines.begin(), plan.lines.end(), [](const StepLine& line) { return !line.engine.empty(); });
}

const char* name_of(kernels::Math math) {
  constexpr const char* kNames[] = {"f32", "tf32", "bf16", "f16"};
  return kNames[static_cast<int>(math)];
}

std::string row_text(const std::string& pass, const std::string& part, const std::string& what, std::int64_t calls,
                     const Sum& sum, const std::string& engine = "") {
  return fmt::format("{:<10}{:<7}{:<62}{:>6}{:>10.2f}{:>10.2f}{:>10.2f}{:>10.1f}{:>10.1f}{}{}\n", pass, part, what, calls,
                     sum.read / kMega, sum.written / kMega, sum.flops / kGiga, sum.seconds[0] * kMega, sum.seconds[1] * kMega,
                     engine.empty() ? "" : "  ", engine);
}

std::string head_text(const char* what, const char* count, const char* engine = "") {
  return fmt::format("{:<10}{:<7}{:<62}{:>6}{:>10}{:>10}{:>10}{:>10}{:>10}{}\n", "pass", "part", what, count, "MB read",
                     "MB writ.", "GFLOP", "H100 µs", "A100 µs", engine);
}

std::string heading(const TrainOptions& options, const StepPlan& plan) {
  const StepSizes& sizes = plan.sizes;
  return fmt::format(
      "One training step: {}, {}, {}; {} images of {} × {}², crop {}², {} classes, {} training images, {:.2f} M parameters\n"
      "Nothing was run: bytes and operations are those of this program's own code, µs are lower bounds from data sheets, an "
      "estimate.\n\n",
      options.recipe, options.model.backbone, options.precision, sizes.rows, sizes.bands, sizes.image_side, plan.crop,
      sizes.classes, sizes.images, static_cast<double>(plan.parameters) / kMega);
}

std::string totals_text(const StepPlan& plan) {
  const Sum total = total_of(plan), trunk = trunk_of(plan);
  const double images = static_cast<double>(plan.sizes.rows);
  std::string text = fmt::format(
      "\nper image: {:.1f} MB of DRAM, {:.2f} GFLOP; per step: {} launches\n"
      "with one kernel an operation, as PyTorch's eager mode: {:.1f} MB per image, of which this plan is {:.3f}; the trunk "
      "alone: {:.1f} of {:.1f} MB, {:.3f}\n",
      total.bytes() / images / kMega, total.flops / images / kGiga, total.launches, total.unfused / images / kMega,
      total.bytes() / total.unfused, trunk.bytes() / images / kMega, trunk.unfused / images / kMega,
      trunk.bytes() / trunk.unfused);
  for (std::size_t i = 0; i < accelerators().size(); ++i) {
    const Accelerator& a = accelerators()[i];
    text += fmt::format(
        "{}: at least {:.2f} ms a step, at most {:.0f} img/s ({:.2f} TB/s; {:.0f} in 16 bits, {:.0f} tf32, {:.1f} f32 "
        "TFLOP/s; {})\n",
        a.name, total.seconds[i] * 1e3, images / total.seconds[i], a.bandwidth / 1e12, a.half / 1e12, a.tf32 / 1e12,
        a.f32 / 1e12, a.source);
  }
  return text + (names_engines(plan)
                     ? "engines: cuDNN's first choice on the device that --engines describes, none of them compiled "
                       "at run time; algorithms of cuBLASLt: unknown without a device\n"
                     : "engines of cuDNN (--engines names them) and algorithms of cuBLASLt: unknown without a "
                       "device\n");
}

std::string memory_text(const StepPlan& plan) {
  std::vector<std::string> parts;
  for (const auto& [name, peak] : plan.memory) parts.push_back(fmt::format("{} {}", name, bytes(static_cast<double>(peak))));
  return fmt::format(
      "memory at its peak: {}, held by the pool: {}; workspaces of cuDNN and cuBLASLt come on top\n"
      "by purpose, each at its own peak: {}\n",
      bytes(static_cast<double>(plan.peak_memory)), bytes(static_cast<double>(plan.held_memory)), fmt::join(parts, ", "));
}

Json bounds_json(const std::array<double, 2>& seconds) {
  Json json;
  for (std::size_t i = 0; i < seconds.size(); ++i) json[accelerators()[i].key] = seconds[i] * kMega;
  return json;
}

Json json_of(const Sum& sum) {
  return {{"launches", sum.launches},     {"read_bytes", sum.read}, {"written_bytes", sum.written},
          {"unfused_bytes", sum.unfused}, {"flops", sum.flops},     {"bound_us", bounds_json(sum.seconds)}};
}

Json json_of(const StepLine& line) {
  Sum sum;
  sum.add(line);
  Json json = json_of(sum);
  json.update({{"pass", line.pass},
               {"part", line.part},
               {"kernel", line.kernel},
               {"library", library_of(line.kernel)},
               {"engine", line.engine.empty() ? Json() : Json(line.engine)},
               {"shape", line.shape},
               {"calls", line.calls},
               {"math", name_of(line.cost.math)}});
  return json;
}

Json totals_json(const StepPlan& plan) {
  const Sum total = total_of(plan), trunk = trunk_of(plan);
  const double images = static_cast<double>(plan.sizes.rows);
  Json json = json_of(total), rates;
  for (std::size_t i = 0; i < accelerators().size(); ++i) rates[accelerators()[i].key] = images / total.seconds[i];
  json.update({{"bytes_per_image", total.bytes() / images},
               {"flops_per_image", total.flops / images},
               {"unfused_bytes_per_image", total.unfused / images},
               {"ratio_to_unfused", total.bytes() / total.unfused},
               {"trunk_bytes_per_image", trunk.bytes() / images},
               {"trunk_unfused_bytes_per_image", trunk.unfused / images},
               {"trunk_ratio_to_unfused", trunk.bytes() / trunk.unfused},
               {"images_per_second", rates}});
  return json;
}

}  // namespace

const std::array<Accelerator, 2>& accelerators() {
  static const std::array<Accelerator, 2> all{
      {{"H100", "H100 SXM", "NVIDIA H100 Tensor Core GPU, data sheet", 3.35e12, 67e12, 494e12, 989e12},
       {"A100", "A100 SXM 80GB", "NVIDIA A100 80GB Tensor Core GPU, data sheet", 2.04e12, 19.5e12, 156e12, 312e12}}};
  return all;
}

double Accelerator::peak(kernels::Math math) const {
  switch (math) {
    case kernels::Math::f32:
      return f32;
    case kernels::Math::tf32:
      return tf32;
    case kernels::Math::bf16:
    case kernels::Math::f16:
      return half;
  }
  return f32;
}

double Accelerator::bound(const kernels::Cost& cost) const {
  return std::max(cost.bytes() / bandwidth, cost.flops / peak(cost.math));
}

std::string step_text(const TrainOptions& options, const StepPlan& plan) {
  std::string text = heading(options, plan) + head_text("operation", "calls", names_engines(plan) ? "  engine" : "");
  for (const StepLine& line : plan.lines) {
    Sum sum;
    sum.add(line);
    text += row_text(line.pass, line.part, fmt::format("{:<26} {}", line.kernel, line.shape), line.calls, sum, line.engine);
  }
  text += "\n" + head_text("sums", "launch");
  for (const Sum& group : groups_of(plan)) text += row_text(group.pass, group.part, "", group.launches, group);
  const Sum total = total_of(plan);
  text += row_text("step", "", "", total.launches, total) + totals_text(plan);
  if (options.conv_pipeline == "on")
    text += "conv_pipeline=on takes compute capability 9.0 or later: an A100 refuses it, whatever its bound here\n";
  return text + memory_text(plan);
}

Json step_json(const TrainOptions& options, const StepPlan& plan) {
  Json lines = Json::array(), groups = Json::array(), devices = Json::array(), memory = Json::object();
  for (const StepLine& line : plan.lines) lines.push_back(json_of(line));
  for (const Sum& group : groups_of(plan)) {
    groups.push_back(json_of(group));
    groups.back().update({{"pass", group.pass}, {"part", group.part}});
  }
  for (const Accelerator& a : accelerators())
    devices.push_back({{"key", a.key},
                       {"name", a.name},
                       {"source", a.source},
                       {"bytes_per_second", a.bandwidth},
                       {"flops_per_second", {{"f32", a.f32}, {"tf32", a.tf32}, {"bf16", a.half}, {"f16", a.half}}}});
  for (const auto& [name, peak] : plan.memory) memory[name] = peak;
  const StepSizes& sizes = plan.sizes;
  return {{"estimate", true},
          {"recipe", options.recipe},
          {"backbone", options.model.backbone},
          {"precision", options.precision},
          {"rows", sizes.rows},
          {"image_side", sizes.image_side},
          {"crop", plan.crop},
          {"bands", sizes.bands},
          {"classes", sizes.classes},
          {"images", sizes.images},
          {"parameters", plan.parameters},
          {"lines", lines},
          {"groups", groups},
          {"totals", totals_json(plan)},
          {"accelerators", devices},
          {"peak_memory_bytes", plan.peak_memory},
          {"held_memory_bytes", plan.held_memory},
          {"memory", memory}};
}

}  // namespace swath::app
