#include "base/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "support/expect_error.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("bolide_file_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path make(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }
  static std::string text(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.size()};
  }
  fs::path folder_;
};

TEST_F(FileTest, MapsAFile) {
  const MappedFile file(make("a", std::string("bytes\0more", 10)));
  EXPECT_EQ(text(file), std::string("bytes\0more", 10));
  EXPECT_EQ(file.path(), folder_ / "a");
}

TEST_F(FileTest, MapsAnEmptyFile) {
  const MappedFile file(make("empty", ""));
  EXPECT_EQ(file.size(), 0u);
  EXPECT_TRUE(file.bytes().empty());
  file.release(0, 0);
}

TEST_F(FileTest, MovesKeepTheMapping) {
  MappedFile first(make("a", "first"));
  const std::byte* data = first.bytes().data();
  MappedFile moved(std::move(first));
  EXPECT_EQ(moved.bytes().data(), data);
  MappedFile other(make("b", "second"));
  other = std::move(moved);
  EXPECT_EQ(text(other), "first");
  EXPECT_EQ(other.path().filename(), "a");
}

TEST_F(FileTest, ReleasedBytesReadTheSameAgain) {
  std::string content;
  for (int i = 0; i < 20000; ++i) content += static_cast<char>('a' + i % 26);
  const MappedFile file(make("big", content));
  file.release(100, 15000);
  file.release(19990, 10);
  file.release(0, content.size());
  EXPECT_EQ(text(file), content);
}

TEST_F(FileTest, RefusesWhatIsNoRegularFile) {
  EXPECT_ERROR(MappedFile(folder_ / "none"), ErrorCode::kNotFound, "none");
  EXPECT_ERROR(MappedFile(folder_), ErrorCode::kNotFound, folder_.string());
  EXPECT_ERROR(read_text_file("/dev/null", 10), ErrorCode::kNotFound, "/dev/null is not a regular file");
}

TEST_F(FileTest, ReadTextFileKeepsItsBound) {
  const fs::path path = make("t", "0123456789");
  EXPECT_EQ(read_text_file(path, 10), "0123456789");
  EXPECT_ERROR(read_text_file(path, 9), ErrorCode::kCorrupt, "more than the 9");
}

TEST_F(FileTest, WritesAndTruncates) {
  write_text_file(folder_ / "w", "a longer text");
  write_text_file(folder_ / "w", "short");
  EXPECT_EQ(read_text_file(folder_ / "w", 100), "short");
}

TEST_F(FileTest, SaysWhyItCannotWrite) {
  EXPECT_ERROR(write_text_file(folder_ / "no" / "w", "x"), ErrorCode::kResource, "cannot create");
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full on this machine";
  EXPECT_ERROR(write_text_file("/dev/full", "x"), ErrorCode::kResource, std::strerror(ENOSPC));
}

}  // namespace
}  // namespace bolide
