// One rank of a run that transport_test.cc starts: transport_rank mpi|gloo SCENARIO. Exits 0 if all went
// well; after an error of the transport, prints it behind "rank N: " and exits 1.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

#include "bolide/error.h"
#include "comm/launcher.h"
#include "comm/transport.h"
#include "comm/transport_conformance.h"

namespace bolide {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

void wait_for(Transport& world, int from) {
  std::byte data[64];
  world.receive(from, Channel::kResult, data);
}

void run(Transport& world, const std::string& scenario) {
  world.at("the conformance");
  check_conformance(world);
  world.at("step 17");
  const int last = world.size() - 1;
  if (scenario == "conform") {
    return;
  } else if (scenario == "silent") {
    if (world.rank() == 1) {
      std::this_thread::sleep_for(3s);
    } else {
      wait_for(world, 1);
    }
  } else if (scenario == "killed") {
    if (world.rank() == 1) {
      std::this_thread::sleep_for(200ms);
      raise(SIGKILL);
    }
    wait_for(world, 1);
  } else if (scenario == "aborted") {
    // The others wait for each other, not for the rank that ends.
    if (world.rank() == 1) {
      std::this_thread::sleep_for(200ms);
      world.abort("it is out of pages");
      std::this_thread::sleep_for(1s);
      std::_Exit(3);
    }
    wait_for(world, world.rank() == 0 ? last : 0);
  } else if (scenario == "told") {
    // The last rank dies, rank 1 has missed it and says so, rank 0 waits for rank 1.
    if (world.rank() == last) raise(SIGKILL);
    std::this_thread::sleep_for(300ms);
    if (world.rank() == 1) {
      world.abort("it missed the last rank");
      std::_Exit(3);
    }
    wait_for(world, 1);
  } else if (scenario == "short") {
    const std::byte data[8] = {};
    if (world.rank() == 0) {
      wait_for(world, 1);
    } else {
      if (world.rank() == 1) world.send(0, Channel::kResult, data);
      wait_for(world, 0);
    }
  } else if (scenario == "talk") {  // until something happens
    for (;; std::this_thread::sleep_for(10ms)) world.barrier(Channel::kStart);
  } else if (scenario == "busy") {
    // A large message moves while its sender computes and so does not call the transport.
    std::vector<std::byte> data(size_t{8} << 20);
    if (world.rank() == 0) {
      world.barrier(Channel::kStart);
      const auto begin = std::chrono::steady_clock::now();
      world.receive(1, Channel::kTensor, data);
      if (std::chrono::steady_clock::now() - begin > 800ms) throw std::runtime_error("the message came late");
    } else {
      world.barrier(Channel::kStart);
      if (world.rank() == 1) {
        world.send(0, Channel::kTensor, data);
        std::this_thread::sleep_for(1500ms);
      }
    }
  } else {
    throw std::runtime_error("no scenario " + scenario);
  }
}

int main_of_rank(const std::string& kind, const std::string& scenario) {
  const Launch launch = read_launch();
  const auto timeout = scenario == "silent" ? 1s : scenario == "talk" ? 3s : 30s;
  std::unique_ptr<Transport> world;
  try {
    world = kind == "mpi"
                ? make_mpi_transport(timeout)
                : make_gloo_transport({.rank = launch.rank, .size = launch.size, .address = launch.address},
                                      timeout);
    run(*world, scenario);
  } catch (const std::exception& error) {
    // One write, so that lines of several ranks do not mix.
    const std::string line = "rank " + std::to_string(launch.rank) + ": " + error.what() + "\n";
    std::fputs(line.c_str(), stderr);
    if (world) world->abort(error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace bolide

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return bolide::main_of_rank(argv[1], argv[2]);
}
