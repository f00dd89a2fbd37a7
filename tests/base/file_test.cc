#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
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
  fs::path folder_;
};

TEST_F(FileTest, ReadsAnyPlaceOfAFile) {
  const InputFile file(make("a", std::string("bytes\0more", 10)));
  EXPECT_EQ(file.size(), 10u);
  EXPECT_EQ(file.text(0, 10), std::string("bytes\0more", 10));
  EXPECT_EQ(file.text(6, 4), "more");
  EXPECT_EQ(file.text(10, 0), "");
  EXPECT_EQ(file.path(), folder_ / "a");
  EXPECT_EQ(InputFile(make("empty", "")).size(), 0u);
}

TEST_F(FileTest, MovesKeepTheFile) {
  InputFile first(make("a", "first"));
  InputFile moved(std::move(first));
  EXPECT_EQ(moved.text(0, 5), "first");
  InputFile other(make("b", "second"));
  other = std::move(moved);
  EXPECT_EQ(other.text(0, 5), "first");
  EXPECT_EQ(other.path().filename(), "a");
}

TEST_F(FileTest, TellsFilesApart) {
  const FileId first = InputFile(make("a", "12345")).id();
  EXPECT_EQ(InputFile(folder_ / "a").id(), first);
  fs::resize_file(folder_ / "a", 4);
  EXPECT_NE(InputFile(folder_ / "a").id(), first);
  fs::rename(make("b", "12345"), folder_ / "a");
  EXPECT_NE(InputFile(folder_ / "a").id(), first);
}

