#include "apps/search_server.h"

namespace swath::app {

void require_server() {
  throw UserError("this build has no swath serve; install libcpp-httplib-dev and configure again, or use swath search");
}

void serve(SearchEngine&, const ServeOptions&, const std::function<void(const std::string&)>&) { require_server(); }

}  // namespace swath::app
