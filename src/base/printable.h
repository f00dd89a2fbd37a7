#pragma once

#include "bolide/error.h"  // printable() and one_line()
