#include "weights/name_table.h"

#include <algorithm>
#include <optional>

namespace bolide {
namespace {

// What "*" of the pattern stands for in `name`: "" without one. No value where they differ.
std::optional<std::string_view> match(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == pattern.npos) return pattern == name ? std::optional<std::string_view>("") : std::nullopt;
  const std::string_view before = pattern.substr(0, star), after = pattern.substr(star + 1);
  if (name.size() <= before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after))
    return std::nullopt;
  const std::string_view middle = name.substr(before.size(), name.size() - before.size() - after.size());
  return middle.find('.') == middle.npos ? std::optional(middle) : std::nullopt;
}

std::string filled(std::string_view stored, std::string_view layer) {
  const size_t star = stored.find('*');
  if (star == stored.npos) return std::string(stored);
  return fmt::format("{}{}{}", stored.substr(0, star), layer, stored.substr(star + 1));
}

// The stored name of the weight `canonical` in this row; its part is not looked at.
std::optional<std::string> stored_name(const NameRow& row, std::string_view canonical) {
  const std::string_view pattern = row.canonical.substr(0, row.canonical.find('/'));
  if (const auto layer = match(pattern, canonical)) return filled(row.stored, *layer);
  const size_t dot = canonical.rfind('.');
  if (dot == canonical.npos) return std::nullopt;
  const auto layer = match(pattern, canonical.substr(0, dot));
  if (!layer) return std::nullopt;
  return filled(row.stored, *layer) + std::string(canonical.substr(dot));
}

void add_names(WeightSource& source, const std::string& name, std::string_view prefix) {
  const auto add = [&](std::string one) {
    if (std::find(source.names.begin(), source.names.end(), one) == source.names.end())
      source.names.push_back(std::move(one));
  };
  add(name);
  if (prefix.empty()) return;
  add(name.starts_with(prefix) ? name.substr(prefix.size()) : std::string(prefix) + name);
}

}  // namespace

std::vector<WeightSource> sources_of(const WeightSpec& spec, const NameTable& table) {
  const std::vector<WeightPart> parts = parts_of(spec);
  std::vector<WeightSource> sources;
  const auto add = [&](const NameRow& row, std::string_view prefix, const std::string& name, int64_t head) {
    BOLIDE_CHECK(row.skipped_rows == 0 || row.layout == Layout::kAsIs);
    WeightSource wanted{.names = {},
                        .layout = row.layout,
                        .first_part = 0,
                        .parts = parts.size(),
                        .skipped_rows = row.skipped_rows,
                        .head = head};
    if (const size_t slash = row.canonical.find('/'); slash != row.canonical.npos) {
      const std::string_view part = row.canonical.substr(slash + 1);
      const auto found =
          std::find_if(parts.begin(), parts.end(), [&](const WeightPart& p) { return p.name == part; });
      BOLIDE_CHECK(found != parts.end(), "'{}' has no part '{}'", spec.name, part);
      wanted.first_part = static_cast<size_t>(found - parts.begin());
      wanted.parts = 1;
    }
    for (WeightSource& source : sources) {
      if (source.first_part != wanted.first_part || source.parts != wanted.parts || source.head != head)
        continue;
      BOLIDE_CHECK(source.layout == wanted.layout && source.skipped_rows == wanted.skipped_rows,
                   "'{}' has names of two layouts", spec.name);
      return add_names(source, name, prefix);
    }
    add_names(wanted, name, prefix);
    sources.push_back(std::move(wanted));
  };
  const auto add_row = [&](const NameRow& row, std::string_view prefix, const std::string& name) {
    if (row.layout != Layout::kTensorPerHead) return add(row, prefix, name, -1);
    BOLIDE_CHECK(parts.size() == 1 && parts[0].heads > 0 && !spec.is_matrix(), "'{}' has no heads",
                 spec.name);
    for (int64_t head = 0; head < parts[0].heads; ++head)
      add(row, prefix, filled(name, std::to_string(head)), head);
  };
  for (const std::string* canonical : {&spec.name, &spec.alias}) {
    bool found = false;
    for (const NameTable* rows = &table; rows && !found; rows = rows->base) {
      for (const NameRow& row : rows->rows) {
        const auto name = stored_name(row, *canonical);
        if (name) add_row(row, rows->optional_prefix, *name);
        found = found || name;
      }
    }
  }
  std::sort(sources.begin(), sources.end(), [](const WeightSource& a, const WeightSource& b) {
    return a.first_part != b.first_part ? a.first_part < b.first_part : a.head < b.head;
  });
  size_t next = 0;
  for (const WeightSource& source : sources) {
    if (source.head > 0) continue;  // the part of the head before
    BOLIDE_CHECK(source.first_part == next, "parts of '{}' are in no tensor, or in two", spec.name);
    next += source.parts;
  }
  BOLIDE_CHECK(next == parts.size(), "no row of the table names '{}'", spec.name);
  return sources;
}

Shape stored_shape(const WeightSpec& spec, const WeightSource& source) {
  const std::vector<WeightPart> parts = parts_of(spec);
  int64_t rows = source.skipped_rows;
  for (size_t p = 0; p < source.parts; ++p) rows += parts[source.first_part + p].rows;
  if (source.head >= 0) return {rows / parts[source.first_part].heads};
  const auto count = static_cast<int64_t>(source.parts);
  if (source.layout == Layout::kTransposedParts && count > 1)
    return spec.is_matrix() ? Shape{spec.cols(), count, rows / count} : Shape{count, rows / count};
  if (!spec.is_matrix()) return {rows};
  const bool turned = source.layout == Layout::kTransposed || source.layout == Layout::kTransposedParts;
  return turned ? Shape{spec.cols(), rows} : Shape{rows, spec.cols()};
}

bool is_buffer(const NameTable& table, std::string_view name) {
  for (const NameTable* one = &table; one; one = one->base)
    for (const std::string_view pattern : one->ignored)
      if (matches_name(pattern, name)) return true;
  return false;
}

std::string find_name(const TensorSource& checkpoint, const WeightSource& source) {
  for (const std::string& name : source.names)
    if (checkpoint.contains(name)) return name;
  return {};
}

bool matches_name(std::string_view pattern, std::string_view name) {
  // Component by component, the last one first.
  while (true) {
    const size_t wanted = pattern.rfind('.'), given = name.rfind('.');
    const std::string_view last = pattern.substr(wanted == std::string_view::npos ? 0 : wanted + 1);
    if (last != "*" && last != name.substr(given == std::string_view::npos ? 0 : given + 1)) return false;
    if (wanted == std::string_view::npos) return true;
    if (given == std::string_view::npos) return false;
    pattern = pattern.substr(0, wanted);
    name = name.substr(0, given);
  }
}

}  // namespace bolide
