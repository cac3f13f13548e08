// Where the time of a run goes, in all its parts: timing.json of the run folder.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/core/config.h"

namespace swath {

enum class Activity : std::uint8_t { waiting, step, preparation, embedding, scoring, checkpoints };

class RunTiming {
 public:
  static constexpr std::size_t kActivities = 6;

  /// Goes on with the sums of timing.json in `folder`, from zero where there is none that can be read.
  explicit RunTiming(const std::filesystem::path& folder);

  void add(Activity activity, double seconds) { spent_[static_cast<std::size_t>(activity)] += seconds; }
  /// Of training: the images of a step that is done.
  void count_step(std::int64_t images);
  /// Writes the sums; `elapsed` are the seconds of this part of the run so far. Throws DataError when the disk is full.
  void write(double elapsed) const;
  Json to_json(double elapsed) const;

 private:
  std::filesystem::path file_;
  double before_ = 0;  // seconds of earlier parts
  std::array<double, kActivities> spent_{};
  std::int64_t steps_ = 0, images_ = 0;
};

/// "waiting for data", …: the keys of timing.json's phases in the order of Activity.
const char* name_of(Activity activity);

/// Adds the time between its construction and its end to an activity.
class ActivityTimer {
 public:
  ActivityTimer(RunTiming& timing, Activity activity);
  ~ActivityTimer();
  ActivityTimer(const ActivityTimer&) = delete;
  ActivityTimer& operator=(const ActivityTimer&) = delete;

 private:
  RunTiming& timing_;
  Activity activity_;
  double started_;
};

/// Seconds of a clock that never goes back.
double steady_seconds();

}  // namespace swath
