// Our own all-reduce and all-gather between processes, whose memory meets through CUDA's IPC. This program
// starts itself again for each rank, which finds its rank and its sockets in the environment.
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <random>

#include "comm/cuda/one_shot.h"
#include "comm/gpu_pattern.h"
#include "comm/gpu_test.h"

extern char** environ;

namespace bolide::test {
namespace {

using std::chrono_literals::operator""s;

// Messages over a socket to each other rank. Small ones, and of one channel at a time.
class SocketTransport final : public Transport {
 public:
  SocketTransport(int rank, std::vector<int> sockets, std::chrono::duration<double> timeout)
      : Transport(rank, static_cast<int>(sockets.size()), timeout), sockets_(std::move(sockets)) {}
  std::string_view name() const override { return "sockets"; }
  void send(int to, Channel, std::span<const std::byte> data) override {
    while (!data.empty()) {
      const ssize_t sent = ::send(sockets_[static_cast<size_t>(to)], data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) fail_gone(to, "its socket is closed");
      data = data.subspan(static_cast<size_t>(sent));
    }
  }
  void receive(int from, Channel, std::span<std::byte> data) override {
    const int socket = sockets_[static_cast<size_t>(from)];
    while (!data.empty()) {
      pollfd ready = {.fd = socket, .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, static_cast<int>(timeout().count() * 1000)) <= 0) fail_silent(from);
      const ssize_t got = recv(socket, data.data(), data.size(), 0);
      if (got <= 0) fail_gone(from, "its socket is closed");
      data = data.subspan(static_cast<size_t>(got));
    }
  }
  void abort(const std::string&) noexcept override {
    for (int socket : sockets_)
      if (socket >= 0) shutdown(socket, SHUT_RDWR);
  }

