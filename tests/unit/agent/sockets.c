// SPDX-License-Identifier: Apache-2.0
#include "agent/sockets.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD "  sl  local_address rem_address   st tx_queue rx_queue\n"

Test(sockets, what_counts_as_listening)
{
	static const struct {
		const char *line;
		bool listens;
	} cases[] = {
		{"   0: 00000000:1F90 00000000:0000 0A 00000000:00000000", true},
		{"   0: 0B00007F:8D3B 00000000:0000 0A 00000000:00000000",
		 false}, /* the engine's DNS */
		{"   0: 020011AC:1F90 00000000:0000 0A 00000000:00000000", true},
		{"   0: 020011AC:1F90 030011AC:0050 01 00000000:00000000", false}, /* connected */
		{"   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0",
		 true},
		{"   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0",
		 false},
		{"   0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 0",
		 false},
		{"garbage", false},
		{"", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), HEAD "%s\n", cases[i].line);
		cr_expect_eq(drpc_sockets_text_listens(text), cases[i].listens, "%s",
			     cases[i].line);
	}
	cr_expect_not(drpc_sockets_text_listens(""));
}

Test(sockets, of_this_process)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	cr_expect_eq(drpc_sockets_listen(getpid()), 1);
	cr_expect_lt(drpc_sockets_listen(0x7fffffff), 0);
	close(fd);
}

Test(sockets, node_cpu)
{
	uint64_t all = 0, idle = 0;

	cr_assert_eq(drpc_sockets_node_cpu(&all, &idle), 0);
	cr_expect_gt(all, 0);
	cr_expect_leq(idle, all);
}
