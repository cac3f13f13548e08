// Where the numbers of a run go besides its JSON lines and CSVs.
#pragma once
#include <string>

#include "engine/core/config.h"

namespace swath {

struct TrackingOptions {
  bool tensorboard = true;
  std::string wandb = "off";
  std::string project = "swath";
  std::string group;
  std::string name;

  template <class V>
  void fields(V& v) {
    v("tensorboard", tensorboard, "write a TensorBoard events file into the run folder");
    v("wandb", wandb,
      "W&B run in the run folder; offline: for `wandb sync`; online: runs the installed `wandb sync` at every validation and "
      "at the end",
      OneOf{{"off", "offline", "online"}});
    v("project", project, "W&B project");
    v("group", group, "W&B group; empty: none");
    v("name", name, "name shown by W&B; empty: the name of the run folder");
  }
};

/// Throws UserError for a project that W&B would refuse.
void check_tracking(const TrackingOptions& options);

}  // namespace swath