 private:
  std::vector<int> sockets_;  // by rank; -1 for this one
};

int number(const char* variable) {
  const char* text = std::getenv(variable);
  BOLIDE_CHECK(text, "{}", variable);
  return std::atoi(text);
}

std::vector<int> sockets_of_rank(int size) {
  std::vector<int> sockets(static_cast<size_t>(size), -1);
  for (int rank = 0; rank < size; ++rank)
    sockets[static_cast<size_t>(rank)] = number(fmt::format("BOLIDE_TEST_SOCKET{}", rank).c_str());
  return sockets;
}

// A rank's process. 0: all calls gave what they must; 3: the rank that dies has done so.
int run_rank() {
  const int rank = number("BOLIDE_TEST_RANK"), size = number("BOLIDE_TEST_SIZE");
  const int device = number("BOLIDE_TEST_DEVICE");
  const int calls = number("BOLIDE_TEST_CALLS"), dies = number("BOLIDE_TEST_DIES");
  SocketTransport world(rank, sockets_of_rank(size), 20s);
  use_cuda_device(device);
  load_pattern_kernels();
  const Stream stream(Device::kCuda);
  const Context context = {.device = Device::kCuda, .device_index = device, .stream = stream.get()};
  std::vector<int> group;
  for (int r = 0; r < size; ++r) group.push_back(r);
  const Tensor memory = Tensor::allocate({2 << 20}, DType::kU8, Device::kCuda);
  const Tensor mismatches = Tensor::zeros({1}, DType::kI32, Device::kCuda);
  auto* wrong = reinterpret_cast<uint32_t*>(mismatches.as<int32_t>());
  const auto comm = make_one_shot_communicator(context, world, group, Channel::kTensor,
                                               std::make_unique<NoLibrary>(size, rank));
  if (comm->name() != "one_shot") fail(ErrorCode::kInternal, "rank {}: see the log for why not", rank);
  std::mt19937 random(5);  // the same for all
  for (int call = 0; call < calls; ++call) {
    if (rank == dies && call == calls / 2) {
      synchronize(context);
      _exit(3);
    }
    if (random() % 3 == 0) {
      const auto bytes = static_cast<int64_t>(1 + random() % (1u << random() % 17));
      const View x(memory.view().data, DType::kU8, {bytes}, Device::kCuda);
      const View y(memory.as<uint8_t>() + (1 << 20), DType::kU8, {size, bytes}, Device::kCuda);
      fill_bytes(context, x, static_cast<uint32_t>(call), rank);
      comm->all_gather(context, x, y);
      count_wrong_bytes(context, y, static_cast<uint32_t>(call), size, wrong);
      continue;
    }
    const DType dtype = std::array{DType::kF32, DType::kF16, DType::kBF16}[random() % 3];
    const auto count = static_cast<int64_t>(1 + random() % (1u << random() % 19));
    const View x(memory.view().data, dtype, {count}, Device::kCuda);
    fill_pattern(context, x, static_cast<uint32_t>(call), rank);
    comm->all_reduce(context, x);
    count_mismatches(context, x, static_cast<uint32_t>(call), size, 1, wrong);
  }
  int32_t found = -1;
  copy_to_host(context, &found, wrong, sizeof(found));
  synchronize(context);
  comm->check();
  fmt::print("rank {} of {} on GPU {}: {} calls, {} mismatches\n", rank, size, device, calls, found);
  world.barrier(Channel::kStart);
  return found == 0 ? 0 : 1;
}

class GpuProcesses : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    devices_ = devices_of(GetParam());
    if (devices_.empty()) GTEST_SKIP() << too_few(GetParam());
  }

  // The ranks' exit codes. `dies`: a rank that ends half-way, or -1.
  std::vector<int> run(int calls, int dies) const {
    const size_t size = devices_.size();
    std::vector<std::vector<int>> sockets(size);
    for (std::vector<int>& row : sockets) row.assign(size, -1);
    for (size_t a = 0; a < size; ++a) {
      for (size_t b = a + 1; b < size; ++b) {
        int pair[2];
        BOLIDE_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        sockets[a][b] = pair[0];
        sockets[b][a] = pair[1];
      }
    }
    std::vector<pid_t> children;
    for (size_t rank = 0; rank < size; ++rank)
      children.push_back(start(sockets, static_cast<int>(rank), calls, dies));
    for (const auto& row : sockets)
      for (int socket : row)
        if (socket >= 0) close(socket);
    std::vector<int> codes;
    for (pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      codes.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
    }
    return codes;
  }

  std::vector<int> devices_;

 private:
  pid_t start(const std::vector<std::vector<int>>& sockets, int rank, int calls, int dies) const {
    std::vector<std::string> variables = {
        fmt::format("BOLIDE_TEST_RANK={}", rank),
        fmt::format("BOLIDE_TEST_DEVICE={}", devices_[static_cast<size_t>(rank)]),
        fmt::format("BOLIDE_TEST_CALLS={}", calls), fmt::format("BOLIDE_TEST_DIES={}", dies),
        fmt::format("BOLIDE_TEST_SIZE={}", sockets.size())};
    for (size_t other = 0; other < sockets.size(); ++other)
      variables.push_back(
          fmt::format("BOLIDE_TEST_SOCKET{}={}", other, sockets[static_cast<size_t>(rank)][other]));
    std::vector<char*> environment;
    for (std::string& variable : variables) environment.push_back(variable.data());
    for (char** variable = environ; *variable; ++variable) environment.push_back(*variable);
    environment.push_back(nullptr);
    // A rank must not hold the other ranks' sockets: a dead rank's would stay open.
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (size_t other = 0; other < sockets.size(); ++other)
      for (int socket : sockets[other])
        if (other != static_cast<size_t>(rank) && socket >= 0)
          posix_spawn_file_actions_addclose(&actions, socket);
    std::string name = "rank";
    char* arguments[] = {name.data(), nullptr};
    pid_t child = -1;
    const int status =
        posix_spawn(&child, "/proc/self/exe", &actions, nullptr, arguments, environment.data());
    posix_spawn_file_actions_destroy(&actions);
    BOLIDE_CHECK(status == 0, "posix_spawn: {}", status);
    return child;
  }
};

// Ranks that share a GPU take turns on it by the millisecond, so there are few calls.
TEST_P(GpuProcesses, SumsAndGathersThroughIpc) {
  const int calls = GetParam().gpus == 1 ? 50 : 3000;
  EXPECT_EQ(run(calls, -1), std::vector<int>(devices_.size(), 0));
}

TEST_P(GpuProcesses, ADeadProcessEndsTheOthers) {
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<int> codes = run(20, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
  for (size_t rank = 0; rank < codes.size(); ++rank) EXPECT_EQ(codes[rank], rank == 1 ? 3 : 2) << rank;
}

INSTANTIATE_TEST_SUITE_P(, GpuProcesses,
                         testing::Values(Place{"OneGpuAsTwoRanks", 1, 2}, Place{"TwoGpus", 2, 2},
                                         Place{"AllGpus", 0, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace

int rank_main() {
  try {
    return run_rank();
  } catch (const Error& error) {
    fmt::print(stderr, "rank: {}\n", error.what());
    return error.code() == ErrorCode::kResource ? 2 : 1;
  }
}

}  // namespace bolide::test

int main(int argc, char** argv) {
  if (std::getenv("BOLIDE_TEST_RANK")) return bolide::test::rank_main();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
