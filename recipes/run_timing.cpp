#include "recipes/run_timing.h"

#include <chrono>
#include <fstream>

#include "engine/io/file.h"

namespace swath {

namespace {

constexpr std::array<Activity, RunTiming::kActivities> kAll{Activity::waiting,   Activity::step,    Activity::preparation,
                                                            Activity::embedding, Activity::scoring, Activity::checkpoints};

double number_in(const Json& json, const char* key) {
  const bool known = json.is_object() && json.contains(key) && json[key].is_number();
  return known ? json[key].get<double>() : 0;
}

}  // namespace

const char* name_of(Activity activity) {
  switch (activity) {
    case Activity::waiting:
      return "waiting for data";
    case Activity::step:
      return "training steps";
    case Activity::preparation:
      return "preparing epochs";
    case Activity::embedding:
      return "validation: embedding";
    case Activity::scoring:
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
  for (const Activity activity : kAll) add(activity, number_in(past.value("phases", Json::object()), name_of(activity)));
}

void RunTiming::count_step(std::int64_t images) {
  ++steps_;
  images_ += images;
}

Json RunTiming::to_json(double elapsed) const {
  Json phases = Json::object();
  for (const Activity activity : kAll) phases[name_of(activity)] = spent_[static_cast<std::size_t>(activity)];
  return {{"seconds", before_ + elapsed}, {"steps", steps_}, {"images", images_}, {"phases", phases}};
}

void RunTiming::write(double elapsed) const { atomic_write(file_.string(), to_json(elapsed).dump(2) + "\n"); }

ActivityTimer::ActivityTimer(RunTiming& timing, Activity activity)
    : timing_(timing), activity_(activity), started_(steady_seconds()) {}
ActivityTimer::~ActivityTimer() { timing_.add(activity_, steady_seconds() - started_); }

double steady_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace swath
