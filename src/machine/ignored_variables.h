#pragma once

namespace bolide {

// Warns, once a process, of FasterTransformer's environment variables that are set and have no effect here,
// so that nobody takes their silence for their effect. docs/commands.md lists them.
void warn_ignored_variables();

}  // namespace bolide
