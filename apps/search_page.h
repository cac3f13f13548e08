// The page of swath search --html: queries and what was found, in one file without scripts.
#pragma once
#include <string>
#include <vector>

#include "apps/search_engine.h"

namespace swath::app {

struct SearchedImage {
  std::string name;
  Thumbnail thumbnail;
  std::vector<Found> found;
};

/// Images are part of the page; names and labels are escaped.
std::string search_page(const Gallery& gallery, const std::vector<SearchedImage>& queries);

}  // namespace swath::app
