// The peer of the dump benchmark: dumps all routes with strict checking into a
// buffer of 32 KiB and walks every attribute of every message, as a program has
// to that wants to use any of them. For each line on its standard input it does
// one dump and prints a line of JSON.
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000LL +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000LL;
}

static long long wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int fail(const char *what)
{
	printf("{\"error\":\"%s: %s\"}\n", what, strerror(errno));
	fflush(stdout);
	return 1;
}

static char buf[32768] __attribute__((aligned(8)));

// One dump; returns the number of routes, or -1. *sum keeps the compiler from
// leaving the walk out.
static long dump(int fd, unsigned long *sum)
{
	struct {
		struct nlmsghdr h;
		struct rtmsg r;
	} req = { .h = { .nlmsg_len = sizeof req, .nlmsg_type = RTM_GETROUTE,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 1 } };
	long routes = 0;

	if (send(fd, &req, sizeof req, 0) < 0)
		return -1;
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof buf, MSG_TRUNC);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;

		if (n < 0)
			return -1;
		if (n > (ssize_t)sizeof buf) {
			errno = EMSGSIZE;
			return -1;
		}
		for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			struct rtmsg *r = NLMSG_DATA(h);
			struct rtattr *a = RTM_RTA(r);
			int left = RTM_PAYLOAD(h);

			if (h->nlmsg_type == NLMSG_DONE)
				return routes;
			if (h->nlmsg_type == NLMSG_ERROR) {
				errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
				return -1;
			}
			if (h->nlmsg_type != RTM_NEWROUTE)
				continue;
			routes++;
			*sum += r->rtm_dst_len;
			for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
				if (RTA_PAYLOAD(a) >= 4)
					*sum += a->rta_type ^ *(unsigned *)RTA_DATA(a);
		}
	}
}

int main(void)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int one = 1, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	unsigned long sum = 0;
	char line[256];

	if (fd < 0 || setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one) ||
	    connect(fd, (struct sockaddr *)&kernel, sizeof kernel))
		return fail("open socket");
	while (fgets(line, sizeof line, stdin)) {
		long long c = cpu(), w = wall();
		long n = dump(fd, &sum);

		if (n < 0)
			return fail("dump");
		printf("{\"cpu\":%lld,\"wall\":%lld,\"n\":%ld,\"values\":{\"sum\":%lu}}\n",
		       cpu() - c, wall() - w, n, sum & 0xffffff);
		fflush(stdout);
	}
	return 0;
}
