#include "recipes/run_timing.h"

#include <chrono>
#include <fstream>

#include "engine/io/file.h"

namespace swath {

namespace {

constexpr std::array<Phase, RunTiming::kPhases> kAll{Phase::waiting,   Phase::step,    Phase::preparation,
                                                     Phase::embedding, Phase::scoring, Phase::checkpoints};

double number_in(const Json& json, const char* key) {
  const bool known = json.is_object() && json.contains(key) && json[key].is_number();
  return known ? json[key].get<double>() : 0;
}

}  // namespace

const char* name_of(Phase phase) {
  switch (phase) {
    case Phase::waiting:
      return "waiting for data";
    case Phase::step:
      return "training steps";
    case Phase::preparation:
      return "preparing epochs";
    case Phase::embedding:
      return "validation: embedding";
    case Phase::scoring:
      return "validation: search and metrics";
    default:
      return "checkpoints";
  }
}

RunTiming::RunTiming(const std::filesystem::path& folder) : file_(folder / "timing.json") {
  std::ifstream in(file_);
  const Json past = Json::parse(in, nullptr, false);
  if (!past.is_object()) return;
  before_ = number_in(past, "seconds");
  steps_ = static_cast<std::int64_t>(number_in(past, "steps"));
  images_ = static_cast<std::int64_t>(number_in(past, "images"));
  for (const Phase phase : kAll) add(phase, number_in(past.value("phases", Json::object()), name_of(phase)));
}

void RunTiming::count_step(std::int64_t images) {
  ++steps_;
  images_ += images;
}

Json RunTiming::to_json(double elapsed) const {
  Json phases = Json::object();
  for (const Phase phase : kAll) phases[name_of(phase)] = spent_[static_cast<std::size_t>(phase)];
  return {{"seconds", before_ + elapsed}, {"steps", steps_}, {"images", images_}, {"phases", phases}};
}

void RunTiming::write(double elapsed) const { atomic_write(file_.string(), to_json(elapsed).dump(2) + "\n"); }

PhaseTimer::PhaseTimer(RunTiming& timing, Phase phase) : timing_(timing), phase_(phase), started_(steady_seconds()) {}
PhaseTimer::~PhaseTimer() { timing_.add(phase_, steady_seconds() - started_); }

double steady_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace swath
