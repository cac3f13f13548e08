#include "engine/core/config.h"

#include <fstream>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>

namespace swath {

namespace config_detail {

std::string join(const std::string& path, const std::string& name) { return path.empty() ? name : path + "." + name; }

namespace {

/// "an " integer, "a " number; "true or false" and "text" take none.
const char* article_of(const std::string& type) {
  if (type == "true or false" || type == "text") return "";
  return std::string("aeiou").find(type.front()) == std::string::npos ? "a " : "an ";
}

}  // namespace

void wrong_type(const std::string& path, const std::string& wanted, const Json& got) {
  std::string shown = got.dump();
  if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
  throw UserError(fmt::format("configuration key {} must be {}{}, not {}", path, article_of(wanted), wanted, shown));
}

void unknown_key(const std::string& path, const std::string& key, const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(key, known);
  throw UserError(fmt::format("unknown configuration key {}; {}", join(path, key),
                              nearest.empty() ? fmt::format("known here: {}", fmt::join(known, ", "))
                                              : fmt::format("did you mean {}?", join(path, nearest))));
}

std::string describe(const Range& range) {
  const bool low = std::isfinite(range.min), high = std::isfinite(range.max);
  if (low && high) return fmt::format("{} to {}", range.min, range.max);
  if (low) return fmt::format("at least {}", range.min);
  return high ? fmt::format("at most {}", range.max) : "";
}

std::string describe(const Among& numbers) { return fmt::format("one of {}", fmt::join(numbers.numbers, ", ")); }

void check(const std::string& path, double value, const Range& range) {
  if (!(value >= range.min && value <= range.max))
    throw UserError(fmt::format("configuration key {} must be {}, not {}", path, describe(range), value));
}

void check(const std::string& path, const std::string& value, const OneOf& words) {
  if (std::find(words.words.begin(), words.words.end(), value) != words.words.end()) return;
  const std::string nearest = nearest_name(value, words.words);
  throw UserError(fmt::format("configuration key {} must be one of {}, not \"{}\"{}", path, fmt::join(words.words, ", "), value,
                              nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest)));
}

void check(const std::string& path, std::int64_t value, const Among& numbers) {
  if (std::find(numbers.numbers.begin(), numbers.numbers.end(), value) == numbers.numbers.end())
    throw UserError(fmt::format("configuration key {} must be {}, not {}", path, describe(numbers), value));
}

Reader::Reader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
  if (!json_.is_object()) wrong_type(path_.empty() ? "(top level)" : path_, "group of keys { ... }", json_);
}

void Reader::finish() const {
  for (const auto& [key, value] : json_.items()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) unknown_key(path_, key, known_);
  }
}

}  // namespace config_detail

Json parse_config(const std::string& text, const std::string& origin) {
  std::vector<std::set<std::string>> open;
  std::optional<std::string> duplicate;
  const auto watch = [&](int /*depth*/, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
      duplicate = parsed.get<std::string>();
    return true;
  };
  Json json;
  try {
    json = Json::parse(text, watch, /*allow_exceptions=*/true, /*ignore_comments=*/true);
  } catch (const Json::exception& problem) {
    throw UserError(fmt::format("{} is not valid JSON: {}", origin, problem.what()));
  }
  if (duplicate) throw UserError(fmt::format("{} has the key \"{}\" twice; remove one", origin, *duplicate));
  return json;
}

Json load_config(const std::string& file) {
  std::ifstream in(file);
  std::stringstream text;
  if (!in || !(text << in.rdbuf())) throw UserError(fmt::format("cannot read the configuration {}; check the path", file));
  return parse_config(text.str(), file);
}

void set_config(Json& json, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) throw UserError(fmt::format("--set takes key=value, not \"{}\"", assignment));
  const std::string value = assignment.substr(equals + 1);
  const std::string key = assignment.substr(0, equals);
  if (key.front() == '.' || key.back() == '.' || key.find("..") != std::string::npos)
    throw UserError(fmt::format("--set has an empty part in the key of \"{}\"", assignment));
  Json* place = &json;
  std::stringstream path(key);
  for (std::string part; std::getline(path, part, '.');) {
    if (!place->is_object()) *place = Json::object();
    place = &(*place)[part];
  }
  Json parsed = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  *place = parsed.is_discarded() ? Json(value) : parsed;
}

std::string nearest_name(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 2) + 1;
  for (const std::string& candidate : known) {
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (word[i - 1] != candidate[j - 1])});
        diagonal = above;
      }
    }
    if (row.back() < best_distance) best_distance = row.back(), best = candidate;
  }
  return best;
}

}  // namespace swath
