// The peer of the notification benchmark: a bare recvmmsg loop that takes a
// backlog of route notifications off a socket and looks at the header of each
// datagram only. "prepare BUFFER" opens the socket, "drain" empties and closes
// it; each prints a line of JSON.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 32768 };

static char bufs[BATCH][SIZE] __attribute__((aligned(8)));
static struct sockaddr_nl names[BATCH];
static struct iovec iovs[BATCH];
static struct mmsghdr msgs[BATCH];

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

static void fail(const char *what)
{
	printf("{\"error\":\"%s: %s\"}\n", what, strerror(errno));
	fflush(stdout);
	exit(1);
}

static int prepare(int size)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	int groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) ||
	    bind(fd, (struct sockaddr *)&self, sizeof self))
		fail("open socket");
	for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof *groups))
			fail("join group");
	for (int i = 0; i < BATCH; i++) {
		iovs[i] = (struct iovec){ bufs[i], SIZE };
		msgs[i].msg_hdr = (struct msghdr){ .msg_name = &names[i], .msg_iov = &iovs[i], .msg_iovlen = 1 };
	}
	return fd;
}

static long drain(int fd)
{
	long routes = 0;

	for (;;) {
		int n;

		for (int i = 0; i < BATCH; i++)
			msgs[i].msg_hdr.msg_namelen = sizeof names[i];
		n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
		if (n < 0 && errno == EAGAIN)
			return routes;
		if (n < 0)
			fail("recvmmsg");
		for (int i = 0; i < n; i++) {
			int type = ((struct nlmsghdr *)bufs[i])->nlmsg_type;

			routes += type == RTM_NEWROUTE || type == RTM_DELROUTE;
		}
	}
}

int main(void)
{
	char line[256];
	int fd = -1;

	while (fgets(line, sizeof line, stdin)) {
		long long c = cpu(), w = wall();
		long n = 0;

		if (!strncmp(line, "prepare ", 8)) {
			fd = prepare(atoi(line + 8));
		} else {
			n = drain(fd);
			c = cpu() - c, w = wall() - w;
			close(fd);
			printf("{\"cpu\":%lld,\"wall\":%lld,\"n\":%ld}\n", c, w, n);
			fflush(stdout);
			continue;
		}
		printf("{}\n");
		fflush(stdout);
	}
	return 0;
}
