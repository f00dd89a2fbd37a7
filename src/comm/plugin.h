#pragma once

namespace bolide {

// The address of `symbol` in the shared library `file`, which stays loaded. It is looked for in the folders
// of $BOLIDE_PLUGIN_PATH, beside the running program, in ../lib/bolide from there, and where this build put
// it. `feature` and `install` are for the message of kUnsupported: what is off, and what turns it on.
void* load_plugin(const char* file, const char* symbol, const char* feature, const char* install);

}  // namespace bolide
