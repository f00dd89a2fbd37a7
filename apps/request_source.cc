#include "apps/request_source.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

#include "apps/lines.h"
#include "apps/request_jsonl.h"

namespace bolide::apps {
namespace {

class LinesSource : public RequestSource {
 public:
  LinesSource(const std::string& path, Request defaults) : lines_(path), defaults_(std::move(defaults)) {}

  bool next(Request& request, const std::function<bool()>& stopped) override {
    std::string line;
    do {
      if (!lines_.next(line, stopped)) return false;
    } while (is_blank(line));
    request = request_of(line, defaults_);
    return true;
  }
  std::string where() const override { return lines_.where(); }

 protected:
  virtual Request request_of(const std::string& line, const Request& defaults) = 0;

 private:
  LineReader lines_;
  Request defaults_;
};

class JsonlSource final : public LinesSource {
 public:
  JsonlSource(const std::string& path, Request defaults, Warnings* idle)
      : LinesSource(path, std::move(defaults)), idle_(idle) {}

 private:
  Request request_of(const std::string& line, const Request& defaults) override {
    return parse_request(line, where(), defaults, idle_);
  }
  Warnings* idle_;
};

class TextSource final : public LinesSource {
  using LinesSource::LinesSource;
  Request request_of(const std::string& line, const Request& defaults) override {
    Request request = defaults;
    request.prompt = line;
    return request;
  }
};

class ListSource final : public RequestSource {
 public:
  ListSource(std::vector<NamedRequest> requests, ErrorCode fault)
      : requests_(std::move(requests)), fault_(fault) {}
  bool next(Request& request, const std::function<bool()>&) override {
    if (next_ == requests_.size()) return false;
    request = std::move(requests_[next_++].request);
    return true;
  }
  std::string where() const override { return requests_[next_ - 1].where; }
  ErrorCode fault() const override { return fault_; }

 private:
  std::vector<NamedRequest> requests_;
  ErrorCode fault_;
  size_t next_ = 0;
};

}  // namespace

std::unique_ptr<RequestSource> jsonl_source(const std::string& path, Request defaults, Warnings* idle) {
  return std::make_unique<JsonlSource>(path, std::move(defaults), idle);
}
std::unique_ptr<RequestSource> text_source(const std::string& path, Request defaults) {
  return std::make_unique<TextSource>(path, std::move(defaults));
}

int64_t count_requests(const std::string& path) {
  struct stat status {};
  if (path == "-" || ::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  LineReader lines(path);
  int64_t count = 0;
  for (std::string line; lines.next(line);) count += !is_blank(line);
  return count;
}

std::unique_ptr<RequestSource> list_source(std::vector<NamedRequest> requests, ErrorCode fault) {
  return std::make_unique<ListSource>(std::move(requests), fault);
}

}  // namespace bolide::apps
