#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bolide {

// A port that was free a moment ago.
inline int free_port() {
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  const bool bound = bind(file, reinterpret_cast<sockaddr*>(&address), bytes) == 0 &&
                     getsockname(file, reinterpret_cast<sockaddr*>(&address), &bytes) == 0;
  close(file);
  return bound ? ntohs(address.sin_port) : 0;
}

}  // namespace bolide
