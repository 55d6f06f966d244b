#include <string>
#include <zlib.h>

extern "C" const char *gauge_version(void)
{
	static const std::string version = std::string("zlib ") + zlibVersion();
	return version.c_str();
}
