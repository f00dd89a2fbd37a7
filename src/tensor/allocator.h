#pragma once

#include <cstddef>
#include <memory>

namespace bolide {

// 64-byte aligned host memory. From 2 MiB on it is aligned to and advised for huge pages: with 4 KiB pages,
// TLB misses cost a streaming read of the weights a measurable share of DRAM bandwidth. Throws kResource
// naming the size.
std::shared_ptr<std::byte> allocate_host(size_t bytes);

// Bytes that allocate_host() has given out and that still live, and the most that ever lived at once.
// Thread-safe.
size_t host_bytes_in_use();
size_t host_bytes_peak();

}  // namespace bolide
