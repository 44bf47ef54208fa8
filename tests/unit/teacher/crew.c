// SPDX-License-Identifier: Apache-2.0
#include "teacher/crew.h"

#include <criterion/criterion.h>
#include <errno.h>

#define PIECES 1000

static int mark(void *arg, size_t piece)
{
	int *marks = arg;

	marks[piece]++;
	return piece == 700 ? -EIO : piece == 300 ? -EDOM : 0;
}

Test(crew, every_piece_once_and_the_first_failure_of_all)
{
	for (unsigned int jobs = 1; jobs <= 4; jobs++) {
		struct drpc_crew *crew = NULL;

		cr_assert_eq(drpc_crew_new(jobs, &crew), 0);
		for (int round = 0; round < 20; round++) {
			int marks[PIECES] = {0};

			drpc_crew_start(crew, PIECES, mark, marks);
			cr_assert_eq(drpc_crew_finish(crew), -EDOM);
			for (int i = 0; i < PIECES; i++)
				cr_assert_eq(marks[i], 1);
			/* A failure is not carried over. */
			drpc_crew_start(crew, 10, mark, marks);
			cr_assert_eq(drpc_crew_finish(crew), 0);
		}
		drpc_crew_free(&crew);
		cr_assert_null(crew);
	}
}
