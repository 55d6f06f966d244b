#include <stdio.h>

const char *gauge_version(void);

int main(void)
{
	printf("%s from %s, %s, pkg-config %s\n", GREETING, MACHINE, gauge_version(), MODULE);
	return 0;
}
