#include <stdio.h>
#include <sys/utsname.h>

int main(void)
{
	struct utsname u;
	if (uname(&u) != 0)
		return 1;
	printf("%s, %d bits", u.machine, (int)sizeof(void *) * 8);
	return 0;
}