TEST_F(FileTest, SaysThatAFileWasTruncatedWhileItWasRead) {
  const InputFile file(make("a", std::string(100'000, 'x')));
  fs::resize_file(folder_ / "a", 50'000);
  EXPECT_EQ(file.text(49'999, 1), "x");
  EXPECT_ERROR(file.text(49'999, 2), ErrorCode::kCorrupt,
               "a ended at byte 50000 while it was read: it had 100000 bytes when it was opened");
}

TEST_F(FileTest, RefusesWhatIsNoRegularFile) {
  EXPECT_ERROR(InputFile(folder_ / "none"), ErrorCode::kNotFound, "none");
  EXPECT_ERROR(InputFile(folder_), ErrorCode::kCorrupt, folder_.string() + " is a folder, not a file");
  EXPECT_ERROR(read_text_file("/dev/null", 10), ErrorCode::kCorrupt, "/dev/null is a device, not a file");
  EXPECT_ERROR(InputFile(make("a", "x") / "b"), ErrorCode::kNotFound, std::strerror(ENOTDIR));
}

TEST_F(FileTest, NeverWaitsForAPipe) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_ERROR(InputFile{pipe}, ErrorCode::kCorrupt, "pipe is a pipe, not a file");
  EXPECT_ERROR(read_text_file(pipe, 10), ErrorCode::kCorrupt, "pipe is a pipe, not a file");
}

TEST_F(FileTest, NamesASocket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (folder_ / "socket").string();
  if (path.size() >= sizeof address.sun_path) GTEST_SKIP() << "the folder for tests has too long a name";
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_ERROR(read_text_file(path, 10), ErrorCode::kCorrupt, "socket is a socket, not a file");
  ::close(fd);
}

TEST_F(FileTest, TellsKindsApart) {
  const fs::path file = make("a", "");
  EXPECT_TRUE(path_exists(file) && is_regular(file) && !is_folder(file));
  EXPECT_TRUE(path_exists(folder_) && is_folder(folder_) && !is_regular(folder_));
  EXPECT_TRUE(path_exists("/dev/null") && !is_folder("/dev/null") && !is_regular("/dev/null"));
  for (const fs::path& absent : {folder_ / "none", file / "below", fs::path()})
    EXPECT_FALSE(path_exists(absent) || is_folder(absent) || is_regular(absent)) << absent;
}

TEST_F(FileTest, ALinkThatLeadsNowhereIsNotNothing) {
  const fs::path link = folder_ / "link";
  fs::create_symlink("../blobs/0123", link);
  const char* says = "link is a link to ../blobs/0123, which is not there";
  EXPECT_ERROR(path_exists(link), ErrorCode::kCorrupt, says);
  EXPECT_ERROR(is_folder(link), ErrorCode::kCorrupt, says);
  EXPECT_ERROR(InputFile{link}, ErrorCode::kCorrupt, says);
  EXPECT_ERROR(read_text_file(link, 10), ErrorCode::kCorrupt, says);
  EXPECT_FALSE(path_exists(link / "below"));
  fs::remove(link);
  fs::create_symlink(make("there", "x"), link);
  EXPECT_EQ(read_text_file(link, 10), "x");
}

TEST_F(FileTest, SaysWhyItCannotLook) {
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_ERROR(path_exists(folder_ / "loop"), ErrorCode::kResource,
               "loop: " + std::string(std::strerror(ELOOP)));
  EXPECT_ERROR(read_text_file(folder_ / "loop", 1), ErrorCode::kResource, std::strerror(ELOOP));
  const fs::path long_name = folder_ / std::string(300, 'x');
  EXPECT_ERROR(is_folder(long_name), ErrorCode::kResource, std::strerror(ENAMETOOLONG));
  EXPECT_ERROR(is_regular(long_name), ErrorCode::kResource, "cannot look at " + folder_.string());
  EXPECT_ERROR(list_folder(long_name), ErrorCode::kResource, std::strerror(ENAMETOOLONG));
}

TEST_F(FileTest, ListsAFolderInOrder) {
  for (const char* name : {"b", "c", "a"}) make(name, "");
  EXPECT_EQ(list_folder(folder_), (std::vector<fs::path>{folder_ / "a", folder_ / "b", folder_ / "c"}));
  EXPECT_TRUE(list_folder("/proc/self/task").size() >= 1);
  EXPECT_ERROR(list_folder(folder_ / "none"), ErrorCode::kNotFound, "cannot list " + folder_.string());
  EXPECT_ERROR(list_folder(folder_ / "a"), ErrorCode::kNotFound, std::strerror(ENOTDIR));
}

TEST_F(FileTest, AbsolutePathsHaveALastName) {
  EXPECT_EQ(absolute_path("/a/./b/../c/"), "/a/c");
  EXPECT_EQ(absolute_path("/a/c"), "/a/c");
  EXPECT_EQ(absolute_path("x"), fs::current_path() / "x");
  EXPECT_EQ(absolute_path("/"), "/");
}

TEST(StandIn, SaysWhatTheFirstBytesShow) {
  const auto expect = [](std::string_view bytes, const std::string& part) {
    EXPECT_EQ(stand_in(bytes).empty(), part.empty()) << bytes;
    EXPECT_NE(stand_in(bytes).find(part), std::string::npos) << bytes;
  };
  expect("", "is empty");
  expect("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull");
  for (const char* page : {"<!DOCTYPE html>", "\n <HTML lang=\"en\">", "\xEF\xBB\xBF<html>",
                           "<?xml version=\"1.0\"?>", "<head>", "<body>", "<!-- x -->"})
    expect(page, "is a web page");
  expect(std::string_view("\xFF\xFE{\0", 4), "UTF-16");
  expect(std::string_view("\xFE\xFF\0{", 4), "UTF-16");
  for (const char* good : {"{}", "[gpt]\n", "\xEF\xBB\xBF{}", "PK\3\4", "<htm", "<", " ", "version 1", "\xFF",
                           "<@tml>", "<[tml>"})
    expect(good, "");
}

TEST_F(FileTest, RefusesStandIns) {
  EXPECT_NO_THROW(refuse_stand_in("{}", "f.json"));
  EXPECT_ERROR(refuse_stand_in("<html>", "f.json"), ErrorCode::kCorrupt, "f.json is a web page");
}

TEST_F(FileTest, ReadTextFileKeepsItsBound) {
  const fs::path path = make("t", "0123456789");
  EXPECT_EQ(read_text_file(path, 10), "0123456789");
  EXPECT_ERROR(read_text_file(path, 9), ErrorCode::kCorrupt, "more than the 9");
  EXPECT_ERROR(read_text_file(folder_ / "none", 9), ErrorCode::kNotFound, "cannot open " + folder_.string());
}

TEST_F(FileTest, SaysThatAFileEndedBeforeItsSize) {
  const fs::path short_one =
      "/sys/kernel/mm/transparent_hugepage/enabled";  // sysfs gives a page as the size of all
  if (::access(short_one.c_str(), R_OK) != 0) GTEST_SKIP() << "no " << short_one << " on this machine";
  EXPECT_ERROR(read_text_file(short_one, 1 << 20), ErrorCode::kCorrupt, "it ended after ");
}

// What a signal interrupts is tried again, and a write that took a part goes on.
TEST_F(FileTest, WritesToAPipeInParts) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, &before);
  std::string text(300'000, '\0');  // a pipe holds 65,536
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i % 251);
  const pid_t reader = ::fork();
  if (reader == 0) {
    const int fd = ::open(pipe.c_str(), O_RDONLY);
    std::string got, block(65'536, '\0');
    for (;;) {
      // The first signal ends a write that put in a part, the second one that waits with nothing put in yet.
      for (int i = 0; i < 2 && !got.empty() && got.size() < text.size(); ++i) {
        ::usleep(2000);
        ::kill(::getppid(), SIGUSR1);
      }
      const ssize_t count = ::read(fd, block.data(), block.size());
      if (count <= 0) break;
      got.append(block.data(), static_cast<size_t>(count));
    }
    ::_exit(got == text ? 0 : 1);
  }
  write_text_file(pipe, text);
  int status = 0;
  while (::waitpid(reader, &status, 0) < 0 && errno == EINTR) {
  }
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(status, 0);
}

TEST_F(FileTest, SyncsFilesAndFolders) {
  EXPECT_NO_THROW(sync_path(make("a", "x")));
  EXPECT_NO_THROW(sync_path(folder_));
  EXPECT_NO_THROW(sync_path("/dev/null"));  // EINVAL: it has no such notion
  EXPECT_ERROR(sync_path(folder_ / "none"), ErrorCode::kResource, "none");
}

TEST_F(FileTest, WritesAndTruncates) {
  write_text_file(folder_ / "w", "a longer text");
  write_text_file(folder_ / "w", "short");
  EXPECT_EQ(read_text_file(folder_ / "w", 100), "short");
}

// A program that was started without a standard input gets number 0 for a file.
TEST_F(FileTest, DescriptorZeroIsAsGoodAsAny) {
  const int kept = ::dup(0);
  ::close(0);
  const auto next_is_zero = [] {
    const int fd = ::open("/dev/null", O_RDONLY);
    if (fd >= 0) ::close(fd);
    return fd == 0;
  };
  write_text_file(folder_ / "a", "text");
  EXPECT_TRUE(next_is_zero());
  EXPECT_EQ(read_text_file(folder_ / "a", 10), "text");
  EXPECT_TRUE(next_is_zero());
  EXPECT_NO_THROW(sync_path(folder_ / "a"));
  EXPECT_TRUE(next_is_zero());
  {
    InputFile file(folder_ / "a");
    EXPECT_FALSE(next_is_zero());
    const InputFile moved(std::move(file));
    EXPECT_EQ(moved.text(1, 2), "ex");
  }
  EXPECT_TRUE(next_is_zero());
  if (kept >= 0) {
    ::dup2(kept, 0);
    ::close(kept);
  }
}

TEST_F(FileTest, SaysWhyItCannotWrite) {
  EXPECT_ERROR(write_text_file(folder_ / "no" / "w", "x"), ErrorCode::kResource, "cannot create");
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full on this machine";
  EXPECT_ERROR(write_text_file("/dev/full", "x"), ErrorCode::kResource, std::strerror(ENOSPC));
}

}  // namespace
}  // namespace bolide
